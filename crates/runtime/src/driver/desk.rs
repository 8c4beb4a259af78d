//! The desk: commands from outside come in here, and their answers go out.
//!
//! INVARIANT: every command is answered exactly once, whatever becomes of the job.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc;
use weir_checkpoint::{FailureReason, SnapshotStore, Ticket};
use weir_model::{CheckpointId, SavepointFormat};

use crate::{
    control::{
        CommandError, INTERVAL_MS_MIN, JobCommand, JobStatus, Reply, SavepointDone,
        SavepointTarget, StopDone,
    },
    deployment::CheckpointStats,
    report::Outcome,
    task::Storage,
};

/// Where savepoints go, by their number: tasks other than sources see no more than a barrier.
#[derive(Clone, Default)]
pub(crate) struct Targets(Arc<Mutex<HashMap<CheckpointId, SavepointTarget>>>);

impl Targets {
    /// A savepoint gets its number.
    pub(crate) fn insert(&self, id: CheckpointId, target: SavepointTarget) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(id, target);
    }

    /// The store of a checkpoint or savepoint, and the path there of one of its objects.
    pub(crate) fn place(
        &self,
        storage: &Storage,
        id: CheckpointId,
        inside: &str,
    ) -> (Arc<dyn SnapshotStore>, String) {
        match self.get(id) {
            Some(target) => {
                let path = format!("{}{inside}", target.prefix());
                (target.store, path)
            }
            None => (
                storage.store.clone(),
                storage.paths.in_checkpoint(id, inside),
            ),
        }
    }

    /// Where a savepoint goes; `None` where the number is that of a checkpoint.
    pub(crate) fn get(&self, id: CheckpointId) -> Option<SavepointTarget> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&id).cloned()
    }
}

/// What somebody waits for.
enum Asked {
    Savepoint(SavepointTarget, SavepointFormat, Reply<SavepointDone>),
    Checkpoint(Reply<CheckpointStats>),
}

/// A stop that is being carried out.
pub(crate) struct Stop {
    pub(crate) ticket: Ticket,
    pub(crate) drain: bool,
    pub(crate) savepoint: Option<(SavepointTarget, SavepointFormat)>,
    reply: Reply<StopDone>,
}

/// Where commands wait, and who waits for their answers.
pub(crate) struct Desk {
    commands: mpsc::UnboundedReceiver<JobCommand>,
    last: u64,
    asked: HashMap<Ticket, Asked>,
    stop: Option<Stop>,
    cancels: Vec<Reply<()>>,
    /// The interval, where it was changed.
    interval: Option<Option<u64>>,
}

impl Desk {
    pub(crate) fn new(commands: mpsc::UnboundedReceiver<JobCommand>) -> Self {
        Self {
            commands,
            last: 0,
            asked: HashMap::new(),
            stop: None,
            cancels: Vec::new(),
            interval: None,
        }
    }

    /// The next command. Waits for ever where nobody can ask any more.
    pub(crate) async fn next(&mut self) -> JobCommand {
        match self.commands.recv().await {
            Some(command) => command,
            None => std::future::pending().await,
        }
    }

    /// Answers while nothing can be asked of the tasks, because not all of them run. `true` where
    /// the job is to end at once.
    pub(crate) fn answer_idle(&mut self, command: JobCommand, status: &JobStatus) -> bool {
        match command {
            JobCommand::Status { reply } => drop(reply.send(Ok(status.clone()))),
            JobCommand::Cancel { reply } => {
                self.cancels.push(reply);
                return true;
            }
            JobCommand::SetInterval { interval_ms, reply } => {
                let _ = reply.send(self.set_interval(interval_ms));
            }
            command @ (JobCommand::Savepoint { .. }
            | JobCommand::Checkpoint { .. }
            | JobCommand::Stop { .. }) => command.refuse(CommandError::NotRunning(status.state)),
        }
        false
    }

    /// Remembers an interval, for this attempt and for all that follow.
    pub(crate) fn set_interval(&mut self, interval_ms: Option<u64>) -> Result<(), CommandError> {
        if let Some(ms) = interval_ms.filter(|&ms| ms < INTERVAL_MS_MIN) {
            return Err(CommandError::Interval(ms));
        }
        self.interval = Some(interval_ms);
        Ok(())
    }

    /// The interval of periodic checkpoints where the file of the job says `usual`.
    pub(crate) fn interval(&self, usual: Option<u64>) -> Option<u64> {
        self.interval.unwrap_or(usual)
    }

    pub(crate) fn savepoint(
        &mut self,
        target: SavepointTarget,
        format: SavepointFormat,
        reply: Reply<SavepointDone>,
    ) -> Ticket {
        self.ask(Asked::Savepoint(target, format, reply))
    }

