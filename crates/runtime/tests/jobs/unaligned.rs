//! Barriers that overtake: what is in flight is in the checkpoint, and comes back (C33). That it
//! does so whatever happens, at any parallelism, is tried with all backends, in
//! `crates/state-rocksdb/tests/jobs.rs`.

use std::time::{Duration, Instant};

use super::*;

/// Lets each row through after so long: what is before it is under full back pressure.
fn slow(each: Duration) -> Closures {
    map_rows(move |row| {
        spin(each);
        Ok(vec![row.to_owned()])
    })
}

pub(super) fn spin(long: Duration) {
    let began = Instant::now();
    while began.elapsed() < long {
        std::hint::spin_loop();
    }
}

pub(super) const EACH: Duration = Duration::from_micros(200);

pub(super) fn unaligned(aligned_timeout_ms: u64) -> Option<Config> {
    Some(Config {
        interval_ms: Some(5),
        unaligned: true,
        aligned_timeout_ms,
        ..Config::default()
    })
}

/// The number of objects with channel state that lie in the store.
fn with_channels(job: &TestJob) -> usize {
    let paths = job.store.paths();
    paths
        .iter()
        .filter(|path| path.ends_with("/channels"))
        .count()
}

/// Stops a job without a checkpoint, as a crash does, when this many further ones are complete.
fn dies_at(job: &mut TestJob, number: u64) {
    let stop = job.stopper();
    job.events = at_checkpoint(number, move || stop(false));
}

#[track_caller]
fn finish(job: &TestJob) {
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
}

#[test]
fn c33_a_checkpoint_overtakes_rows_that_wait_and_they_come_back() {
    let splits = [rows(0, 600, 7), rows(1, 600, 7)];
    let ledger = Ledger::default();
    let valve = Valve::at(590);
    let make = |parallelism| {
        // The sources do not end before the job dies: the last checkpoint is aligned.
        let source = MemorySource::of(&splits).reading(10).behind(valve.clone());
        let mut job = TestJob::new()
            .source("rows", parallelism, source)
            .operator(
                "slow",
                parallelism,
                "rows",
                TestJob::by_prefix(),
                slow(EACH),
            )
            .operator(
                "count",
                parallelism,
                "slow",
                TestJob::by_prefix(),
                counter(),
            )
            .sink(
                "out",
                1,
                "count",
                Partitioning::Rebalance,
                LedgerSink::new(&ledger),
            );
        job.checkpoints = unaligned(0);
        job
    };
    let mut job = make(2);
    dies_at(&mut job, 3);
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Cancelled),
        "{:?}",
        report.outcome
    );
    assert!(with_channels(&job) > 0, "{:?}", job.store.paths());
    assert!(ledger.rows().len() < 1200);
    let again = job.store.clone();
    job = make(2);
    job.store = again;
    valve.open_to(u64::MAX);
    finish(&job);
    assert_eq!(ledger.sorted(), counted(&splits));
}
