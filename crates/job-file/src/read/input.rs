//! Inputs of operators and sinks: what is read, and how its rows are dealt out.

use weir_formats::Pointer;
use weir_model::Name;

use super::{
    fields::{Fields, Keys, Words, text_of, this_is, unavailable, wrong},
    job::Around,
};
use crate::{
    code,
    model::{ColumnRef, Input, Key, Partitioning},
    report::Report,
    source::Span,
    wording::quote,
    yaml::{Node, Value},
};

/// The keys of an input; a sink has them among its own.
pub(super) const KEYS: Keys = Keys::of(&["from", "key", "partitioning", "broadcast"]);

const KEY: Keys = Keys::of(&["columns", "json", "row", "guest"]);

const WORDS: Words<'_, Word> = Words {
    later: &[
        ("rescale", "use `rebalance`"),
        ("shuffle", "use `rebalance`"),
    ],
    hints: &[
        ("hash", "rows go by key where the input has a `key`"),
        ("key", "rows go by key where the input has a `key`"),
    ],
    ..Words::of(&[
        ("forward", Word::Forward),
        ("rebalance", Word::Rebalance),
        ("broadcast", Word::Broadcast),
        ("global", Word::Global),
    ])
};

#[derive(Clone, Copy)]
enum Word {
    Forward,
    Rebalance,
    Broadcast,
    Global,
}

/// How rows are dealt out, and where that is written.
struct Dealing {
    partitioning: Partitioning,
    /// The parts of a key, else the value of `partitioning`.
    places: Vec<Span>,
}

