//! Runs a job: attempts, restores and restarts, until it has finished, was stopped or is given up.

mod attempt;
mod begin;
mod claim;
mod deploy;
mod document;
mod fit;
mod in_flight;
mod migrate;
mod persist;
mod restore;
mod sources;

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, Mutex},
    time::Instant,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
    time::sleep,
};
use weir_checkpoint::{
    CheckpointMode, Config, Coordinator, OnCommitError, RestartDecision, SharedRegistry, Survey,
    Transaction,
};
use weir_graph::NodeKind;
use weir_model::{Attempt, CheckpointId, MaxParallelism, Name, ProcessingTime};
use weir_operator::{Failure, Recovered, Sealed};
use weir_state::Verdict;

pub use self::begin::{Begin, From as BeginFrom, finished};
use self::{
    attempt::{AttemptDriver, Counts, End},
    claim::Claim,
    deploy::Shared,
    document::Described,
    in_flight::Deals,
    persist::Persist,
    restore::{NoRestore, Restored},
    sources::{Found, Sources},
};
use crate::{
    clock::Monotonic,
    control::StopDone,
    deployment::{CheckpointOptions, Deployment, Foreign, JobEvent, JobOptions, SinkDeployment},
    meters::NodeMeters,
    report::{JobFailure, Outcome, Place, Report},
    task::Storage,
};

/// Runs a job on threads of its own until it ends. Blocking.
///
/// # Errors
/// [`Failure::Internal`] where no threads can be had. That the job failed is an [`Outcome`].
pub fn run(deployment: Deployment, options: JobOptions) -> Result<Report, Failure> {
    let internal = |e: std::io::Error| Failure::io("cannot start threads", &e);
    let data = Builder::new_multi_thread()
        .worker_threads(options.workers.max(1))
        .thread_name("weir-task")
        .enable_time()
        .build()
        .map_err(internal)?;
    let control = Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(internal)?;
    let report = control.block_on(Job::new(deployment, options, &data).run());
    data.shutdown_background();
    Ok(report)
}

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
    restarts: u32,
    restored: Option<(CheckpointId, String)>,
    startup_ms: Option<f64>,
    recovered: u64,
    /// What this process has restored from or completed last; `None` before the first attempt.
    latest: Option<Latest>,
    /// The id of the next checkpoint is above this one (D24).
    highest: CheckpointId,
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

