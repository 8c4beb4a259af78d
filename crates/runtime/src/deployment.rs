//! What a job needs to run: its plan, what plugs into it, and how it is run.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use weir_checkpoint::{CheckpointMode, Config, JobPaths, Restart, SnapshotStore, TwoPhaseOptions};
use weir_graph::Plan;
use weir_model::{Attempt, CheckpointId, KeyGroupRange, Name};
use weir_operator::{Failure, OperatorFactory, SinkFactory, SourceFactory, TaskInfo};
use weir_state::{Backend, StateDecl};

use crate::{clock::Clock, control::JobCommand};

/// A plan with what plugs into it, by name.
#[derive(Clone)]
pub struct Deployment {
    /// The plan.
    pub plan: Plan,
    /// Its sources.
    pub sources: HashMap<Name, Arc<dyn SourceFactory>>,
    /// Its operators.
    pub operators: HashMap<Name, OperatorDeployment>,
    /// Its sinks.
    pub sinks: HashMap<Name, SinkDeployment>,
    /// Where keyed state is kept.
    pub backend: Arc<dyn BackendFactory>,
    /// How what a checkpoint holds finds its home.
    pub mapping: Mapping,
}

/// How what a checkpoint holds finds its home in a job that has changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// What sources, operators and sinks were called before, by what they are called now. Holds
    /// only where the checkpoint does not know the new name: it was taken before the change.
    pub renamed_from: BTreeMap<Name, Name>,
    /// Whether what has no home any more is left behind; else such a checkpoint is refused.
    pub allow_non_restored_state: bool,
    /// Whether the job keeps the number of key groups of the checkpoint, whatever the plan says:
    /// nobody has set one.
    pub adopt_max_parallelism: bool,
}

/// An operator with its configuration.
#[derive(Clone)]
pub struct OperatorDeployment {
    /// Makes its instances.
    pub factory: Arc<dyn OperatorFactory>,
    /// The `config:` of the job file as JSON.
    pub config: Arc<str>,
}

/// A sink with what holds for all transactional sinks.
#[derive(Clone)]
pub struct SinkDeployment {
    /// Makes its instances.
    pub factory: Arc<dyn SinkFactory>,
    /// What happens to results that are there before a job starts anew (D23).
    pub on_existing: OnExisting,
    /// Options of two-phase commit (D22).
    pub transactions: TwoPhaseOptions,
}

/// What happens to committed results that lie where a sink writes when its job starts anew (D23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExisting {
    /// The job does not start.
    #[default]
    Refuse,
    /// They stay; new ones are added.
    Append,
    /// They are removed.
    Replace,
}

/// Makes state backends.
pub trait BackendFactory: Send + Sync {
    /// An empty backend for one operator and subtask.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be made.
    fn create(
        &self,
        task: &TaskInfo,
        states: &[StateDecl],
        range: KeyGroupRange,
    ) -> Result<Box<dyn Backend>, Failure>;

    /// Whether its backends can go on from files of their kind, which are written as they are.
    fn has_files(&self) -> bool {
        false
    }
}

/// How a job is run.
pub struct JobOptions {
    /// Threads for tasks (D8).
    pub workers: usize,
    /// Checkpoints; `None` = none are kept (at-most-once, D30).
    pub checkpoints: Option<CheckpointOptions>,
    /// What happens after a failure.
    pub restart: Restart,
    /// Where to begin.
    pub restore: RestoreFrom,
    /// Gives the number of each attempt, durable before it is used.
    pub attempts: Box<dyn FnMut() -> Result<Attempt, Failure> + Send>,
    /// The clock that operators see.
    pub clock: Arc<dyn Clock>,
    /// Is told what happens.
    pub listener: Arc<dyn JobListener>,
    /// Asks the job to stop: `true` = with a checkpoint.
    pub stop: tokio::sync::watch::Receiver<bool>,
    /// What it is told while it runs.
    pub commands: tokio::sync::mpsc::UnboundedReceiver<JobCommand>,
    /// How checkpoints are claimed; `None` = none can be.
    pub claims: Option<Claims>,
}

