//! A value of the file as JSON: what is handed to a component as it is.

use serde_json::Value as Json;

use crate::{
    code,
    report::Report,
    yaml::{Entry, Node, Value},
};

/// The value as JSON. A number that JSON does not have, or that would lose digits on its way, is
/// reported.
pub(super) fn of(node: &Node, report: &mut Report) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
            (Ok(value), _) => value.into(),
            (Err(_), Ok(value)) => value.into(),
            (Err(_), Err(_)) => refuse(node, "it has more than 64 bits", report),
        },
        Value::Float(value) => match serde_json::Number::from_f64(*value) {
            Some(number) => Json::Number(number),
            None => refuse(node, "JSON has no such number", report),
        },
        Value::Text(value) => Json::String(value.clone()),
        Value::List(list) => Json::Array(list.iter().map(|item| of(item, report)).collect()),
        Value::Map(entries) => {
            let entries = entries.iter();
            let entry = |Entry { key, node, .. }: &Entry| (key.clone(), of(node, report));
            Json::Object(entries.map(entry).collect())
        }
    }
}

fn refuse(node: &Node, label: &str, report: &mut Report) -> Json {
    let message = "a number that cannot be handed to a component";
    report
        .error(code::BAD_VALUE, message)
        .at(node.span, label)
        .help("write it as a text, in quotes, if the component takes that");
    Json::Null
}
