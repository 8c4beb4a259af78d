//! Carries the coordinator's decisions to the store: metadata, deletions. Blocking work goes to the
//! blocking pool; deletions keep their order behind what was written before.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};
use weir_checkpoint::{
    Completed, FileRef, Refusal, SharedRegistry, Snapshot, SnapshotStore, StoreError,
};
use weir_model::{Attempt, Barrier, BarrierKind, CheckpointId, Name};
use weir_operator::Failure;

use super::{
    begin::Begin,
    claim::Claim,
    desk::Targets,
    document::{self, Described},
};
use crate::{
    clock::Clock,
    control::SavepointTarget,
    deployment::CheckpointStats,
    messages::Ack,
    task::{Storage, lock},
};

/// The result of writing metadata.
pub(crate) struct Stored {
    pub(crate) id: CheckpointId,
    pub(crate) result: Result<(), NotStored>,
}

/// Why metadata was not written.
pub(crate) enum NotStored {
    Failed(String),
    /// Another process runs the job by now (D28).
    Superseded(String),
}

impl From<StoreError> for NotStored {
    fn from(error: StoreError) -> Self {
        match error.refusal() {
            Some(Refusal::Superseded { .. }) => Self::Superseded(error.to_string()),
            Some(_) | None => Self::Failed(error.told()),
        }
    }
}

impl From<Failure> for NotStored {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Superseded { message } => Self::Superseded(message),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<String> for NotStored {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

/// Writes and deletes checkpoints.
pub(crate) struct Persist {
    storage: Option<Storage>,
    described: Arc<Described>,
    /// Where savepoints go.
    targets: Targets,
    clock: Arc<dyn Clock>,
    done: (
        mpsc::UnboundedSender<Stored>,
        mpsc::UnboundedReceiver<Stored>,
    ),
    /// What is told of a checkpoint when it is complete.
    sizes: HashMap<CheckpointId, (u64, u64, f64)>,
    /// Who uses which shared file.
    registry: Arc<Mutex<SharedRegistry>>,
    /// What could not be deleted: tried again with the next deletion.
    undeleted: Arc<Mutex<BTreeSet<CheckpointId>>>,
    /// Whose metadata were not written, as far as is known, until they are deleted: they may be
    /// there all the same, and then whoever starts the job next begins with them.
    in_doubt: Arc<Mutex<BTreeSet<CheckpointId>>>,
    /// The last deletion; the next waits for it.
    deleting: Option<JoinHandle<()>>,
}

impl Persist {
    pub(crate) fn new(
        storage: Option<Storage>,
        described: Described,
        targets: Targets,
        clock: Arc<dyn Clock>,
        registry: Arc<Mutex<SharedRegistry>>,
    ) -> Self {
        Self {
            storage,
            described: Arc::new(described),
            targets,
            clock,
            done: mpsc::unbounded_channel(),
            sizes: HashMap::new(),
            registry,
            undeleted: Arc::default(),
            in_doubt: Arc::default(),
            deleting: None,
        }
    }

    /// Whether checkpoints are kept at all.
    pub(crate) fn keeps(&self) -> bool {
        self.storage.is_some()
    }

    /// The next result of [`store`](Self::store); never `None`.
    pub(crate) async fn next(&mut self) -> Option<Stored> {
        self.done.1.recv().await
    }

    /// A checkpoint begins. What its base names is kept until it has come to its end.
    pub(crate) fn triggered(&mut self, barrier: &Barrier) {
        if barrier.savepoint.is_some() {
            return; // it shares nothing with anybody
        }
        lock(&self.registry).triggered(barrier.checkpoint, barrier.base);
    }

    /// A task has acknowledged a checkpoint; whether anybody waits for it is another matter.
    pub(crate) fn acked(&mut self, id: CheckpointId, ack: &Ack) {
        if self.targets.get(id).is_some() {
            return;
        }
        let shared = ack.files().filter_map(FileRef::shared);
        lock(&self.registry).acked(id, shared);
    }

    /// Writes the metadata of a checkpoint that all tasks have acknowledged. Without a store there
    /// is nothing to write: the checkpoint serves only to commit.
    pub(crate) fn store(
        &mut self,
        attempt: Attempt,
        snapshot: Snapshot<Ack>,
        enumerators: BTreeMap<Name, Value>,
    ) {
        let id = snapshot.id;
        let acks = snapshot.acks.iter();
        let files = acks.flat_map(|(_, ack)| ack.file.iter().chain(&ack.channels));
        let bytes = files.map(|file| file.length).sum();
        let alignment = snapshot
            .acks
            .iter()
            .map(|(_, a)| a.alignment_ms)
            .max()
            .unwrap_or(0);
        let sync = snapshot
            .acks
            .iter()
            .map(|(_, a)| a.sync_ms)
            .fold(0.0, f64::max);
        self.sizes.insert(id, (bytes, alignment, sync));
        let done = self.done.0.clone();
        let Some(storage) = self.storage.clone() else {
            let _ = done.send(Stored { id, result: Ok(()) });
            return;
        };
        let described = self.described.clone();
        let now = self.clock.now();
        let target = self.targets.get(id);
        let writing = spawn_blocking(move || {
            let is_last = snapshot.kind.is_last();
            let metadata = document::metadata(&described, attempt, now, snapshot, enumerators);
            let bytes = metadata.encode().map_err(|e| e.to_string())?;
            let Some(target) = target else {
                return put(&*storage.store, &storage.paths.metadata(id), bytes);
            };
            // It goes where nobody looks who runs the job.
            storage.store.check_owner()?;
            let path = format!("{}_metadata", target.prefix());
            put(&*target.store, &path, bytes)?;
            match is_last {
                true => Ok(Begin::stopped(id, &target).write(&storage)?),
                false => Ok(()),
            }
        });
        tokio::spawn(async move {
            // Whoever waits for the result gets one, come what may.
            let result = writing.await.unwrap_or_else(|e| Err(e.to_string().into()));
            let _ = done.send(Stored { id, result });
        });
    }

