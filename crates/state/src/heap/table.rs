//! The table of one state: its key groups in pages.
//!
//! A page holds a run of key groups, so that there are few of them whatever the maximum parallelism
//! is: a snapshot takes them one by one, and a small state is not spread over thousands of them.
//! Look-ups of a column, and writes, go in passes (find the cells, look at the records, copy),
//! because the cache misses of one pass overlap.

use std::{convert::Infallible, ops::Range, sync::Arc};

use weir_model::{KeyGroup, KeyGroupRange, OptionalColumn};

use super::{
    even::{Widths, get_even},
    page::Page,
    removals::Removals,
    segment::At,
    segment::Segment,
};
use crate::{Error, KeyBatch, ValueWrites, Which, limits};

/// The most pages of a table: a snapshot costs some 100 ns a page.
const MAX_PAGES: usize = 32;

/// The records of so many keys are brought near before they are looked at.
pub(super) const AT_ONCE: usize = 64;

/// So many keys that are written to are looked for at once: their records are near still when they
/// are written.
pub(super) const SOME: usize = 256;

/// The caches next to most cores have room for about this many bytes of a table: looking at them
/// takes less time than asking for them.
const NEAR_BYTES: usize = 1024 * 1024;

/// Of a larger table they have room for what so many keys need.
const NEAR_KEYS: usize = 2048;

/// So many new keys ahead, where their records go is asked for.
pub(super) const NEW_AHEAD: usize = 24;

/// The misses of so few keys overlap in any case: to know whether the table is near takes longer
/// than to find them.
const FEW_KEYS: usize = 4;

/// In place of the number of a segment: what is written to this key is there. No table has so many
/// segments.
const WRITTEN: u32 = u32::MAX;

/// Where a key of a column may be found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    number: u32,
    pub(super) at: At,
}

/// Where keys may be found, one after the other.
pub(super) type Places = [Probe];

/// The segments in which some keys may be; `None` where no layer has it.
pub(super) type Segments<'t> = [Option<&'t Segment>];

impl Probe {
    /// Of a key that was not looked for.
    const NOWHERE: Self = Self {
        number: 0,
        at: At::NONE,
    };

    /// No record was there whose tag is that of the key, and none was written: the key has none as
    /// long as no other call was. To be asked of places that were only looked for: where
    /// [`record`](Table::record) has seen that one is another key's, a removed one may be there.
    #[inline]
    pub(super) fn is_new(self) -> bool {
        self.at == At::NONE && !self.is_written()
    }

    /// Whether what is written to the key is there.
    #[inline]
    pub(super) fn is_written(self) -> bool {
        self.number == WRITTEN
    }

    /// What is written to the key is there.
    #[inline]
    pub(super) fn set_written(&mut self) {
        self.number = WRITTEN;
    }
}

/// Where the keys of a call were found when they were read: writing them begins there, as long as
/// no record has moved since.
#[derive(Debug, Default)]
pub(super) struct Probed {
    probes: Vec<Probe>,
    /// The hashes of all keys of the call, where all were looked up, or a good part.
    hashes: Vec<u64>,
    /// Their key groups.
    groups: Vec<KeyGroup>,
    /// Which ones were looked up; none = all.
    some: Vec<u32>,
    /// What the table counted then.
    moves: u64,
}

/// Of which keys it is known where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    All,
    /// Those that are written.
    Written,
    No,
}

impl Probed {
    /// The places of the keys that were looked for last.
    #[cfg(test)]
    pub(super) fn places(&mut self) -> &mut Places {
        &mut self.probes
    }

    /// Begins a column of keys anew.
    pub(super) fn clear(&mut self) {
        self.hashes.clear();
        self.probes.clear();
    }

    /// Forgets what was found, and keeps the memory.
    pub(super) fn recycle(&mut self) {
        limits::recycle(&mut self.probes);
        limits::recycle(&mut self.hashes);
        limits::recycle(&mut self.groups);
        limits::recycle(&mut self.some);
    }

