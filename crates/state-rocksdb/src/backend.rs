//! The database of one operator and subtask behind the trait of all backends: what is not in memory
//! before it is read by one multi-get, and written by one batch a call.

use std::sync::Arc;

use rocksdb::{ReadOptions, WriteBatch, WriteOptions};
use weir_model::{ColumnView, KeyGroup, KeyGroupRange, OptionalColumn, ProcessingTime};
use weir_state::{
    Backend, EntriesColumn, Error, KeyBatch, NativeFiles, NestedColumn, Snapshot, SnapshotFormat,
    SnapshotRequest, StateDecl, StateIndex, StateKeys, TimerKind, Timers, Which, Writes,
    backends::{Holds, Shape, check_lengths},
};

use crate::{
    Shared,
    behind::Behind,
    cells,
    database::{Access, Database},
    error::failed,
    front::Front,
    groups,
    jobs::Work,
    keys::{self, Sorted},
    lists, load, maps, options, restore,
    snapshot::{self, Names},
    timers,
    ttl::Clock,
};

/// What one large call needed more is given back.
const KEEP_BYTES: usize = 4 << 20;

/// Keyed state in RocksDB.
pub struct RocksDbBackend {
    holds: Arc<Holds>,
    database: Arc<Database>,
    front: Front,
    /// Whether a call has written to the database at once since the last snapshot.
    wrote: bool,
    behind: Behind,
    owner: String,
    names: Names,
    timers: timers::Ahead,
    lookups: ReadOptions,
    writes: WriteOptions,
    batch: WriteBatch,
    sorted: Sorted,
    scratch: Vec<u8>,
}

impl RocksDbBackend {
    pub(crate) fn create(
        shared: Arc<Shared>,
        owner: &str,
        decls: Vec<StateDecl>,
        range: KeyGroupRange,
    ) -> Result<Self, Error> {
        let holds = Arc::new(Holds::new(decls, range)?);
        let front = Front::new(&holds, shared.clone());
        let folder = shared.scratch.folder(owner);
        let database = Database::open(shared, folder, &holds, Clock::new(), Access::Write)?;
        Ok(Self {
            holds,
            database: Arc::new(database),
            front,
            wrote: false,
            behind: Behind::default(),
            owner: owner.to_owned(),
            names: Names::default(),
            timers: timers::Ahead::empty(),
            lookups: options::lookups(),
            writes: options::writes(),
            batch: WriteBatch::default(),
            sorted: Sorted::default(),
            scratch: Vec::new(),
        })
    }

    /// Gathers what of a call goes to the database at once, in order of keys: what comes in order
    /// is taken in quickly.
    fn fill(&mut self, keys: &KeyBatch<'_>, writes: &Writes) -> Result<(), Error> {
        let Self {
            holds,
            database,
            batch,
            sorted,
            scratch,
            front,
            ..
        } = self;
        let values = match front.writes_back() {
            true => &[][..],
            false => &writes.values,
        };
        for (state, writes) in values {
            let family = database.family(state.0 as usize)?;
            sorted.keys(keys, Which::Some(&writes.keys));
            cells::write(batch, &family, sorted, writes);
        }
        for (place, (state, writes)) in writes.lists.iter().enumerate() {
            let writes = front.lists_to_store(place, writes);
            let family = database.family(state.0 as usize)?;
            sorted.keys(keys, Which::Some(&writes.keys));
            lists::write(batch, &family, sorted, writes, scratch);
        }
        for (state, writes) in &writes.maps {
            if !front.is_through(*state) {
                continue;
            }
            let family = database.family(state.0 as usize)?;
            let store = (&database.db, &family);
            let expire = holds.decls[state.0 as usize].ttl.is_some();
            maps::write(batch, store, (front, *state, expire), sorted, keys, writes)?;
        }
        if !writes.timers.is_empty() {
            let family = database.family(holds.timers()?)?;
            timers::write(batch, &family, keys, &writes.timers, scratch);
        }
        Ok(())
    }

    /// Writes what is behind, once all snapshots that must not see it are made.
    fn catch_up(&mut self) -> Result<(), Error> {
        self.front.jobs.settle();
        self.behind.write(&self.database.db, &self.writes)
    }

    /// Brings what a call wrote to the database that is not kept in front of it. `at_once` says
    /// that it may be read from there.
    fn store(&mut self, keys: &KeyBatch<'_>, writes: &Writes, at_once: bool) -> Result<(), Error> {
        // A snapshot that is not made yet must not see what follows.
        let waits = !at_once && !self.behind.is_full() && !self.front.jobs.are_settled();
        if !waits {
            self.catch_up()?;
        }
        self.wrote |= at_once;
        if let Err(error) = self.fill(keys, writes) {
            self.empty();
            return Err(error);
        }
        if waits {
            self.behind.push(std::mem::take(&mut self.batch));
        } else if let Err(error) = self.write() {
            self.timers.forget();
            return Err(error);
        }
        self.timers.written(keys, &writes.timers);
        Ok(())
    }

