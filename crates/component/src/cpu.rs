//! How long a call that may wait has really run. Waiting costs a guest nothing of its time, but one
//! that computes for ever ends, and meanwhile lets others on its thread.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// The time of one call. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    limit: Duration,
    spent: Arc<Mutex<Spent>>,
}

#[derive(Debug, Default)]
struct Spent {
    before: Duration,
    /// Since when it runs.
    since: Option<Instant>,
}

impl Cpu {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            spent: Arc::default(),
        }
    }

    /// Whether it has run longer than it may.
    pub(crate) fn is_spent(&self) -> bool {
        let spent = self.lock();
        let now = spent.since.map_or(Duration::ZERO, |since| since.elapsed());
        spent.before + now > self.limit
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A future whose polls count.
pub(crate) struct Counted<F> {
    pub(crate) cpu: Cpu,
    pub(crate) future: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.cpu.lock().since = Some(Instant::now());
        let polled = self.future.as_mut().poll(cx);
        let mut spent = self.cpu.lock();
        let took = spent.since.take().map_or(Duration::ZERO, |s| s.elapsed());
        spent.before += took;
        drop(spent);
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn only_time_in_which_a_call_runs_is_spent() {
        let cpu = Cpu::new(Duration::from_millis(5));
        let mut first = true;
        let busy = std::future::poll_fn(move |_| {
            if !std::mem::take(&mut first) {
                return Poll::Ready(());
            }
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(6) {
                std::hint::spin_loop();
            }
            Poll::Pending
        });
        let mut counted = Counted {
            cpu: cpu.clone(),
            future: Box::pin(busy),
        };
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(6) {
            std::hint::spin_loop();
        }
        assert!(!cpu.is_spent(), "it has not run yet");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut counted).poll(&mut cx).is_pending());
        assert!(cpu.is_spent());
    }
}
