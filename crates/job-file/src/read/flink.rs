//! Flink's names of what the host file and `--set` can say (D30): each stands for a key of ours
//! where it means the same, in its form of today or an older one (semantics 1.12, 1.16).
//!
//! Written flat (`execution.checkpointing.interval: 10 s`), as Flink's files have it, or in
//! mappings.

use super::quantity::{self, DURATION};
use crate::{
    code,
    report::Report,
    source::Span,
    wording::quote,
    yaml::{Entry, Node, Value},
};

/// What the value of one of Flink's keys is.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// As ours.
    Same,
    /// A duration: a number alone is milliseconds, and there may be a blank before the unit.
    Time,
    /// Where checkpoints are kept, by a word.
    Storage,
}

use Kind::{Same, Storage, Time};

/// Flink's keys, the key of ours that means it, and what the value is.
const NAMES: &[(&str, &str, Kind)] = &[
    (
        "execution.checkpointing.interval",
        "checkpoint.interval",
        Time,
    ),
    ("execution.checkpointing.mode", "checkpoint.mode", Same),
    (
        "execution.checkpointing.timeout",
        "checkpoint.timeout",
        Time,
    ),
    (
        "execution.checkpointing.min-pause",
        "checkpoint.min-pause",
        Time,
    ),
    (
        "execution.checkpointing.max-concurrent-checkpoints",
        "checkpoint.max-concurrent",
        Same,
    ),
    (
        "execution.checkpointing.tolerable-failed-checkpoints",
        "checkpoint.tolerable-failures",
        Same,
    ),
    (
        "execution.checkpointing.num-retained",
        "checkpoint.retain.completed",
        Same,
    ),
    (
        "state.checkpoints.num-retained",
        "checkpoint.retain.completed",
        Same,
    ),
    (
        "execution.checkpointing.externalized-checkpoint-retention",
        "checkpoint.retain.on-cancel",
        Same,
    ),
    (
        "execution.checkpointing.unaligned.enabled",
        "checkpoint.unaligned",
        Same,
    ),
    (
        "execution.checkpointing.unaligned",
        "checkpoint.unaligned",
        Same,
    ),
    (
        "execution.checkpointing.aligned-checkpoint-timeout",
        "checkpoint.aligned-timeout",
        Time,
    ),
    (
        "execution.checkpointing.alignment-timeout",
        "checkpoint.aligned-timeout",
        Time,
    ),
    (
        "execution.checkpointing.incremental",
        "checkpoint.incremental",
        Same,
    ),
    ("state.backend.incremental", "checkpoint.incremental", Same),
    ("execution.checkpointing.dir", "checkpoint.dir", Same),
    ("state.checkpoints.dir", "checkpoint.dir", Same),
    ("state.backend.fs.checkpointdir", "checkpoint.dir", Same),
    (
        "execution.checkpointing.savepoint-dir",
        "checkpoint.savepoint-dir",
        Same,
    ),
    ("state.savepoints.dir", "checkpoint.savepoint-dir", Same),
    ("execution.checkpointing.storage", "checkpoint.dir", Storage),
    ("state.checkpoint-storage", "checkpoint.dir", Storage),
    ("state.backend.type", "state.backend", Same),
    ("state.backend", "state.backend", Same),
    ("state.backend.rocksdb.localdir", "state.local-dir", Same),
    ("restart-strategy.type", "restart.strategy", Same),
    ("restart-strategy", "restart.strategy", Same),
    (
        "restart-strategy.fixed-delay.attempts",
        "restart.attempts",
        Same,
    ),
    ("restart-strategy.fixed-delay.delay", "restart.delay", Time),
    (
        "restart-strategy.failure-rate.max-failures-per-interval",
        "restart.max-failures-per-interval",
        Same,
    ),
    (
        "restart-strategy.failure-rate.failure-rate-interval",
        "restart.failure-rate-interval",
        Time,
    ),
    ("restart-strategy.failure-rate.delay", "restart.delay", Time),
    (
        "restart-strategy.exponential-delay.initial-backoff",
        "restart.initial-backoff",
        Time,
    ),
    (
        "restart-strategy.exponential-delay.max-backoff",
        "restart.max-backoff",
        Time,
    ),
    (
        "restart-strategy.exponential-delay.backoff-multiplier",
        "restart.backoff-multiplier",
        Same,
    ),
    (
        "restart-strategy.exponential-delay.reset-backoff-threshold",
        "restart.reset-backoff-threshold",
        Time,
    ),
    (
        "restart-strategy.exponential-delay.jitter-factor",
        "restart.jitter-factor",
        Same,
    ),
    (
        "restart-strategy.exponential-delay.attempts-before-reset-backoff",
        "restart.attempts-before-reset-backoff",
        Same,
    ),
    ("s3.endpoint", "storage.s3.endpoint", Same),
    ("s3.endpoint.region", "storage.s3.region", Same),
    ("s3.path.style.access", "storage.s3.path-style", Same),
    ("s3.path-style-access", "storage.s3.path-style", Same),
    // Refused there, with what to do instead.
    ("s3.access-key", "storage.s3.access-key", Same),
    ("s3.access.key", "storage.s3.access-key", Same),
    ("s3.secret-key", "storage.s3.secret-key", Same),
    ("s3.secret.key", "storage.s3.secret-key", Same),
    ("parallelism.default", "parallelism", Same),
    ("pipeline.max-parallelism", "max-parallelism", Same),
];

