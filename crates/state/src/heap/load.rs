//! Rows of a snapshot back into a table.

use weir_model::{KeyGroup, hash64};

use super::{Shape, list, map, segment::INLINE, table::Table};
use crate::{
    Error,
    rows::{self, Reader},
};

/// Loads the rows of one key group; gives back by how much the number of entries changes, also
/// where it fails.
pub(super) fn rows(
    shape: Shape,
    table: &mut Table,
    group: KeyGroup,
    bytes: &[u8],
) -> (i64, Result<(), Error>) {
    let mut reader = Reader::new(bytes);
    let mut change = 0;
    let mut scratch = Vec::new();
    let mut run = Vec::new();
    while !reader.is_empty() {
        let row = bytes.len() - reader.len();
        let loaded = row_head(&mut reader).and_then(|key| {
            let hash = hash64(key);
            match shape {
                Shape::Cell => {
                    let value = reader.bytes()?;
                    let new = table
                        .segment_mut(group, hash)
                        .put(hash, group.0, key, value);
                    table.split_if_due(group, hash);
                    Some(i64::from(new))
                }
                Shape::List => {
                    read_list(&mut reader, &mut run)?;
                    Some(list::write(table, group, hash, key, false, &run))
                }
                Shape::Map => {
                    let mut new = 0;
                    for _ in 0..reader.uvarint()? {
                        let entry = (reader.bytes()?, reader.bytes()?);
                        new += map::put(table, group, hash, key, entry, &mut scratch);
                    }
                    Some(new)
                }
                Shape::Timers | Shape::Foreign => None,
            }
        });
        match loaded {
            Some(new) => change += new,
            None => {
                let what = format!("the row at byte {row} of key group {group} cannot be read");
                return (change, Err(Error::Damaged(what)));
            }
        }
    }
    (change, Ok(()))
}

/// The key of a row, after which the value is next. Namespaces are reserved: none is written yet.
fn row_head<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let key = reader.bytes()?;
    let namespace = reader.bytes()?;
    namespace.is_empty().then_some(key)
}

/// Reads a list as [`INLINE`] and its encoded elements.
fn read_list(reader: &mut Reader<'_>, run: &mut Vec<u8>) -> Option<()> {
    run.clear();
    run.push(INLINE);
    for _ in 0..reader.uvarint()? {
        rows::put_bytes(run, reader.bytes()?);
    }
    Some(())
}
