//! The lane of a task: seals, writes and commits, strictly one after the other, as the lane of the
//! runtime does.

use std::collections::BTreeMap;

use weir_model::CheckpointId;
use weir_operator::Failure;

use super::{
    Epoch, Event, Part, Task, Work, Written,
    flight::{InFlight, write},
};
use crate::{
    FailureReason, FileRef, JobPaths, SharedFile, SnapshotStore, TaskId,
    simulation::{
        folders::Broken,
        plan::Role,
        seen::Seen,
        world::{World, note},
    },
};

/// So many files of one task are built on; then all is written again.
const FILES_MAX: usize = 3;

impl Task {
    /// Does the next part of what is left to do beside the task.
    pub(in crate::simulation) fn run_lane(&mut self, world: &mut World) -> Result<(), Broken> {
        match self.lane.pop_front() {
            None => return Ok(()),
            Some(Work::Seal(id, epoch)) => {
                if let Err(failure) = self.seal(world, id, epoch) {
                    self.events.push_back(Event::Failed(failure.to_string()));
                }
            }
            Some(Work::Part(id, part)) => self.part(world, id, *part),
            Some(Work::Commit(id)) => self.commit(world, id)?,
        }
        world.folders.look()
    }

    /// A transaction that cannot be sealed fails the task, a file that cannot be written only
    /// declines the checkpoint.
    fn part(&mut self, world: &mut World, id: CheckpointId, mut part: Part) {
        let event = match self.seal(world, id, part.epoch) {
            Err(failure) => Event::Failed(failure.to_string()),
            Ok(()) => match self.write_all(world, id, part.base, part.counts, &part.in_flight) {
                Err(()) => Event::Declined(id, FailureReason::CheckpointAsyncException),
                Ok((mut files, channels)) => {
                    part.ack.channels = channels;
                    let mut ack = part.ack;
                    ack.transactions = self.transactions.pending_up_to(id);
                    ack.file = files.pop();
                    ack.shared = files;
                    Event::Ack(id, ack)
                }
            },
        };
        self.events.push_back(event);
    }

    /// Writes what is in flight, then the state. Where that fails, the first is taken back.
    fn write_all(
        &mut self,
        world: &mut World,
        id: CheckpointId,
        base: Option<CheckpointId>,
        counts: BTreeMap<u64, u64>,
        in_flight: &InFlight,
    ) -> Result<(Vec<FileRef>, Option<FileRef>), ()> {
        let channels = match in_flight.is_empty() {
            true => None,
            false => Some(self.write_channels(world, id, in_flight)?),
        };
        let files = self.write(world, id, base, counts).inspect_err(|()| {
            if let Some(channels) = &channels {
                let (store, paths) = (&world.storage.store, &world.storage.paths);
                let _ = store.delete(&paths.in_checkpoint(id, &channels.path));
            }
        });
        Ok((files?, channels))
    }

    fn write_channels(
        &self,
        world: &World,
        id: CheckpointId,
        in_flight: &InFlight,
    ) -> Result<FileRef, ()> {
        let TaskId { vertex, subtask } = self.id;
        let bytes = write(in_flight).into_bytes();
        let file = FileRef {
            path: JobPaths::channels_file(&world.plan.vertices[vertex].name, subtask),
            length: bytes.len() as u64,
            crc32c: crc32c::crc32c(&bytes),
        };
        let (store, paths) = (&world.storage.store, &world.storage.paths);
        let path = paths.in_checkpoint(id, &file.path);
        store.put(&path, vec![bytes]).map_err(|_| {
            let _ = store.delete(&path);
        })?;
        Ok(file)
    }

    fn seal(
        &mut self,
        world: &World,
        id: CheckpointId,
        epoch: Option<Epoch>,
    ) -> Result<(), Failure> {
        let Some(Epoch { opened, pre_commit }) = epoch else {
            return Ok(());
        };
        let sealed = pre_commit()?;
        note!(world, "{} has sealed for {id}: {sealed:?}", self.id);
        if let Some(opened) = opened {
            self.transactions.opened(opened);
        }
        let committables = sealed.into_iter().map(|one| one.committable);
        self.transactions
            .pre_committed(id, world.now, committables.collect());
        Ok(())
    }

    /// Commits everything up to a checkpoint.
    fn commit(&mut self, world: &mut World, id: CheckpointId) -> Result<(), Broken> {
        if world.faults_left > 0 && world.rng.one_in(30) {
            world.faults_left -= 1;
            world.die_soon();
        }
        for transaction in self.transactions.complete(id) {
            let of = transaction.checkpoint;
            note!(world, "{} commits what it sealed for {of}", self.id);
            let vertex = self.id.vertex;
            match world.folders.commit(vertex, &transaction.committables)? {
                Ok(()) => self.transactions.committed(of),
                Err(failure) => {
                    self.events.push_back(Event::Failed(failure.to_string()));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Writes the state of a task, if it keeps any: what has changed since its base, or all of it.
    /// Gives all files that it is in, the new one last.
    fn write(
        &mut self,
        world: &mut World,
        id: CheckpointId,
        base: Option<CheckpointId>,
        counts: BTreeMap<u64, u64>,
    ) -> Result<Vec<FileRef>, ()> {
        if !matches!(self.role, Role::Count) {
            return Ok(Vec::new());
        }
        let base = base.and_then(|base| self.written.get(&base));
        let base = base.filter(|base| base.files.len() < FILES_MAX);
        let is_new =
            |key: &u64, count: &u64| base.is_none_or(|base| base.counts.get(key) != Some(count));
        let new: BTreeMap<u64, u64> = counts
            .iter()
            .filter(|(key, count)| is_new(key, count))
            .map(|(key, count)| (*key, *count))
            .collect();
        let mut files = base.map_or_else(Vec::new, |base| base.files.clone());
        if !files.is_empty() {
            world.see(Seen::Increment);
        }
        let bytes = serde_json::to_vec(&new).unwrap();
        let file = FileRef {
            path: self.path(world, id),
            length: bytes.len() as u64,
            crc32c: crc32c::crc32c(&bytes),
        };
        let store = &world.storage.store;
        let path = world.storage.path(id, &file.path);
        if store.put(&path, vec![bytes]).is_err() {
            // It may be there all the same, and the checkpoint may be gone: nobody else removes
            // it.
            let _ = store.delete(&path);
            return Err(());
        }
        files.push(file);
        if world.storage.targets.contains_key(&id) {
            return Ok(files); // nothing is built on a savepoint
        }
        let written = Written {
            counts,
            files: files.clone(),
        };
        self.written.insert(id, written);
        Ok(files)
    }

    /// Where the state of a task goes.
    fn path(&self, world: &World, id: CheckpointId) -> String {
        let TaskId { vertex, subtask } = self.id;
        let head = world.plan.vertices[vertex].name.clone();
        let is_savepoint = world.storage.targets.contains_key(&id);
        if is_savepoint || !world.plan.config.incremental {
            return JobPaths::state_file(&head, subtask);
        }
        let file = SharedFile {
            head,
            subtask,
            checkpoint: id,
            attempt: world.attempt,
        };
        file.path()
    }
}
