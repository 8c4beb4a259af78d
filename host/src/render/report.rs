//! The summary of a run.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use weir_graph::{NodeKind, Plan};
use weir_model::JobName;
use weir_runtime::{Outcome, Report, control::StopDone};

use crate::assemble::Components;

use super::{duration, grouped, progress::failure_text, size};

/// What nodes of one name counted, all subtasks together.
#[derive(Clone, Copy, Default)]
struct Sum {
    rows_in: u64,
    rows_out: u64,
    skipped: u64,
    dead_lettered: u64,
}

fn sums(report: &Report) -> BTreeMap<String, Sum> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for meters in &report.meters {
        let sum = sums.entry(meters.name.to_string()).or_default();
        sum.rows_in += meters.rows_in.get();
        sum.rows_out += meters.rows_out.get();
        sum.skipped += meters.skipped.get();
        sum.dead_lettered += meters.dead_lettered.get();
    }
    sums
}

/// The summary for programs.
pub(crate) fn json_report(plan: &Plan, report: &Report) -> Value {
    let sums = sums(report);
    let (mut sources, mut sinks) = (Map::new(), Map::new());
    let (mut skipped, mut dead_lettered) = (Map::new(), Map::new());
    for node in plan.chains.iter().flat_map(|chain| &chain.nodes) {
        let name = node.name.to_string();
        let sum = sums.get(&name).copied().unwrap_or_default();
        match node.kind {
            NodeKind::Source { .. } => {
                sources.insert(name.clone(), json!(sum.rows_out));
            }
            NodeKind::Sink => {
                sinks.insert(name.clone(), json!(sum.rows_in));
            }
            NodeKind::Operator { .. } => {}
        }
        if sum.skipped > 0 {
            skipped.insert(name.clone(), json!(sum.skipped));
        }
        if sum.dead_lettered > 0 {
            dead_lettered.insert(name, json!(sum.dead_lettered));
        }
    }
    let last = report.last;
    let failure = match &report.outcome {
        Outcome::Failed(failure) => Some(json!({
            "code": failure.failure.code(),
            "node": failure.place.as_ref().map(|p| p.node.as_str().to_owned()),
            "subtask": failure.place.as_ref().map(|p| p.subtask.0),
            "message": failure.failure.to_string(),
            "help": null,
        })),
        Outcome::Finished
        | Outcome::AlreadyFinished(_)
        | Outcome::Stopped(_)
        | Outcome::Cancelled => None,
    };
    json!({
        "job": plan.job.as_str(),
        "state": state(&report.outcome),
        "rows_in": sources,
        "rows_out": sinks,
        "skipped": skipped,
        "dead_lettered": dead_lettered,
        "checkpoints": {
            "completed": report.completed,
            "failed": report.failed,
            "last_id": last.map(|l| l.id.0),
            "last_duration_ms": last.map(|l| l.duration_ms),
            "last_size_bytes": last.map(|l| l.bytes),
        },
        "restored_from": report.restored.as_ref().map(|(id, path)| json!({
            "id": id.0, "path": path,
        })),
        "recovery_ms": (report.startup_ms * 10.0).round() / 10.0,
        "recovered_transactions": report.recovered,
        "restarts": report.restarts,
        "duration_ms": report.duration_ms,
        "failure": failure,
        "errors": Vec::from_iter(failure.clone()),
    })
}

/// The state of a job in one word.
fn state(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Finished | Outcome::AlreadyFinished(_) => "finished",
        Outcome::Stopped(_) => "stopped",
        Outcome::Cancelled => "cancelled",
        Outcome::Failed(_) => "failed",
    }
}

/// What is said of a job that had finished before.
pub(crate) fn finished_text(job: &JobName, checkpoint: &str) -> String {
    let checkpoint = checkpoint.trim_end_matches('/');
    format!("{job}: had finished before, with {checkpoint}; `--restore none` runs it anew")
}

/// How a job was stopped, and what goes on from there.
fn stopped_text(done: &StopDone, took: &str) -> String {
    let how = match done.drained {
        true => "drained and stopped",
        false => "stopped",
    };
    match (&done.savepoint, done.checkpoint) {
        (Some(location), _) if done.drained => {
            format!("{how} after {took} with savepoint {location}; all operators have finished")
        }
        (Some(location), _) => format!(
            "{how} after {took} with savepoint {location}; `--restore {location}` goes on from there"
        ),
        (None, Some(id)) if done.drained => {
            format!("{how} after {took} with checkpoint {id}; all operators have finished")
        }
        (None, Some(id)) => {
            format!("{how} after {took} with checkpoint {id}; the same command goes on from there")
        }
        (None, None) => format!(
            "{how} after {took}; the job has no `checkpoint:`, so the same command begins anew"
        ),
    }
}

/// The summary for people.
pub(crate) fn text_report(plan: &Plan, report: &Report, components: &Components) -> String {
    let job = &plan.job;
    let took = duration(report.duration_ms as f64);
    let mut lines = Vec::new();
    lines.push(match &report.outcome {
        Outcome::Finished => format!("{job}: finished in {took}"),
        Outcome::AlreadyFinished(checkpoint) => {
            return finished_text(job, checkpoint);
        }
        Outcome::Stopped(done) => format!("{job}: {}", stopped_text(done, &took)),
        Outcome::Cancelled => format!("{job}: cancelled after {took}"),
        Outcome::Failed(failure) => {
            format!(
                "{job}: failed after {took}\n{}",
                failure_text(failure, components)
            )
        }
    });
    let taken = taken_by_sinks(&report.outcome);
    let sums = sums(report);
    for node in plan.chains.iter().flat_map(|chain| &chain.nodes) {
        let sum = sums.get(node.name.as_str()).copied().unwrap_or_default();
        let rows = match node.kind {
            NodeKind::Source { .. } => format!("{} read", rows_of(sum.rows_out)),
            NodeKind::Operator { .. } => {
                format!("{} in, {} out", rows_of(sum.rows_in), grouped(sum.rows_out))
            }
            NodeKind::Sink => format!("{} {taken}", rows_of(sum.rows_in)),
        };
        let skipped = match sum.skipped {
            0 => String::new(),
            n => format!(", {} skipped", grouped(n)),
        };
        let dead = match sum.dead_lettered {
            0 => String::new(),
            n => format!(", {} dead-lettered", grouped(n)),
        };
        lines.push(format!(
            "  {:<16} {rows}{skipped}{dead}",
            node.name.as_str()
        ));
    }
    if let Some(last) = report.last {
        lines.push(format!(
            "  {:<16} {} complete, {} failed; the last, {}, took {} and has {}",
            "checkpoints",
            report.completed,
            report.failed,
            last.id,
            duration(last.duration_ms as f64),
            size(last.bytes)
        ));
    }
    lines.join("\n")
}

/// What has become of the rows that sinks were given. Where no checkpoint ends a run, those behind
/// the last one may have come to nothing: a sink that commits has not committed them.
fn taken_by_sinks(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Finished | Outcome::AlreadyFinished(_) | Outcome::Stopped(_) => "written",
        Outcome::Cancelled | Outcome::Failed(_) => "taken in",
    }
}

fn rows_of(count: u64) -> String {
    match count {
        1 => "1 row".to_owned(),
        count => format!("{} rows", grouped(count)),
    }
}
