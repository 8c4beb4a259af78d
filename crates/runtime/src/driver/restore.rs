//! What a checkpoint gives back: state by key group, splits, committables, and who had finished.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weir_checkpoint::{
    CheckpointKind, FileRef, JobPaths, Metadata, MetadataError, SnapshotStore, StoreError,
    SubtaskMeta, Transaction, resolve,
};
use weir_graph::Chain;
use weir_model::{CheckpointId, Name, ProcessingTime};
use weir_operator::{Descriptor, Failure, OperatorFactory, SavedSource, Sealed, TaskInfo};
use weir_state::{
    Backend, BaseIndex, Change, ChannelFile, Error, NativeReaders, Reference, SavedOperatorState,
    StateFileReader, Verdict, redistribute, redistribute_finished,
};

use super::{
    fit::{self, Fit},
    migrate::Migration,
    sources::split,
};
use crate::{
    deployment::{Deployment, JobEvent, JobListener},
    logs::Logs,
};

/// A checkpoint that an attempt begins with.
pub(crate) struct Restored {
    pub(crate) id: CheckpointId,
    /// Where it lies, for people.
    pub(crate) location: String,
    /// With the names that nodes have in the job now.
    pub(crate) metadata: Metadata,
    /// What those nodes were called then that have another name now.
    pub(crate) renamed: BTreeMap<Name, Name>,
    /// Whether the job can go on from it, and what it leaves behind.
    pub(crate) fit: Fit,
    /// Whether all that it holds to be committed was committed: results may be gone since.
    committed: bool,
    store: Arc<dyn SnapshotStore>,
    /// The folder in the store that holds its `_metadata`, ending in `/` unless empty.
    folder: String,
    /// The files that were found whole, by their path.
    files: Mutex<HashMap<String, Arc<Vec<u8>>>>,
    /// The state files among them that are not there for others only: chained operators share one.
    readers: Mutex<HashMap<String, OpenFile>>,
    /// What was in flight, by the path of its file: the tasks of a rescaled job take their shares
    /// out of all.
    channels: Mutex<HashMap<String, Arc<ChannelFile>>>,
    /// What was saved of each operator's state without keys, by old subtask: each new subtask takes
    /// its share of all.
    operator_states: Mutex<HashMap<Name, Arc<Vec<SavedOperatorState>>>>,
}

/// A file in memory; several operators and subtasks load from it, one after the other.
type OpenFile = Arc<Mutex<StateFileReader<'static>>>;

/// Why a checkpoint cannot be gone on from.
pub(crate) enum NoRestore {
    /// It cannot be read: an older one may serve (D20).
    Unreadable(Failure),
    /// It can be read and does not fit the job or this program: no older one is better.
    Unfit(Failure),
    /// The storage failed, which says nothing about the checkpoint.
    Failed(Failure),
}

impl NoRestore {
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Unreadable(failure) | Self::Unfit(failure) | Self::Failed(failure) => failure,
        }
    }
}

impl Restored {
    /// Reads the checkpoint in a folder of a store, and with it all its state files, so that what
    /// is damaged is found before anything starts. `own` is the number that the folder has among
    /// the job's own checkpoints; a folder elsewhere may have any name. Blocking.
    pub(crate) fn read(
        store: Arc<dyn SnapshotStore>,
        folder: &str,
        own: Option<CheckpointId>,
        deployment: &Deployment,
        listener: Option<&dyn JobListener>,
    ) -> Result<Self, NoRestore> {
        let mut restored = Self::look(store, folder, own, deployment)?;
        restored.unfit().map_err(NoRestore::Unfit)?;
        restored.read_files(deployment, listener)?;
        restored.unfit().map_err(NoRestore::Unfit)?;
        Ok(restored)
    }

