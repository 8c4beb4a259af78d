//! Lists in a table: a short one is a run of length-prefixed elements in the arena, a long one is
//! kept in chunks.
//!
//! INVARIANT: a list that is there has at least one element.

mod even;

use std::{ops::Range, sync::Arc};

use weir_model::KeyGroup;

use super::{
    big::Big,
    segment::{At, INLINE, Segment},
    some::SomeRows,
    table::{NEW_AHEAD, Probed, SOME, Table},
};
use crate::{
    Error, KeyBatch, ListWrites, NestedColumn, Which, limits,
    rows::{self, Reader},
};

/// Lists up to this many encoded bytes are kept in the arena.
const MAX_INLINE: usize = 2048;
/// A chunk of a long list takes no further element beyond this many bytes: what an append copies at
/// most after a snapshot.
const CHUNK_BYTES: usize = 16 * 1024;

/// The bytes of [`INLINE`], of a length, and of an element that is a number.
const ENCODED_NUMBER: usize = 10;

/// A long list: runs of length-prefixed elements.
#[derive(Clone, Debug, Default)]
pub(super) struct ListChunks {
    chunks: Vec<Arc<Chunk>>,
    bytes: usize,
    elements: usize,
}

/// A run of elements.
#[derive(Clone, Debug, Default)]
struct Chunk {
    run: Vec<u8>,
    elements: u64,
    /// The epoch of the last append.
    epoch: u64,
}

impl ListChunks {
    /// The runs, in order.
    pub(super) fn runs(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| chunk.run.as_slice())
    }

    /// What it takes in a column, for the limits.
    fn column_bytes(&self) -> usize {
        self.bytes + self.elements * limits::ROW_BYTES
    }

    /// The bytes of its buffers.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.run.capacity()).sum()
    }

    /// How many of the first elements were there at the end of the epoch `base`, and the runs of
    /// the others.
    fn since(&self, base: u64) -> (u64, &[Arc<Chunk>]) {
        let same = |chunk: &&Arc<Chunk>| chunk.epoch <= base;
        let kept = self.chunks.iter().take_while(same).count();
        let (kept, changed) = self.chunks.split_at(kept);
        (kept.iter().map(|chunk| chunk.elements).sum(), changed)
    }

    /// Appends a run of encoded elements, in an epoch.
    fn append(&mut self, run: &[u8], epoch: u64) {
        self.bytes += run.len();
        let mut reader = Reader::new(run);
        let mut from = 0;
        while from < run.len() {
            let is_full = |chunk: &Arc<Chunk>| chunk.run.len() >= CHUNK_BYTES;
            if self.chunks.last().is_none_or(is_full) {
                self.chunks.push(Arc::default());
            }
            let Some(chunk) = self.chunks.last_mut() else {
                return;
            };
            let chunk = Arc::make_mut(chunk);
            // As many as the chunk takes, and one at least.
            let (mut end, mut elements) = (from, 0);
            while end < run.len() && chunk.run.len() + (end - from) < CHUNK_BYTES {
                // What we encoded can be decoded; were it not, the rest goes to the chunk as it is.
                end = match reader.bytes() {
                    Some(_) => run.len() - reader.len(),
                    None => run.len(),
                };
                elements += 1;
            }
            chunk.run.extend_from_slice(&run[from..end]);
            chunk.elements += elements;
            chunk.epoch = epoch;
            self.elements += elements as usize;
            from = end;
        }
    }
}

/// The runs of encoded elements of a list.
pub(super) fn runs(segment: &Segment, at: At) -> impl Iterator<Item = &[u8]> {
    let (inline, chunks) = match segment.big(at) {
        Some(Big::List(list)) => (None, Some(list.runs())),
        Some(Big::Map(_)) => (None, None),
        None => (segment.value(at).get(1..), None),
    };
    inline.into_iter().chain(chunks.into_iter().flatten())
}

