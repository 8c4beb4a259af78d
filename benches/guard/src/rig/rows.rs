//! The rows of all paths: `key,value` of csv, 16 and 64 bytes, keys in no order, the same in each
//! run.

use weir_model::{Column, Keyed, KeyedView, Rows, hash64};

/// Batches that are gone through over and over: as many as are of distinct content.
const DISTINCT: u32 = 16;
/// The length of a value.
const VALUE_BYTES: usize = 64;

/// One batch, with and without its keys selected.
pub struct Rowful {
    /// The rows.
    pub values: Column,
    /// Their keys.
    pub keyed: Keyed,
    /// Their event times: a millisecond from one to the next.
    pub timestamps: Vec<i64>,
}

impl Rowful {
    /// The rows as an operator gets them.
    #[must_use]
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            values: self.values.view(),
            timestamps: &self.timestamps,
            keyed: Some(self.keys()),
        }
    }

    /// The keys that they have.
    #[must_use]
    pub fn keys(&self) -> KeyedView<'_> {
        KeyedView {
            keys: self.keyed.keys.view(),
            hashes: &self.keyed.hashes,
            key_of_row: &self.keyed.key_of_row,
        }
    }
}

/// Batches of so many rows of so many keys.
#[must_use]
pub fn batches(keys: u32, rows: u32) -> Vec<Rowful> {
    let mut random = Random(u64::from(keys));
    let batch = |batch: u32| {
        let mut values = Column::new();
        let (mut names, mut hashes, mut key_of_row) = (Column::new(), Vec::new(), Vec::new());
        let mut known = indexmap::IndexSet::new();
        for _ in 0..rows {
            let name = key_name(random.below(keys));
            values.push_with(|out| {
                out.extend_from_slice(&name);
                out.push(b',');
                out.extend((0..VALUE_BYTES).map(|_| b'a' + random.below(26) as u8));
            });
            let (at, is_new) = known.insert_full(name);
            key_of_row.push(at as u32);
            if is_new {
                let key = selected(&name);
                hashes.push(hash64(&key));
                names.push(&key);
            }
        }
        let first = i64::from(batch) * i64::from(rows);
        Rowful {
            values,
            keyed: Keyed {
                keys: names,
                hashes,
                key_of_row,
            },
            timestamps: (first..first + i64::from(rows)).collect(),
        }
    };
    (0..DISTINCT).map(batch).collect()
}

/// The bytes of a key in a row.
#[must_use]
pub fn key_name(key: u32) -> [u8; 16] {
    let mut name = *b"user-00000000000";
    let mut rest = key;
    for digit in name.iter_mut().rev().take(10) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

/// A key as it is selected: its length before it.
#[must_use]
pub fn selected(name: &[u8; 16]) -> [u8; 17] {
    let mut key = [16; 17];
    key[1..].copy_from_slice(name);
    key
}

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % u64::from(bound)) as u32
    }
}
