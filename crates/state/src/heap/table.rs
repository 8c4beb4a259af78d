//! The table of one state: its key groups in pages.
//!
//! A page holds a run of key groups, so that there are few of them whatever the maximum parallelism
//! is: a snapshot takes them one by one, and a small state is not spread over thousands of them.
//! Look-ups of a column go in passes (find the cells, look at the records, copy), because
//! the cache misses of one pass overlap.

use std::sync::Arc;

use weir_model::{KeyGroup, KeyGroupRange, OptionalColumn};

use super::{page::Page, removals::Removals, segment::At, segment::Segment};
use crate::{Error, KeyBatch, ValueWrites, Which, limits};

/// The most pages of a table: a snapshot costs some 100 ns a page.
const MAX_PAGES: usize = 32;

/// In place of the number of a segment: the value of this key has been replaced. No table has so
/// many segments.
const REPLACED: u32 = u32::MAX;

/// Where a key of a column may be found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    number: u32,
    at: At,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Table {
    range: KeyGroupRange,
    /// A page holds `2^shift` key groups.
    shift: u32,
    pages: Vec<Page>,
    /// Whether some page may have a layer below.
    layered: bool,
    pub(super) removals: Removals,
}

impl Table {
    /// A table without entries; see [`Segment::new`] for `tagged`.
    pub(super) fn new(range: KeyGroupRange, tagged: bool, epoch: u64) -> Self {
        Self::with_pages(range, MAX_PAGES, tagged, epoch)
    }

    /// The same, with up to so many pages.
    pub(super) fn with_pages(range: KeyGroupRange, most: usize, tagged: bool, epoch: u64) -> Self {
        let groups = range.count();
        let shift = groups.div_ceil(most).next_power_of_two().ilog2();
        let pages = groups.div_ceil(1 << shift);
        Self {
            range,
            shift,
            pages: (0..pages).map(|_| Page::new(tagged, epoch)).collect(),
            layered: false,
            removals: Removals::default(),
        }
    }

    /// The segment of a key, to be read. The group is in the range.
    #[inline]
    pub(super) fn segment(&self, group: KeyGroup, hash: u64) -> Option<&Segment> {
        let page = &self.pages[self.page_of(group)];
        page.segment(page.number(hash))
    }

    /// The segment of a key, to be written; after an insertion
    /// [`split_if_due`](Self::split_if_due) must be called. The group is in the range.
    #[inline]
    pub(super) fn segment_mut(&mut self, group: KeyGroup, hash: u64) -> &mut Segment {
        let page = self.page_of(group);
        self.pages[page].segment_mut(hash)
    }

    /// Removes an entry; gives back whether it was there. The group is in the range.
    pub(super) fn remove(&mut self, group: KeyGroup, hash: u64, key: &[u8]) -> bool {
        let page = self.page_of(group);
        let there = self.pages[page].remove(hash, key);
        if there {
            self.removals.push(group.0, key, None);
        }
        there
    }

    /// What follows is changed in this epoch.
    pub(super) fn enter(&mut self, epoch: u64) {
        self.pages.iter_mut().for_each(|page| page.enter(epoch));
    }

    /// A page, by its number.
    pub(super) fn page(&self, number: usize) -> Option<&Page> {
        self.pages.get(number)
    }

    /// Makes a page of a table without tags anew; gives back how many entries it had.
    pub(super) fn empty(&mut self, page: usize, epoch: u64) -> usize {
        let Some(page) = self.pages.get_mut(page) else {
            return 0;
        };
        let entries = page.segments().map(Segment::len).sum();
        *page = Page::new(false, epoch);
        entries
    }

    /// How many pages there are.
    pub(super) fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// The key groups of a page.
    pub(super) fn groups_of(&self, page: usize) -> KeyGroupRange {
        let first = usize::from(self.range.start.0) + (page << self.shift);
        let last = (first + (1 << self.shift) - 1).min(usize::from(self.range.end.0));
        KeyGroupRange {
            start: KeyGroup(first as u16),
            end: KeyGroup(last as u16),
        }
    }

    /// Splits the segment of a key while it is too large.
    #[inline]
    pub(super) fn split_if_due(&mut self, group: KeyGroup, hash: u64) {
        let page = self.page_of(group);
        self.pages[page].split_if_due(hash);
    }

