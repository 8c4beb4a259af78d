//! The optional interface `evolving`: values of older versions, values shown, and what becomes of
//! calls that fail.

use weir_component::Limits;
use weir_model::Column;
use weir_operator::{Evolve, Failure, OperatorFactory, Part};
use weir_state::StateIndex;

use crate::guests::guest;

const COUNT: StateIndex = StateIndex(0);

fn evolve() -> Box<dyn Evolve> {
    let factory = guest("keyed-count-2").factory(Limits::default());
    assert!(factory.descriptor().evolving);
    factory.evolve().unwrap().unwrap()
}

fn counts(counts: &[u64]) -> Column {
    let bytes: Vec<[u8; 8]> = counts.iter().map(|count| count.to_le_bytes()).collect();
    bytes.iter().map(<[u8; 8]>::as_slice).collect()
}

#[test]
fn values_of_an_older_version_are_migrated_in_order_and_shown() {
    let mut evolve = evolve();
    let old = counts(&[7, 0, 300]);
    let new = evolve.migrate(COUNT, Part::Value, 1, &old).unwrap();
    let shown = evolve.render(COUNT, Part::Value, &new).unwrap();
    assert_eq!(
        shown,
        ["7 rows, 0 bytes", "0 rows, 0 bytes", "300 rows, 0 bytes"]
    );
    // Nothing is asked of nothing.
    let none = evolve.migrate(COUNT, Part::Value, 1, &Column::new());
    assert!(none.unwrap().is_empty());
}

#[test]
fn a_call_that_fails_is_told_and_the_next_one_has_a_fresh_instance() {
    let mut evolve = evolve();
    let failure = evolve.migrate(COUNT, Part::Value, 1, &counts(&[1, 1_000_000]));
    let Err(Failure::Guest { message, .. }) = failure else {
        panic!("{failure:?}");
    };
    assert_eq!(message, "a count of one million is not to be believed");
    let failure = evolve.migrate(COUNT, Part::Value, 9, &counts(&[1]));
    let Err(Failure::Guest { message, .. }) = failure else {
        panic!("{failure:?}");
    };
    assert_eq!(message, "version 9 of state `count` is not known");
    let failure = evolve.migrate(COUNT, Part::Value, 1, &counts(&[2_000_000]));
    let Err(Failure::Trap(trap)) = failure else {
        panic!("{failure:?}");
    };
    assert!(trap.message.contains("a count of two million"), "{trap}");
    assert!(evolve.migrate(COUNT, Part::Value, 1, &counts(&[1])).is_ok());
}

#[test]
fn bytes_that_are_no_value_are_an_error_and_no_trap() {
    let short: Column = [&b"abc"[..]].into_iter().collect();
    let failure = evolve().migrate(COUNT, Part::Value, 1, &short);
    assert!(matches!(failure, Err(Failure::Guest { .. })), "{failure:?}");
    let failure = evolve().render(COUNT, Part::Value, &short);
    assert!(matches!(failure, Err(Failure::Guest { .. })), "{failure:?}");
}

#[test]
fn a_component_without_the_interface_is_not_asked() {
    let factory = guest("keyed-count").factory(Limits::default());
    assert!(!factory.descriptor().evolving);
    assert!(factory.evolve().unwrap().is_none());
}
