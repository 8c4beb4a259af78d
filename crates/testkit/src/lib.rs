//! Jobs without components and without files, for tests of the engine: rows from memory, operators
//! out of closures, a sink that keeps a ledger of what was committed, and a store in memory.
//!
//! What survives a process in real life (the store, the ledger) is shared here between the runs of
//! one test; what does not, is made anew for each run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: a panic is how it says that a test is wrong"
)]

mod job;
mod operator;
mod sink;
mod source;
mod waiting;

pub use job::{Commander, Events, TestJob};
pub use operator::{Closures, counter, map_rows};
pub use sink::{Ledger, LedgerSink};
pub use source::{MemorySource, Valve};
pub use waiting::{Answers, Asking};
