//! The file sink as the engine drives it, cut off between any two of its steps.

use std::{collections::BTreeMap, fs};

use serde_json::json;
use tempfile::TempDir;
use weir_model::{Attempt, Batch, MaxParallelism, Name, Parallelism, SubtaskIndex};

use super::*;

struct Fixture {
    dir: TempDir,
    sink: FileSink,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut FileSinkOptions)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut options = FileSinkOptions {
            job: Name::new("job").unwrap(),
            sink: Name::new("out").unwrap(),
            folder: dir.path().join("new/out"),
            ext: FileSinkOptions::DEFAULT_EXT.into(),
            guarantee: SinkGuarantee::ExactlyOnce,
            roll_bytes: None,
        };
        change(&mut options);
        let sink = FileSink::new(options).unwrap();
        sink.recover(&[]).unwrap();
        Self { dir, sink }
    }

    fn writer(&self, attempt: u32, subtask: u32) -> Box<dyn Sink> {
        let task = TaskInfo {
            job: Name::new("job").unwrap(),
            operator: Name::new("out").unwrap(),
            subtask: SubtaskIndex(subtask),
            parallelism: Parallelism::new(2).unwrap(),
            max_parallelism: MaxParallelism::new(128).unwrap(),
            attempt: Attempt(attempt),
        };
        self.sink.create(&task).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.sink.options.folder.clone()
    }

    /// Name and content of everything in the folder.
    fn content(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.folder())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect()
    }

    fn visible(&self) -> Vec<(String, String)> {
        self.content()
            .into_iter()
            .filter(|(name, _)| !name.starts_with('.'))
            .collect()
    }
}

fn write(sink: &mut dyn Sink, rows: &[&str]) {
    try_write(sink, rows).unwrap();
}

fn try_write(sink: &mut dyn Sink, rows: &[&str]) -> Result<(), Failure> {
    let batch = Batch {
        values: rows.iter().map(|row| row.as_bytes()).collect(),
        ..Batch::default()
    };
    sink.write(batch.rows())
}

fn seal(sink: &mut dyn Sink, checkpoint: u64) -> Vec<Sealed> {
    sink.pre_commit(CheckpointId(checkpoint)).unwrap()().unwrap()
}

fn files(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(name, content)| ((*name).to_owned(), (*content).to_owned()))
        .collect()
}

#[test]
fn rows_become_visible_with_their_checkpoint() {
    let f = Fixture::new();
    let (mut a, mut b) = (f.writer(1, 0), f.writer(1, 1));
    write(&mut *a, &["1", "2"]);
    write(&mut *b, &["3"]);
    a.flush().unwrap();
    let mut sealed = seal(&mut *a, 7);
    sealed.extend(seal(&mut *b, 7));
    write(&mut *a, &["4"]);
    assert!(f.visible().is_empty());
    assert_eq!(sealed[0].committable["v"], 1);
    assert_eq!(sealed[0].committable["temp"], ".job-out-1-0-0.open");
    assert_eq!(
        sealed[0].committable["final"],
        "part-00000007-000-000.jsonl"
    );
    assert_eq!(sealed[0].committable["length"], 4);
    assert_eq!(sealed[0].committable["crc32c"], crc32c::crc32c(b"1\n2\n"));
    let expected = [
        ("part-00000007-000-000.jsonl", "1\n2\n"),
        ("part-00000007-001-000.jsonl", "3\n"),
    ];
    let done = f.sink.commit(&sealed).unwrap();
    assert_eq!(
        done,
        Recovered {
            committed: 2,
            already: 0,
            removed: 0
        }
    );
    assert_eq!(f.visible(), files(&expected));
    // Again, as after a lost confirmation: nothing changes.
    let again = f.sink.commit(&sealed).unwrap();
    assert_eq!(
        again,
        Recovered {
            committed: 0,
            already: 2,
            removed: 0
        }
    );
    assert_eq!(f.visible(), files(&expected));
    assert_eq!(
        f.content().len(),
        3,
        "the open file of the next epoch stays"
    );
}

