//! `cargo xtask`: the work around the code that is more than three lines of shell.
//!
//! It knows the tree and the programs in it, and nothing of Weir's inside: it links none of our
//! crates, so that it builds in seconds and judges the program from outside, as a user would.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for a terminal: results to stdout, talk to stderr"
)]

mod demo;
mod guests;
mod suite;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// Automation of the Weir repository; `just` calls it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Build every example guest and put the components into guest-examples/target/components.
    Guests,
    /// Run the flights job, kill it in the middle, run it again, and compare what came out.
    Demo(demo::Options),
    /// Kill the flights job again and again at random moments, and compare what came out.
    Crash(demo::crash::Options),
    /// Measure speed, size and start-up of the release build, and print a table for the README.
    Figures(demo::figures::Options),
    /// Build everything, run all tests, and print how many passed.
    Test,
    /// Check the rules of the house that a machine can check.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Guests => guests::build().map(|()| true),
        Task::Demo(options) => demo::run(&options),
        Task::Crash(options) => demo::crash::run(&options),
        Task::Figures(options) => demo::figures::run(&options).map(|()| true),
        Task::Test => suite::run(),
        Task::Tidy => tidy::run(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
