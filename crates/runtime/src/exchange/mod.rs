//! Between tasks: channels that are budgeted in bytes, and the outputs that fill them.

mod builder;
mod gate;
mod output;

pub(crate) use gate::{Gate, Sender};
pub(crate) use output::{EdgeOut, Target, TimedRows};

#[cfg(test)]
mod tests;
