//! One attempt: tasks and coordinator, driven one random step after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use weir_model::{Barrier, BarrierKind, CheckpointId, SavepointFormat};
use weir_operator::{Discovery, Enumerator, Split};

use super::{
    folders::Broken,
    plan::Role,
    seen::Seen,
    task::{Ack, Control, Event, Item, Task},
    wiring::{load, metadata, open_sinks, saved_source, wire},
    world::{World, note},
};
use crate::{
    CheckpointKind, Completed, Coordinator, Effect, FileRef, Metadata, Request, Restart,
    SharedFile, SharedRegistry, SnapshotStore, TaskId, Ticket, testing::Fault,
};

mod disturb;
mod regions;

use regions::Down;

/// More steps than any run needs: whoever takes more is stuck.
const STEPS_MAX: u64 = 400_000;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Stopped,
    Failed,
    /// The restart strategy has nothing more to give.
    GivenUp,
    /// Its operators had finished for a stop that failed: all of it goes on from the latest
    /// checkpoint, and nothing has failed.
    Undrained,
    /// Not only a region has to go on: the last checkpoint is complete, or it is not known which is
    /// the latest.
    Whole,
    Crashed,
}

enum Deletion {
    All(CheckpointId),
    One(CheckpointId, FileRef),
    Shared(Vec<SharedFile>),
}

pub(super) struct Running<'a> {
    world: &'a mut World,
    coordinator: &'a mut Coordinator<Ack>,
    restart: &'a mut Restart,
    tasks: Vec<Task>,
    /// Regions whose tasks are gone.
    down: Vec<Down>,
    /// What a region that is made anew begins with.
    latest: Option<Metadata>,
    /// Whether somebody wants all operators to finish, and with a savepoint then.
    drains: Option<bool>,
    undrained: bool,
    /// Whether somebody has asked it to stop: it is not asked for another end.
    stops: bool,
    /// Whether all tasks ran once.
    has_begun: bool,
    enumerators: BTreeMap<usize, Enumerator>,
    /// The enumerators when a checkpoint was triggered.
    saved: BTreeMap<CheckpointId, BTreeMap<usize, Value>>,
    kinds: BTreeMap<CheckpointId, BarrierKind>,
    /// What is under way, and what it may refer to.
    bases: BTreeMap<CheckpointId, Option<CheckpointId>>,
    owned: Vec<CheckpointId>,
    /// The checkpoint that the tasks began with.
    base: Option<CheckpointId>,
    storing: VecDeque<Metadata>,
    deletions: VecDeque<Deletion>,
    /// Checkpoints whose metadata were not written, as far as is known, until they are deleted.
    in_doubt: BTreeSet<CheckpointId>,
    registry: SharedRegistry,
    /// Sources that have rows to come.
    with_data: BTreeSet<TaskId>,
    last: Option<BarrierKind>,
    has_failed: bool,
    /// The next metadata is the last thing that this process writes, whole or not.
    dies_storing: bool,
    has_crashed: bool,
    /// What befalls the next acknowledgement.
    loses_ack: bool,
    repeats_ack: bool,
    /// Something waits for a timeout, which is far away: time is going to leap.
    is_waiting: bool,
}

