//! What is known of a broadcast state: found by a hash, iterated in the byte order of its keys.
//!
//! Most rows look something up and few change anything, so it may be found in two ways.

use std::collections::btree_map::{BTreeMap, Values};
use std::collections::hash_map::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use super::Entry;
use crate::state::hash::Words;

pub(super) struct Entries<K, V> {
    order: BTreeMap<Arc<[u8]>, u32>,
    index: HashMap<Arc<[u8]>, u32, BuildHasherDefault<Words>>,
    /// By number; those that are free hold nothing.
    entries: Vec<Option<Entry<K, V>>>,
    free: Vec<u32>,
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self {
            order: BTreeMap::new(),
            index: HashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
        }
    }
}

/// Entries in the byte order of their keys.
pub(super) struct Iter<'a, K, V> {
    order: Values<'a, Arc<[u8]>, u32>,
    entries: &'a [Option<Entry<K, V>>],
}

impl<K, V> Entries<K, V> {
    /// The number of an entry, which it has until it is removed.
    pub(super) fn find(&self, map_key: &[u8]) -> Option<u32> {
        self.index.get(map_key).copied()
    }

    pub(super) fn at(&self, number: u32) -> Option<&Entry<K, V>> {
        self.entries.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, map_key: &[u8]) -> Option<&mut Entry<K, V>> {
        let number = self.find(map_key)?;
        self.entries.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn contains(&self, map_key: &[u8]) -> bool {
        self.index.contains_key(map_key)
    }

    /// Puts an entry in, and gives back what was there.
    pub(super) fn insert(&mut self, map_key: &[u8], entry: Entry<K, V>) -> Option<Entry<K, V>> {
        if let Some(known) = self.get_mut(map_key) {
            return Some(std::mem::replace(known, entry));
        }
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = Some(entry);
                number
            }
            None => {
                self.entries.push(Some(entry));
                self.entries.len() as u32 - 1
            }
        };
        let map_key: Arc<[u8]> = map_key.into();
        self.order.insert(Arc::clone(&map_key), number);
        self.index.insert(map_key, number);
        None
    }

    pub(super) fn remove(&mut self, map_key: &[u8]) {
        if let Some(number) = self.index.remove(map_key) {
            self.order.remove(map_key);
            self.entries[number as usize] = None;
            self.free.push(number);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Removes what is not to stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&Entry<K, V>) -> bool) {
        let Self {
            order,
            index,
            entries,
            free,
        } = self;
        order.retain(|map_key, number| {
            let entry = &mut entries[*number as usize];
            let stay = entry.as_ref().is_some_and(&stays);
            if !stay {
                *entry = None;
                free.push(*number);
                index.remove(map_key);
            }
            stay
        });
    }

    /// With their keys, in the byte order of these.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Entry<K, V>)> {
        let keys = self.order.keys().map(|map_key| &**map_key);
        keys.zip(self.values())
    }

    pub(super) fn values(&self) -> Iter<'_, K, V> {
        Iter {
            order: self.order.values(),
            entries: &self.entries,
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = &'a Entry<K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = *self.order.next()?;
        self.entries.get(number as usize)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: u32, value: Option<u32>) -> Entry<u32, u32> {
        Entry {
            key,
            value,
            dirty: false,
        }
    }

    #[test]
    fn entries_are_found_and_iterated_in_order_whatever_came_and_went() {
        let (mut entries, mut expected) = (Entries::default(), BTreeMap::new());
        // Few keys, so that each comes and goes often.
        let mut draw = 1_u32;
        for step in 0..5_000 {
            draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (draw >> 8) % 97;
            let map_key = key.to_be_bytes()[(key % 3) as usize..].to_vec();
            if draw >> 30 == 0 {
                entries.remove(&map_key);
                expected.remove(&map_key);
            } else {
                let before = entries.insert(&map_key, entry(key, Some(step)));
                let before = before.and_then(|before| before.value);
                assert_eq!(before, expected.insert(map_key.clone(), step));
            }
            assert_eq!(entries.contains(&map_key), expected.contains_key(&map_key));
            let found = entries.find(&map_key).and_then(|number| entries.at(number));
            let found = found.and_then(|entry| entry.value);
            assert_eq!(found, expected.get(&map_key).copied());
        }
        let values = |entries: &Entries<u32, u32>| -> Vec<_> {
            let all = entries.iter();
            all.map(|(map_key, entry)| (map_key.to_vec(), entry.value.unwrap()))
                .collect()
        };
        assert!(values(&entries).into_iter().eq(expected.clone()));
        entries.retain(|entry| entry.key % 2 == 0);
        expected.retain(|map_key, _| map_key.last().unwrap() % 2 == 0);
        assert!(values(&entries).into_iter().eq(expected.clone()));
        for (map_key, value) in &expected {
            entries.get_mut(map_key).unwrap().value = Some(value + 1);
        }
        assert!(entries.values().all(|entry| entry.key % 2 == 0));
        entries.clear();
        assert_eq!(entries.values().count(), 0);
    }
}
