//! How long a checkpoint takes when nothing flows: a sink that takes a millisecond a row has all
//! queues before it full. Aligned, its barriers wait behind all these rows; unaligned they overtake
//! them, and the rows are part of the checkpoint (D5).

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use indexmap::IndexMap;
use tokio::sync::{mpsc, watch};
use weir_checkpoint::{
    CheckpointMode, Config, JobPaths, Restart, RestartStrategy, SnapshotStore, TwoPhaseOptions,
};
use weir_formats::CsvKey;
use weir_graph::{
    Endpoint, Input, LogicalGraph, OnError, OperatorNode, Partitioning, SinkNode, SourceNode, plan,
};
use weir_model::{Attempt, CheckpointId, MaxParallelism, Name, Parallelism, Rows};
use weir_operator::{
    Existing, Failure, PreCommit, Recovered, Sealed, Sink, SinkFactory, SinkGuarantee, TaskInfo,
};
use weir_runtime::{
    CheckpointOptions, CheckpointStats, Deployment, JobEvent, JobListener, JobOptions, Mapping,
    OnExisting, OperatorDeployment, Outcome, RestoreFrom, SinkDeployment, SystemClock,
};
use weir_snapshot_store::{LocalStore, MemoryStore};

use crate::{
    backend::Store,
    case::Work,
    error::{Context, Error, Result},
    material::Material,
    meter::Meter,
    native,
    record::median,
    source,
};

/// The name, for `--only`.
pub(crate) const NAME: &str = "pressure";

const PARALLELISM: u32 = 2;
const KEYS: u32 = 1_000;
/// Long enough for all queues to be full before the first checkpoint.
const INTERVAL_MS: u64 = 1_000;

/// What checkpoints came to, in milliseconds; one of each kind of storage.
#[derive(Clone, Debug)]
pub(crate) struct Pressure {
    pub(crate) disk: Checkpoints,
    pub(crate) memory: Checkpoints,
    /// Aligned, to a local disk.
    pub(crate) aligned: Checkpoints,
}

/// Checkpoints of one run.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints(pub(crate) Vec<CheckpointStats>);

impl Checkpoints {
    pub(crate) fn ms(&self) -> f64 {
        median(self.0.iter().map(|one| one.duration_ms as f64).collect())
    }

    pub(crate) fn worst_ms(&self) -> u64 {
        self.0.iter().map(|one| one.duration_ms).max().unwrap_or(0)
    }

    pub(crate) fn bytes(&self) -> f64 {
        median(self.0.iter().map(|one| one.bytes as f64).collect())
    }
}

/// Takes checkpoints of a job under full back pressure.
pub(crate) fn measure(quick: bool) -> Result<Pressure> {
    let material = Arc::new(Material::new(Work::Count { keys: KEYS }));
    let count = if quick { 1 } else { 5 };
    let each = match quick {
        true => Duration::from_micros(20),
        false => Duration::from_millis(1),
    };
    let run = |store: Arc<dyn SnapshotStore>, unaligned: bool, count: usize| {
        run(&material, store, unaligned, count, each)
    };
    let folder = tempfile::tempdir().context("making a folder for checkpoints")?;
    let disk = |name: &str| Arc::new(LocalStore::new(folder.path().join(name)));
    Ok(Pressure {
        disk: run(disk("unaligned"), true, count)?,
        memory: run(
            Arc::new(MemoryStore::new(MemoryStore::DEFAULT_LIMIT)),
            true,
            count,
        )?,
        aligned: run(disk("aligned"), false, 1)?,
    })
}

