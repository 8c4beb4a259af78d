//! Sources: splits are found and dealt out by an enumerator, and read by readers (D25).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};
use weir_model::{Column, EventTime, SubtaskIndex};

use crate::{Failure, TaskInfo};

/// A part of a source that is read in order, with the position to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Stable name of the split, unique in its source (a path, a partition).
    pub id: String,
    /// Where to go on: a JSON document with a version, made and read by the source alone. `Null` =
    /// from the beginning.
    pub position: Value,
}

/// What a look for splits found.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// All splits there are, at their beginning, in a stable order.
    pub splits: Vec<Split>,
    /// Whether a reader takes several at once (splits that never end), or one after the other.
    pub spread: bool,
}

/// Rows that a reader hands over.
#[derive(Clone, Debug, Default)]
pub struct SourceRows {
    /// The rows.
    pub values: Column,
    /// Event times in milliseconds, one a row; empty where the source has none.
    pub timestamps: Vec<i64>,
    /// Which rows are of which split, in order and up to the last row. May be empty where the
    /// reader has one split open.
    pub runs: Vec<SplitRun>,
    /// The splits that have no more now, where others have: what is dry holds back nobody else.
    pub dry: Vec<Arc<str>>,
    /// What the source says of event time behind them, where the host makes no watermarks of their
    /// times.
    pub said: Option<TimeSaid>,
}

/// What a source says of event time itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSaid {
    /// Nothing before this comes any more. It must rise.
    Watermark(EventTime),
    /// Nobody is to wait for this reader (`true`), or somebody is again: to be said before the next
    /// rows.
    Idle(bool),
}

/// Rows of one split that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitRun {
    /// The name of the split.
    pub split: Arc<str>,
    /// The row behind its last one; it begins where the run before it ends.
    pub end: usize,
}

impl SourceRows {
    /// The rows up to here that are of no split yet are of this one.
    pub fn end_run(&mut self, split: &Arc<str>) {
        let end = self.values.len();
        match self.runs.last_mut() {
            Some(last) if last.split == *split => last.end = end,
            last if last.as_ref().map_or(0, |last| last.end) == end => {}
            Some(_) | None => self.runs.push(SplitRun {
                split: Arc::clone(split),
                end,
            }),
        }
    }
}

/// What a read came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    /// There may be more at once.
    More,
    /// Nothing more now; worth another look after so many milliseconds.
    Dry {
        /// When to look again, unless the reader [wakes](SourceReader::set_waker) its task before.
        retry_ms: u64,
    },
    /// This split has ended; what was read of it before is in the rows.
    SplitEnded(String),
    /// The reader has no split.
    NoSplit,
}

/// Wakes the task of a reader; may be called from any thread, and costs little.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// One parallel reader of a source.
///
/// It may be called from several threads, one at a time, and not from those of an async runtime. Of
/// a source that can go back, rows may be read ahead of its task: then its positions are asked for
/// behind each read, and rows that it gave may never be used.
pub trait SourceReader: Send {
    /// Called once, before the first read: calling `wake` ends a wait after [`ReadStatus::Dry`] at
    /// once, so that whoever receives rows on a thread of its own need not be asked over and over.
    fn set_waker(&mut self, wake: Waker) {
        let _ = wake;
    }

    /// Takes a split over, at its position.
    ///
    /// # Errors
    /// [`Failure::Restore`] where the position no longer fits what is there.
    fn add_split(&mut self, split: Split) -> Result<(), Failure>;

    /// Appends up to `max_rows` rows to `rows`.
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn read(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure>;

    /// The open splits, each at the position behind the last row handed over.
    ///
    /// # Errors
    /// [`Failure`]; the checkpoint is declined.
    fn snapshot(&mut self) -> Result<Vec<Split>, Failure>;

    /// Leaves a split alone for now, or no longer: others are behind it in event time. Gives back
    /// whether it can; who has one split at a time need not.
    fn set_paused(&mut self, split: &str, paused: bool) -> bool {
        let _ = (split, paused);
        false
    }

    /// How many malformed rows were skipped so far (`on-error: skip`).
    fn skipped(&self) -> u64;
}

/// Makes the enumerator's discovery and the readers of one source.
pub trait SourceFactory: Send + Sync {
    /// Looks for splits. Blocking.
    ///
    /// # Errors
    /// [`Failure`] where the source cannot be seen, or there is nothing to read.
    fn discover(&self) -> Result<Discovery, Failure>;

