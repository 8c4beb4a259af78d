//! A large ordered map in chunks of some hundred entries, shared by reference with snapshots.
//!
//! A chunk is a sorted array of slots and one buffer of bytes: no allocation an entry, and copying
//! it is two `memcpy`s. A write copies the array of pointers once after a snapshot and then the
//! chunks it touches.
//!
//! INVARIANT: chunks are not empty, and their entries rise over the whole list in byte order of
//! keys.

use std::sync::Arc;

/// A chunk splits above this many entries.
const MAX_ENTRIES: usize = 128;
/// A chunk of more than one entry splits above this many live bytes.
const MAX_BYTES: usize = 16 * 1024;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct MapChunks {
    chunks: Vec<Arc<Chunk>>,
    entries: u64,
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
}

impl MapChunks {
    /// Number of entries.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// The value of a map key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let slot = chunk.search(key).ok()?;
        Some(chunk.value(chunk.slots[slot]))
    }

    /// Inserts or replaces; gives back whether the key is new.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> bool {
        let i = self.chunk_of(key);
        if self.chunks.is_empty() {
            self.chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(&mut self.chunks[i]);
        let new = match chunk.search(key) {
            Ok(slot) => {
                chunk.replace(slot, value);
                false
            }
            Err(slot) => {
                chunk.insert(slot, key, value);
                true
            }
        };
        if let Some(upper) = chunk.split_if_due() {
            self.chunks.insert(i + 1, Arc::new(upper));
        }
        self.entries += u64::from(new);
        new
    }

    /// Removes; gives back whether the key was there.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let i = self.chunk_of(key);
        // Looked at first, so that a chunk is not copied for nothing.
        let Some(slot) = self.chunks.get(i).and_then(|c| c.search(key).ok()) else {
            return false;
        };
        let chunk = Arc::make_mut(&mut self.chunks[i]);
        chunk.remove(slot);
        let (len, bytes) = (chunk.slots.len(), chunk.live());
        if len == 0 {
            self.chunks.remove(i);
        } else if let Some(next) = self.chunks.get(i + 1)
            && len + next.slots.len() <= MAX_ENTRIES / 2
            && bytes + next.live() <= MAX_BYTES / 2
        {
            let next = self.chunks.remove(i + 1);
            Arc::make_mut(&mut self.chunks[i]).append(&next);
        }
        self.entries -= 1;
        true
    }

    /// The entries in order, after `after` (exclusive).
    pub(super) fn iter_after(&self, after: Option<&[u8]>) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (first, skip) = match after {
            None => (0, 0),
            Some(key) => {
                let i = self.chunk_of(key);
                let skip = match self.chunks.get(i).map(|c| c.search(key)) {
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
            .flat_map(|chunk| chunk.slots.iter().map(|&slot| chunk.entry(slot)))
            .skip(skip)
    }

    /// The chunk in which a key is or belongs: the last that does not begin after it.
    fn chunk_of(&self, key: &[u8]) -> usize {
        self.chunks
            .partition_point(|chunk| {
                let first = chunk.slots.first();
                first.is_some_and(|&slot| chunk.key(slot) <= key)
            })
            .saturating_sub(1)
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

    fn live(&self) -> usize {
        self.bytes.len() - self.garbage
    }

    fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.slots.binary_search_by(|&slot| self.key(slot).cmp(key))
    }

    fn insert(&mut self, at: usize, key: &[u8], value: &[u8]) {
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
            },
        );
    }

    fn replace(&mut self, at: usize, value: &[u8]) {
        let slot = self.slots[at];
        if value.len() <= slot.capacity as usize {
            let start = (slot.start + slot.key_len) as usize;
            self.bytes[start..start + value.len()].copy_from_slice(value);
            self.slots[at].value_len = value.len() as u32;
        } else {
            let key = self.key(slot).to_vec();
            self.remove(at);
            self.insert(at, &key, value);
        }
    }

    fn remove(&mut self, at: usize) {
        let slot = self.slots.remove(at);
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
        for &slot in &other.slots {
            let (key, value) = other.entry(slot);
            self.insert(self.slots.len(), key, value);
        }
    }

    /// Moves the upper half out, if the chunk is too large.
    fn split_if_due(&mut self) -> Option<Self> {
        let len = self.slots.len();
        if len <= MAX_ENTRIES && (self.live() <= MAX_BYTES || len < 2) {
            return None;
        }
        let mut halves = [Self::default(), Self::default()];
        for (i, &slot) in self.slots.iter().enumerate() {
            let (key, value) = self.entry(slot);
            let half = &mut halves[usize::from(i >= len / 2)];
            half.insert(half.slots.len(), key, value);
        }
        let [lower, upper] = halves;
        *self = lower;
        Some(upper)
    }
}