fn run(
    material: &Arc<Material>,
    store: Arc<dyn SnapshotStore>,
    unaligned: bool,
    count: usize,
    each: Duration,
) -> Result<Checkpoints> {
    // Nothing is ever seen, so the source never ends.
    let meter = Arc::new(Meter::new(u64::MAX, Duration::MAX));
    let rows = source::Rows::new(Arc::clone(material), meter, PARALLELISM);
    let deployment = deploy(rows, each)?;
    let (stop, stopped) = watch::channel(false);
    let listener = Arc::new(Listener {
        seen: Mutex::default(),
        count,
        stop,
    });
    let attempts = AtomicU32::new(0);
    let options = JobOptions {
        workers: thread::available_parallelism().map_or(1, usize::from),
        checkpoints: Some(CheckpointOptions {
            config: Config {
                interval_ms: Some(INTERVAL_MS),
                unaligned,
                ..Config::default()
            },
            mode: CheckpointMode::ExactlyOnce,
            store,
            paths: JobPaths::new(&deployment.plan.job),
        }),
        restart: Restart::new(RestartStrategy::None),
        restore: RestoreFrom::Nothing,
        attempts: Box::new(move || Ok(Attempt(attempts.fetch_add(1, Ordering::Relaxed) + 1))),
        clock: Arc::new(SystemClock),
        listener: listener.clone(),
        stop: stopped,
        commands: mpsc::unbounded_channel().1,
        claims: None,
    };
    let report = weir_runtime::run(deployment, options)?;
    if !matches!(report.outcome, Outcome::Cancelled) {
        return Err(Error::new(
            "the job under back pressure did not run through",
        ));
    }
    let seen = listener.seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Checkpoints(seen.iter().take(count).copied().collect()))
}

/// A source, a count by key and a slow sink, as a job file would say it.
fn deploy(rows: source::Rows, each: Duration) -> Result<Deployment> {
    let name = |text| Name::new(text).with_context(|| format!("`{text}` is no name"));
    let (from, operator, out) = (name("rows")?, name("operator")?, name("out")?);
    let parallelism = Parallelism::new(PARALLELISM)?;
    let input = |node: &Name, partitioning| Input {
        from: Endpoint {
            node: node.clone(),
            output: 0,
        },
        partitioning,
    };
    let by_key = Partitioning::Hash(Arc::new(CsvKey::new(b',', &[0])));
    let source = SourceNode {
        parallelism,
        rate: None,
        watermarks: None,
    };
    let node = OperatorNode {
        parallelism,
        inputs: vec![input(&from, by_key)],
        outputs: 1,
        on_error: OnError::Fail,
        chain: true,
        watermarks: None,
    };
    let sink = SinkNode {
        parallelism,
        inputs: vec![input(&operator, Partitioning::Forward)],
    };
    let graph = LogicalGraph {
        job: name(NAME)?,
        max_parallelism: MaxParallelism::new(128)?,
        sources: IndexMap::from([(from.clone(), source)]),
        operators: IndexMap::from([(operator.clone(), node)]),
        sinks: IndexMap::from([(out.clone(), sink)]),
    };
    let count = OperatorDeployment {
        factory: Arc::new(native::Count::new()),
        config: "null".into(),
    };
    let sink = SinkDeployment {
        factory: Arc::new(Slow(each)),
        on_existing: OnExisting::Append,
        transactions: TwoPhaseOptions::default(),
    };
    Ok(Deployment {
        plan: plan(&graph)?,
        sources: HashMap::from([(from, Arc::new(rows) as Arc<_>)]),
        operators: HashMap::from([(operator, count)]),
        sinks: HashMap::from([(out, sink)]),
        backend: Store::Heap.factory(Path::new("")),
        mapping: Mapping::default(),
    })
}

/// Stops the job when it has taken so many checkpoints.
struct Listener {
    seen: Mutex<Vec<CheckpointStats>>,
    count: usize,
    stop: watch::Sender<bool>,
}

impl JobListener for Listener {
    fn event(&self, event: &JobEvent) {
        if let JobEvent::Checkpoint(stats) = event {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(*stats);
            if seen.len() == self.count {
                self.stop.send_replace(false);
            }
        }
    }
}

/// A sink that takes so long for a row.
struct Slow(Duration);

impl SinkFactory for Slow {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }

    fn create(&self, _task: &TaskInfo) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Self(self.0)))
    }

    fn commit(&self, _sealed: &[Sealed]) -> Result<Recovered, Failure> {
        Ok(Recovered::default())
    }

    fn recover(&self, _restored: &[Sealed]) -> Result<Recovered, Failure> {
        Ok(Recovered::default())
    }

    fn existing(&self) -> Result<Existing, Failure> {
        Ok(Existing::default())
    }

    fn clear(&self) -> Result<(), Failure> {
        Ok(())
    }
}

impl Sink for Slow {
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        for _ in 0..rows.len() {
            thread::park_timeout(self.0);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn pre_commit(&mut self, _checkpoint: CheckpointId) -> Result<PreCommit, Failure> {
        Ok(Box::new(|| Ok(Vec::new())))
    }
}
