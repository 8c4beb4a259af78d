//! Calls as transactions: random calls against a naive model, and the conformance cases that speak
//! of what a guest sees.

mod cases;
mod faults;
mod maps;
mod overlays;

use weir_model::{
    CheckpointId, Column, KeyGroup, KeyGroupRange, KeyedView, MaxParallelism, OptionalColumn,
    ProcessingTime, hash64,
};

use crate::{
    EntriesColumn, Error, HeapBackend, KeyedState, NestedColumn, SnapshotRequest, StateDecl,
    StateIndex, StateKind, Which,
};

const VALUE: StateIndex = StateIndex(0);
const LIST: StateIndex = StateIndex(1);
const MAP: StateIndex = StateIndex(2);

/// A full checkpoint.
fn request() -> SnapshotRequest {
    SnapshotRequest::full(CheckpointId(1), ProcessingTime(0))
}

fn decl(name: &str, kind: StateKind) -> StateDecl {
    StateDecl {
        name: name.into(),
        kind,
        format: "raw".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    }
}

fn decls() -> Vec<StateDecl> {
    vec![
        decl("value", StateKind::Value),
        decl("list", StateKind::List),
        decl("map", StateKind::Map),
    ]
}

fn all() -> KeyGroupRange {
    KeyGroupRange {
        start: KeyGroup(0),
        end: KeyGroup(127),
    }
}

fn max() -> MaxParallelism {
    MaxParallelism::new(128).unwrap()
}

fn keyed_state() -> KeyedState {
    let backend = HeapBackend::new(decls(), all()).unwrap();
    KeyedState::new(Box::new(backend), max())
}

fn begin(state: &mut KeyedState, keys: &[&str]) {
    let column: Column = keys.iter().map(|key| key.as_bytes()).collect();
    let hashes: Vec<u64> = column.iter().map(hash64).collect();
    state.begin(Some(KeyedView {
        keys: column.view(),
        hashes: &hashes,
        key_of_row: &[],
    }));
}

fn texts(column: &OptionalColumn) -> Vec<Option<String>> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    column.iter().map(|value| value.map(text)).collect()
}

fn optional(values: &[Option<&str>]) -> OptionalColumn {
    let mut column = OptionalColumn::new();
    values
        .iter()
        .for_each(|value| column.push(value.map(str::as_bytes)));
    column
}

fn column(values: &[&str]) -> Column {
    values.iter().map(|value| value.as_bytes()).collect()
}

fn values(state: &mut KeyedState) -> Vec<Option<String>> {
    let mut out = OptionalColumn::new();
    state.value_get(VALUE, Which::All, &mut out).unwrap();
    texts(&out)
}

fn put(state: &mut KeyedState, key: u32, value: Option<&str>) {
    let some = [key];
    state
        .value_put(VALUE, Which::Some(&some), &optional(&[value]))
        .unwrap();
}

/// The list of one key, joined by commas.
fn list(state: &mut KeyedState, key: u32) -> String {
    let mut out = NestedColumn::default();
    state.list_get(LIST, Which::Some(&[key]), &mut out).unwrap();
    assert_eq!(out.ends, [out.elements.len() as u32]);
    let elements = out.elements.iter().map(String::from_utf8_lossy);
    elements.collect::<Vec<_>>().join(",")
}

fn nested(lists: &[&[&str]]) -> NestedColumn {
    let mut column = NestedColumn::default();
    for list in lists {
        list.iter().for_each(|e| column.elements.push(e.as_bytes()));
        column.ends.push(column.elements.len() as u32);
    }
    column
}

/// A page of the map of one key as `key=value`, joined by commas.
fn scan(state: &mut KeyedState, key: u32, after: Option<&str>, limit: usize) -> String {
    let mut out = EntriesColumn::default();
    state
        .map_scan(MAP, key, after.map(str::as_bytes), limit, &mut out)
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let entries = out.keys.iter().zip(out.values.iter());
    let entries = entries.map(|(key, value)| format!("{}={}", text(key), text(value)));
    entries.collect::<Vec<_>>().join(",")
}

fn map_put(state: &mut KeyedState, key: u32, entries: &[(&str, Option<&str>)]) {
    let map_keys: Vec<&str> = entries.iter().map(|entry| entry.0).collect();
    let values: Vec<Option<&str>> = entries.iter().map(|entry| entry.1).collect();
    let which = vec![key; entries.len()];
    state
        .map_put(
            MAP,
            Which::Some(&which),
            column(&map_keys).view(),
            &optional(&values),
        )
        .unwrap();
}

fn map_get(state: &mut KeyedState, key: u32, map_keys: &[&str]) -> Vec<Option<String>> {
    let mut out = OptionalColumn::new();
    let which = vec![key; map_keys.len()];
    state
        .map_get(MAP, Which::Some(&which), column(map_keys).view(), &mut out)
        .unwrap();
    texts(&out)
}

fn some(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|value| Some((*value).into())).collect()
}