/// How many of the first elements of a list were there at the end of the epoch `base`, and the runs
/// of the others: all of them where the list is short or new.
pub(super) fn runs_since(
    segment: &Segment,
    at: At,
    base: u64,
) -> (u64, impl Iterator<Item = &[u8]>) {
    let (kept, inline, chunks) = match segment.big(at) {
        Some(Big::List(list)) => {
            let (kept, changed) = list.since(base);
            (kept, None, changed)
        }
        Some(Big::Map(_)) => (0, None, &[][..]),
        None => (0, segment.value(at).get(1..), &[][..]),
    };
    let chunks = chunks.iter().map(|chunk| chunk.run.as_slice());
    (kept, inline.into_iter().chain(chunks))
}

/// What a list takes in a column at most, for the limits.
fn column_bytes(segment: &Segment, at: At) -> usize {
    match segment.big(at) {
        Some(Big::List(list)) => list.column_bytes(),
        Some(Big::Map(_)) => 0,
        // An encoded element has a byte or more, and there are only so many of them.
        None => segment.value(at).len() * (1 + limits::ROW_BYTES),
    }
}

/// Appends the lists of a column of keys. The groups are in the range.
pub(super) fn get(
    table: &Table,
    keys: &KeyBatch<'_>,
    which: Which<'_>,
    probed: &mut Probed,
    out: &mut NestedColumn,
) -> Result<(), Error> {
    table.rounds(keys, which, probed, |some, places, segments| {
        let done = even::get(keys, (which, some.start), (places, segments), out)?;
        for (position, place) in some.zip(places).skip(done) {
            if let Some((segment, at, list)) = table.record_of(keys, which.get(position), place) {
                match list {
                    [INLINE, run @ ..] => push_run(run, out)?,
                    _ => runs(segment, at).try_for_each(|run| push_run(run, out))?,
                }
            }
            out.ends.push(out.elements.len() as u32);
        }
        Ok(())
    })
}

/// Appends the elements of a run.
#[inline]
fn push_run(run: &[u8], out: &mut NestedColumn) -> Result<(), Error> {
    let mut reader = Reader::new(run);
    while let Some(element) = reader.bytes() {
        out.elements.push(element);
    }
    let (bytes, elements) = (out.elements.byte_len(), out.elements.len());
    limits::check_column("the column of lists", bytes, elements)
}

/// Checks that no list becomes too large. The groups are in the range, the columns fit.
pub(super) fn check(
    table: &Table,
    keys: &KeyBatch<'_>,
    writes: &ListWrites,
    probed: &mut Probed,
) -> Result<(), Error> {
    let all = 0..writes.lists.elements.len();
    let short = (1 + MAX_INLINE) * (1 + limits::ROW_BYTES);
    let longest = table.longest_list.max(short);
    if most_bytes(writes, &all) + longest <= limits::MAX_COLUMN_BYTES {
        // Not even the longest list to which all were appended.
        return Ok(());
    }
    table.each(keys, Which::Some(&writes.keys), probed, |row, record| {
        let mut bytes = most_bytes(writes, &elements_of(writes, row));
        if writes.replace[row] == 0
            && let Some((segment, at, _)) = record
        {
            bytes += column_bytes(segment, at);
        }
        limits::check("a list", bytes, limits::MAX_COLUMN_BYTES)
    })
}

/// Which elements are written to the list of a row.
#[inline]
fn elements_of(writes: &ListWrites, row: usize) -> Range<usize> {
    let ends = &writes.lists.ends;
    let first = row.checked_sub(1).map_or(0, |before| ends[before]);
    first as usize..ends[row] as usize
}

/// What these elements take in a column at most, for the limits.
fn most_bytes(writes: &ListWrites, elements: &Range<usize>) -> usize {
    let ends = writes.lists.elements.ends();
    let end_before = |row: usize| row.checked_sub(1).map_or(0, |last| ends[last] as usize);
    // A length takes at most 5 bytes below 4 GiB.
    end_before(elements.end) - end_before(elements.start) + elements.len() * (5 + limits::ROW_BYTES)
}

