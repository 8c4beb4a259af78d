//! The entries of a map state that a call has met: dense, found by key index and map key, and
//! chained by key index.
//!
//! The bytes of all map keys stand end to end in one buffer. Table and buffer are reused between
//! calls, so that meeting an entry allocates nothing once they have grown.

use std::ops::Range;

/// One entry: whose it is, its map key, and what is known of its value.
pub(super) struct Entry<V> {
    pub(super) key: u32,
    map_key: Range<usize>,
    pub(super) content: Content<V>,
    /// The entry of the same key that was met before this one.
    before: Option<u32>,
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
    map_keys: Vec<u8>,
    /// The last entry met of each distinct key of the call.
    last: Vec<Option<u32>>,
    /// Index of an entry plus one, or 0; a power of two long, at most half full.
    buckets: Vec<u32>,
}

const BUCKETS_MIN: usize = 64;

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            map_keys: Vec::new(),
            last: Vec::new(),
            buckets: Vec::new(),
        }
    }
}

impl<V> Table<V> {
    /// Forgets all entries; from here on there are so many distinct keys.
    pub(super) fn begin(&mut self, keys: u32) {
        self.entries.clear();
        self.map_keys.clear();
        self.last.clear();
        self.last.resize(keys as usize, None);
        self.buckets.fill(0);
    }

    /// The entry with the map key that `write` appends; a new one is `Stored`.
    pub(super) fn find(&mut self, key: u32, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        if self.buckets.len() <= self.entries.len() * 2 {
            self.grow();
        }
        let start = self.map_keys.len();
        write(&mut self.map_keys);
        let wanted = &self.map_keys[start..];
        let mask = self.buckets.len() - 1;
        let mut bucket = hash(key, wanted) as usize & mask;
        while let Some(found) = (self.buckets[bucket] as usize).checked_sub(1) {
            let entry = &self.entries[found];
            if entry.key == key && &self.map_keys[entry.map_key.clone()] == wanted {
                self.map_keys.truncate(start);
                return found;
            }
            bucket = (bucket + 1) & mask;
        }
        let map_key = start..self.map_keys.len();
        let content = Content {
            status: Status::Stored,
            value: None,
        };
        let index = self.entries.len() as u32;
        let before = self.last[key as usize].replace(index);
        self.entries.push(Entry {
            key,
            map_key,
            content,
            before,
        });
        self.buckets[bucket] = index + 1;
        index as usize
    }

    /// The entries met of a key, the last first.
    pub(super) fn of_key(&self, key: u32) -> impl Iterator<Item = &Entry<V>> {
        let entry = |index: u32| &self.entries[index as usize];
        let last = self.last[key as usize].map(entry);
        std::iter::successors(last, move |after| after.before.map(entry))
    }

    /// The index of each entry met of a key, the last first.
    pub(super) fn indices_of_key(&self, key: u32) -> Vec<usize> {
        let before = |index: &u32| self.entries[*index as usize].before;
        let indices = std::iter::successors(self.last[key as usize], before);
        indices.map(|index| index as usize).collect()
    }

    pub(super) fn map_key(&self, entry: &Entry<V>) -> &[u8] {
        &self.map_keys[entry.map_key.clone()]
    }

    fn grow(&mut self) {
        let length = (self.buckets.len() * 2).max(BUCKETS_MIN);
        self.buckets.clear();
        self.buckets.resize(length, 0);
        for (index, entry) in self.entries.iter().enumerate() {
            let hash = hash(entry.key, &self.map_keys[entry.map_key.clone()]);
            let mut bucket = hash as usize & (length - 1);
            while self.buckets[bucket] != 0 {
                bucket = (bucket + 1) & (length - 1);
            }
            self.buckets[bucket] = index as u32 + 1;
        }
    }
}

/// Multiply and rotate over words of eight bytes. Only a cache depends on it: a caller that makes
/// keys collide slows its own call down, and the host bounds the time of a call.
fn hash(key: u32, map_key: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| (state.rotate_left(26) ^ word).wrapping_mul(FACTOR);
    let mut state = mix(map_key.len() as u64, u64::from(key));
    for chunk in map_key.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = mix(state, u64::from_le_bytes(word));
    }
    state ^ (state >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(table: &mut Table<()>, key: u32, map_key: &[u8]) -> usize {
        table.find(key, |out| out.extend_from_slice(map_key))
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
                assert_eq!(table.map_key(&table.entries[found]), map_key);
            }
        }
        assert_eq!(table.entries.len(), 1000);
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
        assert_eq!(table.indices_of_key(0), [1, 0]);
        table.begin(2);
        assert_eq!(find(&mut table, 1, b""), 0);
        assert!(table.indices_of_key(0).is_empty());
    }
}
