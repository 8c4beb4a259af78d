//! A sink at the end of a chain, with the bookkeeping of its transactions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_checkpoint::TwoPhase;
use weir_model::ProcessingTime;
use weir_operator::Sink;

/// A sink as a node of a chain.
pub(crate) struct SinkNode {
    pub(crate) sink: Box<dyn Sink>,
    /// When the first row since the last barrier was written.
    pub(crate) opened: Option<ProcessingTime>,
}

/// What one sink subtask has sealed and not yet committed; the lane seals and commits off the task,
/// one after the other.
#[derive(Clone)]
pub(crate) struct Transactions(Arc<Mutex<TwoPhase>>);

impl Transactions {
    pub(crate) fn new(two_phase: TwoPhase) -> Self {
        Self(Arc::new(Mutex::new(two_phase)))
    }

    /// Nothing between lock and unlock can panic half way through a change.
    pub(crate) fn lock(&self) -> MutexGuard<'_, TwoPhase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
