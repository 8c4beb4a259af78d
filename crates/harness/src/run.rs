//! One run of the job, on a thread of its own, from its start until it has ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};
use weir_checkpoint::{CheckpointMode, Config, JobPaths, Restart, RestartStrategy, SnapshotStore};
use weir_model::{Attempt, CheckpointId, Name};
use weir_operator::Failure;
use weir_runtime::{
    CheckpointOptions, Clock, Deployment, JobEvent, JobListener, JobOptions, Outcome, Report,
    RestoreFrom,
    control::{CommandError, JobCommand, JobStatus},
    run,
};

use crate::{harness::Stopped, shared::Shared};

/// How many checkpoints are kept: all, for the harness may go back to any of them.
const ALL: usize = usize::MAX >> 1;
/// Threads for tasks: enough that they run at the same time, as they do in production.
///
/// Not so many that a feed is read ahead of its task: that it has come back for more says that the
/// rows before are out.
const WORKERS: usize = 2;
/// How often is looked whether calls still wait for what is outside.
const LOOK: Duration = Duration::from_millis(1);

/// A job that runs, or has run.
pub(crate) struct Run {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<JobCommand>,
    thread: Option<JoinHandle<Result<Report, Failure>>>,
    /// Dropped, it would only be deaf; it is kept so that nobody wonders.
    _stop: watch::Sender<bool>,
}

/// Rings when the thread of a run ends, however it does.
struct Bell(Arc<Shared>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.change(|state| state.is_over = true);
    }
}

/// Tells when all tasks run.
struct Listener(Arc<Shared>);

impl JobListener for Listener {
    fn event(&self, event: &JobEvent) {
        if let JobEvent::Running { .. } = event {
            self.0.change(|state| state.is_running = true);
        }
    }
}

impl Run {
    /// Starts the job.
    pub(crate) fn start(
        deployment: Deployment,
        shared: &Arc<Shared>,
        store: &Arc<dyn SnapshotStore>,
        clock: Arc<dyn Clock>,
        attempts: &Arc<AtomicU32>,
        restore: RestoreFrom,
    ) -> Result<Self, Stopped> {
        let (commands, listening) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let paths = JobPaths::new(&deployment.plan.job);
        let attempts = Arc::clone(attempts);
        let config = Config {
            tolerable_failures: u32::MAX,
            retained: ALL,
            incremental: true,
            ..Config::default()
        };
        let options = JobOptions {
            workers: WORKERS,
            checkpoints: Some(CheckpointOptions {
                config,
                mode: CheckpointMode::ExactlyOnce,
                store: Arc::clone(store),
                paths,
            }),
            restart: Restart::new(RestartStrategy::None),
            restore,
            attempts: Box::new(move || Ok(Attempt(attempts.fetch_add(1, Ordering::Relaxed) + 1))),
            clock,
            listener: Arc::new(Listener(Arc::clone(shared))),
            stop: stopped,
            commands: listening,
            claims: None,
        };
        let bell = Bell(Arc::clone(shared));
        let spawned = thread::Builder::new()
            .name("weir-harness".into())
            .spawn(move || {
                let _bell = bell;
                run(deployment, options)
            });
        let thread = spawned.map_err(|error| Stopped::Broken(format!("no thread: {error}")))?;
        Ok(Self {
            shared: Arc::clone(shared),
            commands,
            thread: Some(thread),
            _stop: stop,
        })
    }

    /// Takes a checkpoint and waits for it.
    pub(crate) fn checkpoint(&self) -> Result<CheckpointId, CommandError> {
        let full = false;
        let done = self.ask(|reply| JobCommand::Checkpoint { full, reply })?;
        Ok(done.id)
    }

    /// Waits until a source has told those behind it that nothing more comes.
    pub(crate) fn wait_for_end_of(&self, source: &Name) -> Result<(), CommandError> {
        while !self.status()?.nodes.iter().any(|node| {
            // It has one reader.
            node.name == *source && node.ended > 0
        }) {
            // It was told so and works on it: each question is one more turn of its job.
            thread::yield_now();
        }
        Ok(())
    }

    /// Waits until no call waits any more for what is outside. That takes the time it takes: no
    /// clock of ours makes it go on.
    pub(crate) fn wait_for_calls(&self) -> Result<(), CommandError> {
        while self.status()?.nodes.iter().any(|node| node.waiting > 0) {
            thread::sleep(LOOK);
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> Result<JobStatus, CommandError> {
        self.ask(|reply| JobCommand::Status { reply })
    }

    fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, CommandError>>) -> JobCommand,
    ) -> Result<T, CommandError> {
        let gone = || CommandError::Ended("it is over".into());
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| gone())?;
        answer.blocking_recv().map_err(|_| gone())?
    }

    /// Waits for its end, which must be near, and gives back what it came to.
    pub(crate) fn ended(&mut self) -> Result<Report, Stopped> {
        let Some(thread) = self.thread.take() else {
            return Err(Stopped::Broken("the job was waited for twice".into()));
        };
        match thread.join() {
            Ok(Ok(report)) => match &report.outcome {
                Outcome::Failed(failure) => Err(Stopped::Failed(Box::new(failure.clone()))),
                Outcome::Finished
                | Outcome::AlreadyFinished(_)
                | Outcome::Stopped(_)
                | Outcome::Cancelled => Ok(report),
            },
            Ok(Err(failure)) => Err(Stopped::Failed(Box::new(weir_runtime::JobFailure {
                place: None,
                failure,
            }))),
            Err(_) => Err(Stopped::Broken("the job panicked".into())),
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.shared.lock().is_over
    }
}

impl Drop for Run {
    /// A job that is let go of ends at once, and is waited for: nothing of it reaches into the
    /// next.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let (reply, _answer) = oneshot::channel();
            let _ = self.commands.send(JobCommand::Cancel { reply });
            let _ = thread.join();
        }
    }
}
