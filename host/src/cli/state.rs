//! `weir state`: looks into the state of checkpoints and savepoints, and makes new savepoints of
//! it. No job is started; the checkpoint that is read is not changed.

mod diff;
mod export;
mod get;
mod import;
mod ls;
mod rekey;
pub(super) mod show;

use std::path::Path;

use clap::{Args, Subcommand};
use weir_checkpoint::StoreError;
use weir_model::OperatorName;

use super::Shared;
use crate::{
    exit::Exit,
    render::error,
    saved::{Content, NotMade, Problem, Saved},
    storage::{DAMAGED, Folder, NO_CHECKPOINT, NO_STORAGE, code_of_store, no_checkpoint},
};

/// The code of an operator, a state or a key that a checkpoint does not have.
const NO_STATE: &str = "W0008";
/// The code of rows that make no savepoint.
const NO_ROWS: &str = "W0009";

/// Looks into the state of a checkpoint or savepoint, and makes new savepoints of it.
///
/// No job is started and no component is needed. What is read is not changed; `import` and `rekey`
/// write to a new folder. Folders may be in a bucket, `s3://bucket/path`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir state ls checkpoints/flights/chk-7
  weir state get checkpoints/flights/chk-7 count --key UA
  weir state export checkpoints/flights/chk-7 > rows.jsonl
  weir state import rows.jsonl --to savepoint-edited
  weir state diff checkpoints/flights/chk-6 checkpoints/flights/chk-7
  weir state rekey savepoint --max-parallelism 512 --to savepoint-512")]
pub(crate) struct State {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Ls(ls::Ls),
    Get(get::Get),
    Export(export::Export),
    Import(import::Import),
    Diff(diff::Diff),
    Rekey(rekey::Rekey),
}

impl State {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let done = match self.verb {
            Verb::Ls(verb) => verb.run(shared),
            Verb::Get(verb) => verb.run(shared),
            Verb::Export(verb) => verb.run(shared),
            Verb::Import(verb) => verb.run(shared),
            Verb::Diff(verb) => verb.run(shared),
            Verb::Rekey(verb) => verb.run(shared),
        };
        match done {
            Ok(exit) => exit,
            Err(trouble) => trouble.tell(shared),
        }
    }
}

/// Why a verb was not done.
#[derive(Debug)]
struct Trouble {
    code: &'static str,
    message: String,
    help: Option<String>,
    exit: Exit,
}

impl Trouble {
    fn usage(code: &'static str, message: impl Into<String>, help: Option<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help,
            exit: Exit::Usage,
        }
    }

    fn storage(message: impl Into<String>) -> Self {
        Self {
            code: NO_STORAGE,
            message: message.into(),
            help: None,
            exit: Exit::Failed,
        }
    }

    /// A file of a checkpoint is damaged.
    fn damaged(folder: &Folder, problem: &Problem) -> Self {
        Self {
            code: DAMAGED,
            message: format!("{folder}: {}: {}", problem.file, problem.what),
            help: Some(format!(
                "`weir checkpoints verify {folder}` reads all of it"
            )),
            exit: Exit::Failed,
        }
    }

    fn tell(self, shared: &Shared) -> Exit {
        error(shared, self.code, &self.message, self.help.as_deref());
        self.exit
    }
}

impl From<NotMade> for Trouble {
    fn from(not_made: NotMade) -> Self {
        let message = format!("the savepoint was not made: {not_made}");
        match not_made {
            NotMade::Exists(_) => Self::usage(
                NO_CHECKPOINT,
                message,
                Some("`--to` names a folder that is not there yet".into()),
            ),
            NotMade::InFlight(_) => Self::usage(NO_STATE, message, None),
            NotMade::Store(failure) => Self {
                code: code_of_store(&failure),
                ..Self::storage(message)
            },
            NotMade::State(_) | NotMade::Metadata(_) => Self::storage(message),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(failure: StoreError) -> Self {
        Self {
            code: code_of_store(&failure),
            ..Self::storage(failure.to_string())
        }
    }
}

/// The checkpoint that a path names: its folder, or its `_metadata`.
fn saved(path: &Path, shared: &Shared) -> Result<Saved, Trouble> {
    let (folder, _) = folder(path)?.without_metadata();
    if !shared.stores.has(&folder, "_metadata")? {
        let help =
            "name the folder of a checkpoint or savepoint, such as `checkpoints/flights/chk-7`";
        let message = no_checkpoint(&folder, path);
        return Err(Trouble::usage(NO_CHECKPOINT, message, Some(help.into())));
    }
    let read = Saved::read(&folder, &shared.stores)?;
    read.map_err(|problem| Trouble::damaged(&folder, &problem))
}

/// The folder that an argument names.
fn folder(path: &Path) -> Result<Folder, Trouble> {
    Folder::of(path).map_err(|why| Trouble::usage(NO_CHECKPOINT, why, None))
}

/// What a checkpoint has of an operator, to be looked into.
fn content<'a>(saved: &'a Saved, name: &OperatorName) -> Result<Content<'a>, Trouble> {
    let content = Content::open(saved, name);
    content.map_err(|e| Trouble::damaged(&saved.path, &e))
}

/// Those operators of a checkpoint that have something in its files, or the one that is named.
fn operators(saved: &Saved, named: Option<&str>) -> Result<Vec<OperatorName>, Trouble> {
    let operators = saved.metadata.operators.iter();
    let with_state = operators.filter(|(_, o)| o.subtasks.iter().any(|s| s.file.is_some()));
    let all: Vec<OperatorName> = with_state.map(|(name, _)| name.clone()).collect();
    let Some(named) = named else {
        return Ok(all);
    };
    match all.iter().find(|name| name.as_str() == named) {
        Some(found) => Ok(vec![found.clone()]),
        None => {
            let names: Vec<String> = all.iter().map(|name| format!("`{name}`")).collect();
            let help = match names.is_empty() {
                true => "nothing in it has state".to_owned(),
                false => format!("those with state are {}", names.join(", ")),
            };
            let message = format!("there is no state of operator `{named}` in the checkpoint");
            Err(Trouble::usage(NO_STATE, message, Some(help)))
        }
    }
}

#[cfg(test)]
mod tests;
