//! State files: case C04, what damage does, and what a restore reads.

mod liars;
mod references;

use std::{cell::RefCell, ops::Range};

use proptest::prelude::*;
use weir_model::{
    CheckpointId, Column, KeyGroup, KeyGroupRange, MaxParallelism, OperatorName, OptionalColumn,
    ProcessingTime, hash64,
};

use super::*;
use crate::{
    Backend, HeapBackend, KeyBatch, ListWrites, MapWrites, OperatorState, SavedOperatorState,
    SnapshotRequest, StateDecl, StateIndex, StateKind, ValueWrites, Which, Writes,
};

const VALUE: StateIndex = StateIndex(0);

fn decl(name: &str, kind: StateKind) -> StateDecl {
    StateDecl {
        name: name.into(),
        kind,
        format: "raw".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    }
}

fn decls() -> Vec<StateDecl> {
    vec![
        decl("value", StateKind::Value),
        decl("list", StateKind::List),
        decl("map", StateKind::Map),
    ]
}

fn operator_decls() -> Vec<StateDecl> {
    vec![
        decl("even", StateKind::OperatorList),
        decl("union", StateKind::OperatorUnion),
        decl("broadcast", StateKind::Broadcast),
    ]
}

/// States of all kinds.
fn all_decls() -> Vec<StateDecl> {
    [decls(), operator_decls()].concat()
}

fn range(start: u16, end: u16) -> KeyGroupRange {
    KeyGroupRange {
        start: KeyGroup(start),
        end: KeyGroup(end),
    }
}

fn name(text: &str) -> OperatorName {
    OperatorName::new(text).unwrap()
}

/// Int keys as case C04 has them: their key groups are those of their Java hash.
struct Ints {
    ints: Vec<i32>,
    keys: Column,
    hashes: Vec<u64>,
    groups: Vec<KeyGroup>,
}

impl Ints {
    fn of(ints: impl IntoIterator<Item = i32>) -> Self {
        let ints: Vec<i32> = ints.into_iter().collect();
        let ten = MaxParallelism::new(10).unwrap();
        let mut keys = Column::new();
        ints.iter().for_each(|i| keys.push(&i.to_be_bytes()));
        Self {
            hashes: keys.iter().map(hash64).collect(),
            groups: ints.iter().map(|&i| ten.key_group_of_code(i)).collect(),
            keys,
            ints,
        }
    }

    fn within(range: KeyGroupRange) -> Self {
        let ten = MaxParallelism::new(10).unwrap();
        Self::of((0..20).filter(|&i| range.contains(ten.key_group_of_code(i))))
    }

    fn batch(&self) -> KeyBatch<'_> {
        KeyBatch {
            keys: self.keys.view(),
            hashes: &self.hashes,
            groups: &self.groups,
        }
    }
}

fn write_values(backend: &mut HeapBackend, ints: &Ints) -> Result<(), Error> {
    let mut values = ValueWrites::default();
    for (index, int) in (0..).zip(&ints.ints) {
        values.keys.push(index);
        values.values.push(Some(format!("x{int}").as_bytes()));
    }
    let writes = Writes {
        values: vec![(VALUE, values)],
        ..Writes::default()
    };
    backend.apply(&ints.batch(), &writes)
}

/// Which of 0..20 a backend holds; their values are checked.
fn held(backend: &mut HeapBackend) -> Vec<i32> {
    let ints = Ints::within(backend.key_groups());
    let mut out = OptionalColumn::new();
    backend
        .get_values(VALUE, &ints.batch(), Which::All, &mut out)
        .unwrap();
    let mut held = Vec::new();
    for (&int, value) in ints.ints.iter().zip(out.iter()) {
        if let Some(value) = value {
            assert_eq!(value, format!("x{int}").as_bytes());
            held.push(int);
        }
    }
    held
}

fn save(operator: &str, backend: &mut HeapBackend) -> StateFile {
    let mut writer = StateFileWriter::new();
    let snapshot = backend.snapshot(&request()).unwrap();
    writer
        .add(&name(operator), backend.states(), snapshot)
        .unwrap();
    writer.finish().unwrap()
}

fn backend(range: KeyGroupRange) -> HeapBackend {
    HeapBackend::new(decls(), range).unwrap()
}

