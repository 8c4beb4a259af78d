//! Values: an entry of the database a key.

use rocksdb::{DB, ReadOptions, WriteBatch};
use weir_model::{KeyGroup, OptionalColumn};
use weir_state::{
    Error, ValueWrites,
    backends::{self, Shape},
};

use crate::{
    Family,
    database::Database,
    error::{damaged, failed},
    front::entries,
    keys::{self, Sorted},
    options,
};

/// What comes in order is written by the batch, each of so many bytes.
const BATCH_BYTES: usize = 256 << 10;

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

/// Writes cells of one state, about in order of their keys: values, lists, or entries of maps.
pub(crate) struct CellWriter<'a> {
    db: &'a DB,
    family: Family<'a>,
    shape: Shape,
    batch: WriteBatch,
    stored: Vec<u8>,
}

impl<'a> CellWriter<'a> {
    pub(crate) fn new(database: &'a Database, state: usize, shape: Shape) -> Result<Self, Error> {
        Ok(Self {
            db: &database.db,
            family: database.family(state)?,
            shape,
            batch: WriteBatch::default(),
            stored: Vec::new(),
        })
    }

    /// Writes a value, or that there is none.
    pub(crate) fn put(
        &mut self,
        group: KeyGroup,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.stored.clear();
        if self.shape == Shape::Map {
            let (key, map_key) = entries::split(key).ok_or_else(|| damaged("an entry"))?;
            keys::put_map_prefix(&mut self.stored, group, key);
            self.stored.extend_from_slice(map_key);
        } else {
            keys::put_key(&mut self.stored, group, key);
        }
        match value {
            Some(value) => self.batch.put_cf(&self.family, &self.stored, value),
            None => self.batch.delete_cf(&self.family, &self.stored),
        }
        if self.batch.size_in_bytes() >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.batch.is_empty() {
            let written = self.db.write_opt(&self.batch, &options::writes());
            written.map_err(failed("write to it"))?;
            self.batch.clear();
        }
        Ok(())
    }
}
