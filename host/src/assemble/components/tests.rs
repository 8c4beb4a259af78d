//! Components that do not fit what a job gives them.

use std::path::Path;

use weir_state::StateDecl;

use super::*;

/// What is wrong with operator `groups` that has these inputs and states: code, message, what is
/// underlined, and help.
fn wrong(inputs: &str, takes: u32, states: &[StateKind]) -> Vec<[String; 4]> {
    let text = format!(
        "apiVersion: weir/v1\njob: case\nsources:\n  logins: {{ connector: socket, address: \
         localhost:9999, format: csv }}\n  limits: {{ connector: socket, address: \
         localhost:8888 }}\noperators:\n  groups: {{ component: groups.wasm, inputs: {inputs} }}\n"
    );
    let job = JobFile::load(&text, Path::new("job.yaml"), &[]).unwrap();
    let states = states.iter().map(|kind| StateDecl {
        name: format!("{}-state", kind.as_str()),
        kind: *kind,
        format: "utf8".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    });
    let descriptor = Descriptor {
        states: states.collect(),
        inputs: takes,
        side_outputs: Vec::new(),
        timers: false,
        needs_all_timers: false,
        keeps_memory: false,
        keyed_broadcast: false,
        checkpointed: false,
        evolving: false,
    };
    let name = Name::new("groups").unwrap();
    let found = misfits(&job, &name, &job.operators[&name], &descriptor);
    let told = found.map(|one| {
        let underlined = text[one.labels[0].span.clone()].to_owned();
        let help = one.help.unwrap_or_default();
        [one.code.to_owned(), one.message, underlined, help]
    });
    told.collect()
}

const KEYED: &str = "{ from: logins, key: { columns: [0] } }";
const BROADCAST: &str = "{ from: limits, broadcast: true }";
const BOTH: [StateKind; 2] = [StateKind::Value, StateKind::Broadcast];

#[test]
fn what_fits_is_not_told_of() {
    for inputs in [
        format!("[ {KEYED}, {BROADCAST} ]"),
        format!("[ {BROADCAST}, {KEYED} ]"),
        format!("[ {KEYED}, {{ from: limits, partitioning: broadcast }} ]"),
    ] {
        assert_eq!(wrong(&inputs, 2, &BOTH), [[""; 4]; 0], "{inputs}");
    }
    let list = [StateKind::OperatorList];
    assert_eq!(wrong("[ logins ]", 1, &list), [[""; 4]; 0]);
}

#[test]
fn broadcast_state_needs_a_broadcast_input() {
    let told = |underlined: &str, help: &str| {
        let message = "operator `groups` has broadcast state (`broadcast-state`) and no input with \
                       `broadcast: true`";
        [["W0316", message, underlined, help].map(str::to_owned)]
    };
    let limits = "write `{ from: limits, broadcast: true }`";
    // The last one without a key is meant.
    for (inputs, underlined) in [
        (format!("[ {KEYED}, limits ]"), "limits"),
        (format!("[ limits, {KEYED} ]"), "limits"),
        (
            format!("[ {KEYED}, {{ from: limits, partitioning: global }} ]"),
            "{ from: limits, partitioning: global }",
        ),
    ] {
        assert_eq!(wrong(&inputs, 2, &BOTH), told(underlined, limits));
    }
    let one = [StateKind::Broadcast];
    assert_eq!(wrong("[ logins, limits ]", 2, &one), told("limits", limits));
    // With a key each, nothing says which one.
    assert_eq!(
        wrong(&format!("[ {KEYED}, {KEYED} ]"), 2, &one),
        told("inputs", "write `{ from: …, broadcast: true }`")
    );
}

#[test]
fn where_inputs_are_missing_the_broadcast_one_is_meant() {
    let told = wrong("[ logins ]", 2, &[StateKind::Broadcast]);
    let number = "operator `groups` has 1 input, its component takes 2";
    assert_eq!(told[0], ["W0314", number, "inputs", ""]);
    let help = "write `{ from: …, broadcast: true }`";
    assert_eq!((told[1][0].as_str(), told[1][3].as_str()), ("W0316", help));
    assert_eq!(told.len(), 2);
    let many = wrong("[ logins, limits ]", 1, &[]);
    let number = "operator `groups` has 2 inputs, its component takes 1";
    assert_eq!(many, [["W0314", number, "inputs", ""]]);
}

#[test]
fn keyed_state_needs_a_key_and_not_of_the_broadcast_input() {
    let inputs = format!("[ {BROADCAST}, {{ from: logins }} ]");
    let told = wrong(&inputs, 2, &[StateKind::Map]);
    let message = "operator `groups` has keyed state (`map-state`) and no input with a key";
    let help = "give an input a `key`, such as `key: { columns: [0] }`";
    assert_eq!(told, [["W0315", message, "{ from: logins }", help]]);
}
