//! Operators that have cells and lists only: what is written waits before the database.

use std::{fs, thread};

use weir_model::{CheckpointId, OptionalColumn, ProcessingTime};
use weir_state::{
    Backend, Error, ListWrites, NestedColumn, Snapshot, SnapshotFormat, SnapshotRequest, StateDecl,
    Which, Writes,
};

use super::{
    cases::{Keys, all, put, restored, value},
    database, place,
    rescale::{LIST, VALUE, decls},
    saved::Saved,
};
use crate::{RocksDb, RocksDbBackend, RocksDbOptions};

/// One state, of cells.
fn cells() -> Vec<StateDecl> {
    decls()[..1].to_vec()
}

fn take(backend: &mut RocksDbBackend, id: u64, format: SnapshotFormat) -> Box<dyn Snapshot> {
    let request = SnapshotRequest {
        format,
        ..SnapshotRequest::full(CheckpointId(id), ProcessingTime(0))
    };
    backend.snapshot(&request).unwrap()
}

fn values(backend: &mut RocksDbBackend, keys: &Keys) -> Vec<Option<Vec<u8>>> {
    let mut out = OptionalColumn::new();
    let batch = keys.batch();
    backend
        .get_values(VALUE, &batch, Which::All, &mut out)
        .unwrap();
    out.iter().map(|value| value.map(<[u8]>::to_vec)).collect()
}

/// What a snapshot saved, in a backend of its own.
fn back(database: &RocksDb, saved: &Saved) -> RocksDbBackend {
    restored(database, cells(), saved, cells(), 0)
}

#[test]
fn a_snapshot_is_what_was_there_at_its_barrier_whenever_it_is_made() {
    for front in [0, 100 << 10, 32 << 20] {
        let place = place();
        let database = database(&place).tuned(front, true);
        let mut backend = database.create("op-0", cells(), all()).unwrap();
        assert!(!backend.may_block());
        let keys = Keys::numbered(0..5000);
        put(&mut backend, &keys, |n| vec![1, n as u8]);
        let first = take(&mut backend, 1, SnapshotFormat::Native);
        put(&mut backend, &keys, |n| vec![2, n as u8]);
        let given_up = take(&mut backend, 2, SnapshotFormat::Native);
        let third = take(&mut backend, 3, SnapshotFormat::Canonical);
        put(&mut backend, &keys, |n| vec![3, n as u8]);
        drop(given_up);
        // The later one first.
        let third = Saved::written(third, 3, None).unwrap();
        let first = Saved::written(first, 1, None).unwrap();
        let is = |round: u8, found: Vec<Option<Vec<u8>>>| {
            (0..)
                .zip(found)
                .all(|(n, value)| value == Some(vec![round, n as u8]))
        };
        assert!(
            is(1, values(&mut back(&database, &first), &keys)),
            "{front}"
        );
        let mut other = database.create("op-0", cells(), all()).unwrap();
        third.load(&mut other);
        assert!(is(2, values(&mut other, &keys)), "{front}");
        assert!(is(3, values(&mut backend, &keys)), "{front}");
    }
}

#[test]
fn a_snapshot_is_made_while_its_task_goes_on() {
    let place = place();
    // The rounds do not fit: some give way while a snapshot is made, or wait for it.
    let database = database(&place).tuned(200 << 10, true);
    let mut backend = database.create("op-0", cells(), all()).unwrap();
    let keys = Keys::numbered(0..4000);
    let mut writing = Vec::new();
    for round in 0..12u8 {
        put(&mut backend, &keys, |n| vec![round, n as u8]);
        let snapshot = take(&mut backend, u64::from(round), SnapshotFormat::Native);
        writing.push(thread::spawn(move || {
            Saved::written(snapshot, u64::from(round), None).unwrap()
        }));
        let some = Keys::numbered(u32::from(round) * 100..u32::from(round) * 100 + 2000);
        put(&mut backend, &some, |_| vec![99]);
        assert_eq!(value(&mut backend, &some), Some(vec![99]));
    }
    for (round, writing) in (0..).zip(writing) {
        let saved = writing.join().unwrap();
        let found = values(&mut back(&database, &saved), &keys);
        let right = |(n, value): (usize, Option<Vec<u8>>)| value == Some(vec![round, n as u8]);
        assert!(found.into_iter().enumerate().all(right), "round {round}");
    }
}

