//! The example guests, built by `cargo xtask guests`: what a Rust author's code looks like from
//! here.

use std::path::PathBuf;

use weir_component::{Component, Engine, EngineOptions, Limits, Provider};
use weir_state::StateKind;

use crate::support::{Running, engine};

/// Loads an example guest.
pub(crate) fn guest(name: &str) -> Component {
    guest_in(&engine(), name)
}

/// Loads an example guest into this engine. That it is missing fails the test: nothing would be
/// tested.
fn guest_in(engine: &Engine, name: &str) -> Component {
    let top = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = top
        .join("guest-examples/target/components")
        .join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "the guest `{name}` is not built: run `cargo xtask guests`, or `./jw test`, which does it"
    );
    engine.load(&path, &Limits::default()).unwrap()
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

#[test]
fn the_code_of_a_guest_is_compiled_once_and_then_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        cache: Some(folder.path().join("code")),
        ..EngineOptions::default()
    };
    // An engine each, as processes would have.
    let start = || guest_in(&Engine::new(&options).unwrap(), "keyed-count");
    let (first, second) = (start(), start());
    assert_eq!((first.info().cached, second.info().cached), (false, true));
    assert_eq!(first.info().digest, second.info().digest);
    assert_eq!(first.descriptor(), second.descriptor());
    // In fact some hundred times faster; a busy machine may disturb some of the starts.
    let compiled = first.info().compiled_in;
    let loaded = (0..5).map(|_| start().info().compiled_in).min().unwrap();
    assert!(loaded < compiled / 3, "{loaded:?} against {compiled:?}");
    let mut running = Running::open(&second, Limits::default());
    assert_eq!(running.process_keyed(&["a", "a"]).unwrap(), ["a=1", "a=2"]);
}

#[test]
fn subtasks_run_one_compiled_guest_on_threads_of_their_own() {
    let component = guest("keyed-count");
    let subtask = |key: &'static str| {
        let component = &component;
        move || {
            let mut running = Running::open(component, Limits::default());
            let counts = (0..100).map(|_| running.process_keyed(&[key, key]).unwrap());
            counts.last().unwrap()
        }
    };
    std::thread::scope(|scope| {
        let threads = ["a", "b", "c"].map(|key| scope.spawn(subtask(key)));
        let [a, b, c] = threads.map(|thread| thread.join().unwrap());
        assert_eq!(a, ["a=199", "a=200"]);
        assert_eq!(b, ["b=199", "b=200"]);
        assert_eq!(c, ["c=199", "c=200"]);
    });
}
