//! Sources that say what they are told: rows, watermarks, that they are idle, that they end.

use std::sync::Arc;

use serde_json::Value;
use weir_operator::{
    Discovery, Failure, ReadStatus, SourceFactory, SourceReader, SourceRows, Split, TaskInfo,
    TimeSaid, Waker,
};

use crate::shared::{Fed, Shared};

/// The one split that a source has.
const SPLIT: &str = "rows";
/// How long a reader that has nothing is left alone: it is woken when there is something.
const RETRY_MS: u64 = 3_600_000;

/// The source of one input.
pub(crate) struct FeedSource {
    pub(crate) input: usize,
    pub(crate) shared: Arc<Shared>,
}

impl SourceFactory for FeedSource {
    fn discover(&self) -> Result<Discovery, Failure> {
        let split = Split {
            id: SPLIT.to_owned(),
            position: Value::Null,
        };
        Ok(Discovery {
            splits: vec![split],
            spread: false,
        })
    }

    fn reader(&self, _: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(FeedReader {
            input: self.input,
            shared: Arc::clone(&self.shared),
            is_open: false,
        }))
    }

    fn replayable(&self) -> bool {
        true
    }
}

struct FeedReader {
    input: usize,
    shared: Arc<Shared>,
    is_open: bool,
}

impl SourceReader for FeedReader {
    fn set_waker(&mut self, wake: Waker) {
        let input = self.input;
        self.shared.change(|state| {
            if let Some(feed) = state.feeds.get_mut(input) {
                feed.wake = Some(wake);
            }
        });
    }

    fn add_split(&mut self, _: Split) -> Result<(), Failure> {
        self.is_open = true;
        Ok(())
    }

    fn read(&mut self, rows: &mut SourceRows, _most: usize) -> Result<ReadStatus, Failure> {
        let gone = || Failure::Internal {
            message: "an input of the harness is gone".into(),
        };
        self.shared.change(|state| {
            let feed = state.feeds.get_mut(self.input).ok_or_else(gone)?;
            match feed.queue.pop_front() {
                None => {
                    // The task has come back for more, so all it was given before has left it.
                    feed.is_dry = true;
                    Ok(ReadStatus::Dry { retry_ms: RETRY_MS })
                }
                Some(Fed::Rows(all)) => {
                    for row in all {
                        rows.values.push(&row.value);
                        rows.timestamps.extend(row.time);
                    }
                    Ok(ReadStatus::More)
                }
                Some(Fed::Watermark(to)) => {
                    rows.said = Some(TimeSaid::Watermark(to));
                    Ok(ReadStatus::More)
                }
                Some(Fed::Idle(idle)) => {
                    rows.said = Some(TimeSaid::Idle(idle));
                    Ok(ReadStatus::More)
                }
                Some(Fed::End) => {
                    self.is_open = false;
                    feed.has_ended = true;
                    Ok(ReadStatus::SplitEnded(SPLIT.to_owned()))
                }
            }
        })
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        let split = self.is_open.then(|| Split {
            id: SPLIT.to_owned(),
            position: Value::Null,
        });
        Ok(split.into_iter().collect())
    }

    fn skipped(&self) -> u64 {
        0
    }
}
