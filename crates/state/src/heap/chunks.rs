//! A large ordered map in chunks of some hundred entries, shared by reference with snapshots: of a
//! key, of a broadcast state, or of timers.
//!
//! A chunk takes no allocation an entry, and copying it is three `memcpy`s. A write copies the
//! array of pointers once after a snapshot and then the chunks it touches. What goes first and what
//! comes last, as timers do, moves few of the pointers.
//!
//! INVARIANT: chunks are not empty, and their entries rise over the whole list in byte order of
//! keys.

use std::{cmp::Ordering, collections::VecDeque, sync::Arc};

use super::chunk::{Chunk, Key, MAX_BYTES, MAX_ENTRIES};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapChunks {
    chunks: VecDeque<Part>,
    entries: u64,
    /// The epoch in which it was made.
    born: u64,
}

/// A chunk and where it begins: most look-ups need not look at the keys of any other.
#[derive(Clone, Debug)]
struct Part {
    /// Of its first key, see [`Key::prefix`].
    prefix: u128,
    chunk: Arc<Chunk>,
}

impl MapChunks {
    /// A map without entries, made in an epoch.
    pub(crate) fn new(epoch: u64) -> Self {
        Self {
            born: epoch,
            ..Self::default()
        }
    }

    /// The epoch in which it was made.
    pub(crate) fn born(&self) -> u64 {
        self.born
    }

    /// The entries that were put after the epoch `base`, in order.
    pub(crate) fn put_since(&self, base: u64) -> impl Iterator<Item = (&[u8], &[u8])> {
        let chunks = self.chunks.iter();
        chunks.flat_map(move |part| part.chunk.put_since(base))
    }

