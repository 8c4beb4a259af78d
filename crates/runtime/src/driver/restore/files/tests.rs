//! What is found of the files of a checkpoint, whether they are kept or read in pieces.

use weir_checkpoint::testing::MemoryStore;
use weir_model::{KeyGroup, KeyGroupRange, OperatorName, ProcessingTime};
use weir_state::{
    Backend, HeapBackend, OperatorState, SavedOperatorState, SnapshotRequest, StateDecl,
    StateFileWriter, StateKind,
};

use super::*;

const PATH: &str = "op/0/state";

/// Nothing is kept, and all is kept.
const KEPT: [u64; 2] = [0, u64::MAX];

fn name() -> OperatorName {
    OperatorName::new("op").unwrap()
}

fn decls() -> Vec<StateDecl> {
    let decl = |name: &str, kind| StateDecl {
        name: name.into(),
        kind,
        format: "raw".into(),
        version: 1,
        ttl: None,
        prefetch: false,
    };
    vec![
        decl("value", StateKind::Value),
        decl("list", StateKind::OperatorList),
    ]
}

fn backend() -> HeapBackend {
    let range = KeyGroupRange {
        start: KeyGroup(0),
        end: KeyGroup(9),
    };
    HeapBackend::new(decls(), range).unwrap()
}

/// A checkpoint of one file, with rows of ten key groups and raw state.
fn checkpoint() -> (Arc<MemoryStore>, FileRef) {
    let mut full = backend();
    for group in 0..10 {
        let key = format!("key {group}");
        let row = [&[key.len() as u8][..], key.as_bytes(), &[0, 5], b"value"].concat();
        full.load(weir_state::StateIndex(0), KeyGroup(group), &row)
            .unwrap();
    }
    let request = SnapshotRequest::full(weir_model::CheckpointId(1), ProcessingTime(0));
    let mut writer = StateFileWriter::new();
    let snapshot = full.snapshot(&request).unwrap();
    writer.add(&name(), &decls(), snapshot).unwrap();
    let own = OperatorState::new(&decls()).snapshot();
    let raw = vec![b"raw".to_vec(); 20];
    writer
        .add_operator_state(&name(), &decls(), own, raw)
        .unwrap();
    let file = writer.finish().unwrap();
    let store = Arc::new(MemoryStore::new());
    store.put(&format!("chk-1/{PATH}"), vec![file.out]).unwrap();
    let file = FileRef {
        path: PATH.into(),
        length: file.length,
        crc32c: file.crc32c,
    };
    (store, file)
}

fn files(store: &Arc<MemoryStore>, keep: u64) -> Files {
    let mut files = Files::new(store.clone(), "chk-1/".into(), "memory:/chk-1".into());
    (files.piece, files.keep) = (7, keep);
    files
}

/// Looks through the file, and loads all of it.
fn all(files: &Files, file: &FileRef) -> Result<(u64, SavedOperatorState), NoRestore> {
    let read = Mutex::new(0);
    files.look_through(&[file], &|more| *lock(&read) += more)?;
    assert_eq!(*lock(&read), file.length, "what was read is told");
    loaded(files, file)
}

fn loaded(files: &Files, file: &FileRef) -> Result<(u64, SavedOperatorState), NoRestore> {
    let reader = files.reader(file, &[])?;
    let mut into = backend();
    let range = into.key_groups();
    let wrong = |e| files.no_restore(&file.path, e);
    let loaded = reader.load(&name(), &mut into, range, ProcessingTime(0));
    let own = reader.operator_state(&name());
    Ok((loaded.map_err(wrong)?, own.map_err(wrong)?))
}

#[track_caller]
fn unreadable<T>(result: Result<T, NoRestore>, part: &str) {
    match result {
        Err(NoRestore::Unreadable(failure)) => {
            let told = failure.to_string();
            assert!(told.contains("memory:/chk-1/op/0/state"), "{told}");
            assert!(told.contains(part), "{part}: {told}");
        }
        Err(no) => panic!("{part}: {}", no.into_failure()),
        Ok(_) => panic!("{part}: it was read"),
    }
}

