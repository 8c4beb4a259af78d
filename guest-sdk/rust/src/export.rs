//! The glue between the component's exports and the operator.

use std::cell::RefCell;

use crate::bindings::exports::weir::operator::logic::Guest;
use crate::bindings::weir::operator::data::{Batch, Descriptor, Emitted, Outcome, Slots};
use crate::driver::make;
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

/// Makes an operator on the imports of the component.
pub fn make_component<T: IntoOperator<Kind>, Kind>() -> Box<dyn Logic> {
    send_panics_to_the_log();
    make::<T, Kind>(Box::new(Imports))
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

/// Makes a type the operator of this component: one that implements
/// [`KeyedProcess`](crate::KeyedProcess) or [`Process`](crate::Process).
#[macro_export]
macro_rules! operator {
    ($operator:ty) => {
        const _: () = {
            struct TheOperator;

            impl $crate::export::Component for TheOperator {
                fn make() -> ::std::boxed::Box<dyn $crate::export::Logic> {
                    $crate::export::make_component::<$operator, _>()
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::bindings::export! { TheOperator with_types_in $crate::bindings }

            // Elsewhere nothing is exported, but the operator is checked and counts as used.
            #[cfg(not(target_family = "wasm"))]
            const _: fn() -> ::std::boxed::Box<dyn $crate::export::Logic> =
                <TheOperator as $crate::export::Component>::make;
        };
    };
}