    /// Writes the batch, and empties it whatever becomes of it.
    fn write(&mut self) -> Result<(), Error> {
        let written = if self.batch.is_empty() {
            Ok(())
        } else {
            self.database.db.write_opt(&self.batch, &self.writes)
        };
        self.empty();
        written.map_err(failed("write to it"))
    }

    fn empty(&mut self) {
        if self.batch.size_in_bytes() > KEEP_BYTES {
            self.batch = WriteBatch::default();
        } else {
            self.batch.clear();
        }
    }

    /// The bytes before the database.
    #[cfg(test)]
    pub(crate) fn held(&mut self) -> usize {
        self.front.memory()
    }

    /// Whether all snapshots are made.
    #[cfg(test)]
    pub(crate) fn is_settled(&self) -> bool {
        self.front.jobs.are_settled()
    }

    /// Compacts everything, so that tests see what only compactions do.
    #[cfg(test)]
    pub(crate) fn compact(&mut self) {
        self.front.empty(&self.database).unwrap();
        self.compact_database();
    }

    /// How many files of a state no compaction has seen, once those that are due are done.
    #[cfg(test)]
    pub(crate) fn files_left_alone(&self, state: usize) -> u64 {
        let options = rocksdb::WaitForCompactOptions::default();
        self.database.db.wait_for_compact(&options).unwrap();
        let family = self.database.family(state).unwrap();
        let property = "rocksdb.num-files-at-level0";
        let files = self.database.db.property_int_value_cf(&family, property);
        files.unwrap().unwrap()
    }

    /// Compacts what is in the database, whatever is in front of it.
    #[cfg(test)]
    pub(crate) fn compact_database(&self) {
        for (state, shape) in self.holds.shapes.iter().enumerate() {
            if *shape != Shape::Foreign {
                let family = self.database.family(state).unwrap();
                self.database.db.flush_cf(&family).unwrap();
                let mut options = rocksdb::CompactOptions::default();
                options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
                self.database.db.compact_range_cf_opt(
                    &family,
                    None::<&[u8]>,
                    None::<&[u8]>,
                    &options,
                );
            }
        }
    }
}

