//! A guest that traps or wants too much is stopped and named; nothing of its call is kept, and a
//! fresh instance goes on.

use std::time::{Duration, Instant};

use weir_component::Limits;
use weir_operator::{Failure, Limit, Trap};

use crate::{
    calls::counting,
    support::{Emits, Hand, OK, Running, data, engine, tight, words_le},
};

const LOOP: &str = "(loop $l (br $l)) unreachable";

/// A guest that does this if the first row of the call begins with `!`, and nothing otherwise.
fn provoked(deed: &str) -> Hand {
    Hand::process(format!(
        "(if (i32.eq (i32.load8_u (local.get $bytes)) (i32.const 33)) (then {deed}))
        i32.const {OK}"
    ))
}

/// The failure of a provoked guest, which works again afterwards.
fn provoke(hand: &Hand, limits: Limits) -> Failure {
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, limits);
    let failure = running.process(&["!"]).unwrap_err();
    assert!(failure.lost_instance(), "{failure:?}");
    running.operator.reset(&mut running.cx).unwrap();
    assert_eq!(running.process(&["a"]).unwrap(), [""; 0]);
    failure
}

fn trap(failure: Failure) -> Trap {
    match failure {
        Failure::Trap(trap) => *trap,
        other => panic!("{other:?}"),
    }
}

fn limit(failure: Failure) -> Limit {
    match failure {
        Failure::Limit(limit) => *limit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trap_tells_its_kind_its_place_and_what_the_guest_said_last() {
    let mut hand = provoked("(call $_ZN4cart4take17h0123456789abcdefE)");
    hand.items = format!(
        "{} (func $_ZN4cart4take17h0123456789abcdefE
            (call $log (i32.const 4) (i32.const 0xb00) (i32.const 12))
            unreachable)",
        data(0xb00, b"no more eggs")
    );
    let trap = trap(provoke(&hand, Limits::default()));
    assert!(trap.message.contains("`unreachable`"), "{}", trap.message);
    assert!(trap.message.contains("in `process`"), "{}", trap.message);
    assert!(
        trap.message.ends_with("it said last: no more eggs"),
        "{}",
        trap.message
    );
    assert_eq!(trap.backtrace, ["cart::take", "process"]);
}

#[test]
fn traps_of_the_machine_are_told_in_its_words() {
    let division = "(drop (i32.div_u (i32.const 1) (i32.const 0)))";
    let failure = trap(provoke(&provoked(division), Limits::default()));
    assert!(
        failure.message.contains("divide by zero"),
        "{}",
        failure.message
    );
    let outside = "(drop (i32.load (i32.const -4)))";
    let failure = trap(provoke(&provoked(outside), Limits::default()));
    assert!(
        failure.message.contains("out of bounds"),
        "{}",
        failure.message
    );
}

#[test]
fn endless_recursion_ends() {
    let mut hand = provoked("(call $deeper)");
    hand.items = "(func $deeper (call $deeper))".into();
    let failure = trap(provoke(&hand, Limits::default()));
    assert!(failure.message.contains("stack"), "{}", failure.message);
    assert!(failure.backtrace.len() <= 16, "{}", failure.backtrace.len());
}

#[test]
fn a_loop_is_interrupted_in_time() {
    let begun = Instant::now();
    let failure = limit(provoke(&provoked(LOOP), tight()));
    assert_eq!((failure.key, &*failure.value), ("time-per-call", "30ms"));
    assert_eq!(failure.backtrace, ["process"]);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_shorter_deadline_of_the_engine_wins() {
    let component = provoked(LOOP).load(&engine()).unwrap();
    let limits = Limits {
        time_per_call: Duration::from_secs(3600),
        ..Limits::default()
    };
    let mut running = Running::open(&component, limits);
    running.cx.deadline = Some(Duration::from_millis(20));
    let failure = limit(running.process(&["!"]).unwrap_err());
    assert_eq!((failure.key, &*failure.value), ("time-per-call", "20ms"));
}

#[test]
fn memory_stops_at_its_limit() {
    let grow = "(loop $l (br_if $l
        (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))";
    let failure = limit(provoke(&provoked(grow), tight()));
    assert_eq!((failure.key, &*failure.value), ("memory", "1MiB"));
    assert!(
        failure.message.contains("wanted 1088KiB"),
        "{}",
        failure.message
    );
}

#[test]
fn output_stops_at_its_limit() {
    // 1,025 bytes in two rows; then eleven empty rows.
    let bytes = Emits {
        bytes: (0x4000, 1025),
        ends: (0xb00, 2),
        ..Emits::default()
    };
    let rows = Emits {
        ends: (0x4000, 11),
        origin: (0x4000, 11),
        ..Emits::default()
    };
    for (emits, value) in [(bytes, "1KiB"), (rows, "10 rows")] {
        let mut hand = Hand::emits(emits);
        hand.items.push_str(&data(0xb00, &words_le(&[1000, 1025])));
        let component = hand.load(&engine()).unwrap();
        let mut running = Running::open(&component, tight());
        let failure = limit(running.process(&["a", "b"]).unwrap_err());
        assert_eq!((failure.key, &*failure.value), ("output", value));
    }
}

#[test]
fn a_claim_of_more_output_than_the_host_takes_is_not_even_copied() {
    // 1 MiB of bytes, where the limit is 1 KiB: refused while it is being lifted.
    let mut hand = Hand::emits(Emits {
        bytes: (0, 1 << 20),
        ends: (0xb00, 1),
        ..Emits::default()
    });
    hand.pages = 16;
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, tight());
    let failure = limit(running.process(&["a"]).unwrap_err());
    assert_eq!((failure.key, &*failure.value), ("output", "1KiB"));
    assert!(
        failure.message.contains("handed over more"),
        "{}",
        failure.message
    );
}

