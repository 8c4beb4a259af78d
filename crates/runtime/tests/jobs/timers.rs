//! Timers in whole jobs (semantics 1.8, C17 to C20 and C39, D14).

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Mutex, atomic::AtomicI64},
};

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::watch;
use weir_checkpoint::testing::MemoryStore;
use weir_event_time::WatermarkStrategy;
use weir_model::{OptionalColumn, ProcessingTime, SavepointFormat};
use weir_operator::{Context, Due};
use weir_runtime::{
    Clock,
    control::{JobCommand, SavepointTarget},
};
use weir_state::{StateIndex, TimerKind, Which};

use super::*;

const EVENT: TimerKind = TimerKind::EventTime;
const PROCESSING: TimerKind = TimerKind::ProcessingTime;

/// A clock that a test sets, and what it was asked to wait for.
#[derive(Clone)]
struct Hand {
    now: Arc<watch::Sender<i64>>,
    asked: Arc<Mutex<Vec<i64>>>,
    waiting: Arc<AtomicI64>,
}

impl Hand {
    fn at(now: i64) -> Self {
        Self {
            now: Arc::new(watch::Sender::new(now)),
            asked: Arc::default(),
            waiting: Arc::default(),
        }
    }

    fn set(&self, now: i64) {
        self.now.send_replace(now);
    }
}

/// One wait, as long as somebody waits.
struct Waits(Arc<AtomicI64>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(*self.now.borrow())
    }

    fn reached(&self, at: ProcessingTime) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(at.0);
            let before = self.waiting.fetch_add(1, Ordering::SeqCst);
            assert_eq!(before, 0, "one task waits for one time");
            let _waits = Waits(self.waiting.clone());
            let mut now = self.now.subscribe();
            let _ = now.wait_for(|now| *now > at.0).await;
        })
    }
}

fn bounded(bound_ms: u64) -> WatermarkStrategy {
    WatermarkStrategy {
        max_out_of_orderness_ms: bound_ms,
        idle_after_ms: None,
        alignment: None,
        every_rows: WatermarkStrategy::EVERY_ROWS,
    }
}

/// A row is `<key>-<time>-<number>`.
fn time_of(row: &str) -> i64 {
    row.split('-').nth(1).unwrap().parse().unwrap()
}

fn name(due: Due<'_>, at: usize) -> String {
    let key = due.keyed.keys.get(due.keyed.key_of_row[at] as usize);
    String::from_utf8(key.to_vec()).unwrap()
}

/// Emits `<key>@<time>` for each timer, with the watermark.
fn told(cx: &Context, due: Due<'_>) -> Outcome {
    let mut emitted = Emitted::default();
    for (at, time) in due.at.iter().enumerate() {
        let row = format!("{}@{time} wm {}", name(due, at), cx.watermark);
        emitted.values.push(row.as_bytes());
        emitted.origin.push(at as u32);
    }
    Outcome {
        emitted: vec![emitted],
        poisoned: None,
    }
}

