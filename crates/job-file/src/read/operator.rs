//! Operators.

use weir_model::Name;

use super::{
    fields::{Fields, Keys, unavailable, wrong},
    input,
    job::Around,
    json_of, source,
};
use crate::{
    code,
    model::{Limits, Operator},
    report::Report,
    yaml::{Entry, Value},
};

const KEYS: Keys = Keys {
    known: &[
        "component",
        "inputs",
        "config",
        "parallelism",
        "on-error",
        "chain",
        "limits",
        "grants",
    ],
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
};

const LIMITS: Keys = Keys {
    known: &["memory", "time-per-call", "output"],
    later: &[("fuel", "time is limited by `time-per-call`")],
};

pub(super) fn read(
    name: &Name,
    entry: &Entry,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Operator> {
    let what = format!("operator `{name}`");
    let fields = Fields::open(what, &entry.node, entry.key_span, &[&KEYS], report)?;
    let component = match fields.required("component", report) {
        Some(entry) if matches!(&entry.node.value, Value::Text(t) if t.starts_with("oci:")) => {
            let instead = "give the path of a `.wasm` file";
            unavailable(report, "`oci:`", entry.node.span, instead);
            None
        }
        Some(_) => fields.path("component", around.origin, report),
        None => None,
    };
    let inputs = fields.required("inputs", report).and_then(|entry| {
        let Value::List(list) = &entry.node.value else {
            return wrong("inputs", "a list", &entry.node, report);
        };
        if list.is_empty() {
            let message = format!("operator `{name}` has no input");
            report
                .error(code::NOTHING_TO_READ, message)
                .at(entry.node.span, "this is empty");
            return None;
        }
        let input = |(at, node)| input::read(format!("input {at} of `{name}`"), node, report);
        // All are read before one that is wrong ends it, so that all errors are told.
        let inputs: Vec<_> = list.iter().enumerate().map(input).collect();
        inputs.into_iter().collect::<Option<Vec<_>>>()
    });
    if let Some(entry) = fields.entry("grants") {
        match &entry.node.value {
            Value::List(list) if list.is_empty() => {}
            _ => {
                let instead = "components get nothing from outside: leave `grants` out";
                unavailable(report, "`grants`", entry.key_span, instead);
            }
        }
    }
    let limits = limits(&fields, report);
    let on_error = source::on_error(&fields, report);
    let parallelism = fields.parallelism(report).unwrap_or(around.parallelism);
    let chain = fields
        .boolean("chain", report)
        .is_none_or(|(chain, _)| chain);
    let config = fields
        .entry("config")
        .map(|entry| json_of(&entry.node))
        .unwrap_or_default();
    Some(Operator {
        parallelism,
        component: component?,
        inputs: inputs?,
        config,
        on_error,
        chain,
        limits,
    })
}

fn limits(fields: &Fields<'_>, report: &mut Report) -> Limits {
    let Some(entry) = fields.entry("limits") else {
        return Limits::default();
    };
    let Some(own) = Fields::open("`limits`", &entry.node, entry.key_span, &[&LIMITS], report)
    else {
        return Limits::default();
    };
    let limits = Limits {
        memory: own.size("memory", report),
        time_per_call: own.duration("time-per-call", report),
        output: own.size("output", report),
    };
    for key in ["memory", "time-per-call", "output"] {
        let zero = match key {
            "memory" => limits.memory == Some(0),
            "output" => limits.output == Some(0),
            _ => limits.time_per_call.is_some_and(|time| time.is_zero()),
        };
        if zero && let Some(entry) = own.entry(key) {
            let message = format!("`{key}` cannot be 0");
            report
                .error(code::BAD_VALUE, message)
                .at(entry.node.span, "nothing could run");
        }
    }
    limits
}
