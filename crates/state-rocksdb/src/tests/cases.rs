//! What is particular to this backend, case by case.

use std::fs;

use weir_model::{Column, KeyGroupRange, OptionalColumn, ProcessingTime, hash64};
use weir_state::{
    Backend, EntriesColumn, Error, KeyBatch, ListWrites, MapWrites, NestedColumn, SnapshotFormat,
    SnapshotRequest, StateDecl, Ttl, ValueWrites, Which, Writes,
};

use super::{
    database, place,
    rescale::{LIST, MAP, VALUE, decls, max, ranges},
    saved::{Files, Saved},
};
use crate::{RocksDb, RocksDbBackend, RocksDbOptions, restore::Note};

/// All key groups.
pub(super) fn all() -> KeyGroupRange {
    ranges(1)[0]
}

fn with_ttl(duration_ms: u64) -> Vec<StateDecl> {
    let ttl = Ttl {
        duration_ms,
        on_read: false,
        return_expired: false,
    };
    let mut decls = decls();
    decls.iter_mut().for_each(|decl| decl.ttl = Some(ttl));
    decls
}

fn stamped(last: i64, value: &[u8]) -> Vec<u8> {
    [&last.to_be_bytes()[..], value].concat()
}

/// Distinct keys as a call has them.
pub(super) struct Keys {
    keys: Column,
    hashes: Vec<u64>,
    groups: Vec<weir_model::KeyGroup>,
}

impl Keys {
    pub(super) fn of(keys: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut column = Column::new();
        keys.into_iter().for_each(|key| column.push(&key));
        let hashes: Vec<u64> = column.iter().map(hash64).collect();
        let groups = hashes
            .iter()
            .map(|&hash| max().key_group_of(hash))
            .collect();
        Self {
            keys: column,
            hashes,
            groups,
        }
    }

    pub(super) fn numbered(numbers: std::ops::Range<u32>) -> Self {
        Self::of(numbers.map(|n| format!("key-{n:08}").into_bytes()))
    }

    pub(super) fn batch(&self) -> KeyBatch<'_> {
        KeyBatch {
            keys: self.keys.view(),
            hashes: &self.hashes,
            groups: &self.groups,
        }
    }
}

/// Puts one value under each key.
pub(super) fn put(backend: &mut RocksDbBackend, keys: &Keys, value: impl Fn(u32) -> Vec<u8>) {
    let mut writes = ValueWrites::default();
    for key in 0..keys.keys.len() as u32 {
        writes.keys.push(key);
        writes.values.push(Some(&value(key)));
    }
    let values = vec![(VALUE, writes)];
    let writes = Writes {
        values,
        ..Writes::default()
    };
    backend.apply(&keys.batch(), &writes).unwrap();
}

/// Puts `elements` into the list, and as entries into the map, of the first key.
fn put_all(backend: &mut RocksDbBackend, keys: &Keys, elements: &[Vec<u8>]) {
    let elements: Column = elements.iter().map(Vec::as_slice).collect();
    let lists = ListWrites {
        keys: vec![0],
        replace: vec![1],
        lists: NestedColumn {
            ends: vec![elements.len() as u32],
            elements: elements.clone(),
        },
    };
    let mut maps = MapWrites::default();
    for (i, element) in (0..).zip(elements.iter()) {
        maps.keys.push(0);
        maps.map_keys.push(&[i]);
        maps.values.push(Some(element));
    }
    let writes = Writes {
        lists: vec![(LIST, lists)],
        maps: vec![(MAP, maps)],
        ..Writes::default()
    };
    backend.apply(&keys.batch(), &writes).unwrap();
}

pub(super) fn value(backend: &mut RocksDbBackend, keys: &Keys) -> Option<Vec<u8>> {
    let mut out = OptionalColumn::new();
    let which = Which::Some(&[0]);
    backend
        .get_values(VALUE, &keys.batch(), which, &mut out)
        .unwrap();
    out.get(0).map(<[u8]>::to_vec)
}

