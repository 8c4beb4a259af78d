//! The steps of a case: each is a word, or a mapping that does one thing.

mod keys;

use serde_json::Value as Json;
use weir_model::EventTime;

pub(super) use self::keys::STEP;
use self::keys::{ADVANCE, INPUT, ORDER, OUTPUT, RESCALE, SKIPPED, VERBS};
use super::super::{
    fields::{Fields, this_is, wrong},
    json as as_json,
    keys::AnyKey,
};
use crate::{
    code,
    report::Report,
    source::{Document, Span},
    test_file::{
        ExpectedContent, ExpectedJson, ExpectedRow, ExpectedState, ExpectedTimer, ExpectedValue,
        GivenRow, Step, TestPlace, TestStep,
    },
    wording::{all_of, nearest, one_of, quote},
    yaml::{Entry, Node, Value},
};

/// Steps that are a word alone.
pub(super) const WORDS: [&str; 5] = ["idle", "end", "snapshot", "restore", "crash"];

/// What stands in `fails`.
const FAILURE_KEYS: [&str; 3] = ["code", "message", "row"];

/// What steps are read with.
pub(super) struct Steps<'a> {
    /// What each input reads, as it is written.
    pub(super) inputs: Vec<String>,
    pub(super) document: &'a Document,
}

impl Steps<'_> {
    /// The steps of a case.
    pub(super) fn read(&self, node: &Node, report: &mut Report) -> Option<Vec<TestStep>> {
        let Value::List(list) = &node.value else {
            return wrong("steps", "a list of steps", node, report);
        };
        if list.is_empty() {
            let error = report.error(code::MISSING_KEY, "the case has no steps");
            error.at(node.span, "this is empty");
        }
        let mut steps = Vec::new();
        for node in list {
            steps.extend(self.step(node, report));
        }
        check_snapshots(&steps, report);
        Some(steps)
    }

    fn step(&self, node: &Node, report: &mut Report) -> Option<TestStep> {
        let (verb, value, place, fields) = match &node.value {
            Value::Text(word) if WORDS.contains(&word.as_str()) => {
                (word.as_str(), None, node.span, None)
            }
            Value::Text(word) => {
                let message = format!("{} is no step", quote(word));
                let verbs = VERBS.iter().map(|key| key.name());
                let label = match nearest(word, verbs.clone()) {
                    Some(near) if WORDS.contains(&near) => format!("did you mean `{near}`?"),
                    Some(near) => format!("`{near}` is a mapping: `{near}: …`"),
                    None => format!("a word alone can be {}", one_of(&WORDS)),
                };
                report.error(code::BAD_VALUE, message).at(node.span, label);
                return None;
            }
            Value::Map(_) => {
                let fields = Fields::open("the step", node, node.span, &STEP, report)?;
                let said = VERBS.iter().filter_map(|key| fields.entry(*key));
                let said: Vec<&Entry> = said.collect();
                match said.as_slice() {
                    [one] => (
                        one.key.as_str(),
                        Some(&one.node),
                        one.key_span,
                        Some(fields),
                    ),
                    // What was written is no such key, which is told.
                    [] if !is_known(node) => return None,
                    [] => {
                        let verbs: Vec<&str> = VERBS.iter().map(|key| key.name()).collect();
                        report
                            .error(code::MISSING_KEY, "the step does nothing")
                            .at(node.span, "has none of the keys that do something")
                            .help(format!("they are {}", all_of(&verbs)));
                        return None;
                    }
                    [first, second, ..] => {
                        report
                            .error(code::CONTRADICTION, "a step does one thing")
                            .at(first.key_span, "this")
                            .at(second.key_span, "and this: make a step of it");
                        return None;
                    }
                }
            }
            other => {
                let error = report.error(code::WRONG_TYPE, "a step is a word or a mapping");
                error.at(node.span, this_is(other));
                return None;
            }
        };
        if let Some(fields) = &fields {
            beside(fields, verb, report);
        }
        let nothing = Node {
            span: place,
            value: Value::Null,
        };
        let value = value.unwrap_or(&nothing);
        let step = self.does(verb, value, fields.as_ref(), report)?;
        Some(TestStep {
            step,
            place: TestPlace(place),
        })
    }

    fn does(
        &self,
        verb: &str,
        value: &Node,
        fields: Option<&Fields<'_>>,
        report: &mut Report,
    ) -> Option<Step> {
        Some(match verb {
            "rows" => {
                let input = self.one_input(fields, value.span, report);
                let rows = self.rows(value, report)?;
                Step::Rows {
                    input: input?,
                    rows,
                }
            }
            "watermark" => {
                let inputs = match fields.and_then(|fields| fields.entry(&INPUT)) {
                    Some(_) => vec![self.one_input(fields, value.span, report)?],
                    None => self.all(),
                };
                let to = match &value.value {
                    Value::Text(word) if word == "end" => EventTime::MAX,
                    _ => EventTime(whole("watermark", value, report)?),
                };
                Step::Watermark { inputs, to }
            }
            "idle" => Step::Idle(self.input_or_all(value, report)?),
            "end" => Step::End(self.input_or_all(value, report)?),
            "advance" => Step::Advance(fields?.duration(&ADVANCE, report)?),
            "snapshot" => Step::Snapshot(name_or_none("snapshot", value, report)?),
            "restore" => Step::Restore(name_or_none("restore", value, report)?),
            "rescale" => Step::Rescale(fields?.parallelism(&RESCALE, report)?),
            "crash" => match &value.value {
                Value::Null | Value::Bool(true) => Step::Crash,
                _ => return wrong("crash", "alone", value, report),
            },
            "expect" => self.expect(value, fields, report)?,
            "dead-letters" => Step::DeadLetters(letters(value, report)?),
            "skipped" => Step::Skipped(fields?.int(&SKIPPED, report)?),
            "timers" => Step::Timers(timers(value, report)?),
            "state" => Step::State(states(value, report)?),
            _ => self.fails(value, report)?,
        })
    }

    fn all(&self) -> Vec<usize> {
        (0..self.inputs.len()).collect()
    }

    /// The input that `input` names, else the only one.
    fn one_input(
        &self,
        fields: Option<&Fields<'_>>,
        place: Span,
        report: &mut Report,
    ) -> Option<usize> {
        match fields.and_then(|fields| fields.entry(&INPUT)) {
            Some(entry) => self.input(&entry.node, report),
            None if self.inputs.len() > 1 => {
                report
                    .error(code::MISSING_KEY, "the step does not say which input")
                    .at(place, "needs `input`")
                    .help(format!("the inputs are {}", all_of(&self.inputs)));
                None
            }
            None => Some(0),
        }
    }

    fn input_or_all(&self, node: &Node, report: &mut Report) -> Option<Vec<usize>> {
        match &node.value {
            Value::Null | Value::Bool(true) => Some(self.all()),
            _ => Some(vec![self.input(node, report)?]),
        }
    }

    fn input(&self, node: &Node, report: &mut Report) -> Option<usize> {
        let unknown = |message: String, label: String, report: &mut Report| {
            report
                .error(code::UNKNOWN_INPUT, message)
                .at(node.span, label)
                .help(format!("the inputs are {}", all_of(&self.inputs)));
            None
        };
        match &node.value {
            Value::Int(at) => {
                let found = usize::try_from(*at)
                    .ok()
                    .filter(|at| *at < self.inputs.len());
                let label = "inputs count from 0".to_owned();
                found.or_else(|| unknown(format!("there is no input {at}"), label, report))
            }
            Value::Text(name) => {
                let mut found = self.inputs.iter().enumerate();
                let mut found = found.by_ref().filter(|(_, input)| *input == name);
                match (found.next(), found.next()) {
                    (Some((at, _)), None) => Some(at),
                    (Some(_), Some(_)) => {
                        let message = format!("several inputs read {}", quote(name));
                        let label = "give the number of the input, from 0".to_owned();
                        unknown(message, label, report)
                    }
                    (None, _) => {
                        let message = format!("no input reads {}", quote(name));
                        let near = nearest(name, self.inputs.iter().map(String::as_str));
                        let label = match near {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => "unknown".to_owned(),
                        };
                        unknown(message, label, report)
                    }
                }
            }
            _ => wrong("input", "a name or a number", node, report),
        }
    }

    fn rows(&self, node: &Node, report: &mut Report) -> Option<Vec<GivenRow>> {
        let Value::List(list) = &node.value else {
            return wrong("rows", "a list of rows", node, report);
        };
        let row = |node| {
            let (value, time) = split(node, report)?;
            let text = match &value.value {
                Value::List(_) | Value::Map(_) => as_json::of(value, report).to_string(),
                _ => self.text(value),
            };
            let place = TestPlace(node.span);
            Some(GivenRow { text, time, place })
        };
        list.iter().map(row).collect()
    }

    fn expect(
        &self,
        node: &Node,
        fields: Option<&Fields<'_>>,
        report: &mut Report,
    ) -> Option<Step> {
        let Value::List(list) = &node.value else {
            return wrong("expect", "a list of rows; `[]` is nothing", node, report);
        };
        let row = |node| {
            let (value, time) = split(node, report)?;
            let place = TestPlace(node.span);
            let value = match &value.value {
                Value::List(_) | Value::Map(_) => ExpectedValue::Json(as_json::of(value, report)),
                _ => ExpectedValue::Text(self.text(value)),
            };
            Some(ExpectedRow { value, time, place })
        };
        let rows: Option<Vec<ExpectedRow>> = list.iter().map(row).collect();
        let output = fields.and_then(|fields| fields.text(&OUTPUT, report));
        let any_order = fields
            .filter(|fields| fields.entry(&ORDER).is_some())
            .and_then(|fields| fields.word(&ORDER, report));
        Some(Step::Expect {
            output: output.map(|(name, span)| (name.to_owned(), TestPlace(span))),
            rows: rows?,
            any_order: any_order.unwrap_or_default(),
        })
    }

    /// A plain value as it is written.
    fn text(&self, node: &Node) -> String {
        match &node.value {
            Value::Text(text) => text.clone(),
            _ => {
                let span = node.span.start..node.span.end;
                self.document.text.get(span).unwrap_or_default().to_owned()
            }
        }
    }

    fn fails(&self, node: &Node, report: &mut Report) -> Option<Step> {
        let entries = match &node.value {
            Value::Text(code) => {
                return Some(Step::Fails {
                    code: Some(code.clone()),
                    message: None,
                    row: None,
                });
            }
            Value::Map(entries) => entries,
            _ => return wrong("fails", "a code or a mapping", node, report),
        };
        for entry in entries {
            if !FAILURE_KEYS.contains(&entry.key.as_str()) {
                unknown_key(entry, "`fails`", &FAILURE_KEYS, report);
            }
        }
        let text = |key: &str| node.entry(key).map(|entry| self.text(&entry.node));
        Some(Step::Fails {
            code: text("code"),
            message: text("message"),
            row: text("row"),
        })
    }
}

