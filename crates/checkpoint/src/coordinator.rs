//! The coordinator of the checkpoints of one job (semantics 1.13): when one is triggered, when it
//! is complete, when it is given up, which completed ones are kept.
//!
//! INVARIANT: ids rise; a checkpoint is complete only when every task that was running when it was
//! triggered has acknowledged it and its metadata is durable; nothing is discarded that a
//! checkpoint with metadata names.
//!
//! How a driver uses it: each event is a method, each gives effects to be carried out in order.
//! After `job_failed` the driver waits until [`Coordinator::is_storing`] is false and has carried
//! out what was to be discarded; then it looks what is in the store
//! (`Survey`), restores the latest, and says `started`. The store alone says what
//! is complete: writing metadata may work and be reported as a failure.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{Barrier, CheckpointId, ProcessingTime};

use crate::{FailureCount, FailureReason};

mod effect;
mod pending;
#[cfg(test)]
mod tests;

pub use effect::{Aborted, CheckpointKind, Completed, Config, Effect, Snapshot, TaskId};
use pending::{Accepted, Pending};

/// How many manual checkpoints may wait at a time: Flink's bound of the request queue.
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
    /// Complete, and not deleted.
    completed: BTreeSet<CheckpointId>,
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
    /// The last checkpoint is complete; the tasks are about to finish.
    Closing,
}