    /// These keys were looked up, when the table had counted so many moves. Of few among many it is
    /// not noted, for that takes longer than to look for them again.
    fn remember(&mut self, keys: &KeyBatch<'_>, which: Which<'_>, moves: u64) {
        self.some.clear();
        if let Which::Some(some) = which {
            if some.len() * 4 < keys.hashes.len() {
                return;
            }
            self.some.extend_from_slice(some);
        }
        self.hashes.extend_from_slice(keys.hashes);
        self.groups.clear();
        self.groups.extend_from_slice(keys.groups);
        self.moves = moves;
    }

    /// Whether what is written to the key at this position is there already.
    pub(super) fn is_written(&self, position: usize) -> bool {
        self.probes[position].is_written()
    }

    /// Where the key at this position may be.
    pub(super) fn place(&self, position: usize) -> Probe {
        self.probes[position]
    }

    /// The same, to be changed.
    pub(super) fn place_mut(&mut self, position: usize) -> &mut Probe {
        &mut self.probes[position]
    }

    /// What is written to the key at this position is there.
    pub(super) fn set_written(&mut self, position: usize) {
        self.probes[position].set_written();
    }

    /// Whether it is of all these keys, or just of those that are `written`, in this order.
    fn known(&self, keys: &KeyBatch<'_>, written: &[u32], moves: u64) -> Known {
        let groups = self.groups.iter().zip(keys.groups);
        let is_of = self.moves == moves
            && !self.hashes.is_empty()
            && self.hashes == keys.hashes
            && self.groups.len() == keys.groups.len()
            // Many at once, which the comparison of slices does of plain numbers only.
            && groups.fold(true, |same, (own, group)| same & (own == group));
        match is_of {
            true if self.some.is_empty() => Known::All,
            true if self.some == written => Known::Written,
            _ => Known::No,
        }
    }
}

/// Keys that are looked for together: what is needed of them, side by side.
struct Round<'t> {
    hashes: [u64; AT_ONCE],
    groups: [KeyGroup; AT_ONCE],
    segments: [Option<&'t Segment>; AT_ONCE],
    count: usize,
}

impl<'t> Round<'t> {
    fn new() -> Self {
        Self {
            hashes: [0; AT_ONCE],
            groups: [KeyGroup(0); AT_ONCE],
            segments: [None; AT_ONCE],
            count: 0,
        }
    }

    /// Begins anew with the keys at these positions, of no more than [`AT_ONCE`].
    #[inline]
    fn begin(&mut self, keys: &KeyBatch<'_>, which: Which<'_>, some: Range<usize>) {
        self.count = some.len();
        match which {
            Which::All => {
                self.hashes[..self.count].copy_from_slice(&keys.hashes[some.clone()]);
                self.groups[..self.count].copy_from_slice(&keys.groups[some]);
            }
            Which::Some(which) => {
                let own = self.hashes.iter_mut().zip(&mut self.groups);
                for ((hash, group), &key) in own.zip(&which[some]) {
                    *hash = keys.hashes[key as usize];
                    *group = keys.groups[key as usize];
                }
            }
        }
    }

