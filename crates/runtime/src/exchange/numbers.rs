//! The keys of the rows in hand, and of those under way to one target, numbered as they first
//! appear.

use std::mem::take;

use multiversion::multiversion;
use weir_model::{Batch, Column, ColumnView, Keyed, hash64, same_key};

use super::builder::take_leaving_room;

/// The keys of the rows in hand.
#[derive(Default)]
pub(super) struct Keys {
    /// Keys of any length; none where all are `numbers`.
    keys: Column,
    /// Keys that are eight bytes each, without the length before them, which is the same for all;
    /// none where there are `keys`.
    numbers: Vec<Number>,
    pub(super) hashes: Vec<u64>,
    /// The length of all keys, where they have the same.
    width: Option<usize>,
}

/// What follows the length in a key of eight bytes.
type Number = [u8; 8];
/// How many bytes the key of a number has, the length before it included.
const NUMBER_KEY: usize = 9;

/// The keys of some rows, found by a table with slots of two bytes, so that it has room in a cache
/// close by.
#[derive(Default)]
pub(super) struct Numbers {
    known: Known,
    key_of_row: Vec<u32>,
}

/// The keys that have a number: all in `keys`, or all in `numbers`.
#[derive(Default)]
struct Known {
    keys: Column,
    numbers: Vec<Number>,
    /// The length of all keys, where they have the same and there are some.
    width: Option<usize>,
    hashes: Vec<u64>,
    slots: Slots,
}

/// Where the number of a key is found.
#[derive(Default)]
struct Slots {
    /// The number of a key plus one, or 0; a power of two long. The lower bits of the key's hash
    /// say where it is looked for first.
    slots: Vec<u16>,
    /// How many keys the slots serve.
    room: usize,
}

/// The fewest slots of a table.
const SLOTS_MIN: usize = 64;
/// How many slots there are at least for each key: nearly all keys stand where they are looked for
/// first, and no branch has to be guessed.
const SLOTS_PER_KEY: usize = 8;
// A row has one key, so numbers and what is added to them fit.
const _: () = assert!(Batch::MAX_ROWS < u16::MAX as usize);

impl Keys {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len() + self.numbers.len()
    }

    /// Takes in the keys of other rows, which are eight bytes of each, `at` so many bytes from its
    /// beginning. Gives back `false`, and has done nothing, where rows are not of one length, or
    /// too short.
    pub(super) fn refill_numbers(&mut self, rows: ColumnView<'_>, at: usize) -> bool {
        let Some(width) = rows
            .width()
            .filter(|&width| at + size_of::<Number>() <= width)
        else {
            return false;
        };
        self.keys.clear();
        self.width = None;
        self.numbers.clear();
        let rows = rows.contents().chunks_exact(width);
        let numbers = rows.map(|row| row[at..].first_chunk().copied().unwrap_or_default());
        self.numbers.extend(numbers);
        self.hashes.clear();
        hash_numbers(&self.numbers, &mut self.hashes);
        true
    }

    /// Takes in the keys of other rows, which `select` appends.
    pub(super) fn refill(&mut self, select: impl FnOnce(&mut Column)) {
        self.numbers.clear();
        self.keys.clear();
        select(&mut self.keys);
        self.width = self.keys.view().width();
        self.hashes.clear();
        match self.width {
            // How it is done does not depend on the key then.
            Some(5) => hash_even::<5>(&self.keys, &mut self.hashes),
            Some(9) => hash_even::<9>(&self.keys, &mut self.hashes),
            Some(17) => hash_even::<17>(&self.keys, &mut self.hashes),
            _ => self.hashes.extend(self.keys.iter().map(hash64)),
        }
    }
}

/// Appends the hashes of the keys of numbers. For each set of vector instructions that a processor
/// may have there is one of these.
#[multiversion(targets(
    "x86_64+avx512f+avx512dq+avx512bw+avx512vl+avx2+bmi2",
    "x86_64+avx2+bmi2"
))]
fn hash_numbers(numbers: &[Number], hashes: &mut Vec<u64>) {
    let keys = numbers.iter().map(|&number| key_of(number));
    hashes.extend(keys.map(|key| hash64(&key)));
}

