//! Rows of state as JSON, one object each, and back: the form of `export`, `get`, `diff` and
//! `import`.
//!
//! ```text
//! {"operator":"count","state":"sum","key":["UA"],"value":17}
//! {"operator":"count","state":"seen","key":["UA"],"elements":["a","b"]}
//! {"operator":"count","state":"by-day","key":["UA"],"entries":[["mon",3],["tue",1]]}
//! {"operator":"sums","state":"window.accumulators","key":["UA"],"window":[0,60000],"value":17}
//! {"operator":"alert","state":"weir.timers","key":["UA"],"timers":[["event-time",1700000000000]]}
//! {"operator":"rules","state":"rules","subtask":0,"entries":[["a","b"]]}
//! {"operator":"batch","state":"held-back","subtask":1,"elements":["x"]}
//! {"operator":"batch","subtask":1,"raw":[{"$hex":"00ff"}]}
//! ```
//!
//! Values with a time to live have the time of their last access beside them, `accessed_ms`.

use serde_json::{Value, json};
use weir_component::{Component, Engine, EngineOptions, Limits};
use weir_model::Column;
use weir_operator::{Evolve, OperatorFactory, Part, Window};
use weir_state::{SavedOperatorState, SavedState, StateDecl, StateIndex, StateKind, When};

use super::{NO_STATE, Trouble};
use crate::{
    cli::Shared,
    saved::{Entry, Held, KeyLook, Look, hex, object},
};

/// The bytes of the time of last access before a value (D16).
pub(super) const STAMP: usize = 8;

/// What is shown of the window that is all of time.
const GLOBAL: &str = "global";

/// How the rows of an operator are shown.
pub(in crate::cli) struct Shower<'a> {
    pub(in crate::cli) operator: &'a str,
    pub(in crate::cli) states: &'a [SavedState],
    pub(in crate::cli) keys: KeyLook,
    pub(in crate::cli) render: Option<Renderer>,
}

/// A component that says what values are.
pub(in crate::cli) struct Renderer {
    component: Component,
    evolve: Box<dyn Evolve>,
}

impl Renderer {
    /// Loads a component that can show its state.
    pub(super) fn load(path: &std::path::Path, shared: &Shared) -> Result<Self, Trouble> {
        let refuse = |code, message: String, help: Option<String>| {
            let message = format!("--component: {message}");
            Trouble::usage(code, message, help)
        };
        let options = EngineOptions {
            cache: shared.cache_dir.clone(),
            ..EngineOptions::default()
        };
        let limits = Limits::default();
        let loaded = Engine::new(&options).and_then(|engine| engine.load(path, &limits));
        let component = loaded.map_err(|e| {
            let help = e.help().map(std::borrow::Cow::into_owned);
            refuse(e.code(), e.to_string(), help)
        })?;
        let evolve = component.factory(limits).evolve();
        let evolve = evolve.map_err(|e| refuse(e.code(), e.to_string(), None))?;
        let Some(evolve) = evolve else {
            let message = format!("`{}` cannot show its state", path.display());
            let help = "it does not export `weir:operator/evolving`; in Rust: \
                        `operator!(Type, evolving)`";
            return Err(refuse(NO_STATE, message, Some(help.into())));
        };
        Ok(Self { component, evolve })
    }

    /// A component that can show its state; `None` where it cannot.
    pub(in crate::cli) fn of(component: &Component) -> Option<Self> {
        let evolve = component.factory(Limits::default()).evolve().ok()??;
        Some(Self {
            component: component.clone(),
            evolve,
        })
    }

    /// What values are, in the component's words; nothing of a state that it does not declare.
    fn words(&mut self, state: &SavedState, part: Part, values: &[&[u8]]) -> Option<Vec<String>> {
        let declared = &self.component.descriptor().states;
        let at = declared.iter().position(|decl| {
            decl.name == state.name && decl.kind == state.kind && decl.version == state.version
        })?;
        let values: Column = values.iter().copied().collect();
        let at = StateIndex(u32::try_from(at).ok()?);
        self.evolve.render(at, part, &values).ok()
    }
}

impl Shower<'_> {
    /// A row of keyed state.
    pub(in crate::cli) fn row(&mut self, entry: &Entry) -> Value {
        let state = &self.states[entry.state];
        let mut members = vec![
            ("operator", json!(self.operator)),
            ("state", json!(state.name)),
        ];
        members.extend(self.key(&state.name, &entry.key));
        members.extend(shown(state, &entry.value));
        let words = self
            .render
            .as_mut()
            .and_then(|render| words(render, state, &entry.value));
        members.extend(words.map(|words| ("shown", words)));
        object(members)
    }

    /// What something is kept under in a state, as members of its row: a key, and the window behind
    /// it where windows keep it.
    fn key(&self, state: &str, kept: &[u8]) -> Vec<(&'static str, Value)> {
        if StateDecl::namespace_of(state) == 0 {
            return vec![("key", self.keys.show(kept))];
        }
        let split = kept.split_last_chunk::<{ Window::ENCODED }>();
        match split.map(|(key, window)| (key, Window::decode(window))) {
            Some((key, Ok(window))) => vec![
                ("key", self.keys.show(key)),
                ("window", shown_window(window)),
            ],
            Some((_, Err(_))) | None => vec![("key", hex(kept))],
        }
    }

    /// The state without keys of a subtask.
    pub(in crate::cli) fn unkeyed(&self, subtask: usize, saved: &SavedOperatorState) -> Vec<Value> {
        let mut rows = Vec::new();
        for state in saved.states() {
            let (keys, values) = Look::of_map(&state.format);
            let list = saved.list(&state.name);
            let list = list.map(|items| items.map(|item| Look::of(&state.format).show(item)));
            let content = match list {
                Some(items) => ("elements", json!(items.collect::<Vec<_>>())),
                None => {
                    let entries = saved.entries(&state.name).into_iter().flatten();
                    let pair = |(k, v): (&[u8], &[u8])| json!([keys.show(k), values.show(v)]);
                    ("entries", json!(entries.map(pair).collect::<Vec<_>>()))
                }
            };
            rows.push(object(vec![
                ("operator", json!(self.operator)),
                ("state", json!(state.name)),
                ("subtask", json!(subtask)),
                content,
            ]));
        }
        if !saved.raw.is_empty() {
            let raw: Vec<Value> = saved.raw.iter().map(|raw| Look::Bytes.show(raw)).collect();
            rows.push(object(vec![
                ("operator", json!(self.operator)),
                ("subtask", json!(subtask)),
                ("raw", json!(raw)),
            ]));
        }
        rows
    }
}

