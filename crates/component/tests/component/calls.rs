//! What a component may do in a call, and what breaks the contract.

use weir_component::{ComponentFactory, Limits};
use weir_operator::{Failure, OperatorFactory};

use crate::support::{Emits, Hand, OK, Running, data, engine, task, words_le};

/// Emits the rows of the call as they came.
pub(crate) const ECHO: &str = "
    (i32.store (i32.const 0x904) (i32.const 0xa00))
    (i32.store (i32.const 0x908) (i32.const 1))
    (i32.store (i32.const 0xa04) (local.get $bytes))
    (i32.store (i32.const 0xa08) (local.get $bytes-len))
    (i32.store (i32.const 0xa0c) (local.get $ends))
    (i32.store (i32.const 0xa10) (local.get $ends-len))
    i32.const 0x900";

/// Returns slots for state 0: those that came with the call.
const KEEP_SLOTS: &str = "
    (i32.store (i32.const 0x90c) (local.get $slots))
    (i32.store (i32.const 0x910) (local.get $slots-len))
    i32.const 0x900";

/// Emits one row, the number of calls of this instance so far, as a digit.
pub(crate) fn counting() -> Hand {
    Hand {
        items: format!(
            "(global $calls (mut i32) (i32.const 0)) {}",
            data(0xb00, &words_le(&[1, 0]))
        ),
        ..Hand::process(
            "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (i32.store8 (i32.const 0xb10) (i32.add (global.get $calls) (i32.const 48)))
            (i32.store (i32.const 0x904) (i32.const 0xa00))
            (i32.store (i32.const 0x908) (i32.const 1))
            (i32.store (i32.const 0xa04) (i32.const 0xb10))
            (i32.store (i32.const 0xa08) (i32.const 1))
            (i32.store (i32.const 0xa0c) (i32.const 0xb00))
            (i32.store (i32.const 0xa10) (i32.const 1))
            i32.const 0x900",
        )
    }
}

/// The failure of a call with two rows.
fn fails(hand: &Hand) -> Failure {
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    running.process(&["a", "b"]).unwrap_err()
}

fn assert_broken(failure: &Failure, words: &str) {
    let text = failure.to_string();
    assert!(matches!(failure, Failure::Contract { .. }), "{failure:?}");
    assert!(text.contains(words), "no {words:?} in {text:?}");
}

#[test]
fn rows_go_in_and_come_out() {
    let component = Hand::process(ECHO).load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    assert_eq!(running.process(&["a", "", "bc"]).unwrap(), ["a", "", "bc"]);
    assert_eq!(running.process(&[]).unwrap(), [""; 0]);
}

#[test]
fn subtasks_share_the_compiled_component_and_nothing_else() {
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    let factory: ComponentFactory = counting()
        .load(&engine())
        .unwrap()
        .factory(Limits::default());
    is_shared(&factory);
    // The engine's own handle is gone; the component keeps all that its instances need.
    let component = counting().load(&engine()).unwrap();
    let run = || {
        let mut running = Running::open(&component, Limits::default());
        [
            running.process(&["x"]).unwrap(),
            running.process(&["x"]).unwrap(),
        ]
        .concat()
    };
    let (one, other) = std::thread::scope(|scope| {
        let threads = [scope.spawn(run), scope.spawn(run)];
        let [one, other] = threads.map(|thread| thread.join().unwrap());
        (one, other)
    });
    assert_eq!(one, ["1", "2"]);
    assert_eq!(other, ["1", "2"]);
    assert!(factory.create(&task(1)).is_ok());
}

#[test]
fn an_error_that_is_returned_leaves_the_instance_alone() {
    let hand = Hand {
        items: format!(
            "{}{}",
            data(0x900, &words_le(&[1, 0xb00, 6])),
            data(0xb00, b"no way")
        ),
        ..Hand::process("i32.const 0x900")
    };
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    for _ in 0..2 {
        let failure = running.process(&["a"]).unwrap_err();
        assert!(!failure.lost_instance());
        assert_eq!(failure.to_string(), "the component reports: no way");
    }
}

