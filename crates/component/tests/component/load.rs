//! What is no operator is refused before anything starts, with a code and words that say why.

use std::path::Path;

use weir_component::{Error, Limits, Provider};

use crate::support::{Hand, engine, tight};

/// The error that loading this text gives.
fn refused(wat: &str) -> Error {
    engine()
        .load_bytes(&wat::parse_str(wat).unwrap(), &Limits::default())
        .unwrap_err()
}

fn assert_error(error: &Error, code: &str, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine();
    let error = engine
        .load(&folder.path().join("cart.wasm"), &Limits::default())
        .unwrap_err();
    assert_error(&error, "W0301", &["cart.wasm", "no file"]);
    let help = error.help().unwrap();
    for words in ["build the component", "with `-` as `_`", "[\"cdylib\"]"] {
        assert!(help.contains(words), "no {words:?} in {help:?}");
    }
    assert!(!help.contains("job file"), "{help}");
    let error = engine.load(folder.path(), &Limits::default()).unwrap_err();
    assert_error(
        &error,
        "W0302",
        &["cannot be read", &folder.path().display().to_string()],
    );
}

#[test]
fn a_file_that_cargo_named_otherwise_is_suggested() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["login_guard.wasm", "login_guards.wasm", "login_guard.d"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let engine = engine();
    let help = |name: &str| {
        let path = folder.path().join(name);
        let error = engine.load(&path, &Limits::default()).unwrap_err();
        assert_error(&error, "W0301", &[name, "no file"]);
        error.help().unwrap().into_owned()
    };
    let told = help("login-guard.wasm");
    assert!(
        told.starts_with("did you mean `login_guard.wasm`, which is there?"),
        "{told}"
    );
    let told = help("guard.wasm");
    assert!(!told.contains("did you mean"), "{told}");
}

#[test]
fn what_is_not_webassembly_is_told_by_its_first_bytes() {
    let load = |bytes: &[u8]| engine().load_bytes(bytes, &Limits::default()).unwrap_err();
    assert_error(&load(b""), "W0303", &["empty"]);
    assert_error(&load(b"#!/bin/sh\nexit\n"), "W0303", &["#!/bin/s"]);
    let unknown = load(b"\0asm\x09\0\0\0");
    assert_error(&unknown, "W0304", &["unknown version"]);
    assert!(!unknown.help().unwrap().contains("config.toml"));
    let component = Hand::default().bytes();
    assert_error(
        &load(&component[..component.len() / 2]),
        "W0305",
        &["not valid"],
    );
}

#[test]
fn a_core_module_is_refused_and_told_how_to_become_a_component() {
    let error = refused("(module (func (export \"process\")))");
    assert_error(&error, "W0304", &["a core module, not a component"]);
    let help = error.help().unwrap();
    for words in [
        "`.cargo/config.toml`",
        "run cargo in that folder",
        "wasm-component-ld",
    ] {
        assert!(help.contains(words), "no {words:?} in {help:?}");
    }
}

#[test]
fn a_component_of_another_world_is_refused_with_what_it_is_instead() {
    let error = refused("(component)");
    assert_error(
        &error,
        "W0306",
        &["weir:operator/logic@0.1.0", "exports nothing"],
    );
    let help = error.help().unwrap();
    for words in ["`weir_guest::operator!(Type);`", "world"] {
        assert!(help.contains(words), "no {words:?} in {help:?}");
    }

    let program = "(component (instance $run) (export \"wasi:cli/run@0.2.0\" (instance $run)))";
    let error = refused(program);
    assert_error(&error, "W0306", &["`wasi:cli/run@0.2.0`"]);
    assert!(error.help().unwrap().contains("a program"));
}

#[test]
fn another_version_of_the_contract_is_refused() {
    let hand = Hand {
        logic: "weir:operator/logic@0.2.0",
        ..Hand::default()
    };
    let error = hand.load(&engine()).unwrap_err();
    assert_error(
        &error,
        "W0307",
        &["logic@0.2.0", "this host runs `weir:operator/logic@0.1.0`"],
    );
}

