//! The heap backend: all state in memory, in compact tables that a snapshot freezes in
//! microseconds.
//!
//! table ► pages of key groups ► segments of some hundred entries ► records. See the modules, each
//! of which keeps one invariant.

mod big;
mod bucket;
mod cache;
mod chunk;
mod chunks;
mod cleanup;
mod delta;
mod epoch;
mod even;
mod list;
mod load;
mod map;
mod near;
mod page;
mod record;
mod removals;
mod segment;
mod snapshot;
mod some;
mod table;
#[cfg(test)]
mod tests;
mod timers;

use weir_model::{
    CheckpointId, ColumnView, KeyGroup, KeyGroupRange, OptionalColumn, ProcessingTime,
};

use crate::{
    Backend, EntriesColumn, Error, KeyBatch, NestedColumn, Snapshot, SnapshotFormat,
    SnapshotRequest, StateDecl, StateIndex, StateKeys, TimerKind, TimerQueue, Timers, Which,
    Writes,
    holds::{Holds, Shape, check_lengths},
    limits,
};
pub use cache::{CellCache, FrozenCells, PutCell, SortedLists};
pub(crate) use chunks::MapChunks;
use cleanup::Cursor;
use epoch::Epochs;
pub use snapshot::BLOCK_BYTES;
use snapshot::{Alive, HeapSnapshot, StateSnapshot, records};
use table::{Probed, Table};

/// Keyed state in memory.
#[derive(Debug)]
pub struct HeapBackend {
    holds: Holds,
    states: Vec<HeapState>,
    /// Where the timers are among the states, if the operator has any.
    timers_at: Option<usize>,
    timers: TimerQueue,
    epochs: Epochs,
    /// What time it is, where that was said.
    now: Option<ProcessingTime>,
    scratch: Vec<u8>,
}

/// What is kept of one state.
#[derive(Debug)]
struct HeapState {
    shape: Shape,
    table: Table,
    /// Where the keys of the call in hand are.
    probed: Probed,
    entries: u64,
    cursor: Cursor,
    /// How many keys were accessed since it was cleaned up.
    accesses: usize,
}

impl HeapBackend {
    /// A backend without entries for the keyed states among `decls` and the key groups `range`.
    ///
    /// # Errors
    /// [`Error::DuplicateName`], and [`Error::NoTime`] where a state is to live for no time.
    pub fn new(decls: Vec<StateDecl>, range: KeyGroupRange) -> Result<Self, Error> {
        let epochs = Epochs::new();
        let holds = Holds::new(decls, range)?;
        let states = holds.shapes.iter().map(|&shape| HeapState {
            shape,
            table: Table::new(range, shape != Shape::Cell, epochs.now()),
            probed: Probed::default(),
            entries: 0,
            cursor: Cursor::default(),
            accesses: 0,
        });
        Ok(Self {
            timers_at: holds.timers().ok(),
            states: states.collect(),
            holds,
            timers: TimerQueue::new(),
            epochs,
            now: None,
            scratch: Vec::new(),
        })
    }

    /// Keys of a state were accessed.
    fn accessed(&mut self, state: StateIndex, keys: usize) {
        if let Some(state) = self.states.get_mut(state.0 as usize) {
            state.accesses += keys;
        }
    }

    /// Removes some of what has expired, by what was accessed. Not when it is read: a call that is
    /// rolled back and run again must find the same.
    fn clean(&mut self) {
        let Some(now) = self.now else { return };
        for (state, decl) in self.states.iter_mut().zip(&self.holds.decls) {
            let keys = std::mem::take(&mut state.accesses);
            let Some(ttl) = decl.ttl.filter(|_| keys > 0) else {
                continue;
            };
            let alive = Alive {
                ttl: Some(ttl),
                now,
            };
            let HeapState {
                shape,
                table,
                cursor,
                ..
            } = state;
            let change = cleanup::step(*shape, table, cursor, alive, keys, &mut self.scratch);
            state.count(change, self.epochs.now());
        }
    }

    /// Begins the epoch after one that has ended.
    fn enter(&mut self) {
        let epoch = self.epochs.now();
        self.states.iter_mut().for_each(|s| s.table.enter(epoch));
        self.prune();
    }

