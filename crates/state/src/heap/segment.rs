//! A segment: a compact hash table of some hundred entries.
//!
//! Two flat buffers hold everything, so that a segment is copied by two `memcpy`s: an index of
//! cells in buckets of a line of the cache each (see `bucket.rs`), and an arena of records `header,
//! key, value`. A look-up costs one cache miss in each. A value that fits the capacity of its
//! record is replaced in place; a record that is given up is garbage until more than half of the
//! arena is. One whose value is removed keeps its cell until then: most keys that had a value get
//! another, which goes there. The last record of the arena grows where it is.
//!
//! INVARIANT: every record that has a value has exactly one cell, in the bucket that its tag says,
//! or in one behind it if all before that are full, and so have `removed` records without one;
//! these count as garbage, not as entries; records begin at multiples of [`record::UNIT`]; none
//! goes further than `reach`, where that is not the most that it says; no mark of a record is of a
//! later epoch than the segment's; in a *tagged* segment each value begins with [`INLINE`] or, with
//! the number of its entry in `bigs`, with [`BIG`].

mod append;
mod split;
mod touch;

use std::{ops::Range, sync::Arc};

use weir_model::same_key;

use super::{
    big::Big,
    bucket::{self, Bucket, Cell},
    epoch::changed_since,
    record,
};

/// First byte of a tagged value: the rest is the value itself.
pub(super) const INLINE: u8 = 0;
/// First byte of a tagged value: the rest is the index into `bigs`, 4 bytes, little endian.
pub(super) const BIG: u8 = 1;

/// A segment splits above this many entries: copying it after a snapshot costs some microseconds.
/// One more fills three quarters of an index of 64 buckets, so that it need not grow for that one.
const MAX_ENTRIES: u32 = 383;
/// A segment splits above this many live bytes, too, while there is something to divide.
const MAX_BYTES: usize = 64 * 1024;
/// Below this many entries a segment is not split for its bytes.
const MIN_ENTRIES: u32 = 4;
/// Garbage below this many bytes is not worth a compaction.
const MIN_GARBAGE: usize = 512;
/// An index of this many buckets is kept whatever is removed: it is as small as a few records.
const MIN_INDEX: usize = 8;

/// A value that grows gets room for as much again, and for so many bytes at most.
const MAX_ROOM: usize = 32;
/// A value that has grown out of its room gets half as much again, and so many bytes more at most.
const MAX_GROWN_ROOM: usize = 256;

/// A record of a segment: valid until the next change of that segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(u32);

impl At {
    /// No record.
    pub(super) const NONE: Self = Self(u32::MAX);