    /// Number of entries.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// The value of a map key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let key = Key::of(key);
        let chunk = &self.chunks.get(self.chunk_of(&key))?.chunk;
        Some(chunk.value(chunk.search(&key).ok()?))
    }

    /// The first of the map keys.
    pub(crate) fn first_key(&self) -> Option<&[u8]> {
        self.chunks.front()?.chunk.first()
    }

    /// The last of the map keys.
    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        self.chunks.back()?.chunk.last()
    }

    /// Inserts or replaces in an epoch; gives back whether the key is new.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], epoch: u64) -> bool {
        let (key, epoch) = (Key::of(key), epoch_of(epoch));
        let i = self.chunk_of(&key);
        match self.chunks.get_mut(i) {
            Some(part) => match part.chunk.search(&key) {
                Ok(at) => {
                    Arc::make_mut(&mut part.chunk).replace(at, value, epoch);
                    self.split_if_due(i);
                    false
                }
                Err(at) => {
                    self.insert_at((i, at), &key, value, epoch);
                    true
                }
            },
            None => {
                self.push(&key, value, epoch);
                true
            }
        }
    }

    /// Inserts where the key is not there yet, in an epoch; gives back whether that was so. Where
    /// it is there nothing changes, and nothing is copied.
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8], epoch: u64) -> bool {
        let (key, epoch) = (Key::of(key), epoch_of(epoch));
        let i = self.chunk_of(&key);
        match self.chunks.get(i).map(|part| part.chunk.search(&key)) {
            Some(Ok(_)) => return false,
            Some(Err(at)) => self.insert_at((i, at), &key, value, epoch),
            None => self.push(&key, value, epoch),
        }
        true
    }

    /// Removes; gives back whether the key was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let key = Key::of(key);
        let i = self.chunk_of(&key);
        let Some(part) = self.chunks.get_mut(i) else {
            return false;
        };
        // Looked at first, so that a chunk is not copied for nothing.
        let Ok(at) = part.chunk.search(&key) else {
            return false;
        };
        self.entries -= 1;
        if part.chunk.len() == 1 {
            self.chunks.remove(i);
            return true;
        }
        let chunk = Arc::make_mut(&mut part.chunk);
        chunk.remove(at);
        let (len, bytes) = (chunk.len(), chunk.live());
        if at == 0 {
            part.renew();
        }
        if len <= MAX_ENTRIES / 2
            && let Some(Part { chunk: next, .. }) = self.chunks.get(i + 1)
            && len + next.len() <= MAX_ENTRIES / 2
            && bytes + next.live() <= MAX_BYTES / 2
            && let Some(next) = self.chunks.remove(i + 1)
        {
            Arc::make_mut(&mut self.chunks[i].chunk).append(&next.chunk);
        }
        true
    }

    /// Removes the first entries as long as `is_next` says so of their keys, one after the other;
    /// gives back how many it removed.
    pub(crate) fn remove_first(&mut self, mut is_next: impl FnMut(&[u8]) -> bool) -> usize {
        let before = self.entries;
        while let Some(part) = self.chunks.front_mut() {
            let keys = part.chunk.iter_from(0).map(|(key, _)| key);
            let count = keys.take_while(|key| is_next(key)).count();
            self.entries -= count as u64;
            if count < part.chunk.len() {
                if count > 0 {
                    match Arc::get_mut(&mut part.chunk) {
                        Some(chunk) => chunk.remove_first(count),
                        None => part.chunk = Arc::new(part.chunk.without_first(count)),
                    }
                    part.renew();
                }
                break;
            }
            self.chunks.pop_front();
        }
        (before - self.entries) as usize
    }

    /// The entries in order, after `after` (exclusive).
    pub(crate) fn iter_after(&self, after: Option<&[u8]>) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (first, from) = after.map_or((0, 0), |key| {
            let key = Key::of(key);
            let i = self.chunk_of(&key);
            let from = match self.chunks.get(i).map(|part| part.chunk.search(&key)) {
                Some(Ok(at)) => at + 1,
                Some(Err(at)) => at,
                None => 0,
            };
            (i, from)
        });
        let parts = self.chunks.range(first..).enumerate();
        parts.flat_map(move |(i, part)| part.chunk.iter_from(if i == 0 { from } else { 0 }))
    }

    /// Asserts the invariant, and that there is little garbage.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let mut before: Option<&[u8]> = None;
        for Part { prefix, chunk } in &self.chunks {
            chunk.check();
            let first = chunk.first();
            assert_eq!(first.map(|key| Key::of(key).prefix()), Some(*prefix));
            assert!(before < first);
            before = chunk.last();
        }
    }

    /// The bytes of its buffers.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        let chunks = self.chunks.iter().map(|part| part.chunk.memory());
        chunks.sum::<usize>() + self.chunks.capacity() * size_of::<Part>()
    }

    /// The chunk in which a key is or belongs: the last that does not begin after it.
    #[inline]
    fn chunk_of(&self, key: &Key<'_>) -> usize {
        let prefix = key.prefix();
        let is_before = |part: &Part| match part.prefix.cmp(&prefix) {
            Ordering::Less => true,
            Ordering::Equal => part.chunk.first() <= Some(key.bytes),
            Ordering::Greater => false,
        };
        // Much comes in order.
        let chunks = match self.chunks.back() {
            Some(last) if is_before(last) => self.chunks.len(),
            Some(_) | None => self.chunks.partition_point(is_before),
        };
        chunks.saturating_sub(1)
    }

    /// Inserts a new key at its place in a chunk.
    fn insert_at(&mut self, (i, at): (usize, usize), key: &Key<'_>, value: &[u8], epoch: u32) {
        let is_last = i + 1 == self.chunks.len();
        let part = &mut self.chunks[i];
        // What comes in order fills its chunks: halves of them would stay half empty.
        if is_last && part.chunk.is_full_before(at) {
            self.push(key, value, epoch);
            return;
        }
        Arc::make_mut(&mut part.chunk).insert(at, key, value, epoch);
        if at == 0 {
            part.prefix = key.prefix();
        }
        self.entries += 1;
        self.split_if_due(i);
    }

    /// Adds a chunk of a key behind all others.
    fn push(&mut self, key: &Key<'_>, value: &[u8], epoch: u32) {
        let mut chunk = Chunk::default();
        chunk.insert(0, key, value, epoch);
        self.chunks.push_back(Part::new(chunk));
        self.entries += 1;
    }

    /// Splits a chunk that is too large.
    fn split_if_due(&mut self, i: usize) {
        if self.chunks[i].chunk.is_over() {
            let upper = Arc::make_mut(&mut self.chunks[i].chunk).split();
            self.chunks.insert(i + 1, Part::new(upper));
        }
    }
}

impl Part {
    fn new(chunk: Chunk) -> Self {
        let mut part = Self {
            prefix: 0,
            chunk: Arc::new(chunk),
        };
        part.renew();
        part
    }

    /// To be called when the first key may have changed.
    fn renew(&mut self) {
        let first = self.chunk.first();
        self.prefix = first.map_or(0, |key| Key::of(key).prefix());
    }
}

/// What is kept of an epoch.
fn epoch_of(epoch: u64) -> u32 {
    u32::try_from(epoch).unwrap_or(u32::MAX)
}
