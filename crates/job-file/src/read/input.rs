//! Inputs of operators and sinks: what is read, and how its rows are dealt out.

use serde_json::{Value as Json, json};
use weir_formats::Pointer;
use weir_model::Name;

use super::{
    fields::{Fields, text_of, this_is, wrong},
    job::Around,
    keys::{Key, Keys},
    kinds::{Flag, Special, Whole, Within, Words, WordsOr, reference_to},
};
use crate::{
    code,
    model::{self, ColumnRef, Input, Partitioning},
    report::Report,
    source::Span,
    wording::quote,
    yaml::{Node, Value},
};

/// The keys of an input.
pub(super) const KEYS: Keys = Keys::of("input", &[&FROM, &KEY, &PARTITIONING, &BROADCAST]).about(
    "`inputs`",
    "One input of an operator. A list item that is only a name stands for `{ from: <name> }`.",
);

const FROM: Key<Special> = Key::of(
    "from",
    Special::of("name, or `name.side-output`", from_schema),
)
.about("The source or operator that is read, or a side output that its component declares.")
.needed()
.example("clicks");

/// `from` of a sink, which one of dead letters does not have.
pub(super) const FROM_OF_SINK: Key<Special> = Key::of("from", FROM.kind)
    .about(
        "The source or operator whose rows come here, or a side output. A sink without it takes \
         the dead letters of the operators whose `on-error` names it.",
    )
    .without("only dead letters")
    .example("cart");

pub(super) const KEY: Key<WordsOr<()>> = Key::of("key", WordsOr(NO_KEY, &KEY_KEYS))
    .about("What rows are grouped by: rows of one key go to one subtask.")
    .usual("none")
    .example("{ columns: [0, 1] }");

const NO_KEY: Words<()> = Words::of(&[("none", (), "rows have no key")]);

pub(super) const PARTITIONING: Key<Words<Word>> = Key::of("partitioning", WORDS)
    .about("How rows without a key are dealt out to the subtasks.")
    .without("`forward` between equal parallelisms, else `rebalance`")
    .example("rebalance");

pub(super) const BROADCAST: Key<Flag> = Key::of("broadcast", Flag::ANY)
    .about("Whether every row goes to every subtask, as with `partitioning: broadcast`.")
    .usual("false")
    .example("true");

const KEY_KEYS: Keys = Keys {
    later: &[("guest", "select the key with `columns` or `json`")],
    rules: one_way,
    ..Keys::of("key", &[&COLUMNS, &JSON, &BYTES, &ROW]).about(
        "`key`",
        "What the key of a row is; one of these. A column or bytes that a row does not have, or a \
         place that is missing or `null` in a JSON row, is an error of that row (W0106), and the \
         `on-error` of the operator that reads it decides. An empty csv field is no error: the key \
         is the empty text.",
    )
};

const COLUMNS: Key<Special> = Key::of(
    "columns",
    Special::of("column, or a list of them", columns_schema),
)
.about(
    "Columns of a csv row, by number from 0, or by name where the rows come straight from a \
         file with a header. Fields are taken as they are, spaces too.",
)
.without("the key is selected in another way")
.example("[0, user]");

const JSON: Key<Special> = Key::of(
    "json",
    Special::of("JSON Pointer, or a list of them", pointers_schema),
)
.about("Places of a JSON row.")
.without("the key is selected in another way")
.example("/user");

const BYTES: Key<Within> = Key::of("bytes", Within(&BYTES_KEYS))
    .about("Bytes of a row at a fixed place in it, of whatever format.")
    .without("the key is selected in another way")
    .example("{ offset: 0, length: 8 }");

const BYTES_KEYS: Keys = Keys::of("key-bytes", &[&OFFSET, &LENGTH]).about(
    "`bytes`",
    "The key is these bytes of a row: for rows of numbers or texts of fixed width, such as the rows \
     that a component writes in binary form.",
);

const OFFSET: Key<Whole> = Key::of("offset", Whole::between(0, LONGEST_ROW))
    .about("Where the bytes begin, from 0.")
    .usual("0")
    .example("8");

const LENGTH: Key<Whole> = Key::of("length", Whole::between(1, LONGEST_ROW))
    .about("How many they are.")
    .needed()
    .example("8");

/// No place in a row is further from its beginning.
const LONGEST_ROW: u64 = 1 << 30;

const ROW: Key<Flag> = Key::of("row", Flag::only(true))
    .about("The whole row is the key.")
    .without("the key is selected in another way")
    .example("true");

const WORDS: Words<Word> = Words {
    later: &[
        ("rescale", "use `rebalance`"),
        ("shuffle", "use `rebalance`"),
    ],
    hints: &[
        ("hash", "rows go by key where the input has a `key`"),
        ("key", "rows go by key where the input has a `key`"),
    ],
    ..Words::of(&[
        (
            "forward",
            Word::Forward,
            "subtask to subtask of the same number",
        ),
        (
            "rebalance",
            Word::Rebalance,
            "round robin, a batch at a time",
        ),
        ("broadcast", Word::Broadcast, "every row to every subtask"),
        ("global", Word::Global, "all rows to the first subtask"),
    ])
};

fn from_schema() -> Json {
    json!({ "type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}(\\..+)?$" })
}

