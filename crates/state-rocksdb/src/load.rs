//! Rows of any backend's snapshot into the database.

use rocksdb::WriteBatch;
use weir_model::KeyGroup;
use weir_state::{
    Error,
    backends::{Reader, Shape},
};

use crate::{Family, keys};

/// Adds the rows of one key group to a batch. Rows of lists are appended to each other: a large
/// list comes in several.
pub(crate) fn rows(
    shape: Shape,
    family: Result<Family<'_>, Error>,
    group: KeyGroup,
    rows: &[u8],
    batch: &mut WriteBatch,
) -> Result<(), Error> {
    if shape == Shape::Foreign {
        let what = format!("it has rows of key group {group} for a state without keys");
        return Err(Error::Damaged(what));
    }
    let family = family?;
    let mut reader = Reader::new(rows);
    let mut stored = Vec::new();
    while !reader.is_empty() {
        let at = rows.len() - reader.len();
        row(shape, &family, group, &mut reader, &mut stored, batch).ok_or_else(|| {
            Error::Damaged(format!(
                "the row at byte {at} of key group {group} cannot be read"
            ))
        })?;
    }
    Ok(())
}

fn row(
    shape: Shape,
    family: &Family<'_>,
    group: KeyGroup,
    reader: &mut Reader<'_>,
    stored: &mut Vec<u8>,
    batch: &mut WriteBatch,
) -> Option<()> {
    let key = reader.bytes()?;
    // Namespaces are reserved: none is written yet.
    if !reader.bytes()?.is_empty() {
        return None;
    }
    stored.clear();
    match shape {
        Shape::Cell => {
            keys::put_key(stored, group, key);
            batch.put_cf(family, stored, reader.bytes()?);
        }
        Shape::List => {
            keys::put_key(stored, group, key);
            let count = reader.uvarint()?;
            let run = reader.taken(|reader| {
                for _ in 0..count {
                    reader.bytes()?;
                }
                Some(())
            });
            batch.merge_cf(family, stored, run?);
        }
        Shape::Map | Shape::Timers => {
            keys::put_map_prefix(stored, group, key);
            let prefix = stored.len();
            for _ in 0..reader.uvarint()? {
                stored.truncate(prefix);
                stored.extend_from_slice(reader.bytes()?);
                batch.put_cf(family, &stored, reader.bytes()?);
            }
        }
        Shape::Foreign => return None,
    }
    Some(())
}
