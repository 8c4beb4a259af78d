//! A whole job on one worker: source, keys selected and rows routed, the channel, the task behind
//! it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use indexmap::IndexMap;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use weir_checkpoint::{Restart, RestartStrategy, TwoPhaseOptions};
use weir_formats::CsvKey;
use weir_graph::{
    Endpoint, Input, LogicalGraph, OnError, OperatorNode, Partitioning, SinkNode, SourceNode, plan,
};
use weir_model::{
    Attempt, CheckpointId, Column, KeyGroupRange, Name, Parallelism, ProcessingTime, Rows,
};
use weir_operator::{
    Discovery, Existing, Failure as Failed, OperatorFactory, PreCommit, ReadStatus, Recovered,
    Sealed, Sink, SinkFactory, SinkGuarantee, SourceFactory, SourceReader, SourceRows, Split,
    TaskInfo,
};
use weir_runtime::{
    BackendFactory, Clock, Deployment, JobEvent, JobListener, JobOptions, Mapping, OnExisting,
    OperatorDeployment, Outcome, RestoreFrom, SinkDeployment,
};
use weir_state::{Backend, HeapBackend, StateDecl};

use super::{operator::key_groups, rows::Rowful};
use crate::Failure;

/// A job of one operator, to which rows go by key or in a chain.
pub struct Job {
    /// The operator.
    pub factory: Arc<dyn OperatorFactory>,
    /// Whether rows go to it by their key, through a channel.
    pub keyed: bool,
    /// What the source hands out over and over.
    pub batches: Arc<Vec<Rowful>>,
}

/// Runs a job of so many batches to its end, on one worker.
///
/// # Errors
/// What made it fail.
pub fn run(job: &Job, count: u32) -> Result<(), Failure> {
    let (rows, operator, out) = (
        Name::new("rows")?,
        Name::new("operator")?,
        Name::new("out")?,
    );
    let factory = Arc::clone(&job.factory);
    let source = Batches {
        all: Arc::clone(&job.batches),
        count,
    };
    let sink = SinkDeployment {
        factory: Arc::new(Nowhere),
        on_existing: OnExisting::Append,
        transactions: TwoPhaseOptions::default(),
    };
    let config = "null".into();
    let deployment = Deployment {
        plan: plan(&graph(job.keyed, &rows, &operator, &out)?)?,
        sources: HashMap::from([(rows, Arc::new(source) as Arc<dyn SourceFactory>)]),
        operators: HashMap::from([(operator, OperatorDeployment { factory, config })]),
        sinks: HashMap::from([(out, sink)]),
        backend: Arc::new(Heap),
        mapping: Mapping::default(),
    };
    let (_stopper, stop) = watch::channel(false);
    let attempts = AtomicU32::new(0);
    let report = weir_runtime::run(
        deployment,
        JobOptions {
            workers: 1,
            checkpoints: None,
            restart: Restart::new(RestartStrategy::None),
            restore: RestoreFrom::Nothing,
            attempts: Box::new(move || Ok(Attempt(attempts.fetch_add(1, Ordering::Relaxed) + 1))),
            clock: Arc::new(Stopped),
            listener: Arc::new(Deaf),
            stop,
            commands: mpsc::unbounded_channel().1,
            claims: None,
        },
    )?;
    match report.outcome {
        Outcome::Finished => Ok(()),
        Outcome::Failed(failed) => Err(failed.failure.to_string().into()),
        _ => Err("the job did not run through".into()),
    }
}