#[test]
fn an_import_that_is_not_granted_is_named() {
    let hand = Hand {
        imports: "(import \"acme:db/query@1.0.0\" (instance (export \"run\" (func))))
            (import \"wasi:http/outgoing-handler@0.2.0\" (instance))
            (import \"wasi:io/poll@0.2.6\" (instance))"
            .into(),
        ..Hand::default()
    };
    let error = hand.load(&engine()).unwrap_err();
    assert_error(
        &error,
        "W0308",
        &["acme:db/query@1.0.0", "wasi:http/outgoing-handler@0.2.0"],
    );
    assert!(!error.to_string().contains("poll"), "{error}");
}

#[test]
fn a_function_of_the_contract_that_does_not_exist_is_named() {
    let hand = Hand {
        imports: "(import \"weir:operator/context@0.1.0\"
            (instance (export \"frobnicate\" (func))))"
            .into(),
        ..Hand::default()
    };
    let error = hand.load(&engine()).unwrap_err();
    assert_error(&error, "W0309", &["frobnicate"]);
}

#[test]
fn a_function_of_another_type_is_named() {
    let error = refused(
        "(component
            (core module $m (func (export \"open\") (result i32) i32.const 0))
            (core instance $m (instantiate $m))
            (func $open (result u32) (canon lift (core func $m \"open\")))
            (instance $logic
                (export \"describe\" (func $open))
                (export \"open\" (func $open))
                (export \"process\" (func $open))
                (export \"end-of-input\" (func $open))
                (export \"finish\" (func $open)))
            (export \"weir:operator/logic@0.1.0\" (instance $logic)))",
    );
    assert_error(
        &error,
        "W0309",
        &["does not match the contract", "expected `record`"],
    );
}

#[test]
fn describe_has_to_come_back_and_may_touch_nothing() {
    let describe = |body: &str| Hand {
        describe: body.into(),
        ..Hand::default()
    };
    let error = describe("unreachable").load(&engine()).unwrap_err();
    assert_error(&error, "W0310", &["`describe` failed", "unreachable"]);

    let bytes = describe("(loop $l (br $l)) i32.const 0x100").bytes();
    let error = engine().load_bytes(&bytes, &tight()).unwrap_err();
    assert_error(
        &error,
        "W0310",
        &["took too long", "`limits.time-per-call` is 300ms"],
    );

    let zeros = "(i32.const 0) ".repeat(9);
    let put = format!("(call $value-put {zeros}) i32.const 0x100");
    let error = describe(&put).load(&engine()).unwrap_err();
    assert_error(
        &error,
        "W0310",
        &["`state.value-put` cannot be used in `describe`"],
    );
}

#[test]
fn what_describe_says_is_wrong_is_the_whole_error() {
    let load = |message: &str, end: &str| {
        let hand = Hand {
            items: format!("(data (i32.const 0x4000) {message:?})"),
            // 4 is `error`.
            describe: format!(
                "(call $log (i32.const 4) (i32.const 0x4000) (i32.const {})) {end}",
                message.len()
            ),
            ..Hand::default()
        };
        hand.load(&engine()).unwrap_err()
    };
    let error = load("state `count` is declared twice", "unreachable");
    assert_error(&error, "W0310", &[]);
    assert_eq!(error.to_string(), "state `count` is declared twice");
    assert_eq!(error.help(), None);

    // What went wrong by itself is told with where, and with what `describe` is for.
    for (message, end, kind) in [
        ("panicked at src/lib.rs:7:9: no", "unreachable", "panic"),
        ("count", "(i32.div_u (i32.const 1) (i32.const 0))", "divide"),
    ] {
        let error = load(message, end);
        let said = format!("it said last: {message}");
        assert_error(&error, "W0310", &["`describe` failed", kind, &said]);
        assert!(error.help().unwrap().contains("only declares"));
    }
}

#[test]
fn a_declaration_that_makes_no_sense_is_refused() {
    let timers = Hand {
        timers: true,
        ..Hand::default()
    };
    assert_error(
        &timers.load(&engine()).unwrap_err(),
        "W0311",
        &["timers", "timed@0.1.0"],
    );
    let inputs = Hand {
        inputs: 0,
        ..Hand::default()
    };
    assert_error(&inputs.load(&engine()).unwrap_err(), "W0311", &["0 inputs"]);
    let twice = Hand {
        states: vec!["count", "count"],
        ..Hand::default()
    };
    assert_error(
        &twice.load(&engine()).unwrap_err(),
        "W0311",
        &["the state `count` twice"],
    );
}

#[test]
fn timers_without_their_function_are_refused() {
    let hand = Hand {
        timers: true,
        exports: "(export \"weir:operator/timed@0.1.0\" (instance $logic))".into(),
        ..Hand::default()
    };
    let error = hand.load(&engine()).unwrap_err();
    assert_error(&error, "W0309", &["timed@0.1.0", "no function `on-timers`"]);
}

#[test]
fn memory_that_is_too_large_from_the_start_is_refused() {
    let hand = Hand {
        pages: 17,
        ..Hand::default()
    };
    let error = engine().load_bytes(&hand.bytes(), &tight()).unwrap_err();
    assert_error(
        &error,
        "W0310",
        &["start of an instance", "`limits.memory` is 1MiB"],
    );
}

#[test]
fn a_component_is_described_for_people() {
    let hand = Hand {
        inputs: 2,
        states: vec!["count"],
        side_outputs: 1,
        ..Hand::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cart.wasm");
    let bytes = hand.bytes();
    std::fs::write(&path, &bytes).unwrap();
    let component = engine().load(Path::new(&path), &Limits::default()).unwrap();
    let info = component.info();
    assert_eq!(info.size, bytes.len());
    assert_eq!(info.digest, blake3::hash(&bytes).to_hex().as_str());
    assert_eq!(info.world, "weir:operator/operator@0.1.0");
    assert_eq!(info.exports, ["weir:operator/logic@0.1.0"]);
    assert!(
        info.imports
            .contains(&("weir:operator/state@0.1.0".into(), Provider::Weir))
    );
    assert!(!info.cached);
    let descriptor = component.descriptor();
    assert_eq!((descriptor.inputs, descriptor.states.len()), (2, 1));
    assert_eq!(descriptor.states[0].name, "count");
    assert_eq!(descriptor.side_outputs, ["side-0"]);
}