/// For each row the timers that `set` says for it, of its key.
fn setting(
    set: impl Fn(&mut Context, &str, u32) -> Result<(), Failure> + Send + Sync + 'static,
    on_timers: impl Fn(&mut Context, Due<'_>) -> Result<Outcome, Failure> + Send + Sync + 'static,
) -> Closures {
    Closures::new(move |cx, _, rows| {
        let keyed = rows.keyed.unwrap();
        for (row, &key) in rows.values.iter().zip(keyed.key_of_row) {
            set(cx, std::str::from_utf8(row).unwrap(), key)?;
        }
        Ok(Outcome::default())
    })
    .with_timers(on_timers)
}

/// source -> timers by key -> what event time its rows have -> sink.
fn job(source: MemorySource, parallelism: u32, timers: Closures, ledger: &Ledger) -> TestJob {
    let stamped = Closures::new(|_, _, rows| {
        let mut emitted = Emitted::default();
        for (at, row) in rows.values.iter().enumerate() {
            let row = std::str::from_utf8(row).unwrap();
            let stamp = rows.timestamps.get(at);
            let stamp = stamp.map_or("none".to_owned(), ToString::to_string);
            emitted.values.push(format!("{row} ts {stamp}").as_bytes());
        }
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    });
    TestJob::new()
        .source("rows", 1, source.timed(time_of))
        .watermarks(bounded(0))
        .operator("timers", parallelism, "rows", TestJob::by_prefix(), timers)
        .operator(
            "stamped",
            parallelism,
            "timers",
            Partitioning::Forward,
            stamped,
        )
        .sink(
            "out",
            parallelism,
            "stamped",
            Partitioning::Forward,
            LedgerSink::new(ledger),
        )
}

#[track_caller]
fn finished(report: &Report) {
    let finished = matches!(report.outcome, Ended::Finished);
    assert!(finished, "{:?}", report.outcome);
}

#[test]
fn c18_event_time_order_past_cascade_and_delete() {
    // The rows `z` only carry the watermark: a time makes it one less.
    let rows = ["a-5-1", "b-5-2", "a-6-3", "z-11-0", "a-12-4", "z-21-0"];
    let rows = vec![rows.map(str::to_owned).to_vec()];
    let valve = Valve::at(4);
    let opened = valve.clone();
    let timers = setting(
        |cx, row, key| {
            if row.starts_with('z') {
                return Ok(());
            }
            cx.state.timers_set(EVENT, &[key, key], &[10, 8])?;
            if row.ends_with('3') {
                cx.state.timers_set(EVENT, &[key], &[9])?;
                cx.state.timers_delete(EVENT, &[key, key], &[9, 777])?;
            }
            Ok(())
        },
        move |cx, due| {
            for (at, &time) in due.at.iter().enumerate() {
                if time == 8 && name(due, at) == "a" {
                    let key = due.keyed.key_of_row[at];
                    cx.state.timers_set(EVENT, &[key], &[9])?;
                }
            }
            if due.at.last() == Some(&10) {
                opened.open_to(if cx.watermark.0 == 10 { 5 } else { 6 });
            }
            Ok(told(cx, due))
        },
    );
    let ledger = Ledger::default();
    let source = MemorySource::of(&rows).behind(valve);
    finished(&job(source, 1, timers, &ledger).run());
    let mut told = ledger.rows();
    // Those of one time come in any order of keys.
    assert!(
        told.is_sorted_by_key(|row| {
            let (_, row) = row.split_once('@').unwrap();
            let time: i64 = row.split(' ').next().unwrap().parse().unwrap();
            (row.contains("wm 11"), time)
        }),
        "{told:?}"
    );
    told.sort();
    let expected = |key: &str, at: i64, wm: i64| format!("{key}@{at} wm {wm} ts {at}");
    let mut all: Vec<String> = [(8, "a"), (8, "b"), (9, "a"), (10, "a"), (10, "b")]
        .map(|(at, key)| expected(key, at, 10))
        .to_vec();
    all.extend([8, 9, 10].map(|at| expected("a", at, 11)));
    all.sort();
    assert_eq!(told, all);
}

#[test]
fn c17_one_wait_for_the_first_timer_moved_by_an_earlier_one() {
    // The rows set timers; the last comes only when all have fired, so that the job goes on.
    let rows = vec![
        ["a-0-20", "b-0-30", "c-0-10", "d-0-99"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let (valve, clock, ledger) = (Valve::at(2), Hand::at(0), Ledger::default());
    let (opened, time) = (valve.clone(), clock.clone());
    let timers = setting(
        |cx, row, key| {
            let at = row.rsplit('-').next().unwrap().parse().unwrap();
            Ok(cx.state.timers_set(PROCESSING, &[key, key], &[at, at])?)
        },
        move |cx, due| {
            let mut outcome = told(cx, due);
            let times = due.at.iter().map(|at| at.to_string().into_bytes());
            let times: Vec<Vec<u8>> = times.collect();
            outcome.emitted[0].values = times.iter().map(Vec::as_slice).collect();
            // One cascades; when the last has fired, the last row comes.
            if due.at.contains(&30) {
                let key = due.keyed.key_of_row[0];
                cx.state.timers_set(PROCESSING, &[key], &[40])?;
                time.set(41);
            }
            if due.at.contains(&40) {
                opened.open_to(u64::MAX);
            }
            Ok(outcome)
        },
    );
    // When somebody waits for the timer of the first row, an earlier one is set; then time passes.
    let (waits, moved, opened) = (clock.clone(), clock.clone(), valve.clone());
    let watcher = std::thread::spawn(move || {
        let until = |at: i64| {
            while waits.asked.lock().unwrap().last() != Some(&at)
                || waits.waiting.load(Ordering::SeqCst) == 0
            {
                std::thread::yield_now();
            }
        };
        // Each fires when its millisecond is over.
        until(20);
        opened.open_to(3);
        until(10);
        moved.set(10);
        moved.set(11);
        until(20);
        moved.set(21);
        until(30);
        moved.set(31);
    });
    let source = MemorySource::of(&rows).behind(valve);
    let mut job = job(source, 1, timers, &ledger);
    job.clock = Arc::new(clock.clone());
    finished(&job.run());
    watcher.join().unwrap();
    let fired: Vec<String> = ledger.rows();
    let expected = [10, 20, 30, 40].map(|at| format!("{at} ts none"));
    assert_eq!(
        fired, expected,
        "and that of the last row does not fire at the end"
    );
    let mut asked = clock.asked.lock().unwrap().clone();
    asked.dedup();
    assert_eq!(asked[..4], [20, 10, 20, 30], "{asked:?}");
}

#[test]
fn a_timer_of_the_clock_fires_when_its_millisecond_is_over() {
    let rows = vec![["a-0-5", "d-0-99"].map(str::to_owned).to_vec()];
    let (valve, clock, ledger) = (Valve::at(1), Hand::at(5), Ledger::default());
    let (opened, fired_at) = (valve.clone(), Arc::new(AtomicI64::new(0)));
    let fired = fired_at.clone();
    let timers = setting(
        |cx, row, key| {
            let at = row.rsplit('-').next().unwrap().parse().unwrap();
            Ok(cx.state.timers_set(PROCESSING, &[key], &[at])?)
        },
        move |cx, due| {
            fired.store(cx.processing_time.0, Ordering::SeqCst);
            opened.open_to(u64::MAX);
            Ok(told(cx, due))
        },
    );
    let (waits, seen) = (clock.clone(), fired_at.clone());
    let watcher = std::thread::spawn(move || {
        while waits.waiting.load(Ordering::SeqCst) == 0 && seen.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        waits.set(6);
    });
    let mut job = job(MemorySource::of(&rows).behind(valve), 1, timers, &ledger);
    job.clock = Arc::new(clock);
    finished(&job.run());
    watcher.join().unwrap();
    assert_eq!(fired_at.load(Ordering::SeqCst), 6);
}

#[test]
fn c20_at_the_end_of_input_event_timers_fire_and_those_of_the_clock_do_not() {
    let rows = vec![["a-1-0", "b-2-0", "c-3-0"].map(str::to_owned).to_vec()];
    let ledger = Ledger::default();
    let timers = setting(
        |cx, _, key| {
            let later = cx.processing_time.0 + 60_000;
            cx.state.timers_set(PROCESSING, &[key], &[later])?;
            Ok(cx.state.timers_set(EVENT, &[key], &[1000])?)
        },
        |cx, due| Ok(told(cx, due)),
    );
    finished(&job(MemorySource::of(&rows), 2, timers, &ledger).run());
    let expected = ["a", "b", "c"].map(|key| format!("{key}@1000 wm MAX ts 1000"));
    assert_eq!(ledger.sorted(), expected);
}

/// A job whose 50 keys have a timer each at the end of all time, that waits once all rows are in.
fn fifty(valve: &Valve, parallelism: u32, ledger: &Ledger) -> TestJob {
    let rows: Vec<String> = (0..51).map(|n| format!("k{n}-0-{n}")).collect();
    let timers = setting(
        |cx, row, key| match row.starts_with("k50-") {
            true => Ok(()),
            false => Ok(cx.state.timers_set(EVENT, &[key], &[i64::MAX - 1])?),
        },
        |cx, due| Ok(told(cx, due)),
    );
    let source = MemorySource::of(&[rows]).behind(valve.clone());
    job(source, parallelism, timers, ledger).max_parallelism(8)
}

#[test]
fn c39_a_stop_fires_no_timer_a_restore_has_all_and_a_drain_fires_all() {
    let store = Arc::new(MemoryStore::new());
    let stopped = |drain: bool| {
        let ledger = Ledger::default();
        let mut first = fifty(&Valve::at(50), 2, &ledger);
        let commands = first.commander();
        let target = SavepointTarget {
            store: store.clone(),
            folder: format!("sp-{drain}"),
            location: "mem".into(),
        };
        let asked = AtomicBool::new(false);
        first.events = Events::reacting(move |event| {
            // The third checkpoint has begun when all rows were long in.
            let third = matches!(event, JobEvent::Checkpoint(done) if done.id >= CheckpointId(3));
            if third && !asked.swap(true, Ordering::SeqCst) {
                let savepoint = Some((target.clone(), SavepointFormat::Canonical));
                drop(commands.ask(|reply| JobCommand::Stop {
                    drain,
                    savepoint,
                    reply,
                }));
            }
        });
        let report = first.run();
        let ended = matches!(report.outcome, Ended::Stopped(_) | Ended::Finished);
        assert!(ended, "{:?}", report.outcome);
        ledger.rows().len()
    };
    assert_eq!(stopped(true), 50);
    assert_eq!(stopped(false), 0);
    for parallelism in [2, 3, 8] {
        let ledger = Ledger::default();
        let mut next = fifty(&Valve::open(), parallelism, &ledger);
        next.restore = RestoreFrom::Checkpoint(Foreign {
            store: store.clone(),
            folder: "sp-false".into(),
        });
        finished(&next.run());
        let mut expected: Vec<String> = (0..50)
            .map(|n| format!("k{n}@{0} wm MAX ts {0}", i64::MAX - 1))
            .collect();
        expected.sort();
        assert_eq!(ledger.sorted(), expected, "at {parallelism}");
    }
}

#[test]
fn c39_behind_the_barrier_of_a_stop_no_time_passes() {
    // The source is held up by what is behind it, with a watermark that is still to go out.
    let rows: Vec<String> = (0..200_000)
        .map(|n| format!("k{}-{n}-{n}", n % 50))
        .collect();
    let (saved, late) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicI64::new(0)),
    );
    let (asked, is_saved, fired) = (AtomicBool::new(false), saved.clone(), late.clone());
    let ledger = Ledger::default();
    let commands = Arc::new(Mutex::new(None));
    let stop = commands.clone();
    let timers = setting(
        |cx, row, key| Ok(cx.state.timers_set(EVENT, &[key], &[time_of(row)])?),
        move |_, due| {
            if is_saved.load(Ordering::SeqCst) {
                fired.fetch_add(due.len() as i64, Ordering::SeqCst);
            }
            if !asked.swap(true, Ordering::SeqCst) {
                let stop = stop.lock().unwrap();
                let stop: &weir_testkit::Commander = stop.as_ref().unwrap();
                drop(stop.ask(|reply| JobCommand::Stop {
                    drain: false,
                    savepoint: None,
                    reply,
                }));
            }
            Ok(Outcome::default())
        },
    );
    let timers = timers.with_snapshot(move |_, _| {
        saved.store(true, Ordering::SeqCst);
        Ok(Vec::new())
    });
    let mut job = job(MemorySource::of(&[rows]), 1, timers, &ledger);
    job.checkpoints = Some(Config::default());
    *commands.lock().unwrap() = Some(job.commander());
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Stopped(_)),
        "{:?}",
        report.outcome
    );
    assert_eq!(late.load(Ordering::SeqCst), 0);
}

