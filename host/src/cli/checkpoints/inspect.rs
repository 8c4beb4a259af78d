//! `weir checkpoints inspect`: what one checkpoint holds.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use weir_checkpoint::{CheckpointKind, Metadata, OperatorMeta, SourceMeta, Transaction};
use weir_model::OperatorName;

use super::{count, place, storage_failed};
use crate::{
    cli::{Output, Shared},
    exit::Exit,
    render::{error, grouped, size, tell, utc},
    saved::{Place, Problem, Rows, Saved, kind},
    storage::{DAMAGED, NO_CHECKPOINT},
};

/// How many open splits of a source are shown to people.
const SPLITS_SHOWN: usize = 12;

/// Shows what a checkpoint holds: operators and their states, positions of the sources, what the
/// sinks have yet to commit, and its files.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir checkpoints inspect checkpoints/flights/chk-7
  weir checkpoints inspect checkpoints/flights/chk-7 --output json")]
pub(super) struct Inspect {
    /// The folder of a checkpoint, or its `_metadata`.
    #[arg(value_name = "CHECKPOINT")]
    path: PathBuf,
}

impl Inspect {
    pub(super) fn run(self, shared: &Shared) -> Exit {
        let path = match place(&self.path, shared) {
            Ok(Place::Checkpoint(path)) => path,
            Ok(Place::Jobs(_)) => {
                let message = format!("`{}` is not one checkpoint", self.path.display());
                let help = format!(
                    "`weir checkpoints list {}` says which there are",
                    self.path.display()
                );
                error(shared, NO_CHECKPOINT, &message, Some(&help));
                return Exit::Usage;
            }
            Err(exit) => return exit,
        };
        let saved = match Saved::read(&path, &shared.stores) {
            Ok(Ok(saved)) => saved,
            Ok(Err(Problem { file, what })) => {
                let message = format!("{path}: {file}: {what}");
                let help = format!("`weir checkpoints verify {path}` says what can be done");
                error(shared, DAMAGED, &message, Some(&help));
                return Exit::Failed;
            }
            Err(failure) => return storage_failed(&path, &failure, shared),
        };
        let rows = saved.rows();
        match shared.output {
            Output::Text => tell(&text(&saved, &rows)),
            Output::Json => tell(&document(&saved, &rows).to_string()),
        }
        Exit::Done
    }
}

/// Why a checkpoint was taken.
fn why(kind: CheckpointKind) -> &'static str {
    match kind {
        CheckpointKind::Periodic => "the interval was over",
        CheckpointKind::Manual => "somebody asked for it",
        CheckpointKind::Savepoint => "somebody asked for it, to keep it",
        CheckpointKind::Stop => "the job stopped with it",
        CheckpointKind::Final => "the job had finished with it",
    }
}

fn text(saved: &Saved, rows: &Rows) -> String {
    let metadata = &saved.metadata;
    let files = metadata.files();
    let of = count(files.len(), "file", "files");
    let mut lines = vec![
        format!("checkpoint {} of job {}", metadata.checkpoint, metadata.job),
        format!("  path             {}", saved.path),
        format!(
            "  kind             {}: {}",
            kind(metadata.kind),
            why(metadata.kind)
        ),
        format!(
            "  created          {} in attempt {}",
            utc(metadata.created.0),
            metadata.attempt
        ),
        format!("  max-parallelism  {}", metadata.max_parallelism),
        format!("  size             {} in {of}", size(saved.size())),
    ];
    operators_text(metadata, rows, &mut lines);
    lines.push("sources".into());
    metadata
        .sources
        .iter()
        .for_each(|(name, source)| source_text(name, source, &mut lines));
    if metadata.sources.is_empty() {
        lines.push("  none".into());
    }
    lines.push("sinks".into());
    for (name, transactions) in &metadata.sinks {
        lines.push(format!(
            "  {:<16} {}",
            name.as_str(),
            sink_text(transactions, saved)
        ));
    }
    if metadata.sinks.is_empty() {
        lines.push("  none with anything to commit".into());
    }
    lines.push("files".into());
    for file in &files {
        let size = size(file.length);
        lines.push(format!(
            "  {:<30} {size:>10}  crc32c {:08x}",
            file.path, file.crc32c
        ));
    }
    if files.is_empty() {
        lines.push("  none".into());
    }
    for Problem { file, what } in &rows.problems {
        lines.push(format!("note: {file} cannot be looked into: {what}"));
    }
    lines.join("\n")
}

