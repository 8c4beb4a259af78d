//! A chunk of a large map: some hundred entries in order.
//!
//! Three arrays: the *heads*, which are the first 8 bytes that keys may differ in, as numbers; the
//! slots, which say where entries are; and the bytes of these. A search goes over the heads, which
//! lie close together, and looks at keys only where heads are the same.
//!
//! INVARIANT: entries rise in byte order of keys. All keys begin with the first `shared` bytes of
//! `start`, and a head is what follows them in its key, with zeros behind its end.

use std::ops::Range;

use weir_model::same_key;

use super::record::prefix_of;

/// A chunk splits above this many entries.
pub(super) const MAX_ENTRIES: usize = 128;
/// A chunk of more than one entry splits above this many live bytes.
pub(super) const MAX_BYTES: usize = 16 * 1024;
/// A value shorter than a quarter of the place of an older one takes it only up to this many bytes.
const MAX_SLACK: usize = 256;
/// Keys of a chunk share at most this many bytes, as far as it counts.
const MAX_SHARED: usize = 24;

/// A key to search for, and how it begins.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) bytes: &'a [u8],
    start: Start,
}

/// The first bytes of a key as numbers that are ordered as they are, with zeros behind its end.
type Start = [u64; MAX_SHARED / 8];

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    heads: Vec<u64>,
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    /// How many of the bytes belong to no slot.
    garbage: usize,
    start: Start,
    shared: usize,
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

impl<'a> Key<'a> {
    #[inline]
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let start = [0, 8, 16].map(|at| head_of(bytes, at));
        Self { bytes, start }
    }

    /// The first 16 bytes as a number that is ordered as they are.
    #[inline]
    pub(super) fn prefix(&self) -> u128 {
        u128::from(self.start[0]) << 64 | u128::from(self.start[1])
    }

    /// How many of its first bytes are those of `start`, of `most` of these.
    fn shared_with(&self, start: &Start, most: usize) -> usize {
        let differ = |(a, b): (&u64, &u64)| (a ^ b).leading_zeros() as usize / 8;
        let mut same = 0;
        for word in self.start.iter().zip(start) {
            let more = differ(word);
            same += more;
            if more < 8 {
                break;
            }
        }
        same.min(most).min(self.bytes.len())
    }
}

impl Chunk {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The entries in order, from one on.
    pub(super) fn iter_from(&self, at: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let slots = self.slots.get(at..).unwrap_or_default();
        slots.iter().map(|&slot| self.entry(slot))
    }

    /// The entries that were put after the epoch `base`, in order.
    pub(super) fn put_since(&self, base: u64) -> impl Iterator<Item = (&[u8], &[u8])> {
        let put = move |slot: &&Slot| u64::from(slot.epoch) > base;
        let slots = self.slots.iter().filter(put);
        slots.map(|&slot| self.entry(slot))
    }

    pub(super) fn first(&self) -> Option<&[u8]> {
        self.slots.first().map(|&slot| self.key(slot))
    }

    pub(super) fn last(&self) -> Option<&[u8]> {
        self.slots.last().map(|&slot| self.key(slot))
    }

    pub(super) fn value(&self, at: usize) -> &[u8] {
        self.entry(self.slots[at]).1
    }

    /// The bytes of entries.
    pub(super) fn live(&self) -> usize {
        self.bytes.len() - self.garbage
    }

    /// Whether the chunk should be split.
    pub(super) fn is_over(&self) -> bool {
        let len = self.slots.len();
        len > MAX_ENTRIES || (self.live() > MAX_BYTES && len > 1)
    }

    /// Whether `at` is the end of a chunk that should take nothing more.
    pub(super) fn is_full_before(&self, at: usize) -> bool {
        at == self.slots.len() && (at >= MAX_ENTRIES || self.live() >= MAX_BYTES)
    }

    /// Where a key is, or belongs.
    #[inline]
    pub(super) fn search(&self, key: &Key<'_>) -> Result<usize, usize> {
        let shared = self.shared;
        if key.shared_with(&self.start, shared) < shared {
            // All keys are on one side of it: a key that ends before they differ is before them.
            let is_behind = self.first().is_some_and(|first| first < key.bytes);
            return Err(if is_behind { self.slots.len() } else { 0 });
        }
        let head = head_of(key.bytes, shared);
        let first = rank(&self.heads, head);
        if self.heads.get(first) != Some(&head) {
            return Err(first);
        }
        if same_key(self.key(self.slots[first]), key.bytes) {
            return Ok(first);
        }
        let same = self.heads[first..].partition_point(|&other| other == head);
        let found =
            self.slots[first..first + same].binary_search_by(|&slot| self.key(slot).cmp(key.bytes));
        found.map(|at| first + at).map_err(|at| first + at)
    }

    /// Inserts an entry at its place.
    pub(super) fn insert(&mut self, at: usize, key: &Key<'_>, value: &[u8], epoch: u32) {
        if self.slots.is_empty() {
            (self.start, self.shared) = (key.start, key.bytes.len().min(MAX_SHARED));
        } else {
            self.share(key);
        }
        self.insert_shared(at, key.bytes, value, epoch);
    }

