//! Tests of `saved`: checkpoints made by hand, each damaged in one way.

use std::{
    fs,
    path::{Path, PathBuf},
};

use weir_checkpoint::{OperatorMeta, StateMeta, SubtaskMeta};
use weir_model::{
    Attempt, CheckpointId, KeyGroup, MaxParallelism, Name, Parallelism, ProcessingTime,
};
use weir_state::{
    Error, Snapshot, SnapshotSink, StateDecl, StateFileWriter, StateIndex, StateKind,
};

use super::{place::JobFolder, *};

/// A snapshot that writes these bytes as the rows of key group 3.
struct Rows(&'static [u8]);

impl Snapshot for Rows {
    fn write(self: Box<Self>, sink: &mut dyn SnapshotSink) -> Result<(), Error> {
        sink.block(StateIndex(0), KeyGroup(3), 1, self.0)
    }
}

/// One key `k` with the value `v`: each after its length, with no namespace.
const WHOLE: &[u8] = b"\x01k\x00\x01v";
/// The value is said to be longer than it is.
const TORN: &[u8] = b"\x01k\x00\x09v";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The folder `<dir>/a/chk-<id>` with a checkpoint whose operator `op` has these rows.
fn checkpoint(dir: &Path, id: u64, rows: &'static [u8]) -> PathBuf {
    let folder = dir.join(format!("a/chk-{id}"));
    let state = StateDecl {
        name: "count".into(),
        kind: StateKind::Value,
        format: "raw".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    };
    let mut writer = StateFileWriter::new();
    let op = name("op");
    writer.add(&op, &[state], Box::new(Rows(rows))).unwrap();
    let file = writer.finish().unwrap();
    fs::create_dir_all(folder.join("op/0")).unwrap();
    fs::write(folder.join("op/0/state"), file.out).unwrap();
    let meta = OperatorMeta {
        parallelism: Parallelism::new(1).unwrap(),
        states: vec![StateMeta {
            name: "count".into(),
            kind: "value".into(),
            format: "raw".into(),
            version: 1,
        }],
        keys: vec![],
        subtasks: vec![SubtaskMeta {
            file: Some(FileRef {
                path: "op/0/state".into(),
                length: file.length,
                crc32c: file.crc32c,
            }),
            shared: vec![],
            channels: None,
            finished: false,
        }],
    };
    let metadata = Metadata {
        job: name("a"),
        checkpoint: CheckpointId(id),
        kind: CheckpointKind::Periodic,
        savepoint: None,
        created: ProcessingTime(0),
        attempt: Attempt(1),
        max_parallelism: MaxParallelism::new(8).unwrap(),
        operators: [(op, meta)].into(),
        sources: BTreeMap::new(),
        sinks: BTreeMap::new(),
    };
    fs::write(folder.join(METADATA), metadata.encode().unwrap()).unwrap();
    folder
}

fn local(path: &Path) -> Folder {
    Folder::Local(path.to_owned())
}

/// What verifying finds; nothing where it is whole.
#[track_caller]
fn found(folder: &Path) -> Option<String> {
    match verify(&local(folder), &Stores::default()) {
        Verified::Whole(_) => None,
        Verified::Gone => Some("gone".into()),
        Verified::Damaged(problems) | Verified::Unreadable(problems) => {
            let lines = problems.iter().map(|p| format!("{}: {}", p.file, p.what));
            Some(lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

fn states(dir: &Path) -> Vec<String> {
    let (job, path) = (name("a"), local(&dir.join("a")));
    let listing = JobListing::of(&JobFolder { job, path }, &Stores::default()).unwrap();
    let state = |listed: &Listed| match &listed.state {
        State::Complete(_) => format!("{} complete", listed.id),
        State::Incomplete => format!("{} incomplete", listed.id),
        State::Damaged(problem) | State::Unreadable(problem) => {
            format!("{} {}: {}", listed.id, problem.file, problem.what)
        }
    };
    listing.checkpoints.iter().map(state).collect()
}

#[test]
fn a_whole_checkpoint_is_whole_and_its_rows_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let folder = checkpoint(dir.path(), 1, WHOLE);
    assert_eq!(found(&folder), None);
    let saved = Saved::read(&local(&folder), &Stores::default())
        .unwrap()
        .unwrap();
    let rows = saved.rows();
    assert_eq!(rows.of_state[&(name("op"), "count".to_owned())], 1);
    assert_eq!(rows.problems, []);
}

#[test]
fn any_changed_byte_of_any_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let folder = checkpoint(dir.path(), 1, WHOLE);
    for file in [METADATA, "op/0/state"] {
        let path = folder.join(file);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            fs::write(&path, damaged).unwrap();
            let found = found(&folder).unwrap_or_else(|| panic!("byte {at} of {file}"));
            assert!(found.starts_with(file), "{found}");
        }
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(found(&folder).is_some());
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(found(&folder), None);
}

#[test]
fn rows_that_cannot_be_read_are_found_though_all_checksums_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let folder = checkpoint(dir.path(), 1, TORN);
    let found = found(&folder).unwrap();
    assert!(found.contains("op/0/state"), "{found}");
    assert!(
        found.contains("the row at byte 0 of key group 3"),
        "{found}"
    );
}

#[test]
fn a_listing_tells_what_is_complete_from_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    for id in 1..=5 {
        checkpoint(dir.path(), id, WHOLE);
    }
    let inside = |path: &str| dir.path().join("a").join(path);
    fs::remove_file(inside("chk-1/_metadata")).unwrap();
    fs::remove_file(inside("chk-2/op/0/state")).unwrap();
    fs::write(inside("chk-3/op/0/state"), "short").unwrap();
    fs::copy(inside("chk-5/_metadata"), inside("chk-4/_metadata")).unwrap();
    let states = states(dir.path());
    assert_eq!(states[0], "1 incomplete");
    assert_eq!(states[1], "2 op/0/state: missing");
    assert!(
        states[2].starts_with("3 op/0/state: 5 bytes, "),
        "{states:?}"
    );
    assert_eq!(states[3], "4 _metadata: it is that of checkpoint 5");
    assert_eq!(states[4], "5 complete");
}

#[test]
fn nothing_is_written_where_checkpoints_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let folder = checkpoint(dir.path(), 1, WHOLE);
    let names = || {
        let mut names: Vec<_> = fs::read_dir(dir.path().join("a"))
            .unwrap()
            .chain(fs::read_dir(&folder).unwrap())
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        names
    };
    let before = names();
    states(dir.path());
    found(&folder);
    assert!(
        Place::of(
            dir.path(),
            &crate::config::Config::none(),
            &Stores::default()
        )
        .is_ok()
    );
    assert_eq!(names(), before);
}

