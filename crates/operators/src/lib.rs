//! Operators that are part of the host: what would be slow, or easy to get wrong, if every
//! component did it itself.
//!
//! They work on batches over the same keyed state as components do, so checkpoints, rescaling and
//! time have no rules of their own for them.

mod join;
mod window;

pub use join::{JoinFactory, JoinRules};
pub use window::{WindowFactory, WindowOperator, WindowOptions, WindowStates};
