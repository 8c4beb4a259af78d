//! `--set path=value`: applied to the tree before anything is typed (D26).
//!
//! A path may be one of Flink's names.
//!
//! INVARIANT: an argument is applied whole or, where it cannot be, not at all.

use super::flink;
use crate::{
    code,
    report::Report,
    source::{SET, Span},
    wording::{count, quote},
    yaml::{self, Entry, Node, Value},
};

const HELP: &str = "write `--set path=value`: dots walk mappings, [i] walks lists, the value is \
                    YAML, as in `--set sources.flights.rate=25000`";

/// A step of a path, with where it stands in the argument.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part<'a> {
    Key(&'a str, Span),
    Index(usize, Span),
}

/// Applies one argument, the document of that number.
pub(super) fn apply(argument: &str, document: usize, root: &mut Node, report: &mut Report) {
    let from = SET.len();
    let whole = |len: usize| Span {
        document,
        start: from,
        end: from + len,
    };
    let Some((path, value)) = argument.split_once('=') else {
        let message = format!("{} has no `=`", quote(&format!("{SET}{argument}")));
        let error = report.error(code::SET, message);
        error.at(whole(argument.len()), "").help(HELP);
        return;
    };
    let Some(parts) = parts(path, document) else {
        let message = format!("{} is no path of a value", quote(path));
        let error = report.error(code::SET, message);
        error.at(whole(path.len()), "").help(HELP);
        return;
    };
    if parts.len() > yaml::MAX_DEPTH {
        let message = format!("a path of {}", count(parts.len(), "step"));
        let label = format!("at most {} are walked", yaml::MAX_DEPTH);
        report
            .error(code::SET, message)
            .at(whole(path.len()), label);
        return;
    }
    let Some(value) = yaml::parse(value, document, from + path.len() + 1, report) else {
        return;
    };
    let (parts, value) = match flink::of_argument(path, &value, report) {
        Ok(Some((ours, value))) => {
            let part = |key| Part::Key(key, whole(path.len()));
            (ours.split('.').map(part).collect(), value)
        }
        Ok(None) => (parts, value),
        Err(()) => return,
    };
    let mut changed = root.clone();
    if put(&mut changed, &parts, value, report).is_some() {
        *root = changed;
    }
}

/// The steps of a path; `None` where it is none.
fn parts(path: &str, document: usize) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut start = SET.len();
    for word in path.split('.') {
        let (key, mut indices) = word.split_at(word.find('[').unwrap_or(word.len()));
        if key.is_empty() {
            return None;
        }
        let mut end = start + key.len();
        let span = |start, end| Span {
            document,
            start,
            end,
        };
        parts.push(Part::Key(key, span(start, end)));
        while !indices.is_empty() {
            let (number, rest) = indices.strip_prefix('[')?.split_once(']')?;
            // `parse` alone would take `+1`.
            if !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let at = end;
            end += number.len() + 2;
            parts.push(Part::Index(number.parse().ok()?, span(at, end)));
            indices = rest;
        }
        start = end + 1;
    }
    Some(parts)
}

/// Walks down, makes mappings that are missing, and puts the value at the end; `None` where there
/// is no such way, which is reported.
fn put(node: &mut Node, parts: &[Part<'_>], value: Node, report: &mut Report) -> Option<()> {
    let Some((first, rest)) = parts.split_first() else {
        *node = value;
        return Some(());
    };
    match *first {
        Part::Key(key, span) => {
            if matches!(node.value, Value::Null) {
                *node = Node {
                    span,
                    value: Value::Map(Vec::new()),
                };
            }
            let kind = node.value.kind();
            let Value::Map(entries) = &mut node.value else {
                let message = format!("{} cannot be set in {kind}", quote(key));
                let error = report.error(code::SET, message);
                error.at(span, "only a mapping has keys");
                return None;
            };
            let at = entries.iter().position(|entry| entry.key == key);
            let at = at.unwrap_or_else(|| {
                entries.push(missing(key, span));
                entries.len() - 1
            });
            let entry = entries.get_mut(at)?;
            if rest.is_empty() {
                entry.key_span = span;
            }
            put(&mut entry.node, rest, value, report)
        }
        Part::Index(index, span) => {
            let (message, label) = match &mut node.value {
                Value::List(list) => match (list.len(), list.get_mut(index)) {
                    (_, Some(item)) => return put(item, rest, value, report),
                    (len, None) => (
                        format!("the list has no item {index}"),
                        format!("it has {}, counted from 0", count(len, "item")),
                    ),
                },
                Value::Null => (
                    "there is no list yet".to_owned(),
                    "set it whole: `…=[ … ]`".to_owned(),
                ),
                other => (
                    format!("there is no list here, but {}", other.kind()),
                    "only a list has items".to_owned(),
                ),
            };
            report.error(code::SET, message).at(span, label);
            None
        }
    }
}

/// A key that the file does not have, before it gets its value.
fn missing(key: &str, span: Span) -> Entry {
    Entry {
        key: key.to_owned(),
        key_span: span,
        node: Node {
            span,
            value: Value::Null,
        },
    }
}

#[cfg(test)]
mod tests;