/// Applies writes that were checked; gives back by how much the number of lists changes.
///
/// What can be appended where its list is, or was, and what is cleared comes first: that moves no
/// record, so what was found before is still there. Which lists are cleared nobody can foretell, so
/// that is found out without a branch.
pub(super) fn apply(
    table: &mut Table,
    keys: &KeyBatch<'_>,
    writes: &ListWrites,
    probed: &mut Probed,
    scratch: &mut Vec<u8>,
) -> i64 {
    let (mut change, mut number) = (0, [0; ENCODED_NUMBER]);
    let mut left = writes.keys.len();
    let (mut append, mut clear) = (SomeRows::<SOME>::new(), SomeRows::<SOME>::new());
    let (rows, widths) = (writes.keys.len(), even::Widths::of(keys, writes));
    for first in (0..rows).step_by(SOME) {
        table.look_for_next(keys, &writes.keys, first, probed);
        append.clear();
        clear.clear();
        for row in first..(first + SOME).min(rows) {
            let is_empty = elements_of(writes, row).is_empty();
            let replaces = writes.replace[row] != 0;
            clear.add(row, replaces & is_empty);
            // To what is new nothing can be appended.
            append.add(row, !replaces & (is_empty | !probed.place(row).is_new()));
        }
        for row in clear.rows() {
            let (group, key) = group_and_key(keys, writes.keys[row]);
            let cleared = table.remove_in_place(group, key, probed.place_mut(row));
            change -= i64::from(cleared);
            left -= usize::from(probed.is_written(row));
        }
        let (done, more) = even::append(table, (keys, writes), widths, append.rows(), probed);
        change += more;
        left -= done;
        if done == append.len() {
            continue;
        }
        for row in append.rows() {
            if probed.is_written(row) {
                continue;
            }
            let (group, key) = group_and_key(keys, writes.keys[row]);
            let tagged = encode(writes, elements_of(writes, row), &mut number, scratch);
            change += append_in_place(table, group, probed, row, (key, tagged));
            left -= usize::from(probed.is_written(row));
        }
    }
    if left > 0 {
        change += write_others(table, (keys, writes), probed, (&mut number, scratch));
    }
    change
}

/// Writes what is not written yet, and may move records; gives back by how much the number of lists
/// changes.
fn write_others(
    table: &mut Table,
    (keys, writes): (&KeyBatch<'_>, &ListWrites),
    probed: &Probed,
    (number, scratch): (&mut [u8; ENCODED_NUMBER], &mut Vec<u8>),
) -> i64 {
    let mut change = 0;
    for (row, &key) in writes.keys.iter().enumerate() {
        if probed.is_written(row) {
            continue;
        }
        if let Some(&next) = writes.keys.get(row + NEW_AHEAD) {
            let place = probed.place(row + NEW_AHEAD);
            // Most lists are a number or two.
            table.touch_end(keys, next, place, 2 * ENCODED_NUMBER);
        }
        let key = key as usize;
        let (group, hash, bytes) = (keys.groups[key], keys.hashes[key], keys.keys.get(key));
        let replace = writes.replace[row] != 0;
        let tagged = encode(writes, elements_of(writes, row), number, scratch);
        let is_inline = (2..=1 + MAX_INLINE).contains(&tagged.len());
        change += if probed.place(row).is_new() && is_inline {
            let segment = table.segment_mut(group, hash);
            segment.put_new_growing(hash, group.0, bytes, tagged);
            table.split_if_due(group, hash);
            1
        } else {
            write(table, group, hash, bytes, replace, tagged)
        };
    }
    change
}

/// Appends elements, given as [`INLINE`] and their encoding, to the list of a key, which was looked
/// for at this position, if that is long, or there is room where it is, or where the last list of
/// the key was; gives back by how much the number of lists changes.
fn append_in_place(
    table: &mut Table,
    group: KeyGroup,
    probed: &mut Probed,
    position: usize,
    (key, tagged): (&[u8], &[u8]),
) -> i64 {
    let mut longest = 0;
    let written = table.write_in_place(group, probed, position, |segment, at| {
        // Most are a number.
        if let Some([_, element @ ..]) = tagged.as_array::<ENCODED_NUMBER>()
            && let Some(is_new) = segment.append_even(at, key, element, 1 + MAX_INLINE)
        {
            return Some(i64::from(is_new));
        }
        if segment.append_at(at, key, &tagged[1..], 1 + MAX_INLINE) {
            return Some(0);
        }
        let epoch = segment.epoch();
        let has_value = segment.value_of(at, key).map(|value| value.is_some());
        if has_value == Some(true) {
            let Some(Big::List(list)) = segment.big_mut(at) else {
                return None;
            };
            list.append(&tagged[1..], epoch);
            longest = list.column_bytes();
            return Some(0);
        }
        let is_list = (2..=1 + MAX_INLINE).contains(&tagged.len());
        (is_list && segment.restore_at(at, key, tagged)).then_some(1)
    });
    table.longest_list = table.longest_list.max(longest);
    written.unwrap_or(0)
}

/// The key group of a key, and the key.
#[inline]
fn group_and_key<'a>(keys: &KeyBatch<'a>, key: u32) -> (KeyGroup, &'a [u8]) {
    (keys.groups[key as usize], keys.keys.get(key as usize))
}

