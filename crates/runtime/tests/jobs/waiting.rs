//! Operators whose calls wait, in whole jobs (semantics 1.11): in which order results leave, what a
//! checkpoint holds of them, and what becomes of calls that give nothing.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use proptest::prelude::*;
use serde_json::Value;
use weir_checkpoint::testing::MemoryStore;
use weir_event_time::WatermarkStrategy;
use weir_model::SavepointFormat;
use weir_operator::{AsyncOptions, NotCalled, Order, Retry};
use weir_runtime::control::{JobCommand, SavepointTarget};
use weir_testkit::{Answers, Asking};

use super::*;

/// Long enough that nothing takes longer by itself.
fn options(order: Order, capacity: usize) -> AsyncOptions {
    AsyncOptions {
        order,
        capacity,
        timeout: Duration::from_secs(600),
        retry: Retry::Never,
    }
}

fn held(options: AsyncOptions, answers: &Answers) -> Asking {
    let answers = answers.clone();
    Asking::new(options, move |row| {
        let answers = answers.clone();
        async move { answers.ask(row).await }
    })
}

/// source -> what asks -> sink, at a parallelism.
fn asking(source: MemorySource, parallelism: u32, asks: Asking, ledger: &Ledger) -> TestJob {
    TestJob::new()
        .source("rows", 1, source)
        .operator("ask", parallelism, "rows", TestJob::by_prefix(), asks)
        .sink(
            "out",
            parallelism,
            "ask",
            Partitioning::Forward,
            LedgerSink::new(ledger),
        )
}

#[track_caller]
fn finished(report: &Report) {
    let finished = matches!(report.outcome, Ended::Finished);
    assert!(finished, "{:?}", report.outcome);
}

/// Waits in real time for what other threads do.
fn until(is: impl Fn() -> bool) {
    while !is() {
        std::thread::yield_now();
    }
}

/// Rows with the event times 1, 2 and 7, of which the watermark 5 comes before the last, and what a
/// node behind them sees when their answers come last first.
fn told(order: Order) -> Vec<String> {
    let (answers, ledger, valve) = (Answers::default(), Ledger::default(), Valve::at(3));
    let rows = vec![vec!["a-1", "a-2", "z-6", "a-7"]];
    let time = |row: &str| row.split('-').nth(1).unwrap().parse().unwrap();
    let source = MemorySource::of(&rows)
        .timed(time)
        .reading(1)
        .behind(valve.clone());
    let bounded = WatermarkStrategy {
        max_out_of_orderness_ms: 0,
        idle_after_ms: None,
        alignment: None,
        every_rows: WatermarkStrategy::EVERY_ROWS,
    };
    let stamped = Closures::new(|cx, _, rows| {
        let mut emitted = Emitted::default();
        for (row, time) in rows.values.iter().zip(rows.timestamps) {
            let row = std::str::from_utf8(row).unwrap();
            let passed = if cx.watermark.0 >= 5 { " behind 5" } else { "" };
            emitted
                .values
                .push(format!("{row} at {time}{passed}").as_bytes());
        }
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    });
    let job = TestJob::new()
        .source("rows", 1, source)
        .watermarks(bounded)
        .operator(
            "ask",
            1,
            "rows",
            Partitioning::Forward,
            held(options(order, 100), &answers),
        )
        .operator("stamped", 1, "ask", Partitioning::Forward, stamped)
        .sink(
            "out",
            1,
            "stamped",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    let given = answers.clone();
    let answering = std::thread::spawn(move || {
        until(|| given.asked().len() == 3);
        valve.open_to(u64::MAX);
        until(|| given.asked().len() == 4);
        for row in ["a-7", "a-2", "z-6", "a-1"] {
            given.give(row);
        }
    });
    finished(&job.run());
    answering.join().unwrap();
    ledger.rows()
}

#[test]
fn results_keep_the_time_of_their_row_and_leave_in_its_order_or_as_they_come() {
    let ordered = ["a-1 at 1", "a-2 at 2", "z-6 at 6", "a-7 at 7 behind 5"];
    assert_eq!(told(Order::Ordered), ordered);
    let unordered = told(Order::Unordered);
    assert_eq!(unordered.len(), 4);
    assert_eq!(unordered[3], "a-7 at 7 behind 5", "{unordered:?}");
    assert!(
        unordered[..3].iter().all(|row| !row.contains("behind")),
        "{unordered:?}"
    );
}

#[test]
fn no_more_rows_than_the_capacity_are_under_way_and_checkpoints_are_taken_meanwhile() {
    let (answers, ledger) = (Answers::default(), Ledger::default());
    let all = rows(0, 50, 3);
    let valve = Valve::at(49);
    let source = MemorySource::of(std::slice::from_ref(&all)).behind(valve.clone());
    let asks = held(options(Order::Ordered, 4), &answers);
    let mut job = asking(source, 1, asks, &ledger);
    let (given, seen) = (answers, Arc::new(Mutex::new(Vec::new())));
    let asked = seen.clone();
    // While every call is held back three checkpoints complete.
    let three = Arc::new(AtomicU32::new(0));
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Checkpoint(_))
            && !given.asked().is_empty()
            && three.fetch_add(1, Ordering::SeqCst) == 2
        {
            asked.lock().unwrap().extend(given.asked());
            given.give_all();
            valve.open_to(u64::MAX);
        }
    });
    let report = job.run();
    finished(&report);
    assert_eq!(*seen.lock().unwrap(), all[..4]);
    assert_eq!(ledger.rows(), all);
    assert!(report.completed >= 3);
    let meters = report.meters.iter().find(|m| m.name.as_str() == "ask");
    assert_eq!(meters.unwrap().waiting.get(), 0);
}