    pub(crate) fn checkpoint(&mut self, reply: Reply<CheckpointStats>) -> Ticket {
        self.ask(Asked::Checkpoint(reply))
    }

    /// One stop at a time: the caller has looked that there is none.
    pub(crate) fn begin_stop(
        &mut self,
        drain: bool,
        savepoint: Option<(SavepointTarget, SavepointFormat)>,
        reply: Reply<StopDone>,
    ) -> Ticket {
        let ticket = self.ticket();
        self.stop = Some(Stop {
            ticket,
            drain,
            savepoint,
            reply,
        });
        ticket
    }

    /// The stop that is being carried out.
    pub(crate) fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    pub(crate) fn cancel(&mut self, reply: Reply<()>) {
        self.cancels.push(reply);
    }

    /// Whether somebody asked the job to end at once.
    pub(crate) fn is_cancelled(&self) -> bool {
        !self.cancels.is_empty()
    }

    /// Where what was asked for goes, if it is a savepoint.
    pub(crate) fn target(&self, ticket: Ticket) -> Option<SavepointTarget> {
        if let Some(stop) = self.stop.as_ref().filter(|stop| stop.ticket == ticket) {
            return stop.savepoint.as_ref().map(|(target, _)| target.clone());
        }
        match self.asked.get(&ticket)? {
            Asked::Savepoint(target, _, _) => Some(target.clone()),
            Asked::Checkpoint(_) => None,
        }
    }

    /// What was asked for is complete. A stop is answered when the job has ended.
    pub(crate) fn completed(&mut self, ticket: Ticket, stats: CheckpointStats) {
        match self.asked.remove(&ticket) {
            Some(Asked::Savepoint(target, format, reply)) => {
                let done = SavepointDone {
                    location: target.location,
                    format,
                    stats,
                };
                let _ = reply.send(Ok(done));
            }
            Some(Asked::Checkpoint(reply)) => drop(reply.send(Ok(stats))),
            None => {}
        }
    }

    /// What was asked for will not be. Says whether it was the end of a job whose operators had
    /// finished for it already.
    pub(crate) fn failed(&mut self, ticket: Ticket, error: CommandError) -> bool {
        if let Some(stop) = self.stop.take_if(|stop| stop.ticket == ticket) {
            let _ = stop.reply.send(Err(error));
            return stop.drain;
        }
        match self.asked.remove(&ticket) {
            Some(Asked::Savepoint(_, _, reply)) => drop(reply.send(Err(error))),
            Some(Asked::Checkpoint(reply)) => drop(reply.send(Err(error))),
            None => {}
        }
        false
    }

    /// The tasks are gone, and with them what was under way. A stop that is complete is not.
    pub(crate) fn attempt_ended(&mut self, stopped: bool) {
        let reason = FailureReason::JobFailoverRegion;
        let error = CommandError::Failed {
            reason,
            message: format!("the job failed meanwhile: {reason}"),
        };
        let mut gone: Vec<_> = self.asked.keys().copied().collect();
        gone.extend(self.stop.as_ref().filter(|_| !stopped).map(|s| s.ticket));
        for ticket in gone {
            self.failed(ticket, error.clone());
        }
    }

    /// The job has ended: whoever still waits is told how.
    pub(crate) fn close(mut self, outcome: &Outcome) {
        let how = match outcome {
            Outcome::Finished | Outcome::AlreadyFinished(_) => "it has finished".to_owned(),
            Outcome::Stopped(_) => "it was stopped".to_owned(),
            Outcome::Cancelled => "it was cancelled".to_owned(),
            Outcome::Failed(failed) => failed.failure.to_string(),
        };
        if let Some(stop) = self.stop.take() {
            let _ = stop.reply.send(match outcome {
                Outcome::Stopped(done) => Ok(done.clone()),
                Outcome::Finished
                | Outcome::AlreadyFinished(_)
                | Outcome::Cancelled
                | Outcome::Failed(_) => Err(CommandError::Ended(how.clone())),
            });
        }
        for reply in mem::take(&mut self.cancels) {
            let _ = reply.send(match outcome {
                Outcome::Cancelled => Ok(()),
                Outcome::Finished
                | Outcome::AlreadyFinished(_)
                | Outcome::Stopped(_)
                | Outcome::Failed(_) => Err(CommandError::Ended(how.clone())),
            });
        }
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            command.refuse(CommandError::Ended(how.clone()));
        }
    }

    fn ask(&mut self, asked: Asked) -> Ticket {
        let ticket = self.ticket();
        self.asked.insert(ticket, asked);
        ticket
    }

    fn ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }
}