/// A failure before the tasks of an attempt ran, or an early end.
enum Early {
    Failed(JobFailure),
    /// Failed for a reason that a restart cannot mend.
    Refused(JobFailure),
    /// Everything had finished: there is nothing to run.
    AllFinished,
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
            restarts: 0,
            restored: None,
            startup_ms: None,
            recovered: 0,
            latest: None,
            highest: CheckpointId(0),
            named: None,
            begin: None,
            registry: Arc::default(),
            claim: None,
        }
    }

    async fn run(mut self) -> Report {
        match self.finished_before().await {
            Ok(None) => {}
            Ok(Some(checkpoint)) => return self.report(Outcome::AlreadyFinished(checkpoint)),
            Err(failure) => return self.fail(failure),
        }
        loop {
            let (failure, hopeless) = match self.attempt().await {
                Ok(End::Finished) | Err(Early::AllFinished) => {
                    return match self.write_finished().await {
                        Ok(()) => self.report(Outcome::Finished),
                        Err(failure) => self.fail(failure),
                    };
                }
                Ok(End::Stopped(id)) => {
                    let done = StopDone {
                        checkpoint: self.storage.as_ref().map(|_| id),
                        savepoint: None,
                        drained: false,
                    };
                    return self.report(Outcome::Stopped(done));
                }
                Ok(End::Cancelled) => return self.report(Outcome::Cancelled),
                Ok(End::Failed(failure)) => {
                    let hopeless = is_hopeless(&failure.failure);
                    (failure, hopeless)
                }
                Err(Early::Failed(failure)) => (failure, false),
                Err(Early::Refused(failure)) => (failure, true),
            };
            if hopeless {
                return self.report(Outcome::Failed(failure));
            }
            let now = self.monotonic.now();
            let decision = self.options.restart.on_failure(now, random());
            let RestartDecision::Restart {
                after_ms,
                attempt,
                of,
            } = decision
            else {
                return self.report(Outcome::Failed(failure));
            };
            self.options.listener.event(&JobEvent::Failed(failure));
            self.restarts += 1;
            let number = attempt;
            self.options.listener.event(&JobEvent::Restarting {
                number,
                of,
                after_ms,
            });
            if self.sleep_or_stop(after_ms).await {
                return self.report(Outcome::Cancelled);
            }
        }
    }

    /// Waits before a restart; `true` where the job was asked to stop meanwhile.
    async fn sleep_or_stop(&mut self, ms: u64) -> bool {
        tokio::select! {
            biased;
            Ok(()) = self.options.stop.changed() => true,
            () = sleep(std::time::Duration::from_millis(ms)) => false,
        }
    }

    fn fail(self, failure: Failure) -> Report {
        self.report(Outcome::Failed(JobFailure {
            place: None,
            failure,
        }))
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
            restarts: self.restarts,
            recovered: self.recovered,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// One attempt, from restore to end.
    async fn attempt(&mut self) -> Result<End, Early> {
        let began = tokio::time::Instant::now();
        let failed = |failure| {
            early(JobFailure {
                place: None,
                failure,
            })
        };
        let attempt = (self.options.attempts)().map_err(failed)?;
        self.meters = NodeMeters::folded(&self.meters);
        let mut survey = self.survey().await.map_err(failed)?;
        let restored = self.restore(&mut survey).await.map_err(failed)?;
        let restored = restored.map(Arc::new);
        self.delete_claimed_before().await;
        self.recover(attempt, restored.as_ref()).await?;
        if restored.as_ref().is_some_and(|r| r.all_finished()) {
            // It died just behind its final checkpoint: what was left to do then is done now.
            self.mark_committed().await;
            self.delete_excess(&survey).await;
            return Err(Early::AllFinished);
        }
        self.say_lost(restored.as_deref());
        let end = self.run_tasks(attempt, began, &survey, restored).await?;
        if matches!(end, End::Finished | End::Stopped(_)) {
            self.mark_committed().await;
        }
        Ok(end)
    }

    async fn mark_committed(&self) {
        if let Err(failure) = self.write_committed().await {
            // All is committed; without the mark it would be looked at again.
            let note = JobEvent::Note(failure.to_string());
            self.options.listener.event(&note);
        }
    }

    /// Says which sources do not give again what they gave since where this attempt begins.
    fn say_lost(&self, restored: Option<&Restored>) {
        let since = match restored {
            Some(restored) => format!("after checkpoint {}", restored.id),
            // No row is read before all tasks of an attempt run.
            None if self.startup_ms.is_some() => "before the restart".to_owned(),
            None => return,
        };
        for chain in &self.deployment.plan.chains {
            let Some(source) = self.deployment.sources.get(&chain.name) else {
                continue;
            };
            let has_ended = restored.is_some_and(|restored| restored.is_finished(chain));
            if !source.replayable() && !has_ended {
                let note = format!(
                    "rows that source `{}` gave {since}, if any, are lost: it cannot go back",
                    chain.name
                );
                self.options.listener.event(&JobEvent::Note(note));
            }
        }
    }

    /// Makes the tasks of an attempt and runs them to their end.
    async fn run_tasks(
        &mut self,
        attempt: Attempt,
        began: tokio::time::Instant,
        survey: &Survey,
        restored: Option<Arc<Restored>>,
    ) -> Result<End, Early> {
        let checkpoints = self.options.checkpoints.as_ref();
        let config = checkpoints.map_or_else(Config::default, |c| c.config.clone());
        let (events_out, events) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            deployment: self.deployment.clone(),
            attempt,
            restored,
            storage: self.storage.clone(),
            mode: checkpoints.map_or(CheckpointMode::ExactlyOnce, |c| c.mode),
            overtaking: checkpoints.is_some_and(CheckpointOptions::overtakes),
            increments: config.incremental,
            monotonic: self.monotonic,
            clock: self.options.clock.clone(),
            events: events_out,
        });
        let sources = self.sources(&shared).await?;
        let (wirings, reach) = deploy::wire(&shared);
        let (mut tasks, names) = self.start(&shared, wirings, sources.deals()).await?;
        if let Some(restored) = &shared.restored {
            restored.release();
        }
        let mut driver = AttemptDriver {
            attempt,
            names,
            reach,
            events,
            coordinator: Coordinator::new(config, self.highest.next()),
            sources,
            persist: Persist::new(
                self.storage.clone(),
                Described::new(&self.deployment),
                attempt,
                self.options.clock.clone(),
                self.registry.clone(),
            ),
            monotonic: self.monotonic,
            listener: self.options.listener.clone(),
            stop: self.options.stop.clone(),
            commands: std::mem::replace(&mut self.options.commands, mpsc::unbounded_channel().1),
            counts: std::mem::take(&mut self.counts),
            began,
            owned: survey
                .completed
                .iter()
                .copied()
                .filter(|id| !self.is_spared(*id))
                .collect(),
            claim: self.claim.take(),
            kinds: HashMap::new(),
            stopped: None,
            startup_ms: None,
            highest: self.highest,
        };
        let end = driver.run(&mut tasks).await;
        self.take_over(driver, survey);
        Ok(end)
    }

    /// Keeps what an attempt leaves to the next one.
    fn take_over(&mut self, driver: AttemptDriver, survey: &Survey) {
        self.counts = driver.counts;
        self.options.commands = driver.commands;
        self.highest = driver.highest;
        self.claim = driver.claim;
        self.startup_ms = self.startup_ms.or(driver.startup_ms);
        if let Some(last) = driver.coordinator.latest_completed()
            && self.storage.is_some()
            && !survey.completed.contains(&last)
        {
            self.latest = Some(Latest::Own(last));
        }
    }

    /// Commits what the restored checkpoint holds, and removes what older attempts left open (D21).
    async fn recover(
        &mut self,
        attempt: Attempt,
        restored: Option<&Arc<Restored>>,
    ) -> Result<(), Early> {
        let fork = matches!(self.latest, Some(Latest::Foreign(_)));
        for (name, sink) in &self.deployment.sinks {
            let (sink, now) = (sink.clone(), self.options.clock.now());
            let (restored, of) = (restored.cloned(), name.clone());
            let result = blocking(move || {
                let sealed = restored.map_or(Ok(Vec::new()), |r| r.sealed(&of, fork))?;
                recover_sink(&sink, sealed, now)
            })
            .await;
            let place = Place {
                node: name.clone(),
                subtask: weir_model::SubtaskIndex(0),
                attempt,
            };
            let (recovered, lost) = result.map_err(|failure| {
                Early::Failed(JobFailure {
                    place: Some(place),
                    failure,
                })
            })?;
            self.recovered += recovered.committed;
            for message in lost {
                let note = format!("sink `{name}`: {message}");
                self.options.listener.event(&JobEvent::Note(note));
            }
        }
        Ok(())
    }

    /// Finds the splits of all sources.
    async fn sources(&self, shared: &Shared) -> Result<Sources, Early> {
        let attempt = shared.attempt;
        let failed = |(node, failure): (Name, Failure)| {
            let place = Place {
                node,
                subtask: weir_model::SubtaskIndex(0),
                attempt,
            };
            Early::Failed(JobFailure {
                place: Some(place),
                failure,
            })
        };
        let mut found = Vec::new();
        for (vertex, chain) in self.deployment.plan.chains.iter().enumerate() {
            let head = &chain.nodes[0];
            let NodeKind::Source { .. } = head.kind else {
                continue;
            };
            let Some(factory) = self.deployment.sources.get(&head.name).cloned() else {
                continue;
            };
            let (name, readers) = (head.name.clone(), chain.parallelism.get());
            if shared
                .restored
                .as_ref()
                .is_some_and(|r| r.is_finished(chain))
            {
                // Its readers have said that they are done: what is there now is not for them.
                found.push(Found::nothing(vertex, name, readers));
                continue;
            }
            let one = spawn_blocking(move || Found::look(vertex, name, readers, &factory)).await;
            let one = one.unwrap_or_else(|e| Err((head.name.clone(), panicked(&e))));
            found.push(one.map_err(failed)?);
        }
        Sources::new(found, shared.restored.as_deref()).map_err(failed)
    }

    /// Makes all tasks, restoring their state side by side, and starts them.
    async fn start(
        &mut self,
        shared: &Arc<Shared>,
        wirings: Vec<deploy::Wiring>,
        deals: Deals,
    ) -> Result<(JoinSet<()>, HashMap<weir_checkpoint::TaskId, Name>), Early> {
        let deals = Arc::new(deals);
        let mut building = JoinSet::new();
        let mut names = HashMap::new();
        for wiring in wirings {
            let chain = &self.deployment.plan.chains[wiring.id.vertex];
            names.insert(wiring.id, chain.name.clone());
            let (shared, subtask) = (shared.clone(), wiring.id.subtask);
            let deals = deals.clone();
            let build = move || deploy::build(&shared, wiring, &deals).map_err(|e| (e, subtask));
            building.spawn_blocking_on(build, &self.tasks);
        }
        let mut ready = Vec::new();
        while let Some(built) = building.join_next().await {
            match built {
                Ok(Ok((task, meters))) => {
                    self.meters.extend(meters);
                    ready.push(task);
                }
                Ok(Err(((node, failure), subtask))) => {
                    let place = Place {
                        node,
                        subtask,
                        attempt: shared.attempt,
                    };
                    return Err(early(JobFailure {
                        place: Some(place),
                        failure,
                    }));
                }
                Err(e) => {
                    return Err(Early::Failed(JobFailure {
                        place: None,
                        failure: panicked(&e),
                    }));
                }
            }
        }
        let mut tasks = JoinSet::new();
        for task in ready {
            tasks.spawn_on(task.run(), &self.tasks);
        }
        Ok((tasks, names))
    }

    /// Says for ever that the job has finished (D23).
    async fn write_finished(&self) -> Result<(), Failure> {
        let Some(storage) = self.storage.clone() else {
            return Ok(());
        };
        let last = match &self.latest {
            Some(Latest::Own(id)) => storage.paths.checkpoint(*id),
            Some(Latest::Foreign(foreign)) => foreign.store.describe(),
            Some(Latest::Beginning) | None => String::new(),
        };
        let path = storage.paths.finished();
        blocking(move || put_once(&storage, &path, format!("{last}\n"))).await
    }
}

