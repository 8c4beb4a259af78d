//! One parallel reader: its open files, taken in turn.

use std::sync::Arc;

use weir_operator::{Failure, ReadStatus, SourceReader, SourceRows, Split};

use super::{
    FileSourceOptions,
    split::{OpenSplit, Progress},
};
use crate::rows::Skipped;

/// How long to wait before a followed file is looked at again: soon for a person, and rare enough
/// not to be seen on the processor.
const RETRY_MS: u64 = 100;

/// A reader of a file source.
pub(super) struct FileReader {
    options: Arc<FileSourceOptions>,
    splits: Vec<OpenSplit>,
    /// Which one has its turn.
    turn: usize,
    /// Those that others are behind of.
    paused: Vec<String>,
    skipped: Skipped,
}

impl FileReader {
    pub(super) fn new(options: Arc<FileSourceOptions>) -> Self {
        Self {
            options,
            splits: Vec::new(),
            turn: 0,
            paused: Vec::new(),
            skipped: Skipped::default(),
        }
    }
}

impl SourceReader for FileReader {
    fn add_split(&mut self, split: Split) -> Result<(), Failure> {
        self.splits
            .push(OpenSplit::open(Arc::clone(&self.options), &split)?);
        Ok(())
    }

    fn read(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure> {
        let max_rows = rows.values.len().saturating_add(max_rows);
        let several = self.splits.len() > 1;
        for _ in 0..self.splits.len() {
            self.turn %= self.splits.len().max(1);
            let Some(split) = self.splits.get_mut(self.turn) else {
                break;
            };
            if self.paused.iter().any(|id| id == split.id()) {
                self.turn += 1;
                continue;
            }
            let progress = split.read(rows, max_rows, &mut self.skipped)?;
            if several {
                rows.end_run(split.name());
            }
            match progress {
                Progress::More => {
                    self.turn += 1;
                    return Ok(ReadStatus::More);
                }
                Progress::Dry => {
                    if several {
                        rows.dry.push(Arc::clone(split.name()));
                    }
                    self.turn += 1;
                }
                Progress::Ended => {
                    let ended = self.splits.remove(self.turn);
                    return Ok(ReadStatus::SplitEnded(ended.id().to_owned()));
                }
            }
        }
        Ok(if self.splits.is_empty() {
            ReadStatus::NoSplit
        } else {
            ReadStatus::Dry { retry_ms: RETRY_MS }
        })
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        self.splits.iter_mut().map(OpenSplit::snapshot).collect()
    }

    fn set_paused(&mut self, split: &str, paused: bool) -> bool {
        self.paused.retain(|id| id != split);
        if paused {
            self.paused.push(split.to_owned());
        }
        true
    }

    fn skipped(&self) -> u64 {
        self.skipped.count
    }
}
