//! Tests of `delete`: checkpoints made by hand that share files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use weir_checkpoint::{CheckpointKind, FileRef, OperatorMeta, SubtaskMeta};
use weir_model::{Attempt, MaxParallelism, Name, Parallelism, ProcessingTime};
use weir_snapshot_store::LocalStore;

use super::*;
use crate::config::Config;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A checkpoint directory with job `a`, which has these checkpoints, each with the shared files
/// that it names.
fn directory(checkpoints: &[(u64, &[u64])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (id, files) in checkpoints {
        checkpoint(dir.path(), "a", *id, files);
    }
    dir
}

fn checkpoint(dir: &Path, job: &str, id: u64, files: &[u64]) {
    let folder = dir.join(format!("{job}/chk-{id}"));
    fs::create_dir_all(folder.join("op/0")).unwrap();
    fs::write(folder.join("op/0/state"), "own").unwrap();
    let shared = |file: &u64| {
        let path = format!("../shared/op/0/{file}-1");
        let at = folder.join(&path);
        fs::create_dir_all(dir.join(job).join("shared/op/0")).unwrap();
        fs::write(at, "shared").unwrap();
        FileRef {
            path,
            length: 6,
            crc32c: 0,
        }
    };
    let subtask = SubtaskMeta {
        file: Some(FileRef {
            path: "op/0/state".into(),
            length: 3,
            crc32c: 0,
        }),
        shared: files.iter().map(shared).collect(),
        channels: None,
        finished: false,
    };
    let operator = OperatorMeta {
        parallelism: Parallelism::new(1).unwrap(),
        states: vec![],
        keys: vec![],
        subtasks: vec![subtask],
    };
    let metadata = Metadata {
        job: name(job),
        checkpoint: CheckpointId(id),
        kind: CheckpointKind::Periodic,
        savepoint: None,
        created: ProcessingTime(0),
        attempt: Attempt(1),
        max_parallelism: MaxParallelism::new(8).unwrap(),
        operators: [(name("op"), operator)].into(),
        sources: BTreeMap::new(),
        sinks: BTreeMap::new(),
    };
    fs::write(folder.join("_metadata"), metadata.encode().unwrap()).unwrap();
}

/// All files below, but for the lock.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let inside = path.strip_prefix(dir).unwrap().display().to_string();
            match path.is_dir() {
                true => folders.push(path),
                false if inside.ends_with("LOCK") => {}
                false => found.push(inside),
            }
        }
    }
    found.sort();
    found
}

fn delete(path: PathBuf, ids: &[u64], keep: Option<usize>, dry_run: bool) -> Exit {
    let shared = Shared {
        output: Output::Json,
        cache_dir: None,
        config: Config::none(),
        stores: Arc::default(),
        terminal: false,
        perf_map: false,
    };
    let ids = ids.to_vec();
    let verb = Delete {
        path,
        ids,
        keep,
        dry_run,
    };
    verb.run(&shared)
}

#[test]
fn what_is_refused_deletes_nothing() {
    let dir = directory(&[(1, &[1]), (2, &[1, 2])]);
    checkpoint(dir.path(), "b", 1, &[]);
    let before = files(dir.path());
    let job = dir.path().join("a");
    for (path, ids) in [
        // One that is not there, even beside one that is.
        (job.clone(), vec![1, 7]),
        // Not the folder of one job.
        (dir.path().to_owned(), vec![1]),
        (job.join("chk-1"), vec![1]),
        (dir.path().join("c"), vec![1]),
    ] {
        let refused = delete(path.clone(), &ids, None, false);
        assert_eq!(refused, Exit::Usage, "{}", path.display());
    }
    let paths = JobPaths::new(&name("a"));
    let lock = JobLock::acquire(&LocalStore::new(dir.path()), &paths).unwrap();
    assert_eq!(delete(job.clone(), &[1], None, false), Exit::Failed);
    assert_eq!(files(dir.path()), before);
    // Nothing is locked where nothing is deleted.
    assert_eq!(delete(job.clone(), &[1], None, true), Exit::Done);
    assert_eq!(files(dir.path()), before);
    drop(lock);
    assert_eq!(delete(job, &[1], None, false), Exit::Done);
    assert_ne!(files(dir.path()), before);
}