fn filled(range: KeyGroupRange) -> HeapBackend {
    let mut backend = backend(range);
    write_values(&mut backend, &Ints::within(range)).unwrap();
    backend
}

fn restore(file: &[u8], into: &mut HeapBackend) -> Result<u64, Error> {
    let range = into.key_groups();
    StateFileReader::open(file.to_vec())?.load(&name("op"), into, range, ProcessingTime(0))
}

/// A full checkpoint.
fn request() -> SnapshotRequest {
    SnapshotRequest::full(CheckpointId(1), ProcessingTime(0))
}

#[test]
fn c04_split_a_keyed_snapshot() {
    let file = save("op", &mut filled(range(0, 9))).out;
    for (part, expected) in [
        (range(0, 3), &[2, 7, 9, 11, 13, 14, 15, 16, 17, 18][..]),
        (range(4, 6), &[0, 3, 4, 5, 6, 8, 12]),
        (range(7, 9), &[1, 10, 19]),
    ] {
        let mut backend = backend(part);
        let entries = restore(&file, &mut backend).unwrap();
        assert_eq!(entries, expected.len() as u64);
        assert_eq!(held(&mut backend), expected);
    }
}

#[test]
fn c04_two_halves_make_a_whole() {
    let mut whole = backend(range(0, 9));
    for half in [range(0, 4), range(5, 9)] {
        let file = save("op", &mut filled(half)).out;
        restore(&file, &mut whole).unwrap();
    }
    assert_eq!(held(&mut whole), (0..20).collect::<Vec<_>>());
}

#[test]
fn c04_what_is_asked_for_of_files_that_overlap_is_all_that_comes() {
    let mut whole = backend(range(0, 9));
    for (saved, asked) in [
        (range(0, 6), range(0, 4)),
        (range(3, 9), range(5, 9)),
        // Nothing of the file, and groups that it does not have.
        (range(0, 2), range(3, 9)),
    ] {
        let file = save("op", &mut filled(saved)).out;
        let reader = StateFileReader::open(file).unwrap();
        let entries = reader
            .load(&name("op"), &mut whole, asked, ProcessingTime(0))
            .unwrap();
        let inside = |&group: &KeyGroup| saved.contains(group) && asked.contains(group);
        let expected = Ints::of(0..20).groups.iter().filter(|g| inside(g)).count();
        assert_eq!(entries, expected as u64);
    }
    assert_eq!(held(&mut whole), (0..20).collect::<Vec<_>>());
}

#[test]
fn c04_groups_that_a_backend_does_not_hold_are_not_loaded_into_it() {
    let file = save("op", &mut filled(range(0, 9))).out;
    let reader = StateFileReader::open(file).unwrap();
    let mut part = backend(range(0, 3));
    let loaded = reader.load(&name("op"), &mut part, range(0, 9), ProcessingTime(0));
    assert!(matches!(loaded, Err(Error::KeyGroup { .. })), "{loaded:?}");
}

#[test]
fn c04_a_key_of_another_range_is_an_error() {
    let mut part = backend(range(0, 3));
    let refused = Error::KeyGroup {
        group: KeyGroup(4),
        range: range(0, 3),
    };
    assert_eq!(write_values(&mut part, &Ints::of([2, 0])), Err(refused));
    assert_eq!(held(&mut part), []);
}

/// A small file with something of every keyed kind.
fn small_file() -> Vec<u8> {
    let mut backend = backend(range(0, 9));
    fill(&mut backend);
    save("op", &mut backend).out
}

/// Writes something of every keyed kind.
fn fill(backend: &mut HeapBackend) {
    let ints = Ints::of(0..4);
    let mut writes = Writes::default();
    let mut values = ValueWrites::default();
    let mut lists = ListWrites::default();
    let mut maps = MapWrites::default();
    for key in 0..4 {
        values.keys.push(key);
        values.values.push(Some(&[b'v'; 40]));
        lists.keys.push(key);
        lists.replace.push(0);
        lists.lists.elements.push(b"element");
        lists.lists.ends.push(key + 1);
        maps.keys.push(key);
        maps.map_keys.push(b"map key");
        maps.values.push(Some(b"value"));
    }
    writes.values.push((StateIndex(0), values));
    writes.lists.push((StateIndex(1), lists));
    writes.maps.push((StateIndex(2), maps));
    backend.apply(&ints.batch(), &writes).unwrap();
}

