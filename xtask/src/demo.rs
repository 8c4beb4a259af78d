//! The main job, shown and proved: a year of flights runs through the components, is killed with
//! SIGKILL in the middle, runs again by the same command line, and what it has committed is
//! compared with figures that a script in another language computed.
//!
//! It knows the program by its command line, its files and its JSON alone.

mod checkpoints;
mod committed;
pub(crate) mod crash;
mod expected;
pub(crate) mod figures;
mod moment;
mod process;
mod report;
mod summary;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::committed::Committed;
use self::expected::Expected;
use self::moment::Moments;
use self::process::{End, Run};
use self::summary::Summary;
use crate::workspace;

/// Rows a second that make the job last some ten seconds.
const DEFAULT_RATE: u64 = 33_700;

/// How long a run may take beyond its pace before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(180);

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often to do it, each time with the kill at another random moment
    #[arg(long, default_value_t = 1, value_name = "N")]
    runs: u64,
    /// Seed of the random moments; one is drawn and printed if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Kill this long after the first row instead of at a random moment
    #[arg(long, value_name = "SECONDS", conflicts_with = "no_kill")]
    kill_after: Option<f64>,
    /// Let the job run through
    #[arg(long)]
    no_kill: bool,
    /// Rows per second; 0 for as fast as it goes
    #[arg(long, default_value_t = DEFAULT_RATE, value_name = "ROWS")]
    rate: u64,
    /// Let the job run through as fast as it goes: short for `--rate 0 --no-kill`
    #[arg(long, conflicts_with_all = ["rate", "kill_after"])]
    unpaced: bool,
    /// Leave checkpoints, output and logs behind, and say where
    #[arg(long)]
    keep: bool,
    /// The program to run, if not the one built beside this
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
}

/// What is run, and on what.
struct Job {
    weir: PathBuf,
    /// The job file.
    file: PathBuf,
    /// Rows per second, `None` for no limit.
    rate: Option<u64>,
    /// Folder for all that the job writes.
    scratch: PathBuf,
    /// Other keys of the job file and their values.
    options: Vec<(&'static str, String)>,
}

/// What a kill left behind.
struct Killed {
    /// Since the first row.
    after: Duration,
    /// Checkpoints that were complete then, oldest first.
    complete: Vec<u64>,
}

/// One whole demonstration.
struct Outcome {
    killed: Option<Killed>,
    summary: Summary,
    committed: Committed,
    /// Why it was not exactly once; empty if it was.
    problems: Vec<String>,
}

/// Runs the demo as often as asked; says whether each run was exactly once.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let weir = match &options.weir {
        Some(path) => path.clone(),
        None => workspace::sibling_program("weir")?,
    };
    let (file, expected) = material()?;
    let rate = Some(options.rate).filter(|&rate| rate > 0 && !options.unpaced);
    let seed = options.seed.unwrap_or_else(moment::draw_seed);
    let mut moments = Moments::new(seed);
    let seed_shown = Some(seed).filter(|_| !options.no_kill && !options.unpaced);
    report::opening(&expected, rate, seed_shown, options.runs);

    let mut exact = 0;
    for run in 1..=options.runs {
        let scratch = tempfile::Builder::new().prefix("weir-demo-").tempdir()?;
        let job = Job {
            weir: weir.clone(),
            file: file.clone(),
            rate,
            scratch: scratch.path().to_path_buf(),
            options: Vec::new(),
        };
        let kill_after = kill_after(options, &expected, &mut moments)?;
        let outcome = demonstrate(&job, &expected, kill_after);
        if options.keep || !matches!(&outcome, Ok(outcome) if outcome.problems.is_empty()) {
            eprintln!("kept: {}", scratch.keep().display());
        }
        let outcome = outcome.with_context(|| format!("run {run} of {}", options.runs))?;
        exact += u64::from(outcome.problems.is_empty());
        match options.runs {
            1 => report::whole(&outcome),
            _ => report::line(run, &outcome),
        }
    }
    if options.runs > 1 {
        report::closing(exact, options.runs);
    }
    Ok(exact == options.runs)
}

