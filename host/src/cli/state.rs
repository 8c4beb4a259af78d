//! `weir state`: looks into the state of checkpoints and savepoints, and makes new savepoints of
//! it. No job is started; the checkpoint that is read is not changed.

mod diff;
mod export;
mod get;
mod import;
mod ls;
mod rekey;
mod show;

use std::path::Path;

use clap::{Args, Subcommand};
use weir_model::OperatorName;

use super::Shared;
use crate::{
    exit::Exit,
    render::error,
    saved::{Content, NotMade, Problem, Saved},
    storage::{DAMAGED, NO_CHECKPOINT, NO_STORAGE, folder_of},
};

/// The code of an operator, a state or a key that a checkpoint does not have.
const NO_STATE: &str = "W0008";
/// The code of rows that make no savepoint.
const NO_ROWS: &str = "W0009";

/// Looks into the state of a checkpoint or savepoint, and makes new savepoints of it.
///
/// No job is started and no component is needed. What is read is not changed; `import` and `rekey`
/// write to a new folder.
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
    fn damaged(folder: &Path, problem: &Problem) -> Self {
        let shown = folder.display();
        Self {
            code: DAMAGED,
            message: format!("{shown}: {}: {}", problem.file, problem.what),
            help: Some(format!("`weir checkpoints verify {shown}` reads all of it")),
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
            NotMade::Store(_) | NotMade::State(_) | NotMade::Metadata(_) => Self::storage(message),
        }
    }
}

/// The checkpoint that a path names: its folder, or its `_metadata`.
fn saved(path: &Path) -> Result<Saved, Trouble> {
    let folder = folder_of(path);
    if !folder.join("_metadata").is_file() {
        let shown = path.display();
        let what = match path.exists() {
            true => "is no checkpoint: there is no `_metadata` in it",
            false => "does not exist",
        };
        let help =
            "name the folder of a checkpoint or savepoint, such as `checkpoints/flights/chk-7`";
        let message = format!("`{shown}` {what}");
        return Err(Trouble::usage(NO_CHECKPOINT, message, Some(help.into())));
    }
    match Saved::read(folder) {
        Ok(Ok(saved)) => Ok(saved),
        Ok(Err(problem)) => Err(Trouble::damaged(folder, &problem)),
        Err(e) => Err(Trouble::storage(format!("`{}`: {e}", folder.display()))),
    }
}

/// What a checkpoint has of an operator, to be looked into.
fn content<'a>(saved: &'a Saved, name: &OperatorName) -> Result<Content<'a>, Trouble> {
    let content = Content::open(saved, name);
    let content = content.map_err(|e| Trouble::damaged(&saved.path, &e))?;
    if content.is_native() {
        let message = format!(
            "the state of operator `{name}` is in the files of its backend, which only that reads"
        );
        let help =
            "take a canonical savepoint of the job: `weir savepoint`, or `weir stop` with one";
        return Err(Trouble::usage(NO_STATE, message, Some(help.into())));
    }
    Ok(content)
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