/// Changes something of every keyed kind: a key is written, one removed, the others stay.
fn touch(backend: &mut HeapBackend) {
    let ints = Ints::of(0..4);
    let mut writes = Writes::default();
    let mut values = ValueWrites::default();
    values.keys.extend([0, 1]);
    values.values.push(Some(&[b'w'; 40]));
    values.values.push(None);
    let mut lists = ListWrites::default();
    lists.keys.push(2);
    lists.replace.push(0);
    lists.lists.elements.push(b"another");
    lists.lists.ends.push(1);
    let mut maps = MapWrites::default();
    maps.clear.push(3);
    maps.keys.push(3);
    maps.map_keys.push(b"another");
    maps.values.push(Some(b"value"));
    writes.values.push((StateIndex(0), values));
    writes.lists.push((StateIndex(1), lists));
    writes.maps.push((StateIndex(2), maps));
    backend.apply(&ints.batch(), &writes).unwrap();
}

/// State without keys among `decls`, with something of every kind.
fn filled_operator(decls: &[StateDecl]) -> OperatorState {
    let mut state = OperatorState::new(decls);
    state.begin(true);
    for (index, decl) in (0..).map(StateIndex).zip(decls) {
        if decl.kind == StateKind::Broadcast {
            let keys: Column = [&b"a"[..], b"b", b"c"].into_iter().collect();
            let mut values = OptionalColumn::new();
            keys.iter().for_each(|key| values.push(Some(&[key[0]; 30])));
            state.map_put(index, keys.view(), &values).unwrap();
        } else if !decl.kind.is_keyed() {
            let items = [&b"first item"[..], b"", &[7; 60]];
            state.list_set(index, items.into_iter().collect()).unwrap();
        }
    }
    state.commit();
    state
}

fn raw() -> Vec<Vec<u8>> {
    vec![b"raw".to_vec(), Vec::new(), vec![9; 50]]
}

/// A file of state without keys.
fn save_operator(state: &OperatorState, raw: Vec<Vec<u8>>) -> Vec<u8> {
    let mut writer = StateFileWriter::new();
    writer
        .add_operator_state(&name("op"), &operator_decls(), state.snapshot(), raw)
        .unwrap();
    writer.finish().unwrap().out
}

/// A small file with something of every kind, keyed and not, and raw state.
fn mixed_file() -> Vec<u8> {
    let mut backend = HeapBackend::new(all_decls(), range(0, 9)).unwrap();
    fill(&mut backend);
    let snapshot = backend.snapshot(&request()).unwrap();
    let mut writer = StateFileWriter::new();
    writer.add(&name("op"), &all_decls(), snapshot).unwrap();
    let snapshot = filled_operator(&all_decls()).snapshot();
    writer
        .add_operator_state(&name("op"), &all_decls(), snapshot, raw())
        .unwrap();
    writer.finish().unwrap().out
}

/// What was saved without keys, as text.
fn told(saved: &SavedOperatorState) -> String {
    let mut told = String::new();
    for state in saved.states() {
        let list: Option<Vec<_>> = saved.list(&state.name).map(Iterator::collect);
        let entries: Option<Vec<_>> = saved.entries(&state.name).map(Iterator::collect);
        told += &format!("{state:?}: {list:?} {entries:?}\n");
    }
    told + &format!("{:?}", saved.raw)
}

/// All that can be learnt from a file.
fn content(file: Vec<u8>) -> Result<(String, Vec<u8>), Error> {
    let reader = StateFileReader::open(file)?;
    let mut whole = HeapBackend::new(all_decls(), range(0, 9)).unwrap();
    let mut all = String::new();
    let operators: Vec<OperatorName> = reader.operators().cloned().collect();
    for operator in operators {
        all += &format!("{operator}: {:?}", reader.states(&operator));
        reader.load(&operator, &mut whole, range(0, 9), ProcessingTime(0))?;
        all += &told(&reader.operator_state(&operator)?);
    }
    Ok((all, save("op", &mut whole).out))
}

