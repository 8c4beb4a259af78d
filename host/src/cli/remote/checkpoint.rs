//! `weir checkpoint`: takes a checkpoint of a running job, or changes how often they are taken.

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{JobName, print, told};
use crate::{
    cli::Shared,
    control::{CheckpointAsked, Completed, IntervalAsked, Job, ask},
    exit::Exit,
    render::{Bar, duration, size},
};

/// Takes a checkpoint of a running job now, or changes how often they are taken.
///
/// The checkpoint is one like any other of the job: a later one replaces it. What is to stay is a
/// savepoint.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir checkpoint flights
  weir checkpoint job.yaml --full
  weir checkpoint flights --interval 30s")]
pub(crate) struct Checkpoint {
    #[command(flatten)]
    job: JobName,

    /// Writes all state, whatever the checkpoint before holds.
    #[arg(long)]
    full: bool,

    /// Takes none now, but periodic ones at this interval, or `none`, until the
    /// job is started again.
    #[arg(long, value_name = "DURATION|none", conflicts_with = "full", value_parser = interval)]
    interval: Option<Interval>,
}

/// How often; `None` = not at all.
#[derive(Clone, Copy, Debug)]
struct Interval(Option<u64>);

fn interval(text: &str) -> Result<Interval, String> {
    match text {
        "none" => Ok(Interval(None)),
        text => weir_job_file::duration_ms(text).map(|ms| Interval(Some(ms))),
    }
}

impl Checkpoint {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let job = match self.job.find(shared) {
            Ok(job) => job,
            Err(exit) => return exit,
        };
        match self.interval {
            Some(Interval(interval_ms)) => set_interval(&job, interval_ms, shared),
            None => take(&job, self.full, shared),
        }
    }
}

fn take(job: &Job, full: bool, shared: &Shared) -> Exit {
    let name = &job.named.job;
    let asked = CheckpointAsked { full };
    let bar = Bar::begin(format!("{name}: taking a checkpoint"), shared.terminal);
    let answer = ask::<Completed>(job, Method::POST, "/checkpoints", Some(&asked));
    drop(bar);
    let done = match answer {
        Ok(done) => done,
        Err(why) => return told(&why, shared),
    };
    let text = format!(
        "{name}: checkpoint {} in {}, {}",
        done.id,
        duration(done.duration_ms as f64),
        size(done.size_bytes)
    );
    let mut document = json!(done);
    document["job"] = json!(name);
    print(shared, &text, document)
}

fn set_interval(job: &Job, interval_ms: Option<u64>, shared: &Shared) -> Exit {
    let name = &job.named.job;
    let asked = IntervalAsked { interval_ms };
    let answer = ask::<IntervalAsked>(job, Method::PATCH, "/checkpoints", Some(&asked));
    let IntervalAsked { interval_ms } = match answer {
        Ok(done) => done,
        Err(why) => return told(&why, shared),
    };
    let text = match interval_ms {
        Some(ms) => format!("{name}: a checkpoint each {}", duration(ms as f64)),
        None => format!("{name}: no periodic checkpoints"),
    };
    let document = json!({ "job": name, "interval_ms": interval_ms });
    print(shared, &text, document)
}
