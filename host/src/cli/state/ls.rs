//! `weir state ls`: which states there are.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Trouble, operators, saved};
use crate::{
    cli::{Output, Shared},
    exit::Exit,
    render::{grouped, size, tell},
    saved::{Content, Saved},
};

/// Lists operators and their states: kind, format, version, rows and bytes.
///
/// Rows are those in the files: one for a key, or several for a large list or map; of state without
/// keys its items or entries. Bytes are those of the files of an operator's tasks.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir state ls checkpoints/flights/chk-7
  weir state ls /backup/savepoint-flights-3 --output json")]
pub(super) struct Ls {
    /// The folder of a checkpoint or savepoint, or its `_metadata`.
    #[arg(value_name = "CHECKPOINT")]
    path: PathBuf,
}

impl Ls {
    pub(super) fn run(self, shared: &Shared) -> Result<Exit, Trouble> {
        let saved = saved(&self.path, shared)?;
        let listed = listed(&saved)?;
        match shared.output {
            Output::Text => tell(&text(&saved, &listed)),
            Output::Json => tell(
                &json!({
                    "job": saved.metadata.job.as_str(),
                    "checkpoint": saved.metadata.checkpoint.0,
                    "max_parallelism": saved.metadata.max_parallelism.get(),
                    "operators": listed,
                    "errors": [],
                })
                .to_string(),
            ),
        }
        Ok(Exit::Done)
    }
}

/// The operators with state.
pub(super) fn listed(saved: &Saved) -> Result<Vec<Value>, Trouble> {
    let mut listed = Vec::new();
    for name in operators(saved, None)? {
        let content = Content::open(saved, &name);
        let content = content.map_err(|e| Trouble::damaged(&saved.path, &e))?;
        let operator = &saved.metadata.operators[&name];
        let files = operator.subtasks.iter().flat_map(|part| part.files());
        // How many rows are in files of a backend, only that backend knows.
        let native = content.is_native();
        let states: Vec<Value> = content
            .states()
            .iter()
            .map(|state| {
                json!({
                    "state": state.name, "kind": state.kind.as_str(), "format": state.format,
                    "version": state.version, "ttl": state.ttl.is_some(),
                    "rows": (!native || !state.kind.is_keyed()).then_some(state.rows),
                })
            })
            .collect();
        listed.push(json!({
            "operator": name.as_str(), "parallelism": operator.parallelism.get(),
            "keys": operator.keys, "bytes": files.map(|file| file.length).sum::<u64>(),
            "states": states,
        }));
    }
    Ok(listed)
}

pub(super) fn text(saved: &Saved, listed: &[Value]) -> String {
    let metadata = &saved.metadata;
    let mut lines = vec![format!(
        "checkpoint {} of job {}, max-parallelism {}",
        metadata.checkpoint, metadata.job, metadata.max_parallelism
    )];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    for operator in listed {
        lines.push(format!(
            "{}  parallelism {}, {}",
            word(&operator["operator"]),
            number(&operator["parallelism"]),
            size(number(&operator["bytes"]))
        ));
        for state in operator["states"].as_array().into_iter().flatten() {
            let ttl = match state["ttl"].as_bool() {
                Some(true) => ", with a time to live",
                Some(false) | None => "",
            };
            let rows = match state["rows"].as_u64() {
                Some(rows) => format!("{:>9} rows", grouped(rows)),
                None => "in files of its backend".to_owned(),
            };
            lines.push(format!(
                "  {:<16} {:<14} {rows}, {} version {}{ttl}",
                word(&state["state"]),
                word(&state["kind"]),
                word(&state["format"]),
                number(&state["version"])
            ));
        }
    }
    if listed.is_empty() {
        lines.push("no state".into());
    }
    lines.join("\n")
}
