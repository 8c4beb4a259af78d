//! The state in a checkpoint, entry by entry, whatever file and increment it lies in.
//!
//! A range of key groups at a time is loaded as a restore loads it, and written out again as a
//! canonical savepoint would be: so what tools see is what a job would get, and no more than a
//! range is in memory.
//!
//! INVARIANT: entries come in order of state, key group and key, each key once; nothing that a
//! restore would refuse is shown.

use std::collections::BTreeMap;

use weir_model::{CheckpointId, KeyGroup, KeyGroupRange, OperatorName, ProcessingTime};
use weir_state::{
    Backend, Chain, Error, HeapBackend, Row, RowValue, SavedOperatorState, SavedState,
    SnapshotFormat, SnapshotRequest, SnapshotSink, StateDecl, StateFileReader, StateIndex,
    StateKind, When,
};

use super::{Problem, Saved, all_groups, native::Rows, steps};

/// In how many steps all key groups are gone through, where there are as many.
const STEPS: u32 = 1024;

/// The time of everything here: nothing expires.
const LONG_AGO: ProcessingTime = ProcessingTime(i64::MIN);

/// What one key has in one state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The position of the state among those of [`Content::states`].
    pub(crate) state: usize,
    pub(crate) group: u16,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Held,
}

/// What a key has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Held {
    Cell(Vec<u8>),
    List(Vec<Vec<u8>>),
    Map(Vec<(Vec<u8>, Vec<u8>)>),
    /// When its timers are due, in order.
    Timers(Vec<When>),
}

/// The state of one operator in a checkpoint.
pub(crate) struct Content<'a> {
    saved: &'a Saved,
    operator: OperatorName,
    /// The files of its old subtasks, each with the key groups it held and its path.
    parts: Vec<Part<'a>>,
    states: Vec<SavedState>,
    /// What is in the files of a backend, once it is asked for.
    native: Option<Rows>,
}

struct Part<'a> {
    range: KeyGroupRange,
    path: String,
    reader: StateFileReader<'a>,
}

impl<'a> Content<'a> {
    /// Opens what a checkpoint has of an operator, which its metadata know.
    ///
    /// # Errors
    /// Which file cannot be read.
    pub(crate) fn open(saved: &'a Saved, operator: &OperatorName) -> Result<Self, Problem> {
        let mut content = Self {
            saved,
            operator: operator.clone(),
            parts: Vec::new(),
            states: Vec::new(),
            native: None,
        };
        let Some(meta) = saved.metadata.operators.get(operator) else {
            return Ok(content);
        };
        let max = saved.metadata.max_parallelism;
        for (subtask, part) in meta.parallelism.subtasks().zip(&meta.subtasks) {
            let Some(file) = &part.file else { continue };
            let wrong = |what: String| Problem::new(&file.path, what);
            let range = max.range_of(subtask, meta.parallelism);
            let range = range.map_err(|e| wrong(e.to_string()))?;
            let reader = saved.open_part(file, &part.shared).map_err(wrong)?;
            for state in reader.states(operator).unwrap_or_default() {
                match content.states.iter_mut().find(|s| s.name == state.name) {
                    Some(known) => known.rows = known.rows.saturating_add(state.rows),
                    None => content.states.push(state.clone()),
                }
            }
            let path = file.path.clone();
            content.parts.push(Part {
                range,
                path,
                reader,
            });
        }
        Ok(content)
    }

    /// Its states, in the order of their declaration; of each the number of rows in the files.
    pub(crate) fn states(&self) -> &[SavedState] {
        &self.states
    }

