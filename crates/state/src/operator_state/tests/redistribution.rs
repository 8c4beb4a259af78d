//! Redistribution to any parallelism, through state files, against what the rules say.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

/// What one old subtask holds: how many items of each list, how many raw, and whether it had
/// finished.
type Old = ([usize; 3], bool);

fn old_subtasks() -> impl Strategy<Value = Vec<Old>> {
    let subtask = ([0..20usize, 0..6, 0..20], prop::bool::weighted(0.1));
    vec(subtask, 1..7)
}

/// The items of old subtask `subtask`.
fn items_of(subtask: usize, count: usize) -> Vec<String> {
    (0..count).map(|item| format!("{subtask}.{item}")).collect()
}

fn save(old: &[Old]) -> Vec<SavedOperatorState> {
    let of = |(subtask, &([even, union, raw], finished)): (usize, &Old)| {
        if finished {
            return SavedOperatorState::default();
        }
        let mut state = state();
        state.begin(true);
        state
            .list_set(EVEN, column(&items_of(subtask, even)))
            .unwrap();
        state
            .list_set(UNION, column(&items_of(subtask, union)))
            .unwrap();
        put(&mut state, &[("copy", Some(&subtask.to_string()))]);
        state.commit();
        let raw = items_of(subtask, raw).into_iter().map(String::into_bytes);
        saved(state.snapshot(), raw.collect())
    };
    old.iter().enumerate().map(of).collect()
}

/// All items of one of the lists, in order of the old subtasks.
fn all(old: &[Old], which: usize) -> Vec<String> {
    let of = |(subtask, &(counts, finished)): (usize, &Old)| {
        let count = if finished { 0 } else { counts[which] };
        items_of(subtask, count)
    };
    old.iter().enumerate().flat_map(of).collect()
}

/// The rule of table 1.6a, item by item.
fn even_split(old: &[Old], which: usize, parallelism: usize) -> Vec<Vec<String>> {
    if parallelism == old.len() {
        let own = |subtask: usize| {
            let mut alone = old.to_vec();
            let others = alone.iter_mut().enumerate().filter(|(i, _)| *i != subtask);
            others.for_each(|(_, (counts, _))| *counts = [0; 3]);
            all(&alone, which)
        };
        return (0..parallelism).map(own).collect();
    }
    let mut rest = all(old, which).into_iter();
    let total = rest.len();
    let share = |subtask| total / parallelism + usize::from(subtask < total % parallelism);
    (0..parallelism)
        .map(|subtask| rest.by_ref().take(share(subtask)).collect())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_parallelism_gets_what_the_rules_say(old in old_subtasks(), parallelism in 1..9u32) {
        let saved = save(&old);
        let dealt = dealt(&saved, parallelism);
        let even = even_split(&old, 0, parallelism as usize);
        let raw = even_split(&old, 2, parallelism as usize);
        let alive: Vec<usize> = (0..old.len()).filter(|&i| !old[i].1).collect();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (subtask, own) in dealt.into_iter().enumerate() {
            let own_raw: Vec<String> = own.raw.iter().map(|raw| text(raw)).collect();
            prop_assert_eq!(&own_raw, &raw[subtask]);
            let mut restored = state();
            restored.restore(own).unwrap();
            let items = list(&restored, EVEN);
            prop_assert_eq!(&items, &even[subtask]);
            items.into_iter().for_each(|item| *seen.entry(item).or_default() += 1);
            prop_assert_eq!(list(&restored, UNION), all(&old, 1));
            let copy = alive.get(subtask % alive.len().max(1));
            let copy = copy.map_or_else(String::new, |copy| format!("copy={copy}"));
            prop_assert_eq!(scan(&restored, None, 9), copy);
        }
        let once: BTreeMap<String, usize> =
            all(&old, 0).into_iter().map(|item| (item, 1)).collect();
        prop_assert_eq!(seen, once, "every item exactly once");
    }

    #[test]
    fn rescaling_over_and_over_loses_and_doubles_nothing(
        old in old_subtasks(),
        parallelisms in vec(1..9u32, 1..5),
    ) {
        let mut current = save(&old);
        let mut even = all(&old, 0);
        even.sort();
        for parallelism in parallelisms {
            let next = dealt(&current, parallelism).into_iter().enumerate();
            let next = next.map(|(subtask, own)| {
                let raw = own.raw.clone();
                let mut restored = state();
                restored.restore(own).unwrap();
                assert_eq!(list(&restored, UNION), all(&old, 1));
                // One keeps the list of all, or it would grow each time.
                restored.begin(false);
                if subtask > 0 {
                    set(&mut restored, UNION, &[]);
                }
                restored.commit();
                saved(restored.snapshot(), raw)
            });
            current = next.collect();
            let now = current.iter().flat_map(|own| items(own, "even"));
            let mut now: Vec<String> = now.collect();
            now.sort();
            prop_assert_eq!(&now, &even);
            let raw = current.iter().flat_map(|own| own.raw.iter().map(|raw| text(raw)));
            prop_assert!(raw.eq(all(&old, 2)), "raw state in the order of the old subtasks");
        }
    }
}

