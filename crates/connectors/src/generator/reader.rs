//! One parallel reader: the rows of its splits, lowest first.

use weir_model::{Batch, Column};
use weir_operator::{Failure, ReadStatus, SourceReader, SourceRows, Split};

use super::{
    row::Maker,
    split::{OpenSplit, SplitId},
};

/// A reader of a generator.
pub(super) struct GeneratorReader {
    maker: Maker,
    count: Option<u64>,
    of: u32,
    splits: Vec<OpenSplit>,
}

impl GeneratorReader {
    pub(super) fn new(maker: Maker, count: Option<u64>, of: u32) -> Self {
        Self {
            maker,
            count,
            of,
            splits: Vec::new(),
        }
    }

    /// The first row that is not there any more.
    fn end(&self) -> u64 {
        self.count.unwrap_or(u64::MAX)
    }

    /// The split with the lowest row; one that has none left comes first, to be reported.
    fn lowest(&self) -> Option<usize> {
        let next = |&at: &usize| self.splits.get(at).and_then(|split| split.next);
        (0..self.splits.len()).min_by_key(next)
    }

    /// Makes rows of one block; gives back whether the split has more.
    fn make(&mut self, at: usize, rows: &mut Column, room: u64) -> bool {
        let end = self.end();
        let Some(split) = self.splits.get_mut(at) else {
            return false;
        };
        let Some(next) = split.next.filter(|&next| next < end) else {
            return false;
        };
        let block_end = SplitId::block_end(next);
        let to = block_end.min(end).min(next.saturating_add(room));
        for row in next..to {
            self.maker.push(row, rows);
        }
        split.next = if to == block_end {
            split.id.after_block(to)
        } else {
            Some(to)
        };
        split.next = split.next.filter(|&next| next < end);
        split.next.is_some()
    }
}

impl SourceReader for GeneratorReader {
    fn add_split(&mut self, split: Split) -> Result<(), Failure> {
        self.splits
            .push(OpenSplit::open(&split, self.of, self.count)?);
        Ok(())
    }

    fn read(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure> {
        let row_bytes = self.maker.row_bytes_max();
        let most = max_rows.min(Batch::MAX_BYTES.div_ceil(row_bytes));
        if rows.values.is_empty() {
            rows.values = Column::with_capacity(most, most.saturating_mul(row_bytes));
        }
        let before = rows.values.len();
        loop {
            let Some(at) = self.lowest() else {
                return Ok(ReadStatus::NoSplit);
            };
            let room = most.saturating_sub(rows.values.len() - before);
            if room == 0 {
                return Ok(ReadStatus::More);
            }
            if !self.make(at, &mut rows.values, room as u64) {
                let ended = self.splits.swap_remove(at);
                return Ok(ReadStatus::SplitEnded(ended.name()));
            }
        }
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        let splits = self.splits.iter().map(|split| split.snapshot(self.count));
        splits.filter_map(Result::transpose).collect()
    }

    fn skipped(&self) -> u64 {
        0
    }
}
