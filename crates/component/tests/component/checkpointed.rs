//! The optional interface `checkpointed`: what is refused when a component is loaded, and what
//! becomes of calls that fail, take too long or return too much.

use weir_component::{Engine, Error, Limits};
use weir_model::CheckpointId;
use weir_operator::Failure;

use crate::{
    operator_state::stateful,
    support::{Hand, OK, OPERATOR_LIST, Running, data, engine, tight, words_le},
};

const NAME: &str = "weir:operator/checkpointed@0.1.0";

/// Functions of `checkpointed`: their bodies in the core module, and their types.
struct Functions {
    initialize: String,
    snapshot: String,
    complete: String,
    snapshot_type: &'static str,
    missing: &'static str,
}

impl Default for Functions {
    fn default() -> Self {
        Self {
            initialize: format!("i32.const {OK}"),
            snapshot: format!("i32.const {OK}"),
            complete: String::new(),
            snapshot_type: "(param \"checkpoint\" u64)
                (result (result (list (list u8)) (error string)))",
            missing: "",
        }
    }
}

impl Functions {
    /// A guest with these functions.
    fn of(self, mut hand: Hand) -> Hand {
        let Self {
            initialize,
            snapshot,
            complete,
            snapshot_type,
            missing,
        } = self;
        hand.items.push_str(&format!(
            "(func (export \"initialize\") (param $restored i32) (param $raw i32)
                (param $raw-len i32) (result i32) {initialize})
            (func (export \"snapshot\") (param $checkpoint i64) (result i32) {snapshot})
            (func (export \"complete\") (param $checkpoint i64) {complete})
            (func (export \"aborted\") (param $checkpoint i64))"
        ));
        let memory = "(memory (core memory $libc \"memory\"))";
        let exports: String = ["initialize", "snapshot", "complete", "aborted"]
            .into_iter()
            .filter(|name| *name != missing)
            .map(|name| format!("(export \"{name}\" (func ${name}))"))
            .collect();
        hand.exports.push_str(&format!(
            "(func $initialize (param \"restored\" bool) (param \"raw\" (list (list u8)))
                (result (result (error string)))
                (canon lift (core func $guest \"initialize\") {memory}
                    (realloc (core func $libc \"realloc\"))))
            (func $snapshot {snapshot_type} (canon lift (core func $guest \"snapshot\") {memory}))
            (func $complete (param \"checkpoint\" u64)
                (canon lift (core func $guest \"complete\")))
            (func $aborted (param \"checkpoint\" u64)
                (canon lift (core func $guest \"aborted\")))
            (instance $checkpointed {exports})
            (export \"{NAME}\" (instance $checkpointed))"
        ));
        hand
    }

    fn load(self, engine: &Engine) -> Result<weir_component::Component, Error> {
        self.of(Hand::default()).load(engine)
    }
}

/// What `snapshot` returns: so many pieces, all of them these bytes.
fn pieces(count: u32, at: u32, len: u32) -> (String, String) {
    let lists: Vec<u32> = (0..count).flat_map(|_| [at, len]).collect();
    let items = [
        data(0x900, &words_le(&[0, 0x20000, count])),
        data(0x20000, &words_le(&lists)),
    ];
    (items.concat(), "i32.const 0x900".into())
}

#[track_caller]
fn limit(failure: Failure) -> weir_operator::Limit {
    match failure {
        Failure::Limit(limit) => *limit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_component_that_saves_something_itself_says_so_and_keeps_memory() {
    let component = Functions::default().load(&engine()).unwrap();
    let descriptor = component.descriptor();
    assert!(descriptor.checkpointed && descriptor.keeps_memory);
    assert!(component.info().exports.contains(&NAME.to_owned()));
    let plain = Hand::default().load(&engine()).unwrap();
    assert!(!plain.descriptor().checkpointed);
}

#[test]
fn a_function_of_another_type_or_none_is_refused_when_the_component_is_loaded() {
    let told = |functions: Functions| {
        let error = functions.load(&engine()).unwrap_err();
        assert_eq!(error.code(), "W0309", "{error}");
        error.to_string()
    };
    let missing = told(Functions {
        missing: "aborted",
        ..Functions::default()
    });
    let words = format!("`{NAME}` has no function `aborted`");
    assert!(missing.contains(&words), "{missing}");
    let other = told(Functions {
        snapshot_type: "(param \"checkpoint\" u64) (result u32)",
        ..Functions::default()
    });
    let words = format!("function `snapshot` of `{NAME}`: ");
    assert!(other.contains(&words), "{other}");
    assert!(other.contains("expected `result`"), "{other}");
}

#[test]
fn raw_state_goes_out_in_pieces_and_comes_back() {
    // It keeps where its raw state lies, and returns the same list.
    let functions = Functions {
        initialize: format!(
            "(if (local.get $restored) (then
                (i32.store (i32.const 0x904) (local.get $raw))
                (i32.store (i32.const 0x908) (local.get $raw-len))))
            i32.const {OK}"
        ),
        snapshot: "i32.const 0x900".into(),
        ..Functions::default()
    };
    let component = functions.load(&engine()).unwrap();
    let raw = [b"ab".to_vec(), Vec::new(), b"c".to_vec()];
    let again = |restored| {
        let mut running = Running::start(&component, Limits::default()).unwrap();
        running.initialize(restored, &raw).unwrap();
        running.operator.open(&mut running.cx).unwrap();
        running.snapshot(1).unwrap()
    };
    assert_eq!(again(true), raw);
    assert!(again(false).is_empty());
}

#[test]
fn a_component_without_the_interface_has_nothing_to_save() {
    let component = Hand::default().load(&engine()).unwrap();
    let mut running = Running::start(&component, Limits::default()).unwrap();
    running.initialize(true, &[b"left".to_vec()]).unwrap();
    assert!(running.snapshot(1).unwrap().is_empty());
    running
        .operator
        .complete(&mut running.cx, CheckpointId(1))
        .unwrap();
    running
        .operator
        .aborted(&mut running.cx, CheckpointId(2))
        .unwrap();
}

#[test]
fn a_snapshot_that_is_refused_leaves_the_instance_alone() {
    let mut hand = Functions {
        // The first checkpoint is refused, the next is not.
        snapshot: format!(
            "(select (i32.const 0x900) (i32.const {OK})
                (i64.eq (local.get $checkpoint) (i64.const 1)))"
        ),
        ..Functions::default()
    }
    .of(Hand::default());
    let refusal = [
        data(0x900, &words_le(&[1, 0xb00, 7])),
        data(0xb00, b"not now"),
    ];
    hand.items.push_str(&refusal.concat());
    let component = hand.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    let failure = running.snapshot(1).unwrap_err();
    assert!(!failure.lost_instance());
    assert_eq!(failure.to_string(), "the component reports: not now");
    assert!(running.snapshot(2).unwrap().is_empty());
    running.process(&["a"]).unwrap();
}

#[test]
fn a_snapshot_that_does_not_come_back_is_interrupted() {
    let functions = Functions {
        snapshot: "(loop $l (br $l)) unreachable".into(),
        ..Functions::default()
    };
    let component = functions.load(&engine()).unwrap();
    let mut running = Running::open(&component, tight());
    let failure = running.snapshot(1).unwrap_err();
    assert!(failure.lost_instance());
    let limit = limit(failure);
    assert_eq!((limit.key, &*limit.value), ("time-per-call", "300ms"));
    assert_eq!(limit.message, "`snapshot` took too long");
}

#[test]
fn raw_state_has_a_limit() {
    let told = |count, len| {
        let (items, snapshot) = pieces(count, 0, len);
        let mut hand = Functions {
            snapshot,
            ..Functions::default()
        }
        .of(Hand::default());
        hand.pages = 4;
        hand.items.push_str(&items);
        let component = hand.load(&engine()).unwrap();
        Running::open(&component, tight()).snapshot(1)
    };
    assert_eq!(told(2, 480).unwrap().concat().len(), 960);
    let bytes = limit(told(2, 481).unwrap_err());
    assert_eq!((bytes.key, &*bytes.value), ("output", "1KiB"));
    let words = "`snapshot` returned raw state of 962 bytes in 2 pieces, each of which counts 32 \
                 bytes more";
    assert_eq!(bytes.message, words);
    // Empty ones are not for nothing.
    assert_eq!(told(32, 0).unwrap().len(), 32);
    let pieces = limit(told(33, 0).unwrap_err());
    assert!(
        pieces.message.contains("0 bytes in 33 pieces"),
        "{}",
        pieces.message
    );
}

#[test]
fn a_claim_of_more_raw_state_than_the_host_takes_is_not_even_copied() {
    // One piece of which 4 MiB are claimed, ten thousand times.
    let (items, snapshot) = pieces(8_000, 0, 4 << 20);
    let mut hand = Functions {
        snapshot,
        ..Functions::default()
    }
    .of(Hand::default());
    hand.pages = 80;
    hand.items.push_str(&items);
    let component = hand.load(&engine()).unwrap();
    let limits = Limits {
        memory: 16 << 20,
        ..tight()
    };
    let limit = limit(Running::open(&component, limits).snapshot(1).unwrap_err());
    assert_eq!((limit.key, &*limit.value), ("output", "1KiB"));
    assert_eq!(
        limit.message,
        "`snapshot` handed over more than it may in one call"
    );
}

#[test]
fn an_instance_that_could_not_take_its_raw_state_is_not_opened() {
    // The allocator of these guests does not grow memory: what is beyond it is out of bounds.
    let component = Functions::default().load(&engine()).unwrap();
    let mut running = Running::start(&component, Limits::default()).unwrap();
    let failure = running.initialize(true, &[vec![0; 1 << 20]]).unwrap_err();
    assert!(failure.to_string().contains("`initialize`"), "{failure}");
    // What it was given is in no instance, so none is opened.
    let failure = running.operator.open(&mut running.cx).unwrap_err();
    assert!(matches!(failure, Failure::Internal { .. }), "{failure:?}");
}

#[test]
fn what_was_given_what_it_had_saved_is_not_made_anew() {
    let component = Functions::default().load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    let failure = running.operator.reset(&mut running.cx).unwrap_err();
    assert!(
        failure.to_string().contains("has to be restored"),
        "{failure}"
    );
}

#[test]
fn a_trap_in_a_notification_says_where() {
    let functions = Functions {
        complete: "unreachable".into(),
        ..Functions::default()
    };
    let component = functions.load(&engine()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    let complete = running.operator.complete(&mut running.cx, CheckpointId(1));
    let failure = complete.unwrap_err();
    assert!(failure.lost_instance());
    assert!(failure.to_string().contains("in `complete`"), "{failure}");
}

#[test]
fn state_is_set_in_initialize_and_snapshot_and_out_of_reach_in_complete() {
    let set = "(call $operator-set (i32.const 0) (i32.const 0xc00) (i32.const 3)
        (i32.const 0xc10) (i32.const 2))";
    let functions = Functions {
        initialize: format!("{set} i32.const {OK}"),
        snapshot: format!("{set} i32.const {OK}"),
        complete: "(call $operator-get (i32.const 0) (i32.const 0xd00))".into(),
        ..Functions::default()
    };
    let component = functions
        .of(stateful(OPERATOR_LIST))
        .load(&engine())
        .unwrap();
    let mut running = Running::open(&component, Limits::default());
    running.snapshot(1).unwrap();
    let failure = running
        .operator
        .complete(&mut running.cx, CheckpointId(1))
        .unwrap_err();
    let words = "`state.operator-get` cannot be used in `complete`: it only tells what became of a \
                 checkpoint";
    assert!(matches!(failure, Failure::Contract { .. }), "{failure:?}");
    assert!(failure.to_string().contains(words), "{failure}");
}

#[test]
fn keyed_state_is_out_of_reach_in_a_snapshot() {
    let zeros = "(i32.const 0) ".repeat(9);
    let functions = Functions {
        snapshot: format!("(call $value-put {zeros}) i32.const {OK}"),
        ..Functions::default()
    };
    let component = functions.load(&engine()).unwrap();
    let failure = Running::open(&component, Limits::default())
        .snapshot(1)
        .unwrap_err();
    let words = "`state.value-put` cannot be used in `snapshot`: keyed state belongs to the keys";
    assert!(failure.to_string().contains(words), "{failure}");
}
