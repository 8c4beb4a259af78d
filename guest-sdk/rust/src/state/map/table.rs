//! The entries of a map state that a call has met: dense, chained by key index, and found along
//! the chain of their key, or by key index and map key once such a chain is long.
//!
//! The keys and map keys of all entries are columns, as the host is asked for them. They and the
//! table are reused between calls, so that meeting an entry allocates nothing once they have grown.
//!
//! INVARIANT: an entry is added only after all that its key has were looked at, and from the moment
//! that a chain has `CHAIN_MOST` entries, all entries are in `buckets`.

use std::hash::Hasher;
use std::mem;

use crate::bindings::weir::operator::data::BytesColumn;
use crate::column;
use crate::error::Result;
use crate::map_key::{AsMapKey, ShortKey};
use crate::state::hash::Words;

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
    /// What is known of each entry.
    pub(super) contents: Vec<Content<V>>,
    /// By what each entry is found.
    links: Vec<Link>,
    /// Whose each entry is.
    keys: Vec<u32>,
    map_keys: BytesColumn,
    /// The last entry met of each distinct key of the call, plus one; or 0.
    last: Vec<u32>,
    /// Index of an entry plus one, or 0; a power of two long, at most half full. Empty while all
    /// chains are short: few entries of a key in a call, as most have, need no hash.
    buckets: Vec<u32>,
    /// The entry behind the one that was found last: rows look up what they named, in order.
    next: usize,
}

struct Link {
    /// The map key, as it is sought.
    word: u64,
    length: u32,
    /// The entry of the same key that was met before this one, plus one; or 0.
    before: u32,
}

/// A map key as it is compared. If it is long, that says only that two are different.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sought {
    /// The bytes, if they are no more than a word has, and else their hash.
    word: u64,
    length: u32,
}

