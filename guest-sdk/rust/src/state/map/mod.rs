//! Map state: entries under a key of their own, per key.
//!
//! A look-up asks the host once per entry and call, together with all entries that were named by
//! `prefetch`; a batch that names few twice asks for these twice. Writes go to the host in one
//! column at the end of the call.

mod apart;
mod batch;
mod entries;
mod table;

use std::marker::PhantomData;
use std::mem;

use super::Handle;
use crate::bindings::weir::operator::data::{OptionalColumn, Slots};
use crate::call::{Binding, undeclared};
use crate::codec::StateCodec;
use crate::column;
use crate::error::Result;
use crate::handles::made_handle;
use crate::map_key::{AsMapKey, MapKey, ShortKey};
use apart::Apart;
use table::{Content, Status, Table};

pub use batch::MapEntries;
pub use entries::Entries;

/// A map per key. A field of the operator, declared in `describe`.
///
/// ```
/// # use weir_guest::{Map, Result};
/// /// Counts a visit of a page, and gives the pages visited more than once, in order.
/// fn visited(pages: &mut Map<String, u64>, page: &str) -> Result<Vec<String>> {
///     let visits = pages.get(page)?.copied().unwrap_or(0) + 1;
///     pages.put(page, visits)?;
///     let mut often = Vec::new();
///     for entry in pages.iter()? {
///         let (page, visits) = entry?;
///         if visits > 1 {
///             often.push(page);
///         }
///     }
///     Ok(often)
/// }
/// ```
///
/// What a row writes is seen by what it reads next, an iteration that begins then included. Each
/// look-up of an entry that the call has not met asks the host; [`prefetch`](Self::prefetch) joins
/// the look-ups of a whole batch. An entry may have nothing to say (`Map<K, ()>` is a set), or have
/// a value or not (`Map<K, Option<V>>`).
///
/// Its functions fail where those of [`Value`](crate::Value) do.
pub struct Map<K, V> {
    binding: Option<Binding>,
    call: u64,
    table: Table<V>,
    /// How many entries there were when the host was last asked: of those behind them, the ones
    /// that are `Stored` were named by `prefetch`.
    asked: usize,
    /// Per distinct key of the call, whether its map is cleared before anything is put.
    cleared: Vec<bool>,
    row: u64,
    journal: Vec<Undo<V>>,
    /// The place of each entry that a batch named last; or the entries, apart from the table.
    named: Vec<u32>,
    apart: Apart<V>,
    types: PhantomData<K>,
}

enum Undo<V> {
    Entry(usize, Content<V>),
    /// Whether the key's map was cleared already.
    Clear(u32, bool),
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        made_handle::<Self>();
        Self {
            binding: None,
            call: 0,
            table: Table::default(),
            asked: 0,
            cleared: Vec::new(),
            row: 0,
            journal: Vec::new(),
            named: Vec::new(),
            apart: Apart::default(),
            types: PhantomData,
        }
    }
}

impl<K: MapKey, V: StateCodec> Map<K, V> {
    /// The value under `map_key`, or nothing.
    ///
    /// # Errors
    /// Fatal if what the host holds cannot be decoded.
    #[inline]
    pub fn get(&mut self, map_key: impl AsMapKey<K>) -> Result<Option<&V>> {
        let entry = self.find(map_key)?;
        if self.table.contents[entry].status == Status::Stored {
            self.read(entry)?;
        }
        Ok(self.table.contents[entry].value.as_ref())
    }

    /// Whether there is a value under `map_key`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[inline]
    pub fn contains(&mut self, map_key: impl AsMapKey<K>) -> Result<bool> {
        Ok(self.get(map_key)?.is_some())
    }

    /// Puts a value under `map_key`. What was there before is not read.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value).
    pub fn put(&mut self, map_key: impl AsMapKey<K>, value: V) -> Result<()> {
        self.write(map_key, Some(value))
    }

    /// Removes what is under `map_key`, if anything.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value).
    pub fn remove(&mut self, map_key: impl AsMapKey<K>) -> Result<()> {
        self.write(map_key, None)
    }

    /// Removes all entries of the key in hand.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value).
    pub fn clear(&mut self) -> Result<()> {
        let key = self.enter()?;
        let met: Vec<usize> = self.table.of_key(key).collect();
        for entry in met {
            self.replace(
                entry,
                Content {
                    status: Status::Clean,
                    value: None,
                },
            );
        }
        let before = mem::replace(&mut self.cleared[key as usize], true);
        self.remember(Undo::Clear(key, before));
        Ok(())
    }

