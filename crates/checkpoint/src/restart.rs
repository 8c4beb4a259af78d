//! Whether a failed job starts again, and when (C38): the restart strategies of Flink, decided
//! purely. The driver waits and restarts; it makes one [`Restart`] a run of the job and asks it at
//! each failure, of whatever region of the job.

use std::collections::VecDeque;

use weir_model::ProcessingTime;

#[cfg(test)]
mod tests;

/// A restart strategy.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// Restarts as long as failures are rare.
    FailureRate {
        /// How many failures within `interval_ms` are followed by a restart; one more ends the job.
        failures: u32,
        /// Milliseconds over which they are counted.
        interval_ms: u64,
        /// Milliseconds between a failure and the restart.
        delay_ms: u64,
    },
    /// Restarts after a delay that grows from failure to failure, until the job has been stable for
    /// a while. What fails before a restart that is due is part of the failure before it.
    ExponentialDelay {
        /// Milliseconds before the first restart.
        initial_ms: u64,
        /// How much longer each delay is than the one before; above 1.
        multiplier: f64,
        /// Milliseconds that no delay is longer than.
        max_ms: u64,
        /// Milliseconds without a failure after a restart, after which the next delay is the first
        /// one again.
        reset_after_ms: u64,
        /// Up to which part of itself a delay is shorter or longer, at random, so that many jobs
        /// do not start again at the same moment; from 0 to 1.
        jitter: f64,
        /// How many restarts there are before the job has been stable for `reset_after_ms`; the
        /// failure after the last one ends it. `None` = no bound.
        attempts: Option<u32>,
    },
}

impl RestartStrategy {
    /// `fixed-delay` where the job file says no more: Flink's defaults, one restart after a second.
    pub const FIXED_DELAY: Self = Self::FixedDelay {
        attempts: Some(1),
        delay_ms: 1000,
    };

    /// `failure-rate` where the job file says no more: Flink's defaults, one failure a minute.
    pub const FAILURE_RATE: Self = Self::FailureRate {
        failures: 1,
        interval_ms: 60_000,
        delay_ms: 1000,
    };

    /// `exponential-delay` where the job file says no more: Flink's defaults, from one second to a
    /// minute, for ever.
    pub const EXPONENTIAL_DELAY: Self = Self::ExponentialDelay {
        initial_ms: 1000,
        multiplier: 1.5,
        max_ms: 60_000,
        reset_after_ms: 3_600_000,
        jitter: 0.1,
        attempts: None,
    };
}

impl Default for RestartStrategy {
    /// Flink's where checkpoints are taken: exponential delay without end (semantics 1.16). What a
    /// job file means that says nothing is for its reader to say.
    fn default() -> Self {
        Self::EXPONENTIAL_DELAY
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
/// assert_eq!(restart.on_failure(ProcessingTime(0), 0), first);
/// assert_eq!(restart.on_failure(ProcessingTime(99), 0), RestartDecision::GiveUp);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restart {
    strategy: RestartStrategy,
    /// Restarts that count: since the last reset, where there is one.
    granted: u32,
    /// The latest failures, the oldest first; for `FailureRate`.
    failures: VecDeque<ProcessingTime>,
    /// When the restart that was granted last is due; for `ExponentialDelay`.
    due: Option<ProcessingTime>,
}

impl Restart {
    /// Of a job that has not failed yet.
    #[must_use]
    pub fn new(strategy: RestartStrategy) -> Self {
        Self {
            strategy,
            ..Self::default()
        }
    }

    /// The strategy.
    #[must_use]
    pub fn strategy(&self) -> RestartStrategy {
        self.strategy
    }

    /// The job, or a region of it, has failed at `now`. `random` is any number; jitter is made of
    /// it.
    pub fn on_failure(&mut self, now: ProcessingTime, random: u64) -> RestartDecision {
        match self.strategy {
            RestartStrategy::None => RestartDecision::GiveUp,
            RestartStrategy::FixedDelay { attempts, delay_ms } => {
                if attempts.is_some_and(|attempts| self.granted >= attempts) {
                    return RestartDecision::GiveUp;
                }
                self.grant(delay_ms, attempts)
            }
            RestartStrategy::FailureRate {
                failures,
                interval_ms,
                delay_ms,
            } => {
                self.failures.push_back(now);
                let more = self.failures.len().saturating_sub(failures as usize + 1);
                self.failures.drain(..more);
                let is_full = self.failures.len() > failures as usize;
                let first = self.failures.front().copied().unwrap_or(now);
                if is_full && now.since(first) <= interval_ms {
                    return RestartDecision::GiveUp;
                }
                self.grant(delay_ms, None)
            }
            RestartStrategy::ExponentialDelay {
                initial_ms,
                multiplier,
                max_ms,
                reset_after_ms,
                jitter,
                attempts,
            } => {
                // What fails while the restart waits is restarted with it.
                if let Some(due) = self.due.filter(|&due| now <= due) {
                    return RestartDecision::Restart {
                        after_ms: due.since(now),
                        attempt: self.granted,
                        of: attempts,
                    };
                }
                if self.due.is_some_and(|due| now.since(due) >= reset_after_ms) {
                    self.granted = 0;
                }
                if attempts.is_some_and(|attempts| self.granted >= attempts) {
                    return RestartDecision::GiveUp;
                }
                let delay_ms = backoff(initial_ms, multiplier, max_ms, self.granted);
                let delay_ms = jittered(delay_ms, jitter, random).min(max_ms);
                self.due = Some(now.plus_ms(delay_ms));
                self.grant(delay_ms, attempts)
            }
        }
    }

    fn grant(&mut self, after_ms: u64, of: Option<u32>) -> RestartDecision {
        self.granted = self.granted.saturating_add(1);
        RestartDecision::Restart {
            after_ms,
            attempt: self.granted,
            of,
        }
    }
}

/// `initial_ms * multiplier ^ restarts`, cut off to whole milliseconds at the end, as Flink does.
fn backoff(initial_ms: u64, multiplier: f64, max_ms: u64, restarts: u32) -> u64 {
    let exponent = i32::try_from(restarts).unwrap_or(i32::MAX);
    let delay = initial_ms as f64 * multiplier.powi(exponent);
    // A conversion of a number that is too large gives the largest.
    (delay as u64).min(max_ms)
}

/// A delay that is at most `jitter` of itself shorter or longer: all whole numbers between are
/// alike.
fn jittered(delay_ms: u64, jitter: f64, random: u64) -> u64 {
    let offset = (delay_ms as f64 * jitter.clamp(0.0, 1.0)) as u64;
    let width = offset.saturating_mul(2).saturating_add(1);
    (delay_ms - offset.min(delay_ms)).saturating_add(random % width)
}
