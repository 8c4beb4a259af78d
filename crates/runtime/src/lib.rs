//! Runs jobs: tasks and their channels, the event loop, checkpoints, restores, restarts.
//!
//! The runtime drives `dyn Operator`, `dyn SourceFactory` and `dyn SinkFactory` and knows none of
//! their makers, WebAssembly included. What it decides about checkpoints it leaves to
//! `weir-checkpoint`; here is what acts.

mod clock;
pub mod control;
mod deployment;
mod driver;
mod exchange;
mod letters;
mod logs;
mod memory;
mod messages;
mod meters;
mod report;
mod task;

pub use clock::{Clock, SystemClock};
pub use deployment::{
    BackendFactory, CheckpointOptions, CheckpointStats, Claims, Deployment, Foreign, JobEvent,
    JobListener, JobOptions, Mapping, OnExisting, Opener, OperatorDeployment, RestoreFrom,
    SinkDeployment,
};
pub use driver::{Begin, BeginFrom, Examined, examine, finished, run};
pub use memory::grow_in_large_pages;
pub use meters::{Meter, NodeMeters};
pub use report::{JobFailure, Outcome, Place, Report};