    /// The entries of the key in hand, in the byte order of their keys. Numbers are written so that
    /// this is their order, text is ordered by its UTF-8 bytes.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value); each entry fails for itself, fatally, if it cannot be
    /// decoded.
    pub fn iter(&mut self) -> Result<Entries<'_, K, V>> {
        let key = self.enter()?;
        let mut written = Vec::new();
        for entry in self.table.of_key(key) {
            let content = &self.table.contents[entry];
            if content.status == Status::Dirty {
                let value = content.value.as_ref();
                let value = value.map(|value| {
                    let mut out = Vec::new();
                    value.encode(&mut out).map(|()| out)
                });
                written.push((self.table.map_key(entry).to_owned(), value.transpose()?));
            }
        }
        written.sort_unstable();
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        Ok(Entries::new(
            binding,
            key,
            written,
            self.cleared[key as usize],
        ))
    }

    /// Whether the key in hand has no entry.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn is_empty(&mut self) -> Result<bool> {
        let key = self.enter()?;
        let is_there = |entry: usize| self.table.contents[entry].value.is_some();
        if self.table.of_key(key).any(is_there) {
            return Ok(false);
        }
        Ok(self.iter()?.wanting_one().next().transpose()?.is_none())
    }

    /// Names an entry that a row will look up: the next look-up that has to ask the host asks for
    /// all entries named by then. To be called from the operator's
    /// [`prefetch`](crate::KeyedProcess::prefetch), or before several look-ups of one row.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value).
    #[inline]
    pub fn prefetch(&mut self, map_key: impl AsMapKey<K>) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let key = binding.key_to_name()?;
        self.begin();
        self.table.meet(key, &map_key)
    }

    #[inline]
    fn enter(&mut self) -> Result<u32> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let key = binding.key()?;
        self.begin();
        Ok(key)
    }

    /// Drops what belongs to an earlier call.
    #[inline]
    fn begin(&mut self) {
        let Some(binding) = &self.binding else {
            return;
        };
        if self.call != binding.call.number() {
            self.begin_call();
        }
    }

    /// Once a call; kept apart, so that what is left for each row is small.
    #[cold]
    fn begin_call(&mut self) {
        let Some(binding) = &self.binding else {
            return;
        };
        self.call = binding.call.number();
        self.table.begin(binding.call.keys());
        self.asked = 0;
        self.apart.clear();
        self.cleared.clear();
        self.cleared.resize(binding.call.keys() as usize, false);
    }

    #[inline]
    fn find(&mut self, map_key: impl AsMapKey<K>) -> Result<usize> {
        let key = self.enter()?;
        self.table.find(key, &map_key)
    }

    /// Learns an entry, and with it all entries that were named.
    #[cold]
    fn read(&mut self, entry: usize) -> Result<()> {
        if self.cleared[self.table.key(entry) as usize] {
            // In the journal, because the row that cleared the map may fail.
            self.replace(
                entry,
                Content {
                    status: Status::Clean,
                    value: None,
                },
            );
            return Ok(());
        }
        let asked = mem::replace(&mut self.asked, self.table.len());
        // Of a map that is cleared nothing may come back, though the host still has it.
        let is_wanted = |index: &usize| {
            self.table.contents[*index].status == Status::Stored
                && !self.cleared[self.table.key(*index) as usize]
        };
        if asked == 0 && (0..self.table.len()).all(|index| is_wanted(&index)) {
            let values = self.ask_all()?;
            self.learn_all(&values);
            return self.check(&values, entry, entry);
        }
        let again = (entry < asked).then_some(entry);
        let named = (asked..self.table.len()).filter(is_wanted);
        let wanted: Vec<usize> = named.chain(again).collect();
        let values = self.ask(&wanted)?;
        self.learn(&values, wanted.iter().copied());
        let row = wanted.iter().position(|wanted| *wanted == entry);
        row.map_or(Ok(()), |row| self.check(&values, row, entry))
    }

    /// Takes in what the host said of some entries. One that cannot be decoded stays as it is: it
    /// is an error only for who looks at it.
    fn learn(&mut self, values: &OptionalColumn, asked: impl Iterator<Item = usize>) {
        let status = Status::Clean;
        for (row, entry) in asked.enumerate() {
            if let Ok(value) = decode(values, row) {
                self.table.contents[entry] = Content { status, value };
            }
        }
    }

    /// The same of all entries.
    #[inline(never)]
    fn learn_all(&mut self, values: &OptionalColumn) {
        if !column::is_small::<V>() {
            return self.learn(values, 0..self.table.len());
        }
        let (mut contents, status) = (self.table.contents.iter_mut(), Status::Clean);
        column::small_values(values).for_each(|value| {
            if let Some((content, value)) = contents.next().zip(value) {
                *content = Content { status, value };
            }
        });
    }

    /// Checks that an entry is known, of which a row of what the host said is.
    #[inline]
    fn check(&self, values: &OptionalColumn, row: usize, entry: usize) -> Result<()> {
        match self.table.contents[entry].status {
            Status::Stored => self.unknown(values, row),
            Status::Clean | Status::Dirty => Ok(()),
        }
    }

    /// Why what the host said of an entry does not say what it is.
    #[cold]
    fn unknown(&self, values: &OptionalColumn, row: usize) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let value = decode::<V>(values, row);
        value.map(|_| ()).map_err(|error| binding.corrupt(error))
    }

    /// Asks the host for all entries.
    fn ask_all(&self) -> Result<OptionalColumn> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let (keys, map_keys) = self.table.columns();
        Ok(binding.call.host.map_get(binding.index, keys, map_keys))
    }

    fn ask(&self, entries: &[usize]) -> Result<OptionalColumn> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let mut keys = Vec::with_capacity(entries.len());
        let mut map_keys = column::with_room(entries.len(), 0);
        for index in entries {
            keys.push(self.table.key(*index));
            column::push(&mut map_keys, self.table.map_key(*index))?;
        }
        Ok(binding.call.host.map_get(binding.index, &keys, &map_keys))
    }

    fn write(&mut self, map_key: impl AsMapKey<K>, value: Option<V>) -> Result<()> {
        let entry = self.find(map_key)?;
        self.replace(
            entry,
            Content {
                status: Status::Dirty,
                value,
            },
        );
        Ok(())
    }

    fn replace(&mut self, entry: usize, content: Content<V>) {
        let before = mem::replace(&mut self.table.contents[entry], content);
        self.remember(Undo::Entry(entry, before));
    }

    fn remember(&mut self, undo: Undo<V>) {
        let row = self
            .binding
            .as_ref()
            .map_or(0, |binding| binding.call.row());
        if self.row != row {
            self.row = row;
            self.journal.clear();
        }
        self.journal.push(undo);
    }

    /// Has [`on_key`](crate::KeyedBroadcastProcess::on_key) called for each key that has something
    /// here, with this tag: see there. Only while a row of the broadcast input is processed.
    ///
    /// # Errors
    /// Fatal anywhere else.
    pub fn apply_to_keys(&self, tag: impl AsRef<[u8]>) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        binding.apply_to_keys(tag.as_ref())
    }
}

