//! An increment: what has changed of a state since the base, by key group (D11).
//!
//! Of each key group the base stays as it is, or gets a delta on top, or the group is written anew:
//! where the deltas would exceed the half of the full rows, lie in too many files, or keep a file
//! that nobody else needs.
//!
//! INVARIANT: the base with its deltas is what is in the frozen pages, but for what has expired.

use std::cell::Cell;

use weir_model::{KeyGroup, KeyGroupRange};

use super::{
    Shape, list, map,
    page::Page,
    removals::Removed,
    segment::{At, Segment},
    snapshot::{
        Alive, Block, Cut, Elements, Sorted, collect, one_ahead, records, some_ahead, sort,
        write_full,
    },
};
use crate::{
    Chain, Error, SnapshotSink, StateIndex,
    file::{LIST, MAP, REMOVED, REPLACED},
    rows,
};

/// A key group lies in at most so many files: each costs a restore another request.
const MAX_FILES: u32 = 16;

/// One state of an increment.
pub(super) struct Increment<'a> {
    pub(super) state: StateIndex,
    pub(super) shape: Shape,
    pub(super) alive: Alive,
    /// The epoch of the base.
    pub(super) base: u64,
    /// The epoch that the snapshot has ended.
    pub(super) epoch: u64,
    /// What was removed since, in order.
    pub(super) removed: Vec<Removed<'a>>,
}

/// What is to be written of a key group, as far as its chain decides that.
pub(super) enum Rule {
    /// Nothing is there.
    Nothing,
    Keep,
    /// Changes on top of what is kept, as long as they take no more than this many bytes; else all.
    Delta {
        room: u64,
    },
    Full,
}

impl Rule {
    /// Of a key group that has this chain in the base, in which something is there or not, and has
    /// changed or not.
    pub(super) fn of(chain: Chain, there: bool, changed: bool) -> Self {
        if chain.files == 0 {
            return if there { Self::Full } else { Self::Nothing };
        }
        if chain.sparse {
            return Self::Full;
        }
        if !changed {
            return Self::Keep;
        }
        let room = (chain.base_bytes / 2).saturating_sub(chain.delta_bytes);
        if chain.files >= MAX_FILES || room == 0 {
            return Self::Full;
        }
        Self::Delta { room }
    }
}

/// Blocks of changes, each with its number of rows.
pub(super) type Changes = Vec<(u64, Vec<u8>)>;

/// What is written of a key group.
enum Plan {
    /// Nothing is there.
    Nothing,
    Keep,
    /// Changes on top of what is kept.
    Delta(Changes),
    Full,
    /// In full, since the changes have turned out to take more than they may.
    Over,
}

/// What is there of a key group, as far as it was looked at.
#[derive(Clone, Default)]
struct Seen {
    there: bool,
    changed: bool,
    /// What has changed takes at least as many bytes.
    bytes: u64,
}

