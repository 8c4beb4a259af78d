//! Calls with more keys than are looked for at once, beside plain maps.

use std::collections::BTreeMap;

use weir_model::{
    CheckpointId, Column, KeyedView, MaxParallelism, OptionalColumn, Parallelism, ProcessingTime,
    SubtaskIndex, hash64,
};

use super::decls;
use crate::{HeapBackend, KeyedState, NestedColumn, SnapshotRequest, StateIndex, StateKind, Which};

const LIST: StateIndex = StateIndex(0);
const MAP: StateIndex = StateIndex(1);
/// Keys of a call, and of all.
const KEYS: usize = 1_500;
const ALL: u64 = 6_000;

fn state() -> KeyedState {
    let decls = decls([StateKind::List, StateKind::Map]);
    let max = MaxParallelism::new(128).unwrap();
    let range = max.range_of(SubtaskIndex(0), Parallelism::ONE).unwrap();
    let backend = HeapBackend::new(decls, range).unwrap();
    KeyedState::new(Box::new(backend), max)
}

/// Always the same numbers, in no order.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        hash64(&self.0.to_le_bytes()) % bound
    }

    /// Short most of the time.
    fn value(&mut self) -> Vec<u8> {
        let length = if self.below(50) == 0 { 400 } else { 8 };
        vec![self.below(256) as u8; length]
    }
}

#[derive(Default)]
struct Model {
    lists: BTreeMap<u64, Vec<Vec<u8>>>,
    maps: BTreeMap<(u64, Vec<u8>), Vec<u8>>,
}

/// Adds to some lists, clears others, and puts and removes entries.
fn write(state: &mut KeyedState, model: &mut Model, keys: &[u64], random: &mut Numbers) {
    let (mut added, mut elements) = (Vec::new(), Column::new());
    let (mut cleared, mut none) = (Vec::new(), NestedColumn::default());
    let (mut put, mut map_keys) = (Vec::new(), Column::new());
    let mut values = OptionalColumn::new();
    for (index, &key) in (0..).zip(keys) {
        if random.below(3) == 0 {
            cleared.push(index);
            none.ends.push(0);
            model.lists.remove(&key);
        } else {
            let element = random.value();
            added.push(index);
            elements.push(&element);
            model.lists.entry(key).or_default().push(element);
        }
        let map_key = random.below(5).to_be_bytes();
        let value = (random.below(4) > 0).then(|| random.value());
        put.push(index);
        map_keys.push(&map_key);
        values.push(value.as_deref());
        match value {
            Some(value) => model.maps.insert((key, map_key.to_vec()), value),
            None => model.maps.remove(&(key, map_key.to_vec())),
        };
    }
    state.list_add(LIST, &added, elements.view()).unwrap();
    state.list_set(LIST, Which::Some(&cleared), &none).unwrap();
    state
        .map_put(MAP, Which::Some(&put), map_keys.view(), &values)
        .unwrap();
    state.commit().unwrap();
}

/// All lists, and one entry of each map, are as in the model.
fn check(state: &mut KeyedState, model: &Model, keys: &[u64], random: &mut Numbers) {
    let mut lists = NestedColumn::default();
    state.list_get(LIST, Which::All, &mut lists).unwrap();
    let (mut map_keys, mut values) = (Column::new(), OptionalColumn::new());
    let asked: Vec<Vec<u8>> = keys
        .iter()
        .map(|_| random.below(5).to_be_bytes().to_vec())
        .collect();
    asked.iter().for_each(|map_key| map_keys.push(map_key));
    state
        .map_get(MAP, Which::All, map_keys.view(), &mut values)
        .unwrap();
    let mut first = 0;
    for (index, (key, map_key)) in keys.iter().zip(asked).enumerate() {
        let end = lists.ends[index] as usize;
        let list: Vec<&[u8]> = (first..end).map(|row| lists.elements.get(row)).collect();
        first = end;
        let expected = model.lists.get(key).map_or(&[][..], Vec::as_slice);
        assert_eq!(list, expected, "list of {key}");
        let expected = model.maps.get(&(*key, map_key));
        assert_eq!(
            values.get(index),
            expected.map(Vec::as_slice),
            "map of {key}"
        );
    }
}

#[test]
fn what_a_call_of_many_keys_writes_is_there() {
    let (mut state, mut model, mut random) = (state(), Model::default(), Numbers(1));
    let mut held = Vec::new();
    for call in 0..40 {
        let first = random.below(ALL);
        let numbers: Vec<u64> = (0..KEYS as u64)
            .map(|step| (first + step * 7) % ALL)
            .collect();
        let keys: Column = numbers
            .iter()
            .map(|number| number.to_be_bytes())
            .collect::<Vec<_>>()
            .iter()
            .map(<[u8; 8]>::as_slice)
            .collect();
        let hashes: Vec<u64> = keys.iter().map(hash64).collect();
        let keyed = KeyedView {
            keys: keys.view(),
            hashes: &hashes,
            key_of_row: &[],
        };
        state.begin(Some(keyed));
        check(&mut state, &model, &numbers, &mut random);
        write(&mut state, &mut model, &numbers, &mut random);
        state.begin(Some(keyed));
        check(&mut state, &model, &numbers, &mut random);
        state.rollback();
        // Some segments are a snapshot's, and are copied before they are written.
        match call % 5 {
            3 => {
                let request = SnapshotRequest::full(CheckpointId(call), ProcessingTime(0));
                held.push(state.snapshot(&request).unwrap());
            }
            4 => held.clear(),
            _ => {}
        }
    }
}
