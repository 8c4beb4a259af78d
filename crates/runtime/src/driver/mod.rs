//! Runs a job: attempts, restores and restarts, until it has finished, was stopped or is given up.

mod attempt;
mod begin;
mod claim;
mod commands;
mod deploy;
mod desk;
mod document;
mod fit;
mod in_flight;
mod launch;
mod migrate;
mod persist;
mod regions;
mod restore;
mod sources;
mod status;

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::sleep,
};
use weir_checkpoint::{
    CheckpointMode, Config, Coordinator, RestartDecision, SharedRegistry, SnapshotStore, Survey,
};
use weir_model::{Attempt, CheckpointId, MaxParallelism, Name};
use weir_operator::Failure;
use weir_state::Verdict;

pub use self::begin::{Begin, From as BeginFrom, finished};
pub(crate) use self::desk::Targets;
use self::{
    attempt::{AttemptDriver, Counts, End, Prospect},
    claim::Claim,
    deploy::{Shared, has_idle_cores},
    desk::Desk,
    document::Described,
    launch::Launched,
    persist::Persist,
    restore::{NoRestore, Restored},
    sources::Sources,
};
use crate::{
    clock::Monotonic,
    control::{JobState, JobStatus, StopDone},
    deployment::{CheckpointOptions, Deployment, Foreign, JobEvent, JobListener, JobOptions},
    messages::FromTask,
    meters::NodeMeters,
    report::{JobFailure, Outcome, Report},
    task::{Drifts, Storage},
};

/// Runs a job on threads of its own until it ends. Blocking.
///
/// # Errors
/// [`Failure::Internal`] where no threads can be had. That the job failed is an [`Outcome`].
pub fn run(deployment: Deployment, mut options: JobOptions) -> Result<Report, Failure> {
    let internal = |e: std::io::Error| Failure::io("cannot start threads", &e);
    let data = Builder::new_multi_thread()
        .worker_threads(options.workers.max(1))
        .thread_name("weir-task")
        // Calls that wait may use the network.
        .enable_all()
        .build()
        .map_err(internal)?;
    let control = Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(internal)?;
    let commands = std::mem::replace(&mut options.commands, mpsc::unbounded_channel().1);
    let job = Job::new(deployment, options, &data);
    let report = control.block_on(job.run(Desk::new(commands)));
    data.shutdown_timeout(ENDING);
    Ok(report)
}

/// How long threads of a job may take to end behind it. They hold what its parts hold: files,
/// connections and memory, which whoever asked for the job may want again at once. Only a thread
/// that cannot be interrupted takes longer (in a call of the system, or while it prepares a part
/// of a job that failed before it began), and is left to end by itself.
const ENDING: Duration = Duration::from_secs(5);

/// What a checkpoint would mean for a job.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Which it is.
    pub id: CheckpointId,
    /// Where it lies.
    pub location: String,
    /// What would become of each state of each operator.
    pub states: BTreeMap<Name, Vec<Verdict>>,
    /// What nodes were called then that have another name now.
    pub renamed: BTreeMap<Name, Name>,
    /// The number of key groups in it.
    pub max_parallelism: MaxParallelism,
    /// What the keys of keyed state were, by operator and input; `None` for an input without keys.
    pub keys: BTreeMap<Name, Vec<Option<String>>>,
    /// What would be left behind, as it was allowed.
    pub left: Vec<String>,
    /// Why the job cannot go on from it; empty where it can.
    pub problems: Vec<String>,
}

/// Reads a checkpoint and judges whether a job could go on from it. Starts nothing. Blocking.
///
/// # Errors
/// [`Failure::Restore`] where it is damaged, [`Failure::Unfit`] where this host cannot read it.
pub fn examine(deployment: &Deployment, from: &Foreign) -> Result<Examined, Failure> {
    let restored = Restored::look(from.store.clone(), &from.folder, None, deployment);
    let mut restored = restored.map_err(NoRestore::into_failure)?;
    let read = restored.read_files(deployment, None);
    read.map_err(NoRestore::into_failure)?;
    let metadata = &restored.metadata;
    let keyed = metadata.operators.iter();
    let keyed = keyed.filter(|(_, operator)| !operator.keys.is_empty());
    Ok(Examined {
        id: restored.id,
        states: fit::verdicts(metadata, deployment),
        max_parallelism: metadata.max_parallelism,
        keys: keyed
            .map(|(name, operator)| (name.clone(), operator.keys.clone()))
            .collect(),
        location: restored.location,
        renamed: restored.renamed,
        left: restored.fit.left,
        problems: restored.fit.problems,
    })
}

