//! One attempt: the tasks run, and the coordinator's decisions are carried out.
//!
//! Runs on the control runtime (D8): busy guests cannot starve it. All deciding is done by the pure
//! coordinator; what is here only carries messages, writes metadata and keeps time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep_until,
};
use weir_checkpoint::{CheckpointKind, Coordinator, Effect, Request, TaskId};
use weir_model::{Attempt, Barrier, BarrierKind, CheckpointId, Name, SubtaskIndex};
use weir_operator::Failure;

use super::{
    claim::Claim,
    deploy::Reach,
    persist::{Persist, Stored},
    sources::{Sources, Word},
};
use crate::{
    clock::Monotonic,
    control::{CommandError, JobCommand, JobState},
    deployment::{CheckpointStats, JobEvent, JobListener},
    messages::{Ack, Control, Event, FromTask},
    report::{JobFailure, Place},
};

/// How an attempt ended.
pub(crate) enum End {
    Finished,
    Stopped(CheckpointId),
    Cancelled,
    Failed(JobFailure),
}

/// What the checkpoints of an attempt came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) last: Option<CheckpointStats>,
}

/// The driver of one attempt.
pub(crate) struct AttemptDriver {
    pub(crate) attempt: Attempt,
    pub(crate) names: HashMap<TaskId, Name>,
    pub(crate) reach: HashMap<TaskId, Reach>,
    pub(crate) events: mpsc::UnboundedReceiver<FromTask>,
    pub(crate) coordinator: Coordinator<Ack>,
    pub(crate) sources: Sources,
    pub(crate) persist: Persist,
    pub(crate) monotonic: Monotonic,
    pub(crate) listener: Arc<dyn JobListener>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) commands: mpsc::UnboundedReceiver<JobCommand>,
    pub(crate) counts: Counts,
    pub(crate) began: tokio::time::Instant,
    /// Completed checkpoints that the job owns in the store.
    pub(crate) owned: Vec<CheckpointId>,
    /// The checkpoint of another place that is the job's now.
    pub(crate) claim: Option<Claim>,
    /// What the barriers under way are for.
    pub(crate) kinds: HashMap<CheckpointId, BarrierKind>,
    /// The stop checkpoint, once it is complete.
    pub(crate) stopped: Option<CheckpointId>,
    /// Milliseconds until all tasks ran.
    pub(crate) startup_ms: Option<f64>,
    /// The highest id that was given out.
    pub(crate) highest: CheckpointId,
}

/// What is known of the tasks.
struct Progress {
    running: HashSet<TaskId>,
    with_data: HashSet<TaskId>,
    left: HashSet<TaskId>,
    stopping: bool,
    /// Nobody can ask for a stop any more.
    deaf: bool,
}

impl AttemptDriver {
    /// Runs until all tasks have ended or one has failed.
    pub(crate) async fn run(&mut self, tasks: &mut JoinSet<()>) -> End {
        let all: HashSet<TaskId> = self.reach.keys().copied().collect();
        let mut progress = Progress {
            running: HashSet::new(),
            with_data: all.clone(),
            left: all,
            stopping: false,
            deaf: false,
        };
        let end = loop {
            if let Some(end) = self.turn(tasks, &mut progress).await {
                break end;
            }
        };
        // Whatever still runs is told to stop; a guest in a loop ends at its own limit.
        for reach in self.reach.values() {
            let _ = reach.control.send(Control::Cancel);
        }
        while tasks.join_next().await.is_some() {}
        self.settle().await;
        end
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

    async fn turn(&mut self, tasks: &mut JoinSet<()>, progress: &mut Progress) -> Option<End> {
        let deadline = self
            .coordinator
            .next_deadline()
            .map(|at| self.monotonic.instant_of(at));
        let timer = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = self.stop.changed(), if !progress.deaf => {
                self.stop_asked(changed.is_ok(), progress)
            }
            Some(command) = self.commands.recv() => {
                command.refuse(CommandError::NotRunning(JobState::Starting));
                None
            }
            Some(event) = self.events.recv() => self.event(event, progress),
            Some(stored) = self.persist.next() => self.stored(stored),
            Some(joined) = tasks.join_next() => {
                let panic = joined.err()?;
                Some(self.failed(None, Failure::Internal { message: format!("a task: {panic}") }))
            }
            () = timer => {
                let effects = self.coordinator.tick(self.monotonic.now());
                self.carry_out(effects)
            }
        }
    }