/// The schema of an item of `inputs`.
pub(super) fn schema() -> Json {
    json!({ "anyOf": [from_schema(), reference_to(&KEYS)] })
}

/// One thing counts as a list of one.
fn one_or_more(item: &Json) -> Json {
    json!({ "anyOf": [item, { "type": "array", "items": item, "minItems": 1 }] })
}

pub(super) fn column_schema() -> Json {
    let at = json!({ "type": "integer", "minimum": 0, "maximum": MAX_COLUMNS - 1 });
    json!({ "anyOf": [at, { "type": "string" }] })
}

pub(super) fn pointer_schema() -> Json {
    json!({ "type": "string", "pattern": "^(/([^~]|~[01])*)?$" })
}

fn columns_schema() -> Json {
    one_or_more(&column_schema())
}

fn pointers_schema() -> Json {
    one_or_more(&pointer_schema())
}

fn one_way() -> Vec<Json> {
    vec![json!({ "minProperties": 1, "maxProperties": 1 })]
}

#[derive(Clone, Copy)]
pub(super) enum Word {
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
            let fields = Fields::open(what, node, node.span, &KEYS, report)?;
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
    let (text, span) = fields.text(&FROM, report)?;
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
    let key = match fields.entry(&KEY) {
        // `key: none` as in "no key".
        Some(entry) if matches!(&entry.node.value, Value::Text(text) if text == "none") => None,
        entry => entry,
    };
    // All are read before one that is wrong ends it, so that all errors are told.
    let read = key.map(|entry| self::key(&entry.node, entry.key_span, report));
    let partitioning = fields.entry(&PARTITIONING);
    let word = partitioning.map(|_| fields.word(&PARTITIONING, report));
    let broadcast = matches!(fields.boolean(&BROADCAST, report), Some((true, _)));
    let broadcast = fields.entry(&BROADCAST).filter(|_| broadcast);
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
fn key(node: &Node, name: Span, report: &mut Report) -> Option<(model::Key, Vec<Span>)> {
    if !matches!(node.value, Value::Map(_)) {
        let error = report.error(code::WRONG_TYPE, "`key` must be a mapping");
        let error = error.at(node.span, this_is(&node.value));
        error.help(meant_by(node));
        return None;
    }
    let fields = Fields::open("`key`", node, name, &KEY_KEYS, report)?;
    let kinds = KEY_KEYS.known.iter();
    let said: Vec<_> = kinds.filter_map(|kind| fields.entry(*kind)).collect();
    let one = match said.as_slice() {
        [one] => one,
        // What was written is no such way, which is told.
        [] if matches!(&node.value, Value::Map(entries) if !entries.is_empty()) => return None,
        [] => {
            report
                .error(code::KEY, "`key` does not say what the key is")
                .at(node.span, "needs `columns`, `json`, `bytes` or `row`");
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
    if one.key == COLUMNS.name {
        let columns: Vec<_> = list(node).iter().map(|item| column(item, report)).collect();
        let columns = columns.into_iter().collect::<Option<Vec<_>>>()?;
        return Some((
            model::Key::Columns(not_empty(columns, node, report)?),
            places(),
        ));
    }
    if one.key == JSON.name {
        let pointers = list(node).iter();
        let pointers: Vec<_> = pointers.map(|item| pointer("json", item, report)).collect();
        let pointers = pointers.into_iter().collect::<Option<Vec<_>>>()?;
        return Some((
            model::Key::Json(not_empty(pointers, node, report)?),
            places(),
        ));
    }
    if one.key == BYTES.name {
        let fields = fields.within(&BYTES, report)?;
        let length = fields.int(&LENGTH, report);
        let offset = match fields.entry(&OFFSET) {
            Some(_) => fields.int(&OFFSET, report)?,
            None => 0,
        };
        let (offset, length) = (offset as usize, length? as usize);
        return Some((model::Key::Bytes { offset, length }, places()));
    }
    match fields.boolean(&ROW, report)? {
        (true, _) => Some((model::Key::Row, places())),
        (false, span) => {
            let error = report.error(code::KEY, "`row` can only be true");
            error.at(span, "leave `key` out where there is none");
            None
        }
    }
}

/// How a key is written that was given by its columns or places alone.
fn meant_by(node: &Node) -> String {
    let text = |part: &Node| match &part.value {
        Value::Int(at) => Some(at.to_string()),
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let parts: Option<Vec<String>> = list(node).iter().map(text).collect();
    let parts = parts.unwrap_or_default();
    // What would not stand between brackets as it is, is not told back.
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
    if parts.is_empty() || !parts.concat().chars().all(is_plain) {
        return "write `key: { columns: [ … ] }` for csv, `key: { json: … }` for JSON".to_owned();
    }
    let all = parts.join(", ");
    match parts.as_slice() {
        [one] if one == "row" => "write `key: { row: true }`".to_owned(),
        [one] if one.starts_with('/') => format!("write `key: {{ json: {one} }}`"),
        parts if parts.iter().all(|part| part.starts_with('/')) => {
            format!("write `key: {{ json: [{all}] }}`")
        }
        [one] if one.parse::<i128>().is_err() => format!(
            "write `key: {{ columns: [{one}] }}` for csv, `key: {{ json: /{one} }}` for JSON"
        ),
        _ => format!("write `key: {{ columns: [{all}] }}`"),
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
