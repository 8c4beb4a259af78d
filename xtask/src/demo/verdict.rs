//! Compares what came out with what must come out, and says in words where they differ.
//!
//! The digests alone decide; the rest is there to tell a lost row from a doubled or a wrong one.

use std::collections::BTreeMap;

use super::Killed;
use super::committed::{Committed, Sink};
use super::expected::{Expected, SINKS};
use super::summary::Summary;

/// How many examples of a difference are shown.
const EXAMPLES: usize = 3;

/// Differences in the output, none if each row is there once.
pub(super) fn of_output(expected: &Expected, committed: &Committed) -> Vec<String> {
    let mut problems = Vec::new();
    for name in SINKS {
        let sink = committed.sink(name);
        let (rows, sha256) = expected.of(name);
        for stray in &sink.strays {
            let what = if stray.starts_with('.') {
                "is not committed"
            } else {
                "is no whole part file"
            };
            problems.push(format!("{name}: {stray} {what}"));
        }
        let found = sink.lines.len() as u64;
        if found != rows {
            problems.push(format!("{name}: {found} rows, expected {rows}"));
        }
        let digest = sink.sha256();
        if digest != sha256 {
            problems.push(format!(
                "{name}: the rows have SHA-256 {digest}, expected {sha256}"
            ));
            problems.extend(doubled(name, sink));
            if name == "carriers" {
                problems.extend(carriers(expected, committed));
            }
        }
    }
    problems
}

/// Differences between the summary and what was seen from outside.
pub(super) fn of_summary(
    expected: &Expected,
    summary: &Summary,
    killed: Option<&Killed>,
) -> Vec<String> {
    let mut problems = Vec::new();
    if summary.job != "flights" || summary.state != "finished" {
        problems.push(format!(
            "the summary is of `{}`, {}",
            summary.job, summary.state
        ));
    }
    let restored = summary.restored_from.as_ref().map(|restored| restored.id);
    let newest = killed.and_then(|killed| killed.complete.last().copied());
    let name = |id: Option<u64>| id.map_or("none".to_owned(), |id| id.to_string());
    if restored != newest {
        let (restored, newest) = (name(restored), name(newest));
        problems.push(format!(
            "restored checkpoint {restored}, the newest complete one was {newest}"
        ));
    }
    // A process that begins anew sees all rows, one that restores some of them.
    let read = summary.rows_read();
    problems.extend(differs(
        &format!("read {read} rows"),
        read,
        expected.rows,
        restored,
    ));
    for sink in SINKS {
        let rows = summary.rows_out.get(sink).copied().unwrap_or(0);
        let what = format!("the summary says {rows} rows into {sink}");
        problems.extend(differs(&what, rows, expected.of(sink).0, restored));
    }
    if summary.restarts > 0 {
        problems.push(format!(
            "the job failed and restarted {} times",
            summary.restarts
        ));
    }
    problems
}

fn differs(what: &str, rows: u64, all: u64, restored: Option<u64>) -> Option<String> {
    match restored {
        None if rows != all => Some(format!("{what} from the start, expected {all}")),
        Some(id) if rows > all => Some(format!("{what} after checkpoint {id}, of {all} in all")),
        None | Some(_) => None,
    }
}

/// No row of this job is like another, so an equal one was written twice.
fn doubled(name: &str, sink: &Sink) -> Vec<String> {
    let twice: Vec<&String> = sink
        .lines
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| &pair[0])
        .collect();
    let mut problems = Vec::new();
    if !twice.is_empty() {
        problems.push(format!(
            "{name}: {} rows were written more than once",
            twice.len()
        ));
    }
    problems.extend(
        twice
            .iter()
            .take(EXAMPLES)
            .map(|line| format!("{name}:   {line}")),
    );
    problems
}

/// Each carrier's updates count its flights up from 1: gaps are lost rows.
fn carriers(expected: &Expected, committed: &Committed) -> Vec<String> {
    let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (name, update) in committed.sink("carriers").carrier_updates() {
        counts.entry(name).or_default().push(update.flights);
    }
    let mut problems = Vec::new();
    let found = committed.last_of_carriers();
    for (name, last) in &expected.carriers.last {
        let mut present = counts.remove(name).unwrap_or_default();
        present.sort_unstable();
        let missing: Vec<u64> = (1..=last.flights)
            .filter(|count| present.binary_search(count).is_err())
            .collect();
        if let (Some(first), Some(end)) = (missing.first(), missing.last()) {
            problems.push(format!(
                "carriers: {name}: {} updates are missing, between flight {first} and {end}",
                missing.len()
            ));
        }
        match found.get(name) {
            Some(found) if found == last => {}
            Some(found) => problems.push(format!(
                "carriers: {name}: ends with {}\ncarriers: {name}: expected  {}",
                show(found),
                show(last)
            )),
            None => problems.push(format!("carriers: {name} is missing")),
        }
    }
    problems.extend(
        counts
            .keys()
            .map(|name| format!("carriers: {name} does not exist")),
    );
    problems
}

fn show(carrier: &super::expected::Carrier) -> String {
    let worst = carrier
        .arr_delay_worst
        .map_or("none".to_owned(), |worst| worst.to_string());
    format!(
        "flights {}, cancelled {}, arrived {}, delay sum {}, worst {worst}",
        carrier.flights, carrier.cancelled, carrier.arrived, carrier.arr_delay_sum
    )
}
