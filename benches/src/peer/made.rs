//! The source: makes rows from their numbers, one by one as they are read; nothing is made before.
//!
//! Of `n` rows and `p` parts, part `s` has the rows `s`, `s + p`, `s + 2p`, … in this order, as the
//! sources on Flink have them.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_model::{Batch, Column};
use weir_operator::{
    Discovery, Failure, ReadStatus, SourceFactory, SourceReader, SourceRows, Split, TaskInfo,
};

use super::tally::Tally;

/// Rows, each made from its number.
pub trait Stream: Send + Sync + 'static {
    /// About how many bytes a row has.
    fn row_bytes(&self) -> usize;

    /// Whether rows have event times.
    fn has_times(&self) -> bool;

    /// Appends row `i` to `out`, and gives its event time in milliseconds, which nobody looks at
    /// where rows have none.
    fn row(&self, i: u64, out: &mut Vec<u8>) -> i64;

    /// Appends rows to `out`, with their event times where they have any.
    fn rows(&self, numbers: impl ExactSizeIterator<Item = u64>, out: &mut SourceRows) {
        for i in numbers {
            let time = out.values.push_with(|bytes| self.row(i, bytes));
            if self.has_times() {
                out.timestamps.push(time);
            }
        }
    }
}

/// A source of the first `n` rows of a stream, with one split a reader.
pub struct Made<S> {
    stream: Arc<S>,
    rows: u64,
    parts: u32,
    /// `None` for what is not the input that is measured.
    tally: Option<Arc<Tally>>,
}

impl<S: Stream> Made<S> {
    /// So many rows, which count.
    #[must_use]
    pub fn new(stream: S, rows: u64, parts: u32, tally: Arc<Tally>) -> Self {
        Self {
            stream: Arc::new(stream),
            rows,
            parts,
            tally: Some(tally),
        }
    }

    /// So many rows that belong to the workload and do not count, such as rules.
    #[must_use]
    pub fn beside(stream: S, rows: u64, parts: u32) -> Self {
        Self {
            stream: Arc::new(stream),
            rows,
            parts,
            tally: None,
        }
    }
}

impl<S: Stream> SourceFactory for Made<S> {
    fn discover(&self) -> Result<Discovery, Failure> {
        let split = |part: u32| Split {
            id: part.to_string(),
            position: Value::Null,
        };
        Ok(Discovery {
            splits: (0..self.parts).map(split).collect(),
            spread: false,
        })
    }

    fn reader(&self, _task: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(Reader {
            stream: Arc::clone(&self.stream),
            rows: self.rows,
            parts: self.parts,
            tally: self.tally.clone(),
            open: None,
        }))
    }

    fn replayable(&self) -> bool {
        true
    }
}

struct Reader<S> {
    stream: Arc<S>,
    rows: u64,
    parts: u32,
    tally: Option<Arc<Tally>>,
    open: Option<Part>,
}

/// A part of the stream that is being read.
struct Part {
    part: u64,
    /// How many rows of it were handed out.
    given: u64,
}

impl<S: Stream> Reader<S> {
    /// How many rows a part has.
    fn rows_of(&self, part: u64) -> u64 {
        let parts = u64::from(self.parts);
        self.rows.saturating_sub(part).div_ceil(parts)
    }
}

impl<S: Stream> SourceReader for Reader<S> {
    fn add_split(&mut self, split: Split) -> Result<(), Failure> {
        let part = split.id.parse().ok();
        let part = part.filter(|&part: &u64| part < u64::from(self.parts));
        let part = part.ok_or_else(|| Failure::Restore {
            message: format!("there is no split `{}`", split.id),
        })?;
        let given = split.position.get("given").and_then(Value::as_u64);
        let given = given.unwrap_or(0);
        self.open = Some(Part { part, given });
        Ok(())
    }

    fn read(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure> {
        let Some(Part { part, given }) = self.open else {
            return Ok(ReadStatus::NoSplit);
        };
        if self.tally.as_ref().is_some_and(|tally| !tally.is_open()) {
            return Ok(ReadStatus::Dry { retry_ms: 1 });
        }
        let left = self.rows_of(part) - given;
        if left == 0 {
            self.open = None;
            if let Some(tally) = &self.tally {
                tally.part_ended();
            }
            return Ok(ReadStatus::SplitEnded(part.to_string()));
        }
        let row_bytes = self.stream.row_bytes().max(1);
        let most = max_rows.min(Batch::MAX_BYTES.div_ceil(row_bytes)) as u64;
        let count = most.min(left);
        // Some room beside: every second event is more bytes than every event is, and a column
        // that is one byte too small is copied whole.
        let bytes = count as usize * row_bytes;
        rows.values = Column::with_capacity(count as usize, bytes + bytes / 32 + row_bytes);
        if self.stream.has_times() {
            rows.timestamps.reserve(count as usize);
        }
        let numbers =
            (0..count as usize).map(|k| (given + k as u64) * u64::from(self.parts) + part);
        self.stream.rows(numbers, rows);
        let given = given + count;
        self.open = Some(Part { part, given });
        if let Some(tally) = &self.tally {
            tally.made(count);
        }
        Ok(ReadStatus::More)
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        let split = |open: &Part| Split {
            id: open.part.to_string(),
            position: json!({ "v": 1, "given": open.given }),
        };
        Ok(self.open.iter().map(split).collect())
    }

    fn skipped(&self) -> u64 {
        0
    }
}
