//! Dead letters: what an operator cannot take is in another sink, once, and all else is as if it
//! had never been there (D13).

use serde_json::{Value, json};
use weir_operator::Limit;

use super::*;

/// Refuses rows that end with `3`, passes all others on.
fn picky() -> Closures {
    Closures::new(|_, _, rows| {
        let mut emitted = Emitted::default();
        let mut poisoned = None;
        for (at, row) in rows.values.iter().enumerate() {
            let at = u32::try_from(at).unwrap();
            if row.ends_with(b"3") {
                let message = "ends with 3".into();
                poisoned = Some(Poison { row: at, message });
                break;
            }
            emitted.values.push(row);
            emitted.origin.push(at);
        }
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned,
        })
    })
}

/// The letters, and the rows that they are about.
fn letters(ledger: &Ledger) -> (Vec<Value>, Vec<String>) {
    let letters = ledger.rows();
    let letters: Vec<Value> = letters
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let rows = letters.iter().map(|letter| letter["row"].as_str());
    let mut rows: Vec<String> = rows.map(|row| row.unwrap().to_owned()).collect();
    rows.sort();
    (letters, rows)
}

fn dead_lettered(report: &Report, node: &str) -> u64 {
    let of = report.meters.iter().filter(|m| m.name.as_str() == node);
    of.map(|m| {
        assert_eq!(m.skipped.get(), 0);
        m.dead_lettered.get()
    })
    .sum()
}

fn split_by(all: &[String], bad: impl Fn(&str) -> bool) -> (Vec<String>, Vec<String>) {
    let (mut bad, good): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|row| bad(row));
    bad.sort();
    (bad, good)
}

#[track_caller]
fn finished(report: &Report) {
    let finished = matches!(report.outcome, Ended::Finished);
    assert!(finished, "{:?}", report.outcome);
}

#[test]
fn d13_a_refused_row_is_a_dead_letter_and_its_neighbours_keep_their_order() {
    let all = rows(0, 100, 4);
    let (good, dead) = (Ledger::default(), Ledger::default());
    let report = TestJob::new()
        .source("rows", 1, MemorySource::of(std::slice::from_ref(&all)))
        .operator("picky", 1, "rows", Partitioning::Forward, picky())
        .dead_lettering("dead")
        .sink(
            "out",
            1,
            "picky",
            Partitioning::Forward,
            LedgerSink::new(&good),
        )
        .dead_letters("dead", 1, LedgerSink::new(&dead))
        .run();
    finished(&report);
    let (bad, taken) = split_by(&all, |row| row.ends_with('3'));
    assert_eq!(good.rows(), taken);
    let (letters, about) = letters(&dead);
    assert_eq!(about, bad);
    assert_eq!(
        letters[0],
        json!({
            "operator": "picky", "input": "rows", "code": "W0101", "error": "ends with 3",
            "row": "k3-0-3",
        })
    );
    assert_eq!(dead_lettered(&report, "picky"), 10);
}

#[test]
fn d13_a_row_that_traps_or_breaks_a_limit_is_a_dead_letter_with_the_hash_of_its_key() {
    let limited = |counter: Closures| {
        let limit = || {
            Failure::Limit(Box::new(Limit {
                key: "memory",
                value: "1 MiB".into(),
                message: "too much".into(),
                backtrace: vec!["a frame".into()],
                row: None,
            }))
        };
        counter.failing_at(|row| row.ends_with(b"7"), limit)
    };
    let trapping = |counter: Closures| counter.trapping_at(|row| row.ends_with(b"7"));
    for (code, error, failing) in [
        ("W0102", "as told", trapping(counter())),
        (
            "W0103",
            "too much (limit `limits.memory` is 1 MiB)",
            limited(counter()),
        ),
    ] {
        let all = rows(0, 200, 4);
        let (good, dead) = (Ledger::default(), Ledger::default());
        let report = TestJob::new()
            .source("rows", 1, MemorySource::of(std::slice::from_ref(&all)))
            .operator("count", 2, "rows", TestJob::by_prefix(), failing)
            .dead_lettering("dead")
            .sink(
                "out",
                2,
                "count",
                Partitioning::Forward,
                LedgerSink::new(&good),
            )
            .dead_letters("dead", 1, LedgerSink::new(&dead))
            .run();
        finished(&report);
        let (bad, taken) = split_by(&all, |row| row.ends_with('7'));
        assert_eq!(good.sorted(), counted(&[taken]));
        let (letters, about) = letters(&dead);
        assert_eq!(about, bad);
        assert_eq!(dead_lettered(&report, "count"), 20);
        assert_eq!(report.restarts, 0);
        for letter in letters {
            let row = letter["row"].as_str().unwrap();
            let key = row.split('-').next().unwrap();
            let hash = format!("{:016x}", weir_model::hash64(key.as_bytes()));
            assert_eq!(
                letter,
                json!({
                    "operator": "count", "input": "rows", "code": code, "error": error,
                    "row": row, "key_hash": hash,
                })
            );
        }
    }
}

#[test]
fn d13_what_an_operator_keeps_in_its_memory_makes_no_dead_letter_of_a_trap() {
    let dead = Ledger::default();
    let trapping = counter()
        .keeping_memory()
        .trapping_at(|row| row.ends_with(b"7"));
    let report = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows(0, 200, 4)]))
        .operator("count", 1, "rows", TestJob::by_prefix(), trapping)
        .dead_lettering("dead")
        .dead_letters("dead", 1, LedgerSink::new(&dead))
        .run();
    assert!(failure(&report).contains("as told"));
    assert!(dead.rows().is_empty());
}

