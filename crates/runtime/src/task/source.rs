//! The head of a source task: reads its splits at the pace it is given.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use weir_event_time::Passed;
use weir_model::{CheckpointId, ProcessingTime, hash64};
use weir_operator::{Failure, ReadStatus, SourceReader, SourceRows, Split, TimeSaid};

use super::{
    ahead::{Marks, Plan, ReadAhead},
    event_time::EventTimes,
};
use crate::messages::ReaderPart;

/// How much a paced source may catch up at once after it was held up: what it would have read in
/// this time. A longer catch-up would turn a pause downstream into a burst.
const BURST: Duration = Duration::from_millis(100);

/// Behind a read of fewer rows and of fewer bytes nothing is read ahead: a thread that is woken for
/// them costs more than they do.
const WORTH_A_THREAD: (usize, usize) = (1024, 32 << 10);

/// A reader and what is known of its splits.
pub(crate) struct SourceHead {
    reader: Reader,
    /// The names of the splits that are being read.
    open: Vec<String>,
    /// Splits read to their end since the start.
    ended: Vec<String>,
    /// No more splits will come.
    complete: bool,
    /// Nothing is read any more, as if everything had been read.
    drained: bool,
    /// After a stop barrier nothing is read any more.
    stopped: Option<CheckpointId>,
    pace: Option<RateLimit>,
    /// Where it makes watermarks.
    times: Option<EventTimes>,
    /// What its times are reckoned from.
    start: Option<Instant>,
}

/// A reader, and who reads from it.
enum Reader {
    /// The task.
    Own(Box<dyn SourceReader>),
    /// Somebody else, as far as can be.
    Ahead(ReadAhead),
}

impl Reader {
    fn get(&mut self) -> &mut dyn SourceReader {
        match self {
            Self::Own(reader) => &mut **reader,
            Self::Ahead(reader) => reader,
        }
    }
}

/// What a read came to.
pub(crate) enum Read {
    /// These rows; there may be more at once.
    Rows(Fetched),
    /// These rows (perhaps none); nothing more before that time, or before somebody wakes the task.
    Wait(Fetched, Option<Instant>),
    /// These rows, with which a split has ended.
    SplitEnded(Fetched, String),
    /// No split to read: waits for one, or for a barrier.
    Nothing,
    /// All splits have ended and no more will come.
    End,
}

/// Rows, and what goes before and behind them.
#[derive(Default)]
pub(crate) struct Fetched {
    pub(crate) rows: SourceRows,
    /// The hash of the split that was the only one open.
    pub(crate) split: Option<u64>,
    /// Those downstream did not wait for this reader, and are to from now on.
    pub(crate) was_idle: bool,
    /// What follows the rows.
    pub(crate) passed: Passed,
}

impl SourceHead {
    /// The head of a task. Where a core `is_idle`, it reads ahead, unless it is to be no faster
    /// than it is told or than others are: what is read ahead cannot be left.
    pub(crate) fn new(
        reader: Box<dyn SourceReader>,
        rate: Option<f64>,
        times: Option<EventTimes>,
        is_idle: bool,
    ) -> Self {
        let is_free = rate.is_none() && times.as_ref().is_none_or(EventTimes::is_alone);
        Self {
            reader: match is_idle && is_free {
                true => Reader::Ahead(ReadAhead::new(reader)),
                false => Reader::Own(reader),
            },
            open: Vec::new(),
            ended: Vec::new(),
            complete: false,
            drained: false,
            stopped: None,
            pace: rate.map(RateLimit::new),
            times,
            start: None,
        }
    }

    /// Lets the reader end a wait of its task.
    pub(crate) fn wakes(&mut self, task: Arc<Notify>) {
        if let Some(times) = &mut self.times {
            times.wakes(task.clone());
        }
        self.reader
            .get()
            .set_waker(Arc::new(move || task.notify_one()));
    }

