//! Files that refer to others: what they claim of them is not believed either.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};
use weir_model::{CheckpointId, KeyGroup, ProcessingTime};

use super::{
    super::{
        MAGIC, Reference, TRAILER,
        footer::{BlobEntry, BlockEntry, FileEntry, Footer, NativeEntry},
    },
    all_decls, backend, decls, fill, filled_operator,
    liars::{block, footer, sealed},
    name, range, raw, request,
};
use crate::{
    Backend, Chain, Error, HeapBackend, NativeFiles, NativeReaders, Snapshot, SnapshotRequest,
    SnapshotSink, StateFile, StateFileReader, StateFileWriter, StateIndex,
};

/// A full row of the key `k`: no namespace, the value `v`.
const ROW: [u8; 5] = [1, b'k', 0, 1, b'v'];

/// The file that others refer to: one row.
fn older() -> Vec<u8> {
    sealed(&ROW, &footer(0, &[block(&ROW, 5)]))
}

fn entry(bytes: &[u8]) -> FileEntry {
    FileEntry {
        path: "../shared/op/0/1-1".into(),
        length: bytes.len() as u64,
        crc: crc32c::crc32c(bytes),
    }
}

/// A file of these bytes, with these blocks, that refers to the older one.
fn newer(data: &[u8], state: usize, blocks: &[BlockEntry]) -> Vec<u8> {
    let mut footer = footer(state, blocks);
    footer.files = vec![entry(&older())];
    sealed(data, &footer)
}

/// The block of the older file.
fn kept() -> BlockEntry {
    BlockEntry {
        file: 1,
        ..block(&ROW, 5)
    }
}

fn delta(data: &[u8]) -> BlockEntry {
    BlockEntry {
        delta: true,
        ..block(data, data.len() as u32)
    }
}

/// Loads a file that refers to the older one.
fn load(file: Vec<u8>) -> Result<u64, Error> {
    let mut reader = StateFileReader::open(file)?;
    if reader.references().next().is_some() {
        reader.refer(0, Arc::new(older()))?;
    }
    let mut whole = backend(range(0, 9));
    reader.load(&name("op"), &mut whole, range(0, 9), ProcessingTime(0))
}