/// A job over its attempts.
struct Job {
    deployment: Deployment,
    options: JobOptions,
    tasks: Handle,
    storage: Option<Storage>,
    began: Instant,
    monotonic: Monotonic,
    counts: Counts,
    meters: Vec<Arc<NodeMeters>>,
    /// The attempt that runs or ran last.
    attempt: Option<Attempt>,
    restored: Option<(CheckpointId, String)>,
    startup_ms: Option<f64>,
    /// Where savepoints go.
    targets: Targets,
    /// Somebody has asked for a stop by signal.
    stopping: bool,
    /// The stop that is complete: only what it holds is left to be committed.
    stopped: Option<StopDone>,
    /// What this process has restored from or completed last; `None` before the first attempt.
    latest: Option<Latest>,
    /// The id of the next checkpoint is above this one (D24).
    highest: CheckpointId,
    /// The newest checkpoint that could not be read, so that an older one was gone on from.
    passed_over: Option<CheckpointId>,
    /// The checkpoint of the job's own that the user named.
    named: Option<CheckpointId>,
    /// Where the job began, as far as it was written down.
    begin: Option<Begin>,
    /// Who uses which shared file, made anew for each attempt of what lies in the store.
    registry: Arc<Mutex<SharedRegistry>>,
    /// The checkpoint that the job has claimed, until it is deleted.
    claim: Option<Claim>,
}

/// Where the next attempt begins.
#[derive(Clone)]
enum Latest {
    /// At the beginning.
    Beginning,
    /// At a checkpoint of the job's own.
    Own(CheckpointId),
    /// At a checkpoint that the user named.
    Foreign(Foreign),
}

/// Whose checkpoint is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The job's own.
    Own,
    /// What was another's, and is the job's own now (D24).
    Claimed,
    /// Another's: the job was split off from it.
    Fork,
}

impl Whose {
    fn of(latest: Option<&Latest>, claim: Option<&Claim>) -> Self {
        match (latest, claim) {
            (Some(Latest::Foreign(latest)), Some(claim)) => {
                match latest.place() == claim.foreign.place() {
                    true => Self::Claimed,
                    // A savepoint that the job ended with.
                    false => Self::Fork,
                }
            }
            (Some(Latest::Foreign(_)), None) => Self::Fork,
            (Some(Latest::Own(_) | Latest::Beginning) | None, _) => Self::Own,
        }
    }
}

impl Latest {
    /// A checkpoint is complete, perhaps after a newer one.
    fn or_newer(&self, completed: CheckpointId) -> Self {
        match self {
            Self::Own(id) => Self::Own(completed.max(*id)),
            Self::Beginning | Self::Foreign(_) => Self::Own(completed),
        }
    }
}

/// A failure before the tasks of an attempt ran, or an early end.
enum Early {
    Failed(JobFailure),
    /// Failed for a reason that a restart cannot mend.
    Refused(JobFailure),
    /// Everything had finished: there is nothing to run.
    AllFinished,
    /// It had stopped; what that left to be committed is.
    Stopped(StopDone),
    /// Somebody asked the job to end at once.
    Cancelled,
}

/// An attempt whose tasks can run.
struct Prepared {
    began: tokio::time::Instant,
    survey: Survey,
    shared: Arc<Shared>,
    sources: Sources,
    launched: Launched,
    events: mpsc::UnboundedReceiver<FromTask>,
}

impl Job {
    fn new(deployment: Deployment, options: JobOptions, data: &Runtime) -> Self {
        let storage = options.checkpoints.as_ref().map(|c| Storage {
            store: c.store.clone(),
            paths: c.paths.clone(),
        });
        Self {
            deployment,
            options,
            tasks: data.handle().clone(),
            storage,
            began: Instant::now(),
            monotonic: Monotonic::new(),
            counts: Counts::default(),
            meters: Vec::new(),
            attempt: None,
            restored: None,
            startup_ms: None,
            targets: Targets::default(),
            stopping: false,
            stopped: None,
            latest: None,
            highest: CheckpointId(0),
            passed_over: None,
            named: None,
            begin: None,
            registry: Arc::default(),
            claim: None,
        }
    }

