//! State before the database: what was read or written last is in memory, as far as it may be.
//!
//! What a call writes stays here until it must give way or a checkpoint is written: what changes
//! over and over goes to the database once for all that, and together with others, in order. At a
//! barrier it is frozen, which takes microseconds whatever has changed, and written beside the data
//! path. Lists are here as long as they are short and known whole; else what is appended goes to
//! the database at once, as timers do where no snapshot is in the way (`behind.rs`).
//!
//! Entries of maps are here as cells are, in no order. So an operator that goes through a map, or
//! clears one, writes everything through from then on: all of a call at once, and it reads from
//! here only. Then a snapshot must link the files while the task waits, and should not have to
//! write first.
//!
//! INVARIANT: what is here of a key is newer than that of the database, or the same. What the
//! database does not have leaves only after it was written there.

pub(crate) mod entries;

use std::sync::Arc;

use weir_model::{ColumnView, KeyGroup, OptionalColumn};
use weir_state::{
    Error, KeyBatch, ListWrites, MapWrites, NestedColumn, StateIndex, ValueWrites, Which, Writes,
    backends::{self, CellCache, FrozenCells, Holds, Shape, SortedLists},
};

use crate::{Shared, cells::CellWriter, database::Database, jobs::Jobs};
use entries::Entries;

/// What is held is counted when this part of what is allowed was written since.
const COUNT_EACH: usize = 64;
/// What one large call needed more is given back.
const KEEP_BYTES: usize = 4 << 20;
/// What an entry takes beside its key and its value, about.
const ENTRY_BYTES: usize = 32;

/// The right of a backend to hold state before its database: those that have one share.
struct Share {
    shared: Arc<Shared>,
    is_some: bool,
}

/// See the module.
pub(crate) struct Front {
    /// Of each state that has cells, lists or maps.
    caches: Vec<Option<CellCache>>,
    shapes: Vec<Shape>,
    /// Which of them never have what the database has not.
    through: Vec<bool>,
    write_back: bool,
    /// What the call in hand wrote to lists, in the order of its writes.
    lists: Vec<SortedLists>,
    share: Share,
    pub(crate) jobs: Jobs,
    /// Bytes that were held when they were counted, and about those that were added since.
    held: usize,
    added: usize,
    found: OptionalColumn,
    missing: Vec<u32>,
    read: OptionalColumn,
    found_lists: NestedColumn,
    read_lists: NestedColumn,
    entries: Entries,
}

impl Front {
    /// Nothing, before a database that has nothing either.
    pub(crate) fn new(holds: &Holds, shared: Arc<Shared>) -> Self {
        let write_back = shared.tuning.write_back.unwrap_or(true);
        let cache = |shape: &Shape| {
            let mut cache = match shape {
                Shape::Cell | Shape::Map => CellCache::new(holds.range),
                Shape::List => CellCache::of_lists(holds.range),
                Shape::Timers | Shape::Foreign => return None,
            };
            cache.set_whole(true);
            Some(cache)
        };
        Self {
            caches: holds.shapes.iter().map(cache).collect(),
            shapes: holds.shapes.clone(),
            through: vec![!write_back; holds.shapes.len()],
            write_back,
            lists: Vec::new(),
            share: Share::new(shared, holds),
            jobs: Jobs::default(),
            held: 0,
            added: 0,
            found: OptionalColumn::new(),
            missing: Vec::new(),
            read: OptionalColumn::new(),
            found_lists: NestedColumn::default(),
            read_lists: NestedColumn::default(),
            entries: Entries::default(),
        }
    }

    /// Whether what is written waits here.
    pub(crate) fn writes_back(&self) -> bool {
        self.write_back
    }

    /// Whether the database has all of a state.
    pub(crate) fn is_through(&self, state: StateIndex) -> bool {
        self.through.get(state.0 as usize) != Some(&false)
    }

    /// Brings all of a state to the database, to which it is written through from now on.
    pub(crate) fn go_through(
        &mut self,
        database: &Database,
        state: StateIndex,
    ) -> Result<(), Error> {
        if self.is_through(state) {
            return Ok(());
        }
        self.empty(database)?;
        // Tests that ask for writes that wait want them of the other states all the same.
        if self.share.shared.tuning.write_back.is_none() {
            self.through.fill(true);
            self.write_back = false;
        }
        if let Some(through) = self.through.get_mut(state.0 as usize) {
            *through = true;
        }
        Ok(())
    }

