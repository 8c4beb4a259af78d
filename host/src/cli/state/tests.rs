//! Tests of the verbs on state: savepoints made by hand, exported, edited, imported, divided anew.

mod native;
mod windows;

use std::{fs, path::Path};

use proptest::prelude::*;
use serde_json::Value;
use weir_checkpoint::{CheckpointKind, Metadata, OperatorMeta, StateMeta, SubtaskMeta};
use weir_model::{
    Attempt, CheckpointId, Column, KeyGroupRange, MaxParallelism, Name, Parallelism,
    ProcessingTime, SubtaskIndex, hash64,
};
use weir_state::{
    Backend, HeapBackend, SavedOperatorState, SavedState, StateDecl, StateIndex, StateKind,
    TimerKind, When,
};

use super::{export::Export, get::Get, import::Import, rekey::Rekey, *};
use crate::{
    cli::Output,
    saved::{Content, Held, NewSavepoint, Verified, verify},
    storage::Stores,
};

type Bytes = Vec<u8>;

/// What a savepoint is made of.
#[derive(Clone, Debug)]
struct Made {
    json_keys: bool,
    values: Vec<(Bytes, Bytes)>,
    lists: Vec<(Bytes, Vec<Bytes>)>,
    maps: Vec<(Bytes, Vec<(Bytes, Bytes)>)>,
    items: Vec<Vec<Bytes>>,
    timers: Vec<(Bytes, Vec<When>)>,
    broadcast: Vec<(Bytes, Bytes)>,
    raw: Vec<Bytes>,
}

const STATES: [(&str, StateKind, &str); 5] = [
    ("sum", StateKind::Value, "i64-le"),
    ("seen", StateKind::List, "utf8"),
    ("by-day", StateKind::Map, "utf8->json"),
    ("held", StateKind::OperatorList, "raw"),
    ("rules", StateKind::Broadcast, "utf8->utf8"),
];

fn shared() -> Shared {
    Shared {
        output: Output::Text,
        cache_dir: None,
        config: crate::config::Config::default(),
        stores: std::sync::Arc::default(),
        terminal: false,
        perf_map: false,
    }
}

fn name() -> Name {
    Name::new("count").unwrap()
}

fn decls() -> Vec<StateDecl> {
    let decl = |(name, kind, format): (&str, StateKind, &str)| StateDecl {
        name: name.into(),
        kind,
        format: format.into(),
        version: 1,
        prefetch: false,
        ttl: None,
    };
    let states = STATES.into_iter().map(decl);
    states.chain([StateDecl::timers()]).collect()
}

fn metadata(max: u32, json_keys: bool) -> Metadata {
    let state = |decl: StateDecl| StateMeta {
        name: decl.name,
        kind: decl.kind.as_str().into(),
        format: decl.format,
        version: 1,
    };
    let subtask = || SubtaskMeta {
        file: None,
        shared: Vec::new(),
        channels: None,
        finished: false,
    };
    let keys = if json_keys {
        "json /a"
    } else {
        "csv columns 0"
    };
    let operator = OperatorMeta {
        parallelism: Parallelism::new(2).unwrap(),
        states: decls().into_iter().map(state).collect(),
        keys: vec![Some(keys.into())],
        subtasks: vec![subtask(), subtask()],
    };
    Metadata {
        job: Name::new("flights").unwrap(),
        checkpoint: CheckpointId(7),
        kind: CheckpointKind::Stop,
        savepoint: None,
        created: ProcessingTime(1),
        attempt: Attempt(1),
        max_parallelism: MaxParallelism::new(max).unwrap(),
        operators: [(name(), operator)].into(),
        sources: [].into(),
        sinks: [].into(),
    }
}

fn local(path: &Path) -> Folder {
    Folder::Local(path.to_owned())
}

/// Writes it as a savepoint.
fn write(made: &Made, max: u32, folder: &Path) {
    let mut new = NewSavepoint::begin(
        &local(folder),
        metadata(max, made.json_keys),
        &Stores::default(),
    )
    .unwrap();
    let (max, two) = (
        MaxParallelism::new(max).unwrap(),
        Parallelism::new(2).unwrap(),
    );
    for subtask in two.subtasks() {
        let range = max.range_of(subtask, two).unwrap();
        let mut backend = HeapBackend::new(decls(), range).unwrap();
        fill(made, max, range, &mut backend);
        let unkeyed = unkeyed(made, subtask);
        new.add(&name(), subtask, &decls(), &mut backend, unkeyed)
            .unwrap();
    }
    new.finish(true).unwrap();
}

