//! The state of a subtask: lists and broadcast maps, as a transaction per call (D17).
//!
//! It is kept in structures that share what does not change. So the overlay of a call is the state
//! itself, with what it was before kept until the call ends, and a snapshot is a few references.
//!
//! INVARIANT: what comes from the guest (indices, columns, kinds) is checked before anything is
//! changed; guests are hostile. A call that failed leaves no trace.

mod list;
mod map;
mod redistribute;
mod saved;
#[cfg(test)]
mod tests;

use weir_model::{Column, ColumnView, OptionalColumn};

use crate::{EntriesColumn, Error, StateDecl, StateIndex, StateKind, limits};
pub(crate) use list::SharedList;
pub(crate) use map::SharedMap;
pub use redistribute::{redistribute, redistribute_finished};
pub(crate) use saved::{Content, SavedContent};
pub use saved::{OperatorSnapshot, SavedOperatorState};

/// The operator-list, operator-union and broadcast states of one subtask, as its calls see them.
///
/// All columns that are read are appended to what `out` holds already.
///
/// ```
/// use weir_model::*;
/// use weir_state::*;
///
/// let offsets = StateDecl {
///     name: "offsets".into(),
///     kind: StateKind::OperatorList,
///     format: "utf8".into(),
///     version: 1,
///     prefetch: false,
///     ttl: None,
/// };
/// let mut state = OperatorState::new(&[offsets]);
/// let list = StateIndex(0);
///
/// state.begin(false);
/// state.list_set(list, [&b"7"[..], b"9"].into_iter().collect()).unwrap();
/// state.commit();
/// let snapshot = state.snapshot();
///
/// state.begin(false);
/// state.list_set(list, Column::new()).unwrap();
/// state.rollback();
/// let mut read = Column::new();
/// state.list_get(list, &mut read).unwrap();
/// assert_eq!(read.len(), 2);
/// # let _ = snapshot;
/// ```
#[derive(Debug)]
pub struct OperatorState {
    decls: Vec<StateDecl>,
    states: Vec<Place>,
    /// Whether the call in hand processes a broadcast input.
    broadcast: bool,
}

/// What is kept of one declared state.
#[derive(Debug)]
enum Place {
    List(Versions<SharedList>),
    Map(Versions<SharedMap>),
    /// The state is keyed: it is not reached through here.
    Foreign,
}

/// A state as the call in hand has it, and as it was before where the call has written to it.
#[derive(Debug, Default)]
struct Versions<T> {
    now: T,
    before: Option<T>,
}

impl<T: Clone> Versions<T> {
    /// The state, to be written.
    fn write(&mut self) -> &mut T {
        if self.before.is_none() {
            self.before = Some(self.now.clone());
        }
        &mut self.now
    }

    fn commit(&mut self) {
        self.before = None;
    }

    fn rollback(&mut self) {
        if let Some(before) = self.before.take() {
            self.now = before;
        }
    }

    /// What was committed.
    fn committed(&self) -> &T {
        self.before.as_ref().unwrap_or(&self.now)
    }
}

impl OperatorState {
    /// The state of a subtask that declares `states`, empty; [`StateIndex`] counts in their order.
    /// The keyed ones among them are not kept here.
    #[must_use]
    pub fn new(states: &[StateDecl]) -> Self {
        Self {
            decls: states.to_vec(),
            states: states.iter().map(|decl| Place::of(decl.kind)).collect(),
            broadcast: false,
        }
    }