#[test]
fn an_empty_epoch_leaves_nothing() {
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    write(&mut *sink, &[]);
    assert!(seal(&mut *sink, 1).is_empty());
    assert!(f.content().is_empty());
    assert_eq!(f.sink.commit(&[]).unwrap(), Recovered::default());
}

#[test]
fn c40_two_phase_commit() {
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    let rows = |f: &Fixture| {
        f.visible()
            .into_iter()
            .map(|(_, rows)| rows)
            .collect::<String>()
    };
    write(&mut *sink, &["42"]);
    let first = seal(&mut *sink, 1);
    write(&mut *sink, &["43"]);
    let second = seal(&mut *sink, 2);
    write(&mut *sink, &["44"]);
    let third = seal(&mut *sink, 3);
    write(&mut *sink, &["45"]);
    // complete(2): all of it up to there; one sealed and the current one are open.
    f.sink
        .commit(&[first.clone(), second.clone()].concat())
        .unwrap();
    assert_eq!(rows(&f), "42\n43\n");
    assert_eq!(f.content().len(), 2 + 2);
    f.sink.commit(&third).unwrap();
    f.sink.commit(&second).unwrap();
    assert_eq!(rows(&f), "42\n43\n44\n");
    assert_eq!(f.content().len(), 3 + 1);
    // Restored from checkpoint 2, with what was written since gone.
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    write(&mut *sink, &["42"]);
    let mut held = seal(&mut *sink, 1);
    write(&mut *sink, &["43"]);
    held.extend(seal(&mut *sink, 2));
    write(&mut *sink, &["44"]);
    drop(sink.pre_commit(CheckpointId(3)).unwrap());
    f.sink.recover(&held).unwrap();
    assert_eq!(rows(&f), "42\n43\n");
    assert_eq!(f.content().len(), 2);
}

/// What a process did before it died.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Died {
    InPreCommit,
    BeforeCommit,
    AfterFirstLink,
    AfterLinks,
    AfterFirstUnlink,
    AfterCommit,
}

#[test]
fn a_process_that_dies_anywhere_in_a_commit_leaves_each_row_once() {
    use Died::{
        AfterCommit, AfterFirstLink, AfterFirstUnlink, AfterLinks, BeforeCommit, InPreCommit,
    };
    let all = [
        InPreCommit,
        BeforeCommit,
        AfterFirstLink,
        AfterLinks,
        AfterFirstUnlink,
        AfterCommit,
    ];
    for died in all {
        let f = Fixture::new();
        let (mut a, mut b) = (f.writer(1, 0), f.writer(1, 1));
        write(&mut *a, &["1"]);
        write(&mut *b, &["2"]);
        let held = [seal(&mut *a, 1), seal(&mut *b, 1)].concat();
        write(&mut *a, &["3"]);
        let link = |i: usize| {
            let name = |key: &str| f.folder().join(held[i].committable[key].as_str().unwrap());
            fs::hard_link(name("temp"), name("final")).unwrap();
        };
        let unlink = |i: usize| {
            fs::remove_file(
                f.folder()
                    .join(held[i].committable["temp"].as_str().unwrap()),
            )
            .unwrap();
        };
        match died {
            InPreCommit => drop(a.pre_commit(CheckpointId(2)).unwrap()),
            BeforeCommit => {}
            AfterFirstLink => link(0),
            AfterLinks => (0..2).for_each(link),
            AfterFirstUnlink => {
                (0..2).for_each(link);
                unlink(0);
            }
            AfterCommit => drop(f.sink.commit(&held).unwrap()),
        }
        drop((a, b));
        for _ in 0..2 {
            f.sink.recover(&held).unwrap();
            let expected = [
                ("part-00000001-000-000.jsonl", "1\n"),
                ("part-00000001-001-000.jsonl", "2\n"),
            ];
            assert_eq!(f.visible(), files(&expected), "{died:?}");
            assert_eq!(f.content().len(), 2, "nothing is left over: {died:?}");
        }
    }
}

