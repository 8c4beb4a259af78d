//! Between tasks: channels that are budgeted in bytes, and the outputs that fill them.

mod builder;
mod gate;
mod numbers;
mod output;
mod recording;

pub(crate) use gate::{Announced, Gate, Sender};
pub(crate) use output::{EdgeOut, Target, TimedRows};
pub(crate) use recording::Recorded;

#[cfg(test)]
mod tests;