    /// Whether keyed state is in the files of its backend.
    pub(crate) fn is_native(&self) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| part.reader.native(&self.operator, part.range).is_some())
    }

    /// All key groups, in ranges small enough to be looked at one after the other.
    pub(crate) fn ranges(&self) -> Vec<KeyGroupRange> {
        steps(self.saved.metadata.max_parallelism, STEPS)
    }

    /// All that there is, of an operator that is small.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    pub(crate) fn all(&mut self) -> Result<Vec<Entry>, Problem> {
        self.entries(all_groups(self.saved.metadata.max_parallelism))
    }

    /// What lies in a range of key groups.
    ///
    /// # Errors
    /// Which file is damaged.
    pub(crate) fn entries(&mut self, range: KeyGroupRange) -> Result<Vec<Entry>, Problem> {
        let keyed = self.states.iter().enumerate();
        let keyed: Vec<(usize, &SavedState)> =
            keyed.filter(|(_, state)| state.kind.is_keyed()).collect();
        let decls: Vec<StateDecl> = keyed.iter().map(|(_, state)| declared(state)).collect();
        let places = keyed.iter().map(|(at, _)| *at).collect();
        let mut sink = Entries {
            decls: &decls,
            places,
            entries: Vec::new(),
            timers: BTreeMap::new(),
        };
        let operator = self.operator.clone();
        let own = |e: Error| Problem::new(operator.as_str(), e.to_string());
        if self.is_native() {
            let rows = match self.native.take() {
                Some(rows) => rows,
                None => {
                    let all = all_groups(self.saved.metadata.max_parallelism);
                    Rows::of(&operator, &decls, all, self.files()).map_err(own)?
                }
            };
            let rows = self.native.insert(rows);
            let add = |state, group, rows, bytes: &_| sink.block(state, group, rows, bytes);
            rows.each(range, add).map_err(own)?;
            return Ok(sink.into_entries());
        }
        let mut backend = HeapBackend::new(decls.clone(), range).map_err(own)?;
        for part in &self.parts {
            if part.range.start <= range.end && range.start <= part.range.end {
                let loaded = part
                    .reader
                    .load(&self.operator, &mut backend, range, LONG_AGO);
                loaded.map_err(|e| Problem::new(&part.path, e.to_string()))?;
            }
        }
        let snapshot = backend.snapshot(&request()).map_err(own)?;
        snapshot.write(&mut sink).map_err(own)?;
        Ok(sink.into_entries())
    }

    /// The files of its old subtasks, each with the key groups that it held.
    fn files(&self) -> Vec<(KeyGroupRange, &StateFileReader<'a>)> {
        let parts = self.parts.iter();
        parts.map(|part| (part.range, &part.reader)).collect()
    }

    /// What each old subtask saved that belongs to no key.
    ///
    /// # Errors
    /// Which file is damaged.
    pub(crate) fn unkeyed(&mut self) -> Result<Vec<SavedOperatorState>, Problem> {
        let Some(meta) = self.saved.metadata.operators.get(&self.operator) else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for part in &meta.subtasks {
            let mut parts = self.parts.iter();
            let path = part.file.as_ref().map(|file| &file.path);
            let Some(open) = parts.find(|open| Some(&open.path) == path) else {
                all.push(SavedOperatorState::default());
                continue;
            };
            let state = open.reader.operator_state(&self.operator);
            all.push(state.map_err(|e| Problem::new(&open.path, e.to_string()))?);
        }
        Ok(all)
    }
}

/// A full snapshot in canonical order, of which nothing expires.
pub(crate) fn request() -> SnapshotRequest {
    SnapshotRequest {
        format: SnapshotFormat::Canonical,
        ..SnapshotRequest::full(CheckpointId(0), LONG_AGO)
    }
}

/// A declaration that a saved state fits, its time to live included: so the times of last access
/// stay with the values.
pub(crate) fn declared(saved: &SavedState) -> StateDecl {
    StateDecl {
        name: saved.name.clone(),
        kind: saved.kind,
        format: saved.format.clone(),
        version: saved.version,
        prefetch: false,
        ttl: saved.ttl,
    }
}

/// Gathers what a snapshot writes.
struct Entries<'a> {
    decls: &'a [StateDecl],
    /// Where each state stands among all of the operator.
    places: Vec<usize>,
    entries: Vec<Entry>,
    /// Of each place, key group and key with timers: files have them by time.
    timers: BTreeMap<(usize, u16, Vec<u8>), Vec<When>>,
}

