//! Metadata there and back, damaged in every way, and as released.

use proptest::prelude::*;
use serde_json::json;
use weir_model::Name;

use super::*;

const FIXTURE: &str = include_str!("../../fixtures/metadata-v1");
const FIXTURE_2: &str = include_str!("../../fixtures/metadata-v2");

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn file(path: &str, length: u64) -> FileRef {
    FileRef {
        path: path.into(),
        length,
        crc32c: 0x00ab_cdef,
    }
}

fn sample() -> Metadata {
    let state = StateMeta {
        name: "last".into(),
        kind: "value".into(),
        format: "utf8".into(),
        version: 2,
    };
    let operator = OperatorMeta {
        parallelism: Parallelism::new(2).unwrap(),
        states: vec![state],
        keys: vec![],
        subtasks: vec![
            SubtaskMeta {
                file: Some(file("count/0/state", 4711)),
                shared: vec![],
                channels: None,
                finished: false,
            },
            SubtaskMeta {
                file: None,
                shared: vec![],
                channels: None,
                finished: true,
            },
        ],
    };
    let chained = OperatorMeta {
        states: vec![],
        ..operator.clone()
    };
    let source = SourceMeta {
        enumerator: json!({ "finished": ["a.csv"], "pending": [], "v": 1 }),
        open: vec![OpenSplit {
            id: "b.csv".into(),
            position: json!({ "offset": 17, "v": 1 }),
        }],
        ended: vec!["c.csv".into()],
    };
    let transaction = |n: u64| Transaction {
        checkpoint: CheckpointId(n),
        started: ProcessingTime(1_700_000_000_000),
        committables: vec![json!({ "final": format!("part-{n:08}-000-000.jsonl"), "v": 1 })],
    };
    Metadata {
        job: name("flights"),
        checkpoint: CheckpointId(7),
        kind: CheckpointKind::Periodic,
        savepoint: None,
        created: ProcessingTime(1_700_000_000_123),
        attempt: Attempt(3),
        max_parallelism: MaxParallelism::new(128).unwrap(),
        operators: BTreeMap::from([(name("count"), operator), (name("format"), chained)]),
        sources: BTreeMap::from([(name("rows"), source)]),
        sinks: BTreeMap::from([
            (name("out"), vec![transaction(6), transaction(7)]),
            (name("quiet"), vec![]),
        ]),
    }
}

/// As `sample`, with a file that builds on two others.
fn incremental() -> Metadata {
    let mut metadata = sample();
    for operator in metadata.operators.values_mut() {
        let subtask = &mut operator.subtasks[0];
        subtask.file = Some(file("../shared/count/0/7-3", 4711));
        subtask.shared = vec![
            file("../shared/count/0/5-2", 100),
            file("../shared/count/0/6-3", 10),
        ];
    }
    metadata
}

/// Gives JSON the right first line.
fn sealed(body: &str) -> Vec<u8> {
    let mut bytes = header(1, crc32c::crc32c(body.as_bytes()), body.len() as u64).into_bytes();
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

#[test]
fn version_1_is_written_and_read_as_released() {
    assert_eq!(
        String::from_utf8(sample().encode().unwrap()).unwrap(),
        FIXTURE
    );
    assert_eq!(Metadata::decode(FIXTURE.as_bytes()), Ok(sample()));
}

#[test]
fn version_2_names_shared_files_and_is_written_only_for_them() {
    let metadata = incremental();
    assert_eq!(
        String::from_utf8(metadata.encode().unwrap()).unwrap(),
        FIXTURE_2
    );
    assert_eq!(Metadata::decode(FIXTURE_2.as_bytes()), Ok(metadata.clone()));
    let shared: Vec<_> = metadata.shared().iter().map(SharedFile::path).collect();
    let written = ["5-2", "6-3", "7-3"].map(|n| format!("../shared/count/0/{n}"));
    assert_eq!(shared, written);
    assert!(sample().shared().is_empty());
    // An older host would take what it cannot read for damage, and go back behind it.
    for (text, other) in [(FIXTURE, "v2 "), (FIXTURE_2, "v1 ")] {
        let other = text.replacen("v1 ", other, 1).replacen("v2 ", other, 1);
        assert!(other != text);
        let error = Metadata::decode(other.as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("not of their version"),
            "{error}"
        );
    }
}

#[test]
fn keys_are_there_where_they_are_known() {
    let mut metadata = sample();
    let count = metadata.operators.get_mut("count").unwrap();
    count.keys = vec![Some("csv columns 0".into()), None];
    let bytes = metadata.encode().unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains("\"csv columns 0\",\n        null"), "{text}");
    assert_eq!(Metadata::decode(&bytes), Ok(metadata));
}

