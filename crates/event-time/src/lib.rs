//! Event time, decided purely: what watermarks a source or an operator makes of the times of its
//! rows, and what comes of the watermarks of several channels (semantics 1.9). No clock is read
//! here, and nothing waits.

mod drift;
mod emitted;
mod source;
mod strategy;
mod valve;

pub use drift::{Drift, Ticket};
pub use emitted::{EmittedStrategy, EmittedWatermarks};
pub use source::{Passed, SourceWatermarks};
pub use strategy::{DriftLimit, WatermarkStrategy};
pub use valve::{Change, Watermarks};