impl<'a> Running<'a> {
    fn new(
        world: &'a mut World,
        coordinator: &'a mut Coordinator<Ack>,
        restart: &'a mut Restart,
        restored: Option<&Metadata>,
        owned: Vec<CheckpointId>,
    ) -> Self {
        let mut tasks = wire(&world.plan);
        let mut registry = world.storage.registry();
        let orphans = world.storage.survey().shared_orphans(&mut registry);
        assert!(orphans.is_empty(), "{orphans:?}");
        if let Some(metadata) = restored {
            for vertex in 0..world.plan.vertices.len() {
                load(world, metadata, vertex, &mut tasks);
            }
        }
        let vertices: BTreeSet<_> = (0..world.plan.vertices.len()).collect();
        let mut running = Self {
            world,
            coordinator,
            restart,
            tasks,
            down: Vec::new(),
            latest: restored.cloned(),
            drains: None,
            undrained: false,
            stops: false,
            has_begun: false,
            enumerators: BTreeMap::new(),
            saved: BTreeMap::new(),
            kinds: BTreeMap::new(),
            bases: BTreeMap::new(),
            owned,
            base: restored
                .filter(|metadata| metadata.savepoint.is_none())
                .map(|metadata| metadata.checkpoint),
            storing: VecDeque::new(),
            deletions: VecDeque::new(),
            in_doubt: BTreeSet::new(),
            registry,
            with_data: BTreeSet::new(),
            last: None,
            has_failed: false,
            dies_storing: false,
            has_crashed: false,
            loses_ack: false,
            repeats_ack: false,
            is_waiting: false,
        };
        running.make_sources(&vertices, restored);
        running
    }

    /// Makes the tasks and runs them to their end.
    pub(super) fn run(
        world: &'a mut World,
        coordinator: &'a mut Coordinator<Ack>,
        restart: &'a mut Restart,
        restored: Option<&Metadata>,
        owned: Vec<CheckpointId>,
    ) -> Result<End, Broken> {
        let mut running = Self::new(world, coordinator, restart, restored, owned);
        if let Err(failure) = open_sinks(running.world, &mut running.tasks) {
            running.world.excuse(&failure.to_string())?;
            let is_dead = running.world.is_frozen();
            return Ok(if is_dead { End::Crashed } else { End::Failed });
        }
        running.start()?;
        let end = loop {
            if let Some(end) = running.step()? {
                break end;
            }
        };
        if end != End::Crashed {
            running.settle()?;
            if running.world.is_frozen() {
                return Ok(End::Crashed);
            }
        }
        Ok(end)
    }

    /// The enumerators of the sources among these vertices, and that their tasks have rows to come.
    fn make_sources(&mut self, vertices: &BTreeSet<usize>, restored: Option<&Metadata>) {
        for &index in vertices {
            let vertex = &self.world.plan.vertices[index];
            let Role::Source { splits, spread } = &vertex.role else {
                continue;
            };
            let splits = (0..splits.len()).map(|n| Split {
                id: format!("s{n}"),
                position: Value::Null,
            });
            let discovery = Discovery {
                splits: splits.collect(),
                spread: *spread,
            };
            let saved = restored.map(|metadata| saved_source(&metadata.sources[&vertex.name]));
            let enumerator = Enumerator::new(discovery, saved).unwrap();
            self.enumerators.insert(index, enumerator);
            let tasks = self.tasks.iter().filter(|task| task.id.vertex == index);
            self.with_data.extend(tasks.map(|task| task.id));
        }
    }

    /// Deals splits out to the readers among these vertices.
    fn deal(&mut self, vertices: &BTreeSet<usize>) {
        let sources = self.enumerators.iter_mut();
        for (&vertex, enumerator) in sources.filter(|(vertex, _)| vertices.contains(vertex)) {
            let readers = self.world.plan.vertices[vertex].parallelism;
            let dealt = enumerator.deal(readers);
            for task in self.tasks.iter_mut().filter(|t| t.id.vertex == vertex) {
                let own = dealt
                    .iter()
                    .filter(|(subtask, _)| *subtask == task.id.subtask);
                let words: Vec<_> = own.map(|(_, s)| Control::AddSplit(s.clone())).collect();
                if words.is_empty() {
                    task.control.push_back(Control::NoMoreSplits);
                }
                task.control.extend(words);
            }
        }
    }

    fn start(&mut self) -> Result<(), Broken> {
        for index in 0..self.tasks.len() {
            self.deliver(index);
        }
        self.deal(&(0..self.world.plan.vertices.len()).collect());
        self.begin_checkpoints()
    }

