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

/// Entries asked for in the first import of an iteration; each further one asks for `GROWTH` times
/// as many, so that a short map costs one import and a long one fills no memory.
const FIRST_PAGE: u32 = 16;
const GROWTH: u32 = 4;
const LARGEST_PAGE: u32 = 256;

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
    /// How many entries the next import asks for.
    room: u32,
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
        Self {
            binding,
            key,
            written: written.into_iter().peekable(),
            page: empty_page(),
            next: 0,
            room: FIRST_PAGE,
            exhausted: cleared,
            types: PhantomData,
        }
    }

    /// Has the first import ask for one entry: most likely no more is wanted.
    pub(super) fn wanting_one(mut self) -> Self {
        self.room = 1;
        self
    }

    /// Fetches the page after the one in hand, once that is used up.
    fn turn(&mut self) -> Result<()> {
        if self.exhausted || self.next < self.page.keys.ends.len() {
            return Ok(());
        }
        let last = match self.next.checked_sub(1) {
            Some(last) => Some(column::row(&self.page.keys, last)?),
            None => None,
        };
        let host = &self.binding.call.host;
        self.page = host.map_scan(self.binding.index, self.key, last, self.room);
        self.next = 0;
        self.exhausted = self.page.keys.ends.len() < self.room as usize;
        self.room = (self.room * GROWTH).min(LARGEST_PAGE);
        Ok(())
    }

    /// The next entry, or why it cannot be decoded. An error is about the page as a whole.
    fn advance(&mut self) -> Result<Option<Result<(K, V)>>> {
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
                        return Ok(Some(decode(self.binding, &map_key, &value)));
                    }
                }
                None => {
                    let Some(map_key) = stored else {
                        return Ok(None);
                    };
                    let value = column::row(&self.page.values, self.next)?;
                    // Past it in any case: an entry that cannot be decoded must not come for ever.
                    self.next += 1;
                    return Ok(Some(decode(self.binding, map_key, value)));
                }
            }
        }
    }

    /// From here on nothing comes: what the host sent cannot be read any further.
    fn give_up(&mut self) {
        self.exhausted = true;
        self.page = empty_page();
        self.next = 0;
        self.written = Vec::new().into_iter().peekable();
    }
}

fn empty_page() -> EntriesColumn {
    let empty = || column::with_room(0, 0);
    EntriesColumn {
        keys: empty(),
        values: empty(),
    }
}

fn decode<K: MapKey, V: StateCodec>(
    binding: &Binding,
    map_key: &[u8],
    value: &[u8],
) -> Result<(K, V)> {
    let entry = K::decode(map_key).and_then(|key| Ok((key, V::decode(value)?)));
    entry.map_err(|error| binding.corrupt(error))
}

impl<K: MapKey, V: StateCodec> Iterator for Entries<'_, K, V> {
    type Item = Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(entry) => entry,
            Err(error) => {
                self.give_up();
                Some(Err(error))
            }
        }
    }
}
