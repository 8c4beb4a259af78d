//! The program `weir-bench-peer`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;

use super::{
    bench::{self, Bench, Length},
    beside::{Around, Kind},
    cell::{Cell, Setting, workloads},
    flink::Program,
    measure::Plan,
    ready::Ready,
    record::Side,
    saved::Results,
};
use crate::{
    command::{has_any, named},
    error::{Error, Result},
    machine::{self, Machine},
};

/// Measures Weir beside Apache Flink on this machine and prints a table.
///
/// Both run each workload in turns, and each result is compared with what plain loops come to
/// before its time counts. Needs Java 17; Flink is fetched into the cache the first time.
#[derive(Debug, Parser)]
#[command(name = "weir-bench-peer")]
struct Options {
    /// Few rows and one turn: shows that all works, not how fast
    #[arg(long)]
    quick: bool,

    /// About how long a run takes, warm-up apart; at least 4 with checkpoints
    #[arg(long, value_name = "S", default_value_t = 3.5)]
    seconds: f64,

    /// How often each engine is measured; the median is shown [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: Option<u32>,

    /// Only the cell of this name, or those whose name holds this text, such as `count-1e6` or
    /// `p2`; may be repeated
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,

    /// Print the names of all cells, and do nothing
    #[arg(long)]
    list: bool,

    /// Run all workloads on Weir with few rows, in memory and in RocksDB, in one subtask and in
    /// two, in memory natively and by hand as well, and compare their results row by row; measures
    /// nothing and needs no Flink
    #[arg(long, conflicts_with = "write")]
    verify: bool,

    /// Measure Weir alone
    #[arg(long, conflicts_with = "write")]
    no_flink: bool,

    /// Leave out Weir with the same operators as code of its process
    #[arg(long)]
    no_native: bool,

    /// Leave out the same work as a loop without an engine
    #[arg(long)]
    no_hand: bool,

    /// Write what `perf` needs to name the functions of components, to /tmp/perf-<pid>.map; only
    /// cells are measured, no latency, memory and the like
    #[arg(long, conflicts_with_all = ["write", "verify"])]
    perf_map: bool,

    /// The shell script that runs Flink, if not scripts/flink.sh
    #[arg(long, value_name = "SCRIPT", conflicts_with = "no_flink")]
    flink: Option<PathBuf>,

    /// The program whose start and memory are measured, if not the one beside this
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,

    /// Measure nothing: put into one table and chart what runs with `--only` and `--results` found,
    /// given their files or folders; of what is in two of them the later counts
    #[arg(
        long,
        value_name = "PATH",
        num_args = 1..,
        conflicts_with_all = [
            "quick", "seconds", "repeats", "only", "list", "verify", "no_flink", "no_native",
            "no_hand", "perf_map", "flink", "weir",
        ]
    )]
    join: Vec<PathBuf>,

    /// Where figures and chart go, if not to benches/results with `--write`. After each cell all
    /// that was found is written there, so that nothing is lost by a stop
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,

    /// Write the table to benches/README.md, figures and chart to benches/results
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    write: bool,
}

/// The program `weir-bench-peer`.
#[must_use]
pub fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-bench-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let root = machine::root();
    if !options.join.is_empty() {
        return show(options, &Results::join(&options.join)?, &root);
    }
    let all = match options.verify {
        true => ways(),
        false => Cell::all(),
    };
    let cells = named(all, Cell::name, &options.only);
    let mut kinds = match options.verify {
        true => Vec::new(),
        false => Kind::ALL.to_vec(),
    };
    // Those run other programs, or jobs of their own.
    kinds.retain(|kind| has_any(kind.name(), &options.only) && !options.perf_map);
    if cells.is_empty() && kinds.is_empty() {
        return Err(Error::new(format_args!(
            "no cell has `{}` in its name; `--list` shows all",
            options.only.join("` or `")
        )));
    }
    if options.list {
        cells.iter().for_each(|cell| println!("{}", cell.name()));
        kinds.iter().for_each(|kind| println!("{}", kind.name()));
        return Ok(());
    }
    if options.verify {
        return verify(&cells, &root.join("benches/jobs"));
    }

    let machine = Machine::look(&root);
    println!("{}\n", machine.in_words());
    let mut results = Results {
        machine,
        command: machine::without_folders(std::env::args().skip(1)),
        repeats: length(options).repeats,
        records: Vec::new(),
        besides: Vec::new(),
    };
    plan(options, cells, kinds, &root)?.measure(&mut results)?;
    show(options, &results, &root)
}