/// [`INLINE`] and these elements: in `short`, without a call, where it is just a number, else in
/// `long`.
#[inline]
fn encode<'a>(
    writes: &ListWrites,
    elements: Range<usize>,
    short: &'a mut [u8; ENCODED_NUMBER],
    long: &'a mut Vec<u8>,
) -> &'a [u8] {
    if elements.len() == 1
        && let Some(&[a, b, c, d, e, f, g, h]) =
            writes.lists.elements.get(elements.start).as_array()
    {
        *short = [INLINE, 8, a, b, c, d, e, f, g, h];
        return short;
    }
    long.clear();
    long.push(INLINE);
    for i in elements {
        rows::put_bytes(long, writes.lists.elements.get(i));
    }
    long
}

/// Writes one list, given as [`INLINE`] and its encoded elements; gives back by how much the number
/// of lists changes.
pub(super) fn write(
    table: &mut Table,
    group: KeyGroup,
    hash: u64,
    key: &[u8],
    replace: bool,
    tagged: &[u8],
) -> i64 {
    let run = tagged.get(1..).unwrap_or_default();
    if run.is_empty() {
        return if replace {
            -i64::from(table.remove(group, hash, key))
        } else {
            0
        };
    }
    let segment = table.segment_mut(group, hash);
    let epoch = segment.epoch();
    let old = if replace {
        None
    } else {
        segment.find(hash, key)
    };
    let new = match old {
        Some(at) => {
            if let Some(Big::List(list)) = segment.big_mut(at) {
                list.append(run, epoch);
                let bytes = list.column_bytes();
                table.longest_list = table.longest_list.max(bytes);
                return 0;
            }
            let old = segment.value(at).get(1..).unwrap_or_default();
            if old.len() + run.len() <= MAX_INLINE {
                segment.append(hash, key, run);
            } else {
                let mut list = ListChunks::default();
                list.append(old, epoch);
                list.append(run, epoch);
                let bytes = list.column_bytes();
                segment.put_big(hash, group.0, key, Big::List(list));
                table.longest_list = table.longest_list.max(bytes);
            }
            false
        }
        None if run.len() <= MAX_INLINE && replace => segment.put(hash, group.0, key, tagged),
        None if run.len() <= MAX_INLINE => segment.put_growing(hash, group.0, key, tagged),
        None => {
            let mut list = ListChunks::default();
            list.append(run, epoch);
            let bytes = list.column_bytes();
            let new = segment.put_big(hash, group.0, key, Big::List(list));
            table.longest_list = table.longest_list.max(bytes);
            new
        }
    };
    table.split_if_due(group, hash);
    i64::from(new)
}