    /// Lets go of removals that no base asks for.
    fn prune(&mut self) {
        let oldest = self.epochs.oldest();
        let states = self.states.iter_mut();
        states.for_each(|state| state.table.removals.prune(oldest));
    }

    /// The state, if it has this shape.
    fn state(&self, state: StateIndex, shape: Shape) -> Result<&HeapState, Error> {
        self.holds.check_state(state, shape)?;
        let (index, declared) = (state.0, self.states.len());
        let found = self.states.get(index as usize);
        found.ok_or(Error::Undeclared { index, declared })
    }

    /// The table of a state, if a read of it with this shape may be answered.
    fn readable(
        &self,
        state: StateIndex,
        shape: Shape,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
    ) -> Result<&Table, Error> {
        self.holds.check_read(state, shape, keys, which)?;
        self.state(state, shape).map(|found| &found.table)
    }
}

impl Backend for HeapBackend {
    fn key_groups(&self) -> KeyGroupRange {
        self.holds.range
    }

    fn states(&self) -> &[StateDecl] {
        &self.holds.decls
    }

    fn get_values(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.readable(state, Shape::Cell, keys, which)?;
        let HeapState { table, probed, .. } = &mut self.states[state.0 as usize];
        table.get(keys, which, probed, out)?;
        self.accessed(state, which.len(keys.keys.len()));
        Ok(())
    }

    fn get_lists(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
    ) -> Result<(), Error> {
        self.readable(state, Shape::List, keys, which)?;
        let HeapState { table, probed, .. } = &mut self.states[state.0 as usize];
        list::get(table, keys, which, probed, out)?;
        self.accessed(state, which.len(keys.keys.len()));
        Ok(())
    }

