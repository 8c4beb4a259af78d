//! State with a time to live in whole jobs (D16).

use weir_model::ProcessingTime;
use weir_runtime::Clock;

use super::*;

/// A clock that stands.
struct At(i64);

impl Clock for At {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(self.0)
    }
}

/// A count by key that is forgotten 100 ms after its last row.
fn forgetting(split: &[String], valve: &Valve, parallelism: u32, ledger: &Ledger) -> TestJob {
    let source = MemorySource::of(&[split.to_vec()])
        .reading(10)
        .behind(valve.clone());
    let mut job = TestJob::new()
        .source("rows", 1, source)
        .operator(
            "count",
            parallelism,
            "rows",
            TestJob::by_prefix(),
            counter().living(100),
        )
        .sink(
            "out",
            parallelism,
            "count",
            Partitioning::Forward,
            LedgerSink::new(ledger),
        );
    job.checkpoints = Some(Config {
        interval_ms: Some(2),
        incremental: true,
        ..Config::default()
    });
    job
}

#[test]
fn c13_c16_state_that_has_expired_is_forgotten_over_restarts_at_any_parallelism() {
    let all = rows(0, 600, 7);
    let ledger = Ledger::default();
    let valve = Valve::at(200);
    let mut job = forgetting(&all, &valve, 1, &ledger);
    let mut shown = Vec::new();
    // The last restart is a time to live after the one before.
    for (n, now) in [1000, 1099, 1199].into_iter().enumerate() {
        let store = job.store.clone();
        job = forgetting(&all, &valve, [1, 3, 2][n], &ledger);
        job.store = store;
        job.clock = Arc::new(At(now));
        if n < 2 {
            let (stop, sink, until) = (job.stopper(), ledger.clone(), 200 * (n + 1));
            job.events = Events::reacting(move |event| {
                if matches!(event, JobEvent::Checkpoint(_)) && sink.rows().len() == until {
                    stop(true);
                }
            });
        }
        let report = job.run();
        match n {
            2 => assert!(
                matches!(report.outcome, Ended::Finished),
                "{:?}",
                report.outcome
            ),
            _ => assert!(
                matches!(report.outcome, Ended::Stopped(_)),
                "{:?}",
                report.outcome
            ),
        }
        shown.push(ledger.rows().len());
        valve.open_to([400, u64::MAX, u64::MAX][n]);
    }
    assert_eq!(shown, [200, 400, 600]);
    let (first, rest) = all.split_at(400);
    let mut expected = counted(&[first.to_vec()]);
    expected.extend(counted(&[rest.to_vec()]));
    expected.sort();
    assert_eq!(ledger.sorted(), expected);
}
