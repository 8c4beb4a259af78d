//! Broadcast state: a map that is the same in every subtask.
//!
//! It is small as a rule, and read by most rows: the first look-up of a call fetches a page of it,
//! which mostly is all of it, and an iteration fetches the rest. Writes go to the host in one
//! column at the end of the call.

use std::collections::btree_map::{BTreeMap, Values};

use super::Handle;
use crate::bindings::weir::operator::data::Slots;
use crate::call::{Binding, undeclared};
use crate::codec::StateCodec;
use crate::column;
use crate::describe::count_handle;
use crate::error::Result;
use crate::host::EntriesColumn;
use crate::map_key::{AsMapKey, MapKey};

/// What the first look-up of a call fetches, in entries.
const FIRST_PAGE: u32 = 64;
/// What each further import of an iteration fetches.
const PAGE: u32 = 256;

/// A map that every subtask has a copy of: rules, rates, switches. A field of the operator,
/// declared in `describe` by [`Describe::broadcast`](crate::Describe::broadcast).
///
/// It is written only while a row of a broadcast input is processed (`broadcast: true` in the job
/// file, [`Describe::broadcast_input`](crate::Describe::broadcast_input) in the operator). Such
/// rows go to all subtasks, and subtasks do not talk to each other: each must make the same of
/// them, whatever other rows it has seen, and in whatever order they came.
///
/// See [`BroadcastProcess`](crate::BroadcastProcess) and
/// [`KeyedBroadcastProcess`](crate::KeyedBroadcastProcess) for examples. Its functions fail,
/// fatally, where those of [`OperatorList`](crate::OperatorList) do.
pub struct Broadcast<K, V> {
    binding: Option<Binding>,
    /// The call that the rest belongs to.
    call: u64,
    /// What is known, by the bytes of the key.
    entries: BTreeMap<Vec<u8>, Entry<K, V>>,
    /// Whether the first page was fetched, and whether there is nothing that is not known.
    peeked: bool,
    whole: bool,
    /// The bytes of the key in question.
    wanted: Vec<u8>,
    /// The row that the journal belongs to, and what its writes replaced.
    row: u64,
    journal: Vec<Undo<K, V>>,
}

/// What was known of an entry before it was written.
struct Undo<K, V> {
    map_key: Vec<u8>,
    before: Option<Entry<K, V>>,
}

/// What is known of an entry.
struct Entry<K, V> {
    key: K,
    /// `None` if there is no such entry.
    value: Option<V>,
    /// Whether it is to be written.
    dirty: bool,
}

/// The entries of a broadcast state, in the byte order of their keys; made by [`Broadcast::iter`].
pub struct BroadcastEntries<'a, K, V>(Values<'a, Vec<u8>, Entry<K, V>>);

impl<K, V> Default for Broadcast<K, V> {
    fn default() -> Self {
        count_handle();
        Self {
            binding: None,
            call: 0,
            entries: BTreeMap::new(),
            peeked: false,
            whole: false,
            wanted: Vec::new(),
            row: 0,
            journal: Vec::new(),
        }
    }
}

impl<K: MapKey, V: StateCodec> Broadcast<K, V> {
    /// The value under `map_key`, or nothing.
    ///
    /// # Errors
    /// Fatal if what the host holds cannot be decoded.
    pub fn get(&mut self, map_key: impl AsMapKey<K>) -> Result<Option<&V>> {
        self.enter()?;
        self.want(map_key);
        if !self.is_known() {
            self.learn()?;
        }
        let entry = self.entries.get(&self.wanted[..]);
        Ok(entry.and_then(|entry| entry.value.as_ref()))
    }

