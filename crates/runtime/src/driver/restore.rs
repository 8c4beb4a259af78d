//! What a checkpoint gives back: state by key group, splits, committables, and who had finished.

mod files;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use weir_checkpoint::{
    CheckpointKind, FileRef, JobPaths, Metadata, MetadataError, SnapshotStore, StoreError,
    SubtaskMeta, Transaction,
};
use weir_graph::{Chain, Plan};
use weir_model::{CheckpointId, Name, ProcessingTime};
use weir_operator::{Descriptor, Failure, OperatorFactory, SavedSource, Sealed, TaskInfo};
use weir_state::{
    Backend, BaseIndex, Change, ChannelFile, Error, NativeReaders, SavedOperatorState, Verdict,
    redistribute, redistribute_finished,
};

use self::files::{Files, reference_to};
use super::{
    Whose,
    fit::{self, Fit},
    migrate::Migration,
    sources::split,
};
use crate::{
    deployment::{Deployment, JobEvent, JobListener},
    logs::Logs,
    task::lock,
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
    /// The operators that are to go on from it; `None` = all.
    only: Option<BTreeSet<Name>>,
    files: Files,
    /// What was saved of each operator's state without keys, by old subtask: each new subtask takes
    /// its share of all.
    operator_states: Mutex<HashMap<Name, Arc<Vec<SavedOperatorState>>>>,
}

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
    /// is damaged is found before anything starts; those of the chains in `only` where only they
    /// go on from it. `own` is the number that the folder has among the job's own checkpoints; a
    /// folder elsewhere may have any name. Blocking.
    pub(crate) fn read(
        store: Arc<dyn SnapshotStore>,
        folder: &str,
        own: Option<CheckpointId>,
        (deployment, only): (&Deployment, Option<&[usize]>),
        listener: Option<&dyn JobListener>,
    ) -> Result<Self, NoRestore> {
        let mut restored = Self::look(store, folder, own, deployment)?;
        restored.only = only.map(|vertices| nodes_of(&deployment.plan, vertices));
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
            metadata,
            renamed,
            fit,
            committed,
            only: None,
            files: Files::new(store, folder, location.clone()),
            location,
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
        let operators = self.metadata.operators.iter();
        let ours = operators.filter(|(name, _)| self.is_ours(name));
        let parts = || ours.clone().flat_map(|(_, operator)| &operator.subtasks);
        let mut files: Vec<&FileRef> = parts().flat_map(SubtaskMeta::files).collect();
        files.sort_unstable();
        files.dedup();
        let (id, of) = (self.id, files.iter().map(|file| file.length).sum());
        let done = Mutex::new(0);
        self.files.look_through(&files, &|more| {
            let mut done = lock(&done);
            *done += more;
            if let Some(listener) = listener {
                let done = *done;
                listener.event(&JobEvent::Reading { id, done, of });
            }
        })?;
        for part in parts() {
            if let Some(file) = &part.file {
                self.files.reader(file, &part.shared)?;
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
            if !self.is_ours(&name) || !self.is_native(&name)? {
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
            let reader = self.files.reader(file, &part.shared)?;
            if reader.native(self.saved_name(operator), held).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Judges what components had said themselves: it must be told to somebody.
    fn judge_raw(&mut self, deployment: &Deployment) -> Result<(), NoRestore> {
        for (name, operator) in &deployment.operators {
            if operator.factory.descriptor().checkpointed || !self.is_ours(name) {
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

    /// Whether an operator is to go on from it.
    pub(super) fn is_ours(&self, operator: &Name) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.contains(operator))
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
    fn transactions(&self, name: &Name, whose: Whose) -> Vec<Transaction> {
        let left = matches!(
            self.metadata.kind,
            CheckpointKind::Stop | CheckpointKind::Final
        );
        if self.committed || (whose == Whose::Fork && !left) {
            return Vec::new();
        }
        self.metadata.sinks.get(name).cloned().unwrap_or_default()
    }

    /// What is to be committed of a sink, each transaction with the rows that it keeps in the
    /// checkpoint. Blocking.
    pub(crate) fn sealed(
        &self,
        name: &Name,
        whose: Whose,
    ) -> Result<Vec<(Transaction, Vec<Sealed>)>, Failure> {
        let transactions = self.transactions(name, whose);
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
        backend.set_time(now);
        let mut parts = Vec::new();
        for (subtask, part) in saved.parallelism.subtasks().zip(&saved.subtasks) {
            let Some(file) = &part.file else { continue };
            let max = self.metadata.max_parallelism;
            let held = max.range_of(subtask, saved.parallelism);
            let held = held.map_err(|e| Failure::Restore {
                message: format!("{}: operator `{operator}`: {e}", self.location),
            })?;
            if held.start <= range.end && range.start <= held.end {
                let reader = self.files.reader(file, &part.shared);
                parts.push((file, held, reader.map_err(NoRestore::into_failure)?));
            }
        }
        for (file, _, reader) in &parts {
            // A file in the folder of a checkpoint goes with it.
            if file.shared().is_some() {
                base.add(reader, &reference_to(file), saved_as, range, operator);
            }
        }
        let natives = parts.iter().map(|(_, held, reader)| (*held, &**reader));
        if let Some(mut native) = NativeReaders::of(saved_as, natives.collect()) {
            let place = format!("{}: operator `{operator}`", self.location);
            return backend.import(&mut native).map_err(|e| lost(&place, e));
        }
        for (file, _, reader) in &parts {
            let loaded = reader.load(saved_as, backend, range, now);
            loaded.map_err(|e| lost(&format!("{}/{}", self.location, file.path), e))?;
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
            let reader = self.files.reader(file, &subtask.shared)?;
            let state = reader.operator_state(self.saved_name(operator));
            state.map_err(|e| self.files.no_restore(&file.path, e))
        };
        let subtasks = saved.iter().flat_map(|saved| &saved.subtasks);
        let all = Arc::new(subtasks.map(of).collect::<Result<Vec<_>, _>>()?);
        known.insert(operator.clone(), all.clone());
        Ok(all)
    }

    /// What was in flight to a task.
    pub(super) fn open_channels(&self, file: &FileRef) -> Result<Arc<ChannelFile>, NoRestore> {
        self.files.channels(file)
    }

    /// Lets the files go, once all state is loaded.
    pub(crate) fn release(&self) {
        self.files.release();
        lock(&self.operator_states).clear();
    }
}

/// The nodes of some chains.
fn nodes_of(plan: &Plan, vertices: &[usize]) -> BTreeSet<Name> {
    let chains = vertices.iter().map(|&at| &plan.chains[at]);
    let nodes = chains.flat_map(|chain| &chain.nodes);
    nodes.map(|node| node.name.clone()).collect()
}

/// What an error means while state is loaded: only what is damaged is not mended by a restart.
fn lost(place: &str, error: Error) -> Failure {
    match error {
        Error::Storage(message) => Failure::External {
            what: format!("read {place}"),
            message,
        },
        Error::Local { what, message } => Failure::LocalState { what, message },
        // It is whole: the job may go on with that backend, and an older one is no better.
        Error::OtherBackend => Failure::Unfit {
            message: format!("{place}: {error}"),
        },
        error => Failure::Restore {
            message: format!("{place}: {error}"),
        },
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
