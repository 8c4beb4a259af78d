//! Lists: one run of length-prefixed elements a key. Appending is a merge, which reads nothing.

use rocksdb::{MergeOperands, WriteBatch};
use weir_state::{
    Error, ListWrites, NestedColumn,
    backends::{self, Reader},
};

use crate::{Family, error::damaged, keys::Sorted};

/// RocksDB's lengths have 32 bits; what is read at once is much less.
const MAX_LIST_BYTES: usize = if cfg!(test) { 1 << 20 } else { 2 << 30 };

/// In place of a list that has passed the limit, which nobody could read: no run begins so. Who
/// appends reads nothing, and so is not told; were the merge refused, RocksDB would refuse to write
/// or compact anything from then on.
const PASSED: &[u8] = &[0xff; 12];

/// Appends runs to each other.
pub(crate) fn concatenate(
    _key: &[u8],
    list: Option<&[u8]>,
    appended: &MergeOperands,
) -> Option<Vec<u8>> {
    let runs = || list.into_iter().chain(appended);
    let len: usize = runs().map(<[u8]>::len).sum();
    if len > MAX_LIST_BYTES || runs().any(|run| run == PASSED) {
        return Some(PASSED.to_vec());
    }
    let mut whole = Vec::with_capacity(len);
    runs().for_each(|run| whole.extend_from_slice(run));
    Some(whole)
}

/// The elements of a stored list.
pub(crate) fn elements(run: &[u8]) -> impl Iterator<Item = Result<&[u8], Error>> {
    let mut reader = Reader::new(run);
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let element = reader.bytes();
        if element.is_none() {
            reader = Reader::new(&[]);
        }
        Some(element.ok_or_else(|| match run {
            PASSED => Error::TooLarge {
                what: "a list, whose elements are lost,",
                len: MAX_LIST_BYTES + 1,
                limit: MAX_LIST_BYTES,
            },
            _ => damaged("a list"),
        }))
    })
}

/// Appends the elements of a stored list to `out`, without ending the list.
pub(crate) fn read(run: &[u8], out: &mut NestedColumn) -> Result<(), Error> {
    for element in elements(run) {
        let element = element?;
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
