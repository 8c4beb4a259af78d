//! Joins in whole jobs that die and go on at other parallelisms: what they give is what rows give
//! that are all there at once.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that something is wrong"
)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use weir_checkpoint::Config;
use weir_event_time::WatermarkStrategy;
use weir_graph::Partitioning;
use weir_model::{Column, ColumnView};
use weir_operator::{
    Context, Emitted, Failure, JoinFunction, JoinFunctionFactory, Pairs, TaskInfo,
};
use weir_operators::{JoinFactory, JoinRules};
use weir_runtime::{JobEvent, Outcome as Ended};
use weir_testkit::{Events, Ledger, LedgerSink, MemorySource, TestJob, Valve};
use weir_window::{
    Assigner, Interval, JoinKind, Lateness, Rules, Sessions, Side, Temporal, Trigger, Window,
};

/// Rows `<key>-<time>-<side><number>`, out of order by up to 49. Some keys are in one input only.
fn rows(side: Side, count: i64) -> Vec<String> {
    let (name, step, skip) = match side {
        Side::Left => ('l', 3, 11),
        Side::Right => ('r', 4, 7),
    };
    let time = |i: i64| i * step + i * 37 % 50;
    (0..count)
        .map(|i| format!("k{}-{}-{name}{i}", i * skip % 13, time(i)))
        .filter(|row| !row.starts_with(if side == Side::Left { "k3" } else { "k5" }))
        .collect()
}

fn key_of(row: &str) -> &str {
    row.split('-').next().unwrap()
}

fn time_of(row: &str) -> i64 {
    row.split('-').nth(1).unwrap().parse().unwrap()
}

/// Gives `left+right`.
struct Shown;

impl JoinFunctionFactory for Shown {
    fn side_outputs(&self) -> &[String] {
        &[]
    }

    fn create(&self, _: &TaskInfo) -> Result<Box<dyn JoinFunction>, Failure> {
        Ok(Box::new(Self))
    }
}

impl JoinFunction for Shown {
    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn project(&mut self, _: &mut Box<Context>, pairs: Pairs<'_>) -> Result<Vec<Emitted>, Failure> {
        let row = |rows: ColumnView<'_>, row: u32| match row {
            Pairs::ABSENT => None,
            row => Some(String::from_utf8(rows.get(row as usize).to_vec()).unwrap()),
        };
        let mut values = Column::new();
        for (&left, &right) in pairs.left_of_pair.iter().zip(pairs.right_of_pair) {
            let (left, right) = (row(pairs.left, left), row(pairs.right, right));
            values.push(pair(left.as_deref(), right.as_deref()).as_bytes());
        }
        Ok(vec![Emitted {
            values,
            ..Emitted::default()
        }])
    }
}

fn pair(left: Option<&str>, right: Option<&str>) -> String {
    format!("{}+{}", left.unwrap_or("none"), right.unwrap_or("none"))
}

/// The windows that rows of a key are in.
fn windows(assigner: Assigner, times: impl Iterator<Item = i64>) -> Vec<Window> {
    let mut sessions = Sessions::default();
    let mut all = Vec::new();
    for time in times {
        for window in assigner.assign(time) {
            match assigner.merges() {
                true => drop(sessions.add(window)),
                false => all.push(window),
            }
        }
    }
    all.extend(sessions.all().iter().map(|(window, _)| *window));
    all.sort_unstable();
    all.dedup();
    all
}

/// What all rows give.
fn expected(rules: &JoinRules, left: &[String], right: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    let same = |left: &&String, right: &&String| key_of(left) == key_of(right);
    match rules {
        JoinRules::Interval(interval) => {
            for one in left {
                for other in right.iter().filter(|other| same(&one, other)) {
                    let behind = time_of(other) - time_of(one);
                    if (interval.lower..=interval.upper).contains(&behind) {
                        all.push(pair(Some(one), Some(other)));
                    }
                }
            }
        }
        JoinRules::Temporal(rules) => {
            for one in left {
                let versions = right.iter().filter(|other| same(&one, other));
                let versions = versions.filter(|other| time_of(other) <= time_of(one));
                let latest = versions.max_by_key(|version| time_of(version));
                let latest = latest.filter(|version| {
                    let age = time_of(one) - time_of(version);
                    rules.max_age.is_none_or(|max| age <= max)
                });
                if latest.is_some() || rules.kind == JoinKind::Left {
                    all.push(pair(Some(one), latest.map(String::as_str)));
                }
            }
        }
        JoinRules::Window(rules, kind) => {
            let mut keys: Vec<&str> = left.iter().chain(right).map(|row| key_of(row)).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let of_key = |rows: &'_ [String]| -> Vec<String> {
                    let rows = rows.iter().filter(|row| key_of(row) == key);
                    rows.cloned().collect()
                };
                let (left, right) = (of_key(left), of_key(right));
                let times = left.iter().chain(&right).map(|row| time_of(row));
                for window in windows(rules.assigner.clone(), times) {
                    let within = |rows: &[String]| -> Vec<String> {
                        let is_in =
                            |row: &&String| (window.start..window.end).contains(&time_of(row));
                        rows.iter().filter(is_in).cloned().collect()
                    };
                    let (left, right) = (within(&left), within(&right));
                    for one in &left {
                        for other in &right {
                            all.push(pair(Some(one), Some(other)));
                        }
                        if right.is_empty() && kind.keeps(Side::Left) {
                            all.push(pair(Some(one), None));
                        }
                    }
                    if left.is_empty() && kind.keeps(Side::Right) {
                        all.extend(right.iter().map(|row| pair(None, Some(row))));
                    }
                }
            }
        }
    }
    all.sort();
    all
}