    /// All tasks run.
    fn begin_checkpoints(&mut self) -> Result<(), Broken> {
        let tasks: Vec<_> = self.tasks.iter().map(|task| task.id).collect();
        let mut owned = std::mem::take(&mut self.owned);
        if self.has_begun {
            owned.extend(self.coordinator.kept());
        }
        self.has_begun = true;
        let (now, base) = (self.world.now, self.base);
        let effects = self.coordinator.started(now, tasks, owned, base);
        self.carry_out(effects)
    }

    /// One random thing happens.
    fn step(&mut self) -> Result<Option<End>, Broken> {
        self.world.steps += 1;
        if self.world.steps > STEPS_MAX {
            return Err(format!("stuck after {STEPS_MAX} steps"));
        }
        if self.world.faults_left > 0
            && self.world.rng.one_in(self.world.calm)
            && let Some(end) = self.disturb()?
        {
            return Ok(Some(end));
        }
        let task = self.world.rng.below(self.tasks.len());
        let is_down = self.is_down(task);
        match self.world.rng.below(12) {
            0..=9 if is_down => {
                if let Some(end) = self.revive()? {
                    return Ok(Some(end));
                }
            }
            0..=4 => {
                let is_full = self.is_full(task);
                self.tasks[task].work(self.world, is_full);
                self.deliver(task);
            }
            5 | 6 => {
                self.tasks[task].obey(self.world);
                self.deliver(task);
            }
            7 => self.tasks[task].run_lane(self.world)?,
            8 | 9 => {
                if let Some(end) = self.event(task)? {
                    return Ok(Some(end));
                }
            }
            10 => self.store()?,
            _ => {
                self.delete()?;
                let mut pause = self.world.rng.below(5) as u64;
                if self.is_waiting && self.world.rng.one_in(20) {
                    self.is_waiting = false;
                    pause = self.world.plan.config.timeout_ms;
                }
                self.world.now = self.world.now.plus_ms(pause);
                let effects = self.coordinator.tick(self.world.now);
                self.carry_out(effects)?;
            }
        }
        if self.has_crashed || self.world.is_frozen() {
            return Ok(Some(End::Crashed));
        }
        if self.has_failed {
            return Ok(Some(End::Failed));
        }
        if self.undrained {
            self.world.see(Seen::Undrained);
            return Ok(Some(End::Undrained));
        }
        let is_quiet = |t: &Task| t.has_ended && t.lane.is_empty() && t.events.is_empty();
        let is_over = self.tasks.iter().all(is_quiet);
        Ok(is_over.then_some(match self.last {
            Some(BarrierKind::Stop) => End::Stopped,
            Some(BarrierKind::Periodic | BarrierKind::Final) | None => End::Finished,
        }))
    }

    /// Tasks and lanes come to rest, the coordinator is told, and everything it asks for is done.
    fn settle(&mut self) -> Result<(), Broken> {
        self.dies_storing = false;
        for task in 0..self.tasks.len() {
            while self.world.rng.one_in(2) && !self.tasks[task].lane.is_empty() {
                self.tasks[task].run_lane(self.world)?;
            }
        }
        let effects = self.coordinator.job_failed(self.world.now);
        self.carry_out(effects)?;
        while self.coordinator.is_storing() {
            self.store()?;
        }
        while !self.deletions.is_empty() {
            self.delete()?;
        }
        Ok(())
    }

    fn is_full(&self, task: usize) -> bool {
        let mut to = self.tasks[task]
            .outputs
            .iter()
            .flat_map(|output| &output.to);
        to.any(|&(task, channel)| {
            let items = self.tasks[task].channels[channel].iter();
            // Barriers weigh nothing.
            let rows = items.filter(|item| matches!(item, Item::Row(_)));
            rows.count() >= self.world.plan.channel && !self.tasks[task].is_relaxed(channel)
        })
    }

    fn deliver(&mut self, task: usize) {
        for (to, channel, item) in std::mem::take(&mut self.tasks[task].sent) {
            self.tasks[to].put(channel, item);
        }
    }

