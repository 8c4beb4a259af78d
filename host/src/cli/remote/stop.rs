//! `weir stop`: ends a running job so that it can go on.

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{JobName, print, savepoint::target, told};
use crate::{
    cli::Shared,
    control::{Format, SavepointAsked, StopAsked, Stopped, ask},
    exit::Exit,
    render::Bar,
};

/// Ends a running job with a checkpoint, or with a savepoint, so that it can go on
/// from there.
///
/// All that it has read is committed. If the checkpoint fails, the job goes on. With `--drain` the
/// operators finish first, as if the input had ended here: all event-time timers fire, and the job
/// cannot sensibly go on with more input. Ctrl-C here ends the waiting, not the stopping.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir stop flights
  weir stop job.yaml --savepoint /backup/savepoints
  weir stop flights --drain --savepoint /backup/savepoints")]
pub(crate) struct Stop {
    #[command(flatten)]
    job: JobName,

    /// Lets all operators finish first.
    #[arg(long)]
    drain: bool,

    /// Stops with a savepoint in a folder of its own in this one; without DIR in
    /// `checkpoint.savepoint-dir` of the job.
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    savepoint: Option<Option<String>>,

    /// How the state of the savepoint is written.
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "canonical|native",
        requires = "savepoint"
    )]
    format: Format,
}

impl Stop {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let job = match self.job.find(shared) {
            Ok(job) => job,
            Err(exit) => return exit,
        };
        let name = &job.named.job;
        let asked = StopAsked {
            drain: self.drain,
            savepoint: self.savepoint.map(|to| SavepointAsked {
                target: to.as_deref().map(target),
                format: self.format,
            }),
        };
        let bar = Bar::begin(format!("{name}: stopping"), shared.terminal);
        let answer = ask::<Stopped>(&job, Method::POST, "/stop", Some(&asked));
        drop(bar);
        let done = match answer {
            Ok(done) => done,
            Err(why) => return told(&why, shared),
        };
        let how = match done.drained {
            true => "drained and stopped",
            false => "stopped",
        };
        let with = match (&done.savepoint, done.checkpoint) {
            (Some(path), _) => format!(" with savepoint {path}"),
            (None, Some(id)) => format!(" with checkpoint {id}"),
            (None, None) => "; it keeps no checkpoints".to_owned(),
        };
        let mut document = json!(done);
        document["job"] = json!(name);
        print(shared, &format!("{name}: {how}{with}"), document)
    }
}
