//! Runs one case through the whole engine, as the program would, and measures it.

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
    CheckpointMode, Config, JobPaths, Restart, RestartStrategy, TwoPhaseOptions,
};
use weir_component::{Component, Engine, EngineOptions, Limits};
use weir_formats::CsvKey;
use weir_graph::{
    Endpoint, Input, LogicalGraph, OnError, OperatorNode, Partitioning, SinkNode, SourceNode, plan,
};
use weir_model::{Attempt, MaxParallelism, Name, Parallelism};
use weir_operator::{OperatorFactory, SinkFactory, SourceFactory};
use weir_runtime::{
    CheckpointOptions, CheckpointStats, Deployment, JobEvent, JobListener, JobOptions, Mapping,
    OnExisting, OperatorDeployment, Outcome, RestoreFrom, SinkDeployment, SystemClock,
};
use weir_snapshot_store::LocalStore;

use crate::{
    case::{Case, Maker, Saving, Work},
    error::{Context, Error, Result},
    material::Material,
    meter::Meter,
    native, oracle,
    record::Run,
    sink::Counting,
    source::Rows,
};

/// What the runs of all cases share: made once, outside of what is measured.
pub(crate) struct Bench {
    passthrough: Component,
    count: Component,
    material: Vec<(Work, Arc<Material>)>,
    quick: bool,
}

impl Bench {
    /// Makes the rows of these cases, and compiles the components in this folder.
    pub(crate) fn new(
        components: &Path,
        cases: &[Case],
        quick: bool,
        perf_map: bool,
    ) -> Result<Self> {
        let engine = Engine::new(&EngineOptions {
            perf_map,
            ..EngineOptions::default()
        })?;
        let load = |name: &str| {
            let path = components.join(name);
            let loaded = engine.load(&path, &Limits::default());
            loaded.with_context(|| {
                format!(
                    "loading {} (`cargo xtask guests` builds it)",
                    path.display()
                )
            })
        };
        let mut material: Vec<(Work, Arc<Material>)> = Vec::new();
        for case in cases {
            if material.iter().all(|(work, _)| *work != case.work) {
                material.push((case.work, Arc::new(Material::new(case.work))));
            }
        }
        Ok(Self {
            passthrough: load("passthrough.wasm")?,
            count: load("keyed-count.wasm")?,
            material,
            quick,
        })
    }

    /// Runs a case once, measured for so long.
    pub(crate) fn run(&self, case: Case, length: Duration) -> Result<Run> {
        let material = self.material.iter().find(|(work, _)| *work == case.work);
        let material = &material.context("a case without rows")?.1;
        let meter = Arc::new(Meter::new(case.warm_up(self.quick), length));
        let source = Arc::new(Rows::new(
            Arc::clone(material),
            Arc::clone(&meter),
            case.parallelism,
        ));
        let folder = tempfile::tempdir().context("making a folder for checkpoints")?;
        let sink = Arc::new(Counting(meter.clone()));
        let deployment = self.deploy(case, source.clone(), sink, folder.path())?;
        let listener = Arc::new(Listener::default());
        // Held until the job has ended: it is never asked to stop.
        let (_stopper, stop) = watch::channel(false);
        let options = options(case, &deployment, folder.path(), listener.clone(), stop);
        let report = weir_runtime::run(deployment, options)?;
        if let Outcome::Failed(failed) = &report.outcome {
            return Err(Error::new(format_args!(
                "the job failed: {}",
                failed.failure
            )));
        }
        if !matches!(report.outcome, Outcome::Finished) || report.restarts > 0 {
            return Err(Error::new("the job did not run through"));
        }

        let expected = oracle::expected(case.work, material, &source.given());
        let found = meter.totals();
        if found != expected {
            return Err(Error::new(format_args!(
                "the output is wrong: rows and sum of checks are {found:?}, not {expected:?}"
            )));
        }
        let (passed, rows) = meter
            .measured()
            .context("the job ended while it warmed up")?;
        Ok(Run {
            rows,
            passed,
            checkpoints: listener.completed(),
        })
    }

