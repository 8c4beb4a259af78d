//! The keys of the rows under way to one target, numbered as they first appear.

use weir_model::{Batch, Column, Keyed, same_key};

use super::builder::take_leaving_room;

/// The keys of some rows, found by a table with a slot of four bytes for each: one of the first
/// level of the cache has room for those of a batch.
#[derive(Default)]
pub(super) struct Numbers {
    known: Known,
    key_of_row: Vec<u32>,
}

/// The keys that have a number.
#[derive(Default)]
struct Known {
    keys: Column,
    hashes: Vec<u64>,
    /// The upper 16 bits of a key's hash above its number plus one, or 0; a power of two long. The
    /// lower bits of the hash say where it is looked for first.
    slots: Vec<u32>,
    /// How many keys the slots serve.
    room: usize,
}

const SLOTS_MIN: usize = 64;
/// A table is at most a quarter full, so that most keys stand where they are looked for first and
/// no branch has to be guessed; from so many slots on half full, so that the cache has room for it.
const SLOTS_ROOMY: usize = 4_096;
const NUMBER_BITS: u32 = 16;
const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;
// A row has one key, so numbers and what is added to them fit.
const _: () = assert!(Batch::MAX_ROWS < NUMBER_MASK as usize);

impl Numbers {
    /// Adds the keys of the next rows, with their hashes.
    #[inline]
    pub(super) fn extend<'a>(&mut self, keys: impl Iterator<Item = (&'a [u8], u64)>) {
        let Self { known, key_of_row } = self;
        key_of_row.extend(keys.map(|(key, hash)| known.number(key, hash)));
    }

    /// The keys of the rows, if there are any, after which there are none.
    pub(super) fn take(&mut self) -> Option<Keyed> {
        if self.key_of_row.is_empty() {
            return None;
        }
        let (keys, hashes) = self.known.take();
        Some(Keyed {
            keys,
            hashes,
            key_of_row: take_leaving_room(&mut self.key_of_row),
        })
    }
}

impl Known {
    /// The number of a key, which it gets now if it has none.
    #[inline]
    fn number(&mut self, key: &[u8], hash: u64) -> u32 {
        if self.hashes.len() >= self.room {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return self.add(key, hash, at);
            }
            if slot >> NUMBER_BITS == tag(hash) {
                let number = (slot & NUMBER_MASK) - 1;
                if same_key(self.keys.get(number as usize), key) {
                    return number;
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Numbers a key that is not there, for which this slot is free.
    #[inline]
    fn add(&mut self, key: &[u8], hash: u64, at: usize) -> u32 {
        let number = self.hashes.len() as u32;
        self.keys.push(key);
        self.hashes.push(hash);
        self.slots[at] = slot(hash, number);
        number
    }

    #[cold]
    fn grow(&mut self) {
        let length = (self.slots.len() * 2).max(SLOTS_MIN);
        self.slots.clear();
        self.slots.resize(length, 0);
        self.room = room(length);
        for (number, hash) in (0..).zip(&self.hashes) {
            let mut at = *hash as usize & (length - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (length - 1);
            }
            self.slots[at] = slot(*hash, number);
        }
    }

    /// The keys in order and their hashes, after which there are none.
    fn take(&mut self) -> (Column, Vec<u64>) {
        // Batches that have become small do not empty a large table each.
        let needed = (self.hashes.len() * 8).next_power_of_two().max(SLOTS_MIN);
        self.slots.truncate(needed);
        self.slots.fill(0);
        self.room = room(self.slots.len());
        let keys = Column::with_capacity(self.keys.len(), self.keys.byte_len());
        let keys = std::mem::replace(&mut self.keys, keys);
        (keys, take_leaving_room(&mut self.hashes))
    }
}

/// How many keys so many slots serve.
fn room(slots: usize) -> usize {
    match slots <= SLOTS_ROOMY {
        true => slots / 4,
        false => slots / 2,
    }
}

#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> (u64::BITS - NUMBER_BITS)) as u32
}

#[inline]
fn slot(hash: u64, number: u32) -> u32 {
    tag(hash) << NUMBER_BITS | (number + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_numbered_as_they_first_appear(
            batches in prop::collection::vec(prop::collection::vec("[a-e]{0,3}", 0..300), 0..5),
            // With few bits of the hash, keys meet in their slots and have the same tags.
            hash_bits in prop::sample::select(vec![0_u64, 0x8000_0000_0000_0003, u64::MAX]),
        ) {
            let mut numbers = Numbers::default();
            for batch in batches {
                let (mut known, mut expected) = (HashMap::new(), Vec::new());
                let mut keys = Vec::new();
                for key in &batch {
                    let hash = weir_model::hash64(key.as_bytes()) & hash_bits;
                    numbers.extend([(key.as_bytes(), hash)].into_iter());
                    let next = known.len() as u32;
                    let number = *known.entry(key).or_insert_with(|| {
                        keys.push((key.as_bytes(), hash));
                        next
                    });
                    expected.push(number);
                }
                let found = numbers.take().unwrap_or_default();
                prop_assert_eq!(found.key_of_row, expected);
                let found: Vec<_> = found.keys.iter().zip(found.hashes.iter().copied()).collect();
                prop_assert_eq!(found, keys);
            }
        }
    }

    #[test]
    fn a_table_serves_as_many_keys_as_a_batch_has_and_few_again() {
        let mut numbers = Numbers::default();
        for count in [Batch::MAX_ROWS as u32, 3, 100, Batch::MAX_ROWS as u32] {
            for _ in 0..2 {
                for number in 0..count {
                    let key = number.to_le_bytes();
                    numbers.extend([(&key[..], weir_model::hash64(&key))].into_iter());
                }
            }
            let keyed = numbers.take().unwrap();
            let expected: Vec<u32> = (0..count).chain(0..count).collect();
            assert_eq!(keyed.key_of_row, expected, "{count} keys");
            assert_eq!(keyed.hashes.len(), count as usize);
            assert!(numbers.known.slots.len() <= 16 * (count as usize).max(SLOTS_MIN));
        }
        assert!(numbers.take().is_none());
    }
}