impl Backend for RocksDbBackend {
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
        self.holds.check_read(state, Shape::Cell, keys, which)?;
        self.front.make_room(&self.database)?;
        let Self {
            database,
            front,
            lookups,
            sorted,
            ..
        } = self;
        front.get(state, keys, which, out, |missing, out| {
            sorted.keys(keys, Which::Some(missing));
            let family = database.family(state.0 as usize)?;
            cells::read(&database.db, &family, lookups, sorted, out)
        })
    }

    fn get_lists(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
    ) -> Result<(), Error> {
        self.holds.check_read(state, Shape::List, keys, which)?;
        self.front.make_room(&self.database)?;
        let Self {
            database,
            front,
            lookups,
            sorted,
            ..
        } = self;
        front.get_lists(state, keys, which, out, |missing, out| {
            sorted.keys(keys, Which::Some(missing));
            let family = database.family(state.0 as usize)?;
            cells::visit(&database.db, &family, lookups, sorted, |run| {
                lists::read(run.unwrap_or_default(), out)?;
                out.ends.push(out.elements.len() as u32);
                Ok(())
            })
        })
    }

    fn get_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.holds.check_read(state, Shape::Map, keys, which)?;
        let len = which.len(keys.keys.len());
        check_lengths("map keys of keys", map_keys.len(), len)?;
        self.front.make_room(&self.database)?;
        let Self {
            database,
            front,
            lookups,
            sorted,
            ..
        } = self;
        let family = database.family(state.0 as usize)?;
        front.get_entries(state, (keys, which), map_keys, out, |missing, out| {
            let at = |&position: &u32| which.get(position as usize) as u32;
            let of: Vec<u32> = missing.iter().map(at).collect();
            let map_keys = missing.iter().map(|&at| map_keys.get(at as usize));
            sorted.entries(keys, Which::Some(&of), map_keys);
            cells::read(&database.db, &family, lookups, sorted, out)
        })
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
        self.holds
            .check_read(state, Shape::Map, keys, Which::Some(&[key]))?;
        self.front.go_through(&self.database, state)?;
        let key = key as usize;
        self.scratch.clear();
        keys::put_map_prefix(&mut self.scratch, keys.groups[key], keys.keys.get(key));
        let family = self.database.family(state.0 as usize)?;
        maps::scan(&self.database.db, &family, &self.scratch, after, limit, out)
    }

    fn scan_keys(
        &mut self,
        state: StateIndex,
        from: KeyGroup,
        out: &mut StateKeys,
    ) -> Result<Option<KeyGroup>, Error> {
        self.holds.check_whole(state, from)?;
        // What waits before the database is written there: it is in no order here.
        if self.front.writes_back() {
            self.front.empty(&self.database)?;
        }
        let at = state.0 as usize;
        let is_map = self.holds.shapes.get(at) == Some(&Shape::Map);
        let family = self.database.family(at)?;
        let range = KeyGroupRange {
            start: from,
            end: self.holds.range.end,
        };
        groups::scan(&self.database.db, &family, (range, is_map), out)
    }

    fn apply(&mut self, keys: &KeyBatch<'_>, writes: &Writes) -> Result<(), Error> {
        // Everything that can fail comes first, so that all is applied or nothing.
        self.holds.check_writes(keys, writes)?;
        self.front.make_room(&self.database)?;
        for (state, writes) in &writes.maps {
            if !writes.clear.is_empty() {
                self.front.go_through(&self.database, *state)?;
            }
        }
        let lists = self.front.sort_lists(keys, writes);
        let mut maps = writes.maps.iter().map(|(state, _)| *state);
        let maps = maps.any(|state| self.front.is_through(state));
        let at_once = !self.front.writes_back() || lists || maps;
        if at_once || !writes.timers.is_empty() {
            self.store(keys, writes, at_once)?;
        }
        for (state, writes) in &writes.values {
            self.front.put(*state, keys, writes);
        }
        self.front.put_lists(keys, writes);
        for (state, writes) in &writes.maps {
            self.front.put_entries(*state, keys, writes);
        }
        Ok(())
    }

    fn next_timer(&mut self, kind: TimerKind) -> Result<Option<i64>, Error> {
        let Ok(at) = self.holds.timers() else {
            return Ok(None);
        };
        if !self.timers.is_known(kind) {
            self.catch_up()?;
        }
        let family = self.database.family(at)?;
        let (db, range) = (&self.database.db, self.holds.range);
        self.timers.next(kind, db, &family, range)
    }

    fn due_timers(
        &mut self,
        kind: TimerKind,
        until: i64,
        limit: usize,
        out: &mut Timers,
    ) -> Result<(), Error> {
        let Ok(at) = self.holds.timers() else {
            return Ok(());
        };
        if !self.timers.is_known(kind) {
            self.catch_up()?;
        }
        let family = self.database.family(at)?;
        let (db, range) = (&self.database.db, self.holds.range);
        let which = (kind, until, limit);
        self.timers.due(which, db, &family, range, out)
    }

    fn set_time(&mut self, now: ProcessingTime) {
        self.database.clock.set(now);
    }

    fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Box<dyn Snapshot>, Error> {
        self.database.clock.set(request.now);
        if !self.behind.is_empty() {
            self.catch_up()?;
        }
        let (names, holds, now) = (self.names.clone(), self.holds.clone(), request.now);
        let format = request.format;
        let then = move |frozen| -> Box<dyn Snapshot> {
            match format {
                SnapshotFormat::Native => Box::new(snapshot::native(frozen, names)),
                SnapshotFormat::Canonical => Box::new(snapshot::canonical(frozen, holds, now)),
            }
        };
        if self.front.writes_back() {
            let work = Work {
                database: Arc::clone(&self.database),
                cells: self.front.freeze(),
                owner: self.owner.clone(),
            };
            let snapshot = self.front.jobs.take(work, Box::new(then));
            if std::mem::take(&mut self.wrote) {
                // Most likely it will again, and had to wait then: here others go on meanwhile.
                self.front.jobs.settle();
            }
            return Ok(snapshot);
        }
        snapshot::freeze(&self.database, &self.owner).map(then)
    }

    fn may_block(&self) -> bool {
        !self.front.writes_back() || self.wrote || !self.behind.is_empty()
    }

    fn import(&mut self, files: &mut dyn NativeFiles) -> Result<(), Error> {
        self.timers.forget();
        self.front.give_way(&self.database)?;
        restore::import(
            &mut self.database,
            &self.holds,
            &self.owner,
            &self.names,
            files,
        )
    }

    fn load(&mut self, state: StateIndex, group: KeyGroup, rows: &[u8]) -> Result<(), Error> {
        self.timers.forget();
        self.holds.check_group(group)?;
        let declared = self.holds.shapes.len();
        let index = state.0;
        let shape = *self
            .holds
            .shapes
            .get(index as usize)
            .ok_or(Error::Undeclared { index, declared })?;
        self.front.give_way(&self.database)?;
        let family = self.database.family(index as usize);
        let loaded = load::rows(shape, family, group, rows, &mut self.batch);
        match loaded {
            Ok(()) => self.write(),
            Err(error) => {
                self.empty();
                Err(error)
            }
        }
    }

    fn entries(&self, state: StateIndex) -> u64 {
        let estimate = rocksdb::properties::ESTIMATE_NUM_KEYS;
        let family = self.database.family(state.0 as usize);
        let keys = family.map(|f| self.database.db.property_int_value_cf(&f, estimate));
        let there = match keys {
            Ok(Ok(Some(keys))) => keys,
            Ok(Ok(None) | Err(_)) | Err(_) => 0,
        };
        there.max(self.front.entries(state))
    }

    fn counts(&self) -> bool {
        false
    }
}
