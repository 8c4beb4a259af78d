//! A broadcast state: an ordered map in chunks, shared with snapshots, with what a call in hand
//! began with, and with the other subtasks that were restored from the same copy.
//!
//! INVARIANT: `bytes` is what its entries take, and no put takes it past the limit of a state.

use std::{collections::BTreeMap, sync::Arc};

use weir_model::{ColumnView, OptionalColumn};

use crate::{EntriesColumn, Error, heap::MapChunks, limits};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedMap {
    chunks: Arc<MapChunks>,
    bytes: usize,
}

/// What an entry takes, for the limits.
fn size_of_entry(map_key: &[u8], value: &[u8]) -> usize {
    map_key.len() + value.len() + limits::ENTRY_BYTES
}

impl SharedMap {
    /// Number of entries.
    pub(crate) fn len(&self) -> u64 {
        self.chunks.entries()
    }

    /// The entries in byte order of their map keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.chunks.iter_after(None)
    }

    /// Appends an entry, unless it does not come after all others; gives back whether it does.
    #[must_use]
    pub(crate) fn push(&mut self, map_key: &[u8], value: &[u8]) -> bool {
        let in_order = self.chunks.last_key().is_none_or(|last| last < map_key);
        if in_order {
            self.bytes += size_of_entry(map_key, value);
            Arc::make_mut(&mut self.chunks).put(map_key, value, 0);
        }
        in_order
    }

    pub(super) fn get(
        &self,
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        let mut bytes = out.column().byte_len();
        for map_key in map_keys.iter() {
            let value = self.chunks.get(map_key);
            bytes += value.map_or(0, <[u8]>::len);
            limits::check_column("the column of values", bytes, out.len())?;
            out.push(value);
        }
        Ok(())
    }

    pub(super) fn scan(
        &self,
        after: Option<&[u8]>,
        limit: usize,
        out: &mut EntriesColumn,
    ) -> Result<(), Error> {
        for (map_key, value) in self.chunks.iter_after(after).take(limit) {
            let keys = out.keys.byte_len() + map_key.len();
            let values = out.values.byte_len() + value.len();
            limits::check_column("the column of entries", keys.max(values), out.keys.len())?;
            out.keys.push(map_key);
            out.values.push(value);
        }
        Ok(())
    }

    /// Checks that entries can be put: `values` are as many as `map_keys`.
    pub(super) fn check_put(
        &self,
        map_keys: ColumnView<'_>,
        values: &OptionalColumn,
    ) -> Result<(), Error> {
        let what = "a broadcast state";
        let added = map_keys.contents().len()
            + values.column().byte_len()
            + values.len() * limits::ENTRY_BYTES;
        if limits::check(what, self.bytes + added, limits::MAX_COLUMN_BYTES).is_ok() {
            return Ok(());
        }
        // It may still replace or remove enough of what is there.
        let last: BTreeMap<&[u8], Option<&[u8]>> = map_keys.iter().zip(values.iter()).collect();
        let (mut added, mut gone) = (0, 0);
        for (map_key, value) in last {
            added += value.map_or(0, |value| size_of_entry(map_key, value));
            gone += self.size_of(map_key);
        }
        limits::check(what, self.bytes - gone + added, limits::MAX_COLUMN_BYTES)
    }

    /// Puts or removes entries that were checked.
    pub(super) fn put(&mut self, map_keys: ColumnView<'_>, values: &OptionalColumn) {
        for (map_key, value) in map_keys.iter().zip(values.iter()) {
            let gone = self.size_of(map_key);
            match value {
                Some(value) => {
                    self.bytes = self.bytes - gone + size_of_entry(map_key, value);
                    Arc::make_mut(&mut self.chunks).put(map_key, value, 0);
                }
                // Not copied for nothing.
                None if gone > 0 => {
                    self.bytes -= gone;
                    Arc::make_mut(&mut self.chunks).remove(map_key);
                }
                None => {}
            }
        }
    }

    /// What the entry of a map key takes; 0 where there is none.
    fn size_of(&self, map_key: &[u8]) -> usize {
        let value = self.chunks.get(map_key);
        value.map_or(0, |value| size_of_entry(map_key, value))
    }
}