/// What was asked for and has not been triggered.
#[derive(Clone, Copy, Debug, Default)]
struct Requests {
    manual: usize,
    stop: bool,
    finish: bool,
    /// The pause after a final one that failed.
    finish_not_before: ProcessingTime,
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
            requests: Requests::default(),
            next_periodic: None,
            last_end: None,
        }
    }

    /// All of `tasks` run now, after a start or a restart. `completed` are the checkpoints that the
    /// job owns in the store; beyond `retained` they are deleted as new ones complete. The first
    /// periodic checkpoint is due after one interval.
    pub fn started(
        &mut self,
        now: ProcessingTime,
        tasks: impl IntoIterator<Item = TaskId>,
        completed: impl IntoIterator<Item = CheckpointId>,
    ) -> Vec<Effect<A>> {
        let mut effects = self.job_failed(now);
        self.running = tasks.into_iter().collect();
        self.finished.clear();
        self.completed = completed.into_iter().collect();
        let above = self.completed.last().map_or(self.next_id, |id| id.next());
        self.next_id = self.next_id.max(above);
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

    /// Somebody wants a checkpoint: `Manual` at any time, `Stop` to end the job with it, `Final`
    /// when all sources have ended. They do not wait for the pause, but for a free place. After
    /// `Stop` or `Final` nothing else is triggered unless that one fails; a failed `Final` is
    /// repeated. A periodic one cannot be asked for and is ignored.
    pub fn request(&mut self, now: ProcessingTime, kind: CheckpointKind) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        match (self.phase, kind) {
            (_, CheckpointKind::Periodic) => {}
            (Phase::Down, _) => {
                let reason = FailureReason::NotAllRequiredTasksRunning;
                effects.push(Effect::Refused { kind, reason });
            }
            (Phase::Closing, _) => {
                let reason = FailureReason::CheckpointCoordinatorShutdown;
                effects.push(Effect::Refused { kind, reason });
            }
            (Phase::Running, CheckpointKind::Manual) => {
                if self.requests.manual < QUEUED_REQUESTS_MAX {
                    self.requests.manual += 1;
                } else {
                    let reason = FailureReason::TooManyCheckpointRequests;
                    effects.push(Effect::Refused { kind, reason });
                }
            }
            (Phase::Running, CheckpointKind::Stop) => self.requests.stop = true,
            (Phase::Running, CheckpointKind::Final) => self.requests.finish = true,
        }
        self.advance(now, &mut effects);
        effects
    }

    /// A task has acknowledged a checkpoint: all that it names is durable.
    pub fn ack(&mut self, id: CheckpointId, task: TaskId, ack: A) -> Vec<Effect<A>> {
        let Some(pending) = self.pending.get_mut(&id) else {
            // What a completed checkpoint names is in use, whoever repeats it.
            return if self.completed.contains(&id) {
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
        self.completed.insert(id);
        self.failures.completed();
        self.last_end = Some(now);
        effects.push(Effect::Completed(pending.completed(id, now)));
        effects.push(Effect::NotifyComplete(id));
        let older: Vec<_> = self
            .collecting()
            .filter(|&(older, p)| older < id && p.kind == CheckpointKind::Periodic)
            .map(|(older, _)| older)
            .collect();
        for older in older {
            let detail = format!("checkpoint {id} is complete");
            self.abort(
                now,
                older,
                FailureReason::CheckpointSubsumed,
                detail,
                &mut effects,
            );
        }
        self.retain(id, pending.kind, &mut effects);
        if pending.kind.is_last() && self.phase == Phase::Running {
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

    /// Nothing that waits will be triggered.
    fn refuse_all(&mut self, reason: FailureReason, effects: &mut Vec<Effect<A>>) {
        let Requests {
            manual,
            stop,
            finish,
            ..
        } = std::mem::take(&mut self.requests);
        let manual = std::iter::repeat_n(CheckpointKind::Manual, manual);
        let stop = stop.then_some(CheckpointKind::Stop);
        let finish = finish.then_some(CheckpointKind::Final);
        let kinds = manual.chain(stop).chain(finish);
        effects.extend(kinds.map(|kind| Effect::Refused { kind, reason }));
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
            kind: pending.kind,
            reason,
            detail,
        };
        effects.push(Effect::NotifyAborted(aborted.clone()));
        effects.push(Effect::DiscardFiles(id));
        if self.failures.failed(id, reason) && self.phase == Phase::Running {
            self.phase = Phase::Down;
            effects.push(Effect::FailJob(aborted));
        }
        if pending.kind == CheckpointKind::Final && self.phase == Phase::Running {
            self.requests.finish = true;
            self.requests.finish_not_before = now.plus_ms(FINAL_RETRY_MS);
        }
    }

    /// Deletes what is beyond `retained`, the oldest first. One that was asked for outlives its own
    /// completion even where newer ones completed before it.
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
            effects.push(Effect::DeleteCheckpoint(id));
        }
    }

    /// Triggers what is due.
    fn advance(&mut self, now: ProcessingTime, effects: &mut Vec<Effect<A>>) {
        while let Some(kind) = self.due(now) {
            effects.push(self.trigger(now, kind));
        }
    }

    fn due(&self, now: ProcessingTime) -> Option<CheckpointKind> {
        if !self.has_place() {
            None
        } else if self.requests.finish {
            (now >= self.requests.finish_not_before).then_some(CheckpointKind::Final)
        } else if self.requests.stop {
            Some(CheckpointKind::Stop)
        } else if self.requests.manual > 0 {
            Some(CheckpointKind::Manual)
        } else {
            self.periodic_at()
                .filter(|&at| now >= at)
                .map(|_| CheckpointKind::Periodic)
        }
    }

    /// When the passing of time alone triggers a checkpoint.
    fn next_trigger(&self) -> Option<ProcessingTime> {
        if !self.has_place() {
            None
        } else if self.requests.finish {
            Some(self.requests.finish_not_before)
        } else {
            self.periodic_at()
        }
    }

    /// Nothing overtakes the last checkpoint of a job.
    fn has_place(&self) -> bool {
        self.phase == Phase::Running
            && !self.running.is_empty()
            && self.pending.len() < self.config.max_concurrent.max(1)
            && !self.pending.values().any(|p| p.kind.is_last())
    }

    fn periodic_at(&self) -> Option<ProcessingTime> {
        let pause_over = self
            .last_end
            .map(|end| end.plus_ms(self.config.min_pause_ms));
        self.next_periodic
            .max(pause_over)
            .filter(|_| self.next_periodic.is_some())
    }

    fn trigger(&mut self, now: ProcessingTime, kind: CheckpointKind) -> Effect<A> {
        match kind {
            CheckpointKind::Periodic => {
                let interval_ms = self.config.interval_ms.unwrap_or(u64::MAX);
                // Missed ones are not made up for.
                let on_time = self.next_periodic.map(|at| at.plus_ms(interval_ms));
                let from_now = Some(now.plus_ms(interval_ms));
                self.next_periodic = on_time.filter(|&at| at > now).or(from_now);
            }
            CheckpointKind::Manual => self.requests.manual -= 1,
            CheckpointKind::Stop => self.requests.stop = false,
            CheckpointKind::Final => self.requests.finish = false,
        }
        let checkpoint = self.next_id;
        self.next_id = checkpoint.next();
        let pending = Pending::new(kind, now, &self.running, &self.finished);
        self.pending.insert(checkpoint, pending);
        Effect::Trigger(Barrier {
            kind: kind.barrier_kind(),
            ..Barrier::periodic(checkpoint)
        })
    }
}
