//! What a checkpoint gives back: state by key group, splits, committables, and who had finished.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use weir_checkpoint::{
    CheckpointKind, FileRef, JobPaths, Metadata, MetadataError, SnapshotStore, StoreError,
    SubtaskMeta, Transaction, resolve,
};
use weir_graph::Chain;
use weir_model::{CheckpointId, KeyGroupRange, Name};
use weir_operator::{Descriptor, Failure, SavedSource, Sealed, TaskInfo};
use weir_state::{
    Backend, SavedOperatorState, StateFileReader, redistribute, redistribute_finished,
};

use super::{
    fit::{self, Fit},
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
    /// The state files that were found whole, by their path: chained operators share one.
    files: Mutex<HashMap<String, OpenFile>>,
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
            self.open(file)?;
            done += file.length;
            if let Some(listener) = listener {
                listener.event(&JobEvent::Reading { id, done, of });
            }
        }
        self.judge_raw(deployment)
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

    /// Loads the key groups `range` of an operator. Blocking.
    pub(crate) fn load(
        &self,
        operator: &Name,
        range: KeyGroupRange,
        backend: &mut dyn Backend,
    ) -> Result<(), Failure> {
        let Some(saved) = self.metadata.operators.get(operator) else {
            return Ok(());
        };
        for (subtask, part) in saved.parallelism.subtasks().zip(&saved.subtasks) {
            let Some(file) = &part.file else { continue };
            let damaged = |message: String| Failure::Restore {
                message: format!("{}/{}: {message}", self.location, file.path),
            };
            let held = self
                .metadata
                .max_parallelism
                .range_of(subtask, saved.parallelism)
                .map_err(|e| damaged(e.to_string()))?;
            if held.start <= range.end && range.start <= held.end {
                let reader = self.open(file).map_err(NoRestore::into_failure)?;
                let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
                reader
                    .load(self.saved_name(operator), backend, range)
                    .map_err(|e| damaged(e.to_string()))?;
            }
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
        let mut known = self
            .operator_states
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(operator) {
            return Ok(known.clone());
        }
        let saved = self.metadata.operators.get(operator);
        let of = |subtask: &SubtaskMeta| {
            let Some(file) = &subtask.file else {
                return Ok(SavedOperatorState::default());
            };
            let reader = self.open(file)?;
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader
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

    fn open(&self, file: &FileRef) -> Result<OpenFile, NoRestore> {
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
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = files.get(path) {
            return Ok(open.clone());
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
        let reader = StateFileReader::open(bytes).map_err(|e| damaged(e.to_string()))?;
        let reader = Arc::new(Mutex::new(reader));
        files.insert(path.clone(), reader.clone());
        Ok(reader)
    }
    /// Lets the files go, once all state is loaded.
    pub(crate) fn release(&self) {
        self.files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.operator_states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
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