    fn stop_asked(&mut self, alive: bool, progress: &mut Progress) -> Option<End> {
        if !alive {
            progress.deaf = true;
            return None;
        }
        let with_checkpoint = *self.stop.borrow();
        if !with_checkpoint {
            return Some(End::Cancelled);
        }
        // There is no checkpoint before all tasks run: it is asked for then.
        let asked_before = std::mem::replace(&mut progress.stopping, true);
        if asked_before || progress.running.len() < self.reach.len() {
            return None;
        }
        let now = self.monotonic.now();
        let effects = self
            .coordinator
            .request(now, Request::of(CheckpointKind::Stop));
        self.carry_out(effects)
    }

    fn event(&mut self, from: FromTask, progress: &mut Progress) -> Option<End> {
        let FromTask { task, event } = from;
        let now = self.monotonic.now();
        match event {
            Event::Running => self.task_runs(task, progress),
            Event::Ack(id, ack) => {
                self.persist.acked(id, &ack);
                let effects = self.coordinator.ack(id, task, *ack);
                self.carry_out(effects)
            }
            Event::Declined(id, reason, message) => {
                let name = &self.names[&task];
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
                progress.with_data.remove(&task);
                // The final checkpoint is taken when all sources have ended (D4).
                let is_source = self.sources.name_of(task.vertex).is_some();
                // Before all tasks run there is no checkpoint: it is asked for then.
                let all_run = progress.running.len() == self.reach.len();
                if !is_source || !all_run || !self.all_read(progress) || progress.stopping {
                    return None;
                }
                let effects = self
                    .coordinator
                    .request(now, Request::of(CheckpointKind::Final));
                self.carry_out(effects)
            }
            Event::SlowTransaction(sink, warning) => {
                let note = format!(
                    "a transaction of sink `{sink}` has been open for {} ms; its receiver may drop \
                     it after {} ms",
                    warning.open_ms, warning.timeout_ms
                );
                self.listener.event(&JobEvent::Note(note));
                None
            }
            Event::Failed(failure) => {
                Some(self.failed(Some((failure.node, task.subtask)), failure.failure))
            }
            Event::Ended => {
                progress.left.remove(&task);
                progress.left.is_empty().then_some(match self.stopped {
                    Some(id) => End::Stopped(id),
                    None => End::Finished,
                })
            }
        }
    }

    /// A task has opened. With the last one the job runs: splits are dealt out, checkpoints begin.
    fn task_runs(&mut self, task: TaskId, progress: &mut Progress) -> Option<End> {
        let now = self.monotonic.now();
        progress.running.insert(task);
        if progress.running.len() < self.reach.len() {
            return None;
        }
        let startup_ms = self.began.elapsed().as_secs_f64() * 1e3;
        self.startup_ms = Some(startup_ms);
        self.listener.event(&JobEvent::Running {
            attempt: self.attempt,
            startup_ms,
        });
        let words = self.sources.start();
        self.say(words);
        let tasks: Vec<TaskId> = self.reach.keys().copied().collect();
        let mut effects = self
            .coordinator
            .started(now, tasks, self.owned.clone(), None);
        if progress.stopping {
            effects.extend(
                self.coordinator
                    .request(now, Request::of(CheckpointKind::Stop)),
            );
        } else if self.all_read(progress) {
            // They said so before all tasks ran: they were restored as finished.
            effects.extend(
                self.coordinator
                    .request(now, Request::of(CheckpointKind::Final)),
            );
        }
        self.carry_out(effects)
    }

    /// Whether all sources have ended.
    fn all_read(&self, progress: &Progress) -> bool {
        !self
            .sources
            .tasks()
            .any(|task| progress.with_data.contains(&task))
    }