impl Increment<'_> {
    /// Writes a page, which has these key groups.
    pub(super) fn write(
        &self,
        groups: KeyGroupRange,
        page: &Page,
        sink: &mut dyn SnapshotSink,
    ) -> Result<(), Error> {
        let all = || (groups.start.0..=groups.end.0).map(KeyGroup);
        let chains: Vec<Chain> = all().map(|group| sink.chain(self.state, group)).collect();
        let at = |group: u16| usize::from(group - groups.start.0);
        let (seen, mut sorted) = self.look(page, &chains, at);
        let rules: Vec<Rule> = all()
            .zip(chains.iter().zip(&seen))
            .map(|(group, (chain, seen))| self.rule(group, *chain, seen))
            .collect();
        // What has changed of some groups and all that others have, sorted once.
        let is_full = |group: u16| matches!(rules[at(group)], Rule::Full);
        if rules.iter().any(|rule| matches!(rule, Rule::Full)) {
            sorted.retain(|record| !is_full(record.group));
            collect(
                page,
                |segment, record| is_full(segment.group(record)),
                &mut sorted,
            );
        }
        sort(&mut sorted);
        let mut plans = Vec::with_capacity(rules.len());
        for (group, rule) in all().zip(&rules) {
            plans.push(match rule {
                Rule::Nothing => Plan::Nothing,
                Rule::Keep => Plan::Keep,
                Rule::Full => Plan::Full,
                Rule::Delta { room } => {
                    let changed = of_group(&sorted, group);
                    let delta = self.delta(group, changed, self.removed_of(group), *room)?;
                    delta.map_or(Plan::Over, Plan::Delta)
                }
            });
        }
        let is_over = |group: u16| matches!(plans[at(group)], Plan::Over);
        let over = match plans.iter().any(|plan| matches!(plan, Plan::Over)) {
            true => records(page, |segment, record| is_over(segment.group(record))),
            false => Vec::new(),
        };
        for (group, plan) in all().zip(&plans) {
            match plan {
                Plan::Nothing => {}
                Plan::Keep => sink.keep(self.state, group)?,
                Plan::Delta(blocks) => {
                    sink.keep(self.state, group)?;
                    for (rows, bytes) in blocks {
                        sink.delta(self.state, group, *rows, bytes)?;
                    }
                }
                Plan::Full => self.write_full(of_group(&sorted, group), sink)?,
                Plan::Over => self.write_full(of_group(&over, group), sink)?,
            }
        }
        Ok(())
    }

    /// Writes all records of a key group.
    fn write_full(&self, records: &[Sorted<'_>], sink: &mut dyn SnapshotSink) -> Result<(), Error> {
        let mut write = |group, rows, bytes: &[u8]| sink.block(self.state, group, rows, bytes);
        let mut block = Block::new(&mut write);
        for record in some_ahead(records) {
            write_full(self.shape, self.alive, record, &mut block)?;
        }
        block.flush()
    }

    fn has_changed(&self, segment: &Segment, record: At) -> bool {
        segment.epoch() > self.base && segment.changed_since(record, self.base, self.epoch)
    }

    /// What there is of key groups that have these chains, and what has changed of those of which
    /// that may be all that is written, in no order.
    fn look<'a>(
        &self,
        page: &'a Page,
        chains: &[Chain],
        at: impl Fn(u16) -> usize,
    ) -> (Vec<Seen>, Vec<Sorted<'a>>) {
        let mut seen = vec![Seen::default(); chains.len()];
        let mut changed = Vec::new();
        // Of some groups it is known by their chains that all is written, whatever has changed.
        let rooms: Vec<Option<u64>> = chains
            .iter()
            .map(|chain| match Rule::of(*chain, true, true) {
                Rule::Delta { room } => Some(room),
                Rule::Nothing | Rule::Keep | Rule::Full => None,
            })
            .collect();
        // Of most groups it is known that something is there.
        let all = chains.iter().any(|chain| chain.files == 0);
        let segments = page.segments();
        for segment in one_ahead(segments.filter(|segment| all || segment.epoch() > self.base)) {
            for record in segment.records() {
                let has_changed = self.has_changed(segment, record);
                if !has_changed && !all {
                    continue;
                }
                let group = at(segment.group(record));
                let seen = &mut seen[group];
                seen.there = true;
                if has_changed {
                    seen.changed = true;
                    seen.bytes += self.least(segment, record);
                    if rooms[group].is_some_and(|room| seen.bytes <= room) {
                        changed.push(Sorted::of(segment, record));
                    }
                }
            }
        }
        (seen, changed)
    }

    /// A delta has so many bytes of a record, or more.
    fn least(&self, segment: &Segment, record: At) -> u64 {
        match (self.shape, self.alive.ttl) {
            // Key and value behind their lengths, that there is no namespace, and what has changed.
            (Shape::Cell, None) => {
                (segment.key(record).len() + segment.value(record).len() + 4) as u64
            }
            // That it has expired is told without its value.
            (Shape::Cell, Some(_)) => (segment.key(record).len() + 3) as u64,
            (Shape::List | Shape::Map | Shape::Timers | Shape::Foreign, _) => 0,
        }
    }

    /// What is to be written of a key group.
    fn rule(&self, group: KeyGroup, chain: Chain, seen: &Seen) -> Rule {
        let is_changed = seen.changed || !self.removed_of(group).is_empty();
        match Rule::of(chain, seen.there, is_changed) {
            // Known without a try.
            Rule::Delta { room } if seen.bytes > room => Rule::Full,
            rule => rule,
        }
    }

    fn removed_of(&self, group: KeyGroup) -> &[Removed<'_>] {
        let from = self.removed.partition_point(|r| r.group < group.0);
        let to = self.removed.partition_point(|r| r.group <= group.0);
        &self.removed[from..to]
    }

    /// The changes of a key group; `None` where they take more than `room` bytes.
    fn delta(
        &self,
        group: KeyGroup,
        changed: &[Sorted<'_>],
        removed: &[Removed<'_>],
        room: u64,
    ) -> Result<Option<Changes>, Error> {
        let mut blocks: Changes = Vec::new();
        let bytes = Cell::new(0);
        let mut keep = |_, rows, block: &[u8]| {
            bytes.set(bytes.get() + block.len() as u64);
            if bytes.get() <= room {
                blocks.push((rows, block.to_vec()));
            }
            Ok(())
        };
        let mut block = Block::new(&mut keep);
        let mut removed = removed.iter().peekable();
        for record in some_ahead(changed) {
            if bytes.get() + block.bytes.len() as u64 > room {
                return Ok(None);
            }
            let key = record.key();
            while let Some(gone) = removed.next_if(|gone| gone.key < key) {
                remove(&mut block, group, gone)?;
            }
            let mut entries = Vec::new();
            while let Some(gone) = removed.next_if(|gone| gone.key == key) {
                entries.extend(gone.map_key);
            }
            self.change(record, &entries, &mut block)?;
        }
        for gone in removed {
            remove(&mut block, group, gone)?;
        }
        block.flush()?;
        Ok((bytes.get() <= room).then_some(blocks))
    }

    /// Writes what has become of a record, of whose map these entries were removed.
    fn change(
        &self,
        record: &Sorted<'_>,
        removed: &[&[u8]],
        block: &mut Block<'_>,
    ) -> Result<(), Error> {
        let (segment, at) = (record.segment, record.at);
        let (group, key) = (KeyGroup(record.group), record.key());
        match self.shape {
            Shape::Cell => {
                let value = segment.value(at);
                block.row(group, key)?;
                if self.alive.is(value) {
                    block.bytes.push(REPLACED);
                    rows::put_bytes(&mut block.bytes, value);
                } else {
                    block.bytes.push(REMOVED);
                }
                Ok(())
            }
            Shape::List => self.change_list(record, block),
            Shape::Map => match map::since(segment, at, self.base) {
                map::Since::Put(put) => self.change_map(group, key, put, removed, block),
                map::Since::All => {
                    let entries = map::iter_after(segment, at, None);
                    let entries = entries.filter(|(_, value)| self.alive.is(value));
                    let mut cut = Cut::with_head(group, key, 0, |out, _, _| out.push(MAP));
                    block.row(group, key)?;
                    block.bytes.push(REMOVED);
                    cut.items(block, entries, put_entry)?;
                    cut.finish(block)
                }
            },
            Shape::Timers | Shape::Foreign => Ok(()),
        }
    }

    fn change_list(&self, record: &Sorted<'_>, block: &mut Block<'_>) -> Result<(), Error> {
        let (group, key) = (KeyGroup(record.group), record.key());
        // Where some elements have been left out, those before a place cannot be counted on.
        let base = if self.alive.ttl.is_some() {
            0
        } else {
            self.base
        };
        let (kept, runs) = list::runs_since(record.segment, record.at, base);
        let elements = runs.flat_map(Elements::of);
        let elements = elements.filter(|element| self.alive.is(element));
        let mut cut = Cut::with_head(group, key, kept, |out, _, before| {
            out.push(LIST);
            rows::put_uvarint(out, before);
        });
        cut.items(block, elements, |out, element| {
            rows::put_bytes(out, element)
        })?;
        cut.finish(block)?;
        if cut.rows() == 0 && kept == 0 {
            block.row(group, key)?;
            block.bytes.push(REMOVED);
        }
        Ok(())
    }

    /// Writes entries that were put and others that were removed, both in order.
    fn change_map<'a>(
        &self,
        group: KeyGroup,
        key: &[u8],
        put: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        removed: &[&[u8]],
        block: &mut Block<'_>,
    ) -> Result<(), Error> {
        let mut cut = Cut::with_head(group, key, 0, |out, _, _| out.push(MAP));
        let mut removed = removed.iter().copied().peekable();
        let gone = |out: &mut Vec<u8>, map_key: &[u8]| {
            rows::put_bytes(out, map_key);
            out.push(0);
        };
        for (map_key, value) in put {
            let before = std::iter::from_fn(|| removed.next_if(|gone| *gone < map_key));
            cut.items(block, before, gone)?;
            // It was removed and is there again.
            removed.next_if(|gone| *gone == map_key);
            let put = std::iter::once((map_key, value));
            if self.alive.is(value) {
                cut.items(block, put, put_entry)?;
            } else {
                cut.items(block, put, |out, (map_key, _)| gone(out, map_key))?;
            }
        }
        cut.items(block, removed, gone)?;
        cut.finish(block)
    }
}

/// An entry as `MAP` says that it is put.
fn put_entry(out: &mut Vec<u8>, (map_key, value): (&[u8], &[u8])) {
    rows::put_bytes(out, map_key);
    out.push(1);
    rows::put_bytes(out, value);
}

/// Writes that a key is gone. What is told of entries of its map goes with it.
fn remove(block: &mut Block<'_>, group: KeyGroup, gone: &Removed<'_>) -> Result<(), Error> {
    if gone.map_key.is_none() {
        block.row(group, gone.key)?;
        block.bytes.push(REMOVED);
    }
    Ok(())
}

/// Those of sorted records that are of a key group.
fn of_group<'a, 'b>(records: &'b [Sorted<'a>], group: KeyGroup) -> &'b [Sorted<'a>] {
    let from = records.partition_point(|record| record.group < group.0);
    let to = records.partition_point(|record| record.group <= group.0);
    &records[from..to]
}
