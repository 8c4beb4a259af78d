//! Files whose checksums are right and whose content is not: nothing in them is believed.

use proptest::{collection::vec, prelude::*};
use weir_model::ProcessingTime;

use super::{
    super::{
        MAGIC, VERSION,
        footer::{BlockEntry, Footer, OperatorEntry, StateEntry},
    },
    backend, decl, decls, name, operator_decls, range, save,
};
use crate::{Error, OperatorState, StateFileReader, StateKind};

/// A file of these bytes and this footer, with checksums as they should be.
pub(super) fn sealed(data: &[u8], footer: &Footer) -> Vec<u8> {
    let footer = postcard::to_stdvec(footer).unwrap();
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(data);
    file.extend_from_slice(&footer);
    file.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    file.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(MAGIC);
    file
}

/// The block of all of `data`, which says that it unpacks to so many bytes.
pub(super) fn block(data: &[u8], unpacked: u32) -> BlockEntry {
    BlockEntry {
        group: 3,
        rows: 1,
        delta: false,
        file: 0,
        offset: MAGIC.len() as u64,
        stored: data.len() as u32,
        unpacked,
        crc: crc32c::crc32c(data),
    }
}

/// A footer with these blocks of one of the states.
pub(super) fn footer(state: usize, blocks: &[BlockEntry]) -> Footer {
    let mut states: Vec<StateEntry> = decls().iter().map(StateEntry::new).collect();
    states[state].blocks = blocks.to_vec();
    let name = "op".to_owned();
    Footer {
        files: Vec::new(),
        operators: vec![OperatorEntry {
            name,
            states,
            raw: Vec::new(),
            native: None,
        }],
    }
}

/// Loads a file, and saves what was loaded.
fn load(file: Vec<u8>) -> Result<(), Error> {
    let mut whole = backend(range(0, 9));
    let reader = StateFileReader::open(file)?;
    reader.load(&name("op"), &mut whole, range(0, 9), ProcessingTime(0))?;
    let again = save("op", &mut whole).out;
    let reader = StateFileReader::open(again)?;
    let mut other = backend(range(0, 9));
    reader.load(&name("op"), &mut other, range(0, 9), ProcessingTime(0))?;
    Ok(())
}

#[track_caller]
fn damaged(file: Vec<u8>, why: &str) {
    match load(file) {
        Err(Error::Damaged(what)) => assert!(what.contains(why), "{what}"),
        other => panic!("{other:?}"),
    }
}

/// Where a block of state without keys may be claimed to belong.
const LIST: usize = 0;
const MAP: usize = 2;
const RAW: usize = 3;

/// A footer with these blocks of one of the states without keys, or of the raw state.
fn operator_footer(state: usize, blocks: &[BlockEntry]) -> Footer {
    let mut states: Vec<StateEntry> = operator_decls().iter().map(StateEntry::new).collect();
    let mut raw = Vec::new();
    match states.get_mut(state) {
        Some(state) => state.blocks = blocks.to_vec(),
        None => raw = blocks.to_vec(),
    }
    let name = "op".to_owned();
    Footer {
        files: Vec::new(),
        operators: vec![OperatorEntry {
            name,
            states,
            raw,
            native: None,
        }],
    }
}

/// Restores the state without keys of a file, and saves what was restored.
fn load_operator(file: Vec<u8>) -> Result<(), Error> {
    let reader = StateFileReader::open(file)?;
    let saved = reader.operator_state(&name("op"))?;
    let raw = saved.raw.clone();
    let mut state = OperatorState::new(&operator_decls());
    state.restore(saved)?;
    let again = super::save_operator(&state, raw.clone());
    let again = StateFileReader::open(again)?.operator_state(&name("op"))?;
    assert_eq!(again.raw, raw);
    Ok(())
}

#[track_caller]
fn damaged_operator(file: Vec<u8>, why: &str) {
    match load_operator(file) {
        Err(Error::Damaged(what)) => assert!(what.contains(why), "{what}"),
        other => panic!("{other:?}"),
    }
}

