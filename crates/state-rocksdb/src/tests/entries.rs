//! Entries of maps before the database: they are read there again, and never older than it.

use weir_model::{Column, OptionalColumn};
use weir_state::{Backend, MapWrites, SnapshotFormat, Which, Writes};

use super::{
    cases::{Keys, all, restored},
    database, place,
    rescale::{MAP, decls},
    saved::Saved,
};
use crate::RocksDbBackend;

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