/// A window: where it begins and where it ends, in milliseconds since the Unix epoch.
fn shown_window(window: Window) -> Value {
    match window {
        // Programs that read JSON have no whole numbers as large as its ends.
        Window::GLOBAL => json!(GLOBAL),
        Window { start, end } => json!([start, end]),
    }
}

/// What windows keep something under, of a row that names the window or says all of it in bytes.
pub(super) fn with_window(
    state: &str,
    mut key: Vec<u8>,
    (shown, window): (&Value, Option<&Value>),
) -> Result<Vec<u8>, String> {
    let by_windows = StateDecl::namespace_of(state) > 0;
    let wrong = || format!("`window` is a list of two times in milliseconds, or \"{GLOBAL}\"");
    let window = match (by_windows, window) {
        (false, None) => return Ok(key),
        (false, Some(_)) => return Err(format!("state `{state}` is not kept by windows")),
        (true, None) if shown.is_object() => return Ok(key),
        (true, None) => return Err(format!("state `{state}` is kept by windows: {}", wrong())),
        (true, Some(window)) => window,
    };
    let window = match window {
        Value::String(text) if text == GLOBAL => Window::GLOBAL,
        other => {
            let pair = other.as_array().map(Vec::as_slice);
            let times = match pair {
                Some([start, end]) => start.as_i64().zip(end.as_i64()),
                Some(_) | None => None,
            };
            let (start, end) = times.ok_or_else(wrong)?;
            Window { start, end }
        }
    };
    key.extend(window.encode());
    Ok(key)
}

/// A value and the time of its last access, where it has one.
fn split<'a>(state: &SavedState, value: &'a [u8]) -> (Option<i64>, &'a [u8]) {
    match value.split_first_chunk::<STAMP>() {
        Some((stamp, value)) if state.ttl.is_some() => (Some(i64::from_be_bytes(*stamp)), value),
        Some(_) | None => (None, value),
    }
}

/// What a key has, as members of its row.
fn shown(state: &SavedState, held: &Held) -> Vec<(&'static str, Value)> {
    let look = Look::of(&state.format);
    let mut stamps = Vec::new();
    let mut value = |look: Look, bytes: &[u8]| {
        let (stamp, value) = split(state, bytes);
        stamps.extend(stamp);
        look.show(value)
    };
    let content = match held {
        Held::Cell(cell) => ("value", value(look, cell)),
        Held::List(all) => {
            let all: Vec<Value> = all.iter().map(|e| value(look, e)).collect();
            ("elements", json!(all))
        }
        Held::Map(all) => {
            let (keys, values) = Look::of_map(&state.format);
            let pair = |(k, v): &(Vec<u8>, Vec<u8>)| json!([keys.show(k), value(values, v)]);
            let all: Vec<Value> = all.iter().map(pair).collect();
            ("entries", json!(all))
        }
        Held::Timers(all) => {
            let one = |when: &When| json!([when.kind.as_str(), when.at]);
            ("timers", json!(all.iter().map(one).collect::<Vec<_>>()))
        }
    };
    let mut members = vec![content];
    match (held, stamps.as_slice()) {
        (_, []) => {}
        (Held::Cell(_), [stamp, ..]) => members.push(("accessed_ms", json!(stamp))),
        (Held::List(_) | Held::Map(_) | Held::Timers(_), stamps) => {
            members.push(("accessed_ms", json!(stamps)))
        }
    }
    members
}

/// What a key has, in the words of its component.
fn words(render: &mut Renderer, state: &SavedState, held: &Held) -> Option<Value> {
    let bare = |bytes: &[u8]| split(state, bytes).1.to_vec();
    let mut say = |part: Part, values: &[Vec<u8>]| {
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        render.words(state, part, &values)
    };
    match held {
        Held::Cell(cell) => {
            let part = match state.kind == StateKind::Aggregating {
                true => Part::Accumulator,
                false => Part::Value,
            };
            Some(json!(say(part, &[bare(cell)])?.pop()?))
        }
        Held::List(all) => {
            let all: Vec<Vec<u8>> = all.iter().map(|e| bare(e)).collect();
            Some(json!(say(Part::Element, &all)?))
        }
        Held::Map(all) => {
            let keys: Vec<Vec<u8>> = all.iter().map(|(key, _)| key.clone()).collect();
            let values: Vec<Vec<u8>> = all.iter().map(|(_, value)| bare(value)).collect();
            let (keys, values) = (say(Part::MapKey, &keys)?, say(Part::MapValue, &values)?);
            Some(json!(keys.into_iter().zip(values).collect::<Vec<_>>()))
        }
        // They are the host's, and shown already.
        Held::Timers(_) => None,
    }
}
