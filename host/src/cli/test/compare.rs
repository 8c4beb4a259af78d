//! What was expected beside what came, purely: whether it is the same, and lines that show where it
//! is not.

use std::collections::BTreeSet;

use serde_json::Value;
use weir_harness::Caught;
use weir_job_file::{ExpectedRow, ExpectedValue};

use crate::saved::{bytes_of, hex};

/// How many rows that are right are shown before and behind one that is not.
const AROUND: usize = 2;
/// How many ways of going on are looked at, where rows of several subtasks are alike.
const WAYS: usize = 10_000;
/// How many comparisons a difference may take; above it all rows are shown, one list after the
/// other.
const COMPARISONS: usize = 4_000_000;

/// A line of what is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It was expected and came.
    Both(String),
    /// It was expected and did not come.
    Missing(String),
    /// It came and was not expected.
    Surplus(String),
}

/// Compares rows whose order counts: those of each subtask come as they are expected, those of
/// several in any way that keeps that.
pub(super) fn in_order(expected: &[ExpectedRow], came: &[Caught]) -> Result<(), Vec<Line>> {
    let queues = queues(came);
    if expected.len() == came.len() && interleaves(expected, &queues) {
        return Ok(());
    }
    let came = merged(expected, &queues);
    let fits = |e: usize, c: usize| is_row(&expected[e], came[c]);
    let with_times = expected.iter().any(|row| row.time.is_some());
    Err(difference(
        &expected.iter().map(expected_text).collect::<Vec<_>>(),
        &came
            .iter()
            .map(|row| came_text(row, with_times))
            .collect::<Vec<_>>(),
        fits,
    ))
}

/// Compares rows whose order does not count.
pub(super) fn in_any_order(expected: &[ExpectedRow], came: &[Caught]) -> Result<(), Vec<Line>> {
    let with_times = expected.iter().any(|row| row.time.is_some());
    let texts: Vec<String> = expected.iter().map(expected_text).collect();
    let came_texts: Vec<String> = came.iter().map(|row| came_text(row, with_times)).collect();
    unordered(&texts, &came_texts, |e, c| is_row(&expected[e], &came[c]))
}

/// Compares things in any order, that are shown by these texts; `fits` says of an expected one and
/// of one that came whether they are the same.
pub(super) fn unordered(
    expected: &[String],
    came: &[String],
    fits: impl Fn(usize, usize) -> bool,
) -> Result<(), Vec<Line>> {
    let found = matching(expected.len(), came.len(), fits);
    let is_whole = found.iter().all(Option::is_some) && expected.len() == came.len();
    if is_whole {
        return Ok(());
    }
    let lines = expected.iter().zip(&found);
    let lines = lines.map(|(text, found)| match found {
        Some(_) => Line::Both(text.clone()),
        None => Line::Missing(text.clone()),
    });
    let mut lines: Vec<Line> = lines.collect();
    for (at, text) in came.iter().enumerate() {
        if !found.contains(&Some(at)) {
            lines.push(Line::Surplus(text.clone()));
        }
    }
    Err(lines)
}

/// The lines as text, indented, with only a few of those that are right around others.
pub(super) fn text_of(lines: &[Line]) -> Vec<String> {
    let is_right = |at: usize| matches!(lines.get(at), Some(Line::Both(_)));
    let is_near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        (from..=at + AROUND).any(|near| near < lines.len() && !is_right(near))
    };
    let mut text = Vec::new();
    let mut left_out = 0;
    let tell = |left_out: &mut usize, text: &mut Vec<String>| match std::mem::take(left_out) {
        0 => {}
        1 => text.push("    … 1 that is right".to_owned()),
        count => text.push(format!("    … {count} that are right")),
    };
    for (at, line) in lines.iter().enumerate() {
        let (sign, row) = match line {
            Line::Both(_) if !is_near(at) => {
                left_out += 1;
                continue;
            }
            Line::Both(row) => (' ', row),
            Line::Missing(row) => ('-', row),
            Line::Surplus(row) => ('+', row),
        };
        tell(&mut left_out, &mut text);
        text.push(format!("  {sign} {}", visible(row)));
    }
    tell(&mut left_out, &mut text);
    text
}