const BUCKETS_MIN: usize = 64;
/// So many entries of a key are gone through.
const CHAIN_MOST: usize = 8;

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            contents: Vec::new(),
            links: Vec::new(),
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
        self.contents.clear();
        self.links.clear();
        self.keys.clear();
        self.map_keys.bytes.clear();
        self.map_keys.ends.clear();
        self.last.clear();
        self.last.resize(keys as usize, 0);
        self.buckets.clear();
        self.next = 0;
    }

    /// The entry with that map key; a new one is `Stored`.
    ///
    /// # Errors
    /// If the map keys of a call are too much for a column.
    #[inline]
    pub(super) fn find<K>(&mut self, key: u32, map_key: &impl AsMapKey<K>) -> Result<usize> {
        let found = match map_key.short_key() {
            Some(short) => self.find_short(key, short)?,
            None => self.find_written(key, |out| map_key.encode_key(out))?,
        };
        // The rows begin anew behind the last one.
        self.next = if found + 1 == self.links.len() {
            0
        } else {
            found + 1
        };
        Ok(found)
    }

    /// Meets the entry with that map key, which most likely is the first of its key.
    ///
    /// # Errors
    /// As `find`.
    #[inline]
    pub(super) fn meet<K>(&mut self, key: u32, map_key: &impl AsMapKey<K>) -> Result<()> {
        let is_first = self.last[key as usize] == 0 && self.buckets.is_empty();
        match map_key.short_key().filter(|_| is_first) {
            Some(short) => {
                short.append(&mut self.map_keys.bytes);
                self.add(key, Sought::of_short(short))?;
            }
            None => {
                self.find(key, map_key)?;
            }
        }
        Ok(())
    }

    /// Meets entries one after the other, each of a key, and adds where each is to `places`.
    ///
    /// # Errors
    /// What `sought` gives first; as `find`.
    pub(super) fn meet_all<K>(
        &mut self,
        sought: impl Iterator<Item = Result<(u32, impl AsMapKey<K>)>>,
        places: &mut Vec<u32>,
    ) -> Result<()> {
        let most = sought.size_hint().0;
        let mut short = Vec::with_capacity(most);
        places.reserve(most);
        for entry in sought {
            let (key, map_key) = entry?;
            match map_key.short_key() {
                Some(of) => short.push((key, Sought::of_short(of))),
                None => {
                    self.meet_short(&short, places)?;
                    short.clear();
                    places.push(self.find(key, &map_key)? as u32);
                }
            }
        }
        self.meet_short(&short, places)
    }

    /// Meets entries with short map keys. While no key has many, in passes: nothing but chains is
    /// looked at in the first.
    fn meet_short(&mut self, sought: &[(u32, Sought)], places: &mut Vec<u32>) -> Result<()> {
        let old = self.links.len();
        let looked = match self.buckets.is_empty() {
            true => self.chain(sought, places),
            false => 0,
        };
        let new = self.links.len();
        self.contents.resize_with(new, Content::stored);
        self.write_map_keys(old)?;
        for (key, sought) in sought.get(looked..).unwrap_or_default() {
            places.push(self.find_short(*key, sought.as_short())? as u32);
        }
        Ok(())
    }

    /// Looks for entries along the chains of their keys and puts new ones there, up to one whose
    /// chain is long; how many it was done for. What else there is of an entry is left to be added.
    #[inline(never)]
    fn chain(&mut self, sought: &[(u32, Sought)], places: &mut Vec<u32>) -> usize {
        let (links, keys, last) = (&mut self.links, &mut self.keys, &mut self.last);
        links.reserve(sought.len());
        keys.reserve(sought.len());
        places.reserve(sought.len());
        for (looked, (key, Sought { word, length })) in sought.iter().enumerate() {
            let last = &mut last[*key as usize];
            let mut entry = *last;
            let mut passed = 0;
            // Nothing stands before the first place: there a chain ends.
            while let Some(link) = links.get((entry as usize).wrapping_sub(1))
                && (link.word != *word || link.length != *length)
            {
                entry = link.before;
                passed += 1;
            }
            if entry == 0 {
                if passed >= CHAIN_MOST {
                    return looked;
                }
                let (word, length, before) = (*word, *length, *last);
                links.push(Link {
                    word,
                    length,
                    before,
                });
                keys.push(*key);
                entry = links.len() as u32;
                *last = entry;
            }
            places.push(entry - 1);
        }
        sought.len()
    }

    /// Writes the map keys, which are short, of the entries from `first` on.
    #[inline(never)]
    fn write_map_keys(&mut self, first: usize) -> Result<()> {
        let links = self.links.get(first..).unwrap_or_default();
        let BytesColumn { bytes, ends } = &mut self.map_keys;
        let start = bytes.len();
        bytes.resize(start + links.len() * ShortKey::MOST, 0);
        let mut length = start;
        ends.reserve(links.len());
        for link in links {
            // The next one is written over what is too much.
            if let Some(place) = bytes.get_mut(length..).and_then(<[u8]>::first_chunk_mut) {
                *place = link.word.to_le_bytes();
            }
            length += link.length as usize;
            ends.push(length as u32);
        }
        bytes.truncate(length);
        column::end_of(length).map(|_| ())
    }

    /// As `find`, of a map key that has to be written only if it is new.
    #[inline]
    fn find_short(&mut self, key: u32, map_key: ShortKey) -> Result<usize> {
        let start = self.map_keys.bytes.len();
        let sought = Sought::of_short(map_key);
        if self.is_next(key, sought, start) {
            return Ok(self.next);
        }
        match self.look(key, sought, start) {
            Some(found) => Ok(found),
            None => {
                map_key.append(&mut self.map_keys.bytes);
                self.add(key, sought)
            }
        }
    }

    /// The entry with a map key that lies elsewhere, if it was met.
    pub(super) fn seek(&self, key: u32, map_key: &[u8]) -> Option<usize> {
        let sought = Sought::of(map_key);
        let is = |entry: usize| {
            let Link { word, length, .. } = self.links[entry];
            let is_alike = word == sought.word && length == sought.length;
            is_alike && (sought.is_whole() || self.map_key(entry) == map_key)
        };
        match self.buckets.is_empty() {
            true => self.of_key(key).find(|&entry| is(entry)),
            false => self.look_in_buckets(key, sought, is),
        }
    }

    /// As `find`, of a map key that has to be written to be seen: behind all others, from where it
    /// is taken away again if it is not new.
    pub(super) fn find_written(
        &mut self,
        key: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<usize> {
        let start = self.map_keys.bytes.len();
        write(&mut self.map_keys.bytes);
        let sought = Sought::of(&self.map_keys.bytes[start..]);
        let found = match self.is_next(key, sought, start) {
            true => Some(self.next),
            false => self.look(key, sought, start),
        };
        match found {
            Some(found) => {
                self.map_keys.bytes.truncate(start);
                Ok(found)
            }
            None => self.add(key, sought),
        }
    }

    /// Whether it is the entry behind the one that was found last.
    #[inline]
    fn is_next(&self, key: u32, sought: Sought, start: usize) -> bool {
        self.keys.get(self.next) == Some(&key) && self.is(self.next, sought, start)
    }

    /// The entry with a map key, which begins at `start` if it is a long one.
    fn look(&mut self, key: u32, sought: Sought, start: usize) -> Option<usize> {
        if !self.buckets.is_empty() {
            return self.look_in_buckets(key, sought, |entry| self.is(entry, sought, start));
        }
        let mut entry = self.last[key as usize];
        let mut length = 0;
        while let Some(found) = (entry as usize).checked_sub(1) {
            if self.is(found, sought, start) {
                return Some(found);
            }
            entry = self.links[found].before;
            length += 1;
        }
        if length >= CHAIN_MOST {
            self.fill_buckets();
        }
        None
    }

    fn look_in_buckets(
        &self,
        key: u32,
        sought: Sought,
        is: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mask = self.buckets.len() - 1;
        let mut bucket = sought.hash(key) as usize & mask;
        while let Some(found) = (self.buckets[bucket] as usize).checked_sub(1) {
            if self.keys[found] == key && is(found) {
                return Some(found);
            }
            bucket = (bucket + 1) & mask;
        }
        None
    }

    /// Adds an entry that is not there; its map key is behind all others.
    #[inline]
    fn add(&mut self, key: u32, map_key: Sought) -> Result<usize> {
        column::end_row(&mut self.map_keys)?;
        let index = self.links.len();
        let before = mem::replace(&mut self.last[key as usize], index as u32 + 1);
        let Sought { word, length } = map_key;
        self.links.push(Link {
            word,
            length,
            before,
        });
        self.keys.push(key);
        self.contents.push(Content::stored());
        if !self.buckets.is_empty() {
            if self.buckets.len() < self.links.len() * 2 {
                self.fill_buckets();
            } else {
                self.put_in_bucket(index);
            }
        }
        Ok(index)
    }

    /// Puts all entries into buckets, with room for as many again.
    #[cold]
    fn fill_buckets(&mut self) {
        let length = (self.links.len() * 4).next_power_of_two();
        self.buckets.clear();
        self.buckets.resize(length.max(BUCKETS_MIN), 0);
        (0..self.links.len()).for_each(|entry| self.put_in_bucket(entry));
    }

    fn put_in_bucket(&mut self, entry: usize) {
        let mask = self.buckets.len() - 1;
        let Link { word, length, .. } = self.links[entry];
        let hash = Sought { word, length }.hash(self.keys[entry]);
        let mut bucket = hash as usize & mask;
        while self.buckets[bucket] != 0 {
            bucket = (bucket + 1) & mask;
        }
        self.buckets[bucket] = entry as u32 + 1;
    }

    /// Whether an entry has a map key, which begins at `start` if it is a long one.
    #[inline]
    fn is(&self, entry: usize, sought: Sought, start: usize) -> bool {
        let Link { word, length, .. } = self.links[entry];
        word == sought.word
            && length == sought.length
            && (sought.is_whole() || self.map_key(entry) == &self.map_keys.bytes[start..])
    }

    /// Whether no entry was met.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// The entries met of a key, the last first.
    pub(super) fn of_key(&self, key: u32) -> impl Iterator<Item = usize> {
        let entry = |plus_one: u32| (plus_one as usize).checked_sub(1);
        let last = entry(self.last[key as usize]);
        std::iter::successors(last, move |after| entry(self.links[*after].before))
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
}

impl<V> Content<V> {
    fn stored() -> Self {
        Self {
            status: Status::Stored,
            value: None,
        }
    }
}

impl Sought {
    /// The bytes of a map key of which it says all.
    fn as_short(self) -> ShortKey {
        ShortKey {
            bytes: self.word.to_le_bytes(),
            length: self.length as usize,
        }
    }

    #[inline]
    fn of_short(map_key: ShortKey) -> Self {
        Self {
            word: u64::from_le_bytes(map_key.bytes),
            length: map_key.length as u32,
        }
    }

    fn of(map_key: &[u8]) -> Self {
        if let Some(short) = ShortKey::of(map_key) {
            return Self::of_short(short);
        }
        let mut hash = Words::of(0);
        hash.write(map_key);
        Self {
            word: hash.finish(),
            length: map_key.len() as u32,
        }
    }

    /// Whether it says all of the map key.
    #[inline]
    fn is_whole(self) -> bool {
        self.length as usize <= ShortKey::MOST
    }

    fn hash(self, key: u32) -> u64 {
        let mut hash = Words::of(u64::from(key));
        hash.write_u64(self.word);
        hash.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(table: &mut Table<()>, key: u32, map_key: &[u8]) -> usize {
        find_of(table, key, map_key)
    }

    fn find_of<V>(table: &mut Table<V>, key: u32, map_key: &[u8]) -> usize {
        let found = table.find::<Vec<u8>>(key, &map_key);
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
        assert_eq!(table.len(), 1000);
    }

    /// Entries as a plain map numbers them, whatever the map keys, with chains short and long.
    #[test]
    fn entries_are_those_of_a_plain_map() {
        let long = |number: u64| format!("a long map key {number}").into_bytes();
        for (keys, numbers) in [(1, 5), (1, 900), (300, 3), (7, 11)] {
            let mut table = Table::<()>::default();
            for round in 0..3 {
                table.begin(keys);
                let mut model = std::collections::HashMap::new();
                let mut random = 7 + round;
                for _ in 0..3000 {
                    random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1);
                    let key = (random >> 33) as u32 % keys;
                    let number = (random >> 20) % numbers;
                    let bytes = match number % 3 {
                        0 => number.to_be_bytes().to_vec(),
                        1 => long(number),
                        _ => number.to_le_bytes()[..2].to_vec(),
                    };
                    if (random >> 50).is_multiple_of(2) && number % 3 == 0 {
                        table.meet::<u64>(key, &number).unwrap();
                    } else if (random >> 50).is_multiple_of(2) {
                        table.meet::<Vec<u8>>(key, &bytes).unwrap();
                    }
                    let found = match number % 3 {
                        0 => table.find::<u64>(key, &number).unwrap(),
                        _ => find(&mut table, key, &bytes),
                    };
                    let next = model.len();
                    assert_eq!(found, *model.entry((key, bytes.clone())).or_insert(next));
                    assert_eq!((table.key(found), table.map_key(found)), (key, &bytes[..]));
                }
                assert_eq!(table.len(), model.len());
            }
        }
    }

    /// The same of many at once, short ones and others.
    #[test]
    fn entries_that_are_met_many_at_once_are_those_of_a_plain_map() {
        let mut random = 7_u64;
        let mut below = |n: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % n
        };
        for (keys, numbers) in [(1, 5), (1, 900), (300, 3), (7, 11), (40, 1000)] {
            let mut table = Table::<u8>::default();
            for round in 0..60 {
                if round % 20 == 0 {
                    table.begin(keys);
                }
                let old: Vec<_> = (0..table.len())
                    .map(|place| key_of(&table, place))
                    .collect();
                let mut model: std::collections::HashMap<_, _> = old.into_iter().zip(0..).collect();
                let met = (0..below(200)).map(|_| (below(keys.into()) as u32, below(numbers)));
                let met: Vec<_> = met.collect();
                let mut places = Vec::new();
                let kind = below(3);
                let bytes = |number: u64| match kind {
                    0 => format!("a map key {number}").into_bytes(),
                    // As a word they are the same, but for their length.
                    1 => (number << 32).to_be_bytes().to_vec(),
                    _ => (number as u32).to_be_bytes().to_vec(),
                };
                let named = met.iter().copied();
                match kind {
                    0 => {
                        let named = named.map(|(key, number)| Ok((key, bytes(number))));
                        table.meet_all::<Vec<u8>>(named, &mut places).unwrap();
                    }
                    1 => {
                        let named = named.map(|(key, number)| Ok((key, number << 32)));
                        table.meet_all::<u64>(named, &mut places).unwrap();
                    }
                    _ => {
                        let named = named.map(|(key, number)| Ok((key, number as u32)));
                        table.meet_all::<u32>(named, &mut places).unwrap();
                    }
                }
                assert_eq!(places.len(), met.len());
                for ((key, number), place) in met.into_iter().zip(places) {
                    let (entry, place) = ((key, bytes(number)), place as usize);
                    let next = model.len();
                    assert_eq!(place, *model.entry(entry.clone()).or_insert(next));
                    assert_eq!(key_of(&table, place), entry);
                    assert_eq!(find_of(&mut table, entry.0, &entry.1), place);
                }
                assert_eq!(table.len(), model.len());
                assert_eq!(table.contents.len(), model.len());
            }
        }
    }

    fn key_of(table: &Table<u8>, place: usize) -> (u32, Vec<u8>) {
        (table.key(place), table.map_key(place).to_vec())
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
