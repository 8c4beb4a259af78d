//! The batch-first trait that every state backend implements.
//!
//! A backend holds the keyed state of one operator and one subtask. It knows nothing of guests,
//! calls or transactions: reads and the writes of a finished call come to it by the column.

use weir_model::{
    CheckpointId, Column, ColumnView, KeyGroup, KeyGroupRange, OptionalColumn, ProcessingTime,
};

use crate::{
    Error, NativeFiles, Snapshot, SnapshotRequest, StateDecl, StateIndex, TimerKind, TimerWrites,
    Timers, limits,
};

/// The distinct keys of one call with what was computed about them once (D1).
#[derive(Clone, Copy, Debug)]
pub struct KeyBatch<'a> {
    /// The keys.
    pub keys: ColumnView<'a>,
    /// `hash64` of each key.
    pub hashes: &'a [u64],
    /// The key group of each key.
    pub groups: &'a [KeyGroup],
}

/// Which keys of a [`KeyBatch`] an access is about.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// All of them in order.
    All,
    /// Those with these indices; may repeat.
    Some(&'a [u32]),
}

impl Which<'_> {
    /// How many keys that is, out of `keys`.
    #[must_use]
    pub fn len(&self, keys: usize) -> usize {
        match self {
            Self::All => keys,
            Self::Some(some) => some.len(),
        }
    }

    /// The index of the key at `position`.
    #[must_use]
    pub fn get(&self, position: usize) -> usize {
        match self {
            Self::All => position,
            Self::Some(some) => some[position] as usize,
        }
    }
}

/// A list of byte strings per key: list `i` is `elements[ends[i - 1]..ends[i]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NestedColumn {
    /// Where each list ends, counted in elements.
    pub ends: Vec<u32>,
    /// The elements of all lists, end to end.
    pub elements: Column,
}

impl NestedColumn {
    /// Checks that the ends never fall and cover the elements; what a guest gives must be checked.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where they do not.
    pub fn check(&self) -> Result<(), Error> {
        let mut before = 0;
        for &end in &self.ends {
            if end < before {
                return Err(Error::Mismatch {
                    what: "a list ends before the list before it",
                    left: end as usize,
                    right: before as usize,
                });
            }
            before = end;
        }
        if before as usize == self.elements.len() {
            Ok(())
        } else {
            Err(Error::Mismatch {
                what: "elements of all lists",
                left: before as usize,
                right: self.elements.len(),
            })
        }
    }

    /// Drops all lists and keeps the buffers.
    pub fn clear(&mut self) {
        self.ends.clear();
        self.elements.clear();
    }
}

/// Entries of one map, in byte order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntriesColumn {
    /// The map keys.
    pub keys: Column,
    /// The values, as many.
    pub values: Column,
}

impl EntriesColumn {
    /// Drops all entries and keeps the buffers.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
    }
}

/// Keys that have something in a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateKeys {
    /// The keys.
    pub keys: Column,
    /// The key group of each.
    pub groups: Vec<KeyGroup>,
}

impl StateKeys {
    /// Appends a key.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where all of them are no column any more.
    pub fn push(&mut self, group: KeyGroup, key: &[u8]) -> Result<(), Error> {
        let bytes = self.keys.byte_len() + key.len();
        limits::check_column("the column of keys", bytes, self.keys.len() + 1)?;
        self.keys.push(key);
        self.groups.push(group);
        Ok(())
    }

    /// Drops all keys and keeps the buffers.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.groups.clear();
    }
}

/// The writes of one call to one cell state (value, reducing, aggregating), a key at most once.
#[derive(Clone, Debug, Default)]
pub struct ValueWrites {
    /// Indices of keys.
    pub keys: Vec<u32>,
    /// The new values; absent = clear.
    pub values: OptionalColumn,
}

/// The writes of one call to one list state, a key at most once.
#[derive(Clone, Debug, Default)]
pub struct ListWrites {
    /// Indices of keys.
    pub keys: Vec<u32>,
    /// Whether the list is replaced (1) or appended to (0). Replaced by nothing = cleared.
    pub replace: Vec<u8>,
    /// The elements.
    pub lists: NestedColumn,
}

/// The writes of one call to one map state. Clears come first; a (key, map key) at most once.
#[derive(Clone, Debug, Default)]
pub struct MapWrites {
    /// Indices of keys whose map is cleared before the entries are written.
    pub clear: Vec<u32>,
    /// The key of each entry.
    pub keys: Vec<u32>,
    /// The map key of each entry.
    pub map_keys: Column,
    /// The value of each entry; absent = remove.
    pub values: OptionalColumn,
}

/// All writes of one call, by state. A state occurs at most once.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// Writes to cell states.
    pub values: Vec<(StateIndex, ValueWrites)>,
    /// Writes to list states.
    pub lists: Vec<(StateIndex, ListWrites)>,
    /// Writes to map states.
    pub maps: Vec<(StateIndex, MapWrites)>,
    /// What is done to timers.
    pub timers: TimerWrites,
}

impl Writes {
    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
            && self.lists.is_empty()
            && self.maps.is_empty()
            && self.timers.is_empty()
    }
}

/// Keyed state of one operator and subtask.
///
/// All accesses take a column of keys at once, so that a backend can overlap cache misses or answer
/// with one multi-get. Every backend passes the laws in `laws`.
pub trait Backend: Send {
    /// The key groups this backend holds.
    fn key_groups(&self) -> KeyGroupRange;

