//! Two-phase commit of one sink subtask (semantics 1.18, C40): what is sealed and not yet visible,
//! what may be made visible, what to do when that fails.
//!
//! INVARIANT: a transaction is handed out to be committed only when a checkpoint that holds it is
//! complete; it stays in every later snapshot until its commit has been confirmed.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_model::{CheckpointId, ProcessingTime};

#[cfg(test)]
mod tests;

/// What one sink subtask sealed at one barrier.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// The checkpoint at whose barrier it was sealed.
    pub checkpoint: CheckpointId,
    /// When it was opened.
    pub started: ProcessingTime,
    /// What the sink needs to make it visible; never empty.
    pub committables: Vec<Value>,
}

/// A transaction that is in danger of running into its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The checkpoint it was sealed for; `None` = it is still being written.
    pub checkpoint: Option<CheckpointId>,
    /// For how many milliseconds it has been open.
    pub open_ms: u64,
    /// After how many milliseconds the receiver may drop it.
    pub timeout_ms: u64,
}

/// The options that all transactional sinks share (D22).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TwoPhaseOptions {
    transaction_timeout_ms: Option<u64>,
    ignore_commit_errors_after_timeout: bool,
    warn_ratio: Option<f64>,
}

/// Why options of a transactional sink are refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum TwoPhaseOptionsError {
    /// The ratio is a part of the timeout.
    #[error("`warn-ratio` lies between 0 and 1, not at {0}")]
    Ratio(f64),
    /// The option would never do anything.
    #[error("`{0}` needs a `transaction-timeout`")]
    NeedsTimeout(&'static str),
}

/// What to do about a commit that failed while restoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCommitError {
    /// The job cannot start.
    Fail,
    /// The transaction timed out: its rows are lost, which the options allow. Say so, and go on.
    Ignore,
}

impl TwoPhaseOptions {
    /// Options of the job file: `transaction-timeout` in milliseconds,
    /// `ignore-commit-errors-after-timeout` and `warn-ratio`.
    ///
    /// # Errors
    /// [`TwoPhaseOptionsError`] where they do not make sense together.
    pub fn new(
        transaction_timeout_ms: Option<u64>,
        ignore_commit_errors_after_timeout: bool,
        warn_ratio: Option<f64>,
    ) -> Result<Self, TwoPhaseOptionsError> {
        if let Some(ratio) = warn_ratio.filter(|ratio| !(0.0..=1.0).contains(ratio)) {
            return Err(TwoPhaseOptionsError::Ratio(ratio));
        }
        if transaction_timeout_ms.is_none() {
            if ignore_commit_errors_after_timeout {
                let option = "ignore-commit-errors-after-timeout";
                return Err(TwoPhaseOptionsError::NeedsTimeout(option));
            }
            if warn_ratio.is_some() {
                return Err(TwoPhaseOptionsError::NeedsTimeout("warn-ratio"));
            }
        }
        Ok(Self {
            transaction_timeout_ms,
            ignore_commit_errors_after_timeout,
            warn_ratio,
        })
    }

    /// What to do about the failed commit of a restored transaction. (One that fails in a running
    /// job always fails the job, which then restores it.) Whoever asks knows that it is gone: one
    /// that cannot be committed just then is never given up.
    #[must_use]
    pub fn on_commit_error(&self, now: ProcessingTime, started: ProcessingTime) -> OnCommitError {
        match self.transaction_timeout_ms {
            Some(timeout_ms)
                if self.ignore_commit_errors_after_timeout && now.since(started) > timeout_ms =>
            {
                OnCommitError::Ignore
            }
            Some(_) | None => OnCommitError::Fail,
        }
    }

    /// Whether a transaction opened at `started` should be warned of.
    #[must_use]
    pub fn warning(
        &self,
        now: ProcessingTime,
        checkpoint: Option<CheckpointId>,
        started: ProcessingTime,
    ) -> Option<Warning> {
        let timeout_ms = self.transaction_timeout_ms?;
        let open_ms = now.since(started);
        let is_long = open_ms as f64 > timeout_ms as f64 * self.warn_ratio?;
        is_long.then_some(Warning {
            checkpoint,
            open_ms,
            timeout_ms,
        })
    }
}

/// The transactions of one sink subtask.
#[derive(Clone, Debug, Default)]
pub struct TwoPhase {
    options: TwoPhaseOptions,
    /// When the transaction was opened that is being written.
    open: Option<ProcessingTime>,
    sealed: BTreeMap<CheckpointId, Sealed>,
}

#[derive(Clone, Debug)]
struct Sealed {
    transaction: Transaction,
    /// Handed out to be committed; not confirmed.
    is_committing: bool,
}

impl TwoPhase {
    /// Of a subtask that has sealed nothing. After a restore that holds too: everything restored
    /// is committed before a task starts (D21).
    #[must_use]
    pub fn new(options: TwoPhaseOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// The sink has opened a transaction, at the latest with its first row; nothing if one is open.
    pub fn opened(&mut self, now: ProcessingTime) {
        self.open.get_or_insert(now);
    }

    /// What was written since the last barrier was sealed at that of `id`. Nothing to commit =
    /// nothing is kept.
    pub fn pre_committed(&mut self, id: CheckpointId, now: ProcessingTime, sealed: Vec<Value>) {
        let started = self.open.take().unwrap_or(now);
        if !sealed.is_empty() {
            let transaction = Transaction {
                checkpoint: id,
                started,
                committables: sealed,
            };
            self.sealed.insert(
                id,
                Sealed {
                    transaction,
                    is_committing: false,
                },
            );
        }
    }

    /// What the snapshot of `id` has to hold: everything sealed up to it and not confirmed, the
    /// transactions of aborted checkpoints with it (D21).
    #[must_use]
    pub fn pending_up_to(&self, id: CheckpointId) -> Vec<Transaction> {
        self.sealed
            .range(..=id)
            .map(|(_, sealed)| sealed.transaction.clone())
            .collect()
    }

    /// The checkpoint `id` is complete: gives what is to be made visible now, in order. Each is
    /// given once; a notification that comes late or again gives nothing.
    pub fn complete(&mut self, id: CheckpointId) -> Vec<Transaction> {
        let mut due = Vec::new();
        for sealed in self.sealed.range_mut(..=id).map(|(_, sealed)| sealed) {
            if !sealed.is_committing {
                sealed.is_committing = true;
                due.push(sealed.transaction.clone());
            }
        }
        due
    }

    /// The transaction sealed at the barrier of `id` is visible.
    pub fn committed(&mut self, id: CheckpointId) {
        if self
            .sealed
            .get(&id)
            .is_some_and(|sealed| sealed.is_committing)
        {
            self.sealed.remove(&id);
        }
    }

    /// How many transactions there are: sealed ones, and one that is being written.
    #[must_use]
    pub fn open_transactions(&self) -> usize {
        self.sealed.len() + usize::from(self.open.is_some())
    }

    /// The transactions that have been open for longer than the ratio of the timeout.
    #[must_use]
    pub fn warnings(&self, now: ProcessingTime) -> Vec<Warning> {
        let sealed = self
            .sealed
            .iter()
            .map(|(&id, s)| (Some(id), s.transaction.started));
        let open = self.open.map(|started| (None, started));
        sealed
            .chain(open)
            .filter_map(|(id, started)| self.options.warning(now, id, started))
            .collect()
    }
}