    fn deploy(
        &self,
        case: Case,
        source: Arc<dyn SourceFactory>,
        sink: Arc<dyn SinkFactory>,
        folder: &Path,
    ) -> Result<Deployment> {
        let name = |text| Name::new(text).with_context(|| format!("`{text}` is no name"));
        let (rows, operator, out) = (name("rows")?, name("operator")?, name("out")?);
        let factory = self.operator(case);
        let last = if factory.is_some() { &operator } else { &rows };
        let graph = graph(case, factory.is_some(), &rows, &operator, &out, last)?;
        let operators = factory.map(|factory| {
            let config = "null".into();
            (operator, OperatorDeployment { factory, config })
        });
        let sink = SinkDeployment {
            factory: sink,
            on_existing: OnExisting::Append,
            transactions: TwoPhaseOptions::default(),
        };
        Ok(Deployment {
            plan: plan(&graph)?,
            sources: HashMap::from([(rows, source)]),
            operators: operators.into_iter().collect(),
            sinks: HashMap::from([(out, sink)]),
            backend: case.store.factory(&folder.join("local")),
            mapping: Mapping::default(),
        })
    }

    fn operator(&self, case: Case) -> Option<Arc<dyn OperatorFactory>> {
        let component = |component: &Component| component.factory(Limits::default());
        Some(match (case.work, case.maker) {
            (Work::Nothing, _) => return None,
            (Work::Passthrough, Maker::Native) => Arc::new(native::Passthrough::new()),
            (Work::Passthrough, Maker::Wasm) => Arc::new(component(&self.passthrough)),
            (Work::Count { .. }, Maker::Native) => Arc::new(native::Count::new()),
            (Work::Count { .. }, Maker::Wasm) => Arc::new(component(&self.count)),
        })
    }
}

/// The job as a job file would say it: keyed where rows are counted, else chained to one task.
pub(crate) fn graph(
    case: Case,
    has_operator: bool,
    rows: &Name,
    operator: &Name,
    out: &Name,
    last: &Name,
) -> Result<LogicalGraph> {
    let parallelism = Parallelism::new(case.parallelism)?;
    let input = |from: &Name, partitioning| Input {
        from: Endpoint {
            node: from.clone(),
            output: 0,
        },
        partitioning,
    };
    let partitioning = match case.work {
        Work::Nothing | Work::Passthrough => Partitioning::Forward,
        Work::Count { .. } => Partitioning::Hash(Arc::new(CsvKey::new(b',', &[0]))),
    };
    let source = SourceNode {
        parallelism,
        rate: None,
        watermarks: None,
    };
    let sink = SinkNode {
        parallelism,
        inputs: vec![input(last, Partitioning::Forward)],
    };
    let mut operators = IndexMap::new();
    if has_operator {
        let node = OperatorNode {
            parallelism,
            inputs: vec![input(rows, partitioning)],
            outputs: 1,
            on_error: OnError::Fail,
            chain: true,
            watermarks: None,
        };
        operators.insert(operator.clone(), node);
    }
    Ok(LogicalGraph {
        job: Name::new("bench")?,
        max_parallelism: MaxParallelism::new(128)?,
        sources: IndexMap::from([(rows.clone(), source)]),
        operators,
        sinks: IndexMap::from([(out.clone(), sink)]),
    })
}

fn options(
    case: Case,
    deployment: &Deployment,
    folder: &Path,
    listener: Arc<Listener>,
    stop: watch::Receiver<bool>,
) -> JobOptions {
    let checkpoints = (case.checkpoints != Saving::Off).then(|| CheckpointOptions {
        config: Config {
            interval_ms: Some(1_000),
            incremental: case.checkpoints == Saving::Increments,
            ..Config::default()
        },
        mode: CheckpointMode::ExactlyOnce,
        store: Arc::new(LocalStore::new(folder)),
        paths: JobPaths::new(&deployment.plan.job),
    });
    let attempts = AtomicU32::new(0);
    JobOptions {
        workers: thread::available_parallelism().map_or(1, usize::from),
        checkpoints,
        restart: Restart::new(RestartStrategy::None),
        restore: RestoreFrom::Nothing,
        attempts: Box::new(move || Ok(Attempt(attempts.fetch_add(1, Ordering::Relaxed) + 1))),
        clock: Arc::new(SystemClock),
        listener,
        stop,
        commands: mpsc::unbounded_channel().1,
        claims: None,
    }
}

/// Keeps what is told of checkpoints.
#[derive(Default)]
struct Listener(Mutex<Vec<CheckpointStats>>);

impl Listener {
    fn completed(&self) -> Vec<CheckpointStats> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl JobListener for Listener {
    fn event(&self, event: &JobEvent) {
        if let JobEvent::Checkpoint(stats) = event {
            let mut completed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            completed.push(*stats);
        }
    }
}