    async fn run(mut self, mut desk: Desk) -> Report {
        let outcome = self.attempts(&mut desk).await;
        if matches!(outcome, Outcome::Cancelled) && desk.is_cancelled() {
            self.delete_cancelled().await;
        }
        desk.close(&outcome);
        self.report(outcome)
    }

    /// Attempt after attempt, until the job has ended.
    async fn attempts(&mut self, desk: &mut Desk) -> Outcome {
        match self.finished_before().await {
            Ok(None) => {}
            Ok(Some(checkpoint)) => return Outcome::AlreadyFinished(checkpoint),
            Err(failure) => return failed(failure),
        }
        loop {
            let end = self.attempt(desk).await;
            desk.attempt_ended(self.stopped.is_some());
            let (failure, hopeless) = match end {
                Ok(End::Finished) | Err(Early::AllFinished) => {
                    return match self.write_finished().await {
                        Ok(()) => Outcome::Finished,
                        Err(failure) => failed(failure),
                    };
                }
                Ok(End::Stopped(done)) | Err(Early::Stopped(done)) => {
                    return self.ended_stopped(done).await;
                }
                Ok(End::Cancelled) | Err(Early::Cancelled) => return Outcome::Cancelled,
                Ok(End::GivenUp(failure)) => return Outcome::Failed(failure),
                // What its operators did when they finished belongs to no checkpoint; or what its
                // last one holds is committed, and no task runs any more; or it is looked again
                // which checkpoint is the latest.
                Ok(End::Undrained | End::Whole) => continue,
                Ok(End::Failed(failure)) => {
                    let hopeless = is_hopeless(&failure.failure);
                    (failure, hopeless)
                }
                Err(Early::Failed(failure)) => (failure, false),
                Err(Early::Refused(failure)) => (failure, true),
            };
            if hopeless {
                return Outcome::Failed(failure);
            }
            let now = self.monotonic.now();
            let decision = self.options.restart.on_failure(now, random());
            let RestartDecision::Restart { after_ms, .. } = decision else {
                return Outcome::Failed(failure);
            };
            self.counts.failed(&failure);
            say_restart(&*self.options.listener, failure, decision);
            let status = self.status(JobState::Restarting);
            let stop = &mut self.options.stop;
            let slept = meanwhile(desk, status, sleep_or_stop(stop, after_ms)).await;
            if slept != Some(false) {
                return Outcome::Cancelled;
            }
        }
    }

    /// All is committed. A job that was drained has finished.
    async fn ended_stopped(&self, done: StopDone) -> Outcome {
        if done.drained
            && let Err(failure) = self.write_finished().await
        {
            return failed(failure);
        }
        Outcome::Stopped(done)
    }

