//! `weir-bench`: what the engine as a whole costs a row, with native operators and with the same
//! ones as WebAssembly components, measured in one run; and how soon the program shows a row.
//!
//! INVARIANT: a speed is shown only of runs whose output was exact. Variants that are compared take
//! turns, so that a machine that gets slower gets slower for both.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

use crate::{
    case::Case,
    error::{Context, Error, Result},
    job::Bench,
    machine::{self, Machine},
    marks, pressure,
    record::Record,
    report::Results,
    start, state,
};

/// Measures Weir on this machine and prints a table.
#[derive(Debug, Parser)]
#[command(name = "weir-bench")]
struct Options {
    /// Each measurement for the blink of an eye and once: shows that all works, not how fast
    #[arg(long)]
    quick: bool,

    /// How long each measurement takes, warm-up apart [default: 1.5; with checkpoints 4]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,

    /// How often each thing is measured; the median is shown
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: Option<u32>,

    /// Only the case of this name, or those whose name holds this text, such as `count-1e3` or
    /// `wasm`
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// Print the names of all cases, and do nothing
    #[arg(long)]
    list: bool,

    /// Where the components lie
    #[arg(long, value_name = "DIR")]
    components: Option<PathBuf>,

    /// The program whose start is timed, if not the one beside this
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,

    /// Let `perf` name the functions of components, by /tmp/perf-<pid>.map
    #[arg(long)]
    perf_map: bool,

    /// Write the table to benches/README.md and the figures to benches/results
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    write: bool,
}

/// The program `weir-bench`.
#[must_use]
pub fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a name has one of these texts in it, or there are none.
pub(crate) fn has_any(name: &str, texts: &[String]) -> bool {
    texts.is_empty() || texts.iter().any(|text| name.contains(text))
}

/// What has one of these texts in its name; one that is a whole name is no part of others.
pub(crate) fn named<T>(all: Vec<T>, name: impl Fn(&T) -> String, texts: &[String]) -> Vec<T> {
    let names: Vec<String> = all.iter().map(&name).collect();
    let is_meant = |name: &String| {
        let means = |text| text == name || (name.contains(text) && !names.contains(text));
        texts.is_empty() || texts.iter().any(means)
    };
    let all = all.into_iter().zip(&names);
    all.filter_map(|(it, name)| is_meant(name).then_some(it))
        .collect()
}

fn run(options: &Options) -> Result<()> {
    let only = options.only.as_slice();
    let wanted = |name: &str| has_any(name, only);
    let cases = named(Case::all(), Case::name, only);
    let with_start = wanted(start::NAME);
    let with_pressure = wanted(pressure::NAME);
    let with_state = wanted(state::NAME);
    let with_marks = wanted(marks::NAME);
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name()));
        let others = [start::NAME, pressure::NAME, state::NAME, marks::NAME];
        others.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let others = with_start || with_pressure || with_state || with_marks;
    if cases.is_empty() && !others {
        let only = options.only.as_deref().unwrap_or_default();
        return Err(Error::new(format_args!(
            "no case has `{only}` in its name; `--list` shows all"
        )));
    }

    let root = machine::root();
    let components = match &options.components {
        Some(folder) => folder.clone(),
        None => root.join("guest-examples/target/components"),
    };
    let repeats = options.repeats.unwrap_or(if options.quick { 1 } else { 3 });
    let machine = Machine::look(&root);
    println!("{}\n", machine.in_words());

    let records = measure(options, &cases, &components, repeats)?;
    let start = if with_start {
        let weir = match &options.weir {
            Some(path) => path.clone(),
            None => machine::sibling_program("weir")?,
        };
        let runs = if options.quick { 1 } else { repeats.max(9) };
        Some(start::measure(&weir, &components, runs).context("timing the start of the program")?)
    } else {
        None
    };

    let results = Results {
        machine,
        command: machine::without_folders(std::env::args().skip(1)),
        repeats,
        records,
        start,
        pressure: match with_pressure {
            true => Some(pressure::measure(options.quick).context("measuring back pressure")?),
            false => None,
        },
        state: match with_state {
            true => state::measure(options.quick)?,
            false => Vec::new(),
        },
        marks: match with_marks {
            true => Some(marks::measure(options.quick).context("measuring marks")?),
            false => None,
        },
    };
    println!("{}", results.table());
    if options.write {
        results.write(&root.join("benches"))?;
    }
    Ok(())
}

/// Measures all cases, `repeats` times around.
fn measure(
    options: &Options,
    cases: &[Case],
    components: &std::path::Path,
    repeats: u32,
) -> Result<Vec<Record>> {
    if cases.is_empty() {
        return Ok(Vec::new());
    }
    let bench = Bench::new(components, cases, options.quick, options.perf_map)?;
    let mut records: Vec<Record> = cases.iter().map(|&case| Record::new(case)).collect();
    // Cases that are compared stand next to each other, so each round measures them in turn.
    for group in records.chunk_by_mut(|left, right| left.case.compares_to(&right.case)) {
        for round in 1..=repeats {
            for record in &mut *group {
                let case = record.case;
                let length = options.seconds.unwrap_or(case.length(options.quick));
                let run = bench
                    .run(case, length)
                    .with_context(|| format!("measuring {}", case.name()))?;
                eprintln!("{round}/{repeats} {:<28} {}", case.name(), run.in_words());
                record.runs.push(run);
            }
        }
    }
    Ok(records)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
