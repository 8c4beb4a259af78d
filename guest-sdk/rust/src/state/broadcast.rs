//! Broadcast state: a map that is the same in every subtask.
//!
//! It changes seldom and is read by most rows, so what was read or written once is kept for the
//! calls that follow. A look-up asks for its entry, an iteration fetches pages. Writes go to the
//! host in one column at the end of the call.
//!
//! INVARIANT: between two calls each entry that is kept is as the host holds it. Only rows of the
//! instance itself change it; the host drops an instance whose call it does not keep, unless the
//! call itself has said that it failed; and what is restored is restored into a new instance.

mod entries;
mod pages;

use std::mem;

use super::Handle;
use crate::bindings::weir::operator::data::Slots;
use crate::call::{Binding, undeclared};
use crate::codec::StateCodec;
use crate::column;
use crate::error::Result;
use crate::handles::made_handle;
use crate::host::EntriesColumn;
use crate::map_key::{AsMapKey, MapKey};
use entries::{Entries, Iter};
use pages::Pages;

/// What is kept for the next call at most, in bytes of keys and values. It is counted as it comes
/// in, so a state that is written often is fetched anew once in a while.
const KEPT_BYTES: usize = 4 << 20;
/// What an entry takes beside its bytes, or so.
const ENTRY_BYTES: usize = 64;

/// A map that every subtask has a copy of: rules, rates, switches. A field of the operator,
/// declared in `describe` by [`Describe::broadcast`](crate::Describe::broadcast).
///
/// It is written only while a row of a broadcast input is processed (`broadcast: true` in the job
/// file, [`Describe::broadcast_input`](crate::Describe::broadcast_input) in the operator). Such
/// rows go to all subtasks, and subtasks do not talk to each other: each must make the same of
/// them, whatever other rows it has seen, and in whatever order they came.
///
/// What has been read or written stays in the memory of the instance, up to some megabytes, so most
/// look-ups and iterations ask nothing of the host.
///
/// See [`BroadcastProcess`](crate::BroadcastProcess) and
/// [`KeyedBroadcastProcess`](crate::KeyedBroadcastProcess) for examples. Its functions fail,
/// fatally, where those of [`OperatorList`](crate::OperatorList) do.
pub struct Broadcast<K, V> {
    binding: Option<Binding>,
    /// The last call that used it.
    call: u64,
    /// What is known, by the bytes of the key.
    entries: Entries<K, V>,
    /// Up to where whatever is not among the entries does not exist.
    pages: Pages,
    /// What came in since all was forgotten, in bytes.
    kept: usize,
    /// The keys that the call has written to.
    written: Vec<Vec<u8>>,
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
    /// Whether pages covered it.
    covered: bool,
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
pub struct BroadcastEntries<'a, K, V>(Iter<'a, K, V>);

impl<K, V> Default for Broadcast<K, V> {
    fn default() -> Self {
        made_handle::<Self>();
        Self {
            binding: None,
            call: 0,
            entries: Entries::default(),
            pages: Pages::default(),
            kept: 0,
            written: Vec::new(),
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
        // Mostly it is known: it is looked for once.
        let mut number = self.entries.find(&self.wanted);
        if number.is_none() && !self.pages.cover(&self.wanted) {
            self.learn()?;
            number = self.entries.find(&self.wanted);
        }
        let entry = number.and_then(|number| self.entries.at(number));
        Ok(entry.and_then(|entry| entry.value.as_ref()))
    }

    /// Whether there is a value under `map_key`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn contains(&mut self, map_key: impl AsMapKey<K>) -> Result<bool> {
        Ok(self.get(map_key)?.is_some())
    }

    /// The entries, in the byte order of their keys; all that are not known are fetched for that.
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
        // One entry is enough, unless the call has removed it.
        let mut limit = 1;
        loop {
            if self.entries.values().any(|entry| entry.value.is_some()) {
                return Ok(false);
            }
            if self.pages.are_whole() {
                return Ok(true);
            }
            self.turn(limit)?;
            limit = self.pages.room();
        }
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
        let there: Vec<Vec<u8>> = there.map(|(map_key, _)| map_key.to_owned()).collect();
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