#[test]
fn c39_a_drain_fires_all_timers_of_a_source_that_is_idle() {
    let ledger = Ledger::default();
    let mut job = fifty(&Valve::at(50), 2, &ledger).watermarks(WatermarkStrategy {
        idle_after_ms: Some(1),
        ..bounded(0)
    });
    let commands = job.commander();
    let asked = AtomicBool::new(false);
    job.events = Events::reacting(move |event| {
        // The third checkpoint has begun when all rows were long in.
        let third = matches!(event, JobEvent::Checkpoint(done) if done.id >= CheckpointId(3));
        if third && !asked.swap(true, Ordering::SeqCst) {
            drop(commands.ask(|reply| JobCommand::Stop {
                drain: true,
                savepoint: None,
                reply,
            }));
        }
    });
    let report = job.run();
    let drained = matches!(report.outcome, Ended::Stopped(of) if of.drained);
    assert!(drained, "it has stopped otherwise");
    assert_eq!(ledger.rows().len(), 50);
}

/// Rows that are all through but for a slow operator, which has set a timer for each key and has
/// more rows in its channel; and others, that hold the job up.
fn slow_timers(splits: &[Vec<String>], valve: &Valve, ledger: &Ledger) -> TestJob {
    let timers = setting(
        |cx, _, key| {
            unaligned::spin(unaligned::EACH);
            Ok(cx.state.timers_set(EVENT, &[key], &[1_000_000])?)
        },
        |cx, due| Ok(told(cx, due)),
    );
    let source = MemorySource::of(splits).reading(10).timed(time_of);
    let same = map_rows(|row| Ok(vec![row.to_owned()]));
    let rest = MemorySource::of(&[rows(1, 10, 3)]).behind(valve.clone());
    let mut job = TestJob::new()
        .source("rows", 1, source)
        .watermarks(bounded(0))
        .operator("same", 1, "rows", TestJob::by_prefix(), same)
        .operator("timers", 1, "same", TestJob::by_prefix(), timers)
        .sink(
            "out",
            1,
            "timers",
            Partitioning::Rebalance,
            LedgerSink::new(ledger),
        )
        .source("others", 1, rest)
        .sink(
            "rest",
            1,
            "others",
            Partitioning::Rebalance,
            LedgerSink::new(&Ledger::default()),
        );
    job.checkpoints = unaligned::unaligned(0);
    job
}

