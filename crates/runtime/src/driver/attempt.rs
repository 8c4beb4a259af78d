//! One attempt: the tasks run, and the coordinator's decisions are carried out.
//!
//! Runs on the control runtime (D8): busy guests cannot starve it. All deciding is done by the pure
//! coordinator; what is here only carries messages, writes metadata and keeps time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::{
    runtime::Handle,
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use weir_checkpoint::{CheckpointKind, Coordinator, Effect, Request, TaskId, Ticket};
use weir_model::{Attempt, Barrier, BarrierKind, CheckpointId, Name, SubtaskIndex};
use weir_operator::Failure;

use super::{
    Latest,
    claim::Claim,
    deploy::{Reach, Shared},
    desk::Desk,
    launch::Launched,
    persist::{NotStored, Persist, Stored},
    regions::{Regions, Revival},
    sources::{Sources, Word},
};
use crate::{
    clock::Monotonic,
    control::StopDone,
    deployment::{CheckpointStats, Foreign, JobEvent, JobOptions},
    messages::{Ack, Control, Event, FromTask},
    meters::NodeMeters,
    report::{JobFailure, Place},
};

/// How an attempt ended.
pub(crate) enum End {
    Finished,
    Stopped(StopDone),
    Cancelled,
    /// Whether it starts again is for the restart strategy to say.
    Failed(JobFailure),
    /// The restart strategy has said no.
    GivenUp(JobFailure),
    /// Its operators had finished for a stop that failed: it goes on from its latest checkpoint.
    Undrained,
    /// A region cannot go on alone: the last checkpoint of the job was completed while it was down,
    /// which the next attempt commits, and ends; or it is not known which is the latest.
    Whole,
}

/// What the attempts of a job came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) last: Option<CheckpointStats>,
    /// Restarts after failures, of the job or of a region.
    pub(crate) restarts: u32,
    /// Rows that were committed by recovery.
    pub(crate) recovered: u64,
    pub(crate) last_failure: Option<String>,
    /// Why a checkpoint was given up last.
    pub(crate) last_abort: Option<String>,
}

/// What is needed to drive an attempt.
pub(crate) struct Prospect<'a> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) events: mpsc::UnboundedReceiver<FromTask>,
    pub(crate) coordinator: Coordinator<Ack>,
    pub(crate) sources: Sources,
    pub(crate) persist: Persist,
    pub(crate) desk: &'a mut Desk,
    pub(crate) options: &'a mut JobOptions,
    pub(crate) monotonic: Monotonic,
    /// Where tasks run.
    pub(crate) handle: Handle,
    pub(crate) counts: Counts,
    pub(crate) meters: Vec<Arc<NodeMeters>>,
    /// When the job began, and when the attempt.
    pub(crate) job_began: std::time::Instant,
    pub(crate) began: Instant,
    /// What the job began with.
    pub(crate) restored: Option<(CheckpointId, String)>,
    /// Where the tasks begin.
    pub(crate) latest: Latest,
    /// Completed checkpoints that the job owns in the store.
    pub(crate) owned: Vec<CheckpointId>,
    /// The checkpoint of another place that is the job's now.
    pub(crate) claim: Option<Claim>,
    /// The highest id that was given out.
    pub(crate) highest: CheckpointId,
    /// Somebody has asked for a stop by signal.
    pub(crate) stopping: bool,
}

/// What an attempt leaves to the next one.
pub(crate) struct Left {
    pub(crate) end: End,
    pub(crate) attempt: Attempt,
    pub(crate) counts: Counts,
    pub(crate) meters: Vec<Arc<NodeMeters>>,
    pub(crate) latest: Latest,
    pub(crate) claim: Option<Claim>,
    pub(crate) highest: CheckpointId,
    /// Somebody has asked for a stop by signal: that holds for the next attempt too.
    pub(crate) stopping: bool,
    pub(crate) stopped: Option<StopDone>,
    pub(crate) startup_ms: Option<f64>,
}

