//! Checkpoints as they lie in a folder, on the local disk or in a bucket, looked at without their
//! job: nothing is started, locked or written, and no component is needed.
//!
//! INVARIANT: a checkpoint that is removed while it is looked at is no damaged one: its metadata
//! goes first, so whoever misses a file looks for them again.

mod content;
mod listing;
mod native;
mod place;
mod savepoint;
mod shown;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use weir_checkpoint::{
    CheckpointKind, FileRef, JobPaths, Metadata, SnapshotStore, StoreError, resolve,
};
use weir_model::{
    KeyGroup, KeyGroupRange, MaxParallelism, OperatorName, Parallelism, SubtaskIndex,
};
use weir_state::{ChannelFile, Error, InFlight, StateFileReader};

use crate::storage::{Folder, Stores};

pub(crate) use self::{
    content::{Content, declared},
    listing::{JobListing, Listed, State, Told},
    place::{JobFolder, Place, Wrong},
    savepoint::{NewSavepoint, NotMade},
    shown::{KeyLook, Look, bytes_of, hex, object},
    verify::{Verified, verify},
};
pub(crate) use weir_state::{Entry, Held};

/// The metadata of a checkpoint, in its folder.
const METADATA: &str = "_metadata";

/// What is wrong with a file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Its path in the folder of the checkpoint.
    pub(crate) file: String,
    pub(crate) what: String,
}

impl Problem {
    fn new(file: &str, what: impl Into<String>) -> Self {
        let file = file.to_owned();
        Self {
            file,
            what: what.into(),
        }
    }

    /// It is there, and the storage does not give it.
    fn unread(file: &str, error: &StoreError) -> Self {
        Self::new(file, format!("cannot be read: {}", error.told()))
    }
}

/// A checkpoint whose metadata were read.
pub(crate) struct Saved {
    /// Its folder, as the user would write it.
    pub(crate) path: Folder,
    pub(crate) metadata: Metadata,
    /// Whether it is marked as having nothing left to commit.
    pub(crate) is_committed: bool,
    store: Arc<dyn SnapshotStore>,
    /// Its folder in the store.
    folder: String,
}

impl Saved {
    /// Reads the metadata in a folder.
    ///
    /// # Errors
    /// Where the storage fails; the inner error says what is wrong with the metadata.
    pub(crate) fn read(
        path: &Folder,
        stores: &Stores,
    ) -> Result<Result<Self, Problem>, StoreError> {
        let (store, folder) = stores.around(path)?;
        Self::read_in(store, folder, path)
    }

