//! What a component may declare, and with which words it may not.

use proptest::prelude::*;

use super::*;

fn state(name: &str) -> data::StateDecl {
    data::StateDecl {
        name: name.into(),
        kind: data::StateKind::Value,
        format: "utf8".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    }
}

/// One input, one state, one side output.
fn declared() -> data::Descriptor {
    data::Descriptor {
        states: vec![state("count")],
        inputs: 1,
        side_outputs: vec!["late".into()],
        timers: false,
        keeps_memory: false,
    }
}

/// Refused with this code and exactly these words, after this change of what is well declared.
#[track_caller]
fn check_refused(code: &str, text: &str, change: impl FnOnce(&mut data::Descriptor)) {
    check_refused_with(&[], code, text, change);
}

/// As [`check_refused`], of a component that exports these optional interfaces.
#[track_caller]
fn check_refused_with(
    exports: &[&str],
    code: &str,
    text: &str,
    change: impl FnOnce(&mut data::Descriptor),
) {
    let mut descriptor = declared();
    change(&mut descriptor);
    let error = check(descriptor, exports).unwrap_err();
    assert_eq!((error.code(), &*error.to_string()), (code, text));
}

#[test]
fn what_is_declared_is_taken_over() {
    let mut descriptor = declared();
    descriptor.inputs = 2;
    descriptor.keeps_memory = true;
    descriptor.states = vec![
        data::StateDecl {
            prefetch: true,
            version: 7,
            ..state("sum")
        },
        data::StateDecl {
            kind: data::StateKind::Map,
            format: "postcard".into(),
            ..state("seen")
        },
    ];
    // Exports that need nothing of the host are no obstacle; `evolving` is taken note of.
    let checked = check(descriptor, &["selector", "evolving"]).unwrap();
    let decl = |name: &str, kind, format: &str| StateDecl {
        name: name.into(),
        kind,
        format: format.into(),
        version: 1,
        prefetch: false,
        ttl: None,
    };
    let sum = StateDecl {
        version: 7,
        prefetch: true,
        ..decl("sum", StateKind::Value, "utf8")
    };
    let expected = Descriptor {
        keyed_broadcast: false,
        states: vec![sum, decl("seen", StateKind::Map, "postcard")],
        inputs: 2,
        side_outputs: vec!["late".into()],
        timers: false,
        needs_all_timers: false,
        keeps_memory: true,
        checkpointed: false,
        evolving: true,
    };
    assert_eq!(checked, expected);
}

#[test]
fn as_much_as_is_allowed_is_taken_over() {
    let descriptor = data::Descriptor {
        states: (0..MAX_STATES)
            .map(|index| state(&format!("{index:0>255}")))
            .collect(),
        inputs: MAX_INPUTS,
        side_outputs: (0..MAX_SIDE_OUTPUTS)
            .map(|index| format!("side-{index}"))
            .collect(),
        ..declared()
    };
    let checked = check(descriptor, &[]).unwrap();
    assert_eq!(checked.states.len(), MAX_STATES);
    assert_eq!(checked.side_outputs.len(), MAX_SIDE_OUTPUTS);
}

#[test]
fn inputs_are_1_to_64() {
    let told = |inputs| format!("`describe` declares {inputs} inputs; it is 1 to 64");
    for inputs in [0, 65, u32::MAX] {
        check_refused("W0311", &told(inputs), |d| d.inputs = inputs);
    }
}

#[test]
fn side_outputs_are_few_and_have_names_of_their_own() {
    check_refused(
        "W0311",
        "`describe` declares 65 side outputs; 64 are the most",
        |d| {
            d.side_outputs = vec!["late".into(); 65];
        },
    );
    check_refused(
        "W0311",
        "`describe` declares the side output `late` twice",
        |d| {
            d.side_outputs.push("late".into());
        },
    );
    let wrong = Name::new("Late").unwrap_err();
    let text = format!("`describe` declares a side output, but {wrong}");
    check_refused("W0311", &text, |d| d.side_outputs = vec!["Late".into()]);
}

#[test]
fn states_are_few_and_have_names_of_their_own() {
    check_refused(
        "W0311",
        "`describe` declares 257 states; 256 are the most",
        |d| {
            d.states = vec![state("count"); 257];
        },
    );
    check_refused(
        "W0311",
        "`describe` declares the state `count` twice",
        |d| {
            d.states.push(state("count"));
        },
    );
}

#[test]
fn names_and_formats_are_short_texts() {
    check_refused(
        "W0311",
        "`describe` declares the name of a state as empty",
        |d| {
            d.states = vec![state("")];
        },
    );
    check_refused(
        "W0311",
        "`describe` declares the name of a state with 256 bytes; 255 are the most",
        |d| d.states = vec![state(&"ß".repeat(128))],
    );
    check_refused(
        "W0311",
        r#"`describe` declares the name of a state as "a\nb", with control characters"#,
        |d| d.states = vec![state("a\nb")],
    );
    check_refused(
        "W0311",
        "`describe` declares the format of state `count` as empty",
        |d| {
            d.states[0].format = String::new();
        },
    );
    check_refused(
        "W0311",
        "`describe` declares the format of state `count` with 300 bytes; 255 are the most",
        |d| d.states[0].format = "x".repeat(300),
    );
    check_refused(
        "W0311",
        r#"`describe` declares the format of state `count` as "\0", with control characters"#,
        |d| d.states[0].format = "\0".into(),
    );
}

