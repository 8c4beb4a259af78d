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
    report::Results,
};
use crate::{
    error::{Context, Error, Result},
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

    /// About how long a run takes, warm-up apart
    #[arg(long, value_name = "S", default_value_t = 3.5)]
    seconds: f64,

    /// How often each engine is measured; the median is shown [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: Option<u32>,

    /// Only the cells whose name holds this text, such as `count-1e6` or `p2`; may be repeated
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,

    /// Print the names of all cells, and do nothing
    #[arg(long)]
    list: bool,

    /// Run all workloads on Weir with few rows, in memory and in RocksDB, in one subtask and in
    /// two, and compare their results row by row; measures nothing and needs no Flink
    #[arg(long, conflicts_with = "write")]
    verify: bool,

    /// Measure Weir alone
    #[arg(long, conflicts_with = "write")]
    no_flink: bool,

    /// The shell script that runs Flink, if not scripts/flink.sh
    #[arg(long, value_name = "SCRIPT", conflicts_with = "no_flink")]
    flink: Option<PathBuf>,

    /// The program whose start and memory are measured, if not the one beside this
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,

    /// Where figures and chart go, if not to benches/results with `--write`
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
    let wanted = |name: &str| {
        let only = &options.only;
        only.is_empty() || only.iter().any(|text| name.contains(text))
    };
    let all = match options.verify {
        true => ways(),
        false => Cell::all(),
    };
    let cells: Vec<Cell> = all
        .into_iter()
        .filter(|cell| wanted(&cell.name()))
        .collect();
    let mut kinds = match options.verify {
        true => Vec::new(),
        false => Kind::ALL.to_vec(),
    };
    kinds.retain(|kind| wanted(kind.name()));
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
    let root = machine::root();
    let jobs = root.join("benches/jobs");
    if options.verify {
        for cell in &cells {
            let rows = bench::verify(cell, &jobs);
            let rows = rows.with_context(|| format!("verifying {}", cell.name()))?;
            println!("{}: {rows} rows, all as expected", cell.name());
        }
        return Ok(());
    }

    let results = measure(options, &cells, &kinds, jobs, &root)?;
    println!("{}", results.table());
    let folder = match (&options.results, options.write) {
        (Some(folder), _) => Some(folder.clone()),
        (None, true) => Some(root.join("benches/results")),
        (None, false) => None,
    };
    if let Some(folder) = folder {
        for path in results.write_figures(&folder)? {
            eprintln!("written: {}", path.display());
        }
    }
    if options.write {
        results.write_table_to(&root.join("benches/README.md"))?;
    }
    Ok(())
}

fn measure(
    options: &Options,
    cells: &[Cell],
    kinds: &[Kind],
    jobs: PathBuf,
    root: &Path,
) -> Result<Results> {
    let machine = Machine::look(root);
    println!("{}\n", machine.in_words());
    let length = Length {
        seconds: options.seconds,
        repeats: options.repeats.unwrap_or(if options.quick { 1 } else { 3 }),
        quick: options.quick,
    };
    let script = options.flink.clone();
    let script = script.unwrap_or_else(|| root.join("scripts/flink.sh"));
    let flink = (!options.no_flink).then(|| Program::of_script(script));
    let mut bench = Bench {
        jobs: jobs.clone(),
        flink: flink.clone(),
        length,
        expected: HashMap::new(),
    };
    let mut records = Vec::new();
    for cell in cells {
        eprintln!("{}", cell.name());
        let record = bench.measure(cell);
        records.push(record.with_context(|| format!("measuring {}", cell.name()))?);
    }
    let mut figures = Vec::new();
    if !kinds.is_empty() {
        let weir = options.weir.clone();
        let around = Around {
            jobs,
            components: root.join("guest-examples/target/components"),
            weir: weir.map_or_else(|| machine::sibling_program("weir"), Ok)?,
            flink,
            repeats: length.repeats,
            quick: options.quick,
        };
        for kind in kinds {
            eprintln!("{}", kind.name());
            let measured = kind.measure(&around);
            figures.extend(measured.with_context(|| format!("measuring {}", kind.name()))?);
        }
    }
    Ok(Results {
        machine,
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        repeats: length.repeats,
        records,
        figures,
    })
}

/// All workloads in all ways in which they are verified.
fn ways() -> Vec<Cell> {
    let mut ways = Vec::new();
    for workload in workloads() {
        let mut settings = vec![Setting::plain(1), Setting::plain(2).saved()];
        if workload.is_keyed() {
            settings.push(Setting::on_disk().saved());
            settings.push(Setting {
                parallelism: 2,
                ..Setting::on_disk()
            });
        }
        ways.extend(settings.into_iter().map(|setting| Cell {
            workload: workload.clone(),
            setting,
        }));
    }
    ways
}
