//! Operators.

use serde_json::json;
use weir_event_time::EmittedStrategy;
use weir_graph::OnError;
use weir_model::Name;

use super::{
    fields::{Fields, wrong},
    input,
    job::Around,
    join::{self, JOIN},
    json,
    keys::{AnyKey, Key, Keys},
    kinds::{Anything, Flag, NameText, Place, Size, Special, Time, Whole, Within, Words, WordsOr},
    renamed::{self, RENAMED_FROM},
    waiting::{self, ASYNC, GRANTS},
    watermark,
    window::{self, WINDOW},
};
use crate::{
    code,
    model::{Input, Limits, Operator},
    report::Report,
    wording::nearest,
    yaml::{Entry, Node, Value},
};

pub(super) const KEYS: Keys = Keys {
    elsewhere: &[
        ("from", "belongs to an input: `inputs: [ { from: … } ]`"),
        (
            "key",
            "belongs to an input: `inputs: [ { from: …, key: … } ]`",
        ),
        ("partitioning", "belongs to an input, beside its `from`"),
        ("broadcast", "belongs to an input, beside its `from`"),
        ("input", "did you mean `inputs`, which is a list?"),
        ("timeout", "belongs in `async`"),
        ("retry", "belongs in `async`"),
        ("capacity", "belongs in `async`"),
        ("memory", "belongs in `limits`"),
        ("time-per-call", "belongs in `limits`"),
        (
            "dead-letter",
            "belongs in `on-error`: `on-error: { dead-letter: … }`",
        ),
    ],
    rules: component_or_join,
    ..Keys::of(
        "operator",
        &[
            &COMPONENT,
            &RENAMED_FROM,
            &INPUTS,
            &WINDOW,
            &watermark::EMITTED,
            &ASYNC,
            &JOIN,
            &CONFIG,
            &PARALLELISM,
            &ON_ERROR,
            &CHAIN,
            &LIMITS,
            &GRANTS,
        ],
    )
    .about(
        "`operators`",
        "An operator runs a component on rows. Its name is what its state is found by.",
    )
};

const COMPONENT: Key<Place> = Key::of("component", Place)
    .about(
        "The file of the component. Beside `join` it makes the rows of pairs, and may be left out.",
    )
    .without("each pair of `join` is a JSON object")
    .example("target/guests/cart.wasm");

const INPUTS: Key<Special> = Key::of(
    "inputs",
    Special {
        below: &[&input::KEYS],
        ..Special::of(
            "list of inputs",
            || json!({ "type": "array", "items": input::schema(), "minItems": 1 }),
        )
    },
)
.about("What it reads; the component sees the number of the input that a row came by, from 0.")
.needed()
.example("[ { from: clicks, key: { columns: [0] } } ]");

const CONFIG: Key<Anything> = Key::of("config", Anything)
    .about("Handed to the component as it is, as JSON.")
    .without("`null`")
    .example("{ currency: EUR }");

const PARALLELISM: Key<Whole> = Key::of("parallelism", Whole::between(1, 32_768))
    .about("How many subtasks it has.")
    .without("that of the job")
    .example("2");

const ON_ERROR: Key<WordsOr<OnBad>> = Key::of("on-error", WordsOr(ON_BAD, &DEAD_LETTERS))
    .about(
        "What happens to a row that the component refuses or that has no key. A mapping names a \
         sink that takes such rows.",
    )
    .usual("fail")
    .example("{ dead-letter: refused }");

const ON_BAD: Words<OnBad> = Words::of(&[
    (
        "fail",
        OnBad::Fail,
        "the job fails, and the restart strategy decides",
    ),
    ("skip", OnBad::Skip, "the row is left out and counted"),
]);

const DEAD_LETTERS: Keys = Keys::of("dead-letters", &[&DEAD_LETTER]).about(
    "`on-error`",
    "Rows that are refused go to a sink of their own as dead letters: a JSON line for each, with \
     `operator`, `input`, `code`, `error` and the `row` (`row_base64` where it is not UTF-8), and \
     `timestamp_ms` and `key_hash` where the row has them.",
);

const DEAD_LETTER: Key<NameText> = Key::of("dead-letter", NameText)
    .about(
        "The sink that dead letters go to. It is written under `sinks` without `from`; several \
         operators may name the same one. A sink that reads rows takes none, because the two would \
         be mixed in it.",
    )
    .needed()
    .example("refused");

const CHAIN: Key<Flag> = Key::of("chain", Flag::ANY)
    .about("Whether it may run in one task with what is before it.")
    .usual("true")
    .example("false");

pub(super) const LIMITS: Key<Within> = Key::of("limits", Within(&LIMITS_KEYS))
    .about("What an instance of the component may use.")
    .without("the limits of the host")
    .example("{ memory: 64MiB }");

pub(super) const LIMITS_KEYS: Keys = Keys {
    later: &[("fuel", "time is limited by `time-per-call`")],
    ..Keys::of("limits", &[&MEMORY, &TIME_PER_CALL, &OUTPUT]).about(
        "`limits`",
        "What an instance of the component may use; a call that needs more fails.",
    )
};

