//! State of the subtask by its imports: who may use it when, and what a breach is told as.

use weir_component::{Error, Limits};
use weir_model::Column;
use weir_operator::Failure;
use weir_state::StateIndex;

use crate::support::{
    BROADCAST, Hand, Host, OK, OPERATOR_LIST, Running, data, engine, texts, tight, words_le,
};

/// Writes `ab`, `c` to the list of state 0.
const SET: &str = "(call $operator-set (i32.const 0) (i32.const 0xc00) (i32.const 3)
    (i32.const 0xc10) (i32.const 2))";
/// Puts `ab` under the key `c` of state 0.
const PUT: &str = "(call $broadcast-put (i32.const 0) (i32.const 0xc02) (i32.const 1)
    (i32.const 0xc18) (i32.const 1)
    (i32.const 0xc20) (i32.const 1) (i32.const 0xc00) (i32.const 2)
    (i32.const 0xc10) (i32.const 1))";
/// Reads the list of state 0 to 0xd00.
const GET: &str = "(call $operator-get (i32.const 0) (i32.const 0xd00))";

/// A guest that can use the state of its subtask; all its states are of this kind.
pub(crate) fn stateful(kind: u32) -> Hand {
    let lower = |name: &str| {
        format!(
            "(core func ${name} (canon lower (func $state \"{name}\")
                (memory (core memory $libc \"memory\")) (realloc (core func $libc \"realloc\"))))"
        )
    };
    let names = [
        "operator-get",
        "operator-set",
        "broadcast-put",
        "apply-to-keys",
    ];
    let export = |name: &str| format!("(export \"{name}\" (func ${name}))");
    Hand {
        states: vec!["count"],
        kind,
        host: Host {
            functions: names.map(lower).concat(),
            exports: names.map(export).concat(),
            imports: "(import \"host\" \"operator-get\" (func $operator-get (param i32 i32)))
                (import \"host\" \"operator-set\"
                    (func $operator-set (param i32 i32 i32 i32 i32)))
                (import \"host\" \"broadcast-put\" (func $broadcast-put
                    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
                (import \"host\" \"apply-to-keys\" (func $apply-to-keys (param i32 i32 i32)))"
                .into(),
        },
        items: [
            data(0xc00, b"abc"),
            data(0xc10, &words_le(&[2, 3, 1])),
            data(0xc20, &[1]),
        ]
        .concat(),
        ..Hand::default()
    }
}

/// A guest that does this in `process`.
fn processing(kind: u32, deed: &str) -> Hand {
    Hand {
        process: format!("{deed} i32.const {OK}"),
        ..stateful(kind)
    }
}

/// The failure of a row of a data input.
fn fails(hand: &Hand) -> Failure {
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    running.process(&["a"]).unwrap_err()
}

#[track_caller]
fn assert_broken(failure: &Failure, words: &str) {
    let text = failure.to_string();
    assert!(matches!(failure, Failure::Contract { .. }), "{failure:?}");
    assert!(text.contains(words), "no {words:?} in {text:?}");
    assert!(text.contains("\n   0: "), "no place in {text:?}");
}

fn list(running: &Running) -> Vec<String> {
    let mut list = Column::new();
    let state = &running.cx.operator_state;
    state.list_get(StateIndex(0), &mut list).unwrap();
    texts(&list)
}

#[test]
fn a_list_is_replaced_in_open_process_and_finish() {
    let once = |hand: Hand, call: fn(&mut Running)| {
        let component = hand.load(&engine()).unwrap();
        let mut running = Running::start(&component, Limits::default()).unwrap();
        call(&mut running);
        list(&running)
    };
    let set = format!("{SET} i32.const {OK}");
    let open = Hand {
        open: set.clone(),
        ..stateful(OPERATOR_LIST)
    };
    let opened = once(open, |running| {
        running.call(false, None, |o, cx| o.open(cx)).unwrap();
    });
    assert_eq!(opened, ["ab", "c"]);
    let process = Hand {
        process: set.clone(),
        ..stateful(OPERATOR_LIST)
    };
    let processed = once(process, |running| {
        running.process(&["a"]).unwrap();
    });
    assert_eq!(processed, ["ab", "c"]);
    let finish = Hand {
        finish: set,
        ..stateful(OPERATOR_LIST)
    };
    let finished = once(finish, |running| {
        running.call(false, None, |o, cx| o.finish(cx)).unwrap();
    });
    assert_eq!(finished, ["ab", "c"]);
}

#[test]
fn what_is_written_when_an_instance_is_opened_again_is_dropped() {
    let hand = Hand {
        open: format!("{SET} i32.const {OK}"),
        // `!` makes it grow so much that it is replaced before the next call.
        process: format!(
            "(if (i32.eq (i32.load8_u (local.get $bytes)) (i32.const 33))
                (then (drop (memory.grow (i32.const 256)))))
            i32.const {OK}"
        ),
        ..stateful(OPERATOR_LIST)
    };
    let component = hand.load(&engine()).unwrap();
    let opened = || {
        let mut running = Running::start(&component, Limits::default()).unwrap();
        running.call(false, None, |o, cx| o.open(cx)).unwrap();
        assert_eq!(list(&running), ["ab", "c"], "the first time counts");
        let emptied = running.call(false, None, |_, cx| {
            let empty = Column::new();
            Ok(cx.operator_state.list_set(StateIndex(0), empty)?)
        });
        emptied.unwrap();
        running
    };
    let mut replaced = opened();
    replaced.process(&["!"]).unwrap();
    replaced.process(&["a"]).unwrap();
    assert_eq!(list(&replaced), [""; 0]);
    // As the engine does to run rows again.
    let mut reset = opened();
    reset.operator.reset(&mut reset.cx).unwrap();
    assert_eq!(list(&reset), [""; 0]);
    reset.process(&["a"]).unwrap();
    assert_eq!(list(&reset), [""; 0]);
}

#[test]
fn what_a_failed_call_wrote_is_gone() {
    let hand = processing(OPERATOR_LIST, &format!("{SET} unreachable"));
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    running.process(&["a"]).unwrap_err();
    assert_eq!(list(&running), [""; 0]);
}

#[test]
fn broadcast_state_is_written_for_rows_of_a_broadcast_input_only() {
    let component = processing(BROADCAST, PUT).load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    running.process_input(0, true, &["a"]).unwrap();
    let mut entries = weir_state::EntriesColumn::default();
    let state = &running.cx.operator_state;
    state
        .map_scan(StateIndex(0), None, 10, &mut entries)
        .unwrap();
    assert_eq!(
        (texts(&entries.keys), texts(&entries.values)),
        (vec!["c".into()], vec!["ab".into()])
    );

    let failure = fails(&processing(BROADCAST, PUT));
    assert_broken(&failure, "`state.broadcast-put`: broadcast state `count`");
    // Where there are no rows at all, it is the call that is named.
    let hand = Hand {
        open: format!("{PUT} i32.const {OK}"),
        ..stateful(BROADCAST)
    };
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::start(&component, Limits::default()).unwrap();
    let failure = running.call(true, None, |o, cx| o.open(cx)).unwrap_err();
    assert_broken(
        &failure,
        "`state.broadcast-put` cannot be used in `open`: broadcast state is",
    );
}

#[test]
fn state_of_another_kind_or_of_none_is_named() {
    let failure = fails(&processing(crate::support::VALUE, GET));
    let words = "`state.operator-get`: state `count` was declared as value state";
    assert_broken(&failure, words);
    let failure = fails(&processing(OPERATOR_LIST, PUT));
    let words = "`state.broadcast-put`: state `count` was declared as operator-list state";
    assert_broken(&failure, words);
    let undeclared = GET.replace("(i32.const 0)", "(i32.const 7)");
    let failure = fails(&processing(OPERATOR_LIST, &undeclared));
    let words = "`state.operator-get`: state 7 was not declared; the component declares 1 state";
    assert_broken(&failure, words);
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    // Ends that fall, and ends that do not cover the bytes.
    for ends in ["0xc14", "0xc18"] {
        let set = SET.replace("0xc10", ends);
        let failure = fails(&processing(OPERATOR_LIST, &set));
        assert_broken(&failure, "`state.operator-set`: ");
    }
}

#[test]
fn describe_has_no_state() {
    let hand = Hand {
        describe: format!("{GET} i32.const 0x100"),
        ..stateful(OPERATOR_LIST)
    };
    let error = hand.load(&engine()).unwrap_err();
    assert!(matches!(error, Error::Describe { .. }), "{error:?}");
    let words = "`state.operator-get` cannot be used in `describe`";
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn calls_for_all_keys_are_asked_for_of_keyed_state_and_in_process() {
    let apply = "(call $apply-to-keys (i32.const 0) (i32.const 0) (i32.const 0))";
    let failure = fails(&processing(BROADCAST, apply));
    assert_broken(
        &failure,
        "state `count` was declared as broadcast state and used as keyed state",
    );
    let hand = Hand {
        open: format!("{apply} i32.const {OK}"),
        ..stateful(BROADCAST)
    };
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::start(&component, Limits::default()).unwrap();
    let failure = running.operator.open(&mut running.cx).unwrap_err();
    assert_broken(&failure, "`state.apply-to-keys` cannot be used in `open`");
}

#[test]
fn writes_to_state_of_the_subtask_are_counted_as_those_to_keyed_state_are() {
    // Empty items and entries, which cost the host something as well.
    let set = |items: u32| {
        format!(
            "(call $operator-set (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0x8000) (i32.const {items}))"
        )
    };
    let put = |entries: u32| {
        let zeros = format!("(i32.const 0x8000) (i32.const {entries})");
        format!(
            "(call $broadcast-put (i32.const 0) (i32.const 0) (i32.const 0) {zeros}
                {zeros} (i32.const 0) (i32.const 0) {zeros})"
        )
    };
    let run = |kind, deed: String| {
        let component = processing(kind, &deed).load(&engine()).unwrap();
        let mut running = Running::open(&component, tight());
        running.process_input(0, true, &["a"])
    };
    for (kind, fits, too_much) in [
        (OPERATOR_LIST, set(32), set(33)),
        (BROADCAST, put(32), put(33)),
    ] {
        assert_eq!(run(kind, fits.clone()).unwrap(), [""; 0]);
        // All writes of a call count together.
        for deed in [too_much, format!("{fits} {fits}")] {
            let Failure::Limit(limit) = run(kind, deed).unwrap_err() else {
                panic!("no limit");
            };
            assert_eq!((limit.key, &*limit.value), ("output", "1KiB"));
            let message = "`process` wrote more to state in one call than it may";
            assert_eq!(limit.message, message);
        }
    }
}