/// A block of so many rows without keys.
fn plain(data: &[u8], rows: u64) -> BlockEntry {
    BlockEntry {
        group: 0,
        rows,
        ..block(data, data.len() as u32)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_are_loaded_or_an_error(
        state in 0..3usize,
        rows in vec(prop_oneof![4 => 0..4u8, 1 => any::<u8>()], 0..60),
    ) {
        let file = sealed(&rows, &footer(state, &[block(&rows, rows.len() as u32)]));
        let loaded = load(file);
        prop_assert!(matches!(loaded, Ok(()) | Err(Error::Damaged(_))), "{loaded:?}");
    }

    #[test]
    fn any_packed_bytes_are_unpacked_or_an_error(
        state in 0..3usize,
        packed in vec(any::<u8>(), 0..60),
        unpacked in 0..20_000u32,
    ) {
        let file = sealed(&packed, &footer(state, &[block(&packed, unpacked)]));
        let loaded = load(file);
        prop_assert!(matches!(loaded, Ok(()) | Err(Error::Damaged(_))), "{loaded:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_without_keys_are_loaded_or_an_error(
        state in LIST..=RAW,
        rows in 0..20u64,
        bytes in vec(prop_oneof![4 => 0..4u8, 1 => any::<u8>()], 0..40),
    ) {
        let file = sealed(&bytes, &operator_footer(state, &[plain(&bytes, rows)]));
        let loaded = load_operator(file);
        prop_assert!(matches!(loaded, Ok(()) | Err(Error::Damaged(_))), "{loaded:?}");
    }

    #[test]
    fn any_packed_bytes_without_keys_are_unpacked_or_an_error(
        state in LIST..=RAW,
        packed in vec(any::<u8>(), 0..60),
        unpacked in 0..20_000u32,
    ) {
        let block = BlockEntry { unpacked, ..plain(&packed, 1) };
        let loaded = load_operator(sealed(&packed, &operator_footer(state, &[block])));
        prop_assert!(matches!(loaded, Ok(()) | Err(Error::Damaged(_))), "{loaded:?}");
    }
}

#[test]
fn rows_without_keys_are_counted() {
    let items = [1, b'a', 1, b'b'];
    for (state, right) in [(LIST, 2), (MAP, 1), (RAW, 2)] {
        let file = |rows| sealed(&items, &operator_footer(state, &[plain(&items, rows)]));
        assert_eq!(load_operator(file(right)), Ok(()));
        damaged_operator(file(right + 1), "rows and claims");
        damaged_operator(file(right - 1), "rows and claims");
    }
}

#[test]
fn rows_without_keys_that_end_too_early_are_refused() {
    for state in [LIST, MAP, RAW] {
        for bytes in [&[2, b'a'][..], &[0xff; 12], &[1]] {
            let file = sealed(bytes, &operator_footer(state, &[plain(bytes, 1)]));
            damaged_operator(file, "cannot be read");
        }
    }
    let no_value = [1, b'k'];
    let file = sealed(&no_value, &operator_footer(MAP, &[plain(&no_value, 1)]));
    damaged_operator(file, "cannot be read");
}

#[test]
fn entries_without_keys_that_do_not_rise_are_refused() {
    for bytes in [[1, b'b', 0, 1, b'a', 0], [1, b'b', 0, 1, b'b', 0]] {
        let file = sealed(&bytes, &operator_footer(MAP, &[plain(&bytes, 2)]));
        damaged_operator(file, "cannot be read");
        // Nor over the border of two blocks.
        let first = plain(&bytes[..3], 1);
        let second = BlockEntry {
            offset: first.offset + 3,
            ..plain(&bytes[3..], 1)
        };
        let file = sealed(&bytes, &operator_footer(MAP, &[first, second]));
        damaged_operator(file, "cannot be read");
    }
}

#[test]
fn blocks_without_keys_are_not_believed_either() {
    let row = [1, b'r'];
    for state in [LIST, RAW] {
        let block = plain(&row, 1);
        let file = |blocks: &[BlockEntry]| sealed(&row, &operator_footer(state, blocks));
        assert_eq!(load_operator(file(&[block])), Ok(()));
        damaged_operator(file(&[block, block]), "over each other");
        damaged_operator(
            file(&[BlockEntry { group: 3, ..block }]),
            "belongs to no key",
        );
        damaged_operator(
            file(&[BlockEntry { offset: 0, ..block }]),
            "outside the file",
        );
        let unpacked = u32::MAX;
        damaged_operator(file(&[BlockEntry { unpacked, ..block }]), "claims");
    }
    // The blocks of a keyed state and of the raw state share the room, too.
    let mut both = footer(0, &[block(&row, 2)]);
    both.operators[0].raw.push(plain(&row, 1));
    damaged_operator(sealed(&row, &both), "over each other");
}

#[test]
fn a_block_that_claims_more_than_it_can_hold_is_refused_before_it_is_unpacked() {
    let packed = [0; 100];
    damaged(
        sealed(&packed, &footer(0, &[block(&packed, u32::MAX)])),
        "claims",
    );
    damaged(sealed(&[], &footer(0, &[block(&[], 1)])), "claims");
}

#[test]
fn blocks_that_lie_over_each_other_are_refused() {
    // One row: the key `k`, no namespace, the value `v`.
    let row = [1, b'k', 0, 1, b'v'];
    let block = block(&row, 5);
    assert_eq!(load(sealed(&row, &footer(0, &[block]))), Ok(()));
    damaged(sealed(&row, &footer(0, &[block, block])), "over each other");
}

#[test]
fn blocks_outside_the_file_are_refused() {
    let row = [1, b'k', 0, 1, b'v'];
    for offset in [0, MAGIC.len() as u64 + 1, u64::MAX] {
        let block = BlockEntry {
            offset,
            ..block(&row, 5)
        };
        damaged(sealed(&row, &footer(0, &[block])), "outside the file");
    }
}

#[test]
fn a_name_that_is_in_a_file_twice_is_refused() {
    let mut twice = footer(0, &[]);
    twice.operators.extend(footer(0, &[]).operators);
    damaged(sealed(&[], &twice), "operator `op` is in it twice");
    let mut twice = footer(0, &[]);
    let state = StateEntry::new(&decl("value", StateKind::Value));
    twice.operators[0].states.push(state);
    damaged(sealed(&[], &twice), "state `value` is in it twice");
    let mut unnamed = footer(0, &[]);
    unnamed.operators[0].name = "No Name".into();
    damaged(sealed(&[], &unnamed), "is not a name");
}

#[test]
fn a_file_without_a_version_is_refused() {
    let mut file = sealed(&[], &footer(0, &[]));
    let at = file.len() - 12;
    file[at] = 0;
    damaged(file, "version 0");
}