/// A job that fails when so many calls were answered, once: the rows that wait are called again.
#[test]
fn after_a_failure_rows_that_wait_are_called_again_and_come_out_once() {
    for order in [Order::Ordered, Order::Unordered] {
        let ledger = Ledger::default();
        let all = rows(0, 300, 7);
        let valve = Valve::at(200);
        let counts = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
        let (armed, calls) = (Arc::new(AtomicBool::new(false)), counts.clone());
        let trip = armed.clone();
        let asks = Asking::new(options(order, 10), move |row: String| {
            *calls.lock().unwrap().entry(row.clone()).or_default() += 1;
            let fails = trip.swap(false, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                let failure = Failure::Guest {
                    message: "boom".into(),
                    row: None,
                };
                match fails {
                    true => Err(NotCalled::Broken(failure)),
                    false => Ok(vec![row]),
                }
            }
        });
        let opened = valve.clone();
        let source = MemorySource::of(std::slice::from_ref(&all))
            .reading(10)
            .behind(valve);
        let mut job = asking(source, 1, asks, &ledger);
        job.events = at_checkpoint(3, move || {
            armed.store(true, Ordering::SeqCst);
            opened.open_to(u64::MAX);
        });
        job.restart = RESTARTS;
        let report = job.run();
        finished(&report);
        assert_eq!(report.restarts, 1);
        let mut expected = all.clone();
        if order == Order::Ordered {
            assert_eq!(ledger.rows(), expected);
        }
        expected.sort();
        assert_eq!(ledger.sorted(), expected);
        let counts = counts.lock().unwrap();
        assert!(counts.values().any(|&calls| calls > 1), "{counts:?}");
    }
}

/// Stops a job with a savepoint while all its calls are held back.
fn stopped_with(held_back: &Answers, all: &[String], drain: bool) -> (Arc<MemoryStore>, Ledger) {
    let (store, ledger) = (Arc::new(MemoryStore::new()), Ledger::default());
    let valve = Valve::at(all.len() as u64 - 1);
    let source = MemorySource::of(&[all.to_vec()]).behind(valve);
    let asks = held(options(Order::Ordered, 5), held_back);
    let mut job = asking(source, 2, asks, &ledger);
    let commands = job.commander();
    let target = SavepointTarget {
        store: store.clone(),
        folder: "sp".into(),
        location: "mem".into(),
    };
    let (asked, given) = (AtomicBool::new(false), held_back.clone());
    job.events = Events::reacting(move |event| {
        let is_in = matches!(event, JobEvent::Checkpoint(done) if done.id >= CheckpointId(3));
        if is_in && given.asked().len() == 10 && !asked.swap(true, Ordering::SeqCst) {
            let savepoint = Some((target.clone(), SavepointFormat::Canonical));
            drop(commands.ask(|reply| JobCommand::Stop {
                drain,
                savepoint,
                reply,
            }));
            if drain {
                given.give_all();
            }
        }
    });
    let report = job.run();
    let ended = matches!(report.outcome, Ended::Stopped(_) | Ended::Finished);
    assert!(ended, "{:?}", report.outcome);
    (store, ledger)
}

/// Rows that are read at once and of which each of two subtasks has some: rows that came in another
/// batch would wait in a channel, and barriers behind them.
fn dealt() -> Vec<String> {
    rows(0, 60, 20)
}