#[test]
fn only_cells_are_prefetched() {
    use data::StateKind::{
        Aggregating, Broadcast, List, Map, OperatorList, OperatorUnion, Reducing, Value,
    };
    for kind in [Value, Reducing, Aggregating] {
        let mut descriptor = declared();
        descriptor.states[0].kind = kind;
        descriptor.states[0].prefetch = true;
        assert!(check(descriptor, &[]).unwrap().states[0].prefetch);
    }
    let others = [
        (List, "list"),
        (Map, "map"),
        (OperatorList, "operator-list"),
        (OperatorUnion, "operator-union"),
        (Broadcast, "broadcast"),
    ];
    for (kind, name) in others {
        let text = format!(
            "`describe` declares that state `count` is prefetched, but it is a {name} state; \
             value, reducing and aggregating state can be"
        );
        check_refused("W0311", &text, |d| {
            d.states[0].kind = kind;
            d.states[0].prefetch = true;
        });
    }
}

#[test]
fn c16_a_time_to_live_is_taken_over_and_is_more_than_nothing() {
    let ttl = |duration_ms| {
        Some(data::Ttl {
            duration_ms,
            on_read: false,
            return_expired: false,
        })
    };
    check_refused(
        "W0311",
        "`describe` declares a time to live of 0 ms for state `count`",
        |d| d.states[0].ttl = ttl(0),
    );
    let mut descriptor = declared();
    descriptor.states[0].ttl = ttl(1);
    let taken = check(descriptor, &[]).unwrap().states[0].ttl.unwrap();
    assert_eq!(
        (taken.duration_ms, taken.on_read, taken.return_expired),
        (1, false, false)
    );
}

#[test]
fn state_without_a_key_is_taken_over_and_does_not_expire() {
    let kinds = [
        (data::StateKind::OperatorList, StateKind::OperatorList),
        (data::StateKind::OperatorUnion, StateKind::OperatorUnion),
        (data::StateKind::Broadcast, StateKind::Broadcast),
    ];
    for (declared_kind, kind) in kinds {
        let mut descriptor = declared();
        descriptor.states[0].kind = declared_kind;
        let checked = check(descriptor, &[]).unwrap();
        assert_eq!(checked.states[0].kind, kind);
        assert!(!checked.keeps_memory && !checked.checkpointed);
        let text = format!(
            "`describe` declares a time to live for state `count`, but it is a {kind} state; keyed \
             state can have one"
        );
        check_refused("W0311", &text, |d| {
            d.states[0].kind = declared_kind;
            d.states[0].ttl = Some(data::Ttl {
                duration_ms: 1,
                on_read: false,
                return_expired: false,
            });
        });
    }
}

#[test]
fn timers_and_their_interface_need_each_other() {
    check_refused(
        "W0311",
        "`describe` declares timers, but the component does not export \
         `weir:operator/timed@0.1.0`",
        |d| d.timers = true,
    );
    check_refused_with(
        &[interfaces::TIMED],
        "W0311",
        "`describe` declares no timers, but the component exports `weir:operator/timed@0.1.0` for \
         them",
        |_| (),
    );
    let descriptor = data::Descriptor {
        timers: true,
        ..declared()
    };
    let states = descriptor.states.len();
    let checked = check(descriptor, &[interfaces::TIMED]).unwrap();
    assert!(checked.timers);
    assert_eq!(checked.states.len(), states + 1);
    assert_eq!(checked.states.last(), Some(&StateDecl::timers()));
    check_refused(
        "W0311",
        "`describe` declares the state `weir.timers`, which is the name of what the host keeps of \
         its timers",
        |d| d.states = vec![state(StateDecl::TIMERS)],
    );
    check_refused(
        "W0311",
        "`describe` declares the state `weir.waiting`, which is the name of the rows whose \
         results are not out yet",
        |d| d.states = vec![state(StateDecl::WAITING)],
    );
}

#[test]
fn a_component_that_saves_something_of_its_own_keeps_memory() {
    let checked = check(declared(), &[interfaces::CHECKPOINTED]).unwrap();
    assert!(checked.checkpointed && checked.keeps_memory);
    let checked = check(declared(), &[]).unwrap();
    assert!(!checked.checkpointed && !checked.keeps_memory);
}

proptest! {
    #[test]
    fn any_short_text_without_control_characters_names_a_state(
        name in prop_oneof!["\\PC{0,10}", ".{0,10}", "[aß]{250,260}"],
    ) {
        let descriptor = data::Descriptor {
            states: vec![state(&name)],
            ..declared()
        };
        let fits = (1..=255).contains(&name.len()) && !name.chars().any(char::is_control);
        prop_assert_eq!(check(descriptor, &[]).is_ok(), fits);
    }
}

#[test]
fn what_waits_has_one_input_and_no_state() {
    let of = |change: fn(&mut data::Descriptor), also: Option<&'static str>| {
        let mut descriptor = declared();
        descriptor.states.clear();
        descriptor.inputs = 1;
        descriptor.keeps_memory = false;
        descriptor.timers = false;
        change(&mut descriptor);
        let mut optional = vec![interfaces::ENRICH];
        optional.extend(also);
        check(descriptor, &optional)
    };
    let descriptor = of(|_| {}, None).unwrap();
    assert_eq!(descriptor.states, [StateDecl::waiting()]);
    for (change, words) in [
        ((|d| d.inputs = 2) as fn(&mut data::Descriptor), "2 inputs"),
        (|d| d.states = vec![state("sum")], "the state `sum`"),
        (|d| d.timers = true, "timers"),
        (|d| d.keeps_memory = true, "`keeps-memory`"),
    ] {
        let error = of(change, None).unwrap_err();
        assert_eq!(error.code(), "W0311");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains("wait"), "{error}");
    }
    let error = of(|_| {}, Some(interfaces::CHECKPOINTED)).unwrap_err();
    assert!(error.to_string().contains("`checkpointed`"), "{error}");
}
