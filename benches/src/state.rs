//! State of a million keys: what a checkpoint of it weighs when all or little has changed, for how
//! long its task is held up, and how soon a job is back from it.
//!
//! Rows are handed out step by step, so each checkpoint finds what it is to find; what is restored
//! is checked by what the job goes on to emit.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::{
    mpsc::{self, UnboundedSender},
    oneshot, watch,
};
use weir_checkpoint::{
    CheckpointMode, Config, JobPaths, Restart, RestartStrategy, TwoPhaseOptions,
};
use weir_graph::plan;
use weir_model::{Attempt, Batch, Column, Name};
use weir_operator::{
    Discovery, Failure, ReadStatus, SourceFactory, SourceReader, SourceRows, Split, TaskInfo,
};
use weir_runtime::{
    CheckpointOptions, CheckpointStats, Deployment, JobEvent, JobListener, JobOptions, Mapping,
    OnExisting, OperatorDeployment, Outcome, RestoreFrom, SinkDeployment, SystemClock,
    control::JobCommand,
};
use weir_snapshot_store::LocalStore;

use crate::{
    backend::Store,
    case::{Case, Maker, Saving, Work},
    error::{Context, Error, Result},
    job,
    material::Material,
    meter::Meter,
    native, oracle,
    record::median,
    sink::Counting,
};

/// The name, for `--only`.
pub(crate) const NAME: &str = "state";

/// One key in so many changes before an increment.
const CHANGED: u64 = 100;
/// A step of the job takes no longer than this, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was found of one backend.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) store: Store,
    pub(crate) keys: u32,
    pub(crate) full: CheckpointStats,
    /// Each after one key in [`CHANGED`] was written.
    pub(crate) increments: Vec<CheckpointStats>,
    /// Milliseconds from the start of a job at such a checkpoint to its first row.
    pub(crate) back_ms: Vec<f64>,
}

impl Kept {
    /// What an increment weighs of a full checkpoint.
    pub(crate) fn share(&self) -> f64 {
        let bytes = self.increments.iter().map(|one| one.bytes as f64);
        median(bytes.collect()) / self.full.bytes as f64
    }

    /// The longest synchronous part of an increment.
    pub(crate) fn worst_sync_ms(&self) -> f64 {
        let all = self.increments.iter().map(|one| one.sync_ms);
        all.fold(0.0, f64::max)
    }

    pub(crate) fn back_ms(&self) -> f64 {
        median(self.back_ms.clone())
    }

    pub(crate) fn to_json(&self) -> Value {
        let stats = |one: &CheckpointStats| {
            json!({
                "duration_ms": one.duration_ms,
                "bytes": one.bytes,
                "sync_ms": one.sync_ms,
            })
        };
        json!({
            "backend": self.store.name(),
            "keys": self.keys,
            "full": stats(&self.full),
            "increments": self.increments.iter().map(stats).collect::<Vec<_>>(),
            "start_to_first_row_ms": self.back_ms,
        })
    }
}

/// Takes checkpoints of a large state and goes on from the last, with each backend.
pub(crate) fn measure(quick: bool) -> Result<Vec<Kept>> {
    let keys = if quick { 1 << 16 } else { 1_000_000 };
    let material = Arc::new(Material::new(Work::Count { keys }));
    let repeats = if quick { 1 } else { 3 };
    let stores = [Store::Heap, Store::RocksDb];
    let one = |store: Store| {
        let measured = measure_one(store, keys, &material, repeats);
        measured.with_context(|| format!("state of {keys} keys on {}", store.name()))
    };
    stores.into_iter().map(one).collect()
}

