//! Calls for all keys of a state (C28), in whole jobs.

use std::{collections::BTreeMap, sync::atomic::AtomicUsize};

use proptest::prelude::*;
use weir_model::{OptionalColumn, Rows};
use weir_operator::Context;
use weir_state::{StateIndex, Which};

use super::*;

const COUNT: StateIndex = StateIndex(0);
const OTHER: StateIndex = StateIndex(1);

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

/// What is there of each key of the call.
fn counts(cx: &mut Context) -> Result<Vec<Option<u64>>, Failure> {
    let mut saved = OptionalColumn::new();
    cx.state.value_get(COUNT, Which::All, &mut saved)?;
    Ok(saved.iter().map(|value| value.map(number)).collect())
}

fn put(cx: &mut Context, counts: &[Option<u64>]) -> Result<(), Failure> {
    let mut values = OptionalColumn::new();
    for count in counts {
        values.push(
            count
                .map(u64::to_le_bytes)
                .as_ref()
                .map(<[u8; 8]>::as_slice),
        );
    }
    Ok(cx.state.value_put(COUNT, Which::All, &values)?)
}

/// What happens in calls for all keys, over all subtasks and attempts.
struct Calls {
    fails_at: Option<usize>,
    during: Box<dyn Fn(usize) + Send + Sync>,
}

impl Calls {
    fn failing_at(fails_at: Option<usize>) -> Self {
        let during = Box::new(|_| ());
        Self { fails_at, during }
    }
}

/// Counts rows `<key>-<n>`; those that end with `-0` clear the count and write the other state. A
/// row of input 1 is a rule: `add` adds 1000 to all counts that there are, `drop` clears those that
/// are odd, and each tells the counts before it.
fn ruled(all: Calls, failed: impl Fn() + Send + Sync + 'static) -> Closures {
    let calls = AtomicUsize::new(0);
    Closures::new(move |cx, input, rows| {
        if input == 1 {
            assert_eq!(rows.len(), 1, "they come one by one");
            let (_, rule) = rows.values.get(0).split_at(2);
            cx.state.apply_to_keys(COUNT, rule)?;
            if rule == b"twice" {
                cx.state.apply_to_keys(COUNT, b"add")?;
            }
            return Ok(Outcome::default());
        }
        let keyed = rows.keyed.unwrap();
        let mut all = counts(cx)?;
        for (row, &key) in rows.values.iter().zip(keyed.key_of_row) {
            let count = &mut all[key as usize];
            *count = match row.ends_with(b"-0") {
                true => None,
                false => Some(count.unwrap_or(0) + 1),
            };
        }
        put(cx, &all)?;
        let mut other = OptionalColumn::new();
        keyed.hashes.iter().for_each(|_| other.push(Some(b"x")));
        cx.state.value_put(OTHER, Which::All, &other)?;
        Ok(Outcome::default())
    })
    .with_state("count", StateKind::Value)
    .with_state("other", StateKind::Value)
    .with_inputs(2)
    .with_keys(move |cx, rule, keys| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        if all.fails_at.is_none_or(|at| call <= at) {
            (all.during)(call);
        }
        if all.fails_at == Some(call) {
            failed();
            return Err(Failure::Internal {
                message: "as told".into(),
            });
        }
        on_keys(cx, rule, keys)
    })
}

fn on_keys(cx: &mut Context, rule: &[u8], keys: Rows<'_>) -> Result<Outcome, Failure> {
    let keyed = keys.keyed.unwrap();
    assert_eq!(keyed.keys.len(), keys.len(), "each key once");
    let mut all = counts(cx)?;
    let mut emitted = Emitted::default();
    for (at, count) in all.iter_mut().enumerate() {
        let before = count.unwrap();
        let key = text(keyed.keys.get(keyed.key_of_row[at] as usize));
        let time = keys.timestamps.first().copied();
        let told = format!("{} {key}={before} at {time:?}", text(rule));
        emitted.values.push(told.as_bytes());
        emitted.origin.push(at as u32);
        *count = match rule {
            b"add" => Some(before + 1000),
            b"drop" if before % 2 == 1 => None,
            _ => Some(before),
        };
    }
    put(cx, &all)?;
    Ok(Outcome {
        emitted: vec![emitted],
        poisoned: None,
    })
}

/// What the rules tell.
fn expected(rows: &[String], rules: &[&str]) -> Vec<String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        let (key, n) = row.split_once('-').unwrap();
        match n {
            "0" => drop(counts.remove(key)),
            _ => *counts.entry(key).or_default() += 1,
        }
    }
    let mut told = Vec::new();
    for (time, rule) in rules.iter().enumerate() {
        let both = [*rule, "add"];
        let both = if *rule == "twice" {
            &both[..]
        } else {
            &both[..1]
        };
        for rule in both {
            for (key, count) in &mut counts {
                told.push(format!("{rule} {key}={count} at Some({time})"));
                *count += if *rule == "add" { 1000 } else { 0 };
            }
            counts.retain(|_, count| *rule != "drop" || *count % 2 == 0);
        }
    }
    told.sort();
    told
}

