//! How a job is, put together for whoever asks.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use weir_checkpoint::TaskId;
use weir_graph::Plan;
use weir_model::{EventTime, Name};

use super::{attempt::Counts, deploy::tasks_of};
use crate::{
    control::{CheckpointStatus, InProgress, NodeStatus},
    meters::NodeMeters,
    report::JobFailure,
};

impl Counts {
    /// Something has failed, and starts again.
    pub(crate) fn failed(&mut self, failure: &JobFailure) {
        self.restarts += 1;
        self.last_failure = Some(match &failure.place {
            Some(place) => format!(
                "`{}` (subtask {}): {}",
                place.node, place.subtask, failure.failure
            ),
            None => failure.failure.to_string(),
        });
    }

    pub(crate) fn status(
        &self,
        interval_ms: Option<u64>,
        in_progress: Vec<InProgress>,
    ) -> CheckpointStatus {
        CheckpointStatus {
            interval_ms,
            completed: self.completed,
            failed: self.failed,
            last: self.last,
            last_failure: self.last_abort.clone(),
            in_progress,
        }
    }
}

/// The nodes of a plan, in order. `running` are the tasks that run, `ended` those with no more rows
/// to come.
pub(crate) fn nodes(
    plan: &Plan,
    meters: &[Arc<NodeMeters>],
    running: &HashSet<TaskId>,
    ended: &HashSet<TaskId>,
) -> Vec<NodeStatus> {
    let mut sums = BTreeMap::<&Name, [u64; 5]>::new();
    for meters in meters {
        let sum = sums.entry(&meters.name).or_default();
        let counted = [
            meters.rows_in.get(),
            meters.rows_out.get(),
            meters.skipped.get(),
            meters.dead_lettered.get(),
            meters.waiting.get(),
        ];
        for (sum, counted) in sum.iter_mut().zip(counted) {
            *sum += counted;
        }
    }
    let mut watermarks = BTreeMap::<&Name, EventTime>::new();
    for meters in meters {
        if let Some(watermark) = meters.present_watermark() {
            let least = watermarks.entry(&meters.name).or_insert(watermark);
            *least = watermark.min(*least);
        }
    }
    let mut nodes = Vec::new();
    for (vertex, chain) in plan.chains.iter().enumerate() {
        let count = |among: &HashSet<TaskId>| {
            let tasks = tasks_of(vertex, chain.parallelism);
            u32::try_from(tasks.filter(|task| among.contains(task)).count()).unwrap_or(u32::MAX)
        };
        let (running, ended) = (count(running), count(ended));
        for node in &chain.nodes {
            let [rows_in, rows_out, skipped, dead_lettered, waiting] =
                sums.get(&node.name).copied().unwrap_or_default();
            nodes.push(NodeStatus {
                name: node.name.clone(),
                parallelism: chain.parallelism,
                running,
                ended,
                rows_in,
                rows_out,
                skipped,
                dead_lettered,
                waiting,
                watermark: watermarks
                    .get(&node.name)
                    .copied()
                    .filter(|&least| least > EventTime::MIN),
            });
        }
    }
    nodes
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
