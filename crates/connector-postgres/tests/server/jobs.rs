//! Whole jobs: rows, counted by key, into a table. Whatever happens in between, the table is in the
//! end what it is after a run that nothing happened to.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use weir_checkpoint::RestartStrategy;
use weir_graph::Partitioning;
use weir_runtime::{JobEvent, Outcome, Report};
use weir_testkit::{Events, MemorySource, TestJob, Valve, counter, map_rows};

use super::*;
use crate::database::OwnServer;

const SPLITS: usize = 3;
const ROWS: usize = 400;
const KEYS: usize = 17;

fn splits() -> Vec<Vec<String>> {
    let row = |split: usize, i: usize| format!("k{}-{split}-{i}", i % KEYS);
    (0..SPLITS)
        .map(|split| (0..ROWS).map(|i| row(split, i)).collect())
        .collect()
}

/// Each count that a key has on its way, or the last of each.
fn expected(last_only: bool) -> Vec<String> {
    let mut counts = BTreeMap::<String, usize>::new();
    let mut all = Vec::new();
    for row in splits().iter().flatten() {
        let key = row.split('-').next().unwrap().to_owned();
        let count = counts.entry(key.clone()).or_default();
        *count += 1;
        all.push(format!("{key}|{count}"));
    }
    if last_only {
        all = counts.iter().map(|(key, n)| format!("{key}|{n}")).collect();
    }
    all.sort();
    all
}

/// source -> count by key -> JSON -> table.
fn job(options: &PostgresSinkOptions, parallelism: u32, valve: &Valve) -> TestJob {
    let source = MemorySource::of(&splits())
        .reading(10)
        .behind(valve.clone());
    let json = map_rows(|row| {
        let (key, count) = row.split_once('=').unwrap();
        Ok(vec![format!("{{\"k\":\"{key}\",\"n\":{count}}}")])
    });
    TestJob::new()
        .source("rows", parallelism, source)
        .operator(
            "count",
            parallelism,
            "rows",
            TestJob::by_prefix(),
            counter(),
        )
        .operator("json", parallelism, "count", Partitioning::Forward, json)
        .sink(
            "out",
            parallelism,
            "json",
            Partitioning::Forward,
            PostgresSink::new(options.clone()),
        )
}

fn table(database: &Database) -> Vec<String> {
    let mut rows = database.rows("SELECT k, n FROM t");
    rows.sort();
    rows
}

/// The ways, each with whether only the last count of a key stays.
fn modes() -> [(Mode, bool); 4] {
    [
        (upsert(&["k"]), true),
        (Mode::TwoPhaseCommit, false),
        (logged(&[]), false),
        (logged(&["k"]), true),
    ]
}

fn fresh(mode: &Mode) -> Database {
    Database::new(match mode.keys().is_empty() {
        true => "CREATE TABLE t (k text, n int)",
        false => "CREATE TABLE t (k text PRIMARY KEY, n int)",
    })
}

fn finished(report: &Report) {
    let outcome = &report.outcome;
    assert!(matches!(outcome, Outcome::Finished), "{outcome:?}");
}

/// Does something at the `number`-th event of a kind.
fn at_event(
    number: u32,
    kind: impl Fn(&JobEvent) -> bool + Send + Sync + 'static,
    act: impl Fn() + Send + Sync + 'static,
) -> Events {
    let seen = Arc::new(AtomicU32::new(0));
    Events::reacting(move |event| {
        if kind(event) && seen.fetch_add(1, Ordering::Relaxed) + 1 == number {
            act();
        }
    })
}

fn is_checkpoint(event: &JobEvent) -> bool {
    matches!(event, JobEvent::Checkpoint(_))
}

#[test]
fn an_undisturbed_job_leaves_all_its_rows_and_nothing_else() {
    for (mode, last_only) in modes() {
        let database = fresh(&mode);
        finished(&job(&options(&database, mode.clone()), 2, &Valve::open()).run());
        assert_eq!(table(&database), expected(last_only), "{mode:?}");
        assert_eq!(database.prepared(), [""; 0]);
    }
}

#[test]
fn a_job_that_dies_behind_a_checkpoint_goes_on_at_another_parallelism() {
    for (mode, last_only) in modes() {
        for (at, parallelisms) in [(1, [1, 3]), (2, [3, 1]), (3, [2, 2])] {
            let database = fresh(&mode);
            let options = options(&database, mode.clone());
            let valve = Valve::at(60);
            let mut first = job(&options, parallelisms[0], &valve);
            // Right behind `_metadata`: the commits have begun or not.
            let stop = first.stopper();
            let (opened, more) = (valve.clone(), AtomicU32::new(60));
            first.events = at_event(at, is_checkpoint, move || stop(false));
            let outer = first.events.clone();
            first.events = Events::reacting(move |event| {
                use weir_runtime::JobListener as _;
                if is_checkpoint(event) {
                    opened.open_to(more.fetch_add(60, Ordering::Relaxed).into());
                }
                outer.event(event);
            });
            let report = first.run();
            assert!(
                matches!(report.outcome, Outcome::Cancelled),
                "{:?}",
                report.outcome
            );
            valve.open_to(u64::MAX);
            let mut second = job(&options, parallelisms[1], &valve);
            second.store = first.store.clone();
            finished(&second.run());
            assert_eq!(table(&database), expected(last_only), "{mode:?} {at}");
            assert_eq!(database.prepared(), [""; 0]);
        }
    }
}

