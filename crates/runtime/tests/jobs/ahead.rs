//! Sources that are read ahead of their task, in whole jobs.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    thread,
};

use super::*;

const ROWS: usize = 60_000;

/// The names of the threads that have read.
#[derive(Clone, Default)]
struct Readers(Arc<Mutex<BTreeSet<String>>>);

impl Readers {
    /// A source that notes who reads from it.
    fn of(&self, splits: &[Vec<String>]) -> MemorySource {
        let readers = self.clone();
        MemorySource::of(splits).timed(move |row| {
            let name = thread::current().name().unwrap_or_default().to_owned();
            let mut readers = readers.0.lock().unwrap_or_else(PoisonError::into_inner);
            readers.insert(name);
            row.rsplit('-').next().unwrap().parse().unwrap()
        })
    }

    fn are_ahead(&self) -> bool {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.contains("weir-source")
    }
}

/// source -> map -> sink, in one chain.
fn chained(source: MemorySource, map: Closures, parallelism: u32, ledger: &Ledger) -> TestJob {
    let mut job = TestJob::new()
        .source("rows", parallelism, source)
        .operator("map", parallelism, "rows", Partitioning::Forward, map)
        .sink(
            "out",
            parallelism,
            "map",
            Partitioning::Forward,
            LedgerSink::new(ledger),
        );
    job.restart = RESTARTS;
    job
}

#[test]
fn rows_that_were_read_ahead_of_a_failure_come_once() {
    let splits = [rows(0, ROWS, 7)];
    let mut all = splits[0].clone();
    all.sort();
    // Whether a thread has a core by then is not for the job to say; where all cores are taken the
    // task reads all of it.
    let was_ahead = (0..50).any(|_| {
        let (ledger, readers) = (Ledger::default(), Readers::default());
        let failed = AtomicBool::new(false);
        let seen = readers.clone();
        let map = map_rows(move |row| {
            if seen.are_ahead() && !failed.swap(true, Ordering::Relaxed) {
                return Err(Failure::Guest {
                    message: "boom".into(),
                    row: None,
                });
            }
            Ok(vec![row.to_owned()])
        });
        let report = chained(readers.of(&splits), map, 1, &ledger).run();
        assert!(
            matches!(report.outcome, Ended::Finished),
            "{:?}",
            report.outcome
        );
        assert_eq!(ledger.sorted(), all);
        report.restarts == 1
    });
    assert!(was_ahead);
}

#[test]
fn where_no_core_is_idle_a_task_reads_itself() {
    let splits = [rows(0, ROWS, 7), rows(1, ROWS, 7)];
    let (ledger, readers) = (Ledger::default(), Readers::default());
    let map = map_rows(|row| Ok(vec![row.to_owned()]));
    let report = chained(readers.of(&splits), map, 2, &ledger).run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(ledger.rows().len(), 2 * ROWS);
    assert!(!readers.are_ahead());
}
