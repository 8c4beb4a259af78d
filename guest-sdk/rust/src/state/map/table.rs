//! The entries of a map state that a call has met: dense, found by key index and map key, and
//! chained by key index.
//!
//! The keys and map keys of all entries are columns, as the host is asked for them. They and the
//! table are reused between calls, so that meeting an entry allocates nothing once they have grown.

use std::hash::Hasher;
use std::mem;

use crate::bindings::weir::operator::data::BytesColumn;
use crate::column;
use crate::error::Result;
use crate::state::hash::Words;

/// One entry: what is known of its value.
pub(super) struct Entry<V> {
    pub(super) content: Content<V>,
    /// The entry of the same key that was met before this one, plus one; or 0.
    before: u32,
}

/// What is known of an entry.
pub(super) struct Content<V> {
    pub(super) status: Status,
    /// Meaningful unless the status is `Stored`.
    pub(super) value: Option<V>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Whatever the host holds.
    Stored,
    /// As the host holds it, or will once the clearing of its map is handed over.
    Clean,
    /// To be written.
    Dirty,
}

pub(super) struct Table<V> {
    pub(super) entries: Vec<Entry<V>>,
    /// Whose each entry is.
    keys: Vec<u32>,
    map_keys: BytesColumn,
    /// The last entry met of each distinct key of the call, plus one; or 0.
    last: Vec<u32>,
    /// Index of an entry plus one, or 0; a power of two long, at most half full.
    buckets: Vec<u32>,
    /// The entry behind the one that was found last: rows look up what they named, in order.
    next: usize,
}

const BUCKETS_MIN: usize = 64;

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            keys: Vec::new(),
            map_keys: column::with_room(0, 0),
            last: Vec::new(),
            buckets: Vec::new(),
            next: 0,
        }
    }
}

impl<V> Table<V> {
    /// Forgets all entries; from here on there are so many distinct keys.
    pub(super) fn begin(&mut self, keys: u32) {
        self.entries.clear();
        self.keys.clear();
        self.map_keys.bytes.clear();
        self.map_keys.ends.clear();
        self.last.clear();
        self.last.resize(keys as usize, 0);
        self.buckets.fill(0);
        self.next = 0;
    }

