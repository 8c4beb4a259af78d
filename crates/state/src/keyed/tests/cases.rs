//! Conformance cases C08, C09, C10 and C12 as far as they reach the host: what a null is, and
//! folding, is the guest's.

use super::*;
use crate::{StateFileReader, StateFileWriter};
use weir_model::OperatorName;

fn operator() -> OperatorName {
    OperatorName::new("op").unwrap()
}

fn file_of(state: &mut KeyedState, snapshot: Box<dyn crate::Snapshot>) -> Vec<u8> {
    let mut writer = StateFileWriter::new();
    writer.add(&operator(), state.states(), snapshot).unwrap();
    writer.finish().unwrap().out
}

fn restored(file: &[u8]) -> KeyedState {
    let mut state = keyed_state();
    let reader = StateFileReader::open(file.to_vec()).unwrap();
    reader
        .load(&operator(), state.backend_mut(), all(), ProcessingTime(0))
        .unwrap();
    state
}

#[test]
fn c08_snapshots_are_isolated_from_later_writes() {
    let mut state = keyed_state();
    let keys = ["key1", "key2", "key3"];
    begin(&mut state, &keys);
    put(&mut state, 0, Some("1"));
    put(&mut state, 1, Some("2"));
    state.commit().unwrap();
    let first = state.snapshot(&request()).unwrap();
    begin(&mut state, &keys);
    state
        .put_slots(VALUE, &mut optional(&[Some("u1"), Some("u2"), Some("u3")]))
        .unwrap();
    state.commit().unwrap();
    let first = file_of(&mut state, first);
    let second = state.snapshot(&request()).unwrap();
    let second = file_of(&mut state, second);
    let mut state = restored(&first);
    begin(&mut state, &keys);
    assert_eq!(values(&mut state), [some(&["1", "2"]), vec![None]].concat());
    let mut state = restored(&second);
    begin(&mut state, &keys);
    assert_eq!(values(&mut state), some(&["u1", "u2", "u3"]));
}

#[test]
fn c08_clearing_one_of_twenty_keys_leaves_nineteen_entries() {
    let mut state = keyed_state();
    let names: Vec<String> = (0..20).map(|i| format!("key{i}")).collect();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    begin(&mut state, &keys);
    let all: Vec<Option<&str>> = keys.iter().map(|&key| Some(key)).collect();
    state.put_slots(VALUE, &mut optional(&all)).unwrap();
    state.commit().unwrap();
    assert_eq!(state.backend_mut().entries(VALUE), 20);
    begin(&mut state, &keys);
    put(&mut state, 7, None);
    assert_eq!(values(&mut state)[7], None);
    state.commit().unwrap();
    begin(&mut state, &keys);
    assert_eq!(values(&mut state)[7], None);
    assert_eq!(state.backend_mut().entries(VALUE), 19);
}

#[test]
fn c09_list_state() {
    let mut state = keyed_state();
    begin(&mut state, &["k"]);
    // Adding nothing is no change.
    state.list_add(LIST, &[], column(&[]).view()).unwrap();
    assert_eq!(list(&mut state, 0), "");
    state.list_add(LIST, &[0], column(&["a"]).view()).unwrap();
    state
        .list_add(LIST, &[0, 0], column(&["b", "c"]).view())
        .unwrap();
    assert_eq!(list(&mut state, 0), "a,b,c");
    state.commit().unwrap();
    begin(&mut state, &["k"]);
    assert_eq!(list(&mut state, 0), "a,b,c");
    let one = Which::Some(&[0]);
    state.list_set(LIST, one, &nested(&[&["x"]])).unwrap();
    assert_eq!(list(&mut state, 0), "x");
    state.commit().unwrap();
    assert_eq!(state.backend_mut().entries(LIST), 1);
    begin(&mut state, &["k"]);
    state.list_set(LIST, one, &nested(&[&[]])).unwrap();
    assert_eq!(list(&mut state, 0), "");
    state.commit().unwrap();
    assert_eq!(state.backend_mut().entries(LIST), 0, "the entry is gone");
}