#[test]
fn shares_of_long_lists_that_fill_several_blocks_and_columns() {
    let item = |n: u32| vec![n as u8; 4000 + n as usize % 7];
    let fill = |from: u32| {
        let mut state = state();
        state.begin(false);
        let items: Vec<Vec<u8>> = (from..from + 3000).map(item).collect();
        state.list_set(EVEN, column(&items)).unwrap();
        state.commit();
        saved(state.snapshot(), Vec::new())
    };
    let old: Vec<SavedOperatorState> = [0, 3000, 6000].map(fill).into();
    // Joined in one subtask they are several columns, which are cut again.
    let mut joined = state();
    joined.restore(dealt(&old, 1).remove(0)).unwrap();
    let joined = saved(joined.snapshot(), Vec::new());
    let mut next = 0;
    for own in dealt(&[joined], 7) {
        for found in own.list("even").unwrap() {
            assert_eq!(found, item(next));
            next += 1;
        }
    }
    assert_eq!(next, 9000);
}

#[test]
fn shares_are_dealt_out_again_like_what_was_saved() {
    let old: Vec<Old> = [7, 5, 9].map(|count| ([count, 0, 0], false)).into();
    let shares = dealt(&dealt(&save(&old), 4), 5);
    let all_of = shares.iter().flat_map(|own| items(own, "even"));
    assert!(all_of.eq(all(&old, 0)));
    let sizes: Vec<u64> = shares.iter().map(|own| own.states[0].state.rows).collect();
    assert_eq!(sizes, [5, 4, 4, 4, 4]);
}

#[test]
fn what_is_not_declared_any_more_is_left_out() {
    let mut state = state();
    state.begin(true);
    set(&mut state, EVEN, &["1"]);
    set(&mut state, UNION, &["2"]);
    state.commit();
    let old = [saved(state.snapshot(), Vec::new())];
    let decls = [
        decl("new", StateKind::OperatorList),
        decl("union", StateKind::OperatorUnion),
    ];
    let own = redistribute(&decls, &old, Parallelism::ONE, SubtaskIndex(0));
    let names: Vec<&str> = own.states().map(|saved| saved.name.as_str()).collect();
    assert_eq!(names, ["union"]);
    for saved in [old[0].clone(), own] {
        let mut other = OperatorState::new(&decls);
        other.restore(saved).unwrap();
        assert!(list(&other, StateIndex(0)).is_empty());
        assert_eq!(list(&other, StateIndex(1)), ["2"]);
    }
}

#[test]
fn a_state_of_another_version_is_refused_whoever_saved_it() {
    let save = |version| {
        let mut decls = decls();
        decls[0].version = version;
        let state = OperatorState::new(&decls);
        saved_in(file_of(&decls, state.snapshot(), Vec::new()))
    };
    let old = [save(1), save(2), save(1)];
    for own in dealt(&old, 2) {
        let refused = state().restore(own);
        assert!(
            matches!(&refused, Err(Error::Incompatible { name, .. }) if name == "even"),
            "{refused:?}"
        );
    }
}
