//! Entries of a map that the rows of a batch look up, learned at once.

use super::apart::Apart;
use super::{Content, Map, Status, Table};
use crate::call::{self, undeclared};
use crate::codec::StateCodec;
use crate::error::{Error, Result};
use crate::map_key::{AsMapKey, MapKey};

/// Entries of a map for keys of a batch, numbered from 0 in the order in which they were named. An
/// entry that was named twice has two numbers and one value. Like a slice it panics where nothing
/// has that number. Made by [`Map::of_entries`](crate::Map::of_entries).
pub struct MapEntries<'s, V> {
    /// The place of each entry that was named; or else they are apart.
    named: &'s [u32],
    apart: &'s mut Apart<V>,
    table: &'s mut Table<V>,
}

impl<K: MapKey, V: StateCodec> Map<K, V> {
    /// The entries under some map keys, each with the number of the key whose map it is in, as
    /// [`BatchKeys::of_rows`](crate::BatchKeys::of_rows) has it. The host is asked for all that the
    /// call has not met, in one go. Only in functions for batches, such as
    /// [`process_batch`](crate::KeyedProcess::process_batch).
    ///
    /// # Errors
    /// What `named` gives first. Fatal anywhere else. Not fatal, so that the rows are processed one
    /// by one, if what the host holds cannot be decoded, and if to read the state is an access, by
    /// `on_read` or `return_expired` of its [time to live](crate::TtlOptions).
    ///
    /// # Panics
    /// If there is no key of such a number.
    pub fn of_entries<M: AsMapKey<K>>(
        &mut self,
        named: impl IntoIterator<Item = Result<(u32, M)>>,
    ) -> Result<MapEntries<'_, V>> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        binding.batch("of_entries")?;
        if binding.call.is_read_alone(binding.index) {
            return Err(call::read_is_access());
        }
        let keys = binding.call.keys();
        self.begin();
        self.named.clear();
        self.absorb()?;
        let named = named.into_iter();
        let is_first = self.table.is_empty();
        if is_first && self.apart.are_next() {
            let are_named = self.apart.name(named, keys);
            are_named.inspect_err(|_| self.apart.clear())?;
            self.read_apart()?;
        } else {
            self.table.meet_all(named, &mut self.named)?;
            if is_first {
                self.apart.learn_from(self.named.len(), self.table.len());
            }
            self.read_named()?;
        }
        Ok(MapEntries {
            named: &self.named,
            apart: &mut self.apart,
            table: &mut self.table,
        })
    }

    /// Puts what is apart to all else that the call has met, so that the host is not asked again.
    fn absorb(&mut self) -> Result<()> {
        if self.apart.keys.is_empty() {
            return Ok(());
        }
        for entry in 0..self.apart.values.len() {
            let (key, before) = (self.apart.keys[entry], self.table.len());
            let map_key = self.apart.map_key(entry);
            let place = (self.table).find_written(key, |out| out.extend_from_slice(map_key))?;
            if place == before {
                let value = self.apart.values[entry].take();
                let status = Status::Clean;
                self.table.contents[place] = Content { status, value };
            }
        }
        self.apart.clear();
        self.apart.leave();
        self.asked = self.table.len();
        Ok(())
    }

    /// Asks the host for the entries that are apart.
    fn read_apart(&mut self) -> Result<()> {
        let Apart { keys, map_keys, .. } = &self.apart;
        if keys.is_empty() {
            return Ok(());
        }
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let values = binding.call.host.map_get(binding.index, keys, map_keys);
        let asked = keys.len();
        let known = self.apart.learn(&values);
        if known < asked {
            // It may be of a row that does not look at it in its turn.
            let why = self.unknown(&values, known);
            self.apart.clear();
            let why = why.err().map(Error::into_message);
            let why = why.unwrap_or_else(|| "the host does not say what it holds".to_owned());
            return Err(Error::new(why));
        }
        Ok(())
    }

    /// Learns all entries that were met since the host was asked last.
    fn read_named(&mut self) -> Result<()> {
        let asked = self.asked;
        let entries = asked..self.table.len();
        if entries.is_empty() {
            return Ok(());
        }
        let values = match asked {
            0 => {
                let values = self.ask_all()?;
                self.learn_all(&values);
                values
            }
            _ => {
                let values = self.ask(&entries.clone().collect::<Vec<_>>())?;
                self.learn(&values, entries.clone());
                values
            }
        };
        let contents = self.table.contents.get(entries.clone());
        let is_known = |content: &Content<V>| content.status != Status::Stored;
        if !contents.is_some_and(|contents| contents.iter().all(is_known)) {
            // What cannot be decoded may be of a row that does not look at it in its turn.
            let mut entries = entries.enumerate();
            entries
                .try_for_each(|(row, entry)| self.check(&values, row, entry))
                .map_err(|error| Error::new(error.into_message()))?;
        }
        // Only now: who goes on behind an error asks for them again.
        self.asked = self.table.len();
        Ok(())
    }
}

impl<V> MapEntries<'_, V> {
    /// The value of an entry, or nothing.
    #[inline]
    pub fn get(&self, entry: usize) -> Option<&V> {
        match self.apart.keys.is_empty() {
            true => self.table.contents[self.named[entry] as usize]
                .value
                .as_ref(),
            false if self.table.is_empty() => self.apart.values[entry].as_ref(),
            false => self.get_apart(entry),
        }
    }

    /// The same where some entries were written.
    fn get_apart(&self, entry: usize) -> Option<&V> {
        let key = self.apart.keys[entry];
        let written = self.table.of_key(key).next();
        match written.and_then(|_| self.table.seek(key, self.apart.map_key(entry))) {
            Some(place) => self.table.contents[place].value.as_ref(),
            None => self.apart.values[entry].as_ref(),
        }
    }

    /// Whether an entry has a value.
    #[inline]
    pub fn contains(&self, entry: usize) -> bool {
        self.get(entry).is_some()
    }

    /// The value of an entry, to be changed in place; `None` removes it.
    #[inline]
    pub fn get_mut(&mut self, entry: usize) -> &mut Option<V> {
        let place = match self.apart.keys.is_empty() {
            true => self.named[entry] as usize,
            false => self.place_of(entry),
        };
        let content = &mut self.table.contents[place];
        content.status = Status::Dirty;
        &mut content.value
    }

    /// The place in the table of an entry that is apart, with its value.
    fn place_of(&mut self, entry: usize) -> usize {
        let (key, map_key) = (self.apart.keys[entry], self.apart.map_key(entry));
        let before = self.table.len();
        let place = (self.table).find_written(key, |out| out.extend_from_slice(map_key));
        // There is room in a column, for all that are apart are one.
        let place = place.unwrap_or(usize::MAX);
        if place == before {
            self.table.contents[place].value = self.apart.values[entry].take();
        }
        place
    }

    /// Puts a value into an entry.
    #[inline]
    pub fn put(&mut self, entry: usize, value: V) {
        *self.get_mut(entry) = Some(value);
    }

    /// Removes what an entry has, if anything.
    #[inline]
    pub fn remove(&mut self, entry: usize) {
        *self.get_mut(entry) = None;
    }
}
