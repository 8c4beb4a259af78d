//! What a running job can be told from outside, and what it answers: a closed set. Who carries the
//! words here (a control socket, a daemon) is no matter of the runtime.

use std::{fmt, sync::Arc};

use tokio::sync::oneshot;
use weir_checkpoint::{CheckpointKind, FailureReason, SnapshotStore};
use weir_model::{Attempt, CheckpointId, EventTime, Name, Parallelism, SavepointFormat};

use crate::deployment::CheckpointStats;

/// The shortest interval of periodic checkpoints, in milliseconds (semantics 1.12).
pub const INTERVAL_MS_MIN: u64 = 10;

/// Where the answer to a command goes. Nobody need wait for it.
pub type Reply<T> = oneshot::Sender<Result<T, CommandError>>;

/// A word to a running job.
#[derive(Debug)]
pub enum JobCommand {
    /// Take a savepoint, and go on.
    Savepoint {
        /// Where it goes.
        target: SavepointTarget,
        /// How its state is written.
        format: SavepointFormat,
        /// Is told when it is complete.
        reply: Reply<SavepointDone>,
    },
    /// Take a checkpoint now.
    Checkpoint {
        /// Write everything, whatever the one before holds.
        full: bool,
        /// Is told when it is complete.
        reply: Reply<CheckpointStats>,
    },
    /// End the job with a checkpoint, or with a savepoint.
    Stop {
        /// Let all operators finish first, as if the input had ended here: all event-time timers
        /// fire.
        drain: bool,
        /// The savepoint, with how its state is written; `None` = a checkpoint of its own.
        savepoint: Option<(SavepointTarget, SavepointFormat)>,
        /// Is told when all is committed and all tasks have ended, or that the job goes on.
        reply: Reply<StopDone>,
    },
    /// End the job at once. What is committed stays.
    Cancel {
        /// Is told when all tasks have ended.
        reply: Reply<()>,
    },
    /// Say how it is.
    Status {
        /// Is told at once.
        reply: Reply<JobStatus>,
    },
    /// Take a periodic checkpoint at this interval from now on; `None` = none.
    SetInterval {
        /// In milliseconds, at least [`INTERVAL_MS_MIN`].
        interval_ms: Option<u64>,
        /// Is told at once.
        reply: Reply<()>,
    },
}

impl JobCommand {
    /// Where the savepoint is to go, if there is to be one.
    pub(crate) fn target(&self) -> Option<&SavepointTarget> {
        match self {
            Self::Savepoint { target, .. } => Some(target),
            Self::Stop { savepoint, .. } => savepoint.as_ref().map(|(target, _)| target),
            Self::Checkpoint { .. }
            | Self::Cancel { .. }
            | Self::Status { .. }
            | Self::SetInterval { .. } => None,
        }
    }

    /// Answers that it is not carried out.
    pub(crate) fn refuse(self, error: CommandError) {
        match self {
            Self::Savepoint { reply, .. } => drop(reply.send(Err(error))),
            Self::Checkpoint { reply, .. } => drop(reply.send(Err(error))),
            Self::Stop { reply, .. } => drop(reply.send(Err(error))),
            Self::Cancel { reply } | Self::SetInterval { reply, .. } => {
                drop(reply.send(Err(error)));
            }
            Self::Status { reply } => drop(reply.send(Err(error))),
        }
    }
}

/// Where a savepoint goes.
#[derive(Clone)]
pub struct SavepointTarget {
    /// The store.
    pub store: Arc<dyn SnapshotStore>,
    /// Its folder in there, in which there is nothing yet.
    pub folder: String,
    /// The same for people: what `--restore` takes.
    pub location: String,
}

impl SavepointTarget {
    /// What the paths of all its objects begin with.
    pub(crate) fn prefix(&self) -> String {
        match self.folder.trim_end_matches('/') {
            "" => String::new(),
            folder => format!("{folder}/"),
        }
    }
}

impl fmt::Debug for SavepointTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.location)
    }
}

/// A savepoint that is complete.
#[derive(Clone, Debug, PartialEq)]
pub struct SavepointDone {
    /// Where it lies.
    pub location: String,
    /// How its state is written.
    pub format: SavepointFormat,
    /// Its number, time and size.
    pub stats: CheckpointStats,
}

