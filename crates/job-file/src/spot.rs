//! Places of a job file that a host can point at.

use weir_model::Name;

/// A place of a job file. Where it is not written, the nearest thing around it that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// The file as a whole; nothing is underlined.
    File,
    /// `job`.
    Job,
    /// `parallelism` of the job.
    Parallelism,
    /// `max-parallelism`.
    MaxParallelism,
    /// `checkpoint`.
    Checkpoint,
    /// `checkpoint.dir`.
    CheckpointDir,
    /// A source's name.
    Source(Name),
    /// A source's `path`.
    SourcePath(Name),
    /// Any key of a source.
    SourceKey(Name, &'static str),
    /// An operator's name.
    Operator(Name),
    /// An operator's `component`.
    OperatorComponent(Name),
    /// An operator's `config`.
    OperatorConfig(Name),
    /// An operator's `limits`.
    OperatorLimits(Name),
    /// An operator's `inputs`.
    OperatorInputs(Name),
    /// Any key of an operator.
    OperatorKey(Name, &'static str),
    /// One of an operator's inputs, by its index.
    OperatorInput(Name, usize),
    /// A sink's name.
    Sink(Name),
    /// A sink's `path`.
    SinkPath(Name),
    /// Any key of a sink.
    SinkKey(Name, &'static str),
}

/// One step down from a mapping or a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl Spot {
    /// The way from the root of the file.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let keys = |keys: &[&str]| {
            keys.iter()
                .map(|key| Step::Key((*key).to_owned()))
                .collect()
        };
        match self {
            Self::File => Vec::new(),
            Self::Job => keys(&["job"]),
            Self::Parallelism => keys(&["parallelism"]),
            Self::MaxParallelism => keys(&["max-parallelism"]),
            Self::Checkpoint => keys(&["checkpoint"]),
            Self::CheckpointDir => keys(&["checkpoint", "dir"]),
            Self::Source(name) => keys(&["sources", name.as_str()]),
            Self::SourcePath(name) => keys(&["sources", name.as_str(), "path"]),
            Self::SourceKey(name, key) => keys(&["sources", name.as_str(), key]),
            Self::Operator(name) => keys(&["operators", name.as_str()]),
            Self::OperatorComponent(name) => keys(&["operators", name.as_str(), "component"]),
            Self::OperatorConfig(name) => keys(&["operators", name.as_str(), "config"]),
            Self::OperatorLimits(name) => keys(&["operators", name.as_str(), "limits"]),
            Self::OperatorInputs(name) => keys(&["operators", name.as_str(), "inputs"]),
            Self::OperatorKey(name, key) => keys(&["operators", name.as_str(), key]),
            Self::OperatorInput(name, index) => {
                let mut steps: Vec<_> = keys(&["operators", name.as_str(), "inputs"]);
                steps.push(Step::Index(*index));
                steps
            }
            Self::Sink(name) => keys(&["sinks", name.as_str()]),
            Self::SinkPath(name) => keys(&["sinks", name.as_str(), "path"]),
            Self::SinkKey(name, key) => keys(&["sinks", name.as_str(), key]),
        }
    }

    /// Whether the name is meant rather than what stands under it.
    pub(crate) fn is_name(&self) -> bool {
        matches!(
            self,
            Self::Source(_) | Self::Operator(_) | Self::Sink(_) | Self::Checkpoint
        )
    }
}