/// Puts what belongs to keys of a range into a backend.
fn fill(made: &Made, max: MaxParallelism, range: KeyGroupRange, backend: &mut dyn Backend) {
    let cells = made
        .values
        .iter()
        .map(|(k, v)| (0, k, Held::Cell(v.clone())));
    let lists = made
        .lists
        .iter()
        .map(|(k, v)| (1, k, Held::List(v.clone())));
    let maps = made.maps.iter().map(|(k, v)| (2, k, Held::Map(v.clone())));
    let timers = made.timers.iter();
    let timers = timers.map(|(k, v)| (5, k, Held::Timers(v.clone())));
    for (state, key, held) in cells.chain(lists).chain(maps).chain(timers) {
        let group = max.key_group_of(hash64(key));
        let mut block = Vec::new();
        held.write(key, &mut block);
        if range.contains(group) {
            backend.load(StateIndex(state), group, &block).unwrap();
        }
    }
}

/// What belongs to no key.
fn unkeyed(made: &Made, subtask: SubtaskIndex) -> SavedOperatorState {
    let saved = |at: usize| SavedState {
        name: STATES[at].0.into(),
        kind: STATES[at].1,
        format: STATES[at].2.into(),
        version: 1,
        ttl: None,
        rows: 0,
    };
    let mut unkeyed = SavedOperatorState::default();
    let items = made.items.get(subtask.index()).into_iter().flatten();
    unkeyed.set_list(saved(3), items.map(Vec::as_slice).collect::<Column>());
    let entries = made.broadcast.iter();
    let entries: Vec<_> = entries.map(|(k, v)| (k.as_slice(), v.as_slice())).collect();
    unkeyed.set_entries(saved(4), &entries).unwrap();
    unkeyed.raw = made.raw.clone();
    unkeyed
}

fn exported(folder: &Path) -> Vec<String> {
    let export = Export {
        path: folder.to_owned(),
        operator: None,
        component: None,
    };
    let mut lines = Vec::new();
    let saved = saved(folder, &shared()).unwrap();
    export
        .lines(&saved, &shared(), &mut |line| lines.push(line.to_string()))
        .unwrap();
    lines
}

fn import(lines: &[String], dir: &Path, to: &str) -> Result<u64, Trouble> {
    let rows = dir.join("rows.jsonl");
    fs::write(&rows, lines.join("\n")).unwrap();
    let to = dir.join(to);
    Import { rows, to }.make(&shared()).map(|(_, count)| count)
}

fn key() -> impl Strategy<Value = Bytes> {
    // Parts after their lengths, and any bytes.
    prop_oneof![
        "[a-c]{0,3}".prop_map(|text| [&[text.len() as u8], text.as_bytes()].concat()),
        "[a-c]{0,3}".prop_map(|text| [&[text.len() as u8 + 1, b's'], text.as_bytes()].concat()),
        prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..9),
        "[a-c]{0,3}".prop_map(String::into_bytes),
        any::<i64>().prop_map(|n| n.to_le_bytes().to_vec()),
    ]
}

fn timers() -> impl Strategy<Value = Vec<When>> {
    let kind = prop::sample::select(TimerKind::ALL.to_vec());
    let when = (kind, prop_oneof![0..3i64, any::<i64>()]);
    let when = when.prop_map(|(kind, at)| When { kind, at });
    prop::collection::btree_set(when, 1..4).prop_map(|all| all.into_iter().collect())
}

