//! Entries of a map that the rows of a batch look up, learned at once.

use super::{Map, Status, table::Content};
use crate::call::{self, undeclared};
use crate::codec::StateCodec;
use crate::error::{Error, Result};
use crate::map_key::{AsMapKey, MapKey};

/// Entries of a map for keys of a batch, numbered from 0 in the order in which they were named. An
/// entry that was named twice has two numbers and one value. Like a slice it panics where nothing
/// has that number. Made by [`Map::of_entries`](crate::Map::of_entries).
pub struct MapEntries<'s, V> {
    /// The place of each entry that was named.
    named: &'s [u32],
    contents: &'s mut [Content<V>],
}

impl<K: MapKey, V: StateCodec> Map<K, V> {
    /// The entries under some map keys, each with the number of the key whose map it is in, as
    /// [`BatchKeys::of_rows`](crate::BatchKeys::of_rows) has it. The host is asked for all that the
    /// call has not met, once. Only in functions for batches, such as
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
        self.begin();
        self.named.clear();
        self.table.meet_all(named.into_iter(), &mut self.named)?;
        self.read_named()?;
        Ok(MapEntries {
            named: &self.named,
            contents: &mut self.table.contents,
        })
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
        self.contents[self.named[entry] as usize].value.as_ref()
    }

    /// Whether an entry has a value.
    #[inline]
    pub fn contains(&self, entry: usize) -> bool {
        self.get(entry).is_some()
    }

    /// The value of an entry, to be changed in place; `None` removes it.
    #[inline]
    pub fn get_mut(&mut self, entry: usize) -> &mut Option<V> {
        let content = &mut self.contents[self.named[entry] as usize];
        content.status = Status::Dirty;
        &mut content.value
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