    fn byte(self) -> usize {
        self.0 as usize * record::UNIT
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Segment {
    index: Vec<Bucket>,
    arena: Vec<u8>,
    bigs: Vec<Option<Arc<Big>>>,
    garbage: usize,
    /// The epoch of the last change, which is also that of the change in hand.
    epoch: u64,
    /// How many records have a value.
    live: u32,
    /// How many cells are of records that have none.
    removed: u32,
    /// How many low bits of the hash all keys of this segment share.
    depth: u8,
    tagged: bool,
    /// How far from its beginning the last byte of the longest record is that there was, or
    /// [`touch::MOST_REACH`].
    reach: u8,
}

/// A copy has room to grow as the original has: most that are copied after a snapshot are so to be
/// written to.
impl Clone for Segment {
    fn clone(&self) -> Self {
        let room = with_slack(self.arena.len()).min(self.arena.capacity());
        let mut arena = Vec::with_capacity(room);
        arena.extend_from_slice(&self.arena);
        let (index, bigs) = (self.index.clone(), self.bigs.clone());
        Self {
            index,
            arena,
            bigs,
            ..*self
        }
    }
}

impl Segment {
    /// A segment without entries; `tagged` says whether its values are (lists and maps).
    pub(super) fn new(tagged: bool) -> Self {
        Self {
            tagged,
            ..Self::default()
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.live as usize
    }

    pub(super) fn depth(&self) -> u8 {
        self.depth
    }

    /// The epoch of the last change.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What follows is changed in this epoch.
    #[inline]
    pub(super) fn enter(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Whether a record may have been changed since `base`, when the epoch is `now`.
    #[inline]
    pub(super) fn changed_since(&self, at: At, base: u64, now: u64) -> bool {
        changed_since(record::mark(&self.arena, at.byte()), base, now)
    }

    /// Whether the segment should be split.
    pub(super) fn is_over(&self) -> bool {
        self.live > MAX_ENTRIES
            || (self.arena.len() - self.garbage > MAX_BYTES && self.live >= MIN_ENTRIES)
    }

    /// The first record whose tag is that of `hash`: nearly always that of the key, if any is. It
    /// may have no value.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> At {
        let tag = tag_of(hash);
        let Some(mask) = self.index.len().checked_sub(1) else {
            return At::NONE;
        };
        let mut number = tag as usize & mask;
        loop {
            let bucket = &self.index[number];
            // Most keys are in the first bucket, or are not and it is not full: this is foreseen.
            if let Some(at) = bucket.first(tag) {
                return At(at);
            }
            if !bucket.is_full() {
                return At::NONE;
            }
            number = (number + 1) & mask;
        }
    }

    /// The value of the record, if it has one, if that is of `key`.
    #[inline]
    pub(super) fn value_of(&self, at: At, key: &[u8]) -> Option<Option<&[u8]>> {
        let (own, value) = record::key_and_value(&self.arena, at.byte());
        same_key(own, key).then_some(value)
    }

    /// The same of a record that has a value of `V` bytes or none: so many bytes, and whether they
    /// are its value. Of one that has none it may not be known.
    #[inline]
    pub(super) fn even_or_none<const K: usize, const V: usize>(
        &self,
        at: At,
        key: &[u8; K],
    ) -> Option<(&[u8; V], bool)> {
        record::even_or_none(&self.arena, at.byte(), key)
    }

    /// The length of the value of a record, if both are there.
    #[inline]
    pub(super) fn value_len(&self, at: At) -> Option<usize> {
        (at != At::NONE && self.has_value(at)).then(|| self.value(at).len())
    }

    /// Whether the record is that of `key`.
    #[inline]
    pub(super) fn is(&self, at: At, key: &[u8]) -> bool {
        same_key(record::key(&self.arena, at.byte()), key)
    }

    /// Whether the record has a value.
    #[inline]
    pub(super) fn has_value(&self, at: At) -> bool {
        record::has_value(&self.arena, at.byte())
    }

    /// The record of `key`, if it has a value.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<At> {
        let cell = self.find_cell(tag_of(hash), key)?;
        Some(self.at(cell)).filter(|&at| self.has_value(at))
    }

    pub(super) fn key(&self, at: At) -> &[u8] {
        record::key(&self.arena, at.byte())
    }

    #[inline]
    pub(super) fn value(&self, at: At) -> &[u8] {
        record::value(&self.arena, at.byte())
    }

    pub(super) fn group(&self, at: At) -> u16 {
        record::group(&self.arena, at.byte())
    }

    /// What a tagged value refers to; `None` where the value is inline.
    pub(super) fn big(&self, at: At) -> Option<&Big> {
        let id = big_id(self.value(at))?;
        self.bigs.get(id)?.as_deref()
    }

    /// As [`big`](Self::big), copied first where a snapshot still holds it.
    pub(super) fn big_mut(&mut self, at: At) -> Option<&mut Big> {
        let id = big_id(record::value(&self.arena, at.byte()))?;
        let big = self.bigs.get_mut(id)?.as_mut().map(Arc::make_mut);
        record::set_mark(&mut self.arena, at.byte(), self.epoch as u8);
        big
    }

    /// What is in a place of the index, with as much of the hash of its key as a table looks at:
    /// [`At::NONE`] where it is empty, `None` behind the last.
    pub(super) fn at_place(&self, place: usize) -> Option<(At, u64)> {
        let cell = self.index.get(place / bucket::CELLS)?.cell(place);
        let at = At(cell.at);
        if at == At::NONE || !self.has_value(at) {
            return Some((At::NONE, 0));
        }
        let low = record::low_hash(&self.arena, at.byte());
        Some((at, u64::from(cell.tag) << 32 | low))
    }

    /// All records that have a value, in no order.
    pub(super) fn records(&self) -> impl Iterator<Item = At> {
        let cells = self.index.iter().flat_map(Bucket::cells);
        let records = cells.map(|cell| At(cell.at));
        records.filter(|&at| self.has_value(at))
    }

    /// Inserts or replaces a value; gives back whether it is new.
    #[inline]
    pub(super) fn put(&mut self, hash: u64, group: u16, key: &[u8], value: &[u8]) -> bool {
        self.put_with_room(hash, group, key, value, value.len())
    }

    /// The same of an inline value that will most likely grow.
    pub(super) fn put_growing(&mut self, hash: u64, group: u16, key: &[u8], value: &[u8]) -> bool {
        self.put_with_room(hash, group, key, value, room_to_grow(value.len()))
    }

    /// The same with room for a value of `room` bytes, where the record has to be made or moved, or
    /// for more if the value has grown.
    #[inline]
    fn put_with_room(
        &mut self,
        hash: u64,
        group: u16,
        key: &[u8],
        value: &[u8],
        room: usize,
    ) -> bool {
        match self.find_cell(tag_of(hash), key) {
            Some(cell) => {
                let at = self.at(cell);
                let is_new = self.restore(at);
                self.release(at);
                self.replace(cell, value, room);
                is_new
            }
            None => {
                let mark = self.epoch as u8;
                self.insert_with_room(hash, group, mark, key, value, room);
                true
            }
        }
    }

    /// Inserts a value of a key that has no record.
    #[inline]
    pub(super) fn put_new(&mut self, hash: u64, group: u16, key: &[u8], value: &[u8]) {
        debug_assert_eq!(self.find_cell(tag_of(hash), key), None, "it has a record");
        self.insert(hash, group, self.epoch as u8, key, value);
    }

    /// The same of an inline value that will most likely grow.
    #[inline]
    pub(super) fn put_new_growing(&mut self, hash: u64, group: u16, key: &[u8], value: &[u8]) {
        debug_assert_eq!(self.find_cell(tag_of(hash), key), None, "it has a record");
        let mark = self.epoch as u8;
        self.insert_with_room(hash, group, mark, key, value, room_to_grow(value.len()));
    }

    /// Inserts a value that was last changed in the epoch of this mark, where the key has none;
    /// gives back whether it had none.
    pub(super) fn remember(
        &mut self,
        hash: u64,
        group: u16,
        mark: u8,
        key: &[u8],
        value: &[u8],
    ) -> bool {
        match self.find_cell(tag_of(hash), key) {
            None => self.insert(hash, group, mark, key, value),
            Some(cell) if self.has_value(self.at(cell)) => return false,
            Some(_) => {
                self.put(hash, group, key, value);
                if let Some(at) = self.find(hash, key) {
                    record::set_mark(&mut self.arena, at.byte(), mark);
                }
            }
        }
        true
    }

    /// Replaces a value where it is, if `at` is the record of `key` and the value fits; gives back
    /// whether it did: `Some` of whether it is new. Not in a tagged segment, where a value may have
    /// to be let go of.
    #[inline]
    pub(super) fn replace_at(&mut self, at: At, key: &[u8], value: &[u8]) -> Option<bool> {
        if at == At::NONE || self.tagged {
            return None;
        }
        let mark = self.epoch as u8;
        let is_new = record::replace(&mut self.arena, at.byte(), mark, key, value)?;
        if is_new {
            self.count_restored(at);
        }
        Some(is_new)
    }

    /// The same of a value that is there already and as long as the new one.
    #[inline]
    pub(super) fn replace_even<const K: usize, const V: usize>(
        &mut self,
        at: At,
        key: &[u8; K],
        value: &[u8; V],
    ) -> bool {
        let mark = self.epoch as u8;
        !self.tagged && record::replace_even(&mut self.arena, at.byte(), mark, key, value)
    }

    /// The same, also where there is room and no value; gives back whether it did: `Some` of
    /// whether it is new.
    #[inline]
    pub(super) fn put_even<const K: usize, const V: usize>(
        &mut self,
        at: At,
        key: &[u8; K],
        value: &[u8; V],
    ) -> Option<bool> {
        if self.tagged {
            return None;
        }
        let mark = self.epoch as u8;
        let garbage = record::put_even(&mut self.arena, at.byte(), mark, key, value)?;
        Some(self.note_restored(garbage))
    }

    /// Removes the value of a record, if it is that of `key`, and moves nothing; gives back whether
    /// there was one. [`tidy`](Self::tidy) must be called before long if it
    /// [is untidy](Self::is_untidy) then.
    #[inline]
    pub(super) fn remove_at(&mut self, at: At, key: &[u8]) -> bool {
        let there = self.is(at, key) && self.has_value(at);
        if there {
            self.release(at);
            record::remove_value(&mut self.arena, at.byte());
            self.garbage += record::size(&self.arena, at.byte());
            self.live -= 1;
            self.removed += 1;
        }
        there
    }

    /// Gives back memory after values were removed, if it is much.
    pub(super) fn tidy(&mut self) {
        self.compact_if_due();
        if self.is_wide() {
            self.shrink();
        }
    }

    /// Whether there is much to [give back](Self::tidy).
    #[inline]
    pub(super) fn is_untidy(&self) -> bool {
        self.is_half_empty() || self.is_wide()
    }

    /// Whether the index has far more room than is needed.
    fn is_wide(&self) -> bool {
        self.index.len() > MIN_INDEX && (self.live as usize) < self.index.len()
    }

    /// Inserts or replaces a value that is kept outside the arena; gives back whether it is new.
    pub(super) fn put_big(&mut self, hash: u64, group: u16, key: &[u8], big: Big) -> bool {
        let id = match self.bigs.iter().position(Option::is_none) {
            Some(id) => id,
            None => {
                self.bigs.push(None);
                self.bigs.len() - 1
            }
        };
        let value = big_value(id);
        // The old value is released first and may leave a hole before `id`; that is no harm.
        let new = self.put(hash, group, key, &value);
        self.bigs[id] = Some(Arc::new(big));
        new
    }

    /// Replaces a part of an inline value by `bytes` where it is, if there is room; gives back
    /// whether there was.
    #[inline]
    pub(super) fn splice_at(&mut self, at: At, part: Range<usize>, bytes: &[u8]) -> bool {
        let len = self.value(at).len() - part.len() + bytes.len();
        let fits = record::fits(&self.arena, at.byte(), len);
        if fits {
            record::splice_value(&mut self.arena, at.byte(), part, bytes);
            record::set_mark(&mut self.arena, at.byte(), self.epoch as u8);
        }
        fits
    }

    /// Puts an inline value where `key` had one and has none, if there is room; gives back whether
    /// it did.
    #[inline]
    pub(super) fn restore_at(&mut self, at: At, key: &[u8], value: &[u8]) -> bool {
        let fits = self.value_of(at, key) == Some(None)
            && record::fits(&self.arena, at.byte(), value.len());
        if fits {
            self.restore(at);
            record::set_value(&mut self.arena, at.byte(), value);
            record::set_mark(&mut self.arena, at.byte(), self.epoch as u8);
        }
        fits
    }

    /// Removes an entry; gives back whether it was there.
    pub(super) fn remove(&mut self, hash: u64, key: &[u8]) -> bool {
        let Some(cell) = self.find_cell(tag_of(hash), key) else {
            return false;
        };
        let there = self.remove_at(self.at(cell), key);
        self.tidy();
        there
    }

    /// The bytes of its buffers.
    pub(super) fn buffers(&self) -> usize {
        self.index.capacity() * size_of::<Bucket>()
            + self.arena.capacity()
            + self.bigs.capacity() * size_of::<Option<Arc<Big>>>()
    }

    /// The bytes of its buffers and of what is kept outside of them.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let bigs = self.bigs.iter().flatten().map(|big| big.memory());
        self.buffers() + bigs.sum::<usize>()
    }

    /// The number of the cell of a key, counted over all buckets.
    #[inline]
    fn find_cell(&self, tag: u32, key: &[u8]) -> Option<usize> {
        let mask = self.index.len().checked_sub(1)?;
        let mut number = tag as usize & mask;
        loop {
            let bucket = &self.index[number];
            let mut of_tag = bucket.of_tag(tag);
            if let Some(cell) = of_tag.find(|&cell| self.is(At(bucket.cell(cell).at), key)) {
                return Some(number * bucket::CELLS + cell);
            }
            if !bucket.is_full() {
                return None;
            }
            number = (number + 1) & mask;
        }
    }

    /// The record of the cell with a number.
    #[inline]
    fn at(&self, cell: usize) -> At {
        At(self.index[cell / bucket::CELLS].cell(cell).at)
    }

    /// Adds a record for a key that has none.
    fn insert(&mut self, hash: u64, group: u16, mark: u8, key: &[u8], value: &[u8]) {
        self.insert_with_room(hash, group, mark, key, value, value.len());
    }

    /// The same, with room for a value of `room` bytes.
    fn insert_with_room(
        &mut self,
        hash: u64,
        group: u16,
        mark: u8,
        key: &[u8],
        value: &[u8],
        room: usize,
    ) {
        if (self.live as usize + self.removed as usize + 1) * 4
            > self.index.len() * bucket::CELLS * 3
        {
            self.make_room();
        }
        let at = self.next_at();
        record::push(&mut self.arena, (hash, group, mark), key, value, room);
        self.note_reach(At(at));
        self.place(Cell {
            tag: tag_of(hash),
            at,
        });
        self.live += 1;
    }

    /// Writes another value to the record of `cell`, with room for `room` bytes if it has to move,
    /// or for more if the value has grown.
    #[inline]
    fn replace(&mut self, cell: usize, value: &[u8], room: usize) {
        let at = self.at(cell).byte();
        if record::fits(&self.arena, at, value.len()) {
            record::set_value(&mut self.arena, at, value);
            record::set_mark(&mut self.arena, at, self.epoch as u8);
        } else {
            let old = record::value(&self.arena, at).len();
            record::set_value(&mut self.arena, at, &[]);
            self.give_room(cell, room, room.max(room_if_grown(old, value.len())));
            let at = self.at(cell).byte();
            record::set_value(&mut self.arena, at, value);
            record::set_mark(&mut self.arena, at, self.epoch as u8);
            self.compact_if_due();
        }
    }

    /// Gives the record of `cell`, which has a value, room for one of `room` bytes where it is, if
    /// it is the last one and does not become smaller: keys that are new get most of what they have
    /// in the next calls, before there is a newer one. Else moves it to the end of the arena, with
    /// room for `moved` bytes.
    fn give_room(&mut self, cell: usize, room: usize, moved: usize) {
        let old = self.at(cell).byte();
        let size = record::size(&self.arena, old);
        let is_last = old + size == self.arena.len();
        if is_last && room > record::capacity(&self.arena, old) {
            record::grow_last(&mut self.arena, old, room);
            self.note_reach(self.at(cell));
            return;
        }
        self.garbage += size;
        let at = self.next_at();
        self.index[cell / bucket::CELLS].set_at(cell, at);
        record::copy_to_end(&mut self.arena, old, moved);
        self.note_reach(At(at));
    }

    /// Lets go of what a tagged value refers to.
    #[inline]
    fn release(&mut self, at: At) {
        if self.tagged
            && let Some(id) = big_id(self.value(at))
            && let Some(big) = self.bigs.get_mut(id)
        {
            *big = None;
        }
    }

    /// The record is to get a value; gives back whether it had none. It has an empty one then.
    #[inline]
    fn restore(&mut self, at: At) -> bool {
        let is_new = !self.has_value(at);
        if is_new {
            record::set_value(&mut self.arena, at.byte(), &[]);
            self.count_restored(at);
        }
        is_new
    }

    /// A record that had no value has one again.
    fn count_restored(&mut self, at: At) {
        self.note_restored(record::size(&self.arena, at.byte()));
    }

    /// A record was written to, of which so many bytes were garbage: if some were, it had no value;
    /// gives back whether that was so. Without a branch, which nobody could foretell.
    #[inline]
    fn note_restored(&mut self, garbage: usize) -> bool {
        let had_none = garbage > 0;
        self.garbage -= garbage;
        self.live += u32::from(had_none);
        self.removed -= u32::from(had_none);
        had_none
    }

    /// Makes room in the index: that of removed records, where these are the half. Fewer would be
    /// back soon, and the index full again.
    fn make_room(&mut self) {
        if self.removed >= self.live && self.removed > 0 {
            self.compact();
        } else {
            self.resize((self.index.len() * 2).max(1));
        }
    }

    /// Gives back what most entries that were removed have left behind.
    #[cold]
    fn shrink(&mut self) {
        if self.removed > 0 {
            self.compact();
        }
        self.resize(self.index.len() / 4);
        let last = self.bigs.iter().rposition(Option::is_some);
        self.bigs.truncate(last.map_or(0, |last| last + 1));
        self.bigs.shrink_to_fit();
    }

    /// Makes an index of `size` buckets, with more cells than there are records with one.
    fn resize(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.index, vec![Bucket::EMPTY; size]);
        for cell in old.iter().flat_map(Bucket::cells) {
            self.place(cell);
        }
    }

