//! A page: the entries of some consecutive key groups, in segments found by extendible hashing.
//!
//! A page is what a snapshot takes: the live page is moved behind an `Arc`, and an empty layer over
//! it goes on. A write copies the one segment it touches from the layer below; once nobody else
//! holds the layer below, its segments are taken back. So writing needs no atomic operation per
//! row, and a snapshot costs the same whatever a page holds.
//!
//! INVARIANT: the directory has `2^n` entries; a segment of depth `d` is in every entry whose low
//! `d` bits are those of its keys' hashes. Every segment is in some layer.

use std::{mem, sync::Arc};

use super::{
    record::HASH_BITS,
    segment::{At, Segment},
};

/// No segment shares more bits of its keys' hashes than this; it grows instead. Reached at 25
/// million entries a page, or by keys with equal hashes.
const MAX_DEPTH: u8 = 16;

// A segment is split, and what it has found, by what records have of their hashes.
const _: () = assert!(MAX_DEPTH as u32 <= HASH_BITS);

/// See the module.
#[derive(Debug)]
pub(super) struct Page {
    directory: Vec<u32>,
    /// `None`: in the layer below.
    segments: Vec<Option<Segment>>,
    base: Option<Arc<Page>>,
    /// The epoch of what is changed.
    epoch: u64,
}

impl Page {
    /// A page without entries; see [`Segment::new`].
    pub(super) fn new(tagged: bool, epoch: u64) -> Self {
        Self {
            directory: vec![0],
            segments: vec![Some(Segment::new(tagged))],
            base: None,
            epoch,
        }
    }

    /// The number of the segment that a hash belongs to.
    #[inline]
    pub(super) fn number(&self, hash: u64) -> u32 {
        self.directory[hash as usize & (self.directory.len() - 1)]
    }

    /// The segment with a number.
    #[inline]
    pub(super) fn segment(&self, number: u32) -> Option<&Segment> {
        match self.segments.get(number as usize) {
            Some(Some(segment)) => Some(segment),
            Some(None) | None => self.base.as_deref()?.segment_below(number),
        }
    }

    /// The same in a layer below, which most pages have only while a snapshot is written.
    #[inline(never)]
    fn segment_below(&self, number: u32) -> Option<&Segment> {
        let mut page = self;
        loop {
            if let Some(Some(segment)) = page.segments.get(number as usize) {
                return Some(segment);
            }
            page = page.base.as_deref()?;
        }
    }

    /// All segments.
    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        (0..self.segments.len() as u32).filter_map(|number| self.segment(number))
    }

    /// The bytes of all segments that the live page sees.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let of = |segment: &Segment| segment.memory() + size_of::<Segment>();
        self.segments().map(of).sum()
    }

    /// The bytes of this layer and those below, without what is kept outside of segments.
    pub(super) fn held(&self) -> usize {
        let own = self.segments.iter().flatten().map(Segment::buffers);
        own.sum::<usize>()
            + self.segments.capacity() * size_of::<Option<Segment>>()
            + self.directory.capacity() * size_of::<u32>()
            + self.base.as_deref().map_or(0, Self::held)
    }

    /// The bytes of its segments, if they are few and no layer below has any.
    pub(super) fn near_bytes(&self) -> Option<usize> {
        /// Of more segments no page is near.
        const MOST: usize = 16;
        if self.segments.len() > MOST {
            return None;
        }
        let bytes = self
            .segments
            .iter()
            .map(|s| s.as_ref().map(Segment::buffers));
        bytes.sum()
    }

    /// The segment of a hash, to be written.
    #[inline]
    pub(super) fn segment_mut(&mut self, hash: u64) -> &mut Segment {
        let number = self.number(hash);
        let slot = &mut self.segments[number as usize];
        let base = self.base.as_deref();
        let segment = slot.get_or_insert_with(|| {
            base.and_then(|base| base.segment(number))
                .cloned()
                .unwrap_or_default()
        });
        segment.enter(self.epoch);
        segment
    }

    /// The segment with a number, to be written, if no snapshot holds it.
    #[inline]
    pub(super) fn own_segment_mut(&mut self, number: u32) -> Option<&mut Segment> {
        let segment = self.segments.get_mut(number as usize)?.as_mut()?;
        segment.enter(self.epoch);
        Some(segment)
    }

    /// What follows is changed in this epoch.
    pub(super) fn enter(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Replaces the value of a record where it is, if that is the record of `key`, no snapshot
    /// holds it, and the value fits; gives back whether it did: `Some` of whether it is new.
    #[inline]
    pub(super) fn replace(
        &mut self,
        number: u32,
        at: At,
        key: &[u8],
        value: &[u8],
    ) -> Option<bool> {
        self.own_segment_mut(number)?.replace_at(at, key, value)
    }

    /// Removes an entry; gives back whether it was there.
    pub(super) fn remove(&mut self, hash: u64, key: &[u8]) -> bool {
        let number = self.number(hash);
        // Looked at first, so that a segment is not copied for nothing.
        let there = self.segments[number as usize].is_some()
            || self
                .segment(number)
                .is_some_and(|segment| segment.find(hash, key).is_some());
        there && self.segment_mut(hash).remove(hash, key)
    }

    /// Splits the segment of a hash while it is too large. To be called after an insertion.
    #[inline]
    pub(super) fn split_if_due(&mut self, hash: u64) {
        if self.segment_mut(hash).is_over() {
            self.split(hash);
        }
    }

    /// Freezes what is there and goes on over it.
    pub(super) fn freeze(&mut self) -> Arc<Self> {
        self.thaw();
        if let Some(base) = &self.base
            && self.segments.iter().all(Option::is_none)
        {
            return Arc::clone(base);
        }
        let layer = Self {
            directory: self.directory.clone(),
            segments: self.segments.iter().map(|_| None).collect(),
            base: None,
            epoch: self.epoch,
        };
        let frozen = Arc::new(mem::replace(self, layer));
        self.base = Some(Arc::clone(&frozen));
        frozen
    }

    /// Takes back the layers below that no snapshot holds any more; gives back whether one is left.
    pub(super) fn thaw(&mut self) -> bool {
        while let Some(base) = self.base.take() {
            match Arc::try_unwrap(base) {
                Ok(base) => {
                    for (own, below) in self.segments.iter_mut().zip(base.segments) {
                        if own.is_none() {
                            *own = below;
                        }
                    }
                    self.base = base.base;
                }
                Err(base) => {
                    self.base = Some(base);
                    return true;
                }
            }
        }
        false
    }

    #[cold]
    fn split(&mut self, hash: u64) {
        loop {
            let number = self.number(hash);
            let new = self.segments.len() as u32;
            let segment = self.segment_mut(hash);
            let depth = segment.depth();
            if !segment.is_over() || depth >= MAX_DEPTH {
                return;
            }
            let high = segment.split();
            let high_is_over = high.is_over();
            let low_is_over = segment.is_over();
            self.segments.push(Some(high));
            if 1 << depth == self.directory.len() {
                self.directory.extend_from_within(..);
            }
            let shared = hash as usize & ((1 << depth) - 1);
            let first = shared | 1 << depth;
            for entry in self.directory[first..].iter_mut().step_by(2 << depth) {
                *entry = new;
            }
            debug_assert!(self.number(first as u64) == new && self.number(shared as u64) == number);
            // The half without `hash` may be too large as well; it is split at its next insertion.
            if !(low_is_over || high_is_over) {
                return;
            }
        }
    }
}