/// The key of ours that one of Flink's stands for.
pub(super) fn ours(name: &str) -> Option<&'static str> {
    find(name).map(|(_, ours, _)| *ours)
}

fn find(name: &str) -> Option<&'static (&'static str, &'static str, Kind)> {
    NAMES.iter().find(|(flink, ..)| *flink == name)
}

/// Flink's keys that a mapping of the host file has, flat or in mappings, taken out of it.
struct Taken {
    name: &'static str,
    ours: &'static str,
    kind: Kind,
    key_span: Span,
    node: Node,
}

/// Puts what a host file says in Flink's names under ours, and tells which those are.
pub(super) fn translate(root: &mut Node, report: &mut Report) -> Vec<String> {
    let mut taken = Vec::new();
    if let Value::Map(entries) = &mut root.value {
        take("", entries, &mut taken);
    }
    let strategy = strategy_of(root, &taken);
    let mut notes = Vec::new();
    for one in taken {
        if is_of_another(one.name, strategy.as_deref()) {
            notes.push(format!(
                "`{}` does nothing: it belongs to another restart strategy",
                one.name
            ));
            continue;
        }
        let value = match value_of(one.kind, one.node) {
            Meant::Value(value) => value,
            Meant::Nothing => {
                notes.push(nothing(one.name));
                continue;
            }
            Meant::Unknown(span) => {
                unknown(one.name, span, report);
                continue;
            }
        };
        if one.name != one.ours {
            notes.push(format!("`{}` is `{}` here", one.name, one.ours));
        }
        put(root, one.ours, one.key_span, value, one.name, report);
    }
    notes
}

/// The path and the value of ours that `--set` means by one of Flink's names; `Ok(None)` where it
/// is none.
///
/// # Errors
/// Where the value means nothing here, which is reported.
pub(super) fn of_argument(
    path: &str,
    value: &Node,
    report: &mut Report,
) -> Result<Option<(&'static str, Node)>, ()> {
    let Some((name, ours, kind)) = find(path) else {
        return Ok(None);
    };
    match value_of(*kind, value.clone()) {
        Meant::Value(value) => Ok((name != ours).then_some((*ours, value))),
        Meant::Nothing => {
            let error = report.error(code::SET, nothing(name));
            error.at(value.span, "leave it out");
            Err(())
        }
        Meant::Unknown(span) => {
            unknown(name, span, report);
            Err(())
        }
    }
}

/// That a key has a value that is what holds anyway.
fn nothing(name: &str) -> String {
    format!("`{name}` does nothing: `checkpoint.dir` says it all")
}

fn unknown(name: &str, span: Span, report: &mut Report) {
    let error = report.error(code::BAD_VALUE, format!("`{name}` has no such value"));
    error
        .at(span, "must be `filesystem` or `jobmanager`")
        .help("where checkpoints go is `checkpoint.dir`, or `execution.checkpointing.dir`");
}

