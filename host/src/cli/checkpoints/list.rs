//! `weir checkpoints list`: which checkpoints there are.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Unread, count, place, unread};
use crate::{
    cli::{Output, Shared},
    exit::Exit,
    render::{error, error_document, say, size, tell, utc},
    saved::{JobListing, Listed, Place, State, Told, kind},
    storage::{Folder, NO_CHECKPOINT},
};

/// Lists the checkpoints of a job, or of all jobs of a directory.
///
/// A checkpoint is complete where its metadata can be read and its files are there with their
/// lengths; `weir checkpoints verify` reads all of them. One that is incomplete was never
/// completed, or is being written or removed; it is passed over when the job starts.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir checkpoints list job.yaml
  weir checkpoints list checkpoints
  weir checkpoints list checkpoints/flights --output json")]
pub(super) struct List {
    /// A job file, a checkpoint directory, or the folder of a job in it.
    #[arg(value_name = "JOB|DIR")]
    path: PathBuf,
}

impl List {
    pub(super) fn run(self, shared: &Shared) -> Exit {
        let jobs = match place(&self.path, shared) {
            Ok(Place::Jobs(jobs)) => jobs,
            Ok(Place::Checkpoint(path)) => {
                let message = format!("`{path}` is one checkpoint");
                let help =
                    "`weir checkpoints inspect` shows one; name its job or its directory to list";
                error(shared, NO_CHECKPOINT, &message, Some(help));
                return Exit::Usage;
            }
            Err(exit) => return exit,
        };
        let (mut listings, mut errors) = (Vec::new(), Vec::new());
        for job in &jobs {
            match JobListing::of(job, &shared.stores) {
                Ok(listing) => listings.push(listing),
                Err(failure) => errors.push(unread(&job.path, &failure)),
            }
        }
        match shared.output {
            Output::Text => {
                let all: Vec<String> = listings.iter().map(text).collect();
                if !all.is_empty() {
                    tell(&all.join("\n\n"));
                }
                for (code, message) in &errors {
                    say(&format!("error: [{code}] {message}"));
                }
            }
            Output::Json => {
                let jobs: Vec<Value> = listings.iter().map(document).collect();
                let error = |(code, message): &Unread| error_document(code, message, None);
                let errors: Vec<Value> = errors.iter().map(error).collect();
                tell(&json!({ "jobs": jobs, "errors": errors }).to_string());
            }
        }
        match errors.is_empty() {
            true => Exit::Done,
            false => Exit::Failed,
        }
    }
}

fn text(listing: &JobListing) -> String {
    let of = count(listing.checkpoints.len(), "checkpoint", "checkpoints");
    let mut lines = vec![format!("{}: {of} in {}", listing.job, listing.path)];
    for listed in &listing.checkpoints {
        let id = format!("chk-{}", listed.id);
        let (kind, created, bytes) = match &listed.state {
            State::Complete(saved) => {
                let metadata = &saved.metadata;
                (
                    kind(metadata.kind),
                    utc(metadata.created.0),
                    size(saved.size()),
                )
            }
            State::Incomplete | State::Damaged(_) | State::Unreadable(_) => {
                ("-", "-".into(), "-".into())
            }
        };
        let state = state_text(listing, listed);
        lines.push(format!(
            "  {id:<10} {kind:<9} {created:<21} {bytes:>10}  {state}"
        ));
    }
    if let Some(finished) = &listing.finished {
        lines.push(format!(
            "  finished with {finished}; `weir run --restore none` runs the job anew"
        ));
    } else if let Some(told) = &listing.told {
        lines.push(format!("  {}", told_text(told)));
    }
    lines.join("\n")
}

/// What a plain start comes of; it has completed no checkpoint since.
fn told_text(told: &Told) -> String {
    match told {
        Told::Anew => "the job was told to begin anew".into(),
        Told::Own(_, path) => format!("the job was told to begin at {path}"),
        Told::Elsewhere(place) => {
            format!("the job was told to begin at {place}; `weir run --restore` must say so again")
        }
        Told::Damaged(record) => format!(
            "{record}, which says where the job began, is damaged: `weir run --restore` must say \
             where to begin"
        ),
    }
}

fn told_document(told: &Told) -> Value {
    let path = |path: &Folder| Some(path.to_string());
    let (begin, path) = match told {
        Told::Anew => ("anew", None),
        Told::Own(_, folder) => ("checkpoint", path(folder)),
        Told::Elsewhere(place) => ("elsewhere", Some(place.clone())),
        Told::Damaged(record) => ("damaged", path(record)),
    };
    json!({ "begin": begin, "path": path })
}

fn state_text(listing: &JobListing, listed: &Listed) -> String {
    match &listed.state {
        State::Complete(_) if listed.is_latest && listing.finished.is_none() => {
            "complete, the job goes on from it".into()
        }
        State::Complete(_) => "complete".into(),
        State::Incomplete => "incomplete, not used".into(),
        State::Damaged(problem) => format!("damaged: {}: {}", problem.file, problem.what),
        State::Unreadable(problem) => format!("{} {}", problem.file, problem.what),
    }
}

fn document(listing: &JobListing) -> Value {
    let one = |listed: &Listed| {
        let (state, saved, problem) = match &listed.state {
            State::Complete(saved) => ("complete", Some(saved), None),
            State::Incomplete => ("incomplete", None, None),
            State::Damaged(problem) => ("damaged", None, Some(problem)),
            State::Unreadable(problem) => ("unreadable", None, Some(problem)),
        };
        json!({
            "id": listed.id.0,
            "path": listed.path.to_string(),
            "state": state,
            "latest": listed.is_latest,
            "kind": saved.map(|saved| kind(saved.metadata.kind)),
            "created_ms": saved.map(|saved| saved.metadata.created.0),
            "size_bytes": saved.map(|saved| saved.size()),
            "problem": problem.map(|p| json!({ "file": p.file, "message": p.what })),
        })
    };
    json!({
        "job": listing.job.as_str(),
        "path": listing.path.to_string(),
        "finished_with": listing.finished,
        "told": listing.told.as_ref().map(told_document),
        "checkpoints": listing.checkpoints.iter().map(one).collect::<Vec<_>>(),
    })
}
