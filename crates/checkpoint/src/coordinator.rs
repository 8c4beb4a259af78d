//! The coordinator of the checkpoints of one job (semantics 1.13): when one is triggered, when it
//! is complete, when it is given up, which completed ones are kept.
//!
//! INVARIANT: ids rise; a checkpoint is complete only when every task that was running when it was
//! triggered has acknowledged it and its metadata is durable; nothing is discarded that a
//! checkpoint with metadata names, nor what one under way may refer to (D12).
//!
//! How a driver uses it: each event is a method, each gives effects to be carried out in order.
//! After `job_failed` the driver waits until [`Coordinator::is_storing`] is false and has carried
//! out what was to be discarded; then it looks what is in the store
//! (`Survey`), restores the latest, and says `started`. The store alone says what
//! is complete: writing metadata may work and be reported as a failure.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{Barrier, CheckpointId, Passage, ProcessingTime};

use crate::{FailureCount, FailureReason};

mod effect;
mod pending;
mod requests;
#[cfg(test)]
mod tests;

pub use effect::{Aborted, CheckpointKind, Completed, Config, Effect, Snapshot, TaskId};
use pending::{Accepted, Pending};
use requests::Requests;
pub use requests::{Request, Ticket};

/// How many requests may wait at a time: Flink's bound of its queue.
const QUEUED_REQUESTS_MAX: usize = 1000;

/// How long after a failed final checkpoint the next one is tried, in milliseconds. Tasks that are
/// done wait for nothing else; a failure that does not count would be repeated without a pause.
const FINAL_RETRY_MS: u64 = 100;

/// The state machine. `A` is what a task hands over with its ack; it is passed on unseen.
#[derive(Clone, Debug)]
pub struct Coordinator<A> {
    config: Config,
    next_id: CheckpointId,
    phase: Phase,
    running: BTreeSet<TaskId>,
    finished: BTreeSet<TaskId>,
    pending: BTreeMap<CheckpointId, Pending<A>>,
    /// Complete, and not deleted. Savepoints are not among them.
    completed: BTreeSet<CheckpointId>,
    /// Savepoints that are complete.
    savepoints: BTreeSet<CheckpointId>,
    /// Beyond those that are retained, and not deleted yet: one under way may refer to them.
    excess: BTreeSet<CheckpointId>,
    /// What an increment may refer to; `None` where the next one has to write everything.
    base: Option<CheckpointId>,
    failures: FailureCount,
    requests: Requests,
    /// When the next periodic one is due; `None` where there are none.
    next_periodic: Option<ProcessingTime>,
    /// When the last one ended, well or not.
    last_end: Option<ProcessingTime>,
}

/// Whether checkpoints can be triggered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not all tasks run: before `started`, after a failure, after `stop`.
    Down,
    Running,
    /// The sources were told to end here: whoever has ended for that takes part in nothing but the
    /// last checkpoint.
    Draining,
    /// The last checkpoint is complete; the tasks are about to finish.
    Closing,
}

impl<A> Coordinator<A> {
    /// Of a job that has not started; `next_id` is above every id present in the store (D24).
    #[must_use]
    pub fn new(config: Config, next_id: CheckpointId) -> Self {
        Self {
            failures: FailureCount::new(config.tolerable_failures),
            config,
            next_id,
            phase: Phase::Down,
            running: BTreeSet::new(),
            finished: BTreeSet::new(),
            pending: BTreeMap::new(),
            completed: BTreeSet::new(),
            savepoints: BTreeSet::new(),
            excess: BTreeSet::new(),
            base: None,
            requests: Requests::new(QUEUED_REQUESTS_MAX),
            next_periodic: None,
            last_end: None,
        }
    }

    /// All of `tasks` run now, after a start or a restart. `completed` are the checkpoints that the
    /// job owns in the store; beyond `retained` they are deleted as new ones complete. `base` is
    /// the one of them that the tasks began with, if the next one may refer to it: none after a
    /// start from somebody else's checkpoint (D24). The first periodic checkpoint is due after one
    /// interval.
    pub fn started(
        &mut self,
        now: ProcessingTime,
        tasks: impl IntoIterator<Item = TaskId>,
        completed: impl IntoIterator<Item = CheckpointId>,
        base: Option<CheckpointId>,
    ) -> Vec<Effect<A>> {
        let mut effects = self.job_failed(now);
        self.running = tasks.into_iter().collect();
        self.finished.clear();
        self.completed = completed.into_iter().collect();
        let above = self.completed.last().map_or(self.next_id, |id| id.next());
        self.next_id = self.next_id.max(above);
        self.base = base.filter(|base| self.completed.contains(base));
        self.phase = Phase::Running;
        self.next_periodic = self.config.interval_ms.map(|ms| now.plus_ms(ms));
        self.last_end = None;
        self.advance(now, &mut effects);
        effects
    }

