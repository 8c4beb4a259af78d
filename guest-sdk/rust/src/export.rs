//! The glue between the component's exports and the operator.

use std::cell::RefCell;

use crate::bindings::exports::weir::operator::logic::Guest;
use crate::bindings::weir::operator::data::{Batch, Descriptor, Emitted, Outcome, Slots};
use crate::checkpointed::Checkpointed;
use crate::checkpointed_bindings::exports::weir::operator::checkpointed;
use crate::driver::{make, make_checkpointed};
use crate::host::{Host, Imports, Level};
use crate::operator::IntoOperator;

pub use crate::driver::Logic;

thread_local! {
    /// The one operator of this instance. The host never calls an instance from two threads, nor
    /// while a call runs.
    static LOGIC: RefCell<Option<Box<dyn Logic>>> = const { RefCell::new(None) };
}

/// A component made by [`operator!`](crate::operator).
pub trait Component {
    /// Makes the operator, on the first call.
    fn make() -> Box<dyn Logic>;
}

/// A component made by [`operator!`](crate::operator) of an operator that is [`Checkpointed`].
pub trait CheckpointedComponent: Component {}

/// Makes an operator on the imports of the component.
pub fn make_component<T: IntoOperator<Kind>, Kind>() -> Box<dyn Logic> {
    send_panics_to_the_log();
    make::<T, Kind>(Box::new(Imports))
}

/// As [`make_component`], of an operator that saves and restores something itself.
pub fn make_checkpointed_component<T, Kind>() -> Box<dyn Logic>
where
    T: IntoOperator<Kind> + Checkpointed,
{
    send_panics_to_the_log();
    make_checkpointed::<T, Kind>(Box::new(Imports))
}

/// On wasm32-unknown-unknown the message of a panic would otherwise be lost: the host sees a trap.
fn send_panics_to_the_log() {
    std::panic::set_hook(Box::new(|panic| {
        Imports.log(Level::Error, &panic.to_string())
    }));
}

fn with<C: Component, T>(call: impl FnOnce(&mut dyn Logic) -> T) -> T {
    LOGIC.with_borrow_mut(|logic| call(logic.get_or_insert_with(C::make).as_mut()))
}

impl<C: Component> Guest for C {
    #[expect(
        clippy::panic,
        reason = "`describe` cannot fail otherwise; the host shows the message"
    )]
    fn describe() -> Descriptor {
        match with::<C, _>(|logic| logic.describe()) {
            Ok(descriptor) => descriptor,
            Err(mistakes) => panic!("{mistakes}"),
        }
    }

    fn open() -> Result<(), String> {
        with::<C, _>(|logic| logic.open())
    }

    fn process(input: u32, rows: Batch, slots: Vec<Slots>) -> Result<Outcome, String> {
        with::<C, _>(|logic| logic.process(input, rows, slots))
    }

    fn end_of_input(input: u32) -> Result<Vec<Emitted>, String> {
        with::<C, _>(|logic| logic.end_of_input(input))
    }

    fn finish() -> Result<Vec<Emitted>, String> {
        with::<C, _>(|logic| logic.finish())
    }
}

impl<C: CheckpointedComponent> checkpointed::Guest for C {
    fn initialize(restored: bool, raw: Vec<Vec<u8>>) -> Result<(), String> {
        with::<C, _>(|logic| logic.initialize(restored, raw))
    }

    fn snapshot(checkpoint: u64) -> Result<Vec<Vec<u8>>, String> {
        with::<C, _>(|logic| logic.snapshot(checkpoint))
    }

    fn complete(checkpoint: u64) {
        fail_by_panic(with::<C, _>(|logic| logic.complete(checkpoint)));
    }

    fn aborted(checkpoint: u64) {
        fail_by_panic(with::<C, _>(|logic| logic.aborted(checkpoint)));
    }
}

#[expect(
    clippy::panic,
    reason = "the contract gives these functions no other way to fail; the host shows the message"
)]
fn fail_by_panic(result: Result<(), String>) {
    if let Err(message) = result {
        panic!("{message}");
    }
}

/// Makes a type the operator of this component: one that implements one of the traits for
/// operators, such as [`KeyedProcess`](crate::KeyedProcess) or [`Process`](crate::Process). With
/// `operator!(Type, checkpointed)` it is [`Checkpointed`](crate::Checkpointed) as well.
#[macro_export]
macro_rules! operator {
    ($operator:ty) => {
        $crate::operator!(@component $operator, make_component, {});
    };
    ($operator:ty, checkpointed) => {
        $crate::operator!(@component $operator, make_checkpointed_component, {
            impl $crate::export::CheckpointedComponent for TheOperator {}

            #[cfg(target_family = "wasm")]
            $crate::checkpointed_bindings::export! {
                TheOperator with_types_in $crate::checkpointed_bindings
            }
        });
    };
    (@component $operator:ty, $make:ident, { $($more:item)* }) => {
        const _: () = {
            struct TheOperator;

            impl $crate::export::Component for TheOperator {
                fn make() -> ::std::boxed::Box<dyn $crate::export::Logic> {
                    $crate::export::$make::<$operator, _>()
                }
            }

            $($more)*

            #[cfg(target_family = "wasm")]
            $crate::bindings::export! { TheOperator with_types_in $crate::bindings }

            // Elsewhere nothing is exported, but the operator is checked and counts as used.
            #[cfg(not(target_family = "wasm"))]
            const _: fn() -> ::std::boxed::Box<dyn $crate::export::Logic> =
                <TheOperator as $crate::export::Component>::make;
        };
    };
}
