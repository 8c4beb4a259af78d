//! A guest that traps or wants too much is stopped and named; nothing of its call is kept, and a
//! fresh instance goes on.

use std::time::{Duration, Instant};

use weir_component::Limits;
use weir_operator::{Failure, Limit, Trap};

use crate::{
    calls::counting,
    support::{Emits, Hand, Host, OK, Running, data, engine, tight, words_le},
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
    assert!(
        failure.message.contains("call stack exhausted"),
        "{}",
        failure.message
    );
    assert_eq!(failure.backtrace, ["deeper (40+ times)"]);
}

#[test]
fn endless_recursion_through_the_host_ends() {
    // At the deepest point the host's own frames come on top.
    let put = format!(
        "(call $value-put (i32.const 0) (i32.const {OK}) (i32.const 1)
            (i32.const {OK}) (i32.const 1) (i32.const 0) (i32.const 0)
            (i32.const {OK}) (i32.const 1))"
    );
    let hand = Hand {
        states: vec!["count"],
        items: format!(
            "(func $deeper
                (call $log (i32.const 2) (i32.const 0) (i32.const 1)) {put} (call $deeper))"
        ),
        ..Hand::process("(call $deeper) unreachable")
    };
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    let failure = running.process_keyed(&["a"]).unwrap_err();
    let failure = trap(failure);
    assert!(
        failure.message.contains("stack exhausted"),
        "{}",
        failure.message
    );
}

#[test]
fn a_stack_in_memory_that_runs_out_is_told_as_one() {
    // As compilers do it: the frame is taken off a pointer that cannot go below 0.
    let mut hand = provoked("(call $deeper)");
    hand.items = "(global $stack (mut i32) (i32.const 0x800))
        (func $deeper
            (global.set $stack (i32.sub (global.get $stack) (i32.const 16)))
            (drop (i32.load (global.get $stack)))
            (call $deeper))"
        .into();
    let failure = trap(provoke(&hand, Limits::default()));
    let words = "its stack seems to have run out";
    assert!(failure.message.contains(words), "{}", failure.message);
}

#[test]
fn a_loop_is_interrupted_in_time() {
    let begun = Instant::now();
    let failure = limit(provoke(&provoked(LOOP), tight()));
    assert_eq!((failure.key, &*failure.value), ("time-per-call", "300ms"));
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
fn a_limit_of_time_without_end_never_interrupts() {
    let limits = Limits {
        time_per_call: Duration::MAX,
        ..Limits::default()
    };
    let component = counting().load(&engine()).unwrap();
    let mut running = Running::open(&component, limits);
    assert_eq!(running.process(&["a"]).unwrap(), ["1"]);
}

#[test]
fn the_deadline_of_the_engine_is_for_rows_and_not_for_a_fresh_instance() {
    // Some 100 ms and more, where the deadline is 10 ms.
    let slow = format!(
        "(local $i i32)
        (loop $l
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.ne (local.get $i) (i32.const 200000000))))
        i32.const {OK}"
    );
    let hand = Hand {
        open: slow,
        ..provoked(LOOP)
    };
    let component = hand.load(&engine()).unwrap();
    let limits = Limits {
        time_per_call: Duration::from_secs(3600),
        ..Limits::default()
    };
    let mut running = Running::open(&component, limits);
    running.cx.deadline = Some(Duration::from_millis(10));
    let failure = limit(running.process(&["!"]).unwrap_err());
    assert_eq!((failure.key, &*failure.value), ("time-per-call", "10ms"));
    running.operator.reset(&mut running.cx).unwrap();
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
    // More than any memory of 32 bits can have.
    let grow = "(drop (memory.grow (i32.const 65535)))";
    let failure = limit(provoke(&provoked(grow), tight()));
    assert_eq!((failure.key, &*failure.value), ("memory", "1MiB"));
}

#[test]
fn memory_that_cannot_be_had_is_no_breach_of_the_contract() {
    // More than the module itself allows, though less than the limit.
    let hand = Hand {
        most_pages: "4",
        ..provoked("(drop (memory.grow (i32.const 3)))")
    };
    let trap = trap(provoke(&hand, Limits::default()));
    let words = "wanted more memory than there can be";
    assert!(trap.message.contains(words), "{}", trap.message);
    assert_eq!(trap.backtrace, ["process"]);
}

