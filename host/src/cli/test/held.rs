//! What an operator holds: read from the checkpoint behind the last step, as `weir state` does.

use serde_json::{Value, json};
use weir_harness::Harness;
use weir_job_file::{ExpectedContent, ExpectedState, ExpectedTimer};
use weir_model::OperatorName;
use weir_state::{StateDecl, StateKind};

use super::compare::{Line, unordered};
use crate::{
    assemble::Tested,
    cli::state::show::{Renderer, Shower},
    saved::{Content, KeyLook, Saved},
    storage::Folder,
};

/// All that is held, as rows of `weir state`.
pub(super) struct Held {
    /// `{ state, key, value | elements | entries | timers, shown }`.
    keyed: Vec<Value>,
    /// `{ state, subtask, elements | entries }`.
    unkeyed: Vec<Value>,
}

impl Held {
    /// Reads what is held now.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn of(harness: &Harness, tested: &Tested) -> Result<Self, String> {
        let (store, folder) = harness.saved().ok_or("nothing was saved yet")?;
        let path = Folder::Local(folder.trim_end_matches('/').into());
        let saved = Saved::read_in(store, folder, &path).map_err(|error| error.to_string())?;
        let saved = saved.map_err(|problem| problem.what)?;
        let name: &OperatorName = tested.name();
        let Some(operator) = saved.metadata.operators.get(name) else {
            return Ok(Self {
                keyed: Vec::new(),
                unkeyed: Vec::new(),
            });
        };
        let keys = KeyLook::of(&operator.keys);
        let mut content = Content::open(&saved, name).map_err(|problem| problem.what)?;
        let states = content.states().to_vec();
        let mut shower = Shower {
            operator: name.as_str(),
            states: &states,
            keys,
            render: tested.component.as_ref().and_then(Renderer::of),
        };
        let entries = content.all().map_err(|problem| problem.what)?;
        let keyed = entries.iter().map(|entry| shower.row(entry)).collect();
        let of_subtasks = content.unkeyed().map_err(|problem| problem.what)?;
        let unkeyed = of_subtasks.iter().enumerate();
        let unkeyed = unkeyed.flat_map(|(subtask, saved)| shower.unkeyed(subtask, saved));
        Ok(Self {
            keyed,
            unkeyed: unkeyed.collect(),
        })
    }

    /// Compares all timers.
    pub(super) fn timers(&self, expected: &[ExpectedTimer]) -> Result<(), Vec<Line>> {
        let line = |key: &str, kind: &str, at: &Value| format!("{key}: {kind} {at}");
        let mut came = Vec::new();
        for row in &self.keyed {
            let key = key_text(&row["key"]);
            for timer in row["timers"].as_array().into_iter().flatten() {
                let kind = timer[0].as_str().unwrap_or_default();
                came.push(line(&key, kind, &timer[1]));
            }
        }
        let expected: Vec<String> = expected
            .iter()
            .map(|timer| {
                let kind = match timer.event_time {
                    true => "event-time",
                    false => "processing-time",
                };
                let key = key_text(&json!(timer.key));
                line(&key, kind, &json!(timer.at))
            })
            .collect();
        unordered(&expected, &came, |e, c| expected[e] == came[c])
    }

    /// Compares all that a state holds.
    pub(super) fn state(
        &self,
        expected: &ExpectedState,
        declared: Option<&StateDecl>,
    ) -> Result<(), Vec<Line>> {
        let is_keyed = match declared {
            Some(state) => state.kind.is_keyed(),
            None => self.unkeyed.iter().all(|row| row["state"] != expected.name),
        };
        match (&expected.holds, is_keyed) {
            (ExpectedContent::Keys(keys), true) => {
                let keys = keys.iter();
                let keys: Vec<_> = keys
                    .map(|(key, value)| (key_text(&json!(key)), &value.value))
                    .collect();
                self.keyed(&expected.name, &keys)
            }
            (ExpectedContent::Whole(whole), true) => {
                // Nothing in any key, or something that no key has.
                let whole = match whole.as_array().is_some_and(Vec::is_empty) || whole.is_null() {
                    true => Vec::new(),
                    false => vec![("every key".to_owned(), whole)],
                };
                self.keyed(&expected.name, &whole)
            }
            (ExpectedContent::Keys(keys), false) => {
                let pairs = keys.iter();
                let pairs = pairs.map(|(key, value)| json!([key.first(), value.value]));
                let is_broadcast = declared.is_some_and(|s| s.kind == StateKind::Broadcast);
                self.whole(&expected.name, &pairs.collect::<Vec<_>>(), is_broadcast)
            }
            (ExpectedContent::Whole(whole), false) => {
                let is_broadcast = declared.is_some_and(|s| s.kind == StateKind::Broadcast);
                let items = match whole {
                    Value::Array(items) => items.clone(),
                    Value::Null => Vec::new(),
                    other => vec![other.clone()],
                };
                self.whole(&expected.name, &items, is_broadcast)
            }
        }
    }

    fn keyed(&self, state: &str, expected: &[(String, &Value)]) -> Result<(), Vec<Line>> {
        let rows = self.keyed.iter().filter(|row| row["state"] == state);
        let came: Vec<(String, &Value)> = rows.map(|row| (key_text(&row["key"]), row)).collect();
        let texts = expected
            .iter()
            .map(|(key, value)| format!("{key}: {value}"));
        let texts: Vec<String> = texts.collect();
        let came_texts = came.iter().map(|(key, row)| {
            // In the component's own words where it has some.
            let value = row.get("shown").unwrap_or(content(row));
            format!("{key}: {value}")
        });
        let came_texts: Vec<String> = came_texts.collect();
        unordered(&texts, &came_texts, |e, c| {
            let ((key, value), (came_key, row)) = (&expected[e], &came[c]);
            key == came_key && is_held(value, row)
        })
    }

    /// What all subtasks hold together; of a broadcast state each holds all.
    fn whole(&self, state: &str, expected: &[Value], is_copy: bool) -> Result<(), Vec<Line>> {
        let rows = self.unkeyed.iter().filter(|row| row["state"] == state);
        let items = |row: &Value| content(row).as_array().cloned().unwrap_or_default();
        let of_subtasks: Vec<Vec<Value>> = rows.map(items).collect();
        let lists = match is_copy {
            // Nobody has anything.
            true if of_subtasks.is_empty() => vec![Vec::new()],
            true => of_subtasks,
            false => vec![of_subtasks.concat()],
        };
        let texts: Vec<String> = expected.iter().map(Value::to_string).collect();
        for came in lists {
            let came_texts: Vec<String> = came.iter().map(Value::to_string).collect();
            unordered(&texts, &came_texts, |e, c| is_same(&expected[e], &came[c]))?;
        }
        Ok(())
    }
}