#[track_caller]
fn damaged(file: Vec<u8>, why: &str) {
    match load(file) {
        Err(Error::Damaged(what)) => assert!(what.contains(why), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_lies_in_another_file_is_read_from_there() {
    assert_eq!(load(newer(&[], 0, &[kept()])), Ok(1));
    // The key is removed, another is put.
    let changes = [1, b'k', 0, 0, 1, b'l', 0, 1, 1, b'w', 1, b'm', 0, 1, 0];
    assert_eq!(load(newer(&changes, 0, &[kept(), delta(&changes)])), Ok(2));
}

#[test]
fn a_file_that_was_not_given_or_is_another_is_an_error() {
    let file = newer(&[], 0, &[kept()]);
    let mut reader = StateFileReader::open(file.clone()).unwrap();
    let reference = reader.references().next().unwrap();
    let Reference {
        path,
        length,
        crc32c,
    } = reference;
    let known = entry(&older());
    assert_eq!(
        (path, length, crc32c),
        (known.path, known.length, known.crc)
    );
    let mut whole = backend(range(0, 9));
    let missing = reader.load(&name("op"), &mut whole, range(0, 9), ProcessingTime(0));
    assert!(matches!(missing, Err(Error::Damaged(_))), "{missing:?}");
    let shorter = Arc::new(older()[1..].to_vec());
    let refused = reader.refer(0, shorter);
    assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");
    let refused = reader.refer(1, Arc::new(older()));
    assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");
    // Whoever opens files checks them; a block has a checksum of its own all the same.
    let mut other = older();
    other[MAGIC.len()] ^= 1;
    reader.refer(0, Arc::new(other)).unwrap();
    let damaged = reader.load(&name("op"), &mut whole, range(0, 9), ProcessingTime(0));
    assert!(matches!(damaged, Err(Error::Damaged(_))), "{damaged:?}");
}

#[test]
fn claims_about_other_files_are_checked() {
    let of = |block: BlockEntry| newer(&[], 0, &[block]);
    damaged(of(BlockEntry { file: 2, ..kept() }), "not named");
    damaged(
        of(BlockEntry {
            file: u32::MAX,
            ..kept()
        }),
        "not named",
    );
    let offset = older().len() as u64 - TRAILER as u64;
    damaged(of(BlockEntry { offset, ..kept() }), "outside the file");
    damaged(
        of(BlockEntry {
            offset: 0,
            ..kept()
        }),
        "outside the file",
    );
    damaged(newer(&[], 0, &vec![kept(); 100]), "over each other");
    let mut twice = footer(0, &[]);
    twice.files = vec![entry(&older()), entry(&older())];
    damaged(sealed(&[], &twice), "is named twice");
    let mut short = footer(0, &[kept()]);
    short.files = vec![FileEntry {
        length: 3,
        ..entry(&older())
    }];
    damaged(sealed(&[], &short), "outside the file");
    let mut raw = footer(0, &[]);
    raw.files = vec![entry(&older())];
    raw.operators[0].raw = vec![BlockEntry { group: 0, ..kept() }];
    damaged(sealed(&[], &raw), "belongs to no key");
}

#[test]
fn changes_that_make_no_sense_are_refused() {
    for (state, changes) in [
        (0, &[1, b'k', 0, 4][..]),
        (0, &[1, b'k', 0]),
        (0, &[1, b'k', 1, b'n', 0]),
        // What is asked of one kind and done to another.
        (0, &[1, b'k', 0, 2, 0, 0]),
        (0, &[1, b'k', 0, 3, 0]),
        (1, &[1, b'k', 0, 1, 0]),
        (1, &[1, b'k', 0, 3, 0]),
        (2, &[1, b'k', 0, 2, 0, 0]),
        // An entry that is neither put nor removed.
        (2, &[1, b'k', 0, 3, 1, 1, b'e', 2]),
        // More elements stay than this delta has left of them.
        (1, &[1, b'k', 0, 2, 0, 1, 1, b'e', 1, b'k', 0, 2, 2, 0]),
    ] {
        damaged(newer(changes, state, &[delta(changes)]), "cannot be read");
    }
    // More elements stay than the full rows have.
    let changes = [1, b'k', 0, 2, 3, 0];
    damaged(
        newer(&changes, 1, &[delta(&changes)]),
        "keeps 3 elements and has 0",
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changes_are_loaded_or_an_error(
        state in 0..3usize,
        on_top in any::<bool>(),
        changes in vec(prop_oneof![6 => 0..4u8, 1 => Just(b'k'), 1 => any::<u8>()], 0..60),
    ) {
        let blocks = [kept(), delta(&changes)];
        let blocks = &blocks[usize::from(!on_top || state > 0)..];
        let loaded = load(newer(&changes, state, blocks));
        prop_assert!(matches!(loaded, Ok(_) | Err(Error::Damaged(_))), "{loaded:?}");
    }
}

/// A native snapshot: some files and a note.
struct Native(Vec<(&'static str, Vec<u8>)>, &'static [&'static str]);

impl Snapshot for Native {
    fn write(self: Box<Self>, sink: &mut dyn SnapshotSink) -> Result<(), Error> {
        assert_eq!(sink.chain(StateIndex(0), KeyGroup(3)), Chain::default());
        for (name, bytes) in &self.0 {
            sink.blob(name, bytes.len() as u64, &mut bytes.as_slice())?;
        }
        for name in self.1 {
            assert_eq!(sink.keep_blob(name)?, sink.base().is_some(), "{name}");
        }
        sink.note(b"a note")
    }
}

/// Writes a native snapshot.
fn native(writer: StateFileWriter, snapshot: Native) -> Result<StateFile, Error> {
    let mut writer = writer;
    writer.add(&name("op"), &decls(), Box::new(snapshot))?;
    writer.finish()
}

#[test]
fn native_files_are_written_kept_and_read_back() {
    let first = native(
        StateFileWriter::new(),
        Native(
            vec![("1.sst", vec![1; 5000]), ("2.sst", vec![2; 10])],
            &["0.sst"],
        ),
    )
    .unwrap();
    let index = Arc::new(first.index("../shared/op/0/1-1"));
    let writer = StateFileWriter::on(CheckpointId(1), index);
    let snapshot = Native(vec![("3.sst", Vec::new())], &["1.sst"]);
    let second = native(writer, snapshot).unwrap();
    assert_eq!(second.references.len(), 1);
    assert!(second.length < 500, "{}", second.length);
    let mut reader = StateFileReader::open(second.out).unwrap();
    reader.refer(0, Arc::new(first.out)).unwrap();
    let refused = reader.load(
        &name("op"),
        &mut backend(range(0, 9)),
        range(0, 9),
        ProcessingTime(0),
    );
    assert_eq!(refused, Err(Error::OtherBackend));
    let mut files = NativeReaders::of(&name("op"), vec![(range(0, 9), &reader)]).unwrap();
    let part = &files.parts()[0];
    assert_eq!(
        (part.note.as_slice(), part.states.len()),
        (&b"a note"[..], 3)
    );
    let names = [("3.sst".to_owned(), 0), ("1.sst".to_owned(), 5000)];
    assert_eq!(part.blobs, names);
    let mut out = Vec::new();
    files.read(0, "1.sst", &mut out).unwrap();
    assert_eq!(out, vec![1; 5000]);
    for (part, name) in [(0, "2.sst"), (1, "1.sst")] {
        let missing = files.read(part, name, &mut Vec::new());
        assert!(matches!(missing, Err(Error::Damaged(_))), "{missing:?}");
    }
    let mut heap = backend(range(0, 9));
    let refused = heap.import(&mut files);
    assert_eq!(refused, Err(Error::OtherBackend));
}

#[test]
fn native_files_are_as_long_as_they_say_and_are_named_once() {
    let twice = Native(vec![("1.sst", vec![1]), ("1.sst", vec![1])], &[]);
    let refused = native(StateFileWriter::new(), twice).unwrap_err();
    let name = "1.sst".to_owned();
    assert_eq!(refused, Error::DuplicateName { name });
    struct Short(u64);
    impl Snapshot for Short {
        fn write(self: Box<Self>, sink: &mut dyn SnapshotSink) -> Result<(), Error> {
            sink.blob("1.sst", self.0, &mut &b"four"[..])
        }
    }
    for length in [3, 5] {
        let mut writer = StateFileWriter::new();
        let refused = writer.add(&super::name("op"), &decls(), Box::new(Short(length)));
        assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");
    }
    let blob = |name: &str| BlobEntry {
        name: name.into(),
        file: 0,
        offset: MAGIC.len() as u64,
        length: 4,
        crc: crc32c::crc32c(b"four"),
    };
    let of = |blobs: Vec<BlobEntry>| {
        let mut footer: Footer = footer(0, &[]);
        footer.operators[0].native = Some(NativeEntry {
            note: Vec::new(),
            blobs,
        });
        StateFileReader::open(sealed(b"four", &footer))
    };
    let reader = of(vec![blob("a")]).unwrap();
    let op = super::name("op");
    assert_eq!(reader.read_native(&op, "a", &mut Vec::new()), Ok(()));
    let mut wrong = blob("a");
    wrong.crc ^= 1;
    let reader = of(vec![wrong]).unwrap();
    let damaged = reader.read_native(&op, "a", &mut Vec::new());
    assert!(matches!(damaged, Err(Error::Damaged(_))), "{damaged:?}");
    for (blobs, why) in [
        (vec![blob("a"), blob("a")], "is in it twice"),
        (vec![blob("a"), blob("b")], "over each other"),
        (
            vec![BlobEntry {
                length: u64::MAX,
                ..blob("a")
            }],
            "outside the file",
        ),
        (
            vec![BlobEntry {
                file: 1,
                ..blob("a")
            }],
            "not named",
        ),
    ] {
        let error = of(blobs).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// A full file, and one that has a delta on top of it, keeps the rest, and has state of all kinds.
fn increments() -> [StateFile; 2] {
    let mut backend = HeapBackend::new(all_decls(), range(0, 9)).unwrap();
    fill(&mut backend);
    let mut take = |writer: StateFileWriter, base: Option<u64>| {
        let mut writer = writer;
        let snapshot = backend.snapshot(&SnapshotRequest {
            id: CheckpointId(base.map_or(1, |base| base + 1)),
            base: base.map(CheckpointId),
            tracked: true,
            ..request()
        });
        writer
            .add(&name("op"), &all_decls(), snapshot.unwrap())
            .unwrap();
        super::touch(&mut backend);
        let own = filled_operator(&all_decls()).snapshot();
        writer
            .add_operator_state(&name("op"), &all_decls(), own, raw())
            .unwrap();
        writer.finish().unwrap()
    };
    let first = take(StateFileWriter::new(), None);
    let index = Arc::new(first.index("../shared/op/0/1-1"));
    let second = take(StateFileWriter::on(CheckpointId(1), index), Some(1));
    [first, second]
}

/// All that can be learnt from the second of two files.
fn content(first: &[u8], second: Vec<u8>) -> Result<Vec<u8>, Error> {
    let mut reader = StateFileReader::open(second)?;
    for n in 0..reader.references().count() {
        reader.refer(n, Arc::new(first.to_vec()))?;
    }
    let mut whole = HeapBackend::new(all_decls(), range(0, 9)).unwrap();
    reader.load(&name("op"), &mut whole, range(0, 9), ProcessingTime(0))?;
    reader.operator_state(&name("op"))?;
    Ok(super::save("op", &mut whole).out)
}

#[test]
fn a_flipped_byte_anywhere_in_an_increment_is_an_error_or_no_matter() {
    let [first, second] = increments().map(|file| file.out);
    let whole = content(&first, second.clone()).unwrap();
    for at in MAGIC.len()..second.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut bad = second.clone();
            bad[at] ^= bits;
            assert!(content(&first, bad).is_err(), "byte {at}");
        }
    }
    for at in 0..first.len() {
        let mut bad = first.clone();
        bad[at] ^= 0x10;
        if let Ok(same) = content(&bad, second.clone()) {
            assert_eq!(same, whole, "byte {at}");
        }
    }
}

#[test]
fn files_of_version_3_are_read() {
    let fixtures = [
        include_bytes!("version-3-full.state").to_vec(),
        include_bytes!("version-3-increment.state").to_vec(),
    ];
    let [first, second] = &fixtures;
    assert_eq!((first[first.len() - 12], second[second.len() - 12]), (3, 3));
    let now = increments().map(|file| file.out);
    assert!(content(first, second.clone()).is_ok());
    assert_eq!(
        content(first, second.clone()),
        content(&now[0], now[1].clone()),
        "what is read from what was written then is what is read from what is written now"
    );
}
