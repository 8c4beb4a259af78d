//! `weir cancel`: ends a running job at once.

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::{JobName, print, told};
use crate::{
    cli::Shared,
    control::{JobChange, Wanted, ask},
    exit::Exit,
    render::Bar,
};

/// Ends a running job at once, without a checkpoint.
///
/// What is committed stays. Checkpoints stay too, unless the job says `retain: { on-cancel: false
/// }`. `weir stop` ends a job so that nothing has to be read again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir cancel flights
  weir cancel job.yaml
  weir cancel flights --dir /var/lib/weir/checkpoints")]
pub(crate) struct Cancel {
    #[command(flatten)]
    job: JobName,
}

impl Cancel {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let job = match self.job.find(shared) {
            Ok(job) => job,
            Err(exit) => return exit,
        };
        let name = &job.named.job;
        let asked = JobChange {
            state: Wanted::Cancelled,
        };
        let bar = Bar::begin(format!("{name}: cancelling"), shared.terminal);
        let answer = ask::<Value>(&job, Method::PATCH, "", Some(&asked));
        drop(bar);
        match answer {
            Ok(_) => {
                let document = json!({ "job": name, "state": "cancelled" });
                print(shared, &format!("{name}: cancelled"), document)
            }
            Err(why) => told(&why, shared),
        }
    }
}
