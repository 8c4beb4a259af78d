//! What the sinks of a run have seen, and the moments between which it counts.

use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::clock::{Moment, Passed};

/// Shared by the source and the sinks of one run.
#[derive(Debug)]
pub(crate) struct Meter {
    warm_up: u64,
    length: Duration,
    rows: AtomicU64,
    sum: AtomicU64,
    /// When the warm-up was over, and how many rows had been seen by then.
    begun: OnceLock<(Instant, Moment, u64)>,
    /// When rows were last seen, and how many by then.
    last: Mutex<Option<(Moment, u64)>>,
}

impl Meter {
    /// Measures for so long, once so many rows have been seen.
    pub(crate) fn new(warm_up: u64, length: Duration) -> Self {
        Self {
            warm_up,
            length,
            rows: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            begun: OnceLock::new(),
            last: Mutex::new(None),
        }
    }

    /// A sink has seen so many more rows, whose checks sum up to this. Once a batch.
    pub(crate) fn seen(&self, rows: u64, sum: u64) {
        self.sum.fetch_add(sum, Ordering::Relaxed);
        let all = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        if all < self.warm_up {
            return;
        }
        self.begun
            .get_or_init(|| (Instant::now(), Moment::now(), all));
        if self.is_over() {
            // The source gives no more: one of these few moments is the last.
            self.note(all);
        }
    }

    /// A reader of the source has given its last row; sinks may have seen them all already.
    pub(crate) fn ended(&self) {
        self.note(self.rows.load(Ordering::Relaxed));
    }

    fn note(&self, all: u64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|(_, known)| known < all) {
            *last = Some((Moment::now(), all));
        }
    }

    /// Whether the source has given enough.
    pub(crate) fn is_over(&self) -> bool {
        (self.begun.get()).is_some_and(|(at, ..)| at.elapsed() >= self.length)
    }

    /// All rows seen, and the sum of their checks.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let rows = self.rows.load(Ordering::Relaxed);
        (rows, self.sum.load(Ordering::Relaxed))
    }

    /// What passed between the first moment and the last, and how many rows were seen meanwhile.
    pub(crate) fn measured(&self) -> Option<(Passed, u64)> {
        let (_, begun, before) = *self.begun.get()?;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, all) = (*last)?;
        Some((ended.since(begun), all - before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_warm_up_do_not_count() {
        let meter = Meter::new(10, Duration::ZERO);
        meter.seen(6, 1);
        assert!(!meter.is_over() && meter.measured().is_none());
        meter.seen(6, 2);
        assert!(meter.is_over());
        meter.seen(5, 4);
        meter.ended();
        let (_, rows) = meter.measured().unwrap();
        assert_eq!((rows, meter.totals()), (5, (17, 7)));
    }
}