    /// Appends the values of a column of keys. The groups are in the range.
    pub(super) fn get(
        &self,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        probes: &mut Vec<Probe>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.probe(keys, which, probes);
        let mut bytes = out.column().byte_len();
        for (position, probe) in probes.iter_mut().enumerate() {
            if probe.at == At::NONE {
                continue;
            }
            let key = which.get(position);
            let Some(segment) = self.probed(keys.groups[key], *probe) else {
                continue;
            };
            if !segment.is(probe.at, keys.keys.get(key)) {
                // Another key has the same 32 bits of hash.
                let found = segment.find(keys.hashes[key], keys.keys.get(key));
                probe.at = found.unwrap_or(At::NONE);
                if found.is_none() {
                    continue;
                }
            }
            bytes += segment.value(probe.at).len();
        }
        limits::check_column("the column of values", bytes, out.len() + probes.len())?;
        for (position, probe) in probes.iter().enumerate() {
            let value = (probe.at != At::NONE)
                .then(|| self.probed(keys.groups[which.get(position)], *probe))
                .flatten()
                .map(|segment| segment.value(probe.at));
            out.push(value);
        }
        Ok(())
    }

    /// Applies writes that were checked, each to another key; gives back by how much the number of
    /// values changes.
    ///
    /// Values that can be replaced where they are come first, in passes as in [`get`](Self::get):
    /// that moves no record, so what was found before is still there.
    pub(super) fn apply(
        &mut self,
        keys: &KeyBatch<'_>,
        writes: &ValueWrites,
        probes: &mut Vec<Probe>,
    ) -> i64 {
        self.probe(keys, Which::Some(&writes.keys), probes);
        for (row, probe) in probes.iter_mut().enumerate() {
            let key = writes.keys[row] as usize;
            let page = self.page_of(keys.groups[key]);
            if let Some(value) = writes.values.get(row)
                && self.pages[page].replace(probe.number, probe.at, keys.keys.get(key), value)
            {
                probe.number = REPLACED;
            }
        }
        let mut change = 0;
        for (row, probe) in probes.iter().enumerate() {
            if probe.number == REPLACED {
                continue;
            }
            let key = writes.keys[row] as usize;
            let (group, hash, bytes) = (keys.groups[key], keys.hashes[key], keys.keys.get(key));
            match writes.values.get(row) {
                Some(value) => {
                    let page = self.page_of(group);
                    let page = &mut self.pages[page];
                    let new = page.segment_mut(hash).put(hash, group.0, bytes, value);
                    // A replaced value may also have grown.
                    page.split_if_due(hash);
                    change += i64::from(new);
                }
                None => change -= i64::from(self.remove(group, hash, bytes)),
            }
        }
        change
    }

    /// Brings the pages into a state in which those that no snapshot holds are written in place.
    pub(super) fn thaw(&mut self) {
        if self.layered {
            self.layered = self.pages.iter_mut().fold(false, |any, p| p.thaw() | any);
        }
    }

    /// Freezes all pages, each with its key groups, and goes on over them.
    pub(super) fn freeze(&mut self) -> Vec<(KeyGroupRange, Arc<Page>)> {
        self.layered = true;
        let groups: Vec<_> = (0..self.pages.len()).map(|at| self.groups_of(at)).collect();
        let pages = self.pages.iter_mut().map(Page::freeze);
        groups.into_iter().zip(pages).collect()
    }

    /// The bytes that are held, in all layers.
    pub(super) fn held(&self) -> usize {
        self.pages.iter().map(Page::held).sum()
    }

    /// The bytes of all entries that are there now.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.pages.iter().map(Page::memory).sum()
    }

    /// Finds the first candidate of each key.
    fn probe(&self, keys: &KeyBatch<'_>, which: Which<'_>, probes: &mut Vec<Probe>) {
        probes.clear();
        let len = which.len(keys.hashes.len());
        probes.extend((0..len).map(|position| {
            let key = which.get(position);
            let hash = keys.hashes[key];
            let page = &self.pages[self.page_of(keys.groups[key])];
            let number = page.number(hash);
            let at = page
                .segment(number)
                .map_or(At::NONE, |segment| segment.candidate(hash));
            Probe { number, at }
        }));
    }

    #[inline]
    fn probed(&self, group: KeyGroup, probe: Probe) -> Option<&Segment> {
        self.pages[self.page_of(group)].segment(probe.number)
    }

    #[inline]
    /// The number of the page that has a key group. The group is in the range.
    pub(super) fn page_of(&self, group: KeyGroup) -> usize {
        usize::from(group.0 - self.range.start.0) >> self.shift
    }
}
