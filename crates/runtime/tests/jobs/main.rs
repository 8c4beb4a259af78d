//! Whole jobs: what is committed is each row once, whatever happens in between.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test says that something is wrong"
)]

mod ahead;
mod all_keys;
mod begin;
mod commands;
mod edges;
mod event_time;
mod increments;
mod letters;
mod logs;
mod modes;
mod own_state;
mod own_time;
mod regions;
mod restore;

mod storage;
mod timers;
mod ttl;
mod unaligned;
mod waiting;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use weir_checkpoint::{Config, RestartStrategy, SnapshotStore, testing::Fault};
use weir_graph::Partitioning;
use weir_model::CheckpointId;
use weir_operator::{Emitted, Failure, Outcome, Poison};
use weir_runtime::{
    Foreign, JobEvent, OnExisting, Outcome as Ended, Report, RestoreFrom, control::StopDone,
};
use weir_state::StateKind;
use weir_testkit::{
    Closures, Events, Ledger, LedgerSink, MemorySource, TestJob, Valve, counter, map_rows,
};

const RESTARTS: RestartStrategy = RestartStrategy::FixedDelay {
    attempts: Some(3),
    delay_ms: 0,
};

/// Rows `<key>-<i>` over `keys` keys.
fn rows(split: usize, count: usize, keys: usize) -> Vec<String> {
    (0..count)
        .map(|i| format!("k{}-{split}-{i}", i % keys))
        .collect()
}

/// What `counter` makes of all rows, sorted.
fn counted(splits: &[Vec<String>]) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::<&str, u64>::new();
    let mut out = Vec::new();
    for row in splits.iter().flatten() {
        let key = row.split('-').next().unwrap();
        let count = counts.entry(key).or_default();
        *count += 1;
        out.push(format!("{key}={count}"));
    }
    out.sort();
    out
}

/// source -> count by key -> sink, at a parallelism.
fn counting(splits: &[Vec<String>], valve: &Valve, parallelism: u32, ledger: &Ledger) -> TestJob {
    counting_by(counter(), splits, valve, parallelism, ledger)
}

/// The same with another counter.
fn counting_by(
    counter: Closures,
    splits: &[Vec<String>],
    valve: &Valve,
    parallelism: u32,
    ledger: &Ledger,
) -> TestJob {
    let source = MemorySource::of(splits).reading(10).behind(valve.clone());
    TestJob::new()
        .source("rows", parallelism, source)
        .operator("count", parallelism, "rows", TestJob::by_prefix(), counter)
        .sink(
            "out",
            parallelism,
            "count",
            Partitioning::Forward,
            LedgerSink::new(ledger),
        )
}

/// Does something when a checkpoint is complete that was taken after `after` further ones.
fn at_checkpoint(number: u64, act: impl Fn() + Send + Sync + 'static) -> Events {
    let seen = Arc::new(AtomicU32::new(0));
    Events::reacting(move |event| {
        if matches!(event, JobEvent::Checkpoint(_))
            && u64::from(seen.fetch_add(1, Ordering::Relaxed)) + 1 == number
        {
            act();
        }
    })
}

fn failure(report: &Report) -> String {
    match &report.outcome {
        Ended::Failed(failed) => failed.failure.to_string(),
        Ended::Finished | Ended::AlreadyFinished(_) | Ended::Stopped(_) | Ended::Cancelled => {
            panic!("not failed: {:?}", report.outcome)
        }
    }
}

#[test]
fn c36_a_bounded_job_finishes_with_a_final_checkpoint_and_each_row_once() {
    let splits = [rows(0, 500, 7), rows(1, 333, 7), rows(2, 1, 7)];
    let ledger = Ledger::default();
    let job = counting(&splits, &Valve::open(), 2, &ledger);
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(ledger.sorted(), counted(&splits));
    assert_eq!(ledger.sealed(), 0);
    assert!(report.completed >= 1);
    let paths = job.store.paths();
    assert!(paths.contains(&"test/FINISHED".to_owned()), "{paths:?}");

    // A finished job is not run again (D23).
    let again = job.run();
    assert!(matches!(&again.outcome, Ended::AlreadyFinished(at) if at.contains("chk-")));
    assert_eq!(ledger.rows().len(), 834);
}

