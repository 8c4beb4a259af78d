//! The conformance cases C05, C06 and C07, with all rows of table 1.6a.

use super::*;

/// What old subtasks saved: of each list so many items, `subtask.item`, the same as raw state, and
/// a broadcast state that tells whose it is.
fn old(sizes: &[usize]) -> Vec<SavedOperatorState> {
    let subtask = |(subtask, &size): (usize, &usize)| {
        let items: Vec<String> = (0..size).map(|item| format!("{subtask}.{item}")).collect();
        let mut state = state();
        state.begin(true);
        state.list_set(EVEN, column(&items)).unwrap();
        state.list_set(UNION, column(&items)).unwrap();
        let copy = subtask.to_string();
        put(&mut state, &[("rule", Some("same")), ("copy", Some(&copy))]);
        state.commit();
        let raw = items.into_iter().map(String::into_bytes).collect();
        saved(state.snapshot(), raw)
    };
    sizes.iter().enumerate().map(subtask).collect()
}

/// What each new subtask holds of a list once it is restored, and its raw state.
fn restored(sizes: &[usize], parallelism: u32, index: StateIndex) -> [Vec<String>; 2] {
    let mut lists = Vec::new();
    let mut raws = Vec::new();
    for own in dealt(&old(sizes), parallelism) {
        let raw: Vec<String> = own.raw.iter().map(|raw| text(raw)).collect();
        raws.push(raw.join(" "));
        let mut state = state();
        state.restore(own).unwrap();
        lists.push(list(&state, index).join(" "));
    }
    [lists, raws]
}

#[track_caller]
fn even(sizes: &[usize], parallelism: u32, expected: &[&str]) {
    let [lists, raws] = restored(sizes, parallelism, EVEN);
    assert_eq!(lists, expected, "{sizes:?} -> {parallelism}");
    assert_eq!(raws, expected, "raw {sizes:?} -> {parallelism}");
    let all: usize = lists
        .iter()
        .map(|items| items.split_whitespace().count())
        .sum();
    assert_eq!(all, sizes.iter().sum::<usize>(), "every item exactly once");
}

#[test]
fn c05_even_split() {
    even(&[3, 3], 3, &["0.0 0.1", "0.2 1.0", "1.1 1.2"]);
    even(&[4, 2], 3, &["0.0 0.1", "0.2 0.3", "1.0 1.1"]);
    even(&[5], 2, &["0.0 0.1 0.2", "0.3 0.4"]);
    even(&[1, 1], 5, &["0.0", "1.0", "", "", ""]);
    even(&[1, 5], 2, &["0.0", "1.0 1.1 1.2 1.3 1.4"]);
}

#[test]
fn c05_a_subtask_that_had_finished_has_no_items() {
    let mut old = old(&[2, 3, 2]);
    old[1] = SavedOperatorState::default();
    let lists = |parallelism| {
        let dealt = dealt(&old, parallelism);
        let lists = dealt.iter().map(|own| own.list("even"));
        lists
            .map(|items| items.map(|items| items.map(text).collect::<Vec<_>>().join(" ")))
            .collect::<Vec<_>>()
    };
    let some = |items: &str| Some(items.to_owned());
    assert_eq!(lists(3), [some("0.0 0.1"), some(""), some("2.0 2.1")]);
    assert_eq!(lists(2), [some("0.0 0.1"), some("2.0 2.1")]);
}

#[test]
fn c06_union() {
    for parallelism in [3, 2] {
        let [lists, _] = restored(&[2, 1], parallelism, UNION);
        assert_eq!(lists, vec!["0.0 0.1 1.0"; parallelism as usize]);
    }
}

#[test]
fn c06_broadcast() {
    let copies = |old: &[SavedOperatorState], parallelism| {
        let dealt = dealt(old, parallelism);
        let copies = dealt.iter().map(|own| {
            let mut state = state();
            state.restore(own.clone()).unwrap();
            let entries = scan(&state, None, 9);
            let copy = entries.strip_suffix(",rule=same").unwrap();
            copy.strip_prefix("copy=").unwrap().to_owned()
        });
        copies.collect::<Vec<_>>()
    };
    assert_eq!(copies(&old(&[1, 1]), 3), ["0", "1", "0"]);
    assert_eq!(copies(&old(&[1, 1]), 2), ["0", "1"]);
    assert_eq!(copies(&old(&[1, 1, 1]), 2), ["0", "1"], "one copy each");
    // Nobody goes without a copy while there is one.
    let mut finished = old(&[1, 1, 1]);
    finished[0] = SavedOperatorState::default();
    assert_eq!(copies(&finished, 3), ["1", "2", "1"]);
    assert_eq!(copies(&finished, 4), ["1", "2", "1", "2"]);
}