    /// A checkpoint is complete: what it names is kept as long as it is, and what only its base
    /// named goes, if that is gone.
    pub(crate) fn completed(&mut self, id: CheckpointId) {
        if self.targets.get(id).is_some() {
            return;
        }
        let gone = lock(&self.registry).completed(id);
        if !gone.is_empty() {
            self.later(move |storage| storage.delete_shared(&gone));
        }
    }

    /// What a completed checkpoint came to.
    pub(crate) fn stats(&mut self, completed: &Completed) -> CheckpointStats {
        let (bytes, alignment_ms, sync_ms) = self.sizes.remove(&completed.id).unwrap_or_default();
        CheckpointStats {
            id: completed.id,
            duration_ms: completed.duration_ms,
            bytes,
            alignment_ms,
            sync_ms,
        }
    }

    /// The metadata of a checkpoint were not written, as far as is known. Of a savepoint with which
    /// the job would have gone on nothing depends; of one that it would have stopped with, the word
    /// that it did.
    pub(crate) fn not_stored(&self, id: CheckpointId, kind: BarrierKind) {
        if kind != BarrierKind::Periodic || self.targets.get(id).is_none() {
            lock(&self.in_doubt).insert(id);
        }
    }

    /// A checkpoint above this one which may be there or not.
    pub(crate) fn in_doubt(&self, above: Option<CheckpointId>) -> Option<CheckpointId> {
        let last = lock(&self.in_doubt).last().copied();
        last.filter(|last| Some(*last) > above)
    }

    /// Deletes everything of a checkpoint, its metadata first; and of those that could not be
    /// deleted before.
    pub(crate) fn delete(&mut self, id: CheckpointId) {
        self.sizes.remove(&id);
        if let Some(target) = self.targets.get(id) {
            self.later(move |_| delete_savepoint(&target));
            return;
        }
        let (registry, undeleted) = (self.registry.clone(), self.undeleted.clone());
        let in_doubt = self.in_doubt.clone();
        self.later(move |storage| {
            let mut undeleted = lock(&undeleted);
            undeleted.insert(id);
            undeleted.retain(|id| {
                let deleted = storage.delete_checkpoint(*id, &registry);
                if deleted.is_ok() {
                    lock(&in_doubt).remove(id);
                }
                deleted.is_err()
            });
        });
    }

    /// Deletes a checkpoint that the job had claimed, and is beyond those that are retained.
    pub(crate) fn delete_claimed(&mut self, claim: Claim) {
        self.later(move |_| claim.delete());
    }

    /// Deletes what a task wrote for a checkpoint that nobody waits for any more. Older files that
    /// its part names are others' as well.
    pub(crate) fn discard(&mut self, id: CheckpointId, ack: &Ack) {
        let (shared, own): (Vec<_>, Vec<_>) = ack
            .files()
            .map(|file| (file.shared(), file.path.clone()))
            .partition(|(shared, _)| shared.is_some());
        let (registry, targets) = (self.registry.clone(), self.targets.clone());
        self.later(move |storage| {
            for (_, inside) in own {
                let (store, path) = targets.place(storage, id, &inside);
                let _ = store.delete(&path);
            }
            let shared = shared.into_iter().filter_map(|(shared, _)| shared);
            let gone = lock(&registry).discarded(shared);
            storage.delete_shared(&gone);
        });
    }

    /// Waits for all deletions.
    pub(crate) async fn idle(&mut self) {
        if let Some(last) = self.deleting.take() {
            let _ = last.await;
        }
    }

    /// Deletions run one after the other. One that fails leaves an orphan, which the next start of
    /// the job removes; it is no reason to fail now.
    fn later(&mut self, delete: impl FnOnce(&Storage) + Send + 'static) {
        let Some(storage) = self.storage.clone() else {
            return;
        };
        let before = self.deleting.take();
        self.deleting = Some(tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            let _ = spawn_blocking(move || delete(&storage)).await;
        }));
    }
}

/// Deletes everything of a savepoint that was given up, its metadata first. Blocking.
fn delete_savepoint(target: &SavepointTarget) {
    let folder = target.prefix();
    let _ = target.store.delete(&format!("{folder}_metadata"));
    let inside = target.store.list(&folder);
    for object in inside.into_iter().flatten() {
        let _ = target.store.delete(&object.path);
    }
}

fn put(store: &dyn SnapshotStore, path: &str, bytes: Vec<u8>) -> Result<(), NotStored> {
    Ok(store.put(path, vec![bytes])?)
}
