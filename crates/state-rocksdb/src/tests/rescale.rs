//! Any history of calls, native checkpoints on a base, and restores at another parallelism.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use weir_model::{
    Column, KeyGroup, KeyGroupRange, KeyedView, MaxParallelism, OptionalColumn, Parallelism, hash64,
};
use weir_state::{
    Backend, EntriesColumn, HeapBackend, KeyedState, NestedColumn, SnapshotFormat, StateDecl,
    StateIndex, StateKind, Which,
};

use super::{
    database, place,
    saved::{Files, Saved},
};
use crate::RocksDb;

pub(super) const VALUE: StateIndex = StateIndex(0);
pub(super) const LIST: StateIndex = StateIndex(1);
pub(super) const MAP: StateIndex = StateIndex(2);
const MAX: u32 = 16;

/// What one call does to one key.
#[derive(Clone, Debug)]
enum Write {
    Value(Option<u8>),
    Append(u8),
    Replace(Vec<u8>),
    Put(u8, u8),
    Remove(u8),
    Clear,
}

#[derive(Clone, Debug)]
enum Step {
    Call(Vec<(u8, Write)>),
    Checkpoint,
    /// Restores the latest checkpoint at this parallelism.
    Restore(u32),
    /// The same through canonical rows, and the heap backend on the way.
    Canonical(u32),
}

/// What should be there.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    values: BTreeMap<u8, u8>,
    lists: BTreeMap<u8, Vec<u8>>,
    maps: BTreeMap<u8, BTreeMap<u8, u8>>,
}

pub(super) fn decls() -> Vec<StateDecl> {
    [
        ("value", StateKind::Value),
        ("list", StateKind::List),
        ("map", StateKind::Map),
    ]
    .map(|(name, kind)| StateDecl {
        name: name.into(),
        kind,
        format: "raw".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    })
    .into()
}

pub(super) fn max() -> MaxParallelism {
    MaxParallelism::new(MAX).unwrap()
}

/// The key groups of each subtask.
pub(super) fn ranges(parallelism: u32) -> Vec<KeyGroupRange> {
    let parallelism = Parallelism::new(parallelism).unwrap();
    let of = |subtask| max().range_of(subtask, parallelism).unwrap();
    parallelism.subtasks().map(of).collect()
}

fn key_of(n: u8) -> Vec<u8> {
    vec![n; usize::from(n % 3) + 1]
}

fn group_of(n: u8) -> KeyGroup {
    max().key_group_of(hash64(&key_of(n)))
}

/// Begins a call on some keys.
pub(super) fn begin(state: &mut KeyedState, keys: &[Vec<u8>]) {
    let keys: Column = keys.iter().map(Vec::as_slice).collect();
    let hashes: Vec<u64> = keys.iter().map(hash64).collect();
    state.begin(Some(KeyedView {
        keys: keys.view(),
        hashes: &hashes,
        key_of_row: &[],
    }));
}

struct World<'a> {
    database: &'a RocksDb,
    subtasks: Vec<(KeyGroupRange, KeyedState)>,
    model: Model,
    latest: Vec<(KeyGroupRange, Saved)>,
    latest_model: Model,
    checkpoints: u64,
}

impl<'a> World<'a> {
    fn new(database: &'a RocksDb) -> Self {
        let mut world = Self {
            database,
            subtasks: Vec::new(),
            model: Model::default(),
            latest: Vec::new(),
            latest_model: Model::default(),
            checkpoints: 0,
        };
        world.restore(2, &|_, _| {});
        world.checkpoint();
        world
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Call(writes) => self.call(writes),
            Step::Checkpoint => self.checkpoint(),
            Step::Restore(parallelism) => {
                let latest = self.latest.clone();
                self.model = self.latest_model.clone();
                self.restore(parallelism, &|range, backend| {
                    let meet =
                        |held: &KeyGroupRange| held.start <= range.end && range.start <= held.end;
                    let parts = latest.iter().filter(|(held, _)| meet(held));
                    let parts = parts.map(|(held, saved)| (*held, decls(), saved.clone()));
                    backend.import(&mut Files::of(parts.collect())).unwrap();
                });
            }
            Step::Canonical(parallelism) => self.canonical(parallelism),
        }
        self.check();
    }

    fn call(&mut self, writes: Vec<(u8, Write)>) {
        for (range, state) in &mut self.subtasks {
            let numbers: BTreeSet<u8> = writes
                .iter()
                .map(|(n, _)| *n)
                .filter(|&n| range.contains(group_of(n)))
                .collect();
            let keys: Vec<Vec<u8>> = numbers.iter().map(|&n| key_of(n)).collect();
            begin(state, &keys);
            for (key, &number) in (0..).zip(&numbers) {
                for (_, write) in writes.iter().filter(|(n, _)| *n == number) {
                    apply(state, key, write);
                }
            }
            state.commit().unwrap();
        }
        for (n, write) in writes {
            self.model.apply(n, write);
        }
    }

    fn checkpoint(&mut self) {
        self.checkpoints += 1;
        let mut latest = Vec::new();
        for (range, state) in &mut self.subtasks {
            let base = self.latest.iter().find(|(held, _)| held == range);
            let base = base.map(|(_, saved)| saved);
            let saved = Saved::native(state.backend_mut(), self.checkpoints, base);
            latest.push((*range, saved));
        }
        self.latest = latest;
        self.latest_model = self.model.clone();
    }

    fn canonical(&mut self, parallelism: u32) {
        let mut saved = Vec::new();
        for (range, state) in &mut self.subtasks {
            let backend = state.backend_mut();
            let rows = Saved::of(backend, 0, SnapshotFormat::Canonical, None, 0);
            let mut heap = HeapBackend::new(decls(), *range).unwrap();
            rows.load(&mut heap);
            saved.push(Saved::of(&mut heap, 0, SnapshotFormat::Canonical, None, 0));
            assert_eq!(rows.blocks, saved.last().unwrap().blocks, "the same rows");
        }
        self.restore(parallelism, &|_, backend| {
            saved.iter().for_each(|saved| saved.load(backend));
        });
    }

    fn restore(&mut self, parallelism: u32, fill: &dyn Fn(KeyGroupRange, &mut dyn Backend)) {
        self.subtasks.clear();
        for range in ranges(parallelism) {
            let mut backend = self.database.create("op-0", decls(), range).unwrap();
            fill(range, &mut backend);
            let state = KeyedState::new(Box::new(backend), max());
            self.subtasks.push((range, state));
        }
    }

    fn check(&mut self) {
        let mut found = Model::default();
        for (range, state) in &mut self.subtasks {
            let numbers: Vec<u8> = (0..=20).filter(|&n| range.contains(group_of(n))).collect();
            let keys: Vec<Vec<u8>> = numbers.iter().map(|&n| key_of(n)).collect();
            begin(state, &keys);
            found.read(state, &numbers);
        }
        assert_eq!(found, self.model);
    }
}