    fn get_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.readable(state, Shape::Map, keys, which)?;
        let len = which.len(keys.keys.len());
        check_lengths("map keys of keys", map_keys.len(), len)?;
        let HeapState { table, probed, .. } = &mut self.states[state.0 as usize];
        map::get(table, keys, which, map_keys, probed, out)?;
        self.accessed(state, map_keys.len());
        Ok(())
    }

    fn scan_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        key: u32,
        after: Option<&[u8]>,
        limit: usize,
        out: &mut EntriesColumn,
    ) -> Result<(), Error> {
        let table = self.readable(state, Shape::Map, keys, Which::Some(&[key]))?;
        map::scan(table, keys, key as usize, after, limit, out)
    }

    fn scan_keys(
        &mut self,
        state: StateIndex,
        from: KeyGroup,
        out: &mut StateKeys,
    ) -> Result<Option<KeyGroup>, Error> {
        self.holds.check_whole(state, from)?;
        let Some(HeapState { table, .. }) = self.states.get(state.0 as usize) else {
            return Ok(None);
        };
        let number = table.page_of(from);
        if let Some(page) = table.page(number) {
            for record in records(page, |segment, at| segment.group(at) >= from.0) {
                out.push(KeyGroup(record.group), record.key())?;
            }
        }
        let last = table.groups_of(number).end;
        Ok((last < self.holds.range.end).then_some(KeyGroup(last.0 + 1)))
    }

    fn apply(&mut self, keys: &KeyBatch<'_>, writes: &Writes) -> Result<(), Error> {
        // Everything that can fail comes first, so that all is applied or nothing.
        self.holds.check_writes(keys, writes)?;
        for (state, writes) in &writes.lists {
            self.state(*state, Shape::List)?;
            let HeapState { table, probed, .. } = &mut self.states[state.0 as usize];
            list::check(table, keys, writes, probed)?;
        }
        let epoch = self.epochs.now();
        for (state, writes) in &writes.values {
            let state = &mut self.states[state.0 as usize];
            state.table.thaw();
            let change = state.table.apply(keys, writes, &mut state.probed);
            state.probed.recycle();
            state.count(change, epoch);
        }
        for (state, writes) in &writes.lists {
            let state = &mut self.states[state.0 as usize];
            state.table.thaw();
            let (table, probed) = (&mut state.table, &mut state.probed);
            let change = list::apply(table, keys, writes, probed, &mut self.scratch);
            state.probed.recycle();
            state.count(change, epoch);
        }
        for (state, writes) in &writes.maps {
            let state = &mut self.states[state.0 as usize];
            state.table.thaw();
            let (table, probed) = (&mut state.table, &mut state.probed);
            let change = map::apply(table, keys, writes, probed, &mut self.scratch);
            state.probed.recycle();
            state.count(change, epoch);
        }
        if let Some(at) = self.timers_at.filter(|_| !writes.timers.is_empty()) {
            let state = &mut self.states[at];
            let removals = &mut state.table.removals;
            let change = timers::apply(&mut self.timers, removals, keys, &writes.timers, epoch);
            state.count(change, epoch);
        }
        for (state, writes) in &writes.values {
            self.accessed(*state, writes.keys.len());
        }
        for (state, writes) in &writes.lists {
            self.accessed(*state, writes.keys.len());
        }
        for (state, writes) in &writes.maps {
            self.accessed(*state, writes.keys.len());
        }
        self.clean();
        limits::recycle(&mut self.scratch);
        Ok(())
    }

    fn next_timer(&mut self, kind: TimerKind) -> Result<Option<i64>, Error> {
        Ok(self.timers.next(kind))
    }

    fn due_timers(
        &mut self,
        kind: TimerKind,
        until: i64,
        limit: usize,
        out: &mut Timers,
    ) -> Result<(), Error> {
        self.timers.due(kind, until, limit, out)
    }

    fn set_time(&mut self, now: ProcessingTime) {
        self.now = Some(now);
    }

    fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Box<dyn Snapshot>, Error> {
        let base = match request.format {
            SnapshotFormat::Native => request.base.and_then(|id| self.epochs.base(id)),
            SnapshotFormat::Canonical => None,
        };
        let epoch = self.epochs.now();
        self.epochs.end(request.tracked.then_some(request.id));
        let states = self.states.iter_mut().zip(&self.holds.decls);
        let (range, queue) = (self.holds.range, &self.timers);
        let states = states.map(|(state, decl)| StateSnapshot {
            shape: state.shape,
            timers: (state.shape == Shape::Timers).then(|| (range, queue.clone())),
            alive: Alive {
                ttl: decl.ttl,
                now: request.now,
            },
            removed: state.table.removals.end(epoch, base),
            pages: state.table.freeze(),
        });
        let snapshot = HeapSnapshot {
            states: states.collect(),
            base: request.base.zip(base),
            epoch,
        };
        self.enter();
        Ok(Box::new(snapshot))
    }

    fn aborted(&mut self, id: CheckpointId) {
        self.epochs.forget(id);
        self.prune();
    }

    fn restored(&mut self, id: CheckpointId) {
        let epoch = self.epochs.now();
        self.epochs.end(Some(id));
        for state in &mut self.states {
            state.table.removals.end(epoch, None);
        }
        self.enter();
    }

    fn load(&mut self, state: StateIndex, group: KeyGroup, rows: &[u8]) -> Result<(), Error> {
        self.holds.check_group(group)?;
        let declared = self.states.len();
        let index = state.0;
        let state = self
            .states
            .get_mut(index as usize)
            .ok_or(Error::Undeclared { index, declared })?;
        if state.shape == Shape::Foreign {
            let what = format!("it has rows of key group {group} for a state without keys");
            return Err(Error::Damaged(what));
        }
        let epoch = self.epochs.now();
        let (change, result) = if state.shape == Shape::Timers {
            timers::load(&mut self.timers, group, rows, epoch)
        } else {
            state.table.thaw();
            load::rows(state.shape, &mut state.table, group, rows)
        };
        state.count(change, epoch);
        result
    }

    fn entries(&self, state: StateIndex) -> u64 {
        self.states
            .get(state.0 as usize)
            .map_or(0, |state| state.entries)
    }
}

impl HeapState {
    fn count(&mut self, change: i64, epoch: u64) {
        self.entries = self.entries.saturating_add_signed(change);
        self.table.removals.bound(self.entries, epoch);
    }
}