#[test]
fn a_copy_under_the_name_of_another_checkpoint_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let folder = checkpoint(dir.path(), 13, WHOLE);
    let (wrong, other) = (dir.path().join("a/chk-14"), dir.path().join("a/copy"));
    fs::rename(&folder, &wrong).unwrap();
    let what = "_metadata: it is that of checkpoint 13";
    assert_eq!(found(&wrong).as_deref(), Some(what));
    assert!(
        Saved::read(&local(&wrong), &Stores::default())
            .unwrap()
            .is_err()
    );
    // A name that says no number says nothing wrong.
    fs::rename(&wrong, &other).unwrap();
    assert_eq!(found(&other), None);
}

#[test]
fn a_file_that_cannot_be_read_is_a_verdict_and_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let folder = checkpoint(dir.path(), 1, WHOLE);
    let file = folder.join("op/0/state");
    fs::remove_file(&file).unwrap();
    // A link to itself: opening it fails, whoever does.
    std::os::unix::fs::symlink("state", &file).unwrap();
    let Verified::Unreadable(problems) = verify(&local(&folder), &Stores::default()) else {
        panic!("it can be read");
    };
    assert_eq!(problems[0].file, "op/0/state");
    assert!(
        problems[0].what.starts_with("cannot be read: "),
        "{problems:?}"
    );
}

#[test]
fn where_a_job_was_told_to_begin_counts_until_its_next_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    for id in [8, 9] {
        checkpoint(dir.path(), id, WHOLE);
    }
    let inside = dir.path().join("a");
    let (job, path) = (name("a"), local(&inside));
    let folder = JobFolder { job, path };
    let told = || {
        let listing = JobListing::of(&folder, &Stores::default()).unwrap();
        let latest = listing.checkpoints.iter().find(|listed| listed.is_latest);
        (listing.told.clone(), latest.map(|listed| listed.id.0))
    };
    let record = |n: u32| inside.join(format!("BEGIN-{n}"));
    assert_eq!(told(), (None, Some(9)));
    fs::write(record(1), r#"{"v":1,"above":9}"#).unwrap();
    assert_eq!(told(), (Some(Told::Anew), None));
    fs::write(record(2), r#"{"v":1,"above":9,"checkpoint":8}"#).unwrap();
    let own = Told::Own(CheckpointId(8), folder.path.join("chk-8"));
    assert_eq!(told(), (Some(own), Some(8)));
    fs::write(record(10), r#"{"v":1,"above":9,"path":"/far/chk-3"}"#).unwrap();
    assert_eq!(told(), (Some(Told::Elsewhere("/far/chk-3".into())), None));
    fs::write(record(11), "{").unwrap();
    assert_eq!(told(), (Some(Told::Damaged(local(&record(11)))), None));
    fs::write(record(11), r#"{"v":1,"above":9}"#).unwrap();
    checkpoint(dir.path(), 10, WHOLE);
    assert_eq!(told(), (None, Some(10)));
}
