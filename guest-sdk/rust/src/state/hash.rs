//! The hash of what the SDK keeps by key: multiply and rotate over words of eight bytes.
//!
//! Only caches depend on it: who makes keys collide slows down an instance of its own operator, and
//! the host bounds the time of a call.

use std::hash::Hasher;

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A hasher for the maps of the standard library.
#[derive(Default)]
pub(super) struct Words(u64);

impl Words {
    /// A hash of a number, to which bytes may be added.
    #[inline]
    pub(super) fn of(number: u64) -> Self {
        Self(number.wrapping_mul(FACTOR))
    }

    #[inline]
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for Words {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let word = rest.iter().rev();
            self.add(word.fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    /// A table takes its bits from the lower half. Numbers in the order of their bytes differ in
    /// the last ones, that is in the highest bits of a word, of which a multiplication makes
    /// nothing below: they are brought down and multiplied once more.
    #[inline]
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// How many of 1,000 keys have a bucket of their own among 2,048, and how many tags of seven
    /// bits there are, as a table of the standard library has them in an address space of 32 bits.
    fn spread(key: impl Fn(u64) -> Vec<u8>) -> (usize, usize) {
        let hashes = (0..1_000).map(|number| {
            let mut hash = Words::of(3);
            hash.write(&key(number));
            hash.finish() as u32
        });
        let (buckets, tags): (HashSet<u32>, HashSet<u32>) =
            hashes.map(|hash| (hash & 2_047, hash >> 25)).unzip();
        (buckets.len(), tags.len())
    }

    #[test]
    fn numbers_and_texts_spread_whatever_bytes_they_differ_in() {
        let texts = |number: u64| format!("rule-{number:05}").into_bytes();
        let both = |number: u64| [number.to_be_bytes(), (number / 7).to_be_bytes()].concat();
        type Make<'a> = &'a dyn Fn(u64) -> Vec<u8>;
        let kinds: [(&str, Make<'_>); 6] = [
            ("big", &|number| number.to_be_bytes().to_vec()),
            ("little", &|number| number.to_le_bytes().to_vec()),
            ("high", &|number| (number << 40).to_be_bytes().to_vec()),
            ("short", &|number| (number as u32).to_be_bytes().to_vec()),
            ("texts", &texts),
            ("both", &both),
        ];
        for (kind, key) in kinds {
            // By chance it would be 790 of 1,000, and all tags.
            let (buckets, tags) = spread(key);
            assert!(buckets > 700 && tags > 120, "{kind}: {buckets}, {tags}");
        }
    }
}
