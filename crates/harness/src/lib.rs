//! One operator in the real host, driven step by step: rows, watermarks and virtual time go in, and
//! after each step it is known that all of it has been dealt with.
//!
//! What runs is a whole job by [`weir_runtime::run`]: a source for each input, the operator, a sink
//! for each output, with real channels, keys, barriers, snapshots and restores. Only three things
//! are of the harness: sources that say what they are told, sinks that keep what comes, and a clock
//! that is set.
//!
//! INVARIANT: nothing is waited for by the time of the machine. A step is over when its input has
//! been read to the end and a checkpoint behind it is complete: its barrier goes through every
//! channel, and a task takes it only after all that came before it and all timers that are due.

mod clock;
mod feed;
mod harness;
mod held;
mod kept;
mod run;
mod setup;
mod shared;

pub use clock::VirtualClock;
pub use harness::{Differs, Harness, Snapshot, Stopped};
pub use held::Holding;
pub use setup::{Keeping, Setup};
pub use shared::{Caught, Row};