fn take(before: &str, entries: &mut Vec<Entry>, taken: &mut Vec<Taken>) {
    let all = std::mem::take(entries);
    for mut entry in all {
        let path = match before {
            "" => entry.key.clone(),
            before => format!("{before}.{}", entry.key),
        };
        let is_mapping = matches!(entry.node.value, Value::Map(_));
        // `state: { backend: heap }` is ours.
        let is_ours = before == "state" && !entry.key.contains('.');
        if let Some((name, ours, kind)) = find(&path)
            && !is_mapping
            && !is_ours
        {
            taken.push(Taken {
                name,
                ours,
                kind: *kind,
                key_span: entry.key_span,
                node: entry.node,
            });
            continue;
        }
        let begins = format!("{path}.");
        if let Value::Map(below) = &mut entry.node.value
            && NAMES.iter().any(|(name, ..)| name.starts_with(&begins))
        {
            let was_empty = below.is_empty();
            take(&path, below, taken);
            if below.is_empty() && !was_empty {
                continue;
            }
        }
        entries.push(entry);
    }
}

/// The restart strategy that holds, by the word that is written.
fn strategy_of(root: &Node, taken: &[Taken]) -> Option<String> {
    let said = taken.iter().find(|one| one.ours == "restart.strategy");
    let own = || Some(&root.entry("restart")?.node.entry("strategy")?.node);
    match said
        .map(|one| &one.node)
        .or_else(own)
        .map(|node| &node.value)
    {
        Some(Value::Text(word)) => Some(word.replace('-', "").to_lowercase()),
        Some(_) | None => None,
    }
}

/// Whether a key is of a restart strategy other than this: Flink's files have those of all.
fn is_of_another(name: &str, strategy: Option<&str>) -> bool {
    let rest = name.strip_prefix("restart-strategy.");
    let of = rest.and_then(|rest| rest.split_once('.')).map(|(of, _)| of);
    of.is_some_and(|of| Some(of.replace('-', "").as_str()) != strategy)
}

/// What a value is of ours.
enum Meant {
    Value(Node),
    /// Nothing that would not hold without it.
    Nothing,
    /// What there is not.
    Unknown(Span),
}

/// The value as ours is written.
fn value_of(kind: Kind, node: Node) -> Meant {
    let value = match (kind, node.value) {
        (Time, Value::Int(ms)) => Value::Text(format!("{ms}ms")),
        (Time, Value::Text(text)) => {
            Value::Text(quantity::as_ours(&text, &DURATION).unwrap_or(text))
        }
        (Storage, Value::Text(word)) if word == "jobmanager" => Value::Text("memory:".to_owned()),
        (Storage, Value::Text(word)) if word == "filesystem" => return Meant::Nothing,
        (Storage, _) => return Meant::Unknown(node.span),
        (_, value) => value,
    };
    Meant::Value(Node { value, ..node })
}

/// Writes a value where a path of ours leads; one that is written already is told of.
fn put(root: &mut Node, path: &str, at: Span, value: Node, name: &str, report: &mut Report) {
    let Value::Map(entries) = &mut root.value else {
        return;
    };
    let (key, rest) = match path.split_once('.') {
        Some((key, rest)) => (key, Some(rest)),
        None => (path, None),
    };
    let found = entries.iter().position(|entry| entry.key == key);
    match (found, rest) {
        (None, None) => entries.push(Entry {
            key: key.to_owned(),
            key_span: at,
            node: value,
        }),
        (None, Some(rest)) => {
            let mut node = Node {
                span: at,
                value: Value::Map(Vec::new()),
            };
            put(&mut node, rest, at, value, name, report);
            entries.push(Entry {
                key: key.to_owned(),
                key_span: at,
                node,
            });
        }
        (Some(found), None) => {
            let message = format!("{} says again what `{key}` says", quote(name));
            let error = report.error(code::CONTRADICTION, message);
            let error = error.at(at, "leave this out");
            if let Some(entry) = entries.get(found) {
                error.at(entry.key_span, "or this");
            }
        }
        (Some(found), Some(rest)) => {
            if let Some(entry) = entries.get_mut(found) {
                put(&mut entry.node, rest, at, value, name, report);
            }
        }
    }
}
