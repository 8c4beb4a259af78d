//! When two outputs are the same: figures that differ from run to run do not count.

use anyhow::ensure;

use super::Check;

/// Whether what is printed is what is expected.
pub(super) fn same(expected: &[String], printed: &[String]) -> bool {
    let Some((first, rest)) = expected.split_first() else {
        return printed.is_empty();
    };
    if first == "..." {
        return (0..=printed.len()).any(|skipped| same(rest, &printed[skipped..]));
    }
    let Some((line, later)) = printed.split_first() else {
        return false;
    };
    fits(&blurred(first), &blurred(line)) && same(rest, later)
}

/// Whether a line is as expected, `[..]` for anything.
fn fits(expected: &str, line: &str) -> bool {
    match expected.split_once("[..]") {
        None => expected == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            starts.into_iter().any(|at| fits(after, &rest[at..]))
        }),
    }
}

/// A line with what may differ taken out: durations, sizes, points in time, checksums and hashes,
/// the figures of `_ms` and `_bytes` in JSON, and how many blanks there are between two words, for
/// columns move with what stands in them.
pub(super) fn blurred(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let (mut out, mut rest) = (line[..indent].to_owned(), &line[indent..]);
    while let Some(c) = rest.chars().next() {
        let after_word = out.ends_with(|c: char| c.is_ascii_alphanumeric());
        let (what, length) = match c {
            ' ' => (" ", rest.len() - rest.trim_start_matches(' ').len()),
            _ if after_word => ("", 0),
            _ => figure(&out, rest).unwrap_or(("", 0)),
        };
        if length > 0 {
            out.push_str(what);
            rest = &rest[length..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// What figure a text begins with, and how long it is.
fn figure(before: &str, text: &str) -> Option<(&'static str, usize)> {
    let length = |of: fn(char) -> bool| text.find(|c| !of(c)).unwrap_or(text.len());
    let time = length(|c| c.is_ascii_digit() || "-:TZ".contains(c));
    if time == "2026-11-25T03:24:45Z".len() && text[..time].ends_with('Z') {
        return Some(("<time>", time));
    }
    let hex = length(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    let ends = !text[hex..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if hex >= 8 && ends && text[..hex].contains(|c: char| c.is_ascii_digit()) {
        return Some(("<hex>", hex));
    }
    let number = length(|c| c.is_ascii_digit() || ".,".contains(c));
    let number = text[..number].trim_end_matches(['.', ',']).len();
    if number == 0 {
        return None;
    }
    if before.ends_with("_ms\":") || before.ends_with("_bytes\":") {
        return Some(("<figure>", number));
    }
    let units = [
        (" ms", "<duration>"),
        (" s", "<duration>"),
        (" min", "<duration>"),
        (" B", "<size>"),
        (" KiB", "<size>"),
        (" MiB", "<size>"),
        (" bytes", "<size>"),
    ];
    units.into_iter().find_map(|(unit, what)| {
        let rest = text[number..].strip_prefix(unit)?;
        let ends = !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        ends.then_some((what, number + unit.len()))
    })
}

pub(super) fn tests() -> Vec<(&'static str, Check)> {
    vec![
        ("figures_of_a_run_are_blurred", || {
            for (line, blur) in [
                ("done in 12 ms, 1.5 KiB", "done in <duration>, <size>"),
                ("  chk-5   periodic", "  chk-5 periodic"),
                ("at 2026-11-25T03:24:45Z.", "at <time>."),
                ("crc32c 0123abcd", "crc32c <hex>"),
                ("effaced decade", "effaced decade"),
                ("16 rows of 2,000", "16 rows of 2,000"),
                ("3 states", "3 states"),
                (
                    "{\"size_bytes\":12,\"n\":3}",
                    "{\"size_bytes\":<figure>,\"n\":3}",
                ),
                ("x12 ms", "x12 ms"),
            ] {
                ensure!(blurred(line) == blur, "`{line}` is `{}`", blurred(line));
            }
            Ok(())
        }),
        ("outputs_are_compared_line_by_line", || {
            let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
            for (expected, printed, is) in [
                ("a\nb", "a\nb", true),
                ("a\nb", "a", false),
                ("a", "a\nb", false),
                ("a\n...", "a\nb\nc", true),
                ("...\nc", "a\nb\nc", true),
                ("...\nd", "a\nb\nc", false),
                ("x [..] z", "x y z", true),
                ("x [..] z", "x y", false),
                ("in 1 ms", "in 20 s", true),
                ("in 1 ms", "in 1 row", false),
                ("  a", "a", false),
            ] {
                let found = same(&lines(expected), &lines(printed));
                ensure!(found == is, "`{expected}` and `{printed}`: {found}");
            }
            Ok(())
        }),
    ]
}