fn list(backend: &mut RocksDbBackend, keys: &Keys) -> Vec<Vec<u8>> {
    let mut out = NestedColumn::default();
    let which = Which::Some(&[0]);
    backend
        .get_lists(LIST, &keys.batch(), which, &mut out)
        .unwrap();
    out.elements.iter().map(<[u8]>::to_vec).collect()
}

/// Appends an element to the list of the first key, unread.
fn append(backend: &mut RocksDbBackend, keys: &Keys, element: &[u8]) {
    let lists = ListWrites {
        keys: vec![0],
        replace: vec![0],
        lists: NestedColumn {
            ends: vec![1],
            elements: [element].into_iter().collect(),
        },
    };
    let writes = Writes {
        lists: vec![(LIST, lists)],
        ..Writes::default()
    };
    backend.apply(&keys.batch(), &writes).unwrap();
}

#[test]
fn a_list_that_grows_beyond_what_can_be_read_leaves_the_rest_alone() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", decls(), all()).unwrap();
    let (grown, other) = (Keys::numbered(0..1), Keys::numbered(1..2));
    append(&mut backend, &other, b"other");
    let element = vec![7; 200 << 10];
    for n in 0..8_u64 {
        append(&mut backend, &grown, &element);
        // What lies in files is merged with what comes.
        if n % 3 == 0 {
            Saved::of(&mut backend, n + 1, SnapshotFormat::Native, None, 0);
        }
    }
    let mut out = NestedColumn::default();
    let which = Which::Some(&[0]);
    let refused = backend.get_lists(LIST, &grown.batch(), which, &mut out);
    assert!(
        matches!(&refused, Err(Error::TooLarge { what, .. }) if what.contains("are lost")),
        "{refused:?}"
    );
    // The database goes on, and so does the list once it was cleared.
    Saved::of(&mut backend, 10, SnapshotFormat::Native, None, 0);
    assert_eq!(list(&mut backend, &other), [b"other"]);
    put_all(&mut backend, &grown, &[]);
    append(&mut backend, &grown, b"new");
    assert_eq!(list(&mut backend, &grown), [b"new"]);
    Saved::of(&mut backend, 11, SnapshotFormat::Canonical, None, 0);
}

fn map(backend: &mut RocksDbBackend, keys: &Keys) -> Vec<Vec<u8>> {
    let mut out = EntriesColumn::default();
    backend
        .scan_entries(MAP, &keys.batch(), 0, None, 100, &mut out)
        .unwrap();
    out.values.iter().map(<[u8]>::to_vec).collect()
}

pub(super) fn restored(
    database: &RocksDb,
    saved_as: Vec<StateDecl>,
    saved: &Saved,
    decls: Vec<StateDecl>,
    now: i64,
) -> RocksDbBackend {
    let mut backend = database.create("op-0", decls, all()).unwrap();
    backend.set_time(ProcessingTime(now));
    let files = vec![(all(), saved_as, saved.clone())];
    backend.import(&mut Files::of(files)).unwrap();
    backend
}

#[test]
fn a_checkpoint_writes_what_is_new_and_keeps_the_rest() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", decls(), all()).unwrap();
    let many = Keys::numbered(0..20_000);
    put(&mut backend, &many, |n| vec![n as u8; 50]);
    let first = Saved::native(&mut backend, 1, None);
    put(&mut backend, &Keys::numbered(0..200), |_| vec![7; 50]);
    let second = Saved::native(&mut backend, 2, Some(&first));
    assert!(second.written.len() < second.blobs.len());
    assert!(
        second.written_bytes() * 20 < first.written_bytes(),
        "{} of {}",
        second.written_bytes(),
        first.written_bytes()
    );
    // Compacted away: it drops out of the checkpoint.
    backend.compact();
    let third = Saved::native(&mut backend, 3, Some(&second));
    let tables = |saved: &Saved| {
        saved
            .blobs
            .values()
            .filter(|blob| blob.len() > 10_000)
            .count()
    };
    assert_eq!(tables(&third), 1);
    let mut same = restored(&database, decls(), &third, decls(), 0);
    assert_eq!(value(&mut same, &Keys::numbered(0..1)), Some(vec![7; 50]));
    assert_eq!(
        value(&mut same, &Keys::numbered(300..301)).unwrap().len(),
        50
    );
    // The restored database goes on from the files it was given.
    put(&mut same, &Keys::numbered(5..6), |_| vec![1]);
    let fourth = Saved::native(&mut same, 4, Some(&third));
    assert!(fourth.written_bytes() * 20 < third.blobs.values().map(Vec::len).sum());
}