#[test]
fn a_flipped_byte_anywhere_is_an_error_or_no_matter() {
    let file = mixed_file();
    let whole = content(file.clone()).unwrap();
    let mut found = 0;
    for at in 0..file.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut bad = file.clone();
            bad[at] ^= bits;
            match content(bad) {
                Ok(same) => assert_eq!(same, whole, "byte {at}"),
                Err(_) => found += 1,
            }
        }
    }
    // Only the magic at the beginning is not looked at by a restore.
    assert_eq!(found, (file.len() - MAGIC.len()) * 3);
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let file = mixed_file();
    for len in 0..file.len() {
        let error = content(file[..len].to_vec()).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "{len}: {error}");
        let error = content(file[file.len() - len..].to_vec()).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "last {len}: {error}");
    }
}

#[test]
fn only_a_file_with_timers_asks_for_a_host_that_knows_them() {
    let operator = OperatorName::new("op").unwrap();
    for (decls, version) in [
        (decls(), WITHOUT_TIMERS),
        (
            vec![decl("value", StateKind::Value), StateDecl::timers()],
            VERSION,
        ),
    ] {
        let range = KeyGroupRange {
            start: KeyGroup(0),
            end: KeyGroup(0),
        };
        let mut backend = HeapBackend::new(decls.clone(), range).unwrap();
        let request = SnapshotRequest::full(CheckpointId(1), ProcessingTime(0));
        let snapshot = backend.snapshot(&request).unwrap();
        let mut writer = StateFileWriter::new();
        writer.add(&operator, &decls, snapshot).unwrap();
        let file = writer.finish().unwrap().out;
        assert_eq!(u32::from(file[file.len() - 12]), version);
        let reader = StateFileReader::open(file).unwrap();
        let kinds = reader.states(&operator).unwrap();
        assert!(
            kinds
                .iter()
                .map(|s| s.kind)
                .eq(decls.iter().map(|d| d.kind))
        );
    }
}

#[test]
fn a_file_of_a_newer_version_says_so() {
    let mut file = mixed_file();
    let at = file.len() - 12;
    assert_eq!(file[at], WITHOUT_TIMERS as u8);
    file[at] = VERSION as u8 + 1;
    let newer = Error::NewerFormat {
        found: VERSION + 1,
        known: VERSION,
    };
    assert_eq!(content(file).unwrap_err(), newer);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_between_magic_and_magic_do_not_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        seal in any::<bool>(),
        version in 1..=VERSION,
    ) {
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&body);
        if seal {
            // A footer with the right checksum, so that the decoder sees it.
            file.extend_from_slice(&(body.len() as u32).to_le_bytes());
            file.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
            file.extend_from_slice(&version.to_le_bytes());
            file.extend_from_slice(MAGIC);
        }
        let _ = content(file);
    }

    #[test]
    fn several_damaged_bytes_are_an_error_or_no_matter(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let file = mixed_file();
        let mut bad = file.clone();
        for (at, byte) in damage {
            let at = at.index(bad.len());
            bad[at] = byte;
        }
        if let Ok(same) = content(bad) {
            prop_assert_eq!(same, content(file).unwrap());
        }
    }
}

#[test]
fn a_file_of_version_1_is_read() {
    let file = include_bytes!("tests/version-1.state").to_vec();
    assert_eq!(file[file.len() - 12], 1);
    let reader = StateFileReader::open(file.clone()).unwrap();
    let saved = reader.states(&name("op")).unwrap();
    assert_eq!(saved.iter().map(|s| s.rows).collect::<Vec<_>>(), [4, 4, 4]);
    let without_keys = reader.operator_state(&name("op")).unwrap();
    assert_eq!(told(&without_keys), "[]");
    assert_eq!(content(file), content(small_file()));
}

#[test]
fn a_file_of_version_2_is_read() {
    let file = include_bytes!("tests/version-2.state").to_vec();
    assert_eq!(file[file.len() - 12], 2);
    assert_eq!(content(file), content(mixed_file()));
}