#[test]
fn nothing_goes_while_it_is_not_known_which_are_to_be_kept() {
    let dir = directory(&[(1, &[1]), (2, &[1, 2]), (3, &[2, 3])]);
    let job = dir.path().join("a");
    let (file, aside) = (job.join("chk-3/_metadata"), job.join("aside"));
    fs::rename(&file, &aside).unwrap();
    // A link to itself: opening it fails, whoever does.
    std::os::unix::fs::symlink("_metadata", &file).unwrap();
    let before = files(dir.path());
    for dry_run in [true, false] {
        assert_eq!(delete(job.clone(), &[], Some(1), dry_run), Exit::Failed);
        assert_eq!(files(dir.path()), before);
    }
    fs::rename(&aside, &file).unwrap();
    assert_eq!(delete(job.clone(), &[], Some(1), false), Exit::Done);
    assert!(job.join("chk-3/_metadata").exists() && !job.join("chk-2").exists());
}

#[test]
fn a_shared_file_goes_with_the_last_checkpoint_that_names_it() {
    let dir = directory(&[(1, &[1]), (2, &[1, 2]), (3, &[2, 3])]);
    let job = dir.path().join("a");
    let shared = || -> Vec<String> {
        let all = files(dir.path()).into_iter();
        all.filter_map(|file| Some(file.strip_prefix("a/shared/op/0/")?.to_owned()))
            .collect()
    };
    assert_eq!(delete(job.clone(), &[1], None, false), Exit::Done);
    assert_eq!(shared(), ["1-1", "2-1", "3-1"]);
    assert_eq!(delete(job.clone(), &[2], None, false), Exit::Done);
    assert_eq!(shared(), ["2-1", "3-1"]);
    assert_eq!(delete(job.clone(), &[], Some(0), false), Exit::Done);
    assert!(files(dir.path()).is_empty());
}

#[test]
fn what_may_be_named_by_one_that_cannot_be_read_stays() {
    let dir = directory(&[(1, &[1]), (2, &[1, 2]), (3, &[2])]);
    let job = dir.path().join("a");
    fs::write(job.join("chk-2/_metadata"), "of a newer version").unwrap();
    assert_eq!(delete(job.clone(), &[1], None, false), Exit::Done);
    assert!(job.join("shared/op/0/1-1").exists());
    assert_eq!(delete(job.clone(), &[2], None, false), Exit::Done);
    assert!(!job.join("shared/op/0/1-1").exists());
    assert!(job.join("shared/op/0/2-1").exists());
}

#[test]
fn the_newest_that_are_complete_are_kept_and_those_that_never_were_are_not() {
    let dir = directory(&[(1, &[]), (2, &[]), (3, &[]), (4, &[])]);
    let job = dir.path().join("a");
    fs::remove_file(job.join("chk-4/_metadata")).unwrap();
    fs::remove_file(job.join("chk-2/op/0/state")).unwrap();
    assert_eq!(delete(job, &[], Some(2), false), Exit::Done);
    let left = files(dir.path());
    let expected = [
        "chk-1/_metadata",
        "chk-1/op/0/state",
        "chk-3/_metadata",
        "chk-3/op/0/state",
    ];
    assert_eq!(left, expected.map(|file| format!("a/{file}")));
}

#[test]
fn the_metadata_of_a_checkpoint_go_first_and_what_is_said_of_it_is_json() {
    let dir = directory(&[(1, &[1]), (2, &[2])]);
    let (job, path) = (name("a"), Folder::Local(dir.path().join("a")));
    let listing = JobListing::of(&JobFolder { job, path }, &Default::default()).unwrap();
    let store = LocalStore::new(dir.path());
    let doomed = [CheckpointId(1)].into();
    let objects = objects(&store, &JobPaths::new(&name("a")), &listing, &doomed).unwrap();
    assert_eq!(
        objects,
        [
            "a/chk-1/_metadata",
            "a/chk-1/op/0/state",
            "a/shared/op/0/1-1"
        ]
    );
    let verb = Delete {
        path: "a".into(),
        ids: vec![1],
        keep: None,
        dry_run: true,
    };
    assert_eq!(
        verb.document(&listing, &doomed, objects.len()),
        json!({
            "job": "a", "deleted": [1], "files": 3, "latest": 2, "dry_run": true, "errors": [],
        })
    );
}
