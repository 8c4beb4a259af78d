//! What the user wrote, as a graph: sources, operators, sinks and the inputs that join them.
//!
//! The fields are public, so a graph can say anything; [`LogicalGraph::validate`] tells whether it
//! can run. [`plan`](crate::plan) plans nothing else.

use std::{fmt, sync::Arc};

use indexmap::IndexMap;
use weir_event_time::{EmittedStrategy, WatermarkStrategy};
use weir_model::{JobName, MaxParallelism, Name, OperatorName, Parallelism, SinkName, SourceName};
use weir_operator::KeySelector;

/// A job as its user thinks of it. Order is the order of the job file.
#[derive(Clone, Debug)]
pub struct LogicalGraph {
    /// The name of the job.
    pub job: JobName,
    /// Number of key groups of every keyed operator.
    pub max_parallelism: MaxParallelism,
    /// Sources by name.
    pub sources: IndexMap<SourceName, SourceNode>,
    /// Operators by name.
    pub operators: IndexMap<OperatorName, OperatorNode>,
    /// Sinks by name.
    pub sinks: IndexMap<SinkName, SinkNode>,
}

/// A source.
#[derive(Clone, Debug)]
pub struct SourceNode {
    /// Number of readers.
    pub parallelism: Parallelism,
    /// The most rows per second of the whole source; `None` = as fast as it goes.
    pub rate: Option<f64>,
    /// How its watermarks follow from the times of its rows; `None` = it makes none until its end.
    pub watermarks: Option<WatermarkStrategy>,
}

/// An operator.
#[derive(Clone, Debug)]
pub struct OperatorNode {
    /// Number of subtasks.
    pub parallelism: Parallelism,
    /// Its inputs in order; the component sees their index.
    pub inputs: Vec<Input>,
    /// Number of outputs: the main one and the side outputs.
    pub outputs: u32,
    /// What happens to a row that it refuses or that has no key.
    pub on_error: OnError,
    /// Whether it may be chained to what is before it.
    pub chain: bool,
    /// How it makes watermarks of what it emits; `None` = those it gets go on.
    pub watermarks: Option<EmittedStrategy>,
}

/// A sink.
#[derive(Clone, Debug)]
pub struct SinkNode {
    /// Number of writers.
    pub parallelism: Parallelism,
    /// Its inputs. A sink that only takes dead letters has none: their edges are derived from
    /// [`OnError::DeadLetter`].
    pub inputs: Vec<Input>,
}

/// One input of an operator or a sink.
#[derive(Clone, Debug)]
pub struct Input {
    /// What it reads.
    pub from: Endpoint,
    /// How rows are dealt out to the subtasks.
    pub partitioning: Partitioning,
}

/// An output of a source or an operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The source or operator.
    pub node: Name,
    /// 0 is the main output, then the side outputs.
    pub output: u32,
}

/// How rows of an edge are dealt out to the subtasks behind it.
#[derive(Clone)]
pub enum Partitioning {
    /// Subtask to subtask of the same index; needs equal parallelism.
    Forward,
    /// Round robin, a batch at a time.
    Rebalance,
    /// By key group of the key.
    Hash(Arc<dyn KeySelector>),
    /// Every row to every subtask.
    Broadcast,
    /// All rows to subtask 0.
    Global,
}

impl Partitioning {
    /// The name in messages and pictures.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Rebalance => "rebalance",
            Self::Hash(_) => "hash",
            Self::Broadcast => "broadcast",
            Self::Global => "global",
        }
    }
}

impl fmt::Debug for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens to a row that an operator refuses (D13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The task fails; the restart strategy decides.
    #[default]
    Fail,
    /// The row is left out and counted.
    Skip,
    /// The row goes to that sink, with what is wrong with it, and is counted.
    DeadLetter(SinkName),
}

/// Why a graph cannot run. The job file turns each into an error with a span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// An input names something that does not exist or has no such output.
    #[error("`{node}` reads `{from}`, which is not a source, an operator or one of its outputs")]
    UnknownInput {
        /// Who reads.
        node: Name,
        /// What it reads.
        from: String,
    },
    /// Two nodes share a name (D3).
    #[error("the name `{name}` is used twice; sources, operators and sinks share one namespace")]
    DuplicateName {
        /// The name.
        name: Name,
    },
    /// The graph has a cycle.
    #[error("the operators {names} form a cycle")]
    Cycle {
        /// The names on the cycle, joined by ` -> `.
        names: String,
    },
    /// A forward edge joins different parallelisms.
    #[error(
        "forward from `{from}` (parallelism {left}) to `{to}` (parallelism {right}) needs the same \
         parallelism"
    )]
    UnequalForward {
        /// The producer.
        from: Name,
        /// Its parallelism.
        left: Parallelism,
        /// The consumer.
        to: Name,
        /// Its parallelism.
        right: Parallelism,
    },
    /// More subtasks than key groups.
    #[error("`{node}` has parallelism {parallelism}, which is larger than max-parallelism {max}")]
    AboveMax {
        /// The node.
        node: Name,
        /// Its parallelism.
        parallelism: Parallelism,
        /// The maximum of the job.
        max: MaxParallelism,
    },
    /// There is nothing to read from.
    #[error("the job has no source")]
    NoSource,
    /// An operator has no input.
    #[error("operator `{node}` has no input")]
    NoInput {
        /// The operator.
        node: Name,
    },
    /// An operator sends its dead letters to a sink that does not exist.
    #[error("operator `{operator}` sends its dead letters to `{sink}`, which is not a sink")]
    UnknownDeadLetters {
        /// The operator.
        operator: OperatorName,
        /// What it names.
        sink: SinkName,
    },
    /// A sink has no input, and no operator sends its dead letters there.
    #[error("nothing feeds sink `{sink}`: it has no input, and takes no operator's dead letters")]
    NothingFeeds {
        /// The sink.
        sink: SinkName,
    },
}
