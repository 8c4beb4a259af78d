//! State of an older version on its way into an operator: its component migrates it (1.3 of the
//! semantics), part by part and a block at a time.
//!
//! [`Migrating`] stands before the backend and declares the versions that were saved, so that
//! reading files is as ever. State without keys is migrated where it was read.
//!
//! INVARIANT: nothing of a state is loaded in two versions: what cannot be migrated fails the
//! restore, and the backend is dropped.

use std::collections::BTreeSet;

use weir_model::{Column, ColumnView, KeyGroup, KeyGroupRange, OptionalColumn};
use weir_operator::{Evolve, Failure, OperatorFactory, Part};
use weir_state::{
    Backend, EntriesColumn, Error, KeyBatch, NativeFiles, NestedColumn, Row, RowValue, STAMP_BYTES,
    SavedOperatorState, SavedState, Snapshot, SnapshotRequest, StateDecl, StateIndex, StateKeys,
    StateKind, Which, Writes,
};

/// The versions of an operator's states that are migrated, and who does it.
pub(crate) struct Migration {
    /// The declared states.
    declared: Vec<StateDecl>,
    /// The version that was saved of each that has another one now.
    from: Vec<Option<u32>>,
    /// As they were saved.
    as_saved: Vec<StateDecl>,
    evolve: Box<dyn Evolve>,
}

impl Migration {
    /// What is to be migrated of an operator, given what was saved of it; `None` where that is
    /// nothing.
    ///
    /// # Errors
    /// [`Failure`] where the operator cannot be asked.
    pub(crate) fn of(
        factory: &dyn OperatorFactory,
        saved: &[SavedState],
    ) -> Result<Option<Self>, Failure> {
        let declared = factory.descriptor().states.clone();
        let (mut from, mut as_saved) = (Vec::new(), Vec::new());
        for decl in &declared {
            let saved = saved.iter().find(|saved| saved.name == decl.name);
            let older = saved.filter(|saved| saved.version != decl.version);
            from.push(older.map(|saved| saved.version));
            as_saved.push(StateDecl {
                format: older.map_or(&decl.format, |saved| &saved.format).clone(),
                version: older.map_or(decl.version, |saved| saved.version),
                ..decl.clone()
            });
        }
        if from.iter().all(Option::is_none) {
            return Ok(None);
        }
        Ok(factory.evolve()?.map(|evolve| Self {
            declared,
            from,
            as_saved,
            evolve,
        }))
    }

    /// Migrates the state without keys that a subtask saved.
    ///
    /// # Errors
    /// [`Failure::Unfit`] where the component cannot.
    pub(crate) fn unkeyed(&mut self, saved: &mut SavedOperatorState) -> Result<(), Failure> {
        for at in 0..self.declared.len() {
            let Some(from) = self.from[at] else { continue };
            let decl = self.declared[at].clone();
            let state = StateIndex(at as u32);
            let becomes = |rows| SavedState {
                name: decl.name.clone(),
                kind: decl.kind,
                format: decl.format.clone(),
                version: decl.version,
                ttl: None,
                rows,
            };
            let items: Option<Column> = saved.list(&decl.name).map(Iterator::collect);
            let entries = saved.entries(&decl.name);
            let entries: Option<(Column, Column)> = entries.map(|entries| {
                let entries: Vec<(&[u8], &[u8])> = entries.collect();
                let map_keys = entries.iter().map(|(map_key, _)| *map_key);
                (
                    map_keys.collect(),
                    entries.iter().map(|(_, value)| *value).collect(),
                )
            });
            if let Some(items) = items {
                let items = self.migrate(state, Part::Element, from, &items)?;
                saved.set_list(becomes(items.len() as u64), items);
            } else if let Some((map_keys, values)) = entries {
                let map_keys = self.migrate(state, Part::MapKey, from, &map_keys)?;
                let values = self.migrate(state, Part::MapValue, from, &values)?;
                let mut entries: Vec<(&[u8], &[u8])> = map_keys.iter().zip(values.iter()).collect();
                entries.sort_unstable();
                let set = saved.set_entries(becomes(entries.len() as u64), &entries);
                set.map_err(|_| self.fell_together(state))?;
            }
        }
        Ok(())
    }

    /// The values of one part in the declared version.
    fn migrate(
        &mut self,
        state: StateIndex,
        part: Part,
        from: u32,
        values: &Column,
    ) -> Result<Column, Failure> {
        if values.is_empty() {
            return Ok(Column::new());
        }
        let migrated = self.evolve.migrate(state, part, from, values);
        migrated.map_err(|failure| self.failed(state, part, from, &failure))
    }