/// The job file, and what must come out.
fn material() -> Result<(PathBuf, Expected)> {
    let examples = workspace::root().join("guest-examples");
    let file = examples.join("flights/job.yaml");
    if !file.is_file() {
        bail!("{} does not exist", file.display());
    }
    let expected = Expected::load(&examples.join("data/flights-expected.json"))?;
    Ok((file, expected))
}

/// When to kill, counted from the first row; `None` for never.
fn kill_after(
    options: &Options,
    expected: &Expected,
    moments: &mut Moments,
) -> Result<Option<Duration>> {
    if options.no_kill || options.unpaced {
        return Ok(None);
    }
    if let Some(seconds) = options.kill_after {
        let after = Duration::try_from_secs_f64(seconds).context("--kill-after")?;
        return Ok(Some(after));
    }
    if options.rate == 0 {
        bail!("with --rate 0 nobody knows where the middle is; add --no-kill or --kill-after");
    }
    let whole = expected.rows as f64 / options.rate as f64;
    // One run is for show and is killed with some checkpoints behind it and some rows ahead. Many
    // runs are for proof, and any moment will do.
    let (from, to) = if options.runs == 1 {
        (0.3, 0.7)
    } else {
        (0.0, 0.95)
    };
    Ok(Some(Duration::from_secs_f64(
        whole * moments.between(from, to),
    )))
}

/// Runs the job, kills it, runs it to its end, and judges what came out.
fn demonstrate(job: &Job, expected: &Expected, kill_after: Option<Duration>) -> Result<Outcome> {
    let limit = PATIENCE + job.pace(expected) * 2;
    let mut killed = None;
    if let Some(after) = kill_after {
        let mut first = Run::start(job, 1)?;
        first.wait_for_rows(limit)?;
        match first.kill_after(after)? {
            End::Killed { after } => {
                let complete = checkpoints::complete(&job.checkpoints())?;
                killed = Some(Killed { after, complete });
            }
            End::Exited(status) => bail!(
                "the job ended ({status}) before it could be killed {:.1} s after its first row\n{}",
                after.as_secs_f64(),
                first.last_words(),
            ),
        }
    }
    let mut second = Run::start(job, 2)?;
    let status = second.wait(limit)?;
    check_exit(status, &second)?;
    let summary = Summary::parse(&second.output()?)?;
    let committed = Committed::read(job)?;

    let mut problems = verdict::of_output(expected, &committed);
    problems.extend(verdict::of_summary(expected, &summary, killed.as_ref()));
    problems.extend(checkpoints::problems(&job.checkpoints())?);
    Ok(Outcome {
        killed,
        summary,
        committed,
        problems,
    })
}

fn check_exit(status: ExitStatus, run: &Run) -> Result<()> {
    if !status.success() {
        bail!("the job failed ({status})\n{}", run.last_words());
    }
    Ok(())
}

impl Job {
    /// The folder of this job's checkpoints.
    fn checkpoints(&self) -> PathBuf {
        self.scratch.join("checkpoints").join("flights")
    }

    /// The folder a file sink writes to.
    fn sink(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// How long the rows last at the pace set.
    fn pace(&self, expected: &Expected) -> Duration {
        let seconds = self
            .rate
            .map_or(0.0, |rate| expected.rows as f64 / rate as f64);
        Duration::from_secs_f64(seconds)
    }

    /// The arguments of `weir`, the same for each start.
    fn arguments(&self) -> Vec<String> {
        let show = |path: &Path| path.display().to_string();
        let mut arguments = vec![
            "run".to_owned(),
            show(&self.file),
            "--output".into(),
            "json".into(),
        ];
        let mut set = |key: &str, value: String| {
            arguments.push("--set".to_owned());
            arguments.push(format!("{key}={value}"));
        };
        set("checkpoint.dir", show(&self.scratch.join("checkpoints")));
        for sink in expected::SINKS {
            set(&format!("sinks.{sink}.path"), show(&self.sink(sink)));
        }
        if let Some(rate) = self.rate {
            set("sources.flights.rate", rate.to_string());
        }
        for (key, value) in &self.options {
            set(key, value.clone());
        }
        arguments
    }
}

#[cfg(test)]
mod tests;