#[test]
fn a_file_is_read_alike_whether_it_is_kept_or_not() {
    let (store, file) = checkpoint();
    for keep in KEPT {
        let (loaded, own) = all(&files(&store, keep), &file).ok().unwrap();
        assert_eq!((loaded, own.raw.len()), (10, 20));
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_before_anything_is_loaded() {
    let (store, file) = checkpoint();
    for keep in KEPT {
        for bit in 0..file.length as usize * 8 {
            assert!(store.flip("chk-1/op/0/state", bit));
            let found = files(&store, keep).look_through(&[&file], &|_| {});
            unreadable(found, "checksum");
            assert!(store.flip("chk-1/op/0/state", bit));
        }
    }
}

#[test]
fn a_file_of_another_length_or_none_is_unreadable_and_a_storage_that_fails_is_not() {
    let (store, file) = checkpoint();
    let bytes = store.get("chk-1/op/0/state").unwrap();
    for keep in KEPT {
        for other in [&bytes[1..], &[&bytes[..], b"x"].concat()[..], b""] {
            let there = Arc::new(MemoryStore::new());
            there.put("chk-1/op/0/state", vec![other.to_vec()]).unwrap();
            let found = files(&there, keep).look_through(&[&file], &|_| {});
            unreadable(found, "were written");
        }
        let empty = Arc::new(MemoryStore::new());
        let found = files(&empty, keep).look_through(&[&file], &|_| {});
        unreadable(found, "does not exist");
        let dead = Arc::new(MemoryStore::new());
        dead.inject(1, weir_checkpoint::testing::Fault::Freeze);
        assert!(dead.put("x", vec![]).is_err());
        let found = files(&dead, keep).look_through(&[&file], &|_| {});
        assert!(matches!(found, Err(NoRestore::Failed(_))));
    }
}

#[test]
fn of_several_files_that_are_damaged_the_first_one_is_told_each_time() {
    let (store, file) = checkpoint();
    let bytes = store.get("chk-1/op/0/state").unwrap();
    let mut all = vec![file.clone()];
    for n in 0..20 {
        let path = format!("op/{}/state", n + 1);
        store
            .put(&format!("chk-1/{path}"), vec![bytes.clone()])
            .unwrap();
        let file = file.clone();
        all.push(FileRef { path, ..file });
    }
    all.rotate_left(1);
    let all: Vec<&FileRef> = all.iter().collect();
    assert!(files(&store, 0).look_through(&all, &|_| {}).is_ok());
    assert!(files(&store, 0).look_through(&[], &|_| {}).is_ok());
    for at in [20, 10] {
        store.delete(&format!("chk-1/{}", all[at].path)).unwrap();
    }
    let found = files(&store, 0).look_through(&all, &|_| {});
    let told = found.err().unwrap().into_failure().to_string();
    assert!(told.contains(&all[10].path), "{told}");
}

#[test]
fn what_changes_or_goes_after_the_look_is_found_when_it_is_loaded() {
    let (store, file) = checkpoint();
    // All but the magic at its beginning, which nobody reads again.
    for bit in 64..file.length as usize * 8 {
        let files = files(&store, 0);
        files.look_through(&[&file], &|_| {}).ok().unwrap();
        assert!(store.flip("chk-1/op/0/state", bit));
        unreadable(loaded(&files, &file), "state file");
        assert!(store.flip("chk-1/op/0/state", bit));
    }
    let gone = files(&store, 0);
    gone.look_through(&[&file], &|_| {}).ok().unwrap();
    let kept = files(&store, u64::MAX);
    kept.look_through(&[&file], &|_| {}).ok().unwrap();
    store.delete("chk-1/op/0/state").unwrap();
    unreadable(loaded(&gone, &file), "does not exist");
    assert!(loaded(&kept, &file).is_ok(), "it needs no store any more");
    gone.release();
    kept.release();
    unreadable(loaded(&kept, &file), "does not exist");
}
