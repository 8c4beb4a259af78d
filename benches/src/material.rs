//! The rows: made once, before anything is measured.
//!
//! A row is `key,value`, a key of 16 bytes and a value of 64. Each key has a row at least; which
//! row has which key looks random and is the same in each run.

use weir_model::{Column, hash64};

use crate::case::Work;

/// The length of a key.
pub(crate) const KEY_BYTES: usize = 16;
/// The length of a value.
const VALUE_BYTES: usize = 64;

/// Rows that are dealt out over and over.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) rows: Column,
    /// The number of each row's key.
    pub(crate) key_of_row: Vec<u32>,
    pub(crate) keys: u32,
    /// For each row the sum of the checks of the rows before it; the last is that of all.
    sums: Vec<u64>,
}

impl Material {
    pub(crate) fn new(work: Work) -> Self {
        let (count, keys) = (work.rows(), work.keys());
        let mut random = Random(u64::from(keys) << 32 | u64::from(count));
        let mut key_of_row: Vec<u32> = (0..count).map(|row| row % keys).collect();
        for at in (1..key_of_row.len()).rev() {
            key_of_row.swap(at, random.below(at + 1));
        }
        let row_bytes = KEY_BYTES + 1 + VALUE_BYTES;
        let mut rows = Column::with_capacity(count as usize, count as usize * row_bytes);
        let mut sums = vec![0_u64];
        for &key in &key_of_row {
            rows.push_with(|out| {
                out.extend_from_slice(&key_name(key));
                out.push(b',');
                for _ in 0..VALUE_BYTES {
                    out.push(b'a' + random.below(26) as u8);
                }
            });
            let last = rows.get(rows.len() - 1);
            sums.push(sums[sums.len() - 1].wrapping_add(check(last)));
        }
        Self {
            rows,
            key_of_row,
            keys,
            sums,
        }
    }

    /// How many rows there are before they begin again.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The sum of the checks of the rows `0..to`.
    pub(crate) fn sum_to(&self, to: usize) -> u64 {
        self.sums[to]
    }
}

/// What a row contributes to the check of an output: the sum does not depend on the order in which
/// parallel tasks come.
pub(crate) fn check(row: &[u8]) -> u64 {
    hash64(row)
}

/// The bytes of a key.
pub(crate) fn key_name(key: u32) -> [u8; KEY_BYTES] {
    let mut name = *b"user-00000000000";
    let mut rest = key;
    for digit in name.iter_mut().rev().take(10) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

/// A row of numbers that look random (SplitMix64), the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_promised_shape_and_every_key_occurs() {
        let material = Material::new(Work::Count { keys: 1_000 });
        let mut seen = vec![false; 1_000];
        for (row, &key) in material.rows.iter().zip(&material.key_of_row) {
            assert_eq!(row.len(), KEY_BYTES + 1 + VALUE_BYTES);
            assert_eq!(row[..KEY_BYTES], key_name(key));
            assert_eq!(row[KEY_BYTES], b',');
            seen[key as usize] = true;
        }
        assert!(seen.iter().all(|&seen| seen));
        assert_eq!(&key_name(4_294_967_295), b"user-04294967295");
    }
}
