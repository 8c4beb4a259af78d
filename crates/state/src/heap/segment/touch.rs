//! What of a segment is asked for before it is needed.

use super::{At, Segment, record, tag_of};
use crate::heap::near::{ask_for, near};

/// How long a line of the cache is.
const LINE: usize = 64;
/// A record is asked for as far as the longest one goes that its segment has had, and no further
/// than this, where records are not long on average: there are key and value of most.
pub(super) const MOST_REACH: u8 = LINE as u8 - 1;
/// Of a new record no more lines than these are asked for: the processor sees by itself that the
/// others are written one after the other.
const MOST_LINES: usize = 6;
/// Where records are longer than this on average, so is their third line: most of those that are
/// long are searched or copied as a whole.
const WIDE: usize = 112;

impl Segment {
    /// Brings the bucket near in which the cell for `hash` is most likely, see [`near`].
    #[inline]
    pub(in crate::heap) fn touch_cell(&self, hash: u64) {
        let mask = self.index.len().wrapping_sub(1);
        near(&self.index, tag_of(hash) as usize & mask);
    }

    /// Brings the lines of a record near, see [`near`].
    #[inline]
    pub(in crate::heap) fn touch(&self, at: At) {
        let reach = usize::from(self.reach);
        near(&self.arena, at.byte());
        // The same line mostly, where records are short: to ask twice costs nothing.
        near(&self.arena, at.byte() + reach);
        if self.has_long() {
            near(&self.arena, at.byte() + reach + LINE);
        }
    }

    /// Brings the index near, and all records where they are short: of long ones only the heads are
    /// looked at by who goes through all.
    pub(in crate::heap) fn touch_all(&self) {
        (0..self.index.len()).for_each(|bucket| near(&self.index, bucket));
        if !self.has_long() {
            let lines = (0..self.arena.len()).step_by(LINE);
            lines.for_each(|byte| near(&self.arena, byte));
        }
    }

    /// Brings the lines near into which a new record goes, whose key and value have so many bytes.
    #[inline]
    pub(in crate::heap) fn touch_end(&self, bytes: usize) {
        let end = self.arena.as_ptr().wrapping_add(self.arena.len());
        let lines = (bytes + record::HEADER).div_ceil(LINE) + 1;
        for line in 0..lines.min(MOST_LINES) {
            ask_for(end.wrapping_add(line * LINE));
        }
    }

    /// Keeps in mind how far the record goes that was written last, which is this one.
    #[inline]
    pub(super) fn note_reach(&mut self, at: At) {
        let last = self.arena.len() - at.byte() - 1;
        self.reach = self.reach.max(last.min(usize::from(MOST_REACH)) as u8);
    }

    /// Whether records are long on average.
    fn has_long(&self) -> bool {
        self.arena.len() > self.live as usize * WIDE
    }
}