    fn place(&mut self, cell: Cell) {
        let mask = self.index.len() - 1;
        let mut number = cell.tag as usize & mask;
        while !self.index[number].push(cell) {
            number = (number + 1) & mask;
        }
    }

    /// Whether half of the arena is garbage.
    fn is_half_empty(&self) -> bool {
        self.garbage >= MIN_GARBAGE && self.garbage * 2 >= self.arena.len()
    }

    fn compact_if_due(&mut self) {
        if self.is_half_empty() {
            self.compact();
        }
    }

    /// Drops all garbage.
    fn compact(&mut self) {
        // Half of it has just been written anew, and what comes next goes on like that.
        let mut arena = Vec::with_capacity(with_slack(self.arena.len() - self.garbage));
        if self.removed > 0 {
            // Their cells become free, and others may move up.
            let empty = vec![Bucket::EMPTY; self.index.len()];
            let old = std::mem::replace(&mut self.index, empty);
            for cell in old.iter().flat_map(Bucket::cells) {
                if self.has_value(At(cell.at)) {
                    let at = units(arena.len());
                    record::copy(&self.arena, At(cell.at).byte(), &mut arena);
                    self.place(Cell { at, ..cell });
                }
            }
        } else {
            for place in self.index.iter_mut().flat_map(Bucket::places_mut) {
                let from = At(*place).byte();
                *place = units(arena.len());
                record::copy(&self.arena, from, &mut arena);
            }
        }
        self.arena = arena;
        self.garbage = 0;
        self.removed = 0;
    }

