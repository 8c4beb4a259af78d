//! Commands to a job whose tasks were made: what becomes of each.

use std::collections::HashSet;

use weir_checkpoint::{Aborted, CheckpointKind, Completed, Effect, Request, TaskId};
use weir_model::SavepointFormat;

use super::{
    attempt::{AttemptDriver, End},
    status,
};
use crate::{
    control::{
        CommandError, InProgress, JobCommand, JobState, JobStatus, Reply, SavepointTarget, StopDone,
    },
    deployment::{CheckpointStats, JobEvent},
    messages::{Ack, Control},
};

impl AttemptDriver<'_> {
    pub(super) fn command(&mut self, command: JobCommand) -> Option<End> {
        if command
            .target()
            .is_some_and(|target| target.prefix().is_empty())
        {
            command.refuse(CommandError::NoFolder);
            return None;
        }
        match command {
            JobCommand::Status { reply } => {
                let _ = reply.send(Ok(self.status()));
                None
            }
            JobCommand::Cancel { reply } => {
                self.desk.cancel(reply);
                Some(End::Cancelled)
            }
            JobCommand::SetInterval { interval_ms, reply } => self.set_interval(interval_ms, reply),
            JobCommand::Savepoint {
                target,
                format,
                reply,
            } => match self.unable(true) {
                Some(error) => refuse(reply, error),
                None => {
                    let ticket = self.desk.savepoint(target, format, reply);
                    let request = Request {
                        ticket: Some(ticket),
                        ..self.savepoint_request(CheckpointKind::Savepoint, format)
                    };
                    self.request(request)
                }
            },
            JobCommand::Checkpoint { full, reply } => match self.unable(true) {
                Some(error) => refuse(reply, error),
                None => {
                    let ticket = self.desk.checkpoint(reply);
                    let request = Request {
                        ticket: Some(ticket),
                        is_full: full,
                        ..Request::of(CheckpointKind::Manual)
                    };
                    self.request(request)
                }
            },
            JobCommand::Stop {
                drain,
                savepoint,
                reply,
            } => match self.unable(savepoint.is_some()) {
                Some(error) => refuse(reply, error),
                None => self.begin_stop(drain, savepoint, reply),
            },
        }
    }

    fn request(&mut self, request: Request) -> Option<End> {
        let effects = self.coordinator.request(self.monotonic.now(), request);
        self.carry_out(effects)
    }

    /// Savepoints are forced, as in Flink, unless checkpoints overtake (D9).
    fn savepoint_request(&self, kind: CheckpointKind, format: SavepointFormat) -> Request {
        Request {
            savepoint: Some(format),
            is_forced: !self.coordinator.config().unaligned,
            ..Request::of(kind)
        }
    }

    fn set_interval(&mut self, interval_ms: Option<u64>, reply: Reply<()>) -> Option<End> {
        if !self.persist.keeps() {
            return refuse(reply, CommandError::NoCheckpoints);
        }
        let set = self.desk.set_interval(interval_ms);
        let is_set = set.is_ok();
        let _ = reply.send(set);
        if !is_set {
            return None;
        }
        let now = self.monotonic.now();
        let effects = self.coordinator.set_interval(now, interval_ms);
        self.carry_out(effects)
    }

    /// Without a drain the sources stop behind the barrier; with one they stop now, and the last
    /// checkpoint is taken when all operators have finished (semantics 1.15).
    fn begin_stop(
        &mut self,
        drain: bool,
        savepoint: Option<(SavepointTarget, SavepointFormat)>,
        reply: Reply<StopDone>,
    ) -> Option<End> {
        self.desk.begin_stop(drain, savepoint, reply);
        if !drain {
            let request = self.stop_request(CheckpointKind::Stop);
            return self.request(request);
        }
        let effects = self.coordinator.drain();
        let words = self.sources.tasks().map(|task| (task, Control::Drain));
        let words = words.collect();
        self.say(words);
        self.carry_out(effects)
    }

    /// The last checkpoint of the job, for whoever asked it to stop.
    pub(super) fn stop_request(&self, kind: CheckpointKind) -> Request {
        let Some(stop) = self.desk.stop() else {
            return Request::of(kind);
        };
        let request = match &stop.savepoint {
            Some((_, format)) => self.savepoint_request(kind, *format),
            None => Request::of(kind),
        };
        Request {
            ticket: Some(stop.ticket),
            ..request
        }
    }

    /// Why nothing can be taken of the job now.
    fn unable(&self, needs_storage: bool) -> Option<CommandError> {
        let state = self.state();
        match state {
            JobState::Starting | JobState::Recovering | JobState::Restarting => {
                Some(CommandError::NotRunning(state))
            }
            JobState::Finishing | JobState::Stopping => Some(CommandError::Ending(state)),
            JobState::Running if needs_storage && !self.persist.keeps() => {
                Some(CommandError::NoCheckpoints)
            }
            JobState::Running => None,
        }
    }

    pub(super) fn state(&self) -> JobState {
        if !self.regions.all_up() {
            JobState::Recovering
        } else if !self.all_run() {
            match self.counts.restarts {
                0 => JobState::Starting,
                _ => JobState::Restarting,
            }
        } else if self.stopping || self.desk.stop().is_some() || self.stopped.is_some() {
            JobState::Stopping
        } else if self.all_read() {
            JobState::Finishing
        } else {
            JobState::Running
        }
    }

    fn status(&self) -> JobStatus {
        let now = self.monotonic.now();
        let under_way = self.coordinator.under_way();
        let under_way = under_way.map(|(id, kind, triggered, missing)| InProgress {
            id,
            kind,
            age_ms: now.since(triggered),
            missing,
        });
        let interval_ms = self.coordinator.config().interval_ms;
        let plan = &self.shared.deployment.plan;
        let ended: HashSet<TaskId> = self.running.difference(&self.with_data).copied().collect();
        JobStatus {
            state: self.state(),
            attempt: Some(self.attempt),
            restarts: self.counts.restarts,
            uptime_ms: status::millis(self.job_began.elapsed()),
            restored: self.restored.clone(),
            failure: self.counts.last_failure.clone(),
            checkpoints: self.counts.status(interval_ms, under_way.collect()),
            nodes: status::nodes(plan, &self.meters, &self.running, &ended),
        }
    }

    /// A checkpoint or savepoint is complete: whoever asked for it is told, and who watches.
    pub(super) fn tell_completed(&mut self, completed: &Completed, stats: CheckpointStats) {
        let ticket = completed.ticket;
        let target = ticket.and_then(|ticket| self.desk.target(ticket));
        if completed.kind.is_last() && (completed.kind == CheckpointKind::Stop || ticket.is_some())
        {
            self.stopped = Some(StopDone {
                checkpoint: self.persist.keeps().then_some(completed.id),
                savepoint: target.as_ref().map(|target| target.location.clone()),
                drained: completed.kind == CheckpointKind::Final,
            });
        }
        if let Some(target) = target {
            let location = target.location;
            let event = JobEvent::Savepoint { location, stats };
            self.options.listener.event(&event);
        } else if self.persist.keeps() {
            // Without a store it only served to commit: there is nothing to tell of.
            self.counts.completed += 1;
            self.counts.last = Some(stats);
            self.options.listener.event(&JobEvent::Checkpoint(stats));
        }
        if let Some(ticket) = ticket {
            self.desk.completed(ticket, stats);
        }
    }

    /// One was given up: whoever asked for it is told. Ends the attempt where its operators had
    /// finished for it.
    pub(super) fn tell_aborted(&mut self, aborted: &Aborted) -> Option<End> {
        let message = aborted.to_string();
        self.counts.failed += 1;
        self.counts.last_abort = Some(message.clone());
        let event = JobEvent::CheckpointFailed {
            id: aborted.id,
            reason: message.clone(),
        };
        self.options.listener.event(&event);
        let error = CommandError::Failed {
            reason: aborted.reason,
            message,
        };
        let drained = self.desk.failed(aborted.ticket?, error);
        drained.then_some(End::Undrained)
    }

    /// What was asked for was never begun.
    pub(super) fn tell_refused(&mut self, refused: &Effect<Ack>) -> Option<End> {
        let Effect::Refused {
            kind,
            ticket,
            reason,
        } = *refused
        else {
            return None;
        };
        let Some(ticket) = ticket else {
            let note = format!("a {kind} checkpoint was refused: {reason}");
            self.options.listener.event(&JobEvent::Note(note));
            return None;
        };
        let drained = self.desk.failed(ticket, CommandError::Refused(reason));
        drained.then_some(End::Undrained)
    }
}

/// Answers at once; nothing happens to the job.
fn refuse<T>(reply: Reply<T>, error: CommandError) -> Option<End> {
    let _ = reply.send(Err(error));
    None
}