#[test]
fn a_job_without_checkpoints_commits_when_it_ends() {
    let splits = [rows(0, 100, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::open(), 2, &ledger);
    job.checkpoints = None;
    assert!(matches!(job.run().outcome, Ended::Finished));
    assert_eq!(ledger.sorted(), counted(&splits));
    assert!(job.store.paths().is_empty());
}

#[test]
fn after_a_failure_the_job_goes_on_from_its_latest_checkpoint() {
    let splits = [rows(0, 400, 5), rows(1, 400, 5)];
    let ledger = Ledger::default();
    let valve = Valve::at(100);
    let armed = Arc::new(AtomicBool::new(false));
    let trip = armed.clone();
    let boom = map_rows(move |row| {
        if trip.swap(false, Ordering::Relaxed) {
            return Err(Failure::Guest {
                message: "boom".into(),
                row: None,
            });
        }
        Ok(vec![row.to_owned()])
    });
    let opened = valve.clone();
    let events = at_checkpoint(3, move || {
        armed.store(true, Ordering::Relaxed);
        opened.open_to(u64::MAX);
    });
    let source = MemorySource::of(&splits).reading(10).behind(valve);
    let mut job = TestJob::new()
        .source("rows", 2, source)
        .operator("boom", 2, "rows", Partitioning::Forward, boom)
        .operator("count", 2, "boom", TestJob::by_prefix(), counter())
        .sink(
            "out",
            2,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        )
        .listening(events);
    job.restart = RESTARTS;
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(report.restarts, 1);
    let restored = job
        .events
        .all()
        .iter()
        .any(|e| matches!(e, JobEvent::Restoring { .. }));
    assert!(restored, "{:?}", job.events.all());
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn without_restarts_the_first_failure_ends_the_job_and_says_where() {
    let bad = map_rows(|_| {
        Err(Failure::Guest {
            message: "boom".into(),
            row: Some(0),
        })
    });
    let ledger = Ledger::default();
    let job = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows(0, 5, 1)]))
        .operator("bad", 1, "rows", Partitioning::Forward, bad)
        .sink(
            "out",
            1,
            "bad",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    let report = job.run();
    assert!(failure(&report).contains("boom"));
    let Ended::Failed(failed) = &report.outcome else {
        panic!()
    };
    assert_eq!(failed.place.as_ref().unwrap().node.as_str(), "bad");
    assert!(ledger.rows().is_empty());
}

#[test]
fn restarts_are_counted_and_end() {
    let bad = map_rows(|_| {
        Err(Failure::Guest {
            message: "boom".into(),
            row: Some(0),
        })
    });
    let ledger = Ledger::default();
    let mut job = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows(0, 5, 1)]))
        .operator("bad", 1, "rows", Partitioning::Forward, bad)
        .sink(
            "out",
            1,
            "bad",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    job.restart = RESTARTS;
    let report = job.run();
    assert!(failure(&report).contains("boom"));
    assert_eq!(report.restarts, 3);
    // One for each node of the last attempt, and one for all attempts before.
    assert_eq!(report.meters.len(), 6);
}

#[test]
fn an_operator_that_is_chained_to_a_source_gets_slices_as_any_other() {
    let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = calls.clone();
    let slow = Closures::new(move |_, _, rows| {
        seen.lock().unwrap().push(rows.len());
        let began = std::time::Instant::now();
        while began.elapsed().as_micros() < 500 * rows.len() as u128 {
            std::hint::spin_loop();
        }
        Ok(Outcome::default())
    });
    let many = map_rows(|row| Ok(vec![row.to_owned(); 100]));
    let ledger = Ledger::default();
    let job = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows(0, 5, 1)]))
        .operator("many", 1, "rows", Partitioning::Forward, many)
        .operator("slow", 1, "many", Partitioning::Forward, slow)
        .sink(
            "out",
            1,
            "slow",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    assert!(matches!(job.run().outcome, Ended::Finished));
    let calls = calls.lock().unwrap();
    assert_eq!(calls.iter().sum::<usize>(), 500);
    // The first call finds out that five milliseconds are ten rows.
    assert!(calls[0] <= 64, "{calls:?}");
    assert!(calls[1..].iter().all(|&rows| rows <= 15), "{calls:?}");
}