#[test]
fn recovery_counts_what_it_did() {
    let f = Fixture::new();
    let (mut a, mut b) = (f.writer(1, 0), f.writer(1, 1));
    write(&mut *a, &["1"]);
    let first = seal(&mut *a, 1);
    f.sink.commit(&first).unwrap();
    write(&mut *a, &["2"]);
    write(&mut *b, &["3"]);
    let held = [first, seal(&mut *a, 2)].concat();
    assert_eq!(
        f.sink.recover(&held).unwrap(),
        Recovered {
            committed: 1,
            already: 1,
            removed: 1
        }
    );
}

#[test]
fn files_of_others_are_never_touched() {
    let f = Fixture::new();
    let foreign = [
        ".job-out-1-1-0-0.open",
        ".job-other-1-0-0.open",
        ".other-out-1-0-0.open",
        ".job-out-1-0-0.open.swp",
        "part-1.jsonl",
        "notes.txt",
    ];
    for name in foreign {
        fs::write(f.folder().join(name), "mine").unwrap();
    }
    fs::write(f.folder().join(".job-out-9-0-0.open"), "left over").unwrap();
    fs::write(f.folder().join("part-00000012-000-000.csv"), "1\n").unwrap();
    assert_eq!(f.sink.recover(&[]).unwrap().removed, 1);
    let existing = f.sink.existing().unwrap();
    assert_eq!(
        (existing.committed, existing.last_checkpoint),
        (1, Some(CheckpointId(12)))
    );
    f.sink.clear().unwrap();
    assert_eq!(f.sink.existing().unwrap().committed, 0);
    assert_eq!(f.content().len(), foreign.len());
}

