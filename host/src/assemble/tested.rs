//! An operator alone, as it is in its job, for a test: its component is loaded and checked, its
//! keys and times are selected, and nothing else of the job is looked at.

use std::{collections::BTreeMap, sync::Arc};

use weir_component::Component;
use weir_formats::TimestampSelector;
use weir_graph::{OnError, OperatorNode};
use weir_harness::{Keeping, Setup};
use weir_job_file::{Diagnostics, JobFile, Resolve, Spot, TestFile, code};
use weir_model::{MaxParallelism, Name, Parallelism, ProcessingTime};
use weir_operator::OperatorFactory;
use weir_runtime::BackendFactory;
use weir_snapshot_store::MemoryStore;
use weir_state::StateDecl;

use super::{
    Components, Used, World, backend, components::load_components, file_sources, joins,
    operator_factory,
};
use crate::cli::Shared;

/// What a test file tests.
pub(crate) struct Tested {
    name: Name,
    job: JobFile,
    node: OperatorNode,
    factory: Arc<dyn OperatorFactory>,
    backend: Arc<dyn BackendFactory>,
    start: ProcessingTime,
    /// What it is made of; a join needs none.
    pub(crate) component: Option<Component>,
    /// For messages.
    pub(crate) components: Components,
    /// Its side outputs, in order.
    pub(crate) side_outputs: Vec<String>,
    /// Of each input, how the event times of its rows are found.
    pub(crate) times: Vec<Option<TimestampSelector>>,
}

impl Tested {
    /// Finds all that is needed to run it.
    ///
    /// # Errors
    /// All that is wrong with the operator, at its place in the file it is written in.
    pub(crate) fn of(test: &TestFile, shared: &Shared) -> Result<Self, Diagnostics> {
        let name = &test.operator;
        let mut job = test.job.clone();
        job.operators.retain(|other, _| other == name);
        let missing = || {
            let message = format!("operator `{name}` cannot be tested");
            Diagnostics::one(job.diagnose(&Spot::File, code::UNRESOLVED, message, "", None))
        };
        let operator = job.operators.get(name).ok_or_else(missing)?;
        let mut wrong = Vec::new();
        let components = load_components(&job, shared, &mut wrong);
        let files = file_sources(&job);
        joins::misfits(&job, &mut wrong);
        let around = Around {
            world: World {
                job: &job,
                files: &files,
                components: &components,
            },
            test,
        };
        let node = job.operator_alone(name, &around);
        let times = operator.inputs.iter().map(|input| {
            // Those of a side output are as an operator gives them.
            match input.side_output {
                None => job.timestamp_of(&input.from, &around),
                Some(_) => Ok(None),
            }
        });
        let times: Vec<_> = times
            .map(|time| {
                time.unwrap_or_else(|diagnostic| {
                    wrong.push(diagnostic);
                    None
                })
            })
            .collect();
        let node = match (node, Diagnostics::from_list(wrong)) {
            (Ok(node), Ok(())) => node.ok_or_else(missing)?,
            (Ok(_), Err(wrong)) | (Err(wrong), Ok(())) => return Err(wrong),
            (Err(mut wrong), Err(more)) => {
                wrong.extend(more);
                return Err(wrong);
            }
        };
        let factory = operator_factory(&around.world, name, operator)?.ok_or_else(missing)?;
        let component = components.get(name);
        let used = component.zip(operator.component.as_ref());
        let used = used.map(|(component, path)| (name.clone(), Used::of(component, path)));
        Ok(Self {
            name: name.clone(),
            node,
            factory,
            backend: backend::factory(&job.backend),
            start: test.start,
            component: component.cloned(),
            components: Arc::new(BTreeMap::from_iter(used)),
            side_outputs: job.side_outputs_of(name, &around),
            times,
            job,
        })
    }

    /// The operator with so many subtasks, and nothing saved yet.
    pub(crate) fn setup(&self, parallelism: Parallelism) -> Setup {
        let keeping = Keeping {
            backend: Arc::clone(&self.backend),
            store: Arc::new(MemoryStore::new(u64::MAX)),
        };
        let (name, factory) = (self.name.clone(), Arc::clone(&self.factory));
        let setup = Setup::new(self.job.job.clone(), name, factory, keeping);
        let config = self.job.operators.get(&self.name).map(|o| &o.config);
        let inputs = self.node.inputs.iter();
        Setup {
            config: config.map_or_else(|| "null".into(), |config| config.to_string().into()),
            inputs: inputs
                .map(|input| (input.from.node.clone(), input.partitioning.clone()))
                .collect(),
            outputs: 1 + self.side_outputs.len(),
            on_error: self.node.on_error.clone(),
            watermarks: self.node.watermarks,
            parallelism,
            max_parallelism: self.job.max_parallelism(),
            start: self.start,
            ..setup
        }
    }

    /// The states that it declares.
    pub(crate) fn states(&self) -> &[StateDecl] {
        &self.factory.descriptor().states
    }

    /// The state of that name, if it declares one.
    pub(crate) fn state(&self, name: &str) -> Option<&StateDecl> {
        self.states().iter().find(|state| state.name == name)
    }

    /// How many key groups there are.
    pub(crate) fn max_parallelism(&self) -> MaxParallelism {
        self.job.max_parallelism()
    }

    /// Whether rows that it refuses become dead letters.
    pub(crate) fn has_dead_letters(&self) -> bool {
        matches!(self.node.on_error, OnError::DeadLetter(_))
    }

    /// The operator.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }
}

/// What is around the operator: as far as the test says it, else as it is.
struct Around<'a> {
    world: World<'a>,
    test: &'a TestFile,
}

impl Resolve for Around<'_> {
    fn header(&self, source: &Name) -> Result<Option<Vec<String>>, String> {
        match self.test.headers.get(source) {
            Some(header) => Ok(Some(header.clone())),
            None => self.world.header(source),
        }
    }

    fn waits(&self, operator: &Name) -> bool {
        self.world.waits(operator)
    }

    /// Whoever gives the rows that a side output would is the test: its name is all there is to it.
    fn side_outputs(&self, operator: &Name) -> Option<Vec<String>> {
        if *operator == self.test.operator {
            return self.world.side_outputs(operator);
        }
        let inputs = self.test.job.operators.get(&self.test.operator)?;
        let inputs = inputs.inputs.iter().filter(|input| input.from == *operator);
        Some(
            inputs
                .filter_map(|input| input.side_output.clone())
                .collect(),
        )
    }
}
