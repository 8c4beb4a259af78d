//! One holder at a time, numbers that only grow, and what a damaged or removed file comes to.

use std::fs;

use tempfile::TempDir;
use weir_checkpoint::SnapshotStore;
use weir_model::Name;

use super::*;

fn job(name: &str) -> JobPaths {
    JobPaths::new(&Name::new(name).unwrap())
}

fn store() -> (TempDir, LocalStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path().join("checkpoints"));
    (dir, store)
}

#[test]
fn the_second_to_start_a_job_is_told_who_runs_it() {
    let (_dir, store) = store();
    let held = JobLock::acquire(&store, &job("flights")).unwrap();
    let told = JobLock::acquire(&store, &job("flights")).unwrap_err();
    let LockError::Held {
        holder: Some(holder),
        ..
    } = &told
    else {
        panic!("{told}")
    };
    assert_eq!(*holder, Holder::this());
    let told = told.to_string();
    assert!(
        told.contains("flights/LOCK") && told.contains(&holder.to_string()),
        "{told}"
    );
    // Another job of the same directory is another matter.
    JobLock::acquire(&store, &job("carts")).unwrap();
    drop(held);
    JobLock::acquire(&store, &job("flights")).unwrap();
}

#[test]
fn attempts_are_counted_on_over_processes() {
    let (_dir, store) = store();
    let mut expected = 0;
    for attempts in [3, 0, 1, 2] {
        let mut lock = JobLock::acquire(&store, &job("flights")).unwrap();
        assert_eq!(lock.last_attempt(), Attempt(expected));
        for _ in 0..attempts {
            expected += 1;
            assert_eq!(lock.next_attempt().unwrap(), Attempt(expected));
        }
    }
    let bytes = fs::read(store.root().join("flights/LOCK")).unwrap();
    assert_eq!(bytes.len(), record::FILE_BYTES);
    assert!(String::from_utf8(bytes).unwrap().contains(" attempt 6 "));
}

#[test]
fn the_last_number_is_the_last() {
    let (_dir, store) = store();
    let mut lock = JobLock::acquire(&store, &job("flights")).unwrap();
    lock.write(Attempt(u32::MAX)).unwrap();
    assert!(matches!(
        lock.next_attempt(),
        Err(LockError::Exhausted { .. })
    ));
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let (_dir, store) = store();
    let path = store.root().join("flights/LOCK");
    drop(JobLock::acquire(&store, &job("flights")).unwrap());
    for bytes in [b"my own notes".to_vec(), vec![b'x'; 4096]] {
        fs::write(&path, &bytes).unwrap();
        let told = JobLock::acquire(&store, &job("flights")).unwrap_err();
        assert!(matches!(told, LockError::Damaged { .. }), "{told}");
        assert!(told.to_string().contains("remove the file"), "{told}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(
        JobLock::acquire(&store, &job("flights"))
            .unwrap()
            .last_attempt(),
        Attempt(0)
    );
}

#[test]
fn the_holder_of_a_file_that_cannot_be_read_is_another_process() {
    let (_dir, store) = store();
    let held = JobLock::acquire(&store, &job("flights")).unwrap();
    fs::write(held.path(), "spoilt").unwrap();
    let told = JobLock::acquire(&store, &job("flights"))
        .unwrap_err()
        .to_string();
    assert!(told.contains("another process runs this job"), "{told}");
}

#[test]
fn no_attempt_begins_once_the_file_was_removed_or_replaced() {
    let (_dir, store) = store();
    let mut lock = JobLock::acquire(&store, &job("flights")).unwrap();
    fs::remove_file(lock.path()).unwrap();
    assert!(matches!(lock.next_attempt(), Err(LockError::Lost { .. })));
    let mut other = JobLock::acquire(&store, &job("flights")).unwrap();
    assert!(matches!(lock.next_attempt(), Err(LockError::Lost { .. })));
    assert_eq!(other.next_attempt().unwrap(), Attempt(1));
}

#[test]
fn taking_the_lock_clears_away_what_a_killed_process_left_of_this_job() {
    let (_dir, store) = store();
    store.put("flights/chk-1/_metadata", vec![]).unwrap();
    store.put("carts/chk-1/_metadata", vec![]).unwrap();
    for job in ["flights", "carts"] {
        fs::write(store.root().join(job).join("chk-1/.put-1-1"), "ha").unwrap();
    }
    let _lock = JobLock::acquire(&store, &job("flights")).unwrap();
    assert!(!store.root().join("flights/chk-1/.put-1-1").exists());
    assert!(store.root().join("carts/chk-1/.put-1-1").exists());
    assert_eq!(
        fs::read_dir(store.root().join("flights")).unwrap().count(),
        2
    );
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named_with_the_cause() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("taken"), "a file").unwrap();
    let store = LocalStore::new(dir.path().join("taken"));
    let told = JobLock::acquire(&store, &job("flights"))
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("taken") && told.contains("os error"),
        "{told}"
    );
}
