//! Between tasks: channels that are budgeted in bytes, and the outputs that fill them.

mod builder;
mod gate;
mod numbers;
mod output;
mod recording;
mod target;
mod turns;

pub(crate) use gate::{Announced, Gate, Sender};
pub(crate) use output::{EdgeOut, TimedRows, hand_over_beside};
pub(crate) use recording::Recorded;
pub(crate) use target::Target;

#[cfg(test)]
mod tests;