#[test]
fn output_stops_at_its_limit() {
    // 1,025 bytes in two rows; then more empty rows than any call may emit.
    let bytes = Emits {
        bytes: (0x4000, 1025),
        ends: (0xb00, 2),
        ..Emits::default()
    };
    let rows = Emits {
        ends: (0x40000, 65_537),
        origin: (0x40000, 65_537),
        ..Emits::default()
    };
    let told = [
        (bytes, "`process` emitted 1025 bytes in one call"),
        (
            rows,
            "`process` emitted 65537 rows in one call, 65536 are the most",
        ),
    ];
    for (emits, message) in told {
        let mut hand = Hand::emits(emits);
        hand.pages = 16;
        hand.items.push_str(&data(0xb00, &words_le(&[1000, 1025])));
        let component = hand.load(&engine()).unwrap();
        let mut running = Running::open(&component, tight());
        let failure = limit(running.process(&["a", "b"]).unwrap_err());
        // What the message says to raise bounds the rows as well.
        assert_eq!((failure.key, &*failure.value), ("output", "1KiB"));
        assert_eq!(failure.message, message);
    }
}

#[test]
fn a_claim_of_more_output_than_the_host_takes_is_not_even_copied() {
    // 4 MiB of bytes, where the limit is 1 KiB: refused while it is being lifted.
    let mut result = Hand::emits(Emits {
        bytes: (0, 4 << 20),
        ends: (0xb00, 1),
        ..Emits::default()
    });
    result.pages = 64;
    // The same in what is passed to an import.
    let mut argument = Hand::process(format!(
        "(call $log (i32.const 2) (i32.const 0) (i32.const {})) i32.const {OK}",
        4 << 20
    ));
    argument.pages = 64;
    let limits = Limits {
        memory: 8 << 20,
        ..tight()
    };
    for hand in [result, argument] {
        let component = hand.load(&engine()).unwrap();
        let mut running = Running::open(&component, limits.clone());
        let failure = limit(running.process(&["a"]).unwrap_err());
        assert_eq!((failure.key, &*failure.value), ("output", "1KiB"));
        let message = "`process` handed over more than it may in one call";
        assert_eq!(failure.message, message);
    }
}

#[test]
fn entries_of_state_count_also_without_a_byte() {
    // Absent values, all for key 0; columns of zeros as long as one likes.
    let put = |entries: u32| {
        let zeros = format!("(i32.const 0x8000) (i32.const {entries})");
        let put = format!(
            "(call $value-put (i32.const 0) {zeros} {zeros} (i32.const 0) (i32.const 0) {zeros})"
        );
        let hand = Hand {
            states: vec!["count"],
            ..Hand::process(format!("{put} i32.const {OK}"))
        };
        let component = hand.load(&engine()).unwrap();
        let mut running = Running::open(&component, tight());
        running.process_keyed(&["a"])
    };
    assert_eq!(put(32).unwrap(), [""; 0]);
    let failure = limit(put(33).unwrap_err());
    assert_eq!((failure.key, &*failure.value), ("output", "1KiB"));
    let message = "`process` wrote more to state in one call than it may";
    assert_eq!(failure.message, message);
    assert_eq!(failure.backtrace, ["process"]);
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
fn an_instance_that_does_not_open_gets_no_rows() {
    // The first instance opens, the next does not, a third would.
    let component = opens_unless("0x31").load(&engine()).unwrap();
    let mut running = Running::configured(&component, Limits::default(), "0");
    running.process(&["a"]).unwrap();
    running.cx.config = "1".into();
    let failure = running.operator.reset(&mut running.cx).unwrap_err();
    assert_eq!(failure.to_string(), "the component reports: no");
    // What runs now was opened, or this is the same error again.
    let failure = running.process(&["a"]).unwrap_err();
    assert_eq!(failure.to_string(), "the component reports: no");
    running.cx.config = "0".into();
    running.process(&["a"]).unwrap();
}

/// A guest that refuses to open where its configuration begins with this byte.
fn opens_unless(byte: &str) -> Hand {
    let config = "(import \"weir:operator/context@0.1.0\" (instance $context
        (export \"config\" (func (result string)))))";
    Hand {
        imports: config.into(),
        host: Host {
            functions: "(core func $config (canon lower (func $context \"config\")
                (memory (core memory $libc \"memory\")) (realloc (core func $libc \"realloc\"))))"
                .into(),
            exports: "(export \"config\" (func $config))".into(),
            imports: "(import \"host\" \"config\" (func $config (param i32)))".into(),
        },
        items: [data(0xd00, &words_le(&[1, 0xd10, 2])), data(0xd10, b"no")].concat(),
        open: format!(
            "(call $config (i32.const 0xe00))
            (if (result i32)
                (i32.eq (i32.load8_u (i32.load (i32.const 0xe00))) (i32.const {byte}))
                (then (i32.const 0xd00))
                (else (i32.const {OK})))"
        ),
        ..Hand::default()
    }
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