#[test]
fn an_increment_writes_what_has_changed() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", cells(), all()).unwrap();
    put(&mut backend, &Keys::numbered(0..20_000), |n| {
        vec![n as u8; 50]
    });
    let first = Saved::native(&mut backend, 1, None);
    // Read, not written.
    values(&mut backend, &Keys::numbered(1000..3000));
    put(&mut backend, &Keys::numbered(0..200), |_| vec![7; 50]);
    let second = Saved::native(&mut backend, 2, Some(&first));
    let (all, some) = (first.written_bytes(), second.written_bytes());
    assert!(some * 20 < all, "{some} of {all}");
    let found = values(&mut back(&database, &second), &Keys::numbered(199..201));
    assert_eq!(found, [Some(vec![7; 50]), Some(vec![200; 50])]);
}

#[test]
fn a_snapshot_that_cannot_be_made_is_told_to_who_writes_it_and_nothing_is_lost() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", cells(), all()).unwrap();
    let keys = Keys::numbered(0..10);
    put(&mut backend, &keys, |_| vec![1]);
    // Something is where its folder is to be.
    let process = fs::read_dir(place.path()).unwrap().next().unwrap().unwrap();
    fs::write(process.path().join("1-op-0-snapshot"), "").unwrap();
    let snapshot = take(&mut backend, 1, SnapshotFormat::Native);
    let error = Saved::written(snapshot, 1, None).err().unwrap();
    assert!(matches!(error, Error::Local { .. }), "{error}");
    assert_eq!(value(&mut backend, &keys), Some(vec![1]));
    put(&mut backend, &Keys::numbered(0..1), |_| vec![2]);
    let saved = Saved::native(&mut backend, 2, None);
    let found = values(&mut back(&database, &saved), &Keys::numbered(0..2));
    assert_eq!(found, [Some(vec![2]), Some(vec![1])]);
}

#[test]
fn values_before_the_database_take_no_more_than_their_half_of_the_memory() {
    let place = place();
    let memory_bytes = 16 << 20;
    let database = RocksDb::new(RocksDbOptions {
        memory_bytes,
        local_dir: place.path().to_owned(),
    });
    let mut one = database.create("op-0", cells(), all()).unwrap();
    let _two = database.create("op-1", cells(), all()).unwrap();
    let usage = || database.shared().unwrap().memory.usage();
    for from in (0..200_000).step_by(2000) {
        put(&mut one, &Keys::numbered(from..from + 2000), |n| {
            vec![n as u8; 100]
        });
        // A quarter of the memory for each, and what one call adds.
        assert!(one.held() <= memory_bytes / 4 + (1 << 20), "{}", one.held());
    }
    assert!(usage() <= memory_bytes / 2, "{}", usage());
    let some = Keys::numbered(7..8);
    assert_eq!(value(&mut one, &some), Some(vec![7; 100]));
}

/// Cells and lists.
fn with_lists() -> Vec<StateDecl> {
    decls()[..2].to_vec()
}

/// Appends one element to the list of each key, or replaces the list by it; none is no element.
fn write_lists(
    backend: &mut RocksDbBackend,
    keys: &Keys,
    replace: bool,
    element: impl Fn(u32) -> Option<Vec<u8>>,
) {
    let mut writes = ListWrites::default();
    for key in 0..keys.batch().hashes.len() as u32 {
        writes.keys.push(key);
        writes.replace.push(u8::from(replace));
        if let Some(element) = element(key) {
            writes.lists.elements.push(&element);
        }
        writes.lists.ends.push(writes.lists.elements.len() as u32);
    }
    let lists = vec![(LIST, writes)];
    let writes = Writes {
        lists,
        ..Writes::default()
    };
    backend.apply(&keys.batch(), &writes).unwrap();
}

fn lists(backend: &mut RocksDbBackend, keys: &Keys) -> Vec<Vec<Vec<u8>>> {
    let mut out = NestedColumn::default();
    let batch = keys.batch();
    backend
        .get_lists(LIST, &batch, Which::All, &mut out)
        .unwrap();
    let mut elements = out.elements.iter().map(<[u8]>::to_vec);
    let mut first = 0;
    let mut list = |end: u32| {
        let len = end - std::mem::replace(&mut first, end);
        elements.by_ref().take(len as usize).collect()
    };
    out.ends.iter().map(|&end| list(end)).collect()
}

