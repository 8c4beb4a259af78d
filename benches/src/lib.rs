//! What Weir costs: the programs `weir-bench`, which measures the engine as a whole, and
//! `weir-bench-peer`, which measures it beside Apache Flink.
//!
//! INVARIANT: a speed is shown only of runs whose output was exact. What is compared takes turns,
//! so that a machine that gets slower gets slower for both.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "commands for a terminal: results to stdout, talk to stderr"
)]

mod backend;
mod case;
mod clock;
pub mod command;
mod decimal;
mod error;
mod job;
mod machine;
mod marks;
mod material;
mod meter;
mod native;
pub mod nexmark;
mod oracle;
pub mod peer;
mod pressure;
mod record;
mod report;
mod sink;
mod source;
mod start;
mod state;

pub use backend::Store;
pub use clock::{Moment, Passed};
pub use decimal::write_decimal;
pub use error::{Context, Error, Result};
