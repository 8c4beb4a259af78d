//! Entries of maps before the database: they wait there until somebody goes through a map, are read
//! there again, and are never older than the database.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::Index};
use weir_model::{CheckpointId, Column, OptionalColumn, ProcessingTime};
use weir_state::{
    Backend, EntriesColumn, MapWrites, Snapshot, SnapshotFormat, SnapshotRequest, ValueWrites,
    Which, Writes,
};

use super::{
    cases::{Keys, all, restored},
    database, place,
    rescale::{MAP, VALUE, decls},
    saved::Saved,
};
use crate::{RocksDb, RocksDbBackend};

fn map_key(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

/// Puts so many entries into the map of each key, cleared before or not; none removes them.
fn put(
    backend: &mut RocksDbBackend,
    keys: &Keys,
    (clear, entries): (&[u32], u32),
    value: Option<&[u8]>,
) {
    let mut writes = MapWrites {
        clear: clear.to_vec(),
        ..MapWrites::default()
    };
    for key in 0..keys.batch().hashes.len() as u32 {
        for n in 0..entries {
            writes.keys.push(key);
            writes.map_keys.push(&map_key(n));
            writes.values.push(value);
        }
    }
    let maps = vec![(MAP, writes)];
    let writes = Writes {
        maps,
        ..Writes::default()
    };
    backend.apply(&keys.batch(), &writes).unwrap();
}

/// How many of so many entries each key has, looked up one by one; they have this value.
fn count(backend: &mut RocksDbBackend, keys: &Keys, entries: u32, value: &[u8]) -> Vec<usize> {
    let of = |key: u32| {
        let which: Vec<u32> = (0..entries).map(|_| key).collect();
        let mut map_keys = Column::new();
        (0..entries).for_each(|n| map_keys.push(&map_key(n)));
        let mut out = OptionalColumn::new();
        let batch = keys.batch();
        backend
            .get_entries(MAP, &batch, Which::Some(&which), map_keys.view(), &mut out)
            .unwrap();
        assert!(out.iter().flatten().all(|found| found == value));
        out.iter().flatten().count()
    };
    (0..keys.batch().hashes.len() as u32).map(of).collect()
}

#[test]
fn an_entry_that_was_read_is_read_again_without_the_database() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", decls(), all()).unwrap();
    let keys = Keys::numbered(0..20);
    put(&mut backend, &keys, (&[], 50), Some(b"v"));
    let saved = Saved::of(&mut backend, 1, SnapshotFormat::Native, None, 0);
    let mut backend = restored(&database, decls(), &saved, decls(), 0);
    let empty = backend.held();
    assert_eq!(count(&mut backend, &keys, 60, b"v"), [50; 20]);
    let full = backend.held();
    assert!(full > empty + 20 * 50 * 8, "{full} after {empty}");
    assert_eq!(count(&mut backend, &keys, 50, b"v"), [50; 20]);
    assert_eq!(backend.held(), full);
}

#[test]
fn maps_that_are_cleared_are_not_found_before_the_database() {
    // Removed one by one, as a range, and with all that is known of their key groups.
    for entries in [3, 150, 500] {
        let place = place();
        let database = database(&place);
        let mut backend = database.create("op-0", decls(), all()).unwrap();
        let keys = Keys::numbered(0..4);
        put(&mut backend, &keys, (&[], entries), Some(b"old"));
        let all_there = [entries as usize; 4];
        assert_eq!(count(&mut backend, &keys, entries, b"old"), all_there);
        put(&mut backend, &keys, (&[1, 2], 0), None);
        let mut left = all_there;
        (left[1], left[2]) = (0, 0);
        assert_eq!(count(&mut backend, &keys, entries, b"old"), left);
        // What is written with the clear stays.
        put(&mut backend, &keys, (&[0, 1, 2, 3], 2), Some(b"new"));
        assert_eq!(count(&mut backend, &keys, entries, b"new"), [2; 4]);
        put(&mut backend, &keys, (&[], 1), None);
        assert_eq!(count(&mut backend, &keys, entries, b"new"), [1; 4]);
    }
}