#[test]
fn a_job_that_nobody_can_stop_finishes() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::open(), 1, &ledger);
    job.unstoppable = true;
    assert!(matches!(job.run().outcome, Ended::Finished));
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_panic_of_an_operator_fails_the_job_and_not_the_process() {
    let bad = map_rows(|row| panic!("at {row}"));
    let ledger = Ledger::default();
    let job = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows(0, 5, 1)]))
        .operator("bad", 1, "rows", Partitioning::Forward, bad)
        .sink(
            "out",
            1,
            "bad",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    let text = failure(&job.run());
    assert!(text.contains("internal error"), "{text}");
}

#[test]
fn a_job_that_was_stopped_goes_on_where_it_was_at_another_parallelism() {
    let splits = [rows(0, 300, 11), rows(1, 200, 11), rows(2, 100, 11)];
    let ledger = Ledger::default();
    let valve = Valve::at(70);
    let mut job = counting(&splits, &valve, 3, &ledger);
    let stop = job.stopper();
    job.events = at_checkpoint(2, move || stop(true));
    let report = job.run();
    let Ended::Stopped(StopDone {
        checkpoint: Some(id),
        ..
    }) = report.outcome
    else {
        panic!("{:?}", report.outcome)
    };
    assert!(id > CheckpointId(2));
    let first = ledger.rows().len();
    assert!(first <= 210, "{first}");
    assert_eq!(ledger.sealed(), 0, "a stop commits what it has sealed");

    for (parallelism, end) in [(1, None), (2, Some(()))] {
        valve.open_to(end.map_or(90, |()| u64::MAX));
        let store = job.store.clone();
        job = counting(&splits, &valve, parallelism, &ledger);
        job.store = store;
        if end.is_none() {
            // Once more in between, at parallelism 1.
            let stop = job.stopper();
            job.events = Events::reacting(move |event| {
                if matches!(event, JobEvent::Running { .. }) {
                    stop(true);
                }
            });
        }
        let report = job.run();
        assert!(report.restored.is_some());
        match end {
            None => assert!(
                matches!(report.outcome, Ended::Stopped(_)),
                "{:?}",
                report.outcome
            ),
            Some(()) => assert!(
                matches!(report.outcome, Ended::Finished),
                "{:?}",
                report.outcome
            ),
        }
    }
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_commit_that_fails_restarts_the_job_which_commits_it_then() {
    let splits = [rows(0, 200, 5)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::open(), 2, &ledger);
    job.restart = RESTARTS;
    ledger.fail_commits(1);
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(report.restarts, 1);
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_store_that_fails_once_costs_a_checkpoint_or_a_restart_and_no_row() {
    for nth in 1..12 {
        for fault in [Fault::Refuse, Fault::LoseReply, Fault::Tear] {
            let splits = [rows(0, 120, 5), rows(1, 120, 5)];
            let ledger = Ledger::default();
            let valve = Valve::at(60);
            let mut job = counting(&splits, &valve, 2, &ledger);
            job.restart = RESTARTS;
            job.checkpoints = Some(Config {
                interval_ms: Some(1),
                tolerable_failures: 5,
                ..Config::default()
            });
            let seen = AtomicU32::new(0);
            job.events = Events::reacting(move |event| {
                let counts = matches!(
                    event,
                    JobEvent::Checkpoint(_) | JobEvent::CheckpointFailed { .. }
                );
                if counts && seen.fetch_add(1, Ordering::Relaxed) == 2 {
                    valve.open_to(u64::MAX);
                }
            });
            job.store.inject(nth, fault);
            let report = job.run();
            // A torn FINISHED cannot be told from a whole one by its name; all else is mended.
            assert!(
                matches!(report.outcome, Ended::Finished),
                "write {nth}, {fault:?}: {:?}",
                report.outcome
            );
            assert_eq!(ledger.sorted(), counted(&splits), "write {nth}, {fault:?}");
        }
    }
}

#[test]
fn a_job_that_starts_anew_does_not_mix_its_results_with_others() {
    let splits = [rows(0, 20, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::open(), 1, &ledger);
    assert!(matches!(job.run().outcome, Ended::Finished));
    job.restore = RestoreFrom::Nothing;
    let text = failure(&job.run());
    assert!(text.contains("on-existing"), "{text}");

    job.on_existing = OnExisting::Append;
    let report = job.run();
    assert!(matches!(report.outcome, Ended::Finished));
    assert_eq!(ledger.rows().len(), 40);

    job.on_existing = OnExisting::Replace;
    assert!(matches!(job.run().outcome, Ended::Finished));
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_job_without_checkpoints_stops_and_says_that_it_kept_none() {
    let ledger = Ledger::default();
    let ask = Arc::new(std::sync::OnceLock::<Box<dyn Fn(bool) + Send + Sync>>::new());
    let asked = ask.clone();
    let stopping = map_rows(move |row| {
        asked.get().into_iter().for_each(|stop| stop(true));
        Ok(vec![row.to_owned()])
    });
    let source = MemorySource::of(&[rows(0, 100, 3)]).behind(Valve::at(50));
    let mut job = TestJob::new()
        .source("rows", 1, source)
        .operator("stop", 1, "rows", Partitioning::Forward, stopping)
        .sink(
            "out",
            1,
            "stop",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    job.checkpoints = None;
    assert!(ask.set(Box::new(job.stopper())).is_ok());
    let report = job.run();
    assert!(
        matches!(
            report.outcome,
            Ended::Stopped(StopDone {
                checkpoint: None,
                ..
            })
        ),
        "{:?}",
        report.outcome
    );
    let told = job.events.all();
    let checkpoint = |event: &JobEvent| matches!(event, JobEvent::Checkpoint(_));
    assert!(!told.iter().any(checkpoint), "{told:?}");
    assert_eq!(
        ledger.sealed(),
        0,
        "what was read is committed all the same"
    );
    assert!(!ledger.rows().is_empty());
}

/// A job with two checkpoints that nobody has committed beyond the first of.
fn with_two_checkpoints(ledger: &Ledger, splits: &[Vec<String>]) -> TestJob {
    let valve = Valve::at(10);
    let mut job = counting(splits, &valve, 1, ledger);
    let keep = Config {
        interval_ms: Some(2),
        retained: 5,
        ..Config::default()
    };
    job.checkpoints = Some(keep);
    let stop = job.stopper();
    let (sink, seen) = (ledger.clone(), AtomicU32::new(0));
    job.events = Events::reacting(move |event| {
        let shown = sink.rows().len() == 10;
        if shown
            && matches!(event, JobEvent::Checkpoint(_))
            && seen.fetch_add(1, Ordering::Relaxed) == 2
        {
            stop(true);
        }
    });
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    job.events = Events::default();
    valve.open_to(u64::MAX);
    job
}

fn latest(job: &TestJob) -> String {
    let paths = job.store.paths();
    paths
        .iter()
        .filter(|p| p.ends_with("_metadata"))
        .max_by_key(|p| p.len())
        .unwrap()
        .clone()
}

#[test]
fn d20_a_damaged_checkpoint_is_fallen_back_from_where_nothing_was_shown_beyond() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let job = with_two_checkpoints(&ledger, &splits);
    // Rows were committed with the first checkpoints; the last ones are empty, so nothing was shown
    // with them.
    assert!(job.store.flip(&latest(&job), 800));
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    let note = job.events.all().iter().any(
        |event| matches!(event, JobEvent::Note(note) if note.contains("going back to checkpoint")),
    );
    assert!(note, "{:?}", job.events.all());
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn d20_a_damaged_checkpoint_stops_the_job_where_results_would_come_twice() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(10);
    let mut job = counting(&splits, &valve, 1, &ledger);
    job.checkpoints = Some(Config {
        interval_ms: Some(2),
        retained: 9,
        ..Config::default()
    });
    let stop = job.stopper();
    let opened = valve.clone();
    let seen = AtomicU32::new(0);
    let sink = ledger.clone();
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Checkpoint(_)) {
            match seen.fetch_add(1, Ordering::Relaxed) {
                2 => opened.open_to(20),
                _ if sink.rows().len() == 20 => stop(true),
                _ => {}
            }
        }
    });
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    job.events = Events::default();
    // All checkpoints that know of the second ten rows are damaged.
    let damaged: Vec<String> = job.store.paths();
    let metadata: Vec<_> = damaged
        .iter()
        .filter(|p| p.ends_with("_metadata"))
        .collect();
    assert!(metadata.len() > 2, "{metadata:?}");
    let first = metadata.iter().min_by_key(|p| number(p)).unwrap();
    for path in metadata.iter().filter(|p| p != &first) {
        assert!(job.store.flip(path, 800));
    }
    let text = failure(&job.run());
    assert!(text.contains("has committed up to checkpoint"), "{text}");
    assert!(text.contains("--restore "), "{text}");
    assert_eq!(ledger.rows().len(), 20);
}

fn number(path: &str) -> u64 {
    path.split("chk-")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn a_damaged_state_file_is_found_before_anything_starts() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let job = with_two_checkpoints(&ledger, &splits);
    let paths = job.store.paths();
    for state in paths.iter().filter(|p| p.ends_with("state")) {
        assert!(job.store.flip(state, 99));
    }
    let text = failure(&job.run());
    assert!(text.contains("checksum"), "{text}");
    assert!(text.contains("--restore none"), "{text}");
}

#[test]
fn a_named_checkpoint_is_restored_and_left_alone() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let first = with_two_checkpoints(&ledger, &splits);
    let before = first.store.paths();
    let folder = latest(&first).trim_end_matches("_metadata").to_owned();
    let mut fork = counting(&splits, &Valve::open(), 2, &ledger);
    fork.restore = RestoreFrom::Checkpoint(Foreign {
        store: first.store.clone(),
        folder,
    });
    let report = fork.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(first.store.paths(), before);
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn state_that_no_longer_fits_is_refused() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let first = with_two_checkpoints(&ledger, &splits);
    let with = |operator: Closures, name: &str| {
        let mut job = TestJob::new()
            .source("rows", 1, MemorySource::of(&splits))
            .operator(name, 1, "rows", TestJob::by_prefix(), operator)
            .sink(
                "out",
                1,
                name,
                Partitioning::Forward,
                LedgerSink::new(&ledger),
            );
        job.store = first.store.clone();
        failure(&job.run())
    };
    let nothing = || Closures::new(|_, _, _| Ok(Outcome::default()));
    let text = with(nothing().with_state("count", StateKind::Map), "count");
    assert!(text.contains("was saved as value state"), "{text}");
    let text = with(nothing().with_state("other", StateKind::Value), "count");
    assert!(text.contains("does not declare it any more"), "{text}");
    let text = with(counter(), "renamed");
    assert!(text.contains("operator `count`"), "{text}");
}

