//! Rows of two inputs whose times are not far from each other (case C27).

use weir_model::EventTime;

use super::{Side, is_late};

/// A left row and a right one belong together if `left + lower <= right <= left + upper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// How far behind the left row the right one is at least, in milliseconds; negative = before.
    pub lower: i64,
    /// How far behind it at most, in milliseconds.
    pub upper: i64,
}

/// Why there is no such interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("from {lower} ms to {upper} ms behind a left row there is no time")]
pub struct BadInterval {
    /// The lower bound.
    pub lower: i64,
    /// The upper bound.
    pub upper: i64,
}

impl Interval {
    /// The interval between two bounds.
    ///
    /// # Errors
    /// [`BadInterval`] where nothing is between them.
    pub fn new(lower: i64, upper: i64) -> Result<Self, BadInterval> {
        match lower <= upper {
            true => Ok(Self { lower, upper }),
            false => Err(BadInterval { lower, upper }),
        }
    }

    /// The first and the last time at which rows of the other input belong to a row of this one.
    /// `None` = all such times are before or behind what event time can be.
    #[must_use]
    pub fn range(&self, side: Side, time: i64) -> Option<(i64, i64)> {
        let (from, to) = self.bounds(side, time);
        let is_time = from <= i128::from(i64::MAX) && to >= i128::from(i64::MIN);
        is_time.then(|| (nearest(from), nearest(to)))
    }

    /// The bounds of that, which may be no event time.
    fn bounds(&self, side: Side, time: i64) -> (i128, i128) {
        let [time, lower, upper] = [time, self.lower, self.upper].map(i128::from);
        match side {
            Side::Left => (time + lower, time + upper),
            Side::Right => (time - upper, time - lower),
        }
    }

    /// The watermark at which a row goes: it is none that rows to come are in time for. Never
    /// before the watermark passes the row itself, as in Flink: who comes at the watermark finds
    /// the same there.
    #[must_use]
    pub fn goes_at(&self, side: Side, time: i64) -> EventTime {
        let (_, last) = self.bounds(side, time);
        EventTime(nearest(last).max(time))
    }
}

