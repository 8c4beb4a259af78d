//! Checkpoints that refer to what earlier ones wrote (D11, D12).

use weir_checkpoint::Metadata;

use super::*;

/// A job whose checkpoints are increments.
fn incremental(mut job: TestJob) -> TestJob {
    job.checkpoints = Some(Config {
        interval_ms: Some(2),
        incremental: true,
        retained: 2,
        ..Config::default()
    });
    job
}

fn metadata(job: &TestJob) -> Metadata {
    Metadata::decode(&job.store.get(&latest(job)).unwrap()).unwrap()
}

/// The shared files that the latest checkpoint names besides those that were written for it.
fn referred_to(job: &TestJob) -> Vec<String> {
    let metadata = metadata(job);
    let subtasks = metadata.operators.values().flat_map(|o| &o.subtasks);
    let shared = subtasks.flat_map(|subtask| &subtask.shared);
    shared.map(|file| file.path.clone()).collect()
}

/// Rows of which each key is met once, but for the last few.
fn many_keys(split: usize) -> Vec<String> {
    let first = (0..3000).map(|i| format!("k{split}x{i}-{i}"));
    first
        .chain((0..200).map(|i| format!("k{split}x{}-again", i % 5)))
        .collect()
}

#[test]
fn d12_a_job_goes_on_from_increments_at_another_parallelism_and_builds_on_them() {
    let splits = [many_keys(0), many_keys(1)];
    let ledger = Ledger::default();
    let valve = Valve::at(3050);
    let mut job = incremental(counting(&splits, &valve, 2, &ledger));
    let mut referred = 0;
    for (n, parallelism) in [2, 1, 3, 2].into_iter().enumerate() {
        let store = job.store.clone();
        job = incremental(counting(&splits, &valve, parallelism, &ledger));
        job.store = store;
        let stop = job.stopper();
        job.events = at_checkpoint(8, move || stop(true));
        let report = job.run();
        assert_eq!(report.restored.is_some(), n > 0);
        assert!(
            matches!(report.outcome, Ended::Stopped(_)),
            "{:?}",
            report.outcome
        );
        referred += referred_to(&job).len();
        valve.open_to(3050 + 30 * (n as u64 + 1));
    }
    assert!(referred > 0, "no checkpoint referred to another");
    valve.open_to(u64::MAX);
    job.events = Events::default();
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn d12_failures_and_checkpoints_that_fail_leave_increments_whole() {
    for fault in [Fault::Refuse, Fault::LoseReply, Fault::Tear] {
        let splits = [many_keys(0)];
        let ledger = Ledger::default();
        // The input ends behind more checkpoints than the faults need: none is to strike the end of
        // the job, which no later checkpoint makes good.
        let valve = Valve::at(3050);
        let opened = valve.clone();
        let mut job = incremental(counting(&splits, &valve, 2, &ledger));
        job.events = at_checkpoint(20, move || opened.open_to(u64::MAX));
        job.restart = RESTARTS;
        if let Some(config) = &mut job.checkpoints {
            config.tolerable_failures = 3;
        }
        job.store.inject(12, fault);
        job.store.inject(19, fault);
        let report = job.run();
        assert!(
            matches!(report.outcome, Ended::Finished),
            "{fault:?}: {:?}",
            report.outcome
        );
        assert_eq!(ledger.sorted(), counted(&splits), "{fault:?}");
    }
}

#[test]
fn a_damaged_file_of_the_base_is_found_before_anything_starts() {
    let splits = [many_keys(0)];
    let ledger = Ledger::default();
    let valve = Valve::at(3050);
    let mut job = incremental(counting(&splits, &valve, 1, &ledger));
    if let Some(config) = &mut job.checkpoints {
        config.retained = 1;
    }
    let stop = job.stopper();
    job.events = at_checkpoint(8, move || stop(true));
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    let base = referred_to(&job).first().unwrap().replace("../", "test/");
    assert!(job.store.flip(&base, 100));
    valve.open_to(u64::MAX);
    job.events = Events::default();
    let before = ledger.rows().len();
    let report = job.run();
    let message = failure(&report);
    assert!(
        message.contains("checksum") && message.contains("shared/count/0/"),
        "{message}"
    );
    assert_eq!(ledger.rows().len(), before);
}
