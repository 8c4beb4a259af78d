//! A guest call as a transaction over a [`Backend`] (D17).
//!
//! What a call writes is kept in one overlay a state and goes to the backend in one go when the
//! call has succeeded; a call that failed leaves no trace. Reads see the call's own writes.
//!
//! INVARIANT: what comes from the guest (indices, columns, kinds) is checked here, before anything
//! is changed; guests are hostile. The backend does not change between `begin` and `commit`.

mod cells;
mod lists;
mod lived;
mod maps;
#[cfg(test)]
mod tests;
mod timers;

use weir_model::{
    CheckpointId, Column, ColumnView, KeyGroup, KeyGroupRange, KeyedView, MaxParallelism,
    OptionalColumn, ProcessingTime, hash64,
};

use crate::{
    Backend, EntriesColumn, Error, KeyBatch, NestedColumn, Snapshot, SnapshotRequest, StateDecl,
    StateIndex, StateKeys, Which, Writes, holds::check_lengths, limits,
};
use cells::Cells;
use lists::Lists;
use lived::Lived;
use maps::Maps;

/// The keyed state of one operator and subtask, as its calls see it.
///
/// All columns that are read are appended to what `out` holds already.
///
/// ```
/// use weir_model::*;
/// use weir_state::*;
///
/// let max = MaxParallelism::new(128).unwrap();
/// let all = max.range_of(SubtaskIndex(0), Parallelism::ONE).unwrap();
/// let count = StateDecl {
///     name: "count".into(),
///     kind: StateKind::Value,
///     format: "utf8".into(),
///     version: 1,
///     prefetch: true,
///     ttl: None,
/// };
/// let backend = HeapBackend::new(vec![count], all).unwrap();
/// let mut state = KeyedState::new(Box::new(backend), max);
///
/// let keys: Column = [&b"a"[..], b"b"].into_iter().collect();
/// let hashes: Vec<u64> = keys.iter().map(hash64).collect();
/// let keyed = KeyedView { keys: keys.view(), hashes: &hashes, key_of_row: &[0, 1] };
///
/// state.begin(Some(keyed));
/// let mut values = OptionalColumn::new();
/// values.push(Some(b"1"));
/// state.value_put(StateIndex(0), Which::Some(&[1]), &values).unwrap();
/// state.commit().unwrap();
///
/// state.begin(Some(keyed));
/// let mut read = OptionalColumn::new();
/// state.value_get(StateIndex(0), Which::All, &mut read).unwrap();
/// assert_eq!((read.get(0), read.get(1)), (None, Some(&b"1"[..])));
/// ```
pub struct KeyedState {
    backend: Layers,
    max: MaxParallelism,
    call: Call,
    overlays: Vec<Overlay>,
    timers: timers::Overlay,
    writes: Writes,
    /// What the call in hand asks for, and what those that were committed have.
    asks: Vec<ApplyToKeys>,
    asked: Vec<ApplyToKeys>,
}

/// What a call asks for: to be called for each key that has something in a state, when it has ended
/// (C28).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyToKeys {
    /// The state.
    pub state: StateIndex,
    /// What tells the operator which of its wishes it is.
    pub tag: Vec<u8>,
}

/// What a call reads and writes.
enum Layers {
    Plain(Box<dyn Backend>),
    /// Some states have a time to live.
    Lived(Box<Lived>),
}

impl Layers {
    fn as_mut(&mut self) -> &mut dyn Backend {
        match self {
            Self::Plain(backend) => backend.as_mut(),
            Self::Lived(lived) => lived.as_mut(),
        }
    }

    fn states(&self) -> &[StateDecl] {
        match self {
            Self::Plain(backend) => backend.states(),
            Self::Lived(lived) => lived.states(),
        }
    }

    fn may_block(&self) -> bool {
        match self {
            Self::Plain(backend) => backend.may_block(),
            Self::Lived(lived) => lived.may_block(),
        }
    }
}

/// The keys of the call in hand, in buffers that are used again.
#[derive(Default)]
struct Call {
    keyed: bool,
    keys: Column,
    hashes: Vec<u64>,
    groups: Vec<KeyGroup>,
}

impl Call {
    fn batch(&self) -> KeyBatch<'_> {
        KeyBatch {
            keys: self.keys.view(),
            hashes: &self.hashes,
            groups: &self.groups,
        }
    }
}

/// What a call has done to a state.
enum Overlay {
    Cells(Cells),
    Lists(Lists),
    /// Boxed: it is much larger than the others.
    Maps(Box<Maps>),
    /// The state is not keyed, or has its own way in: it is not reached through here.
    Foreign,
}

