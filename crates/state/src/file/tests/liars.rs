//! Files whose checksums are right and whose content is not: nothing in them is believed.

use proptest::{collection::vec, prelude::*};

use super::{
    super::{
        MAGIC, VERSION,
        footer::{BlockEntry, Footer, OperatorEntry, StateEntry},
    },
    backend, decl, decls, name, range, save,
};
use crate::{Error, StateFileReader, StateKind};

/// A file of these bytes and this footer, with checksums as they should be.
fn sealed(data: &[u8], footer: &Footer) -> Vec<u8> {
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
fn block(data: &[u8], unpacked: u32) -> BlockEntry {
    BlockEntry {
        group: 3,
        rows: 1,
        offset: MAGIC.len() as u64,
        stored: data.len() as u32,
        unpacked,
        crc: crc32c::crc32c(data),
    }
}

/// A footer with these blocks of one of the states.
fn footer(state: usize, blocks: &[BlockEntry]) -> Footer {
    let mut states: Vec<StateEntry> = decls().iter().map(StateEntry::new).collect();
    states[state].blocks = blocks.to_vec();
    let name = "op".to_owned();
    Footer {
        operators: vec![OperatorEntry { name, states }],
    }
}

/// Loads a file, and saves what was loaded.
fn load(file: Vec<u8>) -> Result<(), Error> {
    let mut whole = backend(range(0, 9));
    let mut reader = StateFileReader::open(file)?;
    reader.load(&name("op"), &mut whole, range(0, 9))?;
    let again = save("op", &mut whole).chunks.concat();
    let mut reader = StateFileReader::open(again)?;
    let mut other = backend(range(0, 9));
    reader.load(&name("op"), &mut other, range(0, 9))?;
    Ok(())
}

#[track_caller]
fn damaged(file: Vec<u8>, why: &str) {
    match load(file) {
        Err(Error::Damaged(what)) => assert!(what.contains(why), "{what}"),
        other => panic!("{other:?}"),
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