/// A backend whose database may have something, and has nothing.
fn begun(database: &RocksDb) -> RocksDbBackend {
    let mut nothing = database.create("op-0", with_lists(), all()).unwrap();
    let nothing = Saved::native(&mut nothing, 1, None);
    restored(database, with_lists(), &nothing, with_lists(), 0)
}

#[test]
fn all_that_is_new_in_a_new_database_waits_before_it() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", with_lists(), all()).unwrap();
    let (keys, others) = (Keys::numbered(0..100), Keys::numbered(100..150));
    write_lists(&mut backend, &keys, false, |n| Some(vec![n as u8]));
    write_lists(&mut backend, &keys, false, |_| Some(vec![7]));
    assert!(!backend.may_block());
    let first = Saved::native(&mut backend, 1, None);
    // It is known of others as before that there is nothing.
    write_lists(&mut backend, &others, false, |_| Some(vec![8]));
    assert!(!backend.may_block());
    let second = Saved::native(&mut backend, 2, Some(&first));
    let mut expected: Vec<Vec<Vec<u8>>> = (0..100).map(|n| vec![vec![n], vec![7]]).collect();
    let all = Keys::numbered(0..150);
    let mut back = restored(&database, with_lists(), &second, with_lists(), 0);
    expected.resize(150, vec![vec![8]]);
    assert_eq!(lists(&mut back, &all), expected);
    assert_eq!(lists(&mut backend, &all), expected);
    // It is not of one that was restored: the store is appended to, unread.
    let mut back = restored(&database, with_lists(), &first, with_lists(), 0);
    write_lists(&mut back, &all, false, |_| Some(vec![9]));
    assert!(back.may_block());
    expected.truncate(100);
    expected.resize(150, Vec::new());
    expected.iter_mut().for_each(|list| list.push(vec![9]));
    assert_eq!(lists(&mut back, &all), expected);
}

#[test]
fn what_is_loaded_is_found_beside_what_has_waited_before_a_new_database() {
    let place = place();
    let database = database(&place);
    let mut other = database.create("op-0", with_lists(), all()).unwrap();
    let (loaded, written) = (Keys::numbered(0..100), Keys::numbered(100..200));
    put(&mut other, &loaded, |n| vec![n as u8]);
    write_lists(&mut other, &loaded, false, |n| Some(vec![n as u8]));
    let rows = take(&mut other, 1, SnapshotFormat::Canonical);
    let rows = Saved::written(rows, 1, None).unwrap();
    let mut backend = database.create("op-1", with_lists(), all()).unwrap();
    put(&mut backend, &written, |n| vec![100 + n as u8]);
    write_lists(&mut backend, &written, false, |n| Some(vec![100 + n as u8]));
    assert!(!backend.may_block());
    rows.load(&mut backend);
    // Appended to unread: there may be something now.
    let all = Keys::numbered(0..200);
    write_lists(&mut backend, &all, false, |_| Some(vec![7]));
    let mut expected: Vec<Vec<Vec<u8>>> = (0..200).map(|n| vec![vec![n], vec![7]]).collect();
    let of_values = |upto: u8| (0..upto).map(|n| Some(vec![n])).collect::<Vec<_>>();
    assert_eq!(lists(&mut backend, &all), expected);
    assert_eq!(values(&mut backend, &all), of_values(200));
    write_lists(&mut backend, &loaded, true, |_| None);
    expected[..100].iter_mut().for_each(Vec::clear);
    let saved = Saved::native(&mut backend, 2, None);
    let mut back = restored(&database, with_lists(), &saved, with_lists(), 0);
    for backend in [&mut backend, &mut back] {
        assert_eq!(lists(backend, &all), expected);
        assert_eq!(values(backend, &all), of_values(200));
    }
}