/// Appends the hashes of keys of `N` bytes, if all are. As many of it as of [`hash_numbers`].
#[multiversion(targets(
    "x86_64+avx512f+avx512dq+avx512bw+avx512vl+avx2+bmi2",
    "x86_64+avx2+bmi2"
))]
fn hash_even<const N: usize>(keys: &Column, hashes: &mut Vec<u64>) {
    let keys = keys.known_even::<N>().unwrap_or_default();
    hashes.extend(keys.iter().map(|key| hash64(key)));
}

impl Numbers {
    /// Adds the keys of the next rows: of these rows in hand.
    pub(super) fn extend(&mut self, keys: &Keys, rows: impl ExactSizeIterator<Item = usize>) {
        let start = self.key_of_row.len();
        self.key_of_row.resize(start + rows.len(), 0);
        let places = self.key_of_row[start..].iter_mut().zip(rows);
        if !keys.numbers.is_empty() {
            self.known.extend_numbers(keys, places);
            return;
        }
        self.known.write_out();
        // Most keys are one number or two, behind their length.
        match keys.width {
            Some(5) if self.known.is_even::<5>() => self.known.number_even::<5>(keys, places),
            Some(9) if self.known.is_even::<9>() => self.known.number_even::<9>(keys, places),
            Some(17) if self.known.is_even::<17>() => self.known.number_even::<17>(keys, places),
            _ => {
                for (place, row) in places {
                    *place = self.known.number(keys.keys.get(row), keys.hashes[row]);
                }
            }
        }
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
            key_of_row: take_leaving_room(&mut self.key_of_row, 0),
        })
    }
}

impl Known {
    /// The number of a key, which it gets now if it has none.
    #[inline]
    fn number(&mut self, key: &[u8], hash: u64) -> u32 {
        if self.hashes.len() >= self.slots.room {
            self.slots.grow(&self.hashes);
        }
        let new = self.hashes.len();
        let is_it = |number| number == new || same_key(self.keys.get(number), key);
        let (at, number) = self.slots.search(self.slots.first(hash), new, is_it);
        if number == new {
            if new == 0 {
                self.width = Some(key.len());
            } else if self.width != Some(key.len()) {
                self.width = None;
            }
            self.keys.push(key);
            self.hashes.push(hash);
            self.slots.put(at, number);
        }
        number as u32
    }

    /// The numbers of keys that are eight bytes each.
    fn extend_numbers<'a>(
        &mut self,
        keys: &Keys,
        rows: impl ExactSizeIterator<Item = (&'a mut u32, usize)>,
    ) {
        if !self.keys.is_empty() {
            for (place, row) in rows {
                *place = self.number(&key_of(keys.numbers[row]), keys.hashes[row]);
            }
            return;
        }
        let before = self.hashes.len();
        self.hashes.resize(before + rows.len(), 0);
        self.numbers.resize(before + rows.len(), Number::default());
        let (known, hashes) = (&mut self.numbers[..], &mut self.hashes[..]);
        let from = (&keys.numbers[..], &keys.hashes[..]);
        let count = number_all(known, hashes, before, &mut self.slots, from, rows);
        self.numbers.truncate(count);
        self.hashes.truncate(count);
    }

    /// Keeps keys that are eight bytes each as others are kept.
    fn write_out(&mut self) {
        if !self.numbers.is_empty() {
            self.keys = keys_of(&self.numbers);
            self.numbers.clear();
            self.width = Some(NUMBER_KEY);
        }
    }

    /// Whether all keys have so many bytes.
    fn is_even<const N: usize>(&self) -> bool {
        self.keys.is_empty() || self.width == Some(N)
    }