impl Entries<'_> {
    fn timers(&mut self, place: usize, group: KeyGroup, row: &Row<'_>) -> Result<(), Error> {
        let wrong = || Error::Damaged("a time of timers that is none".into());
        let when = When::decode(row.key).ok_or_else(wrong)?;
        let RowValue::Map(keys) = &row.value else {
            return Err(wrong());
        };
        for (key, _) in keys {
            let of = (place, group.0, key.to_vec());
            self.timers.entry(of).or_default().push(when);
        }
        Ok(())
    }

    fn into_entries(self) -> Vec<Entry> {
        let timers = self.timers.into_iter();
        let mut entries = self.entries;
        entries.extend(timers.map(|((state, group, key), when)| Entry {
            state,
            group,
            key,
            value: Held::Timers(when),
        }));
        entries.sort_by_key(|entry| entry.state);
        entries
    }
}

impl SnapshotSink for Entries<'_> {
    fn block(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        _rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let at = state.0 as usize;
        let (Some(decl), Some(&place)) = (self.decls.get(at), self.places.get(at)) else {
            return Err(Error::Damaged("a state that was not declared".into()));
        };
        for row in Row::read_all(decl.kind, bytes)? {
            if decl.kind == StateKind::Timers {
                self.timers(place, group, &row)?;
                continue;
            }
            match self.entries.last_mut() {
                // A large list or map comes in several rows.
                Some(last) if last.state == place && last.key == row.key => {
                    last.value.extend(&row.value);
                }
                Some(_) | None => self.entries.push(Entry {
                    state: place,
                    group: group.0,
                    key: row.key.to_vec(),
                    value: Held::of(&row.value),
                }),
            }
        }
        Ok(())
    }

    fn base(&self) -> Option<CheckpointId> {
        None
    }

    fn chain(&self, _: StateIndex, _: KeyGroup) -> Chain {
        Chain::default()
    }

    fn keep(&mut self, _: StateIndex, _: KeyGroup) -> Result<(), Error> {
        Ok(())
    }

    fn delta(&mut self, _: StateIndex, _: KeyGroup, _: u64, _: &[u8]) -> Result<(), Error> {
        Err(Error::Damaged("a delta without a base".into()))
    }

    fn blob(&mut self, _: &str, _: u64, _: &mut dyn std::io::Read) -> Result<(), Error> {
        Err(Error::Damaged(
            "a native file in a canonical snapshot".into(),
        ))
    }

    fn keep_blob(&mut self, _: &str) -> Result<bool, Error> {
        Ok(false)
    }

    fn note(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

impl Held {
    fn of(value: &RowValue<'_>) -> Self {
        let owned = |bytes: &[u8]| bytes.to_vec();
        match value {
            RowValue::Cell(value) => Self::Cell(owned(value)),
            RowValue::List(all) => Self::List(all.iter().map(|e| owned(e)).collect()),
            RowValue::Map(all) => {
                Self::Map(all.iter().map(|(k, v)| (owned(k), owned(v))).collect())
            }
        }
    }

    /// Adds what a further row of the same key has.
    fn extend(&mut self, more: &RowValue<'_>) {
        match (self, Self::of(more)) {
            (Self::List(all), Self::List(more)) => all.extend(more),
            (Self::Map(all), Self::Map(more)) => all.extend(more),
            (held, other) => *held = other,
        }
    }

    /// Appends the rows of a key that has it to a block.
    pub(crate) fn write(&self, key: &[u8], block: &mut Vec<u8>) {
        let value = match self {
            Self::Timers(all) => {
                for when in all {
                    let (key, value) = (&when.encode(), RowValue::Map(vec![(key, b"")]));
                    Row { key, value }.write(block);
                }
                return;
            }
            Self::Cell(value) => RowValue::Cell(value),
            Self::List(all) => RowValue::List(all.iter().map(Vec::as_slice).collect()),
            Self::Map(all) => {
                fn pair((k, v): &(Vec<u8>, Vec<u8>)) -> (&[u8], &[u8]) {
                    (k.as_slice(), v.as_slice())
                }
                RowValue::Map(all.iter().map(pair).collect())
            }
        };
        Row { key, value }.write(block);
    }
}