    /// Reads the metadata in a folder of a store, which ends with `/`; `path` is what it is called.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_in(
        store: Arc<dyn SnapshotStore>,
        folder: String,
        path: &Folder,
    ) -> Result<Result<Self, Problem>, StoreError> {
        let bytes = match store.get(&format!("{folder}{METADATA}")) {
            Ok(bytes) => bytes,
            Err(e) if e.is_not_found() => {
                let what = "missing: the checkpoint was never completed, or has lost it";
                return Ok(Err(Problem::new(METADATA, what)));
            }
            Err(e) => return Err(e),
        };
        let metadata = match Metadata::decode(&bytes) {
            Ok(metadata) => metadata,
            Err(e) => return Ok(Err(Problem::new(METADATA, e.to_string()))),
        };
        if let Some(named) = place::number_of(path)
            && named != metadata.checkpoint
        {
            let what = format!("it is that of checkpoint {}", metadata.checkpoint);
            return Ok(Err(Problem::new(METADATA, what)));
        }
        let is_committed = match store.get(&format!("{folder}{}", JobPaths::committed_inside())) {
            Ok(_) => true,
            Err(e) if e.is_not_found() => false,
            Err(e) => return Err(e),
        };
        Ok(Ok(Self {
            path: path.clone(),
            metadata,
            is_committed,
            store,
            folder,
        }))
    }

    /// The object that one of its files is.
    fn object(&self, file: &FileRef) -> String {
        // Only a path that no metadata hold leads out of the store.
        resolve(&self.folder, &file.path).unwrap_or_else(|| file.path.clone())
    }

    /// Opens one of its state files, to be read piece by piece.
    fn open(&self, file: &FileRef) -> Result<StateFileReader<'_>, String> {
        let reader = StateFileReader::open_ranged(file.length, self.ranges_of(file));
        reader.map_err(|e| e.to_string())
    }

    /// Opens the state file of a subtask with those that it refers to.
    fn open_part(&self, file: &FileRef, shared: &[FileRef]) -> Result<StateFileReader<'_>, String> {
        let mut reader = self.open(file)?;
        self.refer(&mut reader, &shared.iter().collect::<Vec<_>>())?;
        Ok(reader)
    }

    /// Gives a file those that it refers to, which must be among `known`. Whether they are whole is
    /// found when they are looked at themselves.
    fn refer<'a>(
        &'a self,
        reader: &mut StateFileReader<'a>,
        known: &[&FileRef],
    ) -> Result<(), String> {
        let references: Vec<_> = reader.references().collect();
        for (n, reference) in references.iter().enumerate() {
            let path = &reference.path;
            let known = known.iter().find(|file| {
                (&file.path, file.length, file.crc32c) == (path, reference.length, reference.crc32c)
            });
            let known =
                known.ok_or_else(|| format!("it refers to `{path}`, which is not named"))?;
            reader
                .refer_ranged(n, known.length, self.ranges_of(known))
                .map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Gives ranges of the bytes of a file.
    fn ranges_of(
        &self,
        file: &FileRef,
    ) -> impl Fn(std::ops::Range<u64>) -> Result<Vec<u8>, Error> + Send + Sync + use<'_> {
        let object = self.object(file);
        move |range| {
            let length = range.end - range.start;
            let bytes = self.store.get_range(&object, range.start, length);
            bytes.map_err(|e| Error::Storage(e.to_string()))
        }
    }

    /// The bytes of its files, as `weir run` counts them.
    pub(crate) fn size(&self) -> u64 {
        size_of(&self.metadata)
    }

    /// The number of rows of each state of an operator, from what its files say of themselves, and
    /// what was in flight to it; what cannot be read is told. Of keyed state in the files of its
    /// backend nobody else knows.
    pub(crate) fn rows(&self) -> Rows {
        let mut rows = Rows::default();
        let mut seen = HashSet::new();
        for (name, operator) in &self.metadata.operators {
            for subtask in &operator.subtasks {
                // Chained operators share a file.
                if let Some(file) = &subtask.file
                    && seen.insert(&file.path)
                    && let Err(e) = self.rows_of(file, &mut rows.of_state)
                {
                    rows.problems.push(Problem::new(&file.path, e));
                }
                let Some(file) = &subtask.channels else {
                    continue;
                };
                if !seen.insert(&file.path) {
                    continue;
                }
                match self.in_flight(file) {
                    Ok(count) => *rows.in_flight.entry(name.clone()).or_default() += count,
                    Err(e) => rows.problems.push(Problem::new(&file.path, e)),
                }
            }
        }
        rows
    }

    fn rows_of(&self, file: &FileRef, rows: &mut RowsOfState) -> Result<(), String> {
        let reader = self.open(file)?;
        let all = self
            .metadata
            .max_parallelism
            .range_of(SubtaskIndex(0), Parallelism::ONE);
        let all = all.map_err(|e| e.to_string())?;
        for operator in reader.operators() {
            let is_native = reader.native(operator, all).is_some();
            for state in reader.states(operator).unwrap_or_default() {
                if is_native && state.kind.is_keyed() {
                    continue;
                }
                let key = (operator.clone(), state.name.clone());
                *rows.entry(key).or_default() += state.rows;
            }
        }
        Ok(())
    }

    /// How many rows were in flight, by the file that has them.
    fn in_flight(&self, file: &FileRef) -> Result<u64, String> {
        let bytes = self.store.get(&self.object(file));
        let file = ChannelFile::open(bytes.map_err(|e| e.to_string())?);
        let file = file.map_err(|e| e.to_string())?;
        let mut count = 0;
        for channel in file.channels() {
            let elements = file.elements(channel.index).map_err(|e| e.to_string())?;
            count += elements.iter().map(rows_in).sum::<u64>();
        }
        Ok(count)
    }
}

/// The number of rows of each state.
pub(crate) type RowsOfState = BTreeMap<(OperatorName, String), u64>;

/// How many rows a checkpoint has, and where.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Of each state whose rows can be told.
    pub(crate) of_state: RowsOfState,
    /// In flight to each operator, or to the task that it heads.
    pub(crate) in_flight: BTreeMap<OperatorName, u64>,
    /// Files that cannot be looked into.
    pub(crate) problems: Vec<Problem>,
}

fn rows_in(element: &InFlight) -> u64 {
    match element {
        InFlight::Rows(batch) => batch.len() as u64,
        InFlight::Watermark(_) | InFlight::Idle(_) => 0,
    }
}

/// All key groups.
fn all_groups(max: MaxParallelism) -> KeyGroupRange {
    let last = u16::try_from(max.get() - 1).unwrap_or(u16::MAX);
    KeyGroupRange {
        start: KeyGroup(0),
        end: KeyGroup(last),
    }
}

/// All key groups in so many steps, where there are as many, to be looked at one after the other.
fn steps(max: MaxParallelism, steps: u32) -> Vec<KeyGroupRange> {
    let max = max.get();
    let step = max.div_ceil(steps) as usize;
    let group = |n: u32| KeyGroup(u16::try_from(n).unwrap_or(u16::MAX));
    let starts = (0..max).step_by(step);
    let range = |start: u32| KeyGroupRange {
        start: group(start),
        end: group((start + step as u32 - 1).min(max - 1)),
    };
    starts.map(range).collect()
}

fn size_of(metadata: &Metadata) -> u64 {
    let lengths = metadata
        .files()
        .into_iter()
        .map(|file: &FileRef| file.length);
    lengths.fold(0, u64::saturating_add)
}

/// The kind of a checkpoint in one word, as in its metadata.
pub(crate) fn kind(kind: CheckpointKind) -> &'static str {
    match kind {
        CheckpointKind::Periodic => "periodic",
        CheckpointKind::Manual => "manual",
        CheckpointKind::Savepoint => "savepoint",
        CheckpointKind::Stop => "stop",
        CheckpointKind::Final => "final",
    }
}