#[test]
fn files_that_operators_share_are_listed_once() {
    let metadata = sample();
    assert_eq!(metadata.files(), [&file("count/0/state", 4711)]);
    assert_eq!(metadata.committables("out").len(), 2);
    assert_eq!(metadata.committables("nobody"), [json!(null); 0]);
}

#[test]
fn any_flipped_bit_is_an_error() {
    let good = sample().encode().unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(
            Metadata::decode(&bad).is_err(),
            "bit {} of byte {}",
            bit % 8,
            bit / 8
        );
    }
}

#[test]
fn any_truncation_is_told_from_damage() {
    let good = sample().encode().unwrap();
    for length in 0..good.len() {
        let error = Metadata::decode(&good[..length]).unwrap_err();
        assert!(
            matches!(error, MetadataError::Truncated { .. }),
            "{length}: {error}"
        );
    }
    let mut long = good;
    long.push(b'\n');
    assert!(matches!(
        Metadata::decode(&long),
        Err(MetadataError::Malformed(_))
    ));
}

#[test]
fn each_damage_has_its_own_error() {
    let good = String::from_utf8(sample().encode().unwrap()).unwrap();
    let of = |text: String| Metadata::decode(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        of("%PDF-1.7".into()),
        "these are not the metadata of a checkpoint"
    );
    assert_eq!(of(format!("{MAGIC}1{}", " ".repeat(200))), of("\0".into()));
    assert_eq!(
        of(good.replace("v1 ", "v3 ")),
        "the metadata have version 3, this host reads up to 2"
    );
    assert!(of(good.replace("4711", "4712")).contains("damaged: their checksum is"));
    assert!(of(good.replace("length=", "length=0")).contains("misspelled"));
    assert!(of(good.replace("v1 ", "v01 ")).contains("misspelled"));
    assert!(of(good.replace("v1 ", "v0 ")).contains("misspelled"));
    assert!(of(good.replace("crc32c=", "crc=")).contains("unreadable"));
}

