//! What is put to the test, and the job around it.

use std::{collections::HashMap, sync::Arc};

use indexmap::IndexMap;
use weir_checkpoint::{SnapshotStore, TwoPhaseOptions};
use weir_event_time::EmittedStrategy;
use weir_graph::{
    Endpoint, GraphError, Input, LogicalGraph, OnError, OperatorNode, Partitioning, SinkNode,
    SourceNode, plan,
};
use weir_model::{JobName, MaxParallelism, Name, Parallelism, ProcessingTime};
use weir_operator::{OperatorFactory, SinkFactory, SourceFactory};
use weir_runtime::{
    BackendFactory, Deployment, Mapping, OnExisting, OperatorDeployment, SinkDeployment,
};

use crate::{feed::FeedSource, kept::KeptSink, shared::Shared};

/// Where state and checkpoints are kept.
#[derive(Clone)]
pub struct Keeping {
    /// What keeps keyed state.
    pub backend: Arc<dyn BackendFactory>,
    /// Where checkpoints go; nothing else may be in it.
    pub store: Arc<dyn SnapshotStore>,
}

/// An operator that is put to the test. What is public may be changed before it starts.
#[derive(Clone)]
pub struct Setup {
    /// The name of the job that is made for it.
    pub job: JobName,
    /// The name of the operator, which its state is found by.
    pub name: Name,
    /// Makes its instances.
    pub factory: Arc<dyn OperatorFactory>,
    /// Its configuration as JSON.
    pub config: Arc<str>,
    /// Its inputs in order, each with the name of what it reads and how rows are dealt out.
    pub inputs: Vec<(Name, Partitioning)>,
    /// How many outputs it has: the main one and the side outputs.
    pub outputs: usize,
    /// What happens to a row that it refuses or that has no key.
    pub on_error: OnError,
    /// How it makes watermarks of what it emits.
    pub watermarks: Option<EmittedStrategy>,
    /// How many subtasks it has to begin with.
    pub parallelism: Parallelism,
    /// How many key groups there are.
    pub max_parallelism: MaxParallelism,
    /// What the clock says to begin with.
    pub start: ProcessingTime,
    /// Where state and checkpoints are kept.
    pub keeping: Keeping,
}

impl Setup {
    /// An operator with one subtask, of which a refused row fails the job, and no inputs yet.
    #[must_use]
    pub fn new(
        job: JobName,
        name: Name,
        factory: Arc<dyn OperatorFactory>,
        keeping: Keeping,
    ) -> Self {
        let outputs = 1 + factory.descriptor().side_outputs.len();
        Self {
            job,
            name,
            factory,
            config: "null".into(),
            inputs: Vec::new(),
            outputs,
            on_error: OnError::Fail,
            watermarks: None,
            parallelism: Parallelism::ONE,
            max_parallelism: MaxParallelism::default_for(Parallelism::ONE),
            start: ProcessingTime(0),
            keeping,
        }
    }

    /// Adds an input.
    #[must_use]
    pub fn input(mut self, name: Name, partitioning: Partitioning) -> Self {
        self.inputs.push((name, partitioning));
        self
    }