#[test]
fn slots_are_written_back() {
    let hand = Hand {
        states: vec!["count"],
        prefetch: true,
        ..Hand::process(KEEP_SLOTS)
    };
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    assert_eq!(running.process_keyed(&["a", "b", "a"]).unwrap(), [""; 0]);
    // Without a key there is nothing that a slot could be for.
    let element = words_le(&[0, 0, 0, 0, 0, 0, 0]);
    let hand = Hand {
        states: vec!["count"],
        items: format!(
            "{}{}",
            data(0x900, &words_le(&[0, 0, 0, 0xa00, 1])),
            data(0xa00, &element)
        ),
        ..Hand::process("i32.const 0x900")
    };
    let failure = fails(&hand);
    assert!(matches!(failure, Failure::Contract { .. }), "{failure:?}");
}

#[test]
fn state_that_is_not_declared_cannot_be_written() {
    // State 7, key 0, one value that is absent.
    let put = format!(
        "(call $value-put (i32.const 7) (i32.const {OK}) (i32.const 1)
            (i32.const {OK}) (i32.const 1) (i32.const 0) (i32.const 0)
            (i32.const {OK}) (i32.const 1))
        i32.const {OK}"
    );
    let hand = Hand {
        states: vec!["count"],
        ..Hand::process(put)
    };
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    let failure = running.process_keyed(&["a"]).unwrap_err();
    assert_broken(&failure, "`state.value-put`: state 7 was not declared");
    // Where in the guest, as for a trap.
    assert_broken(&failure, "\n   0: process");
}

#[test]
fn a_state_is_not_both_put_and_returned() {
    // The slots that came with the call are returned, as the value of key 0 was put.
    let put = format!(
        "(call $value-put (i32.const 0) (i32.const {OK}) (i32.const 1)
            (i32.const {OK}) (i32.const 1) (i32.const 0) (i32.const 0)
            (i32.const {OK}) (i32.const 1))"
    );
    let hand = Hand {
        states: vec!["count"],
        prefetch: true,
        ..Hand::process(format!("{put} {KEEP_SLOTS}"))
    };
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    let failure = running.process_keyed(&["a"]).unwrap_err();
    let words = "`process` returned wrong `slots`: a call may not both return slots for state \
                 `count` and write to it";
    assert_broken(&failure, words);
}

#[test]
fn keyed_state_is_for_the_keys_of_a_batch() {
    let zeros = "(i32.const 0) ".repeat(9);
    let hand = Hand {
        open: format!("(call $value-put {zeros}) i32.const {OK}"),
        states: vec!["count"],
        ..Hand::default()
    };
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::start(&component, Limits::default()).unwrap();
    let failure = running.operator.open(&mut running.cx).unwrap_err();
    assert_broken(&failure, "`state.value-put` cannot be used in `open`");
}

#[test]
fn columns_that_do_not_fit_break_the_contract() {
    let words = data(0xb00, &words_le(&[2, 1, 3, 0, 9]));
    let with = |emits: Emits| {
        let mut hand = Hand::emits(emits);
        hand.items.push_str(&words);
        fails(&hand)
    };
    let two = Emits {
        bytes: (0xc00, 3),
        ends: (0xb00 + 4, 2),
        ..Emits::default()
    };
    // Falling ends, and ends that do not cover the bytes.
    let falling = Emits {
        ends: (0xb00, 3),
        ..two
    };
    assert_broken(&with(falling), "emitted[0].values");
    let short = Emits {
        bytes: (0xc00, 4),
        ..two
    };
    assert_broken(&with(short), "4 bytes");
    let output = Emits { output: 1, ..two };
    assert_broken(&with(output), "emitted[0].output");
    let origin = Emits {
        origin: (0xb00 + 12, 2),
        ..two
    };
    assert_broken(&with(origin), "entry 1 is 9, of 2 rows");
    let timestamps = Emits {
        timestamps: (0xb00, 1),
        ..two
    };
    assert_broken(&with(timestamps), "emitted[0].timestamps");
    let nowhere = Emits {
        bytes: (0x7fff_0000, 3),
        ..two
    };
    assert_broken(&with(nowhere), "`process`");
}