/// How a job was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopDone {
    /// The checkpoint or savepoint it stopped with; `None` where the job keeps none.
    pub checkpoint: Option<CheckpointId>,
    /// Where the savepoint lies, if it is one.
    pub savepoint: Option<String>,
    /// Whether all operators had finished.
    pub drained: bool,
}

/// Why a command was not carried out. Unless it says otherwise, the job goes on as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Not all tasks run.
    #[error(
        "the job is {0}: not all of its tasks run, so nothing can be taken of it; ask again, or \
         cancel it"
    )]
    NotRunning(JobState),
    /// It is ending, or has ended.
    #[error("the job is {0}: it takes no more commands")]
    Ending(JobState),
    /// It keeps no checkpoints, so it has nothing to be asked for.
    #[error(
        "the job keeps no checkpoints: add `checkpoint: {{ dir: ... }}` to its file and start it \
         anew"
    )]
    NoCheckpoints,
    /// The target of a savepoint is the root of a store.
    #[error("a savepoint needs a folder of its own")]
    NoFolder,
    /// The coordinator does not take the request.
    #[error("the request was refused: {0}")]
    Refused(FailureReason),
    /// It was tried and given up.
    #[error("{message}")]
    Failed {
        /// Why, in Flink's words.
        reason: FailureReason,
        /// What happened, for people.
        message: String,
    },
    /// The job failed or was cancelled meanwhile.
    #[error("the job has ended meanwhile: {0}")]
    Ended(String),
    /// The interval is too short.
    #[error("an interval of {0} ms is too short: at least {INTERVAL_MS_MIN} ms")]
    Interval(u64),
}

/// How a job is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It reads what it begins with and makes its tasks.
    Starting,
    /// All tasks run.
    Running,
    /// All tasks run but those of a region, which starts again.
    Recovering,
    /// It has failed and starts again.
    Restarting,
    /// All its sources have ended.
    Finishing,
    /// It was told to stop.
    Stopping,
}

impl JobState {
    /// The name in messages and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Recovering => "recovering",
            Self::Restarting => "restarting",
            Self::Finishing => "finishing",
            Self::Stopping => "stopping",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a job is.
#[derive(Clone, Debug)]
pub struct JobStatus {
    /// In one word.
    pub state: JobState,
    /// The attempt that runs or ran last.
    pub attempt: Option<Attempt>,
    /// Restarts after failures, of the job or of regions of it.
    pub restarts: u32,
    /// Since the start of the process, in milliseconds.
    pub uptime_ms: u64,
    /// What it began with, and where that lies.
    pub restored: Option<(CheckpointId, String)>,
    /// What failed last.
    pub failure: Option<String>,
    /// Its checkpoints.
    pub checkpoints: CheckpointStatus,
    /// Its sources, operators and sinks, in the order of the plan.
    pub nodes: Vec<NodeStatus>,
}

/// The checkpoints of a job.
#[derive(Clone, Debug, Default)]
pub struct CheckpointStatus {
    /// The interval of periodic ones; `None` = none are taken.
    pub interval_ms: Option<u64>,
    /// How many this process has completed.
    pub completed: u64,
    /// How many it has given up.
    pub failed: u64,
    /// The latest completed one of this process.
    pub last: Option<CheckpointStats>,
    /// Why one was given up last.
    pub last_failure: Option<String>,
    /// Those under way, the oldest first.
    pub in_progress: Vec<InProgress>,
}

/// A checkpoint or savepoint under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InProgress {
    /// Its number.
    pub id: CheckpointId,
    /// Why it is taken.
    pub kind: CheckpointKind,
    /// Milliseconds since its trigger.
    pub age_ms: u64,
    /// How many tasks have not acknowledged it.
    pub missing: usize,
}

/// A source, an operator or a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: Name,
    /// How many subtasks it has.
    pub parallelism: Parallelism,
    /// How many of them run.
    pub running: u32,
    /// How many have no more rows to come.
    pub ended: u32,
    /// Rows taken in, over all attempts of this process.
    pub rows_in: u64,
    /// Rows given out.
    pub rows_out: u64,
    /// Rows left out.
    pub skipped: u64,
    /// Rows sent to a sink for dead letters.
    pub dead_lettered: u64,
    /// Rows whose calls wait for something outside, of an operator whose calls do.
    pub waiting: u64,
    /// The least watermark of its subtasks: for what comes before it nobody waits any more. `None`
    /// = nothing is known yet.
    pub watermark: Option<EventTime>,
}