    /// Time has passed. Gives up what took too long, triggers what is due.
    pub fn tick(&mut self, now: ProcessingTime) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        let timeout_ms = self.config.timeout_ms;
        let expired: Vec<_> = self
            .collecting()
            .filter(|(_, p)| now >= p.triggered.plus_ms(timeout_ms))
            .map(|(id, p)| (id, p.missing()))
            .collect();
        for (id, missing) in expired {
            let detail = format!("{missing} acks missing after {timeout_ms} ms");
            self.abort(
                now,
                id,
                FailureReason::CheckpointExpired,
                detail,
                &mut effects,
            );
        }
        self.advance(now, &mut effects);
        effects
    }

    /// When `tick` has something to do, if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<ProcessingTime> {
        let expiry = self
            .collecting()
            .map(|(_, p)| p.triggered.plus_ms(self.config.timeout_ms));
        expiry.chain(self.next_trigger()).min()
    }

    /// Somebody wants a checkpoint: `Manual` or `Savepoint` at any time, `Stop` to end the job with
    /// it, `Final` when all sources have ended. They do not wait for the pause, but for a free
    /// place, unless they are forced. After `Stop` or `Final` nothing else is triggered unless that
    /// one fails; a failed `Final` that nobody waits for is repeated. A periodic one cannot be
    /// asked for and is ignored.
    pub fn request(&mut self, now: ProcessingTime, request: Request) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        match (self.phase, request.kind) {
            (_, CheckpointKind::Periodic) => {}
            (Phase::Down, _) => {
                let reason = FailureReason::NotAllRequiredTasksRunning;
                effects.push(refused(request, reason));
            }
            (Phase::Closing, _) => {
                let reason = FailureReason::CheckpointCoordinatorShutdown;
                effects.push(refused(request, reason));
            }
            (Phase::Running | Phase::Draining, CheckpointKind::Final) => {
                self.requests.finish(request, now);
            }
            (
                Phase::Draining,
                CheckpointKind::Manual | CheckpointKind::Savepoint | CheckpointKind::Stop,
            ) => {
                let reason = FailureReason::CheckpointCoordinatorShutdown;
                effects.push(refused(request, reason));
            }
            (
                Phase::Running,
                CheckpointKind::Manual | CheckpointKind::Savepoint | CheckpointKind::Stop,
            ) => {
                let reason = FailureReason::TooManyCheckpointRequests;
                let dropped = self.requests.add(request);
                effects.extend(dropped.map(|request| refused(request, reason)));
            }
        }
        self.advance(now, &mut effects);
        effects
    }

    /// The sources are told to end where they are, with input left: whoever finishes for that is
    /// not to be restored as finished. So from now on nothing but the final checkpoint is
    /// triggered, until the job starts again. What is under way goes on: its barriers are before
    /// the end.
    pub fn drain(&mut self) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        if self.phase == Phase::Running {
            self.phase = Phase::Draining;
            let reason = FailureReason::CheckpointCoordinatorShutdown;
            self.refuse_all(reason, &mut effects);
        }
        effects
    }

    /// From now on a periodic checkpoint is taken each `interval_ms`, the first after one interval;
    /// none where it is `None`. What is under way goes on.
    pub fn set_interval(
        &mut self,
        now: ProcessingTime,
        interval_ms: Option<u64>,
    ) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        self.config.interval_ms = interval_ms;
        if self.runs() {
            self.next_periodic = interval_ms.map(|ms| now.plus_ms(ms));
            self.advance(now, &mut effects);
        }
        effects
    }

    /// A task has acknowledged a checkpoint: all that it names is durable.
    pub fn ack(&mut self, id: CheckpointId, task: TaskId, ack: A) -> Vec<Effect<A>> {
        let Some(pending) = self.pending.get_mut(&id) else {
            // What a completed checkpoint names is in use, whoever repeats it.
            return if self.is_complete(id) {
                Vec::new()
            } else {
                vec![Effect::DiscardLateAck { id, task, ack }]
            };
        };
        match pending.accept(task, ack) {
            Accepted::More | Accepted::Repeated => Vec::new(),
            Accepted::Last => vec![Effect::Store(pending.snapshot(id))],
            Accepted::Stranger(ack) => vec![Effect::DiscardLateAck { id, task, ack }],
        }
    }

    /// A task cannot take part in a checkpoint, or the driver could not trigger it. `detail` says
    /// who and what, for people.
    pub fn decline(
        &mut self,
        now: ProcessingTime,
        id: CheckpointId,
        reason: FailureReason,
        detail: impl Into<String>,
    ) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        if self.pending.get(&id).is_some_and(|p| !p.is_storing()) {
            self.abort(now, id, reason, detail.into(), &mut effects);
            self.advance(now, &mut effects);
        }
        effects
    }

    /// A task has finished: later checkpoints record it as finished and do not wait for it. Those
    /// that still wait for it are given up: it takes part in nothing any more.
    pub fn task_finished(&mut self, now: ProcessingTime, task: TaskId) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        if self.running.remove(&task) {
            self.finished.insert(task);
        }
        let waiting: Vec<_> = self
            .collecting()
            .filter(|(_, p)| p.awaits(task))
            .map(|(id, _)| id)
            .collect();
        for id in waiting {
            let detail = format!("task {task} has finished");
            let reason = FailureReason::CheckpointDeclinedTaskClosing;
            self.abort(now, id, reason, detail, &mut effects);
        }
        self.advance(now, &mut effects);
        effects
    }

    /// The metadata of a checkpoint is durable: it is complete.
    pub fn stored(&mut self, now: ProcessingTime, id: CheckpointId) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        if !self.pending.get(&id).is_some_and(Pending::is_storing) {
            return effects;
        }
        let Some(pending) = self.pending.remove(&id) else {
            return effects;
        };
        self.failures.completed();
        self.last_end = Some(now);
        effects.push(Effect::Completed(pending.completed(id, now)));
        if pending.is_savepoint() {
            self.savepoints.insert(id);
        } else {
            self.completed.insert(id);
            self.base = self.base.max(Some(id));
        }
        if pending.kind() != CheckpointKind::Savepoint {
            effects.push(Effect::NotifyComplete(id));
            self.subsume(now, id, &mut effects);
        }
        // Behind a savepoint, too: a process that died may have left some, and the job may end.
        self.retain(id, pending.kind(), &mut effects);
        if pending.kind().is_last() && self.runs() {
            self.refuse_all(FailureReason::CheckpointCoordinatorShutdown, &mut effects);
            self.phase = Phase::Closing;
        }
        self.advance(now, &mut effects);
        effects
    }

    /// The metadata of a checkpoint could not be written.
    pub fn store_failed(
        &mut self,
        now: ProcessingTime,
        id: CheckpointId,
        detail: impl Into<String>,
    ) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        if self.pending.get(&id).is_some_and(Pending::is_storing) {
            let reason = FailureReason::FinalizeCheckpointFailure;
            self.abort(now, id, reason, detail.into(), &mut effects);
            self.advance(now, &mut effects);
        }
        effects
    }

    /// The job has failed; it may be started again. What collects acks is given up; what is being
    /// stored is left to the store.
    pub fn job_failed(&mut self, now: ProcessingTime) -> Vec<Effect<A>> {
        self.go_down(now, FailureReason::JobFailoverRegion)
    }

    /// The job has ended or is being ended: nothing is triggered any more.
    pub fn stop(&mut self, now: ProcessingTime) -> Vec<Effect<A>> {
        self.go_down(now, FailureReason::CheckpointCoordinatorShutdown)
    }

    /// Whether metadata is being written: what is complete is not known before that has ended.
    #[must_use]
    pub fn is_storing(&self) -> bool {
        self.pending.values().any(Pending::is_storing)
    }

    /// The latest completed checkpoint.
    #[must_use]
    pub fn latest_completed(&self) -> Option<CheckpointId> {
        self.completed.last().copied()
    }

    /// The completed ones that are kept, in order.
    pub fn kept(&self) -> impl Iterator<Item = CheckpointId> + '_ {
        self.completed.iter().copied()
    }

    /// When checkpoints are taken, as it was changed last.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is under way, in order: id, kind, when it was triggered, how many acks are missing.
    pub fn under_way(
        &self,
    ) -> impl Iterator<Item = (CheckpointId, CheckpointKind, ProcessingTime, usize)> + '_ {
        let of = |(&id, p): (&CheckpointId, &Pending<A>)| (id, p.kind(), p.triggered, p.missing());
        self.pending.iter().map(of)
    }

    /// How many checkpoints are under way.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.pending.len()
    }

    fn collecting(&self) -> impl Iterator<Item = (CheckpointId, &Pending<A>)> {
        self.pending
            .iter()
            .filter(|(_, p)| !p.is_storing())
            .map(|(&id, p)| (id, p))
    }

    fn go_down(&mut self, now: ProcessingTime, reason: FailureReason) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        self.phase = Phase::Down;
        self.refuse_all(reason, &mut effects);
        let collecting: Vec<_> = self.collecting().map(|(id, _)| id).collect();
        for id in collecting {
            self.abort(now, id, reason, String::new(), &mut effects);
        }
        effects
    }

    /// Whether it is complete and is not to be touched.
    fn is_complete(&self, id: CheckpointId) -> bool {
        let all = [&self.completed, &self.excess, &self.savepoints];
        all.iter().any(|complete| complete.contains(&id))
    }

    /// Nothing that waits will be triggered.
    fn refuse_all(&mut self, reason: FailureReason, effects: &mut Vec<Effect<A>>) {
        let all = self.requests.clear().into_iter();
        effects.extend(all.map(|request| refused(request, reason)));
    }

    /// What is older than a completed one is not waited for, unless somebody asked for it.
    fn subsume(&mut self, now: ProcessingTime, by: CheckpointId, effects: &mut Vec<Effect<A>>) {
        let older: Vec<_> = self
            .collecting()
            .filter(|&(older, p)| older < by && p.kind() == CheckpointKind::Periodic)
            .map(|(older, _)| older)
            .collect();
        for older in older {
            let detail = format!("checkpoint {by} is complete");
            let reason = FailureReason::CheckpointSubsumed;
            self.abort(now, older, reason, detail, effects);
        }
    }

    fn abort(
        &mut self,
        now: ProcessingTime,
        id: CheckpointId,
        reason: FailureReason,
        detail: String,
        effects: &mut Vec<Effect<A>>,
    ) {
        let Some(pending) = self.pending.remove(&id) else {
            return;
        };
        self.last_end = Some(now);
        let aborted = Aborted {
            id,
            kind: pending.kind(),
            ticket: pending.request.ticket,
            reason,
            detail,
        };
        effects.push(Effect::NotifyAborted(aborted.clone()));
        effects.push(Effect::DiscardFiles(id));
        self.delete_excess(effects);
        // A savepoint says nothing about the storage of the checkpoints (Flink).
        let counts = !pending.is_savepoint();
        if counts && self.failures.failed(id, reason) && self.runs() {
            self.phase = Phase::Down;
            effects.push(Effect::FailJob(aborted));
        }
        let again = pending.kind() == CheckpointKind::Final && pending.request.ticket.is_none();
        if again && self.runs() {
            let not_before = now.plus_ms(FINAL_RETRY_MS);
            self.requests.finish(pending.request, not_before);
        }
    }

    /// Gives up what is beyond `retained`, the oldest first. One that was asked for outlives its
    /// own completion even where newer ones completed before it.
    fn retain(&mut self, just: CheckpointId, kind: CheckpointKind, effects: &mut Vec<Effect<A>>) {
        let excess = self
            .completed
            .len()
            .saturating_sub(self.config.retained.max(1));
        let is_spared = |id: CheckpointId| id == just && kind != CheckpointKind::Periodic;
        let oldest: Vec<_> = self
            .completed
            .iter()
            .copied()
            .take(excess)
            .filter(|&id| !is_spared(id))
            .collect();
        for id in oldest {
            self.completed.remove(&id);
            self.excess.insert(id);
        }
        self.delete_excess(effects);
    }

    /// Deletes what was given up, unless one under way refers to it (D12).
    fn delete_excess(&mut self, effects: &mut Vec<Effect<A>>) {
        let bases: BTreeSet<_> = self
            .pending
            .values()
            .filter_map(|p| p.barrier.base)
            .collect();
        let deleted: Vec<_> = self.excess.difference(&bases).copied().collect();
        for id in deleted {
            self.excess.remove(&id);
            effects.push(Effect::DeleteCheckpoint(id));
        }
    }

    /// Triggers what is due.
    fn advance(&mut self, now: ProcessingTime, effects: &mut Vec<Effect<A>>) {
        while let Some(request) = self.due(now) {
            effects.push(self.trigger(now, request));
        }
    }

    fn due(&self, now: ProcessingTime) -> Option<Request> {
        if !self.may_trigger() {
            return None;
        }
        if let Some((request, not_before)) = self.requests.final_one() {
            return (now >= not_before && self.has_place(&request)).then_some(request);
        }
        if self.phase == Phase::Draining {
            return None;
        }
        if let Some(request) = self.requests.next() {
            return self.has_place(&request).then_some(request);
        }
        self.periodic_at().filter(|&at| now >= at)?;
        let request = Request {
            is_scheduled: true,
            ..Request::of(CheckpointKind::Periodic)
        };
        self.has_place(&request).then_some(request)
    }

    /// When the passing of time alone triggers a checkpoint.
    fn next_trigger(&self) -> Option<ProcessingTime> {
        let scheduled = Request::of(CheckpointKind::Periodic);
        if !self.may_trigger() {
            None
        } else if let Some((request, not_before)) = self.requests.final_one() {
            self.has_place(&request).then_some(not_before)
        } else if self.phase == Phase::Draining {
            None
        } else if self.requests.next().is_none() && self.has_place(&scheduled) {
            self.periodic_at()
        } else {
            None
        }
    }

    /// Nothing overtakes the last checkpoint of a job.
    /// Whether all tasks run and the last checkpoint is not complete.
    fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Draining)
    }

    fn may_trigger(&self) -> bool {
        self.runs()
            && !self.running.is_empty()
            && !self.pending.values().any(|p| p.kind().is_last())
    }

    /// Whether it may be under way beside what is. A forced savepoint may, but not beside an
    /// unaligned checkpoint, nor this beside a savepoint (D9).
    fn has_place(&self, request: &Request) -> bool {
        let mut pending = self.pending.values();
        if request.is_forced && request.savepoint.is_some() {
            return !pending.any(Pending::is_unaligned);
        }
        let most = match self.config.unaligned {
            true => 1,
            false => self.config.max_concurrent.max(1),
        };
        self.pending.len() < most
    }

    fn periodic_at(&self) -> Option<ProcessingTime> {
        let pause_over = self
            .last_end
            .map(|end| end.plus_ms(self.config.min_pause_ms));
        self.next_periodic
            .max(pause_over)
            .filter(|_| self.next_periodic.is_some())
    }

    fn trigger(&mut self, now: ProcessingTime, request: Request) -> Effect<A> {
        if request.kind == CheckpointKind::Periodic {
            let interval_ms = self.config.interval_ms.unwrap_or(u64::MAX);
            // Missed ones are not made up for.
            let on_time = self.next_periodic.map(|at| at.plus_ms(interval_ms));
            let from_now = Some(now.plus_ms(interval_ms));
            self.next_periodic = on_time.filter(|&at| at > now).or(from_now);
        } else {
            self.requests.take(&request);
        }
        let checkpoint = self.next_id;
        self.next_id = checkpoint.next();
        let is_savepoint = request.savepoint.is_some();
        let is_increment = self.config.incremental && !request.is_full && !is_savepoint;
        let barrier = Barrier {
            checkpoint,
            kind: request.kind.barrier_kind(),
            base: self.base.filter(|_| is_increment),
            passage: self.passage(now, &request),
            savepoint: request.savepoint,
        };
        let pending = Pending::new(request, barrier, now, &self.running, &self.finished);
        self.pending.insert(checkpoint, pending);
        Effect::Trigger(barrier, request.ticket)
    }

    /// Rows that a barrier overtakes must have somebody to go on with them: not behind the last
    /// checkpoint of a job. Those of a savepoint would tie it to this plan (semantics 1.15).
    fn passage(&self, now: ProcessingTime, request: &Request) -> Passage {
        let is_aligned = request.savepoint.is_some() || request.kind.is_last();
        match self.config.aligned_timeout_ms {
            _ if is_aligned || !self.config.unaligned => Passage::Aligned,
            0 => Passage::Unaligned,
            timeout_ms => Passage::AlignedUntil(now.plus_ms(timeout_ms)),
        }
    }
}

fn refused<A>(request: Request, reason: FailureReason) -> Effect<A> {
    Effect::Refused {
        kind: request.kind,
        ticket: request.ticket,
        reason,
    }
}
