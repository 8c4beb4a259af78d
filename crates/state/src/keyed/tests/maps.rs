//! Map states within a call: clears, puts, removals and pages of scans in any order.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};

use super::*;

/// One access to one of two maps.
#[derive(Clone, Debug)]
enum Access {
    Put(Vec<(String, Option<String>)>),
    Clear,
    Get(String),
    Scan { after: Option<String>, limit: usize },
}

type Map = BTreeMap<String, String>;

fn access() -> impl Strategy<Value = (u32, Access)> {
    // Few map keys, so that accesses meet them again.
    let map_key = || "[ab]{0,2}";
    let puts = (map_key(), option::weighted(0.7, "[xy]{0,2}"));
    let access = prop_oneof![
        3 => vec(puts, 1..4).prop_map(Access::Put),
        1 => Just(Access::Clear),
        1 => map_key().prop_map(Access::Get),
        3 => (option::of(map_key()), 0..4usize)
            .prop_map(|(after, limit)| Access::Scan { after, limit }),
    ];
    (0..2u32, access)
}

fn perform(state: &mut KeyedState, key: u32, access: &Access, map: &mut Map) {
    match access {
        Access::Put(puts) => {
            let entries = puts.iter().map(|(k, v)| (k.as_str(), v.as_deref()));
            map_put(state, key, &entries.collect::<Vec<_>>());
            for (map_key, value) in puts {
                match value {
                    Some(value) => drop(map.insert(map_key.clone(), value.clone())),
                    None => drop(map.remove(map_key)),
                }
            }
        }
        Access::Clear => {
            state.map_clear(MAP, &[key]).unwrap();
            map.clear();
        }
        Access::Get(map_key) => {
            assert_eq!(map_get(state, key, &[map_key]), [map.get(map_key).cloned()]);
        }
        Access::Scan { after, limit } => {
            let later = map.iter().filter(|entry| Some(entry.0) > after.as_ref());
            let page: Vec<_> = later
                .take(*limit)
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            assert_eq!(scan(state, key, after.as_deref(), *limit), page.join(","));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_accesses_to_maps_are_what_a_plain_model_says(
        calls in vec((vec(access(), 0..16), any::<bool>()), 1..5),
    ) {
        let mut state = keyed_state();
        let mut committed = [Map::new(), Map::new()];
        for (accesses, commit) in calls {
            begin(&mut state, &["k", "l"]);
            let mut maps = committed.clone();
            for (key, access) in accesses {
                perform(&mut state, key, &access, &mut maps[key as usize]);
            }
            if commit {
                state.commit().unwrap();
                committed = maps;
            } else {
                state.rollback();
            }
            let entries = committed.iter().map(Map::len).sum::<usize>();
            prop_assert_eq!(state.backend_mut().entries(MAP), entries as u64);
        }
    }
}

#[test]
fn an_entry_that_is_put_again_after_a_clear_is_there() {
    let mut state = keyed_state();
    begin(&mut state, &["k"]);
    map_put(&mut state, 0, &[("m", Some("1")), ("n", Some("1"))]);
    state.map_clear(MAP, &[0]).unwrap();
    map_put(&mut state, 0, &[("m", Some("2"))]);
    assert_eq!(scan(&mut state, 0, None, 9), "m=2");
    state.commit().unwrap();
    begin(&mut state, &["k"]);
    assert_eq!(scan(&mut state, 0, None, 9), "m=2");
}

#[test]
fn entries_put_between_pages_are_in_order_however_many_they_are() {
    let mut state = keyed_state();
    begin(&mut state, &["k"]);
    let mut names: Vec<String> = Vec::new();
    for (round, count) in (0..).zip([1usize, 2, 300, 3, 500, 1]) {
        let more: Vec<String> = (0..count)
            .map(|i| format!("{:03}-{round}", i * 7919 % 1000))
            .collect();
        let entries: Vec<_> = more.iter().map(|name| (name.as_str(), Some(""))).collect();
        map_put(&mut state, 0, &entries);
        names.extend(more);
        names.sort_unstable();
        let expected: Vec<String> = names.iter().map(|name| format!("{name}=")).collect();
        assert_eq!(scan(&mut state, 0, None, usize::MAX), expected.join(","));
    }
}
