//! What the demo prints: a summary that a person reads in ten seconds.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::expected::{Carrier, Expected, SINKS};
use super::{Outcome, checkpoints};

/// A line on a terminal that is replaced as the job goes on.
pub(super) struct Progress {
    checkpoints: PathBuf,
    what: &'static str,
    start: Instant,
    shown: Option<Duration>,
    enabled: bool,
}

impl Progress {
    /// For the `number`-th process of a demonstration.
    pub(super) fn new(checkpoints: PathBuf, number: u32) -> Self {
        let what = if number == 1 { "running" } else { "to the end" };
        let enabled = std::io::stderr().is_terminal();
        Self {
            checkpoints,
            what,
            start: Instant::now(),
            shown: None,
            enabled,
        }
    }

    /// Shows how far it is, some times a second.
    pub(super) fn show(&mut self) {
        let now = self.start.elapsed();
        let due = self
            .shown
            .is_none_or(|shown| now - shown > Duration::from_millis(100));
        if !self.enabled || !due {
            return;
        }
        self.shown = Some(now);
        let newest = checkpoints::complete(&self.checkpoints)
            .unwrap_or_default()
            .pop();
        let newest = newest.map_or_else(String::new, |id| format!(", checkpoint {id} complete"));
        eprint!("\r  {} {:4.1} s{newest} ", self.what, now.as_secs_f64());
        // Nothing depends on a progress line.
        let _ = std::io::stderr().flush();
    }

    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r{:60}\r", "");
        }
    }
}

/// What is about to happen.
///
/// `seed` is that of the moments to kill at, if there are any.
pub(super) fn opening(expected: &Expected, rate: Option<u64>, seed: Option<u64>, runs: u64) {
    let pace = rate.map_or("as fast as it goes".to_owned(), |rate| {
        format!("at {} rows a second", grouped(rate))
    });
    let times = if runs == 1 {
        String::new()
    } else {
        format!(", {runs} times")
    };
    let seed = seed.map_or_else(String::new, |seed| {
        format!(", killed in the middle (seed {seed})")
    });
    println!(
        "{} flights of 2013 {pace}{times}{seed}",
        grouped(expected.rows)
    );
}

/// The result of one demonstration, in full.
pub(super) fn whole(outcome: &Outcome) {
    println!();
    for (name, text) in story(outcome) {
        println!("  {name:<12}{text}");
    }
    println!("\n  carrier   flights  cancelled   arrived  mean delay  worst delay");
    let mut carriers: Vec<(String, Carrier)> =
        outcome.committed.last_of_carriers().into_iter().collect();
    carriers.sort_by_key(|(_, carrier)| std::cmp::Reverse(carrier.flights));
    for (name, carrier) in carriers {
        let mean = match carrier.arrived {
            0 => "-".to_owned(),
            arrived => format!("{:.1} min", carrier.arr_delay_sum as f64 / arrived as f64),
        };
        let worst = carrier
            .arr_delay_worst
            .map_or("-".to_owned(), |worst| format!("{} min", signed(worst)));
        let [flights, cancelled, arrived] =
            [carrier.flights, carrier.cancelled, carrier.arrived].map(grouped);
        println!("  {name:<8}{flights:>9}{cancelled:>11}{arrived:>10}{mean:>12}{worst:>13}");
    }
    println!();
    for sink in SINKS {
        let lines = &outcome.committed.sink(sink).lines;
        println!(
            "  {sink:<10}{:>9} rows committed",
            grouped(lines.len() as u64)
        );
    }
    println!("\n  exactly once: {}", answer(outcome.problems.is_empty()));
    problems(outcome);
}

/// The result of one of many demonstrations.
pub(super) fn line(run: u64, outcome: &Outcome) {
    let story: Vec<String> = story(outcome)
        .into_iter()
        .map(|(name, text)| format!("{name} {text}"))
        .collect();
    println!(
        "{run:>3}  exactly once: {}  {}",
        answer(outcome.problems.is_empty()),
        story.join("; ")
    );
    problems(outcome);
}

/// The result of many demonstrations.
pub(super) fn closing(exact: u64, runs: u64) {
    println!(
        "\n{exact} of {runs} exactly once: {}",
        answer(exact == runs)
    );
}

/// What happened, in order, as (word, text).
fn story(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let summary = &outcome.summary;
    let mut story = Vec::new();
    if let Some(killed) = &outcome.killed {
        let newest = killed.complete.last();
        let complete = newest.map_or("no checkpoint complete".to_owned(), |id| {
            format!("checkpoint {id} complete")
        });
        story.push((
            "killed",
            format!(
                "{:.2} s after the first row, {complete}",
                seconds(killed.after)
            ),
        ));
        let recovery = summary.recovery_ms.map_or_else(String::new, |ms| {
            format!(", running again after {ms:.0} ms")
        });
        let restored = match &summary.restored_from {
            Some(restored) => format!("checkpoint {}{recovery}", restored.id),
            None => format!("nothing: from the start{recovery}"),
        };
        story.push(("restored", restored));
    }
    let read = summary.rows_read();
    story.push((
        "rows",
        format!(
            "{} in {:.1} s, {} a second",
            grouped(read),
            summary.duration_ms / 1000.0,
            grouped(summary.rows_per_second() as u64)
        ),
    ));
    let taken = &summary.checkpoints;
    let last = match (taken.last_id, taken.last_duration_ms, taken.last_size_bytes) {
        (Some(id), Some(ms), Some(bytes)) => {
            format!(
                ", number {id} in {ms:.0} ms with {} KiB",
                grouped(bytes.div_ceil(1024))
            )
        }
        _ => String::new(),
    };
    let failed = if taken.failed == 0 {
        String::new()
    } else {
        format!(", {} failed", taken.failed)
    };
    story.push((
        "checkpoints",
        format!("{} taken{failed}{last}", taken.completed),
    ));
    story
}

fn problems(outcome: &Outcome) {
    for problem in &outcome.problems {
        println!("  {problem}");
    }
}

fn answer(yes: bool) -> String {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match (yes, colour) {
        (true, true) => "\u{1b}[1;32myes\u{1b}[0m".to_owned(),
        (false, true) => "\u{1b}[1;31mNO\u{1b}[0m".to_owned(),
        (true, false) => "yes".to_owned(),
        (false, false) => "NO".to_owned(),
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_kept_apart() {
        assert_eq!(
            [0, 999, 1_000, 336_776].map(grouped),
            ["0", "999", "1,000", "336,776"]
        );
        assert_eq!(signed(-1_301), "-1,301");
    }
}