    pub(crate) fn add_split(&mut self, split: Split) -> Result<(), Failure> {
        let id = split.id.clone();
        self.reader.get().add_split(split)?;
        if let Some(times) = &mut self.times {
            times.add_split(&id);
        }
        self.open.push(id);
        self.share(self.open.len());
        Ok(())
    }

    pub(crate) fn no_more_splits(&mut self) {
        self.complete = true;
    }

    /// Reads no further: the operators behind it are to finish. Its splits stay open in snapshots.
    pub(crate) fn drain(&mut self) {
        self.drained = true;
    }

    /// The source has `all` open splits: this reader gets its share of the rate (D25).
    pub(crate) fn share(&mut self, all: usize) {
        if let Some(pace) = &mut self.pace {
            pace.share = self.open.len() as f64 / all.max(1) as f64;
        }
    }

    /// A stop barrier has gone out: nothing is read any more, unless that checkpoint fails.
    pub(crate) fn stop(&mut self, at: CheckpointId) {
        self.stopped = Some(at);
    }

    /// A checkpoint was given up; if it was to stop the job, the job goes on.
    pub(crate) fn aborted(&mut self, id: CheckpointId) {
        self.stopped = self.stopped.filter(|&at| at != id);
    }

    pub(crate) fn skipped(&mut self) -> u64 {
        self.reader.get().skipped()
    }

    pub(crate) fn snapshot(&mut self) -> Result<ReaderPart, Failure> {
        let open = self.reader.get().snapshot()?;
        let open = open
            .into_iter()
            .map(|split| (split.id, split.position))
            .collect();
        Ok(ReaderPart {
            open,
            ended: self.ended.clone(),
        })
    }

    /// Until the next read nobody would take a row: that makes no split idle.
    pub(crate) fn hold_up(&mut self) {
        if let Some(times) = &mut self.times {
            times.hold_up();
        }
    }

    /// Reads at most `most` rows.
    pub(crate) fn read(&mut self, now: Instant, most: usize) -> Result<Read, Failure> {
        if self.stopped.is_some() {
            return Ok(Read::Nothing);
        }
        if self.drained || self.open.is_empty() && self.complete {
            if let Some(times) = &mut self.times {
                times.end();
            }
            return Ok(Read::End);
        }
        if self.open.is_empty() {
            return Ok(Read::Nothing);
        }
        let asked = most;
        let mut most = most;
        if let Some(times) = &mut self.times {
            let start = *self.start.get_or_insert(now);
            let ms = i64::try_from(now.duration_since(start).as_millis()).unwrap_or(i64::MAX);
            most = most.min(times.room(ProcessingTime(ms), self.reader.get()));
            if most == 0 {
                times.hold_up();
                return Ok(Read::Wait(Fetched::default(), None));
            }
        }
        if let Some(pace) = &mut self.pace {
            match pace.allowance(now) {
                Ok(rows) => most = most.min(rows),
                Err(until) => {
                    self.hold_up();
                    return Ok(Read::Wait(Fetched::default(), Some(until)));
                }
            }
        }
        let read = self.fetch(now, most)?;
        self.read_ahead(asked, &read);
        Ok(read)
    }

    /// Behind a read, lets the next ones begin, of as many rows each as the task takes at once.
    fn read_ahead(&mut self, most: usize, read: &Read) {
        let Reader::Ahead(reader) = &mut self.reader else {
            return;
        };
        let plan = match read {
            Read::Rows(fetched) if reader.pays() => {
                let (rows, bytes) = WORTH_A_THREAD;
                let values = &fetched.rows.values;
                let marks = self.times.as_ref().map(EventTimes::marks);
                // Less was read for a watermark that was due.
                let is_cut = |marks: Marks| marks.left == marks.every && marks.every >= rows;
                let is_much = values.len() >= rows || values.byte_len() >= bytes;
                let plan = || Plan::new(most, marks, self.open.len());
                (is_much || marks.is_some_and(is_cut)).then(plan).flatten()
            }
            _ => None,
        };
        reader.follow(plan);
    }

