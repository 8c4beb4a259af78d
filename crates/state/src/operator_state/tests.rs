//! The state of a subtask: cases C05 to C07, misuse and limits, and random calls and redistribution
//! against naive models.

mod cases;
mod misuse;
mod model;
mod redistribution;

use weir_model::{Column, OperatorName, OptionalColumn, Parallelism, SubtaskIndex};

use super::*;
use crate::{StateFileReader, StateFileWriter};

const EVEN: StateIndex = StateIndex(0);
const UNION: StateIndex = StateIndex(1);
const BROADCAST: StateIndex = StateIndex(2);
const KEYED: StateIndex = StateIndex(3);

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

/// One state of each kind without keys, and one with keys.
fn decls() -> Vec<StateDecl> {
    vec![
        decl("even", StateKind::OperatorList),
        decl("union", StateKind::OperatorUnion),
        decl("broadcast", StateKind::Broadcast),
        decl("keyed", StateKind::Value),
    ]
}

fn state() -> OperatorState {
    OperatorState::new(&decls())
}

fn operator() -> OperatorName {
    OperatorName::new("op").unwrap()
}

fn column<T: AsRef<[u8]>>(items: &[T]) -> Column {
    items.iter().map(AsRef::as_ref).collect()
}

fn optional<T: AsRef<[u8]>>(values: &[Option<T>]) -> OptionalColumn {
    let mut column = OptionalColumn::new();
    for value in values {
        column.push(value.as_ref().map(AsRef::as_ref));
    }
    column
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The items of a list.
fn list(state: &OperatorState, index: StateIndex) -> Vec<String> {
    let mut out = Column::new();
    state.list_get(index, &mut out).unwrap();
    out.iter().map(text).collect()
}

fn set(state: &mut OperatorState, index: StateIndex, items: &[&str]) {
    state.list_set(index, column(items)).unwrap();
}

fn put(state: &mut OperatorState, entries: &[(&str, Option<&str>)]) {
    let map_keys: Vec<&str> = entries.iter().map(|entry| entry.0).collect();
    let values: Vec<Option<&str>> = entries.iter().map(|entry| entry.1).collect();
    let map_keys = column(&map_keys);
    state
        .map_put(BROADCAST, map_keys.view(), &optional(&values))
        .unwrap();
}

/// A page of the broadcast state as `key=value`, joined by commas.
fn scan(state: &OperatorState, after: Option<&str>, limit: usize) -> String {
    let mut out = EntriesColumn::default();
    state
        .map_scan(BROADCAST, after.map(str::as_bytes), limit, &mut out)
        .unwrap();
    let entries = out.keys.iter().zip(out.values.iter());
    let entries = entries.map(|(key, value)| format!("{}={}", text(key), text(value)));
    entries.collect::<Vec<_>>().join(",")
}

/// The file of a snapshot.
fn file_of(decls: &[StateDecl], snapshot: OperatorSnapshot, raw: Vec<Vec<u8>>) -> Vec<u8> {
    let mut writer = StateFileWriter::new();
    writer
        .add_operator_state(&operator(), decls, snapshot, raw)
        .unwrap();
    writer.finish().unwrap().out
}

fn saved_in(file: Vec<u8>) -> SavedOperatorState {
    let reader = StateFileReader::open(file).unwrap();
    reader.operator_state(&operator()).unwrap()
}

/// What a file gives back of a snapshot.
fn saved(snapshot: OperatorSnapshot, raw: Vec<Vec<u8>>) -> SavedOperatorState {
    saved_in(file_of(&decls(), snapshot, raw))
}

/// The saved items of a list.
fn items(saved: &SavedOperatorState, name: &str) -> Vec<String> {
    saved.list(name).unwrap().map(text).collect()
}

/// The saved entries of the broadcast state, as [`scan`] has them.
fn entries(saved: &SavedOperatorState) -> String {
    let entries = saved.entries("broadcast").unwrap();
    let entries = entries.map(|(key, value)| format!("{}={}", text(key), text(value)));
    entries.collect::<Vec<_>>().join(",")
}

/// What each of `parallelism` new subtasks gets.
fn dealt(old: &[SavedOperatorState], parallelism: u32) -> Vec<SavedOperatorState> {
    let parallelism = Parallelism::new(parallelism).unwrap();
    let deal = |subtask: SubtaskIndex| redistribute(&decls(), old, parallelism, subtask);
    parallelism.subtasks().map(deal).collect()
}