/// The driver of one attempt.
pub(crate) struct AttemptDriver<'a> {
    pub(super) shared: Arc<Shared>,
    pub(super) events: mpsc::UnboundedReceiver<FromTask>,
    pub(super) coordinator: Coordinator<Ack>,
    pub(super) sources: Sources,
    pub(super) persist: Persist,
    pub(super) desk: &'a mut Desk,
    pub(super) options: &'a mut JobOptions,
    pub(super) monotonic: Monotonic,
    pub(super) handle: Handle,
    pub(super) counts: Counts,
    pub(super) meters: Vec<Arc<NodeMeters>>,
    pub(super) job_began: std::time::Instant,
    pub(super) restored: Option<(CheckpointId, String)>,
    /// Where a region that fails begins again.
    pub(super) latest: Latest,
    pub(super) claim: Option<Claim>,
    highest: CheckpointId,
    /// Completed checkpoints that the job owned when it began, until all tasks run.
    owned: Vec<CheckpointId>,
    /// The attempt that began last, of whatever region.
    pub(super) attempt: Attempt,
    /// How to reach the tasks there are.
    pub(super) reach: HashMap<TaskId, Reach>,
    pub(super) regions: Regions,
    pub(super) tasks: JoinSet<TaskId>,
    pub(super) revivals: JoinSet<Revival>,
    /// Tasks that have opened.
    pub(super) running: HashSet<TaskId>,
    /// Tasks that have rows to come.
    pub(super) with_data: HashSet<TaskId>,
    /// Tasks that have not ended as they should.
    left: HashSet<TaskId>,
    /// What the barriers under way are for, and who asked.
    kinds: HashMap<CheckpointId, (BarrierKind, Option<Ticket>)>,
    /// Somebody asked for a stop by signal.
    pub(super) stopping: bool,
    /// Nobody can ask for one any more.
    deaf: bool,
    /// The stop, once what it ends with is complete.
    pub(super) stopped: Option<StopDone>,
    /// Whether the last checkpoint of the job is complete.
    pub(super) is_over: bool,
    startup_ms: Option<f64>,
}

impl<'a> AttemptDriver<'a> {
    pub(crate) fn new(prospect: Prospect<'a>) -> Self {
        let Prospect {
            shared,
            events,
            coordinator,
            sources,
            persist,
            desk,
            options,
            monotonic,
            handle,
            counts,
            meters,
            job_began,
            began,
            restored,
            latest,
            owned,
            claim,
            highest,
            stopping,
        } = prospect;
        Self {
            attempt: shared.attempt,
            regions: Regions::of(&shared.deployment.plan, began),
            shared,
            events,
            coordinator,
            sources,
            persist,
            desk,
            options,
            monotonic,
            handle,
            counts,
            meters,
            job_began,
            restored,
            latest,
            owned,
            claim,
            highest,
            reach: HashMap::new(),
            tasks: JoinSet::new(),
            revivals: JoinSet::new(),
            running: HashSet::new(),
            with_data: HashSet::new(),
            left: HashSet::new(),
            kinds: HashMap::new(),
            stopping,
            deaf: false,
            stopped: None,
            is_over: false,
            startup_ms: None,
        }
    }

    /// Runs until all tasks have ended or the job as a whole has failed.
    pub(crate) async fn run(mut self, launched: Launched) -> Left {
        self.spawn(launched);
        let end = loop {
            if let Some(end) = self.turn().await {
                break end;
            }
        };
        // Whatever still runs is told to stop; a guest in a loop ends at its own limit.
        for reach in self.reach.values() {
            let _ = reach.control.send(Control::Cancel);
        }
        while self.tasks.join_next().await.is_some() {}
        // What recovers a sink is not to reach into the next attempt either.
        while self.revivals.join_next().await.is_some() {}
        self.settle().await;
        Left {
            end,
            attempt: self.attempt,
            counts: self.counts,
            meters: self.meters,
            latest: self.latest,
            claim: self.claim,
            highest: self.highest,
            stopping: self.stopping,
            stopped: self.stopped,
            startup_ms: self.startup_ms,
        }
    }

    /// Lets tasks run that were made.
    pub(super) fn spawn(&mut self, launched: Launched) {
        let Launched {
            tasks,
            meters,
            reach,
        } = launched;
        self.with_data.extend(reach.keys());
        self.left.extend(reach.keys());
        self.reach.extend(reach);
        self.meters.extend(meters);
        for task in tasks {
            let id = task.id;
            let run = async move {
                task.run().await;
                id
            };
            self.tasks.spawn_on(run, &self.handle);
        }
    }