    /// The numbers of keys of `N` bytes, as those are that are known.
    fn number_even<'a, const N: usize>(
        &mut self,
        keys: &Keys,
        rows: impl ExactSizeIterator<Item = (&'a mut u32, usize)>,
    ) {
        let from = keys.keys.known_even::<N>().unwrap_or_default();
        let before = self.hashes.len();
        self.width = Some(N);
        self.hashes.resize(before + rows.len(), 0);
        let (mut count, most) = (before, rows.len());
        self.keys.extend_even(most, |known| {
            let hashes = &mut self.hashes[..];
            count = number_all(
                known,
                hashes,
                before,
                &mut self.slots,
                (from, &keys.hashes),
                rows,
            );
            count
        });
        self.hashes.truncate(count);
    }

    /// The keys in order and their hashes, after which there are none.
    fn take(&mut self) -> (Column, Vec<u64>) {
        self.slots.empty(self.hashes.len());
        self.width = None;
        if !self.numbers.is_empty() {
            let taken = (keys_of(&self.numbers), self.hashes.clone());
            self.numbers.clear();
            self.hashes.clear();
            return taken;
        }
        if self.keys.byte_len() > Batch::MAX_BYTES {
            // So much room is not kept for keys that may never be so large again.
            return (take(&mut self.keys), take(&mut self.hashes));
        }
        // Copies: what was collected in has room for a key of each row, and is used again.
        let taken = (self.keys.clone(), self.hashes.clone());
        self.keys.clear();
        self.hashes.clear();
        taken
    }
}

/// The key of eight bytes: they are behind their length.
#[inline(always)]
fn key_of(number: Number) -> [u8; NUMBER_KEY] {
    // Put together as one number, so that it is written and hashed where it is.
    let key = u128::from(u64::from_le_bytes(number)) << 8 | size_of::<Number>() as u128;
    let [key @ .., _, _, _, _, _, _, _] = key.to_le_bytes();
    key
}

/// The keys of these numbers.
fn keys_of(numbers: &[Number]) -> Column {
    let mut keys = Column::with_capacity(numbers.len(), numbers.len() * NUMBER_KEY);
    keys.extend_even(numbers.len(), |keys: &mut [_]| {
        for (key, number) in keys.iter_mut().zip(numbers) {
            *key = key_of(*number);
        }
        numbers.len()
    });
    keys
}