    /// The driver hears of a task.
    fn event(&mut self, index: usize) -> Result<Option<End>, Broken> {
        let Some(event) = self.tasks[index].events.pop_front() else {
            return Ok(None);
        };
        let (task, now) = (self.tasks[index].id, self.world.now);
        let effects = match event {
            Event::Ack(id, _) if std::mem::take(&mut self.loses_ack) => {
                note!(self.world, "the ack of {task} for {id} is lost");
                self.world.see(Seen::LostAck);
                self.is_waiting = true;
                // Nobody knows of its file any more until the next start.
                self.world.undeleted.insert(id);
                return Ok(None);
            }
            Event::Ack(id, ack) => {
                note!(self.world, "{task} acknowledges {id}");
                if std::mem::take(&mut self.repeats_ack) {
                    self.world.see(Seen::RepeatedAck);
                    let again = Event::Ack(id, ack.clone());
                    self.tasks[index].events.push_back(again);
                }
                if !self.world.storage.targets.contains_key(&id) {
                    self.registry
                        .acked(id, files(&ack).filter_map(FileRef::shared));
                }
                self.coordinator.ack(id, task, ack)
            }
            Event::Declined(id, reason) => {
                note!(self.world, "{task} declines {id}: {reason}");
                self.coordinator.decline(now, id, reason, "")
            }
            Event::Failed(failure) => {
                self.world.excuse(&format!("{task}: {failure}"))?;
                return self.task_failed(index);
            }
            Event::SplitEnded(split) => {
                let enumerator = self.enumerators.get_mut(&task.vertex).unwrap();
                enumerator.split_ended(&split);
                let is_idle = enumerator.next_for(task.subtask);
                let word = is_idle.map_or(Control::NoMoreSplits, Control::AddSplit);
                self.tasks[index].control.push_back(word);
                return Ok(None);
            }
            Event::DataEnded => {
                let was_there = self.with_data.remove(&task);
                if !was_there || !self.with_data.is_empty() {
                    return Ok(None);
                }
                self.coordinator.request(now, self.last_request())
            }
        };
        self.carry_out(effects)?;
        Ok(None)
    }

    /// Asks for the last checkpoint; whoever wanted the operators to finish waits for it.
    fn last_request(&self) -> Request {
        let of = |savepoint| Request {
            savepoint,
            ticket: Some(Ticket(1)),
            ..Request::of(CheckpointKind::Final)
        };
        match self.drains {
            None => Request::of(CheckpointKind::Final),
            Some(false) => of(None),
            Some(true) => of(Some(SavepointFormat::Canonical)),
        }
    }

    fn store(&mut self) -> Result<(), Broken> {
        let Some(metadata) = self.storing.pop_front() else {
            return Ok(());
        };
        let (id, now) = (metadata.checkpoint, self.world.now);
        if self.dies_storing && self.world.rng.one_in(2) {
            self.world.storage.store.inject(1, Fault::Tear);
        }
        let storage = &self.world.storage;
        let path = storage.path(id, "_metadata");
        let mut result = storage.store.put(&path, vec![metadata.encode().unwrap()]);
        note!(self.world, "metadata of {id} is written: {result:?}");
        if let Ok(metadata) = self.world.storage.read(id) {
            // A savepoint with which the job goes on commits nothing.
            if metadata.kind != CheckpointKind::Savepoint {
                self.world.folders.name(&metadata);
            }
            self.world.check_state(&metadata)?;
            if metadata.kind == CheckpointKind::Final && self.drains.is_some() {
                // What was not read is no part of the job any more.
                self.world.cut_off(&metadata);
                self.world.see(Seen::Drained);
            }
        }
        if result.is_ok() && metadata.savepoint.is_some() && metadata.kind.is_last() {
            result = self.world.storage.say_stopped(id);
            note!(
                self.world,
                "it is written down that the job stopped: {result:?}"
            );
        }
        if self.dies_storing {
            self.has_crashed = true;
            return Ok(());
        }
        let effects = match result {
            Ok(()) => self.coordinator.stored(now, id),
            Err(error) => {
                if metadata.savepoint.is_none() || metadata.kind.is_last() {
                    self.in_doubt.insert(id);
                }
                self.coordinator.store_failed(now, id, error.to_string())
            }
        };
        self.carry_out(effects)
    }