/// Whether all keys of a step are those of steps.
fn is_known(step: &Node) -> bool {
    let known = |entry: &Entry| STEP.known.iter().any(|key| key.name() == entry.key);
    matches!(&step.value, Value::Map(entries) if entries.iter().all(known))
}

/// Keys that say more of what a step does stand beside it and nowhere else.
fn beside(fields: &Fields<'_>, verb: &str, report: &mut Report) {
    let of: [(&dyn AnyKey, &[&str]); 3] = [
        (&INPUT, &["rows", "watermark"]),
        (&OUTPUT, &["expect"]),
        (&ORDER, &["expect"]),
    ];
    for (key, verbs) in of {
        if let Some(entry) = fields.entry(key)
            && !verbs.contains(&verb)
        {
            let message = format!("`{}` says nothing of `{verb}`", key.name());
            let label = match (key.name(), verb) {
                ("input", "idle" | "end") => format!("write `{verb}: <input>`"),
                _ => format!("stands beside {}", all_of(verbs)),
            };
            let error = report.error(code::CONTRADICTION, message);
            error.at(entry.key_span, label);
        }
    }
}

fn unknown_key(entry: &Entry, what: &str, known: &[&str], report: &mut Report) {
    let message = format!("unknown key {} in {what}", quote(&entry.key));
    let error = report.error(code::UNKNOWN_KEY, message);
    match nearest(&entry.key, known.iter().copied()) {
        Some(near) => error.at(entry.key_span, format!("did you mean `{near}`?")),
        None => error
            .at(entry.key_span, "unknown")
            .help(format!("the keys here are {}", all_of(known))),
    };
}

