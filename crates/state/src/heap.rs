//! The heap backend: all state in memory, in compact tables that a snapshot freezes in
//! microseconds.
//!
//! table ► pages of key groups ► segments of some hundred entries ► records. See the modules, each
//! of which keeps one invariant.

mod big;
mod chunks;
mod cleanup;
mod delta;
mod epoch;
mod list;
mod load;
mod map;
mod page;
mod record;
mod removals;
mod segment;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;

use weir_model::{
    CheckpointId, Column, ColumnView, KeyGroup, KeyGroupRange, OptionalColumn, ProcessingTime,
};

use crate::{
    Backend, EntriesColumn, Error, KeyBatch, ListWrites, MapWrites, NestedColumn, Snapshot,
    SnapshotFormat, SnapshotRequest, StateDecl, StateIndex, ValueWrites, Which, Writes, limits,
};
pub(crate) use chunks::MapChunks;
use cleanup::Cursor;
use epoch::Epochs;
pub use snapshot::BLOCK_BYTES;
use snapshot::{Alive, HeapSnapshot, StateSnapshot};
use table::{Probe, Table};

/// Keyed state in memory.
#[derive(Debug)]
pub struct HeapBackend {
    range: KeyGroupRange,
    decls: Vec<StateDecl>,
    states: Vec<HeapState>,
    epochs: Epochs,
    /// What time it is, where that was said.
    now: Option<ProcessingTime>,
    probes: Vec<Probe>,
    scratch: Vec<u8>,
}

/// What is kept of one state.
#[derive(Debug)]
struct HeapState {
    shape: Shape,
    table: Table,
    entries: u64,
    cursor: Cursor,
    /// How many keys were accessed since it was cleaned up.
    accesses: usize,
}

/// How the values of a state are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Cell,
    List,
    Map,
    /// The state is not keyed: nothing of it is kept here.
    Foreign,
}

impl Shape {
    fn as_str(self) -> &'static str {
        match self {
            Self::Cell => "value",
            Self::List => "list",
            Self::Map => "map",
            Self::Foreign => "operator",
        }
    }
}

