//! Watermarks that an operator makes of what it emits, in whole jobs (semantics 1.9).

use std::{num::NonZeroU32, sync::Mutex};

use weir_event_time::{EmittedStrategy, WatermarkStrategy};
use weir_operator::Context;
use weir_state::TimerKind;

use super::*;

const BOUNDED: EmittedStrategy = EmittedStrategy::Bounded {
    max_out_of_orderness_ms: 0,
    every_rows: NonZeroU32::new(4096).unwrap(),
};

/// Rows are `<key>-<time>`, and get that time; `<key>-!<time>` says a watermark and is gone.
fn stamp(says: bool) -> Closures {
    Closures::new(move |cx, _, rows| {
        let mut emitted = Emitted::default();
        for (at, row) in rows.values.iter().enumerate() {
            let row = std::str::from_utf8(row).unwrap();
            let (_, time) = row.split_once('-').unwrap();
            match time.strip_prefix('!') {
                Some(said) => {
                    let behind = emitted.values.len() as u32;
                    cx.said_watermarks.push((behind, said.parse().unwrap()));
                }
                None => {
                    emitted.values.push(row.as_bytes());
                    emitted.timestamps.push(time.parse().unwrap());
                    emitted.origin.push(at as u32);
                }
            }
        }
        if says {
            assert!(!cx.said_watermarks.is_empty() || !emitted.values.is_empty());
        }
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    })
}

/// Sets a timer at the time of each row, and tells what fires and at which watermark.
fn timers() -> Closures {
    Closures::new(|cx, _, rows| {
        let keyed = rows.keyed.unwrap();
        for (&at, &key) in rows.timestamps.iter().zip(keyed.key_of_row) {
            cx.state.timers_set(TimerKind::EventTime, &[key], &[at])?;
        }
        Ok(Outcome::default())
    })
    .with_timers(|cx, due| {
        let mut emitted = Emitted::default();
        for (at, time) in due.at.iter().enumerate() {
            emitted
                .values
                .push(format!("{time} wm {}", cx.watermark).as_bytes());
            emitted.origin.push(at as u32);
        }
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    })
}