/// A row and the time beside it, where it is written as a mapping of the two.
fn split<'a>(node: &'a Node, report: &mut Report) -> Option<(&'a Node, Option<i64>)> {
    let Some(row) = node.entry("row") else {
        return Some((node, None));
    };
    let Value::Map(entries) = &node.value else {
        return None;
    };
    for entry in entries {
        if !["row", "time"].contains(&entry.key.as_str()) {
            unknown_key(entry, "a row", &["row", "time"], report);
        }
    }
    let time = match node.entry("time") {
        Some(time) => Some(whole("time", &time.node, report)?),
        None => None,
    };
    Some((&row.node, time))
}

/// A whole number that may be below 0.
pub(super) fn whole(key: &str, node: &Node, report: &mut Report) -> Option<i64> {
    match &node.value {
        Value::Int(value) => match i64::try_from(*value) {
            Ok(value) => Some(value),
            Err(_) => {
                let error = report.error(code::BAD_VALUE, format!("`{key}` cannot be {value}"));
                error.at(node.span, "has more than 64 bits");
                None
            }
        },
        _ => wrong(key, "a whole number of milliseconds", node, report),
    }
}

fn name_or_none(key: &str, node: &Node, report: &mut Report) -> Option<Option<String>> {
    match &node.value {
        Value::Null | Value::Bool(true) => Some(None),
        Value::Text(name) => Some(Some(name.clone())),
        _ => wrong(key, "a name, or nothing", node, report),
    }
}

