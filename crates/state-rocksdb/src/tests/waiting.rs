//! Operators that have cells only: what is written waits before the database.

use std::{fs, thread};

use weir_model::{CheckpointId, OptionalColumn, ProcessingTime};
use weir_state::{Backend, Error, Snapshot, SnapshotFormat, SnapshotRequest, StateDecl, Which};

use super::{
    cases::{Keys, all, put, restored, value},
    database, place,
    rescale::{VALUE, decls},
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
