//! What goes over the socket, as JSON. A boundary: `/v1` is its version; keys may come, none goes
//! and none changes what it means.

use serde::{Deserialize, Serialize};
use weir_model::{EventTime, ProcessingTime, SavepointFormat};
use weir_runtime::{CheckpointStats, control as runtime};

/// How the state of a savepoint is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// As no backend in particular has it: any can go on from it.
    #[default]
    Canonical,
    /// As the backend has it.
    Native,
}

/// `POST /v1/jobs/{job}/savepoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SavepointAsked {
    /// The folder, absolute, or its address; none = that of the job.
    pub(crate) target: Option<String>,
    pub(crate) format: Format,
}

/// `POST /v1/jobs/{job}/checkpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CheckpointAsked {
    /// Everything is written, whatever the one before holds.
    pub(crate) full: bool,
}

/// `POST /v1/jobs/{job}/stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StopAsked {
    /// All operators finish first.
    pub(crate) drain: bool,
    /// With a savepoint, and not with a checkpoint of its own.
    pub(crate) savepoint: Option<SavepointAsked>,
}

/// `PATCH /v1/jobs/{job}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobChange {
    /// What it is to be.
    pub(crate) state: Wanted,
}

/// What a job can be told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wanted {
    /// Ended, at once.
    Cancelled,
}

/// `PATCH /v1/jobs/{job}/checkpoints`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntervalAsked {
    /// From one periodic checkpoint to the next; `null` = none are taken.
    #[serde(deserialize_with = "said")]
    pub(crate) interval_ms: Option<u64>,
}

/// Without this, serde takes a missing key for `null`.
fn said<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    Option::deserialize(value)
}

/// A job of this process, in `GET /v1/jobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) job: String,
    /// Its checkpoint directory; `None` = it keeps none.
    pub(crate) dir: Option<String>,
    pub(crate) pid: u32,
}

/// `GET /v1/jobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<Named>,
}

/// A checkpoint that is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Completed {
    pub(crate) id: u64,
    pub(crate) duration_ms: u64,
    pub(crate) size_bytes: u64,
    pub(crate) alignment_ms: u64,
    pub(crate) sync_ms: f64,
}

/// A savepoint that is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Where it lies: what `--restore` takes.
    pub(crate) path: String,
    pub(crate) format: Format,
    #[serde(flatten)]
    pub(crate) completed: Completed,
}

/// How a job was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stopped {
    /// `None` where the job keeps no checkpoints.
    pub(crate) checkpoint: Option<u64>,
    pub(crate) savepoint: Option<String>,
    pub(crate) drained: bool,
}

/// How a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    #[serde(flatten)]
    pub(crate) named: Named,
    pub(crate) state: String,
    pub(crate) attempt: Option<u32>,
    pub(crate) restarts: u32,
    pub(crate) uptime_ms: u64,
    pub(crate) restored_from: Option<Restored>,
    pub(crate) failure: Option<String>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) nodes: Vec<Node>,
}

/// What a job began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restored {
    pub(crate) id: u64,
    pub(crate) path: String,
}

/// The checkpoints of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoints {
    pub(crate) interval_ms: Option<u64>,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) last: Option<Completed>,
    pub(crate) last_failure: Option<String>,
    pub(crate) in_progress: Vec<InProgress>,
}

/// A checkpoint under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InProgress {
    pub(crate) id: u64,
    pub(crate) kind: String,
    pub(crate) age_ms: u64,
    /// Tasks that have not acknowledged it.
    pub(crate) missing: usize,
}

/// A source, operator or sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) parallelism: u32,
    pub(crate) running: u32,
    pub(crate) ended: u32,
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) skipped: u64,
    pub(crate) dead_lettered: u64,
    /// Rows whose calls wait for something outside.
    #[serde(default)]
    pub(crate) waiting: u64,
    /// In milliseconds; those of hosts before it have none.
    #[serde(default)]
    pub(crate) watermark_ms: Option<i64>,
    /// How far the watermark is behind the clock of the host; none where it is at the end.
    #[serde(default)]
    pub(crate) watermark_lag_ms: Option<i64>,
}

/// An error, in the form of those of all verbs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// The answer where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problems {
    pub(crate) errors: Vec<Problem>,
}

impl From<Format> for SavepointFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Canonical => Self::Canonical,
            Format::Native => Self::Native,
        }
    }
}