fn job(rows: &[&str], stamp: Closures, strategy: EmittedStrategy, ledger: &Ledger) -> TestJob {
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows]))
        .operator("stamp", 1, "rows", Partitioning::Forward, stamp)
        .making(strategy)
        .operator("timers", 1, "stamp", TestJob::by_prefix(), timers())
        .sink(
            "out",
            1,
            "timers",
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
fn what_a_component_says_comes_behind_the_rows_before_it_and_before_those_behind() {
    let ledger = Ledger::default();
    let rows = ["k-5", "k-7", "k-!6", "k-3", "k-!8", "k-!4", "k-20"];
    let strategy = EmittedStrategy::Component;
    finished(&job(&rows, stamp(true), strategy, &ledger).run());
    let expected = ["5 wm 6", "3 wm 8", "7 wm 8", "20 wm MAX"];
    assert_eq!(ledger.rows(), expected, "4 is less than what was said");
}

#[test]
fn watermarks_follow_from_the_times_that_an_operator_gives() {
    // The source knows no times. What follows is told behind 4,096 rows, and at the end.
    let rows: Vec<String> = (0..6000).map(|n| format!("k-{n}")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let ledger = Ledger::default();
    let mut job = job(&rows, stamp(false), BOUNDED, &ledger);
    job.checkpoints = None;
    finished(&job.run());
    let fired = ledger.rows();
    assert_eq!(fired.len(), 6000);
    assert_eq!(fired[0], "0 wm 4094");
    assert_eq!(fired[4094], "4094 wm 4094");
    // Behind that it may have run dry somewhere, but never before a row was there.
    for (at, row) in fired.iter().enumerate().skip(4095) {
        let (time, wm) = row.split_once(" wm ").unwrap();
        assert_eq!(time, at.to_string());
        assert!(wm == "MAX" || wm.parse::<usize>().unwrap() >= at, "{row}");
    }
}

#[test]
fn it_is_said_when_no_more_comes_for_now_so_that_nothing_waits_for_the_thousandth_row() {
    let valve = Valve::at(3);
    let (ledger, opened) = (Ledger::default(), valve.clone());
    let rows = ["k-10", "k-20", "k-30", "k-40"].map(str::to_owned).to_vec();
    // The last row comes when the timer of the second has fired.
    let seen = Closures::new(move |_, _, rows| {
        if rows.values.iter().any(|row| row.starts_with(b"20 ")) {
            opened.open_to(u64::MAX);
        }
        let emitted = Emitted {
            values: rows.values.iter().collect(),
            ..Emitted::default()
        };
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    });
    let source = MemorySource::of(&[rows]).behind(valve);
    let report = TestJob::new()
        .source("rows", 1, source)
        .operator("stamp", 1, "rows", Partitioning::Forward, stamp(false))
        .making(BOUNDED)
        .operator("timers", 1, "stamp", TestJob::by_prefix(), timers())
        .operator("seen", 1, "timers", Partitioning::Forward, seen)
        .sink(
            "out",
            1,
            "seen",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        )
        .run();
    finished(&report);
    let fired = ledger.rows();
    assert_eq!(fired.len(), 4);
    assert!(fired[1].starts_with("20 wm 2"), "{fired:?}");
}

#[test]
fn others_of_the_chain_keep_the_watermark_of_the_task() {
    // `stamp` and `plain` are chained to the source, which makes watermarks of its own.
    let rows = vec![vec!["k-50".to_owned(), "k-60".to_owned()]];
    let marks: Arc<Mutex<Vec<(&str, i64)>>> = Arc::default();
    let looking = |name: &'static str| {
        let marks = marks.clone();
        Closures::new(|cx, _, rows| {
            let keyed = rows.keyed.unwrap();
            for &key in keyed.key_of_row {
                // Before all rows, and between the watermarks of the two.
                cx.state
                    .timers_set(TimerKind::EventTime, &[key, key], &[-1000, 500])?;
            }
            Ok(Outcome::default())
        })
        .with_timers(move |cx: &mut Context, due| {
            let seen = due.at.iter().map(|_| (name, cx.watermark.0));
            marks.lock().unwrap().extend(seen);
            Ok(Outcome::default())
        })
    };
    let times = WatermarkStrategy {
        max_out_of_orderness_ms: 0,
        idle_after_ms: None,
        alignment: None,
        every_rows: WatermarkStrategy::EVERY_ROWS,
    };
    let source = MemorySource::of(&rows)
        .timed(|row| row.split_once('-').unwrap().1.parse::<i64>().unwrap() + 1000);
    let plain = map_rows(|row| Ok(vec![row.to_owned()]));
    let report = TestJob::new()
        .source("rows", 1, source)
        .watermarks(times)
        .operator("stamp", 1, "rows", Partitioning::Forward, stamp(false))
        .making(BOUNDED)
        .operator("plain", 1, "rows", Partitioning::Forward, plain)
        .operator("own", 1, "stamp", TestJob::by_prefix(), looking("own"))
        .operator("task", 1, "plain", TestJob::by_prefix(), looking("task"))
        .sink(
            "a",
            1,
            "own",
            Partitioning::Forward,
            LedgerSink::new(&Ledger::default()),
        )
        .sink(
            "b",
            1,
            "task",
            Partitioning::Forward,
            LedgerSink::new(&Ledger::default()),
        )
        .run();
    finished(&report);
    let mut seen = marks.lock().unwrap().clone();
    seen.sort_unstable();
    let expected = [
        ("own", 59),
        ("own", i64::MAX),
        ("task", 1059),
        ("task", 1059),
    ];
    assert_eq!(seen, expected);
}

/// What is said while the inputs are idle counts when they are not any more: else a window that
/// ends there would stay open until something higher is said.
#[test]
fn what_is_said_while_idle_is_said_again_behind_it() {
    let valve = Valve::at(1);
    let opened = valve.clone();
    let rows = vec![vec!["k-1".to_owned(), "k-2".to_owned()]];
    // The first row has a timer by the clock set, when nothing has come for long; it says 100.
    let stamp = Closures::new(|cx, _, rows| {
        let keyed = rows.keyed.unwrap();
        let mut emitted = Emitted::default();
        for (at, row) in rows.values.iter().enumerate() {
            if row == b"k-1" {
                let later = cx.processing_time.0 + 30;
                let key = keyed.key_of_row[at];
                cx.state
                    .timers_set(TimerKind::ProcessingTime, &[key], &[later])?;
            }
            emitted.values.push(row);
            emitted
                .timestamps
                .push(if row == b"k-1" { 50 } else { 500 });
            emitted.origin.push(at as u32);
        }
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    })
    .with_timers(move |cx, _| {
        cx.said_watermarks.push((0, 100));
        opened.open_to(u64::MAX);
        Ok(Outcome::default())
    });
    let times = WatermarkStrategy {
        max_out_of_orderness_ms: 0,
        idle_after_ms: Some(1),
        alignment: None,
        every_rows: WatermarkStrategy::EVERY_ROWS,
    };
    let ledger = Ledger::default();
    let report = TestJob::new()
        .source(
            "rows",
            1,
            MemorySource::of(&rows).timed(|_| 0).behind(valve),
        )
        .watermarks(times)
        .operator("stamp", 1, "rows", TestJob::by_prefix(), stamp)
        .making(EmittedStrategy::Component)
        .operator("timers", 1, "stamp", TestJob::by_prefix(), timers())
        .sink(
            "out",
            1,
            "timers",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        )
        .run();
    finished(&report);
    assert_eq!(ledger.rows(), ["50 wm 100", "500 wm MAX"]);
}

#[test]
fn rows_without_a_time_and_watermarks_that_nobody_asked_for_are_told() {
    let untimed = map_rows(|row| Ok(vec![row.to_owned()]));
    let report = job(&["k-1"], untimed, BOUNDED, &Ledger::default()).run();
    let Ended::Failed(failure) = &report.outcome else {
        panic!("{:?}", report.outcome);
    };
    let told = format!("{failure:?}");
    assert!(told.contains("1 rows of 1 have none"), "{told}");

    let report = job(&["k-!1"], stamp(true), BOUNDED, &Ledger::default()).run();
    let Ended::Failed(failure) = &report.outcome else {
        panic!("{:?}", report.outcome);
    };
    let told = format!("{failure:?}");
    assert!(told.contains("`context.emit-watermark` is for"), "{told}");
}
