//! An operator that is written with the guest SDK, as code of this process and behind the same
//! traits as a component: so the same source runs natively and in the sandbox, and what is between
//! the two is what the sandbox costs.
//!
//! It checks what an operator returns as `weir-component` does where the engine relies on it
//! (columns fit, keys and rows are there), and it has no limits: of memory, of time, of output.
//! Operators that are [`Checkpointed`](weir_guest::Checkpointed), or that wait for something
//! outside, are left to components.

mod alone;
mod columns;
mod descriptor;
mod host;
mod join;
mod operator;
mod trigger;
mod window;

pub use alone::Make;
pub use join::NativeJoins;
pub use operator::NativeOperator;
pub use window::NativeWindows;
