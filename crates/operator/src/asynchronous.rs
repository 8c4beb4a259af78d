//! Operators whose calls wait for something outside: one call a row, many under way at once
//! (semantics 1.11, AsyncFunction).
//!
//! Such an operator has no state and no timers: what it holds is the rows whose results are not out
//! yet, which the engine keeps, saves and calls again with. So a call may be made more than once
//! for a row, as far as the outside can see, while what comes of it counts once.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use weir_model::{Batch, EventTime, Lineage, ProcessingTime};

use crate::{Emitted, Failure, Metric, TaskInfo};

/// In which order results leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// In that of the rows they come from.
    #[default]
    Ordered,
    /// As they come, but never across a watermark.
    Unordered,
}

/// Whether and when a call that failed is made again.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Retry {
    /// It is not.
    #[default]
    Never,
    /// So many times, each so many milliseconds after it failed.
    Fixed {
        /// How many times, the first call apart.
        attempts: u32,
        /// After how long.
        delay_ms: u64,
    },
    /// So many times, each time after a longer delay.
    Exponential {
        /// How many times, the first call apart.
        attempts: u32,
        /// The first delay.
        initial_ms: u64,
        /// The longest delay.
        max_ms: u64,
        /// How much longer each delay is than the one before; at least 1.
        multiplier: f64,
    },
}

impl Retry {
    /// How long after the `failed`-th call of a row that failed, counted from 1, the next one is
    /// made; `None` where none is.
    #[must_use]
    pub fn delay_ms(self, failed: u32) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::Fixed { attempts, delay_ms } => (failed <= attempts).then_some(delay_ms),
            Self::Exponential {
                attempts,
                initial_ms,
                max_ms,
                multiplier,
            } => {
                if failed > attempts {
                    return None;
                }
                let power = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
                let delay = initial_ms as f64 * multiplier.max(1.0).powi(power);
                // What is too large for an integer, or no number, is longer than the longest.
                Some(if delay < max_ms as f64 {
                    delay as u64
                } else {
                    max_ms
                })
            }
        }
    }
}

/// How the calls of an operator are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AsyncOptions {
    /// In which order results leave.
    pub order: Order,
    /// How many rows may have been begun and not left at once, in each subtask; at least 1.
    pub capacity: usize,
    /// How long a row may take, from its first call on and with all that are made again.
    pub timeout: Duration,
    /// Whether a call that failed is made again.
    pub retry: Retry,
}

impl AsyncOptions {
    /// Flink's default of what may be under way at once.
    pub const CAPACITY: usize = 100;
    /// Flink has no default here; this is long for a lookup and short for who waits.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
}

impl Default for AsyncOptions {
    fn default() -> Self {
        Self {
            order: Order::default(),
            capacity: Self::CAPACITY,
            timeout: Self::TIMEOUT,
            retry: Retry::default(),
        }
    }
}

/// A row of a batch that is shared with it.
#[derive(Clone, Debug)]
pub struct BatchRow {
    batch: Arc<Batch>,
    at: usize,
}

impl BatchRow {
    /// All rows of a batch.
    pub fn all(batch: &Arc<Batch>) -> impl Iterator<Item = Self> + use<> {
        let batch = Arc::clone(batch);
        (0..batch.len()).map(move |at| Self {
            batch: Arc::clone(&batch),
            at,
        })
    }

    /// The row itself.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        self.batch.values.get(self.at)
    }

    /// Its event time in milliseconds, where the stream has one.
    #[must_use]
    pub fn timestamp(&self) -> Option<i64> {
        self.batch.timestamps.get(self.at).copied()
    }

    /// Its key with the hash of that, on a keyed input.
    #[must_use]
    pub fn key(&self) -> Option<(&[u8], u64)> {
        let keyed = self.batch.keyed.as_ref()?;
        let key = *keyed.key_of_row.get(self.at)? as usize;
        Some((keyed.keys.get(key), *keyed.hashes.get(key)?))
    }

    /// Where it came from: what its batch says, or the key that it was dealt out by (D10).
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        match self.key() {
            Some((_, hash)) => Lineage::Key(hash),
            None => self.batch.lineage.get(self.at).copied().unwrap_or_default(),
        }
    }

    /// The batch that it is of, and its place there.
    #[must_use]
    pub fn place(&self) -> (&Batch, usize) {
        (&self.batch, self.at)
    }
}

