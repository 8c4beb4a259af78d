//! `weir state get`: what one key has.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use weir_model::{KeyGroup, KeyGroupRange, hash64};
use weir_state::StateDecl;

use super::{
    NO_STATE, Trouble, content, operators, saved,
    show::{Renderer, Shower},
};
use crate::{
    cli::{Output, Shared},
    exit::Exit,
    render::tell,
    saved::{Entry, KeyLook, bytes_of, declared},
};

/// Shows what one key has in the states of an operator.
///
/// A key is given by its parts, in the order of the job file: `--key UA --key JFK` for `key: {
/// columns: [1, 2] }`. For keys of JSON rows a part is JSON, and text that is no JSON is a string.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir state get checkpoints/flights/chk-7 count --key UA
  weir state get checkpoints/flights/chk-7 count --state seen --key UA --key JFK
  weir state get checkpoints/flights/chk-7 count --hex 025541")]
pub(super) struct Get {
    /// The folder of a checkpoint or savepoint, or its `_metadata`.
    #[arg(value_name = "CHECKPOINT")]
    pub(super) path: PathBuf,

    /// The operator.
    #[arg(value_name = "OPERATOR")]
    pub(super) operator: String,

    /// A part of the key; may be repeated.
    #[arg(long = "key", value_name = "PART", required_unless_present = "hex")]
    pub(super) parts: Vec<String>,

    /// The key as its bytes, in hexadecimal digits.
    #[arg(long, value_name = "BYTES", conflicts_with = "parts")]
    pub(super) hex: Option<String>,

    /// Only this state.
    #[arg(long, value_name = "NAME")]
    pub(super) state: Option<String>,

    /// A component whose words say what values are.
    #[arg(long, value_name = "WASM")]
    pub(super) component: Option<PathBuf>,
}

impl Get {
    pub(super) fn run(self, shared: &Shared) -> Result<Exit, Trouble> {
        let (group, rows) = self.rows(shared)?;
        match shared.output {
            Output::Json => {
                tell(&json!({ "key_group": group.0, "rows": rows, "errors": [] }).to_string())
            }
            Output::Text => {
                let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
                tell(&lines.join("\n"));
            }
        }
        Ok(Exit::Done)
    }

    /// The key group of the key, and what it has.
    pub(super) fn rows(&self, shared: &Shared) -> Result<(KeyGroup, Vec<Value>), Trouble> {
        let saved = saved(&self.path, shared)?;
        let damaged = |e| Trouble::damaged(&saved.path, &e);
        let wrong = |message: String| Trouble::usage(NO_STATE, message, None);
        let name = operators(&saved, Some(&self.operator))?.remove(0);
        let looks = KeyLook::of(&saved.metadata.operators[&name].keys);
        let key = self.key(looks).map_err(wrong)?;
        let group = saved.metadata.max_parallelism.key_group_of(hash64(&key));
        let mut content = content(&saved, &name)?;
        let states = content.states().to_vec();
        if let Some(named) = &self.state
            && states.iter().all(|state| state.name != *named)
        {
            let known: Vec<String> = states.iter().map(|s| format!("`{}`", s.name)).collect();
            let help = format!("its states are {}", known.join(", "));
            let message = format!("operator `{name}` has no state `{named}`");
            return Err(Trouble::usage(NO_STATE, message, Some(help)));
        }
        let render = match &self.component {
            Some(path) => Some(Renderer::load(path, shared)?),
            None => None,
        };
        let mut shower = Shower {
            operator: name.as_str(),
            states: &states,
            keys: looks,
            render,
        };
        let range = KeyGroupRange {
            start: group,
            end: group,
        };
        let wanted = |at: usize| {
            let name = &states[at].name;
            self.state.as_ref().is_none_or(|named| named == name)
        };
        let entries = content.entries(range).map_err(damaged)?;
        // What windows keep has their bounds behind the key.
        let decls: Vec<StateDecl> = states.iter().map(declared).collect();
        let is_of_key = |entry: &&Entry| decls[entry.state].key_of(&entry.key) == key;
        let found = entries
            .iter()
            .filter(is_of_key)
            .filter(|entry| wanted(entry.state));
        let rows: Vec<Value> = found.map(|entry| shower.row(entry)).collect();
        if rows.is_empty() {
            let shown = looks.show(&key);
            let message = format!("key {shown} has nothing in operator `{name}`");
            let help = "a key is its parts in the order of the job file; `weir state export` shows \
                        all keys";
            return Err(Trouble::usage(NO_STATE, message, Some(help.into())));
        }
        Ok((group, rows))
    }

    fn key(&self, looks: KeyLook) -> Result<Vec<u8>, String> {
        if let Some(digits) = &self.hex {
            return bytes_of(digits);
        }
        let part = |text: &String| match looks {
            KeyLook::Text => Value::from(text.as_str()),
            KeyLook::Json => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()))
            }
        };
        looks.read(&Value::Array(self.parts.iter().map(part).collect()))
    }
}
