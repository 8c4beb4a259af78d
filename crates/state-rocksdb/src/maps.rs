//! Maps: an entry of the database for each entry of a map, so that a large one is never read whole.

use rocksdb::{DB, ReadOptions, WriteBatch};
use weir_state::{EntriesColumn, Error, KeyBatch, MapWrites, StateIndex, Which, backends};

use crate::{Family, error::failed, front::Front, keys, keys::Sorted};

/// A map that is cleared has its entries removed one by one up to so many: a removed range costs
/// all later reads something, until it is compacted away.
const CLEAR_SINGLY: usize = 128;
/// And is looked for in front of the database entry by entry up to so many: then all of its key
/// group goes from there. Our own tests meet it sooner.
const FORGET_SINGLY: usize = if cfg!(test) { 200 } else { 10_000 };

/// Appends entries of the map with a prefix, after a map key.
pub(crate) fn scan(
    db: &DB,
    family: &Family<'_>,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
    out: &mut EntriesColumn,
) -> Result<(), Error> {
    let mut from = prefix.to_vec();
    if let Some(after) = after {
        from.extend_from_slice(after);
        from.push(0);
    }
    let mut bytes = out.keys.byte_len().max(out.values.byte_len());
    visit(db, family, prefix, &from, limit, |map_key, value| {
        bytes += map_key.len().max(value.len());
        backends::check_column("the column of entries", bytes, out.keys.len() + 1)?;
        out.keys.push(map_key);
        out.values.push(value);
        Ok(())
    })
}

/// Gives up to `limit` entries of the map with a prefix, from a stored key on.
fn visit(
    db: &DB,
    family: &Family<'_>,
    prefix: &[u8],
    from: &[u8],
    limit: usize,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut options = ReadOptions::default();
    options.set_prefix_same_as_start(true);
    options.set_iterate_upper_bound(keys::after_map(prefix));
    let mut entries = db.raw_iterator_cf_opt(family, options);
    entries.seek(from);
    for _ in 0..limit {
        let Some((key, value)) = entries.item() else {
            break;
        };
        let Some(map_key) = key.strip_prefix(prefix) else {
            break;
        };
        take(map_key, value)?;
        entries.next();
    }
    entries.status().map_err(failed("read a map"))
}

/// Adds what a call wrote to a batch: the clears come first. What they remove is forgotten in front
/// of the database; where entries `expire`, those may be in front still that it has dropped.
pub(crate) fn write(
    batch: &mut WriteBatch,
    (db, family): (&DB, &Family<'_>),
    (front, state, expire): (&mut Front, StateIndex, bool),
    sorted: &mut Sorted,
    batch_keys: &KeyBatch<'_>,
    writes: &MapWrites,
) -> Result<(), Error> {
    let mut prefix = Vec::new();
    for &key in &writes.clear {
        prefix.clear();
        let group = batch_keys.groups[key as usize];
        keys::put_map_prefix(&mut prefix, group, batch_keys.keys.get(key as usize));
        let most = match front.has_entries(state) {
            true => FORGET_SINGLY,
            false => CLEAR_SINGLY,
        };
        let found = clear(batch, db, family, (&prefix, most + 1), |map_key| {
            front.forget_entry(state, batch_keys, key, map_key);
        })?;
        if found > most || expire {
            front.forget_group(state, group);
        }
    }
    sorted.entries(
        batch_keys,
        Which::Some(&writes.keys),
        writes.map_keys.iter(),
    );
    for position in sorted.positions() {
        let key = sorted.get(position);
        match writes.values.get(position) {
            Some(value) => batch.put_cf(family, key, value),
            None => batch.delete_cf(family, key),
        }
    }
    Ok(())
}

/// Removes the entries of a map, of which so many are looked at, and told, at most; gives back how
/// many were.
fn clear(
    batch: &mut WriteBatch,
    db: &DB,
    family: &Family<'_>,
    (prefix, limit): (&[u8], usize),
    mut removed: impl FnMut(&[u8]),
) -> Result<usize, Error> {
    let mut found = 0;
    let mut stored = prefix.to_vec();
    visit(db, family, prefix, prefix, limit, |map_key, _| {
        found += 1;
        if found <= CLEAR_SINGLY {
            stored.truncate(prefix.len());
            stored.extend_from_slice(map_key);
            batch.delete_cf(family, &stored);
        }
        removed(map_key);
        Ok(())
    })?;
    if found > CLEAR_SINGLY {
        batch.delete_range_cf(family, prefix, &keys::after_map(prefix));
    }
    Ok(found)
}
