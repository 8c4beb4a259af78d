//! The verbs that ask a running job: `status`, `checkpoint`, `savepoint`, `stop`, `cancel`.

mod cancel;
mod checkpoint;
mod savepoint;
mod status;
mod stop;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

pub(super) use cancel::Cancel;
pub(super) use checkpoint::Checkpoint;
pub(super) use savepoint::Savepoint;
pub(super) use status::StatusVerb;
pub(super) use stop::Stop;

use super::{Output, Shared, USAGE};
use crate::{
    control::{self, AskError, Job, Which},
    exit::Exit,
    load::{load_file, refuse},
    render::{error, tell},
};

/// Which running job.
#[derive(Debug, Args)]
pub(crate) struct JobName {
    /// The name of the job, or its job file.
    #[arg(value_name = "JOB")]
    job: String,

    /// The checkpoint directory of the job, where several of that name are
    /// running.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// The process of the job, where several of that name have no directory of
    /// their own.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

impl JobName {
    /// Finds it among those that are running.
    fn find(&self, shared: &Shared) -> Result<Job, Exit> {
        let dir = self.dir.as_deref().map(control::directory).transpose();
        let dir = dir.map_err(|why| {
            error(shared, USAGE, &format!("--dir {why}"), None);
            Exit::Usage
        })?;
        let folder = control::folder();
        let path = Path::new(&self.job);
        let is_file = self.job.contains('/') || path.extension().is_some() || path.is_file();
        let found = if is_file {
            let job = load_file(path, &[], &shared.config);
            let job = job.map_err(|wrong| refuse(&wrong, shared))?;
            let dir = dir.or_else(|| control::directory_of(&job));
            control::find(&folder, job.job.as_str(), which(dir.as_deref(), self.pid))
        } else {
            control::find(&folder, &self.job, which(dir.as_deref(), self.pid))
        };
        found.map_err(|why| told(&why, shared))
    }
}

fn which(dir: Option<&str>, pid: Option<u32>) -> Which<'_> {
    Which { dir, pid }
}

/// Tells why there is no answer.
fn told(why: &AskError, shared: &Shared) -> Exit {
    error(shared, &why.code, &why.message, why.help.as_deref());
    match why.usage {
        true => Exit::Usage,
        false => Exit::Failed,
    }
}

/// Prints a result: a text for people, a document for programs.
fn print(shared: &Shared, text: &str, document: Value) -> Exit {
    match shared.output {
        Output::Text => tell(text),
        Output::Json => {
            let mut document = document;
            document["errors"] = json!([]);
            tell(&document.to_string());
        }
    }
    Exit::Done
}
