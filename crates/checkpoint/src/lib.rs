//! The checkpoint protocol, decided purely: barrier alignment of a task, the coordinator, two-phase
//! commit, what lies in a checkpoint and where, what to restore, and whether to restart.
//!
//! There is no clock here, no I/O, no thread and no randomness: events and the time come in,
//! effects go out, and a driver carries them out. [`SnapshotStore`] says what a driver needs of a
//! store. INVARIANT of the whole: what a sink makes visible belongs to a checkpoint whose metadata
//! is durable, and everything that such a checkpoint names is kept as long as it is.

mod alignment;
mod coordinator;
mod failure;
mod metadata;
mod paths;
mod restart;
mod restore;
mod shared;
#[cfg(test)]
mod simulation;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod two_phase;

pub use alignment::{AlignEffect, Aligned, Alignment, AlignmentMeter, CheckpointMode};
pub use coordinator::{
    Aborted, CheckpointKind, Completed, Config, Coordinator, Effect, Request, Snapshot, TaskId,
    Ticket,
};
pub use failure::{FailureCount, FailureReason};
pub use metadata::{
    FileRef, Metadata, MetadataError, OpenSplit, OperatorMeta, SourceMeta, StateMeta, SubtaskMeta,
};
pub use paths::{JobPaths, SharedFile, resolve};
pub use restart::{Restart, RestartDecision, RestartStrategy};
pub use restore::{Fallback, Shown, Survey};
pub use shared::SharedRegistry;
pub use store::{ObjectInfo, ObjectWriter, Refusal, SnapshotStore, StoreError};
pub use two_phase::{
    OnCommitError, Transaction, TwoPhase, TwoPhaseOptions, TwoPhaseOptionsError, Warning,
};
