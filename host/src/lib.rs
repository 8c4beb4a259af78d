//! The program `weir` as a library: the command line, and what it puts together for the engine.
//!
//! Here and nowhere else connectors, components, stores and the runtime meet. A verb is one file
//! under `cli`; what a job file says becomes a deployment in `assemble`.

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

mod assemble;
mod cli;
#[cfg(test)]
mod deployments;
mod exit;
mod load;
mod render;
mod signals;
mod storage;

pub use cli::Cli;
pub use exit::Exit;
pub use render::say;

/// The program: parses the command line, runs a verb, gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match EnvFilter::try_new(cli.log_filter()) {
        Ok(filter) => filter,
        Err(error) => {
            say(&format!("error: --log {}: {error}", cli.log_filter()));
            return Exit::Usage.into();
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    cli.run().into()
}