#[test]
fn c07_a_list_that_is_asked_for_again_is_the_same_list() {
    let mut state = state();
    state.begin(false);
    set(&mut state, EVEN, &["42", "4711"]);
    let mut handle = Column::new();
    state.list_get(EVEN, &mut handle).unwrap();
    handle.push(b"123");
    state.list_set(EVEN, handle).unwrap();
    assert_eq!(list(&state, EVEN), ["42", "4711", "123"]);
    set(&mut state, UNION, &["17", "3", "123"]);
    state.commit();
    state.begin(false);
    assert_eq!(list(&state, EVEN), ["42", "4711", "123"]);
    assert_eq!(list(&state, UNION), ["17", "3", "123"], "the order stays");
    let saved = saved(state.snapshot(), Vec::new());
    assert_eq!(items(&saved, "even"), ["42", "4711", "123"]);
    assert_eq!(items(&saved, "union"), ["17", "3", "123"]);
}

fn dealt_alone(decls: &[StateDecl], saved: &SavedOperatorState) -> SavedOperatorState {
    let old = std::slice::from_ref(saved);
    redistribute(decls, old, Parallelism::ONE, SubtaskIndex(0))
}

#[test]
fn c07_a_list_asked_for_in_another_mode_is_an_error() {
    let mut state = state();
    state.begin(false);
    set(&mut state, EVEN, &["42"]);
    set(&mut state, UNION, &["17"]);
    state.commit();
    let saved = saved(state.snapshot(), Vec::new());
    for (name, kind) in [
        ("even", StateKind::OperatorUnion),
        ("union", StateKind::OperatorList),
        ("even", StateKind::Broadcast),
        ("union", StateKind::List),
    ] {
        let decls = [decl("other", StateKind::OperatorList), decl(name, kind)];
        let own = dealt_alone(&decls, &saved);
        let mut other = OperatorState::new(&decls);
        for saved in [saved.clone(), own] {
            match other.restore(saved) {
                Err(Error::Incompatible { name: told, .. }) => assert_eq!(told, name),
                result => panic!("{result:?}"),
            }
        }
        assert!(list(&other, EVEN).is_empty(), "nothing was restored");
    }
}

#[test]
fn c07_a_snapshot_of_nothing_is_empty() {
    let saved = saved(state().snapshot(), Vec::new());
    let rows: Vec<(&str, u64)> = saved.states().map(|s| (s.name.as_str(), s.rows)).collect();
    assert_eq!(rows, [("even", 0), ("union", 0), ("broadcast", 0)]);
    assert!(items(&saved, "even").is_empty() && items(&saved, "union").is_empty());
    assert_eq!(entries(&saved), "");
    assert!(saved.raw.is_empty());
    let mut restored = state();
    restored.restore(saved).unwrap();
    assert!(list(&restored, EVEN).is_empty());
}

#[test]
fn c07_what_is_written_after_the_synchronous_part_is_not_in_the_snapshot() {
    let mut state = state();
    state.begin(true);
    set(&mut state, EVEN, &["42"]);
    put(&mut state, &[("a", Some("1")), ("b", Some("2"))]);
    state.commit();
    let snapshot = state.snapshot();
    state.begin(true);
    set(&mut state, EVEN, &["42", "4711"]);
    set(&mut state, UNION, &["17"]);
    put(
        &mut state,
        &[("a", Some("9")), ("b", None), ("c", Some("3"))],
    );
    // Nor is what a call has written that has not ended.
    let open = state.snapshot();
    state.commit();
    for snapshot in [snapshot, open] {
        let saved = saved(snapshot, Vec::new());
        assert_eq!(items(&saved, "even"), ["42"]);
        assert!(items(&saved, "union").is_empty());
        assert_eq!(entries(&saved), "a=1,b=2");
    }
    let saved = saved(state.snapshot(), Vec::new());
    assert_eq!(items(&saved, "even"), ["42", "4711"]);
    assert_eq!(entries(&saved), "a=9,c=3");
}
