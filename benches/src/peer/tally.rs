//! What the two ends of a run have seen, and the moments between which it counts.
//!
//! Time counts from when so many rows are behind until the end of the input has reached the sinks.
//! The last checkpoint of the job and its end are not in it.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use super::check::Sum;
use crate::clock::{Moment, Passed};

/// When the warm-up is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// When the sources have made so many rows: for results that have fewer rows, or other ones.
    Made(u64),
    /// When the sinks have seen so many: for results that have a row for each row.
    Seen(u64),
}

/// Shared by the sources and the sinks of one run.
#[derive(Debug)]
pub struct Tally {
    begin: Begin,
    made: AtomicU64,
    seen: AtomicU64,
    sum: AtomicU64,
    aside: AtomicU64,
    /// How many rows must have been put aside before sources make any.
    gate: u64,
    /// Parts of the source that have not ended.
    open: AtomicU32,
    /// When the warm-up was over, and how many rows were behind by then.
    begun: OnceLock<(Moment, u64)>,
    /// When something last reached a sink after the sources had ended.
    ended: Mutex<Option<Moment>>,
}

impl Tally {
    /// Of a run whose source has so many parts.
    #[must_use]
    pub fn new(begin: Begin, parts: u32) -> Self {
        Self {
            begin,
            made: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            aside: AtomicU64::new(0),
            gate: 0,
            open: AtomicU32::new(parts),
            begun: OnceLock::new(),
            ended: Mutex::new(None),
        }
    }

    /// The source waits until so many rows have been put aside.
    #[must_use]
    pub fn behind(self, gate: u64) -> Self {
        Self { gate, ..self }
    }

    /// A source has made so many more rows. Once a batch.
    pub fn made(&self, rows: u64) {
        let all = self.made.fetch_add(rows, Ordering::Relaxed) + rows;
        if let Begin::Made(warm) = self.begin {
            self.begin_at(all, warm);
        }
    }

    /// A sink has seen so many more rows, which add this to the sum. Once a batch.
    pub fn seen(&self, rows: u64, sum: u64) {
        self.sum.fetch_add(sum, Ordering::Relaxed);
        let all = self.seen.fetch_add(rows, Ordering::Relaxed) + rows;
        if let Begin::Seen(warm) = self.begin {
            self.begin_at(all, warm);
        }
    }

    /// A sink has seen rows that are no part of the result.
    pub fn put_aside(&self, rows: u64) {
        self.aside.fetch_add(rows, Ordering::Release);
    }

    /// Whether the source may make rows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.aside.load(Ordering::Acquire) >= self.gate
    }

    /// A part of the source has made its last row.
    pub fn part_ended(&self) {
        self.open.fetch_sub(1, Ordering::Release);
        self.reached();
    }

    /// Something has reached a sink, or may have. Costs something only when the sources have ended.
    pub fn reached(&self) {
        if self.open.load(Ordering::Acquire) == 0 {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            *ended = Some(Moment::now());
        }
    }

    /// How many rows sources have made.
    #[must_use]
    pub fn rows_made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// What the sinks have seen.
    #[must_use]
    pub fn totals(&self) -> Sum {
        Sum {
            rows: self.seen.load(Ordering::Relaxed),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }

    /// What passed between the first moment and the last, and how many rows were behind at the
    /// first. `None` where the warm-up was never over, or the input has not ended.
    #[must_use]
    pub fn measured(&self) -> Option<(Passed, u64)> {
        let (begun, before) = *self.begun.get()?;
        let ended = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        Some((ended?.since(begun), before))
    }

    fn begin_at(&self, all: u64, warm: u64) {
        if all >= warm {
            self.begun.get_or_init(|| (Moment::now(), all));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_warm_up_do_not_count() {
        for begin in [Begin::Made(10), Begin::Seen(10)] {
            let tally = Tally::new(begin, 2);
            tally.made(6);
            tally.seen(6, u64::MAX);
            tally.part_ended();
            assert!(tally.measured().is_none());
            tally.made(6);
            tally.seen(6, 2);
            tally.made(5);
            tally.seen(5, 4);
            assert!(tally.measured().is_none(), "a part is open");
            tally.part_ended();
            let (_, before) = tally.measured().unwrap();
            assert_eq!((before, tally.rows_made()), (12, 17));
            assert_eq!(tally.totals(), Sum { rows: 17, sum: 5 });
        }
    }

    #[test]
    fn a_gate_opens_when_enough_was_put_aside() {
        let tally = Tally::new(Begin::Made(0), 1).behind(3);
        tally.put_aside(2);
        assert!(!tally.is_open());
        tally.put_aside(1);
        assert!(tally.is_open());
        assert_eq!(tally.totals(), Sum::default());
        assert!(Tally::new(Begin::Made(0), 1).is_open());
    }
}
