//! What an operator holds: read from the checkpoint behind the last step, as a restore reads it.

use weir_checkpoint::{FileRef, Metadata, SnapshotStore, resolve};
use weir_model::{Name, ProcessingTime};
use weir_state::{
    Error, HeapBackend, Held, SavedOperatorState, SavedState, StateDecl, StateFileReader, When,
    entries,
};

/// The time of everything here: nothing expires.
const LONG_AGO: ProcessingTime = ProcessingTime(i64::MIN);

/// All that an operator holds.
#[derive(Debug, Default)]
pub struct Holding {
    /// Of each state by name, key by key: by key group, then in order of the keys. Timers are
    /// under `weir.timers`.
    pub keyed: Vec<(String, Vec<u8>, Held)>,
    /// What each subtask has that belongs to no key.
    pub subtasks: Vec<SavedOperatorState>,
}

impl Holding {
    /// Reads it from the checkpoint in a folder of a store.
    pub(crate) fn read(
        store: &dyn SnapshotStore,
        folder: &str,
        operator: &Name,
    ) -> Result<Self, String> {
        let bytes = store.get(&format!("{folder}_metadata"));
        let bytes = bytes.map_err(|error| error.to_string())?;
        let metadata = Metadata::decode(&bytes).map_err(|error| error.to_string())?;
        let Some(meta) = metadata.operators.get(operator) else {
            return Ok(Self::default());
        };
        let max = metadata.max_parallelism;
        let mut holding = Self::default();
        for (subtask, part) in meta.parallelism.subtasks().zip(&meta.subtasks) {
            let Some(file) = &part.file else {
                holding.subtasks.push(SavedOperatorState::default());
                continue;
            };
            let range = max.range_of(subtask, meta.parallelism);
            let range = range.map_err(|error| error.to_string())?;
            let told = |error: Error| format!("{}: {error}", file.path);
            let reader = open(store, folder, file, &part.shared).map_err(told)?;
            if reader.native(operator, range).is_some() {
                return Err("it is in files of its backend".into());
            }
            let states = reader.states(operator).unwrap_or_default();
            let keyed: Vec<StateDecl> = states
                .iter()
                .filter(|state| state.kind.is_keyed())
                .map(declared)
                .collect();
            let mut backend = HeapBackend::new(keyed.clone(), range).map_err(told)?;
            let loaded = reader.load(operator, &mut backend, range, LONG_AGO);
            loaded.map_err(told)?;
            let found = entries(&mut backend, &keyed).map_err(told)?;
            let named = found
                .into_iter()
                .map(|entry| (keyed[entry.state].name.clone(), entry.key, entry.value));
            holding.keyed.extend(named);
            let own = reader.operator_state(operator).map_err(told)?;
            holding.subtasks.push(own);
        }
        holding.keyed.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        Ok(holding)
    }

    /// The elements of a list of the operator, of all subtasks.
    #[must_use]
    pub fn list(&self, state: &str) -> Vec<Vec<u8>> {
        let lists = self.subtasks.iter().filter_map(|saved| saved.list(state));
        lists.flatten().map(<[u8]>::to_vec).collect()
    }

    /// What keys have in a state.
    pub fn of(&self, state: &str) -> impl Iterator<Item = (&[u8], &Held)> {
        let own = self.keyed.iter().filter(move |(name, ..)| name == state);
        own.map(|(_, key, held)| (key.as_slice(), held))
    }

    /// All timers that are set, with their keys.
    #[must_use]
    pub fn timers(&self) -> Vec<(&[u8], When)> {
        let mut timers = Vec::new();
        for (_, key, held) in &self.keyed {
            if let Held::Timers(all) = held {
                timers.extend(all.iter().map(|when| (key.as_slice(), *when)));
            }
        }
        timers
    }
}

/// Opens a state file with those that it refers to.
fn open<'a>(
    store: &'a dyn SnapshotStore,
    folder: &str,
    file: &FileRef,
    shared: &[FileRef],
) -> Result<StateFileReader<'a>, Error> {
    let ranges = |file: &FileRef| {
        let object = resolve(folder, &file.path).unwrap_or_else(|| file.path.clone());
        move |range: std::ops::Range<u64>| {
            let bytes = store.get_range(&object, range.start, range.end - range.start);
            bytes.map_err(|error| Error::Storage(error.to_string()))
        }
    };
    let mut reader = StateFileReader::open_ranged(file.length, ranges(file))?;
    let references: Vec<String> = reader.references().map(|r| r.path.clone()).collect();
    for (n, path) in references.iter().enumerate() {
        let gone = || Error::Damaged(format!("it refers to `{path}`, which is not named"));
        let known = shared.iter().find(|file| file.path == *path);
        let known = known.ok_or_else(gone)?;
        reader.refer_ranged(n, known.length, ranges(known))?;
    }
    Ok(reader)
}

/// A declaration that a saved state fits.
fn declared(saved: &SavedState) -> StateDecl {
    StateDecl {
        name: saved.name.clone(),
        kind: saved.kind,
        format: saved.format.clone(),
        version: saved.version,
        prefetch: false,
        ttl: saved.ttl,
    }
}
