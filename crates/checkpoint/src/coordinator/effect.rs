//! The words between the coordinator and its driver.

use std::fmt;

use weir_model::{
    Barrier, BarrierKind, CheckpointId, ProcessingTime, SavepointFormat, SubtaskIndex,
};

use super::requests::Ticket;
use crate::FailureReason;

/// When checkpoints are taken and what is kept of them (semantics 1.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Milliseconds from one periodic checkpoint to the next; `None` = none are taken.
    pub interval_ms: Option<u64>,
    /// Milliseconds from the end of one checkpoint to the next periodic one, at least.
    pub min_pause_ms: u64,
    /// Milliseconds after which a checkpoint without all acks is given up.
    pub timeout_ms: u64,
    /// How many may be under way at a time; 0 counts as 1.
    pub max_concurrent: usize,
    /// How many consecutive failures the job bears.
    pub tolerable_failures: u32,
    /// How many completed ones are kept; 0 counts as 1.
    pub retained: usize,
    /// Whether barriers overtake the rows that wait before them (semantics 1.14). Then one
    /// checkpoint at a time is under way, whatever `max_concurrent` says; savepoints and the last
    /// checkpoint of a job are aligned all the same.
    pub unaligned: bool,
    /// Milliseconds for which an unaligned checkpoint is aligned before it overtakes what is left;
    /// 0 = from the beginning.
    pub aligned_timeout_ms: u64,
    /// Whether a checkpoint may refer to files of the one before instead of writing what has not
    /// changed (D12).
    pub incremental: bool,
    /// Whether completed ones stay when the job is cancelled.
    pub retain_on_cancel: bool,
}

impl Default for Config {
    /// Flink's defaults; no periodic checkpoints.
    fn default() -> Self {
        Self {
            interval_ms: None,
            min_pause_ms: 0,
            timeout_ms: 600_000,
            max_concurrent: 1,
            tolerable_failures: 0,
            retained: 1,
            unaligned: false,
            aligned_timeout_ms: 0,
            incremental: false,
            retain_on_cancel: true,
        }
    }
}

/// One task: a subtask of a vertex (chain) of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// Index of the vertex in the plan.
    pub vertex: usize,
    /// Which of its parallel instances.
    pub subtask: SubtaskIndex,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.vertex, self.subtask)
    }
}

/// Why a checkpoint is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckpointKind {
    /// The interval is over. The only kind that a newer one subsumes.
    Periodic,
    /// Somebody asked for it; the job goes on.
    Manual,
    /// Somebody asked for a savepoint; the job goes on. It is the user's: nothing is committed with
    /// it, nothing goes on from it by itself, and it is never deleted (semantics 1.15).
    Savepoint,
    /// The job stops when it is complete.
    Stop,
    /// All sources have ended; the job finishes when it is complete (D4).
    Final,
}

impl CheckpointKind {
    /// What the barrier says.
    #[must_use]
    pub fn barrier_kind(self) -> BarrierKind {
        match self {
            Self::Periodic | Self::Manual | Self::Savepoint => BarrierKind::Periodic,
            Self::Stop => BarrierKind::Stop,
            Self::Final => BarrierKind::Final,
        }
    }

    /// The name in messages and in the metadata.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Periodic => "periodic",
            Self::Manual => "manual",
            Self::Savepoint => "savepoint",
            Self::Stop => "stop",
            Self::Final => "final",
        }
    }

    /// Whether the job ends with it.
    #[must_use]
    pub fn is_last(self) -> bool {
        match self {
            Self::Periodic | Self::Manual | Self::Savepoint => false,
            Self::Stop | Self::Final => true,
        }
    }
}

impl fmt::Display for CheckpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the driver has to do, in this order. `A` is what a task hands over with its ack.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<A> {
    /// Snapshot the enumerators, then send the barrier to the tasks that have no running input. Who
    /// asked for it is told what becomes of it.
    Trigger(Barrier, Option<Ticket>),
    /// All acks are in: write the metadata, then say `stored` or `store_failed`.
    Store(Snapshot<A>),
    /// Tell all tasks: what belongs to this and to earlier checkpoints can be committed. Not of a
    /// savepoint with which the job goes on: nothing is committed with it.
    NotifyComplete(CheckpointId),
    /// Tell all tasks and who waits for it. The sources go on after an aborted `Stop`.
    NotifyAborted(Aborted),
    /// Delete all objects of this checkpoint, its metadata first if there is any: writing it may
    /// have worked and have been reported as a failure.
    DiscardFiles(CheckpointId),
    /// Delete the objects of this task in this checkpoint: nobody waits for the ack any more.
    DiscardLateAck {
        /// The checkpoint, unknown by now.
        id: CheckpointId,
        /// Who acknowledged it.
        task: TaskId,
        /// What it handed over.
        ack: A,
    },
    /// Delete this completed checkpoint, its metadata first: more are there than are retained.
    DeleteCheckpoint(CheckpointId),
    /// More failures than tolerated: fail the job, then say `job_failed`.
    FailJob(Aborted),
    /// A checkpoint is complete.
    Completed(Completed),
    /// A request never became a checkpoint.
    Refused {
        /// What was asked for.
        kind: CheckpointKind,
        /// By whom.
        ticket: Option<Ticket>,
        /// Why it was refused.
        reason: FailureReason,
    },
}

/// Everything that the metadata of a checkpoint is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot<A> {
    /// The checkpoint.
    pub id: CheckpointId,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// How its state was written if it is a savepoint.
    pub savepoint: Option<SavepointFormat>,
    /// When it was triggered.
    pub triggered: ProcessingTime,
    /// What the tasks handed over, in order of the tasks.
    pub acks: Vec<(TaskId, A)>,
    /// The tasks that had finished before it was triggered, in order.
    pub finished: Vec<TaskId>,
}

/// A checkpoint that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// The checkpoint.
    pub id: CheckpointId,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// Who asked for it.
    pub ticket: Option<Ticket>,
    /// Why it failed.
    pub reason: FailureReason,
    /// What went wrong, for people; may be empty.
    pub detail: String,
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            kind,
            reason,
            detail,
            ..
        } = self;
        match kind {
            CheckpointKind::Savepoint => write!(f, "savepoint {id} failed: {reason}")?,
            CheckpointKind::Periodic
            | CheckpointKind::Manual
            | CheckpointKind::Stop
            | CheckpointKind::Final => write!(f, "{kind} checkpoint {id} failed: {reason}")?,
        }
        if detail.is_empty() {
            Ok(())
        } else {
            write!(f, ": {detail}")
        }
    }
}

/// A checkpoint that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The checkpoint.
    pub id: CheckpointId,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// Who asked for it.
    pub ticket: Option<Ticket>,
    /// Whether it is a savepoint: it is not kept with the checkpoints of the job.
    pub is_savepoint: bool,
    /// When it was triggered.
    pub triggered: ProcessingTime,
    /// Milliseconds from there until its metadata was durable.
    pub duration_ms: u64,
    /// How many tasks acknowledged it.
    pub acked: usize,
    /// How many tasks had finished before it.
    pub finished: usize,
}