    /// The entry with the map key that `write` appends; a new one is `Stored`.
    ///
    /// # Errors
    /// If the map keys of a call are too much for a column.
    #[inline]
    pub(super) fn find(&mut self, key: u32, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize> {
        let start = self.map_keys.bytes.len();
        write(&mut self.map_keys.bytes);
        let found = if self.is(self.next, key, start) {
            self.map_keys.bytes.truncate(start);
            self.next
        } else {
            self.find_appended(key, start)?
        };
        // The rows begin anew behind the last one.
        self.next = if found + 1 == self.entries.len() {
            0
        } else {
            found + 1
        };
        Ok(found)
    }

    /// The entry with the map key that begins at `start`, behind all others, which is taken away
    /// again if there is one.
    fn find_appended(&mut self, key: u32, start: usize) -> Result<usize> {
        if self.buckets.len() <= self.entries.len() * 2 {
            self.grow();
        }
        let mask = self.buckets.len() - 1;
        let mut bucket = hash(key, &self.map_keys.bytes[start..]) as usize & mask;
        while let Some(found) = (self.buckets[bucket] as usize).checked_sub(1) {
            if self.is(found, key, start) {
                self.map_keys.bytes.truncate(start);
                return Ok(found);
            }
            bucket = (bucket + 1) & mask;
        }
        column::end_row(&mut self.map_keys)?;
        let content = Content {
            status: Status::Stored,
            value: None,
        };
        let index = self.entries.len() as u32;
        let before = mem::replace(&mut self.last[key as usize], index + 1);
        self.entries.push(Entry { content, before });
        self.keys.push(key);
        self.buckets[bucket] = index + 1;
        Ok(index as usize)
    }

    /// Whether there is such an entry, and it has this key and the map key that begins at `start`.
    #[inline]
    fn is(&self, entry: usize, key: u32, start: usize) -> bool {
        self.keys.get(entry) == Some(&key)
            && same(self.map_key(entry), &self.map_keys.bytes[start..])
    }

    /// The entries met of a key, the last first.
    pub(super) fn of_key(&self, key: u32) -> impl Iterator<Item = usize> {
        let entry = |plus_one: u32| (plus_one as usize).checked_sub(1);
        let last = entry(self.last[key as usize]);
        std::iter::successors(last, move |after| entry(self.entries[*after].before))
    }

    /// The key of an entry.
    #[inline]
    pub(super) fn key(&self, entry: usize) -> u32 {
        self.keys[entry]
    }

    /// The map key of an entry.
    #[inline]
    pub(super) fn map_key(&self, entry: usize) -> &[u8] {
        let start = match entry.checked_sub(1) {
            None => 0,
            Some(before) => self.map_keys.ends[before] as usize,
        };
        &self.map_keys.bytes[start..self.map_keys.ends[entry] as usize]
    }

    /// The keys and map keys of all entries.
    pub(super) fn columns(&self) -> (&[u32], &BytesColumn) {
        (&self.keys, &self.map_keys)
    }

    fn grow(&mut self) {
        let length = (self.buckets.len() * 2).max(BUCKETS_MIN);
        self.buckets.clear();
        self.buckets.resize(length, 0);
        for index in 0..self.entries.len() {
            let hash = hash(self.keys[index], self.map_key(index));
            let mut bucket = hash as usize & (length - 1);
            while self.buckets[bucket] != 0 {
                bucket = (bucket + 1) & (length - 1);
            }
            self.buckets[bucket] = index as u32 + 1;
        }
    }
}

#[inline]
fn hash(key: u32, map_key: &[u8]) -> u64 {
    let mut hash = Words::of(u64::from(key));
    hash.write(map_key);
    hash.finish()
}

/// Map keys are short: they are compared in line.
#[inline]
fn same(left: &[u8], right: &[u8]) -> bool {
    let ((left_words, left_rest), (right_words, right_rest)) =
        (left.as_chunks::<8>(), right.as_chunks::<8>());
    left.len() == right.len()
        && left_words.iter().zip(right_words).all(|(l, r)| l == r)
        && left_rest.iter().zip(right_rest).all(|(l, r)| l == r)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(table: &mut Table<()>, key: u32, map_key: &[u8]) -> usize {
        let found = table.find(key, |out| out.extend_from_slice(map_key));
        found.unwrap()
    }

    #[test]
    fn an_entry_is_found_again_while_the_table_grows() {
        let mut table = Table::default();
        table.begin(2);
        for round in 0..2 {
            for number in 0..1000_u32 {
                let map_key = (number / 2).to_be_bytes();
                let found = find(&mut table, number % 2, &map_key);
                assert_eq!(found, number as usize, "round {round}");
                assert_eq!(table.map_key(found), map_key);
                assert_eq!(table.key(found), number % 2);
            }
        }
        assert_eq!(table.entries.len(), 1000);
    }

    #[test]
    fn entries_are_found_in_any_order() {
        let mut table = Table::default();
        table.begin(3);
        let met = [(0, "one"), (1, "a long map key"), (0, "two"), (2, "one")];
        for (at, (key, map_key)) in met.into_iter().enumerate() {
            assert_eq!(find(&mut table, key, map_key.as_bytes()), at);
        }
        for at in [0, 1, 2, 3, 0, 2, 3, 3, 1, 0, 0, 1, 3] {
            let (key, map_key) = met[at];
            assert_eq!(find(&mut table, key, map_key.as_bytes()), at);
        }
        let (keys, map_keys) = table.columns();
        assert_eq!(
            (keys, &map_keys.ends[..]),
            (&[0, 1, 0, 2][..], &[3, 17, 20, 23][..])
        );
    }

    #[test]
    fn entries_of_other_keys_and_lengths_are_others() {
        let mut table = Table::default();
        table.begin(2);
        let a = find(&mut table, 0, b"");
        let b = find(&mut table, 0, b"\0");
        let c = find(&mut table, 1, b"");
        assert_eq!((a, b, c), (0, 1, 2));
        let of_key: Vec<_> = table.of_key(0).map(|entry| table.map_key(entry)).collect();
        assert_eq!(of_key, [&b"\0"[..], b""]);
        assert_eq!(table.of_key(0).collect::<Vec<_>>(), [1, 0]);
        table.begin(2);
        assert_eq!(find(&mut table, 1, b""), 0);
        assert_eq!(table.of_key(0).count(), 0);
    }
}
