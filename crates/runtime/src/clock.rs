//! Where the time comes from: injected, so that tests run in virtual time.

use std::{
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::{Instant, sleep};
use weir_model::ProcessingTime;

/// A source of processing time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> ProcessingTime;

    /// The last time that is over: what is due then is due. In the millisecond that the clock shows
    /// rows may still come, and those of a window that ends with it belong to it. A clock that is
    /// set may say that all has come which was to come before it was.
    fn passed(&self) -> ProcessingTime {
        ProcessingTime(self.now().0.saturating_sub(1))
    }

    /// Waits until that time has [passed](Self::passed), or about so: who waits looks at the time
    /// again. A clock that does not go with the time of the machine says itself when that is.
    fn reached(&self, at: ProcessingTime) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let left = Duration::from_millis(at.since(self.passed()));
        Box::pin(sleep(left))
    }
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> ProcessingTime {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        ProcessingTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The monotonic time that protocols are driven with: milliseconds since the driver started. A
/// clock of the machine that jumps must not expire a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monotonic {
    start: Instant,
}

impl Monotonic {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> ProcessingTime {
        let ms = self.start.elapsed().as_millis();
        ProcessingTime(i64::try_from(ms).unwrap_or(i64::MAX))
    }

    /// When that time comes on the runtime's own clock.
    pub(crate) fn instant_of(&self, time: ProcessingTime) -> Instant {
        self.start + std::time::Duration::from_millis(u64::try_from(time.0).unwrap_or(0))
    }
}