#[test]
fn orphans_of_a_crash_are_removed_and_their_numbers_not_used_again() {
    let splits = [rows(0, 20, 3)];
    let ledger = Ledger::default();
    let job = counting(&splits, &Valve::open(), 1, &ledger);
    job.store
        .put("test/chk-41/count/0/state", vec![b"half".to_vec()])
        .unwrap();
    job.store
        .put("other/chk-9/count/0/state", vec![b"not ours".to_vec()])
        .unwrap();
    let report = job.run();
    assert!(report.last.unwrap().id > CheckpointId(41));
    let paths = job.store.paths();
    assert!(!paths.iter().any(|p| p.contains("chk-41")), "{paths:?}");
    assert!(
        paths.contains(&"other/chk-9/count/0/state".to_owned()),
        "{paths:?}"
    );
}

#[test]
fn retention_keeps_as_many_as_it_should() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let mut job = with_two_checkpoints(&ledger, &splits);
    job.checkpoints = Some(Config {
        interval_ms: Some(2),
        retained: 2,
        ..Config::default()
    });
    assert!(matches!(job.run().outcome, Ended::Finished));
    let paths = job.store.paths();
    assert_eq!(
        paths.iter().filter(|p| p.ends_with("_metadata")).count(),
        2,
        "{paths:?}"
    );
}