#[test]
fn timers_behind_what_had_finished_already_fire_after_a_restore() {
    let splits = [rows(0, 600, 7)];
    let (ledger, valve) = (Ledger::default(), Valve::at(5));
    let mut job = slow_timers(&splits, &valve, &ledger);
    let stop = job.stopper();
    job.events = at_checkpoint(3, move || stop(false));
    assert!(matches!(job.run().outcome, Ended::Cancelled));
    let store = job.store.clone();
    assert!(ledger.rows().is_empty(), "no timer has fired yet");
    let metadata = store.get(&latest(&job)).unwrap();
    let saved = weir_checkpoint::Metadata::decode(&metadata).unwrap();
    let has_finished = |name: &str| {
        let name = weir_model::Name::new(name).unwrap();
        saved.operators[&name].subtasks.iter().all(|s| s.finished)
    };
    assert!(has_finished("same") && !has_finished("timers"));
    valve.open_to(u64::MAX);
    job = slow_timers(&splits, &valve, &ledger);
    job.store = store;
    finished(&job.run());
    assert_eq!(ledger.rows().len(), 7, "{:?}", ledger.rows());
}

/// Sets two timers of each kind for each key, and tells them.
fn both(rows: &[String], valve: &Valve, parallelism: u32, ledger: &Ledger) -> TestJob {
    let timers = setting(
        |cx, _, key| {
            cx.state
                .timers_set(EVENT, &[key, key], &[900_000, 900_001])?;
            Ok(cx.state.timers_set(PROCESSING, &[key, key], &[100, 101])?)
        },
        |cx, due| Ok(told(cx, due)),
    );
    let source = MemorySource::of(&[rows.to_vec()])
        .reading(7)
        .behind(valve.clone());
    let mut job = job(source, parallelism, timers, ledger);
    job.restart = RESTARTS;
    job
}

