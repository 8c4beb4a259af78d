//! A source that does not end before the sinks have seen enough.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use weir_operator::{
    Discovery, Failure, ReadStatus, SourceFactory, SourceReader, SourceRows, Split, TaskInfo,
};

use crate::peer::tally::Tally;

/// It ends after this time all the same: then too little has come.
const MOST: Duration = Duration::from_secs(30);

/// Another source, whose end is put off until the sums of the sinks have come to `sum`.
pub(super) struct Linger {
    source: Arc<dyn SourceFactory>,
    tally: Arc<Tally>,
    sum: u64,
}

impl Linger {
    pub(super) fn new(source: Arc<dyn SourceFactory>, tally: Arc<Tally>, sum: u64) -> Self {
        Self { source, tally, sum }
    }
}

impl SourceFactory for Linger {
    fn discover(&self) -> Result<Discovery, Failure> {
        self.source.discover()
    }

    fn reader(&self, task: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(Reader {
            reader: self.source.reader(task)?,
            tally: Arc::clone(&self.tally),
            sum: self.sum,
            ended: None,
        }))
    }

    fn replayable(&self) -> bool {
        false
    }
}

struct Reader {
    reader: Box<dyn SourceReader>,
    tally: Arc<Tally>,
    sum: u64,
    /// The split that has no more rows, and since when.
    ended: Option<(String, Instant)>,
}

impl SourceReader for Reader {
    fn add_split(&mut self, split: Split) -> Result<(), Failure> {
        self.reader.add_split(split)
    }

    fn read(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure> {
        if self.ended.is_none() {
            match self.reader.read(rows, max_rows)? {
                ReadStatus::SplitEnded(split) => self.ended = Some((split, Instant::now())),
                other => return Ok(other),
            }
        }
        let is_enough = self.tally.totals().sum >= self.sum;
        match self
            .ended
            .take_if(|(_, since)| is_enough || since.elapsed() > MOST)
        {
            Some((split, _)) => Ok(ReadStatus::SplitEnded(split)),
            None => Ok(ReadStatus::Dry { retry_ms: 5 }),
        }
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        self.reader.snapshot()
    }

    fn skipped(&self) -> u64 {
        self.reader.skipped()
    }
}
