//! What every store owes its users, whatever it is made of: it answers as the store in memory does.

use super::MemoryStore;
use crate::{SnapshotStore, StoreError};

/// Asks of a store, by their numbers: every path and prefix is of these parts.
const FOLDERS: [&str; 7] = ["", "a/", "b/", "a-a/", "a/b/", "a/a-b/", "b-a/b/"];
/// Folders and objects have different names: in a directory none can be both.
const NAMES: [&str; 3] = ["x", "y", "_metadata"];

/// Checks `store` against what every store promises. It must be empty, and is left empty.
///
/// # Panics
/// Where it breaks a promise.
pub fn contract(store: &dyn SnapshotStore, seeds: u64) {
    laws(store);
    pieces(store);
    for seed in 1..=seeds {
        agrees(store, seed);
        for object in store.list("").unwrap() {
            store.delete(&object.path).unwrap();
        }
    }
    assert_eq!(store.list("").unwrap(), []);
}

/// The promises, one by one.
fn laws(store: &dyn SnapshotStore) {
    let path = "job/chk-1/count/0/state";
    assert!(store.get(path).unwrap_err().is_not_found());
    assert!(store.get_range(path, 0, 1).unwrap_err().is_not_found());
    assert!(store.size(path).unwrap_err().is_not_found());
    store.delete(path).unwrap();
    // Of many chunks, some of them empty.
    let chunks = vec![b"ab".to_vec(), Vec::new(), b"c".to_vec()];
    store.put(path, chunks).unwrap();
    assert_eq!(store.get(path).unwrap(), b"abc");
    assert_eq!(store.size(path).unwrap(), 3);
    assert_eq!(store.get_range(path, 1, 2).unwrap(), b"bc");
    assert_eq!(store.get_range(path, 3, 0).unwrap(), b"");
    for (offset, length) in [(1, 3), (4, 0), (u64::MAX, 1), (0, u64::MAX)] {
        let error = store.get_range(path, offset, length).unwrap_err();
        let expected = StoreError::OutOfRange {
            path: path.into(),
            offset,
            length,
            size: 3,
        };
        assert_eq!(error, expected);
    }
    // Never replaced, not even by the same.
    for other in [b"abc".to_vec(), b"other".to_vec()] {
        let error = store.put(path, vec![other]).unwrap_err();
        assert!(error.is_already_exists(), "{error}");
    }
    assert_eq!(store.get(path).unwrap(), b"abc");
    // Nothing of nothing.
    store.put("job/chk-1/empty", Vec::new()).unwrap();
    assert_eq!(store.get("job/chk-1/empty").unwrap(), b"");
    assert_eq!(store.size("job/chk-1/empty").unwrap(), 0);
    assert_eq!(store.get_range("job/chk-1/empty", 0, 0).unwrap(), b"");
    // A prefix ends where its folder does.
    store.put("job/chk-10/x", vec![vec![7; 5]]).unwrap();
    store.put("job2/chk-1/x", Vec::new()).unwrap();
    let listed = |prefix: &str| -> Vec<(String, u64)> {
        let objects = store.list(prefix).unwrap().into_iter();
        objects.map(|object| (object.path, object.length)).collect()
    };
    let state = (path.to_owned(), 3);
    let empty = ("job/chk-1/empty".to_owned(), 0);
    assert_eq!(listed("job/chk-1/"), [state.clone(), empty.clone()]);
    let ten = ("job/chk-10/x".to_owned(), 5);
    assert_eq!(listed("job/"), [state, empty, ten]);
    assert_eq!(listed("").len(), 4);
    assert_eq!(listed("never/"), []);
    for object in store.list("").unwrap() {
        store.delete(&object.path).unwrap();
        assert!(store.get(&object.path).unwrap_err().is_not_found());
    }
    assert!(!store.describe().is_empty());
}

/// The promises of objects that are written piece by piece.
fn pieces(store: &dyn SnapshotStore) {
    let path = "job/chk-2/count/0/state";
    let hidden = |why: &str| {
        assert!(store.get(path).unwrap_err().is_not_found(), "{why}");
        assert_eq!(store.list("").unwrap(), [], "{why}");
    };
    // Nothing is seen of it before it is finished, and nothing is left if it never is.
    let mut object = store.create(path).unwrap();
    hidden("begun");
    for piece in [&b"ab"[..], b"", b"c"] {
        object.write(piece).unwrap();
        hidden("half written");
    }
    drop(object);
    hidden("given up");
    // Of many pieces, of which none is as large as what a store may send at once.
    let piece = |n: usize| vec![n as u8; 20_000 + n];
    let mut object = store.create(path).unwrap();
    (0..30).for_each(|n| object.write(&piece(n)).unwrap());
    object.finish().unwrap();
    let whole: Vec<u8> = (0..30).flat_map(piece).collect();
    assert!(store.get(path).unwrap() == whole);
    assert_eq!(store.size(path).unwrap(), whole.len() as u64);
    // Never replaced, which is told at the end at the latest.
    let again = store.create(path).and_then(|mut object| {
        object.write(b"other")?;
        object.finish()
    });
    assert!(again.unwrap_err().is_already_exists());
    assert!(store.get(path).unwrap() == whole);
    store.delete(path).unwrap();
    // Of two the first one that is finished, whoever began.
    let mut first = store.create(path).unwrap();
    let mut second = store.create(path).unwrap();
    first.write(b"first").unwrap();
    second.write(b"second").unwrap();
    second.finish().unwrap();
    assert!(first.finish().unwrap_err().is_already_exists());
    assert_eq!(store.get(path).unwrap(), b"second");
    store.delete(path).unwrap();
    // Of nothing.
    store.create(path).unwrap().finish().unwrap();
    assert_eq!(store.get(path).unwrap(), b"");
    store.delete(path).unwrap();
    hidden("deleted");
}

/// A random course of asks, answered by both alike.
fn agrees(store: &dyn SnapshotStore, seed: u64) {
    let model = MemoryStore::new();
    let mut dice = Dice(seed);
    for step in 0..24 {
        let folder = dice.pick(&FOLDERS);
        let path = format!("{folder}{}", dice.pick(&NAMES));
        let place = format!("seed {seed}, step {step}: {path}");
        match dice.below(10) {
            0..=3 => {
                let chunks: Vec<_> = (0..dice.below(4))
                    .map(|_| vec![dice.below(256) as u8; dice.below(4)])
                    .collect();
                let answers = (store.put(&path, chunks.clone()), model.put(&path, chunks));
                assert_eq!(answers.0, answers.1, "put, {place}");
            }
            4 => assert_eq!(store.get(&path), model.get(&path), "get, {place}"),
            5 => {
                let (offset, length) = (dice.below(6) as u64, dice.below(6) as u64);
                let answers = (
                    store.get_range(&path, offset, length),
                    model.get_range(&path, offset, length),
                );
                assert_eq!(answers.0, answers.1, "range, {place}");
            }
            6 => assert_eq!(store.size(&path), model.size(&path), "size, {place}"),
            7 => assert_eq!(store.list(folder), model.list(folder), "list, {place}"),
            _ => assert_eq!(store.delete(&path), model.delete(&path), "delete, {place}"),
        }
    }
    assert_eq!(store.list(""), model.list(""), "list, seed {seed}");
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn pick(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len())]
    }
}
