//! Lists: one run of length-prefixed elements a key. Appending is a merge, which reads nothing.

use rocksdb::{MergeOperands, WriteBatch};
use weir_state::{
    Error, ListWrites, NestedColumn,
    backends::{self, Reader},
};

use crate::{Family, error::damaged, keys::Sorted};

/// A list of more bytes cannot be read in one go, and RocksDB's lengths have 32 bits.
const MAX_LIST_BYTES: usize = 2 << 30;

/// Appends runs to each other. A list that would pass the limit is refused.
pub(crate) fn concatenate(
    _key: &[u8],
    list: Option<&[u8]>,
    appended: &MergeOperands,
) -> Option<Vec<u8>> {
    let runs = || list.into_iter().chain(appended);
    let len: usize = runs().map(<[u8]>::len).sum();
    if len > MAX_LIST_BYTES {
        return None;
    }
    let mut whole = Vec::with_capacity(len);
    runs().for_each(|run| whole.extend_from_slice(run));
    Some(whole)
}

/// Appends the elements of a stored list to `out`, without ending the list.
pub(crate) fn read(run: &[u8], out: &mut NestedColumn) -> Result<(), Error> {
    let mut reader = Reader::new(run);
    while !reader.is_empty() {
        let element = reader.bytes().ok_or_else(|| damaged("a list"))?;
        let bytes = out.elements.byte_len() + element.len();
        backends::check_column("the column of lists", bytes, out.elements.len() + 1)?;
        out.elements.push(element);
    }
    Ok(())
}

/// Adds what a call wrote to a batch. `sorted` holds the keys of the writes.
pub(crate) fn write(
    batch: &mut WriteBatch,
    family: &Family<'_>,
    sorted: &Sorted,
    writes: &ListWrites,
    run: &mut Vec<u8>,
) {
    let lists = &writes.lists;
    for position in sorted.positions() {
        let key = sorted.get(position);
        let first = position
            .checked_sub(1)
            .map_or(0, |before| lists.ends[before]);
        let end = lists.ends[position];
        run.clear();
        for element in first..end {
            backends::put_bytes(run, lists.elements.get(element as usize));
        }
        match (writes.replace[position], first == end) {
            (0, true) => {}
            (0, false) => batch.merge_cf(family, key, run.as_slice()),
            (_, true) => batch.delete_cf(family, key),
            (_, false) => batch.put_cf(family, key, run.as_slice()),
        }
    }
}