    /// Makes one reader.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be made.
    fn reader(&self, task: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure>;

    /// Whether the source can go back to a position.
    fn replayable(&self) -> bool;

    /// The source as it must be to go on from what was saved, where that is not as it is anyhow.
    fn resumed(&self, saved: &SavedSource) -> Option<Arc<dyn SourceFactory>> {
        let _ = saved;
        None
    }
}

/// Deals the splits of one source out to its readers: a plain value, kept by the coordinator and
/// snapshotted before the barrier.
///
/// INVARIANT: every known split is in exactly one of pending, assigned, finished.
#[derive(Clone, Debug, Default)]
pub struct Enumerator {
    pending: VecDeque<Split>,
    assigned: BTreeMap<String, SubtaskIndex>,
    finished: BTreeSet<String>,
    spread: bool,
}

/// What a checkpoint holds of a source.
///
/// The enumerator is snapshotted before the barrier, its readers at it; so a split may be pending
/// in the enumerator's part and open or ended in a reader's. The reader knows better.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedSource {
    /// The document of [`Enumerator::snapshot`].
    pub enumerator: Value,
    /// The open splits of all readers.
    pub open: Vec<Split>,
    /// The splits that readers have ended since they started.
    pub ended: Vec<String>,
}

impl SavedSource {
    /// The names of all splits that it knows of: open, ended, or not begun.
    ///
    /// # Errors
    /// [`Failure::Restore`] where the enumerator's part cannot be read.
    pub fn split_ids(&self) -> Result<BTreeSet<String>, Failure> {
        let mut ids = read_finished(&self.enumerator)?;
        ids.extend(read_pending(&self.enumerator)?.into_iter().map(|s| s.id));
        ids.extend(self.open.iter().map(|split| split.id.clone()));
        ids.extend(self.ended.iter().cloned());
        Ok(ids)
    }
}

impl Enumerator {
    /// What is left to do: all discovered splits, less those that had ended, those that were open
    /// at the position they had reached.
    ///
    /// # Errors
    /// [`Failure::Restore`] where `saved` cannot be read, or an open split is gone.
    pub fn new(discovery: Discovery, saved: Option<SavedSource>) -> Result<Self, Failure> {
        let mut finished = BTreeSet::new();
        let mut reached = BTreeMap::new();
        if let Some(saved) = saved {
            finished = read_finished(&saved.enumerator)?;
            finished.extend(saved.ended);
            let pending = read_pending(&saved.enumerator)?;
            for split in pending.into_iter().chain(saved.open) {
                reached.insert(split.id.clone(), split);
            }
            reached.retain(|id, _| !finished.contains(id));
        }
        let mut pending = VecDeque::new();
        for split in discovery.splits {
            if let Some(split) = reached.remove(&split.id) {
                pending.push_back(split);
            } else if !finished.contains(&split.id) {
                pending.push_back(split);
            }
        }
        if let Some(gone) = reached.into_keys().next() {
            return Err(Failure::Restore {
                message: format!("the checkpoint was reading `{gone}`, which is no longer there"),
            });
        }
        Ok(Self {
            pending,
            assigned: BTreeMap::new(),
            finished,
            spread: discovery.spread,
        })
    }

    /// The splits for `readers` readers to begin with: where splits are spread, all of them round
    /// robin; else one for each.
    pub fn deal(&mut self, readers: u32) -> Vec<(SubtaskIndex, Split)> {
        let count = if self.spread {
            self.pending.len()
        } else {
            readers as usize
        };
        (0..count)
            .map_while(|i| {
                let reader = SubtaskIndex((i % readers as usize) as u32);
                self.next_for(reader).map(|split| (reader, split))
            })
            .collect()
    }

    /// A reader has finished a split.
    pub fn split_ended(&mut self, id: &str) {
        self.assigned.remove(id);
        self.finished.insert(id.to_owned());
    }