#[test]
fn what_was_removed_behind_a_snapshot_that_failed_stays_removed() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", with_lists(), all()).unwrap();
    let (keys, some) = (Keys::numbered(0..100), Keys::numbered(0..50));
    write_lists(&mut backend, &keys, false, |n| Some(vec![n as u8]));
    // Something is where its folder is to be.
    let process = fs::read_dir(place.path()).unwrap().next().unwrap().unwrap();
    fs::write(process.path().join("1-op-0-snapshot"), "").unwrap();
    let snapshot = take(&mut backend, 1, SnapshotFormat::Native);
    // Removed before the snapshot fails, and behind it.
    write_lists(&mut backend, &Keys::numbered(0..25), true, |_| None);
    assert!(Saved::written(snapshot, 1, None).is_err());
    write_lists(&mut backend, &Keys::numbered(25..50), true, |_| None);
    let mut expected: Vec<Vec<Vec<u8>>> = (0..100).map(|n| vec![vec![n]]).collect();
    expected[..50].iter_mut().for_each(Vec::clear);
    assert_eq!(lists(&mut backend, &keys), expected);
    write_lists(&mut backend, &some, false, |_| Some(vec![8]));
    expected[..50]
        .iter_mut()
        .for_each(|list| list.push(vec![8]));
    let saved = Saved::native(&mut backend, 2, None);
    let mut back = restored(&database, with_lists(), &saved, with_lists(), 0);
    for backend in [&mut backend, &mut back] {
        assert_eq!(lists(backend, &keys), expected);
    }
}

#[test]
fn lists_that_are_known_wait_before_the_database_and_others_do_not() {
    let place = place();
    let database = database(&place);
    let mut backend = begun(&database);
    let keys = Keys::numbered(0..100);
    assert!(!backend.may_block());
    // Nobody has asked whether there is something.
    write_lists(&mut backend, &keys, false, |n| Some(vec![n as u8]));
    assert!(backend.may_block());
    let first = take(&mut backend, 1, SnapshotFormat::Native);
    assert!(backend.is_settled(), "it was made at once");
    lists(&mut backend, &keys);
    write_lists(&mut backend, &keys, false, |_| Some(vec![7]));
    write_lists(&mut backend, &Keys::numbered(0..50), true, |_| None);
    write_lists(&mut backend, &Keys::numbered(0..10), false, |_| {
        Some(vec![8])
    });
    assert!(!backend.may_block());
    let second = take(&mut backend, 2, SnapshotFormat::Native);
    assert!(!backend.is_settled());
    // What becomes too long goes there, once the snapshot is made.
    write_lists(&mut backend, &keys, false, |_| Some(vec![9; 2000]));
    assert!(backend.may_block() && backend.is_settled());
    let first = Saved::written(first, 1, None).unwrap();
    let second = Saved::written(second, 2, None).unwrap();
    let third = Saved::native(&mut backend, 3, None);
    let mut expected: Vec<Vec<Vec<u8>>> = (0..100).map(|n| vec![vec![n]]).collect();
    let back = |saved| {
        let mut backend = restored(&database, with_lists(), saved, with_lists(), 0);
        lists(&mut backend, &keys)
    };
    assert_eq!(back(&first), expected);
    expected.iter_mut().for_each(|list| list.push(vec![7]));
    expected[..50].iter_mut().for_each(Vec::clear);
    expected[..10]
        .iter_mut()
        .for_each(|list| list.push(vec![8]));
    assert_eq!(back(&second), expected);
    expected
        .iter_mut()
        .for_each(|list| list.push(vec![9; 2000]));
    assert_eq!(back(&third), expected);
    assert_eq!(lists(&mut backend, &keys), expected);
}

#[test]
fn lists_give_way_within_the_memory_and_are_read_back() {
    for front in [0, 100 << 10] {
        let place = place();
        let database = database(&place).tuned(front, true);
        let mut backend = database.create("op-0", with_lists(), all()).unwrap();
        for from in (0..20_000).step_by(1000) {
            let keys = Keys::numbered(from..from + 1000);
            write_lists(&mut backend, &keys, true, |n| Some(vec![n as u8]));
            write_lists(&mut backend, &keys, false, |_| Some(vec![1; 3]));
            // What one call adds comes on top.
            assert!(backend.held() <= front + (400 << 10), "{}", backend.held());
        }
        let found = lists(&mut backend, &Keys::numbered(0..20_000));
        let mut found = (0..).zip(found);
        let right = |(n, list): (u32, Vec<Vec<u8>>)| list == [vec![(n % 1000) as u8], vec![1; 3]];
        assert!(found.all(right), "{front}");
    }
}