#[test]
fn c19_timers_survive_and_move_with_their_keys_up_and_down() {
    let rows: Vec<String> = (0..60).map(|n| format!("k{}-0-{n}", n % 20)).collect();
    let (ledger, valve) = (Ledger::default(), Valve::at(40));
    let mut last = both(&rows, &valve, 2, &ledger);
    for (run, parallelism) in [2, 5, 1, 3].into_iter().enumerate() {
        let store = last.store.clone();
        last = both(&rows, &valve, parallelism, &ledger);
        last.store = store;
        last.checkpoints = Some(Config {
            interval_ms: Some(2),
            incremental: true,
            ..Config::default()
        });
        last.clock = Arc::new(At(0));
        if run == 3 {
            // What became due meanwhile fires at once, and then the input ends.
            last.clock = Arc::new(At(5000));
            let (opened, told) = (valve.clone(), ledger.clone());
            last.events = Events::reacting(move |event| {
                if matches!(event, JobEvent::Checkpoint(_)) && told.rows().len() == 40 {
                    opened.open_to(u64::MAX);
                }
            });
        } else {
            let stop = last.stopper();
            last.events = at_checkpoint(4, move || stop(true));
        }
        let report = last.run();
        match run {
            3 => finished(&report),
            _ => assert!(
                matches!(report.outcome, Ended::Stopped(_)),
                "{:?}",
                report.outcome
            ),
        }
    }
    let mut expected = Vec::new();
    for key in 0..20 {
        for at in [900_000, 900_001] {
            expected.push(format!("k{key}@{at} wm MAX ts {at}"));
        }
    }
    let (clocked, timed): (Vec<_>, Vec<_>) = ledger
        .sorted()
        .into_iter()
        .partition(|row| row.ends_with("none"));
    expected.sort();
    assert_eq!(timed, expected);
    // The last rows set them once more, long overdue.
    let mut counts = BTreeMap::<String, usize>::new();
    for row in clocked {
        *counts
            .entry(row.split(' ').next().unwrap().to_owned())
            .or_default() += 1;
    }
    assert_eq!(counts.len(), 40);
    assert!(
        counts.values().all(|&count| count == 1 || count == 2),
        "{counts:?}"
    );
}