    fn delete(&mut self) -> Result<(), Broken> {
        let Some(deletion) = self.deletions.pop_front() else {
            return Ok(());
        };
        let id = match &deletion {
            Deletion::All(id) | Deletion::One(id, _) => *id,
            Deletion::Shared(files) => return self.delete_shared(files),
        };
        let may_fail = self.world.faults_left > 0;
        // What does not answer rarely fails but once.
        let often = if self.in_doubt.contains(&id) { 3 } else { 30 };
        let is_lost = |world: &mut World| {
            let is_lost = may_fail && world.rng.one_in(often);
            if is_lost {
                note!(world, "a deletion of {id} is lost");
                world.see(Seen::LostDeletion);
                world.undeleted.insert(id);
            }
            is_lost
        };
        if is_lost(self.world) {
            return Ok(());
        }
        note!(self.world, "deletes of {id}");
        self.world.see(Seen::Deleted);
        if let Deletion::One(_, file) = deletion {
            let storage = &self.world.storage;
            let path = storage.path(id, &file.path);
            // Whether it worked is not asked: the next start looks again.
            let _ = storage.store.delete(&path);
            return self.world.check_store();
        }
        let storage = &self.world.storage;
        if storage
            .store
            .delete(&storage.path(id, "_metadata"))
            .is_err()
        {
            return Ok(());
        }
        self.in_doubt.remove(&id);
        let gone = match storage.targets.contains_key(&id) {
            true => Vec::new(),
            false => self.registry.removed(id),
        };
        self.world.check_store()?;
        self.delete_shared(&gone)?;
        if is_lost(self.world) {
            return Ok(());
        }
        let storage = &self.world.storage;
        let folder = storage.path(id, "");
        for object in storage.store.list(&folder).unwrap_or_default() {
            let _ = storage.store.delete(&object.path);
        }
        self.world.check_store()
    }

    /// Nobody names these files any more.
    fn delete_shared(&mut self, files: &[SharedFile]) -> Result<(), Broken> {
        if files.is_empty() {
            return Ok(());
        }
        if self.world.faults_left > 0 && self.world.rng.one_in(30) {
            note!(self.world, "a deletion of {files:?} is lost");
            self.world.see(Seen::LostDeletion);
            self.world.lost.extend(files.iter().cloned());
            return Ok(());
        }
        note!(self.world, "deletes {files:?}");
        self.world.storage.delete_shared(files);
        self.world.check_store()
    }

    fn carry_out(&mut self, effects: Vec<Effect<Ack>>) -> Result<(), Broken> {
        for effect in effects {
            match effect {
                Effect::Trigger(barrier, _) => self.trigger(barrier)?,
                Effect::Store(snapshot) => {
                    let enumerators = self.saved.remove(&snapshot.id).unwrap_or_default();
                    let metadata = metadata(self.world, snapshot, enumerators);
                    self.storing.push_back(metadata);
                }
                Effect::NotifyComplete(id) => {
                    note!(self.world, "{id} is complete");
                    let kind = self.kinds[&id];
                    if kind != BarrierKind::Periodic {
                        self.last = Some(kind);
                    }
                    if !self.world.storage.targets.contains_key(&id) {
                        let gone = self.registry.completed(id);
                        self.deletions.push_back(Deletion::Shared(gone));
                    }
                    self.tell_all(|| Control::Complete(id, kind));
                }
                Effect::NotifyAborted(aborted) => {
                    note!(self.world, "given up: {aborted}");
                    self.world.see(Seen::Aborted);
                    self.saved.remove(&aborted.id);
                    self.bases.remove(&aborted.id);
                    self.undrained |= aborted.ticket.is_some();
                    self.tell_all(|| Control::Aborted(aborted.id));
                }
                Effect::Completed(completed) => self.completed(&completed),
                Effect::DiscardFiles(id) => self.deletions.push_back(Deletion::All(id)),
                Effect::DeleteCheckpoint(id) => {
                    if self.bases.values().any(|base| *base == Some(id)) {
                        return Err(format!("{id} is deleted, and one under way refers to it"));
                    }
                    self.deletions.push_back(Deletion::All(id));
                }
                Effect::DiscardLateAck { id, ack, .. } => {
                    self.world.see(Seen::LateAck);
                    let own = files(&ack).filter(|file| file.shared().is_none());
                    let own = own.map(|file| Deletion::One(id, file.clone()));
                    self.deletions.extend(own);
                    let shared = files(&ack).filter_map(FileRef::shared);
                    let gone = self.registry.discarded(shared);
                    self.deletions.push_back(Deletion::Shared(gone));
                }
                Effect::FailJob(_) => self.has_failed = true,
                Effect::Refused { ticket, .. } => self.undrained |= ticket.is_some(),
            }
        }
        Ok(())
    }

