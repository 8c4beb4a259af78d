//! Weir beside Apache Flink: the same workloads on both, each result compared with an oracle before
//! its time counts.
//!
//! A workload on Weir is a job file with components as a user would write them. The benchmark gives
//! it only its two ends: a source that makes its rows from their numbers ([`made`]) and a sink that
//! checks what comes out ([`drain`]).

pub mod alone;
mod bench;
mod beside;
pub mod by_hand;
pub mod cell;
mod chart;
pub mod check;
mod command;
pub mod drain;
pub mod flink;
mod latency;
pub mod made;
mod measure;
mod memory;
pub mod micro;
mod natives;
mod progress;
mod reach;
mod ready;
mod record;
mod recovery;
mod report;
pub mod run;
mod saved;
pub mod tally;
pub mod weir;
pub mod workload;

pub use command::main;