    /// The next split for a reader that has none; `None` = there will be no more.
    pub fn next_for(&mut self, reader: SubtaskIndex) -> Option<Split> {
        let split = self.pending.pop_front()?;
        self.assigned.insert(split.id.clone(), reader);
        Some(split)
    }

    /// Number of splits that a reader holds now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.assigned.len()
    }

    /// The document for the checkpoint. Pending splits are saved with their positions: after a
    /// restore they may be in the middle.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        let pending: Vec<_> = self
            .pending
            .iter()
            .map(|s| json!({ "id": s.id, "position": s.position }))
            .collect();
        json!({ "v": 1, "finished": self.finished, "pending": pending })
    }
}

fn read_pending(saved: &Value) -> Result<Vec<Split>, Failure> {
    let unreadable = || Failure::Restore {
        message: "the saved splits of a source are unreadable".into(),
    };
    let list = saved
        .get("pending")
        .and_then(Value::as_array)
        .ok_or_else(unreadable)?;
    list.iter()
        .map(|s| {
            let id = s.get("id").and_then(Value::as_str).ok_or_else(unreadable)?;
            let position = s.get("position").cloned().unwrap_or(Value::Null);
            Ok(Split {
                id: id.to_owned(),
                position,
            })
        })
        .collect()
}

fn read_finished(saved: &Value) -> Result<BTreeSet<String>, Failure> {
    let version = saved.get("v").and_then(Value::as_u64);
    let list = saved.get("finished").and_then(Value::as_array);
    match (version, list) {
        (Some(1), Some(list)) => Ok(list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()),
        _ => Err(Failure::Restore {
            message: format!("the saved splits have version {version:?}, this host reads 1"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(id: &str) -> Split {
        Split {
            id: id.into(),
            position: Value::Null,
        }
    }

    fn found(ids: &[&str]) -> Discovery {
        Discovery {
            splits: ids.iter().map(|id| split(id)).collect(),
            spread: false,
        }
    }

    #[test]
    fn a_restored_enumerator_goes_on_where_it_was() {
        let mut e = Enumerator::new(found(&["a", "b", "c", "d"]), None).unwrap();
        assert_eq!(e.deal(2).len(), 2);
        e.split_ended("a");
        assert_eq!(e.next_for(SubtaskIndex(0)).unwrap().id, "c");
        assert_eq!(e.open(), 2);
        let saved = SavedSource {
            enumerator: e.snapshot(),
            open: vec![
                Split {
                    id: "b".into(),
                    position: json!({ "offset": 7 }),
                },
                split("c"),
            ],
            ended: vec!["a".into()],
        };
        let all = found(&["a", "b", "c", "d", "e"]);
        let mut again = Enumerator::new(all, Some(saved)).unwrap();
        let dealt = again.deal(8);
        let ids: Vec<_> = dealt.iter().map(|(_, s)| s.id.as_str()).collect();
        assert_eq!(ids, ["b", "c", "d", "e"]);
        assert_eq!(dealt[0].1.position, json!({ "offset": 7 }));
    }

    #[test]
    fn a_split_dealt_out_and_ended_after_the_enumerators_snapshot_is_not_read_again() {
        let mut e = Enumerator::new(found(&["a", "b"]), None).unwrap();
        let enumerator = e.snapshot();
        assert_eq!(e.deal(1).len(), 1);
        // The message that `a` has ended is still under way when the barrier passes the reader.
        let saved = SavedSource {
            enumerator,
            open: vec![],
            ended: vec!["a".into()],
        };
        let mut again = Enumerator::new(found(&["a", "b"]), Some(saved)).unwrap();
        assert_eq!(again.deal(4), [(SubtaskIndex(0), split("b"))]);
    }

    #[test]
    fn a_split_that_is_gone_is_an_error() {
        let saved = SavedSource {
            enumerator: Enumerator::default().snapshot(),
            open: vec![split("b")],
            ended: vec![],
        };
        let result = Enumerator::new(found(&["a"]), Some(saved));
        assert!(result.unwrap_err().to_string().contains("`b`"));
    }
}
