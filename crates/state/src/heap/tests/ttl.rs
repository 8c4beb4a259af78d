//! State with a time to live on the heap (D16): the cases, and what access cleans up.

use weir_model::{
    CheckpointId, Column, KeyGroup, KeyGroupRange, KeyedView, MaxParallelism, OptionalColumn,
    ProcessingTime, hash64,
};

use crate::{
    Backend, Error, HeapBackend, KeyedState, NestedColumn, SnapshotRequest, StateDecl, StateIndex,
    StateKind, Ttl, Which, laws,
};

const ALL: KeyGroupRange = KeyGroupRange {
    start: KeyGroup(0),
    end: KeyGroup(39),
};

fn heap(decls: Vec<StateDecl>, range: KeyGroupRange) -> Box<dyn Backend> {
    Box::new(HeapBackend::new(decls, range).unwrap())
}

#[test]
fn c13_strict_timeline() {
    laws::ttl::c13_strict_timeline(&heap);
}

#[test]
fn c14_relaxed_and_on_read() {
    laws::ttl::c14_relaxed_and_on_read(&heap);
}

#[test]
fn c14_a_call_that_is_rolled_back_refreshes_nothing() {
    laws::ttl::c14_a_call_that_is_rolled_back_refreshes_nothing(&heap);
}

#[test]
fn c15_per_element_and_per_entry() {
    laws::ttl::c15_per_element_and_per_entry(&heap);
}

#[test]
fn c16_migration() {
    laws::ttl::c16_migration(&heap);
}

#[test]
fn c16_full_snapshots_leave_out_what_has_expired() {
    laws::ttl::c16_full_snapshots_leave_out_what_has_expired(&heap);
}

#[test]
fn a_clock_that_goes_back_takes_nothing_away() {
    laws::ttl::a_clock_that_goes_back_takes_nothing_away(&heap);
}

fn decls(duration_ms: u64) -> Vec<StateDecl> {
    let ttl = Ttl {
        duration_ms,
        on_read: false,
        return_expired: false,
    };
    let of = |kind: StateKind| StateDecl {
        name: kind.as_str().into(),
        kind,
        format: "raw".into(),
        version: 1,
        prefetch: true,
        ttl: Some(ttl),
    };
    [StateKind::Value, StateKind::List, StateKind::Map]
        .map(of)
        .into()
}

#[test]
fn c16_a_time_to_live_of_nothing_is_refused() {
    let refused = HeapBackend::new(decls(0), ALL).unwrap_err();
    let name = "value".to_owned();
    assert_eq!(refused, Error::NoTime { name });
}

/// Begins a call on keys with these numbers.
fn begin(state: &mut KeyedState, now: i64, numbers: impl Iterator<Item = u32>) -> usize {
    let names: Vec<String> = numbers.map(|n| format!("key {n}")).collect();
    let keys: Column = names.iter().map(|name| name.as_bytes()).collect();
    let hashes: Vec<u64> = keys.iter().map(hash64).collect();
    state.set_time(ProcessingTime(now));
    state.begin(Some(KeyedView {
        keys: keys.view(),
        hashes: &hashes,
        key_of_row: &[],
    }));
    names.len()
}

/// Writes a value, an element and an entry of each of some keys.
fn write(state: &mut KeyedState, now: i64, numbers: impl Iterator<Item = u32>) {
    let keys = begin(state, now, numbers);
    let mut values = OptionalColumn::new();
    let mut column = Column::new();
    (0..keys).for_each(|_| {
        values.push(Some(b"v"));
        column.push(&now.to_be_bytes());
    });
    let all: Vec<u32> = (0..keys as u32).collect();
    state.value_put(StateIndex(0), Which::All, &values).unwrap();
    state.list_add(StateIndex(1), &all, column.view()).unwrap();
    state
        .map_put(StateIndex(2), Which::All, column.view(), &values)
        .unwrap();
    state.commit().unwrap();
}

#[test]
fn accesses_remove_what_has_expired_of_keys_that_nobody_asks_for() {
    let max = MaxParallelism::new(40).unwrap();
    let mut state = KeyedState::new(heap(decls(100), ALL), max);
    write(&mut state, 0, 0..2000);
    write(&mut state, 90, 0..1);
    let stored = |state: &mut KeyedState| {
        [0, 1, 2].map(|index| state.backend_mut().entries(StateIndex(index)))
    };
    assert_eq!(stored(&mut state), [2000, 2000, 2001]);
    // A snapshot holds what is there now, and is not touched by what is cleaned up.
    let request = SnapshotRequest::full(CheckpointId(1), ProcessingTime(90));
    let held = state.snapshot(&request).unwrap();
    for _ in 0..60 {
        write(&mut state, 150, 0..50);
    }
    let left = stored(&mut state);
    assert_eq!(left, [50, 50, 51], "of the first key the rest of its life");
    begin(&mut state, 150, 0..1);
    let mut list = NestedColumn::default();
    state
        .list_get(StateIndex(1), Which::All, &mut list)
        .unwrap();
    assert_eq!(list.elements.len(), 61, "its first element has expired");
    drop(held);
}

#[test]
fn slots_that_are_returned_are_accesses_whether_or_not_they_have_changed() {
    let max = MaxParallelism::new(40).unwrap();
    let mut state = KeyedState::new(heap(decls(100), ALL), max);
    for now in [0, 90, 180] {
        begin(&mut state, now, 0..1);
        let mut slots = OptionalColumn::new();
        state
            .value_get(StateIndex(0), Which::All, &mut slots)
            .unwrap();
        assert_eq!(slots.get(0).is_some(), now > 0);
        slots.clear();
        slots.push(Some(b"v"));
        state.put_slots(StateIndex(0), &mut slots.clone()).unwrap();
        state.commit().unwrap();
    }
}
