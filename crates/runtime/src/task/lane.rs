//! The asynchronous part of a task's checkpoints: seals transactions, writes state files and
//! commits, off the task, strictly one after the other.
//!
//! INVARIANT: jobs of one task never overlap and keep their order; so the transactions of
//! checkpoint
//! *n* are sealed before those of *n + 1*, and committed after they are sealed.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};
use weir_checkpoint::{
    FailureReason, FileRef, JobPaths, SharedFile, SharedRegistry, SnapshotStore, StoreError,
    TaskId, Transaction,
};
use weir_model::{Attempt, CheckpointId, Name, ProcessingTime, SubtaskIndex};
use weir_operator::{PreCommit, SinkFactory};
use weir_state::{OperatorSnapshot, Snapshot, StateDecl, StateFile, StateFileWriter};

use super::{bases::Bases, object::Object, sink::Transactions, wires::Wires};
use crate::{
    driver::Targets,
    exchange::Recorded,
    messages::{Ack, Event, FromTask, TaskFailure},
};

#[cfg(test)]
mod tests;

/// Work for the lane.
pub(crate) enum Work {
    /// A task's part of a checkpoint.
    Snapshot(Box<Part>),
    /// What sinks had sealed for a checkpoint that was then declined: kept for the next one.
    Seal {
        id: CheckpointId,
        now: ProcessingTime,
        sinks: Vec<Epoch>,
    },
    /// The checkpoint is complete.
    Commit(CheckpointId),
    /// The checkpoint was given up.
    Aborted(CheckpointId),
}

/// What the synchronous part of a snapshot hands over.
pub(crate) struct Part {
    pub(crate) id: CheckpointId,
    /// The checkpoint whose files may be referred to.
    pub(crate) base: Option<CheckpointId>,
    /// Whether this one may be the base of a later one.
    pub(crate) tracked: bool,
    pub(crate) now: ProcessingTime,
    /// The state of each operator that has some.
    pub(crate) states: Vec<NodeState>,
    /// What each sink has sealed.
    pub(crate) sinks: Vec<Epoch>,
    /// What was in flight, by channel.
    pub(crate) channels: Vec<(usize, Vec<Recorded>)>,
    pub(crate) ack: Ack,
}

/// The state of one operator at a barrier.
pub(crate) struct NodeState {
    pub(crate) operator: Name,
    pub(crate) decls: Vec<StateDecl>,
    /// Its keyed state.
    pub(crate) keyed: Option<Box<dyn Snapshot>>,
    /// Its lists and broadcast state, and what it said itself.
    pub(crate) own: Option<(OperatorSnapshot, Vec<Vec<u8>>)>,
}

/// What one sink wrote between two barriers.
pub(crate) struct Epoch {
    pub(crate) sink: Name,
    /// When its first row was written.
    pub(crate) opened: Option<ProcessingTime>,
    pub(crate) pre_commit: PreCommit,
}

/// A sink, as the lane sees it.
#[derive(Clone)]
pub(crate) struct LaneSink {
    pub(crate) name: Name,
    pub(crate) factory: Arc<dyn SinkFactory>,
    pub(crate) transactions: Transactions,
}

/// Where a task's files go.
#[derive(Clone)]
pub(crate) struct Storage {
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) paths: JobPaths,
}

impl Storage {
    /// Deletes everything of a checkpoint, its metadata first: without it the rest is an orphan,
    /// which the next start of the job removes. A shared file goes with the last checkpoint that
    /// names it. Blocking.
    ///
    /// # Errors
    /// The metadata may be there still, and nothing else is touched.
    pub(crate) fn delete_checkpoint(
        &self,
        id: CheckpointId,
        registry: &Mutex<SharedRegistry>,
    ) -> Result<(), StoreError> {
        self.store.delete(&self.paths.metadata(id))?;
        // Not before it is gone: what can be restored keeps its files.
        let gone = lock(registry).removed(id);
        let inside = self.store.list(&self.paths.checkpoint(id));
        for object in inside.into_iter().flatten() {
            let _ = self.store.delete(&object.path);
        }
        self.delete_shared(&gone);
        Ok(())
    }

    /// Deletes shared files that nobody names. One that stays is an orphan, which the next start of
    /// the job removes. Blocking.
    pub(crate) fn delete_shared(&self, files: &[SharedFile]) {
        for file in files {
            let _ = self.store.delete(&self.paths.shared_file(file));
        }
    }
}