#[test]
fn a_savepoint_has_the_rows_that_wait_and_any_parallelism_goes_on_with_them() {
    let all = dealt();
    let held_back = Answers::default();
    let (store, ledger) = stopped_with(&held_back, &all, false);
    assert!(ledger.rows().is_empty(), "nothing leaves behind the stop");
    for parallelism in [1, 2, 5] {
        let ledger = Ledger::default();
        let answers = Answers::default();
        answers.give_all();
        let asks = held(options(Order::Ordered, 5), &answers);
        let source = MemorySource::of(std::slice::from_ref(&all));
        let mut job = asking(source, parallelism, asks, &ledger);
        job.restore = RestoreFrom::Checkpoint(Foreign {
            store: store.clone(),
            folder: "sp".into(),
        });
        finished(&job.run());
        let mut expected = all.clone();
        expected.sort();
        assert_eq!(ledger.sorted(), expected, "at {parallelism}");
        let asked = answers.asked();
        assert_eq!(asked.len(), 60);
        // What waited is called first.
        assert!(parallelism > 1 || asked.last() == all.last(), "{asked:?}");
    }
}

#[test]
fn a_drain_waits_for_all_results() {
    let all = dealt();
    let (_, ledger) = stopped_with(&Answers::default(), &all, true);
    let mut expected = all[..59].to_vec();
    expected.sort();
    assert_eq!(ledger.sorted(), expected);
}

/// What a job comes to one of whose rows is never answered, or fails.
fn with_bad(asks: Asking, build: impl Fn(TestJob) -> TestJob) -> (Report, Vec<String>) {
    let ledger = Ledger::default();
    let job = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows(0, 6, 2)]))
        .operator("ask", 1, "rows", Partitioning::Rebalance, asks);
    let job = build(job).sink(
        "out",
        1,
        "ask",
        Partitioning::Forward,
        LedgerSink::new(&ledger),
    );
    let report = job.run();
    (report, ledger.rows())
}

fn never(timeout_ms: u64) -> Asking {
    let options = AsyncOptions {
        timeout: Duration::from_millis(timeout_ms),
        ..options(Order::Ordered, 10)
    };
    Asking::new(options, |row: String| async move {
        if row.ends_with("-3") {
            std::future::pending::<()>().await;
        }
        Ok(vec![row])
    })
}

#[test]
fn a_row_that_takes_too_long_fails_the_job_or_is_left_out_as_the_job_says() {
    let (report, out) = with_bad(never(20), |job| job);
    let text = failure(&report);
    assert!(text.contains("longer than `async.timeout`"), "{text}");
    assert!(text.contains("k1-0-3"), "{text}");
    let Ended::Failed(failed) = &report.outcome else {
        panic!()
    };
    assert_eq!(failed.failure.code(), "W0170");
    assert_eq!(failed.place.as_ref().unwrap().node.as_str(), "ask");
    assert!(out.is_empty());

    let (report, out) = with_bad(never(20), TestJob::skipping);
    finished(&report);
    let mut good = rows(0, 6, 2);
    good.remove(3);
    assert_eq!(out, good);

    let dead = Ledger::default();
    let (report, out) = with_bad(never(20), |job| {
        job.dead_lettering("dead")
            .dead_letters("dead", 1, LedgerSink::new(&dead))
    });
    finished(&report);
    assert_eq!(out, good);
    let letter: Value = serde_json::from_str(&dead.rows()[0]).unwrap();
    assert_eq!(letter["code"], "W0170");
    assert_eq!(letter["row"], "k1-0-3");
    assert_eq!(letter["input"], "rows");
}

#[test]
fn a_call_that_fails_is_made_again_as_often_as_the_job_says() {
    let asking = |attempts, fails: u32| {
        let counts = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
        let options = AsyncOptions {
            retry: Retry::Exponential {
                attempts,
                initial_ms: 1,
                max_ms: 2,
                multiplier: 2.0,
            },
            ..options(Order::Ordered, 10)
        };
        Asking::new(options, move |row: String| {
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(row.clone()).or_default();
            *count += 1;
            let fails = row.ends_with("-3") && *count <= fails;
            async move {
                match fails {
                    true => Err(NotCalled::Failed("503".into())),
                    false => Ok(vec![row]),
                }
            }
        })
    };
    let (report, out) = with_bad(asking(2, 2), |job| job);
    finished(&report);
    assert_eq!(out, rows(0, 6, 2));

    let (report, _) = with_bad(asking(2, 3), |job| job);
    let text = failure(&report);
    assert!(text.contains("a call for a row failed: 503"), "{text}");
    let Ended::Failed(failed) = &report.outcome else {
        panic!()
    };
    assert_eq!(failed.failure.code(), "W0171");
}

