//! One attempt: tasks and coordinator, driven one random step after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use weir_model::{BarrierKind, CheckpointId, MaxParallelism, Parallelism, SubtaskIndex};
use weir_operator::{Discovery, Enumerator, SavedSource, Split};

use super::{
    outside::Broken,
    plan::{Plan, Role, Route},
    task::{Ack, Control, Event, Lane, Output, Task},
    world::{Seen, World},
};
use crate::{
    CheckpointKind, Coordinator, Effect, FileRef, Metadata, OpenSplit, OperatorMeta, SnapshotStore,
    SourceMeta, SubtaskMeta, TaskId, testing::Fault,
};

/// More steps than any run needs: whoever takes more is stuck.
const STEPS_MAX: u64 = 400_000;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Stopped,
    Failed,
    Crashed,
}

enum Deletion {
    All(CheckpointId),
    One(CheckpointId, FileRef),
}

pub(super) struct Running<'a> {
    world: &'a mut World,
    coordinator: &'a mut Coordinator<Ack>,
    tasks: Vec<Task>,
    enumerators: BTreeMap<usize, Enumerator>,
    /// The enumerators when a checkpoint was triggered.
    saved: BTreeMap<CheckpointId, BTreeMap<usize, Value>>,
    kinds: BTreeMap<CheckpointId, BarrierKind>,
    owned: Vec<CheckpointId>,
    storing: VecDeque<Metadata>,
    deletions: VecDeque<Deletion>,
    /// Sources that have rows to come.
    with_data: BTreeSet<TaskId>,
    last: Option<BarrierKind>,
    has_failed: bool,
    /// The next metadata is the last thing that this process writes, whole or not.
    dies_storing: bool,
    has_crashed: bool,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        world: &'a mut World,
        coordinator: &'a mut Coordinator<Ack>,
        restored: Option<&Metadata>,
        owned: Vec<CheckpointId>,
    ) -> Self {
        let mut tasks = wire(&world.plan);
        let mut enumerators = BTreeMap::new();
        let mut with_data = BTreeSet::new();
        for (index, vertex) in world.plan.vertices.iter().enumerate() {
            if let Role::Source { splits, spread } = &vertex.role {
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
                enumerators.insert(index, enumerator);
            }
            for task in tasks.iter_mut().filter(|task| task.id.vertex == index) {
                if matches!(task.role, Role::Source { .. }) {
                    with_data.insert(task.id);
                }
                if let Some(metadata) = restored {
                    let meta = &metadata.operators[&vertex.name];
                    load(world, metadata, meta, task);
                }
            }
        }
        Self {
            world,
            coordinator,
            tasks,
            enumerators,
            saved: BTreeMap::new(),
            kinds: BTreeMap::new(),
            owned,
            storing: VecDeque::new(),
            deletions: VecDeque::new(),
            with_data,
            last: None,
            has_failed: false,
            dies_storing: false,
            has_crashed: false,
        }
    }

    pub(super) fn run(mut self) -> Result<End, Broken> {
        self.start()?;
        let end = loop {
            if let Some(end) = self.step()? {
                break end;
            }
        };
        if end == End::Crashed {
            self.world.crash();
            return Ok(end);
        }
        self.settle()?;
        Ok(end)
    }

    fn start(&mut self) -> Result<(), Broken> {
        for index in 0..self.tasks.len() {
            self.deliver(index);
        }
        for (&vertex, enumerator) in &mut self.enumerators {
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
        let tasks: Vec<_> = self.tasks.iter().map(|task| task.id).collect();
        let owned = std::mem::take(&mut self.owned);
        let effects = self.coordinator.started(self.world.now, tasks, owned);
        self.carry_out(effects)
    }

    /// One random thing happens.
    fn step(&mut self) -> Result<Option<End>, Broken> {
        self.world.steps += 1;
        if self.world.steps > STEPS_MAX {
            return Err("stuck".to_owned());
        }
        if self.world.faults_left > 0
            && self.world.rng.one_in(150)
            && let Some(end) = self.disturb()?
        {
            return Ok(Some(end));
        }
        let task = self.world.rng.below(self.tasks.len());
        match self.world.rng.below(12) {
            0..=4 => {
                let is_full = self.is_full(task);
                self.tasks[task].work(&mut self.world.rng, is_full);
                self.deliver(task);
            }
            5 | 6 => {
                self.tasks[task].obey();
                self.deliver(task);
            }
            7 => self.run_lane(task)?,
            8 | 9 => self.event(task)?,
            10 => self.store()?,
            _ => {
                self.delete()?;
                let pause = self.world.rng.below(5) as u64;
                self.world.now = self.world.now.plus_ms(pause);
                let effects = self.coordinator.tick(self.world.now);
                self.carry_out(effects)?;
            }
        }
        if self.has_crashed {
            return Ok(Some(End::Crashed));
        }
        if self.has_failed {
            return Ok(Some(End::Failed));
        }
        let is_quiet = |t: &Task| t.has_ended && t.lane.is_empty() && t.events.is_empty();
        let is_over = self.tasks.iter().all(is_quiet);
        Ok(is_over.then_some(match self.last {
            Some(BarrierKind::Stop) => End::Stopped,
            Some(BarrierKind::Periodic | BarrierKind::Final) | None => End::Finished,
        }))
    }

    /// Something goes wrong, or somebody asks for something.
    fn disturb(&mut self) -> Result<Option<End>, Broken> {
        self.world.faults_left -= 1;
        let kind = match self.world.rng.below(11) {
            0 | 1 => return Ok(Some(End::Crashed)),
            2 => return Ok(Some(End::Failed)),
            3 | 4 => {
                self.world.break_store();
                return Ok(None);
            }
            5 | 6 => {
                let task = self.world.rng.below(self.tasks.len());
                self.tasks[task].declines = true;
                return Ok(None);
            }
            7 => {
                let timeout = self.world.plan.config.timeout_ms;
                self.world.now = self.world.now.plus_ms(timeout);
                return Ok(None);
            }
            8 => {
                self.dies_storing = true;
                return Ok(None);
            }
            9 => CheckpointKind::Manual,
            _ => {
                self.world.see(Seen::Stop);
                CheckpointKind::Stop
            }
        };
        let effects = self.coordinator.request(self.world.now, kind);
        self.carry_out(effects)?;
        Ok(None)
    }

    /// Tasks and lanes come to rest, the coordinator is told, and everything it asks for is done.
    fn settle(&mut self) -> Result<(), Broken> {
        self.dies_storing = false;
        for task in 0..self.tasks.len() {
            while self.world.rng.one_in(2) && !self.tasks[task].lane.is_empty() {
                self.run_lane(task)?;
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
            self.tasks[task].channels[channel].len() >= self.world.plan.channel
        })
    }

    fn deliver(&mut self, task: usize) {
        for (to, channel, item) in std::mem::take(&mut self.tasks[task].sent) {
            self.tasks[to].channels[channel].push_back(item);
        }
    }

    fn run_lane(&mut self, task: usize) -> Result<(), Broken> {
        let World {
            storage,
            outside,
            attempt,
            now,
            plan,
            ..
        } = &mut *self.world;
        let mut lane = Lane {
            storage,
            outside,
            attempt: *attempt,
            now: *now,
        };
        self.tasks[task].run_lane(plan, &mut lane)
    }

    /// The driver hears of a task.
    fn event(&mut self, index: usize) -> Result<(), Broken> {
        let Some(event) = self.tasks[index].events.pop_front() else {
            return Ok(());
        };
        let (task, now) = (self.tasks[index].id, self.world.now);
        let effects = match event {
            Event::Ack(id, ack) => self.coordinator.ack(id, task, ack),
            Event::Declined(id, reason) => self.coordinator.decline(now, id, reason, ""),
            Event::SplitEnded(split) => {
                let enumerator = self.enumerators.get_mut(&task.vertex).unwrap();
                enumerator.split_ended(&split);
                let is_idle = enumerator.next_for(task.subtask);
                let word = is_idle.map_or(Control::NoMoreSplits, Control::AddSplit);
                self.tasks[index].control.push_back(word);
                return Ok(());
            }
            Event::DataEnded => {
                let was_there = self.with_data.remove(&task);
                if !was_there || !self.with_data.is_empty() {
                    return Ok(());
                }
                self.coordinator.request(now, CheckpointKind::Final)
            }
        };
        self.carry_out(effects)
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
        let path = storage.paths.metadata(id);
        let result = storage.store.put(&path, vec![metadata.encode().unwrap()]);
        if let Ok(metadata) = storage.read(id) {
            self.world.outside.name(&metadata);
        }
        self.world.check_store()?;
        if self.dies_storing {
            self.has_crashed = true;
            return Ok(());
        }
        let effects = match result {
            Ok(()) => self.coordinator.stored(now, id),
            Err(error) => self.coordinator.store_failed(now, id, error.to_string()),
        };
        self.carry_out(effects)
    }

    fn delete(&mut self) -> Result<(), Broken> {
        let Some(deletion) = self.deletions.pop_front() else {
            return Ok(());
        };
        if self.world.faults_left > 0 && self.world.rng.one_in(20) {
            self.world.has_litter = true;
            return Ok(());
        }
        self.world.see(Seen::Deleted);
        let storage = &self.world.storage;
        match deletion {
            Deletion::One(id, file) => {
                let path = storage.paths.in_checkpoint(id, &file.path);
                storage.store.delete(&path).unwrap();
            }
            Deletion::All(id) => {
                storage.store.delete(&storage.paths.metadata(id)).unwrap();
                self.world.check_store()?;
                let storage = &self.world.storage;
                for object in storage.store.list(&storage.paths.checkpoint(id)).unwrap() {
                    storage.store.delete(&object.path).unwrap();
                }
            }
        }
        self.world.check_store()
    }

    fn carry_out(&mut self, effects: Vec<Effect<Ack>>) -> Result<(), Broken> {
        for effect in effects {
            match effect {
                Effect::Trigger(barrier) => self.trigger(barrier)?,
                Effect::Store(snapshot) => {
                    let enumerators = self.saved.remove(&snapshot.id).unwrap_or_default();
                    let metadata = metadata(self.world, snapshot, enumerators);
                    self.storing.push_back(metadata);
                }
                Effect::NotifyComplete(id) => {
                    let kind = self.kinds[&id];
                    if kind != BarrierKind::Periodic {
                        self.last = Some(kind);
                    }
                    self.tell_all(|| Control::Complete(id, kind));
                }
                Effect::NotifyAborted(aborted) => {
                    self.world.see(Seen::Aborted);
                    self.saved.remove(&aborted.id);
                    self.tell_all(|| Control::Aborted(aborted.id));
                }
                Effect::Completed(completed) => {
                    self.world.see(Seen::Completed);
                    self.world.complete = self.world.complete.max(Some(completed.id));
                }
                Effect::DiscardFiles(id) | Effect::DeleteCheckpoint(id) => {
                    self.deletions.push_back(Deletion::All(id));
                }
                Effect::DiscardLateAck { id, ack, .. } => {
                    self.world.see(Seen::LateAck);
                    let file = ack.file.map(|file| Deletion::One(id, file));
                    self.deletions.extend(file);
                }
                Effect::FailJob(_) => self.has_failed = true,
                Effect::Refused { .. } => {}
            }
        }
        Ok(())
    }

    /// Enumerators are snapshotted before the barrier goes out (D25).
    fn trigger(&mut self, barrier: weir_model::Barrier) -> Result<(), Broken> {
        let id = barrier.checkpoint;
        if self.world.storage.survey().next_id() > id {
            return Err(format!(
                "checkpoint {id} is triggered, and the store has a later one"
            ));
        }
        let saved = self.enumerators.iter().map(|(&v, e)| (v, e.snapshot()));
        self.saved.insert(id, saved.collect());
        self.kinds.insert(id, barrier.kind);
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

/// All tasks with their channels. Each sender has a channel of its own to each receiver.
fn wire(plan: &Plan) -> Vec<Task> {
    let mut first = Vec::new();
    let mut count = 0;
    for vertex in &plan.vertices {
        first.push(count);
        count += vertex.parallelism as usize;
    }
    let mut channels = vec![0; count];
    let mut outputs: Vec<Vec<Output>> = (0..count).map(|_| Vec::new()).collect();
    for (to, vertex) in plan.vertices.iter().enumerate() {
        for &(from, route) in &vertex.inputs {
            for sender in 0..plan.vertices[from].parallelism as usize {
                let receivers: Vec<_> = match route {
                    Route::Forward => vec![first[to] + sender],
                    Route::Hash | Route::Rebalance => {
                        (first[to]..first[to] + vertex.parallelism as usize).collect()
                    }
                };
                let mut connect = |receiver: usize| {
                    channels[receiver] += 1;
                    (receiver, channels[receiver] - 1)
                };
                let to = receivers.into_iter().map(&mut connect).collect();
                outputs[first[from] + sender].push(Output { route, to });
            }
        }
    }
    let mut outputs = outputs.into_iter();
    let mut tasks = Vec::new();
    for (index, vertex) in plan.vertices.iter().enumerate() {
        for subtask in 0..vertex.parallelism {
            let id = TaskId {
                vertex: index,
                subtask: SubtaskIndex(subtask),
            };
            let role = vertex.role.clone();
            let own = outputs.next().unwrap();
            tasks.push(Task::new(id, role, channels[tasks.len()], own));
        }
    }
    tasks
}

fn saved_source(meta: &SourceMeta) -> SavedSource {
    let open = meta.open.iter().map(|split| Split {
        id: split.id.clone(),
        position: split.position.clone(),
    });
    SavedSource {
        enumerator: meta.enumerator.clone(),
        open: open.collect(),
        ended: meta.ended.clone(),
    }
}

/// Gives a task its state back.
fn load(world: &World, metadata: &Metadata, meta: &OperatorMeta, task: &mut Task) {
    let own = &meta.subtasks[task.id.subtask.index()];
    if let Some(file) = &own.file {
        let paths = &world.storage.paths;
        let path = paths.in_checkpoint(metadata.checkpoint, &file.path);
        let bytes = world.storage.store.get(&path).unwrap();
        task.counts = serde_json::from_slice(&bytes).unwrap();
    }
    if meta.subtasks.iter().all(|subtask| subtask.finished) {
        task.skip_to_end();
    }
}

fn metadata(
    world: &World,
    snapshot: crate::Snapshot<Ack>,
    enumerators: BTreeMap<usize, Value>,
) -> Metadata {
    let mut metadata = Metadata {
        job: world.job.clone(),
        checkpoint: snapshot.id,
        kind: snapshot.kind,
        created: world.now,
        attempt: world.attempt,
        max_parallelism: MaxParallelism::new(128).unwrap(),
        operators: BTreeMap::new(),
        sources: BTreeMap::new(),
        sinks: BTreeMap::new(),
    };
    for (vertex, enumerator) in enumerators {
        let name = world.plan.vertices[vertex].name.clone();
        let source = SourceMeta {
            enumerator,
            ..SourceMeta::default()
        };
        metadata.sources.insert(name, source);
    }
    for (task, ack) in snapshot.acks {
        let vertex = &world.plan.vertices[task.vertex];
        let name = vertex.name.clone();
        let operator = metadata
            .operators
            .entry(name.clone())
            .or_insert(OperatorMeta {
                parallelism: Parallelism::new(vertex.parallelism).unwrap(),
                states: Vec::new(),
                subtasks: Vec::new(),
            });
        operator.subtasks.push(SubtaskMeta {
            file: ack.file,
            finished: ack.finished,
        });
        if let Some(source) = metadata.sources.get_mut(&name) {
            let open = ack.open.into_iter();
            source.open.extend(open.map(|split| OpenSplit {
                id: split.id,
                position: split.position,
            }));
            source.ended.extend(ack.ended);
        }
        if matches!(vertex.role, Role::Sink) {
            let sink = metadata.sinks.entry(name).or_default();
            sink.extend(ack.transactions);
        }
    }
    metadata
}