    fn failed(&self, state: StateIndex, part: Part, from: u32, failure: &Failure) -> Failure {
        let decl = &self.declared[state.0 as usize];
        Failure::Unfit {
            message: format!(
                "state `{}` cannot be migrated from version {from} of its format to {} ({}): \
                 {failure}; the checkpoint is as it was, and the component that wrote it can go on \
                 from it",
                decl.name,
                decl.version,
                part.as_str()
            ),
        }
    }

    fn fell_together(&self, state: StateIndex) -> Failure {
        let decl = &self.declared[state.0 as usize];
        Failure::Unfit {
            message: format!(
                "state `{}` cannot be migrated to version {} of its format: two map keys of one \
                 map became the same, and one of their values would be lost",
                decl.name, decl.version
            ),
        }
    }
}

/// A backend that is given rows of older versions.
pub(crate) struct Migrating<'a> {
    backend: &'a mut dyn Backend,
    migration: &'a mut Migration,
    /// As they were saved.
    states: Vec<StateDecl>,
    /// What went wrong, where it was no error of state.
    failure: Option<Failure>,
}

impl<'a> Migrating<'a> {
    pub(crate) fn new(backend: &'a mut dyn Backend, migration: &'a mut Migration) -> Self {
        Self {
            states: migration.as_saved.clone(),
            backend,
            migration,
            failure: None,
        }
    }

    /// What went wrong, where it was no error of state.
    pub(crate) fn into_failure(self) -> Option<Failure> {
        self.failure
    }

    /// The rows in the declared version.
    fn migrated(&mut self, state: StateIndex, from: u32, block: &[u8]) -> Result<Vec<u8>, Refused> {
        let decl = self.migration.declared[state.0 as usize].clone();
        // The time of last access before a value is the host's.
        let stamp = if decl.ttl.is_some() { STAMP_BYTES } else { 0 };
        let rows = Row::read_all(decl.kind, block)?;
        let mut parts = Parts::default();
        for row in &rows {
            parts.add(&row.value, stamp)?;
        }
        let part = match decl.kind {
            StateKind::Aggregating => Part::Accumulator,
            StateKind::List => Part::Element,
            StateKind::Map => Part::MapValue,
            StateKind::Value
            | StateKind::Reducing
            | StateKind::OperatorList
            | StateKind::OperatorUnion
            | StateKind::Broadcast
            // Never of an older version: their format is the host's.
            | StateKind::Timers => Part::Value,
        };
        let migration = &mut *self.migration;
        let map_keys = migration.migrate(state, Part::MapKey, from, &parts.map_keys)?;
        let values = migration.migrate(state, part, from, &parts.values)?;
        let mut made = Made {
            stamps: parts.stamps.into_iter(),
            values: values.iter(),
            map_keys: map_keys.iter(),
        };
        let mut out = Vec::with_capacity(block.len());
        for row in &rows {
            made.row(row, &mut out)
                .ok_or_else(|| migration.fell_together(state))?;
        }
        Ok(out)
    }
}

/// Why rows were not migrated.
enum Refused {
    State(Error),
    Failed(Failure),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::State(error)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The parts of the rows of a block, in order.
#[derive(Default)]
struct Parts<'a> {
    stamps: Vec<&'a [u8]>,
    values: Column,
    map_keys: Column,
}