/// All operators, their states, and what is in flight to them.
fn operators_text(metadata: &Metadata, rows: &Rows, lines: &mut Vec<String>) {
    lines.push("operators".into());
    for (name, operator) in &metadata.operators {
        lines.push(operator_text(name, operator));
        lines.extend(keys_text(&operator.keys));
        for state in &operator.states {
            let rows = rows
                .of_state
                .get(&(name.clone(), state.name.clone()))
                .copied();
            let rows = rows.map_or_else(|| "?".to_owned(), grouped);
            lines.push(format!(
                "    {:<16} {:<14} {rows:>9} rows, {} version {}",
                state.name, state.kind, state.format, state.version
            ));
        }
        if let Some(count) = rows.in_flight.get(name) {
            lines.push(format!("    in flight        {} rows", grouped(*count)));
        }
    }
}

fn operator_text(name: &OperatorName, operator: &OperatorMeta) -> String {
    let ended = operator
        .subtasks
        .iter()
        .filter(|subtask| subtask.finished)
        .count();
    let ended = match ended {
        0 => String::new(),
        n if n == operator.subtasks.len() => ", had finished".into(),
        n => format!(", {} had finished", count(n, "subtask", "subtasks")),
    };
    let state = if operator.states.is_empty() {
        ", no state"
    } else {
        ""
    };
    format!(
        "  {:<16} parallelism {}{state}{ended}",
        name.as_str(),
        operator.parallelism
    )
}

/// What the rows of each input were keyed by, where that was written down.
fn keys_text(keys: &[Option<String>]) -> Option<String> {
    let all = match keys {
        [] => return None,
        [Some(key)] => key.clone(),
        many => {
            let of = |(at, key): (usize, &Option<String>)| {
                let key = key.as_deref().unwrap_or("without keys");
                format!("input {at}: {key}")
            };
            let many: Vec<_> = many.iter().enumerate().map(of).collect();
            many.join(", ")
        }
    };
    Some(format!("    keyed by {all}"))
}

fn source_text(name: &OperatorName, source: &SourceMeta, lines: &mut Vec<String>) {
    let Splits { ended, pending } = Splits::of(source);
    lines.push(format!(
        "  {:<16} {} ended, {} open, {} not begun",
        name.as_str(),
        count(ended, "split", "splits"),
        source.open.len(),
        pending
    ));
    for split in source.open.iter().take(SPLITS_SHOWN) {
        lines.push(format!("    {}  at {}", split.id, split.position));
    }
    if let Some(more) = source
        .open
        .len()
        .checked_sub(SPLITS_SHOWN)
        .filter(|more| *more > 0)
    {
        lines.push(format!("    and {more} more; `--output json` has all"));
    }
}

/// Splits that are not open.
struct Splits {
    ended: usize,
    pending: usize,
}

impl Splits {
    fn of(source: &SourceMeta) -> Self {
        let list = |key: &str| source.enumerator.get(key).and_then(Value::as_array);
        let finished = list("finished")
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let mut ended: Vec<&str> = finished.collect();
        ended.extend(source.ended.iter().map(String::as_str));
        ended.sort_unstable();
        ended.dedup();
        let pending = list("pending").into_iter().flatten();
        let id = |split: &Value| split.get("id").and_then(Value::as_str).map(str::to_owned);
        // What a reader has begun or ended may be pending still in the enumerator's part.
        let pending = pending.filter_map(id).filter(|id| {
            !ended.contains(&id.as_str()) && source.open.iter().all(|open| open.id != *id)
        });
        Self {
            pending: pending.count(),
            ended: ended.len(),
        }
    }
}

