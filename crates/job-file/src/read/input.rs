//! Inputs of operators and sinks: what is read, and how its rows are dealt out.

use weir_formats::Pointer;
use weir_model::Name;

use super::fields::{Fields, Keys, name_of, text_of, unavailable, wrong};
use crate::{
    code,
    model::{ColumnRef, Input, Key, Partitioning},
    report::Report,
    source::Span,
    yaml::{Node, Value},
};

/// The keys of an input; a sink has them among its own.
pub(super) const KEYS: Keys = Keys {
    known: &["from", "key", "partitioning", "broadcast"],
    later: &[],
};

const KEY: Keys = Keys {
    known: &["columns", "json", "row", "guest"],
    later: &[],
};

/// An input in a list: a mapping, or just the name of what is read.
pub(super) fn read(what: String, node: &Node, report: &mut Report) -> Option<Input> {
    if let Value::Text(text) = &node.value {
        let (from, side_output) = from(text, node.span, report)?;
        let partitioning = Partitioning::Automatic;
        return Some(Input {
            from,
            side_output,
            partitioning,
            span: node.span,
        });
    }
    let fields = Fields::open(what, node, node.span, &[&KEYS], report)?;
    of_fields(&fields, report)
}

/// The input among the fields of a mapping.
pub(super) fn of_fields(fields: &Fields<'_>, report: &mut Report) -> Option<Input> {
    let partitioning = partitioning(fields, report);
    let entry = fields.required("from", report)?;
    let (text, span) = text_of("from", &entry.node, report)?;
    let (from, side_output) = from(text, span, report)?;
    Some(Input {
        from,
        side_output,
        partitioning: partitioning?,
        span,
    })
}

/// `node` or `node.side-output`.
fn from(text: &str, span: Span, report: &mut Report) -> Option<(Name, Option<String>)> {
    let (node, side) = match text.split_once('.') {
        Some((node, side)) => (node, Some(side.to_owned())),
        None => (text, None),
    };
    Some((name_of(node, span, report)?, side))
}

fn partitioning(fields: &Fields<'_>, report: &mut Report) -> Option<Partitioning> {
    let key = match fields.entry("key") {
        // `key: none` as in "no key".
        Some(entry) if matches!(&entry.node.value, Value::Text(text) if text == "none") => None,
        Some(entry) => Some((key(&entry.node, entry.key_span, report)?, entry.key_span)),
        None => None,
    };
    #[derive(Clone, Copy)]
    enum Word {
        Forward,
        Rebalance,
        Broadcast,
        Global,
    }
    let words = [
        ("forward", Word::Forward),
        ("rebalance", Word::Rebalance),
        ("broadcast", Word::Broadcast),
        ("global", Word::Global),
    ];
    let later = [
        ("rescale", "use `rebalance`"),
        ("shuffle", "use `rebalance`"),
    ];
    let word = fields.word("partitioning", &words, &later, report);
    let broadcast = matches!(fields.boolean("broadcast", report), Some((true, _)));
    let said = fields
        .entry("partitioning")
        .or_else(|| fields.entry("broadcast").filter(|_| broadcast));
    if let (Some((_, key)), Some(said)) = (&key, said) {
        report
            .error(
                code::CONTRADICTION,
                "an input has a key or another partitioning, not both",
            )
            .at(*key, "rows go by their key")
            .at(said.key_span, "and here they do not");
        return None;
    }
    if let (Some((key, _)), _) = (key, said) {
        return Some(Partitioning::Key(key));
    }
    Some(match (word, broadcast) {
        (Some(Word::Forward), _) => Partitioning::Forward,
        (Some(Word::Rebalance), _) => Partitioning::Rebalance,
        (Some(Word::Global), _) => Partitioning::Global,
        (Some(Word::Broadcast), _) | (None, true) => Partitioning::Broadcast,
        (None, false) => Partitioning::Automatic,
    })
}

fn key(node: &Node, name: Span, report: &mut Report) -> Option<Key> {
    let fields = Fields::open("`key`", node, name, &[&KEY], report)?;
    let kinds = ["columns", "json", "row", "guest"];
    let said: Vec<_> = kinds.iter().filter_map(|kind| fields.entry(kind)).collect();
    let [one] = said.as_slice() else {
        report
            .error(code::KEY, "a key is selected in one way")
            .at(node.span, "needs one of `columns`, `json` and `row`");
        return None;
    };
    let node = &one.node;
    match one.key.as_str() {
        "columns" => {
            let columns = list(node).iter().map(|item| column(item, report));
            let columns = columns.collect::<Option<Vec<_>>>()?;
            not_empty(columns, node, report).map(Key::Columns)
        }
        "json" => {
            let pointers = list(node).iter().map(|item| pointer("json", item, report));
            let pointers = pointers.collect::<Option<Vec<_>>>()?;
            not_empty(pointers, node, report).map(Key::Json)
        }
        "row" => match fields.boolean("row", report)? {
            (true, _) => Some(Key::Row),
            (false, span) => {
                report
                    .error(code::KEY, "`row` is true or left out")
                    .at(span, "");
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
            Ok(index) if index < 100_000 => Some(ColumnRef::Index(index)),
            Ok(_) | Err(_) => {
                let message = format!("there is no column {index}");
                report
                    .error(code::BAD_VALUE, message)
                    .at(node.span, "columns count from 0");
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

/// A place in a JSON document.
pub(super) fn pointer(key: &str, node: &Node, report: &mut Report) -> Option<Pointer> {
    let (text, span) = text_of(key, node, report)?;
    match Pointer::parse(text) {
        Ok(pointer) => Some(pointer),
        Err(error) => {
            report
                .error(
                    code::BAD_VALUE,
                    format!("`{text}` is no JSON Pointer: {error}"),
                )
                .at(span, "such as `/user/name`");
            None
        }
    }
}
