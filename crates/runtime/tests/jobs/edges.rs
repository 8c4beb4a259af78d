//! Edges that leave one task.

use std::{
    sync::{Mutex, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use weir_model::{Batch, Rows};

use super::*;

/// Emits all rows of a call.
fn as_they_came(rows: Rows<'_>) -> Outcome {
    let mut emitted = Emitted::default();
    for (at, row) in (0..).zip(rows.values.iter()) {
        emitted.values.push(row);
        emitted.origin.push(at);
    }
    Outcome {
        emitted: vec![emitted],
        poisoned: None,
    }
}

/// Emits each row whose number can be divided by this.
fn each(step: usize) -> Closures {
    map_rows(move |row| {
        let number: usize = row.rsplit('-').next().unwrap().parse().unwrap();
        let rows = number.is_multiple_of(step).then(|| row.to_owned());
        Ok(rows.into_iter().collect())
    })
}

/// The one with few rows would fill no batch, and hand over at the end.
#[test]
fn an_edge_with_few_rows_goes_with_one_that_has_many() {
    const BATCHES: usize = 4;
    let all = rows(0, BATCHES * Batch::MAX_ROWS, 7);
    let (many, few) = (Ledger::default(), Ledger::default());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let note = Closures::new(move |_, _, rows| {
        seen.lock().unwrap().push(rows.len());
        Ok(as_they_came(rows))
    });
    let report = TestJob::new()
        .source("rows", 1, MemorySource::of(&[all]))
        .operator("some", 1, "rows", Partitioning::Forward, each(40))
        .operator("note", 1, "some", TestJob::by_prefix(), note)
        .sink(
            "few",
            1,
            "note",
            Partitioning::Forward,
            LedgerSink::new(&few),
        )
        .sink(
            "many",
            1,
            "rows",
            TestJob::by_prefix(),
            LedgerSink::new(&many),
        )
        .run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(many.rows().len(), BATCHES * Batch::MAX_ROWS);
    assert_eq!(few.rows().len(), (BATCHES * Batch::MAX_ROWS).div_ceil(40));
    let calls = calls.lock().unwrap();
    assert!(calls.len() >= BATCHES, "{calls:?}");
}

/// A batch is long for an operator that is slow: what it emits meanwhile goes on as from one that
/// is quick.
#[test]
fn rows_do_not_wait_for_the_rest_of_the_batch_in_hand() {
    const PATIENCE: Duration = Duration::from_secs(10);
    let spin_until = |is_over: &dyn Fn() -> bool| {
        while !is_over() {
            std::hint::spin_loop();
        }
    };
    let (seen, calls) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let behind = Arc::clone(&seen);
    let in_time = Arc::new(AtomicBool::new(true));
    let was_in_time = Arc::clone(&in_time);
    let slow = Closures::new(move |_, _, rows| {
        let began = Instant::now();
        match calls.fetch_add(1, Ordering::Relaxed) {
            // What the first call has emitted is old behind the second.
            0 | 1 => spin_until(&|| began.elapsed() > Duration::from_millis(6)),
            _ if !in_time.load(Ordering::Relaxed) => {}
            _ => {
                let is_there = || seen.load(Ordering::Relaxed) > 0;
                spin_until(&|| is_there() || began.elapsed() > PATIENCE);
                in_time.fetch_and(is_there(), Ordering::Relaxed);
            }
        }
        Ok(as_they_came(rows))
    });
    let note = Closures::new(move |_, _, rows| {
        behind.fetch_add(rows.len(), Ordering::Relaxed);
        Ok(as_they_came(rows))
    });
    let out = Ledger::default();
    let report = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows(0, 1000, 7)]))
        .operator("slow", 1, "rows", TestJob::by_prefix(), slow)
        .operator("note", 1, "slow", TestJob::by_prefix(), note)
        .sink(
            "out",
            1,
            "note",
            Partitioning::Forward,
            LedgerSink::new(&out),
        )
        .run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert!(was_in_time.load(Ordering::Relaxed));
    assert_eq!(out.rows().len(), 1000);
}