    /// Whether there is a value under `map_key`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn contains(&mut self, map_key: impl AsMapKey<K>) -> Result<bool> {
        Ok(self.get(map_key)?.is_some())
    }

    /// The entries, in the byte order of their keys; all of them are fetched for that.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn iter(&mut self) -> Result<BroadcastEntries<'_, K, V>> {
        self.enter()?;
        self.learn_all()?;
        Ok(BroadcastEntries(self.entries.values()))
    }

    /// Whether there is no entry.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn is_empty(&mut self) -> Result<bool> {
        self.enter()?;
        if !self.peeked {
            self.peek()?;
        }
        let is_there = |entry: &Entry<K, V>| entry.value.is_some();
        if self.entries.values().any(is_there) {
            return Ok(false);
        }
        Ok(self.iter()?.next().is_none())
    }

    /// Puts a value under `map_key`. What was there before is not read.
    ///
    /// # Errors
    /// Fatal unless a row of a broadcast input is in hand.
    pub fn put(&mut self, map_key: impl AsMapKey<K>, value: V) -> Result<()> {
        self.enter_to_write()?;
        self.want(map_key);
        self.write(Some(value))
    }

    /// Removes what is under `map_key`, if anything.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn remove(&mut self, map_key: impl AsMapKey<K>) -> Result<()> {
        self.enter_to_write()?;
        self.want(map_key);
        self.write(None)
    }

    /// Removes all entries. They are fetched for that.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn clear(&mut self) -> Result<()> {
        self.enter_to_write()?;
        self.learn_all()?;
        let there = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.value.is_some());
        let there: Vec<Vec<u8>> = there.map(|(map_key, _)| map_key.clone()).collect();
        for map_key in there {
            self.wanted = map_key;
            self.write(None)?;
        }
        Ok(())
    }

    fn enter_to_write(&mut self) -> Result<()> {
        self.binding
            .as_ref()
            .ok_or_else(undeclared)?
            .broadcasting()?;
        self.enter()
    }

    /// Checks that the state can be used; what belongs to an earlier call is dropped.
    fn enter(&mut self) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        binding.subtask()?;
        if self.call != binding.call.number() {
            self.call = binding.call.number();
            self.entries.clear();
            self.peeked = false;
            self.whole = false;
        }
        Ok(())
    }

    fn want(&mut self, map_key: impl AsMapKey<K>) {
        self.wanted.clear();
        map_key.encode_key(&mut self.wanted);
    }

    fn is_known(&self) -> bool {
        self.whole || self.entries.contains_key(&self.wanted[..])
    }

    /// Learns the entry in question.
    #[cold]
    fn learn(&mut self) -> Result<()> {
        if !self.peeked {
            self.peek()?;
            if self.is_known() {
                return Ok(());
            }
        }
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let mut map_keys = column::with_room(1, self.wanted.len());
        column::push(&mut map_keys, &self.wanted)?;
        let values = binding.call.host.broadcast_get(binding.index, &map_keys);
        let value = column::optional(&values, 0)?;
        let entry = decode(binding, &self.wanted, value)?;
        self.entries.insert(self.wanted.clone(), entry);
        Ok(())
    }

    /// Fetches the first page, which mostly is the whole state.
    fn peek(&mut self) -> Result<()> {
        self.peeked = true;
        let last = self.fetch(None, FIRST_PAGE)?;
        self.whole = last.is_none();
        Ok(())
    }

    fn learn_all(&mut self) -> Result<()> {
        if self.whole {
            return Ok(());
        }
        let mut last = self.fetch(None, FIRST_PAGE)?;
        while let Some(after) = last {
            last = self.fetch(Some(&after), PAGE)?;
        }
        self.peeked = true;
        self.whole = true;
        Ok(())
    }

    /// Fetches a page; gives its last key if there may be more behind it.
    fn fetch(&mut self, after: Option<&[u8]>, limit: u32) -> Result<Option<Vec<u8>>> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let host = &binding.call.host;
        let EntriesColumn { keys, values } = host.broadcast_scan(binding.index, after, limit);
        let count = keys.ends.len();
        for row in 0..count {
            let map_key = column::row(&keys, row)?;
            // What this call has written or looked at already stays as it is.
            if !self.entries.contains_key(map_key) {
                let entry = decode(binding, map_key, Some(column::row(&values, row)?))?;
                self.entries.insert(map_key.to_owned(), entry);
            }
        }
        match count.checked_sub(1) {
            Some(last) if count >= limit as usize => Ok(Some(column::row(&keys, last)?.to_owned())),
            Some(_) | None => Ok(None),
        }
    }

    /// Writes the entry in question.
    fn write(&mut self, value: Option<V>) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let row = binding.call.row();
        if self.row != row {
            self.row = row;
            self.journal.clear();
        }
        let entry = Entry {
            key: K::decode(&self.wanted)?,
            value,
            dirty: true,
        };
        let before = self.entries.insert(self.wanted.clone(), entry);
        self.journal.push(Undo {
            map_key: self.wanted.clone(),
            before,
        });
        Ok(())
    }
}

fn decode<K: MapKey, V: StateCodec>(
    binding: &Binding,
    map_key: &[u8],
    value: Option<&[u8]>,
) -> Result<Entry<K, V>> {
    let entry = K::decode(map_key).and_then(|key| {
        Ok(Entry {
            key,
            value: value.map(V::decode).transpose()?,
            dirty: false,
        })
    });
    entry.map_err(|error| binding.corrupt(error))
}

impl<'a, K, V> Iterator for BroadcastEntries<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0
            .find_map(|entry| Some((&entry.key, entry.value.as_ref()?)))
    }
}

impl<K: MapKey, V: StateCodec> Handle for Broadcast<K, V> {
    fn bind(&mut self, binding: Binding) -> bool {
        self.binding.replace(binding).is_none()
    }

    fn rollback(&mut self) {
        if self
            .binding
            .as_ref()
            .is_none_or(|binding| binding.call.row() != self.row)
        {
            return;
        }
        while let Some(Undo { map_key, before }) = self.journal.pop() {
            match before {
                Some(entry) => drop(self.entries.insert(map_key, entry)),
                None => {
                    // Whatever was fetched meanwhile left this entry out.
                    self.entries.remove(&map_key);
                    self.peeked = false;
                    self.whole = false;
                }
            }
        }
    }

    fn flush(&mut self, _slots: &mut Vec<Slots>) -> Result<()> {
        let Some(binding) = &self.binding else {
            return Ok(());
        };
        if self.call != binding.call.number() {
            return Ok(());
        }
        let mut map_keys = column::with_room(0, 0);
        let mut values = column::optional_with_room(0);
        for (map_key, entry) in self.entries.iter().filter(|(_, entry)| entry.dirty) {
            column::push(&mut map_keys, map_key)?;
            column::push_optional(&mut values, entry.value.as_ref(), V::encode)?;
        }
        if !map_keys.ends.is_empty() {
            let host = &binding.call.host;
            host.broadcast_put(binding.index, &map_keys, &values);
        }
        Ok(())
    }
}
