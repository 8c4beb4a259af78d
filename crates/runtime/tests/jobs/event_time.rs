//! Watermarks in whole jobs (semantics 1.9, D15).

use std::{
    num::NonZeroU32,
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU64},
    },
};

use weir_event_time::{DriftLimit, WatermarkStrategy};
use weir_model::EventTime;

use super::*;

/// Each row that an operator has seen, with the watermark then.
type Seen = Arc<Mutex<Vec<(i64, EventTime)>>>;

fn bounded(bound_ms: u64) -> WatermarkStrategy {
    WatermarkStrategy {
        max_out_of_orderness_ms: bound_ms,
        idle_after_ms: None,
        alignment: None,
        every_rows: NonZeroU32::new(4096).unwrap(),
    }
}

fn time_of(row: &str) -> i64 {
    row.parse().unwrap()
}

/// An operator that writes down what it sees.
fn watching(seen: &Seen) -> Closures {
    let seen = Arc::clone(seen);
    Closures::new(move |cx, _, rows| {
        let mut seen = seen.lock().unwrap();
        seen.extend(rows.timestamps.iter().map(|&time| (time, cx.watermark)));
        Ok(Outcome::default())
    })
}

/// Times that rise and are out of order by up to 9.
fn times(count: i64) -> Vec<i64> {
    (0..count).map(|i| i * 2 - i * 7 % 10).collect()
}

