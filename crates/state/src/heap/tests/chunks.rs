//! Large maps against a plain one.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use crate::heap::chunks::MapChunks;

/// Does something to every `step`-th of `count` map keys from `from` on.
#[derive(Clone, Debug)]
struct Sweep {
    from: u16,
    step: u16,
    count: u16,
    /// The length of the values that are put; `None` removes.
    put: Option<u16>,
    /// Whether to keep a copy, as a snapshot does, before.
    freeze: bool,
    /// How many of the first entries are removed together, after.
    first: usize,
}

fn sweep() -> impl Strategy<Value = Sweep> {
    let len = prop_oneof![4 => 0..20u16, 1 => 200..400u16, 1 => Just(17_000)];
    let put = proptest::option::weighted(0.6, len);
    let first = prop_oneof![2 => Just(0), 1 => 0..400usize];
    (0..500u16, 1..6u16, 1..300u16, put, any::<bool>(), first).prop_map(
        |(from, step, count, put, freeze, first)| Sweep {
            from,
            step,
            // A few long values are enough.
            count: if put == Some(17_000) {
                count % 4
            } else {
                count
            },
            put,
            freeze,
            first,
        },
    )
}

/// Keys of which many begin with the same 8 bytes, and some are shorter.
fn key_of(n: u16) -> Vec<u8> {
    match n {
        0 => vec![],
        n if n % 10 == 1 => n.to_be_bytes().to_vec(),
        n if n < 400 => format!("the same{n}").into_bytes(),
        n => format!("{n}").into_bytes(),
    }
}

fn check(map: &MapChunks, model: &BTreeMap<Vec<u8>, Vec<u8>>) {
    map.check();
    assert_eq!(map.entries(), model.len() as u64);
    let pairs = |(key, value)| (Vec::as_slice(key), Vec::as_slice(value));
    assert!(map.iter_after(None).eq(model.iter().map(pairs)));
    for n in (0..2000).step_by(7) {
        let key = key_of(n);
        assert_eq!(map.get(&key), model.get(&key).map(Vec::as_slice));
        let after = (
            std::ops::Bound::Excluded(key.clone()),
            std::ops::Bound::Unbounded,
        );
        let expected = model.range(after).map(pairs).take(3);
        assert!(map.iter_after(Some(&key)).take(3).eq(expected), "after {n}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_large_map_and_its_copies_are_what_a_plain_one_says(sweeps in vec(sweep(), 1..12)) {
        let mut map = MapChunks::default();
        let mut model = BTreeMap::new();
        let mut frozen = Vec::new();
        for Sweep { from, step, count, put, freeze, first } in sweeps {
            if freeze {
                frozen.push((map.clone(), model.clone()));
            }
            for n in (from..).step_by(step.into()).take(count.into()) {
                let key = key_of(n);
                match put {
                    Some(len) => {
                        let value = vec![n as u8; usize::from(len + n % 3)];
                        let new = map.put(&key, &value, 0);
                        prop_assert_eq!(new, model.insert(key, value).is_none());
                    }
                    None => prop_assert_eq!(map.remove(&key), model.remove(&key).is_some()),
                }
            }
            let keys: Vec<_> = model.keys().take(first).cloned().collect();
            let mut next = keys.iter();
            let removed = map.remove_first(|key| next.next().is_some_and(|next| next == key));
            prop_assert_eq!(removed, keys.len());
            keys.iter().for_each(|key| drop(model.remove(key)));
            check(&map, &model);
        }
        for (map, model) in frozen {
            check(&map, &model);
        }
    }
}

#[test]
fn entries_that_come_in_order_fill_their_chunks() {
    let mut map = MapChunks::default();
    for n in 0..50_000u32 {
        map.put(&n.to_be_bytes(), &[0; 8], 0);
    }
    // A slot has 20 bytes and a head 8; half empty chunks would take twice as much.
    let used = 50_000 * (4 + 8 + 28);
    assert!(map.memory() < used * 3 / 2, "{} for {used}", map.memory());
}