/// A clock that stands.
struct At(i64);

impl Clock for At {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(self.0)
    }

    fn reached(&self, at: ProcessingTime) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        assert!(at.0 >= self.0, "what is due is not waited for");
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_failure_between_timers_loses_none_and_fires_none_twice() {
    let keys: Vec<String> = (0..300).map(|n| format!("k{n}-{n}-0")).collect();
    let ledger = Ledger::default();
    let fails = Arc::new(AtomicU32::new(3));
    let timers = setting(
        |cx, row, key| {
            let at = time_of(row);
            Ok(cx.state.timers_set(EVENT, &[key, key], &[at, at + 1000])?)
        },
        move |cx, due| {
            // In the middle of what the end of the input fires, and of a call.
            if due.at.contains(&1200) && fails.load(Ordering::SeqCst) > 0 {
                fails.fetch_sub(1, Ordering::SeqCst);
                let message = "boom".into();
                return Err(Failure::Guest { message, row: None });
            }
            Ok(told(cx, due))
        },
    );
    let source = MemorySource::of(&[keys]).reading(11);
    let mut job = job(source, 2, timers, &ledger);
    job.restart = RESTARTS;
    let report = job.run();
    finished(&report);
    assert!(report.restarts >= 1);
    let told: Vec<String> = ledger.rows();
    let timers = told
        .iter()
        .map(|row| row.split(' ').next().unwrap().to_owned());
    let timers: Vec<String> = timers.collect();
    let once: BTreeSet<&String> = timers.iter().collect();
    assert_eq!((timers.len(), once.len()), (600, 600));
}

/// What `on_timer` of the model does at a time of a key: sets and deletes timers near it.
fn act(key: usize, at: i64, seed: u64) -> Vec<(bool, i64)> {
    let mut x = seed ^ (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (key as u64) << 32;
    let mut actions = Vec::new();
    for _ in 0..3 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        // Fewer and fewer, so that it ends.
        if x % 10 < 4 && at < 120 {
            actions.push((!x.is_multiple_of(3), at + (x % 23) as i64 - 3));
        }
    }
    actions
}