    /// Appends the value of each key to `out`; `look_up` appends those of some keys out of the
    /// database, by their indices. The state has cells.
    pub(crate) fn get(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut OptionalColumn,
        look_up: impl FnOnce(&[u32], &mut OptionalColumn) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let cache = cache_of(&mut self.caches, state)?;
        recycle(&mut self.found);
        self.missing.clear();
        cache.get(keys, which, &mut self.found, &mut self.missing)?;
        if self.missing.is_empty() {
            if out.is_empty() {
                std::mem::swap(out, &mut self.found);
                return Ok(());
            }
            let bytes = out.column().byte_len() + self.found.column().byte_len();
            backends::check_column("the column of values", bytes, out.len() + self.found.len())?;
            out.extend_from(&self.found);
            return Ok(());
        }
        let asked = self.missing.iter();
        let indices: Vec<u32> = asked.map(|&at| which.get(at as usize) as u32).collect();
        recycle(&mut self.read);
        look_up(&indices, &mut self.read)?;
        let mut bytes = out.column().byte_len();
        let mut asked = self.missing.iter().zip(self.read.iter()).peekable();
        for (position, value) in (0..).zip(self.found.iter()) {
            let read = asked.next_if(|&(&at, _)| at == position);
            let value = read.map_or(value, |(_, value)| value);
            bytes += value.map_or(0, <[u8]>::len);
            backends::check_column("the column of values", bytes, out.len())?;
            out.push(value);
        }
        drop(asked);
        cache.remember(keys, &indices, &self.read);
        self.added += bytes_of(keys, &self.read);
        Ok(())
    }

    /// Appends the list of each key to `out`; `look_up` appends those of some keys out of the
    /// database, by their indices. The state has lists.
    pub(crate) fn get_lists(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
        look_up: impl FnOnce(&[u32], &mut NestedColumn) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let cache = cache_of(&mut self.caches, state)?;
        let (lists, elements) = (out.ends.len(), out.elements.len());
        self.missing.clear();
        cache.get_lists(keys, which, out, &mut self.missing)?;
        if self.missing.is_empty() {
            return Ok(());
        }
        let asked = self.missing.iter();
        let indices: Vec<u32> = asked.map(|&at| which.get(at as usize) as u32).collect();
        let before = out.elements.byte_len();
        if elements == out.elements.len() && indices.len() == out.ends.len() - lists {
            // Nothing is here: a long list is copied once.
            out.ends.truncate(lists);
            look_up(&indices, out)?;
            cache.remember_lists(keys, &indices, out);
            self.added += bytes_in(keys, out.elements.byte_len() - before, indices.len());
            return Ok(());
        }
        recycle_lists(&mut self.read_lists);
        look_up(&indices, &mut self.read_lists)?;
        recycle_lists(&mut self.found_lists);
        let found = &mut self.found_lists;
        for element in elements..out.elements.len() {
            found.elements.push(out.elements.get(element));
        }
        let ends = out.ends.drain(lists..);
        found.ends.extend(ends.map(|end| end - elements as u32));
        out.elements.truncate(elements);
        merge_lists(&self.found_lists, &self.missing, &self.read_lists, out)?;
        cache.remember_lists(keys, &indices, &self.read_lists);
        let read = self.read_lists.elements.byte_len();
        self.added += bytes_in(keys, read, indices.len());
        Ok(())
    }

    /// Appends the value of each (key, map key) to `out`; `look_up` appends those at some positions
    /// of the access out of the database. The state has maps.
    pub(crate) fn get_entries(
        &mut self,
        state: StateIndex,
        (keys, which): (&KeyBatch<'_>, Which<'_>),
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
        mut look_up: impl FnMut(&[u32], &mut OptionalColumn) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut entries = std::mem::take(&mut self.entries);
        let mut got = Ok(());
        let mut from = 0;
        while from < map_keys.len() && got.is_ok() {
            let to = entries.fill(keys, which, map_keys, from);
            let batch = entries.batch();
            got = self.get(state, &batch, Which::All, out, |missing, out| match from {
                0 => look_up(missing, out),
                _ => {
                    let missing = missing.iter().map(|&at| at + from as u32);
                    look_up(&missing.collect::<Vec<_>>(), out)
                }
            });
            from = to;
        }
        self.entries = entries;
        got
    }

    /// Whether an entry of a state may be here.
    pub(crate) fn has_entries(&self, state: StateIndex) -> bool {
        self.entries(state) > 0
    }

    /// Lets go of an entry that is to be removed from the database.
    pub(crate) fn forget_entry(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        key: u32,
        map_key: &[u8],
    ) {
        if let Some(Some(cache)) = self.caches.get_mut(state.0 as usize) {
            cache.forget(&self.entries.one(keys, key, map_key), &[0]);
        }
    }