fn apply(state: &mut KeyedState, key: u32, write: &Write) {
    let which = Which::Some(std::slice::from_ref(&key));
    let column = |value: Option<u8>| {
        let mut column = OptionalColumn::new();
        column.push(value.as_ref().map(std::slice::from_ref));
        column
    };
    match write {
        Write::Value(value) => state.value_put(VALUE, which, &column(*value)),
        Write::Append(element) => {
            let elements: Column = [&[*element][..]].into_iter().collect();
            state.list_add(LIST, &[key], elements.view())
        }
        Write::Replace(elements) => {
            let elements: Column = elements.iter().map(std::slice::from_ref).collect();
            let ends = vec![elements.len() as u32];
            state.list_set(LIST, which, &NestedColumn { ends, elements })
        }
        Write::Put(map_key, value) => {
            let map_keys: Column = [&[*map_key][..]].into_iter().collect();
            state.map_put(MAP, which, map_keys.view(), &column(Some(*value)))
        }
        Write::Remove(map_key) => {
            let map_keys: Column = [&[*map_key][..]].into_iter().collect();
            state.map_put(MAP, which, map_keys.view(), &column(None))
        }
        Write::Clear => state.map_clear(MAP, &[key]),
    }
    .unwrap();
}

impl Model {
    fn apply(&mut self, n: u8, write: Write) {
        match write {
            Write::Value(Some(value)) => drop(self.values.insert(n, value)),
            Write::Value(None) => drop(self.values.remove(&n)),
            Write::Append(element) => self.lists.entry(n).or_default().push(element),
            Write::Replace(elements) => drop(self.lists.insert(n, elements)),
            Write::Put(map_key, value) => {
                self.maps.entry(n).or_default().insert(map_key, value);
            }
            Write::Remove(map_key) => drop(self.maps.entry(n).or_default().remove(&map_key)),
            Write::Clear => drop(self.maps.remove(&n)),
        }
        self.lists.retain(|_, list| !list.is_empty());
        self.maps.retain(|_, map| !map.is_empty());
    }

    fn read(&mut self, state: &mut KeyedState, numbers: &[u8]) {
        let mut values = OptionalColumn::new();
        state.value_get(VALUE, Which::All, &mut values).unwrap();
        let mut lists = NestedColumn::default();
        state.list_get(LIST, Which::All, &mut lists).unwrap();
        let mut element = 0;
        for (i, &n) in numbers.iter().enumerate() {
            if let Some(value) = values.get(i) {
                self.values.insert(n, value[0]);
            }
            while element < lists.ends[i] as usize {
                let list = self.lists.entry(n).or_default();
                list.push(lists.elements.get(element)[0]);
                element += 1;
            }
            let mut entries = EntriesColumn::default();
            state
                .map_scan(MAP, i as u32, None, 1000, &mut entries)
                .unwrap();
            for (map_key, value) in entries.keys.iter().zip(entries.values.iter()) {
                self.maps.entry(n).or_default().insert(map_key[0], value[0]);
            }
        }
    }
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        any::<Option<u8>>().prop_map(Write::Value),
        any::<u8>().prop_map(Write::Append),
        vec(any::<u8>(), 0..3).prop_map(Write::Replace),
        (0..6u8, any::<u8>()).prop_map(|(map_key, value)| Write::Put(map_key, value)),
        (0..6u8).prop_map(Write::Remove),
        Just(Write::Clear),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec((0..=20u8, write()), 1..20).prop_map(Step::Call),
        3 => Just(Step::Checkpoint),
        2 => (1..6u32).prop_map(Step::Restore),
        1 => (1..6u32).prop_map(Step::Canonical),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_history_survives_restores_at_any_parallelism(steps in vec(step(), 1..14)) {
        let place = place();
        let database = database(&place);
        let mut world = World::new(&database);
        for step in steps {
            world.step(step);
        }
    }
}
