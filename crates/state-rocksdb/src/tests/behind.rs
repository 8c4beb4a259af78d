//! Timers that are set while a snapshot is not made yet: it does not see them, nobody waits for it,
//! and they are there.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, sample::Index};
use weir_model::{CheckpointId, KeyGroup, OptionalColumn, ProcessingTime, hash64};
use weir_state::{
    Backend, Snapshot, SnapshotFormat, SnapshotRequest, StateDecl, TimerKind, TimerWrites, Timers,
    ValueWrites, When, Which, Writes,
};

use super::{
    cases::{Keys, all, restored},
    database, place,
    rescale::{VALUE, decls, max},
    saved::Saved,
};
use crate::{RocksDb, RocksDbBackend};

const KEYS: u8 = 12;

#[derive(Clone, Debug)]
enum Step {
    /// Timers by time and key that are set or deleted, and what is written to all keys of them.
    Call(BTreeMap<(u8, u8), bool>, u8),
    /// The first timers are fired: taken away.
    Fire(u8),
    Snapshot,
    Finish(Index),
    Drop(Index),
}

/// A timer, in the order in which they are due.
type Timer = (i64, KeyGroup, Vec<u8>);

/// What should be there.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    timers: BTreeSet<Timer>,
    values: BTreeMap<u8, u8>,
}

struct World<'a> {
    database: &'a RocksDb,
    backend: RocksDbBackend,
    model: Model,
    pending: Vec<(Box<dyn Snapshot>, Model)>,
    taken: u64,
}

fn with_timers() -> Vec<StateDecl> {
    vec![decls()[0].clone(), StateDecl::timers()]
}

fn key_of(n: u8) -> Vec<u8> {
    vec![b'k', n]
}

fn timer(at: i64, key: &[u8]) -> Timer {
    (at, max().key_group_of(hash64(key)), key.to_vec())
}

fn keys() -> Keys {
    Keys::of((0..KEYS).map(key_of))
}

fn step() -> impl Strategy<Value = Step> {
    let timers = proptest::collection::btree_map((0..40_u8, 0..KEYS), any::<bool>(), 1..25);
    prop_oneof![
        5 => (timers, any::<u8>()).prop_map(|(timers, value)| Step::Call(timers, value)),
        3 => (0..40_u8).prop_map(Step::Fire),
        2 => Just(Step::Snapshot),
        1 => any::<Index>().prop_map(Step::Finish),
        1 => any::<Index>().prop_map(Step::Drop),
    ]
}

/// The first timers that are due, as many as are given.
fn due(backend: &mut RocksDbBackend, until: i64) -> Vec<Timer> {
    let mut out = Timers::default();
    backend
        .due_timers(TimerKind::EventTime, until, 1000, &mut out)
        .unwrap();
    let timers = out.at.iter().zip(out.keys.iter());
    timers.map(|(&at, key)| timer(at, key)).collect()
}

/// Takes timers away.
fn fired(backend: &mut RocksDbBackend, timers: &[Timer]) {
    let timers = timers
        .iter()
        .map(|(at, _, key)| (*at, key[1].into(), false));
    write(backend, timers, ValueWrites::default());
}

/// Sets and deletes timers.
fn write(
    backend: &mut RocksDbBackend,
    timers: impl Iterator<Item = (i64, u32, bool)>,
    values: ValueWrites,
) {
    let mut writes = TimerWrites::default();
    for (at, key, set) in timers {
        let kind = TimerKind::EventTime;
        writes.when.push(When { kind, at });
        writes.keys.push(key);
        writes.set.push(u8::from(set));
    }
    let values = match values.keys.is_empty() {
        true => Vec::new(),
        false => vec![(VALUE, values)],
    };
    let writes = Writes {
        values,
        timers: writes,
        ..Writes::default()
    };
    backend.apply(&keys().batch(), &writes).unwrap();
}

