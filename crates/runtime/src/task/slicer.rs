//! Cuts a batch into the rows of one call (D6), without copying rows.
//!
//! The calls aim at 5 ms by a moving average of the cost per row; so barriers and control never
//! wait for thousands of rows of a slow operator.

use std::{ops::Range, time::Duration};

use weir_model::{Column, KeyedView, Rows};
use weir_operator::Due;

/// What a call should take.
const AIM: Duration = Duration::from_millis(5);
/// How many rows the first call gets, before anything is known about their cost.
const FIRST: usize = 64;

/// Decides how many rows a call gets.
pub(crate) struct Pace {
    /// Moving average of nanoseconds per row.
    cost: Option<f64>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { cost: None }
    }

    /// How many of `left` rows the next call gets.
    pub(crate) fn rows(&self, left: usize) -> usize {
        let aim = match self.cost {
            None => FIRST,
            Some(cost) => (AIM.as_nanos() as f64 / cost.max(1.0)) as usize,
        };
        // A rest that is smaller than the slice before it would be a call for little: take it
        // along.
        if left <= aim + aim / 2 {
            left
        } else {
            aim.max(1)
        }
    }

    /// Learns what a call of `rows` rows took.
    pub(crate) fn learn(&mut self, rows: usize, took: Duration) {
        if rows == 0 {
            return;
        }
        let cost = took.as_nanos() as f64 / rows as f64;
        self.cost = Some(match self.cost {
            None => cost,
            // Dearer is believed at once, cheaper slowly: the aim is a bound.
            Some(known) if cost > known => (known + cost) / 2.0,
            Some(known) => known + (cost - known) / 8.0,
        });
    }
}

/// Buffers for the keys of a slice: which of the batch's keys occur in it, numbered anew.
#[derive(Default)]
pub(crate) struct Slicer {
    keys: Column,
    hashes: Vec<u64>,
    key_of_row: Vec<u32>,
    /// For each key of the batch its number in the slice, valid where `seen` is this round's.
    number: Vec<u32>,
    seen: Vec<u32>,
    round: u32,
}

impl Slicer {
    /// The rows `range` of `rows`, with only the keys that occur in them.
    pub(crate) fn cut<'a>(&'a mut self, rows: Rows<'a>, range: Range<usize>) -> Rows<'a> {
        if range.start == 0 && range.end == rows.len() {
            return rows;
        }
        let values = rows.values.slice(range.start, range.end);
        let timestamps = match rows.timestamps {
            [] => &[],
            all => &all[range.clone()],
        };
        let keyed = rows.keyed.map(|keyed| self.cut_keys(keyed, range));
        Rows {
            values,
            timestamps,
            keyed,
        }
    }

    /// The timers `range` of `due`, with only the keys that occur in them.
    pub(crate) fn cut_timers<'a>(&'a mut self, due: Due<'a>, range: Range<usize>) -> Due<'a> {
        if range.start == 0 && range.end == due.len() {
            return due;
        }
        Due {
            at: &due.at[range.clone()],
            keyed: self.cut_keys(due.keyed, range),
            ..due
        }
    }

    fn cut_keys<'a>(&'a mut self, keyed: KeyedView<'_>, range: Range<usize>) -> KeyedView<'a> {
        self.keys.clear();
        self.hashes.clear();
        self.key_of_row.clear();
        let keys = keyed.keys.len();
        if self.round == u32::MAX {
            self.seen.clear();
            self.round = 0;
        }
        self.round += 1;
        if self.seen.len() < keys {
            self.seen.resize(keys, 0);
            self.number.resize(keys, 0);
        }
        for &key in &keyed.key_of_row[range] {
            let at = key as usize;
            if self.seen[at] != self.round {
                self.seen[at] = self.round;
                self.number[at] = self.hashes.len() as u32;
                self.keys.push(keyed.keys.get(at));
                self.hashes.push(keyed.hashes[at]);
            }
            self.key_of_row.push(self.number[at]);
        }
        KeyedView {
            keys: self.keys.view(),
            hashes: &self.hashes,
            key_of_row: &self.key_of_row,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_model::{Batch, Keyed, hash64};

    use super::*;

    fn batch(keys_of_rows: &[u8]) -> Batch {
        let mut keyed = Keyed::default();
        let mut values = Column::new();
        for (row, key) in keys_of_rows.iter().enumerate() {
            values.push(row.to_string().as_bytes());
            let known = keyed.keys.iter().position(|k| k == [*key]);
            let at = known.unwrap_or_else(|| {
                keyed.keys.push(&[*key]);
                keyed.hashes.push(hash64(&[*key]));
                keyed.hashes.len() - 1
            });
            keyed.key_of_row.push(at as u32);
        }
        let timestamps = (0..keys_of_rows.len() as i64).collect();
        Batch {
            values,
            timestamps,
            keyed: Some(keyed),
            ..Batch::default()
        }
    }

    proptest! {
        #[test]
        fn slices_show_each_row_with_its_key_and_no_other_key(
            keys in prop::collection::vec(0u8..6, 1..50),
            cuts in prop::collection::vec(1usize..9, 1..9),
        ) {
            let batch = batch(&keys);
            let mut slicer = Slicer::default();
            let (mut from, mut i) = (0, 0);
            while from < keys.len() {
                let to = (from + cuts[i % cuts.len()]).min(keys.len());
                i += 1;
                let slice = slicer.cut(batch.rows(), from..to);
                let keyed = slice.keyed.unwrap();
                prop_assert_eq!(slice.len(), to - from);
                let mut used = vec![false; keyed.keys.len()];
                for row in 0..slice.len() {
                    let value = (from + row).to_string();
                    prop_assert_eq!(slice.values.get(row), value.as_bytes());
                    prop_assert_eq!(slice.timestamps[row], (from + row) as i64);
                    let at = keyed.key_of_row[row] as usize;
                    used[at] = true;
                    prop_assert_eq!(keyed.keys.get(at), &[keys[from + row]][..]);
                    prop_assert_eq!(keyed.hashes[at], hash64(&[keys[from + row]]));
                }
                prop_assert!(used.iter().all(|&u| u) || to - from == keys.len());
                from = to;
            }
        }
    }

    #[test]
    fn the_pace_aims_at_five_milliseconds() {
        let mut pace = Pace::new();
        assert_eq!(pace.rows(4096), 64);
        pace.learn(64, Duration::from_millis(64));
        assert_eq!(pace.rows(4096), 5);
        for _ in 0..200 {
            pace.learn(100, Duration::from_micros(1));
        }
        assert_eq!(pace.rows(4096), 4096);
    }
}