#[test]
fn a_job_that_hangs_in_its_commit_is_overtaken_and_nothing_is_written_twice() {
    for (mode, last_only) in [(logged(&[]), false), (logged(&["k"]), true)] {
        let database = fresh(&mode);
        let options = options(&database, mode.clone());
        let valve = Valve::at(60);
        let mut first = job(&options, 1, &valve);
        let stop = first.stopper();
        first.events = at_event(1, is_checkpoint, move || stop(false));
        // The metadata is durable, and nobody can say that anything was written.
        PostgresSink::new(options.clone()).recover(&[]).unwrap();
        let holder = database.another();
        holder.run("BEGIN; LOCK TABLE weir_commits IN SHARE MODE");
        std::thread::scope(|scope| {
            let hanging = scope.spawn(|| first.run());
            database.await_waiting(1);
            assert_eq!(table(&database), [""; 0]);
            // Another process: the session of the first is ended, which tries again and again.
            valve.open_to(u64::MAX);
            let mut second = job(&options, 3, &valve);
            second.store = first.store.clone();
            let overtaking = scope.spawn(move || second.run());
            database.await_waiting(2);
            holder.run("COMMIT");
            finished(&overtaking.join().unwrap());
            let report = hanging.join().unwrap();
            assert!(
                !matches!(report.outcome, Outcome::Finished),
                "{:?}",
                report.outcome
            );
        });
        assert_eq!(table(&database), expected(last_only), "{mode:?}");
    }
}

#[test]
fn sessions_that_are_killed_at_any_moment_cost_a_restart_and_no_row() {
    for (mode, last_only) in modes() {
        let database = fresh(&mode);
        let options = options(&database, mode.clone());
        let valve = Valve::at(40);
        let mut one = job(&options, 2, &valve);
        one.restart = RestartStrategy::FixedDelay {
            attempts: None,
            delay_ms: 0,
        };
        // At each of the first checkpoints somebody ends one session or all.
        let killer = std::sync::Mutex::new(database.another());
        let opened = valve.clone();
        let seen = AtomicU32::new(0);
        one.events = Events::reacting(move |event| {
            if !is_checkpoint(event) {
                return;
            }
            let number = seen.fetch_add(1, Ordering::Relaxed);
            opened.open_to(40 + 40 * u64::from(number));
            if number < 8 {
                let limit = if number.is_multiple_of(2) {
                    "LIMIT 1"
                } else {
                    ""
                };
                killer.lock().unwrap().run(&format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name \
                     = 'weir:job:out' AND datname = current_database() {limit}"
                ));
            }
        });
        finished(&one.run());
        assert_eq!(table(&database), expected(last_only), "{mode:?}");
        assert_eq!(database.prepared(), [""; 0]);
    }
}

#[test]
fn a_server_that_is_started_again_under_a_job_costs_restarts_and_no_row() {
    let server = Arc::new(OwnServer::start(&[]));
    for (mode, last_only) in modes() {
        let keys = if mode.keys().is_empty() {
            ""
        } else {
            "PRIMARY KEY"
        };
        let database = server.database(&format!("CREATE TABLE t (k text {keys}, n int)"));
        let options = options(&database, mode.clone());
        let valve = Valve::at(40);
        let mut one = job(&options, 2, &valve);
        one.restart = RestartStrategy::FixedDelay {
            attempts: None,
            delay_ms: 0,
        };
        let (theirs, opened) = (server.clone(), valve.clone());
        let seen = AtomicU32::new(0);
        one.events = Events::reacting(move |event| {
            if is_checkpoint(event) {
                let number = seen.fetch_add(1, Ordering::Relaxed);
                opened.open_to(40 + 100 * u64::from(number));
                if number == 1 || number == 3 {
                    theirs.restart();
                }
            }
        });
        finished(&one.run());
        let mut rows = server.see(&database.name, "SELECT k, n FROM t");
        rows.sort();
        assert_eq!(rows, expected(last_only), "{mode:?}");
        let left = "SELECT count(*) FROM pg_prepared_xacts";
        assert_eq!(server.see(&database.name, left), ["0"]);
    }
}

#[test]
fn a_row_that_the_server_refuses_fails_the_job_with_its_name_and_nothing_is_left() {
    for (mode, _) in modes() {
        let database = fresh(&mode);
        database.run("ALTER TABLE t ADD CHECK (n < 50)");
        let report = job(&options(&database, mode.clone()), 1, &Valve::open()).run();
        let Outcome::Failed(failed) = report.outcome else {
            panic!("{mode:?}: {:?}", report.outcome)
        };
        let text = failed.failure.to_string();
        assert!(
            text.contains("check constraint") && text.contains("50"),
            "{text}"
        );
        assert_eq!(failed.place.unwrap().node.as_str(), "out");
        sink(&database, mode.clone()).recover(&[]).unwrap();
        assert_eq!(database.prepared(), [""; 0]);
    }
}

#[test]
fn two_jobs_that_write_to_one_table_and_fail_all_the_time_get_along() {
    for (mode, last_only) in modes() {
        if last_only {
            // They would replace each other's rows.
            continue;
        }
        let database = fresh(&mode);
        let run = |name: &str, database: &Database| {
            let mut options = options(database, mode.clone());
            options.job = Name::new(name).unwrap();
            let valve = Valve::at(40);
            let mut store = None;
            for round in 0..4u64 {
                let mut one = job(&options, 2, &valve);
                if let Some(store) = store.take() {
                    one.store = store;
                }
                let stop = one.stopper();
                if round < 3 {
                    one.events = at_event(1, is_checkpoint, move || stop(false));
                } else {
                    valve.open_to(u64::MAX);
                }
                let report = one.run();
                store = Some(one.store.clone());
                valve.open_to(100 * (round + 1));
                if round == 3 {
                    finished(&report);
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| run("job", &database));
            scope.spawn(|| run("job-2", &database));
        });
        let mut twice = [expected(last_only), expected(last_only)].concat();
        twice.sort();
        assert_eq!(table(&database), twice, "{mode:?}");
        assert_eq!(database.prepared(), [""; 0]);
    }
}