pub(super) const MEMORY: Key<Size> = Key::of("memory", Size)
    .about("The most linear memory of one instance.")
    .without("the limit of the host")
    .example("64MiB");

pub(super) const TIME_PER_CALL: Key<Time> = Key::of("time-per-call", Time::ABOVE_ZERO)
    .about("How long one call may take.")
    .without("the limit of the host")
    .example("2s");

pub(super) const OUTPUT: Key<Size> = Key::of("output", Size)
    .about("The most bytes that one call may emit.")
    .without("the limit of the host")
    .example("1MiB");

fn component_or_join() -> Vec<serde_json::Value> {
    vec![
        json!({ "anyOf": [{ "required": [COMPONENT.name] }, { "required": [JOIN.name] }] }),
        json!({
            "if": { "required": [JOIN.name] },
            "then": {
                "properties": { WINDOW.name: false, ASYNC.name: false, GRANTS.name: false },
            },
        }),
        json!({
            "if": {
                "anyOf": [
                    { "required": [WINDOW.name] },
                    { "required": [JOIN.name] },
                    { "required": [ASYNC.name] },
                ],
            },
            "then": {
                "properties": {
                    watermark::EMITTED.name: { "properties": { "component": false } },
                },
            },
        }),
        json!({
            "if": { "not": { "required": [COMPONENT.name] } },
            "then": {
                "properties": {
                    CONFIG.name: false,
                    LIMITS.name: { "properties": { MEMORY.name: false, TIME_PER_CALL.name: false } },
                },
            },
        }),
    ]
}

/// `on-error` without a sink.
#[derive(Clone, Copy, Default)]
enum OnBad {
    #[default]
    Fail,
    Skip,
}