/// One by one: what fires of each key, in order, when the watermark rises to the end.
fn oracle(keys: usize, first: &[(usize, i64)], seed: u64) -> BTreeMap<String, Vec<i64>> {
    let mut pending: BTreeSet<(i64, usize)> = first.iter().map(|&(key, at)| (at, key)).collect();
    let mut fired = BTreeMap::<String, Vec<i64>>::new();
    while let Some((at, key)) = pending.pop_first() {
        let of = fired.entry(format!("k{key}")).or_default();
        of.push(at);
        if of.len() > 60 {
            continue;
        }
        for (set, at) in act(key % keys, at, seed) {
            match set {
                true => pending.insert((at, key)),
                false => pending.remove(&(at, key)),
            };
        }
    }
    fired
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn d14_calls_of_many_timers_come_to_what_one_by_one_comes_to(
        first in prop::collection::vec((0..6usize, 0..100i64), 1..80),
        seed in any::<u64>(),
        keeps_memory in any::<bool>(),
    ) {
        let rows: Vec<String> =
            first.iter().map(|(key, at)| format!("k{key}-0-{at}")).collect();
        let calls = Arc::new(Mutex::new((0usize, 0usize)));
        let seen = calls.clone();
        let mut timers = setting(
            |cx, row, key| {
                let at = row.rsplit('-').next().unwrap().parse().unwrap();
                Ok(cx.state.timers_set(EVENT, &[key], &[at])?)
            },
            move |cx, due| {
                {
                    let mut seen = seen.lock().unwrap();
                    *seen = (seen.0 + 1, seen.1 + due.len());
                    let keys: BTreeSet<u32> = due.keyed.key_of_row.iter().copied().collect();
                    assert!(!keeps_memory || keys.len() == due.len());
                    assert!(due.at.is_sorted());
                }
                // How often a key fired is kept in state, since a call may be run again.
                let state = StateIndex(0);
                let mut saved = OptionalColumn::new();
                cx.state.value_get(state, Which::All, &mut saved)?;
                let number = |v: Option<&[u8]>| v.map_or(0, |v| v[0]);
                let mut fired: Vec<u8> = saved.iter().map(number).collect();
                for (at, &time) in due.at.iter().enumerate() {
                    let key = due.keyed.key_of_row[at];
                    let count = &mut fired[key as usize];
                    *count += 1;
                    if *count > 60 {
                        continue;
                    }
                    let n: usize = name(due, at)[1..].parse().unwrap();
                    for (set, at) in act(n, time, seed) {
                        match set {
                            true => cx.state.timers_set(EVENT, &[key], &[at])?,
                            false => cx.state.timers_delete(EVENT, &[key], &[at])?,
                        }
                    }
                }
                let mut after = OptionalColumn::new();
                fired.iter().for_each(|&count| after.push(Some(&[count])));
                cx.state.value_put(state, Which::All, &after)?;
                Ok(told(cx, due))
            },
        )
        .with_state("fired", StateKind::Value);
        if keeps_memory {
            timers = timers.keeping_memory();
        }
        let ledger = Ledger::default();
        let mut job = job(MemorySource::of(&[rows]), 1, timers, &ledger);
        job.checkpoints = None;
        finished(&job.run());
        let mut fired = BTreeMap::<String, Vec<i64>>::new();
        for row in ledger.rows() {
            let (key, rest) = row.split_once('@').unwrap();
            let at = rest.split(' ').next().unwrap().parse().unwrap();
            fired.entry(key.to_owned()).or_default().push(at);
        }
        prop_assert_eq!(fired, oracle(6, &first, seed));
        let (calls, timers) = *calls.lock().unwrap();
        prop_assert!(calls <= timers);
    }
}