    fn report(self, outcome: Outcome) -> Report {
        let duration = self.began.elapsed();
        Report {
            outcome,
            meters: self.meters,
            completed: self.counts.completed,
            failed: self.counts.failed,
            last: self.counts.last,
            restored: self.restored,
            startup_ms: self.startup_ms.unwrap_or(0.0),
            restarts: self.counts.restarts,
            recovered: self.counts.recovered,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// How the job is while no task runs.
    fn status(&self, state: JobState) -> impl Fn() -> JobStatus + use<> {
        let usual = self.options.checkpoints.as_ref();
        let interval_ms = usual.and_then(|checkpoints| checkpoints.config.interval_ms);
        let nothing = HashSet::new();
        let nodes = status::nodes(&self.deployment.plan, &self.meters, &nothing, &nothing);
        let status = JobStatus {
            state,
            attempt: self.attempt,
            restarts: self.counts.restarts,
            uptime_ms: 0,
            restored: self.restored.clone(),
            failure: self.counts.last_failure.clone(),
            checkpoints: self.counts.status(interval_ms, Vec::new()),
            nodes,
        };
        let began = self.began;
        move || JobStatus {
            uptime_ms: status::millis(began.elapsed()),
            ..status.clone()
        }
    }

    /// One attempt, from restore to end.
    async fn attempt(&mut self, desk: &mut Desk) -> Result<End, Early> {
        let state = match self.attempt {
            None => JobState::Starting,
            Some(_) => JobState::Restarting,
        };
        let status = self.status(state);
        let prepared = meanwhile(desk, status, self.prepare()).await;
        let end = match prepared.unwrap_or(Err(Early::Cancelled)) {
            Ok(prepared) => self.run_tasks(prepared, desk).await,
            Err(Early::Stopped(done)) => End::Stopped(done),
            Err(early) => return Err(early),
        };
        if matches!(end, End::Finished | End::Stopped(_)) {
            self.mark_committed().await;
        }
        Ok(end)
    }

    /// Everything until the tasks of an attempt can run.
    async fn prepare(&mut self) -> Result<Prepared, Early> {
        let began = tokio::time::Instant::now();
        let failed = |failure| {
            early(JobFailure {
                place: None,
                failure,
            })
        };
        let attempt = (self.options.attempts)().map_err(failed)?;
        self.attempt = Some(attempt);
        self.meters = NodeMeters::folded(&self.meters);
        let mut survey = self.survey().await.map_err(failed)?;
        let restored = self.restore(&mut survey).await.map_err(failed)?;
        self.delete_claimed_before().await;
        let (events_out, events) = mpsc::unbounded_channel();
        let checkpoints = self.options.checkpoints.as_ref();
        let shared = Arc::new(Shared {
            deployment: self.deployment.clone(),
            attempt,
            restored: restored.map(Arc::new),
            storage: self.storage.clone(),
            targets: self.targets.clone(),
            mode: checkpoints.map_or(CheckpointMode::ExactlyOnce, |c| c.mode),
            increments: checkpoints.is_some_and(|c| c.config.incremental),
            overtaking: checkpoints.is_some_and(CheckpointOptions::overtakes),
            monotonic: self.monotonic,
            clock: self.options.clock.clone(),
            events: events_out,
            drifts: Drifts::default(),
            idle_cores: has_idle_cores(&self.deployment.plan, self.options.workers),
        });
        let all: Vec<usize> = (0..self.deployment.plan.chains.len()).collect();
        let whose = Whose::of(self.latest.as_ref(), self.claim.as_ref());
        let listener = &self.options.listener;
        let recovery = launch::recover(&shared, &all, whose, listener).await?;
        self.counts.recovered += recovery.committed;
        // It died just behind its last checkpoint: what was left to do then is done now.
        if let Some(done) = self.stopped.clone() {
            return Err(Early::Stopped(done));
        }
        if shared.restored.as_ref().is_some_and(|r| r.all_finished()) {
            self.mark_committed().await;
            self.delete_excess(&survey).await;
            return Err(Early::AllFinished);
        }
        // No row is read before all tasks of an attempt run.
        self.say(launch::lost(&shared, &all, self.startup_ms.is_some()));
        let mut sources = Sources::default();
        let ready = launch::look(&shared, &all).await?;
        let launched = launch::make(&shared, &all, &ready, &self.tasks).await?;
        sources.set(ready);
        Ok(Prepared {
            began,
            survey,
            shared,
            sources,
            launched,
            events,
        })
    }

    fn say(&self, notes: Vec<String>) {
        for note in notes {
            self.options.listener.event(&JobEvent::Note(note));
        }
    }

    async fn mark_committed(&self) {
        if let Err(failure) = self.write_committed().await {
            // All is committed; without the mark it would be looked at again.
            let note = JobEvent::Note(failure.to_string());
            self.options.listener.event(&note);
        }
    }

    /// Runs the tasks of an attempt to their end.
    async fn run_tasks(&mut self, prepared: Prepared, desk: &mut Desk) -> End {
        let Prepared {
            began,
            survey,
            shared,
            sources,
            launched,
            events,
        } = prepared;
        let owned = survey.completed.iter().copied();
        let owned = owned.filter(|id| !self.is_spared(*id)).collect();
        let persist = Persist::new(
            self.storage.clone(),
            Described::new(&self.deployment),
            self.targets.clone(),
            self.options.clock.clone(),
            self.registry.clone(),
        );
        let driver = AttemptDriver::new(Prospect {
            coordinator: Coordinator::new(self.config(desk), self.highest.next()),
            shared,
            events,
            sources,
            persist,
            desk,
            options: &mut self.options,
            monotonic: self.monotonic,
            handle: self.tasks.clone(),
            counts: std::mem::take(&mut self.counts),
            meters: std::mem::take(&mut self.meters),
            job_began: self.began,
            began,
            restored: self.restored.clone(),
            latest: self.latest.clone().unwrap_or(Latest::Beginning),
            owned,
            claim: self.claim.take(),
            highest: self.highest,
            stopping: self.stopping,
        });
        let left = driver.run(launched).await;
        self.counts = left.counts;
        self.meters = left.meters;
        self.highest = left.highest;
        self.startup_ms = self.startup_ms.or(left.startup_ms);
        self.attempt = Some(left.attempt);
        self.latest = Some(left.latest);
        self.claim = left.claim;
        self.stopping = left.stopping;
        self.stopped = left.stopped;
        left.end
    }

    /// When checkpoints are taken in the next attempt.
    fn config(&self, desk: &Desk) -> Config {
        let Some(checkpoints) = &self.options.checkpoints else {
            return Config::default();
        };
        let usual = checkpoints.config.clone();
        Config {
            interval_ms: desk.interval(usual.interval_ms),
            // Nothing is blocked, so nothing need be overtaken (semantics 1.14).
            unaligned: checkpoints.overtakes(),
            ..usual
        }
    }

    /// Says for ever that the job has finished (D23).
    async fn write_finished(&self) -> Result<(), Failure> {
        let Some(storage) = self.storage.clone() else {
            return Ok(());
        };
        let last = match &self.latest {
            Some(Latest::Own(id)) => storage.paths.checkpoint(*id),
            Some(Latest::Foreign(foreign)) => foreign.place(),
            Some(Latest::Beginning) | None => String::new(),
        };
        let path = storage.paths.finished();
        blocking(move || put_once(&*storage.store, &path, format!("{last}\n"))).await
    }
}

/// Writes a mark that may be there already. Blocking.
fn put_once(store: &dyn SnapshotStore, path: &str, text: String) -> Result<(), Failure> {
    match store.put(path, vec![text.into_bytes()]) {
        Ok(()) => Ok(()),
        Err(e) if e.is_already_exists() => Ok(()),
        Err(e) => Err(Failure::External {
            what: path.to_owned(),
            message: e.to_string(),
        }),
    }
}

/// Does something before all tasks run, and answers commands meanwhile. `None` where one of them
/// ended the job.
async fn meanwhile<T>(
    desk: &mut Desk,
    status: impl Fn() -> JobStatus,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            command = desk.next() => {
                if desk.answer_idle(command, &status()) {
                    return None;
                }
            }
            done = &mut work => return Some(done),
        }
    }
}

