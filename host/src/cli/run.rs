//! `weir run`: runs a job in this process.

use std::{sync::Arc, thread};

use clap::Args;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use weir_checkpoint::Restart;
use weir_job_file::{JobFile, Location};
use weir_model::JobName;
use weir_operator::Failure;
use weir_runtime::{JobOptions, Outcome, Report, RestoreFrom, SystemClock, control::JobCommand};

use super::{JobArgs, NonRestored, Output, Shared};
use crate::{
    assemble::{Assembly, assemble},
    control::{self, Identity, Savepoints, Server},
    exit::Exit,
    load::{load, refuse},
    render::{Progress, error, finished_text, json_report, say, tell, text_report},
    signals,
    storage::{self, Folder, Restore, Storage},
};

/// Runs a job in this process, from its latest checkpoint on if it has one.
///
/// Ctrl-C or SIGTERM stops it with a checkpoint; the same command goes on from there. A second one
/// ends it at once, as `kill -9` may at any time: what is committed stays, each row once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir run job.yaml
  weir run job.yaml --set parallelism=4 --set sources.flights.path=more.csv
  weir run job.yaml --restore none
  weir run job.yaml --restore checkpoints/flights/chk-7 --output json
  weir run job.yaml --restore /backup/savepoint-flights-3 --claim
  weir run job.yaml --restore s3://backup/savepoint-flights-3")]
pub(crate) struct Run {
    #[command(flatten)]
    job: JobArgs,

    /// Where the job begins: `latest` (its latest complete checkpoint, if it
    /// has one), `none` (anew), or the path of a checkpoint, or its address
    /// (`s3://bucket/path`), which is left as it is.
    #[arg(long, value_name = "latest|none|PATH", default_value = "latest")]
    restore: Restore,

    /// Takes the checkpoint of `--restore PATH` over: the job owns it from then
    /// on, and deletes it when it is beyond those that it retains.
    #[arg(long)]
    claim: bool,

    #[command(flatten)]
    non_restored: NonRestored,
}

impl Run {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let mut job = match load(&self.job, shared) {
            Ok(job) => job,
            Err(diagnostics) => return refuse(&diagnostics, shared),
        };
        self.non_restored.apply(&mut job);
        let (assembly, restore) = match self.begin(job, shared) {
            Ok(begin) => begin,
            Err(exit) => return exit,
        };
        let storage = match Storage::open(&assembly.job, &shared.stores) {
            Ok(storage) => storage,
            Err(wrong) => {
                let dir = assembly.job.checkpoint.as_ref().map(|c| c.dir.to_string());
                let dir = dir.unwrap_or_default();
                let message = format!("checkpoint.dir `{dir}`: {wrong}");
                error(shared, storage::code_of(&wrong), &message, None);
                return Exit::Failed;
            }
        };
        let name = assembly.job.job.to_string();
        for note in &assembly.job.notes {
            say(&format!("{name}: {note}"));
        }
        let _held = storage.guard();
        let (stop_sender, stop) = watch::channel(false);
        if let Err(wrong) = signals::listen(
            name.clone(),
            storage.checkpoints.is_some(),
            stop_sender.clone(),
        ) {
            let failure = Failure::io("cannot listen to signals", &wrong);
            error(shared, failure.code(), &failure.to_string(), None);
            return Exit::Failed;
        }
        let claims = storage::claims(&assembly.job, &shared.stores);
        let (commands, listening) = mpsc::unbounded_channel();
        let served = serve(&assembly.job, commands, shared);
        let options = JobOptions {
            workers: thread::available_parallelism().map_or(1, usize::from),
            checkpoints: storage.checkpoints,
            restart: Restart::new(assembly.job.restart),
            restore,
            attempts: storage.attempts,
            clock: Arc::new(SystemClock),
            listener: Arc::new(Progress::new(
                name,
                assembly.components.clone(),
                shared.terminal,
            )),
            stop,
            commands: listening,
            claims,
        };
        let report = match weir_runtime::run(assembly.deployment.clone(), options) {
            Ok(report) => report,
            Err(failure) => {
                error(shared, failure.code(), &failure.to_string(), None);
                return Exit::Failed;
            }
        };
        // Whoever asked for the end is told of it before the process ends.
        drop(served);
        print(&assembly, &report, shared);
        match &report.outcome {
            Outcome::Finished | Outcome::AlreadyFinished(_) | Outcome::Stopped(_) => Exit::Done,
            Outcome::Failed(failed) => Exit::of_failure(&failed.failure),
            Outcome::Cancelled => Exit::Failed,
        }
    }

    /// Puts the job together and finds where it begins, unless there is nothing to run.
    fn begin(&self, job: JobFile, shared: &Shared) -> Result<(Assembly, RestoreFrom), Exit> {
        // A finished job needs nothing any more: neither its input nor its components.
        if self.restore == Restore::Latest && !self.claim {
            match storage::finished(&job, &shared.stores) {
                Ok(None) => {}
                Ok(Some(checkpoint)) => {
                    finished_before(&job.job, &checkpoint, shared);
                    return Err(Exit::Done);
                }
                Err(failure) => {
                    error(shared, failure.code(), &failure.to_string(), None);
                    return Err(Exit::Failed);
                }
            }
        }
        let restore = self.restore.from(&job, self.claim, &shared.stores);
        let restore = restore.map_err(|wrong| {
            error(shared, wrong.code(), &format!("--restore: {wrong}"), None);
            wrong.exit()
        })?;
        let assembly = assemble(job, shared).map_err(|wrong| refuse(&wrong, shared))?;
        Ok((assembly, restore))
    }
}