#[test]
fn keyed_state_and_state_without_keys_share_a_file_in_any_order() {
    let file = mixed_file();
    let mut backend = HeapBackend::new(all_decls(), range(0, 9)).unwrap();
    fill(&mut backend);
    let mut writer = StateFileWriter::new();
    let snapshot = filled_operator(&all_decls()).snapshot();
    writer
        .add_operator_state(&name("op"), &all_decls(), snapshot, raw())
        .unwrap();
    let snapshot = backend.snapshot(&request()).unwrap();
    writer.add(&name("op"), &all_decls(), snapshot).unwrap();
    let again = writer.add(
        &name("op"),
        &all_decls(),
        backend.snapshot(&request()).unwrap(),
    );
    let twice = Error::DuplicateOperator { name: "op".into() };
    assert_eq!(again, Err(twice));
    let other = writer.finish().unwrap().out;
    assert_eq!(content(file.clone()), content(other));
    let reader = StateFileReader::open(file).unwrap();
    let saved = reader.states(&name("op")).unwrap();
    let rows: Vec<u64> = saved.iter().map(|saved| saved.rows).collect();
    assert_eq!(rows, [4, 4, 4, 3, 3, 3]);
    assert_eq!(
        reader.load(&name("op"), &mut backend, range(0, 0), ProcessingTime(0)),
        Ok(0)
    );
    let saved = reader.operator_state(&name("op")).unwrap();
    assert_eq!(saved.raw, raw());
    let mut state = OperatorState::new(&all_decls());
    state.restore(saved).unwrap();
    let filled = filled_operator(&all_decls());
    for index in [3, 4].map(StateIndex) {
        let (mut restored, mut expected) = (Column::new(), Column::new());
        state.list_get(index, &mut restored).unwrap();
        filled.list_get(index, &mut expected).unwrap();
        assert_eq!(restored, expected);
    }
    let nothing = reader.operator_state(&name("three")).unwrap();
    assert_eq!(told(&nothing), "[]");
}

#[test]
fn the_file_is_as_long_and_has_the_checksum_that_it_says() {
    let file = save("op", &mut filled(range(0, 9)));
    let bytes = file.out;
    assert_eq!(file.length, bytes.len() as u64);
    assert_eq!(file.crc32c, crc32c::crc32c(&bytes));
}

#[test]
fn several_operators_share_a_file_and_keep_apart() {
    let mut writer = StateFileWriter::new();
    let mut first = filled(range(0, 4));
    let mut second = filled(range(5, 9));
    for (operator, backend) in [("one", &mut first), ("two", &mut second)] {
        let snapshot = backend.snapshot(&request()).unwrap();
        writer.add(&name(operator), &decls(), snapshot).unwrap();
    }
    let again = writer.add(&name("one"), &decls(), first.snapshot(&request()).unwrap());
    let twice = Error::DuplicateOperator { name: "one".into() };
    assert_eq!(again, Err(twice));
    let file = writer.finish().unwrap().out;
    let reader = StateFileReader::open(file).unwrap();
    let operators: Vec<_> = reader.operators().cloned().collect();
    assert_eq!(operators, [name("one"), name("two")]);
    for (operator, expected) in operators.iter().zip([&mut first, &mut second]) {
        let mut whole = backend(range(0, 9));
        reader
            .load(operator, &mut whole, range(0, 9), ProcessingTime(0))
            .unwrap();
        let mut all = held(&mut whole);
        all.retain(|&int| held(expected).contains(&int));
        assert_eq!(all, held(expected));
        assert_eq!(held(&mut whole), all);
    }
    assert_eq!(reader.states(&name("three")), None);
    let mut whole = backend(range(0, 9));
    assert_eq!(
        reader.load(&name("three"), &mut whole, range(0, 9), ProcessingTime(0)),
        Ok(0)
    );
}

#[test]
fn a_restore_of_some_groups_reads_only_those() {
    let mut big = HeapBackend::new(decls(), range(0, 9)).unwrap();
    let ints = Ints::of(0..20_000);
    write_values(&mut big, &ints).unwrap();
    let file = save("op", &mut big).out;
    let asked: RefCell<Vec<Range<u64>>> = RefCell::default();
    // The closure must be `Send`, so the log is a channel.
    let (log, ranges) = std::sync::mpsc::channel();
    let bytes = file.clone();
    let reader = StateFileReader::open_ranged(file.len() as u64, move |range| {
        log.send(range.clone()).unwrap();
        Ok(bytes[range.start as usize..range.end as usize].to_vec())
    })
    .unwrap();
    let mut part = HeapBackend::new(decls(), range(3, 3)).unwrap();
    let entries = reader
        .load(&name("op"), &mut part, range(3, 3), ProcessingTime(0))
        .unwrap();
    let expected = ints.groups.iter().filter(|&&g| g == KeyGroup(3)).count();
    assert_eq!(entries, expected as u64);
    asked.borrow_mut().extend(ranges.try_iter());
    let read: u64 = asked.borrow().iter().map(|r| r.end - r.start).sum();
    assert!(read < file.len() as u64 / 5, "{read} of {}", file.len());
    // Trailer, footer, and one request for the group.
    assert_eq!(asked.borrow().len(), 3);
}