/// Refuses timers at odd times of key `b`, and tells the others.
fn picky(trap: bool) -> Closures {
    setting(
        |cx, row, key| Ok(cx.state.timers_set(EVENT, &[key], &[time_of(row)])?),
        move |cx, due| {
            let mut outcome = told(cx, due);
            let bad = |&at: &usize| due.at[at] % 2 == 1 && name(due, at) == "b";
            if let Some(bad) = (0..due.len()).find(bad) {
                if trap {
                    return Err(Failure::Trap(Box::new(weir_operator::Trap {
                        message: "as told".into(),
                        backtrace: Vec::new(),
                        row: None,
                    })));
                }
                let emitted = &mut outcome.emitted[0];
                let kept: weir_model::Column = emitted.values.iter().take(bad).collect();
                emitted.values = kept;
                emitted.origin.truncate(bad);
                outcome.poisoned = Some(Poison {
                    row: bad as u32,
                    message: "odd".into(),
                });
            }
            Ok(outcome)
        },
    )
}

#[test]
fn d13_a_timer_that_is_refused_or_traps_is_left_out_alone() {
    let rows: Vec<String> = (0..12)
        .map(|n| format!("{}-{n}-0", ["a", "b"][n % 2]))
        .collect();
    let rows = &[rows];
    for trap in [false, true] {
        let (good, dead) = (Ledger::default(), Ledger::default());
        let report = TestJob::new()
            .source("rows", 1, MemorySource::of(rows).timed(time_of))
            .operator("picky", 2, "rows", TestJob::by_prefix(), picky(trap))
            .dead_lettering("dead")
            .sink(
                "out",
                1,
                "picky",
                Partitioning::Rebalance,
                LedgerSink::new(&good),
            )
            .dead_letters("dead", 1, LedgerSink::new(&dead))
            .run();
        finished(&report);
        let mut told: Vec<String> = good.sorted();
        told.iter_mut()
            .for_each(|row| row.truncate(row.find(' ').unwrap()));
        let mut expected: Vec<String> = (0..12)
            .filter(|n| n % 2 == 0)
            .map(|n| format!("a@{n}"))
            .collect();
        expected.sort();
        assert_eq!(told, expected, "trap: {trap}");
        let letters = dead.rows();
        assert_eq!(letters.len(), 6, "trap: {trap}");
        let letter: Value = serde_json::from_str(&letters[0]).unwrap();
        let hash = weir_model::hash64(b"b");
        assert_eq!(
            letter,
            json!({
                "operator": "picky", "code": if trap { "W0102" } else { "W0101" },
                "error": if trap { "as told" } else { "odd" }, "timer": "event-time",
                "at_ms": 1, "key": "b", "timestamp_ms": 1, "key_hash": format!("{hash:016x}"),
            })
        );
        // Under `fail` it is told which one it was.
        let report = TestJob::new()
            .source("rows", 1, MemorySource::of(rows).timed(time_of))
            .operator("picky", 1, "rows", TestJob::by_prefix(), picky(trap))
            .sink(
                "out",
                1,
                "picky",
                Partitioning::Forward,
                LedgerSink::new(&Ledger::default()),
            )
            .run();
        let text = failure(&report);
        assert!(
            text.contains("event-time timer at 1 of key \"b\""),
            "{text}"
        );
    }
}

#[test]
fn d13_no_timer_is_left_out_where_its_key_would_wait_for_it_for_ever() {
    let rows: Vec<String> = (0..12)
        .map(|n| format!("{}-{n}-0", ["a", "b"][n % 2]))
        .collect();
    let (good, dead) = (Ledger::default(), Ledger::default());
    let report = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows]).timed(time_of))
        .operator(
            "picky",
            1,
            "rows",
            TestJob::by_prefix(),
            picky(true).needing_all_timers(),
        )
        .dead_lettering("dead")
        .sink(
            "out",
            1,
            "picky",
            Partitioning::Forward,
            LedgerSink::new(&good),
        )
        .dead_letters("dead", 1, LedgerSink::new(&dead))
        .run();
    let text = failure(&report);
    let named = text.contains("event-time timer at 1 of key \"b\"");
    assert!(named, "{text}");
    assert!(dead.rows().is_empty());
}
