//! Whole key groups of a state: which keys there are.

use rocksdb::DB;
use weir_model::{KeyGroup, KeyGroupRange};
use weir_state::{Error, StateKeys};

use crate::{Family, error::failed, keys, options};

/// A group that begins behind so many keys is left for the next time.
const ENOUGH: usize = 64 * 1024;

/// Appends the keys of some groups, of a range from its beginning on; gives back the group to go on
/// with, if there is one.
pub(crate) fn scan(
    db: &DB,
    family: &Family<'_>,
    (range, is_map): (KeyGroupRange, bool),
    out: &mut StateKeys,
) -> Result<Option<KeyGroup>, Error> {
    let mut options = options::whole_scan();
    options.set_iterate_lower_bound(keys::first_of(range.start));
    options.set_iterate_upper_bound(keys::end_of(range));
    let mut entries = db.raw_iterator_cf_opt(family, options);
    let (mut key, enough) = (Vec::new(), out.keys.len() + ENOUGH);
    entries.seek_to_first();
    while let Some((stored, _)) = entries.item() {
        let damaged = || Error::Damaged("a key in the database is none of ours".into());
        let (group, _) = keys::split(stored, is_map, &mut key).ok_or_else(damaged)?;
        if out.keys.len() >= enough && out.groups.last() != Some(&group) {
            return Ok(Some(group));
        }
        out.push(group, &key)?;
        match is_map {
            // A large map is passed over and not read.
            true => entries.seek(keys::after_map(keys::map_prefix(stored))),
            false => entries.next(),
        }
    }
    entries
        .status()
        .map_err(failed("read the keys of a state"))?;
    Ok(None)
}