/// The event time that is nearest to a number.
fn nearest(number: i128) -> i64 {
    number.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// The join of the rows of one key, one row at a time.
#[derive(Clone, Debug)]
pub struct IntervalReference {
    interval: Interval,
    watermark: EventTime,
    rows: [Vec<(i64, u64)>; 2],
    late: Vec<u64>,
}

impl IntervalReference {
    /// No row has come.
    #[must_use]
    pub fn new(interval: Interval) -> Self {
        Self {
            interval,
            watermark: EventTime::MIN,
            rows: [Vec::new(), Vec::new()],
            late: Vec::new(),
        }
    }

    /// A row with this time comes. Gives back the pairs `(left, right, time)` that it makes, in
    /// order of the time of the other row and then of its coming.
    pub fn row(&mut self, side: Side, time: i64, row: u64) -> Vec<(u64, u64, i64)> {
        if is_late(time, self.watermark) {
            self.late.push(row);
            return Vec::new();
        }
        let [left, right] = &mut self.rows;
        let (own, other) = match side {
            Side::Left => (left, right),
            Side::Right => (right, left),
        };
        own.push((time, row));
        let belongs = |other: i64| {
            let (left, right) = match side {
                Side::Left => (time, other),
                Side::Right => (other, time),
            };
            let behind = i128::from(right) - i128::from(left);
            behind >= i128::from(self.interval.lower) && behind <= i128::from(self.interval.upper)
        };
        let mut found: Vec<(i64, u64)> = other
            .iter()
            .copied()
            .filter(|(time, _)| belongs(*time))
            .collect();
        found.sort_by_key(|(time, _)| *time);
        let pair = |(other_time, other): (i64, u64)| match side {
            Side::Left => (row, other, time.max(other_time)),
            Side::Right => (other, row, time.max(other_time)),
        };
        found.into_iter().map(pair).collect()
    }

    /// The watermark rises.
    pub fn watermark(&mut self, watermark: EventTime) {
        if watermark <= self.watermark {
            return;
        }
        self.watermark = watermark;
        for (side, rows) in [Side::Left, Side::Right].into_iter().zip(&mut self.rows) {
            rows.retain(|(time, _)| self.interval.goes_at(side, *time) > watermark);
        }
    }

    /// The rows that came too late.
    #[must_use]
    pub fn late(&self) -> &[u64] {
        &self.late
    }

    /// How many rows are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The pairs of times that C27's rows make.
    fn c27(lower: i64, upper: i64) -> Vec<(u64, u64, i64)> {
        let mut join = IntervalReference::new(Interval::new(lower, upper).unwrap());
        let mut pairs = Vec::new();
        for time in [5, 10] {
            pairs.extend(join.row(Side::Left, time, time as u64));
        }
        for time in [3, 6, 7, 8, 11, 12] {
            pairs.extend(join.row(Side::Right, time, time as u64));
        }
        pairs
    }

    #[test]
    fn c27_bounds_are_inclusive_and_the_later_time_counts() {
        let all = [(5, 3, 5), (5, 6, 6), (10, 8, 10), (10, 11, 11)];
        assert_eq!(c27(-2, 1), all);
        assert_eq!(c27(-1, 1), [(5, 6, 6), (10, 11, 11)], "without the lower");
        assert_eq!(c27(-2, 0), [(5, 3, 5), (10, 8, 10)], "without the upper");
    }

    #[test]
    fn an_interval_without_time_is_refused() {
        let error = Interval::new(1, 0).unwrap_err().to_string();
        assert!(error.contains("from 1 ms to 0 ms"), "{error}");
    }

    #[test]
    fn rows_before_the_watermark_are_late_and_one_at_it_is_not() {
        let mut join = IntervalReference::new(Interval::new(0, 0).unwrap());
        join.watermark(EventTime(5));
        assert!(join.row(Side::Left, 4, 1).is_empty());
        assert!(join.row(Side::Left, 5, 2).is_empty());
        assert_eq!(join.row(Side::Right, 5, 3), [(2, 3, 5)]);
        assert_eq!(join.late(), [1]);
        join.watermark(EventTime(6));
        assert_eq!(join.kept(), 0);
    }

    proptest! {
        /// Whatever comes behind a watermark that took a row away is late or too far from it.
        #[test]
        fn what_goes_belongs_to_nothing_that_is_still_in_time(
            lower in -20_i64..20, length in 0_i64..20, time in -100_i64..100, more in 1_i64..50,
        ) {
            let interval = Interval::new(lower, lower + length).unwrap();
            for side in [Side::Left, Side::Right] {
                let EventTime(gone) = interval.goes_at(side, time);
                let (first, last) = interval.range(side, time).unwrap();
                prop_assert!(first <= last && last <= gone && time <= gone);
                let next = gone + more;
                prop_assert!(next > last, "it is behind the range");
                // The bounds are the same seen from the other side.
                for other in [first, last] {
                    let (from, to) = interval.range(side.other(), other).unwrap();
                    prop_assert!(from <= time && time <= to);
                }
            }
        }

        /// Where event time ends, no row belongs to another one because there is no later time.
        #[test]
        fn a_range_holds_what_belongs_together_at_the_ends_of_time_too(
            bounds in [near_an_end(), near_an_end()], time in near_an_end(), other in near_an_end(),
        ) {
            let [a, b] = bounds;
            let interval = Interval::new(a.min(b), a.max(b)).unwrap();
            for side in [Side::Left, Side::Right] {
                let range = interval.range(side, time);
                let is_in = range.is_some_and(|(from, to)| from <= other && other <= to);
                let mut join = IntervalReference::new(interval);
                join.row(side.other(), other, 1);
                let belongs = !join.row(side, time, 2).is_empty();
                prop_assert_eq!(is_in, belongs, "{:?} {:?}", side, range);
                // As long as the other one can be in time, the row is kept.
                let EventTime(gone) = interval.goes_at(side, time);
                prop_assert!(time <= gone && (!belongs || other <= gone));
            }
        }
    }

    /// Times and bounds around the first, the last and none.
    fn near_an_end() -> impl Strategy<Value = i64> {
        prop_oneof![
            (0_i64..20).prop_map(|far| i64::MIN + far),
            -20_i64..20,
            (0_i64..20).prop_map(|far| i64::MAX - far),
        ]
    }

    #[test]
    fn two_rows_at_the_last_time_are_not_five_milliseconds_apart() {
        let interval = Interval::new(5, 10).unwrap();
        assert_eq!(interval.range(Side::Left, i64::MAX), None);
        assert_eq!(interval.range(Side::Right, i64::MIN), None);
        let last = (i64::MAX, i64::MAX);
        assert_eq!(interval.range(Side::Left, i64::MAX - 5), Some(last));
        assert_eq!(interval.goes_at(Side::Left, i64::MAX), EventTime(i64::MAX));
    }
}
