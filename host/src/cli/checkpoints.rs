//! `weir checkpoints`: looks into durable checkpoints. No job is started, and but for `delete`
//! nothing is changed: it may be done while the job runs.

mod delete;
mod inspect;
mod list;
mod verify;

use std::path::Path;

use clap::{Args, Subcommand};
use weir_checkpoint::StoreError;

use super::Shared;
use crate::{
    exit::Exit,
    load::refuse,
    render::error,
    saved::{Place, Wrong},
    storage::{Folder, NO_CHECKPOINT, NO_STORAGE, code_of_store},
};

/// Lists, shows, verifies and deletes checkpoints, with no job running.
///
/// Paths are a job file, a checkpoint directory, the folder of a job in it, or one checkpoint; each
/// but the first may be in a bucket, `s3://bucket/path`.
/// But for `delete` nothing is locked or changed: it may be done while the job runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir checkpoints list job.yaml
  weir checkpoints inspect checkpoints/flights/chk-7
  weir checkpoints verify checkpoints
  weir checkpoints list s3://my-bucket/checkpoints")]
pub(crate) struct Checkpoints {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::List),
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
    Delete(delete::Delete),
}

impl Checkpoints {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        match self.verb {
            Verb::List(verb) => verb.run(shared),
            Verb::Inspect(verb) => verb.run(shared),
            Verb::Verify(verb) => verb.run(shared),
            Verb::Delete(verb) => verb.run(shared),
        }
    }
}

/// What a path leads to; where it leads nowhere, that is told.
fn place(path: &Path, shared: &Shared) -> Result<Place, Exit> {
    Place::of(path, &shared.config, &shared.stores).map_err(|wrong| match wrong {
        Wrong::Job(diagnostics) => refuse(&diagnostics, shared),
        Wrong::Nothing { message, help } => {
            error(shared, NO_CHECKPOINT, &message, help.as_deref());
            Exit::Usage
        }
        Wrong::Unreadable(message) => {
            error(shared, NO_STORAGE, &message, None);
            Exit::Failed
        }
        Wrong::Store(failure) => {
            error(shared, code_of_store(&failure), &failure.to_string(), None);
            Exit::Failed
        }
    })
}

/// Something of the storage that cannot be read: a code and what is said.
type Unread = (&'static str, String);

/// That the storage failed.
fn unread(path: &Folder, failure: &StoreError) -> Unread {
    (code_of_store(failure), format!("`{path}`: {failure}"))
}

/// Tells that the storage failed.
fn storage_failed(path: &Folder, failure: &StoreError, shared: &Shared) -> Exit {
    let (code, message) = unread(path, failure);
    error(shared, code, &message, None);
    Exit::Failed
}

/// How many there are of something.
fn count(n: usize, one: &str, many: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    }
}