fn verify(cells: &[Cell], jobs: &Path) -> Result<()> {
    let mut failed = Vec::new();
    for cell in cells {
        // State, channels and checkpoints are the same natively.
        let sides = match cell.is_like_by_hand() {
            true => vec![Side::Weir, Side::Native, Side::Hand],
            false => vec![Side::Weir],
        };
        for side in sides {
            let way = match side {
                Side::Native => " natively",
                Side::Hand => " by hand",
                Side::Weir | Side::Plain | Side::Flink | Side::Stock => "",
            };
            let name = format!("{}{way}", cell.name());
            match bench::verify(cell, side, jobs) {
                Ok(rows) => println!("{name}: {rows} rows, all as expected"),
                Err(why) => {
                    println!("{name}: failed: {why}");
                    failed.push(name);
                }
            }
        }
    }
    tell(&failed)
}

/// An error of what failed, if anything did.
fn tell(failed: &[String]) -> Result<()> {
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::new(format_args!(
            "{} failed: {}",
            failed.len(),
            failed.join(", ")
        ))),
    }
}

/// Prints the table, and writes what is to be written.
fn show(options: &Options, results: &Results, root: &Path) -> Result<()> {
    println!("{}", results.table());
    if let Some(folder) = folder(options, root) {
        for path in results.write_figures(&folder)? {
            eprintln!("written: {}", path.display());
        }
    }
    if options.write {
        results.write_table_to(&root.join("benches/README.md"))?;
    }
    tell(&results.failed())
}

/// Where figures and chart go, if anywhere.
fn folder(options: &Options, root: &Path) -> Option<PathBuf> {
    let default = options.write.then(|| root.join("benches/results"));
    options.results.clone().or(default)
}

fn length(options: &Options) -> Length {
    Length {
        seconds: options.seconds,
        repeats: options.repeats.unwrap_or(if options.quick { 1 } else { 3 }),
        quick: options.quick,
    }
}

fn plan(options: &Options, cells: Vec<Cell>, kinds: Vec<Kind>, root: &Path) -> Result<Plan> {
    let length = length(options);
    let script = options.flink.clone();
    let script = script.unwrap_or_else(|| root.join("scripts/flink.sh"));
    let flink = (!options.no_flink).then(|| Program::of_script(script));
    // Of cells alone no other program is measured.
    let weir = match (&options.weir, kinds.is_empty()) {
        (Some(weir), _) => weir.clone(),
        (None, true) => PathBuf::new(),
        (None, false) => machine::sibling_program("weir")?,
    };
    let jobs = root.join("benches/jobs");
    Ok(Plan {
        cells,
        kinds,
        around: Around {
            jobs: jobs.clone(),
            components: root.join("guest-examples/target/components"),
            weir,
            flink: flink.clone(),
            repeats: length.repeats,
            quick: options.quick,
        },
        bench: Bench {
            jobs,
            flink,
            native: !options.no_native,
            by_hand: !options.no_hand,
            perf_map: options.perf_map,
            length,
            ready: Ready::default(),
            expected: HashMap::new(),
        },
        folder: folder(options, root),
    })
}

/// All workloads in all ways in which they are verified.
fn ways() -> Vec<Cell> {
    let mut ways = Vec::new();
    for workload in workloads() {
        let mut settings = vec![Setting::plain(1), Setting::plain(2).saved()];
        if workload.is_keyed() {
            settings.push(Setting::plain(1).on_disk().saved());
            settings.push(Setting {
                parallelism: 2,
                ..Setting::plain(1).on_disk()
            });
        }
        ways.extend(settings.into_iter().map(|setting| Cell {
            workload: workload.clone(),
            setting,
        }));
    }
    ways
}