/// What a call is about.
#[derive(Clone, Debug)]
pub struct AsyncCall {
    /// The row.
    pub row: BatchRow,
    /// The watermark of the task when the call is made.
    pub watermark: EventTime,
    /// The time by the clock when the call is made.
    pub now: ProcessingTime,
}

/// What a call gave.
#[derive(Clone, Debug, Default)]
pub struct Called {
    /// The rows that it emitted, as if the call had had one row: each inherits from that.
    pub emitted: Vec<Emitted>,
    /// What it reported; counts when the rows leave.
    pub metrics: Vec<(String, Metric)>,
}

/// Why a call gave nothing.
#[derive(Clone, Debug)]
pub enum NotCalled {
    /// The operator does not take the row: it is not asked again.
    Refused(String),
    /// It may be that another call gets what this one did not.
    Failed(String),
    /// The row has cost the instance that was called; another one is made for the next.
    Lost(Failure),
    /// Something is wrong that is not about this row; the task fails.
    Broken(Failure),
}

/// A call under way. It does its work only while it is polled; dropped, it is given up.
pub type Calling = Pin<Box<dyn Future<Output = Result<Called, NotCalled>> + Send>>;

/// Calls that could be begun now.
#[derive(Clone, Copy, Debug)]
pub struct AsyncReady {
    /// How many there are; none where it is only to get on with what it has begun.
    pub wanted: usize,
    /// The watermark of the task.
    pub watermark: EventTime,
    /// The time by the clock.
    pub now: ProcessingTime,
}

/// One parallel instance of an operator whose calls wait. They overlap.
pub trait AsyncOperator: Send {
    /// Whether a call can be begun. What it needs before is made meanwhile, and takes nothing of
    /// the time that a row has. Asked before each call, and whenever the waker was woken.
    ///
    /// # Errors
    /// [`Failure`] where no call can ever be begun.
    fn poll_ready(
        &mut self,
        ready: AsyncReady,
        cx: &mut task::Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let _ = (ready, cx);
        Poll::Ready(Ok(()))
    }

    /// Begins a call, where that [can be](Self::poll_ready). Must not block, and nothing of it
    /// happens before the first poll.
    fn call(&mut self, call: AsyncCall) -> Calling;
}

/// Makes the parallel instances of an operator whose calls wait.
pub trait AsyncOperatorFactory: Send + Sync {
    /// How its calls are made.
    fn options(&self) -> AsyncOptions;

    /// Makes one instance. `config` is that of the operator in the job file, as JSON.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be made.
    fn create(&self, task: &TaskInfo, config: &Arc<str>)
    -> Result<Box<dyn AsyncOperator>, Failure>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_those_of_flink() {
        let of = |retry: Retry| [1, 2, 3, 4].map(|failed| retry.delay_ms(failed));
        assert_eq!(of(Retry::Never), [None; 4]);
        let fixed = Retry::Fixed {
            attempts: 2,
            delay_ms: 5,
        };
        assert_eq!(of(fixed), [Some(5), Some(5), None, None]);
        let exponential = |attempts, multiplier| Retry::Exponential {
            attempts,
            initial_ms: 10,
            max_ms: 35,
            multiplier,
        };
        assert_eq!(
            of(exponential(3, 2.0)),
            [Some(10), Some(20), Some(35), None]
        );
        assert_eq!(of(exponential(9, 0.1)), [Some(10); 4]);
        let late = exponential(u32::MAX, 2.0).delay_ms(u32::MAX);
        assert_eq!(late, Some(35));
    }
}
