//! What a guest may not do, and the bounds on what it can make the host hold.

use super::*;
use crate::limits::{ENTRY_BYTES, MAX_COLUMN_BYTES, ROW_BYTES};

#[test]
fn a_state_used_as_another_kind_is_an_error_that_names_both() {
    let mut state = state();
    state.begin(true);
    let wrong = |name: &str, kind, used| {
        Err(Error::WrongKind {
            name: name.into(),
            kind,
            used,
        })
    };
    let mut items = Column::new();
    let mut values = OptionalColumn::new();
    let mut page = EntriesColumn::default();
    for (index, name, kind) in [
        (BROADCAST, "broadcast", StateKind::Broadcast),
        (KEYED, "keyed", StateKind::Value),
    ] {
        let lists = wrong(name, kind, "operator-list or operator-union");
        assert_eq!(state.list_get(index, &mut items), lists);
        assert_eq!(state.list_set(index, column(&["x"])), lists);
    }
    for (index, name, kind) in [
        (EVEN, "even", StateKind::OperatorList),
        (UNION, "union", StateKind::OperatorUnion),
        (KEYED, "keyed", StateKind::Value),
    ] {
        let maps = wrong(name, kind, "broadcast");
        let one = column(&["k"]);
        assert_eq!(state.map_get(index, one.view(), &mut values), maps);
        let value = optional(&[Some("v")]);
        assert_eq!(state.map_put(index, one.view(), &value), maps);
        assert_eq!(state.map_scan(index, None, 1, &mut page), maps);
    }
    let undeclared = Err(Error::Undeclared {
        index: 4,
        declared: 4,
    });
    assert_eq!(state.list_get(StateIndex(4), &mut items), undeclared);
    assert_eq!(state.list_set(StateIndex(4), Column::new()), undeclared);
    assert_eq!(
        state.map_scan(StateIndex(4), None, 1, &mut page),
        undeclared
    );
    let message = state.list_get(KEYED, &mut items).unwrap_err().to_string();
    assert_eq!(
        message,
        "state `keyed` was declared as value state and used as operator-list or operator-union \
         state"
    );
    assert!(items.is_empty() && values.is_empty() && page.keys.is_empty());
}

#[test]
fn broadcast_state_is_written_only_while_a_broadcast_input_is_processed() {
    let mut state = state();
    let one = column(&["k"]);
    let value = optional(&[Some("v")]);
    let read_only = Err(Error::ReadOnly {
        name: "broadcast".into(),
    });
    assert_eq!(state.map_put(BROADCAST, one.view(), &value), read_only);
    state.begin(false);
    assert_eq!(state.map_put(BROADCAST, one.view(), &value), read_only);
    set(&mut state, EVEN, &["lists may be written"]);
    state.begin(true);
    put(&mut state, &[("k", Some("v"))]);
    state.rollback();
    put(&mut state, &[("k", Some("again, the call goes on"))]);
    state.commit();
    // The call is over, and with it the right.
    assert_eq!(state.map_put(BROADCAST, one.view(), &value), read_only);
    state.begin(false);
    assert_eq!(state.map_put(BROADCAST, one.view(), &value), read_only);
    assert_eq!(scan(&state, None, 9), "k=again, the call goes on");
}

#[test]
fn columns_that_do_not_fit_each_other_are_refused() {
    let mut state = state();
    state.begin(true);
    let refused = state.map_put(
        BROADCAST,
        column(&["a", "b"]).view(),
        &optional(&[Some("v")]),
    );
    assert_eq!(
        refused,
        Err(Error::Mismatch {
            what: "values of map keys",
            left: 1,
            right: 2
        })
    );
    assert_eq!(scan(&state, None, 9), "");
}

#[test]
fn a_list_has_a_limit_and_empty_items_count() {
    let mut state = state();
    state.begin(false);
    set(&mut state, EVEN, &["before"]);
    let fits = MAX_COLUMN_BYTES / ROW_BYTES;
    for rows in [fits, fits + 1] {
        let mut items = Column::new();
        (0..rows).for_each(|_| items.push(b""));
        let written = state.list_set(UNION, items);
        assert_eq!(written.is_ok(), rows == fits, "{written:?}");
    }
    let large = vec![0; MAX_COLUMN_BYTES];
    let refused = state.list_set(EVEN, column(&[&large]));
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(list(&state, EVEN), ["before"]);
    // What is read must fit the column that holds something already.
    let mut out = column(&["more"]);
    let refused = state.list_get(UNION, &mut out);
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(out.len(), 1);
}

