//! Sources that are read ahead of their task, in whole jobs.

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    thread,
};

use weir_event_time::{DriftLimit, WatermarkStrategy};

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
fn a_source_that_waits_for_others_has_a_rate_or_cannot_go_back_is_read_by_its_task() {
    let splits = [rows(0, ROWS, 7)];
    let aligned = WatermarkStrategy {
        max_out_of_orderness_ms: 0,
        idle_after_ms: None,
        alignment: Some(DriftLimit {
            group: "all".into(),
            max_drift_ms: u64::MAX,
        }),
        every_rows: NonZeroU32::new(16_384).unwrap(),
    };
    for which in 0..3 {
        let (ledger, readers) = (Ledger::default(), Readers::default());
        let source = readers.of(&splits);
        let source = match which {
            0 => source.not_replayable(),
            _ => source,
        };
        let map = map_rows(|row| Ok(vec![row.to_owned()]));
        let job = chained(source, map, 1, &ledger);
        let mut job = match which {
            1 => job.rate(1e9),
            2 => job.watermarks(aligned.clone()),
            _ => job,
        };
        job.checkpoints = None;
        let report = job.run();
        assert!(
            matches!(report.outcome, Ended::Finished),
            "{:?}",
            report.outcome
        );
        assert_eq!(ledger.rows().len(), ROWS);
        assert!(!readers.are_ahead(), "{which}");
    }
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
