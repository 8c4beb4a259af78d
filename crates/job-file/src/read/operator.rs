//! Operators.

use weir_graph::OnError;
use weir_model::Name;

use super::{
    fields::{Fields, Keys, Words, unavailable, wrong},
    input,
    job::Around,
    json,
};
use crate::{
    code,
    model::{Input, Limits, Operator},
    report::Report,
    yaml::{Entry, Value},
};

const KEYS: Keys = Keys {
    later: &[
        (
            "window",
            "windows are not there yet; keep what you need in keyed state",
        ),
        (
            "renamed-from",
            "state is found by the operator's name: keep the name",
        ),
    ],
    elsewhere: &[
        ("from", "belongs to an input: `inputs: [ { from: … } ]`"),
        (
            "key",
            "belongs to an input: `inputs: [ { from: …, key: … } ]`",
        ),
        ("partitioning", "belongs to an input, beside its `from`"),
        ("broadcast", "belongs to an input, beside its `from`"),
        ("input", "did you mean `inputs`, which is a list?"),
        ("memory", "belongs in `limits`"),
        ("time-per-call", "belongs in `limits`"),
    ],
    ..Keys::of(&[
        "component",
        "inputs",
        "config",
        "parallelism",
        "on-error",
        "chain",
        "limits",
        "grants",
    ])
};

const LIMITS: Keys = Keys {
    later: &[("fuel", "time is limited by `time-per-call`")],
    ..Keys::of(&["memory", "time-per-call", "output"])
};

pub(super) fn read(
    name: &Name,
    entry: &Entry,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Operator> {
    let what = format!("operator `{name}`");
    let fields = Fields::open(what, &entry.node, entry.key_span, &[&KEYS], report)?;
    fields.required("component", report);
    let instead = "give the path of a `.wasm` file";
    let component = fields.path("component", around.origin, instead, report);
    let inputs = inputs(&fields, around, report);
    if let Some(entry) = fields.entry("grants")
        && !matches!(&entry.node.value, Value::List(list) if list.is_empty())
    {
        let instead = "components get nothing from outside: leave `grants` out";
        unavailable(report, "`grants`", entry.key_span, instead);
    }
    let limits = limits(&fields, report).unwrap_or_default();
    let on_error = on_error(&fields, report);
    let parallelism = fields.parallelism(report).unwrap_or(around.parallelism);
    let chain = fields.boolean("chain", report);
    let config = fields
        .entry("config")
        .map(|entry| json::of(&entry.node, report));
    Some(Operator {
        parallelism,
        component: component?,
        inputs: inputs?,
        config: config.unwrap_or_default(),
        on_error,
        chain: chain.is_none_or(|(chain, _)| chain),
        limits,
    })
}

fn inputs(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<Vec<Input>> {
    let entry = fields.required("inputs", report)?;
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

fn limits(fields: &Fields<'_>, report: &mut Report) -> Option<Limits> {
    let entry = fields.entry("limits")?;
    let own = Fields::open("`limits`", &entry.node, entry.key_span, &[&LIMITS], report)?;
    Some(Limits {
        memory: own.some_size("memory", report),
        time_per_call: own.some_duration("time-per-call", report),
        output: own.some_size("output", report),
    })
}

/// `on-error` of sources and operators.
pub(super) fn on_error(fields: &Fields<'_>, report: &mut Report) -> OnError {
    let instead = "`on-error: skip` leaves such rows out and counts them";
    if let Some(entry) = fields.entry("on-error")
        && let Some(dead) = entry.node.entry("dead-letter")
    {
        unavailable(report, "`dead-letter`", dead.key_span, instead);
        return OnError::Fail;
    }
    let words = Words {
        later: &[("dead-letter", instead)],
        ..Words::of(&[("fail", OnError::Fail), ("skip", OnError::Skip)])
    };
    fields.word("on-error", &words, report).unwrap_or_default()
}
