//! Edges that leave one task.

use std::sync::Mutex;

use weir_model::Batch;

use super::*;

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
        let mut emitted = Emitted::default();
        for (at, row) in (0..).zip(rows.values.iter()) {
            emitted.values.push(row);
            emitted.origin.push(at);
        }
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
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
