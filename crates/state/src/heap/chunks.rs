//! A large ordered map in chunks of some hundred entries, shared by reference with snapshots: of a
//! key, or of a broadcast state.
//!
//! A chunk is a sorted array of slots and one buffer of bytes: no allocation an entry, and copying
//! it is two `memcpy`s. A write copies the array of pointers once after a snapshot and then the
//! chunks it touches.
//!
//! INVARIANT: chunks are not empty, and their entries rise over the whole list in byte order of
//! keys.

use std::{cmp::Ordering, sync::Arc};

use super::record::prefix_of;

/// A chunk splits above this many entries.
const MAX_ENTRIES: usize = 128;
/// A chunk of more than one entry splits above this many live bytes.
const MAX_BYTES: usize = 16 * 1024;
/// A value shorter than a quarter of the place of an older one takes it only up to this many bytes.
const MAX_SLACK: usize = 256;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapChunks {
    chunks: Vec<Part>,
    entries: u64,
    /// The epoch in which it was made.
    born: u64,
}

/// A chunk and where it begins: most look-ups need not look at the keys of any other.
#[derive(Clone, Debug)]
struct Part {
    /// Of its first key, see [`prefix_of`].
    prefix: u64,
    chunk: Arc<Chunk>,
}

/// A sorted run of entries.
#[derive(Clone, Debug, Default)]
struct Chunk {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    /// How many of the bytes belong to no slot.
    garbage: usize,
}

/// An entry: key, then value, then what is left of an older and longer value.
#[derive(Clone, Copy, Debug)]
struct Slot {
    start: u32,
    key_len: u32,
    value_len: u32,
    capacity: u32,
    /// The epoch in which it was last put. Four thousand million of them do not end.
    epoch: u32,
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
        self.chunks.iter().flat_map(move |Part { chunk, .. }| {
            let slots = chunk.slots.iter();
            let put = slots.filter(move |slot| u64::from(slot.epoch) > base);
            put.map(|&slot| chunk.entry(slot))
        })
    }

    /// Number of entries.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// The value of a map key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let chunk = &self.chunks.get(self.chunk_of(key))?.chunk;
        let slot = chunk.search(key).ok()?;
        Some(chunk.value(chunk.slots[slot]))
    }

    /// The last of the map keys.
    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        let chunk = &self.chunks.last()?.chunk;
        chunk.slots.last().map(|&slot| chunk.key(slot))
    }

    /// Inserts or replaces in an epoch; gives back whether the key is new.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], epoch: u64) -> bool {
        let epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
        let i = self.chunk_of(key);
        match self.chunks.get(i).map(|part| part.chunk.search(key)) {
            Some(Ok(slot)) => {
                let chunk = Arc::make_mut(&mut self.chunks[i].chunk);
                chunk.replace(slot, value, epoch);
                self.split_if_due(i);
                false
            }
            found => {
                self.insert_at(i, found.and_then(Result::err), (key, value), epoch);
                true
            }
        }
    }

    /// Inserts where the key is not there yet, in an epoch; gives back whether that was so. Where
    /// it is there nothing changes, and nothing is copied.
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8], epoch: u64) -> bool {
        let epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
        let i = self.chunk_of(key);
        match self.chunks.get(i).map(|part| part.chunk.search(key)) {
            Some(Ok(_)) => false,
            found => {
                self.insert_at(i, found.and_then(Result::err), (key, value), epoch);
                true
            }
        }
    }

    /// Removes; gives back whether the key was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let i = self.chunk_of(key);
        // Looked at first, so that a chunk is not copied for nothing.
        let Some(slot) = self.chunks.get(i).and_then(|p| p.chunk.search(key).ok()) else {
            return false;
        };
        let part = &mut self.chunks[i];
        let chunk = Arc::make_mut(&mut part.chunk);
        chunk.remove(slot);
        let (len, bytes) = (chunk.slots.len(), chunk.live());
        if len == 0 {
            self.chunks.remove(i);
        } else {
            part.renew();
            if let Some(Part { chunk: next, .. }) = self.chunks.get(i + 1)
                && len + next.slots.len() <= MAX_ENTRIES / 2
                && bytes + next.live() <= MAX_BYTES / 2
            {
                let next = self.chunks.remove(i + 1);
                Arc::make_mut(&mut self.chunks[i].chunk).append(&next.chunk);
            }
        }
        self.entries -= 1;
        true
    }

    /// The entries in order, after `after` (exclusive).
    pub(crate) fn iter_after(&self, after: Option<&[u8]>) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (first, skip) = match after {
            None => (0, 0),
            Some(key) => {
                let i = self.chunk_of(key);
                let skip = match self.chunks.get(i).map(|part| part.chunk.search(key)) {
                    Some(Ok(slot)) => slot + 1,
                    Some(Err(slot)) => slot,
                    None => 0,
                };
                (i, skip)
            }
        };
        self.chunks
            .get(first..)
            .unwrap_or_default()
            .iter()
            .flat_map(|Part { chunk, .. }| chunk.slots.iter().map(|&slot| chunk.entry(slot)))
            .skip(skip)
    }

    /// Asserts the invariant, and that there is little garbage.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let mut before: Option<&[u8]> = None;
        for Part { prefix, chunk } in &self.chunks {
            assert_eq!(chunk.first().map(prefix_of), Some(*prefix));
            assert!(chunk.slots.len() <= MAX_ENTRIES);
            assert!(chunk.garbage * 2 <= chunk.bytes.len());
            for &slot in &chunk.slots {
                assert!(before < Some(chunk.key(slot)));
                before = Some(chunk.key(slot));
            }
        }
    }

    /// The bytes of its buffers.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        let of = |part: &Part| {
            let Chunk { slots, bytes, .. } = part.chunk.as_ref();
            slots.capacity() * size_of::<Slot>() + bytes.capacity() + size_of::<Chunk>()
        };
        self.chunks.iter().map(of).sum::<usize>() + self.chunks.capacity() * size_of::<Part>()
    }

    /// The chunk in which a key is or belongs: the last that does not begin after it.
    fn chunk_of(&self, key: &[u8]) -> usize {
        let prefix = prefix_of(key);
        self.chunks
            .partition_point(|part| match part.prefix.cmp(&prefix) {
                Ordering::Less => true,
                Ordering::Equal => part.chunk.first() <= Some(key),
                Ordering::Greater => false,
            })
            .saturating_sub(1)
    }

    /// Inserts a new key into chunk `i`, at its place there.
    fn insert_at(&mut self, i: usize, slot: Option<usize>, entry: (&[u8], &[u8]), epoch: u32) {
        let last = i + 1 >= self.chunks.len();
        match slot {
            // What comes in order fills its chunks: halves of them would stay half empty.
            Some(slot) if !(last && self.chunks[i].chunk.is_full_before(slot)) => {
                let part = &mut self.chunks[i];
                Arc::make_mut(&mut part.chunk).insert(slot, entry.0, entry.1, epoch);
                part.renew();
                self.split_if_due(i);
            }
            Some(_) | None => {
                let mut chunk = Chunk::default();
                chunk.insert(0, entry.0, entry.1, epoch);
                self.chunks.push(Part::new(chunk));
            }
        }
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
        self.prefix = self.chunk.first().map_or(0, prefix_of);
    }
}

