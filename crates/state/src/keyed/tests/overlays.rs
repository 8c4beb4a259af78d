//! D17: what a call sees of its own writes, what is left of a call, and what hostile calls get.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

#[test]
fn a_rolled_back_call_leaves_no_trace() {
    let mut state = keyed_state();
    let keys = ["a", "b"];
    begin(&mut state, &keys);
    put(&mut state, 0, Some("1"));
    map_put(&mut state, 0, &[("m", Some("1"))]);
    state.list_add(LIST, &[0], column(&["e"]).view()).unwrap();
    state.commit().unwrap();
    for end_by_begin in [false, true] {
        begin(&mut state, &keys);
        put(&mut state, 0, None);
        put(&mut state, 1, Some("2"));
        map_put(&mut state, 0, &[("m", None), ("n", Some("2"))]);
        state.map_clear(MAP, &[0]).unwrap();
        state
            .list_add(LIST, &[0, 1], column(&["f", "g"]).view())
            .unwrap();
        if !end_by_begin {
            state.rollback();
        }
        begin(&mut state, &keys);
        assert_eq!(values(&mut state), [some(&["1"]), vec![None]].concat());
        assert_eq!(scan(&mut state, 0, None, 9), "m=1");
        assert_eq!(
            (list(&mut state, 0), list(&mut state, 1)),
            ("e".into(), "".into())
        );
        state.commit().unwrap();
    }
}

#[test]
fn elements_that_are_not_in_the_order_of_their_keys_or_were_dropped_go_to_the_lists_they_are_of() {
    let add = |state: &mut KeyedState, key: u32, element: &str| {
        let element = column(&[element]);
        state.list_add(LIST, &[key], element.view()).unwrap();
    };
    let clear = |state: &mut KeyedState, key: u32| {
        let nothing = nested(&[&[]]);
        state.list_set(LIST, Which::Some(&[key]), &nothing).unwrap();
    };
    for (cleared, crossed) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut state = keyed_state();
        begin(&mut state, &["a", "b"]);
        add(&mut state, 1, "1");
        if crossed {
            add(&mut state, 0, "2");
        }
        if cleared {
            clear(&mut state, 0);
        }
        add(&mut state, 1, "3");
        add(&mut state, 0, "4");
        state.commit().unwrap();
        begin(&mut state, &["a", "b"]);
        let of_a = if crossed && !cleared { "2,4" } else { "4" };
        assert_eq!(list(&mut state, 0), of_a);
        assert_eq!(list(&mut state, 1), "1,3");
    }
    // Nothing is left of a list between two elements of another.
    let mut state = keyed_state();
    begin(&mut state, &["a", "b"]);
    add(&mut state, 0, "1");
    add(&mut state, 1, "2");
    clear(&mut state, 1);
    add(&mut state, 0, "3");
    state.commit().unwrap();
    begin(&mut state, &["a", "b"]);
    let both = (list(&mut state, 0), list(&mut state, 1));
    assert_eq!(both, ("1,3".into(), "".into()));
}

#[test]
fn keys_of_the_next_call_have_nothing_to_do_with_those_before() {
    let mut state = keyed_state();
    begin(&mut state, &["a", "b", "c"]);
    put(&mut state, 2, Some("of c"));
    state.commit().unwrap();
    begin(&mut state, &["c"]);
    assert_eq!(values(&mut state), some(&["of c"]));
    put(&mut state, 0, Some("again"));
    state.commit().unwrap();
    begin(&mut state, &["a", "c"]);
    assert_eq!(values(&mut state), [vec![None], some(&["again"])].concat());
}

#[test]
fn a_page_of_a_scan_sees_what_was_written_since_the_page_before() {
    let mut state = keyed_state();
    begin(&mut state, &["k"]);
    map_put(
        &mut state,
        0,
        &[("b", Some("1")), ("d", Some("1")), ("f", Some("1"))],
    );
    state.commit().unwrap();
    begin(&mut state, &["k"]);
    assert_eq!(scan(&mut state, 0, None, 1), "b=1");
    map_put(
        &mut state,
        0,
        &[("a", Some("2")), ("c", Some("2")), ("d", None)],
    );
    assert_eq!(scan(&mut state, 0, Some("b"), 1), "c=2");
    assert_eq!(scan(&mut state, 0, Some("c"), 9), "f=1");
    // A token that is no key, and one that is removed by now.
    assert_eq!(scan(&mut state, 0, Some("bb"), 9), "c=2,f=1");
    assert_eq!(scan(&mut state, 0, Some("d"), 9), "f=1");
    state.map_clear(MAP, &[0]).unwrap();
    map_put(&mut state, 0, &[("e", Some("3"))]);
    assert_eq!(scan(&mut state, 0, None, 9), "e=3");
    assert_eq!(
        map_get(&mut state, 0, &["b", "e"]),
        [vec![None], some(&["3"])].concat()
    );
    assert_eq!(scan(&mut state, 0, None, 0), "");
    state.commit().unwrap();
    begin(&mut state, &["k"]);
    assert_eq!(scan(&mut state, 0, None, 9), "e=3");
}