fn letters(node: &Node, report: &mut Report) -> Option<Vec<ExpectedJson>> {
    let Value::List(list) = &node.value else {
        return wrong("dead-letters", "a list", node, report);
    };
    let letter = |node: &Node| match &node.value {
        Value::Map(_) => Some(expected(node, report)),
        _ => wrong("dead-letters", "a list of mappings", node, report),
    };
    list.iter().map(letter).collect()
}

fn expected(node: &Node, report: &mut Report) -> ExpectedJson {
    ExpectedJson {
        value: as_json::of(node, report),
        place: TestPlace(node.span),
    }
}

/// The parts of a key.
fn key(node: &Node, report: &mut Report) -> Vec<Json> {
    match as_json::of(node, report) {
        Json::Array(parts) => parts,
        part => vec![part],
    }
}

fn timers(node: &Node, report: &mut Report) -> Option<Vec<ExpectedTimer>> {
    let Value::List(list) = &node.value else {
        return wrong("timers", "a list of timers", node, report);
    };
    let timer = |node: &Node| {
        let Value::Map(entries) = &node.value else {
            return wrong("timers", "a list of mappings", node, report);
        };
        let known = ["key", "event-time", "processing-time"];
        for entry in entries {
            if !known.contains(&entry.key.as_str()) {
                unknown_key(entry, "a timer", &known, report);
            }
        }
        let of = |key: &str| node.entry(key).map(|entry| &entry.node);
        let Some(key) = of("key").map(|node| key(node, report)) else {
            let error = report.error(code::MISSING_KEY, "a timer is that of a key");
            error.at(node.span, "needs `key`");
            return None;
        };
        let (event_time, at) = match (of("event-time"), of("processing-time")) {
            (Some(at), None) => (true, whole("event-time", at, report)?),
            (None, Some(at)) => (false, whole("processing-time", at, report)?),
            (Some(_), Some(_)) | (None, None) => {
                report
                    .error(code::MISSING_KEY, "a timer is due by one of two times")
                    .at(node.span, "needs `event-time` or `processing-time`");
                return None;
            }
        };
        Some(ExpectedTimer {
            key,
            event_time,
            at,
            place: TestPlace(node.span),
        })
    };
    list.iter().map(timer).collect()
}

fn states(node: &Node, report: &mut Report) -> Option<Vec<ExpectedState>> {
    let Value::Map(states) = &node.value else {
        return wrong("state", "a mapping of states", node, report);
    };
    let mut all = Vec::new();
    for state in states {
        let holds = match &state.node.value {
            Value::Map(entries) => {
                let entry = |entry: &Entry| {
                    let part = Json::String(entry.key.clone());
                    (vec![part], expected(&entry.node, report))
                };
                ExpectedContent::Keys(entries.iter().map(entry).collect())
            }
            Value::List(list) if !list.is_empty() && list.iter().all(is_keyed) => {
                let entry = |node: &Node| {
                    let key = key(&node.entry("key")?.node, report);
                    Some((key, expected(&node.entry("value")?.node, report)))
                };
                ExpectedContent::Keys(list.iter().filter_map(entry).collect())
            }
            _ => ExpectedContent::Whole(as_json::of(&state.node, report)),
        };
        all.push(ExpectedState {
            name: state.key.clone(),
            holds,
            place: TestPlace(state.key_span),
        });
    }
    Some(all)
}

/// Whether it says what a key has.
fn is_keyed(node: &Node) -> bool {
    matches!(&node.value, Value::Map(entries) if entries.len() == 2)
        && node.entry("key").is_some()
        && node.entry("value").is_some()
}

/// What is gone back to was taken before, in the same case.
fn check_snapshots(steps: &[TestStep], report: &mut Report) {
    let mut taken: Vec<Option<&str>> = Vec::new();
    for step in steps {
        match &step.step {
            Step::Snapshot(name) => taken.push(name.as_deref()),
            Step::Restore(None) if taken.is_empty() => {
                let message = "there is no snapshot to go back to";
                report
                    .error(code::UNKNOWN_INPUT, message)
                    .at(step.place.0, "no `snapshot` stands before it in its case");
            }
            Step::Restore(Some(name)) if !taken.contains(&Some(name.as_str())) => {
                let message = format!("there is no snapshot {}", quote(name));
                let known = taken.iter().filter_map(|name| *name);
                let label = match nearest(name, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "none of that name stands before it in its case".to_owned(),
                };
                let error = report.error(code::UNKNOWN_INPUT, message);
                error.at(step.place.0, label);
            }
            Step::Restore(_)
            | Step::Rows { .. }
            | Step::Watermark { .. }
            | Step::Idle(_)
            | Step::End(_)
            | Step::Advance(_)
            | Step::Rescale(_)
            | Step::Crash
            | Step::Expect { .. }
            | Step::DeadLetters(_)
            | Step::Skipped(_)
            | Step::Timers(_)
            | Step::State(_)
            | Step::Fails { .. } => {}
        }
    }
}