// tidy: long function, one run after the other
/// Runs a job that is stopped twice, each time to go on at another parallelism.
fn stops_and_goes_on(rules: &JoinRules, unaligned: bool) {
    let (left, right) = (rows(Side::Left, 3000), rows(Side::Right, 2200));
    let ledger = Ledger::default();
    let mut store = None;
    for (run, parallelism) in [3, 1, 2].into_iter().enumerate() {
        let to = [800, 2000, u64::MAX][run];
        let source = |rows: &Vec<String>| {
            MemorySource::of(std::slice::from_ref(rows))
                .reading(60)
                .behind(Valve::at(to))
                .timed(time_of)
        };
        let strategy = WatermarkStrategy {
            max_out_of_orderness_ms: 50,
            idle_after_ms: None,
            alignment: None,
            every_rows: WatermarkStrategy::EVERY_ROWS,
        };
        let factory = JoinFactory::new(rules.clone(), None, 1 << 30, Box::new(Shown));
        let mut job = TestJob::new()
            .source("left", 1, source(&left))
            .watermarks(strategy.clone())
            .source("right", 1, source(&right))
            .watermarks(strategy)
            .operator("join", parallelism, "left", TestJob::by_prefix(), factory)
            .and_from("right", TestJob::by_prefix())
            .sink(
                "out",
                1,
                "join",
                Partitioning::Global,
                LedgerSink::new(&ledger),
            );
        job.checkpoints = Some(Config {
            interval_ms: Some(2),
            incremental: run % 2 == 0,
            unaligned,
            ..Config::default()
        });
        if let Some(store) = store.take() {
            job.store = store;
        }
        store = Some(job.store.clone());
        if to == u64::MAX {
            let report = job.run();
            assert!(
                matches!(report.outcome, Ended::Finished),
                "{:?}",
                report.outcome
            );
            break;
        }
        // Stopped where all has been read that may be: some pairs are made, others are not.
        let (stop, stopped) = (job.stopper(), AtomicBool::new(false));
        let quiet = AtomicUsize::new(0);
        let seen = Arc::new(AtomicUsize::new(usize::MAX));
        let sink = ledger.clone();
        job.events = Events::reacting(move |event| {
            let count = sink.rows().len();
            if !matches!(event, JobEvent::Checkpoint(_)) || stopped.load(Ordering::SeqCst) {
                return;
            }
            match seen.swap(count, Ordering::SeqCst) == count && count > 0 {
                true => quiet.fetch_add(1, Ordering::SeqCst),
                false => quiet.swap(0, Ordering::SeqCst),
            };
            if quiet.load(Ordering::SeqCst) > 20 {
                stopped.store(true, Ordering::SeqCst);
                stop(true);
            }
        });
        let report = job.run();
        assert!(
            matches!(report.outcome, Ended::Stopped(_)),
            "{:?}",
            report.outcome
        );
    }
    let (found, wanted) = (ledger.sorted(), expected(rules, &left, &right));
    assert!(wanted.len() > 500, "{} pairs show little", wanted.len());
    assert_eq!(found.len(), wanted.len(), "{rules:?}");
    assert_eq!(found, wanted, "{rules:?}");
}

fn windows_of(assigner: Assigner, kind: JoinKind) -> JoinRules {
    let rules = Rules {
        assigner,
        trigger: Trigger::EventTime,
        lateness: Lateness::default(),
        evictor: None,
        event_time: true,
    };
    JoinRules::Window(rules, kind)
}

#[test]
fn c27_interval_joins_are_saved_and_move_with_their_keys() {
    let interval = |lower, upper| JoinRules::Interval(Interval::new(lower, upper).unwrap());
    stops_and_goes_on(&interval(-100, 40), false);
    stops_and_goes_on(&interval(20, 200), true);
}

#[test]
fn lookups_are_saved_and_move_with_their_keys() {
    let lookup = |kind, max_age| JoinRules::Temporal(Temporal { kind, max_age });
    stops_and_goes_on(&lookup(JoinKind::Inner, None), true);
    stops_and_goes_on(&lookup(JoinKind::Left, Some(70)), false);
}

#[test]
fn window_joins_are_saved_and_move_with_their_keys() {
    let tumbling = Assigner::Tumbling {
        size: 100,
        offset: 0,
    };
    let sliding = Assigner::Sliding {
        size: 120,
        slide: 60,
        offset: 0,
    };
    stops_and_goes_on(&windows_of(tumbling, JoinKind::Full), false);
    stops_and_goes_on(&windows_of(sliding, JoinKind::Inner), true);
    stops_and_goes_on(
        &windows_of(Assigner::Session { gap: 30 }, JoinKind::Left),
        false,
    );
    stops_and_goes_on(
        &windows_of(Assigner::Session { gap: 30 }, JoinKind::Right),
        true,
    );
}
