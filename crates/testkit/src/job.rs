//! A job put together in a test, and what was heard of it while it ran.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use indexmap::IndexMap;
use tokio::sync::{mpsc, oneshot, watch};
use weir_checkpoint::{
    CheckpointMode, Config, JobPaths, Restart, RestartStrategy, SnapshotStore, TwoPhaseOptions,
    testing::MemoryStore,
};
use weir_event_time::{EmittedStrategy, WatermarkStrategy};
use weir_graph::{
    Endpoint, Input, LogicalGraph, OnError, OperatorNode, Partitioning, SinkNode, SourceNode, plan,
};
use weir_model::{Attempt, ColumnView, KeyGroupRange, MaxParallelism, Name, Parallelism};
use weir_operator::{
    BadKey, Failure, KeySelector, OperatorFactory, SinkFactory, SourceFactory, TaskInfo,
};
use weir_runtime::{
    BackendFactory, CheckpointOptions, Claims, Clock, Deployment, Foreign, JobEvent, JobListener,
    JobOptions, Mapping, OnExisting, Opener, OperatorDeployment, Report, RestoreFrom,
    SinkDeployment, SystemClock,
    control::{CommandError, JobCommand},
    run,
};
use weir_state::{Backend, HeapBackend, StateDecl};

type React = dyn Fn(&JobEvent) + Send + Sync;

/// What happened to a job, in order.
#[derive(Clone, Default)]
pub struct Events {
    seen: Arc<Mutex<Vec<JobEvent>>>,
    react: Option<Arc<React>>,
}

impl Events {
    /// Does something at each event, at once.
    pub fn reacting(react: impl Fn(&JobEvent) + Send + Sync + 'static) -> Self {
        Self {
            seen: Arc::default(),
            react: Some(Arc::new(react)),
        }
    }

    /// All events so far.
    #[must_use]
    pub fn all(&self) -> Vec<JobEvent> {
        self.seen.lock().unwrap().clone()
    }
}

impl JobListener for Events {
    fn event(&self, event: &JobEvent) {
        self.seen.lock().unwrap().push(event.clone());
        if let Some(react) = &self.react {
            react(event);
        }
    }
}

/// A job in the making. What is public may be changed before it runs.
#[derive(Clone)]
pub struct TestJob {
    graph: LogicalGraph,
    sources: HashMap<Name, Arc<dyn SourceFactory>>,
    operators: HashMap<Name, Arc<dyn OperatorFactory>>,
    sinks: HashMap<Name, Arc<dyn SinkFactory>>,
    /// Where checkpoints go; shared by all runs of the job.
    pub store: Arc<MemoryStore>,
    /// Where they go instead, if not there.
    pub kept_in: Option<Arc<dyn SnapshotStore>>,
    /// What keeps the state of its keys.
    pub backend: Arc<dyn BackendFactory>,
    attempts: Arc<AtomicU32>,
    /// When checkpoints are taken; `None` = none are kept.
    pub checkpoints: Option<Config>,
    /// Whether a row counts once, or after a failure perhaps more than once.
    pub mode: CheckpointMode,
    /// The restart strategy.
    pub restart: RestartStrategy,
    /// Where it begins.
    pub restore: RestoreFrom,
    /// How what a checkpoint holds finds its home.
    pub mapping: Mapping,
    /// Where it finds again what it has claimed; `None` = in its own store.
    pub claimed_in: Option<Arc<MemoryStore>>,
    /// What it is called beside what it claims.
    pub owner: String,
    /// What happens to results that are there.
    pub on_existing: OnExisting,
    /// What happens to results that cannot be committed.
    pub transactions: TwoPhaseOptions,
    /// Who is told.
    pub events: Events,
    /// Its processing time.
    pub clock: Arc<dyn Clock>,
    /// Whether nobody can ask it to stop.
    pub unstoppable: bool,
    stop: watch::Sender<bool>,
    /// Who tells it something while it runs.
    pub commands: Commander,
}

/// Tells a job something while it runs: the run that began last, or the next one.
#[derive(Clone, Default)]
pub struct Commander(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    sender: Option<mpsc::UnboundedSender<JobCommand>>,
    receiver: Option<mpsc::UnboundedReceiver<JobCommand>>,
}

impl Commander {
    /// Says it; the answer comes by what is given back, which is empty if the job is gone.
    pub fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, CommandError>>) -> JobCommand,
    ) -> oneshot::Receiver<Result<T, CommandError>> {
        let (reply, answer) = oneshot::channel();
        let mut ends = self.0.lock().unwrap();
        if ends
            .sender
            .as_ref()
            .is_none_or(mpsc::UnboundedSender::is_closed)
        {
            let (sender, receiver) = mpsc::unbounded_channel();
            *ends = Ends {
                sender: Some(sender),
                receiver: Some(receiver),
            };
        }
        if let Some(sender) = &ends.sender {
            let _ = sender.send(command(reply));
        }
        answer
    }

    /// A run begins.
    fn begin(&self) -> mpsc::UnboundedReceiver<JobCommand> {
        let mut ends = self.0.lock().unwrap();
        if let Some(receiver) = ends.receiver.take() {
            return receiver;
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        ends.sender = Some(sender);
        receiver
    }
}

