//! `weir checkpoints list`: which checkpoints there are.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{count, place, storage_failed};
use crate::{
    cli::{Output, Shared},
    exit::Exit,
    render::{error, size, tell, utc},
    saved::{JobListing, Listed, Place, State, kind},
    storage::NO_CHECKPOINT,
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
                let message = format!("`{}` is one checkpoint", path.display());
                let help =
                    "`weir checkpoints inspect` shows one; name its job or its directory to list";
                error(shared, NO_CHECKPOINT, &message, Some(help));
                return Exit::Usage;
            }
            Err(exit) => return exit,
        };
        let mut listings = Vec::new();
        for job in &jobs {
            match JobListing::of(job) {
                Ok(listing) => listings.push(listing),
                Err(failure) => return storage_failed(&job.path, &failure, shared),
            }
        }
        match shared.output {
            Output::Text => {
                let all: Vec<String> = listings.iter().map(text).collect();
                tell(&all.join("\n\n"));
            }
            Output::Json => {
                let jobs: Vec<Value> = listings.iter().map(document).collect();
                tell(&json!({ "jobs": jobs, "errors": [] }).to_string());
            }
        }
        Exit::Done
    }
}

fn text(listing: &JobListing) -> String {
    let of = count(listing.checkpoints.len(), "checkpoint", "checkpoints");
    let mut lines = vec![format!(
        "{}: {of} in {}",
        listing.job,
        listing.path.display()
    )];
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
            State::Incomplete | State::Damaged(_) => ("-", "-".into(), "-".into()),
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
    }
    lines.join("\n")
}

fn state_text(listing: &JobListing, listed: &Listed) -> String {
    match &listed.state {
        State::Complete(_) if listed.is_latest && listing.finished.is_none() => {
            "complete, the job goes on from it".into()
        }
        State::Complete(_) => "complete".into(),
        State::Incomplete => "incomplete, not used".into(),
        State::Damaged(problem) => format!("damaged: {}: {}", problem.file, problem.what),
    }
}

fn document(listing: &JobListing) -> Value {
    let one = |listed: &Listed| {
        let (state, saved, problem) = match &listed.state {
            State::Complete(saved) => ("complete", Some(saved), None),
            State::Incomplete => ("incomplete", None, None),
            State::Damaged(problem) => ("damaged", None, Some(problem)),
        };
        json!({
            "id": listed.id.0,
            "path": listed.path.display().to_string(),
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
        "path": listing.path.display().to_string(),
        "finished_with": listing.finished,
        "checkpoints": listing.checkpoints.iter().map(one).collect::<Vec<_>>(),
    })
}