/// What an operator sees of a source that reads `most` rows at a time.
fn watched(most: usize, chained: bool) -> Vec<(i64, EventTime)> {
    let seen = Seen::default();
    let source = MemorySource::of(&[times(40_000)])
        .reading(most)
        .timed(time_of);
    let mut job = TestJob::new()
        .source("rows", 1, source)
        .watermarks(bounded(11))
        .operator("watch", 1, "rows", Partitioning::Forward, watching(&seen));
    if !chained {
        job = job.unchained();
    }
    job.checkpoints = None;
    let sink = LedgerSink::new(&Ledger::default());
    let report = job
        .sink("out", 1, "watch", Partitioning::Forward, sink)
        .run();
    assert!(matches!(report.outcome, Ended::Finished));
    let watermark = report.meters.iter().map(|meters| meters.watermark.get());
    assert!(watermark.min() == Some(EventTime::MAX), "all is over");
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[test]
fn no_row_is_late_within_the_bound_and_watermarks_are_behind_the_same_rows() {
    let all = watched(usize::MAX, true);
    assert_eq!(all.len(), 40_000);
    assert!(
        all.iter()
            .all(|&(time, watermark)| EventTime(time) > watermark)
    );
    let steps: std::collections::BTreeSet<_> = all.iter().map(|&(_, at)| at).collect();
    // One behind each 4,096 rows, and none before the first.
    assert_eq!(steps.len(), 10);
    for (most, chained) in [
        (100, true),
        (1500, true),
        (3, false),
        (4096, false),
        (6000, false),
    ] {
        assert_eq!(watched(most, chained), all, "{most} at a time");
    }
}

/// Two sources, of which one has its next row when the one before it has come through; how far
/// ahead of it the other was read, in milliseconds.
fn furthest_ahead(alignment: Option<DriftLimit>) -> i64 {
    let strategy = WatermarkStrategy {
        alignment,
        ..bounded(0)
    };
    let (slow_at, ahead) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let valve = Valve::at(1);
    let (at, passed, opened) = (slow_at.clone(), AtomicU64::new(1), valve.clone());
    let slow: Vec<i64> = (0..50).map(|i| i * 1000).collect();
    let slow = MemorySource::of(&[slow]).behind(valve).timed(move |row| {
        at.store(time_of(row), Ordering::SeqCst);
        time_of(row)
    });
    let (at, most) = (slow_at, ahead.clone());
    let fast: Vec<i64> = (0..50_000).collect();
    let fast = MemorySource::of(&[fast]).timed(move |row| {
        let ahead = time_of(row) - at.load(Ordering::SeqCst);
        most.fetch_max(ahead, Ordering::SeqCst);
        time_of(row)
    });
    let opening = Closures::new(move |_, input, rows| {
        if input == 0 {
            let count = rows.values.len() as u64;
            opened.open_to(count + passed.fetch_add(count, Ordering::SeqCst));
        }
        Ok(Outcome::default())
    });
    let mut job = TestJob::new()
        .source("slow", 1, slow)
        .watermarks(strategy.clone())
        .source("fast", 1, fast)
        .watermarks(strategy)
        .operator(
            "open",
            1,
            "slow",
            Partitioning::Rebalance,
            opening.with_inputs(2),
        )
        .and_from("fast", Partitioning::Rebalance);
    job.checkpoints = None;
    let sink = LedgerSink::new(&Ledger::default());
    let report = job
        .sink("out", 1, "open", Partitioning::Forward, sink)
        .run();
    assert!(matches!(report.outcome, Ended::Finished));
    ahead.load(Ordering::SeqCst)
}

#[test]
fn a_source_waits_for_those_of_its_group_that_are_behind() {
    let limit = DriftLimit {
        group: "all".into(),
        max_drift_ms: 2000,
    };
    // What was read before its watermark said so: 4,096 rows of a millisecond each.
    let ahead = furthest_ahead(Some(limit));
    assert!(ahead <= 2000 + 4096, "{ahead}");
    assert!(furthest_ahead(None) > 2000 + 4096);
}

#[test]
fn nobody_waits_for_a_source_that_has_been_silent_for_long() {
    let valve = Valve::at(0);
    let silent = MemorySource::of(&[vec![9_000]])
        .behind(valve.clone())
        .timed(time_of);
    let speaking = MemorySource::of(&[(0..12_000).collect::<Vec<i64>>()])
        .reading(10)
        .timed(time_of);
    // The silent one has its row only when the watermark has passed without it.
    let opening = Closures::new(move |cx, _, _| {
        if cx.watermark > EventTime(1000) {
            valve.open_to(1);
        }
        Ok(Outcome::default())
    });
    let idle = WatermarkStrategy {
        idle_after_ms: Some(1),
        ..bounded(0)
    };
    let mut job = TestJob::new()
        .source("silent", 1, silent)
        .watermarks(idle)
        .source("speaking", 1, speaking)
        .watermarks(bounded(0))
        .rate(40_000.0)
        .operator(
            "open",
            1,
            "silent",
            Partitioning::Rebalance,
            opening.with_inputs(2),
        )
        .and_from("speaking", Partitioning::Rebalance);
    job.checkpoints = None;
    let sink = LedgerSink::new(&Ledger::default());
    let report = job
        .sink("out", 1, "open", Partitioning::Forward, sink)
        .run();
    assert!(matches!(report.outcome, Ended::Finished));
}

#[test]
fn a_reader_without_a_split_does_not_end_time_for_one_that_is_silent() {
    let valve = Valve::at(1);
    let source = MemorySource::of(&[vec![1_000, 2_000, 3_000]])
        .behind(valve.clone())
        .timed(time_of);
    let idle = WatermarkStrategy {
        idle_after_ms: Some(1),
        ..bounded(0)
    };
    let seen = Seen::default();
    let mut job = TestJob::new()
        .source("rows", 2, source)
        .watermarks(idle)
        .operator("watch", 1, "rows", Partitioning::Rebalance, watching(&seen));
    // Checkpoints are some milliseconds apart: the source is idle by then.
    job.events = at_checkpoint(5, move || valve.open_to(u64::MAX));
    let sink = LedgerSink::new(&Ledger::default());
    let report = job
        .sink("out", 1, "watch", Partitioning::Forward, sink)
        .run();
    assert!(matches!(report.outcome, Ended::Finished));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter()
            .all(|&(time, watermark)| watermark < EventTime(time)),
        "{seen:?}"
    );
}