/// Makes the job reachable from outside; it runs without that where it cannot be.
fn serve(
    job: &JobFile,
    commands: mpsc::UnboundedSender<JobCommand>,
    shared: &Shared,
) -> Option<Server> {
    let identity = Identity {
        job: job.job.to_string(),
        dir: control::directory_of(job),
    };
    let usual = job.checkpoint.as_ref();
    let usual = usual.and_then(|checkpoint| checkpoint.savepoint_dir.as_ref());
    let usual = usual.and_then(Folder::of_place);
    let usual = usual.and_then(|folder| folder.absolute().ok());
    let savepoints = Savepoints::new(job.job.to_string(), usual, Arc::clone(&shared.stores));
    match Server::start(&control::folder(), identity, commands, savepoints) {
        Ok(server) => Some(server),
        Err(why) => {
            say(&format!(
                "{}: cannot be reached by other commands: {why}",
                job.job
            ));
            None
        }
    }
}

/// Says that there is nothing to run (D23).
fn finished_before(job: &JobName, checkpoint: &str, shared: &Shared) {
    match shared.output {
        Output::Json => {
            let report = json!({
                "job": job.as_str(), "state": "finished", "finished_before": checkpoint, "errors": [],
            });
            tell(&report.to_string());
        }
        Output::Text => say(&finished_text(job, checkpoint)),
    }
}

/// The summary: for programs on standard output, for people on standard error, for there may be
/// rows on standard output.
fn print(assembly: &Assembly, report: &Report, shared: &Shared) {
    let plan = &assembly.deployment.plan;
    match shared.output {
        Output::Json if assembly.prints_rows() => say(&json_report(plan, report).to_string()),
        Output::Json => tell(&json_report(plan, report).to_string()),
        Output::Text => say(&text_report(plan, report, &assembly.components)),
    }
    let in_memory = assembly.job.checkpoint.as_ref();
    let in_memory =
        in_memory.is_some_and(|checkpoint| matches!(checkpoint.dir, Location::Memory { .. }));
    if in_memory && matches!(report.outcome, Outcome::Stopped(_)) {
        say("its checkpoints were kept in memory and are gone; a savepoint stays");
    }
}
