//! Entries of maps as cells: the key of each is that of its map and its own.

use weir_model::{Column, ColumnView, KeyGroup, OptionalColumn, hash64};
use weir_state::{
    KeyBatch, ValueWrites, Which,
    backends::{self, Reader},
};

/// Keys of so many bytes are made at once, and one more: keys of maps may be long, and are written
/// for each entry.
const MAX_BYTES: usize = 1 << 20;
/// What one large key needed more is given back.
const KEEP_BYTES: usize = 2 * MAX_BYTES;

/// The key of a map, and that of an entry, out of one that was made of them; `None` where it was
/// not.
pub(crate) fn split(made: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(made);
    let key = reader.bytes()?;
    Some((key, &made[made.len() - reader.len()..]))
}

/// Some entries of an access.
#[derive(Default)]
pub(super) struct Entries {
    keys: Column,
    hashes: Vec<u64>,
    groups: Vec<KeyGroup>,
    writes: ValueWrites,
}

impl Entries {
    /// Makes the keys of the entries of an access from one on; gives back with which to go on.
    pub(super) fn fill(
        &mut self,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        map_keys: ColumnView<'_>,
        from: usize,
    ) -> usize {
        self.clear();
        let mut at = from;
        while at < map_keys.len() && self.keys.byte_len() < MAX_BYTES {
            self.push(keys, which.get(at), map_keys.get(at));
            at += 1;
        }
        at
    }

    /// Makes the key of one entry.
    pub(super) fn one(&mut self, keys: &KeyBatch<'_>, key: u32, map_key: &[u8]) -> KeyBatch<'_> {
        self.clear();
        self.push(keys, key as usize, map_key);
        self.batch()
    }

    /// The keys.
    pub(super) fn batch(&self) -> KeyBatch<'_> {
        KeyBatch {
            keys: self.keys.view(),
            hashes: &self.hashes,
            groups: &self.groups,
        }
    }

    /// Takes the values of all of them, out of a column from a row on.
    pub(super) fn take_values(&mut self, values: &OptionalColumn, from: usize) {
        for at in 0..self.keys.len() {
            self.writes.keys.push(at as u32);
            self.writes.values.push(values.get(from + at));
        }
    }

    /// The values that were taken.
    pub(super) fn writes(&self) -> &ValueWrites {
        &self.writes
    }

    fn push(&mut self, keys: &KeyBatch<'_>, key: usize, map_key: &[u8]) {
        self.keys.push_with(|to| {
            backends::put_bytes(to, keys.keys.get(key));
            to.extend_from_slice(map_key);
        });
        let at = self.keys.len() - 1;
        self.hashes.push(hash64(self.keys.get(at)));
        self.groups.push(keys.groups[key]);
    }

    fn clear(&mut self) {
        let bytes = self.keys.byte_len() + self.writes.values.column().byte_len();
        if bytes > KEEP_BYTES {
            *self = Self::default();
        }
        self.keys.clear();
        self.hashes.clear();
        self.groups.clear();
        self.writes.keys.clear();
        self.writes.values.clear();
    }
}
