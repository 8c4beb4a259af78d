//! A checkpoint under way: first it collects acks, then its metadata is being stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use weir_model::{Barrier, CheckpointId, Passage, ProcessingTime};

use super::{
    effect::{CheckpointKind, Completed, Snapshot, TaskId},
    requests::Request,
};

/// INVARIANT: every task that took part is in exactly one of `awaiting` and `acked`.
#[derive(Clone, Debug)]
pub(super) struct Pending<A> {
    pub(super) request: Request,
    pub(super) barrier: Barrier,
    pub(super) triggered: ProcessingTime,
    awaiting: BTreeSet<TaskId>,
    acked: BTreeSet<TaskId>,
    acks: BTreeMap<TaskId, A>,
    finished: Vec<TaskId>,
}

/// What became of an ack.
#[derive(Debug)]
pub(super) enum Accepted<A> {
    /// Others are missing.
    More,
    /// It was the last one.
    Last,
    /// The same task again; what it handed over is in use.
    Repeated,
    /// The task has no part in the checkpoint.
    Stranger(A),
}

impl<A> Pending<A> {
    pub(super) fn new(
        request: Request,
        barrier: Barrier,
        triggered: ProcessingTime,
        running: &BTreeSet<TaskId>,
        finished: &BTreeSet<TaskId>,
    ) -> Self {
        Self {
            request,
            barrier,
            triggered,
            awaiting: running.clone(),
            acked: BTreeSet::new(),
            acks: BTreeMap::new(),
            finished: finished.iter().copied().collect(),
        }
    }

    pub(super) fn kind(&self) -> CheckpointKind {
        self.request.kind
    }

    pub(super) fn is_savepoint(&self) -> bool {
        self.request.savepoint.is_some()
    }

    /// Whether its barrier overtakes rows, now or later.
    pub(super) fn is_unaligned(&self) -> bool {
        self.barrier.passage != Passage::Aligned
    }

    pub(super) fn accept(&mut self, task: TaskId, ack: A) -> Accepted<A> {
        if self.acked.contains(&task) {
            return Accepted::Repeated;
        }
        if !self.awaiting.remove(&task) {
            return Accepted::Stranger(ack);
        }
        self.acked.insert(task);
        self.acks.insert(task, ack);
        if self.awaiting.is_empty() {
            Accepted::Last
        } else {
            Accepted::More
        }
    }

    /// Whether its metadata is being stored: from here on only the store decides its fate, because
    /// the metadata may be durable already.
    pub(super) fn is_storing(&self) -> bool {
        self.awaiting.is_empty()
    }

    pub(super) fn awaits(&self, task: TaskId) -> bool {
        self.awaiting.contains(&task)
    }

    /// How many acks are missing.
    pub(super) fn missing(&self) -> usize {
        self.awaiting.len()
    }

    /// Hands the acks over to be stored.
    pub(super) fn snapshot(&mut self, id: CheckpointId) -> Snapshot<A> {
        Snapshot {
            id,
            kind: self.kind(),
            savepoint: self.request.savepoint,
            triggered: self.triggered,
            acks: mem::take(&mut self.acks).into_iter().collect(),
            finished: self.finished.clone(),
        }
    }

    pub(super) fn completed(&self, id: CheckpointId, now: ProcessingTime) -> Completed {
        Completed {
            id,
            kind: self.kind(),
            ticket: self.request.ticket,
            is_savepoint: self.is_savepoint(),
            triggered: self.triggered,
            duration_ms: now.since(self.triggered),
            acked: self.acked.len(),
            finished: self.finished.len(),
        }
    }
}
