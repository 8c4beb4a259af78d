//! The deeds that a test survives natively; the others need the sandbox.

use super::*;
use weir_guest::testing::Harness;

#[track_caller]
fn open(config: &str) -> Harness {
    Harness::open::<Misbehaving, _>(config).unwrap()
}

#[test]
fn without_deeds_rows_are_counted() {
    let out = open("null")
        .keyed([("a", "x"), ("b", "y"), ("a", "z")])
        .unwrap();
    assert_eq!(out.main(), ["x=1", "y=1", "z=2"]);
}

#[test]
fn a_row_names_a_deed() {
    let mut guest = open("null");
    let out = guest
        .keyed([("a", "x"), ("a", "!error"), ("a", "y")])
        .unwrap();
    assert_eq!(out.poisoned, Some((1, "as told".to_owned())));
    assert_eq!(out.main(), ["x=1"]);
    assert_eq!(guest.keyed([("a", "!fatal")]).unwrap_err(), "as told");
    assert_eq!(guest.keyed([("a", "!flood")]).unwrap().main().len(), 128);
    guest.keyed([("a", "!fat-state")]).unwrap();
    assert_eq!(guest.held("ballast"), 1);
    let (_, message) = guest.keyed([("a", "!dance")]).unwrap().poisoned.unwrap();
    assert!(message.contains("unknown variant `dance`"), "{message}");
}

#[test]
fn the_configuration_names_a_deed_its_place_and_its_row() {
    let mut guest = open(r#"{"do": "error", "row": 2}"#);
    let out = guest
        .keyed([("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")])
        .unwrap();
    assert_eq!(out.poisoned, Some((2, "as told".to_owned())));
    assert_eq!(out.main(), ["x=1", "x=1"]);

    let mut guest = open(r#"{"do": "fatal", "in": "finish"}"#);
    guest.keyed([("a", "x")]).unwrap();
    assert_eq!(guest.finish().unwrap_err(), "as told");
    let refused = Harness::open::<Misbehaving, _>(r#"{"do": "error", "in": "open"}"#);
    assert_eq!(refused.err().unwrap(), "as told");
}

#[test]
fn attempts_beyond_those_told_behave() {
    let mut guest = open(r#"{"do": "error", "attempts": 0}"#);
    assert_eq!(guest.keyed([("a", "x")]).unwrap().main(), ["x=1"]);
}

#[test]
fn a_configuration_that_is_misspelled_is_refused() {
    let refused = Harness::open::<Misbehaving, _>(r#"{"do": "error", "row-number": 2}"#);
    let message = refused.err().unwrap();
    assert!(message.contains("unknown field `row-number`"), "{message}");
}

#[test]
fn a_row_that_dawdles_counts_all_the_same() {
    let mut guest = open(r#"{"do": "dawdle"}"#);
    let out = guest.keyed([("a", "x"), ("a", "y")]).unwrap();
    assert_eq!(out.main(), ["x=1", "y=2"]);
}