impl HeapBackend {
    /// A backend without entries for the keyed states among `decls` and the key groups `range`.
    ///
    /// # Errors
    /// [`Error::DuplicateName`], and [`Error::NoTime`] where a state is to live for no time.
    pub fn new(decls: Vec<StateDecl>, range: KeyGroupRange) -> Result<Self, Error> {
        let epochs = Epochs::new();
        let mut states = Vec::with_capacity(decls.len());
        for (i, decl) in decls.iter().enumerate() {
            if decls[..i].iter().any(|other| other.name == decl.name) {
                return Err(Error::DuplicateName {
                    name: decl.name.clone(),
                });
            }
            if decl.ttl.is_some_and(|ttl| ttl.duration_ms == 0) {
                let name = decl.name.clone();
                return Err(Error::NoTime { name });
            }
            let shape = shape_of(decl);
            states.push(HeapState {
                shape,
                table: Table::new(range, shape != Shape::Cell, epochs.now()),
                entries: 0,
                cursor: Cursor::default(),
                accesses: 0,
            });
        }
        Ok(Self {
            range,
            decls,
            states,
            epochs,
            now: None,
            probes: Vec::new(),
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
        for (state, decl) in self.states.iter_mut().zip(&self.decls) {
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
        let index = state.0 as usize;
        let found = self.states.get(index).ok_or(Error::Undeclared {
            index: state.0,
            declared: self.states.len(),
        })?;
        if found.shape == shape {
            Ok(found)
        } else {
            Err(Error::WrongKind {
                name: self.decls[index].name.clone(),
                kind: self.decls[index].kind,
                used: shape.as_str(),
            })
        }
    }

    fn check_batch(&self, keys: &KeyBatch<'_>) -> Result<(), Error> {
        check_lengths("hashes of keys", keys.hashes.len(), keys.keys.len())?;
        check_lengths("key groups of keys", keys.groups.len(), keys.keys.len())
    }

    /// Checks the key groups of the keys of an access.
    fn check_keys(&self, keys: &KeyBatch<'_>, which: Which<'_>) -> Result<(), Error> {
        match which {
            Which::All => keys.groups.iter().try_for_each(|&g| self.check_group(g)),
            Which::Some(some) => some.iter().try_for_each(|&key| {
                let group = keys.groups.get(key as usize).ok_or(Error::NoSuchKey {
                    index: key,
                    keys: keys.groups.len(),
                })?;
                self.check_group(*group)
            }),
        }
    }

    #[inline]
    fn check_group(&self, group: KeyGroup) -> Result<(), Error> {
        if self.range.contains(group) {
            Ok(())
        } else {
            Err(Error::KeyGroup {
                group,
                range: self.range,
            })
        }
    }

    fn check_values(
        &self,
        keys: &KeyBatch<'_>,
        state: StateIndex,
        writes: &ValueWrites,
    ) -> Result<(), Error> {
        self.state(state, Shape::Cell)?;
        check_lengths("values of keys", writes.values.len(), writes.keys.len())?;
        check_bytes(writes.values.column())?;
        self.check_keys(keys, Which::Some(&writes.keys))
    }

    fn check_lists(
        &self,
        keys: &KeyBatch<'_>,
        state: StateIndex,
        writes: &ListWrites,
    ) -> Result<(), Error> {
        let found = self.state(state, Shape::List)?;
        let lists = &writes.lists;
        check_lengths("lists of keys", lists.ends.len(), writes.keys.len())?;
        check_lengths("modes of keys", writes.replace.len(), writes.keys.len())?;
        lists.check()?;
        self.check_keys(keys, Which::Some(&writes.keys))?;
        list::check(&found.table, keys, writes)
    }

    fn check_maps(
        &self,
        keys: &KeyBatch<'_>,
        state: StateIndex,
        writes: &MapWrites,
    ) -> Result<(), Error> {
        self.state(state, Shape::Map)?;
        check_lengths("map keys of keys", writes.map_keys.len(), writes.keys.len())?;
        check_lengths("values of keys", writes.values.len(), writes.keys.len())?;
        check_bytes(&writes.map_keys)?;
        check_bytes(writes.values.column())?;
        self.check_keys(keys, Which::Some(&writes.clear))?;
        self.check_keys(keys, Which::Some(&writes.keys))
    }
}

impl Backend for HeapBackend {
    fn key_groups(&self) -> KeyGroupRange {
        self.range
    }

    fn states(&self) -> &[StateDecl] {
        &self.decls
    }

    fn get_values(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.check_batch(keys)?;
        self.check_keys(keys, which)?;
        let mut probes = std::mem::take(&mut self.probes);
        let result = self
            .state(state, Shape::Cell)
            .and_then(|found| found.table.get(keys, which, &mut probes, out));
        self.probes = probes;
        self.accessed(state, which.len(keys.keys.len()));
        result
    }

    fn get_lists(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
    ) -> Result<(), Error> {
        self.check_batch(keys)?;
        self.check_keys(keys, which)?;
        list::get(&self.state(state, Shape::List)?.table, keys, which, out)?;
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
        self.check_batch(keys)?;
        self.check_keys(keys, which)?;
        let len = which.len(keys.keys.len());
        check_lengths("map keys of keys", map_keys.len(), len)?;
        let found = self.state(state, Shape::Map)?;
        map::get(&found.table, keys, which, map_keys, out)?;
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
        self.check_batch(keys)?;
        self.check_keys(keys, Which::Some(&[key]))?;
        let found = self.state(state, Shape::Map)?;
        map::scan(&found.table, keys, key as usize, after, limit, out)
    }

    fn apply(&mut self, keys: &KeyBatch<'_>, writes: &Writes) -> Result<(), Error> {
        // Everything that can fail comes first, so that all is applied or nothing.
        self.check_batch(keys)?;
        for (state, writes) in &writes.values {
            self.check_values(keys, *state, writes)?;
        }
        for (state, writes) in &writes.lists {
            self.check_lists(keys, *state, writes)?;
        }
        for (state, writes) in &writes.maps {
            self.check_maps(keys, *state, writes)?;
        }
        let epoch = self.epochs.now();
        for (state, writes) in &writes.values {
            let state = &mut self.states[state.0 as usize];
            state.table.thaw();
            let change = state.table.apply(keys, writes, &mut self.probes);
            state.count(change, epoch);
        }
        for (state, writes) in &writes.lists {
            let state = &mut self.states[state.0 as usize];
            state.table.thaw();
            let change = list::apply(&mut state.table, keys, writes, &mut self.scratch);
            state.count(change, epoch);
        }
        for (state, writes) in &writes.maps {
            let state = &mut self.states[state.0 as usize];
            state.table.thaw();
            let change = map::apply(&mut state.table, keys, writes, &mut self.scratch);
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

    fn set_time(&mut self, now: ProcessingTime) {
        self.now = Some(self.now.map_or(now, |before| before.max(now)));
    }

    fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Box<dyn Snapshot>, Error> {
        let base = match request.format {
            SnapshotFormat::Native => request.base.and_then(|id| self.epochs.base(id)),
            SnapshotFormat::Canonical => None,
        };
        let epoch = self.epochs.now();
        self.epochs.end(request.tracked.then_some(request.id));
        let states = self.states.iter_mut().zip(&self.decls);
        let states = states.map(|(state, decl)| StateSnapshot {
            shape: state.shape,
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
        self.check_group(group)?;
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
        state.table.thaw();
        let (change, result) = load::rows(state.shape, &mut state.table, group, rows);
        state.count(change, self.epochs.now());
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

fn shape_of(decl: &StateDecl) -> Shape {
    use crate::StateKind::{
        Aggregating, Broadcast, List, Map, OperatorList, OperatorUnion, Reducing, Value,
    };
    match decl.kind {
        Value | Reducing | Aggregating => Shape::Cell,
        List => Shape::List,
        Map => Shape::Map,
        OperatorList | OperatorUnion | Broadcast => Shape::Foreign,
    }
}

/// What was written must fit the column in which it is read.
fn check_bytes(column: &Column) -> Result<(), Error> {
    limits::check_column("a column of writes", column.byte_len(), column.len())
}

fn check_lengths(what: &'static str, left: usize, right: usize) -> Result<(), Error> {
    if left == right {
        Ok(())
    } else {
        Err(Error::Mismatch { what, left, right })
    }
}