impl TestJob {
    /// An empty job, that takes a checkpoint every 5 ms and does not restart.
    #[must_use]
    pub fn new() -> Self {
        Self {
            graph: LogicalGraph {
                job: Name::new("test").unwrap(),
                max_parallelism: MaxParallelism::new(128).unwrap(),
                sources: IndexMap::new(),
                operators: IndexMap::new(),
                sinks: IndexMap::new(),
            },
            sources: HashMap::new(),
            operators: HashMap::new(),
            sinks: HashMap::new(),
            store: Arc::new(MemoryStore::new()),
            kept_in: None,
            backend: Arc::new(Heap),
            attempts: Arc::default(),
            checkpoints: Some(Config {
                interval_ms: Some(5),
                ..Config::default()
            }),
            mode: CheckpointMode::ExactlyOnce,
            restart: RestartStrategy::None,
            restore: RestoreFrom::Latest,
            mapping: Mapping::default(),
            claimed_in: None,
            owner: "job `test`".into(),
            on_existing: OnExisting::Refuse,
            transactions: TwoPhaseOptions::default(),
            events: Events::default(),
            clock: Arc::new(SystemClock),
            unstoppable: false,
            stop: watch::Sender::new(false),
            commands: Commander::default(),
        }
    }

    /// Adds a source.
    #[must_use]
    pub fn source(
        mut self,
        name: &str,
        parallelism: u32,
        source: impl SourceFactory + 'static,
    ) -> Self {
        let node = SourceNode {
            parallelism: Parallelism::new(parallelism).unwrap(),
            rate: None,
            watermarks: None,
        };
        self.graph.sources.insert(Name::new(name).unwrap(), node);
        self.sources
            .insert(Name::new(name).unwrap(), Arc::new(source));
        self
    }

    /// Lets the source that was added last read at most so many rows a second.
    #[must_use]
    pub fn rate(mut self, rows_per_s: f64) -> Self {
        self.graph.sources.last_mut().unwrap().1.rate = Some(rows_per_s);
        self
    }

    /// Lets the source that was added last make watermarks.
    #[must_use]
    pub fn watermarks(mut self, strategy: WatermarkStrategy) -> Self {
        self.graph.sources.last_mut().unwrap().1.watermarks = Some(strategy);
        self
    }

    /// Adds an operator with one input.
    #[must_use]
    pub fn operator(
        mut self,
        name: &str,
        parallelism: u32,
        from: &str,
        partitioning: Partitioning,
        operator: impl OperatorFactory + 'static,
    ) -> Self {
        let node = OperatorNode {
            parallelism: Parallelism::new(parallelism).unwrap(),
            inputs: vec![input(from, partitioning)],
            outputs: 1,
            on_error: OnError::Fail,
            chain: operator.waits().is_none(),
            watermarks: None,
        };
        self.graph.operators.insert(Name::new(name).unwrap(), node);
        self.operators
            .insert(Name::new(name).unwrap(), Arc::new(operator));
        self
    }

    /// Lets the operator that was added last read one more input.
    #[must_use]
    pub fn and_from(mut self, from: &str, partitioning: Partitioning) -> Self {
        let (_, node) = self.graph.operators.last_mut().unwrap();
        node.inputs.push(input(from, partitioning));
        self
    }

    /// Lets the operator that was added last be a task of its own.
    #[must_use]
    pub fn unchained(mut self) -> Self {
        self.graph.operators.last_mut().unwrap().1.chain = false;
        self
    }

    /// Lets the operator that was added last make watermarks of what it emits.
    #[must_use]
    pub fn making(mut self, watermarks: EmittedStrategy) -> Self {
        self.graph.operators.last_mut().unwrap().1.watermarks = Some(watermarks);
        self
    }

    /// Lets the operator that was added last skip what it refuses.
    #[must_use]
    pub fn skipping(mut self) -> Self {
        self.graph.operators.last_mut().unwrap().1.on_error = OnError::Skip;
        self
    }

    /// Lets the operator that was added last send what it refuses to a sink.
    #[must_use]
    pub fn dead_lettering(mut self, sink: &str) -> Self {
        let sink = OnError::DeadLetter(Name::new(sink).unwrap());
        self.graph.operators.last_mut().unwrap().1.on_error = sink;
        self
    }

    /// Adds a sink that takes nothing but dead letters.
    #[must_use]
    pub fn dead_letters(
        mut self,
        name: &str,
        parallelism: u32,
        sink: impl SinkFactory + 'static,
    ) -> Self {
        let parallelism = Parallelism::new(parallelism).unwrap();
        let node = SinkNode {
            parallelism,
            inputs: Vec::new(),
        };
        self.graph.sinks.insert(Name::new(name).unwrap(), node);
        self.sinks.insert(Name::new(name).unwrap(), Arc::new(sink));
        self
    }