fn made() -> impl Strategy<Value = Made> {
    let map = || prop::collection::btree_map(bytes(), bytes(), 1..4);
    (
        any::<bool>(),
        prop::collection::btree_map(key(), bytes(), 0..9),
        prop::collection::btree_map(key(), prop::collection::vec(bytes(), 1..4), 0..5),
        prop::collection::btree_map(key(), map(), 0..5),
        prop::collection::vec(prop::collection::vec(bytes(), 0..4), 2),
        prop::collection::btree_map(key(), timers(), 0..5),
        map(),
        prop::collection::vec(bytes(), 0..3),
    )
        .prop_map(
            |(json_keys, values, lists, maps, items, timers, broadcast, raw)| Made {
                json_keys,
                values: values.into_iter().collect(),
                lists: lists.into_iter().collect(),
                maps: maps
                    .into_iter()
                    .map(|(key, map)| (key, map.into_iter().collect()))
                    .collect(),
                items,
                timers: timers.into_iter().collect(),
                broadcast: broadcast.into_iter().collect(),
                raw,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_exported_and_imported_is_the_same(made in made()) {
        let dir = tempfile::tempdir().unwrap();
        let first = dir.path().join("first");
        write(&made, 8, &first);
        let lines = exported(&first);
        import(&lines, dir.path(), "second").unwrap();
        let second = dir.path().join("second");
        prop_assert_eq!(exported(&second), lines);
        let whole = matches!(verify(&local(&second), &Stores::default()), Verified::Whole(_));
        prop_assert!(whole);
    }

    #[test]
    fn what_is_divided_anew_and_back_is_the_same(made in made(), max in 2_u32..300) {
        let dir = tempfile::tempdir().unwrap();
        let first = dir.path().join("first");
        write(&made, 8, &first);
        let rekey = |from: &Path, to: &str, max: u32| {
            let to = dir.path().join(to);
            let rekey = Rekey { path: from.to_owned(), max_parallelism: max, to: to.clone() };
            rekey.make(&saved(from, &shared()).unwrap(), &shared()).unwrap();
            to
        };
        let other = rekey(&first, "other", max);
        // It is checked that each key lies in its group.
        let whole = matches!(verify(&local(&other), &Stores::default()), Verified::Whole(_));
        prop_assert!(whole);
        let saved = saved(&other, &shared()).unwrap();
        let mut content = Content::open(&saved, &name()).unwrap();
        let max = MaxParallelism::new(max).unwrap();
        for range in content.ranges() {
            for entry in content.entries(range).unwrap() {
                prop_assert_eq!(entry.group, max.key_group_of(hash64(&entry.key)).0);
            }
        }
        let back = rekey(&other, "back", 8);
        prop_assert_eq!(exported(&back), exported(&first));
    }
}

fn some() -> Made {
    let key = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    Made {
        json_keys: false,
        values: vec![
            (key("UA"), 17i64.to_le_bytes().to_vec()),
            (key("DL"), (-3i64).to_le_bytes().to_vec()),
        ],
        lists: vec![(key("UA"), vec![b"a".to_vec(), b"b".to_vec()])],
        maps: vec![(key("UA"), vec![(b"mon".to_vec(), b"3".to_vec())])],
        items: vec![vec![vec![0]], vec![]],
        timers: vec![(
            key("DL"),
            vec![
                When {
                    kind: TimerKind::EventTime,
                    at: -1,
                },
                When {
                    kind: TimerKind::ProcessingTime,
                    at: 7,
                },
            ],
        )],
        broadcast: vec![(b"a".to_vec(), b"b".to_vec())],
        raw: vec![],
    }
}

#[test]
fn rows_of_a_part_make_no_savepoint() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sp");
    write(&some(), 8, &folder);
    let export = Export {
        path: folder.clone(),
        operator: Some("count".into()),
        component: None,
    };
    let mut lines = Vec::new();
    let saved = saved(&folder, &shared()).unwrap();
    export
        .lines(&saved, &shared(), &mut |line| lines.push(line.to_string()))
        .unwrap();
    let refused = import(&lines, dir.path(), "new").unwrap_err();
    assert_eq!((refused.code, refused.exit), (NO_ROWS, Exit::Usage));
    assert!(
        refused.message.contains("needs all of the state"),
        "{refused:?}"
    );
    assert!(!dir.path().join("new").exists());
    // Rows may be left out of a whole one: what is not there is not in the savepoint.
    let all = exported(&folder);
    let fewer: Vec<String> = all
        .iter()
        .filter(|line| !line.contains(r#""key":["DL"]"#))
        .cloned()
        .collect();
    // Its sum, and its timers.
    assert_eq!(fewer.len(), all.len() - 2);
    import(&fewer, dir.path(), "fewer").unwrap();
    // The first line says how long the files are.
    assert_eq!(exported(&dir.path().join("fewer"))[1..], fewer[1..]);
}

#[test]
fn rows_are_shown_by_their_formats() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sp");
    write(&some(), 8, &folder);
    let lines = exported(&folder);
    let head: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(head["metadata"]["job"], "flights");
    for line in [
        r#"{"key":["UA"],"operator":"count","state":"sum","value":17}"#,
        r#"{"key":["DL"],"operator":"count","state":"sum","value":-3}"#,
        r#"{"elements":["a","b"],"key":["UA"],"operator":"count","state":"seen"}"#,
        r#"{"entries":[["mon",3]],"key":["UA"],"operator":"count","state":"by-day"}"#,
        r#"{"key":["DL"],"operator":"count","state":"weir.timers","timers":[["event-time",-1],["processing-time",7]]}"#,
        r#"{"elements":[{"$hex":"00"}],"operator":"count","state":"held","subtask":0}"#,
        r#"{"entries":[["a","b"]],"operator":"count","state":"rules","subtask":1}"#,
    ] {
        let wanted: Value = serde_json::from_str(line).unwrap();
        let has = |line: &String| serde_json::from_str::<Value>(line).unwrap() == wanted;
        assert!(lines.iter().any(has), "{line} in {lines:#?}");
    }
}

/// Lines that fit nothing, and what is said of them.
const WRONG: &[(&str, &str)] = &[
    ("{", "this is no JSON"),
    (r#"{"state":"sum"}"#, "it names no `operator`"),
    (r#"{"operator":"x"}"#, "operator `x` has no state"),
    (r#"{"operator":"count","state":"x"}"#, "has no state `x`"),
    (
        r#"{"operator":"count","state":"sum","value":1}"#,
        "it has no `key`",
    ),
    (
        r#"{"operator":"count","state":"sum","key":["a"]}"#,
        "it has no `value`",
    ),
    (
        r#"{"operator":"count","state":"sum","key":["a"],"window":[0,1],"value":1}"#,
        "is not kept by windows",
    ),
    (
        r#"{"operator":"count","state":"sum","key":"a","value":1}"#,
        "is no key",
    ),
    (
        r#"{"operator":"count","state":"sum","key":["a"],"value":"b"}"#,
        "is not what this format",
    ),
    (
        r#"{"operator":"count","state":"sum","key":["a"],"value":{"$hex":"0"}}"#,
        "hexadecimal",
    ),
    (
        r#"{"operator":"count","state":"held","elements":[]}"#,
        "`subtask` is a number below",
    ),
    (
        r#"{"operator":"count","state":"by-day","key":["a"],"entries":[["k",1],["k",2]]}"#,
        "a map key is there twice",
    ),
    (
        r#"{"operator":"count","state":"weir.timers","key":["a"],"timers":[["event-time",1],["event-time",1]]}"#,
        "a timer is there twice",
    ),
    (
        r#"{"operator":"count","state":"weir.timers","key":["a"],"timers":[["noon",1]]}"#,
        "a timer is a list of",
    ),
];

#[test]
fn lines_that_make_no_savepoint_are_told_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sp");
    let raw = vec![b"own".to_vec()];
    write(&Made { raw, ..some() }, 8, &folder);
    let lines = exported(&folder);
    for (line, message) in WRONG {
        let mut lines = lines.clone();
        lines.push((*line).to_owned());
        let trouble = import(&lines, dir.path(), "new").unwrap_err();
        assert!(
            trouble.message.contains(message),
            "{line}: {}",
            trouble.message
        );
        let place = format!("rows.jsonl:{}: ", lines.len());
        assert!(trouble.message.contains(&place), "{}", trouble.message);
        assert!(!dir.path().join("new").exists(), "{line}");
    }
    // What is there twice is found when it is put where it belongs.
    for (what, message) in [
        ("\"state\":\"sum\"", "this key was there before"),
        (
            "\"state\":\"held\"",
            "this state of this subtask was there before",
        ),
        ("\"raw\":", "what this subtask saved was there before"),
    ] {
        let again = lines.iter().find(|line| line.contains(what)).unwrap();
        let twice = [lines.as_slice(), std::slice::from_ref(again)].concat();
        let to = format!("twice-{}", message.len());
        let trouble = import(&twice, dir.path(), &to).unwrap_err();
        assert!(trouble.message.contains(message), "{}", trouble.message);
        assert!(!dir.path().join(to).join("_metadata").exists());
    }
    // Nothing is written over.
    import(&lines, dir.path(), "new").unwrap();
    let trouble = import(&lines, dir.path(), "new").unwrap_err();
    assert!(
        trouble.message.contains("is there already"),
        "{}",
        trouble.message
    );
}

#[test]
fn a_damaged_file_is_told_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sp");
    write(&some(), 8, &folder);
    let file = folder.join("count/0/state");
    let whole = fs::read(&file).unwrap();
    let bytes = whole.len();
    for at in (8..bytes).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 16;
        fs::write(&file, damaged).unwrap();
        let saved = saved(&folder, &shared()).unwrap();
        let export = Export {
            path: folder.clone(),
            operator: None,
            component: None,
        };
        let trouble = export.lines(&saved, &shared(), &mut |_| ()).unwrap_err();
        assert_eq!(trouble.code, DAMAGED);
        assert!(
            trouble.message.contains("count/0/state"),
            "{at}: {}",
            trouble.message
        );
    }
}
