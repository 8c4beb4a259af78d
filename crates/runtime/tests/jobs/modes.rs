//! At-least-once, and what a task does while another cannot keep up.

use std::sync::{Condvar, Mutex, PoisonError};

use weir_checkpoint::CheckpointMode;
use weir_model::Column;
use weir_operator::{
    Discovery, ReadStatus, SourceFactory, SourceReader, SourceRows, Split, TaskInfo, Waker,
};

use super::*;

/// Lets whoever passes wait until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits in a call, as no operator should; so the thread is given to those that it waits for.
    fn pass(&self) {
        tokio::task::block_in_place(|| {
            let open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.0.1.wait_while(open, |open| !*open).unwrap());
        });
    }
}

/// Two channels, the second of which is held up in front of its barriers until rows that were sent
/// behind some barriers of the first have been processed. With channels that block it would wait
/// for ever.
#[derive(Clone)]
struct Skew {
    /// How many barriers are to be ahead.
    open: u64,
    /// How much of the first channel there is.
    valve: Valve,
    /// Holds the second channel up.
    held: Gate,
    at: Arc<Mutex<At>>,
}

/// How far everybody is.
#[derive(Default)]
struct At {
    /// Whether the second channel is held up.
    blocked: bool,
    /// The last checkpoint that the first one, and the second one, took part in.
    fast: u64,
    slow: u64,
    /// The checkpoint behind whose barrier rows were let through; 0 = none yet.
    behind: u64,
    /// The checkpoints that the task behind both channels took part in.
    taken: Vec<u64>,
    /// The last of them when a row behind that barrier came.
    proof: Option<u64>,
}

impl Skew {
    fn new(open: u64) -> Self {
        Self {
            open,
            valve: Valve::at(10),
            held: Gate::default(),
            at: Arc::default(),
        }
    }

    /// Lets more rows of the first channel through once so many of its barriers have gone out that
    /// the second one, being held up, has not sent.
    fn moved(&self, change: impl FnOnce(&mut At)) {
        let mut at = self.at.lock().unwrap();
        change(&mut at);
        if at.blocked && at.behind == 0 && at.fast >= at.slow + self.open {
            at.behind = at.fast;
            self.valve.open_to(u64::MAX);
        }
    }

    fn fast(&self) -> Closures {
        let skew = self.clone();
        same().with_snapshot(move |_, id| {
            skew.moved(|at| at.fast = id.0);
            Ok(Vec::new())
        })
    }

    /// Is held up at its first row.
    fn slow(&self) -> Closures {
        let (skew, taking) = (self.clone(), self.clone());
        map_rows(move |row| {
            skew.moved(|at| at.blocked = true);
            skew.held.pass();
            Ok(vec![row.to_owned()])
        })
        .with_snapshot(move |_, id| {
            taking.moved(|at| at.slow = id.0);
            Ok(Vec::new())
        })
    }

    /// Lets the held one go when a row behind the barriers comes.
    fn join(&self) -> Closures {
        let (skew, taking) = (self.clone(), self.clone());
        map_rows(move |row| {
            if row == "fast-15" {
                let mut at = skew.at.lock().unwrap();
                let last = at.taken.last().copied().unwrap_or(0);
                at.proof.get_or_insert(last);
                skew.held.open();
            }
            Ok(vec![row.to_owned()])
        })
        .with_inputs(2)
        .with_snapshot(move |_, id| {
            taking.at.lock().unwrap().taken.push(id.0);
            Ok(Vec::new())
        })
    }
}

fn same() -> Closures {
    map_rows(|row| Ok(vec![row.to_owned()]))
}