    /// Reads the metadata of a checkpoint and judges it. Blocking.
    pub(crate) fn look(
        store: Arc<dyn SnapshotStore>,
        folder: &str,
        own: Option<CheckpointId>,
        deployment: &Deployment,
    ) -> Result<Self, NoRestore> {
        let folder = match folder.trim_end_matches('/') {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let path = format!("{folder}_metadata");
        let location = format!("{}/{}", store.describe().trim_end_matches('/'), folder);
        let location = location.trim_end_matches('/').to_owned();
        let place = format!("{location}/_metadata");
        let bytes = store.get(&path).map_err(|e| not_got(&place, &e))?;
        let mut metadata = Metadata::decode(&bytes).map_err(|e| {
            let message = format!("{place}: {e}");
            match e {
                // It is whole: going back behind it would lose what it holds.
                MetadataError::Newer { .. } | MetadataError::Unknown(_) => {
                    NoRestore::Unfit(Failure::Restore { message })
                }
                MetadataError::NotMetadata
                | MetadataError::Truncated { .. }
                | MetadataError::Corrupt { .. }
                | MetadataError::Malformed(_)
                | MetadataError::Invalid(_) => NoRestore::Unreadable(Failure::Restore { message }),
            }
        })?;
        let id = metadata.checkpoint;
        // A folder that was copied over another: what follows goes by the number.
        if own.is_some_and(|own| own != id) {
            let message = format!("{place}: damaged: it is that of checkpoint {id}");
            return Err(NoRestore::Unreadable(Failure::Restore { message }));
        }
        let committed = format!("{folder}{}", JobPaths::committed_inside());
        let committed = match store.get(&committed) {
            Ok(_) => true,
            Err(e) if e.is_not_found() => false,
            Err(e) => return Err(not_got(&location, &e)),
        };
        let renamed = fit::rename(&mut metadata, &deployment.mapping.renamed_from);
        let fit = fit::judge(&metadata, deployment);
        Ok(Self {
            id,
            location,
            metadata,
            renamed,
            fit,
            committed,
            store,
            folder,
            files: Mutex::default(),
            readers: Mutex::default(),
            channels: Mutex::default(),
            operator_states: Mutex::default(),
        })
    }

    /// Why the job cannot go on from it, if it cannot.
    pub(crate) fn unfit(&self) -> Result<(), Failure> {
        let Some((first, others)) = self.fit.problems.split_first() else {
            return Ok(());
        };
        let more = match others.len() {
            0 => String::new(),
            1 => " (and one thing more: `weir check --from` tells all)".to_owned(),
            n => format!(" (and {n} things more: `weir check --from` tells all)"),
        };
        Err(Failure::Unfit {
            message: format!("{}: {first}{more}", self.location),
        })
    }

    /// Reads all state files, so that what is damaged is found before anything starts, and judges
    /// what only they tell.
    pub(crate) fn read_files(
        &mut self,
        deployment: &Deployment,
        listener: Option<&dyn JobListener>,
    ) -> Result<(), NoRestore> {
        let files = self.metadata.files();
        let (id, of) = (self.id, files.iter().map(|file| file.length).sum());
        let mut done = 0;
        for file in files {
            self.bytes(file)?;
            done += file.length;
            if let Some(listener) = listener {
                listener.event(&JobEvent::Reading { id, done, of });
            }
        }
        let operators = self.metadata.operators.values();
        for part in operators.flat_map(|operator| &operator.subtasks) {
            if let Some(file) = &part.file {
                self.reader(file, &part.shared)?;
            }
            if let Some(file) = &part.channels {
                self.open_channels(file)?;
            }
        }
        self.judge_raw(deployment)?;
        self.judge_native(deployment)?;
        self.judge_in_flight(deployment)
    }

    /// Judges keyed state in the files of a backend: nobody but that reads them, nobody migrates
    /// what is in them.
    fn judge_native(&mut self, deployment: &Deployment) -> Result<(), NoRestore> {
        let verdicts = fit::verdicts(&self.metadata, deployment);
        for (name, verdicts) in verdicts {
            if !self.is_native(&name)? {
                continue;
            }
            let is_older = |verdict: &Verdict| matches!(verdict.change, Change::Version { .. });
            let why = if !deployment.backend.has_files() {
                "another state backend, which only that reads"
            } else if verdicts.iter().any(is_older) {
                "its backend and of an older version, which nobody can migrate"
            } else {
                continue;
            };
            self.fit.problems.push(format!(
                "the state of operator `{name}` is in the files of {why}: go on from a canonical \
                 savepoint, taken with the job as it was"
            ));
        }
        Ok(())
    }

    /// Whether the keyed state of an operator is in the files of its backend.
    fn is_native(&self, operator: &Name) -> Result<bool, NoRestore> {
        let Some(saved) = self.metadata.operators.get(operator) else {
            return Ok(false);
        };
        let max = self.metadata.max_parallelism;
        for (subtask, part) in saved.parallelism.subtasks().zip(&saved.subtasks) {
            let Some(file) = &part.file else { continue };
            let held = max.range_of(subtask, saved.parallelism).map_err(|e| {
                let message = format!("{}: operator `{operator}`: {e}", self.location);
                NoRestore::Unreadable(Failure::Restore { message })
            })?;
            let reader = self.reader(file, &part.shared)?;
            if lock(&reader)
                .native(self.saved_name(operator), held)
                .is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Judges what components had said themselves: it must be told to somebody.
    fn judge_raw(&mut self, deployment: &Deployment) -> Result<(), NoRestore> {
        for (name, operator) in &deployment.operators {
            if operator.factory.descriptor().checkpointed {
                continue;
            }
            let saved = self.saved_operator_state(name)?;
            if saved.iter().all(|subtask| subtask.raw.is_empty()) {
                continue;
            }
            if deployment.mapping.allow_non_restored_state {
                let left = format!("what the component of operator `{name}` had given of its own");
                self.fit.left.push(left);
            } else {
                self.fit.problems.push(format!(
                    "it holds what the component of operator `{name}` had given of its own, and \
                     the component does not export `checkpointed` any more: that would be lost; \
                     to leave it behind: {}",
                    fit::ALLOW
                ));
            }
        }
        Ok(())
    }

    /// The name that an operator's state has in the files.
    fn saved_name<'a>(&'a self, operator: &'a Name) -> &'a Name {
        self.renamed.get(operator).unwrap_or(operator)
    }

    /// Whether all subtasks of a chain had finished, so that nothing of it runs again.
    pub(crate) fn is_finished(&self, chain: &Chain) -> bool {
        let saved = self.metadata.operators.get(&chain.name);
        saved.is_some_and(|saved| saved.subtasks.iter().all(|subtask| subtask.finished))
    }

    /// Whether the job had finished with this checkpoint: there is nothing left to run.
    pub(crate) fn all_finished(&self) -> bool {
        self.metadata.kind == CheckpointKind::Final
    }

    /// What is saved of a source.
    pub(crate) fn source(&self, name: &Name) -> Option<SavedSource> {
        let saved = self.metadata.sources.get(name)?;
        Some(SavedSource {
            enumerator: saved.enumerator.clone(),
            open: saved
                .open
                .iter()
                .map(|s| split(&s.id, &s.position))
                .collect(),
            ended: saved.ended.clone(),
        })
    }

    /// What is to be committed of a sink. A fork commits nothing of the job that it was split off
    /// from, unless that job ended with this checkpoint and leaves it to its successor (D21).
    fn transactions(&self, name: &Name, fork: bool) -> Vec<Transaction> {
        let left = matches!(
            self.metadata.kind,
            CheckpointKind::Stop | CheckpointKind::Final
        );
        if self.committed || (fork && !left) {
            return Vec::new();
        }
        self.metadata.sinks.get(name).cloned().unwrap_or_default()
    }

    /// What is to be committed of a sink, each transaction with the rows that it keeps in the
    /// checkpoint. Blocking.
    pub(crate) fn sealed(
        &self,
        name: &Name,
        fork: bool,
    ) -> Result<Vec<(Transaction, Vec<Sealed>)>, Failure> {
        let transactions = self.transactions(name, fork);
        let mut logs = Logs::default();
        if !transactions.is_empty() {
            let saved = self.saved_operator_state(name);
            for subtask in saved.map_err(NoRestore::into_failure)?.iter() {
                logs.add(&subtask.raw).map_err(|e| Failure::Restore {
                    message: format!("{}: sink `{name}`: {e}", self.location),
                })?;
            }
        }
        let join = |transaction: Transaction| {
            let committables = transaction.committables.iter().cloned();
            let sealed = committables.map(|one| logs.join(one)).collect();
            (transaction, sealed)
        };
        Ok(transactions.into_iter().map(join).collect())
    }

    /// What of an operator's state is of an older version, to be migrated when it is loaded.
    ///
    /// # Errors
    /// [`Failure`] where the operator cannot be asked.
    pub(crate) fn migration(
        &self,
        operator: &Name,
        factory: &dyn OperatorFactory,
    ) -> Result<Option<Migration>, Failure> {
        let saved = self.metadata.operators.get(operator);
        let saved = fit::saved_states(saved.map_or(&[], |saved| saved.states.as_slice()));
        Migration::of(factory, &saved)
    }

    /// Restores the key groups of a backend for an operator, and adds to `base` what the checkpoint
    /// has of them where later ones may refer to it. Blocking.
    pub(crate) fn load(
        &self,
        operator: &Name,
        backend: &mut dyn Backend,
        now: ProcessingTime,
        base: &mut BaseIndex,
    ) -> Result<(), Failure> {
        let Some(saved) = self.metadata.operators.get(operator) else {
            return Ok(());
        };
        let (range, saved_as) = (backend.key_groups(), self.saved_name(operator));
        let failed = |message: String| Failure::Restore {
            message: format!("{}: operator `{operator}`: {message}", self.location),
        };
        backend.set_time(now);
        let mut parts = Vec::new();
        for (subtask, part) in saved.parallelism.subtasks().zip(&saved.subtasks) {
            let Some(file) = &part.file else { continue };
            let held = self
                .metadata
                .max_parallelism
                .range_of(subtask, saved.parallelism)
                .map_err(|e| failed(e.to_string()))?;
            if held.start <= range.end && range.start <= held.end {
                let reader = self.reader(file, &part.shared);
                parts.push((file, held, reader.map_err(NoRestore::into_failure)?));
            }
        }
        // In the order of old subtasks, here as everywhere, so that nobody waits in a circle.
        let mut open: Vec<_> = parts
            .iter()
            .map(|(file, held, reader)| (*file, *held, lock(reader)))
            .collect();
        for (file, _, reader) in &open {
            // A file in the folder of a checkpoint goes with it.
            if file.shared().is_some() {
                base.add(reader, &reference_to(file), saved_as, range, operator);
            }
        }
        let natives = open
            .iter_mut()
            .map(|(_, held, reader)| (*held, &mut **reader));
        if let Some(mut native) = NativeReaders::of(saved_as, natives.collect()) {
            return backend.import(&mut native).map_err(|e| match e {
                // It is whole: the job may go on with that backend, and an older one is no better.
                Error::OtherBackend => Failure::Unfit {
                    message: format!("{}: operator `{operator}`: {e}", self.location),
                },
                e => failed(e.to_string()),
            });
        }
        for (file, _, reader) in &mut open {
            let loaded = reader.load(saved_as, backend, range, now);
            loaded.map_err(|e| Failure::Restore {
                message: format!("{}/{}: {e}", self.location, file.path),
            })?;
        }
        Ok(())
    }

    /// What one subtask of an operator gets of the state without keys; `None` where the checkpoint
    /// does not know the operator. Of one that had `finished` it is only saved again. Blocking.
    pub(crate) fn operator_state(
        &self,
        descriptor: &Descriptor,
        task: &TaskInfo,
        finished: bool,
    ) -> Result<Option<SavedOperatorState>, Failure> {
        if !self.metadata.operators.contains_key(&task.operator) {
            return Ok(None);
        }
        let old = self.saved_operator_state(&task.operator);
        let old = old.map_err(NoRestore::into_failure)?;
        let deal = match finished {
            true => redistribute_finished,
            false => redistribute,
        };
        let (parallelism, subtask) = (task.parallelism, task.subtask);
        let mut dealt = deal(&descriptor.states, &old, parallelism, subtask);
        if !descriptor.checkpointed {
            // It was left behind; there is nobody to be told.
            dealt.raw.clear();
        }
        Ok(Some(dealt))
    }

    /// What each old subtask saved of an operator's state without keys.
    fn saved_operator_state(
        &self,
        operator: &Name,
    ) -> Result<Arc<Vec<SavedOperatorState>>, NoRestore> {
        let mut known = lock(&self.operator_states);
        if let Some(known) = known.get(operator) {
            return Ok(known.clone());
        }
        let saved = self.metadata.operators.get(operator);
        let of = |subtask: &SubtaskMeta| {
            let Some(file) = &subtask.file else {
                return Ok(SavedOperatorState::default());
            };
            let reader = self.reader(file, &subtask.shared)?;
            lock(&reader)
                .operator_state(self.saved_name(operator))
                .map_err(|e| {
                    let message = format!("{}/{}: {e}", self.location, file.path);
                    NoRestore::Unreadable(Failure::Restore { message })
                })
        };
        let subtasks = saved.iter().flat_map(|saved| &saved.subtasks);
        let all = Arc::new(subtasks.map(of).collect::<Result<Vec<_>, _>>()?);
        known.insert(operator.clone(), all.clone());
        Ok(all)
    }

    /// A state file with all that it refers to, which must be among `shared`.
    fn reader(&self, file: &FileRef, shared: &[FileRef]) -> Result<OpenFile, NoRestore> {
        if let Some(open) = lock(&self.readers).get(&file.path) {
            return Ok(open.clone());
        }
        let damaged = |message: String| {
            let message = format!("{}/{}: {message}", self.location, file.path);
            NoRestore::Unreadable(Failure::Restore { message })
        };
        let reader = StateFileReader::open(self.bytes(file)?);
        let mut reader = reader.map_err(|e| damaged(e.to_string()))?;
        let references: Vec<Reference> = reader.references().collect();
        for (n, reference) in references.iter().enumerate() {
            let known = shared.iter().find(|file| reference_to(file) == *reference);
            let known = known.ok_or_else(|| {
                damaged(format!(
                    "it refers to `{}`, which the metadata do not name as it does",
                    reference.path
                ))
            })?;
            let given = reader.refer(n, self.bytes(known)?);
            given.map_err(|e| damaged(e.to_string()))?;
        }
        let reader = Arc::new(Mutex::new(reader));
        lock(&self.readers).insert(file.path.clone(), reader.clone());
        Ok(reader)
    }

    /// Opens what was in flight to a task, and reads all of it once.
    pub(super) fn open_channels(&self, file: &FileRef) -> Result<Arc<ChannelFile>, NoRestore> {
        if let Some(open) = lock(&self.channels).get(&file.path) {
            return Ok(open.clone());
        }
        let damaged = |error: weir_state::Error| {
            let message = format!("{}/{}: {error}", self.location, file.path);
            NoRestore::Unreadable(Failure::Restore { message })
        };
        let channels = ChannelFile::open(self.bytes(file)?.to_vec()).map_err(damaged)?;
        for channel in channels.channels() {
            channels.elements(channel.index).map_err(damaged)?;
        }
        let channels = Arc::new(channels);
        lock(&self.channels).insert(file.path.clone(), channels.clone());
        Ok(channels)
    }

    /// The bytes of a file, found whole.
    fn bytes(&self, file: &FileRef) -> Result<Arc<Vec<u8>>, NoRestore> {
        let FileRef {
            path,
            length,
            crc32c: crc,
        } = file;
        let place = format!("{}/{path}", self.location);
        let damaged = |message: String| {
            let message = format!("{place}: {message}");
            NoRestore::Unreadable(Failure::Restore { message })
        };
        let mut files = lock(&self.files);
        if let Some(known) = files.get(path) {
            return Ok(known.clone());
        }
        let Some(object) = resolve(&self.folder, path) else {
            return Err(damaged("it lies outside of what was named".into()));
        };
        let bytes = self.store.get(&object);
        let bytes = bytes.map_err(|e| not_got(&place, &e))?;
        if bytes.len() as u64 != *length {
            return Err(damaged(format!(
                "{} bytes, {length} were written",
                bytes.len()
            )));
        }
        let found = crc32c::crc32c(&bytes);
        if found != *crc {
            return Err(damaged(format!(
                "checksum {found:08x}, {crc:08x} was written"
            )));
        }
        let bytes = Arc::new(bytes);
        files.insert(path.clone(), bytes.clone());
        Ok(bytes)
    }

    /// Lets the files go, once all state is loaded.
    pub(crate) fn release(&self) {
        lock(&self.files).clear();
        lock(&self.channels).clear();
        lock(&self.readers).clear();
        lock(&self.operator_states).clear();
    }
}

/// What is behind these locks is whole whoever has panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file of a checkpoint, as another refers to it.
fn reference_to(file: &FileRef) -> Reference {
    Reference {
        path: file.path.clone(),
        length: file.length,
        crc32c: file.crc32c,
    }
}

/// An object that is missing makes a checkpoint unreadable; a storage that fails does not.
fn not_got(place: &str, error: &StoreError) -> NoRestore {
    if error.is_not_found() {
        let message = format!("{place}: {error}");
        NoRestore::Unreadable(Failure::Restore { message })
    } else {
        NoRestore::Failed(Failure::External {
            what: format!("read {place}"),
            message: error.told(),
        })
    }
}