    /// What is complete is not known before the last metadata is written, and what was given up is
    /// not to lie about.
    async fn settle(&mut self) {
        let effects = self.coordinator.job_failed(self.monotonic.now());
        let _ = self.carry_out(effects);
        while self.coordinator.is_storing() {
            let Some(stored) = self.persist.next().await else {
                break;
            };
            let _ = self.stored(stored);
        }
        self.persist.idle().await;
    }

    async fn turn(&mut self) -> Option<End> {
        let deadline = self.coordinator.next_deadline();
        // While metadata is being written no region can begin.
        let due = self.regions.next_due();
        let due = due.filter(|_| !self.coordinator.is_storing());
        let deadline = deadline.into_iter().chain(due).min();
        let deadline = deadline.map(|at| self.monotonic.instant_of(at));
        let timer = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = self.options.stop.changed(), if !self.deaf => {
                self.stop_asked(changed.is_ok())
            }
            command = self.desk.next() => self.command(command),
            Some(event) = self.events.recv() => self.event(event),
            Some(stored) = self.persist.next() => self.stored(stored),
            Some(joined) = self.tasks.join_next() => self.joined(joined),
            Some(revived) = self.revivals.join_next() => self.revived(revived),
            () = timer => {
                let effects = self.coordinator.tick(self.monotonic.now());
                self.carry_out(effects).or_else(|| self.revive())
            }
        }
    }

    fn stop_asked(&mut self, alive: bool) -> Option<End> {
        if !alive {
            self.deaf = true;
            return None;
        }
        let with_checkpoint = *self.options.stop.borrow();
        if !with_checkpoint {
            return Some(End::Cancelled);
        }
        // There is no checkpoint before all tasks run: it is asked for then.
        let asked_before = std::mem::replace(&mut self.stopping, true);
        // A job that is drained ends with its last checkpoint.
        if asked_before || !self.all_run() || self.drains() {
            return None;
        }
        let now = self.monotonic.now();
        let request = Request::of(CheckpointKind::Stop);
        let effects = self.coordinator.request(now, request);
        self.carry_out(effects)
    }

    fn event(&mut self, from: FromTask) -> Option<End> {
        let FromTask { task, event } = from;
        let now = self.monotonic.now();
        match event {
            Event::Running if !self.regions.is_up(task) => None,
            Event::Running => self.task_runs(task),
            Event::Ack(id, ack) => {
                self.persist.acked(id, &ack);
                let effects = self.coordinator.ack(id, task, *ack);
                self.carry_out(effects)
            }
            Event::Declined(id, reason, message) => {
                let name = self.name_of(task);
                let detail = match message.as_str() {
                    "" => format!("declined by {name}[{}]", task.subtask),
                    message => format!("declined by {name}[{}]: {message}", task.subtask),
                };
                let effects = self.coordinator.decline(now, id, reason, detail);
                self.carry_out(effects)
            }
            Event::SplitEnded(id) => {
                let words = self.sources.split_ended(task, &id);
                self.say(words);
                None
            }
            Event::DataEnded => {
                if self.regions.is_up(task) {
                    self.with_data.remove(&task);
                }
                // The final checkpoint is taken when all sources have ended (D4). Before all tasks
                // run there is no checkpoint: it is asked for then.
                let is_source = self.sources.name_of(task.vertex).is_some();
                match is_source
                    && self.all_run()
                    && self.all_read()
                    && (!self.stopping || self.drains())
                {
                    true => self.finish(),
                    false => None,
                }
            }
            Event::SlowTransaction(sink, warning) => {
                let note = format!(
                    "a transaction of sink `{sink}` has been open for {} ms; its receiver may drop \
                     it after {} ms",
                    warning.open_ms, warning.timeout_ms
                );
                self.options.listener.event(&JobEvent::Note(note));
                None
            }
            Event::Failed(failure) => {
                let failure = self.placed(failure.node, task.subtask, failure.failure);
                self.task_failed(task, failure)
            }
            Event::Ended => {
                self.left.remove(&task);
                self.left.is_empty().then(|| match self.stopped.clone() {
                    Some(done) => End::Stopped(done),
                    None => End::Finished,
                })
            }
        }
    }

    /// Whether somebody wants all operators to finish now.
    pub(super) fn drains(&self) -> bool {
        self.desk.stop().is_some_and(|stop| stop.drain)
    }

    /// Asks for the last checkpoint; whoever wanted the operators to finish waits for it.
    fn finish(&mut self) -> Option<End> {
        let request = match self.drains() {
            true => self.stop_request(CheckpointKind::Final),
            false => Request::of(CheckpointKind::Final),
        };
        let effects = self.coordinator.request(self.monotonic.now(), request);
        self.carry_out(effects)
    }

    /// A task has opened. With the last one of its region splits are dealt out, with the last one
    /// of the job checkpoints begin.
    fn task_runs(&mut self, task: TaskId) -> Option<End> {
        self.running.insert(task);
        let (vertices, began) = self.regions.of_task(task);
        let vertices = vertices.to_vec();
        let of_region = |task: &&TaskId| vertices.contains(&task.vertex);
        let made = self.reach.keys().filter(of_region).count();
        let runs = self.running.iter().filter(of_region).count() == made;
        if runs && self.startup_ms.is_some() {
            let words = self.sources.start(&vertices);
            self.say(words);
        }
        if !self.all_run() {
            return None;
        }
        let startup_ms = began.elapsed().as_secs_f64() * 1e3;
        let is_first = self.startup_ms.is_none();
        self.startup_ms.get_or_insert(startup_ms);
        self.options.listener.event(&JobEvent::Running {
            attempt: self.attempt,
            startup_ms,
        });
        if is_first {
            // No row is read before all tasks of an attempt run.
            let all: Vec<_> = (0..self.shared.deployment.plan.chains.len()).collect();
            let words = self.sources.start(&all);
            self.say(words);
        }
        self.begin_checkpoints()
    }

    fn begin_checkpoints(&mut self) -> Option<End> {
        let now = self.monotonic.now();
        let tasks: Vec<TaskId> = self.reach.keys().copied().collect();
        let base = match self.latest {
            Latest::Own(id) => Some(id),
            Latest::Beginning | Latest::Foreign(_) => None,
        };
        let mut owned = std::mem::take(&mut self.owned);
        owned.extend(self.coordinator.kept());
        let mut effects = self.coordinator.started(now, tasks, owned, base);
        if self.stopping {
            let request = Request::of(CheckpointKind::Stop);
            effects.extend(self.coordinator.request(now, request));
        } else if self.all_read() {
            // They said so before all tasks ran: they were restored as finished.
            let request = Request::of(CheckpointKind::Final);
            effects.extend(self.coordinator.request(now, request));
        }
        self.carry_out(effects)
    }

    /// Whether all tasks of all regions have opened.
    pub(super) fn all_run(&self) -> bool {
        self.regions.all_up() && self.running.len() == self.reach.len()
    }

    /// Whether all sources have ended.
    pub(super) fn all_read(&self) -> bool {
        let mut sources = self.sources.tasks();
        !sources.any(|task| self.with_data.contains(&task))
    }

    fn stored(&mut self, stored: Stored) -> Option<End> {
        let now = self.monotonic.now();
        let effects = match stored.result {
            Ok(()) => self.coordinator.stored(now, stored.id),
            Err(NotStored::Failed(message)) => {
                let kind = self.kinds.get(&stored.id);
                let kind = kind.map_or(BarrierKind::Periodic, |(kind, _)| *kind);
                self.persist.not_stored(stored.id, kind);
                self.coordinator.store_failed(now, stored.id, message)
            }
            // However many failures are tolerated: nothing of this process counts any more.
            Err(NotStored::Superseded(message)) => {
                let effects = self
                    .coordinator
                    .store_failed(now, stored.id, message.as_str());
                let _ = self.carry_out(effects);
                return Some(self.failed(Failure::Superseded { message }));
            }
        };
        self.carry_out(effects).or_else(|| self.revive())
    }

    fn joined(&mut self, joined: Result<TaskId, JoinError>) -> Option<End> {
        match joined {
            Ok(task) => {
                // Nothing of it is to be taken for a word of its successor.
                while let Ok(event) = self.events.try_recv() {
                    if let Some(end) = self.event(event) {
                        return Some(end);
                    }
                }
                self.regions.task_gone(task);
                self.revive()
            }
            Err(panic) => {
                let message = format!("a task: {panic}");
                Some(self.failed(Failure::Internal { message }))
            }
        }
    }

    pub(super) fn carry_out(&mut self, effects: Vec<Effect<Ack>>) -> Option<End> {
        let mut again = false;
        let mut end = None;
        for effect in effects {
            match effect {
                Effect::Trigger(barrier, ticket) => self.trigger(barrier, ticket),
                Effect::Store(snapshot) => {
                    let enumerators = self.sources.take(snapshot.id);
                    self.persist.store(self.attempt, snapshot, enumerators);
                }
                Effect::NotifyComplete(id) => self.complete(id),
                Effect::NotifyAborted(aborted) => {
                    let id = aborted.id;
                    self.sources.take(id);
                    if self.kinds.remove(&id) == Some((BarrierKind::Stop, None)) {
                        // Whoever asked for it still waits; how often it may fail is bounded by
                        // `tolerable-failures`.
                        again = true;
                    }
                    self.tell_all(|| Control::Aborted(id));
                    end = end.or(self.tell_aborted(&aborted));
                }
                Effect::Completed(completed) => {
                    let stats = self.persist.stats(&completed);
                    if !completed.is_savepoint && self.persist.keeps() {
                        // What the job ends with may be complete before an older one is.
                        if !self.is_over {
                            self.latest = self.latest.or_newer(completed.id);
                        }
                        if let Some(over) = self.claim.take_if(Claim::completed) {
                            self.persist.delete_claimed(over);
                        }
                    }
                    self.tell_completed(&completed, stats);
                }
                Effect::DiscardFiles(id) | Effect::DeleteCheckpoint(id) => self.persist.delete(id),
                Effect::DiscardLateAck { id, ack, .. } => self.persist.discard(id, &ack),
                Effect::FailJob(aborted) => {
                    let what = "too many checkpoints failed".to_owned();
                    let message = aborted.to_string();
                    return Some(self.failed(Failure::External { what, message }));
                }
                Effect::Refused { .. } => end = end.or(self.tell_refused(&effect)),
            }
        }
        if end.is_none() && again {
            let request = Request::of(CheckpointKind::Stop);
            let effects = self.coordinator.request(self.monotonic.now(), request);
            return self.carry_out(effects);
        }
        end
    }

    /// What belongs to a checkpoint may be committed.
    fn complete(&mut self, id: CheckpointId) {
        let (kind, ticket) = self
            .kinds
            .remove(&id)
            .unwrap_or((BarrierKind::Periodic, None));
        if kind != BarrierKind::Periodic {
            self.is_over = true;
            if let Some(target) = ticket.and_then(|ticket| self.desk.target(ticket)) {
                // If a commit fails now, it is this that is committed after all.
                self.latest = Latest::Foreign(Foreign {
                    store: target.store,
                    folder: target.folder,
                });
            }
        }
        self.persist.completed(id);
        self.tell_all(|| Control::Complete { id, kind });
    }

    /// Enumerators are snapshotted before the barrier goes out (D25), and it is known where a
    /// savepoint goes.
    fn trigger(&mut self, barrier: Barrier, ticket: Option<Ticket>) {
        let id = barrier.checkpoint;
        self.sources.snapshot(id);
        if let Some(target) = ticket.and_then(|ticket| self.desk.target(ticket)) {
            self.shared.targets.insert(id, target);
        }
        self.persist.triggered(&barrier);
        self.kinds.insert(id, (barrier.kind, ticket));
        self.highest = self.highest.max(id);
        let words: Vec<Word> = self
            .sources
            .tasks()
            .map(|task| (task, Control::Trigger(barrier)))
            .collect();
        self.say(words);
    }

    pub(super) fn say(&self, words: Vec<Word>) {
        for (task, control) in words {
            if let Some(reach) = self.reach.get(&task) {
                let _ = reach.control.send(control);
            }
        }
    }

    pub(super) fn tell_all(&self, word: impl Fn() -> Control) {
        for reach in self.reach.values() {
            let _ = reach.control.send(word());
        }
    }

    fn name_of(&self, task: TaskId) -> &Name {
        &self.shared.deployment.plan.chains[task.vertex].name
    }

    fn placed(&self, node: Name, subtask: SubtaskIndex, failure: Failure) -> JobFailure {
        let place = Place {
            node,
            subtask,
            attempt: self.attempt,
        };
        JobFailure {
            place: Some(place),
            failure,
        }
    }

    /// The job as a whole has failed.
    fn failed(&self, failure: Failure) -> End {
        End::Failed(JobFailure {
            place: None,
            failure,
        })
    }
}