#[test]
fn keys_too_long_to_be_made_at_once_are_made_in_turns() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", decls(), all()).unwrap();
    let keys = Keys::of([vec![b'a'; 300 << 10], vec![b'b'; 300 << 10]]);
    put(&mut backend, &keys, (&[], 7), Some(b"v"));
    assert_eq!(count(&mut backend, &keys, 9, b"v"), [7, 7]);
    put(&mut backend, &keys, (&[1], 5), Some(b"v"));
    assert_eq!(count(&mut backend, &keys, 9, b"v"), [7, 5]);
}

/// Keys that begin each other, and such that are escaped.
const KEYS: [&[u8]; 6] = [b"", b"a", b"ab", b"a\0", b"\0\0\xff", b"b"];

/// What is written: entries by key and map key, and keys that are cleared.
#[derive(Clone, Debug)]
struct Call {
    clear: Vec<u32>,
    entries: BTreeMap<(u32, Vec<u8>), Option<u8>>,
    value: Option<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Call(Call),
    /// Looks for all entries.
    Get,
    /// Goes through all maps.
    Scan,
    Snapshot(bool),
    Finish(Index),
    Drop(Index),
}

/// What should be there: entries, and the value of all keys.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: BTreeMap<(u32, Vec<u8>), u8>,
    value: Option<u8>,
}

fn key_of_map() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(b'a'), Just(0xff)];
    vec(byte, 0..3)
}

fn any_map_keys() -> Vec<Vec<u8>> {
    let bytes = [0, b'a', 0xff];
    let one = bytes.iter().map(|&b| vec![b]);
    let two = bytes.iter().flat_map(|&a| bytes.map(|b| vec![a, b]));
    one.chain(two).chain([vec![]]).collect()
}

fn step() -> impl Strategy<Value = Step> {
    let entry = (0..KEYS.len() as u32, key_of_map());
    let entries = proptest::collection::btree_map(entry, any::<Option<u8>>(), 0..20);
    // Few clear: from then on all is written through.
    let clear = prop_oneof![12 => Just(vec![]), 1 => vec(0..KEYS.len() as u32, 1..2)];
    let call = (clear, entries, any::<Option<u8>>());
    let call = call.prop_map(|(clear, entries, value)| Call {
        clear,
        entries,
        value,
    });
    prop_oneof![
        12 => call.prop_map(Step::Call),
        6 => Just(Step::Get),
        1 => Just(Step::Scan),
        4 => any::<bool>().prop_map(Step::Snapshot),
        3 => any::<Index>().prop_map(Step::Finish),
        2 => any::<Index>().prop_map(Step::Drop),
    ]
}

fn all_keys() -> Keys {
    Keys::of(KEYS.map(<[u8]>::to_vec))
}

/// What lookups of all entries tell.
fn looked_up(backend: &mut RocksDbBackend) -> Model {
    let keys = all_keys();
    let (mut which, mut map_keys) = (Vec::new(), Column::new());
    for key in 0..KEYS.len() as u32 {
        for map_key in any_map_keys() {
            which.push(key);
            map_keys.push(&map_key);
        }
    }
    let (mut found, mut values) = (OptionalColumn::new(), OptionalColumn::new());
    let batch = keys.batch();
    let which = Which::Some(&which);
    backend
        .get_entries(MAP, &batch, which, map_keys.view(), &mut found)
        .unwrap();
    backend
        .get_values(VALUE, &batch, Which::All, &mut values)
        .unwrap();
    let mut model = Model {
        value: values.get(0).map(|value| value[0]),
        ..Model::default()
    };
    assert!(values.iter().all(|value| value == values.get(0)));
    for (at, value) in found.iter().enumerate() {
        if let Some(value) = value {
            let entry = (which.get(at) as u32, map_keys.get(at).to_vec());
            model.entries.insert(entry, value[0]);
        }
    }
    model
}

/// The entries that are gone through in order.
fn gone_through(backend: &mut RocksDbBackend) -> BTreeMap<(u32, Vec<u8>), u8> {
    let keys = all_keys();
    let mut entries = BTreeMap::new();
    for key in 0..KEYS.len() as u32 {
        let mut out = EntriesColumn::default();
        let batch = keys.batch();
        backend
            .scan_entries(MAP, &batch, key, None, 1000, &mut out)
            .unwrap();
        assert!(out.keys.iter().is_sorted());
        for (map_key, value) in out.keys.iter().zip(out.values.iter()) {
            entries.insert((key, map_key.to_vec()), value[0]);
        }
    }
    entries
}