/// Characters that cannot be seen as they are written.
fn visible(row: &str) -> String {
    let show = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    row.chars().map(show).collect()
}

/// Whether a row is the one that is expected.
fn is_row(expected: &ExpectedRow, came: &Caught) -> bool {
    if expected.time.is_some() && expected.time != came.time {
        return false;
    }
    let came_value = || serde_json::from_slice::<Value>(&came.value).ok();
    match &expected.value {
        ExpectedValue::Text(text) => {
            text.as_bytes() == came.value
                || serde_json::from_str::<Value>(text)
                    .ok()
                    .is_some_and(|value| came_value().as_ref() == Some(&value))
        }
        ExpectedValue::Json(value) => {
            came_value().as_ref() == Some(value) || as_bytes(value).as_ref() == Some(&came.value)
        }
    }
}

/// Bytes that are no text are written `{"$hex": "…"}`.
fn as_bytes(value: &Value) -> Option<Vec<u8>> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    bytes_of(object.get("$hex")?.as_str()?).ok()
}

fn expected_text(row: &ExpectedRow) -> String {
    let text = match &row.value {
        ExpectedValue::Text(text) => plainly(text),
        ExpectedValue::Json(value) => value.to_string(),
    };
    with_time(text, row.time)
}

fn came_text(row: &Caught, with_times: bool) -> String {
    let text = match std::str::from_utf8(&row.value) {
        Ok(text) => plainly(text),
        Err(_) => hex(&row.value).to_string(),
    };
    with_time(text, row.time.filter(|_| with_times))
}

/// JSON in one way of writing, so that what is alike looks alike.
fn plainly(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value.to_string(),
        Ok(_) | Err(_) => text.to_owned(),
    }
}

fn with_time(text: String, time: Option<i64>) -> String {
    match time {
        Some(time) => format!("{text}  (time {time})"),
        None => text,
    }
}

/// The rows of each subtask.
fn queues(came: &[Caught]) -> Vec<Vec<&Caught>> {
    let subtasks: BTreeSet<_> = came.iter().map(|row| row.subtask).collect();
    let of = |subtask| came.iter().filter(move |row| row.subtask == subtask);
    let queues = subtasks.into_iter();
    queues.map(|subtask| of(subtask).collect()).collect()
}

/// Whether the rows of all subtasks, each in its order, can have come as they are expected.
fn interleaves(expected: &[ExpectedRow], queues: &[Vec<&Caught>]) -> bool {
    // How many rows of each subtask were taken, in all ways there are so far.
    let mut ways = BTreeSet::from([vec![0; queues.len()]]);
    for row in expected {
        let mut next = BTreeSet::new();
        for way in &ways {
            for (queue, rows) in queues.iter().enumerate() {
                if rows.get(way[queue]).is_some_and(|came| is_row(row, came)) {
                    let mut way = way.clone();
                    way[queue] += 1;
                    next.insert(way);
                }
            }
            if next.len() > WAYS {
                break;
            }
        }
        ways = next;
    }
    !ways.is_empty()
}

/// The rows of all subtasks in one order, as near to what is expected as comes of taking what fits
/// next.
fn merged<'a>(expected: &[ExpectedRow], queues: &[Vec<&'a Caught>]) -> Vec<&'a Caught> {
    let mut next = vec![0; queues.len()];
    let mut merged = Vec::new();
    for row in expected {
        let fits = |(queue, rows): &(usize, &Vec<&Caught>)| {
            rows.get(next[*queue]).is_some_and(|came| is_row(row, came))
        };
        if let Some((queue, rows)) = queues.iter().enumerate().find(fits) {
            merged.push(rows[next[queue]]);
            next[queue] += 1;
        }
    }
    for (queue, rows) in queues.iter().enumerate() {
        merged.extend(&rows[next[queue]..]);
    }
    merged
}