/// Whether what a row says that its key has is what is expected, as it is or in the component's
/// words.
fn is_held(expected: &Value, row: &Value) -> bool {
    let shown = row.get("shown");
    is_content(expected, content(row)) || shown.is_some_and(|shown| is_content(expected, shown))
}

/// What a row says that its key has.
fn content(row: &Value) -> &Value {
    let all = ["value", "elements", "entries", "timers"];
    let found = all.into_iter().find_map(|key| row.get(key));
    found.unwrap_or(&Value::Null)
}

/// Whether what a key has is what is expected: of a map as pairs, or as a mapping.
fn is_content(expected: &Value, came: &Value) -> bool {
    let (Value::Object(members), Value::Array(pairs)) = (expected, came) else {
        return is_same(expected, came);
    };
    let has = |(key, value): (&String, &Value)| {
        let is_it = |pair: &&Value| text(&pair[0]) == *key && is_same(value, &pair[1]);
        pairs.iter().any(|pair| is_it(&pair))
    };
    members.len() == pairs.len() && members.iter().all(has)
}

/// Whether two values are the same; a number may be written as a text, as keys of a mapping are.
fn is_same(expected: &Value, came: &Value) -> bool {
    match (expected, came) {
        (Value::Array(expected), Value::Array(came)) => {
            expected.len() == came.len() && expected.iter().zip(came).all(|(e, c)| is_same(e, c))
        }
        (Value::String(expected), came) => *expected == text(came),
        (expected, came) => expected == came,
    }
}

/// The parts of a key, however their types are written.
fn key_text(key: &Value) -> String {
    match key {
        Value::Array(parts) => parts.iter().map(text).collect::<Vec<_>>().join(", "),
        other => text(other),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_has_something_does_not_have_nothing() {
        let row = json!({ "state": "count", "key": ["ann"], "value": 3 });
        assert!(is_held(&json!(3), &row));
        assert!(!is_held(&Value::Null, &row));
        let shown = json!({ "state": "count", "key": ["ann"], "value": "0x03", "shown": "three" });
        assert!(is_held(&json!("three"), &shown));
        assert!(is_held(&json!("0x03"), &shown));
        assert!(!is_held(&json!("four"), &shown));
    }

    #[test]
    fn a_broadcast_state_that_nobody_has_is_empty() {
        let held = Held {
            keyed: Vec::new(),
            unkeyed: Vec::new(),
        };
        assert!(held.whole("rules", &[], true).is_ok());
        assert!(held.whole("rules", &[json!(["a", 1])], true).is_err());
    }
}