impl From<SavepointFormat> for Format {
    fn from(format: SavepointFormat) -> Self {
        match format {
            SavepointFormat::Canonical => Self::Canonical,
            SavepointFormat::Native => Self::Native,
        }
    }
}

impl From<CheckpointStats> for Completed {
    fn from(stats: CheckpointStats) -> Self {
        Self {
            id: stats.id.0,
            duration_ms: stats.duration_ms,
            size_bytes: stats.bytes,
            alignment_ms: stats.alignment_ms,
            sync_ms: stats.sync_ms,
        }
    }
}

impl From<runtime::SavepointDone> for Saved {
    fn from(done: runtime::SavepointDone) -> Self {
        Self {
            path: done.location,
            format: done.format.into(),
            completed: done.stats.into(),
        }
    }
}

impl From<runtime::StopDone> for Stopped {
    fn from(done: runtime::StopDone) -> Self {
        Self {
            checkpoint: done.checkpoint.map(|id| id.0),
            savepoint: done.savepoint,
            drained: done.drained,
        }
    }
}

impl Status {
    /// Of a job.
    pub(crate) fn of(named: Named, status: runtime::JobStatus, now: ProcessingTime) -> Self {
        let node = |node: runtime::NodeStatus| Node {
            name: node.name.to_string(),
            parallelism: node.parallelism.get(),
            running: node.running,
            ended: node.ended,
            rows_in: node.rows_in,
            rows_out: node.rows_out,
            skipped: node.skipped,
            dead_lettered: node.dead_lettered,
            waiting: node.waiting,
            watermark_ms: node.watermark.map(|watermark| watermark.0),
            watermark_lag_ms: lag(node.watermark, now),
        };
        Self {
            named,
            state: status.state.as_str().to_owned(),
            attempt: status.attempt.map(|attempt| attempt.0),
            restarts: status.restarts,
            uptime_ms: status.uptime_ms,
            restored_from: status
                .restored
                .map(|(id, path)| Restored { id: id.0, path }),
            failure: status.failure,
            checkpoints: status.checkpoints.into(),
            nodes: status.nodes.into_iter().map(node).collect(),
        }
    }
}

/// How far a watermark is behind the clock, in milliseconds.
fn lag(watermark: Option<EventTime>, now: ProcessingTime) -> Option<i64> {
    let watermark = watermark.filter(|&watermark| watermark < EventTime::MAX)?;
    Some(now.0.saturating_sub(watermark.0))
}

impl From<runtime::CheckpointStatus> for Checkpoints {
    fn from(status: runtime::CheckpointStatus) -> Self {
        let under_way = |one: runtime::InProgress| InProgress {
            id: one.id.0,
            kind: crate::saved::kind(one.kind).to_owned(),
            age_ms: one.age_ms,
            missing: one.missing,
        };
        Self {
            interval_ms: status.interval_ms,
            completed: status.completed,
            failed: status.failed,
            last: status.last.map(Completed::from),
            last_failure: status.last_failure,
            in_progress: status.in_progress.into_iter().map(under_way).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_lags_behind_the_clock_unless_it_is_at_the_end() {
        let now = ProcessingTime(10_000);
        assert_eq!(lag(Some(EventTime(9_000)), now), Some(1_000));
        assert_eq!(lag(Some(EventTime(12_000)), now), Some(-2_000));
        assert_eq!(lag(Some(EventTime::MAX), now), None);
        assert_eq!(lag(None, now), None);
    }

    #[test]
    fn what_is_not_said_is_usual_and_what_is_unknown_is_refused() {
        let asked: StopAsked = serde_json::from_str("{}").unwrap();
        assert_eq!(asked, StopAsked::default());
        let asked: StopAsked = serde_json::from_str(r#"{"savepoint":{}}"#).unwrap();
        assert_eq!(asked.savepoint, Some(SavepointAsked::default()));
        let asked = serde_json::from_str::<SavepointAsked>(r#"{"format":"native"}"#);
        assert_eq!(asked.unwrap().format, Format::Native);
        for wrong in [r#"{"traget":"/a"}"#, r#"{"format":"Native"}"#] {
            assert!(
                serde_json::from_str::<SavepointAsked>(wrong).is_err(),
                "{wrong}"
            );
        }
        let none = serde_json::from_str::<IntervalAsked>(r#"{"interval_ms":null}"#);
        assert_eq!(none.unwrap().interval_ms, None);
        // Whoever misspells it must not switch periodic checkpoints off.
        assert!(serde_json::from_str::<IntervalAsked>("{}").is_err());
    }
}