#[test]
fn a_scan_goes_on_over_pages_of_the_backend_that_the_call_has_removed() {
    let mut state = keyed_state();
    begin(&mut state, &["k"]);
    let names: Vec<String> = (0..3000).map(|i| format!("{i:04}")).collect();
    let put: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), Some("x")))
        .collect();
    map_put(&mut state, 0, &put);
    state.commit().unwrap();
    begin(&mut state, &["k"]);
    let remove: Vec<_> = names[..2990]
        .iter()
        .map(|name| (name.as_str(), None))
        .collect();
    map_put(&mut state, 0, &remove);
    assert_eq!(scan(&mut state, 0, None, 2), "2990=x,2991=x");
    map_put(&mut state, 0, &[("9", Some("y"))]);
    assert!(scan(&mut state, 0, Some("2998"), 9).ends_with("2999=x,9=y"));
}

#[test]
fn slots_that_did_not_change_are_not_written() {
    let mut state = keyed_state();
    begin(&mut state, &["a", "b", "c"]);
    let slots = optional(&[Some("1"), None, Some("3")]);
    state.put_slots(VALUE, &mut slots.clone()).unwrap();
    state.commit().unwrap();
    begin(&mut state, &["a", "b", "c"]);
    assert_eq!(values(&mut state), texts(&slots));
    let slots = optional(&[Some("1"), Some("2"), None]);
    state.put_slots(VALUE, &mut slots.clone()).unwrap();
    assert_eq!(values(&mut state), texts(&slots));
    state.commit().unwrap();
    begin(&mut state, &["a", "b", "c"]);
    assert_eq!(values(&mut state), texts(&slots));
    assert_eq!(state.backend_mut().entries(VALUE), 2);
}

#[test]
fn slots_and_puts_do_not_mix() {
    let mut state = keyed_state();
    begin(&mut state, &["a"]);
    put(&mut state, 0, Some("1"));
    let refused = Err(Error::SlotsAndPut {
        name: "value".into(),
    });
    let slots = optional(&[Some("2")]);
    assert_eq!(state.put_slots(VALUE, &mut slots.clone()), refused);
    assert_eq!(values(&mut state), some(&["1"]));
    begin(&mut state, &["a"]);
    state.put_slots(VALUE, &mut slots.clone()).unwrap();
    assert_eq!(state.value_put(VALUE, Which::All, &slots), refused);
}

#[test]
fn columns_that_do_not_fit_are_refused_and_change_nothing() {
    let mut state = keyed_state();
    begin(&mut state, &["a", "b"]);
    let mismatch = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::Mismatch { .. })), "{result:?}");
    };
    let one = optional(&[Some("x")]);
    let two_keys = column(&["m", "n"]);
    mismatch(state.value_put(VALUE, Which::All, &one));
    mismatch(state.value_put(VALUE, Which::Some(&[]), &one));
    mismatch(state.put_slots(VALUE, &mut one.clone()));
    mismatch(state.list_add(LIST, &[0], two_keys.view()));
    mismatch(state.list_set(LIST, Which::All, &nested(&[&["x"]])));
    mismatch(state.map_put(MAP, Which::All, two_keys.view(), &one));
    mismatch(state.map_put(MAP, Which::Some(&[0]), two_keys.view(), &one));
    mismatch(state.map_get(MAP, Which::Some(&[0]), two_keys.view(), &mut one.clone()));
    for ends in [vec![1, 0], vec![0, 1], vec![0, 3], vec![2, 1]] {
        let lists = NestedColumn {
            ends,
            elements: two_keys.clone(),
        };
        mismatch(state.list_set(LIST, Which::All, &lists));
    }
    let key = |index| Err(Error::NoSuchKey { index, keys: 2 });
    let beyond = Which::Some(&[0, 2]);
    let two = optional(&[Some("x"), Some("y")]);
    assert_eq!(state.value_put(VALUE, beyond, &two), key(2));
    assert_eq!(state.value_get(VALUE, beyond, &mut two.clone()), key(2));
    assert_eq!(
        state.list_add(LIST, &[0, u32::MAX], two_keys.view()),
        key(u32::MAX)
    );
    assert_eq!(state.map_put(MAP, beyond, two_keys.view(), &two), key(2));
    assert_eq!(state.map_clear(MAP, &[0, 2]), key(2));
    let mut page = EntriesColumn::default();
    assert_eq!(state.map_scan(MAP, 2, None, 1, &mut page), key(2));
    state.commit().unwrap();
    for index in [VALUE, LIST, MAP] {
        assert_eq!(state.backend_mut().entries(index), 0);
    }
}

