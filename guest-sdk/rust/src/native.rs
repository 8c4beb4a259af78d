//! An operator as code of the host's own process: for hosts, and for measuring what the sandbox
//! costs. An author has no use for it.
//!
//! With the feature `native` of this crate, [`operator!`](crate::operator) makes a function
//! `native_operator` beside what the component exports. A host takes the source of the operator in
//! as a module, `#[path = "…/src/lib.rs"] mod shout;`: a crate that is a library as well as a
//! component would be built without link-time optimisation. The host implements [`Host`], which is
//! the imports of the contract, and calls [`Logic`], which is its exports:
//!
//! ```
//! use weir_guest::native::{Host, Logic};
//! # mod shout {
//! # use weir_guest::{Ctx, Process, Result, Row};
//! # #[derive(Default)]
//! # struct Shout;
//! # impl Process for Shout {
//! #     type In = String;
//! #     type Out = String;
//! #     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
//! #         ctx.emit(row.value.to_uppercase())
//! #     }
//! # }
//! # weir_guest::operator!(Shout);
//! # #[cfg(not(feature = "native"))]
//! # pub(crate) fn native_operator(host: Box<dyn super::Host>) -> Box<dyn super::Logic> {
//! #     weir_guest::native::operator::<Shout, _>(host)
//! # }
//! # }
//!
//! /// The operator of the module `shout`.
//! fn shouting(host: Box<dyn Host>) -> Box<dyn Logic> {
//!     shout::native_operator(host)
//! }
//! ```
//!
//! What the sandbox keeps apart is not kept apart here: a panic is one of the host, memory and time
//! have no limit, and what the operator gives back is checked by nobody else. Columns that the host
//! lends are read where they are; rows of whole windows, pairs and timers are copied, as they are
//! into a sandbox.

pub use crate::bindings::weir::operator::data::TimerKind;
pub use crate::bindings::weir::operator::data::{
    Batch, BytesColumn, Descriptor, Emitted, OptionalColumn, Outcome, Poison, Slots, StateDecl,
    StateKind, Ttl,
};
use crate::checkpointed::Checkpointed;
pub use crate::column::{BatchRef, ColumnRef, OptionalRef};
pub use crate::driver::Logic;
use crate::driver::{make, make_checkpointed, make_trigger};
pub use crate::host::{EntriesColumn, Host, NestedColumn};
pub use crate::join::AllPairs;
pub use crate::operator::IntoOperator;
pub use crate::timers::Due;
use crate::window::Trigger;
pub use crate::window::{AllRows, AskedWindows, Change, Decided, Groups, Happened, Rows};

/// An operator on this host; what `operator!(Type)` makes a component of, with `timed`,
/// `aggregate`, `window`, `join` and `keyed_broadcast` or without.
pub fn operator<T: IntoOperator<Kind>, Kind>(host: Box<dyn Host>) -> Box<dyn Logic> {
    make::<T, Kind>(host)
}

/// As [`operator`], of one that saves and restores something itself: `operator!(Type,
/// checkpointed)`.
pub fn checkpointed<T, Kind>(host: Box<dyn Host>) -> Box<dyn Logic>
where
    T: IntoOperator<Kind> + Checkpointed,
{
    make_checkpointed::<T, Kind>(host)
}

/// As [`operator`], of one that decides when windows give their results: `operator!(Type,
/// aggregate, trigger)`.
pub fn trigger<T, Kind>(host: Box<dyn Host>) -> Box<dyn Logic>
where
    T: IntoOperator<Kind> + Trigger,
{
    make_trigger::<T, Kind>(host)
}

/// For a host of the same process: see [`native`](crate::native).
#[cfg(feature = "native")]
#[doc(hidden)]
#[macro_export]
macro_rules! native_operator {
    ($operator:ty, make_component) => {
        $crate::native_operator!(@function $operator, operator);
    };
    ($operator:ty, make_checkpointed_component) => {
        $crate::native_operator!(@function $operator, checkpointed);
    };
    ($operator:ty, make_trigger_component) => {
        $crate::native_operator!(@function $operator, trigger);
    };
    (@function $operator:ty, $make:ident) => {
        pub(crate) fn native_operator(
            host: ::std::boxed::Box<dyn $crate::native::Host>,
        ) -> ::std::boxed::Box<dyn $crate::native::Logic> {
            $crate::native::$make::<$operator, _>(host)
        }

        // It counts as used.
        const _: fn(
            ::std::boxed::Box<dyn $crate::native::Host>,
        ) -> ::std::boxed::Box<dyn $crate::native::Logic> = native_operator;
    };
}

/// Nothing: only hosts ask for it.
#[cfg(not(feature = "native"))]
#[doc(hidden)]
#[macro_export]
macro_rules! native_operator {
    ($operator:ty, $make:ident) => {};
}
