//! What flows in a channel (D4): a closed set.

use std::sync::Arc;

use crate::{Batch, CheckpointId, EventTime, ProcessingTime};

/// One element of a channel. Elements of a channel are never reordered.
#[derive(Clone, Debug)]
pub enum Element {
    /// Rows. Shared, so that a broadcast edge copies nothing.
    Batch(Arc<Batch>),
    /// No row with an earlier event time follows, late ones apart.
    Watermark(EventTime),
    /// The channel will be silent (`true`) or speaks again (`false`): whether the minimum of
    /// watermarks waits for it.
    Idle(bool),
    /// The line between what belongs to a checkpoint and what does not.
    Barrier(Barrier),
    /// The checkpoint was given up upstream; a barrier of it may never come.
    Cancel(CheckpointId),
    /// No more rows; barriers may follow until the final checkpoint.
    EndOfData,
    /// Nothing follows.
    EndOfChannel,
}

/// The marker that divides a stream into what a checkpoint holds and what comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Barrier {
    /// The checkpoint it belongs to.
    pub checkpoint: CheckpointId,
    /// Why the checkpoint is taken.
    pub kind: BarrierKind,
    /// The completed checkpoint whose files it may refer to instead of writing what has not changed
    /// since (D12). `None` = everything is written.
    pub base: Option<CheckpointId>,
    /// How it passes rows that wait in queues.
    pub passage: Passage,
    /// How the state is written if this is a savepoint.
    pub savepoint: Option<SavepointFormat>,
}

impl Barrier {
    /// The aligned barrier of a periodic checkpoint that refers to no other.
    #[must_use]
    pub fn periodic(checkpoint: CheckpointId) -> Self {
        Self {
            checkpoint,
            kind: BarrierKind::Periodic,
            base: None,
            passage: Passage::Aligned,
            savepoint: None,
        }
    }
}

/// Why a checkpoint is taken, which decides what a source does after its barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BarrierKind {
    /// A periodic checkpoint: the job goes on.
    Periodic,
    /// The job stops when it is complete: sources emit nothing after it.
    Stop,
    /// All sources have ended: it commits what came last, then the tasks end (D4).
    Final,
}

/// How a barrier passes the rows that wait in the queues before it (semantics 1.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Passage {
    /// Behind all of them; channels that have delivered it wait for the others.
    #[default]
    Aligned,
    /// It overtakes them: they become part of the checkpoint as channel state (D5).
    Unaligned,
    /// Behind them until this time, then it overtakes what is left.
    AlignedUntil(ProcessingTime),
}

/// How the state of a savepoint is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SavepointFormat {
    /// In rows, whatever the backend: any backend can be restored from it.
    #[default]
    Canonical,
    /// In the files of the backend.
    Native,
}
