//! The source of the benchmark: hands out rows that were made before, and costs little more than
//! copying them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};
use weir_model::{Batch, Column};
use weir_operator::{
    Discovery, Failure, ReadStatus, SourceFactory, SourceReader, SourceRows, Split, TaskInfo,
};

use crate::{material::Material, meter::Meter};

/// A source with one split a reader; reader `i` of `n` begins at the `i`-th `n`-th of the rows.
pub(crate) struct Rows {
    shared: Arc<Shared>,
}

struct Shared {
    material: Arc<Material>,
    meter: Arc<Meter>,
    /// How many rows each split has handed out.
    given: Vec<AtomicU64>,
}

impl Rows {
    pub(crate) fn new(material: Arc<Material>, meter: Arc<Meter>, readers: u32) -> Self {
        let given = (0..readers).map(|_| AtomicU64::new(0)).collect();
        Self {
            shared: Arc::new(Shared {
                material,
                meter,
                given,
            }),
        }
    }

    /// For each split its first row and how many rows it has handed out.
    pub(crate) fn given(&self) -> Vec<(usize, u64)> {
        let rows = |(split, given): (usize, &AtomicU64)| {
            (self.shared.first(split), given.load(Ordering::Relaxed))
        };
        self.shared.given.iter().enumerate().map(rows).collect()
    }
}

impl Shared {
    /// The row that a split begins with.
    fn first(&self, split: usize) -> usize {
        self.material.len() * split / self.given.len()
    }
}

impl SourceFactory for Rows {
    fn discover(&self) -> Result<Discovery, Failure> {
        let split = |index: usize| Split {
            id: index.to_string(),
            position: Value::Null,
        };
        Ok(Discovery {
            splits: (0..self.shared.given.len()).map(split).collect(),
            spread: false,
        })
    }

    fn reader(&self, _task: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(Reader {
            shared: Arc::clone(&self.shared),
            open: Vec::new(),
        }))
    }

    fn replayable(&self) -> bool {
        true
    }
}

struct Reader {
    shared: Arc<Shared>,
    /// Each split and how many of its rows were handed out.
    open: Vec<(usize, u64)>,
}

impl SourceReader for Reader {
    fn add_split(&mut self, split: Split) -> Result<(), Failure> {
        let index = split.id.parse().ok();
        let index = index.filter(|&index: &usize| index < self.shared.given.len());
        let index = index.ok_or_else(|| Failure::Restore {
            message: format!("there is no split `{}`", split.id),
        })?;
        let given = split.position.get("given").and_then(Value::as_u64);
        self.open.push((index, given.unwrap_or(0)));
        Ok(())
    }

    fn read(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure> {
        let Some((split, given)) = self.open.last_mut() else {
            return Ok(ReadStatus::NoSplit);
        };
        let shared = &self.shared;
        if shared.meter.is_over() {
            let id = split.to_string();
            self.open.pop();
            shared.meter.ended();
            return Ok(ReadStatus::SplitEnded(id));
        }
        let all = &shared.material.rows;
        let row_bytes = all.byte_len() / all.len();
        let at = (shared.first(*split) + *given as usize) % all.len();
        let most = max_rows.min(Batch::MAX_BYTES / row_bytes);
        let to = all.len().min(at + most);
        rows.values = Column::with_capacity(to - at, (to - at) * row_bytes);
        rows.values.extend_from(all.view().slice(at, to));
        *given += (to - at) as u64;
        if let Some(told) = shared.given.get(*split) {
            told.store(*given, Ordering::Relaxed);
        }
        Ok(ReadStatus::More)
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        let split = |&(split, given): &(usize, u64)| Split {
            id: split.to_string(),
            position: json!({ "v": 1, "given": given }),
        };
        Ok(self.open.iter().map(split).collect())
    }

    fn skipped(&self) -> u64 {
        0
    }
}
