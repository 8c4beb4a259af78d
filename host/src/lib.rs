//! The program `weir` as a library: the command line, and what it puts together for the engine.
//!
//! Here and nowhere else connectors, components, stores and the runtime meet. A verb is one file
//! under `cli`; what a job file says becomes a deployment in `assemble`.

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

mod allocator;
mod assemble;
mod cli;
mod config;
mod control;
#[cfg(test)]
mod deployments;
mod embed;
mod exit;
mod guarantee;
mod load;
mod render;
mod saved;
mod signals;
mod storage;

pub use allocator::keep_freed_memory;
pub use cli::Cli;
pub use embed::{Embedding, deployment};
pub use exit::Exit;
pub use render::say;

/// The program: parses the command line, runs a verb, gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    keep_freed_memory();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return render::end(cli::not_parsed(&error, &arguments)).into(),
    };
    let filter = match EnvFilter::try_new(cli.log_filter()) {
        Ok(filter) => filter,
        Err(error) => return render::end(cli.refuse_log_filter(&error.to_string())).into(),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| render::Log)
        .with_ansi(cli::wants_color())
        .init();
    render::end(cli.run()).into()
}
