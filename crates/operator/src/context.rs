//! What an operator sees of the host during a call: its task, its state, time, metrics.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weir_model::{
    Attempt, EventTime, JobName, MaxParallelism, OperatorName, Parallelism, ProcessingTime,
    SubtaskIndex,
};
use weir_state::{KeyedState, OperatorState};

/// Which instance of what this is.
#[derive(Clone, Debug)]
pub struct TaskInfo {
    /// The job.
    pub job: JobName,
    /// The operator, source or sink.
    pub operator: OperatorName,
    /// Which of its parallel instances.
    pub subtask: SubtaskIndex,
    /// How many there are.
    pub parallelism: Parallelism,
    /// How many key groups there are.
    pub max_parallelism: MaxParallelism,
    /// The how-manieth start of the job this is.
    pub attempt: Attempt,
}

/// What an operator sees of the host. The engine owns it, lends it to the operator for a call
/// (boxed, so that a guest's store can take it over for that time by swapping a pointer) and
/// commits or drops what the call did.
pub struct Context {
    /// Which instance this is.
    pub task: TaskInfo,
    /// The `config:` of the operator in the job file, as JSON.
    pub config: Arc<str>,
    /// The keyed state, as a transaction per call.
    pub state: KeyedState,
    /// The state of the subtask (lists and broadcast), in the same transaction as the keyed one.
    pub operator_state: OperatorState,
    /// The watermark of the task.
    pub watermark: EventTime,
    /// One reading of the clock per call: it does not move while the call runs.
    pub processing_time: ProcessingTime,
    /// The watermarks that the call says of what it emits, each with the number of rows of the main
    /// output that are before it ; only where the job file lets it make
    /// watermarks.
    pub said_watermarks: Vec<(u32, i64)>,
    /// Metrics the operator reports; what a failed call reported is dropped.
    pub metrics: Metrics,
    /// A shorter deadline than the operator's own, while a failure is being isolated.
    pub deadline: Option<Duration>,
    /// Rows are run again only to see whether they pass: nothing of it is kept, and nothing that
    /// the operator says is told.
    pub rehearsal: bool,
}

/// A metric that an operator reports under a name of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// A sum.
    Counter(u64),
    /// A last value.
    Gauge(f64),
    /// Count, sum, smallest and largest of what was recorded.
    Histogram {
        /// How many values.
        count: u64,
        /// Their sum.
        sum: f64,
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
}

/// Metrics of an operator by name; a call's are kept apart until it is committed.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    committed: BTreeMap<String, Metric>,
    pending: Vec<(String, Metric)>,
}

impl Metrics {
    /// The most names one operator may report; further ones are dropped, so that a guest that makes
    /// names out of data cannot fill the host's memory.
    pub const MAX_NAMES: usize = 1000;
    /// The most reports of one call.
    pub const MAX_PENDING: usize = 10_000;

    /// Reports a metric from within a call. Counters add up, a gauge replaces, histograms merge.
    pub fn report(&mut self, name: &str, metric: Metric) {
        if self.pending.len() < Self::MAX_PENDING {
            self.pending.push((name.to_owned(), metric));
        }
    }

    /// Keeps what the call reported.
    pub fn commit(&mut self) {
        for (name, metric) in self.pending.drain(..) {
            if let Some(known) = self.committed.get_mut(&name) {
                known.merge(metric);
            } else if self.committed.len() < Self::MAX_NAMES {
                self.committed.insert(name, metric);
            }
        }
    }

    /// Drops what the call reported.
    pub fn rollback(&mut self) {
        self.pending.clear();
    }

    /// Takes what the call reported, for whoever decides later whether it counts.
    pub fn take(&mut self) -> Vec<(String, Metric)> {
        std::mem::take(&mut self.pending)
    }

    /// All committed metrics by name.
    #[must_use]
    pub fn all(&self) -> &BTreeMap<String, Metric> {
        &self.committed
    }
}

impl Metric {
    /// Takes a later report of the same name in.
    pub fn merge(&mut self, later: Self) {
        match (&mut *self, later) {
            (Self::Counter(sum), Self::Counter(by)) => *sum = sum.saturating_add(by),
            (
                Self::Histogram {
                    count,
                    sum,
                    min,
                    max,
                },
                Self::Histogram {
                    count: c,
                    sum: s,
                    min: lo,
                    max: hi,
                },
            ) => {
                *count += c;
                *sum += s;
                *min = min.min(lo);
                *max = max.max(hi);
            }
            // A gauge replaces; so does a report of another kind under the same name.
            (mine, later) => *mine = later,
        }
    }
}
