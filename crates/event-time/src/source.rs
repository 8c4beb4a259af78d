//! The watermarks of one reader: one of each of its splits, and the least of them (semantics 1.9,
//! case C21).
//!
//! INVARIANT: a split says its watermark behind each so many of its rows ([`every_rows`]), when
//! it has run dry and at its end, and at no other time (D15): what is late does not depend on how
//! fast anybody was. So no read may go on past such a row: [`SourceWatermarks::room`].
//!
//! [`every_rows`]: WatermarkStrategy::every_rows

use weir_model::{EventTime, ProcessingTime};

use crate::WatermarkStrategy;

/// What goes downstream behind the rows of a read, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The watermark has risen.
    pub watermark: Option<EventTime>,
    /// All splits have turned idle.
    pub idle: bool,
}

/// The watermarks of one reader of a source.
#[derive(Clone, Debug)]
pub struct SourceWatermarks {
    strategy: WatermarkStrategy,
    splits: Vec<SplitTime>,
    out: EventTime,
    is_idle: bool,
    /// Whether those downstream were told so, and not yet of rows since.
    is_told_idle: bool,
    /// Milliseconds in which rows could have come: without those in which nobody downstream would
    /// have taken any.
    waited_ms: u64,
    /// When `waited_ms` was reckoned.
    reckoned: Option<ProcessingTime>,
}

#[derive(Clone, Debug)]
struct SplitTime {
    id: String,
    /// The latest time of its rows.
    highest: Option<i64>,
    /// What it has said.
    watermark: EventTime,
    /// Rows since it last said something for their number.
    rows: usize,
    /// Of `waited_ms`, when its last row came, or when it was let go on.
    since_ms: u64,
    is_idle: bool,
    /// Nothing is read of it now, for it is ahead of others.
    is_paused: bool,
}

impl SourceWatermarks {
    /// A reader without splits.
    #[must_use]
    pub fn new(strategy: WatermarkStrategy) -> Self {
        Self {
            strategy,
            splits: Vec::new(),
            out: EventTime::MIN,
            is_idle: false,
            is_told_idle: false,
            waited_ms: 0,
            reckoned: None,
        }
    }

    /// The reader has another split, which holds the watermark until it has said something.
    pub fn add_split(&mut self, id: &str) {
        self.splits.push(SplitTime {
            id: id.to_owned(),
            highest: None,
            watermark: EventTime::MIN,
            rows: 0,
            since_ms: self.waited_ms,
            is_idle: false,
            is_paused: false,
        });
    }

    /// Says of each split, given its watermark, whether it is paused from now on. While it is, it
    /// does not turn idle, however long that takes: nothing could have come (FLIP-471).
    pub fn pause(&mut self, mut is_paused: impl FnMut(&str, EventTime) -> bool) {
        for split in &mut self.splits {
            let was_paused = split.is_paused;
            split.is_paused = is_paused(&split.id, split.watermark);
            if was_paused {
                split.since_ms = self.waited_ms;
            }
        }
    }

    /// How many rows may be read until a split is to say its watermark.
    #[must_use]
    pub fn room(&self) -> usize {
        let rows = self.splits.iter().map(|split| split.rows).max();
        let every = self.every_rows();
        every - rows.unwrap_or(0).min(every - 1)
    }

    /// How many rows of a split come from one watermark to the next.
    #[must_use]
    pub fn every_rows(&self) -> usize {
        self.strategy.every_rows.get() as usize
    }

    /// The time is `now`. Where nobody `could_read` since it was last told, that time is not held
    /// against splits from which nothing came.
    pub fn reckon(&mut self, now: ProcessingTime, could_read: bool) {
        let before = self.reckoned.replace(now);
        if let Some(before) = before.filter(|_| could_read) {
            self.waited_ms = self.waited_ms.saturating_add(now.since(before));
        }
    }