#[test]
fn what_is_intact_and_makes_no_sense_is_refused() {
    let body = FIXTURE.split_once('\n').unwrap().1;
    assert!(Metadata::decode(&sealed(body)).is_ok());
    for (from, to, expected) in [
        ("\"flights\"", "\"Flights\"", "`Flights` is not a name"),
        ("\"count\"", "\"a/b\"", "`a/b` is not a name"),
        (
            "\"parallelism\": 2",
            "\"parallelism\": 3",
            "count has parallelism 3 and 2 subtasks",
        ),
        (
            "\"max_parallelism\": 128",
            "\"max_parallelism\": 1",
            "count has parallelism 2, the max",
        ),
        (
            "\"max_parallelism\": 128",
            "\"max_parallelism\": 0",
            "0 is out of bounds",
        ),
        (
            "count/0/state",
            "../0/state",
            "`../0/state` is not a path in a checkpoint",
        ),
        (
            "count/0/state",
            "../shared/count/0/7",
            "`../shared/count/0/7` is not a path in a checkpoint",
        ),
        (
            "\"finished\": false",
            "\"finished\": false, \"shared\": [{\"path\": \"count/0/x\", \"length\": 1, \
             \"crc32c\": \"00000000\"}]",
            "`count/0/x` is not the path of a shared file",
        ),
        ("count/0/state", "/etc/passwd", "is not a path"),
        ("count/0/state", "count//state", "is not a path"),
        ("count/0/state", "c:/state", "is not a path"),
        (
            "00abcdef",
            "00ABCDEF",
            "`00ABCDEF` is not the checksum of `count/0/state`",
        ),
        (
            "\"attempt\": 3",
            "\"attempt\": 3, \"channels\": []",
            "unknown field `channels`",
        ),
        (
            "\"periodic\"",
            "\"sometimes\"",
            "unknown variant `sometimes`",
        ),
        ("\"attempt\": 3", "\"attempt\": -3", "invalid value"),
    ] {
        assert!(body.contains(from), "{from}");
        let error = Metadata::decode(&sealed(&body.replace(from, to)))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
    let once = body.replacen("4711", "4712", 1);
    let error = Metadata::decode(&sealed(&once)).unwrap_err().to_string();
    assert!(
        error.contains("`count/0/state` has two lengths or checksums"),
        "{error}"
    );
}

#[test]
fn what_is_unknown_under_a_right_checksum_is_of_a_newer_host() {
    let body = FIXTURE.split_once('\n').unwrap().1;
    for (from, to) in [
        ("\"attempt\": 3", "\"attempt\": 3, \"channels\": []"),
        ("\"length\": 4711", "\"length\": 4711, \"parent\": 6"),
        ("\"periodic\"", "\"sometimes\""),
    ] {
        let bytes = sealed(&body.replace(from, to));
        assert!(bytes != FIXTURE.as_bytes(), "{from}");
        let error = Metadata::decode(&bytes).unwrap_err();
        assert!(matches!(error, MetadataError::Unknown(_)), "{to}: {error}");
        let flipped = String::from_utf8(bytes).unwrap().replace("rows", "rowz");
        let error = Metadata::decode(flipped.as_bytes()).unwrap_err();
        assert!(matches!(error, MetadataError::Corrupt { .. }), "{error}");
    }
    let bytes = sealed(&body.replace("\"attempt\": 3", "\"attempt\": \"unknown field \""));
    let error = Metadata::decode(&bytes).unwrap_err();
    assert!(matches!(error, MetadataError::Invalid(_)), "{error}");
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let mut metadata = sample();
    metadata.operators.get_mut("count").unwrap().subtasks.pop();
    assert!(matches!(metadata.encode(), Err(MetadataError::Invalid(_))));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

fn any_name() -> impl Strategy<Value = Name> {
    "[a-z][a-z0-9-]{0,62}".prop_map(|text| name(&text))
}

fn any_file(path: &'static str) -> impl Strategy<Value = FileRef> {
    // A length and checksum that follow from the path, so that equal paths are equal files.
    path.prop_map(|path| FileRef {
        crc32c: crc32c::crc32c(path.as_bytes()),
        length: u64::MAX - path.len() as u64,
        path,
    })
}

prop_compose! {
    fn any_subtask()(
        file in prop::option::of(any_file("([a-z]{1,3}/[0-9]|\\.\\./shared/[a-z]/0/[1-9]-1)")),
        shared in prop::collection::vec(any_file("\\.\\./shared/[a-z]/0/[1-9]-1"), 0..3),
        channels in prop::option::of(any_file("[a-z]{1,3}/[0-9]/channels")),
        finished in any::<bool>(),
    ) -> SubtaskMeta {
        SubtaskMeta { file, shared, channels, finished }
    }
}

prop_compose! {
    fn any_operator()(
        states in prop::collection::vec((any::<[String; 3]>(), any::<u32>()), 0..3),
        keys in prop::collection::vec(any::<Option<String>>(), 0..3),
        subtasks in prop::collection::vec(any_subtask(), 1..5),
    ) -> OperatorMeta {
        let state = |([name, kind, format], version): ([String; 3], u32)| StateMeta {
            name,
            kind,
            format,
            version,
        };
        let parallelism = Parallelism::new(subtasks.len() as u32).unwrap();
        OperatorMeta {
            parallelism,
            states: states.into_iter().map(state).collect(),
            keys,
            subtasks,
        }
    }
}

prop_compose! {
    fn any_source()(
        enumerator in any_json(),
        open in prop::collection::vec((any::<String>(), any_json()), 0..3),
        ended in prop::collection::vec(any::<String>(), 0..3),
    ) -> SourceMeta {
        let open = open.into_iter().map(|(id, position)| OpenSplit { id, position }).collect();
        SourceMeta { enumerator, open, ended }
    }
}

prop_compose! {
    fn any_transaction()(
        checkpoint in any::<u64>(),
        started in any::<i64>(),
        committables in prop::collection::vec(any_json(), 0..3),
    ) -> Transaction {
        let (checkpoint, started) = (CheckpointId(checkpoint), ProcessingTime(started));
        Transaction { checkpoint, started, committables }
    }
}

prop_compose! {
    fn any_metadata()(
        job in any_name(),
        numbers in any::<(u64, i64, u32)>(),
        kind in prop::sample::select(vec![
            CheckpointKind::Periodic,
            CheckpointKind::Manual,
            CheckpointKind::Savepoint,
            CheckpointKind::Stop,
            CheckpointKind::Final,
        ]),
        format in prop::option::of(prop::sample::select(vec![
            SavepointFormat::Canonical,
            SavepointFormat::Native,
        ])),
        max in 5..=32768u32,
        operators in prop::collection::btree_map(any_name(), any_operator(), 0..3),
        sources in prop::collection::btree_map(any_name(), any_source(), 0..3),
        sinks in prop::collection::btree_map(
            any_name(),
            prop::collection::vec(any_transaction(), 0..3),
            0..3,
        ),
    ) -> Metadata {
        Metadata {
            job,
            checkpoint: CheckpointId(numbers.0),
            kind,
            savepoint: match kind {
                CheckpointKind::Savepoint => format.or(Some(SavepointFormat::Canonical)),
                CheckpointKind::Periodic
                | CheckpointKind::Manual
                | CheckpointKind::Stop
                | CheckpointKind::Final => format,
            },
            created: ProcessingTime(numbers.1),
            attempt: Attempt(numbers.2),
            max_parallelism: MaxParallelism::new(max).unwrap(),
            operators,
            sources,
            sinks,
        }
    }
}

#[test]
fn a_savepoint_says_its_format() {
    let savepoint = |savepoint| Metadata {
        kind: CheckpointKind::Savepoint,
        savepoint,
        ..sample()
    };
    let text = savepoint(Some(SavepointFormat::Native)).encode().unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("\"kind\": \"savepoint\",\n  \"savepoint\": \"native\""),
        "{text}"
    );
    assert!(matches!(
        savepoint(None).encode(),
        Err(MetadataError::Invalid(_))
    ));
    // What was written before there were savepoints is read as before, and written so.
    let text = String::from_utf8(sample().encode().unwrap()).unwrap();
    assert!(!text.contains("savepoint"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(metadata in any_metadata()) {
        let bytes = metadata.encode().unwrap();
        prop_assert_eq!(Metadata::decode(&bytes), Ok(metadata));
    }

    #[test]
    fn any_flip_and_any_cut_of_any_metadata_is_an_error(
        metadata in any_metadata(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let bytes = metadata.encode().unwrap();
        let at = at.index(bytes.len());
        prop_assert!(Metadata::decode(&bytes[..at]).is_err());
        let mut flipped = bytes;
        flipped[at] ^= 1 << bit;
        prop_assert!(Metadata::decode(&flipped).is_err());
    }

    #[test]
    fn no_bytes_are_too_odd_to_be_refused(
        line in "weir-metadata v[0-9]{1,3}( [ -~]{0,40})?",
        rest in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = line.into_bytes();
        bytes.push(b'\n');
        bytes.extend(rest);
        prop_assert!(Metadata::decode(&bytes).is_err());
    }
}
