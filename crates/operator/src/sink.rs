//! Sinks: where rows leave, and how what they wrote becomes visible.
//!
//! A transactional sink writes in two phases (D21): at the barrier it seals what it has written
//! (`pre_commit`), and only when the checkpoint is complete is that made visible (`commit`), again
//! after a recovery. What was sealed travels in the checkpoint: what says where it is in the
//! metadata, and rows that are nowhere else yet (a write-ahead log) in the files.

use std::sync::Arc;

use weir_model::{CheckpointId, Rows};

use crate::{Failure, TaskInfo};

/// What a sealed transaction needs to be committed, by whoever restores it: a JSON document with a
/// version, made and read by the sink alone.
pub type Committable = serde_json::Value;

/// What was sealed at a barrier.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// What it is, for the metadata of the checkpoint. Of one sink no two are alike.
    pub committable: Committable,
    /// The rows themselves, where only the checkpoint has them until they are committed: kept in
    /// its files. Bytes that the sink alone makes and reads.
    pub log: Option<Arc<[u8]>>,
}

impl From<Committable> for Sealed {
    /// What lies sealed elsewhere.
    fn from(committable: Committable) -> Self {
        let log = None;
        Self { committable, log }
    }
}

/// The slow part of a pre-commit (flush, fsync, close): run off the task, gives what was sealed,
/// nothing for an empty epoch.
pub type PreCommit = Box<dyn FnOnce() -> Result<Vec<Sealed>, Failure> + Send>;

/// What a sink guarantees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkGuarantee {
    /// What was written before a failure is written again after it.
    AtLeastOnce,
    /// Visible once, with its checkpoint.
    ExactlyOnce,
}

/// How a sink comes to its guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Rows are shown as they come.
    Plain,
    /// A row replaces the one that has its key, so one that comes again changes nothing.
    Idempotent,
    /// Sealed at the barrier, shown when the checkpoint is complete.
    TwoPhaseCommit,
    /// Kept in the checkpoint, written when it is complete, with a mark of having been written.
    WriteAheadLog,
}

impl Delivery {
    /// What it guarantees.
    #[must_use]
    pub fn guarantee(self) -> SinkGuarantee {
        match self {
            Self::Plain | Self::Idempotent => SinkGuarantee::AtLeastOnce,
            Self::TwoPhaseCommit | Self::WriteAheadLog => SinkGuarantee::ExactlyOnce,
        }
    }
}

/// Decides about a restored transaction that is gone: `Ok` = the rest is recovered without it.
pub type OnLost<'a> = &'a mut dyn FnMut(usize, Failure) -> Result<(), Failure>;

/// What recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Committables that were made visible now.
    pub committed: u64,
    /// Committables that were visible already.
    pub already: u64,
    /// Leftovers of older attempts that were removed.
    pub removed: u64,
}

/// What lies committed where the sink writes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// Committed results of this sink's kind, whoever made them.
    pub committed: u64,
    /// The highest checkpoint number in their names.
    pub last_checkpoint: Option<CheckpointId>,
    /// Where, for messages.
    pub location: String,
}

/// One parallel instance of a sink.
pub trait Sink: Send {
    /// Writes rows in order.
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure>;

    /// The input has run dry: a sink that shows rows at once hands over what it holds back.
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn flush(&mut self) -> Result<(), Failure>;

    /// The barrier of `checkpoint` is here: what was written so far belongs to it. The quick part
    /// now, the slow part in what is returned.
    ///
    /// # Errors
    /// [`Failure`]; the checkpoint is declined.
    fn pre_commit(&mut self, checkpoint: CheckpointId) -> Result<PreCommit, Failure>;
}

/// Makes the parallel instances of one sink, and commits what they sealed.
pub trait SinkFactory: Send + Sync {
    /// What the sink guarantees.
    fn guarantee(&self) -> SinkGuarantee;

    /// How it comes to that: [`Delivery::guarantee`] of it is [`guarantee`](Self::guarantee).
    fn delivery(&self) -> Delivery {
        match self.guarantee() {
            SinkGuarantee::AtLeastOnce => Delivery::Plain,
            SinkGuarantee::ExactlyOnce => Delivery::TwoPhaseCommit,
        }
    }

    /// Makes one instance. Called after [`recover`](Self::recover).
    ///
    /// # Errors
    /// [`Failure`] where it cannot be made.
    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Sink>, Failure>;

    /// Makes sealed transactions visible. Idempotent: what is visible already is no error.
    /// Blocking.
    ///
    /// # Errors
    /// [`Failure`] where one can neither be committed nor was.
    fn commit(&self, sealed: &[Sealed]) -> Result<Recovered, Failure>;

    /// Runs once before any task starts (D21): commits everything restored, then removes what older
    /// attempts left open. Blocking.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    fn recover(&self, restored: &[Sealed]) -> Result<Recovered, Failure>;

    /// The same, where `lost` decides about what is gone, each as it comes to its turn: by its
    /// place in `restored`, with the failure that it would otherwise be. By default nothing can be
    /// gone.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), and what `lost` says.
    fn recover_without(&self, restored: &[Sealed], lost: OnLost<'_>) -> Result<Recovered, Failure> {
        let _ = lost;
        self.recover(restored)
    }

    /// What lies committed there already, asked before a job starts anew (D23).
    ///
    /// # Errors
    /// [`Failure`] where it cannot be seen.
    fn existing(&self) -> Result<Existing, Failure>;

    /// Removes what lies committed there: `on-existing: replace`.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be removed.
    fn clear(&self) -> Result<(), Failure>;
}