fn measure_one(store: Store, keys: u32, material: &Arc<Material>, repeats: u32) -> Result<Kept> {
    let folder = tempfile::tempdir().context("making a folder for checkpoints")?;
    let mut given = u64::from(keys);
    let (full, increments) = {
        let job = Job::start(store, material, folder.path(), 1, given)?;
        job.wait_for(given)?;
        let full = job.checkpoint(true)?;
        let mut increments = Vec::new();
        for _ in 0..repeats {
            given += u64::from(keys) / CHANGED;
            job.allowed.store(given, Ordering::Release);
            job.wait_for(given)?;
            increments.push(job.checkpoint(false)?);
        }
        job.end(oracle::expected(
            Work::Count { keys },
            material,
            &[(0, given)],
        ))?;
        (full, increments)
    };
    let before = oracle::expected(Work::Count { keys }, material, &[(0, given)]);
    let more = u64::from(keys) / CHANGED;
    let after = oracle::expected(Work::Count { keys }, material, &[(0, given + more)]);
    let mut back_ms = Vec::new();
    for attempt in 0..repeats {
        let begun = Instant::now();
        let job = Job::start(store, material, folder.path(), attempt + 2, given + more)?;
        job.wait_for(1)?;
        back_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        job.wait_for(more)?;
        job.end((more, after.1.wrapping_sub(before.1)))?;
    }
    Ok(Kept {
        store,
        keys,
        full,
        increments,
        back_ms,
    })
}

/// A job that runs on a thread of its own.
struct Job {
    /// How many rows the source may give.
    allowed: Arc<AtomicU64>,
    meter: Arc<Meter>,
    commands: UnboundedSender<JobCommand>,
    thread: thread::JoinHandle<Result<()>>,
    /// Held until the job has ended: it is never asked to stop.
    _stopper: watch::Sender<bool>,
}

impl Job {
    /// Starts at the latest checkpoint in a folder, if there is one.
    fn start(
        store: Store,
        material: &Arc<Material>,
        folder: &Path,
        attempt: u32,
        allowed: u64,
    ) -> Result<Self> {
        let meter = Arc::new(Meter::new(u64::MAX, Duration::MAX));
        let allowed = Arc::new(AtomicU64::new(allowed));
        let source = Steps {
            material: Arc::clone(material),
            allowed: Arc::clone(&allowed),
        };
        let deployment = deploy(store, source, Arc::clone(&meter), folder)?;
        let (commands, heard) = mpsc::unbounded_channel();
        let (stopper, stop) = watch::channel(false);
        let mut next = attempt;
        let options = JobOptions {
            workers: thread::available_parallelism().map_or(1, usize::from),
            checkpoints: Some(CheckpointOptions {
                config: Config {
                    incremental: true,
                    ..Config::default()
                },
                mode: CheckpointMode::ExactlyOnce,
                store: Arc::new(LocalStore::new(folder)),
                paths: JobPaths::new(&deployment.plan.job),
            }),
            restart: Restart::new(RestartStrategy::None),
            restore: RestoreFrom::Latest,
            attempts: Box::new(move || {
                next += 1;
                Ok(Attempt(next))
            }),
            clock: Arc::new(SystemClock),
            listener: Arc::new(Deaf),
            stop,
            commands: heard,
            claims: None,
        };
        let run = move || {
            let report = weir_runtime::run(deployment, options)?;
            match report.outcome {
                Outcome::Cancelled => Ok(()),
                Outcome::Failed(failed) => Err(Error::new(failed.failure)),
                _ => Err(Error::new("the job ended by itself")),
            }
        };
        Ok(Self {
            allowed,
            meter,
            commands,
            thread: thread::spawn(run),
            _stopper: stopper,
        })
    }

    /// Waits until the sink has seen so many rows.
    fn wait_for(&self, rows: u64) -> Result<()> {
        let begun = Instant::now();
        while self.meter.totals().0 < rows {
            if self.thread.is_finished() || begun.elapsed() > PATIENCE {
                return Err(Error::new("the job does not go on"));
            }
            thread::park_timeout(Duration::from_micros(200));
        }
        Ok(())
    }

