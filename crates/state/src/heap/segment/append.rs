//! Inline values to which is appended: lists.

use super::{At, INLINE, Segment, record, room_to_grow, tag_of};

impl Segment {
    /// Appends `bytes` to the value of `key` where it is, if it is there and inline, does not
    /// become longer than `most`, and there is room; gives back whether that was so.
    #[inline]
    pub(in crate::heap) fn append_at(
        &mut self,
        at: At,
        key: &[u8],
        bytes: &[u8],
        most: usize,
    ) -> bool {
        let (mark, limits) = (self.epoch as u8, (INLINE, most));
        record::append(&mut self.arena, at.byte(), mark, key, limits, bytes)
    }

    /// The same of so many bytes, also where the key had a value and has none; gives back whether
    /// it did: `Some` of whether it is new. Some that [`append_at`](Self::append_at) appends this
    /// does not.
    #[inline]
    pub(in crate::heap) fn append_even<const N: usize>(
        &mut self,
        at: At,
        key: &[u8],
        bytes: &[u8; N],
        most: usize,
    ) -> Option<bool> {
        let (mark, limits) = (self.epoch as u8, (INLINE, most));
        let garbage = record::append_even(&mut self.arena, at.byte(), mark, key, limits, bytes)?;
        Some(self.note_restored(garbage))
    }

    /// The same of a number, behind its length, of a key of `K` bytes.
    #[inline]
    pub(in crate::heap) fn append_number<const K: usize, const N: usize>(
        &mut self,
        at: At,
        key: &[u8; K],
        number: &[u8; N],
        most: usize,
    ) -> Option<bool> {
        let (mark, limits) = (self.epoch as u8, (INLINE, most));
        let garbage = record::append_number(&mut self.arena, at.byte(), mark, key, limits, number)?;
        Some(self.note_restored(garbage))
    }

    /// What is behind the key of a record up to the end of the arena, and how much of it is its
    /// inline value: nothing where there is none. `None` where it is not inline, or the record is
    /// another key's or long, or perhaps at the end.
    #[inline]
    pub(in crate::heap) fn inline_or_none<const K: usize>(
        &self,
        at: At,
        key: &[u8; K],
    ) -> Option<(&[u8], usize)> {
        let (rest, len) = record::some_or_none(&self.arena, at.byte(), key)?;
        let is_inline = (len == 0) | (rest.first() == Some(&INLINE));
        is_inline.then_some((rest, len))
    }

    /// Appends `bytes` to the inline value of a record.
    pub(in crate::heap) fn append(&mut self, hash: u64, key: &[u8], bytes: &[u8]) {
        let Some(cell) = self.find_cell(tag_of(hash), key) else {
            return;
        };
        let len = self.value(self.at(cell)).len();
        let needed = len + bytes.len();
        if needed > record::capacity(&self.arena, self.at(cell).byte()) {
            // A half more each time it moves makes a row of appends cost linear time.
            self.give_room(cell, room_to_grow(needed), needed + needed / 2);
        }
        let at = self.at(cell);
        record::append_value(&mut self.arena, at.byte(), bytes);
        record::set_mark(&mut self.arena, at.byte(), self.epoch as u8);
        self.compact_if_due();
    }
}
