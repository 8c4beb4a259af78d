//! Entries of a map that a batch named, each asked for by itself: where few are named twice, to
//! find out which takes longer than to read these once more.
//!
//! INVARIANT: no value is written here. An entry that is has a place in the table of the map from
//! then on, with the value that it had, where whatever has the same name finds it.

use crate::bindings::weir::operator::data::{BytesColumn, OptionalColumn};
use crate::codec::StateCodec;
use crate::column;
use crate::error::Result;
use crate::map_key::{AsMapKey, ShortKey};

/// Of so many entries that are named together one may have been named before.
const ONE_IN: usize = 8;
/// Of so many calls one has its entries in the table, to see how many are named twice. It is an odd
/// number: every other call may be of another input.
const CALLS: u32 = 17;

/// The entries that a batch named, by their numbers.
pub(super) struct Apart<V> {
    /// Whose each entry is.
    pub(super) keys: Vec<u32>,
    pub(super) map_keys: BytesColumn,
    /// As the host holds them; of what has a place in the table it may be gone.
    pub(super) values: Vec<Option<V>>,
    /// How many calls come until one is not apart.
    calls: u32,
    /// Whether none is any more.
    is_left: bool,
}

impl<V> Default for Apart<V> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            map_keys: column::with_room(0, 0),
            values: Vec::new(),
            calls: 0,
            is_left: false,
        }
    }
}

impl<V> Apart<V> {
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.map_keys.bytes.clear();
        self.map_keys.ends.clear();
        self.values.clear();
    }

    /// The map key of an entry.
    pub(super) fn map_key(&self, entry: usize) -> &[u8] {
        column::row(&self.map_keys, entry).unwrap_or_default()
    }
}

impl<V: StateCodec> Apart<V> {
    /// Whether entries of this call are to be apart. Values that are large, or may be, are never:
    /// of many entries that were one and the same there would be too much.
    pub(super) fn are_next(&mut self) -> bool {
        if self.is_left || !column::is_small::<V>() {
            return false;
        }
        self.calls = self.calls.saturating_sub(1);
        self.calls > 0
    }

    /// A call has named entries twice: what it asks for first is better in the table at once.
    pub(super) fn leave(&mut self) {
        self.is_left = true;
    }

    /// So many entries were named that are not apart, and so many of them are different.
    pub(super) fn learn_from(&mut self, named: usize, different: usize) {
        let twice = named.saturating_sub(different);
        self.calls = match twice * ONE_IN <= named {
            true => CALLS,
            false => 0,
        };
    }

    /// Names entries, each of one of so many keys.
    ///
    /// # Errors
    /// What `named` gives first; if the map keys are too much for a column.
    pub(super) fn name<K>(
        &mut self,
        named: impl Iterator<Item = Result<(u32, impl AsMapKey<K>)>>,
        keys: u32,
    ) -> Result<()> {
        let most = named.size_hint().0;
        let BytesColumn { bytes, ends } = &mut self.map_keys;
        self.keys.reserve(most);
        ends.reserve(most);
        bytes.resize(most * ShortKey::MOST, 0);
        let mut end = 0;
        for entry in named {
            let (key, map_key) = entry?;
            assert!(key < keys, "no key has the number {key}");
            match map_key.short_key() {
                Some(short) => {
                    if bytes.len() < end + ShortKey::MOST {
                        bytes.resize(2 * end + ShortKey::MOST, 0);
                    }
                    // The next one is written over what is too much.
                    if let Some(place) = bytes.get_mut(end..).and_then(<[u8]>::first_chunk_mut) {
                        *place = short.bytes;
                    }
                    end += short.length;
                }
                None => {
                    bytes.truncate(end);
                    map_key.encode_key(bytes);
                    end = bytes.len();
                }
            }
            self.keys.push(key);
            ends.push(end as u32);
        }
        bytes.truncate(end);
        column::end_of(end).map(|_| ())
    }

    /// Learns the entries of what the host said of them; gives back how many are known: all, or
    /// those before the first of which it cannot be read.
    pub(super) fn learn(&mut self, said: &OptionalColumn) -> usize {
        let values = column::small_values(said).map_while(|value| value);
        self.values.extend(values.take(self.keys.len()));
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn entries_are_apart_while_few_were_named_twice_when_that_was_looked_at() {
        let mut apart = Apart::<u64>::default();
        for (named, different, expected) in [
            (16, 14, 16),
            (16, 13, 0),
            (4000, 3500, 16),
            (4000, 3499, 0),
            (0, 0, 16),
            (1, 1, 16),
            (2, 1, 0),
        ] {
            assert!(!apart.are_next());
            apart.learn_from(named, different);
            let calls = (0..40).take_while(|_| apart.are_next()).count();
            assert_eq!(calls, expected, "{different} of {named}");
            let mut of_any_size = Apart::<String>::default();
            of_any_size.learn_from(named, different);
            assert!(!of_any_size.are_next());
        }
        apart.leave();
        apart.learn_from(16, 16);
        assert!(!apart.are_next());
    }

    #[test]
    fn map_keys_lie_one_behind_the_other_whatever_was_told_of_how_many_there_are() {
        let texts = ["", "a", "a text that is longer than a word", "four"];
        for told in 0..3 {
            let mut apart = Apart::<u64>::default();
            for _ in 0..2 {
                apart.clear();
                let all = texts.iter().zip(0..);
                let of_no_size = all.clone().filter(|_| told == 0);
                let known = all.take(if told == 0 { 0 } else { 4 });
                let named = known.chain(of_no_size).map(|(text, key)| Ok((key, *text)));
                apart.name::<String>(named, 4).unwrap();
                assert_eq!(apart.keys, [0, 1, 2, 3]);
                assert_eq!(
                    texts.each_ref().map(|t| t.as_bytes()),
                    [0, 1, 2, 3].map(|n| apart.map_key(n))
                );
            }
            apart.clear();
            let numbers = (0..9_u32).filter(|_| told != 1).map(|n| Ok((0, n)));
            apart.name::<u32>(numbers, 1).unwrap();
            let expected = if told == 1 { 0 } else { 9 };
            assert_eq!(apart.keys.len(), expected);
            for number in 0..expected {
                assert_eq!(apart.map_key(number), (number as u32).to_be_bytes());
            }
            let failing = [Ok((0, 7_u32)), Err(Error::new("no"))];
            assert!(apart.name::<u32>(failing.into_iter(), 1).is_err());
        }
    }
}