/// Where and how checkpoints are kept.
#[derive(Clone)]
pub struct CheckpointOptions {
    /// When they are taken and how many are kept.
    pub config: Config,
    /// Whether a row counts once, or after a failure perhaps more than once.
    pub mode: CheckpointMode,
    /// Where they go.
    pub store: Arc<dyn SnapshotStore>,
    /// How they are named there.
    pub paths: JobPaths,
}

impl CheckpointOptions {
    /// Whether barriers may overtake rows. At least once they need not, and do not: nothing waits
    /// for them.
    #[must_use]
    pub fn overtakes(&self) -> bool {
        self.config.unaligned && self.mode == CheckpointMode::ExactlyOnce
    }
}

/// Where a job begins.
#[derive(Clone)]
pub enum RestoreFrom {
    /// At the latest completed checkpoint, if there is one.
    Latest,
    /// At the beginning, whatever there is.
    Nothing,
    /// At a checkpoint of the job's own that the user names: what it holds is committed, retention
    /// leaves it alone, and there is no falling back from it.
    Own(CheckpointId),
    /// At a checkpoint that the user names; it is neither changed nor referred to (D24).
    Checkpoint(Foreign),
    /// At a checkpoint that the user names and hands over: it becomes one of those that the job
    /// retains, and is deleted when it is beyond them (D24).
    Claimed(Foreign),
}

/// What it takes to claim checkpoints.
#[derive(Clone)]
pub struct Claims {
    /// What the job is called beside what it claims: no other job may be called the same.
    pub owner: String,
    /// Finds a claimed checkpoint again, for a later process.
    pub opener: Opener,
}

/// Finds a checkpoint again by its place, as [`Foreign::place`] says it. May block.
pub type Opener = Arc<dyn Fn(&str) -> Result<Foreign, String> + Send + Sync>;

/// A checkpoint that the user names.
#[derive(Clone)]
pub struct Foreign {
    /// The store it lies in.
    pub store: Arc<dyn SnapshotStore>,
    /// The folder in that store that holds its `_metadata`; empty where it is the store's root.
    pub folder: String,
}

impl Foreign {
    /// Where it lies, for people.
    #[must_use]
    pub fn place(&self) -> String {
        let store = self.store.describe();
        let whole = format!("{}/{}", store.trim_end_matches('/'), self.folder);
        whole.trim_end_matches('/').to_owned()
    }
}

/// What happens to a job while it runs, for whoever watches.
#[derive(Clone, Debug)]
pub enum JobEvent {
    /// The files of a checkpoint are read, to begin at it.
    Reading {
        /// Which.
        id: CheckpointId,
        /// Bytes that were read.
        done: u64,
        /// Bytes there are.
        of: u64,
    },
    /// The job begins at a checkpoint.
    Restoring {
        /// Which.
        id: CheckpointId,
        /// Where it lies.
        location: String,
    },
    /// All tasks run.
    Running {
        /// The attempt.
        attempt: Attempt,
        /// Milliseconds from the start of the attempt, restore included.
        startup_ms: f64,
    },
    /// A checkpoint is complete.
    Checkpoint(CheckpointStats),
    /// A savepoint is complete.
    Savepoint {
        /// Where it lies.
        location: String,
        /// Its number, time and size.
        stats: CheckpointStats,
    },
    /// A checkpoint or savepoint was given up.
    CheckpointFailed {
        /// Which.
        id: CheckpointId,
        /// Why.
        reason: String,
    },
    /// Something failed.
    Failed(crate::report::JobFailure),
    /// The job starts again after a failure.
    Restarting {
        /// The how-manieth restart.
        number: u32,
        /// Of how many; `None` = no bound.
        of: Option<u32>,
        /// After so many milliseconds.
        after_ms: u64,
    },
    /// Something that a user should know.
    Note(String),
}

/// What a completed checkpoint came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckpointStats {
    /// Its number.
    pub id: CheckpointId,
    /// From its trigger until it was durable.
    pub duration_ms: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// The longest alignment of a task.
    pub alignment_ms: u64,
    /// The longest synchronous part of a task.
    pub sync_ms: f64,
}

/// Watches a job.
pub trait JobListener: Send + Sync {
    /// Is told what happens. Must not block.
    fn event(&self, event: &JobEvent);
}