#[test]
fn calls_that_compute_let_others_on_their_threads() {
    let (others, ledger) = (Ledger::default(), Ledger::default());
    let count = Arc::new(AtomicU32::new(0));
    let seen = count.clone();
    // As many tasks as there are threads; each wants its turn at once, until the others are
    // through.
    let asks = Asking::new(options(Order::Ordered, 10), move |row: String| {
        let seen = seen.clone();
        async move {
            while seen.load(Ordering::SeqCst) < 50 {
                let began = std::time::Instant::now();
                while began.elapsed() < Duration::from_millis(3) {
                    std::hint::spin_loop();
                }
                tokio::task::yield_now().await;
            }
            Ok(vec![row])
        }
    });
    let counting = map_rows(move |row| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(vec![row.to_owned()])
    });
    let valve = Valve::at(0);
    let opened = valve.clone();
    let source = MemorySource::of(&[rows(1, 50, 1)]).behind(valve);
    let job = asking(MemorySource::of(&[dealt()]), 2, asks, &ledger)
        .source("other", 1, source)
        .operator("count", 1, "other", Partitioning::Forward, counting)
        .sink(
            "others",
            1,
            "count",
            Partitioning::Rebalance,
            LedgerSink::new(&others),
        )
        .listening(at_checkpoint(2, move || opened.open_to(u64::MAX)));
    finished(&job.run());
    assert_eq!((ledger.rows().len(), others.rows().len()), (60, 50));
}

#[test]
fn large_rows_are_not_held_without_bound() {
    let (answers, ledger) = (Answers::default(), Ledger::default());
    // Far more than is held, were it only counted in rows.
    let large = |n: usize| format!("k-{n:03}{}", "x".repeat(1 << 20));
    let all: Vec<String> = (0..100).map(large).collect();
    let asks = held(options(Order::Ordered, 1000), &answers);
    let given = answers.clone();
    let source = MemorySource::of(std::slice::from_ref(&all)).reading(1);
    let job = asking(source, 1, asks, &ledger);
    let watching = std::thread::spawn(move || {
        until(|| given.asked().len() >= 64);
        // More would come within this time, if it came at all.
        let began = std::time::Instant::now();
        until(|| began.elapsed() > Duration::from_millis(100));
        let asked = given.asked().len();
        given.give_all();
        asked
    });
    finished(&job.run());
    let asked = watching.join().unwrap();
    assert!(asked <= 66, "{asked}");
    assert_eq!(ledger.rows().len(), 100);
}

#[test]
fn a_refused_row_is_not_asked_about_again() {
    let options = AsyncOptions {
        retry: Retry::Fixed {
            attempts: 5,
            delay_ms: 1,
        },
        ..options(Order::Ordered, 10)
    };
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let asks = Asking::new(options, move |row: String| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match row.ends_with("-3") {
                true => Err(NotCalled::Refused("no such carrier".into())),
                false => Ok(vec![row]),
            }
        }
    });
    let (report, out) = with_bad(asks, TestJob::skipping);
    finished(&report);
    assert_eq!(out.len(), 5);
    assert_eq!(calls.load(Ordering::SeqCst), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is slow and whenever the job dies or fails, each row comes out once.
    #[test]
    fn each_row_comes_out_once_whatever_happens(
        unordered in any::<bool>(),
        unaligned in any::<bool>(),
        capacity in 1usize..20,
        parallelism in prop::array::uniform3(1u32..4),
        deaths in prop::array::uniform2(1u64..4),
    ) {
        let order = if unordered { Order::Unordered } else { Order::Ordered };
        let ledger = Ledger::default();
        let splits = [rows(0, 150, 7), rows(1, 150, 7)];
        let valve = Valve::at(120);
        let mut store = None;
        for (run, parallelism) in parallelism.into_iter().enumerate() {
            let asks = Asking::new(options(order, capacity), |row: String| async move {
                // Some take longer than others.
                for _ in 0..row.bytes().map(u32::from).sum::<u32>() % 17 {
                    tokio::task::yield_now().await;
                }
                Ok(vec![row])
            });
            let source = MemorySource::of(&splits).reading(7).behind(valve.clone());
            let mut job = TestJob::new()
                .source("rows", 2, source)
                .operator("ask", parallelism, "rows", Partitioning::Rebalance, asks)
                .operator("count", parallelism, "ask", TestJob::by_prefix(), counter())
                .sink("out", 1, "count", Partitioning::Rebalance, LedgerSink::new(&ledger));
            job.checkpoints = Some(Config {
                interval_ms: Some(2),
                unaligned,
                ..Config::default()
            });
            if let Some(store) = store.take() {
                job.store = store;
            }
            let last = run == 2;
            if last {
                valve.open_to(u64::MAX);
            } else {
                let stop = job.stopper();
                job.events = at_checkpoint(deaths[run], move || stop(false));
            }
            let report = job.run();
            match &report.outcome {
                Ended::Finished if last => {}
                Ended::Cancelled if !last => {}
                other => prop_assert!(false, "{other:?}"),
            }
            store = Some(job.store.clone());
        }
        prop_assert_eq!(ledger.sorted(), counted(&splits));
    }
}