#[test]
fn a_list_of_empty_elements_that_is_read_over_and_over_meets_a_limit() {
    let mut state = keyed_state();
    begin(&mut state, &["a"]);
    let empty: Column = std::iter::repeat_n(&b""[..], 100_000).collect();
    let keys = vec![0; 100_000];
    state.list_add(LIST, &keys, empty.view()).unwrap();
    let mut out = NestedColumn::default();
    let result = state.list_get(LIST, Which::Some(&[0; 1000]), &mut out);
    assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
    state.commit().unwrap();
    begin(&mut state, &["a"]);
    out.clear();
    let result = state.list_get(LIST, Which::Some(&[0; 1000]), &mut out);
    assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
    assert!(out.elements.len() < 10_000_000, "{}", out.elements.len());
}

#[test]
fn empty_rows_written_without_end_meet_a_limit() {
    let rows = 100_000;
    let empty: Column = std::iter::repeat_n(&b""[..], rows).collect();
    let keys = vec![0; rows];
    let mut none = OptionalColumn::new();
    (0..rows).for_each(|_| none.push(None));
    let mut lists = NestedColumn::default();
    lists.elements.extend_from(empty.view());
    lists.ends = vec![rows as u32];
    type Write<'a> = &'a dyn Fn(&mut KeyedState) -> Result<(), Error>;
    let some = Which::Some(&keys);
    let short: Column = [&b"x"[..]].into_iter().collect();
    let writes: [Write<'_>; 6] = [
        &|state| state.value_put(VALUE, some, &none),
        &|state| state.list_add(LIST, &keys, empty.view()),
        &|state| state.list_set(LIST, Which::All, &lists),
        &|state| state.map_put(MAP, some, empty.view(), &none),
        // A list grows over calls.
        &|state| {
            state.list_add(LIST, &keys, empty.view())?;
            state.commit()?;
            begin(state, &["a"]);
            Ok(())
        },
        // So does one that was short in the first of them.
        &|state| {
            state.list_add(LIST, &[0], short.view())?;
            state.commit()?;
            begin(state, &["a"]);
            state.list_add(LIST, &keys, empty.view())?;
            state.commit()?;
            begin(state, &["a"]);
            Ok(())
        },
    ];
    for (i, write) in writes.iter().enumerate() {
        let mut state = keyed_state();
        begin(&mut state, &["a"]);
        let result = (0..1000).try_for_each(|_| write(&mut state));
        let refused = matches!(result, Err(Error::TooLarge { .. }));
        assert!(refused, "{i}: {result:?}");
        // What was allowed can be read.
        begin(&mut state, &["a"]);
        let read = state.list_get(LIST, Which::All, &mut NestedColumn::default());
        assert_eq!(read, Ok(()), "{i}");
    }
}

#[test]
fn a_call_that_reads_one_value_over_and_over_meets_a_limit() {
    let mut state = keyed_state();
    begin(&mut state, &["a"]);
    let long = "x".repeat(1 << 20);
    put(&mut state, 0, Some(&long));
    let mut out = OptionalColumn::new();
    let result = state.value_get(VALUE, Which::Some(&[0; 600]), &mut out);
    assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
}

/// One access of a call.
#[derive(Clone, Debug)]
enum Access {
    Put(Vec<(u32, Option<String>)>),
    Slots(Vec<Option<String>>),
    Add(Vec<(u32, String)>),
    Set(Vec<(u32, Vec<String>)>),
    MapPut(Vec<(u32, String, Option<String>)>),
    MapClear(Vec<u32>),
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

fn text() -> impl Strategy<Value = String> {
    "[ab]{0,2}"
}

fn access() -> impl Strategy<Value = Access> {
    let key = || 0..KEYS.len() as u32;
    let value = || proptest::option::of(text());
    prop_oneof![
        vec((key(), value()), 0..4).prop_map(Access::Put),
        vec(value(), KEYS.len()).prop_map(Access::Slots),
        vec((key(), text()), 0..4).prop_map(Access::Add),
        vec((key(), vec(text(), 0..3)), 0..3).prop_map(Access::Set),
        vec((key(), text(), value()), 0..6).prop_map(Access::MapPut),
        vec(key(), 0..2).prop_map(Access::MapClear),
    ]
}

#[derive(Clone, Debug, Default)]
struct Model {
    values: BTreeMap<u32, String>,
    lists: BTreeMap<u32, Vec<String>>,
    maps: BTreeMap<u32, BTreeMap<String, String>>,
}

impl Model {
    fn apply(&mut self, access: &Access) {
        match access {
            Access::Put(puts) => puts.iter().for_each(|(key, value)| self.put(*key, value)),
            Access::Slots(slots) => (0..)
                .zip(slots)
                .for_each(|(key, value)| self.put(key, value)),
            Access::Add(adds) => {
                for (key, element) in adds {
                    self.lists.entry(*key).or_default().push(element.clone());
                }
            }
            Access::Set(sets) => {
                for (key, list) in sets {
                    self.lists.insert(*key, list.clone());
                }
            }
            Access::MapPut(puts) => {
                for (key, map_key, value) in puts {
                    let map = self.maps.entry(*key).or_default();
                    match value {
                        Some(value) => drop(map.insert(map_key.clone(), value.clone())),
                        None => drop(map.remove(map_key)),
                    }
                }
            }
            Access::MapClear(keys) => keys.iter().for_each(|key| drop(self.maps.remove(key))),
        }
    }