fn skewed(open: u64) {
    let splits = |name: &str| {
        let row = |i| format!("{name}-{i}");
        [(0..20).map(row).collect::<Vec<_>>()]
    };
    let skew = Skew::new(open);
    let ledger = Ledger::default();
    let mut job = TestJob::new()
        .source(
            "a",
            1,
            MemorySource::of(&splits("fast")).behind(skew.valve.clone()),
        )
        .source("b", 1, MemorySource::of(&splits("slow")))
        .operator("fast", 1, "a", Partitioning::Forward, skew.fast())
        .operator("slow", 1, "b", Partitioning::Forward, skew.slow())
        .operator("join", 1, "fast", Partitioning::Rebalance, skew.join())
        .and_from("slow", Partitioning::Rebalance)
        .sink(
            "out",
            1,
            "join",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    job.mode = CheckpointMode::AtLeastOnce;
    job.checkpoints = Some(Config {
        interval_ms: Some(1),
        max_concurrent: usize::try_from(open).unwrap(),
        ..Config::default()
    });
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    let at = skew.at.lock().unwrap();
    let (last, behind) = (at.proof.unwrap(), at.behind);
    assert!(
        last < behind,
        "a row behind barrier {behind} was processed before that checkpoint was taken: {last}"
    );
    assert!(at.taken.is_sorted(), "{:?}", at.taken);
    // Each of those that were open at a time was taken, for its own barriers.
    for id in behind + 1 - open..=behind {
        assert!(at.taken.contains(&id), "{id} of {:?}", at.taken);
    }
    assert_eq!(report.failed, 0);
    let mut expected = [splits("fast"), splits("slow")].concat().concat();
    expected.sort();
    assert_eq!(ledger.sorted(), expected);
}

#[test]
fn c31_at_least_once_rows_behind_a_barrier_do_not_wait_for_the_other_channel() {
    skewed(1);
}

#[test]
fn c31_at_least_once_several_checkpoints_may_be_open_and_are_kept_apart() {
    skewed(3);
}

#[test]
fn at_least_once_a_failure_loses_no_row() {
    let splits = [rows(0, 400, 5), rows(1, 400, 5)];
    let ledger = Ledger::default();
    let valve = Valve::at(100);
    let armed = Arc::new(AtomicBool::new(false));
    let (trip, opened) = (armed.clone(), valve.clone());
    let boom = map_rows(move |row| {
        if trip.swap(false, Ordering::Relaxed) {
            return Err(Failure::Guest {
                message: "boom".into(),
                row: None,
            });
        }
        Ok(vec![row.to_owned()])
    });
    let source = MemorySource::of(&splits).reading(10).behind(valve);
    let mut job = TestJob::new()
        .source("rows", 2, source)
        .operator("boom", 2, "rows", Partitioning::Rebalance, boom)
        .sink(
            "out",
            1,
            "boom",
            Partitioning::Global,
            LedgerSink::new(&ledger),
        )
        .listening(at_checkpoint(3, move || {
            armed.store(true, Ordering::Relaxed);
            opened.open_to(u64::MAX);
        }));
    job.mode = CheckpointMode::AtLeastOnce;
    job.restart = RESTARTS;
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(report.restarts, 1);
    let mut seen = ledger.sorted();
    seen.dedup();
    let mut all = splits.concat();
    all.sort();
    assert_eq!(seen, all);
}

#[test]
fn d07_rows_for_a_consumer_with_room_are_handed_over_while_another_is_over_its_budget() {
    // One row becomes more than a channel takes, for a consumer that stands still until the other
    // has its row: which is alone in its builder, and nothing follows that would push it out.
    let row_is_there = Gate::default();
    let (hold, told) = (row_is_there.clone(), row_is_there);
    let wide = map_rows(|row| Ok(vec![format!("{row}{}", "x".repeat(400_000)); 3]));
    let still = map_rows(move |_| {
        hold.pass();
        Ok(Vec::new())
    });
    let quick = map_rows(move |_| {
        told.open();
        Ok(Vec::new())
    });
    let mut job = TestJob::new()
        .source(
            "rows",
            1,
            MemorySource::of(&[vec!["one", "two"]]).reading(1),
        )
        .operator("wide", 1, "rows", Partitioning::Forward, wide)
        .operator("still", 1, "wide", Partitioning::Rebalance, still)
        .operator("quick", 1, "rows", Partitioning::Rebalance, quick);
    job.checkpoints = None; // a barrier would push it out as well
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
}

/// A source that has one row, and another when it is told so; until then it would be asked again
/// in an hour.
#[derive(Clone, Default)]
struct Told {
    more: Arc<AtomicBool>,
    waker: Arc<Mutex<Option<Waker>>>,
    given: usize,
}

impl SourceFactory for Told {
    fn discover(&self) -> Result<Discovery, Failure> {
        let split = Split {
            id: "only".into(),
            position: serde_json::Value::Null,
        };
        Ok(Discovery {
            splits: vec![split],
            spread: false,
        })
    }

    fn reader(&self, _: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(self.clone()))
    }

    fn replayable(&self) -> bool {
        true
    }
}

impl SourceReader for Told {
    fn set_waker(&mut self, wake: Waker) {
        let before = self.waker.lock().unwrap().replace(wake);
        assert!(before.is_none(), "once");
    }

    fn add_split(&mut self, _: Split) -> Result<(), Failure> {
        Ok(())
    }

    fn read(&mut self, rows: &mut SourceRows, _: usize) -> Result<ReadStatus, Failure> {
        assert!(
            self.waker.lock().unwrap().is_some(),
            "before the first read"
        );
        if self.given > 0 && !self.more.load(Ordering::SeqCst) {
            return Ok(ReadStatus::Dry {
                retry_ms: 3_600_000,
            });
        }
        let row: Column = [&b"row"[..]].into_iter().collect();
        rows.values.extend_from(row.view());
        self.given += 1;
        Ok(match self.given {
            1 => ReadStatus::More,
            _ => ReadStatus::SplitEnded("only".into()),
        })
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        Ok(Vec::new())
    }

    fn skipped(&self) -> u64 {
        0
    }
}

#[test]
fn a_reader_ends_the_wait_of_its_task() {
    let source = Told::default();
    let ledger = Ledger::default();
    // The row is handed over when the reader has none, so it waits by then. Nothing else calls it:
    // there are no checkpoints.
    let told = source.clone();
    let tell = map_rows(move |row| {
        told.more.store(true, Ordering::SeqCst);
        let waker = told.waker.lock().unwrap().clone();
        waker.unwrap()();
        Ok(vec![row.to_owned()])
    });
    let mut job = TestJob::new()
        .source("rows", 1, source)
        .operator("tell", 1, "rows", Partitioning::Rebalance, tell)
        .sink(
            "out",
            1,
            "tell",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    job.checkpoints = None;
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(ledger.rows(), ["row", "row"]);
}