#[test]
fn refused_rows_are_left_out_and_counted_and_all_others_count_once() {
    let picky = || {
        Closures::new(|_, _, rows| {
            let mut emitted = Emitted::default();
            for (at, row) in rows.values.iter().enumerate() {
                let at = u32::try_from(at).unwrap();
                if row.ends_with(b"3") {
                    let message = "ends with 3".into();
                    let poisoned = Some(Poison { row: at, message });
                    return Ok(Outcome {
                        emitted: vec![emitted],
                        poisoned,
                    });
                }
                emitted.values.push(row);
                emitted.origin.push(at);
            }
            Ok(Outcome {
                emitted: vec![emitted],
                poisoned: None,
            })
        })
    };
    let all = rows(0, 100, 4);
    let ledger = Ledger::default();
    let job = TestJob::new()
        .source("rows", 1, MemorySource::of(std::slice::from_ref(&all)))
        .operator("picky", 1, "rows", Partitioning::Forward, picky())
        .skipping()
        .sink(
            "out",
            1,
            "picky",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    let report = job.run();
    let expected: Vec<_> = all
        .iter()
        .filter(|row| !row.ends_with('3'))
        .cloned()
        .collect();
    assert_eq!(ledger.rows(), expected);
    let skipped: u64 = report
        .meters
        .iter()
        .filter(|m| m.name.as_str() == "picky")
        .map(|m| m.skipped.get())
        .sum();
    assert_eq!(skipped, 10);

    let ledger = Ledger::default();
    let strict = TestJob::new()
        .source("rows", 1, MemorySource::of(&[all]))
        .operator("picky", 1, "rows", Partitioning::Forward, picky())
        .sink(
            "out",
            1,
            "picky",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    let text = failure(&strict.run());
    assert!(
        text.contains("ends with 3") && text.contains("k3-0-3"),
        "{text}"
    );
}

#[test]
fn rows_without_a_key_fail_the_job_or_are_counted() {
    let splits = [vec!["a-1".to_owned(), "nokey".into(), "a-2".into()]];
    let ledger = Ledger::default();
    let text = failure(&counting(&splits, &Valve::open(), 1, &ledger).run());
    assert!(text.contains("no key"), "{text}");
    let job = TestJob::new()
        .source("rows", 1, MemorySource::of(&splits))
        .operator("count", 1, "rows", TestJob::by_prefix(), counter())
        .skipping()
        .sink(
            "out",
            1,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    let report = job.run();
    assert_eq!(ledger.rows(), ["a=1", "a=2"]);
    let skipped: u64 = report.meters.iter().map(|m| m.skipped.get()).sum();
    assert_eq!(skipped, 1);
}

#[test]
fn broadcast_global_and_rebalance_reach_whom_they_should() {
    let splits = [rows(0, 100, 4), rows(1, 50, 4)];
    for (partitioning, times) in [
        (Partitioning::Broadcast, 3),
        (Partitioning::Global, 1),
        (Partitioning::Rebalance, 1),
    ] {
        let ledger = Ledger::default();
        let job = TestJob::new()
            .source("rows", 2, MemorySource::of(&splits).reading(7))
            .operator(
                "same",
                3,
                "rows",
                partitioning,
                map_rows(|row| Ok(vec![row.to_owned()])),
            )
            .sink(
                "out",
                3,
                "same",
                Partitioning::Forward,
                LedgerSink::new(&ledger),
            );
        let report = job.run();
        assert!(matches!(report.outcome, Ended::Finished));
        let mut expected: Vec<String> = Vec::new();
        for _ in 0..times {
            expected.extend(splits.iter().flatten().cloned());
        }
        expected.sort();
        assert_eq!(ledger.sorted(), expected);
        let global = times == 1 && report.meters.iter().any(|m| m.subtask.0 == 1);
        assert!(global || times == 3);
    }
}

#[test]
fn an_operator_with_two_inputs_sees_which_is_which_and_finishes_after_both() {
    let tag = Closures::new(|_, input, rows| {
        let mut emitted = Emitted::default();
        for row in rows.values.iter() {
            let row = String::from_utf8_lossy(row);
            emitted.values.push(format!("{input}:{row}").as_bytes());
        }
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    })
    .with_finish(|_| {
        let values = [&b"end"[..]].into_iter().collect();
        Ok(vec![Emitted {
            values,
            ..Emitted::default()
        }])
    });
    let ledger = Ledger::default();
    let job = TestJob::new()
        .source("left", 1, MemorySource::of(&[vec!["a", "b"]]))
        .source("right", 1, MemorySource::of(&[vec!["c"]]))
        .operator("both", 1, "left", Partitioning::Rebalance, tag)
        .and_from("right", Partitioning::Rebalance)
        .sink(
            "out",
            1,
            "both",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    assert!(matches!(job.run().outcome, Ended::Finished));
    assert_eq!(ledger.sorted(), ["0:a", "0:b", "1:c", "end"]);
    assert_eq!(ledger.rows().last().unwrap(), "end");
}

#[test]
fn a_sink_may_be_fanned_out_to_and_slow_consumers_slow_their_producers() {
    // 4 MiB through channels of half a MiB, with a consumer that lags.
    let wide: Vec<String> = (0..4096)
        .map(|i| format!("k{}-{:01000}", i % 5, i))
        .collect();
    let (one, two) = (Ledger::default(), Ledger::default());
    let job = TestJob::new()
        .source("rows", 1, MemorySource::of(std::slice::from_ref(&wide)))
        .operator("count", 2, "rows", TestJob::by_prefix(), counter())
        .sink(
            "counts",
            2,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&one),
        )
        .sink(
            "raw",
            1,
            "rows",
            Partitioning::Global,
            LedgerSink::new(&two),
        );
    assert!(matches!(job.run().outcome, Ended::Finished));
    assert_eq!(one.sorted(), counted(std::slice::from_ref(&wide)));
    assert_eq!(two.rows(), wide);
}

#[test]
fn a_job_can_be_cancelled() {
    let ledger = Ledger::default();
    let mut job = counting(&[rows(0, 100, 3)], &Valve::at(10), 2, &ledger);
    let stop = job.stopper();
    job.events = at_checkpoint(1, move || stop(false));
    assert!(matches!(job.run().outcome, Ended::Cancelled));
}

#[test]
fn a_job_that_is_asked_to_stop_while_it_starts_stops_once_it_runs() {
    let splits = [rows(0, 100, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(10);
    let mut job = counting(&splits, &valve, 2, &ledger);
    // The first run leaves a checkpoint, so that the second says `Restoring` before its tasks run.
    let stop = job.stopper();
    job.events = at_checkpoint(2, move || stop(true));
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    let stop = job.stopper();
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Restoring { .. }) {
            stop(true);
        }
    });
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    job.events = Events::default();
    valve.open_to(u64::MAX);
    assert!(matches!(job.run().outcome, Ended::Finished));
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_stop_whose_checkpoint_fails_is_tried_again() {
    let splits = [rows(0, 100, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(10);
    let mut job = counting(&splits, &valve, 1, &ledger);
    job.checkpoints = Some(Config {
        tolerable_failures: 5,
        ..Config::default()
    });
    // After the beginning: the state of the stop checkpoint.
    job.store.inject(2, Fault::Refuse);
    let stop = job.stopper();
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Running { .. }) {
            stop(true);
        }
    });
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Stopped(_)),
        "{:?}",
        report.outcome
    );
    assert_eq!(report.failed, 1);
}

