//! What tasks and the driver say to each other: two closed sets.

use serde_json::Value;
use weir_checkpoint::{FailureReason, FileRef, TaskId, Transaction, Warning};
use weir_model::{Barrier, BarrierKind, CheckpointId, Name};
use weir_operator::{Failure, Split};

/// From the driver to a task.
#[derive(Debug)]
pub(crate) enum Control {
    /// A source task starts a checkpoint.
    Trigger(Barrier),
    /// The checkpoint is durable: what belongs to it may be committed.
    Complete {
        /// Which one.
        id: CheckpointId,
        /// Why it was taken: after a final or a stop checkpoint the task ends.
        kind: BarrierKind,
    },
    /// The checkpoint was given up.
    Aborted(CheckpointId),
    /// A split for the reader.
    AddSplit(Split),
    /// There will be no more splits for this reader.
    NoMoreSplits,
    /// The source reads no further, as if its splits had ended here; they stay open all the same.
    Drain,
    /// How many splits of the source are open in all, to share its rate by.
    OpenSplits(usize),
    /// Stop at once; the job failed or was cancelled.
    Cancel,
}

/// From a task to the driver.
#[derive(Debug)]
pub(crate) enum Event {
    /// The task is open and runs.
    Running,
    /// Its part of a checkpoint is durable.
    Ack(CheckpointId, Box<Ack>),
    /// It could not take its part of a checkpoint.
    Declined(CheckpointId, FailureReason, String),
    /// A reader has read a split to its end and wants another.
    SplitEnded(String),
    /// All its inputs (or splits) have ended and its operators have finished.
    DataEnded,
    /// A transaction of this sink waits for its commit for long (D22).
    SlowTransaction(Name, Warning),
    /// It failed.
    Failed(TaskFailure),
    /// It has ended as it should.
    Ended,
}

/// An event with the task it comes from.
#[derive(Debug)]
pub(crate) struct FromTask {
    pub(crate) task: TaskId,
    pub(crate) event: Event,
}

/// What a task adds to a checkpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ack {
    /// The file with the state of its operators, if they have any.
    pub(crate) file: Option<FileRef>,
    /// The older files that it builds on.
    pub(crate) shared: Vec<FileRef>,
    /// What was in flight to it, if anything was.
    pub(crate) channels: Option<FileRef>,
    /// The open and ended splits, if it is a source task.
    pub(crate) source: Option<ReaderPart>,
    /// All unconfirmed transactions up to this checkpoint, by sink.
    pub(crate) sinks: Vec<(Name, Vec<Transaction>)>,
    /// Whether all its operators had finished.
    pub(crate) finished: bool,
    /// How long channels were blocked for alignment.
    pub(crate) alignment_ms: u64,
    /// How long the task stood still for its part.
    pub(crate) sync_ms: f64,
}

impl Ack {
    /// All files that it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &FileRef> {
        self.file.iter().chain(&self.shared).chain(&self.channels)
    }
}

/// What a reader adds to a checkpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReaderPart {
    pub(crate) open: Vec<(String, Value)>,
    pub(crate) ended: Vec<String>,
}

/// Which node of a task failed, and how.
#[derive(Clone, Debug)]
pub(crate) struct TaskFailure {
    pub(crate) node: Name,
    pub(crate) failure: Failure,
}
