//! What windows keep: the key, and the window beside it.

use serde_json::json;
use weir_operator::Window;

use super::*;
use crate::saved::hex;

/// A minute before the epoch, and all of time.
const WINDOWS: [Window; 2] = [
    Window {
        start: -60_000,
        end: 0,
    },
    Window::GLOBAL,
];

/// Makes a savepoint in which `UA` has a number in both windows, and `DL` in the first one.
fn write_windows(folder: &Path) {
    let mut metadata = metadata(8, false);
    let operator = metadata.operators.get_mut(&name()).unwrap();
    operator.states = vec![StateMeta {
        name: StateDecl::WINDOW_ACCUMULATORS.into(),
        kind: StateKind::Value.as_str().into(),
        format: "i64-le".into(),
        version: 1,
    }];
    let decls = [StateDecl {
        name: StateDecl::WINDOW_ACCUMULATORS.into(),
        kind: StateKind::Value,
        format: "i64-le".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    }];
    let (max, two) = (metadata.max_parallelism, Parallelism::new(2).unwrap());
    let mut new = NewSavepoint::begin(&local(folder), metadata, &Stores::default()).unwrap();
    for subtask in two.subtasks() {
        let range = max.range_of(subtask, two).unwrap();
        let mut backend = HeapBackend::new(decls.to_vec(), range).unwrap();
        for (key, window) in [("UA", 0u8), ("UA", 1), ("DL", 0)] {
            let key = [&[2], key.as_bytes()].concat();
            let group = max.key_group_of(hash64(&key));
            let mut block = Vec::new();
            let held = Held::Cell(i64::from(window).to_le_bytes().to_vec());
            let kept = [&key[..], &WINDOWS[usize::from(window)].encode()].concat();
            held.write(&kept, &mut block);
            if range.contains(group) {
                backend.load(StateIndex(0), group, &block).unwrap();
            }
        }
        let unkeyed = SavedOperatorState::default();
        new.add(&name(), subtask, &decls, &mut backend, unkeyed)
            .unwrap();
    }
    new.finish(true).unwrap();
}

#[test]
fn what_windows_keep_of_a_key_is_found_by_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sp");
    write_windows(&folder);
    let get = |key: &str| Get {
        path: folder.clone(),
        operator: "count".into(),
        parts: vec![key.into()],
        hex: None,
        state: None,
        component: None,
    };
    let (_, rows) = get("UA").rows(&shared()).unwrap();
    let values: Vec<_> = rows.iter().map(|row| row["value"].clone()).collect();
    assert_eq!(values, [1, 0], "{rows:?}");
    assert_eq!(get("DL").rows(&shared()).unwrap().1.len(), 1);
    assert_eq!(get("U").rows(&shared()).unwrap_err().exit, Exit::Usage);
    let of_rows = |member: &str| -> Vec<_> { rows.iter().map(|row| row[member].clone()).collect() };
    assert_eq!(of_rows("key"), [json!(["UA"]), json!(["UA"])]);
    assert_eq!(of_rows("window"), [json!("global"), json!([-60_000, 0])]);
}

#[test]
fn what_windows_keep_is_read_back_with_their_bounds_or_as_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sp");
    write_windows(&folder);
    let all = exported(&folder);
    let said = |window: &str| {
        let edited = |line: &String| line.replace("[-60000,0]", window);
        let edited: Vec<_> = all.iter().map(edited).collect();
        import(&edited, dir.path(), "other").unwrap_err().message
    };
    for wrong in ["[-60000]", "[0,\"1\"]", "\"all\"", "7"] {
        let told = said(wrong);
        assert!(told.contains("`window` is a list of two times"), "{told}");
    }
    let without: Vec<_> = all
        .iter()
        .map(|line| line.replace(",\"window\":[-60000,0]", ""))
        .collect();
    let refused = import(&without, dir.path(), "other").unwrap_err();
    assert!(
        refused.message.contains("is kept by windows"),
        "{refused:?}"
    );
    import(&all, dir.path(), "again").unwrap();
    assert_eq!(exported(&dir.path().join("again")), all);
    // Also all of it in bytes.
    let bytes = |line: &String| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        if row["window"] == json!([-60_000, 0]) {
            let key = row["key"][0].as_str().unwrap().as_bytes();
            row["key"] = hex(&[&[2], key, &WINDOWS[0].encode()].concat());
            row.as_object_mut().unwrap().remove("window");
        }
        row.to_string()
    };
    let in_bytes: Vec<_> = all.iter().map(bytes).collect();
    assert_ne!(in_bytes, all);
    import(&in_bytes, dir.path(), "bytes").unwrap();
    assert_eq!(exported(&dir.path().join("bytes")), all);
}