    /// Rows of a split with these times came; gives back whether those downstream take the reader
    /// to be idle, who are told that it is not before the rows.
    pub fn rows(&mut self, split: &str, times: &[i64]) -> bool {
        let waited_ms = self.waited_ms;
        let Some(split) = self.splits.iter_mut().find(|known| known.id == split) else {
            return false;
        };
        let Some(&latest) = times.iter().max() else {
            return false;
        };
        split.highest = Some(split.highest.map_or(latest, |before| before.max(latest)));
        split.rows += times.len();
        split.since_ms = waited_ms;
        split.is_idle = false;
        self.is_idle = false;
        std::mem::take(&mut self.is_told_idle)
    }

    /// A split has ended. What it says last counts, and then it holds nothing back any more.
    pub fn end_split(&mut self, id: &str) -> Passed {
        let strategy = &self.strategy;
        if let Some(split) = self.splits.iter_mut().find(|split| split.id == id) {
            split.say(strategy);
        }
        let mut passed = self.pass();
        self.splits.retain(|split| split.id != id);
        let without = self.pass();
        passed.watermark = without.watermark.or(passed.watermark);
        passed.idle |= without.idle;
        passed
    }

    /// A split has no more now, behind the rows of it that came; others may have.
    pub fn dry(&mut self, id: &str) {
        if let Some(split) = self.splits.iter_mut().find(|split| split.id == id) {
            split.say(&self.strategy);
        }
    }

    /// A read has ended; `is_dry` = no split that is not paused has more now.
    pub fn read(&mut self, is_dry: bool) -> Passed {
        let every = self.every_rows();
        for split in &mut self.splits {
            if is_dry && !split.is_paused || split.rows >= every {
                split.say(&self.strategy);
            }
            if split.rows >= every {
                split.rows = 0;
            }
            let silent_ms = self.waited_ms - split.since_ms;
            split.is_idle |=
                !split.is_paused && self.strategy.idle_after_ms.is_some_and(|ms| silent_ms > ms);
        }
        self.pass()
    }

    /// In how many milliseconds a split turns idle if nothing comes.
    #[must_use]
    pub fn idle_in_ms(&self) -> Option<u64> {
        let after_ms = self.strategy.idle_after_ms?;
        let may_turn = |split: &&SplitTime| !split.is_idle && !split.is_paused;
        let active = self.splits.iter().filter(may_turn);
        let left = active.map(|split| {
            let at_ms = split.since_ms.saturating_add(after_ms).saturating_add(1);
            at_ms.saturating_sub(self.waited_ms)
        });
        left.min()
    }

    /// The watermark of the reader.
    #[must_use]
    pub fn watermark(&self) -> EventTime {
        self.out
    }

    /// Whether nobody waits for the reader.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    fn pass(&mut self) -> Passed {
        let active = self.splits.iter().filter(|split| !split.is_idle);
        let least = active.map(|split| split.watermark).min();
        let watermark = least.filter(|&least| least > self.out);
        self.out = watermark.unwrap_or(self.out);
        let was_idle = self.is_idle;
        // Without any split there is nobody who might say something, and no reason to wait less.
        self.is_idle = least.is_none() && (was_idle || !self.splits.is_empty());
        // A split that is new may say nothing and end, or turn idle in its turn: they know.
        let idle = self.is_idle && !self.is_told_idle;
        self.is_told_idle |= idle;
        Passed { watermark, idle }
    }
}