#[test]
fn a_union_that_has_become_too_large_to_be_read_is_an_error() {
    let mut state = state();
    state.begin(false);
    let large = vec![b'x'; MAX_COLUMN_BYTES / 2];
    state.list_set(UNION, column(&[&large])).unwrap();
    state.commit();
    let own = saved(state.snapshot(), Vec::new());
    let union = dealt(&[own.clone(), own.clone(), own], 3).remove(0);
    let mut restored = super::state();
    restored.restore(union).unwrap();
    let refused = restored.list_get(UNION, &mut Column::new());
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
    // It can be saved all the same.
    let again = saved(restored.snapshot(), Vec::new());
    assert_eq!(again.list("union").unwrap().count(), 3);
}

#[test]
fn a_broadcast_state_has_a_limit_in_one_call_and_over_calls() {
    let mut state = state();
    let one_mib = vec![b'v'; 1 << 20];
    let put = |state: &mut OperatorState, keys: &[&str], value: Option<&[u8]>| {
        let values: Vec<Option<&[u8]>> = vec![value; keys.len()];
        state.map_put(BROADCAST, column(keys).view(), &optional(&values))
    };
    let names: Vec<String> = (b'a'..=b'p').map(|c| char::from(c).to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names.len() << 20, MAX_COLUMN_BYTES);
    state.begin(true);
    let all = put(&mut state, &names, Some(&one_mib));
    assert!(matches!(all, Err(Error::TooLarge { .. })), "{all:?}");
    assert_eq!(scan(&state, None, 1), "", "nothing of it is written");
    put(&mut state, &names[..8], Some(&one_mib)).unwrap();
    state.commit();
    state.begin(true);
    put(&mut state, &names[8..15], Some(&one_mib)).unwrap();
    let last = put(&mut state, &names[15..], Some(&one_mib));
    assert!(matches!(last, Err(Error::TooLarge { .. })), "{last:?}");
    // What replaces or removes enough is let through.
    put(&mut state, &names[..15], Some(&one_mib)).unwrap();
    let mut keys = column(&names[15..]);
    keys.push(b"a");
    let swap = optional(&[Some(&one_mib[..]), None]);
    state.map_put(BROADCAST, keys.view(), &swap).unwrap();
    state.commit();
    let mut out = EntriesColumn::default();
    state.map_scan(BROADCAST, None, 20, &mut out).unwrap();
    assert_eq!(out.keys.len(), 15);
    assert_eq!(out.keys.get(0), b"b");
    // What was removed makes room, however often.
    for _ in 0..3 {
        state.begin(true);
        put(&mut state, &names, None).unwrap();
        put(&mut state, &names[1..], Some(&one_mib)).unwrap();
        state.commit();
    }
}

#[test]
fn empty_entries_count_too() {
    let mut state = state();
    state.begin(true);
    let mut keys = Column::new();
    let mut values = OptionalColumn::new();
    for key in 0..(MAX_COLUMN_BYTES / (ENTRY_BYTES + 4) + 1) as u32 {
        keys.push(&key.to_be_bytes());
        values.push(Some(b""));
    }
    let refused = state.map_put(BROADCAST, keys.view(), &values);
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_page_that_does_not_fit_its_column_is_an_error() {
    let mut state = state();
    state.begin(true);
    let large = "x".repeat(MAX_COLUMN_BYTES / 3);
    put(&mut state, &[("a", Some(&large)), ("b", Some(&large))]);
    let mut out = EntriesColumn::default();
    state.map_scan(BROADCAST, None, 2, &mut out).unwrap();
    let refused = state.map_scan(BROADCAST, None, 2, &mut out);
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
    let mut out = OptionalColumn::new();
    let many = column(&["a", "b", "a", "b"]);
    let refused = state.map_get(BROADCAST, many.view(), &mut out);
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
}

#[test]
fn raw_state_has_a_limit_and_parts_of_an_operator_come_once() {
    let mut writer = StateFileWriter::new();
    let decls = decls();
    let snapshot = || state().snapshot();
    let raw = vec![vec![0; MAX_COLUMN_BYTES]];
    let refused = writer.add_operator_state(&operator(), &decls, snapshot(), raw);
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
    let mut writer = StateFileWriter::new();
    let mut add =
        |decls: &[StateDecl]| writer.add_operator_state(&operator(), decls, snapshot(), Vec::new());
    assert_eq!(add(&decls), Ok(()));
    let twice = Error::DuplicateOperator { name: "op".into() };
    assert_eq!(add(&decls), Err(twice));
    let fewer = add(&decls[..3]);
    assert!(matches!(fewer, Err(Error::Mismatch { .. })), "{fewer:?}");
}

#[test]
fn only_state_of_a_subtask_counts_as_such() {
    assert!(!state().is_empty());
    assert!(OperatorState::new(&decls()[3..]).is_empty());
    assert!(OperatorState::new(&[]).is_empty());
}