/// The difference of two lists: as many as possible are the same.
fn difference(
    expected: &[String],
    came: &[String],
    fits: impl Fn(usize, usize) -> bool,
) -> Vec<Line> {
    let (rows, columns) = (expected.len(), came.len());
    if rows.saturating_mul(columns) > COMPARISONS {
        let missing = expected.iter().cloned().map(Line::Missing);
        return missing
            .chain(came.iter().cloned().map(Line::Surplus))
            .collect();
    }
    // How many are the same of what begins here and there.
    let mut same = vec![vec![0_usize; columns + 1]; rows + 1];
    for e in (0..rows).rev() {
        for c in (0..columns).rev() {
            same[e][c] = match fits(e, c) {
                true => same[e + 1][c + 1] + 1,
                false => same[e + 1][c].max(same[e][c + 1]),
            };
        }
    }
    let (mut e, mut c) = (0, 0);
    let mut lines = Vec::new();
    while e < rows || c < columns {
        if e < rows && c < columns && fits(e, c) {
            lines.push(Line::Both(came[c].clone()));
            (e, c) = (e + 1, c + 1);
        } else if e < rows && (c == columns || same[e + 1][c] >= same[e][c + 1]) {
            lines.push(Line::Missing(expected[e].clone()));
            e += 1;
        } else {
            lines.push(Line::Surplus(came[c].clone()));
            c += 1;
        }
    }
    lines
}

/// Pairs as many as possible; of each expected one, which one of those that came it is.
fn matching(
    expected: usize,
    came: usize,
    fits: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut of_came: Vec<Option<usize>> = vec![None; came];
    for e in 0..expected {
        find(e, &mut vec![false; came], &mut of_came, &fits);
    }
    let mut found = vec![None; expected];
    for (c, e) in of_came.iter().enumerate() {
        if let Some(e) = e {
            found[*e] = Some(c);
        }
    }
    found
}

