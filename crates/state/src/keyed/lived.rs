//! State with a time to live, over a backend that only stores bytes (D16).
//!
//! Between the overlays of a call and the backend: what is read loses its stamp, and what has
//! expired is hidden, or returned once more; what is written gets the time of the call. A read can
//! be a reason to write (what has expired goes, and where reads count as accesses what is alive
//! gets a new stamp): that is noted, and becomes part of the call's writes when it is committed, so
//! that a call that is rolled back refreshes nothing.
//!
//! INVARIANT: all that a call reads and writes is judged at one time.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use weir_model::{
    CheckpointId, ColumnView, KeyGroup, KeyGroupRange, OptionalColumn, ProcessingTime, hash64,
};

use crate::{
    Backend, EntriesColumn, Error, KeyBatch, ListWrites, MapWrites, NativeFiles, NestedColumn,
    Snapshot, SnapshotRequest, StateDecl, StateIndex, StateKeys, TimerKind, Timers, Ttl,
    ValueWrites, Which, Writes, limits, ttl::split,
};

/// Of how many keys is looked at once whether they have something that has not expired.
const KEYS_AT_ONCE: usize = 1024;
/// Of a map so many entries are looked at for one that has not expired.
const ENTRIES_AT_ONCE: usize = 64;

/// See the module.
pub(super) struct Lived {
    pub(super) inner: Box<dyn Backend>,
    now: ProcessingTime,
    /// Of each state with a time to live what reads have left to do.
    states: Vec<Option<State>>,
    values: OptionalColumn,
    lists: NestedColumn,
    entries: EntriesColumn,
    stamped: Vec<u8>,
}

struct State {
    ttl: Ttl,
    due: Due,
}

/// What reads have left to do.
enum Due {
    /// A stored value anew, or nothing instead of one that has expired; a key at most once.
    Cells(ValueWrites),
    /// Lists that are to be cleaned or get new stamps.
    Lists(Vec<u32>),
    /// Entries, as of cells; one may be there more than once, and the first counts.
    Maps(MapWrites),
    Nothing,
}

impl Due {
    fn of(decl: &StateDecl) -> Self {
        use crate::StateKind::{
            Aggregating, Broadcast, List, Map, OperatorList, OperatorUnion, Reducing, Timers, Value,
        };
        match decl.kind {
            Value | Reducing | Aggregating => Self::Cells(ValueWrites::default()),
            List => Self::Lists(Vec::new()),
            Map => Self::Maps(MapWrites::default()),
            OperatorList | OperatorUnion | Broadcast | Timers => Self::Nothing,
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Cells(due) => {
                limits::recycle(&mut due.keys);
                limits::recycle(&mut due.values);
            }
            Self::Lists(due) => limits::recycle(due),
            Self::Maps(due) => {
                limits::recycle(&mut due.keys);
                limits::recycle(&mut due.map_keys);
                limits::recycle(&mut due.values);
            }
            Self::Nothing => {}
        }
    }
}

/// What a stored value is to a read.
struct Seen<'a> {
    value: Option<&'a [u8]>,
    /// What is to be written: itself with another stamp, or that it is gone.
    due: Option<Option<&'a [u8]>>,
}

impl Ttl {
    fn see<'a>(&self, stored: &'a [u8], now: ProcessingTime) -> Result<Seen<'a>, Error> {
        let unstamped = || Error::Damaged("a value with a time to live has no time".into());
        let (last, value) = split(stored).ok_or_else(unstamped)?;
        Ok(if self.expired(last, now) {
            Seen {
                value: self.return_expired.then_some(value),
                due: Some(None),
            }
        } else {
            Seen {
                value: Some(value),
                due: (self.on_read && last != now).then_some(Some(value)),
            }
        })
    }
}

/// The value as it is stored.
fn stamp<'a>(value: &[u8], now: ProcessingTime, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    buffer.clear();
    buffer.extend_from_slice(&now.0.to_be_bytes());
    buffer.extend_from_slice(value);
    buffer
}

impl Lived {
    /// `None` where no state has a time to live.
    pub(super) fn over(inner: Box<dyn Backend>) -> Result<Self, Box<dyn Backend>> {
        let of = |decl: &StateDecl| {
            let ttl = decl.ttl.filter(|_| decl.kind.is_keyed())?;
            Some(State {
                ttl,
                due: Due::of(decl),
            })
        };
        let states: Vec<Option<State>> = inner.states().iter().map(of).collect();
        if states.iter().all(Option::is_none) {
            return Err(inner);
        }
        Ok(Self {
            inner,
            now: ProcessingTime(i64::MIN),
            states,
            values: OptionalColumn::new(),
            lists: NestedColumn::default(),
            entries: EntriesColumn::default(),
            stamped: Vec::new(),
        })
    }

