//! Whether a failed job starts again, and when (C38): the restart strategies of Flink, decided
//! purely. The driver waits and restarts; it makes one [`Restart`] a run of the job and asks it at
//! each failure.

use weir_model::ProcessingTime;

#[cfg(test)]
mod tests;

/// A restart strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartStrategy {
    /// The first failure ends the job.
    None,
    /// A bounded number of restarts, each after the same delay.
    FixedDelay {
        /// How many restarts there are over the whole run of the job; the failure after the last
        /// one ends it. Time without failures gives none back. `None` = no bound.
        attempts: Option<u32>,
        /// Milliseconds between a failure and the restart.
        delay_ms: u64,
    },
}

impl RestartStrategy {
    /// `fixed-delay` where the job file says no more: Flink's defaults, one restart after a second.
    pub const FIXED_DELAY: Self = Self::FixedDelay {
        attempts: Some(1),
        delay_ms: 1000,
    };
}

impl Default for RestartStrategy {
    /// Of a job with checkpoints whose file has no `restart`: two restarts without delay. (Flink's
    /// is exponential-delay, which there is not yet.) A job without checkpoints is not restarted
    /// unless its file says so: it would begin anew.
    fn default() -> Self {
        Self::FixedDelay {
            attempts: Some(2),
            delay_ms: 0,
        }
    }
}

/// What to do about a failure of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartDecision {
    /// Start it again from its latest checkpoint.
    Restart {
        /// After so many milliseconds.
        after_ms: u64,
        /// The how-manieth restart it is, counted from 1.
        attempt: u32,
        /// Of how many; `None` = no bound.
        of: Option<u32>,
    },
    /// The job has failed.
    GiveUp,
}

/// A strategy with the restarts it has granted.
///
/// ```
/// use weir_checkpoint::{Restart, RestartDecision, RestartStrategy};
/// use weir_model::ProcessingTime;
///
/// let strategy = RestartStrategy::FixedDelay { attempts: Some(1), delay_ms: 50 };
/// let mut restart = Restart::new(strategy);
/// let first = RestartDecision::Restart { after_ms: 50, attempt: 1, of: Some(1) };
/// assert_eq!(restart.on_failure(ProcessingTime(0)), first);
/// assert_eq!(restart.on_failure(ProcessingTime(99)), RestartDecision::GiveUp);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restart {
    strategy: RestartStrategy,
    granted: u32,
}

impl Restart {
    /// Of a job that has not failed yet.
    #[must_use]
    pub fn new(strategy: RestartStrategy) -> Self {
        Self {
            strategy,
            granted: 0,
        }
    }

    /// The strategy.
    #[must_use]
    pub fn strategy(&self) -> RestartStrategy {
        self.strategy
    }

    /// The job has failed at `_now`, which neither strategy looks at: a long time without failures
    /// does not give restarts back.
    pub fn on_failure(&mut self, _now: ProcessingTime) -> RestartDecision {
        match self.strategy {
            RestartStrategy::None => RestartDecision::GiveUp,
            RestartStrategy::FixedDelay {
                attempts: Some(attempts),
                ..
            } if self.granted >= attempts => RestartDecision::GiveUp,
            RestartStrategy::FixedDelay { attempts, delay_ms } => {
                self.granted = self.granted.saturating_add(1);
                RestartDecision::Restart {
                    after_ms: delay_ms,
                    attempt: self.granted,
                    of: attempts,
                }
            }
        }
    }
}