#[test]
fn d02_a_row_without_a_key_is_a_dead_letter_of_whoever_would_have_got_it() {
    let all = ["a-1", "nokey", "a-2", "none"].map(str::to_owned).to_vec();
    let (good, dead) = (Ledger::default(), Ledger::default());
    let report = TestJob::new()
        .source("rows", 1, MemorySource::of(&[all]))
        .operator("count", 2, "rows", TestJob::by_prefix(), counter())
        .dead_lettering("dead")
        .sink(
            "out",
            2,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&good),
        )
        .dead_letters("dead", 1, LedgerSink::new(&dead))
        .run();
    finished(&report);
    assert_eq!(good.sorted(), ["a=1", "a=2"]);
    let letter = |row: &str| {
        json!({
            "operator": "count", "input": "rows", "code": "W0106", "error": "the row has no `-`",
            "row": row,
        })
    };
    assert_eq!(letters(&dead).0, [letter("nokey"), letter("none")]);
    assert_eq!(dead_lettered(&report, "count"), 2);
}

#[test]
fn several_operators_share_a_sink_for_dead_letters_with_rows_of_its_own() {
    let all = ["a-1", "a-3", "nokey", "b-2"].map(str::to_owned).to_vec();
    let ledger = Ledger::default();
    let report = TestJob::new()
        .source("rows", 1, MemorySource::of(&[all]))
        .operator("picky", 1, "rows", Partitioning::Forward, picky())
        .dead_lettering("out")
        .operator("count", 1, "picky", TestJob::by_prefix(), counter())
        .dead_lettering("out")
        .sink(
            "out",
            1,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        )
        .run();
    finished(&report);
    let rows = ledger.sorted();
    assert_eq!(&rows[..2], ["a=1", "b=1"]);
    let letters: Vec<Value> = rows[2..]
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |operator: &str, input: &str, row: &str| {
        letters.iter().any(|letter| {
            letter["operator"] == operator && letter["input"] == input && letter["row"] == row
        })
    };
    assert_eq!(letters.len(), 2);
    assert!(of("picky", "rows", "a-3"), "{letters:?}");
    assert!(of("count", "picky", "nokey"), "{letters:?}");
}

#[test]
fn a_failure_between_neither_loses_nor_doubles_a_dead_letter() {
    let mut splits = [rows(0, 400, 5), rows(1, 400, 5)];
    for split in &mut splits {
        for at in (0..split.len()).step_by(11) {
            split[at] = format!("nokey{}", split[at].replace('-', "_"));
        }
    }
    let (good, dead) = (Ledger::default(), Ledger::default());
    let valve = Valve::at(100);
    let armed = Arc::new(AtomicBool::new(false));
    let (trip, arm, opened) = (armed.clone(), armed.clone(), valve.clone());
    let boom = map_rows(move |row| {
        if trip.swap(false, Ordering::Relaxed) {
            return Err(Failure::Guest {
                message: "boom".into(),
                row: None,
            });
        }
        Ok(vec![row.to_owned()])
    });
    let events = at_checkpoint(3, move || {
        arm.store(true, Ordering::Relaxed);
        opened.open_to(u64::MAX);
    });
    let source = MemorySource::of(&splits).reading(10).behind(valve);
    let trapping = counter().trapping_at(|row| row.ends_with(b"7"));
    let mut job = TestJob::new()
        .source("rows", 2, source)
        .operator("boom", 2, "rows", Partitioning::Forward, boom)
        .operator("picky", 2, "boom", Partitioning::Forward, picky())
        .dead_lettering("dead")
        .operator("count", 2, "picky", TestJob::by_prefix(), trapping)
        .dead_lettering("dead")
        .sink(
            "out",
            2,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&good),
        )
        .dead_letters("dead", 3, LedgerSink::new(&dead))
        .listening(events);
    job.restart = RESTARTS;
    let report = job.run();
    finished(&report);
    assert_eq!(report.restarts, 1);
    let is_bad = |row: &str| row.ends_with(['3', '7']) || !row.contains('-');
    let (bad, taken) = split_by(&splits.concat(), is_bad);
    assert_eq!(letters(&dead).1, bad);
    assert_eq!(good.sorted(), counted(&[taken]));
    assert_eq!(dead.sealed(), 0);
}

#[test]
fn a_flood_of_refused_rows_goes_through() {
    let all: Vec<String> = (0..20_000).map(|i| format!("k{}-{i}-3", i % 7)).collect();
    let dead = Ledger::default();
    let report = TestJob::new()
        .source("rows", 1, MemorySource::of(std::slice::from_ref(&all)))
        .operator("picky", 1, "rows", TestJob::by_prefix(), picky())
        .dead_lettering("dead")
        .dead_letters("dead", 1, LedgerSink::new(&dead))
        .run();
    finished(&report);
    assert_eq!(dead_lettered(&report, "picky"), 20_000);
    let (letters, _) = letters(&dead);
    let rows = letters.iter().map(|letter| letter["row"].as_str().unwrap());
    assert!(rows.eq(all.iter().map(String::as_str)), "in order");
}
