//! `weir savepoint`: takes a savepoint of a running job.

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{JobName, print, told};
use crate::{
    cli::Shared,
    control::{Format, Saved, SavepointAsked, absolute, ask},
    exit::Exit,
    render::{Bar, duration, say, size},
};

/// Takes a savepoint of a running job, which goes on.
///
/// A savepoint is the user's: nothing deletes it, it refers to no other files, and it can be moved.
/// Its path is printed; `weir run --restore PATH` begins there. Ctrl-C here ends the waiting, not
/// the job.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir savepoint flights --to /backup/savepoints
  weir savepoint job.yaml
  weir savepoint flights --to /backup/savepoints --format native --output json")]
pub(crate) struct Savepoint {
    #[command(flatten)]
    job: JobName,

    /// The folder that it gets a folder of its own in; by default
    /// `checkpoint.savepoint-dir` of the job.
    #[arg(long, value_name = "DIR")]
    to: Option<String>,

    /// `canonical`, from which a job with any state backend can go on, or
    /// `native`, as the backend has it.
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "canonical|native"
    )]
    format: Format,
}

impl Savepoint {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let job = match self.job.find(shared) {
            Ok(job) => job,
            Err(exit) => return exit,
        };
        let name = &job.named.job;
        let asked = SavepointAsked {
            target: self.to.as_deref().map(target),
            format: self.format,
        };
        let bar = Bar::begin(format!("{name}: taking a savepoint"), shared.terminal);
        let answer = ask::<Saved>(&job, Method::POST, "/savepoints", Some(&asked));
        drop(bar);
        let saved = match answer {
            Ok(saved) => saved,
            Err(why) => return told(&why, shared),
        };
        say(&format!(
            "{name}: savepoint {} in {}, {}; `--restore` with its path begins there",
            saved.completed.id,
            duration(saved.completed.duration_ms as f64),
            size(saved.completed.size_bytes)
        ));
        let mut document = json!(saved);
        document["job"] = json!(name);
        print(shared, &saved.path, document)
    }
}

/// A folder as the process of the job understands it, which has another working directory.
pub(super) fn target(said: &str) -> String {
    match said.contains("://") {
        true => said.to_owned(),
        false => absolute(said.as_ref()).display().to_string(),
    }
}