    fn next_at(&self) -> u32 {
        units(self.arena.len())
    }
}

/// The room that so many bytes of records get where more will most likely come.
fn with_slack(bytes: usize) -> usize {
    bytes + bytes / 4
}

/// How much room a value of so many bytes gets that will most likely grow.
fn room_to_grow(len: usize) -> usize {
    len + len.min(MAX_ROOM)
}

/// How much room a value gets that was of `old` bytes and has to move, being of `len`: if it has
/// grown it will most likely do so again.
fn room_if_grown(old: usize, len: usize) -> usize {
    let has_grown = (1..len).contains(&old);
    len + if has_grown {
        (len / 2).min(MAX_GROWN_ROOM)
    } else {
        0
    }
}

#[inline]
fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// An offset in an arena in units of a record. Segments split long before; only keys with equal
/// hashes stay together, and 16 GiB of those are an attack that must end the task, not mix up rows.
#[expect(
    clippy::expect_used,
    reason = "an arena of 16 GiB breaks every limit before this one"
)]
fn units(byte: usize) -> u32 {
    u32::try_from(byte / record::UNIT)
        .ok()
        .filter(|&at| at != u32::MAX)
        .expect("an arena holds less than 16 GiB")
}

fn big_value(id: usize) -> [u8; 5] {
    let [a, b, c, d] = (id as u32).to_le_bytes();
    [BIG, a, b, c, d]
}

fn big_id(value: &[u8]) -> Option<usize> {
    match value {
        [BIG, a, b, c, d] => Some(u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        _ => None,
    }
}