/// What is said of a commit of what is not there any more as it was sealed.
fn lost(result: Result<Recovered, Failure>) -> String {
    match result.unwrap_err() {
        failure @ Failure::LostTransaction { .. } => failure.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_final_name_that_holds_something_else_is_an_error_naming_both() {
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    write(&mut *sink, &["1"]);
    let held = seal(&mut *sink, 1);
    let last = f.folder().join("part-00000001-000-000.jsonl");
    for (content, how) in [("other\n", "has 6 bytes"), ("2\n", "has the checksum")] {
        fs::write(&last, content).unwrap();
        for result in [f.sink.commit(&held), f.sink.recover(&held)] {
            let failure = result.unwrap_err();
            assert!(matches!(failure, Failure::External { .. }), "{failure:?}");
            let message = failure.to_string();
            assert!(message.contains(".job-out-1-0-0.open"), "{message}");
            assert!(message.contains("part-00000001-000-000.jsonl"), "{message}");
            assert!(message.contains(how), "{message}");
        }
    }
    // Equal content counts as done, wherever it came from.
    fs::write(&last, "1\n").unwrap();
    assert_eq!(f.sink.commit(&held).unwrap().already, 1);
    fs::remove_file(&last).unwrap();
    let message = lost(f.sink.commit(&held));
    let both = "the first is gone, and the second is not there";
    assert!(message.contains(both), "{message}");
}

#[test]
fn what_is_gone_is_given_up_where_it_may_be_and_the_rest_is_committed() {
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    let mut held = Vec::new();
    for (checkpoint, row) in [(1, "1"), (2, "2"), (3, "3")] {
        write(&mut *sink, &[row]);
        held.extend(seal(&mut *sink, checkpoint));
    }
    fs::remove_file(f.folder().join(".job-out-1-0-0.open")).unwrap();
    // As long as it was, and something else.
    fs::write(f.folder().join(".job-out-1-0-1.open"), "x\n").unwrap();
    lost(f.sink.recover(&held));
    assert!(f.visible().is_empty());
    let mut gone = Vec::new();
    let recovered = f.sink.recover_without(&held, &mut |at, failure| {
        assert!(matches!(failure, Failure::LostTransaction { .. }));
        gone.push(at);
        Ok(())
    });
    assert_eq!((gone, recovered.unwrap().committed), (vec![0, 1], 1));
    assert_eq!(f.visible().len(), 1);
    assert_eq!(f.content().len(), 1, "nothing is left open");
}

#[test]
fn another_file_that_has_an_open_name_by_now_does_not_hide_that_its_was_committed() {
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    write(&mut *sink, &["1"]);
    let held = seal(&mut *sink, 1);
    f.sink.commit(&held).unwrap();
    fs::write(f.folder().join(".job-out-1-0-0.open"), "another\n").unwrap();
    assert_eq!(f.sink.recover(&held).unwrap().already, 1);
    assert_eq!(f.content().len(), 1);
}

#[test]
fn a_folder_that_is_not_there_is_no_loss() {
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    write(&mut *sink, &["1"]);
    let held = seal(&mut *sink, 1);
    let aside = f.folder().with_file_name("aside");
    fs::rename(f.folder(), &aside).unwrap();
    let failure = f.sink.recover(&held).unwrap_err();
    assert!(matches!(failure, Failure::External { .. }), "{failure:?}");
    assert!(failure.to_string().contains("not mounted"), "{failure}");
    assert!(!f.folder().exists());
    fs::rename(&aside, f.folder()).unwrap();
    assert_eq!(f.sink.recover(&held).unwrap().committed, 1);
    // Where it may be missing all the same, it is made.
    fs::rename(f.folder(), &aside).unwrap();
    f.sink.recover_without(&held, &mut |_, _| Ok(())).unwrap();
    assert!(f.folder().exists() && f.visible().is_empty());
}

#[test]
fn a_sealed_file_that_was_damaged_is_not_made_visible() {
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    write(&mut *sink, &["1"]);
    let held = seal(&mut *sink, 1);
    let open = f.folder().join(".job-out-1-0-0.open");
    fs::write(&open, "x\n").unwrap();
    let message = lost(f.sink.recover(&held));
    assert!(message.contains("the first has the checksum"), "{message}");
    fs::write(&open, "").unwrap();
    let message = lost(f.sink.commit(&held));
    assert!(
        message.contains("the first has 0 bytes, the sealed one had 2"),
        "{message}"
    );
    assert!(f.visible().is_empty());
}

#[test]
fn committables_that_are_not_the_sinks_own_are_refused() {
    let f = Fixture::new();
    let good = json!({
        "v": 1, "temp": ".job-out-1-0-0.open", "final": "part-00000001-000-000.jsonl",
        "length": 0, "crc32c": 0,
    });
    for (key, value) in [
        ("v", json!(2)),
        ("temp", json!(".x/../../etc/passwd")),
        ("temp", json!("..")),
        ("temp", json!("visible")),
        ("final", json!("../part-00000001-000-000.jsonl")),
        ("final", json!("part-00000001-000-000.x/y")),
        ("length", json!("long")),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        let error = f.sink.commit(&[bad.into()]).unwrap_err();
        assert!(matches!(error, Failure::Restore { .. }), "{key}: {error}");
    }
}

#[test]
fn a_row_with_a_line_break_is_refused() {
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    let error = try_write(&mut *sink, &["good", "two\nlines"]).unwrap_err();
    assert!(matches!(&error, Failure::BadRow { .. }));
    let text = error.to_string();
    assert!(
        text.contains("sink `out`, subtask 0") && text.contains("two\\nlines"),
        "{text}"
    );
    // The writer does not go on: the rows behind it are not in any file.
    let again = sink.pre_commit(CheckpointId(1)).err().unwrap().to_string();
    assert!(again.contains("rows of the file sink were lost"), "{again}");
}

#[test]
fn a_file_that_could_not_be_put_on_disk_fails_the_writer_for_good() {
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    write(&mut *sink, &["1"]);
    let slow = sink.pre_commit(CheckpointId(1)).unwrap();
    fs::rename(f.folder(), f.dir.path().join("away")).unwrap();
    let error = slow().unwrap_err().to_string();
    assert!(error.contains("fsync of folder"), "{error}");
    fs::rename(f.dir.path().join("away"), f.folder()).unwrap();
    assert!(try_write(&mut *sink, &["2"]).is_err());
    assert!(sink.flush().is_err());
    assert!(sink.pre_commit(CheckpointId(2)).is_err());
}

#[test]
fn full_files_are_rolled_and_belong_to_one_checkpoint() {
    let f = Fixture::with(|o| o.roll_bytes = Some(4));
    let mut sink = f.writer(1, 3);
    let rows: Vec<_> = (10..50).map(|i| i.to_string()).collect();
    write(
        &mut *sink,
        &rows.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    write(&mut *sink, &["x"]);
    let held = seal(&mut *sink, 1);
    assert_eq!(held.len(), 21);
    f.sink.commit(&held).unwrap();
    let visible = f.visible();
    assert_eq!(
        visible[0],
        ("part-00000001-003-000.jsonl".into(), "10\n11\n".into())
    );
    assert_eq!(
        visible[20],
        ("part-00000001-003-020.jsonl".into(), "x\n".into())
    );
    assert_eq!(f.content().len(), 21);
    // The next checkpoint counts from 0 again.
    write(&mut *sink, &["y"]);
    assert_eq!(
        seal(&mut *sink, 2)[0].committable["final"],
        "part-00000002-003-000.jsonl"
    );
}

#[test]
fn at_least_once_is_visible_from_the_barrier_on_and_never_in_the_way() {
    let f = Fixture::with(|o| o.guarantee = SinkGuarantee::AtLeastOnce);
    assert_eq!(f.sink.guarantee(), SinkGuarantee::AtLeastOnce);
    for (attempt, rows) in [(1, "first\n"), (2, "again\n")] {
        // Checkpoint 5 fails after the barrier; the next attempt takes its number again.
        let mut sink = f.writer(attempt, 0);
        write(&mut *sink, &[rows.trim_end()]);
        assert!(seal(&mut *sink, 5).is_empty());
        write(&mut *sink, &["lost with the process, written again"]);
        drop(sink);
        f.sink.recover(&[]).unwrap();
        let (_, content) = f.visible().pop().unwrap();
        assert_eq!(content, rows);
    }
    let expected = [
        ("part-00000005-000-000.jsonl", "first\n"),
        ("part-00000005-000-001.jsonl", "again\n"),
    ];
    assert_eq!(f.visible(), files(&expected));
    assert_eq!(f.content().len(), 2);
}

#[test]
fn a_moved_folder_is_recovered_where_it_is_now() {
    let f = Fixture::new();
    let mut sink = f.writer(1, 0);
    write(&mut *sink, &["1"]);
    let held = seal(&mut *sink, 1);
    let moved = f.dir.path().join("moved");
    fs::rename(f.folder(), &moved).unwrap();
    let options = FileSinkOptions {
        folder: moved,
        ..(*f.sink.options).clone()
    };
    let f = Fixture {
        sink: FileSink::new(options).unwrap(),
        dir: f.dir,
    };
    assert_eq!(f.sink.recover(&held).unwrap().committed, 1);
    assert_eq!(
        f.visible(),
        files(&[("part-00000001-000-000.jsonl", "1\n")])
    );
}

#[test]
fn a_folder_that_cannot_be_written_to_is_refused_before_the_start() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for folder in ["file", "file/below"] {
        let options = FileSinkOptions {
            job: Name::new("job").unwrap(),
            sink: Name::new("out").unwrap(),
            folder: dir.path().join(folder),
            ext: "jsonl".into(),
            guarantee: SinkGuarantee::ExactlyOnce,
            roll_bytes: None,
        };
        let sink = FileSink::new(options.clone()).unwrap();
        let shown = options.folder.display().to_string();
        let looked = sink.check();
        for result in [looked, sink.probe(), sink.recover(&[]).map(drop)] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(&shown) && error.contains("`out`"), "{error}");
            assert!(error.contains("is a file"), "{error}");
        }
        let bad = FileSinkOptions {
            ext: "a/b".into(),
            ..options
        };
        assert!(
            FileSink::new(bad)
                .unwrap_err()
                .to_string()
                .contains("`a/b` is not an ending")
        );
    }
}

#[test]
fn a_sink_that_wrote_nothing_yet_has_nothing() {
    let dir = TempDir::new().unwrap();
    let f = Fixture::with(|o| o.folder = dir.path().join("out"));
    fs::remove_dir(f.folder()).unwrap();
    let existing = f.sink.existing().unwrap();
    assert_eq!((existing.committed, existing.last_checkpoint), (0, None));
    assert!(!f.folder().exists(), "a look creates nothing");
    f.sink.clear().unwrap();
}