    /// The declared states; [`StateIndex`] counts in this order. Those among them that are not
    /// keyed are not kept here (see [`OperatorState`](crate::OperatorState)): none can be reached.
    fn states(&self) -> &[StateDecl];

    /// Appends the value of each key to `out`, absent where there is none. Cell states only.
    ///
    /// # Errors
    /// [`Error`] where a key is outside the range or the backend fails.
    fn get_values(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error>;

    /// Appends the list of each key to `out`, empty where there is none. List states only.
    ///
    /// # Errors
    /// As [`get_values`](Self::get_values).
    fn get_lists(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
    ) -> Result<(), Error>;

    /// Appends the value of each (key, map key) to `out`: `which` and `map_keys` are as long as
    /// each other. Map states only.
    ///
    /// # Errors
    /// As [`get_values`](Self::get_values).
    fn get_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error>;

    /// Appends to `out` up to `limit` entries of the map of one key, in byte order, after the map
    /// key `after` (exclusive). Map states only.
    ///
    /// # Errors
    /// As [`get_values`](Self::get_values).
    fn scan_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        key: u32,
        after: Option<&[u8]>,
        limit: usize,
        out: &mut EntriesColumn,
    ) -> Result<(), Error>;

    /// Appends to `out` each key that has something in a state, once, in order of key group and
    /// bytes: those of some key groups from `from` on. Gives back the group to go on with, if there
    /// is one. Cell, list and map states only.
    ///
    /// # Errors
    /// [`Error`] where the group is outside the range or the backend fails.
    fn scan_keys(
        &mut self,
        state: StateIndex,
        from: KeyGroup,
        out: &mut StateKeys,
    ) -> Result<Option<KeyGroup>, Error>;

    /// Applies the writes of one call: all of them, or on an error none.
    ///
    /// # Errors
    /// [`Error`] where a key is outside the range or the backend fails.
    fn apply(&mut self, keys: &KeyBatch<'_>, writes: &Writes) -> Result<(), Error>;

    /// When the first timer of a kind is due; `None` where none is pending, or where timers are not
    /// among the states.
    ///
    /// # Errors
    /// [`Error`] where the backend fails.
    fn next_timer(&mut self, kind: TimerKind) -> Result<Option<i64>, Error> {
        let _ = kind;
        Ok(None)
    }

    /// Appends to `out` the first timers of a kind that are due at `until`, up to `limit`, in the
    /// order of [`Timers`]. They stay pending until they are deleted by [`apply`](Self::apply).
    ///
    /// # Errors
    /// As [`next_timer`](Self::next_timer).
    fn due_timers(
        &mut self,
        kind: TimerKind,
        until: i64,
        limit: usize,
        out: &mut Timers,
    ) -> Result<(), Error> {
        let _ = (kind, until, limit, out);
        Ok(())
    }

    /// The time of the calls that follow. It may go back, as the clock of a machine may: then less
    /// has expired, and what was written meanwhile is not judged by the later time. A backend may
    /// remove what has expired by it (D16); what has expired and is still there is for
    /// [`KeyedState`](crate::KeyedState) to hide.
    fn set_time(&mut self, now: ProcessingTime) {
        let _ = now;
    }

    /// The synchronous part of a snapshot: freezes what is there now at a cost that does not depend
    /// on its size. Later writes are not in it.
    ///
    /// Where the request names a base that this backend still knows what has changed since, the
    /// snapshot may refer to what that checkpoint has; where it does not, it writes everything.
    /// Bases never go back from one request to the next that names one, so marks older than the
    /// base of this request may be dropped.
    ///
    /// # Errors
    /// [`Error`] where the backend fails.
    fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Box<dyn Snapshot>, Error>;

    /// Whether the synchronous part of a snapshot may block for longer than a task should: then it
    /// is to be called where that holds nobody else up (D18).
    fn may_block(&self) -> bool {
        false
    }

    /// The checkpoint is complete and may be the base of a later one.
    fn completed(&mut self, id: CheckpointId) {
        let _ = id;
    }

    /// The checkpoint was given up and will be nobody's base.
    fn aborted(&mut self, id: CheckpointId) {
        let _ = id;
    }

    /// Everything is loaded or imported that this checkpoint has of the key groups: it may be the
    /// base of a later one. Called at most once, before the first call.
    fn restored(&mut self, id: CheckpointId) {
        let _ = id;
    }

    /// Restores this backend's key groups from native files of its own kind, in place of
    /// [`load`](Self::load). Used before the first call only.
    ///
    /// # Errors
    /// [`Error::OtherBackend`] where the files are of another kind of backend, [`Error::Damaged`],
    /// or what [`NativeFiles::read`] gives. Then the backend must be dropped.
    fn import(&mut self, files: &mut dyn NativeFiles) -> Result<(), Error> {
        let _ = files;
        Err(Error::OtherBackend)
    }

    /// Loads rows of one key group and state in the block format of
    /// [`SnapshotSink::block`](crate::SnapshotSink::block), in
    /// addition to what is there. Used before the first call only.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the rows cannot be read, [`Error::KeyGroup`] where the group is
    /// not of this backend.
    fn load(&mut self, state: StateIndex, group: KeyGroup, rows: &[u8]) -> Result<(), Error>;

    /// Number of entries (keys of a cell or list state, entries of a map state) of a state; an
    /// estimate where the backend does not [count](Self::counts).
    fn entries(&self, state: StateIndex) -> u64;

    /// Whether entries are counted: a backend that writes without reading cannot.
    fn counts(&self) -> bool {
        true
    }
}
