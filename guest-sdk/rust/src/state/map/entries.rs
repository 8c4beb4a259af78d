//! Iterating a map: the host's entries by pages, with what this call wrote laid over them.

use std::iter::Peekable;
use std::marker::PhantomData;
use std::vec;

use crate::call::Binding;
use crate::codec::StateCodec;
use crate::column;
use crate::error::Result;
use crate::host::EntriesColumn;
use crate::map_key::MapKey;

/// Entries asked for in one import.
const PAGE: u32 = 256;

/// What the call wrote under a map key; `None` for removed.
pub(super) type Written = (Vec<u8>, Option<Vec<u8>>);

/// The entries of a map, in the byte order of their keys; made by [`Map::iter`](super::Map::iter).
pub struct Entries<'a, K, V> {
    binding: &'a Binding,
    key: u32,
    written: Peekable<vec::IntoIter<Written>>,
    page: EntriesColumn,
    /// The next entry of the page.
    next: usize,
    /// The host has nothing after the page.
    exhausted: bool,
    types: PhantomData<(K, V)>,
}

impl<'a, K: MapKey, V: StateCodec> Entries<'a, K, V> {
    /// Iterates the map of `key`: what was `written`, sorted, over what the host holds, unless that
    /// is `cleared`.
    pub(super) fn new(
        binding: &'a Binding,
        key: u32,
        written: Vec<Written>,
        cleared: bool,
    ) -> Self {
        let empty = || column::with_room(0, 0);
        Self {
            binding,
            key,
            written: written.into_iter().peekable(),
            page: EntriesColumn {
                keys: empty(),
                values: empty(),
            },
            next: 0,
            exhausted: cleared,
            types: PhantomData,
        }
    }

    /// Fetches the page after the one in hand, once that is used up.
    fn turn(&mut self) -> Result<()> {
        if self.exhausted || self.next < self.page.keys.ends.len() {
            return Ok(());
        }
        let last = self
            .next
            .checked_sub(1)
            .map(|last| column::row(&self.page.keys, last));
        let host = &self.binding.call.host;
        self.page = host.map_scan(self.binding.index, self.key, last.transpose()?, PAGE);
        self.next = 0;
        self.exhausted = self.page.keys.ends.len() < PAGE as usize;
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<(K, V)>> {
        loop {
            self.turn()?;
            let stored = if self.next < self.page.keys.ends.len() {
                Some(column::row(&self.page.keys, self.next)?)
            } else {
                None
            };
            let is_due = |(map_key, _): &Written| stored.is_none_or(|s| &map_key[..] <= s);
            match self.written.next_if(is_due) {
                Some((map_key, value)) => {
                    // What was written hides what is stored under the same key.
                    if stored == Some(&map_key[..]) {
                        self.next += 1;
                    }
                    if let Some(value) = value {
                        return self.decode(&map_key, &value).map(Some);
                    }
                }
                None => {
                    let Some(map_key) = stored else {
                        return Ok(None);
                    };
                    let value = column::row(&self.page.values, self.next)?;
                    let entry = self.decode(map_key, value)?;
                    self.next += 1;
                    return Ok(Some(entry));
                }
            }
        }
    }

    fn decode(&self, map_key: &[u8], value: &[u8]) -> Result<(K, V)> {
        let entry = K::decode(map_key).and_then(|key| Ok((key, V::decode(value)?)));
        entry.map_err(|error| self.binding.corrupt(error))
    }
}

impl<K: MapKey, V: StateCodec> Iterator for Entries<'_, K, V> {
    type Item = Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