/// Rules that come when all rows are in.
fn job(
    (rows, rules): (&[String], &[&str]),
    parallelism: u32,
    calls: Calls,
    ledger: &Ledger,
) -> TestJob {
    // Rules come when all rows are in, after a failure as well.
    let valve = Valve::at(0);
    let ended = Arc::new(AtomicU32::new(0));
    let (opened, closed, begins) = (valve.clone(), valve.clone(), ended.clone());
    let failed = move || {
        closed.open_to(0);
        begins.store(0, Ordering::SeqCst);
    };
    let ended = move |input: u32| {
        if input == 0 && ended.fetch_add(1, Ordering::SeqCst) + 1 == parallelism {
            opened.open_to(u64::MAX);
        }
    };
    // Rules are `<time>:<rule>`.
    let timed: Vec<String> = rules
        .iter()
        .enumerate()
        .map(|(at, rule)| format!("{at}:{rule}"))
        .collect();
    let time_of = |row: &str| row.split_once(':').unwrap().0.parse().unwrap();
    let mut job = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows.to_vec()]).reading(7))
        .source(
            "rules",
            1,
            MemorySource::of(&[timed]).behind(valve).timed(time_of),
        )
        .operator(
            "ruled",
            parallelism,
            "rows",
            TestJob::by_prefix(),
            ruled(calls, failed).with_end_of_input(ended),
        )
        .and_from("rules", Partitioning::Broadcast)
        .sink(
            "out",
            1,
            "ruled",
            Partitioning::Rebalance,
            LedgerSink::new(ledger),
        );
    job.restart = RESTARTS;
    job
}

fn rows(counts: &[(u8, u8)]) -> Vec<String> {
    counts
        .iter()
        .map(|(key, n)| format!("k{key}-{n}"))
        .collect()
}

#[test]
fn c28_each_key_that_holds_the_state_is_visited_once_and_no_other() {
    let rows: Vec<String> = (0..3000)
        .map(|n| format!("k{}-{}", n % 1000, if n % 7 == 0 { 0 } else { 1 }))
        .collect();
    let rules = ["tell", "add", "drop", "twice"];
    for parallelism in [1, 2, 3] {
        let ledger = Ledger::default();
        let report = job(
            (&rows, &rules),
            parallelism,
            Calls::failing_at(None),
            &ledger,
        )
        .run();
        assert!(
            matches!(report.outcome, Ended::Finished),
            "{:?}",
            report.outcome
        );
        assert_eq!(ledger.sorted(), expected(&rows, &rules), "at {parallelism}");
    }
}

fn rule() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["tell", "add", "drop", "twice"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn c28_a_failure_in_the_middle_of_the_keys_is_as_if_none_had_been(
        made in prop::collection::vec((0..12u8, 0..4u8), 1..60),
        rules in prop::collection::vec(rule(), 1..4),
        fails_at in 0..6usize,
        parallelism in 1..4u32,
    ) {
        let rows = rows(&made);
        let ledger = Ledger::default();
        let calls = Calls::failing_at(Some(fails_at));
        let report = job((&rows, &rules), parallelism, calls, &ledger).run();
        prop_assert!(matches!(report.outcome, Ended::Finished), "{:?}", report.outcome);
        prop_assert_eq!(ledger.sorted(), expected(&rows, &rules));
    }
}

/// A barrier that overtook the row, with half of the keys behind it, would leave the others out
/// after a restore. So a checkpoint begins while keys have their turn, and later a call fails.
#[test]
fn c28_no_barrier_comes_between_the_keys() {
    let rows: Vec<String> = (0..2000).map(|n| format!("k{n}-1")).collect();
    let rules = ["add", "tell"];
    let ledger = Ledger::default();
    // Time for a checkpoint to begin and for its barrier to get through; where none does, it is
    // only waited for.
    let during = |_: usize| {
        let began = std::time::Instant::now();
        while began.elapsed() < std::time::Duration::from_millis(10) {
            std::thread::yield_now();
        }
    };
    let mut job = job(
        (&rows, &rules),
        1,
        Calls {
            fails_at: Some(5),
            during: Box::new(during),
        },
        &ledger,
    );
    let checkpoints = job.checkpoints.as_mut().unwrap();
    checkpoints.unaligned = true;
    checkpoints.interval_ms = Some(1);
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(ledger.sorted(), expected(&rows, &rules));
}