/// For values that no panic leaves half changed.
pub(crate) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a lane needs to know of its task.
pub(crate) struct Lane {
    pub(crate) task: TaskId,
    pub(crate) name: Name,
    pub(crate) subtask: SubtaskIndex,
    pub(crate) attempt: Attempt,
    /// What earlier checkpoints have of this task.
    pub(crate) bases: Bases,
    /// `None` where the job keeps no checkpoints: then nothing is written.
    pub(crate) storage: Option<Storage>,
    /// Where savepoints go.
    pub(crate) targets: Targets,
    pub(crate) sinks: Vec<LaneSink>,
    /// What its channels are, to be written beside what is in flight in them.
    pub(crate) wires: Wires,
    pub(crate) events: mpsc::UnboundedSender<FromTask>,
}

/// The sending end of a lane. Dropping the sender ends the lane after its last job.
pub(crate) struct LaneHandle {
    pub(crate) work: mpsc::UnboundedSender<Work>,
    pub(crate) done: JoinHandle<()>,
}

impl NodeState {
    fn write<W: io::Write>(self, writer: &mut StateFileWriter<W>) -> Result<(), weir_state::Error> {
        let Self {
            operator,
            decls,
            keyed,
            own,
        } = self;
        if let Some(snapshot) = keyed {
            writer.add(&operator, &decls, snapshot)?;
        }
        if let Some((snapshot, raw)) = own {
            writer.add_operator_state(&operator, &decls, snapshot, raw)?;
        }
        Ok(())
    }
}

impl Lane {
    /// Starts the lane on the current runtime.
    pub(crate) fn start(self) -> LaneHandle {
        let (work, mut inbox) = mpsc::unbounded_channel();
        let lane = Arc::new(self);
        let done = tokio::spawn(async move {
            while let Some(work) = inbox.recv().await {
                let here = lane.clone();
                let event = match spawn_blocking(move || here.run(work)).await {
                    Ok(event) => event,
                    Err(panic) => Some(lane.internal(format!("a checkpoint panicked: {panic}"))),
                };
                if let Some(event) = event {
                    let _ = lane.events.send(FromTask {
                        task: lane.task,
                        event,
                    });
                }
            }
        });
        LaneHandle { work, done }
    }

    fn internal(&self, message: String) -> Event {
        let failure = weir_operator::Failure::Internal { message };
        Event::Failed(TaskFailure {
            node: self.name.clone(),
            failure,
        })
    }

    fn run(&self, work: Work) -> Option<Event> {
        match work {
            Work::Snapshot(part) => Some(self.snapshot(*part)),
            Work::Seal { id, now, sinks } => self.seal(id, now, sinks).err(),
            Work::Commit(id) => self.commit(id).err().map(Event::Failed),
            Work::Aborted(id) => {
                self.bases.forget(id);
                None
            }
        }
    }

    /// Seals, writes, and says so. A transaction that cannot be sealed fails the task, for its rows
    /// are in no later checkpoint; a file that cannot be written only declines the checkpoint.
    fn snapshot(&self, part: Part) -> Event {
        let Part {
            id,
            base,
            tracked,
            now,
            states,
            sinks,
            channels,
            mut ack,
        } = part;
        match self.seal(id, now, sinks) {
            Ok(sealed) => ack.sinks = sealed,
            Err(event) => return event,
        }
        let mut states = states;
        states.extend(self.logs(id));
        // First, for a state file that may outlive its checkpoint cannot be taken back.
        let written = self.write_channels(id, channels).and_then(|channels| {
            let state = self.write(id, base, tracked, states);
            if let (Err(_), Some(channels)) = (&state, &channels) {
                self.remove(id, &channels.path);
            }
            state.map(|(file, shared)| (file, shared, channels))
        });
        match written {
            Ok((file, shared, channels)) => {
                ack.channels = channels;
                ack.file = file;
                ack.shared = shared;
                Event::Ack(id, Box::new(ack))
            }
            Err(message) => Event::Declined(id, FailureReason::CheckpointAsyncException, message),
        }
    }

    /// Seals what the sinks wrote; gives back all that is not yet confirmed, by sink.
    fn seal(
        &self,
        id: CheckpointId,
        now: ProcessingTime,
        sinks: Vec<Epoch>,
    ) -> Result<Vec<(Name, Vec<Transaction>)>, Event> {
        let mut unconfirmed = Vec::new();
        for Epoch {
            sink: name,
            opened,
            pre_commit,
        } in sinks
        {
            let Some(sink) = self.sinks.iter().find(|s| s.name == name) else {
                return Err(self.internal(format!("no sink `{name}` in this task")));
            };
            let sealed = pre_commit().map_err(|failure| {
                Event::Failed(TaskFailure {
                    node: name.clone(),
                    failure,
                })
            })?;
            let mut transactions = sink.transactions.lock();
            for warning in transactions.seal(id, now, opened, sealed) {
                let event = Event::SlowTransaction(name.clone(), warning);
                let _ = self.events.send(FromTask {
                    task: self.task,
                    event,
                });
            }
            unconfirmed.push((name, transactions.pending_up_to(id)));
        }
        Ok(unconfirmed)
    }