/// Writes a mark that may be there already. Blocking.
fn put_once(storage: &Storage, path: &str, text: String) -> Result<(), Failure> {
    match storage.store.put(path, vec![text.into_bytes()]) {
        Ok(()) => Ok(()),
        Err(e) if e.is_already_exists() => Ok(()),
        Err(e) => Err(Failure::External {
            what: path.to_owned(),
            message: e.to_string(),
        }),
    }
}

/// Recovers one sink. Transactions that can no longer be committed are given up where its options
/// allow that (D22); what is said of them comes back beside the result. Blocking.
fn recover_sink(
    sink: &SinkDeployment,
    mut transactions: Vec<(Transaction, Vec<Sealed>)>,
    now: ProcessingTime,
) -> Result<(Recovered, Vec<String>), Failure> {
    let all = |transactions: &[(Transaction, Vec<Sealed>)]| -> Vec<Sealed> {
        let sealed = transactions.iter().flat_map(|(_, sealed)| sealed);
        sealed.cloned().collect()
    };
    let failure = match sink.factory.recover(&all(&transactions)) {
        Ok(recovered) => return Ok((recovered, Vec::new())),
        Err(failure) => failure,
    };
    let mut lost = Vec::new();
    transactions.retain(|(transaction, sealed)| {
        let decision = sink.transactions.on_commit_error(now, transaction.started);
        if decision == OnCommitError::Fail {
            return true;
        }
        let Err(failure) = sink.factory.commit(sealed) else {
            return true;
        };
        lost.push(format!(
            "the transaction of checkpoint {} timed out and is lost: {failure}",
            transaction.checkpoint
        ));
        false
    });
    if lost.is_empty() {
        return Err(failure);
    }
    Ok((sink.factory.recover(&all(&transactions))?, lost))
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
        | Failure::Superseded { .. } => true,
        Failure::Guest { .. }
        | Failure::Trap(_)
        | Failure::Limit(_)
        | Failure::Contract { .. }
        | Failure::BadRow { .. }
        | Failure::BadKey { .. }
        | Failure::External { .. }
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