    fn checkpoint(&self, full: bool) -> Result<CheckpointStats> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(JobCommand::Checkpoint { full, reply });
        sent.context("asking for a checkpoint")?;
        let taken = answer.blocking_recv().context("asking for a checkpoint")?;
        taken.map_err(|error| Error::new(format_args!("no checkpoint: {error:?}")))
    }

    /// Ends the job; its sink must have seen exactly this.
    fn end(self, expected: (u64, u64)) -> Result<()> {
        let found = self.meter.totals();
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(JobCommand::Cancel { reply });
        sent.context("ending the job")?;
        let _ = answer.blocking_recv();
        let ended = self.thread.join();
        ended.map_err(|_| Error::new("the job panicked"))??;
        if found != expected {
            return Err(Error::new(format_args!(
                "the output is wrong: rows and sum of checks are {found:?}, not {expected:?}"
            )));
        }
        Ok(())
    }
}

fn deploy(store: Store, source: Steps, meter: Arc<Meter>, folder: &Path) -> Result<Deployment> {
    let name = |text| Name::new(text).with_context(|| format!("`{text}` is no name"));
    let (rows, operator, out) = (name("rows")?, name("operator")?, name("out")?);
    let case = Case {
        work: Work::Count { keys: 1 },
        store,
        maker: Maker::Native,
        parallelism: 1,
        checkpoints: Saving::Off,
    };
    let graph = job::graph(case, true, &rows, &operator, &out, &operator)?;
    let count = OperatorDeployment {
        factory: Arc::new(native::Count::new()),
        config: "null".into(),
    };
    let sink = SinkDeployment {
        factory: Arc::new(Counting(meter)),
        on_existing: OnExisting::Append,
        transactions: TwoPhaseOptions::default(),
    };
    Ok(Deployment {
        plan: plan(&graph)?,
        sources: HashMap::from([(rows, Arc::new(source) as Arc<_>)]),
        operators: HashMap::from([(operator, count)]),
        sinks: HashMap::from([(out, sink)]),
        backend: store.factory(&folder.join("local")),
        mapping: Mapping::default(),
    })
}

struct Deaf;

impl JobListener for Deaf {
    fn event(&self, _event: &JobEvent) {}
}

/// A source of one split that gives as many rows as it may.
struct Steps {
    material: Arc<Material>,
    allowed: Arc<AtomicU64>,
}

impl SourceFactory for Steps {
    fn discover(&self) -> Result<Discovery, Failure> {
        Ok(Discovery {
            splits: vec![Split {
                id: "0".to_owned(),
                position: Value::Null,
            }],
            spread: false,
        })
    }

    fn reader(&self, _task: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(StepReader {
            material: Arc::clone(&self.material),
            allowed: Arc::clone(&self.allowed),
            open: None,
        }))
    }

    fn replayable(&self) -> bool {
        true
    }
}

struct StepReader {
    material: Arc<Material>,
    allowed: Arc<AtomicU64>,
    /// How many rows of its split were given.
    open: Option<u64>,
}

impl SourceReader for StepReader {
    fn add_split(&mut self, split: Split) -> Result<(), Failure> {
        let given = split.position.get("given").and_then(Value::as_u64);
        self.open = Some(given.unwrap_or(0));
        Ok(())
    }

    fn read(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure> {
        let Some(given) = &mut self.open else {
            return Ok(ReadStatus::NoSplit);
        };
        let left = self.allowed.load(Ordering::Acquire).saturating_sub(*given);
        if left == 0 {
            return Ok(ReadStatus::Dry { retry_ms: 1 });
        }
        let all = &self.material.rows;
        let row_bytes = all.byte_len() / all.len();
        let at = (*given % all.len() as u64) as usize;
        let most = max_rows.min(Batch::MAX_BYTES / row_bytes);
        let to = all.len().min(at + most.min(left as usize));
        rows.values = Column::with_capacity(to - at, (to - at) * row_bytes);
        rows.values.extend_from(all.view().slice(at, to));
        *given += (to - at) as u64;
        Ok(ReadStatus::More)
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        let split = |given: u64| Split {
            id: "0".to_owned(),
            position: json!({ "v": 1, "given": given }),
        };
        Ok(self.open.map(split).into_iter().collect())
    }

    fn skipped(&self) -> u64 {
        0
    }
}
