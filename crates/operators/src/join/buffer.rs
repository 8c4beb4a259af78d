//! The rows of one input of a join: a map for each key, by event time and then by number.
//!
//! A map key is the time, eight bytes in big endian with the sign turned, and the number of the
//! row, eight bytes in big endian: so their order is that of time, and what is near in time is read
//! in one go.

use weir_model::{Column, OptionalColumn};
use weir_operator::{Context, Failure};
use weir_state::{EntriesColumn, StateIndex, Which};

use super::broken;

/// How many entries are asked for first; then twice as many, and so on.
const FIRST_PAGE: usize = if cfg!(test) { 2 } else { 16 };
/// The most entries that are asked for at once.
const LAST_PAGE: usize = 1024;
/// How many bytes a page is to have at most, by the page before it.
const PAGE_BYTES: usize = if cfg!(test) { 1 << 16 } else { 8 << 20 };

/// What is behind all rows before this time, and before all others.
fn begin_of(time: i64) -> [u8; 8] {
    (time.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The map key of a row.
pub(super) fn row_key(time: i64, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    let (first, second) = key.split_at_mut(8);
    first.copy_from_slice(&begin_of(time));
    second.copy_from_slice(&number.to_be_bytes());
    key
}

fn time_of(map_key: &[u8]) -> Result<i64, Failure> {
    let bytes = map_key.first_chunk::<8>();
    let bytes = bytes.ok_or_else(|| broken("a row without a time"))?;
    Ok((u64::from_be_bytes(*bytes) ^ (1 << 63)).cast_signed())
}

/// Rows that a call has read, of one key and range after the other.
#[derive(Default)]
pub(super) struct Arena {
    entries: EntriesColumn,
    times: Vec<i64>,
}

/// Rows of a key that follow each other in time.
pub(super) struct Run {
    state: StateIndex,
    key: u32,
    /// Where they begin in the arena.
    pub(super) begin: usize,
    from: i64,
    page: usize,
    /// Whether nothing is behind them.
    pub(super) is_whole: bool,
}

impl Arena {
    /// Begins to read the rows of a key from a time on.
    pub(super) fn run(&self, state: StateIndex, key: u32, from: i64) -> Run {
        Run {
            state,
            key,
            begin: self.times.len(),
            from,
            page: FIRST_PAGE,
            is_whole: false,
        }
    }

    /// Reads on until one is there that is later than `last`, there are `most`, or no more.
    pub(super) fn read(
        &mut self,
        cx: &mut Context,
        run: &mut Run,
        last: i64,
        most: usize,
    ) -> Result<(), Failure> {
        while !run.is_whole && self.times.len() - run.begin < most {
            let known = self.times.len();
            let is_there = known > run.begin && self.times.last().is_some_and(|time| *time > last);
            if is_there {
                return Ok(());
            }
            let mut before = [0; 16];
            let before = match known > run.begin {
                true => {
                    let last = self.entries.keys.get(known - 1);
                    let before = before.get_mut(..last.len());
                    let before = before.ok_or_else(|| broken("a row with a long key"))?;
                    before.copy_from_slice(last);
                    before
                }
                false => {
                    let (before, _) = before.split_at_mut(8);
                    before.copy_from_slice(&begin_of(run.from));
                    before
                }
            };
            let (state, key, page) = (run.state, run.key, run.page);
            let bytes = self.entries.values.byte_len();
            cx.state
                .map_scan(state, key, Some(before), page, &mut self.entries)?;
            for at in known..self.entries.keys.len() {
                self.times.push(time_of(self.entries.keys.get(at))?);
            }
            run.is_whole = self.times.len() - known < page;
            run.page = match self.entries.values.byte_len() - bytes {
                bytes if bytes > PAGE_BYTES => (page / 2).max(1),
                bytes if bytes > PAGE_BYTES / 2 => page,
                _ => (page * 2).min(LAST_PAGE),
            };
        }
        Ok(())
    }

    /// The times of the rows of a run, in order. Only that which was begun last may be read on.
    pub(super) fn times_of(&self, run: &Run) -> &[i64] {
        self.times.get(run.begin..).unwrap_or_default()
    }

    pub(super) fn times(&self) -> &[i64] {
        &self.times
    }

    pub(super) fn values(&self) -> &Column {
        &self.entries.values
    }

    /// Forgets what rows are, but not that they are there.
    pub(super) fn forget_values(&mut self) {
        self.entries.values.clear();
    }

    pub(super) fn map_key(&self, at: usize) -> &[u8] {
        self.entries.keys.get(at)
    }
}

/// Entries that are written in one go.
#[derive(Default)]
pub(super) struct Puts {
    keys: Vec<u32>,
    map_keys: Column,
    values: OptionalColumn,
}

impl Puts {
    pub(super) fn put(&mut self, key: u32, map_key: &[u8], row: Option<&[u8]>) {
        self.keys.push(key);
        self.map_keys.push(map_key);
        self.values.push(row);
    }

    pub(super) fn write(self, cx: &mut Context, state: StateIndex) -> Result<(), Failure> {
        if !self.keys.is_empty() {
            let (which, map_keys) = (Which::Some(&self.keys), self.map_keys.view());
            cx.state.map_put(state, which, map_keys, &self.values)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_of_time_and_then_of_number() {
        let keys = [
            row_key(i64::MIN, 0),
            row_key(-1, 7),
            row_key(0, 0),
            row_key(0, 1),
            row_key(0, 256),
            row_key(1, 0),
            row_key(i64::MAX, u64::MAX),
        ];
        assert!(keys.is_sorted());
        for time in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(time_of(&row_key(time, 3)).unwrap(), time);
            assert!(begin_of(time)[..] < row_key(time, 0)[..]);
        }
        assert!(begin_of(1)[..] > row_key(0, u64::MAX)[..]);
        assert!(time_of(b"short").is_err());
    }
}
