//! Sizes: of files, functions and lines.

use super::tokens::Code;
use super::{File, Finding};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;

/// A function may be longer where this stands above it, with a reason.
const LONG_FUNCTION: &str = "// tidy: long function, ";

pub(crate) fn check(file: &File, code: &Code<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !is_test(&file.path) {
        findings.extend(file_length(file, code));
    }
    findings.extend(function_lengths(file, code));
    findings.extend(line_lengths(file, code));
    findings
}

/// Whether a file holds nothing but tests, by its name.
pub(crate) fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let in_folder = path
        .split('/')
        .rev()
        .skip(1)
        .any(|folder| matches!(folder, "tests" | "benches"));
    in_folder || name == "tests.rs" || name.ends_with("_tests.rs")
}

/// One line on how long the files are, tests and generated ones apart.
pub(crate) fn report(files: &[File]) -> String {
    let mut lengths: Vec<usize> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs") && !is_test(&file.path))
        .filter(|file| !super::text::is_generated(file))
        .map(|file| own_lines(&Code::new(&file.text)))
        .collect();
    lengths.sort_unstable();
    let at = |percent: usize| lengths.get(lengths.len().saturating_sub(1) * percent / 100);
    let [median, high, longest] = [50, 95, 100].map(|percent| at(percent).copied().unwrap_or(0));
    format!(
        "{} source files, {} lines; median {median} (aim 150), 95th percentile {high} (aim 500), \
         longest {longest}",
        lengths.len(),
        lengths.iter().sum::<usize>(),
    )
}

/// Lines outside of test modules.
fn own_lines(code: &Code<'_>) -> usize {
    code.in_test.iter().filter(|&&in_test| !in_test).count()
}

fn file_length(file: &File, code: &Code<'_>) -> Option<Finding> {
    let lines = own_lines(code);
    (lines > FILE_LINES_MAX).then(|| Finding {
        path: file.path.clone(),
        line: 0,
        rule: "file-length",
        advice: format!(
            "{lines} lines without tests; split it by concept ({FILE_LINES_MAX} at most)"
        ),
    })
}

fn function_lengths(file: &File, code: &Code<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in code.masked.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let Some(end) = code.block_end(number) else {
            continue;
        };
        let lines = end + 1 - number;
        if lines > FUNCTION_LINES_MAX && !is_excused(code, number) {
            findings.push(Finding {
                path: file.path.clone(),
                line: number + 1,
                rule: "function-length",
                advice: format!(
                    "`{name}` has {lines} lines; split it ({FUNCTION_LINES_MAX} at most), or say why \
                     above it: `{LONG_FUNCTION}REASON`"
                ),
            });
        }
    }
    findings
}

/// The name of the function that a line of code begins, if it does.
fn function_name(line: &str) -> Option<&str> {
    let words = [
        "pub", "const", "async", "unsafe", "extern", "default", "\"C\"", "\" \"",
    ];
    let mut rest = line.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix("fn ") {
            let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            return after.get(..end).filter(|name| !name.is_empty());
        }
        let (word, after) = rest.split_once(' ')?;
        if !words.contains(&word) && !word.starts_with("pub(") {
            return None;
        }
        rest = after.trim_start();
    }
}

/// Looks for the excuse in the comments and attributes right above a function.
fn is_excused(code: &Code<'_>, function: usize) -> bool {
    code.lines[..function]
        .iter()
        .rev()
        .map(|line| line.trim())
        .take_while(|line| line.starts_with("//") || line.starts_with('#'))
        .any(|line| {
            line.strip_prefix(LONG_FUNCTION)
                .is_some_and(|reason| reason.len() > 4)
        })
}

fn line_lengths(file: &File, code: &Code<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, (line, masked)) in code.lines.iter().zip(&code.masked).enumerate() {
        let columns = line.chars().count();
        let is_comment = line.trim_start().starts_with("//");
        // What a literal holds cannot always be broken, and an address never.
        let literal = line
            .chars()
            .zip(masked.chars())
            .filter(|(shown, code)| shown != code)
            .count();
        let counted = if is_comment {
            columns
        } else {
            columns - literal
        };
        if counted > LINE_COLUMNS_MAX && !line.contains("://") {
            findings.push(Finding {
                path: file.path.clone(),
                line: number + 1,
                rule: "line-length",
                advice: format!("{columns} columns; break it at {LINE_COLUMNS_MAX}"),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let findings = check(&file, &Code::new(&file.text));
        findings
            .into_iter()
            .map(|finding| (finding.line, finding.rule))
            .collect()
    }

    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    x();\n".repeat(lines - 2))
    }

    #[test]
    fn a_file_may_have_800_lines_without_its_tests() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(500));
        assert_eq!(findings("src/a.rs", &("//\n".repeat(800) + &tests)), []);
        assert_eq!(
            findings("src/a.rs", &"//\n".repeat(801)),
            [(0, "file-length")]
        );
        assert_eq!(findings("src/a/tests.rs", &"//\n".repeat(801)), []);
        assert_eq!(findings("tests/src/a.rs", &"//\n".repeat(801)), []);
    }

    #[test]
    fn a_function_may_have_70_lines() {
        assert_eq!(findings("src/a.rs", &function(70)), []);
        assert_eq!(
            findings("src/a.rs", &function(71)),
            [(1, "function-length")]
        );
        let method = format!("impl A {{\n    pub(crate) async {}}}\n", function(71));
        assert_eq!(findings("src/a.rs", &method), [(2, "function-length")]);
    }

    #[test]
    fn a_long_function_needs_a_reason_right_above() {
        let excused = format!(
            "// tidy: long function, one table\n#[inline]\n{}",
            function(71)
        );
        assert_eq!(findings("src/a.rs", &excused), []);
        let empty = format!("// tidy: long function, \n{}", function(71));
        assert_eq!(findings("src/a.rs", &empty), [(2, "function-length")]);
        let far = format!("// tidy: long function, one table\n\n{}", function(71));
        assert_eq!(findings("src/a.rs", &far), [(3, "function-length")]);
    }

    #[test]
    fn braces_in_literals_do_not_end_a_function() {
        let text = format!("fn f() {{\n    p('}}');\n{}}}\n", "    x();\n".repeat(68));
        assert_eq!(findings("src/a.rs", &text), [(1, "function-length")]);
    }

    #[test]
    fn a_line_may_have_100_columns_but_for_literals_and_addresses() {
        let long = "x".repeat(101);
        assert_eq!(findings("src/a.rs", &long), [(1, "line-length")]);
        assert_eq!(
            findings("src/a.rs", &format!("// {long}")),
            [(1, "line-length")]
        );
        assert_eq!(findings("src/a.rs", &format!("f(\"{long}\")")), []);
        assert_eq!(findings("src/a.rs", &format!("// see https://{long}")), []);
        assert_eq!(
            findings("src/a.rs", &"\u{e9}".repeat(100)),
            [],
            "columns, not bytes"
        );
    }

    #[test]
    fn sizes_are_reported_without_tests() {
        let file = |path: &str, lines: usize| File {
            path: path.into(),
            text: "//\n".repeat(lines),
        };
        let files = [
            file("a.rs", 10),
            file("b.rs", 20),
            file("c.rs", 30),
            file("tests.rs", 900),
        ];
        let report = report(&files);
        assert!(
            report.starts_with("3 source files, 60 lines; median 20 "),
            "{report}"
        );
        assert!(report.ends_with("longest 30"), "{report}");
    }
}
