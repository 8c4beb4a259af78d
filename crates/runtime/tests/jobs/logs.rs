//! Sinks that keep rows in the checkpoint until they are committed (write-ahead log).

use super::*;

/// source -> count by key -> a sink that seals nothing elsewhere.
fn logging(splits: &[Vec<String>], valve: &Valve, parallelism: u32, ledger: &Ledger) -> TestJob {
    let source = MemorySource::of(splits).reading(10).behind(valve.clone());
    TestJob::new()
        .source("rows", parallelism, source)
        .operator(
            "count",
            parallelism,
            "rows",
            TestJob::by_prefix(),
            counter(),
        )
        .sink(
            "out",
            parallelism,
            "count",
            Partitioning::Forward,
            LedgerSink::new(ledger).logging(),
        )
}

#[test]
fn rows_that_only_the_checkpoint_has_come_back_after_a_crash_at_any_parallelism() {
    for (before, after) in [(1, 1), (3, 1), (2, 3)] {
        let splits = [rows(0, 300, 11), rows(1, 200, 11), rows(2, 100, 11)];
        let ledger = Ledger::default();
        let valve = Valve::at(90);
        let job = logging(&splits, &valve, before, &ledger);
        // Its checkpoint is complete, and nothing of it is written.
        ledger.fail_commits(u32::MAX);
        assert!(failure(&job.run()).contains("injected"));
        assert_eq!((ledger.rows().len(), ledger.sealed()), (0, 0));
        let metadata = job.store.get(&latest(&job)).unwrap();
        let metadata = String::from_utf8(metadata).unwrap();
        assert!(
            !metadata.contains("k1="),
            "rows are in the files: {metadata}"
        );

        ledger.fail_commits(0);
        valve.open_to(u64::MAX);
        let store = job.store.clone();
        let mut job = logging(&splits, &valve, after, &ledger);
        job.store = store;
        let report = job.run();
        assert!(matches!(report.outcome, Ended::Finished), "{report:?}");
        assert!(report.recovered >= 1);
        assert_eq!(ledger.sorted(), counted(&splits), "{before} -> {after}");
    }
}

#[test]
fn a_log_is_written_again_by_each_restart_until_it_is_through() {
    let splits = [rows(0, 200, 5)];
    let ledger = Ledger::default();
    let mut job = logging(&splits, &Valve::open(), 1, &ledger);
    job.restart = RESTARTS;
    ledger.fail_commits(3);
    let report = job.run();
    assert!(matches!(report.outcome, Ended::Finished), "{report:?}");
    assert_eq!(report.restarts, 3);
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_log_of_a_declined_checkpoint_is_in_the_next_one() {
    let splits = [rows(0, 100, 5)];
    let ledger = Ledger::default();
    let valve = Valve::at(60);
    let mut job = logging(&splits, &valve, 1, &ledger);
    let mut config = job.checkpoints.clone().unwrap();
    config.tolerable_failures = 5;
    job.checkpoints = Some(config);
    // Behind the record of the beginning the first file is not written: the rows that were sealed
    // for it are in the next one.
    job.store.inject(2, Fault::Refuse);
    let opened = valve.clone();
    job.events = Events::reacting(move |event| {
        if let JobEvent::CheckpointFailed { .. } = event {
            opened.open_to(u64::MAX);
        }
    });
    let report = job.run();
    assert!(matches!(report.outcome, Ended::Finished), "{report:?}");
    assert!(report.failed >= 1);
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_job_without_checkpoints_writes_its_log_when_it_ends() {
    let splits = [rows(0, 100, 3)];
    let ledger = Ledger::default();
    let mut job = logging(&splits, &Valve::open(), 2, &ledger);
    job.checkpoints = None;
    assert!(matches!(job.run().outcome, Ended::Finished));
    assert_eq!(ledger.sorted(), counted(&splits));
}
