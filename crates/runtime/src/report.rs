//! What a run came to.

use std::sync::Arc;

use weir_model::{Attempt, CheckpointId, Name, SubtaskIndex};
use weir_operator::Failure;

use crate::{control::StopDone, deployment::CheckpointStats, meters::NodeMeters};

/// A failure with where it happened.
#[derive(Clone, Debug)]
pub struct JobFailure {
    /// The node it happened in; `None` where it concerns the job as a whole.
    pub place: Option<Place>,
    /// What failed.
    pub failure: Failure,
}

/// Where something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The source, operator or sink.
    pub node: Name,
    /// The subtask.
    pub subtask: SubtaskIndex,
    /// The attempt.
    pub attempt: Attempt,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// All input was processed and committed.
    Finished,
    /// Nothing was done: the job had finished before, with this checkpoint (D23).
    AlreadyFinished(String),
    /// It was asked to stop, and stopped.
    Stopped(StopDone),
    /// It was asked to stop at once.
    Cancelled,
    /// It failed, and the restart strategy gave up.
    Failed(JobFailure),
}

/// What a run came to, over all its attempts.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What all subtasks counted, over all attempts of this process.
    pub meters: Vec<Arc<NodeMeters>>,
    /// Completed checkpoints of this process.
    pub completed: u64,
    /// Checkpoints of this process that were given up.
    pub failed: u64,
    /// The latest completed one of this process.
    pub last: Option<CheckpointStats>,
    /// What it began with, and where that lies.
    pub restored: Option<(CheckpointId, String)>,
    /// From the start until all tasks ran, restore included, of the first attempt.
    pub startup_ms: f64,
    /// Restarts after failures.
    pub restarts: u32,
    /// Rows that were committed by recovery before the first task started.
    pub recovered: u64,
    /// The whole run.
    pub duration_ms: u64,
}