    /// Forgets what the reads of a call have left to do.
    pub(super) fn forget(&mut self) {
        self.states.iter_mut().flatten().for_each(|s| s.due.clear());
    }

    /// Makes of what a call wrote what is stored, with what its reads have left to do.
    pub(super) fn prepare(
        &mut self,
        keys: &KeyBatch<'_>,
        writes: &mut Writes,
    ) -> Result<(), Error> {
        let Self {
            inner,
            now,
            states,
            lists,
            stamped,
            ..
        } = self;
        for (index, state) in states.iter_mut().enumerate() {
            let Some(State { ttl, due }) = state else {
                continue;
            };
            let index = StateIndex(index as u32);
            match due {
                Due::Cells(due) => {
                    if let Some(own) = own(&mut writes.values, index, due.keys.is_empty()) {
                        cells(own, due, keys.keys.len(), *now, stamped);
                    }
                }
                Due::Lists(due) => {
                    if let Some(own) = own(&mut writes.lists, index, due.is_empty()) {
                        let at = (*ttl, *now);
                        list_writes(own, due, (index, keys), at, inner.as_mut(), lists, stamped)?;
                    }
                }
                Due::Maps(due) => {
                    if let Some(own) = own(&mut writes.maps, index, due.keys.is_empty()) {
                        maps(own, due, keys.keys.len(), *now, stamped);
                    }
                }
                Due::Nothing => {}
            }
        }
        Ok(())
    }
}