    fn segments(&self) -> &Segments<'t> {
        &self.segments[..self.count]
    }

    /// Finds the first candidates of the keys in their segments, and gives each segment to `next`
    /// with it.
    #[inline]
    fn find_candidates(&self, places: &mut Places, next: impl Fn(&Segment, At)) {
        for ((place, segment), &hash) in places.iter_mut().zip(self.segments()).zip(&self.hashes) {
            if let Some(segment) = *segment {
                place.at = segment.candidate(hash);
                next(segment, place.at);
            }
        }
    }
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
    /// How often records may have been moved.
    moves: u64,
    /// No list that is kept outside the arena takes more in a column, or has.
    pub(super) longest_list: usize,
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
            moves: 0,
            longest_list: 0,
            removals: Removals::default(),
        }
    }

    /// The segment of a key, to be read. The group is in the range.
    #[inline]
    pub(super) fn segment(&self, group: KeyGroup, hash: u64) -> Option<&Segment> {
        let page = &self.pages[self.page_of(group)];
        page.segment(page.number(hash))
    }

    /// The segment in which a key may be. The group is in the range.
    #[inline]
    pub(super) fn segment_of(&self, group: KeyGroup, place: Probe) -> Option<&Segment> {
        self.pages[self.page_of(group)].segment(place.number)
    }

    /// The same, to be written, if no snapshot holds it. No record may be moved.
    #[inline]
    pub(super) fn own_segment_of(&mut self, group: KeyGroup, place: Probe) -> Option<&mut Segment> {
        let page = self.page_of(group);
        self.pages[page].own_segment_mut(place.number)
    }

    /// The segment of a key, to be written; after an insertion
    /// [`split_if_due`](Self::split_if_due) must be called. The group is in the range.
    #[inline]
    pub(super) fn segment_mut(&mut self, group: KeyGroup, hash: u64) -> &mut Segment {
        self.moves += 1;
        let page = self.page_of(group);
        self.pages[page].segment_mut(hash)
    }

    /// Removes an entry; gives back whether it was there. The group is in the range.
    pub(super) fn remove(&mut self, group: KeyGroup, hash: u64, key: &[u8]) -> bool {
        self.moves += 1;
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

    /// Makes a page of a table with or without tags anew; gives back how many entries it had.
    pub(super) fn empty(&mut self, page: usize, tagged: bool, epoch: u64) -> usize {
        self.moves += 1;
        let Some(page) = self.pages.get_mut(page) else {
            return 0;
        };
        let entries = page.segments().map(Segment::len).sum();
        *page = Page::new(tagged, epoch);
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
        self.moves += 1;
        let page = self.page_of(group);
        self.pages[page].split_if_due(hash);
    }

    /// Appends the values of a column of keys, and notes in `probed` where they are. The groups are
    /// in the range. Where it fails, `out` may have some of them.
    pub(super) fn get(
        &self,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        probed: &mut Probed,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        probed.clear();
        let rows = out.len() + which.len(keys.hashes.len());
        self.probe(keys, which, &mut probed.probes, |some, probes, segments| {
            if get_even(keys, (which, some.start), (probes, segments), out)? {
                return Ok(());
            }
            for (position, probe) in some.zip(probes) {
                let value = self.confirm(keys, which.get(position), probe);
                let bytes = out.column().byte_len() + value.map_or(0, <[u8]>::len);
                limits::check_column("the column of values", bytes, rows)?;
                out.push(value);
            }
            Ok(())
        })?;
        probed.remember(keys, which, self.moves);
        Ok(())
    }

    /// Gives the record of each of a column of keys, with its position and its value, if it has
    /// one, while it is near.
    pub(super) fn each<'t, E>(
        &'t self,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        probed: &mut Probed,
        mut each: impl FnMut(usize, Option<(&'t Segment, At, &'t [u8])>) -> Result<(), E>,
    ) -> Result<(), E> {
        probed.clear();
        self.probe(keys, which, &mut probed.probes, |some, probes, _| {
            for (position, probe) in some.zip(probes) {
                each(position, self.record_of(keys, which.get(position), probe))?;
            }
            Ok(())
        })
    }

    /// Gives the places of a column of keys, some at a time with their positions and segments, when
    /// their records are near: of no more than [`AT_ONCE`].
    pub(super) fn rounds<'t, E>(
        &'t self,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        probed: &mut Probed,
        found: impl FnMut(Range<usize>, &mut Places, &Segments<'t>) -> Result<(), E>,
    ) -> Result<(), E> {
        probed.clear();
        self.probe(keys, which, &mut probed.probes, found)
    }

    /// Looks for the records of keys that are written to, one position after the other: if that of
    /// the key at this position is not known yet, for the next ones together. They are near then to
    /// be asked for by [`record`](Self::record), and written to. No record may move meanwhile.
    #[inline]
    pub(super) fn look_for_next(
        &self,
        keys: &KeyBatch<'_>,
        written: &[u32],
        position: usize,
        probed: &mut Probed,
    ) {
        if !position.is_multiple_of(SOME) {
            return;
        }
        if position == 0 {
            probed.clear();
        }
        let behind = &written[position..];
        self.look_for(keys, &behind[..behind.len().min(SOME)], probed);
    }

    /// Looks for the records of keys, behind those that were looked for.
    fn look_for(&self, keys: &KeyBatch<'_>, some: &[u32], probed: &mut Probed) {
        let (some, probes) = (Which::Some(some), &mut probed.probes);
        let looked_for = self.probe(keys, some, probes, |_, _, _| Ok::<_, Infallible>(()));
        let Ok(()) = looked_for;
    }

    /// The record of a key, which is at this position of the column that was looked for last, and
    /// its value, if it has one. No record may have moved since.
    #[inline]
    pub(super) fn record(
        &self,
        keys: &KeyBatch<'_>,
        key: usize,
        probed: &mut Probed,
        position: usize,
    ) -> Option<(&Segment, At, &[u8])> {
        self.record_of(keys, key, &mut probed.probes[position])
    }

    /// The record of a key that may be at this place, and its value, if it has one.
    #[inline]
    pub(super) fn record_of(
        &self,
        keys: &KeyBatch<'_>,
        key: usize,
        probe: &mut Probe,
    ) -> Option<(&Segment, At, &[u8])> {
        if probe.at == At::NONE {
            return None;
        }
        let segment = self.pages[self.page_of(keys.groups[key])].segment(probe.number)?;
        let bytes = keys.keys.get(key);
        match segment.value_of(probe.at, bytes) {
            Some(value) => value.map(|value| (segment, probe.at, value)),
            // Another key has the same 32 bits of hash.
            None => {
                let found = segment.find(keys.hashes[key], bytes);
                probe.at = found.unwrap_or(At::NONE);
                found.map(|at| (segment, at, segment.value(at)))
            }
        }
    }

    /// Changes the segment of the key at this position of the column that was looked for last, if
    /// no snapshot holds it, and a record was found, which may have no value, and may be another
    /// key's unless [`record`](Self::record) was called. `write` moves no record, and says by how
    /// much it has changed the number of records with a value if it has written; then the position
    /// is [`is_written`](Probed::is_written). Gives back the same.
    #[inline]
    pub(super) fn write_in_place(
        &mut self,
        group: KeyGroup,
        probed: &mut Probed,
        position: usize,
        write: impl FnOnce(&mut Segment, At) -> Option<i64>,
    ) -> Option<i64> {
        let Probe { number, at } = probed.probes[position];
        if at == At::NONE {
            return None;
        }
        let page = self.page_of(group);
        let segment = self.pages[page].own_segment_mut(number)?;
        let change = write(segment, at)?;
        probed.set_written(position);
        Some(change)
    }

    /// The value of a key, of which a candidate was found.
    #[inline]
    fn confirm(&self, keys: &KeyBatch<'_>, key: usize, probe: &mut Probe) -> Option<&[u8]> {
        if probe.at == At::NONE {
            return None;
        }
        let segment = self.pages[self.page_of(keys.groups[key])].segment(probe.number)?;
        let bytes = keys.keys.get(key);
        if let Some(value) = segment.value_of(probe.at, bytes) {
            return value;
        }
        // Another key has the same 32 bits of hash. It stays where the key has none: what is
        // written then may be of another key with the same hash.
        probe.at = segment.find(keys.hashes[key], bytes)?;
        Some(segment.value(probe.at))
    }

    /// Applies writes that were checked, each to another key; gives back by how much the number of
    /// values changes. What was `probed` when these keys were read is not looked for again.
    ///
    /// Values that can be replaced where they are come first, in passes as in [`get`](Self::get):
    /// that moves no record, so what was found before is still there.
    pub(super) fn apply(
        &mut self,
        keys: &KeyBatch<'_>,
        writes: &ValueWrites,
        probed: &mut Probed,
    ) -> i64 {
        let known = probed.known(keys, &writes.keys, self.moves);
        if known == Known::No {
            probed.clear();
            self.look_for(keys, &writes.keys, probed);
        }
        let is_all = known == Known::All;
        // What is replaced is no place of a key any more.
        probed.hashes.clear();
        let places = (&mut probed.probes[..], is_all);
        let (left, mut change) = self.replace_in_place((keys, writes), places);
        if left == 0 {
            return change;
        }
        let place_of = |row: usize, key: u32| probed.place(if is_all { key as usize } else { row });
        for (row, (&key, value)) in writes.keys.iter().zip(writes.values.iter()).enumerate() {
            let ahead = row + NEW_AHEAD;
            if let Some(&next) = writes.keys.get(ahead) {
                let value = writes.values.get(ahead).map_or(0, <[u8]>::len);
                self.touch_end(keys, next, place_of(ahead, next), value);
            }
            let place = place_of(row, key);
            let key = key as usize;
            if place.is_written() {
                continue;
            }
            let (group, hash, bytes) = (keys.groups[key], keys.hashes[key], keys.keys.get(key));
            match value {
                Some(value) => {
                    self.moves += 1;
                    let page = self.page_of(group);
                    let page = &mut self.pages[page];
                    let segment = page.segment_mut(hash);
                    let new = if place.is_new() {
                        segment.put_new(hash, group.0, bytes, value);
                        true
                    } else {
                        segment.put(hash, group.0, bytes, value)
                    };
                    // A replaced value may also have grown.
                    page.split_if_due(hash);
                    change += i64::from(new);
                }
                None => change -= i64::from(self.remove(group, hash, bytes)),
            }
        }
        change
    }

    /// Brings near where the record of a key will be written, if that was looked for, is not there,
    /// and is not `WRITTEN`; its value has so many bytes.
    #[inline]
    pub(super) fn touch_end(&self, keys: &KeyBatch<'_>, key: u32, place: Probe, bytes: usize) {
        let key = key as usize;
        if place.is_new()
            && let Some(segment) = self.segment_of(keys.groups[key], place)
        {
            segment.touch_end(keys.keys.get(key).len() + bytes);
        }
    }

    /// Replaces and removes the values of keys where they are, and moves no record; gives back how
    /// many were not, and by how much the number of values changes. `probes` are those of all keys,
    /// or else of those that are written.
    fn replace_in_place(
        &mut self,
        (keys, writes): (&KeyBatch<'_>, &ValueWrites),
        (probes, are_of_all): (&mut Places, bool),
    ) -> (usize, i64) {
        let probe_of = |row: usize, key: u32| if are_of_all { key as usize } else { row };
        let (mut left, mut change) = (writes.keys.len(), 0);
        // Of many keys that were read, the records of the first are far again.
        let is_far = writes.keys.len() > NEAR_KEYS && !self.is_near();
        let mut ahead = writes.keys.iter().enumerate();
        let widths = Widths::of_writes(keys, writes);
        for first in (0..left).step_by(AT_ONCE) {
            let round = first..(first + AT_ONCE).min(writes.keys.len());
            if is_far {
                // The first time those of two rounds.
                let count = if first == 0 { 2 * AT_ONCE } else { AT_ONCE };
                for (row, &key) in ahead.by_ref().take(count) {
                    let probe = probes[probe_of(row, key)];
                    if let Some(segment) = self.segment_of(keys.groups[key as usize], probe) {
                        segment.touch(probe.at);
                    }
                }
            }
            let (of, places) = ((keys, writes), (&mut *probes, are_of_all));
            let (done, more) = self.replace_even(of, widths, places, round.clone());
            left -= done;
            change += more;
            if done == round.len() {
                continue;
            }
            for row in round {
                let key = writes.keys[row];
                let probe = &mut probes[probe_of(row, key)];
                if probe.is_written() {
                    continue;
                }
                let key = key as usize;
                let (group, bytes) = (keys.groups[key], keys.keys.get(key));
                let Some(value) = writes.values.get(row) else {
                    change -= i64::from(self.remove_in_place(group, bytes, probe));
                    left -= usize::from(probe.is_written());
                    continue;
                };
                let page = self.page_of(group);
                if let Some(new) = self.pages[page].replace(probe.number, probe.at, bytes, value) {
                    probe.set_written();
                    left -= 1;
                    change += i64::from(new);
                }
            }
        }
        (left, change)
    }

    /// Removes the value of a key that was looked for, unless a snapshot holds its segment; gives
    /// back whether there was one. What is not written then is to be removed once more: it may be
    /// elsewhere, or has left much that is not needed any more.
    #[inline]
    pub(super) fn remove_in_place(
        &mut self,
        group: KeyGroup,
        key: &[u8],
        probe: &mut Probe,
    ) -> bool {
        if probe.at == At::NONE {
            probe.set_written();
            return false;
        }
        let page = self.page_of(group);
        let Some(segment) = self.pages[page].own_segment_mut(probe.number) else {
            return false;
        };
        let there = segment.remove_at(probe.at, key);
        if there {
            if !segment.is_untidy() {
                probe.set_written();
            }
            self.removals.push(group.0, key, None);
        }
        there
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

    /// Appends the first candidate of each key, and gives those of some keys after another to
    /// `found` with their positions, and the segments in which they are, when their records are
    /// near: of no more than [`AT_ONCE`] keys.
    fn probe<'t, E>(
        &'t self,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        probes: &mut Vec<Probe>,
        mut found: impl FnMut(Range<usize>, &mut Places, &Segments<'t>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (count, before) = (which.len(keys.hashes.len()), probes.len());
        probes.resize(before + count, Probe::NOWHERE);
        let probes = &mut probes[before..];
        if count > FEW_KEYS && !self.is_near() {
            return self.probe_far(keys, which, probes, found);
        }
        let mut looked_for = Round::new();
        for (round, places) in probes.chunks_mut(AT_ONCE).enumerate() {
            let some = round * AT_ONCE..round * AT_ONCE + places.len();
            looked_for.begin(keys, which, some.clone());
            self.find_segments(&mut looked_for, places, |_, _| ());
            looked_for.find_candidates(places, |_, _| ());
            found(some, places, looked_for.segments())?;
        }
        Ok(())
    }

    /// Whether the caches next to a core have room for the whole table.
    fn is_near(&self) -> bool {
        let mut bytes = 0;
        self.pages.iter().all(|page| {
            bytes += page.near_bytes().unwrap_or(NEAR_BYTES);
            bytes < NEAR_BYTES
        })
    }

    /// As [`probe`](Self::probe), where reading waits for memory: it must not, so that the misses
    /// of many keys overlap. While some keys are given out, the records of the next are asked for,
    /// and the cells of those behind them.
    fn probe_far<'t, E>(
        &'t self,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        probes: &mut Places,
        mut found: impl FnMut(Range<usize>, &mut Places, &Segments<'t>) -> Result<(), E>,
    ) -> Result<(), E> {
        let count = probes.len();
        let round = |round: usize| {
            let from = (round * AT_ONCE).min(count);
            from..(from + AT_ONCE).min(count)
        };
        // One is asked for, one looked at, one given out.
        let mut rounds = [Round::new(), Round::new(), Round::new()];
        for step in 0..count.div_ceil(AT_ONCE) + 2 {
            let some = round(step);
            let asked_for = &mut rounds[step % 3];
            asked_for.begin(keys, which, some.clone());
            self.find_segments(asked_for, &mut probes[some], Segment::touch_cell);
            if let Some(step) = step.checked_sub(1) {
                rounds[step % 3].find_candidates(&mut probes[round(step)], Segment::touch);
            }
            if let Some(step) = step.checked_sub(2) {
                let some = round(step);
                let places = &mut probes[some.clone()];
                found(some, places, rounds[step % 3].segments())?;
            }
        }
        Ok(())
    }

    /// Finds the segments in which the keys of a round may be, and gives each to `next` with the
    /// hash of its key.
    #[inline]
    fn find_segments<'t>(
        &'t self,
        round: &mut Round<'t>,
        places: &mut Places,
        next: impl Fn(&Segment, u64),
    ) {
        let keys = round.hashes.iter().zip(&round.groups);
        for ((place, segment), (&hash, &group)) in
            places.iter_mut().zip(&mut round.segments).zip(keys)
        {
            let page = &self.pages[self.page_of(group)];
            place.number = page.number(hash);
            *segment = page.segment(place.number);
            if let Some(segment) = *segment {
                next(segment, hash);
            }
        }
    }

    /// The number of the page that has a key group. The group is in the range.
    #[inline]
    pub(super) fn page_of(&self, group: KeyGroup) -> usize {
        usize::from(group.0 - self.range.start.0) >> self.shift
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use weir_model::{Column, hash64};

    use super::*;

    const ONE: KeyGroupRange = KeyGroupRange {
        start: KeyGroup(0),
        end: KeyGroup(0),
    };

    /// Keys of one key group.
    struct Keys {
        keys: Column,
        hashes: Vec<u64>,
        groups: Vec<KeyGroup>,
    }

    impl Keys {
        fn of(numbers: impl Iterator<Item = u32>) -> Self {
            let mut keys = Column::new();
            numbers.for_each(|key| keys.push(&key.to_be_bytes()));
            Self {
                hashes: keys.iter().map(hash64).collect(),
                groups: vec![KeyGroup(0); keys.len()],
                keys,
            }
        }

        fn batch(&self) -> KeyBatch<'_> {
            KeyBatch {
                keys: self.keys.view(),
                hashes: &self.hashes,
                groups: &self.groups,
            }
        }
    }

    /// Hashes are compared, and not keys: nothing may depend on which key was asked for.
    #[test]
    fn what_was_found_of_a_key_is_not_that_of_another_with_its_hash() {
        for which in [Which::All, Which::Some(&[0])] {
            let (mut table, mut probed) = (Table::new(ONE, false, 0), Probed::default());
            let of = |key: u32| Keys {
                hashes: vec![7],
                ..Keys::of(key..key + 1)
            };
            let write = |value: Option<&[u8]>| {
                let mut writes = ValueWrites::default();
                writes.keys.push(0);
                writes.values.push(value);
                writes
            };
            let (there, other) = (of(1), of(2));
            let put = write(Some(b"there"));
            assert_eq!(table.apply(&there.batch(), &put, &mut probed), 1);
            let get = |table: &Table, keys: &Keys, probed: &mut Probed| {
                let mut found = OptionalColumn::new();
                let got = table.get(&keys.batch(), which, probed, &mut found);
                got.unwrap();
                found.get(0).map(<[u8]>::to_vec)
            };
            assert_eq!(get(&table, &other, &mut probed), None);
            let elsewhere = Keys {
                groups: vec![KeyGroup(1)],
                ..of(2)
            };
            assert_ne!(probed.known(&other.batch(), &[0], table.moves), Known::No);
            assert_eq!(
                probed.known(&elsewhere.batch(), &[0], table.moves),
                Known::No
            );
            // The key with a value is removed, where the one without was looked for.
            assert_eq!(table.apply(&there.batch(), &write(None), &mut probed), -1);
            assert_eq!(get(&table, &there, &mut probed), None);
            assert_eq!(table.apply(&other.batch(), &put, &mut probed), 1);
            assert_eq!(get(&table, &there, &mut probed), None);
            assert_eq!(get(&table, &other, &mut probed), Some(b"there".to_vec()));
        }
    }

    #[test]
    fn a_table_that_no_cache_has_room_for_is_read_and_written_in_rounds() {
        const KEYS: u32 = 30_000;
        let (mut table, mut probed) = (Table::new(ONE, false, 0), Probed::default());
        let mut model = HashMap::new();
        // Calls of fewer keys than a round, of a few rounds, and of more than are near, each with
        // keys that are not there; every seventh that is written is removed.
        for (call, count) in [3000, 5000, 4000, 1, 63, 64, 65, 129, 2500]
            .into_iter()
            .enumerate()
        {
            let step = [7, 11, 13][call % 3];
            let numbers = |from: u32| (0..count).map(move |n| (from + n * step) % KEYS);
            let keys = Keys::of(numbers(call as u32 * 1009));
            let mut writes = ValueWrites::default();
            for (row, number) in numbers(call as u32 * 1009).enumerate() {
                writes.keys.push(row as u32);
                let value = (number % 7 > 0).then(|| (number + call as u32).to_le_bytes());
                writes.values.push(value.as_ref().map(<[u8; 4]>::as_slice));
                match value {
                    Some(value) => model.insert(number, value),
                    None => model.remove(&number),
                };
            }
            let mut found = OptionalColumn::new();
            if call % 2 == 0 {
                let batch = keys.batch();
                table
                    .get(&batch, Which::All, &mut probed, &mut found)
                    .unwrap();
                assert_eq!(probed.known(&batch, &writes.keys, table.moves), Known::All);
            }
            let before = table.pages[0].segments().map(Segment::len).sum::<usize>();
            let change = table.apply(&keys.batch(), &writes, &mut probed);
            assert_eq!(before as i64 + change, model.len() as i64);
            // Asked in an order of its own, some of them twice.
            let some: Vec<u32> = (0..count).rev().chain(0..count / 3).collect();
            found.clear();
            let which = Which::Some(&some);
            table
                .get(&keys.batch(), which, &mut probed, &mut found)
                .unwrap();
            let numbers: Vec<u32> = numbers(call as u32 * 1009).collect();
            for (&key, value) in some.iter().zip(found.iter()) {
                let expected = model.get(&numbers[key as usize]);
                assert_eq!(value, expected.map(<[u8; 4]>::as_slice), "call {call}");
            }
        }
        assert!(!table.is_near());
    }

    #[test]
    fn keys_that_moved_after_they_were_read_are_written_where_they_are() {
        moved_after_they_were_read(Which::All, Known::All);
    }

    #[test]
    fn keys_that_moved_after_just_they_were_read_are_written_where_they_are() {
        let some: Vec<u32> = (0..300).filter(|key| key % 3 > 0).rev().collect();
        moved_after_they_were_read(Which::Some(&some), Known::Written);
        // Of these it is not noted.
        moved_after_they_were_read(Which::Some(&[7, 8, 290]), Known::No);
    }

    fn moved_after_they_were_read(which: Which<'_>, known: Known) {
        let keys = Keys::of(0..300);
        let batch = keys.batch();
        let count = which.len(keys.keys.len());
        let writes = |value: u64| {
            let mut writes = ValueWrites::default();
            for position in 0..count {
                writes.keys.push(which.get(position) as u32);
                writes.values.push(Some(&value.to_le_bytes()));
            }
            writes
        };
        let holds = |table: &Table, probed: &mut Probed, value: u64| {
            let mut found = OptionalColumn::new();
            table.get(&batch, which, probed, &mut found).unwrap();
            assert_eq!(found.len(), count);
            assert!(found.iter().all(|of| of == Some(&value.to_le_bytes())));
            let written = writes(value).keys;
            assert_eq!(probed.known(&batch, &written, table.moves), known);
            // Others, or in another order, are looked for.
            let others: Vec<u32> = written.iter().rev().copied().collect();
            let of_others = probed.known(&batch, &others, table.moves);
            assert_ne!(of_others, Known::Written);
        };
        let (mut table, mut probed) = (Table::new(ONE, false, 0), Probed::default());
        assert_eq!(table.apply(&batch, &writes(1), &mut probed), count as i64);
        holds(&table, &mut probed, 1);
        // Segments are split, and the records of some are in others then.
        for key in 1000..3000u32 {
            let key = key.to_be_bytes();
            let hash = hash64(&key);
            table
                .segment_mut(KeyGroup(0), hash)
                .put(hash, 0, &key, b"else");
            table.split_if_due(KeyGroup(0), hash);
        }
        assert_eq!(table.apply(&batch, &writes(2), &mut probed), 0);
        holds(&table, &mut probed, 2);
        // What was found and has not moved is written there.
        assert_eq!(table.apply(&batch, &writes(3), &mut probed), 0);
        holds(&table, &mut probed, 3);
    }
}
