//! Counts the instructions of core paths under valgrind, and compares the counts with those that
//! the repository keeps, so that a slow-down shows in the change that makes it. See README.md.
//!
//! `run` is the program that is counted; `check` counts it at two lengths and takes the difference.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for a terminal: results to stdout, talk to stderr"
)]

mod callgrind;
mod counts;
mod paths;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, Parser};
use weir_guard::Failure;

use self::{
    callgrind::Callgrind,
    counts::{Counts, Toolchain, Verdict},
    paths::{Path, Setting},
};

/// How many times a path is counted again before it fails.
const AGAIN: u32 = 2;

/// Counts the instructions of core paths, and compares them with those that are kept
#[derive(Parser)]
#[command(name = "weir-guard")]
enum Command {
    /// Do the work of a path, so many batches of it: what is counted
    #[command(hide = true)]
    Run {
        path: String,
        batches: u32,
        /// Where the components lie
        #[arg(long, default_value = ".")]
        components: PathBuf,
        /// A folder for compiled code
        #[arg(long, default_value = ".")]
        cache: PathBuf,
    },
    /// Count all paths; fails where one takes more instructions than it may
    Check(Options),
}

#[derive(Args)]
struct Options {
    /// The file of counts
    #[arg(long, value_name = "FILE")]
    counts: PathBuf,
    /// Put what is counted into the file
    #[arg(long, conflicts_with = "only")]
    write: bool,
    /// Only paths whose name holds this text, such as `heap`
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How many times each path is counted; the least counts, and the spread is told
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// The program whose calls into components are counted, where this one makes none
    #[arg(long, value_name = "PROGRAM")]
    calls: Option<PathBuf>,
    /// Where the components lie
    #[arg(long, value_name = "DIR")]
    components: PathBuf,
    /// The program that counts
    #[arg(long, value_name = "PROGRAM", default_value = "valgrind")]
    valgrind: PathBuf,
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Run {
            path,
            batches,
            components,
            cache,
        } => run(&path, batches, &Setting { components, cache }).map(|()| true),
        Command::Check(options) => check(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("weir-guard: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, batches: u32, setting: &Setting) -> Result<(), Failure> {
    let path = paths::all().find(|path| path.name == name);
    let path = path.ok_or_else(|| format!("there is no path `{name}`"))?;
    (path.run)(setting, batches)
}

/// Whether every path is within what it may take.
fn check(options: &Options) -> Result<bool, Failure> {
    let wanted = |path: &Path| (options.only.as_ref()).is_none_or(|text| path.name.contains(text));
    let paths: Vec<Path> = paths::all().filter(wanted).collect();
    if paths.is_empty() {
        let only = options.only.as_deref().unwrap_or_default();
        return Err(format!("no path has `{only}` in its name").into());
    }
    let kept = match options.write {
        true => None,
        false => Some(Counts::read(&options.counts)?),
    };
    let machine = counts::machine();
    if let Some(kept) = &kept
        && kept.toolchain.machine != machine
    {
        let of = &kept.toolchain.machine;
        println!("counts of {of} are kept, and this is {machine}: nothing is compared");
        return Ok(true);
    }
    let callgrind = Callgrind::new(&options.valgrind)?;
    let here = Toolchain::here(callgrind.version())?;
    let mut found = Counts::new(here);
    let mut passed = true;
    for path in &paths {
        let mut counted = count(options, &callgrind, path, options.repeats)?;
        let judge = |counted: &[u64]| {
            let kept = kept.as_ref()?;
            let by = (&found.toolchain, path.tolerance);
            Some(kept.compare(path.name, counts::least(counted), by))
        };
        let mut verdict = judge(&counted);
        if let Some(Verdict::Slower { .. }) = verdict {
            // What threads do besides, on a busy machine, only ever adds to a count.
            counted.extend(count(options, &callgrind, path, AGAIN)?);
            verdict = judge(&counted);
        }
        println!("{}", line(path.name, &counted, verdict.as_ref()));
        passed &= !verdict.is_some_and(|verdict| verdict.fails());
        found.insert(path.name, counts::least(&counted));
    }
    match (&kept, passed) {
        (None, _) => found.write(&options.counts)?,
        (Some(kept), false) => println!(
            "Counted with {}; the counts that are kept in {} with {}. Where the change is worth \
             it, `./jw guard --write` renews them.",
            found.toolchain,
            options.counts.display(),
            kept.toolchain
        ),
        (Some(_), true) => {}
    }
    Ok(passed)
}

/// What a reader is told of a path.
fn line(name: &str, counted: &[u64], verdict: Option<&Verdict>) -> String {
    let least = counts::least(counted);
    let mut line = format!("{name:<24}{least:>10} instructions a batch");
    if counted.len() > 1 {
        let most = counted.iter().copied().max().unwrap_or(least);
        let spread = (most - least) as f64 / least.max(1) as f64 * 100.0;
        line += &format!(", {} runs within {spread:.3} %", counted.len());
    }
    if let Some(verdict) = verdict {
        line += &format!("  {verdict}");
    }
    line
}

/// The instructions of a batch of a path, each time it was counted.
fn count(
    options: &Options,
    callgrind: &Callgrind<'_>,
    path: &Path,
    repeats: u32,
) -> Result<Vec<u64>, Failure> {
    let program = match (&options.calls, path.calls_component) {
        (Some(program), true) => program.clone(),
        (_, false) | (None, true) => std::env::current_exe()?,
    };
    let cache = tempfile::tempdir()?;
    let counted = |batches: u32| {
        let batches = batches.to_string();
        let mut arguments: Vec<OsString> = vec!["run".into(), path.name.into(), batches.into()];
        arguments.extend(["--components".into(), options.components.clone().into()]);
        arguments.extend(["--cache".into(), cache.path().into()]);
        callgrind.count(&program, &arguments)
    };
    if path.calls_component {
        // Its code is compiled now, and not in either run that counts.
        counted(0)?;
    }
    let [few, many] = path.batches;
    let mut counts = Vec::new();
    for _ in 0..repeats {
        let (less, more) = (counted(few)?, counted(many)?);
        let batches = more
            .checked_sub(less)
            .map(|all| all / u64::from(many - few));
        counts.push(batches.ok_or_else(|| {
            format!(
                "{}: {many} batches took {more} instructions, {few} {less}",
                path.name
            )
        })?);
    }
    Ok(counts)
}