impl World<'_> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Call(timers, value) => self.call(&timers, value),
            Step::Fire(until) => self.fire(until.into()),
            Step::Snapshot => {
                self.taken += 1;
                let request = SnapshotRequest {
                    format: SnapshotFormat::Native,
                    ..SnapshotRequest::full(CheckpointId(self.taken), ProcessingTime(0))
                };
                let snapshot = self.backend.snapshot(&request).unwrap();
                self.pending.push((snapshot, self.model.clone()));
            }
            Step::Finish(which) if !self.pending.is_empty() => {
                let at = which.index(self.pending.len());
                self.finish(at);
            }
            Step::Drop(which) if !self.pending.is_empty() => {
                self.pending.remove(which.index(self.pending.len()));
            }
            Step::Finish(_) | Step::Drop(_) => {}
        }
        let next = self.backend.next_timer(TimerKind::EventTime).unwrap();
        let expected = self.model.timers.first().map(|(at, ..)| *at);
        assert_eq!(next, expected);
    }

    fn call(&mut self, timers: &BTreeMap<(u8, u8), bool>, value: u8) {
        let mut values = ValueWrites::default();
        let written: BTreeSet<u8> = timers.keys().map(|&(_, key)| key).collect();
        for &key in &written {
            values.keys.push(key.into());
            values.values.push(Some(&[value]));
            self.model.values.insert(key, value);
        }
        for (&(at, key), &set) in timers {
            let timer = timer(at.into(), &key_of(key));
            match set {
                true => self.model.timers.insert(timer),
                false => self.model.timers.remove(&timer),
            };
        }
        let timers = timers.iter();
        let timers = timers.map(|(&(at, key), &set)| (at.into(), key.into(), set));
        write(&mut self.backend, timers, values);
    }

    fn fire(&mut self, until: i64) {
        let found = due(&mut self.backend, until);
        let expected = self.model.timers.iter().take(found.len());
        assert!(found.iter().eq(expected), "{found:?}");
        assert!(found.iter().all(|(at, ..)| *at <= until));
        let first = self.model.timers.first();
        assert_eq!(found.is_empty(), first.is_none_or(|(at, ..)| *at > until));
        fired(&mut self.backend, &found);
        for timer in &found {
            self.model.timers.remove(timer);
        }
    }

    /// Writes a snapshot, and looks at what it gives back.
    fn finish(&mut self, at: usize) {
        let (snapshot, model) = self.pending.remove(at);
        let saved = Saved::written(snapshot, 1, None).unwrap();
        let mut back = restored(self.database, with_timers(), &saved, with_timers(), 0);
        assert_eq!(there(&mut back), model);
    }
}

/// All that is there. It takes the timers away.
fn there(backend: &mut RocksDbBackend) -> Model {
    let mut model = Model::default();
    loop {
        let found = due(backend, i64::MAX);
        if found.is_empty() {
            break;
        }
        fired(backend, &found);
        model.timers.extend(found);
    }
    let mut out = OptionalColumn::new();
    backend
        .get_values(VALUE, &keys().batch(), Which::All, &mut out)
        .unwrap();
    let values = (0..).zip(out.iter());
    model.values = values.filter_map(|(n, v)| Some((n, v?[0]))).collect();
    model
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn timers_are_set_while_snapshots_are_made(steps in vec(step(), 1..30)) {
        let place = place();
        let database = database(&place);
        let backend = database.create("op-0", with_timers(), all()).unwrap();
        let mut world = World {
            database: &database,
            backend,
            model: Model::default(),
            pending: Vec::new(),
            taken: 0,
        };
        for step in steps {
            world.step(step);
        }
        while !world.pending.is_empty() {
            world.finish(world.pending.len() - 1);
        }
        prop_assert_eq!(there(&mut world.backend), world.model);
    }
}

#[test]
fn who_sets_few_timers_does_not_wait_for_a_snapshot_and_who_sets_many_does() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", with_timers(), all()).unwrap();
    let set = |backend: &mut RocksDbBackend, at| {
        let timers = (0..u32::from(KEYS)).map(|key| (at, key, true));
        write(backend, timers, ValueWrites::default());
    };
    set(&mut backend, 1);
    assert!(!backend.may_block());
    let request = SnapshotRequest {
        format: SnapshotFormat::Native,
        ..SnapshotRequest::full(CheckpointId(1), ProcessingTime(0))
    };
    let snapshot = backend.snapshot(&request).unwrap();
    set(&mut backend, 2);
    assert!(!backend.is_settled() && backend.may_block());
    (3..50).for_each(|at| set(&mut backend, at));
    assert!(backend.is_settled() && !backend.may_block());
    let saved = Saved::written(snapshot, 1, None).unwrap();
    let mut back = restored(&database, with_timers(), &saved, with_timers(), 0);
    let expected: BTreeSet<_> = (0..KEYS).map(|n| timer(1, &key_of(n))).collect();
    assert_eq!(there(&mut back).timers, expected);
    assert_eq!(there(&mut backend).timers.len(), 49 * usize::from(KEYS));
}
