//! Left rows with what was the latest right row at their time: right rows are versions of something
//! by event time.

use std::collections::BTreeMap;

use weir_model::EventTime;

use super::{JoinKind, is_late};

/// How rows are looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Temporal {
    /// Whether left rows count that find no version: [`JoinKind::Inner`] or [`JoinKind::Left`].
    pub kind: JoinKind,
    /// How old a version may be, in milliseconds. `None` = the latest counts for ever.
    pub max_age: Option<i64>,
}

impl Temporal {
    /// Whether a version counts at a time, if there is none between.
    #[must_use]
    pub fn counts(&self, version: i64, time: i64) -> bool {
        let is_young = |age: i64| i128::from(time) - i128::from(version) <= i128::from(age);
        version <= time && self.max_age.is_none_or(is_young)
    }

    /// The watermark at which a version goes even if no other follows; `None` = never. Rows at the
    /// watermark are in time, so it goes behind the last time that it counts at.
    #[must_use]
    pub fn goes_at(&self, version: i64) -> Option<EventTime> {
        let last = version.saturating_add(self.max_age?);
        Some(EventTime(last.saturating_add(1)))
    }
}

/// The lookups of one key, one row at a time. It keeps all versions for ever.
#[derive(Clone, Debug)]
pub struct TemporalReference {
    rules: Temporal,
    watermark: EventTime,
    left: Vec<(i64, u64)>,
    versions: BTreeMap<i64, u64>,
    late: Vec<u64>,
}

impl TemporalReference {
    /// No row has come.
    #[must_use]
    pub fn new(rules: Temporal) -> Self {
        Self {
            rules,
            watermark: EventTime::MIN,
            left: Vec::new(),
            versions: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    /// A left row comes.
    pub fn left(&mut self, time: i64, row: u64) {
        match is_late(time, self.watermark) {
            true => self.late.push(row),
            false => self.left.push((time, row)),
        }
    }

    /// A version comes; of several at one time the last counts.
    pub fn right(&mut self, time: i64, row: u64) {
        if is_late(time, self.watermark) {
            self.late.push(row);
            return;
        }
        self.versions.insert(time, row);
    }

    /// The watermark rises. Gives back the rows it has passed, by time and then by their coming,
    /// each with its time and version.
    pub fn watermark(&mut self, watermark: EventTime) -> Vec<(u64, Option<u64>, i64)> {
        if watermark <= self.watermark {
            return Vec::new();
        }
        self.watermark = watermark;
        let mut ready = Vec::new();
        self.left.retain(|(time, row)| {
            let is_ready = EventTime(*time) <= watermark;
            if is_ready {
                ready.push((*time, *row));
            }
            !is_ready
        });
        ready.sort_by_key(|(time, _)| *time);
        let looked_up = |(time, row): (i64, u64)| {
            let latest = self.versions.range(..=time).next_back();
            let latest = latest.filter(|(version, _)| self.rules.counts(**version, time));
            match latest {
                None if self.rules.kind == JoinKind::Inner => None,
                found => Some((row, found.map(|(_, version)| *version), time)),
            }
        };
        ready.into_iter().filter_map(looked_up).collect()
    }

    /// The rows that came too late.
    #[must_use]
    pub fn late(&self) -> &[u64] {
        &self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(rules: Temporal) -> Vec<(u64, Option<u64>, i64)> {
        let mut join = TemporalReference::new(rules);
        for (time, row) in [(25, 3), (9, 1), (10, 2), (60, 4)] {
            join.left(time, row);
        }
        for (time, row) in [(20, 12), (10, 10), (10, 11)] {
            join.right(time, row);
        }
        assert!(join.watermark(EventTime(8)).is_empty());
        join.watermark(EventTime(60))
    }

    #[test]
    fn a_row_gets_the_latest_version_at_its_time() {
        let inner = looked_up(Temporal::default());
        let found = [(2, Some(11), 10), (3, Some(12), 25), (4, Some(12), 60)];
        assert_eq!(inner, found, "of two versions at once the later counts");
        let left = looked_up(Temporal {
            kind: JoinKind::Left,
            max_age: Some(39),
        });
        let found = [
            (1, None, 9),
            (2, Some(11), 10),
            (3, Some(12), 25),
            (4, None, 60),
        ];
        assert_eq!(left, found, "one that is too old is none");
    }

    #[test]
    fn versions_before_the_watermark_are_late() {
        let mut join = TemporalReference::new(Temporal::default());
        join.watermark(EventTime(10));
        join.right(9, 1);
        join.right(10, 2);
        join.left(9, 3);
        join.left(10, 4);
        assert_eq!(join.late(), [1, 3]);
        assert_eq!(join.watermark(EventTime(11)), [(4, Some(2), 10)]);
    }
}