/// One checked access of a call to a state.
struct Access<'a> {
    backend: &'a mut dyn Backend,
    keys: KeyBatch<'a>,
    state: StateIndex,
}

impl KeyedState {
    /// Calls over `backend`, whose keys are divided into `max` key groups.
    #[must_use]
    pub fn new(backend: Box<dyn Backend>, max: MaxParallelism) -> Self {
        let overlays = backend.states().iter().map(Overlay::of).collect();
        let backend = match Lived::over(backend) {
            Ok(lived) => Layers::Lived(Box::new(lived)),
            Err(backend) => Layers::Plain(backend),
        };
        Self {
            backend,
            max,
            call: Call::default(),
            overlays,
            timers: timers::Overlay::default(),
            writes: Writes::default(),
            asks: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// The declared states; [`StateIndex`] counts in this order.
    #[must_use]
    pub fn states(&self) -> &[StateDecl] {
        self.backend.states()
    }

    /// The processing time at which the calls that follow are judged: what has expired by it is not
    /// there, or is given back once more, and what is written gets it (D16).
    pub fn set_time(&mut self, now: ProcessingTime) {
        self.backend.as_mut().set_time(now);
    }

    /// Starts a call on these keys, or on none. Drops what a call before it wrote and did not
    /// commit.
    pub fn begin(&mut self, keyed: Option<KeyedView<'_>>) {
        self.rollback();
        self.timers.reset();
        let call = &mut self.call;
        call.keyed = keyed.is_some();
        limits::recycle(&mut call.keys);
        limits::recycle(&mut call.hashes);
        limits::recycle(&mut call.groups);
        if let Some(keyed) = keyed {
            call.keys.extend_from(keyed.keys);
            call.hashes.extend_from_slice(keyed.hashes);
            self.max.key_groups_of(keyed.hashes, &mut call.groups);
        }
    }

    /// Adds namespaces of its keys to the call in hand: keys that count behind those it has, and
    /// that stay in the key group of the key that each is `of`. So they are saved and moved with
    /// it, whatever their bytes are; these begin with those of the key, so that it can be told from
    /// them (see [`StateDecl::namespace`]).
    ///
    /// # Errors
    /// [`Error::NotKeyed`] where the call has no keys, [`Error::Mismatch`], [`Error::NoSuchKey`].
    pub fn add_namespaces(&mut self, names: ColumnView<'_>, of: &[u32]) -> Result<(), Error> {
        let call = &mut self.call;
        if !call.keyed {
            let name = "namespaces".to_owned();
            return Err(Error::NotKeyed { name });
        }
        check_lengths("keys of namespaces", of.len(), names.len())?;
        let keys = call.keys.len();
        if let Some(&index) = of.iter().find(|&&key| key as usize >= keys) {
            return Err(Error::NoSuchKey { index, keys });
        }
        call.keys.extend_from(names);
        call.hashes.extend(names.iter().map(hash64));
        for &key in of {
            let group = call.groups.get(key as usize).copied();
            call.groups.extend(group);
        }
        for overlay in &mut self.overlays {
            match overlay {
                Overlay::Cells(cells) => cells.widen(call.keys.len()),
                Overlay::Lists(lists) => lists.widen(call.keys.len()),
                Overlay::Maps(maps) => maps.widen(call.keys.len()),
                Overlay::Foreign => {}
            }
        }
        Ok(())
    }

    /// Reads the values of keys of a cell state.
    ///
    /// # Errors
    /// [`Error`] where the access is not allowed or the backend fails.
    pub fn value_get(
        &mut self,
        state: StateIndex,
        which: Which<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        let (access, cells) = self.cells(state)?;
        access.check_keys(which)?;
        cells.get(access, which, out)
    }

    /// Writes the values of keys of a cell state; absent = clear. Of a key that occurs more than
    /// once the last value counts.
    ///
    /// # Errors
    /// [`Error`] where the access is not allowed; then nothing is written.
    pub fn value_put(
        &mut self,
        state: StateIndex,
        which: Which<'_>,
        values: &OptionalColumn,
    ) -> Result<(), Error> {
        let (access, cells) = self.cells(state)?;
        access.check_keys(which)?;
        let keys = which.len(access.keys.keys.len());
        check_lengths("values of keys", values.len(), keys)?;
        cells.put(&access, which, values)
    }

    /// Takes the slots that the guest returned for a state: the value of every key in order, absent
    /// = clear. They may be taken, and an empty column left in their place.
    ///
    /// # Errors
    /// [`Error::SlotsAndPut`] where the call also wrote to the state, else as
    /// [`value_put`](Self::value_put).
    pub fn put_slots(
        &mut self,
        state: StateIndex,
        values: &mut OptionalColumn,
    ) -> Result<(), Error> {
        let (access, cells) = self.cells(state)?;
        check_lengths("slots of keys", values.len(), access.keys.keys.len())?;
        cells.put_slots(&access, values)
    }

    /// Reads the lists of keys.
    ///
    /// # Errors
    /// As [`value_get`](Self::value_get).
    pub fn list_get(
        &mut self,
        state: StateIndex,
        which: Which<'_>,
        out: &mut NestedColumn,
    ) -> Result<(), Error> {
        let (access, lists) = self.lists(state)?;
        access.check_keys(which)?;
        lists.get(access, which, out)
    }

    /// Appends one element to the list of each of `keys`, which may repeat.
    ///
    /// # Errors
    /// As [`value_put`](Self::value_put).
    pub fn list_add(
        &mut self,
        state: StateIndex,
        keys: &[u32],
        values: ColumnView<'_>,
    ) -> Result<(), Error> {
        let (access, lists) = self.lists(state)?;
        access.check_keys(Which::Some(keys))?;
        check_lengths("elements of keys", values.len(), keys.len())?;
        lists.add(&access, keys, values)
    }

    /// Replaces the lists of keys; empty = clear. Of a key that occurs more than once the last list
    /// counts.
    ///
    /// # Errors
    /// As [`value_put`](Self::value_put).
    pub fn list_set(
        &mut self,
        state: StateIndex,
        which: Which<'_>,
        values: &NestedColumn,
    ) -> Result<(), Error> {
        let (access, lists) = self.lists(state)?;
        access.check_keys(which)?;
        let keys = which.len(access.keys.keys.len());
        check_lengths("lists of keys", values.ends.len(), keys)?;
        values.check()?;
        lists.set(&access, which, values)
    }

    /// Reads one entry of the map of each key: `which` and `map_keys` are as long as each other.
    ///
    /// # Errors
    /// As [`value_get`](Self::value_get).
    pub fn map_get(
        &mut self,
        state: StateIndex,
        which: Which<'_>,
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        let (access, maps) = self.maps(state)?;
        access.check_keys(which)?;
        let keys = which.len(access.keys.keys.len());
        check_lengths("map keys of keys", map_keys.len(), keys)?;
        maps.get(access, which, map_keys, out)
    }

    /// Writes one entry to the map of each key; absent = remove. Of an entry that occurs more than
    /// once the last value counts.
    ///
    /// # Errors
    /// As [`value_put`](Self::value_put).
    pub fn map_put(
        &mut self,
        state: StateIndex,
        which: Which<'_>,
        map_keys: ColumnView<'_>,
        values: &OptionalColumn,
    ) -> Result<(), Error> {
        let (access, maps) = self.maps(state)?;
        access.check_keys(which)?;
        let keys = which.len(access.keys.keys.len());
        check_lengths("map keys of keys", map_keys.len(), keys)?;
        check_lengths("values of map keys", values.len(), map_keys.len())?;
        maps.put(&access, which, map_keys, values)
    }

    /// Removes all entries of the maps of `keys`.
    ///
    /// # Errors
    /// As [`value_put`](Self::value_put).
    pub fn map_clear(&mut self, state: StateIndex, keys: &[u32]) -> Result<(), Error> {
        let (access, maps) = self.maps(state)?;
        access.check_keys(Which::Some(keys))?;
        maps.clear(&access, keys);
        Ok(())
    }

    /// Reads up to `limit` entries of the map of one key in byte order of map keys, after `after`
    /// (exclusive). Fewer than `limit` come only where there are no more.
    ///
    /// # Errors
    /// As [`value_get`](Self::value_get).
    pub fn map_scan(
        &mut self,
        state: StateIndex,
        key: u32,
        after: Option<&[u8]>,
        limit: usize,
        out: &mut EntriesColumn,
    ) -> Result<(), Error> {
        let (access, maps) = self.maps(state)?;
        access.check_keys(Which::Some(&[key]))?;
        maps.scan(access, key, after, limit, out)
    }

    /// Asks for calls for all keys of a state. They are given by [`take_asked`](Self::take_asked)
    /// once this call was committed.
    ///
    /// # Errors
    /// [`Error::Undeclared`], [`Error::WrongKind`] where the state is not kept by key.
    pub fn apply_to_keys(&mut self, state: StateIndex, tag: &[u8]) -> Result<(), Error> {
        match self.overlays.get(state.0 as usize) {
            Some(Overlay::Cells(_) | Overlay::Lists(_) | Overlay::Maps(_)) => {}
            Some(Overlay::Foreign) => {
                let states = self.backend.states();
                let decl = states.get(state.0 as usize);
                return Err(decl.map_or(Error::NoTimers, |decl| Error::WrongKind {
                    name: decl.name.clone(),
                    kind: decl.kind,
                    used: "keyed state",
                }));
            }
            None => {
                let (index, declared) = (state.0, self.overlays.len());
                return Err(Error::Undeclared { index, declared });
            }
        }
        let tag = tag.to_vec();
        self.asks.push(ApplyToKeys { state, tag });
        Ok(())
    }

    /// Whether the call in hand has asked for calls for all keys of a state.
    #[must_use]
    pub fn asks(&self) -> bool {
        !self.asks.is_empty()
    }

    /// Takes back what the call in hand has asked for.
    pub fn forget_asks(&mut self) {
        self.asks.clear();
    }

    /// What calls that were committed have asked for, in their order.
    pub fn take_asked(&mut self) -> Vec<ApplyToKeys> {
        std::mem::take(&mut self.asked)
    }

    /// Appends to `out` each key that has something in a state, once, as the calls before have left
    /// it: see [`Backend::scan_keys`]. Between calls only: it ends the one in hand.
    ///
    /// # Errors
    /// [`Error`] where the state is not kept by key, or the backend fails.
    pub fn scan_keys(
        &mut self,
        state: StateIndex,
        from: KeyGroup,
        out: &mut StateKeys,
    ) -> Result<Option<KeyGroup>, Error> {
        self.rollback();
        self.backend.as_mut().scan_keys(state, from, out)
    }

    /// The key groups of this subtask.
    #[must_use]
    pub fn key_groups(&self) -> KeyGroupRange {
        match &self.backend {
            Layers::Plain(backend) => backend.key_groups(),
            Layers::Lived(lived) => lived.key_groups(),
        }
    }

    /// Ends the call: all it wrote goes to the backend, or on an error nothing.
    ///
    /// # Errors
    /// [`Error`] where a key does not belong to this subtask or the backend fails.
    pub fn commit(&mut self) -> Result<(), Error> {
        for (index, overlay) in self.overlays.iter_mut().enumerate() {
            let state = StateIndex(index as u32);
            match overlay {
                Overlay::Cells(cells) => cells.drain_into(state, &mut self.writes.values),
                Overlay::Lists(lists) => lists.drain_into(state, &mut self.writes.lists),
                Overlay::Maps(maps) => maps.drain_into(state, &mut self.writes.maps),
                Overlay::Foreign => {}
            }
        }
        self.timers.drain_into(&mut self.writes.timers);
        let prepared = match &mut self.backend {
            Layers::Plain(_) => Ok(()),
            Layers::Lived(lived) => lived.prepare(&self.call.batch(), &mut self.writes),
        };
        if prepared.is_err() {
            self.rollback();
            return prepared;
        }
        let writes = &self.writes;
        let result = if writes.is_empty() {
            Ok(())
        } else {
            self.backend.as_mut().apply(&self.call.batch(), writes)
        };
        if result.is_ok() {
            self.asked.append(&mut self.asks);
        }
        self.rollback();
        result
    }

    /// Drops what the call wrote. The call may go on as if it had just begun: the timers that it is
    /// about fire in it.
    pub fn rollback(&mut self) {
        self.reclaim();
        self.asks.clear();
        if let Layers::Lived(lived) = &mut self.backend {
            lived.forget();
        }
        self.timers.rollback();
        for overlay in &mut self.overlays {
            match overlay {
                Overlay::Cells(cells) => cells.reset(),
                Overlay::Lists(lists) => lists.reset(),
                Overlay::Maps(maps) => maps.reset(),
                Overlay::Foreign => {}
            }
        }
    }

    /// Whether [`snapshot`](Self::snapshot) may block for long.
    #[must_use]
    pub fn may_block(&self) -> bool {
        self.backend.may_block()
    }

    /// The synchronous part of a snapshot of what was committed.
    ///
    /// # Errors
    /// [`Error`] where the backend fails.
    pub fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Box<dyn Snapshot>, Error> {
        self.backend.as_mut().snapshot(request)
    }

    /// The checkpoint is complete.
    pub fn completed(&mut self, id: CheckpointId) {
        self.backend.as_mut().completed(id);
    }

    /// The checkpoint was given up.
    pub fn aborted(&mut self, id: CheckpointId) {
        self.backend.as_mut().aborted(id);
    }

    /// The backend, to be restored before the first call. It holds values as they are stored.
    pub fn backend_mut(&mut self) -> &mut dyn Backend {
        match &mut self.backend {
            Layers::Plain(backend) => backend.as_mut(),
            Layers::Lived(lived) => lived.inner.as_mut(),
        }
    }

    /// Gives the buffers of the last commit back to the overlays they came from.
    fn reclaim(&mut self) {
        limits::recycle(&mut self.writes.timers.when);
        limits::recycle(&mut self.writes.timers.keys);
        limits::recycle(&mut self.writes.timers.set);
        for (state, buffers) in self.writes.values.drain(..) {
            if let Some(Overlay::Cells(cells)) = self.overlays.get_mut(state.0 as usize) {
                cells.reclaim(buffers);
            }
        }
        for (state, buffers) in self.writes.lists.drain(..) {
            if let Some(Overlay::Lists(lists)) = self.overlays.get_mut(state.0 as usize) {
                lists.reclaim(buffers);
            }
        }
        for (state, buffers) in self.writes.maps.drain(..) {
            if let Some(Overlay::Maps(maps)) = self.overlays.get_mut(state.0 as usize) {
                maps.reclaim(buffers);
            }
        }
    }

    fn cells(&mut self, state: StateIndex) -> Result<(Access<'_>, &mut Cells), Error> {
        match self.enter(state)? {
            (access, Overlay::Cells(cells)) => Ok((access, cells)),
            (access, Overlay::Lists(_) | Overlay::Maps(_) | Overlay::Foreign) => {
                Err(access.wrong_kind("value"))
            }
        }
    }

    fn lists(&mut self, state: StateIndex) -> Result<(Access<'_>, &mut Lists), Error> {
        match self.enter(state)? {
            (access, Overlay::Lists(lists)) => Ok((access, lists)),
            (access, Overlay::Cells(_) | Overlay::Maps(_) | Overlay::Foreign) => {
                Err(access.wrong_kind("list"))
            }
        }
    }

    fn maps(&mut self, state: StateIndex) -> Result<(Access<'_>, &mut Maps), Error> {
        match self.enter(state)? {
            (access, Overlay::Maps(maps)) => Ok((access, maps)),
            (access, Overlay::Cells(_) | Overlay::Lists(_) | Overlay::Foreign) => {
                Err(access.wrong_kind("map"))
            }
        }
    }

    fn enter(&mut self, state: StateIndex) -> Result<(Access<'_>, &mut Overlay), Error> {
        let declared = self.overlays.len();
        let index = state.0;
        let overlay = self
            .overlays
            .get_mut(index as usize)
            .ok_or(Error::Undeclared { index, declared })?;
        let access = Access {
            backend: self.backend.as_mut(),
            keys: self.call.batch(),
            state,
        };
        if !self.call.keyed && !matches!(overlay, Overlay::Foreign) {
            let name = access.name();
            return Err(Error::NotKeyed { name });
        }
        Ok((access, overlay))
    }
}

impl Overlay {
    fn of(decl: &StateDecl) -> Self {
        use crate::StateKind::{
            Aggregating, Broadcast, List, Map, OperatorList, OperatorUnion, Reducing, Timers, Value,
        };
        match decl.kind {
            Value | Reducing | Aggregating => Self::Cells(Cells::default()),
            List => Self::Lists(Lists::default()),
            Map => Self::Maps(Box::default()),
            OperatorList | OperatorUnion | Broadcast | Timers => Self::Foreign,
        }
    }
}

impl Access<'_> {
    fn check_keys(&self, which: Which<'_>) -> Result<(), Error> {
        let keys = self.keys.keys.len();
        match which {
            Which::All => Ok(()),
            // That all are there is seen for many at once.
            Which::Some(some)
                if !(some.iter()).fold(false, |beyond, &key| beyond | (key as usize >= keys)) =>
            {
                Ok(())
            }
            Which::Some(some) => match some.iter().find(|&&key| key as usize >= keys) {
                None => Ok(()),
                Some(&index) => Err(Error::NoSuchKey { index, keys }),
            },
        }
    }

    fn name(&self) -> String {
        let decl = self.backend.states().get(self.state.0 as usize);
        decl.map_or_else(String::new, |decl| decl.name.clone())
    }

    fn wrong_kind(&self, used: &'static str) -> Error {
        match self.backend.states().get(self.state.0 as usize) {
            Some(decl) => Error::WrongKind {
                name: decl.name.clone(),
                kind: decl.kind,
                used,
            },
            None => Error::Undeclared {
                index: self.state.0,
                declared: self.backend.states().len(),
            },
        }
    }
}
