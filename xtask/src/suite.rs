//! Runs every test there is and counts: the crates under nextest where it is installed, their doc
//! tests, and those of the guest SDK and of the guests. The last line says how many passed, in a
//! form that machines read too.

use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::workspace;

/// Tests that ran, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

/// How the closing line of each runner begins. A failed test's output may hold another runner's
/// line, so each suite is counted by its own.
const NEXTEST: &str = "Summary [";
const HARNESS: &str = "test result: ";

/// A command that runs tests, and how its closing lines begin.
struct Suite {
    command: Command,
    closing: &'static str,
}

/// Builds the programs, runs all suites to their end, and says whether all of it passed.
pub(crate) fn run() -> Result<bool> {
    let mut total = Count::default();
    let mut good = true;
    for suite in suites() {
        let (count, passed) = run_counted(suite)?;
        total.passed += count.passed;
        total.failed += count.failed;
        good &= passed;
    }
    // A build that fails leaves no failed test, and no test at all is no success either.
    good &= total.passed > 0;
    println!("\n{} passed, {} failed", total.passed, total.failed);
    Ok(good)
}

fn suites() -> Vec<Suite> {
    let mut programs = workspace::cargo();
    programs.args(["build", "--workspace", "--bins"]);
    let mut units = workspace::cargo();
    let nextest = has_nextest();
    if nextest {
        units.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        units.args(["--status-level", "slow", "--final-status-level", "fail"]);
        if std::io::stderr().is_terminal() {
            units.args(["--color", "always"]);
        } else {
            units.args(["--show-progress", "none"]);
        }
    } else {
        units.args([
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ]);
    }
    let mut docs = workspace::cargo();
    docs.args(["test", "--workspace", "--doc", "--no-fail-fast"]);
    let harness = |command| Suite {
        command,
        closing: HARNESS,
    };
    let closing = if nextest { NEXTEST } else { HARNESS };
    let mut suites = vec![
        harness(programs),
        Suite {
            command: units,
            closing,
        },
        harness(docs),
    ];

    // Natively: what guests do in the sandbox is for the host's own tests to show.
    for workspace in ["guest-sdk/rust", "guest-examples"] {
        let mut command = workspace::cargo();
        command
            .args(["test", "--workspace", "--all-features", "--no-fail-fast"])
            .arg("--manifest-path")
            .arg(workspace::root().join(workspace).join("Cargo.toml"));
        if let Some(target) = workspace::target_dir() {
            command.env("CARGO_TARGET_DIR", target.join("guest-sdk"));
        }
        suites.push(harness(command));
    }
    suites
}

fn has_nextest() -> bool {
    let mut probe = workspace::cargo();
    probe
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Runs a suite, shows all it prints as it comes, and counts the tests it reports.
fn run_counted(suite: Suite) -> Result<(Count, bool)> {
    let Suite {
        mut command,
        closing,
    } = suite;
    // Test runners report on either stream. One pipe for both keeps their order.
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    // It holds the pipe's other end too: the loop below would never end.
    drop(command);
    let mut count = Count::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("reading what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        let found = count_in(&without_colour(&line), closing);
        count.passed += found.passed;
        count.failed += found.failed;
        println!("{line}");
    }
    let status = child.wait().context("waiting for the tests")?;
    Ok((count, status.success()))
}

/// What one line of output says about tests, if it is a closing line.
fn count_in(line: &str, closing: &str) -> Count {
    let line = line.trim_start();
    if !line.starts_with(closing) {
        return Count::default();
    }
    let number_before = |word: &str| {
        let mut words = line
            .split([' ', ':', ',', ';', '(', ')'])
            .filter(|word| !word.is_empty());
        let mut last = None;
        words.find_map(|next| {
            let number = if next == word { last } else { None };
            last = next.parse::<u64>().ok();
            number
        })
    };
    let failed = ["failed", "timed"]
        .iter()
        .filter_map(|word| number_before(word))
        .sum();
    Count {
        passed: number_before("passed").unwrap_or(0),
        failed,
    }
}

/// The line without the escape sequences that set colours.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(closing: &str, line: &str, passed: u64, failed: u64) {
        let found = count_in(&without_colour(line), closing);
        assert_eq!(found, Count { passed, failed }, "{line}");
    }

    #[test]
    fn closing_lines_of_both_runners_are_counted() {
        check(
            NEXTEST,
            "   Summary [   0.5s] 120 tests run: 120 passed, 0 skipped",
            120,
            0,
        );
        let bad = "   Summary [   1.2s] 3 tests run: 1 passed (1 slow), 1 failed, 1 timed out";
        check(NEXTEST, bad, 1, 2);
        check(
            HARNESS,
            "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured",
            7,
            0,
        );
        check(
            HARNESS,
            "test result: FAILED. 5 passed; 2 failed; 0 ignored",
            5,
            2,
        );
    }

    #[test]
    fn colours_do_not_hide_a_count() {
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m2\u{1b}[0m tests run: \
            \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped";
        check(NEXTEST, line, 2, 0);
    }

    #[test]
    fn other_lines_count_nothing() {
        check(HARNESS, "test counts::are_kept ... ok", 0, 0);
        check(HARNESS, "a test printed: 3 passed", 0, 0);
        let inside_a_failed_test = "    test result: FAILED. 0 passed; 1 failed";
        check(NEXTEST, inside_a_failed_test, 0, 0);
    }
}
