//! `--set path=value`: applied to the tree before anything is typed (D26).

use crate::{
    code,
    report::Report,
    source::Span,
    yaml::{self, Entry, Node, Value},
};

/// The longest list that an index may make by adding to its end.
const HELP: &str = "write `--set path=value`: dots walk mappings, [i] walks lists, the value is \
                    YAML, as in `--set sources.flights.rate=25000`";

/// A step of a path, with where it stands in the argument.
enum Part<'a> {
    Key(&'a str, Span),
    Index(usize, Span),
}

/// Applies one argument, the document of that number.
pub(super) fn apply(argument: &str, document: usize, root: &mut Node, report: &mut Report) {
    let all = Span {
        document,
        start: 0,
        end: argument.len(),
    };
    let Some((path, value)) = argument.split_once('=') else {
        let message = format!("`--set {argument}` has no `=`");
        report.error(code::SET, message).at(all, "").help(HELP);
        return;
    };
    let Ok(parts) = parts(path, document) else {
        let span = Span {
            end: path.len(),
            ..all
        };
        let message = format!("`{path}` is no path of a value");
        report.error(code::SET, message).at(span, "").help(HELP);
        return;
    };
    let Some(value) = yaml::parse(value, document, path.len() + 1, report) else {
        return;
    };
    put(root, &parts, value, report);
}

fn parts(path: &str, document: usize) -> Result<Vec<Part<'_>>, ()> {
    let mut parts = Vec::new();
    let mut start = 0;
    for word in path.split('.') {
        let end = start + word.len();
        let (key, mut indices) = match word.find('[') {
            Some(at) => word.split_at(at),
            None => (word, ""),
        };
        if key.is_empty() {
            return Err(());
        }
        let mut at = start + key.len();
        parts.push(Part::Key(
            key,
            Span {
                document,
                start,
                end: at,
            },
        ));
        while let Some(rest) = indices.strip_prefix('[') {
            let (number, rest) = rest.split_once(']').ok_or(())?;
            let index = number.parse().map_err(|_| ())?;
            let end = at + number.len() + 2;
            parts.push(Part::Index(
                index,
                Span {
                    document,
                    start: at,
                    end,
                },
            ));
            at = end;
            indices = rest;
        }
        if !indices.is_empty() {
            return Err(());
        }
        start = end + 1;
    }
    Ok(parts)
}

/// Walks down, makes mappings that are missing, and puts the value at the end.
fn put(node: &mut Node, parts: &[Part<'_>], value: Node, report: &mut Report) {
    let Some((first, rest)) = parts.split_first() else {
        *node = value;
        return;
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
                let message = format!("`{key}` cannot be set in {kind}");
                report
                    .error(code::SET, message)
                    .at(span, "only a mapping has keys")
                    .help(HELP);
                return;
            };
            let at = entries
                .iter()
                .position(|entry| entry.key == key)
                .unwrap_or_else(|| {
                    let node = Node {
                        span,
                        value: Value::Null,
                    };
                    entries.push(Entry {
                        key: key.to_owned(),
                        key_span: span,
                        node,
                    });
                    entries.len() - 1
                });
            if let Some(entry) = entries.get_mut(at) {
                if rest.is_empty() {
                    entry.key_span = span;
                }
                put(&mut entry.node, rest, value, report);
            }
        }
        Part::Index(index, span) => {
            let kind = node.value.kind();
            let Value::List(list) = &mut node.value else {
                let message = format!("there is no list here, but {kind}");
                report
                    .error(code::SET, message)
                    .at(span, "only a list has indices")
                    .help(HELP);
                return;
            };
            let count = list.len();
            match list.get_mut(index) {
                Some(item) => put(item, rest, value, report),
                None => {
                    let message = format!("the list has no item {index}");
                    let label = format!("it has {count} items, counted from 0");
                    report.error(code::SET, message).at(span, label);
                }
            }
        }
    }
}