    fn completed(&mut self, completed: &Completed) {
        self.bases.remove(&completed.id);
        if !completed.is_savepoint {
            if let Ok(metadata) = self.world.storage.read(completed.id)
                && self
                    .latest
                    .as_ref()
                    .is_none_or(|latest| latest.checkpoint < completed.id)
            {
                self.base = Some(completed.id);
                self.latest = Some(metadata);
            }
            self.world.see(Seen::Completed);
            self.world.complete = self.world.complete.max(Some(completed.id));
            return;
        }
        let folder = self.world.storage.path(completed.id, "");
        self.world.savepoints.push(folder);
        self.world.see(match completed.kind.is_last() {
            true => Seen::StoppedWithSavepoint,
            false => Seen::Savepoint,
        });
    }

    /// Where a checkpoint goes, and what it may refer to.
    fn place(&mut self, barrier: &Barrier) -> Result<(), Broken> {
        let id = barrier.checkpoint;
        if barrier.savepoint.is_some() {
            self.world.folders_given += 1;
            let folder = format!("savepoint-sim-{}/", self.world.folders_given);
            self.world.storage.targets.insert(id, folder);
        } else {
            self.world.storage.targets.remove(&id);
            self.registry.triggered(id, barrier.base);
        }
        self.bases.insert(id, barrier.base);
        match barrier.base {
            Some(base) if barrier.savepoint.is_some() => {
                Err(format!("savepoint {id} is based on {base}"))
            }
            Some(base)
                if !self.world.is_frozen()
                    && self.world.storage.read(base).is_err()
                    && !self.world.damaged.contains(&base) =>
            {
                Err(format!("{id} is based on {base}, which cannot be read"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Enumerators are snapshotted before the barrier goes out (D25).
    fn trigger(&mut self, barrier: Barrier) -> Result<(), Broken> {
        let id = barrier.checkpoint;
        note!(self.world, "triggers {id}, {:?}", barrier.kind);
        let highest = self.world.highest.replace(id);
        if highest >= Some(id) {
            return Err(format!("{id} is triggered after {highest:?}"));
        }
        let saved = self.enumerators.iter().map(|(&v, e)| (v, e.snapshot()));
        self.saved.insert(id, saved.collect());
        self.kinds.insert(id, barrier.kind);
        self.place(&barrier)?;
        for task in self.tasks.iter_mut().filter(|t| t.channels.is_empty()) {
            task.control.push_back(Control::Trigger(barrier));
        }
        Ok(())
    }

    fn tell_all(&mut self, word: impl Fn() -> Control) {
        for task in &mut self.tasks {
            task.control.push_back(word());
        }
    }
}

/// All files that a task names in its part of a checkpoint.
fn files(ack: &Ack) -> impl Iterator<Item = &FileRef> {
    ack.file.iter().chain(&ack.shared).chain(&ack.channels)
}
