//! What the boundary costs: calls into a guest by the size of the batch, access to state by key
//! index, and the same operators natively and as components, alone and in a job.
//!
//! Nanoseconds are of CPU time. What is compared is measured in turns, in one run; a figure is the
//! median of the rounds, and a difference that of the differences.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for a terminal: results to stdout, talk to stderr"
)]

mod bare;
mod engine;
mod guests;
mod measure;
mod report;

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use weir_guard::Failure;

use self::{guests::Guests, measure::Effort, report::Results};

/// Measures what a call into a guest costs, and its access to state
#[derive(Parser)]
#[command(name = "weir-boundary")]
struct Options {
    /// A moment for each: shows that everything works, measures nothing
    #[arg(long)]
    quick: bool,
    /// How many rounds; figures are medians of them
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Where the components lie
    #[arg(
        long,
        value_name = "DIR",
        default_value = "guest-examples/target/components"
    )]
    components: PathBuf,
    /// Put the table into this file, between its markers
    #[arg(long, value_name = "FILE", conflicts_with = "quick")]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-boundary: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let effort = Effort::new(options.quick, options.rounds);
    let guests = Guests::load(&options.components)?;
    let results = Results {
        calls: bare::calls(&guests, effort)?,
        state: bare::state(&guests, effort)?,
        operators: engine::operators(&guests, effort)?,
        rounds: effort.rounds,
    };
    let table = results.table();
    println!("{table}");
    if let Some(file) = &options.write {
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| at(&error))?;
        let text = report::put(&text, &table).map_err(|error| at(&error))?;
        fs::write(file, text).map_err(|error| at(&error))?;
    }
    Ok(())
}