impl SplitTime {
    fn say(&mut self, strategy: &WatermarkStrategy) {
        if let Some(highest) = self.highest {
            self.watermark = self.watermark.max(strategy.watermark(highest));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    const EVERY: usize = 5000;

    fn strategy(bound: u64, idle_after_ms: Option<u64>) -> WatermarkStrategy {
        WatermarkStrategy {
            max_out_of_orderness_ms: bound,
            idle_after_ms,
            alignment: None,
            every_rows: NonZeroU32::new(EVERY as u32).unwrap(),
        }
    }

    fn source(bound: u64, idle_after_ms: Option<u64>, splits: &[&str]) -> SourceWatermarks {
        let mut source = SourceWatermarks::new(strategy(bound, idle_after_ms));
        source.reckon(ProcessingTime(0), true);
        for split in splits {
            source.add_split(split);
        }
        source
    }

    fn risen(to: i64) -> Passed {
        Passed {
            watermark: Some(EventTime(to)),
            idle: false,
        }
    }

    #[test]
    fn a_split_that_is_paused_is_neither_idle_nor_dry() {
        let mut source = source(0, Some(10), &["a", "b"]);
        source.rows("a", &[100]);
        source.rows("b", &[0]);
        assert_eq!(source.read(true), risen(-1));
        source.pause(|id, _| id == "a");
        for now in [6, 12, 18] {
            source.reckon(ProcessingTime(now), true);
            source.rows("b", &[1]);
            source.read(false);
        }
        assert_eq!(source.idle_in_ms(), Some(11), "of b alone");
        source.rows("a", &[150]);
        source.rows("b", &[1000]);
        assert_eq!(source.read(true), risen(99), "nobody knows what else a has");
        // Its time begins anew when it is let go on.
        source.reckon(ProcessingTime(20), true);
        source.pause(|_, _| false);
        source.reckon(ProcessingTime(29), true);
        assert_eq!(source.read(true), risen(149));
        source.rows("b", &[1001]);
        source.reckon(ProcessingTime(31), true);
        assert_eq!(source.read(true), risen(1000));
    }

    #[test]
    fn rows_end_idleness_whatever_splits_have_come_and_gone_meanwhile() {
        let mut source = source(0, Some(10), &["a"]);
        source.reckon(ProcessingTime(11), true);
        assert!(source.read(true).idle);
        source.end_split("a");
        // One that is empty, and one whose first read gives nothing.
        source.add_split("b");
        assert_eq!(source.end_split("b"), Passed::default());
        source.add_split("c");
        assert_eq!(source.read(false), Passed::default());
        source.reckon(ProcessingTime(30), true);
        assert!(!source.read(true).idle, "they were told");
        assert!(source.rows("c", &[5]));
        assert!(!source.rows("c", &[6]));
        assert_eq!(source.read(true), risen(5));
    }

    #[test]
    fn c21_bounded_out_of_orderness() {
        let mut source = source(5, None, &["a"]);
        assert_eq!(source.read(true), Passed::default());
        assert_eq!(source.watermark(), EventTime::MIN);
        for (time, out) in [(10, 4), (7, 4), (20, 14)] {
            source.rows("a", &[time]);
            source.read(true);
            assert_eq!(source.watermark(), EventTime(out), "behind {time}");
        }
    }

    #[test]
    fn c21_idleness() {
        let mut source = source(0, Some(10), &["a"]);
        assert!(!source.read(true).idle, "active at the start");
        source.reckon(ProcessingTime(10), true);
        assert_eq!(source.idle_in_ms(), Some(1));
        assert!(!source.read(true).idle, "10 are not more than 10");
        source.reckon(ProcessingTime(11), true);
        assert!(source.read(true).idle);
        assert_eq!(source.idle_in_ms(), None);
        source.reckon(ProcessingTime(50), true);
        assert!(!source.read(true).idle, "said once");
        assert!(source.rows("a", &[3]), "active at once");
        assert!(!source.is_idle());
        assert_eq!(source.read(true), risen(2));
    }

    #[test]
    fn time_in_which_nobody_would_have_taken_a_row_makes_nothing_idle() {
        let mut source = source(0, Some(10), &["a"]);
        source.reckon(ProcessingTime(1_000), false);
        assert!(!source.read(true).idle);
        source.reckon(ProcessingTime(1_010), true);
        assert!(!source.read(true).idle);
        source.reckon(ProcessingTime(1_011), true);
        assert!(source.read(true).idle);
    }

    #[test]
    fn a_split_speaks_behind_so_many_rows_or_when_it_has_no_more() {
        let mut source = source(0, None, &["a"]);
        source.rows("a", &[7; EVERY - 1]);
        assert_eq!(source.room(), 1);
        assert_eq!(source.read(false), Passed::default());
        source.rows("a", &[9]);
        assert_eq!(source.read(false), risen(8));
        assert_eq!(source.room(), EVERY);
        source.rows("a", &[12]);
        assert_eq!(source.read(true), risen(11));
        assert_eq!(
            source.room(),
            EVERY - 1,
            "what was said for another reason moves no mark"
        );
    }

    #[test]
    fn a_split_that_is_dry_holds_nobody_back_while_another_has_more() {
        let mut source = source(0, None, &["a", "b"]);
        source.rows("a", &[20; EVERY]);
        source.rows("b", &[10]);
        assert_eq!(source.read(false), Passed::default(), "b may have more");
        source.dry("b");
        assert_eq!(source.read(false), risen(9));
        source.dry("c");
        assert_eq!(source.read(false), Passed::default());
    }

    #[test]
    fn the_least_of_all_splits_counts_and_one_that_has_ended_does_not() {
        let mut source = source(0, None, &["a", "b"]);
        source.rows("a", &[10]);
        assert_eq!(source.read(true), Passed::default(), "b has said nothing");
        source.rows("b", &[5]);
        assert_eq!(source.read(true), risen(4));
        assert_eq!(source.end_split("b"), risen(9));
        source.add_split("c");
        source.rows("c", &[3]);
        source.rows("a", &[20]);
        assert_eq!(source.read(true), Passed::default(), "c holds it");
        source.rows("c", &[30]);
        assert_eq!(source.end_split("c"), risen(19));
        source.rows("a", &[40]);
        assert_eq!(source.end_split("a"), risen(39), "its last word");
        assert!(!source.is_idle());
    }

    #[test]
    fn an_idle_split_is_not_waited_for_and_all_idle_ones_make_the_reader_idle() {
        let mut source = source(0, Some(10), &["a", "b"]);
        source.rows("a", &[10]);
        source.reckon(ProcessingTime(8), true);
        source.rows("b", &[5]);
        assert_eq!(source.read(true), risen(4));
        source.reckon(ProcessingTime(11), true);
        assert_eq!(source.read(true), Passed::default(), "a is idle, b is at 4");
        source.rows("b", &[30]);
        assert_eq!(source.read(true), risen(29));
        assert!(!source.rows("a", &[12]), "the reader was not idle");
        assert_eq!(source.read(true), Passed::default(), "it never goes back");
        source.reckon(ProcessingTime(30), true);
        assert!(source.read(true).idle);
        assert!(source.rows("a", &[13]));
    }

    proptest! {
        /// However the rows of a split are read, its watermarks come behind the same rows.
        #[test]
        fn what_is_said_does_not_depend_on_the_pace(
            times in proptest::collection::vec(-50_i64..50, 0..5000),
            most in proptest::collection::vec(1_usize..3000, 1..20),
        ) {
            let said = |most: &[usize]| {
                let mut source = source(3, None, &["a"]);
                let (mut at, mut said) = (0, Vec::new());
                for &most in most.iter().cycle() {
                    if at == times.len() {
                        break;
                    }
                    let to = times.len().min(at + most.min(source.room()));
                    source.rows("a", &times[at..to]);
                    at = to;
                    said.extend(source.read(false).watermark.map(|watermark| (at, watermark)));
                }
                said.extend(source.end_split("a").watermark.map(|watermark| (at, watermark)));
                said
            };
            let whole = said(&[usize::MAX]);
            prop_assert_eq!(said(&most), whole);
        }

        /// No row is late that is within the bound of all before it.
        #[test]
        fn a_row_within_the_bound_is_not_late(
            steps in proptest::collection::vec((0_i64..20, 0_i64..8), 1..3000),
        ) {
            let mut source = source(7, None, &["a"]);
            let mut highest = 0;
            for (forward, back) in steps {
                highest += forward;
                let time = highest - back.min(7);
                prop_assert!(EventTime(time) > source.watermark());
                source.rows("a", &[time]);
                source.read(time % 3 == 0);
            }
        }
    }
}
