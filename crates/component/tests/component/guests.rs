//! The example guests, built by `cargo xtask guests`: what a Rust author's code looks like from
//! here.

use std::{path::PathBuf, time::Duration};

use weir_component::{Component, Limits, Provider};
use weir_operator::Failure;
use weir_state::StateKind;

use crate::support::{Running, engine};

/// Loads an example guest. That it is missing fails the test: nothing would be tested.
fn guest(name: &str) -> Component {
    let top = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = top
        .join("guest-examples/target/components")
        .join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "the guest `{name}` is not built: run `cargo xtask guests`, or `./jw test`, which does it"
    );
    engine().load(&path, &Limits::default()).unwrap()
}

#[test]
fn passthrough_gives_rows_back() {
    let component = guest("passthrough");
    assert!(component.descriptor().states.is_empty());
    let mut running = Running::open(&component, Limits::default());
    assert_eq!(running.process(&["a", "", "bc"]).unwrap(), ["a", "", "bc"]);
    let cx = &mut running.cx;
    assert_eq!(running.operator.end_of_input(cx, 0).unwrap(), []);
    assert_eq!(running.operator.finish(cx).unwrap(), []);
}

#[test]
fn keyed_count_counts_across_calls_and_instances() {
    let component = guest("keyed-count");
    let [state] = &component.descriptor().states[..] else {
        panic!("{:?}", component.descriptor());
    };
    assert_eq!((&*state.name, state.kind), ("count", StateKind::Value));
    assert!(state.prefetch);
    let mut running = Running::open(&component, Limits::default());
    assert_eq!(
        running.process_keyed(&["a", "b", "a"]).unwrap(),
        ["a=1", "b=1", "a=2"]
    );
    running.operator.reset(&mut running.cx).unwrap();
    assert_eq!(running.process_keyed(&["b", "a"]).unwrap(), ["b=2", "a=3"]);
}

#[test]
fn guests_import_only_what_they_are_granted() {
    for name in [
        "flights-carriers",
        "flights-switches",
        "flights-worst",
        "word-lists",
    ] {
        let component = guest(name);
        let imports = &component.info().imports;
        assert!(
            imports.iter().all(|(_, by)| *by == Provider::Weir),
            "{name}: {imports:?}"
        );
        assert!(!component.descriptor().states.is_empty(), "{name}");
    }
}

/// The failure of the guest `misbehaving` on this row, after which a fresh instance goes on with
/// the state of before.
fn misbehaves(row: &str, limits: Limits) -> Failure {
    let component = guest("misbehaving");
    let mut running = Running::open(&component, limits);
    assert_eq!(running.process_keyed(&["a"]).unwrap(), ["a=1"]);
    let failure = running.process_keyed(&["a", row]).unwrap_err();
    running.operator.reset(&mut running.cx).unwrap();
    assert_eq!(running.process_keyed(&["a"]).unwrap(), ["a=2"], "{failure}");
    failure
}

#[test]
fn a_panic_is_told_with_its_message_and_the_authors_functions() {
    let Failure::Trap(trap) = misbehaves("!panic", Limits::default()) else {
        panic!("no trap");
    };
    assert!(trap.message.contains("as told"), "{}", trap.message);
    assert!(trap.message.contains("src/lib.rs"), "{}", trap.message);
    let first = &trap.backtrace[0];
    assert!(first.starts_with("misbehaving::"), "{:?}", trap.backtrace);
    assert!(!first.contains("::h"), "{first}");
}

#[test]
fn limits_hold_for_what_a_compiler_makes() {
    let limits = Limits {
        memory: 64 << 20,
        time_per_call: Duration::from_millis(500),
        output_bytes: 1 << 20,
        ..Limits::default()
    };
    let expected = [
        ("!loop", "limits.time-per-call` is 500ms"),
        ("!hog", "limits.memory` is 64MiB"),
        ("!flood", "limits.output` is 1MiB"),
        ("!fat-state", "limits.output` is 1MiB"),
        // The stack of compiled Rust lies at the bottom of linear memory.
        ("!recurse", "out of bounds memory access"),
        ("!abort", "`unreachable`"),
    ];
    for (row, words) in expected {
        let text = misbehaves(row, limits.clone()).to_string();
        assert!(text.contains(words), "{row}: no {words:?} in {text:?}");
    }
}
