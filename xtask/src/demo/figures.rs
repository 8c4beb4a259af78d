//! The figures of the README, measured on this machine: how fast the main job goes without a pace,
//! how large the program is, how soon it runs. Each is the median of some runs.
//!
//! Invariant: a speed is shown only of runs whose output was exact.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::expected::Expected;
use super::report::grouped;
use super::{DEFAULT_RATE, Job, demonstrate, material};
use crate::{guests, workspace};

/// What the program prints, after the job's name, when all tasks run.
const RUNNING: &str = ": running after ";

/// Options of `cargo xtask figures`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The program to measure, if not the release build, which is built if need be
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
    /// How often each thing is measured; the median is shown
    #[arg(long, default_value_t = 3, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
}

/// Measures, and prints a table in Markdown.
pub(crate) fn run(options: &Options) -> Result<()> {
    guests::build()?;
    let weir = match &options.weir {
        Some(path) => path.clone(),
        None => workspace::build_release()?,
    };
    let size = fs::metadata(&weir).with_context(|| format!("looking at {}", weir.display()))?;
    let (file, expected) = material()?;
    let measured = |measure: &dyn Fn() -> Result<f64>| -> Result<f64> {
        let values: Result<Vec<f64>> = (0..options.runs).map(|_| measure()).collect();
        Ok(median(values?))
    };

    let compiled = tempfile::tempdir()?;
    let cold = measured(&|| start_up(&weir, &file, tempfile::tempdir()?.path()))?;
    start_up(&weir, &file, compiled.path())?;
    let warm = measured(&|| start_up(&weir, &file, compiled.path()))?;
    let speed = measured(&|| rows_per_second(&weir, &file, &expected))?;

    let unpaced = "rows a second of the main job, not paced";
    println!("| what | measured |\n| --- | --- |");
    println!("| {unpaced} | {} |", grouped(speed as u64));
    println!("| size of the program `weir` | {} |", mebibytes(size.len()));
    println!(
        "| start to running, components compiled anew | {} |",
        milliseconds(cold)
    );
    println!(
        "| start to running, compiled components cached | {} |",
        milliseconds(warm)
    );
    println!("\nMedian of {}; {}.", options.runs, machine()?);
    Ok(())
}

/// Runs the job to its end once, as fast as it goes.
fn rows_per_second(weir: &Path, file: &Path, expected: &Expected) -> Result<f64> {
    let scratch = tempfile::tempdir()?;
    let outcome = demonstrate(&job(weir, file, None, scratch.path()), expected, None)?;
    if !outcome.problems.is_empty() {
        bail!("the output is not exact:\n{}", outcome.problems.join("\n"));
    }
    Ok(outcome.summary.rows_per_second())
}

/// Milliseconds from the start of the process until all tasks run, by what it says.
fn start_up(weir: &Path, file: &Path, compiled: &Path) -> Result<f64> {
    let scratch = tempfile::tempdir()?;
    let job = job(weir, file, Some(DEFAULT_RATE), scratch.path());
    let start = Instant::now();
    let mut child = Command::new(weir)
        .args(job.arguments())
        .env("WEIR_CACHE_DIR", compiled)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", weir.display()))?;
    let mut log = Vec::new();
    let mut running = None;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains(RUNNING) {
                running = Some(start.elapsed());
                break;
            }
            log.push(line);
        }
    }
    // What it would go on to do is of no interest; it may have ended by itself.
    let _ = child.kill();
    let status = child.wait()?;
    let Some(running) = running else {
        bail!("the job ended ({status}) before it ran\n{}", log.join("\n"));
    };
    Ok(running.as_secs_f64() * 1000.0)
}

fn job(weir: &Path, file: &Path, rate: Option<u64>, scratch: &Path) -> Job {
    Job {
        weir: weir.to_path_buf(),
        file: file.to_path_buf(),
        rate,
        scratch: scratch.to_path_buf(),
        options: Vec::new(),
    }
}

/// The middle value, or the mean of the two middle ones; there is at least one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// Cores, processor and memory of this machine, and the day.
fn machine() -> Result<String> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let day = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let day = day.context("cannot start date")?.stdout;
    Ok(format!(
        "{cores} cores ({}), {} of memory, {}",
        field(&cpu, "model name").unwrap_or("processor unknown"),
        gibibytes(field(&memory, "MemTotal")),
        String::from_utf8_lossy(&day).trim(),
    ))
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// A size as `/proc/meminfo` writes it, in a unit for people.
fn gibibytes(kibibytes: Option<&str>) -> String {
    let number = kibibytes.and_then(|text| text.strip_suffix("kB")?.trim().parse::<f64>().ok());
    number.map_or("unknown size".to_owned(), |number| {
        format!("{:.1} GiB", number / 1024.0 / 1024.0)
    })
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

fn milliseconds(number: f64) -> String {
    format!("{number:.0} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
        assert_eq!(median(vec![7.0]), 7.0);
    }

    #[test]
    fn the_machine_is_read_as_linux_tells_it() {
        let cpu = "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nmodel name\t: other\n";
        assert_eq!(field(cpu, "model name"), Some("Some CPU @ 2.00GHz"));
        let memory = "MemTotal:        8388608 kB\nMemFree: 1 kB\n";
        assert_eq!(gibibytes(field(memory, "MemTotal")), "8.0 GiB");
        assert_eq!(gibibytes(field(memory, "SwapTotal")), "unknown size");
    }

    /// Times the start of a stand-in that does as the shell lines say.
    fn begin(lines: &str) -> Result<f64> {
        let scratch = tempfile::tempdir()?;
        // The stand-in reads `plan` beside the job file before it does anything.
        fs::write(scratch.path().join("plan"), lines)?;
        let weir = workspace::root().join("xtask/src/demo/stand-in.sh");
        start_up(&weir, &scratch.path().join("job.yaml"), scratch.path())
    }

    #[test]
    fn a_start_is_timed_by_what_the_program_says() {
        let said = "echo 'flights: running after 1 ms (attempt 1)' >&2; exec sleep 600";
        assert!(begin(said).unwrap() > 0.0);
    }

    #[test]
    fn a_start_that_fails_says_why() {
        let error = begin("echo 'the disk is full' >&2; exit 3")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("the disk is full"),
            "{error}"
        );
    }
}