fn sink_text(transactions: &[Transaction], saved: &Saved) -> String {
    if transactions.is_empty() {
        return "nothing to commit".into();
    }
    let committables = transactions.iter().map(|t| t.committables.len()).sum();
    let done = if saved.is_committed {
        ", all committed"
    } else {
        ""
    };
    format!(
        "{} of {}{done}",
        count(committables, "committable", "committables"),
        count(transactions.len(), "transaction", "transactions")
    )
}

fn document(saved: &Saved, rows: &Rows) -> Value {
    let metadata = &saved.metadata;
    let operator = |(name, operator): (&OperatorName, &OperatorMeta)| {
        let state = |state: &weir_checkpoint::StateMeta| {
            json!({
                "name": state.name,
                "kind": state.kind,
                "format": state.format,
                "version": state.version,
                "rows": rows.of_state.get(&(name.clone(), state.name.clone())),
            })
        };
        json!({
            "name": name.as_str(),
            "parallelism": operator.parallelism.get(),
            "finished_subtasks": operator.subtasks.iter().filter(|s| s.finished).count(),
            "keys": operator.keys,
            "rows_in_flight": rows.in_flight.get(name).copied().unwrap_or(0),
            "states": operator.states.iter().map(state).collect::<Vec<_>>(),
        })
    };
    let source = |(name, source): (&OperatorName, &SourceMeta)| {
        let Splits { ended, pending } = Splits::of(source);
        let open = |split: &weir_checkpoint::OpenSplit| json!({ "id": split.id, "position": split.position });
        json!({
            "name": name.as_str(),
            "ended_splits": ended,
            "pending_splits": pending,
            "open_splits": source.open.iter().map(open).collect::<Vec<_>>(),
        })
    };
    let transaction = |one: &Transaction| {
        json!({
            "checkpoint": one.checkpoint.0,
            "started_ms": one.started.0,
            "committables": one.committables,
        })
    };
    let sink = |(name, all): (&OperatorName, &Vec<Transaction>)| {
        let all: Vec<_> = all.iter().map(transaction).collect();
        json!({ "name": name.as_str(), "transactions": all })
    };
    let file = |file: &weir_checkpoint::FileRef| {
        let crc32c = format!("{:08x}", file.crc32c);
        json!({ "path": file.path, "size_bytes": file.length, "crc32c": crc32c })
    };
    let problem = |p: &Problem| json!({ "file": p.file, "message": p.what });
    json!({
        "job": metadata.job.as_str(),
        "id": metadata.checkpoint.0,
        "path": saved.path.to_string(),
        "kind": kind(metadata.kind),
        "created_ms": metadata.created.0,
        "attempt": metadata.attempt.0,
        "max_parallelism": metadata.max_parallelism.get(),
        "size_bytes": saved.size(),
        "committed": saved.is_committed,
        "operators": metadata.operators.iter().map(operator).collect::<Vec<_>>(),
        "sources": metadata.sources.iter().map(source).collect::<Vec<_>>(),
        "sinks": metadata.sinks.iter().map(sink).collect::<Vec<_>>(),
        "files": metadata.files().into_iter().map(file).collect::<Vec<_>>(),
        "problems": rows.problems.iter().map(problem).collect::<Vec<_>>(),
        "errors": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_input_by_input_where_there_are_several() {
        let text = |keys: &[Option<&str>]| {
            let keys: Vec<_> = keys.iter().map(|key| key.map(str::to_owned)).collect();
            keys_text(&keys).unwrap_or_default()
        };
        assert_eq!(text(&[]), "");
        assert_eq!(text(&[Some("row")]), "    keyed by row");
        assert_eq!(
            text(&[Some("row"), None]),
            "    keyed by input 0: row, input 1: without keys"
        );
    }
}
