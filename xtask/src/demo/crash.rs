//! The flights job under kills: one process after the other is ended with SIGKILL at a moment drawn
//! from a seed, each going on from what the one before left, at another parallelism and with other
//! options, until one comes to its end. What is committed then must be what a script in another
//! language computed, each row once.
//!
//! Moments are anywhere, inside a checkpoint, between its completion and the commit of its results,
//! and while a process restores. The folders say from outside where a kill has struck.

mod aim;
mod plan;
mod tally;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::aim::{Folders, Strike};
use self::plan::{Plan, Start};
use self::tally::Tally;
use super::committed::Committed;
use super::expected::Expected;
use super::moment::{Moments, draw_seed};
use super::process::{End, Run};
use super::summary::Summary;
use super::{Job, Killed, PATIENCE, check_exit, checkpoints, material, verdict};
use crate::workspace;

/// Options of `cargo xtask crash`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many jobs are killed again and again until they finish
    #[arg(long, default_value_t = 10, value_name = "N")]
    runs: u64,
    /// Seed of the first run; the next has the next number. Drawn and printed if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Leave checkpoints, output and logs of each run behind, and say where
    #[arg(long)]
    keep: bool,
    /// The program to run, if not the one built beside this
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
}

/// What became of one run.
struct Outcome {
    strikes: Vec<Strike>,
    problems: Vec<String>,
}

/// Runs as many as asked; says whether each was exactly once.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let weir = match &options.weir {
        Some(path) => path.clone(),
        None => workspace::sibling_program("weir")?,
    };
    let (file, expected) = material()?;
    let first = options.seed.unwrap_or_else(draw_seed);
    println!(
        "{} runs, killed at random moments (seeds {first} to {})",
        options.runs,
        first + options.runs.saturating_sub(1)
    );
    let mut tally = Tally::default();
    for seed in (first..).take(usize::try_from(options.runs)?) {
        let scratch = tempfile::Builder::new().prefix("weir-crash-").tempdir()?;
        let plan = Plan::draw(&mut Moments::new(seed));
        let outcome = one(&weir, &file, &expected, scratch.path(), &plan);
        if options.keep || !matches!(&outcome, Ok(outcome) if outcome.problems.is_empty()) {
            eprintln!("kept: {}", scratch.keep().display());
        }
        let outcome = outcome.with_context(|| format!("seed {seed}: {plan}"))?;
        tally.add(seed, &plan, &outcome.strikes, &outcome.problems);
    }
    Ok(tally.closing(options.runs))
}

/// One job: killed as planned, then run to its end and judged.
fn one(
    weir: &Path,
    file: &Path,
    expected: &Expected,
    scratch: &Path,
    plan: &Plan,
) -> Result<Outcome> {
    let job = |start: &Start| Job {
        weir: weir.to_path_buf(),
        file: file.to_path_buf(),
        rate: Some(plan.rate),
        scratch: scratch.to_path_buf(),
        options: start.options.clone(),
    };
    let mut strikes = Vec::new();
    let mut killed = None;
    let mut number = 0;
    for start in &plan.killed {
        number += 1;
        let job = job(start);
        let folders = Folders::of(&job);
        let mut run = Run::start(&job, number)?;
        match aim::kill(&mut run, &folders, &start.aim)? {
            (End::Killed { after }, strike) => {
                strikes.push(strike);
                killed = Some(Killed {
                    after,
                    complete: checkpoints::complete(&job.checkpoints())?,
                });
            }
            // It was done sooner than it was to be killed: what came out is judged all the same.
            (End::Exited(status), _) => {
                check_exit(status, &run)?;
                break;
            }
        }
    }
    let job = job(&plan.last);
    let mut last = Run::start(&job, number + 1)?;
    let status = last.wait(PATIENCE)?;
    check_exit(status, &last)?;
    let folders = Folders::of(&job);
    for strike in &mut strikes {
        strike.judge(&folders)?;
    }
    Ok(Outcome {
        problems: problems(&job, expected, &last, killed.as_ref())?,
        strikes,
    })
}

fn problems(
    job: &Job,
    expected: &Expected,
    last: &Run,
    killed: Option<&Killed>,
) -> Result<Vec<String>> {
    let committed = Committed::read(job)?;
    let mut problems = verdict::of_output(expected, &committed);
    problems.extend(checkpoints::problems(&job.checkpoints())?);
    let output = last.output()?;
    // Where the last kill struck behind the end of the job there was nothing left to sum up.
    if !output.contains("\"finished_before\"") {
        let summary = Summary::parse(&output)?;
        problems.extend(verdict::of_summary(expected, &summary, killed));
    }
    Ok(problems)
}
