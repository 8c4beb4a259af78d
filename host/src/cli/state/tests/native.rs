//! State in RocksDB's own files: what is said of it, and that it is read as other state is.

use weir_checkpoint::FileRef;
use weir_state::{OperatorState, SnapshotRequest, StateFileWriter};
use weir_state_rocksdb::{RocksDb, RocksDbOptions};

use super::{super::ls, *};

/// Writes it as a native savepoint.
fn write_native(made: &Made, max: u32, folder: &Path) {
    let databases = RocksDb::new(RocksDbOptions {
        memory_bytes: 8 << 20,
        local_dir: folder.parent().unwrap().to_owned(),
    });
    let mut metadata = metadata(max, made.json_keys);
    let max = MaxParallelism::new(max).unwrap();
    let two = Parallelism::new(2).unwrap();
    for subtask in two.subtasks() {
        let range = max.range_of(subtask, two).unwrap();
        let mut backend = databases.create("test", decls(), range).unwrap();
        fill(made, max, range, &mut backend);
        let request = SnapshotRequest::full(CheckpointId(7), ProcessingTime(1));
        let mut writer = StateFileWriter::new();
        let snapshot = backend.snapshot(&request).unwrap();
        writer.add(&name(), &decls(), snapshot).unwrap();
        let mut saved = unkeyed(made, subtask);
        let raw = std::mem::take(&mut saved.raw);
        let mut state = OperatorState::new(&decls());
        state.restore(saved).unwrap();
        writer
            .add_operator_state(&name(), &decls(), state.snapshot(), raw)
            .unwrap();
        let file = writer.finish().unwrap();
        let path = format!("count/{subtask}/state");
        fs::create_dir_all(folder.join(&path).parent().unwrap()).unwrap();
        fs::write(folder.join(&path), &file.out).unwrap();
        let operator = metadata.operators.get_mut(&name()).unwrap();
        operator.subtasks[subtask.index()].file = Some(FileRef {
            path,
            length: file.length,
            crc32c: file.crc32c,
        });
    }
    fs::write(folder.join("_metadata"), metadata.encode().unwrap()).unwrap();
}

/// The rows, without the line that says what they are rows of.
fn rows(folder: &Path) -> Vec<String> {
    exported(folder).split_off(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn its_rows_are_those_of_a_canonical_savepoint(made in made()) {
        let dir = tempfile::tempdir().unwrap();
        let (canonical, native) = (dir.path().join("canonical"), dir.path().join("native"));
        write(&made, 8, &canonical);
        write_native(&made, 8, &native);
        prop_assert_eq!(rows(&native), rows(&canonical));
        // So it may become one, and be divided anew.
        import(&exported(&native), dir.path(), "imported").unwrap();
        prop_assert_eq!(rows(&dir.path().join("imported")), rows(&canonical));
        let to = dir.path().join("rekeyed");
        let rekey = Rekey { path: native.clone(), max_parallelism: 100, to: to.clone() };
        rekey.make(&saved(&native, &shared()).unwrap(), &shared()).unwrap();
        let sorted = |folder: &Path| {
            let mut rows = rows(folder);
            rows.sort();
            rows
        };
        prop_assert_eq!(sorted(&to), sorted(&canonical));
    }
}

#[test]
fn how_many_rows_it_has_is_not_known_before_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("native");
    write_native(&some(), 8, &folder);
    let saved = saved(&folder, &shared()).unwrap();
    let listed = ls::listed(&saved).unwrap();
    let states = listed[0]["states"].as_array().unwrap();
    for state in states {
        let is_keyed =
            ["sum", "seen", "by-day", "weir.timers"].contains(&state["state"].as_str().unwrap());
        assert_eq!(state["rows"].is_null(), is_keyed, "{state}");
    }
    let text = ls::text(&saved, &listed);
    assert_eq!(text.matches("in files of its backend").count(), 4, "{text}");
}

#[test]
fn what_is_damaged_of_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("native");
    write_native(&some(), 8, &folder);
    let file = folder.join("count/0/state");
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    let saved = saved(&folder, &shared()).unwrap();
    let mut content = Content::open(&saved, &name()).unwrap();
    let range = content.ranges()[0];
    let problem = content.entries(range).unwrap_err();
    assert!(problem.what.contains("checksum"), "{problem:?}");
}
