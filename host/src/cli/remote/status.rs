//! `weir status`: how running jobs are.

use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{JobName, print, told};
use crate::{
    cli::{Output, Shared},
    control::{HELD, Job, Named, Running, Status, ask, folder, running},
    exit::Exit,
    render::{duration, grouped, say, size, utc},
};

/// Shows how a running job is; without a name, which jobs are running.
///
/// Rows are counted over all attempts of the process that runs the job.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir status
  weir status flights
  weir status job.yaml --output json")]
pub(crate) struct StatusVerb {
    /// The name of the job, or its job file; by default all that run are listed.
    #[arg(value_name = "JOB")]
    job: Option<String>,

    /// The checkpoint directory of the job, where several of that name are
    /// running.
    #[arg(long, value_name = "DIR", requires = "job")]
    dir: Option<PathBuf>,

    /// The process of the job, where several of that name have no directory of
    /// their own.
    #[arg(long, value_name = "PID", requires = "job")]
    pid: Option<u32>,
}

impl StatusVerb {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let Some(job) = self.job else {
            return list(shared);
        };
        let name = JobName {
            job,
            dir: self.dir,
            pid: self.pid,
        };
        let job = match name.find(shared) {
            Ok(job) => job,
            Err(exit) => return exit,
        };
        match ask::<Status>(&job, Method::GET, "", None) {
            Ok(status) => print(shared, &text(&status), json!(status)),
            Err(why) => told(&why, shared),
        }
    }
}

fn list(shared: &Shared) -> Exit {
    let Running { jobs, silent } = match running(&folder()) {
        Ok(found) => found,
        Err(why) => return told(&why, shared),
    };
    if shared.output == Output::Text && !silent.is_empty() {
        silent
            .iter()
            .for_each(|why| say(&format!("warning: a job does not answer: {why}")));
        say(&format!("  help: {HELD}"));
    }
    let line = |job: &Job| {
        let Named { job, dir, pid } = &job.named;
        let same = |other: &&Job| (&other.named.job, &other.named.dir) == (job, dir);
        let process = match jobs.iter().filter(same).count() {
            0 | 1 => String::new(),
            _ => format!(" (process {pid})"),
        };
        let dir = dir.as_deref().unwrap_or("no checkpoints");
        format!("{job:<16} {dir}{process}")
    };
    let text = match jobs.is_empty() {
        true if !silent.is_empty() => "no job of yours answers on this machine".to_owned(),
        true => "no job of yours is running on this machine".to_owned(),
        false => jobs.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    let jobs: Vec<_> = jobs.iter().map(|job| &job.named).collect();
    print(shared, &text, json!({ "jobs": jobs, "silent": silent }))
}

// tidy: long function, one line of the output after the other
fn text(status: &Status) -> String {
    let attempt = status
        .attempt
        .map(|attempt| format!(" (attempt {attempt})"));
    let mut lines = vec![format!(
        "{}: {} for {}{}",
        status.named.job,
        status.state,
        duration(status.uptime_ms as f64),
        attempt.unwrap_or_default()
    )];
    let mut line = |what: &str, text: String| lines.push(format!("  {what:<16} {text}"));
    line(
        "begun",
        match &status.restored_from {
            Some(from) => format!("with checkpoint {} ({})", from.id, from.path),
            None => "anew".to_owned(),
        },
    );
    if status.restarts > 0 {
        line("restarts", status.restarts.to_string());
    }
    if let Some(failure) = &status.failure {
        line("last failure", failure.clone());
    }
    if status.named.dir.is_some() {
        let of = &status.checkpoints;
        let last = of.last.as_ref().map(|last| {
            let took = duration(last.duration_ms as f64);
            format!(
                "; the last, {}, took {took} and has {}",
                last.id,
                size(last.size_bytes)
            )
        });
        let last = last.unwrap_or_default();
        line(
            "checkpoints",
            format!("{} complete, {} failed{last}", of.completed, of.failed),
        );
        line(
            "interval",
            match of.interval_ms {
                Some(ms) => duration(ms as f64),
                None => "none".to_owned(),
            },
        );
        if let Some(failure) = &of.last_failure {
            line("last given up", failure.clone());
        }
        for one in &of.in_progress {
            let age = duration(one.age_ms as f64);
            let missing = one.missing;
            line(
                "under way",
                format!(
                    "{} ({}) for {age}, {missing} tasks to come",
                    one.id, one.kind
                ),
            );
        }
    }
    for node in &status.nodes {
        let left_out = match node.skipped + node.dead_lettered {
            0 => String::new(),
            n => format!(", {} left out", grouped(n)),
        };
        let waiting = match node.waiting {
            0 => String::new(),
            n => format!(", {} waiting", grouped(n)),
        };
        let watermark = match node.watermark_ms {
            None => String::new(),
            Some(i64::MAX) => "; watermark at the end".to_owned(),
            Some(ms) => format!("; watermark {}{}", utc(ms), lag(node.watermark_lag_ms)),
        };
        line(
            &node.name,
            format!(
                "{} rows in, {} out{left_out}{waiting}; {} of {} running, {} ended{watermark}",
                grouped(node.rows_in),
                grouped(node.rows_out),
                node.running,
                node.parallelism,
                node.ended
            ),
        );
    }
    lines.join("\n")
}

/// How far a watermark is behind the clock, where it is: event time may be ahead of it, or of
/// another year altogether.
fn lag(ms: Option<i64>) -> String {
    match ms {
        Some(ms @ 0..) => format!(", {} behind the clock", duration(ms as f64)),
        Some(_) | None => String::new(),
    }
}