/// Waits before a restart; `true` where the job was asked to stop meanwhile.
async fn sleep_or_stop(stop: &mut watch::Receiver<bool>, ms: u64) -> bool {
    tokio::select! {
        biased;
        Ok(()) = stop.changed() => true,
        () = sleep(Duration::from_millis(ms)) => false,
    }
}

/// Tells that something starts again.
fn say_restart(listener: &dyn JobListener, failure: JobFailure, decision: RestartDecision) {
    listener.event(&JobEvent::Failed(failure));
    if let RestartDecision::Restart {
        after_ms,
        attempt: number,
        of,
    } = decision
    {
        listener.event(&JobEvent::Restarting {
            number,
            of,
            after_ms,
        });
    }
}

fn failed(failure: Failure) -> Outcome {
    Outcome::Failed(JobFailure {
        place: None,
        failure,
    })
}

/// Any number: every hasher of the standard library is seeded anew.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn early(failure: JobFailure) -> Early {
    if is_hopeless(&failure.failure) {
        Early::Refused(failure)
    } else {
        Early::Failed(failure)
    }
}

/// What is wrong with the restored state is not mended by a restart, and a job that another process
/// runs is not ours.
fn is_hopeless(failure: &Failure) -> bool {
    match failure {
        Failure::Restore { .. }
        | Failure::Unfit { .. }
        | Failure::Claimed { .. }
        | Failure::Existing { .. }
        | Failure::Superseded { .. }
        | Failure::Target { .. }
        | Failure::NoEventTime { .. } => true,
        Failure::Guest { .. }
        | Failure::Trap(_)
        | Failure::Limit(_)
        | Failure::Contract { .. }
        | Failure::BadRow { .. }
        | Failure::BadKey { .. }
        | Failure::External { .. }
        | Failure::RefusedRow { .. }
        | Failure::LocalState { .. }
        | Failure::Unanswered { .. }
        // Recovery may go on without it, and a file may be there again.
        | Failure::LostTransaction { .. }
        | Failure::Internal { .. } => false,
    }
}

/// Runs something that blocks beside the control runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(panicked(&e)))
}

fn panicked(error: &tokio::task::JoinError) -> Failure {
    Failure::Internal {
        message: format!("a thread of the host panicked: {error}"),
    }
}