    /// Lets go of all entries of a key group, of which some are to be removed from the database.
    pub(crate) fn forget_group(&mut self, state: StateIndex, group: KeyGroup) {
        if let Some(Some(cache)) = self.caches.get_mut(state.0 as usize) {
            cache.forget_group(group);
        }
    }

    /// Takes the entries that a call wrote to maps. What it has cleared was forgotten before.
    pub(crate) fn put_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        writes: &MapWrites,
    ) {
        let mut entries = std::mem::take(&mut self.entries);
        let (which, map_keys) = (Which::Some(&writes.keys), writes.map_keys.view());
        let mut from = 0;
        while from < map_keys.len() {
            let to = entries.fill(keys, which, map_keys, from);
            entries.take_values(&writes.values, from);
            self.put(state, &entries.batch(), entries.writes());
            from = to;
        }
        self.entries = entries;
    }

    /// Sorts what a call wrote to lists, which was checked: says whether some of it has to go to
    /// the database.
    pub(crate) fn sort_lists(&mut self, keys: &KeyBatch<'_>, writes: &Writes) -> bool {
        let mut all_here = true;
        self.lists
            .resize_with(writes.lists.len(), SortedLists::default);
        for ((state, writes), sorted) in writes.lists.iter().zip(&mut self.lists) {
            if let Some(Some(cache)) = self.caches.get_mut(state.0 as usize) {
                cache.sort_lists(keys, writes, sorted);
                all_here &= sorted.all_here;
            }
        }
        !all_here
    }

    /// What the database gets of the writes to lists that were sorted, by their place among them.
    pub(crate) fn lists_to_store<'a>(
        &'a self,
        place: usize,
        writes: &'a ListWrites,
    ) -> &'a ListWrites {
        match self.lists.get(place) {
            Some(sorted) if self.write_back => &sorted.to_store,
            Some(_) | None => writes,
        }
    }

    /// Takes what a call wrote to lists, which was sorted; the database has its part.
    pub(crate) fn put_lists(&mut self, keys: &KeyBatch<'_>, writes: &Writes) {
        for ((state, writes), sorted) in writes.lists.iter().zip(&self.lists) {
            let Some(Some(cache)) = self.caches.get_mut(state.0 as usize) else {
                continue;
            };
            let here = match sorted.all_here {
                true => writes,
                false => &sorted.here,
            };
            cache.put_lists(keys, here);
            cache.forget(keys, &sorted.to_store.keys);
            self.added += bytes_in(keys, here.lists.elements.byte_len(), here.keys.len());
        }
    }

    /// Takes what a call wrote to a state, which was checked.
    pub(crate) fn put(&mut self, state: StateIndex, keys: &KeyBatch<'_>, writes: &ValueWrites) {
        if let Some(Some(cache)) = self.caches.get_mut(state.0 as usize) {
            cache.put(keys, writes);
            self.added += bytes_of(keys, &writes.values);
        }
    }

    /// Freezes what the database does not have, by state.
    pub(crate) fn freeze(&mut self) -> Vec<(usize, Shape, FrozenCells)> {
        let states = self.caches.iter_mut().zip(&self.shapes).zip(&self.through);
        let mut frozen = Vec::new();
        for (state, ((cache, shape), through)) in states.enumerate() {
            if let Some(cache) = cache.as_mut().filter(|_| !through) {
                frozen.push((state, *shape, cache.freeze()));
            }
        }
        frozen
    }

    /// Makes room where there is more than `allowed` bytes. A quarter is kept for what is copied
    /// while a snapshot is on its way; where that is not enough, this waits for it.
    pub(crate) fn make_room(&mut self, database: &Database) -> Result<(), Error> {
        let allowed = self.share.bytes();
        if self.added <= allowed / COUNT_EACH {
            return Ok(());
        }
        self.count();
        if !self.jobs.are_settled() {
            if self.held <= allowed {
                return Ok(());
            }
            self.jobs.settle();
            self.count();
        }
        self.shrink(database, allowed / 4 * 3)
    }

    /// Writes everything to the database, and keeps nothing.
    pub(crate) fn empty(&mut self, database: &Database) -> Result<(), Error> {
        if self.held + self.added == 0 {
            return Ok(());
        }
        self.jobs.settle();
        self.count();
        self.shrink(database, 0)?;
        self.held = 0;
        Ok(())
    }

    /// The same before the database gets what is not from here.
    pub(crate) fn give_way(&mut self, database: &Database) -> Result<(), Error> {
        let caches = self.caches.iter_mut().flatten();
        caches.for_each(|cache| cache.set_whole(false));
        self.empty(database)
    }

    /// Entries of a state that are here.
    pub(crate) fn entries(&self, state: StateIndex) -> u64 {
        let cache = self.caches.get(state.0 as usize);
        cache.and_then(Option::as_ref).map_or(0, CellCache::entries)
    }

    /// The bytes that are held.
    pub(crate) fn memory(&mut self) -> usize {
        let caches = self.caches.iter_mut().flatten();
        caches.map(CellCache::memory).sum()
    }

    fn count(&mut self) {
        self.held = self.memory();
        self.added = 0;
    }

    /// Lets go of one page after the other, of the state that has most, until no more than this is
    /// held or every page had its turn.
    fn shrink(&mut self, database: &Database, allowed: usize) -> Result<(), Error> {
        let caches = self.caches.iter_mut().enumerate();
        // How much each has, which it is, and how many of its pages have not had their turn.
        let sized = |(state, cache): (usize, &mut Option<CellCache>)| {
            let cache = cache.as_mut()?;
            Some((cache.memory(), state, cache.pages()))
        };
        let mut caches: Vec<(usize, usize, usize)> = caches.filter_map(sized).collect();
        while self.held > allowed {
            let left = caches.iter_mut().filter(|(_, _, pages)| *pages > 0);
            let Some((size, state, pages)) = left.max() else {
                break;
            };
            let Some(Some(cache)) = self.caches.get_mut(*state) else {
                break;
            };
            if !self.through[*state] {
                let mut writer = CellWriter::new(database, *state, self.shapes[*state])?;
                cache.write_page(&mut |group, key, value| writer.put(group, key, value))?;
                writer.finish()?;
            }
            cache.drop_page();
            *pages -= 1;
            let rest = cache.memory();
            self.held = self.held.saturating_sub(*size - rest.min(*size));
            *size = rest;
        }
        Ok(())
    }
}

