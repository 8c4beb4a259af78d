//! A clock that is set.

use std::pin::Pin;

use tokio::sync::watch;
use weir_model::ProcessingTime;
use weir_runtime::Clock;

/// The time is what it was set to last.
#[derive(Debug)]
pub struct VirtualClock(watch::Sender<i64>);

impl VirtualClock {
    /// A clock that stands at this many milliseconds.
    #[must_use]
    pub fn at(now: ProcessingTime) -> Self {
        Self(watch::Sender::new(now.0))
    }

    /// Sets it; whoever waits for a time that has come goes on.
    pub fn set(&self, now: ProcessingTime) {
        self.0.send_replace(now.0);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(*self.0.borrow())
    }

    /// Whoever sets it has given all rows that were to come before.
    fn passed(&self) -> ProcessingTime {
        self.now()
    }

    fn reached(&self, at: ProcessingTime) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let mut now = self.0.subscribe();
            // The sender is `self`, so it is there as long as anybody waits.
            let _ = now.wait_for(|now| *now >= at.0).await;
        })
    }
}