impl Slots {
    /// Where a key with this hash is looked for first.
    #[inline]
    fn first(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    /// The number in a slot, or `new` in an empty one.
    #[inline]
    fn number_or(&self, at: usize, new: usize) -> usize {
        match self.slots[at] {
            0 => new,
            number => usize::from(number) - 1,
        }
    }

    #[inline]
    fn put(&mut self, at: usize, number: usize) {
        self.slots[at] = number as u16 + 1;
    }

    /// From `at` on the number of a key and its slot; `new` and an empty one where it has none.
    #[inline]
    fn search(&self, mut at: usize, new: usize, is_it: impl Fn(usize) -> bool) -> (usize, usize) {
        loop {
            let number = self.number_or(at, new);
            if is_it(number) {
                return (at, number);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Makes room for more than these keys.
    #[cold]
    fn grow(&mut self, hashes: &[u64]) {
        let length = (self.slots.len() * 2).max(SLOTS_MIN);
        self.slots.clear();
        self.slots.resize(length, 0);
        self.room = length / SLOTS_PER_KEY;
        for (number, &hash) in hashes.iter().enumerate() {
            let is_empty = |there| there == number;
            let (at, _) = self.search(self.first(hash), number, is_empty);
            self.put(at, number);
        }
    }

    /// Forgets all keys, of which there were so many.
    fn empty(&mut self, keys: usize) {
        // Batches that have become small do not empty a large table each.
        let needed = (keys * 2 * SLOTS_PER_KEY)
            .next_power_of_two()
            .max(SLOTS_MIN);
        self.slots.truncate(needed);
        self.slots.fill(0);
        self.room = self.slots.len() / SLOTS_PER_KEY;
    }
}

/// Gives numbers to keys behind the first `count`, which have some, and tells how many have then.
/// Whether a key has a number is nothing that could be guessed: what a new one needs is written in
/// any case, and no branch depends on it.
fn number_all<'a, const N: usize>(
    known: &mut [[u8; N]],
    hashes: &mut [u64],
    mut count: usize,
    slots: &mut Slots,
    (keys, hashes_of): (&[[u8; N]], &[u64]),
    rows: impl Iterator<Item = (&'a mut u32, usize)>,
) -> usize {
    for (place, row) in rows {
        let (key, hash) = (&keys[row], hashes_of[row]);
        if count >= slots.room {
            slots.grow(&hashes[..count]);
        }
        known[count] = *key;
        hashes[count] = hash;
        let mut at = slots.first(hash);
        let mut number = slots.number_or(at, count);
        if known[number] != *key {
            (at, number) = slots.search(at, count, |number| known[number] == *key);
        }
        slots.put(at, number);
        *place = number as u32;
        count += usize::from(number == count);
    }
    count
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Keys in hand together, and which rows go to a target: of one length or of any.
    fn rows_in_hand() -> impl Strategy<Value = (Vec<String>, Vec<bool>)> {
        let patterns = [
            "[a-e]{0,3}",
            "[ab]{5}",
            "[ab]{9}",
            "[ab]{9}",
            "[a-d]ijklmno[a-d]{9}",
        ];
        let keys = prop::sample::select(patterns.to_vec())
            .prop_flat_map(|pattern| prop::collection::vec(pattern, 0..200));
        (keys, prop::collection::vec(any::<bool>(), 200))
    }

    /// Rows of one length that hold a key of eight bytes, or of several.
    fn rows_with_numbers() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let even = prop::sample::select(vec![7_usize, 8, 9, 24, 40]).prop_flat_map(|length| {
            let row = (0..9_u8, any::<bool>()).prop_map(move |(key, end)| {
                let mut row = vec![0; length];
                row[1] = key;
                row[length - 1] = u8::from(end);
                row
            });
            prop::collection::vec(row, 0..200)
        });
        let odd = prop::collection::vec(prop::collection::vec(0..2_u8, 8..12), 0..20);
        prop_oneof![4 => even, 1 => odd]
    }

    proptest! {
        /// Keys that are taken from rows are those that are selected.
        #[test]
        fn keys_of_eight_bytes_are_numbered_as_any_others(
            batches in prop::collection::vec(
                prop::collection::vec((rows_with_numbers(), 0..3_usize), 0..4), 0..4),
            at in 0..3_usize,
        ) {
            let (mut taken, mut selected) = (Numbers::default(), Numbers::default());
            let (mut keys, mut in_hand) = (Keys::default(), Keys::default());
            for batch in batches {
                for (rows, one_in) in batch {
                    let rows: Column = rows.iter().map(Vec::as_slice).collect();
                    let picked = (0..rows.len()).filter(|row| row % (one_in + 1) == 0);
                    let picked: Vec<usize> = picked.collect();
                    let select = |keys: &mut Column| rows.iter().for_each(|row| {
                        let mut number = [0; 8];
                        let part = &row[at.min(row.len())..];
                        number[..part.len().min(8)].copy_from_slice(&part[..part.len().min(8)]);
                        keys.push(&[&[8][..], &number].concat());
                    });
                    in_hand.refill(select);
                    let is_even = rows.view().width().is_some_and(|width| width >= at + 8);
                    prop_assert_eq!(keys.refill_numbers(rows.view(), at), is_even);
                    if !is_even {
                        // A row that is too short has an empty key.
                        let select = |keys: &mut Column| rows.iter().for_each(|row| {
                            let number = row.get(at..).and_then(<[u8]>::first_chunk::<8>);
                            let key = number.map(|number| [&[8][..], number].concat());
                            keys.push(&key.unwrap_or_default());
                        });
                        keys.refill(select);
                        in_hand.refill(select);
                    }
                    prop_assert_eq!(keys.len(), rows.len());
                    prop_assert_eq!(&keys.hashes, &in_hand.hashes);
                    taken.extend(&keys, picked.iter().copied());
                    selected.extend(&in_hand, picked.into_iter());
                }
                prop_assert_eq!(taken.take(), selected.take());
            }
        }

        #[test]
        fn keys_are_numbered_as_they_first_appear(
            batches in prop::collection::vec(prop::collection::vec(rows_in_hand(), 0..4), 0..4),
            // With few bits of the hash, keys meet in their slots and have the same tags.
            hash_bits in prop::sample::select(vec![0_u64, 0x8000_0000_0000_0003, u64::MAX]),
        ) {
            let (mut numbers, mut in_hand) = (Numbers::default(), Keys::default());
            for batch in batches {
                let (mut known, mut expected) = (HashMap::new(), Vec::new());
                let mut keys = Vec::new();
                for (rows, picked) in &batch {
                    in_hand.refill(|keys| rows.iter().for_each(|key| keys.push(key.as_bytes())));
                    in_hand.hashes.iter_mut().for_each(|hash| *hash &= hash_bits);
                    let picked: Vec<usize> = (0..rows.len()).filter(|&row| picked[row]).collect();
                    for &row in &picked {
                        let (key, next) = (&rows[row], known.len() as u32);
                        let number = *known.entry(key).or_insert_with(|| {
                            keys.push((key.as_bytes(), hash64(key.as_bytes()) & hash_bits));
                            next
                        });
                        expected.push(number);
                    }
                    numbers.extend(&in_hand, picked.into_iter());
                }
                let found = numbers.take().unwrap_or_default();
                prop_assert_eq!(found.key_of_row, expected);
                let found: Vec<_> = found.keys.iter().zip(found.hashes.iter().copied()).collect();
                prop_assert_eq!(found, keys);
            }
        }
    }

    #[test]
    fn the_room_of_a_key_that_was_large_is_not_kept() {
        let (mut numbers, mut keys) = (Numbers::default(), Keys::default());
        let large = vec![7; Batch::MAX_BYTES + 1];
        for key in [&large[..], b"small", &large[..]] {
            keys.refill(|keys| keys.push(key));
            numbers.extend(&keys, 0..1);
            let taken = numbers.take().unwrap();
            assert_eq!((taken.keys.get(0), taken.hashes), (key, vec![hash64(key)]));
            let (kept, _) = take(&mut numbers.known.keys).into_parts();
            assert!(kept.capacity() <= Batch::MAX_BYTES);
        }
    }

    #[test]
    fn a_table_serves_as_many_keys_as_a_batch_has_and_few_again() {
        // Keys in line, and such that are not.
        for length in [9, 10] {
            let (mut numbers, mut keys) = (Numbers::default(), Keys::default());
            for count in [Batch::MAX_ROWS as u32, 3, 100, Batch::MAX_ROWS as u32] {
                keys.refill(|keys| {
                    for number in 0..count {
                        let key = [u64::from(number).to_le_bytes(), [7; 8]].concat();
                        keys.push(&key[..length]);
                    }
                });
                for _ in 0..2 {
                    numbers.extend(&keys, 0..count as usize);
                }
                let keyed = numbers.take().unwrap();
                let expected: Vec<u32> = (0..count).chain(0..count).collect();
                assert_eq!(keyed.key_of_row, expected, "{count} keys");
                assert_eq!(keyed.keys, keys.keys);
                assert_eq!(keyed.hashes, keys.hashes);
                let slots = numbers.known.slots.slots.len();
                assert!(slots <= 4 * SLOTS_PER_KEY * (count as usize).max(SLOTS_MIN));
            }
            assert!(numbers.take().is_none());
        }
    }
}