    /// Adds a sink.
    #[must_use]
    pub fn sink(
        mut self,
        name: &str,
        parallelism: u32,
        from: &str,
        partitioning: Partitioning,
        sink: impl SinkFactory + 'static,
    ) -> Self {
        let parallelism = Parallelism::new(parallelism).unwrap();
        let node = SinkNode {
            parallelism,
            inputs: vec![input(from, partitioning)],
        };
        self.graph.sinks.insert(Name::new(name).unwrap(), node);
        self.sinks.insert(Name::new(name).unwrap(), Arc::new(sink));
        self
    }

    /// Says who is told what happens.
    #[must_use]
    pub fn listening(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Asks the job to stop: `true` = with a checkpoint.
    pub fn stopper(&self) -> impl Fn(bool) + Send + Sync + 'static {
        let stop = self.stop.clone();
        move |with_checkpoint| {
            stop.send_replace(with_checkpoint);
        }
    }

    /// Tells it something while it runs.
    #[must_use]
    pub fn commander(&self) -> Commander {
        self.commands.clone()
    }

    /// Runs it as a process of its own would.
    ///
    /// # Panics
    /// Where the job cannot be planned or no threads can be had.
    #[must_use]
    pub fn run(&self) -> Report {
        let plan = plan(&self.graph).unwrap();
        let paths = JobPaths::new(&plan.job);
        let operator = |factory: &Arc<dyn OperatorFactory>| OperatorDeployment {
            factory: factory.clone(),
            config: "null".into(),
        };
        let sink = |factory: &Arc<dyn SinkFactory>| SinkDeployment {
            factory: factory.clone(),
            on_existing: self.on_existing,
            transactions: self.transactions,
        };
        let deployment = Deployment {
            plan,
            sources: self.sources.clone(),
            operators: self
                .operators
                .iter()
                .map(|(n, f)| (n.clone(), operator(f)))
                .collect(),
            sinks: self
                .sinks
                .iter()
                .map(|(n, f)| (n.clone(), sink(f)))
                .collect(),
            backend: self.backend.clone(),
            mapping: self.mapping.clone(),
        };
        let attempts = self.attempts.clone();
        let options = JobOptions {
            workers: 2,
            checkpoints: self.checkpoints.clone().map(|config| CheckpointOptions {
                config,
                mode: self.mode,
                store: match &self.kept_in {
                    Some(store) => store.clone(),
                    None => self.store.clone(),
                },
                paths,
            }),
            restart: Restart::new(self.restart),
            restore: self.restore.clone(),
            attempts: Box::new(move || Ok(Attempt(attempts.fetch_add(1, Ordering::Relaxed) + 1))),
            clock: self.clock.clone(),
            listener: Arc::new(self.events.clone()),
            stop: match self.unstoppable {
                true => watch::channel(false).1,
                false => self.stop.subscribe(),
            },
            commands: self.commands.begin(),
            claims: Some(Claims {
                owner: self.owner.clone(),
                opener: self.opener(),
            }),
        };
        run(deployment, options).unwrap()
    }

    /// Finds again what it has claimed.
    fn opener(&self) -> Opener {
        let store = self
            .claimed_in
            .clone()
            .unwrap_or_else(|| self.store.clone());
        Arc::new(move |place: &str| {
            let root = format!("{}/", store.describe().trim_end_matches('/'));
            let folder = place.strip_prefix(&root).ok_or("of another store")?;
            Ok(Foreign {
                store: store.clone(),
                folder: folder.to_owned(),
            })
        })
    }

    /// How many key groups there are; taken over from a checkpoint unless the mapping says
    /// otherwise.
    #[must_use]
    pub fn max_parallelism(mut self, max: u32) -> Self {
        self.graph.max_parallelism = MaxParallelism::new(max).unwrap();
        self
    }

    /// The part of a row before its first `-` as the key.
    #[must_use]
    pub fn by_prefix() -> Partitioning {
        Partitioning::Hash(Arc::new(Prefix))
    }
}

impl Default for TestJob {
    fn default() -> Self {
        Self::new()
    }
}

fn input(from: &str, partitioning: Partitioning) -> Input {
    Input {
        from: Endpoint {
            node: Name::new(from).unwrap(),
            output: 0,
        },
        partitioning,
    }
}

struct Heap;

impl BackendFactory for Heap {
    fn create(
        &self,
        _task: &TaskInfo,
        states: &[StateDecl],
        range: KeyGroupRange,
    ) -> Result<Box<dyn Backend>, Failure> {
        Ok(Box::new(HeapBackend::new(states.to_vec(), range)?))
    }
}

struct Prefix;

impl KeySelector for Prefix {
    fn select(&self, values: ColumnView<'_>, keys: &mut weir_model::Column, bad: &mut Vec<BadKey>) {
        for (row, value) in values.iter().enumerate() {
            match value.iter().position(|&byte| byte == b'-') {
                Some(end) => keys.push(&value[..end]),
                None => {
                    keys.push(b"");
                    let row = u32::try_from(row).unwrap();
                    bad.push(BadKey {
                        row,
                        message: "the row has no `-`".into(),
                    });
                }
            }
        }
    }

    fn describe(&self) -> String {
        "prefix".to_owned()
    }
}
