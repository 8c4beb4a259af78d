//! The state in a checkpoint, entry by entry, whatever file and increment it lies in.
//!
//! A range of key groups at a time is loaded as a restore loads it, and written out again as a
//! canonical savepoint would be: so what tools see is what a job would get, and no more than a
//! range is in memory.
//!
//! INVARIANT: entries come in order of state, key group and key, each key once; nothing that a
//! restore would refuse is shown.

use weir_model::{KeyGroupRange, OperatorName, ProcessingTime};
use weir_state::{
    Backend, Entries, Entry, Error, HeapBackend, SavedOperatorState, SavedState, SnapshotSink,
    StateDecl, StateFileReader, canonical,
};

use super::{Problem, Saved, all_groups, native::Rows, steps};

/// In how many steps all key groups are gone through, where there are as many.
const STEPS: u32 = 1024;

/// The time of everything here: nothing expires.
const LONG_AGO: ProcessingTime = ProcessingTime(i64::MIN);

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
        let mut sink = Entries::new(&decls, places);
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
        let snapshot = backend.snapshot(&canonical()).map_err(own)?;
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
