//! Rows out of memory, let through by a valve.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use weir_model::Column;
use weir_operator::{
    Discovery, Failure, ReadStatus, SourceFactory, SourceReader, SourceRows, Split, TaskInfo,
};

/// Lets so many rows of each split through: a test opens it further when it has seen what it waits
/// for, so that no test depends on how fast the machine is.
#[derive(Clone, Debug)]
pub struct Valve(Arc<AtomicU64>);

impl Valve {
    /// A valve that lets the first `rows` rows of each split through.
    #[must_use]
    pub fn at(rows: u64) -> Self {
        Self(Arc::new(AtomicU64::new(rows)))
    }

    /// A valve that lets everything through.
    #[must_use]
    pub fn open() -> Self {
        Self::at(u64::MAX)
    }

    /// Lets the first `rows` rows of each split through.
    pub fn open_to(&self, rows: u64) {
        self.0.store(rows, Ordering::Release);
    }

    fn limit(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The event time of a row.
type TimeOf = dyn Fn(&str) -> i64 + Send + Sync;

/// A source over splits in memory.
#[derive(Clone)]
pub struct MemorySource {
    splits: Arc<Vec<(String, Vec<String>)>>,
    /// The most rows that one read gives.
    most: usize,
    valve: Valve,
    replayable: bool,
    times: Option<Arc<TimeOf>>,
}

impl MemorySource {
    /// A source with these splits; each has a name and rows.
    #[must_use]
    pub fn new(splits: Vec<(String, Vec<String>)>) -> Self {
        Self {
            splits: Arc::new(splits),
            most: usize::MAX,
            valve: Valve::open(),
            replayable: true,
            times: None,
        }
    }

    /// One split `s<i>` for each list of rows.
    #[must_use]
    pub fn of<S: ToString>(splits: &[Vec<S>]) -> Self {
        let name = |i| format!("s{i}");
        let splits = splits.iter().enumerate();
        Self::new(
            splits
                .map(|(i, rows)| (name(i), rows.iter().map(S::to_string).collect()))
                .collect(),
        )
    }

    /// Gives each row the time that this says of it, when it is read.
    #[must_use]
    pub fn timed(mut self, time: impl Fn(&str) -> i64 + Send + Sync + 'static) -> Self {
        self.times = Some(Arc::new(time));
        self
    }

    /// Gives at most so many rows a read.
    #[must_use]
    pub fn reading(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Says that it cannot go back, though it can.
    #[must_use]
    pub fn not_replayable(mut self) -> Self {
        self.replayable = false;
        self
    }

    /// Goes no further than the valve allows.
    #[must_use]
    pub fn behind(mut self, valve: Valve) -> Self {
        self.valve = valve;
        self
    }
}

impl SourceFactory for MemorySource {
    fn discover(&self) -> Result<Discovery, Failure> {
        let split = |(id, _): &(String, Vec<String>)| Split {
            id: id.clone(),
            position: Value::Null,
        };
        Ok(Discovery {
            splits: self.splits.iter().map(split).collect(),
            spread: false,
        })
    }

    fn reader(&self, _task: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(Reader {
            source: self.clone(),
            open: VecDeque::new(),
        }))
    }

    fn replayable(&self) -> bool {
        self.replayable
    }
}

struct Reader {
    source: MemorySource,
    /// Index of the split and its next row.
    open: VecDeque<(usize, usize)>,
}

impl SourceReader for Reader {
    fn add_split(&mut self, split: Split) -> Result<(), Failure> {
        let found = self
            .source
            .splits
            .iter()
            .position(|(id, _)| *id == split.id);
        let gone = || Failure::Restore {
            message: format!("split `{}` is gone", split.id),
        };
        let next = split
            .position
            .get("next")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        self.open
            .push_back((found.ok_or_else(gone)?, usize::try_from(next).unwrap()));
        Ok(())
    }

    fn read(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure> {
        let Some((split, next)) = self.open.front_mut() else {
            return Ok(ReadStatus::NoSplit);
        };
        let (id, all) = &self.source.splits[*split];
        let limit = usize::try_from(self.source.valve.limit())
            .unwrap_or(usize::MAX)
            .min(all.len());
        let count = limit
            .saturating_sub(*next)
            .min(max_rows)
            .min(self.source.most);
        for row in &all[*next..*next + count] {
            push(&mut rows.values, row);
            rows.timestamps
                .extend(self.source.times.as_ref().map(|time| time(row)));
        }
        *next += count;
        if *next == all.len() {
            let id = id.clone();
            self.open.pop_front();
            return Ok(ReadStatus::SplitEnded(id));
        }
        Ok(if count == 0 {
            ReadStatus::Dry { retry_ms: 1 }
        } else {
            ReadStatus::More
        })
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        let split = |&(split, next): &(usize, usize)| Split {
            id: self.source.splits[split].0.clone(),
            position: json!({ "v": 1, "next": next }),
        };
        Ok(self.open.iter().map(split).collect())
    }

    fn skipped(&self) -> u64 {
        0
    }
}

fn push(values: &mut Column, row: &str) {
    values.push(row.as_bytes());
}