impl<'a> Parts<'a> {
    fn add(&mut self, value: &RowValue<'a>, stamp: usize) -> Result<(), Error> {
        match value {
            RowValue::Cell(value) => self.value(value, stamp)?,
            RowValue::List(elements) => {
                for element in elements {
                    self.value(element, stamp)?;
                }
            }
            RowValue::Map(entries) => {
                for (map_key, value) in entries {
                    self.map_keys.push(map_key);
                    self.value(value, stamp)?;
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &'a [u8], stamp: usize) -> Result<(), Error> {
        let (stamp, value) = value
            .split_at_checked(stamp)
            .ok_or_else(|| Error::Damaged("a value without the time of its last access".into()))?;
        self.stamps.push(stamp);
        self.values.push(value);
        Ok(())
    }
}

/// The parts in the declared version, put together again in the same order.
struct Made<S, V, K> {
    stamps: S,
    values: V,
    map_keys: K,
}

impl<'a, S, V, K> Made<S, V, K>
where
    S: Iterator<Item = &'a [u8]>,
    V: Iterator<Item = &'a [u8]>,
    K: Iterator<Item = &'a [u8]>,
{
    /// Writes a row; `None` where two map keys are the same.
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> Option<()> {
        let count = match &row.value {
            RowValue::Cell(_) => 1,
            RowValue::List(elements) => elements.len(),
            RowValue::Map(entries) => entries.len(),
        };
        let stamped = |(stamp, value): (&[u8], &[u8])| [stamp, value].concat();
        let pairs = self.stamps.by_ref().zip(self.values.by_ref());
        let values: Vec<Vec<u8>> = pairs.take(count).map(stamped).collect();
        let value = match &row.value {
            RowValue::Cell(_) => RowValue::Cell(values.first()?),
            RowValue::List(_) => RowValue::List(values.iter().map(Vec::as_slice).collect()),
            RowValue::Map(_) => {
                let map_keys = self.map_keys.by_ref().take(count);
                let mut entries: Vec<(&[u8], &[u8])> =
                    map_keys.zip(values.iter().map(Vec::as_slice)).collect();
                entries.sort_unstable();
                let distinct: BTreeSet<&[u8]> = entries.iter().map(|(key, _)| *key).collect();
                (distinct.len() == count).then_some(())?;
                RowValue::Map(entries)
            }
        };
        Row {
            key: row.key,
            value,
        }
        .write(out);
        Some(())
    }
}

/// It is only loaded: nobody calls the operator before.
fn not_yet() -> Error {
    Error::Damaged("state was used while it was migrated".into())
}

impl Backend for Migrating<'_> {
    fn key_groups(&self) -> KeyGroupRange {
        self.backend.key_groups()
    }

    fn states(&self) -> &[StateDecl] {
        &self.states
    }

    fn get_values(
        &mut self,
        _: StateIndex,
        _: &KeyBatch<'_>,
        _: Which<'_>,
        _: &mut OptionalColumn,
    ) -> Result<(), Error> {
        Err(not_yet())
    }

    fn get_lists(
        &mut self,
        _: StateIndex,
        _: &KeyBatch<'_>,
        _: Which<'_>,
        _: &mut NestedColumn,
    ) -> Result<(), Error> {
        Err(not_yet())
    }

    fn scan_keys(
        &mut self,
        _: StateIndex,
        _: KeyGroup,
        _: &mut StateKeys,
    ) -> Result<Option<KeyGroup>, Error> {
        Err(not_yet())
    }

    fn get_entries(
        &mut self,
        _: StateIndex,
        _: &KeyBatch<'_>,
        _: Which<'_>,
        _: ColumnView<'_>,
        _: &mut OptionalColumn,
    ) -> Result<(), Error> {
        Err(not_yet())
    }

    fn scan_entries(
        &mut self,
        _: StateIndex,
        _: &KeyBatch<'_>,
        _: u32,
        _: Option<&[u8]>,
        _: usize,
        _: &mut EntriesColumn,
    ) -> Result<(), Error> {
        Err(not_yet())
    }

    fn apply(&mut self, _: &KeyBatch<'_>, _: &Writes) -> Result<(), Error> {
        Err(not_yet())
    }

    fn snapshot(&mut self, _: &SnapshotRequest) -> Result<Box<dyn Snapshot>, Error> {
        Err(not_yet())
    }

    fn load(&mut self, state: StateIndex, group: KeyGroup, rows: &[u8]) -> Result<(), Error> {
        let from = self.migration.from.get(state.0 as usize).copied();
        let Some(from) = from.flatten() else {
            return self.backend.load(state, group, rows);
        };
        match self.migrated(state, from, rows) {
            Ok(rows) => self.backend.load(state, group, &rows),
            Err(Refused::State(error)) => Err(error),
            Err(Refused::Failed(failure)) => {
                self.failure = Some(failure);
                Err(not_yet())
            }
        }
    }

    fn import(&mut self, _: &mut dyn NativeFiles) -> Result<(), Error> {
        self.failure = Some(Failure::Unfit {
            message: "its state is of an older version and in the files of its backend, which \
                      nobody can migrate: take a canonical savepoint with the component that wrote \
                      it, and go on from that"
                .into(),
        });
        Err(not_yet())
    }

    fn entries(&self, state: StateIndex) -> u64 {
        self.backend.entries(state)
    }

    fn counts(&self) -> bool {
        self.backend.counts()
    }
}