    fn stored(&mut self, stored: Stored) -> Option<End> {
        let now = self.monotonic.now();
        let effects = match stored.result {
            Ok(()) => self.coordinator.stored(now, stored.id),
            Err(message) => self.coordinator.store_failed(now, stored.id, message),
        };
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<Effect<Ack>>) -> Option<End> {
        let mut again = false;
        for effect in effects {
            match effect {
                Effect::Trigger(barrier, _) => self.trigger(barrier),
                Effect::Store(snapshot) => {
                    let enumerators = self.sources.take(snapshot.id);
                    self.persist.store(snapshot, enumerators);
                }
                Effect::NotifyComplete(id) => {
                    let kind = self.kinds.remove(&id).unwrap_or(BarrierKind::Periodic);
                    if kind == BarrierKind::Stop {
                        self.stopped = Some(id);
                    }
                    self.persist.completed(id);
                    self.tell_all(|| Control::Complete { id, kind });
                }
                Effect::NotifyAborted(aborted) => {
                    let id = aborted.id;
                    self.sources.take(id);
                    if self.kinds.remove(&id) == Some(BarrierKind::Stop) {
                        // Whoever asked for it still waits; how often it may fail is bounded by
                        // `tolerable-failures`.
                        again = true;
                    }
                    self.counts.failed += 1;
                    let reason = aborted.to_string();
                    self.listener
                        .event(&JobEvent::CheckpointFailed { id, reason });
                    self.tell_all(|| Control::Aborted(id));
                }
                // Without a store it only served to commit: there is nothing to tell of.
                Effect::Completed(completed) if !self.persist.keeps() => {
                    self.persist.stats(&completed);
                }
                Effect::Completed(completed) => {
                    let stats = self.persist.stats(&completed);
                    self.counts.completed += 1;
                    self.counts.last = Some(stats);
                    self.listener.event(&JobEvent::Checkpoint(stats));
                    // A job does not go on from a savepoint by itself.
                    if !completed.is_savepoint
                        && let Some(over) = self.claim.take_if(Claim::completed)
                    {
                        self.persist.delete_claimed(over);
                    }
                }
                Effect::DiscardFiles(id) | Effect::DeleteCheckpoint(id) => self.persist.delete(id),
                Effect::DiscardLateAck { id, ack, .. } => self.persist.discard(id, &ack),
                Effect::FailJob(aborted) => {
                    let what = "too many checkpoints failed".to_owned();
                    let message = aborted.to_string();
                    return Some(self.failed(None, Failure::External { what, message }));
                }
                Effect::Refused { kind, reason, .. } => {
                    let note = format!("a {kind} checkpoint was refused: {reason}");
                    self.listener.event(&JobEvent::Note(note));
                }
            }
        }
        if again {
            let effects = self
                .coordinator
                .request(self.monotonic.now(), Request::of(CheckpointKind::Stop));
            return self.carry_out(effects);
        }
        None
    }

    /// Enumerators are snapshotted before the barrier goes out (D25).
    fn trigger(&mut self, barrier: Barrier) {
        self.sources.snapshot(barrier.checkpoint);
        self.persist.triggered(&barrier);
        self.kinds.insert(barrier.checkpoint, barrier.kind);
        self.highest = self.highest.max(barrier.checkpoint);
        let words: Vec<Word> = self
            .sources
            .tasks()
            .map(|task| (task, Control::Trigger(barrier)))
            .collect();
        self.say(words);
    }

    fn say(&self, words: Vec<Word>) {
        for (task, control) in words {
            if let Some(reach) = self.reach.get(&task) {
                let _ = reach.control.send(control);
            }
        }
    }

    fn tell_all(&self, word: impl Fn() -> Control) {
        for reach in self.reach.values() {
            let _ = reach.control.send(word());
        }
    }

    fn failed(&self, place: Option<(Name, SubtaskIndex)>, failure: Failure) -> End {
        let attempt = self.attempt;
        let place = place.map(|(node, subtask)| Place {
            node,
            subtask,
            attempt,
        });
        End::Failed(JobFailure { place, failure })
    }
}