/// Makes a call, on the backend and on the model.
fn make(backend: &mut RocksDbBackend, model: &mut Model, call: &Call) {
    let mut maps = MapWrites {
        clear: call.clear.clone(),
        ..MapWrites::default()
    };
    model
        .entries
        .retain(|(key, _), _| !call.clear.contains(key));
    for ((key, map_key), value) in &call.entries {
        maps.keys.push(*key);
        maps.map_keys.push(map_key);
        maps.values.push(value.as_ref().map(std::slice::from_ref));
        match value {
            Some(value) => model.entries.insert((*key, map_key.clone()), *value),
            None => model.entries.remove(&(*key, map_key.clone())),
        };
    }
    let mut values = ValueWrites::default();
    for key in 0..KEYS.len() as u32 {
        values.keys.push(key);
        values
            .values
            .push(call.value.as_ref().map(std::slice::from_ref));
    }
    model.value = call.value;
    let writes = Writes {
        values: vec![(VALUE, values)],
        maps: vec![(MAP, maps)],
        ..Writes::default()
    };
    backend.apply(&all_keys().batch(), &writes).unwrap();
}

/// Checks that a snapshot, whenever it is written, gives back what was there.
fn finish(database: &RocksDb, (snapshot, native, then): (Box<dyn Snapshot>, bool, Model)) {
    let saved = Saved::written(snapshot, 1, None).unwrap();
    let mut back = match native {
        true => restored(database, decls(), &saved, decls(), 0),
        false => database.create("op-0", decls(), all()).unwrap(),
    };
    if !native {
        saved.load(&mut back);
    }
    assert_eq!(looked_up(&mut back), then);
    assert_eq!(gone_through(&mut back), then.entries);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn entries_wait_before_the_database_until_somebody_goes_through_a_map(
        steps in vec(step(), 1..25), front in prop::sample::select(vec![0, 32 << 10, 32 << 20]),
    ) {
        let place = place();
        let mut database = database(&place);
        database.tuning.front = Some(front);
        let mut backend = database.create("op-0", decls(), all()).unwrap();
        let mut model = Model::default();
        let mut pending = Vec::new();
        for (number, step) in (1..).zip(steps) {
            match step {
                Step::Call(call) => make(&mut backend, &mut model, &call),
                Step::Get => prop_assert_eq!(&looked_up(&mut backend), &model),
                Step::Scan => prop_assert_eq!(&gone_through(&mut backend), &model.entries),
                Step::Snapshot(native) => {
                    let format = match native {
                        true => SnapshotFormat::Native,
                        false => SnapshotFormat::Canonical,
                    };
                    let request = SnapshotRequest {
                        format,
                        ..SnapshotRequest::full(CheckpointId(number), ProcessingTime(0))
                    };
                    let snapshot = backend.snapshot(&request).unwrap();
                    pending.push((snapshot, native, model.clone()));
                }
                Step::Finish(which) if !pending.is_empty() => {
                    finish(&database, pending.remove(which.index(pending.len())));
                }
                Step::Drop(which) if !pending.is_empty() => {
                    pending.remove(which.index(pending.len()));
                }
                Step::Finish(_) | Step::Drop(_) => {}
            }
        }
        pending.into_iter().rev().for_each(|pending| finish(&database, pending));
        prop_assert_eq!(&looked_up(&mut backend), &model);
        prop_assert_eq!(gone_through(&mut backend), model.entries);
    }
}

#[test]
fn who_goes_through_no_map_does_not_wait_for_snapshots() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", decls(), all()).unwrap();
    let keys = Keys::numbered(0..10);
    put(&mut backend, &keys, (&[], 10), Some(b"v"));
    put(&mut backend, &keys, (&[], 5), None);
    assert!(!backend.may_block());
    let request = SnapshotRequest {
        format: SnapshotFormat::Native,
        ..SnapshotRequest::full(CheckpointId(1), ProcessingTime(0))
    };
    let snapshot = backend.snapshot(&request).unwrap();
    put(&mut backend, &keys, (&[], 3), Some(b"w"));
    assert!(!backend.may_block() && !backend.is_settled());
    put(&mut backend, &keys, (&[0], 0), None);
    assert!(backend.may_block() && backend.is_settled());
    let saved = Saved::written(snapshot, 1, None).unwrap();
    let mut back = restored(&database, decls(), &saved, decls(), 0);
    assert_eq!(count(&mut back, &keys, 10, b"v"), [5; 10]);
}