/// An input in a list: a mapping, or just the name of what is read.
pub(super) fn read(
    what: String,
    node: &Node,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Input> {
    match &node.value {
        Value::Text(text) => {
            let (from, side_output) = from(text, node.span, around, report)?;
            Some(Input {
                from,
                side_output,
                partitioning: Partitioning::Automatic,
                span: node.span,
                places: Vec::new(),
            })
        }
        Value::Map(_) => {
            let fields = Fields::open(what, node, node.span, &[&KEYS], report)?;
            of_fields(&fields, around, report)
        }
        _ => {
            let message = format!("{what} must be a name, or a mapping with `from`");
            let error = report.error(code::WRONG_TYPE, message);
            error.at(node.span, this_is(&node.value));
            None
        }
    }
}

/// The input among the fields of a mapping.
pub(super) fn of_fields(
    fields: &Fields<'_>,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Input> {
    let dealing = dealing(fields, report);
    let entry = fields.required("from", report)?;
    let (text, span) = text_of("from", &entry.node, report)?;
    let (from, side_output) = from(text, span, around, report)?;
    let Dealing {
        partitioning,
        places,
    } = dealing?;
    Some(Input {
        from,
        side_output,
        partitioning,
        span,
        places,
    })
}

/// `node` or `node.side-output`.
fn from(
    text: &str,
    span: Span,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<(Name, Option<String>)> {
    let (node, side) = match text.split_once('.') {
        Some((node, side)) => (node, Some(side)),
        None => (text, None),
    };
    around.names.check_read(node, side, span, report)?;
    // A name that is there and breaks the rule of names is told of where it is given.
    Some((Name::new(node).ok()?, side.map(str::to_owned)))
}

fn dealing(fields: &Fields<'_>, report: &mut Report) -> Option<Dealing> {
    let key = match fields.entry("key") {
        // `key: none` as in "no key".
        Some(entry) if matches!(&entry.node.value, Value::Text(text) if text == "none") => None,
        entry => entry,
    };
    // All are read before one that is wrong ends it, so that all errors are told.
    let read = key.map(|entry| self::key(&entry.node, entry.key_span, report));
    let partitioning = fields.entry("partitioning");
    let word = partitioning.map(|_| fields.word("partitioning", &WORDS, report));
    let broadcast = matches!(fields.boolean("broadcast", report), Some((true, _)));
    let broadcast = fields.entry("broadcast").filter(|_| broadcast);
    if let (Some(key), Some(said)) = (key, partitioning.or(broadcast)) {
        report
            .error(
                code::CONTRADICTION,
                "an input has a key or another partitioning, not both",
            )
            .at(key.key_span, "rows go by their key")
            .at(said.key_span, "and here they do not");
        return None;
    }
    if let (Some(said), Some(broadcast)) = (partitioning, broadcast)
        && !matches!(word, Some(Some(Word::Broadcast)))
    {
        report
            .error(
                code::CONTRADICTION,
                "an input is broadcast or has another partitioning, not both",
            )
            .at(broadcast.key_span, "every row goes to every subtask")
            .at(said.key_span, "and here it does not");
        return None;
    }
    if let Some(key) = read {
        let (key, places) = key?;
        let partitioning = Partitioning::Key(key);
        return Some(Dealing {
            partitioning,
            places,
        });
    }
    let places = partitioning.map(|entry| entry.node.span);
    let partitioning = match (word, broadcast) {
        (Some(word), _) => match word? {
            Word::Forward => Partitioning::Forward,
            Word::Rebalance => Partitioning::Rebalance,
            Word::Broadcast => Partitioning::Broadcast,
            Word::Global => Partitioning::Global,
        },
        (None, Some(_)) => Partitioning::Broadcast,
        (None, None) => Partitioning::Automatic,
    };
    Some(Dealing {
        partitioning,
        places: places.into_iter().collect(),
    })
}

/// A key, and where each of its parts stands.
fn key(node: &Node, name: Span, report: &mut Report) -> Option<(Key, Vec<Span>)> {
    let fields = Fields::open("`key`", node, name, &[&KEY], report)?;
    let kinds = ["columns", "json", "row", "guest"];
    let said: Vec<_> = kinds.iter().filter_map(|kind| fields.entry(kind)).collect();
    let one = match said.as_slice() {
        [one] => one,
        [] => {
            report
                .error(code::KEY, "`key` does not say what the key is")
                .at(node.span, "needs `columns`, `json` or `row`");
            return None;
        }
        [first, others @ ..] => {
            let mut error = report
                .error(code::KEY, "a key is selected in one way")
                .at(first.key_span, "this way");
            for other in others {
                error = error.at(other.key_span, "or this way");
            }
            return None;
        }
    };
    let node = &one.node;
    let places = || list(node).iter().map(|item| item.span).collect();
    match one.key.as_str() {
        "columns" => {
            let columns: Vec<_> = list(node).iter().map(|item| column(item, report)).collect();
            let columns = columns.into_iter().collect::<Option<Vec<_>>>()?;
            Some((Key::Columns(not_empty(columns, node, report)?), places()))
        }
        "json" => {
            let pointers = list(node).iter();
            let pointers: Vec<_> = pointers.map(|item| pointer("json", item, report)).collect();
            let pointers = pointers.into_iter().collect::<Option<Vec<_>>>()?;
            Some((Key::Json(not_empty(pointers, node, report)?), places()))
        }
        "row" => match fields.boolean("row", report)? {
            (true, _) => Some((Key::Row, places())),
            (false, span) => {
                let error = report.error(code::KEY, "`row` can only be true");
                error.at(span, "leave `key` out where there is none");
                None
            }
        },
        _ => {
            let instead = "select the key with `columns` or `json`";
            unavailable(report, "`guest`", one.key_span, instead);
            None
        }
    }
}

fn not_empty<T>(list: Vec<T>, node: &Node, report: &mut Report) -> Option<Vec<T>> {
    if list.is_empty() {
        report
            .error(code::KEY, "a key has at least one part")
            .at(node.span, "this is empty");
        return None;
    }
    Some(list)
}

/// One thing counts as a list of one.
fn list(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(list) => list,
        _ => std::slice::from_ref(node),
    }
}

/// A column by index or name.
pub(super) fn column(node: &Node, report: &mut Report) -> Option<ColumnRef> {
    match &node.value {
        Value::Int(index) => match usize::try_from(*index) {
            Ok(index) if index < MAX_COLUMNS => Some(ColumnRef::Index(index)),
            Ok(_) | Err(_) => {
                let message = format!("there is no column {index}");
                let error = report.error(code::BAD_VALUE, message);
                error.at(node.span, "columns count from 0");
                None
            }
        },
        Value::Text(name) => Some(ColumnRef::Name(name.clone())),
        _ => wrong(
            "column",
            "a name of the header, or a number from 0",
            node,
            report,
        ),
    }
}

/// More columns than any file has; so a mistyped number is found before the first row.
const MAX_COLUMNS: usize = 100_000;

/// A place in a JSON document.
pub(super) fn pointer(key: &str, node: &Node, report: &mut Report) -> Option<Pointer> {
    let (text, span) = text_of(key, node, report)?;
    match Pointer::parse(text) {
        Ok(pointer) => Some(pointer),
        Err(error) => {
            let message = format!("{} is no JSON Pointer", quote(text));
            let label = error.to_string();
            report.error(code::BAD_VALUE, message).at(span, label);
            None
        }
    }
}