    /// Whether no state of a subtask is declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.decls.iter().all(|decl| decl.kind.is_keyed())
    }

    /// Starts a call; `broadcast` where it processes a broadcast input, so that broadcast state may
    /// be written. Drops what a call before it wrote and did not commit.
    pub fn begin(&mut self, broadcast: bool) {
        self.rollback();
        self.broadcast = broadcast;
    }

    /// Ends the call: all it wrote counts.
    pub fn commit(&mut self) {
        self.broadcast = false;
        for state in &mut self.states {
            match state {
                Place::List(list) => list.commit(),
                Place::Map(map) => map.commit(),
                Place::Foreign => {}
            }
        }
    }

    /// Drops what the call wrote. The call may go on as if it had just begun.
    pub fn rollback(&mut self) {
        for state in &mut self.states {
            match state {
                Place::List(list) => list.rollback(),
                Place::Map(map) => map.rollback(),
                Place::Foreign => {}
            }
        }
    }

    /// Reads all of a list.
    ///
    /// # Errors
    /// [`Error`] where the access is not allowed or `out` would hold too much.
    pub fn list_get(&self, state: StateIndex, out: &mut Column) -> Result<(), Error> {
        match self.place(state)? {
            Place::List(list) => list.now.read(out),
            Place::Map(_) | Place::Foreign => Err(self.wrong_kind(state, LISTS)),
        }
    }

    /// Replaces a list.
    ///
    /// # Errors
    /// [`Error`] where the access is not allowed; then nothing is written.
    pub fn list_set(&mut self, state: StateIndex, values: Column) -> Result<(), Error> {
        limits::check_column("a list", values.byte_len(), values.len())?;
        match self.place_mut(state)? {
            Place::List(list) => {
                *list.write() = SharedList::new(values);
                Ok(())
            }
            Place::Map(_) | Place::Foreign => Err(self.wrong_kind(state, LISTS)),
        }
    }

    /// Reads one entry of a broadcast state for each of `map_keys`.
    ///
    /// # Errors
    /// As [`list_get`](Self::list_get).
    pub fn map_get(
        &self,
        state: StateIndex,
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.map(state)?.get(map_keys, out)
    }

    /// Writes one entry of a broadcast state for each of `map_keys`; absent = remove. Of an entry
    /// that occurs more than once the last value counts.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] where the call does not process a broadcast input, else as
    /// [`list_set`](Self::list_set).
    pub fn map_put(
        &mut self,
        state: StateIndex,
        map_keys: ColumnView<'_>,
        values: &OptionalColumn,
    ) -> Result<(), Error> {
        let (left, right) = (values.len(), map_keys.len());
        if left != right {
            let what = "values of map keys";
            return Err(Error::Mismatch { what, left, right });
        }
        let map = self.map(state)?;
        if !self.broadcast {
            let name = self.name(state);
            return Err(Error::ReadOnly { name });
        }
        map.check_put(map_keys, values)?;
        match self.place_mut(state)? {
            Place::Map(map) => map.write().put(map_keys, values),
            Place::List(_) | Place::Foreign => {}
        }
        Ok(())
    }

    /// Reads up to `limit` entries of a broadcast state in byte order of map keys, after `after`
    /// (exclusive). Fewer than `limit` come only where there are no more.
    ///
    /// # Errors
    /// As [`list_get`](Self::list_get).
    pub fn map_scan(
        &self,
        state: StateIndex,
        after: Option<&[u8]>,
        limit: usize,
        out: &mut EntriesColumn,
    ) -> Result<(), Error> {
        self.map(state)?.scan(after, limit, out)
    }

    /// The synchronous part of a snapshot: what was committed until now. It costs a few references
    /// a state; later writes are not in it.
    #[must_use]
    pub fn snapshot(&self) -> OperatorSnapshot {
        let content = |state: &Place| match state {
            Place::List(list) => Some(Content::List(list.committed().clone())),
            Place::Map(map) => Some(Content::Map(map.committed().clone())),
            Place::Foreign => None,
        };
        OperatorSnapshot::new(self.states.iter().map(content).collect())
    }

    /// Takes over what was saved, before the first call. States are found by name; those that are
    /// not declared are left out, as are those that are declared and were not saved.
    ///
    /// # Errors
    /// [`Error::Incompatible`] where a state was saved under another kind or format; then nothing
    /// is restored.
    pub fn restore(&mut self, saved: SavedOperatorState) -> Result<(), Error> {
        let mut found = Vec::new();
        for SavedContent { state, content } in saved.states {
            if let Some(StateIndex(index)) = crate::file::target(&self.decls, &state)? {
                found.push((index, content));
            }
        }
        for (index, content) in found {
            // A saved state of the same kind has content of the same shape.
            match (self.states.get_mut(index as usize), content) {
                (Some(Place::List(list)), Content::List(saved)) => {
                    let before = None;
                    *list = Versions { now: saved, before };
                }
                (Some(Place::Map(map)), Content::Map(saved)) => {
                    let before = None;
                    *map = Versions { now: saved, before };
                }
                (Some(Place::List(_) | Place::Map(_) | Place::Foreign) | None, _) => {}
            }
        }
        Ok(())
    }

    fn place(&self, state: StateIndex) -> Result<&Place, Error> {
        let place = self.states.get(state.0 as usize);
        place.ok_or_else(|| undeclared(state, self.states.len()))
    }

    fn place_mut(&mut self, state: StateIndex) -> Result<&mut Place, Error> {
        let declared = self.states.len();
        let place = self.states.get_mut(state.0 as usize);
        place.ok_or_else(|| undeclared(state, declared))
    }

    fn map(&self, state: StateIndex) -> Result<&SharedMap, Error> {
        match self.place(state)? {
            Place::Map(map) => Ok(&map.now),
            Place::List(_) | Place::Foreign => {
                Err(self.wrong_kind(state, StateKind::Broadcast.as_str()))
            }
        }
    }

    fn name(&self, state: StateIndex) -> String {
        let decl = self.decls.get(state.0 as usize);
        decl.map_or_else(String::new, |decl| decl.name.clone())
    }

    fn wrong_kind(&self, state: StateIndex, used: &'static str) -> Error {
        match self.decls.get(state.0 as usize) {
            Some(decl) => Error::WrongKind {
                name: decl.name.clone(),
                kind: decl.kind,
                used,
            },
            None => undeclared(state, self.decls.len()),
        }
    }
}

/// What a list of a subtask is called in messages: both kinds are used alike.
const LISTS: &str = "operator-list or operator-union";

fn undeclared(state: StateIndex, declared: usize) -> Error {
    Error::Undeclared {
        index: state.0,
        declared,
    }
}

impl Place {
    fn of(kind: StateKind) -> Self {
        match kind {
            StateKind::OperatorList | StateKind::OperatorUnion => Self::List(Versions::default()),
            StateKind::Broadcast => Self::Map(Versions::default()),
            StateKind::Value
            | StateKind::List
            | StateKind::Map
            | StateKind::Reducing
            | StateKind::Aggregating
            | StateKind::Timers => Self::Foreign,
        }
    }
}
