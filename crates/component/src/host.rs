//! The imports of the contract, one file an interface, and the columns that cross in them.
//!
//! INVARIANT: what a guest passes is checked before it is used; a breach traps the guest with a
//! text that names the import.

mod columns;
mod context;
pub(crate) mod http;
mod state;
mod telemetry;
mod timers;

use wasmtime::component::HasData;

use crate::{bindings::weir::operator::data, guest::Guest};

impl HasData for Guest {
    type Data<'a> = &'a mut Guest;
}

/// Types only.
impl data::Host for Guest {}

pub(crate) use columns::{column_in, optional_in};