#[test]
fn a_failing_read_is_an_error_with_its_reason() {
    let length = small_file().len() as u64;
    let gone = Error::Storage("the disk is gone".into());
    let error = StateFileReader::open_ranged(length, |_| Err(gone.clone()));
    assert_eq!(error.unwrap_err(), gone);
    let error = StateFileReader::open_ranged(length, |_| Ok(vec![0; 3])).unwrap_err();
    assert!(matches!(error, Error::Damaged(_)));
}

#[test]
fn a_declaration_is_compared_with_what_was_saved() {
    let file = small_file();
    let reader = StateFileReader::open(file).unwrap();
    let saved = reader.states(&name("op")).unwrap();
    assert_eq!(saved.iter().map(|s| s.rows).collect::<Vec<_>>(), [4, 4, 4]);
    let verdicts = |declared: &[StateDecl]| {
        let verdicts = compare(declared, saved).into_iter();
        verdicts.map(|v| (v.state, v.change)).collect::<Vec<_>>()
    };
    let same = |name: &str| (name.to_owned(), Change::Same);
    assert_eq!(
        verdicts(&decls()),
        [same("value"), same("list"), same("map")]
    );
    let mut version = decl("map", StateKind::Map);
    version.version = 3;
    let mut format = decl("value", StateKind::Value);
    format.format = "json".into();
    assert_eq!(
        verdicts(&[version, format, decl("fresh", StateKind::Value)]),
        [
            (
                "map".into(),
                Change::Version {
                    saved: 1,
                    declared: 3
                }
            ),
            (
                "value".into(),
                Change::Format {
                    saved: "raw".into(),
                    declared: "json".into()
                }
            ),
            ("fresh".into(), Change::New),
            ("list".into(), Change::Missing),
        ]
    );
    assert_eq!(
        verdicts(&[decl("list", StateKind::Map)])[0].1,
        Change::Kind {
            saved: StateKind::List,
            declared: StateKind::Map
        }
    );
}

#[test]
fn state_without_keys_is_compared_like_any_other() {
    let reader = StateFileReader::open(mixed_file()).unwrap();
    let saved = reader.states(&name("op")).unwrap();
    let mut declared = vec![
        decl("even", StateKind::OperatorUnion),
        decl("union", StateKind::OperatorUnion),
        decl("broadcast", StateKind::Map),
        decl("value", StateKind::OperatorList),
        decl("fresh", StateKind::Broadcast),
    ];
    declared[1].version = 2;
    let kind = |saved, declared| Change::Kind { saved, declared };
    let version = Change::Version {
        saved: 1,
        declared: 2,
    };
    let changes = compare(&declared, saved).into_iter();
    assert_eq!(
        changes.map(|v| v.change).collect::<Vec<_>>(),
        [
            kind(StateKind::OperatorList, StateKind::OperatorUnion),
            version,
            kind(StateKind::Broadcast, StateKind::Map),
            kind(StateKind::Value, StateKind::OperatorList),
            Change::New,
            Change::Missing,
            Change::Missing,
        ]
    );
    // Nor is one loaded as the other.
    for declared in declared.drain(2..4) {
        let mut backend = HeapBackend::new(vec![declared], range(0, 9)).unwrap();
        let refused = restore(&mixed_file(), &mut backend);
        assert!(
            matches!(refused, Err(Error::Incompatible { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_state_that_is_not_declared_any_more_is_left_out() {
    let mut other = HeapBackend::new(
        vec![decl("new", StateKind::Value), decl("list", StateKind::List)],
        range(0, 9),
    )
    .unwrap();
    assert_eq!(restore(&small_file(), &mut other), Ok(4));
    assert_eq!(other.entries(StateIndex(0)), 0);
    assert_eq!(other.entries(StateIndex(1)), 4);
}