/// A counter that traps at rows that end with `7`, and is told to skip.
fn trapping(counter: Closures, all: &[String], ledger: &Ledger) -> TestJob {
    let trapping = counter.trapping_at(|row| row.ends_with(b"7"));
    TestJob::new()
        .source("rows", 1, MemorySource::of(&[all.to_vec()]))
        .operator("count", 1, "rows", TestJob::by_prefix(), trapping)
        .skipping()
        .sink(
            "out",
            1,
            "count",
            Partitioning::Forward,
            LedgerSink::new(ledger),
        )
}

#[test]
fn d13_a_row_that_traps_is_left_out_and_all_others_count_once() {
    let all = rows(0, 200, 4);
    let ledger = Ledger::default();
    let report = trapping(counter(), &all, &ledger).run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    let good = all.iter().filter(|row| !row.ends_with('7')).cloned();
    assert_eq!(ledger.sorted(), counted(&[good.collect()]));
    let skipped: u64 = report.meters.iter().map(|m| m.skipped.get()).sum();
    assert_eq!(skipped, 20);
    assert_eq!(report.restarts, 0);
}

#[test]
fn d13_what_an_operator_keeps_in_its_memory_cannot_be_taken_back_so_a_trap_fails_it() {
    let ledger = Ledger::default();
    let report = trapping(counter().keeping_memory(), &rows(0, 200, 4), &ledger).run();
    assert!(failure(&report).contains("as told"));
}

