//! What a call has added to lists, in the columns by which the host gets it: written once, in order
//! of adding, and chained by key for those that are looked at.
//!
//! INVARIANT: an element is behind all that the same key had before it.

use crate::bindings::weir::operator::data::BytesColumn;
use crate::codec::StateCodec;
use crate::column;
use crate::error::Result;

/// Columns that have more memory than so many bytes give it back at the end of the call.
const KEPT_BYTES: usize = 1 << 20;

/// See the module.
pub(super) struct Added {
    /// Whose each element is.
    pub(super) keys: Vec<u32>,
    pub(super) values: BytesColumn,
    /// The element that the same key had before each, plus one; or 0.
    before: Vec<u32>,
}

impl Default for Added {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            values: column::with_room(0, 0),
            before: Vec::new(),
        }
    }
}

impl Added {
    /// Adds an element; `last` is the last one of its key, plus one, or 0.
    #[inline]
    pub(super) fn push<T: StateCodec>(
        &mut self,
        key: u32,
        last: &mut u32,
        value: &T,
    ) -> Result<()> {
        let start = self.values.bytes.len();
        let written = value.encode(&mut self.values.bytes);
        if let Err(error) = written.and_then(|()| column::end_row(&mut self.values)) {
            self.values.bytes.truncate(start);
            return Err(error);
        }
        self.keys.push(key);
        self.before.push(*last);
        *last = self.before.len() as u32;
        Ok(())
    }

    /// Checks that a value has a written form.
    pub(super) fn check<T: StateCodec>(&mut self, value: &T) -> Result<()> {
        let start = self.values.bytes.len();
        let written = value.encode(&mut self.values.bytes);
        self.values.bytes.truncate(start);
        written
    }

    /// Takes the element that was added last away, which is the last one of its key.
    pub(super) fn pop(&mut self, last: &mut u32) {
        *last = self.before.pop().unwrap_or_default();
        self.keys.pop();
        self.values.ends.pop();
        let end = self.values.ends.last().copied().unwrap_or_default();
        self.values.bytes.truncate(end as usize);
    }

    /// The elements of a key whose last one, plus one, is `last`; that one first.
    pub(super) fn of_key(&self, last: u32) -> impl Iterator<Item = usize> {
        let element = |plus_one: u32| (plus_one as usize).checked_sub(1);
        std::iter::successors(element(last), move |after| {
            self.before.get(*after).and_then(|before| element(*before))
        })
    }

    /// Leaves out the elements of some keys. What is left is in no chain.
    pub(super) fn retain<T: StateCodec>(&mut self, is_kept: impl Fn(u32) -> bool) {
        let BytesColumn { bytes, ends } = &mut self.values;
        let (mut start, mut kept, mut kept_bytes) = (0, 0, 0);
        for element in 0..self.keys.len() {
            let (key, end) = (self.keys[element], ends[element] as usize);
            let (is_kept, length) = (is_kept(key), end - start);
            match T::WIDTH {
                // Which are kept is hard to foretell, and to copy a length that the compiler knows
                // takes less than a wrong guess.
                Some(width) if width == length => {
                    bytes.copy_within(start..start + width, kept_bytes);
                }
                _ if is_kept && start != kept_bytes => bytes.copy_within(start..end, kept_bytes),
                _ => {}
            }
            kept_bytes += usize::from(is_kept) * length;
            self.keys[kept] = key;
            ends[kept] = kept_bytes as u32;
            kept += usize::from(is_kept);
            start = end;
        }
        bytes.truncate(kept_bytes);
        ends.truncate(kept);
        self.keys.truncate(kept);
        self.before.clear();
    }

    pub(super) fn clear(&mut self) {
        if self.values.bytes.capacity() > KEPT_BYTES || self.keys.capacity() * 4 > KEPT_BYTES {
            *self = Self::default();
            return;
        }
        self.keys.clear();
        self.values.bytes.clear();
        self.values.ends.clear();
        self.before.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(added: &Added) -> Vec<(u32, &[u8])> {
        let rows = column::rows(&added.values).map(Result::unwrap);
        added.keys.iter().copied().zip(rows).collect()
    }

    #[test]
    fn elements_are_found_by_key_and_taken_away_again() {
        let mut added = Added::default();
        let mut last = [0; 2];
        for (key, value) in [(0, "a"), (1, "long"), (0, ""), (0, "b")] {
            let value = value.to_owned();
            added.push(key as u32, &mut last[key], &value).unwrap();
        }
        assert_eq!(added.of_key(last[0]).collect::<Vec<_>>(), [3, 2, 0]);
        assert_eq!(added.of_key(last[1]).collect::<Vec<_>>(), [1]);
        assert_eq!(added.of_key(0).count(), 0);
        added.pop(&mut last[0]);
        assert_eq!(added.of_key(last[0]).collect::<Vec<_>>(), [2, 0]);
        let all: [(u32, &[u8]); 3] = [(0, b"a"), (1, b"long"), (0, b"")];
        assert_eq!(elements(&added), all);
        (0..2).for_each(|_| added.pop(&mut last[0]));
        assert_eq!(added.of_key(last[0]).count(), 0);
    }

    #[test]
    fn the_elements_of_some_keys_are_left_out() {
        let mut texts = Added::default();
        let mut numbers = Added::default();
        for number in 0..100_u64 {
            let text = "x".repeat(number as usize % 5);
            texts.push(number as u32 % 7, &mut 0, &text).unwrap();
            numbers.push(number as u32 % 7, &mut 0, &number).unwrap();
        }
        let kept = |key: u32| key % 3 == 1;
        texts.retain::<String>(kept);
        numbers.retain::<u64>(kept);
        let left = (0..100_u64).filter(|number| kept(*number as u32 % 7));
        let text = |number: u64| vec![b'x'; number as usize % 5];
        let expected: Vec<_> = left.clone().map(|n| (n as u32 % 7, text(n))).collect();
        let found = elements(&texts)
            .into_iter()
            .map(|(key, x)| (key, x.to_vec()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
        let expected: Vec<_> = left.map(|n| (n as u32 % 7, n.to_le_bytes())).collect();
        let expected: Vec<_> = expected.iter().map(|(key, n)| (*key, &n[..])).collect();
        assert_eq!(elements(&numbers), expected);
        texts.retain::<String>(|_| false);
        assert!(elements(&texts).is_empty() && texts.values.bytes.is_empty());
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        struct Half;
        impl StateCodec for Half {
            fn format() -> String {
                "half".to_owned()
            }
            fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
                out.push(1);
                crate::bail!("half a value")
            }
            fn decode(_: &[u8]) -> Result<Self> {
                Ok(Self)
            }
        }
        let (mut added, mut last) = (Added::default(), 0);
        added.push(0, &mut last, &7_u64).unwrap();
        added.push(0, &mut last, &Half).unwrap_err();
        assert_eq!(elements(&added), [(0, &7_u64.to_le_bytes()[..])]);
        assert_eq!(added.of_key(last).count(), 1);
    }
}
