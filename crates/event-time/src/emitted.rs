//! Watermarks that an operator makes of what it emits, in place of those it gets.
//!
//! INVARIANT: as a source, it says its watermark behind each so many rows (`every_rows`), when
//! nothing more comes for now, and where it gets one (D15), or where the component says so; never a
//! lower one.

use std::num::NonZeroU32;

use weir_model::EventTime;

/// How an operator makes watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmittedStrategy {
    /// They follow from the times of the rows that it emits.
    Bounded {
        /// As [`WatermarkStrategy::max_out_of_orderness_ms`](crate::WatermarkStrategy).
        max_out_of_orderness_ms: u64,
        /// As [`WatermarkStrategy::every_rows`](crate::WatermarkStrategy).
        every_rows: NonZeroU32,
    },
    /// The component says them.
    Component,
}

/// The watermarks of what one subtask of an operator emits.
#[derive(Clone, Debug)]
pub struct EmittedWatermarks {
    strategy: EmittedStrategy,
    highest: Option<i64>,
    /// Rows since it last said something for their number.
    rows: usize,
    out: EventTime,
}

impl EmittedWatermarks {
    /// Before the first row.
    #[must_use]
    pub fn new(strategy: EmittedStrategy) -> Self {
        Self {
            strategy,
            highest: None,
            rows: 0,
            out: EventTime::MIN,
        }
    }

    /// How it makes them.
    #[must_use]
    pub fn strategy(&self) -> EmittedStrategy {
        self.strategy
    }

    /// Rows with these times are emitted: how many of them before something is to be said, and what
    /// is said behind those.
    pub fn rows(&mut self, times: &[i64]) -> (usize, Option<EventTime>) {
        let EmittedStrategy::Bounded { every_rows, .. } = self.strategy else {
            return (times.len(), None);
        };
        let every = every_rows.get() as usize;
        let (some, _) = times.split_at(times.len().min(every - self.rows));
        self.highest = self.highest.max(some.iter().copied().max());
        self.rows += some.len();
        if self.rows < every {
            return (some.len(), None);
        }
        self.rows = 0;
        (some.len(), self.dry())
    }

    /// Nothing more comes for now: what is said then.
    pub fn dry(&mut self) -> Option<EventTime> {
        let EmittedStrategy::Bounded {
            max_out_of_orderness_ms,
            ..
        } = self.strategy
        else {
            return None;
        };
        let bound = i64::try_from(max_out_of_orderness_ms).unwrap_or(i64::MAX);
        let highest = self.highest?;
        self.rise(highest.saturating_sub(bound).saturating_sub(1))
    }

    /// The component says this: what goes on, if it is more than before.
    pub fn said(&mut self, at: i64) -> Option<EventTime> {
        self.rise(at)
    }

    /// What was said last, if anything was.
    #[must_use]
    pub fn said_last(&self) -> Option<EventTime> {
        (self.out > EventTime::MIN).then_some(self.out)
    }

    fn rise(&mut self, to: i64) -> Option<EventTime> {
        // The end of all time is said by the end of the input.
        let to = EventTime(to.min(EventTime::MAX.0 - 1));
        (to > self.out).then(|| {
            self.out = to;
            to
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::WatermarkStrategy;

    #[test]
    fn c21_behind_rows_it_is_the_latest_less_the_bound_and_one() {
        let mut marks = EmittedWatermarks::new(EmittedStrategy::Bounded {
            max_out_of_orderness_ms: 5,
            every_rows: WatermarkStrategy::EVERY_ROWS,
        });
        assert_eq!(marks.dry(), None);
        for (time, said) in [(10, Some(4)), (7, None), (20, Some(14))] {
            assert_eq!(marks.rows(&[time]), (1, None));
            assert_eq!(marks.dry(), said.map(EventTime));
        }
    }

    #[test]
    fn what_a_component_says_only_rises_and_is_never_the_end() {
        let mut marks = EmittedWatermarks::new(EmittedStrategy::Component);
        assert_eq!(marks.rows(&[3, 4]), (2, None));
        assert_eq!(marks.dry(), None);
        assert_eq!(marks.said(4), Some(EventTime(4)));
        assert_eq!(marks.said(3), None);
        assert_eq!(marks.said(i64::MAX), Some(EventTime(i64::MAX - 1)));
    }

    proptest! {
        #[test]
        fn it_is_said_behind_the_same_rows_however_they_are_cut(
            times in prop::collection::vec(0..100_000i64, 0..5000),
            cuts in prop::collection::vec(1..3000usize, 1..8),
            every_rows in 1..6000u32,
        ) {
            let strategy = EmittedStrategy::Bounded {
                max_out_of_orderness_ms: 100,
                every_rows: NonZeroU32::new(every_rows).unwrap(),
            };
            let said = |pieces: &[usize]| {
                let mut marks = EmittedWatermarks::new(strategy);
                let (mut at, mut all, mut n) = (0, Vec::new(), 0);
                while at < times.len() {
                    let end = times.len().min(at + pieces[n % pieces.len()]);
                    n += 1;
                    while at < end {
                        let (taken, mark) = marks.rows(&times[at..end]);
                        prop_assert!(taken > 0);
                        at += taken;
                        all.extend(mark.map(|mark| (at, mark)));
                    }
                }
                Ok(all)
            };
            let whole = said(&[usize::MAX / 2])?;
            prop_assert_eq!(said(&cuts)?, whole.clone());
            for (at, mark) in whole {
                let latest = times[..at].iter().max().unwrap();
                prop_assert_eq!(mark.0, latest - 101);
                prop_assert_eq!(at % every_rows as usize, 0);
            }
        }
    }
}