    /// The rows that sinks keep in the checkpoint until they are committed.
    fn logs(&self, id: CheckpointId) -> Vec<NodeState> {
        let of = |sink: &LaneSink| {
            let items = sink.transactions.lock().logs_up_to(id);
            (!items.is_empty()).then(|| NodeState {
                operator: sink.name.clone(),
                decls: Vec::new(),
                keyed: None,
                own: Some((OperatorSnapshot::default(), items)),
            })
        };
        self.sinks.iter().filter_map(of).collect()
    }

    /// Writes the file of a checkpoint; gives back it and those that it refers to.
    fn write(
        &self,
        id: CheckpointId,
        base: Option<CheckpointId>,
        tracked: bool,
        states: Vec<NodeState>,
    ) -> Result<(Option<FileRef>, Vec<FileRef>), String> {
        let Some(storage) = self.storage.as_ref().filter(|_| !states.is_empty()) else {
            return Ok((None, Vec::new()));
        };
        // Only keyed state is referred to; another file goes with its checkpoint.
        let tracked = tracked && states.iter().any(|state| state.keyed.is_some());
        let inside = self.path(id, tracked);
        let (store, path) = self.targets.place(storage, id, &inside);
        let object = Object::begin(&*store, &path)?;
        let file = self.pack(object, base, states).map_err(|e| e.to_string())?;
        let index = tracked.then(|| file.index(&inside));
        let shared = file.references.into_iter().map(|reference| FileRef {
            path: reference.path,
            length: reference.length,
            crc32c: reference.crc32c,
        });
        file.out.finish()?;
        if let Some(index) = index {
            self.bases.put(id, index);
        }
        let file = FileRef {
            path: inside,
            length: file.length,
            crc32c: file.crc32c,
        };
        Ok((Some(file), shared.collect()))
    }

    /// Writes the state of all operators into one file.
    fn pack<W: io::Write>(
        &self,
        out: W,
        base: Option<CheckpointId>,
        states: Vec<NodeState>,
    ) -> Result<StateFile<W>, weir_state::Error> {
        let mut writer = StateFileWriter::to(out)?;
        if let Some((base, index)) = base.and_then(|base| self.bases.take(base)) {
            writer = writer.referring(base, index);
        }
        for state in states {
            state.write(&mut writer)?;
        }
        writer.finish()
    }

    /// Writes what is in flight, in an object of this checkpoint alone.
    fn write_channels(
        &self,
        id: CheckpointId,
        channels: Vec<(usize, Vec<Recorded>)>,
    ) -> Result<Option<FileRef>, String> {
        let Some(storage) = self.storage.as_ref().filter(|_| !channels.is_empty()) else {
            return Ok(None);
        };
        let inside = JobPaths::channels_file(&self.name, self.subtask);
        let (store, path) = self.targets.place(storage, id, &inside);
        let object = Object::begin(&*store, &path)?;
        let packed = self.wires.pack(object, channels);
        let file = packed.map_err(|e| e.to_string())?;
        file.out.finish()?;
        Ok(Some(FileRef {
            path: inside,
            length: file.length,
            crc32c: file.crc32c,
        }))
    }

    /// Removes what was written for a checkpoint that is then declined.
    fn remove(&self, id: CheckpointId, inside: &str) {
        if let Some(storage) = &self.storage {
            let path = storage.paths.in_checkpoint(id, inside);
            let _ = storage.store.delete(&path);
        }
    }

    /// Where the file of a checkpoint lies: beside it, if it may outlive it.
    fn path(&self, id: CheckpointId, tracked: bool) -> String {
        if !tracked {
            return JobPaths::state_file(&self.name, self.subtask);
        }
        let file = SharedFile {
            head: self.name.clone(),
            subtask: self.subtask,
            checkpoint: id,
            attempt: self.attempt,
        };
        file.path()
    }

    /// Commits everything up to a checkpoint.
    fn commit(&self, id: CheckpointId) -> Result<(), TaskFailure> {
        for sink in &self.sinks {
            let due = sink.transactions.lock().complete(id);
            for (id, sealed) in due {
                sink.factory
                    .commit(&sealed)
                    .map_err(|failure| TaskFailure {
                        node: sink.name.clone(),
                        failure,
                    })?;
                sink.transactions.lock().committed(id);
            }
        }
        Ok(())
    }
}
