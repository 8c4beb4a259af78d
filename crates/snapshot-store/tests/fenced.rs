//! A whole job whose process is superseded: another one took the job over while it ran (D28).

use std::sync::{Arc, Mutex};

use weir_checkpoint::{Config, JobPaths, RestartStrategy, SnapshotStore};
use weir_graph::Partitioning;
use weir_model::{CheckpointId, Name};
use weir_operator::SinkFactory;
use weir_runtime::{JobEvent, Outcome};
use weir_snapshot_store::EpochLock;
use weir_testkit::{Events, Ledger, LedgerSink, MemorySource, TestJob, Valve, counter};

const KEYS: usize = 7;
const ROWS: usize = 400;

fn job(valve: &Valve, ledger: &Ledger) -> TestJob {
    let rows: Vec<String> = (0..ROWS).map(|i| format!("k{}-{i}", i % KEYS)).collect();
    let source = MemorySource::of(&[rows]).reading(10).behind(valve.clone());
    let mut job = TestJob::new()
        .source("rows", 1, source)
        .operator("count", 2, "rows", TestJob::by_prefix(), counter())
        .sink(
            "out",
            2,
            "count",
            Partitioning::Forward,
            LedgerSink::new(ledger),
        );
    job.checkpoints = Some(Config {
        interval_ms: Some(2),
        incremental: true,
        ..Config::default()
    });
    job.restart = RestartStrategy::FixedDelay {
        attempts: Some(3),
        delay_ms: 0,
    };
    job
}

#[test]
fn a_process_whose_job_another_one_took_over_commits_and_deletes_nothing_more_and_ends() {
    let (ledger, valve) = (Ledger::default(), Valve::at(100));
    let paths = JobPaths::new(&Name::new("test").unwrap());
    let mut first = job(&valve, &ledger);
    let store: Arc<dyn SnapshotStore> = first.store.clone();
    first.kept_in = Some(EpochLock::acquire(store.clone(), &paths).unwrap().store());
    // Behind its third checkpoint another process takes the job over, and much would be left to do.
    let taken: Arc<Mutex<Option<(CheckpointId, EpochLock)>>> = Arc::default();
    let (takes, from, opened) = (taken.clone(), store.clone(), valve.clone());
    let seen = Mutex::new(0);
    first.events = Events::reacting(move |event| {
        let JobEvent::Checkpoint(stats) = event else {
            return;
        };
        let mut seen = seen.lock().unwrap();
        *seen += 1;
        if *seen == 3 {
            let paths = JobPaths::new(&Name::new("test").unwrap());
            let lock = EpochLock::acquire(from.clone(), &paths).unwrap();
            *takes.lock().unwrap() = Some((stats.id, lock));
            opened.open_to(300);
        }
    });
    let report = first.run();
    let Outcome::Failed(failed) = &report.outcome else {
        panic!("{:?}", report.outcome);
    };
    assert_eq!(failed.failure.code(), "W0134", "{}", failed.failure);
    let (last, second_lock) = taken.lock().unwrap().take().unwrap();
    let committed = LedgerSink::new(&ledger).existing().unwrap().last_checkpoint;
    assert!(
        committed <= Some(last),
        "{committed:?} was committed behind {last}"
    );
    // What the second one goes on from is still there: whole, and the latest.
    let metadata: Vec<String> = first.store.paths();
    let after = |path: &String| {
        let number = path.strip_prefix("test/chk-")?.strip_suffix("/_metadata")?;
        number.parse().ok().map(CheckpointId)
    };
    assert_eq!(metadata.iter().filter_map(after).max(), Some(last));

    valve.open_to(u64::MAX);
    let mut second = job(&valve, &ledger);
    second.store = first.store.clone();
    second.kept_in = Some(second_lock.store());
    let report = second.run();
    assert!(
        matches!(report.outcome, Outcome::Finished),
        "{:?}",
        report.outcome
    );
    let mut expected: Vec<String> = (0..ROWS)
        .map(|i| format!("k{}={}", i % KEYS, i / KEYS + 1))
        .collect();
    expected.sort();
    assert_eq!(ledger.sorted(), expected);
}