impl Chunk {
    fn key(&self, slot: Slot) -> &[u8] {
        &self.bytes[slot.start as usize..][..slot.key_len as usize]
    }

    fn value(&self, slot: Slot) -> &[u8] {
        &self.bytes[(slot.start + slot.key_len) as usize..][..slot.value_len as usize]
    }

    fn entry(&self, slot: Slot) -> (&[u8], &[u8]) {
        (self.key(slot), self.value(slot))
    }

    fn first(&self) -> Option<&[u8]> {
        self.slots.first().map(|&slot| self.key(slot))
    }

    fn live(&self) -> usize {
        self.bytes.len() - self.garbage
    }

    /// Whether the chunk should be split.
    fn is_over(&self) -> bool {
        let len = self.slots.len();
        len > MAX_ENTRIES || (self.live() > MAX_BYTES && len > 1)
    }

    /// Whether `slot` is the end of a chunk that should take nothing more.
    fn is_full_before(&self, slot: usize) -> bool {
        slot == self.slots.len() && (slot >= MAX_ENTRIES || self.live() >= MAX_BYTES)
    }

    fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.slots.binary_search_by(|&slot| self.key(slot).cmp(key))
    }

    fn insert(&mut self, at: usize, key: &[u8], value: &[u8], epoch: u32) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.slots.insert(
            at,
            Slot {
                start,
                key_len: key.len() as u32,
                value_len: value.len() as u32,
                capacity: value.len() as u32,
                epoch,
            },
        );
    }

    fn replace(&mut self, at: usize, value: &[u8], epoch: u32) {
        let slot = self.slots[at];
        let key_end = (slot.start + slot.key_len) as usize;
        let capacity = slot.capacity as usize;
        if value.len() <= capacity && (capacity <= MAX_SLACK || value.len() * 4 >= capacity) {
            self.bytes[key_end..][..value.len()].copy_from_slice(value);
            self.slots[at].value_len = value.len() as u32;
            self.slots[at].epoch = epoch;
        } else {
            self.slots[at] = Slot {
                start: self.bytes.len() as u32,
                value_len: value.len() as u32,
                capacity: value.len() as u32,
                epoch,
                ..slot
            };
            self.bytes.extend_from_within(slot.start as usize..key_end);
            self.bytes.extend_from_slice(value);
            self.discard(slot);
        }
    }

    fn remove(&mut self, at: usize) {
        let slot = self.slots.remove(at);
        self.discard(slot);
    }

    /// Counts the bytes of a slot that is no more as garbage, and drops that once it is the half.
    fn discard(&mut self, slot: Slot) {
        self.garbage += (slot.key_len + slot.capacity) as usize;
        if self.garbage * 2 > self.bytes.len() {
            let mut compact = Self::default();
            compact.append(self);
            *self = compact;
        }
    }

    /// Appends the entries of `other`, whose keys are all larger, without its garbage.
    fn append(&mut self, other: &Self) {
        self.bytes.reserve(other.live());
        self.slots.reserve(other.slots.len());
        for &slot in &other.slots {
            let (key, value) = other.entry(slot);
            self.insert(self.slots.len(), key, value, slot.epoch);
        }
    }

    /// Moves the upper half out. There are two entries or more.
    fn split(&mut self) -> Self {
        let len = self.slots.len();
        let mut halves = [Self::default(), Self::default()];
        for (i, &slot) in self.slots.iter().enumerate() {
            let (key, value) = self.entry(slot);
            let half = &mut halves[usize::from(i >= len / 2)];
            half.insert(half.slots.len(), key, value, slot.epoch);
        }
        let [lower, upper] = halves;
        *self = lower;
        upper
    }
}