fn graph(keyed: bool, rows: &Name, operator: &Name, out: &Name) -> Result<LogicalGraph, Failure> {
    let input = |from: &Name, partitioning| Input {
        from: Endpoint {
            node: from.clone(),
            output: 0,
        },
        partitioning,
    };
    let source = SourceNode {
        parallelism: Parallelism::ONE,
        rate: None,
        watermarks: None,
    };
    let partitioning = match keyed {
        true => Partitioning::Hash(Arc::new(CsvKey::new(b',', &[0]))),
        false => Partitioning::Forward,
    };
    let node = OperatorNode {
        parallelism: Parallelism::ONE,
        inputs: vec![input(rows, partitioning)],
        outputs: 1,
        on_error: OnError::Fail,
        chain: true,
        watermarks: None,
    };
    let sink = SinkNode {
        parallelism: Parallelism::ONE,
        inputs: vec![input(operator, Partitioning::Forward)],
    };
    Ok(LogicalGraph {
        job: Name::new("guard")?,
        max_parallelism: key_groups()?,
        sources: IndexMap::from([(rows.clone(), source)]),
        operators: IndexMap::from([(operator.clone(), node)]),
        sinks: IndexMap::from([(out.clone(), sink)]),
    })
}

/// A source of so many batches.
struct Batches {
    all: Arc<Vec<Rowful>>,
    count: u32,
}

impl SourceFactory for Batches {
    fn discover(&self) -> Result<Discovery, Failed> {
        Ok(Discovery {
            splits: vec![Split {
                id: "0".into(),
                position: Value::Null,
            }],
            spread: false,
        })
    }

    fn reader(&self, _: &TaskInfo) -> Result<Box<dyn SourceReader>, Failed> {
        Ok(Box::new(Reader {
            all: Arc::clone(&self.all),
            left: self.count,
            split: None,
        }))
    }

    fn replayable(&self) -> bool {
        true
    }
}

struct Reader {
    all: Arc<Vec<Rowful>>,
    left: u32,
    split: Option<String>,
}

impl SourceReader for Reader {
    fn add_split(&mut self, split: Split) -> Result<(), Failed> {
        self.split = Some(split.id);
        Ok(())
    }

    fn read(&mut self, rows: &mut SourceRows, _: usize) -> Result<ReadStatus, Failed> {
        let Some(split) = &self.split else {
            return Ok(ReadStatus::NoSplit);
        };
        if self.left == 0 {
            let ended = ReadStatus::SplitEnded(split.clone());
            self.split = None;
            return Ok(ended);
        }
        self.left -= 1;
        let batch = &self.all[self.left as usize % self.all.len()].values;
        rows.values = Column::with_capacity(batch.len(), batch.byte_len());
        rows.values.extend_from(batch.view());
        Ok(ReadStatus::More)
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failed> {
        let split = |id: &String| Split {
            id: id.clone(),
            position: json!({ "v": 1, "left": self.left }),
        };
        Ok(self.split.iter().map(split).collect())
    }

    fn skipped(&self) -> u64 {
        0
    }
}

/// A sink that keeps nothing.
struct Nowhere;

impl SinkFactory for Nowhere {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }

    fn create(&self, _: &TaskInfo) -> Result<Box<dyn Sink>, Failed> {
        Ok(Box::new(Self))
    }

    fn commit(&self, _: &[Sealed]) -> Result<Recovered, Failed> {
        Ok(Recovered::default())
    }

    fn recover(&self, _: &[Sealed]) -> Result<Recovered, Failed> {
        Ok(Recovered::default())
    }

    fn existing(&self) -> Result<Existing, Failed> {
        Ok(Existing::default())
    }

    fn clear(&self) -> Result<(), Failed> {
        Ok(())
    }
}

impl Sink for Nowhere {
    fn write(&mut self, _: Rows<'_>) -> Result<(), Failed> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failed> {
        Ok(())
    }

    fn pre_commit(&mut self, _: CheckpointId) -> Result<PreCommit, Failed> {
        Ok(Box::new(|| Ok(Vec::new())))
    }
}

/// Keyed state in memory.
struct Heap;

impl BackendFactory for Heap {
    fn create(
        &self,
        _: &TaskInfo,
        states: &[StateDecl],
        range: KeyGroupRange,
    ) -> Result<Box<dyn Backend>, Failed> {
        Ok(Box::new(HeapBackend::new(states.to_vec(), range)?))
    }
}

/// A clock that stands still.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(0)
    }
}

struct Deaf;

impl JobListener for Deaf {
    fn event(&self, _: &JobEvent) {}
}