/// Finds one for `e`, for which others may take another one.
fn find(
    e: usize,
    seen: &mut Vec<bool>,
    of_came: &mut Vec<Option<usize>>,
    fits: &impl Fn(usize, usize) -> bool,
) -> bool {
    // One that is free is taken before others are asked to move.
    let free = (0..of_came.len()).find(|&c| of_came[c].is_none() && !seen[c] && fits(e, c));
    if let Some(c) = free {
        of_came[c] = Some(e);
        return true;
    }
    for c in 0..of_came.len() {
        if seen[c] || !fits(e, c) {
            continue;
        }
        seen[c] = true;
        let moves = of_came[c].is_none_or(|other| find(other, seen, of_came, fits));
        if moves {
            of_came[c] = Some(e);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use weir_model::SubtaskIndex;

    use super::*;

    fn came(subtask: u32, text: &str) -> Caught {
        Caught {
            subtask: SubtaskIndex(subtask),
            value: text.into(),
            time: Some(7),
        }
    }

    fn expected(text: &str) -> ExpectedRow {
        ExpectedRow::new(ExpectedValue::Text(text.to_owned()), None)
    }

    fn expected_all(texts: &[&str]) -> Vec<ExpectedRow> {
        texts.iter().map(|text| expected(text)).collect()
    }

    #[test]
    fn json_is_compared_by_value_and_text_as_it_is() {
        let row = came(0, r#"{"a": 1, "b": [2]}"#);
        assert!(is_row(&expected(r#"{"b":[2],"a":1}"#), &row));
        assert!(!is_row(&expected(r#"{"b":[2]}"#), &row));
        let value = json!({ "b": [2], "a": 1 });
        assert!(is_row(
            &ExpectedRow::new(ExpectedValue::Json(value), Some(7)),
            &row
        ));
        assert!(!is_row(
            &ExpectedRow::new(ExpectedValue::Text("x".into()), Some(8)),
            &came(0, "x")
        ));
        assert!(is_row(&expected("a b"), &came(0, "a b")));
        assert!(!is_row(&expected("a b"), &came(0, "a  b")));
        let bytes = Caught {
            value: vec![0xff],
            ..came(0, "")
        };
        let hex = ExpectedValue::Json(json!({ "$hex": "ff" }));
        assert!(is_row(&ExpectedRow::new(hex, None), &bytes));
    }

    #[test]
    fn one_subtask_keeps_its_order_and_several_keep_theirs() {
        let of_one = [came(0, "a"), came(0, "b")];
        assert!(in_order(&expected_all(&["a", "b"]), &of_one).is_ok());
        assert!(in_order(&expected_all(&["b", "a"]), &of_one).is_err());
        let of_two = [came(0, "a"), came(1, "b"), came(0, "c"), came(1, "a")];
        for order in [
            ["b", "a", "a", "c"],
            ["a", "c", "b", "a"],
            ["a", "b", "a", "c"],
        ] {
            assert_eq!(
                in_order(&expected_all(&order), &of_two),
                Ok(()),
                "{order:?}"
            );
        }
        assert!(in_order(&expected_all(&["c", "a", "b", "a"]), &of_two).is_err());
        assert!(in_any_order(&expected_all(&["c", "a", "b", "a"]), &of_two).is_ok());
    }

    #[test]
    fn a_difference_shows_what_is_missing_and_what_is_too_much() {
        let rows: Vec<Caught> = ["1", "2", "3", "4", "5", "x", "7"]
            .map(|t| came(0, t))
            .to_vec();
        let all = ["1", "2", "3", "4", "5", "6", "7"];
        let lines = in_order(&expected_all(&all), &rows).unwrap_err();
        let text = text_of(&lines);
        assert_eq!(
            text,
            [
                "    … 3 that are right",
                "    4",
                "    5",
                "  - 6",
                "  + x",
                "    7"
            ]
        );
        let lines = in_any_order(&expected_all(&["a"]), &[]).unwrap_err();
        assert_eq!(lines, [Line::Missing("a".into())]);
        let lines = in_order(&[], &[came(0, "a")]).unwrap_err();
        assert_eq!(lines, [Line::Surplus("a".into())]);
    }

    proptest! {
        /// Whatever two subtasks give, each way of mixing it is right, and the lines add up.
        #[test]
        fn every_mixture_is_right_and_every_difference_adds_up(
            rows in prop::collection::vec((0_u32..2, 0_u8..3), 0..12),
            other in prop::collection::vec(0_u8..3, 0..12),
        ) {
            let all: Vec<Caught> = rows.iter().map(|(s, n)| came(*s, &n.to_string())).collect();
            let as_they_came: Vec<_> = rows.iter().map(|(_, n)| expected(&n.to_string())).collect();
            prop_assert!(in_order(&as_they_came, &all).is_ok());
            prop_assert!(in_any_order(&as_they_came, &all).is_ok());
            let others: Vec<_> = other.iter().map(|n| expected(&n.to_string())).collect();
            let mut sorted: Vec<u8> = rows.iter().map(|(_, n)| *n).collect();
            let mut sorted_other = other.clone();
            sorted.sort_unstable();
            sorted_other.sort_unstable();
            let any = in_any_order(&others, &all);
            prop_assert_eq!(any.is_ok(), sorted == sorted_other);
            for lines in [any, in_order(&others, &all)].into_iter().filter_map(Result::err) {
                let missing = lines.iter().filter(|l| matches!(l, Line::Missing(_))).count();
                let surplus = lines.iter().filter(|l| matches!(l, Line::Surplus(_))).count();
                let both = lines.len() - missing - surplus;
                prop_assert_eq!(both + missing, others.len());
                prop_assert_eq!(both + surplus, all.len());
            }
        }
    }
}