    fn fetch(&mut self, now: Instant, most: usize) -> Result<Read, Failure> {
        let only = match &self.open[..] {
            [split] => Some(split.as_str()),
            _ => None,
        };
        let mut fetched = Fetched {
            split: only.map(|split| hash64(split.as_bytes())),
            ..Fetched::default()
        };
        let status = self.reader.get().read(&mut fetched.rows, most)?;
        if let Some(pace) = &mut self.pace {
            pace.spend(fetched.rows.values.len());
        }
        if let Some(times) = &mut self.times {
            fetched.was_idle = times.rows(&fetched.rows, only);
            fetched.passed = match &status {
                ReadStatus::SplitEnded(id) => times.end_split(id),
                ReadStatus::More | ReadStatus::Dry { .. } | ReadStatus::NoSplit => {
                    times.read(matches!(status, ReadStatus::Dry { .. }))
                }
            };
        } else {
            match fetched.rows.said {
                Some(TimeSaid::Watermark(to)) => fetched.passed.watermark = Some(to),
                Some(TimeSaid::Idle(true)) => fetched.passed.idle = true,
                Some(TimeSaid::Idle(false)) => fetched.was_idle = true,
                None => {}
            }
        }
        Ok(match status {
            ReadStatus::More => Read::Rows(fetched),
            ReadStatus::Dry { retry_ms } => {
                let idle = self.times.as_ref().and_then(EventTimes::idle_in_ms);
                let wait_ms = idle.map_or(retry_ms, |idle_ms| idle_ms.max(1).min(retry_ms));
                Read::Wait(fetched, Some(now + Duration::from_millis(wait_ms)))
            }
            ReadStatus::SplitEnded(id) => {
                self.open.retain(|open| *open != id);
                self.ended.push(id.clone());
                Read::SplitEnded(fetched, id)
            }
            ReadStatus::NoSplit => Read::Nothing,
        })
    }
}

/// Rows per second, kept over time: a row that could not be read in time may be read later.
struct RateLimit {
    /// Of the whole source.
    per_second: f64,
    /// This reader's part of it.
    share: f64,
    /// Rows it may read now.
    tokens: f64,
    last: Option<Instant>,
}

impl RateLimit {
    fn new(per_second: f64) -> Self {
        Self {
            per_second,
            share: 1.0,
            tokens: 0.0,
            last: None,
        }
    }

    /// How many rows may be read now, or when the next may.
    fn allowance(&mut self, now: Instant) -> Result<usize, Instant> {
        let rate = (self.per_second * self.share).max(f64::MIN_POSITIVE);
        let last = self.last.replace(now).unwrap_or(now);
        let burst = (rate * BURST.as_secs_f64()).max(1.0);
        let earned = now.duration_since(last).as_secs_f64() * rate;
        self.tokens = (self.tokens + earned).min(burst);
        if self.tokens >= 1.0 {
            return Ok(self.tokens as usize);
        }
        // Waiting for a few rows at once keeps a fast source from waking once a row.
        let wanted = (rate / 1000.0).clamp(1.0, burst);
        let wait = ((wanted - self.tokens) / rate).clamp(0.000_1, 3600.0);
        Err(now + Duration::from_secs_f64(wait))
    }

    fn spend(&mut self, rows: usize) {
        self.tokens -= rows as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_time_and_does_not_burst() {
        let start = Instant::now();
        let mut limit = RateLimit::new(1000.0);
        let mut now = start;
        let mut rows = 0;
        while now < start + Duration::from_secs(2) {
            match limit.allowance(now) {
                Ok(n) => {
                    rows += n;
                    limit.spend(n);
                }
                Err(until) => now = until,
            }
        }
        assert!((1990..=2010).contains(&rows), "{rows}");
        let later = now + Duration::from_secs(60);
        assert_eq!(
            limit.allowance(later),
            Ok(100),
            "a minute's pause is not caught up"
        );
    }
}