#[test]
fn without_a_base_everything_is_written() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", decls(), all()).unwrap();
    put(&mut backend, &Keys::numbered(0..1000), |_| vec![1; 20]);
    let first = Saved::native(&mut backend, 1, None);
    let second = Saved::native(&mut backend, 2, None);
    assert_eq!(first.written.len(), first.blobs.len());
    assert_eq!(second.written.len(), second.blobs.len());
}

#[test]
fn a_snapshot_that_is_never_written_leaves_nothing_on_the_disk() {
    let place = place();
    // Written through: then it is made while the task waits.
    let database = database(&place).tuned(32 << 20, false);
    let mut backend = database.create("op-0", decls(), all()).unwrap();
    put(&mut backend, &Keys::numbered(0..10), |_| vec![1]);
    let request = SnapshotRequest::full(weir_model::CheckpointId(1), ProcessingTime(0));
    let folders = || {
        let process = fs::read_dir(place.path()).unwrap().next().unwrap().unwrap();
        fs::read_dir(process.path()).unwrap().count()
    };
    let before = folders();
    let snapshot = backend.snapshot(&request).unwrap();
    assert_eq!(folders(), before + 1);
    drop(snapshot);
    assert_eq!(folders(), before);
    drop(backend);
    drop(database);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn compactions_remove_what_has_expired() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", with_ttl(100), all()).unwrap();
    let keys = Keys::numbered(0..1);
    put(&mut backend, &keys, |_| stamped(0, b"v"));
    put_all(&mut backend, &keys, &[stamped(0, b"a"), stamped(50, b"b")]);
    backend.set_time(ProcessingTime(99));
    backend.compact();
    assert_eq!(value(&mut backend, &keys), Some(stamped(0, b"v")));
    assert_eq!(list(&mut backend, &keys).len(), 2);
    backend.set_time(ProcessingTime(100));
    backend.compact();
    assert_eq!(value(&mut backend, &keys), None);
    assert_eq!(list(&mut backend, &keys), [stamped(50, b"b")]);
    assert_eq!(map(&mut backend, &keys), [stamped(50, b"b")]);
    backend.set_time(ProcessingTime(150));
    backend.compact();
    assert!(list(&mut backend, &keys).is_empty() && map(&mut backend, &keys).is_empty());
}

#[test]
fn a_map_that_was_cleared_is_empty_whatever_a_compaction_has_dropped_before() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", with_ttl(100), all()).unwrap();
    let keys = Keys::numbered(0..1);
    // Who goes through a map has its entries written through from then on.
    assert!(map(&mut backend, &keys).is_empty());
    put_all(&mut backend, &keys, &[stamped(0, b"x")]);
    backend.set_time(ProcessingTime(200));
    backend.compact_database();
    let maps = MapWrites {
        clear: vec![0],
        ..MapWrites::default()
    };
    let writes = Writes {
        maps: vec![(MAP, maps)],
        ..Writes::default()
    };
    backend.apply(&keys.batch(), &writes).unwrap();
    let map_keys: Column = [&[0_u8][..]].into_iter().collect();
    let mut out = OptionalColumn::new();
    let which = Which::Some(&[0]);
    backend
        .get_entries(MAP, &keys.batch(), which, map_keys.view(), &mut out)
        .unwrap();
    assert_eq!(out.get(0), None);
}