impl Share {
    /// A share for a backend that has cells, lists or maps.
    fn new(shared: Arc<Shared>, holds: &Holds) -> Self {
        let is_held = |shape| matches!(shape, &Shape::Cell | &Shape::List | &Shape::Map);
        let is_some = holds.shapes.iter().any(is_held);
        if is_some {
            shared.memory.join();
        }
        Self { shared, is_some }
    }

    fn bytes(&self) -> usize {
        let set = self.shared.tuning.front;
        set.unwrap_or_else(|| self.shared.memory.front())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.is_some {
            self.shared.memory.leave();
        }
    }
}

/// The cache of a state.
fn cache_of(caches: &mut [Option<CellCache>], state: StateIndex) -> Result<&mut CellCache, Error> {
    let declared = caches.len();
    let index = state.0;
    let cache = caches.get_mut(index as usize).and_then(Option::as_mut);
    cache.ok_or(Error::Undeclared { index, declared })
}

/// Appends lists that were found, with those that were read at the positions that were missing.
fn merge_lists(
    found: &NestedColumn,
    missing: &[u32],
    read: &NestedColumn,
    out: &mut NestedColumn,
) -> Result<(), Error> {
    let (mut first_found, mut first_read) = (0, 0);
    let mut asked = missing.iter().zip(&read.ends).peekable();
    for (position, &end) in (0..).zip(&found.ends) {
        let (from, elements) = match asked.next_if(|&(&at, _)| at == position) {
            Some((_, &end)) => (&read.elements, std::mem::replace(&mut first_read, end)..end),
            None => (&found.elements, first_found..end),
        };
        first_found = end;
        for element in elements {
            let element = from.get(element as usize);
            let bytes = out.elements.byte_len() + element.len();
            backends::check_column("the column of lists", bytes, out.elements.len() + 1)?;
            out.elements.push(element);
        }
        out.ends.push(out.elements.len() as u32);
    }
    Ok(())
}

/// About what values take with their keys.
fn bytes_of(keys: &KeyBatch<'_>, values: &OptionalColumn) -> usize {
    bytes_in(keys, values.column().byte_len(), values.len())
}

/// About what entries of so many bytes take with their keys.
fn bytes_in(keys: &KeyBatch<'_>, bytes: usize, entries: usize) -> usize {
    keys.keys.contents().len() + bytes + entries * ENTRY_BYTES
}

/// Empties a buffer; one that a large call filled is given back.
fn recycle(buffer: &mut OptionalColumn) {
    if buffer.column().byte_len() > KEEP_BYTES {
        *buffer = OptionalColumn::new();
    } else {
        buffer.clear();
    }
}

/// The same of lists.
fn recycle_lists(buffer: &mut NestedColumn) {
    if buffer.elements.byte_len() > KEEP_BYTES {
        *buffer = NestedColumn::default();
    } else {
        buffer.clear();
    }
}
