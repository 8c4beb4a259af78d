//! Rules for the words of a Rust source: the module's opening, what pure crates and tests may not
//! name.

use super::sizes::is_test;
use super::tokens::Code;
use super::{File, Finding};

/// Crates that decide and do not act (layout, invariant 1): what they may not name, and why.
const PURE_CRATES: [&str; 5] = ["model", "state", "graph", "checkpoint", "formats"];
const IMPURE: [(&str, &str); 8] = [
    ("std::fs", "files"),
    ("std::net", "the network"),
    ("std::process", "processes"),
    ("std::thread", "threads"),
    ("SystemTime", "the wall clock"),
    ("Instant::now", "the clock"),
    ("tokio", "the async runtime"),
    ("rand::", "randomness"),
];

/// Nobody may write these, tests least of all.
const NEVER: [(&str, &str); 3] = [
    ("#[ignore", "a test runs or is deleted"),
    (
        "#[should_panic",
        "assert on the error, or on what `catch_unwind` gives",
    ),
    ("todo!", "write it, or leave it out"),
];

/// File names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helpers", "manager", "misc"];

pub(crate) fn check(file: &File, code: &Code<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line: usize, rule, advice| {
        findings.push(Finding {
            path: file.path.clone(),
            line,
            rule,
            advice,
        });
    };
    let first = code.lines.iter().find(|line| !line.trim().is_empty());
    if !first.is_some_and(|line| line.starts_with("//! ") && line.len() > 10) {
        find(
            1,
            "module-doc",
            "open with `//!`: what this is, and the invariant it keeps".to_owned(),
        );
    }
    let name = file
        .path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs");
    let folder = file.path.rsplit('/').nth(1).unwrap_or_default();
    if let Some(empty) = EMPTY_NAMES
        .iter()
        .find(|empty| [name, folder].contains(*empty))
    {
        find(
            0,
            "module-name",
            format!("`{empty}` says nothing; name it after its concept"),
        );
    }
    let all_tests = is_test(&file.path);
    let pure = pure_crate(&file.path);
    for (number, line) in code.masked.iter().enumerate() {
        let in_test = all_tests || code.in_test.get(number).copied().unwrap_or(false);
        for (word, advice) in NEVER.iter().filter(|(word, _)| names(line, word)) {
            find(number + 1, "never", format!("`{word}`: {advice}"));
        }
        if in_test && names(line, "thread::sleep") {
            let advice =
                "a test that waits is slow or flaky; use virtual time or wait for the event";
            find(number + 1, "test-sleep", advice.to_owned());
        }
        let Some(pure) = pure.filter(|_| !in_test) else {
            continue;
        };
        for (word, what) in IMPURE.iter().filter(|(word, _)| names(line, word)) {
            let advice =
                format!("`{word}`: crate `{pure}` decides; {what} belong to a driver or leaf");
            find(number + 1, "pure", advice);
        }
    }
    findings
}

/// The pure crate a file belongs to.
fn pure_crate(path: &str) -> Option<&str> {
    let name = path.strip_prefix("crates/")?.split_once("/src/")?.0;
    PURE_CRATES.contains(&name).then_some(name)
}

/// Whether a line of code names `word`, not a longer name that contains it.
fn names(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let goes_on_before = word.starts_with(is_word) && before.ends_with(is_word);
        let goes_on_after = word.ends_with(is_word) && after.starts_with(is_word);
        !goes_on_before && !goes_on_after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_lines(path: &str, text: &str, expected: &[(usize, &str)]) {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let found = check(&file, &Code::new(&file.text));
        let found: Vec<_> = found
            .iter()
            .map(|finding| (finding.line, finding.rule))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_file_opens_with_its_doc() {
        check_lines("src/a.rs", "//! Merges watermarks.\nfn f() {}\n", &[]);
        check_lines(
            "src/a.rs",
            "// Merges watermarks.\nfn f() {}\n",
            &[(1, "module-doc")],
        );
        check_lines("src/a.rs", "//! x\n", &[(1, "module-doc")]);
        check_lines("src/a.rs", "", &[(1, "module-doc")]);
    }

    #[test]
    fn names_that_say_nothing_are_refused() {
        check_lines(
            "src/utils.rs",
            "//! Odds and ends.\n",
            &[(0, "module-name")],
        );
        check_lines(
            "src/common/mod.rs",
            "//! Odds and ends.\n",
            &[(0, "module-name")],
        );
    }

    #[test]
    fn a_pure_crate_names_no_clock_and_no_files() {
        let text = "//! Decides things.\nuse std::fs;\nlet t = Instant::now();\n// tokio\nlet s = \"tokio\";\n";
        check_lines("crates/graph/src/a.rs", text, &[(2, "pure"), (3, "pure")]);
        check_lines("crates/runtime/src/a.rs", text, &[]);
        check_lines("crates/graph/tests/a.rs", text, &[]);
    }

    #[test]
    fn longer_names_are_others() {
        check_lines(
            "crates/model/src/a.rs",
            "//! Decides things.\nuse tokio_like::x;\n",
            &[],
        );
        check_lines(
            "crates/model/src/a.rs",
            "//! Decides things.\nuse tokio::x;\n",
            &[(2, "pure")],
        );
        check_lines(
            "crates/model/src/a.rs",
            "//! Decides things.\nlet strand::x;\n",
            &[],
        );
    }

    #[test]
    fn tests_of_a_pure_crate_may_read_files() {
        let text = "//! Decides things.\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        check_lines("crates/graph/src/a.rs", text, &[]);
        check_lines(
            "crates/graph/src/a/tests.rs",
            "//! Tests of a.\nuse std::fs;\n",
            &[],
        );
    }

    #[test]
    fn tests_run_and_do_not_wait() {
        let sleep = "//! Waits for it.\nfn f() { std::thread::sleep(d); }\n";
        check_lines("src/a.rs", sleep, &[]);
        check_lines("src/a/tests.rs", sleep, &[(2, "test-sleep")]);
        let never =
            "//! Is not done.\n#[ignore]\nfn f() { todo!() }\n#[should_panic(expected = \"x\")]\n";
        check_lines(
            "src/a.rs",
            never,
            &[(2, "never"), (3, "never"), (4, "never")],
        );
    }
}