#[test]
fn c16_values_of_many_files_get_a_stamp_and_then_expire_by_it() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", decls(), all()).unwrap();
    // So many files that they are compacted once that is allowed.
    let mut saved = None;
    for round in 0..4 {
        let keys = Keys::numbered(round * 4000..(round + 1) * 4000);
        put(&mut backend, &keys, |n| u64::from(n).to_be_bytes().to_vec());
        saved = Some(Saved::native(&mut backend, u64::from(round) + 1, None));
    }
    let saved = saved.unwrap();
    // As it was declared before, it is compacted as soon as it is there.
    let same = restored(&database, decls(), &saved, decls(), 0);
    let left = same.files_left_alone(0);
    assert!(left < 4, "{left} files");
    let mut backend = restored(&database, decls(), &saved, with_ttl(100), 1_000_000);
    let (keys, mut out) = (Keys::numbered(0..16_000), OptionalColumn::new());
    backend
        .get_values(VALUE, &keys.batch(), Which::All, &mut out)
        .unwrap();
    let stamp = 1_000_000_i64.to_be_bytes();
    assert!(
        out.iter()
            .all(|value| value.is_some_and(|value| value.starts_with(&stamp)))
    );
    // Such a state is compacted as any other.
    backend.set_time(ProcessingTime(1_000_100));
    backend.compact();
    out.clear();
    backend
        .get_values(VALUE, &keys.batch(), Which::All, &mut out)
        .unwrap();
    assert!(out.iter().all(|value| value.is_none()));
}

#[test]
fn c16_canonical_snapshots_leave_expired_rows_out_and_native_ones_do_not() {
    let place = place();
    let database = database(&place);
    let mut backend = database.create("op-0", with_ttl(100), all()).unwrap();
    let keys = Keys::numbered(0..1);
    put(&mut backend, &keys, |_| stamped(0, b"v"));
    put_all(&mut backend, &keys, &[stamped(0, b"a"), stamped(50, b"b")]);
    let canonical = Saved::of(&mut backend, 1, SnapshotFormat::Canonical, None, 100);
    let mut other = database.create("op-0", with_ttl(100), all()).unwrap();
    canonical.load(&mut other);
    assert_eq!(value(&mut other, &keys), None);
    assert_eq!(list(&mut other, &keys), [stamped(50, b"b")]);
    assert_eq!(map(&mut other, &keys), [stamped(50, b"b")]);
    let native = Saved::of(&mut backend, 1, SnapshotFormat::Native, None, 100);
    let mut other = restored(&database, with_ttl(100), &native, with_ttl(1000), 500);
    assert_eq!(value(&mut other, &keys), Some(stamped(0, b"v")));
    assert_eq!(list(&mut other, &keys).len(), 2);
}

#[test]
fn c16_state_that_begins_or_ends_to_have_a_time_to_live_is_laid_out_anew() {
    let place = place();
    let database = database(&place);
    let mut plain = database.create("op-0", decls(), all()).unwrap();
    let keys = Keys::numbered(0..1);
    put(&mut plain, &keys, |_| b"v".to_vec());
    put_all(&mut plain, &keys, &[b"a".to_vec(), b"b".to_vec()]);
    let saved = Saved::native(&mut plain, 1, None);
    let mut timed = restored(&database, decls(), &saved, with_ttl(100), 1000);
    assert_eq!(value(&mut timed, &keys), Some(stamped(1000, b"v")));
    let both = [stamped(1000, b"a"), stamped(1000, b"b")];
    assert_eq!(list(&mut timed, &keys), both);
    assert_eq!(map(&mut timed, &keys), both);
    let saved = Saved::native(&mut timed, 2, None);
    let mut plain = restored(&database, with_ttl(100), &saved, decls(), 1000);
    assert_eq!(value(&mut plain, &keys), Some(b"v".to_vec()));
    assert_eq!(list(&mut plain, &keys), [b"a", b"b"]);
    assert_eq!(map(&mut plain, &keys), [b"a", b"b"]);
}

#[test]
fn states_come_and_go_from_one_checkpoint_to_the_next() {
    let place = place();
    let database = database(&place);
    let mut backend = database
        .create("op-0", decls()[..2].to_vec(), all())
        .unwrap();
    let keys = Keys::numbered(0..1);
    put(&mut backend, &keys, |_| b"v".to_vec());
    let saved = Saved::native(&mut backend, 1, None);
    // `list` is dropped, `map` is new.
    let mut later = decls();
    later.remove(1);
    let mut backend = restored(&database, decls()[..2].to_vec(), &saved, later.clone(), 0);
    assert_eq!(value(&mut backend, &keys), Some(b"v".to_vec()));
    let saved = Saved::native(&mut backend, 2, None);
    let mut backend = restored(&database, later, &saved, decls(), 0);
    assert!(
        list(&mut backend, &keys).is_empty(),
        "it was dropped for good"
    );
    assert_eq!(value(&mut backend, &keys), Some(b"v".to_vec()));
}