    /// The job: a source for each input, the operator as a task of its own, a sink for each output
    /// in the same task, and one for dead letters where they are wanted.
    pub(crate) fn deployment(
        &self,
        parallelism: Parallelism,
        shared: &Arc<Shared>,
    ) -> Result<Deployment, GraphError> {
        let mut graph = LogicalGraph {
            job: self.job.clone(),
            max_parallelism: self.max_parallelism,
            sources: IndexMap::new(),
            operators: IndexMap::new(),
            sinks: IndexMap::new(),
        };
        let mut sources: HashMap<Name, Arc<dyn SourceFactory>> = HashMap::new();
        let mut names = self.names();
        let mut inputs = Vec::new();
        for (at, (name, partitioning)) in self.inputs.iter().enumerate() {
            let name = names.one_like(name.as_str());
            let node = SourceNode {
                parallelism: Parallelism::ONE,
                rate: None,
                watermarks: None,
            };
            graph.sources.insert(name.clone(), node);
            let shared = Arc::clone(shared);
            sources.insert(name.clone(), Arc::new(FeedSource { input: at, shared }));
            inputs.push(reading(&name, 0, dealt(partitioning, parallelism)));
        }
        let node = OperatorNode {
            parallelism,
            inputs,
            outputs: u32::try_from(self.outputs).unwrap_or(u32::MAX),
            on_error: self.on_error.clone(),
            // So rows go over channels, and a barrier never meets rows that are still in a call.
            chain: false,
            watermarks: self.watermarks,
        };
        graph.operators.insert(self.name.clone(), node);
        let mut sinks = HashMap::new();
        for output in 0..self.outputs {
            let name = names.one_like("out");
            let from = u32::try_from(output).unwrap_or(u32::MAX);
            let node = SinkNode {
                parallelism,
                inputs: vec![reading(&self.name, from, Partitioning::Forward)],
            };
            graph.sinks.insert(name.clone(), node);
            sinks.insert(name, sink(output, shared));
        }
        if let OnError::DeadLetter(letters) = &self.on_error {
            let node = SinkNode {
                parallelism: Parallelism::ONE,
                inputs: Vec::new(),
            };
            graph.sinks.insert(letters.clone(), node);
            sinks.insert(letters.clone(), sink(self.outputs, shared));
        }
        let operator = OperatorDeployment {
            factory: Arc::clone(&self.factory),
            config: Arc::clone(&self.config),
        };
        Ok(Deployment {
            plan: plan(&graph)?,
            sources,
            operators: HashMap::from([(self.name.clone(), operator)]),
            sinks,
            backend: Arc::clone(&self.keeping.backend),
            mapping: Mapping::default(),
        })
    }

    /// The names of the sources, in order of the inputs.
    pub(crate) fn sources(&self) -> Vec<Name> {
        let mut names = self.names();
        let inputs = self.inputs.iter();
        inputs
            .map(|(name, _)| names.one_like(name.as_str()))
            .collect()
    }

    fn names(&self) -> Names {
        let mut taken = vec![self.name.clone()];
        if let OnError::DeadLetter(letters) = &self.on_error {
            taken.push(letters.clone());
        }
        Names(taken)
    }
}

/// Names that are taken: sources, operators and sinks share one namespace (D3).
struct Names(Vec<Name>);

impl Names {
    /// That name, or one like it that is not taken.
    fn one_like(&mut self, name: &str) -> Name {
        let numbered = (2..).map(|number| {
            let end = format!("-{number}");
            let most = name.len().min(63 - end.len());
            format!("{}{end}", &name[..most])
        });
        let all = std::iter::once(name.to_owned()).chain(numbered);
        let mut free = all.filter_map(|name| Name::new(&name).ok());
        let found = free.find(|name| !self.0.contains(name));
        // There are more numbers than names.
        let found = found.unwrap_or_else(|| self.0[0].clone());
        self.0.push(found.clone());
        found
    }
}

fn reading(node: &Name, output: u32, partitioning: Partitioning) -> Input {
    Input {
        from: Endpoint {
            node: node.clone(),
            output,
        },
        partitioning,
    }
}

/// A source has one reader here: its rows go to several subtasks by turns where they would go
/// straight on between as many.
fn dealt(partitioning: &Partitioning, parallelism: Parallelism) -> Partitioning {
    match partitioning {
        Partitioning::Forward if parallelism > Parallelism::ONE => Partitioning::Rebalance,
        other => other.clone(),
    }
}

fn sink(output: usize, shared: &Arc<Shared>) -> SinkDeployment {
    let shared = Arc::clone(shared);
    let factory: Arc<dyn SinkFactory> = Arc::new(KeptSink { output, shared });
    SinkDeployment {
        factory,
        on_existing: OnExisting::Append,
        transactions: TwoPhaseOptions::default(),
    }
}
