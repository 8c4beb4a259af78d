//! What the store of a directory owes its users: the laws it shares with the store in memory, and
//! what only a directory can get wrong.

use std::{
    os::unix::fs::symlink,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tempfile::TempDir;
use weir_checkpoint::testing::contract;

use super::*;

fn store() -> (TempDir, LocalStore) {
    let dir = tempfile::tempdir().unwrap();
    // Not there yet, with a folder above it that is not either.
    let store = LocalStore::new(dir.path().join("made/later"));
    (dir, store)
}

fn paths(store: &dyn SnapshotStore, prefix: &str) -> Vec<String> {
    store
        .list(prefix)
        .unwrap()
        .into_iter()
        .map(|object| object.path)
        .collect()
}

/// All files of the directory, objects or not.
fn files(store: &LocalStore) -> Vec<String> {
    let mut all = Vec::new();
    folder::walk(store.root(), &mut |entry| {
        all.push(entry.name.to_owned());
        Ok(())
    })
    .unwrap();
    all.sort();
    all
}

#[test]
fn it_keeps_the_promises_of_a_store() {
    let (_dir, store) = store();
    contract(&store, 40);
    assert_eq!(files(&store), [] as [&str; 0]);
}

#[test]
fn the_same_path_is_created_by_one_of_many_at_once() {
    let (_dir, store) = store();
    let start = Barrier::new(8);
    let put = |who: u8| {
        start.wait();
        store.put("job/chk-1/_metadata", vec![vec![who; 1000]; 3])
    };
    let results: Vec<_> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8).map(|who| scope.spawn(move || put(who))).collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    let winner = results.iter().position(Result::is_ok).unwrap();
    for (who, result) in results.iter().enumerate().filter(|&(who, _)| who != winner) {
        assert!(
            matches!(result, Err(StoreError::AlreadyExists { .. })),
            "{who}: {result:?}"
        );
    }
    assert_eq!(
        store.get("job/chk-1/_metadata").unwrap(),
        vec![winner as u8; 3000]
    );
    assert_eq!(files(&store), ["_metadata"]);
}

#[test]
fn a_folder_that_empties_is_taken_from_no_put() {
    let (_dir, store) = store();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.put("job/chk-1/a/other", vec![]).unwrap();
                store.delete("job/chk-1/a/other").unwrap();
            }
        });
        for n in 0..40 {
            let path = format!("job/chk-1/a/{n}");
            let result = store.put(&path, vec![b"x".to_vec()]);
            let kept = store.get(&path);
            store.delete(&path).unwrap();
            if result.is_err() || kept.is_err() {
                done.store(true, Ordering::Relaxed);
            }
            assert_eq!((result, kept), (Ok(()), Ok(b"x".to_vec())));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(files(&store), [] as [&str; 0]);
}

#[test]
fn folders_that_are_taken_while_they_are_made_are_made_again() {
    let (_dir, store) = store();
    let leaf = store.root().join("job/chk-1/a/b");
    fs::create_dir_all(store.root()).unwrap();
    let done = AtomicBool::new(false);
    let failed = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                folder::remove_empty(&leaf, store.root());
            }
        });
        let failed = (0..2000).find_map(|_| store.make_folder(&leaf).err());
        done.store(true, Ordering::Relaxed);
        failed
    });
    assert!(failed.is_none(), "{}", failed.unwrap());
}