#[test]
fn d13_what_rows_use_up_together_is_no_reason_to_leave_one_out() {
    // No more than ten rows in a call: as a limit on output is.
    let counting = counter();
    let few = Closures::new(move |_, _, rows| {
        if rows.len() > 10 {
            return Err(Failure::Limit(Box::new(weir_operator::Limit {
                key: "output",
                value: "10 rows".into(),
                message: "too many".into(),
                backtrace: Vec::new(),
                row: None,
            })));
        }
        let mut emitted = Emitted::default();
        rows.values.iter().for_each(|row| emitted.values.push(row));
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    });
    let all = rows(0, 300, 4);
    let ledger = Ledger::default();
    let job = TestJob::new()
        .source("rows", 1, MemorySource::of(std::slice::from_ref(&all)))
        .operator("few", 1, "rows", Partitioning::Forward, few)
        .skipping()
        .operator("count", 1, "few", TestJob::by_prefix(), counting)
        .sink(
            "out",
            1,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(ledger.sorted(), counted(&[all]));
}

#[test]
fn runs_that_only_look_for_a_row_are_rehearsals() {
    let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = calls.clone();
    let watched = Closures::new(move |cx, _, rows| {
        let has_bad = rows.values.iter().any(|row| row.ends_with(b"-50"));
        seen.lock().unwrap().push((cx.rehearsal, has_bad));
        Ok(Outcome::default())
    });
    let job = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows(0, 64, 4)]))
        .operator(
            "watched",
            1,
            "rows",
            Partitioning::Forward,
            watched.trapping_at(|row| row.ends_with(b"-50")),
        )
        .skipping();
    assert!(matches!(job.run().outcome, Ended::Finished));
    let calls = calls.lock().unwrap();
    let count = |rehearsal| {
        calls
            .iter()
            .filter(|call| **call == (rehearsal, true))
            .count()
    };
    // For good it is run where it came, behind the rows before it, and alone.
    assert!(count(false) <= 3, "{calls:?}");
    assert!(count(true) >= 3, "{calls:?}");
}

#[test]
fn a_row_that_traps_is_looked_for_with_all_the_time_that_a_call_has() {
    // Whoever is given less time than the call that failed cannot keep up.
    let slow = Closures::new(|cx, _, _| match cx.deadline {
        None => Ok(Outcome::default()),
        Some(_) => Err(Failure::Internal {
            message: "too little time".into(),
        }),
    });
    let all = rows(0, 64, 4);
    let ledger = Ledger::default();
    let job = TestJob::new()
        .source("rows", 1, MemorySource::of(&[all]))
        .operator(
            "slow",
            1,
            "rows",
            Partitioning::Forward,
            slow.trapping_at(|row| row.ends_with(b"-50")),
        )
        .sink(
            "out",
            1,
            "slow",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    let text = failure(&job.run());
    assert!(text.contains("row: \"k2-0-50\""), "{text}");
}