pub(super) fn read(
    name: &Name,
    entry: &Entry,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Operator> {
    let what = format!("operator `{name}`");
    let fields = Fields::open(what, &entry.node, entry.key_span, &KEYS, report)?;
    let instead = "give the path of a `.wasm` file";
    let component = fields.path(&COMPONENT, around.origin, instead, report);
    let is_join = check_join(&fields, report);
    let inputs = inputs(&fields, around, report);
    let windows = window::read(&fields, report);
    let watermark = watermark::read_emitted(&fields, report);
    let waiting = waiting::read(&fields, report);
    let grants = waiting::grants(&fields, report);
    if let (Some(window), Some(asynchronous)) = (fields.entry(&WINDOW), fields.entry(&ASYNC)) {
        report
            .error(code::CONTRADICTION, "calls that wait fold no windows")
            .at(window.key_span, "here")
            .at(asynchronous.key_span, "or here");
    }
    says_nothing(&fields, watermark, report);
    let join = join::read(&fields, report);
    let limits = limits(&fields, around, report);
    let on_error = on_error(&fields, around, report).unwrap_or_default();
    let parallelism = fields.parallelism(&PARALLELISM, report);
    let chain = fields.boolean(&CHAIN, report);
    let renamed_from = renamed::read(&fields, around, report);
    let config = fields
        .entry(&CONFIG)
        .map(|entry| json::of(&entry.node, report));
    Some(Operator {
        parallelism: parallelism.unwrap_or(around.parallelism),
        renamed_from,
        component: match is_join {
            true => component,
            false => Some(component?),
        },
        inputs: inputs?,
        windows,
        waiting,
        grants,
        join: match is_join {
            true => Some(join?),
            false => None,
        },
        config: config.unwrap_or_default(),
        on_error,
        chain: chain.is_none_or(|(chain, _)| chain),
        watermark,
        limits,
    })
}

/// Components say watermarks between the rows of `process` and of timers: those of windows, of
/// joins and of calls that wait are not asked there, and nothing would ever be said.
fn says_nothing(fields: &Fields<'_>, watermark: Option<EmittedStrategy>, report: &mut Report) {
    let others: [&dyn AnyKey; 3] = [&WINDOW, &JOIN, &ASYNC];
    let other = others.iter().find_map(|key| fields.entry(*key));
    let own = fields.entry(&watermark::EMITTED);
    if let (Some(EmittedStrategy::Component), Some(other), Some(own)) = (watermark, other, own) {
        let message = format!(
            "a component says no watermarks where there is `{}`",
            other.key
        );
        report
            .error(code::CONTRADICTION, message)
            .at(own.key_span, "`component: true` would say nothing for ever")
            .at(other.key_span, "with this")
            .help("`bounded-out-of-orderness: 0s` has them follow from the rows that it gives");
    }
}

/// Whether the operator is a join, for which the host finds the pairs itself: then there are no
/// windows of a component beside it, and without a component nothing that is about one.
fn check_join(fields: &Fields<'_>, report: &mut Report) -> bool {
    let Some(join) = fields.entry(&JOIN) else {
        let slips = [
            fields.misspelled(&COMPONENT, &KEYS),
            fields.misspelled(&JOIN, &KEYS),
        ];
        if slips.iter().all(Option::is_none) {
            fields.required(&COMPONENT, report);
        }
        return false;
    };
    for entry in [
        fields.entry(&WINDOW),
        fields.entry(&ASYNC),
        fields.entry(&GRANTS),
    ]
    .into_iter()
    .flatten()
    {
        let message = format!("`{}` does nothing with `join`", entry.key);
        report
            .error(code::CONTRADICTION, message)
            .at(entry.key_span, "leave it out")
            .at(join.key_span, "the host joins rows itself");
    }
    let has_component = fields.entry(&COMPONENT).is_some();
    if has_component || fields.misspelled(&COMPONENT, &KEYS).is_some() {
        return true;
    }
    let limits = fields.entry(&LIMITS);
    let of_limits = match limits.map(|entry| &entry.node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    let of_guests = [MEMORY.name, TIME_PER_CALL.name];
    let of_limits = of_limits.iter();
    let of_limits = of_limits.filter(|entry| of_guests.contains(&entry.key.as_str()));
    for entry in fields.entry(&CONFIG).into_iter().chain(of_limits) {
        let message = format!(
            "`{}` does nothing with `join` without a component",
            entry.key
        );
        report
            .error(code::CONTRADICTION, message)
            .at(
                entry.key_span,
                "leave it out, or give the `component` that it is for",
            )
            .at(join.key_span, "the host makes the rows of pairs itself");
    }
    true
}

fn inputs(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<Vec<Input>> {
    let entry = fields.entry(&INPUTS)?;
    let Value::List(list) = &entry.node.value else {
        return wrong("inputs", "a list", &entry.node, report);
    };
    if list.is_empty() {
        let message = format!("{} has no input", fields.what);
        let error = report.error(code::NOTHING_TO_READ, message);
        error.at(entry.node.span, "this is empty");
        return None;
    }
    let input = |(at, node)| {
        let what = format!("input {at} of {}", fields.what);
        input::read(what, node, around, report)
    };
    // All are read before one that is wrong ends it, so that all errors are told.
    let inputs: Vec<_> = list.iter().enumerate().map(input).collect();
    inputs.into_iter().collect()
}

/// What is written, else what the host file says; more than its bounds is refused.
fn limits(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Limits {
    let host = around.host;
    let Some(own) = fields.within(&LIMITS, report) else {
        return host.limits.clone();
    };
    let limits = read_limits(&own, report);
    host.check_bounds(&own, &limits, report);
    Limits {
        memory: limits.memory.or(host.limits.memory),
        time_per_call: limits.time_per_call.or(host.limits.time_per_call),
        output: limits.output.or(host.limits.output),
    }
}

/// The limits of a mapping.
pub(super) fn read_limits(own: &Fields<'_>, report: &mut Report) -> Limits {
    Limits {
        memory: own.size(&MEMORY, report),
        time_per_call: own.duration(&TIME_PER_CALL, report),
        output: own.size(&OUTPUT, report),
    }
}

fn on_error(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<OnError> {
    let entry = fields.entry(&ON_ERROR)?;
    match &entry.node.value {
        Value::Map(_) => {
            let (node, name) = (&entry.node, entry.key_span);
            let own = Fields::open("`on-error`", node, name, &DEAD_LETTERS, report)?;
            let (sink, span) = own.text(&DEAD_LETTER, report)?;
            around.names.check_dead_letters(sink, span, report)?;
            // A name that is there and breaks the rule of names is told of where it is given.
            Some(OnError::DeadLetter(Name::new(sink).ok()?))
        }
        Value::Text(word) if word == DEAD_LETTER.name => {
            let message = "`on-error: dead-letter` does not say which sink takes the rows";
            report
                .error(code::MISSING_KEY, message)
                .at(entry.node.span, "needs the name of a sink")
                .help("write `on-error: { dead-letter: <sink> }`, with a sink without `from`");
            None
        }
        _ => Some(match fields.word_of(&ON_ERROR, &ON_BAD, report)? {
            OnBad::Fail => OnError::Fail,
            OnBad::Skip => OnError::Skip,
        }),
    }
}

/// The sink that an operator names for its dead letters, whether or not anything of that is right:
/// the keys may be misspelled, which is told of where they stand.
pub(super) fn dead_letters_of(operator: &Entry) -> Option<&str> {
    let on_error = meant(&operator.node, ON_ERROR.name, &KEYS)?;
    match &meant(on_error, DEAD_LETTER.name, &DEAD_LETTERS)?.value {
        Value::Text(sink) => Some(sink),
        _ => None,
    }
}

/// The value of a key, or of one that is taken for a slip in it.
fn meant<'a>(node: &'a Node, key: &str, keys: &Keys) -> Option<&'a Node> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let names = || keys.known.iter().map(|key| key.name());
    let slip = |entry: &&Entry| nearest(&entry.key, names()) == Some(key);
    let exact = entries.iter().find(|entry| entry.key == key);
    let entry = exact.or_else(|| entries.iter().find(slip))?;
    Some(&entry.node)
}