impl Lived {
    /// Appends those of some keys that have something that has not expired.
    fn keys_alive(
        &mut self,
        state: StateIndex,
        (keys, groups): (ColumnView<'_>, &[KeyGroup]),
        out: &mut StateKeys,
    ) -> Result<(), Error> {
        let Some(Some(State { ttl, due })) = self.states.get(state.0 as usize) else {
            return Ok(());
        };
        let hashes: Vec<u64> = keys.iter().map(hash64).collect();
        let batch = KeyBatch {
            keys,
            hashes: &hashes,
            groups,
        };
        let keys = groups.iter().zip(keys.iter());
        let (ttl, now) = (*ttl, self.now);
        let alive = |stored: &[u8]| !ttl.expired_value(stored, now);
        match due {
            Due::Cells(_) => {
                limits::recycle(&mut self.values);
                let values = &mut self.values;
                self.inner.get_values(state, &batch, Which::All, values)?;
                for ((group, key), value) in keys.zip(self.values.iter()) {
                    if value.is_some_and(alive) {
                        out.push(*group, key)?;
                    }
                }
            }
            Due::Lists(_) => {
                limits::recycle(&mut self.lists);
                let lists = &mut self.lists;
                self.inner.get_lists(state, &batch, Which::All, lists)?;
                let mut first = 0;
                for ((group, key), &end) in keys.zip(&self.lists.ends) {
                    let elements = first..end;
                    first = end;
                    let mut elements = elements.map(|at| self.lists.elements.get(at as usize));
                    if elements.any(alive) {
                        out.push(*group, key)?;
                    }
                }
            }
            Due::Maps(_) => {
                for (index, (group, key)) in (0..).zip(keys) {
                    if self.has_entry(state, &batch, index)? {
                        out.push(*group, key)?;
                    }
                }
            }
            Due::Nothing => {}
        }
        Ok(())
    }

    /// Whether the map of a key has an entry that has not expired.
    fn has_entry(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        key: u32,
    ) -> Result<bool, Error> {
        let Some(Some(State { ttl, .. })) = self.states.get(state.0 as usize) else {
            return Ok(false);
        };
        let mut after: Option<Vec<u8>> = None;
        loop {
            limits::recycle(&mut self.entries);
            let page = &mut self.entries;
            let from = after.as_deref();
            self.inner
                .scan_entries(state, keys, key, from, ENTRIES_AT_ONCE, page)?;
            let mut values = page.values.iter();
            if values.any(|stored| !ttl.expired_value(stored, self.now)) {
                return Ok(true);
            }
            match page.keys.len().checked_sub(1) {
                Some(last) if last + 1 == ENTRIES_AT_ONCE => {
                    after = Some(page.keys.get(last).to_vec());
                }
                Some(_) | None => return Ok(false),
            }
        }
    }
}

/// What a call wrote to a state, made where reads have left something to do.
fn own<W: Default>(
    writes: &mut Vec<(StateIndex, W)>,
    state: StateIndex,
    nothing_due: bool,
) -> Option<&mut W> {
    match writes.iter().position(|(other, _)| *other == state) {
        Some(at) => Some(&mut writes[at].1),
        None if nothing_due => None,
        None => {
            writes.push((state, W::default()));
            writes.last_mut().map(|(_, own)| own)
        }
    }
}

fn cells(
    own: &mut ValueWrites,
    due: &ValueWrites,
    keys: usize,
    now: ProcessingTime,
    buffer: &mut Vec<u8>,
) {
    let mut values = OptionalColumn::new();
    let mut written = vec![false; if due.keys.is_empty() { 0 } else { keys }];
    for (row, &key) in own.keys.iter().enumerate() {
        values.push(own.values.get(row).map(|value| stamp(value, now, buffer)));
        if let Some(written) = written.get_mut(key as usize) {
            *written = true;
        }
    }
    for (row, &key) in due.keys.iter().enumerate() {
        if !std::mem::replace(&mut written[key as usize], true) {
            own.keys.push(key);
            values.push(due.values.get(row).map(|value| stamp(value, now, buffer)));
        }
    }
    own.values = values;
}

/// In place of a row: none.
const NONE: u32 = u32::MAX;

/// Which lists are to be read and cleaned: of each key the row among them, and their keys. Not
/// those that the call has replaced.
fn to_clean(own: &ListWrites, due: &[u32], keys: usize) -> (Vec<u32>, Vec<u32>) {
    let mut row_of = vec![NONE; if due.is_empty() { 0 } else { keys }];
    for &key in due {
        row_of[key as usize] = 0;
    }
    for (row, &key) in own.keys.iter().enumerate() {
        if own.replace[row] != 0
            && let Some(wanted) = row_of.get_mut(key as usize)
        {
            *wanted = NONE;
        }
    }
    let mut wanted: Vec<u32> = Vec::new();
    for (key, row) in (0..).zip(&mut row_of) {
        if *row != NONE {
            *row = wanted.len() as u32;
            wanted.push(key);
        }
    }
    (row_of, wanted)
}

/// What is written to lists: those that are to be cleaned are replaced.
fn list_writes(
    own: &mut ListWrites,
    due: &[u32],
    (state, keys): (StateIndex, &KeyBatch<'_>),
    (ttl, now): (Ttl, ProcessingTime),
    inner: &mut dyn Backend,
    base: &mut NestedColumn,
    buffer: &mut Vec<u8>,
) -> Result<(), Error> {
    let (mut row_of, wanted) = to_clean(own, due, keys.keys.len());
    base.clear();
    if !wanted.is_empty() {
        inner.get_lists(state, keys, Which::Some(&wanted), base)?;
    }
    let mut out = ListWrites::default();
    // Appends what is alive of a list in the base.
    let clean = |row: u32, out: &mut ListWrites, buffer: &mut Vec<u8>| {
        let first = row.checked_sub(1).map_or(0, |row| base.ends[row as usize]);
        for at in first..base.ends[row as usize] {
            let stored = base.elements.get(at as usize);
            let Some((last, value)) = split(stored).filter(|(last, _)| !ttl.expired(*last, now))
            else {
                continue;
            };
            let last = if ttl.on_read { now } else { last };
            out.lists.elements.push(stamp(value, last, buffer));
        }
    };
    let mut first = 0;
    for (row, &key) in own.keys.iter().enumerate() {
        let base_row = row_of.get_mut(key as usize);
        let base_row = base_row.map_or(NONE, |row| std::mem::replace(row, NONE));
        if base_row != NONE {
            clean(base_row, &mut out, buffer);
        }
        let end = own.lists.ends[row] as usize;
        for at in first..end {
            let element = stamp(own.lists.elements.get(at), now, buffer);
            out.lists.elements.push(element);
        }
        first = end;
        out.keys.push(key);
        out.replace
            .push(own.replace[row] | u8::from(base_row != NONE));
        out.lists.ends.push(out.lists.elements.len() as u32);
    }
    for &key in &wanted {
        let row = std::mem::replace(&mut row_of[key as usize], NONE);
        if row != NONE {
            clean(row, &mut out, buffer);
            out.keys.push(key);
            out.replace.push(1);
            out.lists.ends.push(out.lists.elements.len() as u32);
        }
    }
    *own = out;
    Ok(())
}

fn maps(
    own: &mut MapWrites,
    due: &MapWrites,
    keys: usize,
    now: ProcessingTime,
    buffer: &mut Vec<u8>,
) {
    let mut values = OptionalColumn::new();
    for row in 0..own.keys.len() {
        values.push(own.values.get(row).map(|value| stamp(value, now, buffer)));
    }
    own.values = values;
    if due.keys.is_empty() {
        return;
    }
    let mut cleared = vec![false; keys];
    own.clear
        .iter()
        .for_each(|&key| cleared[key as usize] = true);
    let hasher = FixedState::with_seed(0);
    let hash = |key: u32, map_key: &[u8]| {
        let mut hasher = hasher.build_hasher();
        hasher.write_u32(key);
        hasher.write(map_key);
        hasher.finish()
    };
    // The rows of `own`, by key and map key.
    let mut rows: HashTable<u32> = HashTable::with_capacity(own.keys.len() + due.keys.len());
    let hash_of =
        |own: &MapWrites, row: u32| hash(own.keys[row as usize], own.map_keys.get(row as usize));
    for row in 0..own.keys.len() as u32 {
        rows.insert_unique(hash_of(own, row), row, |&row| hash_of(own, row));
    }
    for (row, &key) in due.keys.iter().enumerate() {
        let map_key = due.map_keys.get(row);
        let hash = hash(key, map_key);
        let same =
            |&row: &u32| own.keys[row as usize] == key && own.map_keys.get(row as usize) == map_key;
        if cleared[key as usize] || rows.find(hash, same).is_some() {
            continue;
        }
        let at = own.keys.len() as u32;
        own.keys.push(key);
        own.map_keys.push(map_key);
        let value = due.values.get(row);
        own.values
            .push(value.map(|value| stamp(value, now, buffer)));
        rows.insert_unique(hash, at, |&row| hash_of(own, row));
    }
}

impl MapWrites {
    /// Notes what is to be written of an entry that was read.
    fn note(&mut self, key: u32, map_key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        let what = "what a call has read of one state";
        let bytes = self.map_keys.byte_len() + map_key.len();
        let values = self.values.column().byte_len() + value.map_or(0, <[u8]>::len);
        limits::check_column(what, bytes.max(values), self.keys.len())?;
        self.keys.push(key);
        self.map_keys.push(map_key);
        self.values.push(value);
        Ok(())
    }
}

impl Backend for Lived {
    fn key_groups(&self) -> KeyGroupRange {
        self.inner.key_groups()
    }

    fn states(&self) -> &[StateDecl] {
        self.inner.states()
    }

    fn get_values(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        let Some(Some(State { ttl, due })) = self.states.get_mut(state.0 as usize) else {
            return self.inner.get_values(state, keys, which, out);
        };
        let Due::Cells(due) = due else {
            return self.inner.get_values(state, keys, which, out);
        };
        limits::recycle(&mut self.values);
        self.inner
            .get_values(state, keys, which, &mut self.values)?;
        let mut bytes = out.column().byte_len();
        for (position, stored) in self.values.iter().enumerate() {
            let Some(stored) = stored else {
                out.push(None);
                continue;
            };
            let seen = ttl.see(stored, self.now)?;
            if let Some(value) = seen.due {
                due.keys.push(which.get(position) as u32);
                due.values.push(value);
            }
            bytes += seen.value.map_or(0, <[u8]>::len);
            limits::check_column("the column of values", bytes, out.len())?;
            out.push(seen.value);
        }
        Ok(())
    }

    fn get_lists(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
    ) -> Result<(), Error> {
        let Some(Some(State { ttl, due })) = self.states.get_mut(state.0 as usize) else {
            return self.inner.get_lists(state, keys, which, out);
        };
        let Due::Lists(due) = due else {
            return self.inner.get_lists(state, keys, which, out);
        };
        limits::recycle(&mut self.lists);
        self.inner.get_lists(state, keys, which, &mut self.lists)?;
        let mut first = 0;
        for (position, &end) in self.lists.ends.iter().enumerate() {
            let mut is_due = false;
            for at in first..end {
                let seen = ttl.see(self.lists.elements.get(at as usize), self.now)?;
                is_due |= seen.due.is_some();
                if let Some(value) = seen.value {
                    let bytes = out.elements.byte_len() + value.len();
                    let elements = out.elements.len() + 1;
                    limits::check_column("the column of lists", bytes, elements)?;
                    out.elements.push(value);
                }
            }
            first = end;
            out.ends.push(out.elements.len() as u32);
            if is_due {
                due.push(which.get(position) as u32);
            }
        }
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
        let Some(Some(State { ttl, due })) = self.states.get_mut(state.0 as usize) else {
            return self.inner.get_entries(state, keys, which, map_keys, out);
        };
        let Due::Maps(due) = due else {
            return self.inner.get_entries(state, keys, which, map_keys, out);
        };
        limits::recycle(&mut self.values);
        let read = &mut self.values;
        self.inner.get_entries(state, keys, which, map_keys, read)?;
        let mut bytes = out.column().byte_len();
        for (position, stored) in self.values.iter().enumerate() {
            let Some(stored) = stored else {
                out.push(None);
                continue;
            };
            let seen = ttl.see(stored, self.now)?;
            if let Some(value) = seen.due {
                due.note(which.get(position) as u32, map_keys.get(position), value)?;
            }
            bytes += seen.value.map_or(0, <[u8]>::len);
            limits::check_column("the column of values", bytes, out.len())?;
            out.push(seen.value);
        }
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
        let Some(Some(State { ttl, due })) = self.states.get_mut(state.0 as usize) else {
            return self.inner.scan_entries(state, keys, key, after, limit, out);
        };
        let Due::Maps(due) = due else {
            return self.inner.scan_entries(state, keys, key, after, limit, out);
        };
        let mut token: Option<Vec<u8>> = after.map(<[u8]>::to_vec);
        let mut left = limit;
        // What has expired is passed over, so one page of the backend may not be enough.
        while left > 0 {
            limits::recycle(&mut self.entries);
            let page = &mut self.entries;
            let from = token.as_deref();
            self.inner
                .scan_entries(state, keys, key, from, left, page)?;
            let found = page.keys.len();
            let asked = left;
            for at in 0..found {
                let (map_key, stored) = (page.keys.get(at), page.values.get(at));
                let seen = ttl.see(stored, self.now)?;
                if let Some(value) = seen.due {
                    due.note(key, map_key, value)?;
                }
                if let Some(value) = seen.value {
                    let bytes = out.keys.byte_len() + map_key.len();
                    let bytes = bytes.max(out.values.byte_len() + value.len());
                    limits::check_column("the column of entries", bytes, out.keys.len() + 1)?;
                    out.keys.push(map_key);
                    out.values.push(value);
                    left -= 1;
                }
            }
            if found < asked {
                break;
            }
            token = found
                .checked_sub(1)
                .map(|last| page.keys.get(last).to_vec());
        }
        Ok(())
    }

    /// Of what has expired, the keys that have nothing else are left out.
    fn scan_keys(
        &mut self,
        state: StateIndex,
        from: KeyGroup,
        out: &mut StateKeys,
    ) -> Result<Option<KeyGroup>, Error> {
        if !matches!(self.states.get(state.0 as usize), Some(Some(_))) {
            return self.inner.scan_keys(state, from, out);
        }
        let mut all = StateKeys::default();
        let next = self.inner.scan_keys(state, from, &mut all)?;
        let mut first = 0;
        for groups in all.groups.chunks(KEYS_AT_ONCE) {
            let keys = all.keys.view().slice(first, first + groups.len());
            first += groups.len();
            self.keys_alive(state, (keys, groups), out)?;
        }
        Ok(next)
    }

    fn apply(&mut self, keys: &KeyBatch<'_>, writes: &Writes) -> Result<(), Error> {
        self.inner.apply(keys, writes)
    }

    fn next_timer(&mut self, kind: TimerKind) -> Result<Option<i64>, Error> {
        self.inner.next_timer(kind)
    }

    fn due_timers(
        &mut self,
        kind: TimerKind,
        until: i64,
        limit: usize,
        out: &mut Timers,
    ) -> Result<(), Error> {
        self.inner.due_timers(kind, until, limit, out)
    }

    fn set_time(&mut self, now: ProcessingTime) {
        self.now = now;
        self.inner.set_time(now);
    }

    fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Box<dyn Snapshot>, Error> {
        self.inner.snapshot(request)
    }

    fn may_block(&self) -> bool {
        self.inner.may_block()
    }

    fn completed(&mut self, id: CheckpointId) {
        self.inner.completed(id);
    }

    fn aborted(&mut self, id: CheckpointId) {
        self.inner.aborted(id);
    }

    fn restored(&mut self, id: CheckpointId) {
        self.inner.restored(id);
    }

    fn import(&mut self, files: &mut dyn NativeFiles) -> Result<(), Error> {
        self.inner.import(files)
    }

    fn load(&mut self, state: StateIndex, group: KeyGroup, rows: &[u8]) -> Result<(), Error> {
        self.inner.load(state, group, rows)
    }

    fn entries(&self, state: StateIndex) -> u64 {
        self.inner.entries(state)
    }

    fn counts(&self) -> bool {
        self.inner.counts()
    }
}