#[test]
fn c10_map_state() {
    let mut state = keyed_state();
    begin(&mut state, &["k"]);
    assert_eq!(map_get(&mut state, 0, &["a"]), [None]);
    assert_eq!(scan(&mut state, 0, None, 9), "");
    // A null value is encoded by the guest; an empty one is there.
    map_put(&mut state, 0, &[("k", Some(""))]);
    assert_eq!(map_get(&mut state, 0, &["k"]), some(&[""]));
    assert_eq!(scan(&mut state, 0, None, 9), "k=");
    map_put(&mut state, 0, &[("k", None)]);
    assert_eq!(map_get(&mut state, 0, &["k"]), [None]);
    assert_eq!(scan(&mut state, 0, None, 9), "");
    state.commit().unwrap();
    assert_eq!(state.backend_mut().entries(MAP), 0);
    begin(&mut state, &["k"]);
    map_put(&mut state, 0, &[("b", Some("2")), ("a", Some("1"))]);
    assert_eq!(scan(&mut state, 0, None, 9), "a=1,b=2");
    state.commit().unwrap();
    begin(&mut state, &["k"]);
    // An iterator that removes the first and sets the second.
    assert_eq!(scan(&mut state, 0, None, 1), "a=1");
    map_put(&mut state, 0, &[("a", None)]);
    assert_eq!(scan(&mut state, 0, Some("a"), 1), "b=2");
    map_put(&mut state, 0, &[("b", Some("77"))]);
    assert_eq!(scan(&mut state, 0, Some("b"), 1), "");
    state.commit().unwrap();
    begin(&mut state, &["k"]);
    assert_eq!(scan(&mut state, 0, None, 9), "b=77");
    state.map_clear(MAP, &[0]).unwrap();
    assert_eq!(scan(&mut state, 0, None, 9), "");
    // Removing what is not there is no error.
    map_put(&mut state, 0, &[("nothing", None)]);
    state.commit().unwrap();
    assert_eq!(state.backend_mut().entries(MAP), 0);
}

#[test]
fn c12_keyed_state_without_a_key() {
    let mut state = keyed_state();
    state.begin(None);
    let named = |name: &str| Err(Error::NotKeyed { name: name.into() });
    let mut out = OptionalColumn::new();
    assert_eq!(state.value_get(VALUE, Which::All, &mut out), named("value"));
    assert_eq!(state.list_add(LIST, &[], column(&[]).view()), named("list"));
    assert_eq!(state.map_clear(MAP, &[]), named("map"));
    assert_eq!(state.put_slots(VALUE, &mut out.clone()), named("value"));
    state.commit().unwrap();
}

#[test]
fn c12_a_state_used_as_another_kind() {
    let mut state = keyed_state();
    begin(&mut state, &["k"]);
    let wrong = |name: &str, kind, used| {
        Err(Error::WrongKind {
            name: name.into(),
            kind,
            used,
        })
    };
    let mut out = OptionalColumn::new();
    assert_eq!(
        state.value_get(LIST, Which::All, &mut out),
        wrong("list", StateKind::List, "value")
    );
    assert_eq!(
        state.list_add(VALUE, &[0], column(&["x"]).view()),
        wrong("value", StateKind::Value, "list")
    );
    assert_eq!(
        state.map_clear(VALUE, &[0]),
        wrong("value", StateKind::Value, "map")
    );
    let undeclared = Error::Undeclared {
        index: 3,
        declared: 3,
    };
    assert_eq!(state.map_clear(StateIndex(3), &[0]), Err(undeclared));
    let decls = vec![decl("a", StateKind::Value), decl("a", StateKind::List)];
    assert_eq!(
        HeapBackend::new(decls, all()).unwrap_err(),
        Error::DuplicateName { name: "a".into() }
    );
}

#[test]
fn c12_a_wrong_restore_is_refused_and_spoils_nothing() {
    let mut state = keyed_state();
    begin(&mut state, &["k"]);
    put(&mut state, 0, Some("v"));
    state.commit().unwrap();
    let snapshot = state.snapshot(&request()).unwrap();
    let file = file_of(&mut state, snapshot);
    let other = |change: fn(&mut StateDecl)| {
        let mut decls = decls();
        change(&mut decls[0]);
        let mut backend = HeapBackend::new(decls, all()).unwrap();
        let reader = StateFileReader::open(file.clone()).unwrap();
        let result = reader.load(&operator(), &mut backend, all(), ProcessingTime(0));
        assert_eq!(crate::Backend::entries(&backend, VALUE), 0);
        match result {
            Err(Error::Incompatible { name, .. }) => name,
            Err(_) | Ok(_) => panic!("{result:?}"),
        }
    };
    assert_eq!(other(|decl| decl.kind = StateKind::List), "value");
    assert_eq!(other(|decl| decl.kind = StateKind::Reducing), "value");
    assert_eq!(other(|decl| decl.format = "json".into()), "value");
    assert_eq!(other(|decl| decl.version = 2), "value");
    let mut state = restored(&file);
    begin(&mut state, &["k"]);
    assert_eq!(values(&mut state), some(&["v"]));
}