    /// Checks that the state can be used, and what of an earlier call still holds.
    fn enter(&mut self) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        binding.subtask()?;
        if self.call == binding.call.number() {
            return Ok(());
        }
        let failed = binding.call.has_failed_since(self.call);
        self.call = binding.call.number();
        if failed || self.kept > KEPT_BYTES {
            self.entries.clear();
            self.pages.forget();
            self.kept = 0;
            self.written.clear();
        }
        Ok(())
    }

    fn want(&mut self, map_key: impl AsMapKey<K>) {
        self.wanted.clear();
        map_key.encode_key(&mut self.wanted);
    }

    fn is_known(&self) -> bool {
        self.entries.contains(&self.wanted) || self.pages.cover(&self.wanted)
    }

    /// Learns the entry in question.
    #[cold]
    fn learn(&mut self) -> Result<()> {
        if self.pages.are_due() {
            if self.turn(self.pages.room()).is_err() {
                self.pages.fail_ahead();
            }
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
        let bytes = value.map(|value| self.wanted.len() + value.len());
        self.pages.asked_alone(bytes);
        self.kept += bytes.unwrap_or(self.wanted.len()) + ENTRY_BYTES;
        self.entries.insert(&self.wanted, entry);
        Ok(())
    }

    fn learn_all(&mut self) -> Result<()> {
        while !self.pages.are_whole() {
            self.turn(self.pages.room())?;
        }
        Ok(())
    }

    /// Fetches a page.
    fn turn(&mut self, limit: u32) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let (host, after) = (&binding.call.host, self.pages.after());
        let EntriesColumn { keys, values } = host.broadcast_scan(binding.index, after, limit);
        let count = keys.ends.len();
        for row in 0..count {
            let map_key = column::row(&keys, row)?;
            // What this call has written hides what is stored.
            if !self.entries.contains(map_key) {
                let value = column::row(&values, row)?;
                let entry = decode(binding, map_key, Some(value))?;
                self.kept += map_key.len() + value.len() + ENTRY_BYTES;
                self.entries.insert(map_key, entry);
            }
        }
        let last = match count.checked_sub(1) {
            Some(last) => Some(column::row(&keys, last)?),
            None => None,
        };
        let bytes = keys.bytes.len() + values.bytes.len();
        self.pages.turned(limit, count, bytes, last);
        if self.pages.are_whole() {
            // That they do not exist is known without them now.
            let says_something = |entry: &Entry<K, V>| entry.dirty || entry.value.is_some();
            self.entries.retain(says_something);
        }
        Ok(())
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
        let before = self.entries.insert(&self.wanted, entry);
        if before.as_ref().is_none_or(|before| !before.dirty) {
            self.written.push(self.wanted.clone());
        }
        self.journal.push(Undo {
            map_key: self.wanted.clone(),
            before,
            covered: self.pages.cover(&self.wanted),
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
        while let Some(undo) = self.journal.pop() {
            match undo.before {
                Some(entry) => drop(self.entries.insert(&undo.map_key, entry)),
                None => {
                    self.entries.remove(&undo.map_key);
                    // Whatever was fetched meanwhile left this entry out.
                    if !undo.covered && self.pages.cover(&undo.map_key) {
                        self.pages.forget();
                    }
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
        let mut values = column::optional_with_room(0, 0);
        for map_key in mem::take(&mut self.written) {
            // A row that failed has left its keys here, but nothing to write.
            let entry = self.entries.get_mut(&map_key);
            let Some(entry) = entry.filter(|entry| entry.dirty) else {
                continue;
            };
            column::push(&mut map_keys, &map_key)?;
            column::push_optional(&mut values, entry.value.as_ref())?;
            entry.dirty = false;
            self.kept += map_key.len() + ENTRY_BYTES;
            if entry.value.is_none() && self.pages.cover(&map_key) {
                self.entries.remove(&map_key);
            }
        }
        self.kept += values.column.bytes.len();
        if !map_keys.ends.is_empty() {
            let host = &binding.call.host;
            host.broadcast_put(binding.index, &map_keys, &values);
        }
        Ok(())
    }
}