    fn put(&mut self, key: u32, value: &Option<String>) {
        match value {
            Some(value) => drop(self.values.insert(key, value.clone())),
            None => drop(self.values.remove(&key)),
        }
    }

    fn check(&self, state: &mut KeyedState) {
        let keys = 0..KEYS.len() as u32;
        let expected: Vec<_> = keys
            .clone()
            .map(|key| self.values.get(&key).cloned())
            .collect();
        assert_eq!(values(state), expected);
        for key in keys {
            let expected = self.lists.get(&key).map(|list| list.join(","));
            assert_eq!(list(state, key), expected.unwrap_or_default());
            let map = self.maps.get(&key).cloned().unwrap_or_default();
            let entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}={v}")).collect();
            assert_eq!(scan(state, key, None, 99), entries.join(","));
            let mut after: Option<String> = None;
            for entry in &entries {
                assert_eq!(&scan(state, key, after.as_deref(), 1), entry);
                after = entry.split('=').next().map(str::to_owned);
            }
            let expected = ["", "a", "bb"].map(|map_key| map.get(map_key).cloned());
            assert_eq!(map_get(state, key, &["", "a", "bb"]), expected);
        }
    }
}

fn perform(state: &mut KeyedState, access: &Access, model: &mut Model) {
    let result = match access {
        Access::Put(puts) => {
            let keys: Vec<u32> = puts.iter().map(|put| put.0).collect();
            let values: Vec<_> = puts.iter().map(|put| put.1.as_deref()).collect();
            state.value_put(VALUE, Which::Some(&keys), &optional(&values))
        }
        Access::Slots(slots) => {
            let slots: Vec<_> = slots.iter().map(Option::as_deref).collect();
            state.put_slots(VALUE, &mut optional(&slots))
        }
        Access::Add(adds) => {
            let keys: Vec<u32> = adds.iter().map(|add| add.0).collect();
            let elements: Vec<&str> = adds.iter().map(|add| add.1.as_str()).collect();
            state.list_add(LIST, &keys, column(&elements).view())
        }
        Access::Set(sets) => {
            let keys: Vec<u32> = sets.iter().map(|set| set.0).collect();
            let mut lists = NestedColumn::default();
            for (_, list) in sets {
                list.iter().for_each(|e| lists.elements.push(e.as_bytes()));
                lists.ends.push(lists.elements.len() as u32);
            }
            state.list_set(LIST, Which::Some(&keys), &lists)
        }
        Access::MapPut(puts) => {
            let keys: Vec<u32> = puts.iter().map(|put| put.0).collect();
            let map_keys: Vec<&str> = puts.iter().map(|put| put.1.as_str()).collect();
            let values: Vec<_> = puts.iter().map(|put| put.2.as_deref()).collect();
            let map_keys = column(&map_keys);
            state.map_put(MAP, Which::Some(&keys), map_keys.view(), &optional(&values))
        }
        Access::MapClear(keys) => state.map_clear(MAP, keys),
    };
    match result {
        Ok(()) => model.apply(access),
        // Both ways of writing one state in one call: refused without a trace.
        Err(Error::SlotsAndPut { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_are_what_a_plain_model_says(
        calls in vec((vec((access(), any::<bool>()), 0..8), any::<bool>()), 1..6),
    ) {
        let mut state = keyed_state();
        let mut committed = Model::default();
        for (accesses, commit) in calls {
            begin(&mut state, &KEYS);
            let mut model = committed.clone();
            for (access, look) in accesses {
                perform(&mut state, &access, &mut model);
                if look {
                    model.check(&mut state);
                }
            }
            if commit {
                state.commit().unwrap();
                committed = model;
            } else {
                state.rollback();
            }
            begin(&mut state, &KEYS);
            committed.check(&mut state);
        }
    }
}