#[test]
fn a_file_where_a_folder_should_be_is_told() {
    let (_dir, store) = store();
    fs::create_dir_all(store.root().join("job")).unwrap();
    fs::write(store.root().join("job/chk-1"), "a file").unwrap();
    for path in ["job/chk-1/_metadata", "job/chk-1/a/state"] {
        let result = store.put(path, vec![]);
        assert!(
            matches!(result, Err(StoreError::Failed { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn what_a_killed_put_left_is_never_listed_and_goes_when_asked() {
    let (_dir, store) = store();
    store
        .put("job/chk-1/a/0/state", vec![b"whole".to_vec()])
        .unwrap();
    store.put("other/chk-1/_metadata", vec![]).unwrap();
    let half = |folder: &str, name: &str| fs::write(store.root().join(folder).join(name), "ha");
    half("job/chk-1/a/0", ".put-17-0").unwrap();
    half("job", &path::temporary(std::process::id(), u64::MAX)).unwrap();
    half("other", ".put-17-0").unwrap();
    // Not ours, whatever it looks like.
    half("job", ".put-off").unwrap();
    half("job", ".notes").unwrap();

    assert_eq!(
        paths(&store, ""),
        ["job/chk-1/a/0/state", "other/chk-1/_metadata"]
    );
    // Killed between the deletion of the last file and that of its folder.
    let emptied = store.root().join("job/chk-2");
    fs::create_dir_all(emptied.join("b/1")).unwrap();
    fs::create_dir_all(store.root().join("other/chk-2/b")).unwrap();

    assert_eq!(store.remove_leftovers("job/").unwrap(), 2);
    assert!(!emptied.exists());
    assert!(store.root().join("other/chk-2/b").exists());
    assert_eq!(
        files(&store),
        [".notes", ".put-17-0", ".put-off", "_metadata", "state"]
    );
    assert_eq!(store.remove_leftovers("job/").unwrap(), 0);
    assert_eq!(store.remove_leftovers("never/").unwrap(), 0);
}

#[test]
fn folders_go_with_their_last_object_but_not_the_root() {
    let (_dir, store) = store();
    for path in [
        "job/chk-1/a/0/state",
        "job/chk-1/_metadata",
        "job/chk-2/_metadata",
    ] {
        store.put(path, vec![]).unwrap();
    }
    store.delete("job/chk-1/a/0/state").unwrap();
    assert!(!store.root().join("job/chk-1/a").exists());
    store.delete("job/chk-1/_metadata").unwrap();
    assert!(!store.root().join("job/chk-1").exists());
    assert!(store.root().join("job/chk-2").exists());
    store.delete("job/chk-2/_metadata").unwrap();
    assert_eq!(fs::read_dir(store.root()).unwrap().count(), 0);
}

#[test]
fn an_object_of_many_small_and_one_large_chunk_is_whole() {
    let (_dir, store) = store();
    let mut chunks: Vec<Vec<u8>> = (0..1000_u32).map(|n| n.to_le_bytes().to_vec()).collect();
    chunks.push(vec![7; 3 * BUFFER_BYTES + 1]);
    store.put("a", chunks.clone()).unwrap();
    assert_eq!(store.get("a").unwrap(), chunks.concat());
    assert_eq!(store.get_range("a", 4, 4).unwrap(), 1_u32.to_le_bytes());
}

#[test]
fn paths_that_lead_out_or_are_reserved_are_refused() {
    let (dir, store) = store();
    fs::write(dir.path().join("secret"), "s").unwrap();
    for path in [
        "",
        "/",
        "/etc/x",
        "../../secret",
        "a/../b",
        "a//b",
        "a/",
        ".put-1-1",
        "a\\b",
    ] {
        let put = store.put(path, vec![]).unwrap_err();
        assert!(
            put.to_string().contains("no path of an object"),
            "{path}: {put}"
        );
        assert!(store.get(path).is_err(), "{path}");
        assert!(store.delete(path).is_err(), "{path}");
    }
    for prefix in ["a", "/", "../", "a//", "./"] {
        assert!(store.list(prefix).is_err(), "{prefix}");
    }
    assert!(dir.path().join("secret").exists());
    assert!(!store.root().exists());
}

#[test]
fn links_are_not_followed_out_of_the_directory() {
    let (dir, store) = store();
    store.put("job/a", vec![]).unwrap();
    fs::write(dir.path().join("outside"), "").unwrap();
    symlink(dir.path(), store.root().join("job/folder")).unwrap();
    symlink(dir.path().join("outside"), store.root().join("job/file")).unwrap();
    assert_eq!(paths(&store, ""), ["job/a"]);
    store.remove_leftovers("").unwrap();
    assert!(dir.path().join("outside").exists());
}

#[test]
fn what_is_no_regular_file_is_no_object_and_is_not_waited_for() {
    let (_dir, store) = store();
    store.put("job/a", vec![vec![1]]).unwrap();
    let pipe = store.root().join("job/pipe");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(store.root().join("job/s")).unwrap();
    // Opening a pipe that nobody writes to would last for ever.
    for path in ["job/pipe", "job/s"] {
        assert_eq!(store.get(path), Err(not_found(path)));
        assert_eq!(store.get_range(path, 0, 0), Err(not_found(path)));
    }
}

#[test]
fn a_folder_is_no_object() {
    let (_dir, store) = store();
    store.put("job/a", vec![]).unwrap();
    assert_eq!(store.get("job"), Err(not_found("job")));
    assert_eq!(store.get("job/a/b"), Err(not_found("job/a/b")));
    assert_eq!(store.get_range("job", 0, 0), Err(not_found("job")));
    assert!(matches!(
        store.put("job", vec![]),
        Err(StoreError::Failed { .. })
    ));
    assert!(matches!(
        store.put("job/a/b", vec![]),
        Err(StoreError::Failed { .. })
    ));
    store.delete("job").unwrap();
    store.delete("job/a/b").unwrap();
    assert_eq!(files(&store), ["a"]);
}

#[test]
fn a_folder_that_a_killed_process_has_made_is_put_on_disk_with_those_below_it() {
    let dir = tempfile::tempdir().unwrap();
    let start = fs::canonicalize(dir.path()).unwrap();
    fs::create_dir(start.join("made")).unwrap();
    folder::SYNCED.take();
    folder::make_durable(&start.join("made/by/us")).unwrap();
    // Above what was there, and then above each that is made.
    let expected = ["", "made", "made/by"].map(|part| start.join(part));
    assert_eq!(folder::SYNCED.take(), expected);
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named_with_the_cause() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    fs::write(&taken, "a file").unwrap();
    let store = LocalStore::new(taken.join("checkpoints"));
    let told = store
        .put("job/chk-1/_metadata", vec![])
        .unwrap_err()
        .to_string();
    for part in ["write `job/chk-1/_metadata`", "taken", "os error"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(
        store.describe(),
        taken.join("checkpoints").display().to_string()
    );
}

/// Set in a process of its own, whose files may have a megabyte or two: its value is the folder.
const SMALL_FILES: &str = "WEIR_SMALL_FILES";

#[test]
fn w0135_what_finds_no_room_is_told_as_such_and_takes_none() {
    if let Some(place) = std::env::var_os(SMALL_FILES) {
        return fill(&LocalStore::new(place));
    }
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("sh")
        // Beyond the limit a write is an error and no signal.
        .args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["w0135_what_finds_no_room", "--nocapture"])
        .env(SMALL_FILES, dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 passed"), "nothing was run: {told}");
}

/// A limit on the size of files stands for a disk that is full.
fn fill(store: &LocalStore) {
    store
        .put("job/chk-1/_metadata", vec![vec![1; 100]])
        .unwrap();
    let large = vec![7; 64 << 10];
    let mut object = store.create("job/chk-2/a/0/state").unwrap();
    let error = (0..100).find_map(|_| object.write(&large).err()).unwrap();
    let told = error.told();
    for part in ["job/chk-2/a/0/state", "no room", "File too large", "W0135"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // At once, and not only when whoever wrote has come round to it.
    assert_eq!(files(store), ["_metadata"]);
    assert!(!store.root().join("job/chk-2").exists());
    assert!(object.write(b"more").is_err() && object.finish().is_err());
    // What fits finds room.
    store.put("job/chk-2/a/0/state", vec![large]).unwrap();
    // At the end, when what was gathered is written.
    let mut object = store.create("job/chk-3/a/0/state").unwrap();
    let almost = vec![7; (2 << 20) - 100];
    let small = object.write(&almost).is_ok();
    let ended = (0..20_000).try_for_each(|_| object.write(&[7; 100]));
    assert!(!small || ended.is_err());
    drop(object);
    assert_eq!(files(store), ["_metadata", "state"]);
}
