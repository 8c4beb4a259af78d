//! A sink at the end of a chain, with the bookkeeping of its transactions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weir_checkpoint::{Transaction, TwoPhase, Warning};
use weir_model::{CheckpointId, ProcessingTime};
use weir_operator::{Sealed, Sink};

use crate::logs;

/// A sink as a node of a chain.
pub(crate) struct SinkNode {
    pub(crate) sink: Box<dyn Sink>,
    /// When the first row since the last barrier was written.
    pub(crate) opened: Option<ProcessingTime>,
}

/// What one sink subtask has sealed and not yet committed; the lane seals and commits off the task,
/// one after the other.
#[derive(Clone)]
pub(crate) struct Transactions(Arc<Mutex<Held>>);

/// The transactions of one sink subtask, with what was sealed for each.
///
/// INVARIANT: what is sealed and not confirmed is in both.
pub(crate) struct Held {
    two_phase: TwoPhase,
    sealed: BTreeMap<CheckpointId, Vec<Sealed>>,
}

impl Transactions {
    pub(crate) fn new(two_phase: TwoPhase) -> Self {
        let sealed = BTreeMap::new();
        Self(Arc::new(Mutex::new(Held { two_phase, sealed })))
    }

    /// Nothing between lock and unlock can panic half way through a change.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// What was written since `opened` was sealed at the barrier of `id`. Gives the transactions
    /// that are open for too long.
    pub(crate) fn seal(
        &mut self,
        id: CheckpointId,
        now: ProcessingTime,
        opened: Option<ProcessingTime>,
        sealed: Vec<Sealed>,
    ) -> Vec<Warning> {
        if let Some(opened) = opened {
            self.two_phase.opened(opened);
        }
        let committables = sealed.iter().map(|one| one.committable.clone());
        self.two_phase
            .pre_committed(id, now, committables.collect());
        if !sealed.is_empty() {
            self.sealed.insert(id, sealed);
        }
        self.two_phase.warnings(now)
    }

    /// What the metadata of `id` has to hold.
    pub(crate) fn pending_up_to(&self, id: CheckpointId) -> Vec<Transaction> {
        self.two_phase.pending_up_to(id)
    }

    /// What the files of `id` have to hold: the logs of all that its metadata holds.
    pub(crate) fn logs_up_to(&self, id: CheckpointId) -> Vec<Vec<u8>> {
        logs::items(self.sealed.range(..=id).flat_map(|(_, sealed)| sealed))
    }

    /// The checkpoint `id` is complete: what is to be committed now, in order.
    pub(crate) fn complete(&mut self, id: CheckpointId) -> Vec<(CheckpointId, Vec<Sealed>)> {
        let due = self.two_phase.complete(id).into_iter();
        due.map(|transaction| {
            let id = transaction.checkpoint;
            let sealed = self.sealed.get(&id).cloned();
            (id, sealed.unwrap_or_default())
        })
        .collect()
    }

    /// What was sealed at the barrier of `id` is visible.
    pub(crate) fn committed(&mut self, id: CheckpointId) {
        self.two_phase.committed(id);
        self.sealed.remove(&id);
    }
}
