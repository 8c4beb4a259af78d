//! Random calls against plain lists and maps: what a call sees of itself, what it leaves behind
//! where it fails, and what snapshots hold whenever they are written.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

type Bytes = Vec<u8>;

/// What should be there.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    even: Vec<Bytes>,
    union: Vec<Bytes>,
    map: BTreeMap<Bytes, Bytes>,
}

#[derive(Clone, Debug)]
enum Step {
    Set(StateIndex, Vec<Bytes>),
    Put(Vec<(Bytes, Option<Bytes>)>),
    Get(Vec<Bytes>),
    /// Reads all in pages of so many entries.
    Scan(usize),
    ScanAfter(Bytes),
    Commit,
    Rollback,
    Snapshot,
    /// Goes on with what a file gives back.
    Restore,
}

/// Few and short map keys, so that they meet.
fn map_key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => vec(0..4u8, 0..4),
        1 => vec(any::<u8>(), 0..10),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        9 => vec(any::<u8>(), 0..20),
        1 => (any::<u8>(), 0..40_000usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let many = (any::<u8>(), 0..600u32).prop_map(|(first, len)| {
        let entry = |n: u32| (vec![first, (n >> 8) as u8, n as u8], Some(vec![b'v'; 30]));
        Step::Put((0..len).map(entry).collect())
    });
    prop_oneof![
        3 => (prop_oneof![Just(EVEN), Just(UNION)], vec(value(), 0..6))
            .prop_map(|(index, items)| Step::Set(index, items)),
        6 => vec((map_key(), proptest::option::of(value())), 0..8).prop_map(Step::Put),
        1 => many,
        3 => vec(map_key(), 0..8).prop_map(Step::Get),
        2 => (1..9usize).prop_map(Step::Scan),
        2 => map_key().prop_map(Step::ScanAfter),
        4 => Just(Step::Commit),
        2 => Just(Step::Rollback),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Restore),
    ]
}

/// The state beside its model.
struct World {
    state: OperatorState,
    now: Model,
    committed: Model,
    snapshots: Vec<(OperatorSnapshot, Model)>,
}

impl World {
    fn new() -> Self {
        let mut state = state();
        state.begin(true);
        Self {
            state,
            now: Model::default(),
            committed: Model::default(),
            snapshots: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Set(index, items) => {
                self.state.list_set(index, column(&items)).unwrap();
                if index == EVEN {
                    self.now.even = items;
                } else {
                    self.now.union = items;
                }
            }
            Step::Put(entries) => self.put(entries),
            Step::Get(map_keys) => {
                let mut out = optional(&[Some("before")]);
                let keys = column(&map_keys);
                self.state
                    .map_get(BROADCAST, keys.view(), &mut out)
                    .unwrap();
                let expected = map_keys.iter().map(|key| self.now.map.get(key));
                assert!(
                    out.iter()
                        .skip(1)
                        .eq(expected.map(|v| v.map(Vec::as_slice)))
                );
            }
            Step::Scan(limit) => assert_eq!(pages(&self.state, limit), self.now.map),
            Step::ScanAfter(after) => {
                let mut out = EntriesColumn::default();
                self.state
                    .map_scan(BROADCAST, Some(&after), 3, &mut out)
                    .unwrap();
                let expected = self.now.map.iter().filter(|(key, _)| **key > after).take(3);
                let (keys, values): (Vec<_>, Vec<_>) = expected.unzip();
                assert!(out.keys.iter().eq(keys) && out.values.iter().eq(values));
            }
            Step::Commit => {
                self.state.commit();
                self.committed = self.now.clone();
                self.state.begin(true);
            }
            Step::Rollback => {
                self.state.rollback();
                self.now = self.committed.clone();
            }
            Step::Snapshot => self
                .snapshots
                .push((self.state.snapshot(), self.committed.clone())),
            Step::Restore => {
                self.state = restored(self.state.snapshot());
                self.state.begin(true);
                self.now = self.committed.clone();
            }
        }
        assert_eq!(model_of(&self.state), self.now);
    }

    fn put(&mut self, entries: Vec<(Bytes, Option<Bytes>)>) {
        let (map_keys, values): (Vec<Bytes>, Vec<Option<Bytes>>) = entries.iter().cloned().unzip();
        self.state
            .map_put(BROADCAST, column(&map_keys).view(), &optional(&values))
            .unwrap();
        for (map_key, value) in entries {
            match value {
                Some(value) => drop(self.now.map.insert(map_key, value)),
                None => drop(self.now.map.remove(&map_key)),
            }
        }
    }
}

fn restored(snapshot: OperatorSnapshot) -> OperatorState {
    let mut restored = state();
    restored.restore(saved(snapshot, Vec::new())).unwrap();
    restored
}

/// All of the broadcast state, in pages of so many entries.
fn pages(state: &OperatorState, limit: usize) -> BTreeMap<Bytes, Bytes> {
    let mut all = BTreeMap::new();
    let mut after: Option<Bytes> = None;
    loop {
        let mut page = EntriesColumn::default();
        state
            .map_scan(BROADCAST, after.as_deref(), limit, &mut page)
            .unwrap();
        for (key, value) in page.keys.iter().zip(page.values.iter()) {
            assert!(after.as_deref() < Some(key), "in byte order");
            after = Some(key.to_vec());
            all.insert(key.to_vec(), value.to_vec());
        }
        if page.keys.len() < limit {
            return all;
        }
    }
}

fn model_of(state: &OperatorState) -> Model {
    let list = |index| {
        let mut out = Column::new();
        state.list_get(index, &mut out).unwrap();
        out.iter().map(<[u8]>::to_vec).collect()
    };
    Model {
        even: list(EVEN),
        union: list(UNION),
        map: pages(state, 1000),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_do_what_the_model_does(steps in vec(step(), 1..40)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        // A call that was never ended leaves no trace either.
        world.state.begin(false);
        prop_assert_eq!(model_of(&world.state), world.committed);
        // Snapshots are written last: nothing since is in them.
        for (snapshot, model) in world.snapshots {
            prop_assert_eq!(model_of(&restored(snapshot)), model);
        }
    }
}

#[test]
fn a_large_broadcast_state_is_scanned_restored_and_emptied() {
    let mut state = state();
    let key = |n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes();
    for part in 0..20 {
        state.begin(true);
        let keys: Vec<[u8; 4]> = (part * 1000..(part + 1) * 1000).map(key).collect();
        let values: Vec<Option<[u8; 4]>> = keys.iter().map(|&key| Some(key)).collect();
        state
            .map_put(BROADCAST, column(&keys).view(), &optional(&values))
            .unwrap();
        state.commit();
    }
    let snapshot = state.snapshot();
    let all = pages(&state, 777);
    assert_eq!(all.len(), 20_000);
    state.begin(true);
    let keys: Vec<&Bytes> = all.keys().collect();
    let none: Vec<Option<Bytes>> = vec![None; keys.len()];
    state
        .map_put(BROADCAST, column(&keys).view(), &optional(&none))
        .unwrap();
    assert_eq!(scan(&state, None, 1), "");
    state.rollback();
    assert_eq!(pages(&state, 5000), all);
    let removed = state.map_put(BROADCAST, column(&keys).view(), &optional(&none));
    assert_eq!(removed, Ok(()));
    state.commit();
    assert_eq!(scan(&state, None, 1), "");
    assert_eq!(pages(&restored(snapshot), 1000), all);
}