#[test]
fn a_note_that_is_not_ours_or_names_a_place_elsewhere_is_refused() {
    let place = place();
    let database = database(&place);
    let refused = |note: Vec<u8>| {
        let saved = Saved {
            note: Some(note),
            ..Saved::default()
        };
        let mut backend = database.create("op-0", decls(), all()).unwrap();
        let files = vec![(all(), decls(), saved)];
        backend.import(&mut Files::of(files)).unwrap_err()
    };
    assert_eq!(refused(b"heap".to_vec()), Error::OtherBackend);
    let note = |file: &str| {
        let files = vec![(file.to_owned(), "name".to_owned())];
        Note { files }.encode()
    };
    for elsewhere in ["../CURRENT", "/etc/passwd", "1/2.sst", ".sst", "LOCK", ""] {
        let error = refused(note(elsewhere));
        assert!(matches!(error, Error::Damaged(_)), "{elsewhere}: {error}");
    }
    let missing = refused(note("000001.sst"));
    assert!(matches!(missing, Error::Damaged(_)), "{missing}");
    let mut cut = note("000001.sst");
    cut.pop();
    assert!(matches!(refused(cut), Error::Damaged(_)));
}

#[test]
fn a_local_disk_that_is_gone_is_told() {
    let place = place();
    let nowhere = RocksDb::new(RocksDbOptions {
        memory_bytes: 0,
        local_dir: place.path().join("file").join("below"),
    });
    fs::write(place.path().join("file"), "").unwrap();
    let error = nowhere.create("op-0", decls(), all()).err().unwrap();
    assert!(error.to_string().contains("file/below"), "{error}");
    fs::remove_file(place.path().join("file")).unwrap();

    let database = database(&place);
    let mut backend = database.create("op-0", decls(), all()).unwrap();
    put(&mut backend, &Keys::numbered(0..10), |_| vec![1]);
    for entry in fs::read_dir(place.path()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let request = SnapshotRequest::full(weir_model::CheckpointId(1), ProcessingTime(0));
    let snapshot = backend.snapshot(&request).unwrap();
    let error = Saved::written(snapshot, 1, None).err().unwrap();
    assert!(matches!(error, Error::Local { .. }), "{error}");
}

#[test]
fn state_of_many_times_the_memory_is_written_and_read_within_it() {
    let place = place();
    let memory_bytes = 8 << 20;
    let database = RocksDb::new(RocksDbOptions {
        memory_bytes,
        local_dir: place.path().to_owned(),
    });
    let mut backend = database.create("op-0", decls(), all()).unwrap();
    // Random bytes, which do not shrink when they are packed.
    let random = |n: u32| {
        let mut hash = u64::from(n);
        let words = (0..25).flat_map(|_| {
            hash = hash64(&hash.to_le_bytes());
            hash.to_le_bytes()
        });
        words.collect::<Vec<u8>>()
    };
    let keys = 200_000;
    for from in (0..keys).step_by(2000) {
        put(&mut backend, &Keys::numbered(from..from + 2000), |n| {
            random(from + n)
        });
    }
    let usage = || database.shared().unwrap().memory.usage();
    assert!(usage() <= memory_bytes, "{} after writing", usage());
    let saved = Saved::native(&mut backend, 1, None);
    assert!(
        saved.written_bytes() > 4 * memory_bytes,
        "{}",
        saved.written_bytes()
    );
    let mut out = OptionalColumn::new();
    for from in (0..keys).step_by(20_000) {
        out.clear();
        let some = Keys::numbered(from..from + 500);
        backend
            .get_values(VALUE, &some.batch(), Which::All, &mut out)
            .unwrap();
        for n in 0..500 {
            assert_eq!(out.get(n as usize), Some(random(from + n).as_slice()));
        }
    }
    assert!(usage() <= memory_bytes, "{} after reading", usage());
}