/// The value in a row of what the host sent.
fn decode<V: StateCodec>(values: &OptionalColumn, row: usize) -> Result<Option<V>> {
    column::optional(values, row)?.map(V::decode).transpose()
}

impl<K: MapKey, V: StateCodec> Handle for Map<K, V> {
    fn bind(&mut self, binding: Binding) -> bool {
        self.binding.replace(binding).is_none()
    }

    fn rollback(&mut self) {
        let Some(binding) = &self.binding else {
            return;
        };
        if binding.is_batch() {
            return self.begin_call();
        }
        if binding.call.row() != self.row {
            return;
        }
        while let Some(undo) = self.journal.pop() {
            match undo {
                Undo::Entry(entry, before) => self.table.contents[entry] = before,
                Undo::Clear(key, before) => self.cleared[key as usize] = before,
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
        let host = &binding.call.host;
        let cleared = self
            .cleared
            .iter()
            .enumerate()
            .filter(|(_, cleared)| **cleared);
        let cleared: Vec<u32> = cleared.map(|(key, _)| key as u32).collect();
        if !cleared.is_empty() {
            host.map_clear(binding.index, &cleared);
        }
        let entries = self.table.contents.iter().enumerate();
        let dirty = entries.filter(|(_, content)| content.status == Status::Dirty);
        let count = dirty.clone().count();
        let mut keys = Vec::with_capacity(count);
        let mut map_keys = column::with_room(count, count * ShortKey::MOST);
        let mut values = column::optional_with_room(count, count * column::small_width::<V>());
        for (index, content) in dirty {
            keys.push(self.table.key(index));
            column::push(&mut map_keys, self.table.map_key(index))?;
            column::push_optional(&mut values, content.value.as_ref())?;
        }
        if !keys.is_empty() {
            host.map_put(binding.index, &keys, &map_keys, &values);
        }
        Ok(())
    }
}