#[test]
fn a_fresh_instance_remembers_nothing() {
    let mut hand = counting();
    hand.process = format!(
        "(if (i32.eq (i32.load8_u (local.get $bytes)) (i32.const 33)) (then unreachable)) {}",
        hand.process
    );
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    assert_eq!(running.process(&["a"]).unwrap(), ["1"]);
    assert_eq!(running.process(&["a"]).unwrap(), ["2"]);
    running.process(&["!"]).unwrap_err();
    running.operator.reset(&mut running.cx).unwrap();
    assert_eq!(running.process(&["a"]).unwrap(), ["1"]);
}

#[test]
fn a_fresh_instance_is_opened_again() {
    let mut hand = counting();
    hand.open = format!("(global.set $calls (i32.const 5)) i32.const {OK}");
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    assert_eq!(running.process(&["a"]).unwrap(), ["6"]);
    running.operator.reset(&mut running.cx).unwrap();
    assert_eq!(running.process(&["a"]).unwrap(), ["6"]);
}

#[test]
fn an_instance_that_has_grown_is_replaced_unless_it_keeps_memory() {
    let grown = |keeps_memory| {
        let mut hand = counting();
        hand.keeps_memory = keeps_memory;
        hand.process = format!(
            "(if (i32.eq (i32.load8_u (local.get $bytes)) (i32.const 33))
                (then (drop (memory.grow (i32.const 256))))) {}",
            hand.process
        );
        let component = hand.load(&engine()).unwrap();
        let mut running = Running::open(&component, Limits::default());
        assert_eq!(running.process(&["!"]).unwrap(), ["1"]);
        running.process(&["a"]).unwrap()
    };
    assert_eq!(grown(false), ["1"]);
    assert_eq!(grown(true), ["2"]);
}

#[test]
fn what_keeps_memory_is_not_made_anew_behind_the_back_of_the_engine() {
    let mut hand = provoked("unreachable");
    hand.keeps_memory = true;
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    running.process(&["!"]).unwrap_err();
    let failure = running.process(&["a"]).unwrap_err();
    assert!(matches!(failure, Failure::Internal { .. }), "{failure:?}");
}
