//! Rows in flight find their way to whoever has their key, or what follows them.

use std::sync::Arc;

use proptest::prelude::*;
use weir_model::{Column, ColumnView, EventTime, hash64};
use weir_operator::{BadKey, KeySelector};

use super::*;

struct NoKey;

impl KeySelector for NoKey {
    fn select(&self, _: ColumnView<'_>, _: &mut Column, _: &mut Vec<BadKey>) {}

    fn describe(&self) -> String {
        "no key".into()
    }
}

fn p(n: u32) -> Parallelism {
    Parallelism::new(n).unwrap()
}

fn max() -> MaxParallelism {
    MaxParallelism::new(128).unwrap()
}

/// Rows with these numbers, each with the key and the lineage of its number modulo 10.
fn batch(rows: &[u64]) -> InFlight {
    let mut batch = Batch::default();
    let mut keyed = Keyed::default();
    for &row in rows {
        batch.values.push(row.to_string().as_bytes());
        batch.timestamps.push(row as i64);
        let key = (row % 10).to_string();
        let known = keyed.keys.iter().position(|known| known == key.as_bytes());
        let at = known.unwrap_or_else(|| {
            keyed.keys.push(key.as_bytes());
            keyed.hashes.push(hash64(key.as_bytes()));
            keyed.hashes.len() - 1
        });
        keyed.key_of_row.push(at as u32);
        batch.lineage.push(match row % 3 {
            0 => Lineage::None,
            1 => Lineage::Key(hash64(key.as_bytes())),
            _ => Lineage::Split(hash64(key.as_bytes())),
        });
    }
    batch.keyed = Some(keyed);
    InFlight::Rows(batch)
}

fn rows_of(elements: &VecDeque<Element>) -> Vec<u64> {
    let mut rows = Vec::new();
    for element in elements {
        let Element::Batch(batch) = element else {
            continue;
        };
        let keyed = batch.keyed.as_ref().unwrap();
        assert_eq!(batch.timestamps.len(), batch.len());
        assert_eq!(batch.lineage.len(), batch.len());
        for (at, value) in batch.values.iter().enumerate() {
            let row: u64 = std::str::from_utf8(value).unwrap().parse().unwrap();
            let key = keyed.key_of_row[at] as usize;
            assert_eq!(keyed.keys.get(key), (row % 10).to_string().as_bytes());
            assert_eq!(keyed.hashes[key], hash64(keyed.keys.get(key)));
            assert_eq!(batch.timestamps[at], row as i64);
            rows.push(row);
        }
    }
    rows
}

proptest! {
    /// Whatever the edge and the parallelisms: each row comes to one subtask, in order, and the one
    /// with its key, or of its split.
    #[test]
    fn each_row_comes_to_the_one_subtask_that_it_belongs_to(
        kind in 0..4usize,
        (old, new) in (1..5u32, 1..5u32),
        from in 0..4u32,
        sizes in prop::collection::vec(0..8u64, 1..6),
        dealt in prop::collection::btree_map(0..10u64, 0..4u32, 0..10),
    ) {
        let from = SubtaskIndex(from % old);
        let partitioning = match kind {
            0 => Partitioning::Hash(Arc::new(NoKey)),
            1 => Partitioning::Rebalance,
            2 => Partitioning::Global,
            _ => Partitioning::Forward,
        };
        let name = |split: u64| hash64(split.to_string().as_bytes());
        let deals: Deals = dealt
            .into_iter()
            .map(|(split, reader)| (name(split), SubtaskIndex(reader % new)))
            .collect();
        let route = Route {
            partitioning: &partitioning,
            max: max(),
            old: p(old),
            new: p(new),
            deals: &deals,
        };
        let mut elements = Vec::new();
        let mut all = Vec::new();
        for size in sizes {
            let next = all.len() as u64;
            let rows: Vec<_> = (next..next + size).collect();
            if size > 0 {
                elements.push(batch(&rows));
            }
            elements.push(InFlight::Watermark(EventTime(next as i64)));
            all.extend(rows);
        }
        let mut found = Vec::new();
        for to in p(new).subtasks() {
            let share = route.share(&elements, from, to);
            let rows = rows_of(&share);
            prop_assert!(rows.is_sorted(), "{:?}", rows);
            prop_assert_eq!(share.is_empty(), rows.is_empty());
            if !rows.is_empty() {
                let is_mark = |e: &&Element| matches!(e, Element::Watermark(_));
                let written = elements.iter().filter(|e| matches!(e, InFlight::Watermark(_)));
                prop_assert_eq!(share.iter().filter(is_mark).count(), written.count());
            }
            for &row in &rows {
                let hash = name(row % 10);
                let by_key = max().subtask_of(max().key_group_of(hash), p(new));
                if old == new {
                    prop_assert_eq!(to, from);
                } else if kind == 0 || (kind == 3 && row % 3 == 1) {
                    prop_assert_eq!(to, by_key);
                } else if kind == 2 {
                    prop_assert_eq!(to, SubtaskIndex(0));
                } else if let (3, 2, Some(&reader)) = (kind, row % 3, deals.get(&hash)) {
                    prop_assert_eq!(to, reader);
                }
            }
            found.extend(rows);
        }
        found.sort_unstable();
        prop_assert_eq!(found, all);
    }
}

#[test]
fn rows_without_lineage_are_spread_evenly() {
    let deals = Deals::new();
    for partitioning in [Partitioning::Forward, Partitioning::Rebalance] {
        let route = Route {
            partitioning: &partitioning,
            max: max(),
            old: p(1),
            new: p(3),
            deals: &deals,
        };
        let elements: Vec<_> = (0..30).map(|row| batch(&[row * 3])).collect();
        let counts: Vec<_> = p(3)
            .subtasks()
            .map(|to| rows_of(&route.share(&elements, SubtaskIndex(0), to)).len())
            .collect();
        assert_eq!(counts, [10, 10, 10]);
    }
}

#[test]
fn few_rows_of_several_old_channels_do_not_all_go_to_the_first() {
    let (partitioning, deals) = (Partitioning::Rebalance, Deals::new());
    let route = Route {
        partitioning: &partitioning,
        max: max(),
        old: p(4),
        new: p(2),
        deals: &deals,
    };
    let one = [batch(&[7])];
    let to_first = p(4)
        .subtasks()
        .filter(|&from| !route.share(&one, from, SubtaskIndex(0)).is_empty());
    assert_eq!(to_first.count(), 2);
}

#[test]
fn an_input_is_found_where_it_has_moved_and_not_where_it_has_changed() {
    let input = |from: &str, partitioning: &str, key: Option<&str>| ChannelInput {
        from: from.into(),
        partitioning: partitioning.into(),
        key: key.map(Into::into),
    };
    let was = input("a", "hash", Some("csv columns 0"));
    let moved = [input("b", "hash", None), was.clone()];
    assert_eq!(input_like(&moved, 0, &was), Some(1));
    assert_eq!(input_like(&[was.clone(), was.clone()], 1, &was), Some(1));
    let key = [input("a", "hash", Some("csv columns 1"))];
    assert_eq!(input_like(&key, 0, &was), None);
    assert_eq!(input_like(&[input("a", "rebalance", None)], 0, &was), None);
    assert_eq!(input_like(&[], 0, &was), None);
}