    /// Replaces the value of an entry.
    pub(super) fn replace(&mut self, at: usize, value: &[u8], epoch: u32) {
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

    /// Removes an entry.
    pub(super) fn remove(&mut self, at: usize) {
        self.heads.remove(at);
        let slot = self.slots.remove(at);
        self.discard(slot);
    }

    /// Removes the first entries; there are as many.
    pub(super) fn remove_first(&mut self, count: usize) {
        self.heads.drain(..count);
        let slots = self.slots.drain(..count);
        let bytes = slots.map(|slot| (slot.key_len + slot.capacity) as usize);
        self.garbage += bytes.sum::<usize>();
        self.compact_if_due();
    }

    /// A copy without the first entries; there are more than that.
    pub(super) fn without_first(&self, count: usize) -> Self {
        self.part(count..self.slots.len())
    }

    /// Appends the entries of `other`, whose keys are all larger, without its garbage.
    pub(super) fn append(&mut self, other: &Self) {
        if let Some(last) = other.last() {
            self.share(&Key::of(last));
            self.append_shared(other, 0..other.slots.len());
        }
    }

    /// Moves the upper half out. There are two entries or more.
    pub(super) fn split(&mut self) -> Self {
        let middle = self.slots.len() / 2;
        let upper = self.part(middle..self.slots.len());
        *self = self.part(0..middle);
        upper
    }

    /// Asserts the invariant, and that there is little garbage.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert!(self.slots.len() <= MAX_ENTRIES && self.heads.len() == self.slots.len());
        assert!(self.garbage * 2 <= self.bytes.len());
        assert!(self.slots.is_sorted_by(|a, b| self.key(*a) < self.key(*b)));
        for (&slot, &head) in self.slots.iter().zip(&self.heads) {
            let key = Key::of(self.key(slot));
            assert_eq!(key.shared_with(&self.start, self.shared), self.shared);
            assert_eq!(head_of(key.bytes, self.shared), head);
        }
    }

    /// The bytes of its buffers.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let heads = self.heads.capacity() * size_of::<u64>();
        let slots = self.slots.capacity() * size_of::<Slot>();
        heads + slots + self.bytes.capacity() + size_of::<Self>()
    }

    fn key(&self, slot: Slot) -> &[u8] {
        &self.bytes[slot.start as usize..][..slot.key_len as usize]
    }

    fn entry(&self, slot: Slot) -> (&[u8], &[u8]) {
        let entry = &self.bytes[slot.start as usize..];
        let (key, rest) = entry.split_at(slot.key_len as usize);
        (key, &rest[..slot.value_len as usize])
    }

    /// From now on keys share no more than they do with this one.
    #[inline]
    fn share(&mut self, key: &Key<'_>) {
        let shared = key.shared_with(&self.start, self.shared);
        if shared < self.shared {
            self.share_only(shared);
        }
    }

    #[cold]
    fn share_only(&mut self, shared: usize) {
        self.shared = shared;
        self.heads.clear();
        let (slots, bytes) = (&self.slots, &self.bytes);
        let keys = slots
            .iter()
            .map(|slot| &bytes[slot.start as usize..][..slot.key_len as usize]);
        self.heads.extend(keys.map(|key| head_of(key, shared)));
    }

    /// Inserts an entry of which it is known that it begins as all do.
    #[inline]
    fn insert_shared(&mut self, at: usize, key: &[u8], value: &[u8], epoch: u32) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.heads.insert(at, head_of(key, self.shared));
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

    /// Appends some entries of `other`, which are larger and begin as all do.
    fn append_shared(&mut self, other: &Self, some: Range<usize>) {
        self.heads.reserve(some.len());
        self.slots.reserve(some.len());
        for &slot in &other.slots[some] {
            let (key, value) = other.entry(slot);
            self.insert_shared(self.slots.len(), key, value, slot.epoch);
        }
    }

    /// A copy of some entries without garbage, which knows all that their keys share.
    fn part(&self, some: Range<usize>) -> Self {
        let mut part = Self::default();
        let slots = &self.slots[some.clone()];
        if let (Some(&first), Some(&last)) = (slots.first(), slots.last()) {
            // What the first and the last share is shared by all in between.
            let (first, last) = (Key::of(self.key(first)), Key::of(self.key(last)));
            part.start = first.start;
            part.shared = last.shared_with(&first.start, first.bytes.len());
            let bytes = slots.iter().map(|slot| slot.key_len + slot.value_len);
            part.bytes.reserve(bytes.sum::<u32>() as usize);
            part.append_shared(self, some);
        }
        part
    }

    /// Counts the bytes of a slot that is no more as garbage.
    fn discard(&mut self, slot: Slot) {
        self.garbage += (slot.key_len + slot.capacity) as usize;
        self.compact_if_due();
    }

    /// Drops all garbage once it is the half.
    fn compact_if_due(&mut self) {
        if self.garbage * 2 > self.bytes.len() {
            *self = self.part(0..self.slots.len());
        }
    }
}

/// How many of some numbers in order are less than one.
///
/// Of each eight the last is looked at, whatever the others say: the lines that they lie in come
/// from memory at the same time, where each step of a binary search would wait for its own.
#[inline]
fn rank(numbers: &[u64], than: u64) -> usize {
    let (eights, rest) = numbers.as_chunks::<8>();
    let less = eights.iter().map(|eight| usize::from(eight[7] < than));
    let eight = less.sum::<usize>();
    let last = eights.get(eight).map_or(rest, |eight| &eight[..]);
    eight * 8 + last.iter().map(|&n| usize::from(n < than)).sum::<usize>()
}

/// What follows the first `at` bytes of a key, as a number that is ordered as it is.
#[inline]
fn head_of(key: &[u8], at: usize) -> u64 {
    let Some(rest) = key.get(at..) else {
        return 0;
    };
    match key.last_chunk() {
        // The last bytes, moved to the front: nothing is copied byte by byte.
        Some(last) if rest.len() < 8 && !rest.is_empty() => {
            u64::from_be_bytes(*last) << (8 * (8 - rest.len()))
        }
        Some(_) | None => prefix_of(rest),
    }
}
