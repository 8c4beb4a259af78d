//! Values: an entry of the database a key.

use rocksdb::{DB, ReadOptions, WriteBatch};
use weir_model::OptionalColumn;
use weir_state::{Error, ValueWrites, backends};

use crate::{Family, error::failed, keys::Sorted};

/// Appends the value of each key of an access to `out`: entries of maps are looked up as cells are.
pub(crate) fn read(
    db: &DB,
    family: &Family<'_>,
    options: &ReadOptions,
    sorted: &mut Sorted,
    out: &mut OptionalColumn,
) -> Result<(), Error> {
    let mut bytes = out.column().byte_len();
    visit(db, family, options, sorted, |value| {
        bytes += value.map_or(0, <[u8]>::len);
        backends::check_column("the column of values", bytes, out.len())?;
        out.push(value);
        Ok(())
    })
}

/// Gives the value of each key of an access to `take`, in order of the access: they are all looked
/// up at once, and not copied on the way.
pub(crate) fn visit(
    db: &DB,
    family: &Family<'_>,
    options: &ReadOptions,
    sorted: &mut Sorted,
    mut take: impl FnMut(Option<&[u8]>) -> Result<(), Error>,
) -> Result<(), Error> {
    if sorted.len() == 0 {
        return Ok(());
    }
    let failed = failed("read values");
    let keys = sorted.positions().map(|position| sorted.get(position));
    let found = db
        .batched_multi_get_pinned_batch_cf_opt(family, keys, true, options)
        .map_err(&failed)?;
    for &rank in sorted.ranks() {
        let value = found.get(rank as usize).unwrap_or(Ok(None));
        take(value.map_err(&failed)?)?;
    }
    Ok(())
}

/// Adds what a call wrote to a batch. `sorted` holds the keys of the writes.
pub(crate) fn write(
    batch: &mut WriteBatch,
    family: &Family<'_>,
    sorted: &Sorted,
    writes: &ValueWrites,
) {
    for position in sorted.positions() {
        let key = sorted.get(position);
        match writes.values.get(position) {
            Some(value) => batch.put_cf(family, key, value),
            None => batch.delete_cf(family, key),
        }
    }
}
