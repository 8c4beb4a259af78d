//! See the crate.

pub mod job;
pub mod operator;
pub mod rows;

/// Rows of a batch, where nothing else is said.
pub const ROWS: u32 = 1024;
