//! `weir state export`: the state of a checkpoint as JSON lines.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    Trouble, content, operators, saved,
    show::{Renderer, Shower},
};
use crate::{
    cli::Shared,
    exit::Exit,
    render::tell,
    saved::{KeyLook, Saved},
};

/// The version of the form.
pub(super) const VERSION: u64 = 1;
/// So many bytes of lines are written at once.
const CHUNK: usize = 64 << 10;

/// Writes the state of a checkpoint as JSON lines to standard output.
///
/// The first line says what the checkpoint is, each other one is what a key has in a state, or what
/// a subtask has in state without keys. Texts, JSON and numbers are shown as they are, by the
/// declared format; other bytes as {"$hex": "…"}. `weir state import` makes a savepoint of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir state export checkpoints/flights/chk-7 > rows.jsonl
  weir state export checkpoints/flights/chk-7 --operator count
  weir state export checkpoints/flights/chk-7 --component target/guests/count.wasm")]
pub(super) struct Export {
    /// The folder of a checkpoint or savepoint, or its `_metadata`.
    #[arg(value_name = "CHECKPOINT")]
    pub(super) path: PathBuf,

    /// Only the state of this operator; such an export cannot be imported.
    #[arg(long, value_name = "NAME")]
    pub(super) operator: Option<String>,

    /// A component whose words say what values are: `shown` in each line.
    #[arg(long, value_name = "WASM")]
    pub(super) component: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(self, shared: &Shared) -> Result<Exit, Trouble> {
        let saved = saved(&self.path, shared)?;
        let mut lines = Lines::default();
        self.lines(&saved, shared, &mut |line| lines.line(line))?;
        lines.flush();
        Ok(Exit::Done)
    }

    /// Gives each line to `take`.
    pub(super) fn lines(
        &self,
        saved: &Saved,
        shared: &Shared,
        take: &mut dyn FnMut(&Value),
    ) -> Result<(), Trouble> {
        take(&header(saved, self.operator.is_none())?);
        for name in operators(saved, self.operator.as_deref())? {
            let damaged = |e| Trouble::damaged(&saved.path, &e);
            let mut content = content(saved, &name)?;
            let render = match &self.component {
                Some(path) => Some(Renderer::load(path, shared)?),
                None => None,
            };
            let states = content.states().to_vec();
            let mut shower = Shower {
                operator: name.as_str(),
                states: &states,
                keys: KeyLook::of(&saved.metadata.operators[&name].keys),
                render,
            };
            for range in content.ranges() {
                for entry in content.entries(range).map_err(damaged)? {
                    take(&shower.row(&entry));
                }
            }
            for (subtask, unkeyed) in content.unkeyed().map_err(damaged)?.iter().enumerate() {
                shower.unkeyed(subtask, unkeyed).iter().for_each(&mut *take);
            }
        }
        Ok(())
    }
}

/// The first line: all of the metadata but the files, and which states have a time to live.
fn header(saved: &Saved, whole: bool) -> Result<Value, Trouble> {
    let document = saved.metadata.document();
    let document = document.map_err(|e| Trouble::storage(e.to_string()))?;
    Ok(json!({
        "weir_export": VERSION,
        "whole": whole,
        "committed": saved.is_committed,
        "metadata": document,
    }))
}

/// Lines on their way to standard output.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, value: &Value) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(&value.to_string());
        if self.0.len() >= CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.0.is_empty() {
            tell(&self.0);
        }
        self.0.clear();
    }
}
