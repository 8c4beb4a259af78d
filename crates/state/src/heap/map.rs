//! Maps in a table: a small one is a sorted run of length-prefixed entries in the arena, a large
//! one is kept in chunks.
//!
//! INVARIANT: a map that is there has at least one entry; runs rise in byte order of map keys.

mod even;

use std::cmp::Ordering;

use weir_model::{ColumnView, KeyGroup, OptionalColumn, same_key};

use super::{
    big::Big,
    chunks::MapChunks,
    segment::{At, INLINE, Segment},
    table::{Probed, Table},
};
use crate::{
    EntriesColumn, Error, KeyBatch, MapWrites, Which, limits,
    rows::{self, Reader},
};

/// Maps up to this many encoded bytes are kept in the arena, where they are searched from the
/// beginning and moved by every insertion.
const MAX_INLINE: usize = 512;

/// What is before the short value of a map key of 8 bytes: its length, and that of the value.
const NUMBER_HEAD: usize = 10;
/// Of so many entries with numbers as map keys all are looked at.
const MAX_NUMBERS: usize = 16;

/// The entries of a run, in order.
struct Run<'a>(Reader<'a>);

impl<'a> Iterator for Run<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.bytes()?, self.0.bytes()?))
    }
}

fn run_of(value: &[u8]) -> Run<'_> {
    Run(Reader::new(body_of(value)))
}

/// The number of entries of a map.
pub(super) fn entries(segment: &Segment, at: At) -> u64 {
    match segment.big(at) {
        Some(Big::Map(map)) => map.entries(),
        Some(Big::List(_)) => 0,
        None => run_of(segment.value(at)).count() as u64,
    }
}

/// The entries of a map in order, after `after` (exclusive).
pub(super) fn iter_after<'a>(
    segment: &'a Segment,
    at: At,
    after: Option<&'a [u8]>,
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let (run, chunks) = match segment.big(at) {
        Some(Big::Map(map)) => (None, Some(map.iter_after(after))),
        Some(Big::List(_)) => (None, None),
        None => (Some(run_of(segment.value(at))), None),
    };
    run.into_iter()
        .flatten()
        .skip_while(move |&(key, _)| after.is_some_and(|after| key <= after))
        .chain(chunks.into_iter().flatten())
}

/// What has changed of a map since the epoch `base`.
pub(super) enum Since<'a> {
    /// All of it: it is small, or was not there.
    All,
    /// The entries that were put, in order. What was removed is in the log.
    Put(Box<dyn Iterator<Item = (&'a [u8], &'a [u8])> + 'a>),
}

/// What has changed of a map since the epoch `base`.
pub(super) fn since(segment: &Segment, at: At, base: u64) -> Since<'_> {
    match segment.big(at) {
        Some(Big::Map(map)) if map.born() <= base => Since::Put(Box::new(map.put_since(base))),
        Some(Big::Map(_) | Big::List(_)) | None => Since::All,
    }
}

/// The value of a map key.
fn get_one<'a>(segment: &'a Segment, at: At, map_key: &[u8]) -> Option<&'a [u8]> {
    match segment.big(at) {
        Some(Big::Map(map)) => map.get(map_key),
        Some(Big::List(_)) => None,
        None => Place::of(map_key, body_of(segment.value(at))).value,
    }
}

/// The entries of a run, behind its tag.
fn body_of(value: &[u8]) -> &[u8] {
    value.get(1..).unwrap_or_default()
}

/// Where an entry is in the body of a run, or would be.
struct Place<'a> {
    start: usize,
    /// Where it ends: where it begins if it is not there.
    end: usize,
    value: Option<&'a [u8]>,
}

impl<'a> Place<'a> {
    #[inline]
    fn of(map_key: &[u8], body: &'a [u8]) -> Self {
        let mut passed = 0;
        if let Some(number) = map_key.as_array::<8>() {
            let number = u64::from_be_bytes(*number);
            if let Some(place) = Self::of_number(number, body) {
                return place;
            }
            passed = pass_numbers(number, body);
        }
        let mut reader = Reader::new(&body[passed..]);
        loop {
            let start = body.len() - reader.len();
            // What we encoded can be decoded; were it not, nothing is behind it.
            let (Some(key), Some(value)) = (reader.bytes(), reader.bytes()) else {
                return Self::none(body.len());
            };
            match key.cmp(map_key) {
                Ordering::Less => {}
                Ordering::Equal => {
                    return Self {
                        start,
                        end: body.len() - reader.len(),
                        value: Some(value),
                    };
                }
                Ordering::Greater => return Self::none(start),
            }
        }
    }

    /// The same where all map keys are numbers, all values equally long and short, and there are
    /// few of them; else `None`.
    ///
    /// All are looked at: where the search could end is not foreseen by the processor, and costs
    /// it more.
    #[inline]
    fn of_number(number: u64, body: &'a [u8]) -> Option<Self> {
        match body.first_chunk::<NUMBER_HEAD>()?.last() {
            // Sets, and numbers under numbers: of these the width is known beforehand.
            Some(0) => Self::of_even::<{ NUMBER_HEAD }>(number, body),
            Some(8) => Self::of_even::<{ NUMBER_HEAD + 8 }>(number, body),
            Some(&len) => Self::of_width(number, body, len),
            None => None,
        }
    }

    /// The same where entries take `WIDTH` bytes each.
    #[inline]
    fn of_even<const WIDTH: usize>(number: u64, body: &'a [u8]) -> Option<Self> {
        let (entries, rest) = body.as_chunks::<WIDTH>();
        if entries.len() > MAX_NUMBERS || !rest.is_empty() {
            return None;
        }
        let (mut less, mut other) = (0, 0);
        for entry in entries {
            let [key_len, key @ .., value_len] = entry.first_chunk::<NUMBER_HEAD>()?;
            other |= (key_len ^ 8) | (value_len ^ (WIDTH - NUMBER_HEAD) as u8);
            less += usize::from(u64::from_be_bytes(*key) < number);
        }
        if other != 0 {
            return None;
        }
        let entry = entries.get(less).map(<[u8; WIDTH]>::as_slice);
        Some(Self::at(less * WIDTH, number, entry))
    }

    /// The same where each value has this length.
    fn of_width(number: u64, body: &'a [u8], value_len: u8) -> Option<Self> {
        let width = NUMBER_HEAD + usize::from(value_len);
        if value_len >= 0x80 || body.len() > width * MAX_NUMBERS {
            return None;
        }
        let (mut less, mut end, mut alike) = (0, 0, true);
        while let Some([8, key @ .., len]) = body[end..].first_chunk::<NUMBER_HEAD>() {
            alike &= *len == value_len;
            less += usize::from(u64::from_be_bytes(*key) < number);
            end += width;
            if end >= body.len() {
                break;
            }
        }
        if end != body.len() || !alike {
            return None;
        }
        let start = less * width;
        Some(Self::at(start, number, body[start..].get(..width)))
    }

    /// The place of a number that begins here, if it is in `entry`.
    #[inline]
    fn at(start: usize, number: u64, entry: Option<&'a [u8]>) -> Self {
        let found = entry.filter(|entry| entry[1..9] == number.to_be_bytes());
        Self {
            start,
            end: start + found.map_or(0, <[u8]>::len),
            value: found.map(|entry| &entry[NUMBER_HEAD..]),
        }
    }

    fn none(start: usize) -> Self {
        Self {
            start,
            end: start,
            value: None,
        }
    }
}

/// How many bytes of a run the entries take whose map keys are less than a number, as far as all
/// map keys are numbers and all values short: most maps are such, and nothing is called for them.
#[inline]
fn pass_numbers(number: u64, body: &[u8]) -> usize {
    let mut passed = 0;
    while let Some([8, key @ .., value_len]) = body[passed..].first_chunk::<10>()
        && u64::from_be_bytes(*key) < number
        && *value_len < 0x80
    {
        let next = passed + 10 + usize::from(*value_len);
        if next > body.len() {
            break;
        }
        passed = next;
    }
    passed
}

/// Appends the values of a column of (key, map key). The groups are in the range.
pub(super) fn get(
    table: &Table,
    keys: &KeyBatch<'_>,
    which: Which<'_>,
    map_keys: ColumnView<'_>,
    probed: &mut Probed,
    out: &mut OptionalColumn,
) -> Result<(), Error> {
    let numbers = match map_keys.width() {
        Some(8) => map_keys.contents().as_chunks().0,
        Some(_) | None => &[],
    };
    table.rounds(keys, which, probed, |some, places, segments| {
        let (first, places_are) = (some.start, (&*places, segments));
        let done = match numbers.get(some.clone()) {
            Some(numbers) => even::get(keys, (which, first), places_are, numbers, out)?,
            None => 0,
        };
        for (position, place) in some.zip(places).skip(done) {
            let map_key = map_keys.get(position);
            let record = table.record_of(keys, which.get(position), place);
            let value = record.and_then(|(segment, at, map)| match map {
                [INLINE, body @ ..] => Place::of(map_key, body).value,
                _ => get_one(segment, at, map_key),
            });
            let bytes = out.column().byte_len() + value.map_or(0, <[u8]>::len);
            limits::check_column("the column of values", bytes, out.len())?;
            out.push(value);
        }
        Ok(())
    })
}

/// Appends up to `limit` entries of the map of one key. The group is in the range.
pub(super) fn scan(
    table: &Table,
    keys: &KeyBatch<'_>,
    key: usize,
    after: Option<&[u8]>,
    limit: usize,
    out: &mut EntriesColumn,
) -> Result<(), Error> {
    let hash = keys.hashes[key];
    let Some(segment) = table.segment(keys.groups[key], hash) else {
        return Ok(());
    };
    let Some(at) = segment.find(hash, keys.keys.get(key)) else {
        return Ok(());
    };
    for (map_key, value) in iter_after(segment, at, after).take(limit) {
        let bytes = (out.keys.byte_len() + map_key.len()).max(out.values.byte_len() + value.len());
        limits::check_column("the column of entries", bytes, out.keys.len())?;
        out.keys.push(map_key);
        out.values.push(value);
    }
    Ok(())
}

/// Applies writes that were checked; gives back by how much the number of entries changes.
///
/// What needs no room comes first, behind the clears: that moves no record.
pub(super) fn apply(
    table: &mut Table,
    keys: &KeyBatch<'_>,
    writes: &MapWrites,
    probed: &mut Probed,
    scratch: &mut Vec<u8>,
) -> i64 {
    let mut change = 0;
    for &key in &writes.clear {
        let key = key as usize;
        let (group, hash) = (keys.groups[key], keys.hashes[key]);
        change += clear(table, group, hash, keys.keys.get(key));
    }
    let entries = writes.map_keys.iter().zip(writes.values.iter());
    for ((row, &key), entry) in writes.keys.iter().enumerate().zip(entries) {
        table.look_for_next(keys, &writes.keys, row, probed);
        change += write_in_place(table, keys, (key as usize, row), entry, probed, scratch);
    }
    for (row, &key) in writes.keys.iter().enumerate() {
        if probed.is_written(row) {
            continue;
        }
        let key = key as usize;
        let (group, hash) = (keys.groups[key], keys.hashes[key]);
        let (map_key, key) = (writes.map_keys.get(row), keys.keys.get(key));
        change += match writes.values.get(row) {
            Some(value) => put(table, group, hash, key, (map_key, value), scratch),
            None => remove(table, group, hash, key, map_key, scratch),
        };
    }
    change
}

/// Writes an entry of the key at a position of the column that was looked for, if that changes
/// nothing, or its map is there, small, and has room; gives back by how much the number of entries
/// changes.
fn write_in_place(
    table: &mut Table,
    keys: &KeyBatch<'_>,
    (key, position): (usize, usize),
    (map_key, new): (&[u8], Option<&[u8]>),
    probed: &mut Probed,
    scratch: &mut Vec<u8>,
) -> i64 {
    let Some((_, _, map)) = table.record(keys, key, probed, position) else {
        if new.is_none() {
            probed.set_written(position);
        }
        return 0;
    };
    let [INLINE, body @ ..] = map else {
        return 0;
    };
    let place = Place::of(map_key, body);
    let is_same = match (place.value, new) {
        (Some(old), Some(new)) => same_key(old, new),
        (old, new) => old.is_none() && new.is_none(),
    };
    if is_same {
        probed.set_written(position);
        return 0;
    }
    scratch.clear();
    if let Some(value) = new {
        rows::put_bytes(scratch, map_key);
        rows::put_bytes(scratch, value);
    }
    let change = i64::from(new.is_some()) - i64::from(place.value.is_some());
    let is_left = 1 + body.len() - (place.end - place.start) + scratch.len();
    // A map is not empty, and is not small for ever.
    if !(2..=MAX_INLINE).contains(&is_left) {
        return 0;
    }
    let range = 1 + place.start..1 + place.end;
    let group = keys.groups[key];
    let written = table.write_in_place(group, probed, position, |segment, at| {
        segment.splice_at(at, range, scratch).then_some(change)
    });
    written.unwrap_or(0)
}

/// Removes a map; gives back by how much the number of entries changes.
pub(super) fn clear(table: &mut Table, group: KeyGroup, hash: u64, key: &[u8]) -> i64 {
    let Some(segment) = table.segment(group, hash) else {
        return 0;
    };
    let Some(at) = segment.find(hash, key) else {
        return 0;
    };
    let gone = entries(segment, at) as i64;
    table.remove(group, hash, key);
    -gone
}

/// Puts one entry; gives back by how much the number of entries changes.
pub(super) fn put(
    table: &mut Table,
    group: KeyGroup,
    hash: u64,
    key: &[u8],
    entry: (&[u8], &[u8]),
    scratch: &mut Vec<u8>,
) -> i64 {
    let segment = table.segment_mut(group, hash);
    let epoch = segment.epoch();
    let old = segment.find(hash, key);
    if let Some(at) = old
        && let Some(Big::Map(map)) = segment.big_mut(at)
    {
        return i64::from(map.put(entry.0, entry.1, epoch));
    }
    let run = old.map_or(&[][..], |at| segment.value(at));
    let new = splice(run, entry.0, Some(entry.1), scratch);
    if scratch.len() <= MAX_INLINE {
        if new {
            segment.put_growing(hash, group.0, key, scratch);
        } else {
            segment.put(hash, group.0, key, scratch);
        }
    } else {
        let mut map = MapChunks::new(epoch);
        for (map_key, value) in run_of(scratch) {
            map.put(map_key, value, epoch);
        }
        segment.put_big(hash, group.0, key, Big::Map(map));
    }
    table.split_if_due(group, hash);
    i64::from(new)
}

/// Removes one entry; gives back by how much the number of entries changes.
pub(super) fn remove(
    table: &mut Table,
    group: KeyGroup,
    hash: u64,
    key: &[u8],
    map_key: &[u8],
    scratch: &mut Vec<u8>,
) -> i64 {
    // Looked at first, so that a segment is not copied for nothing.
    let there = table.segment(group, hash).is_some_and(|segment| {
        segment
            .find(hash, key)
            .is_some_and(|at| get_one(segment, at, map_key).is_some())
    });
    if !there {
        return 0;
    }
    let segment = table.segment_mut(group, hash);
    let Some(at) = segment.find(hash, key) else {
        return 0;
    };
    let mut logged = false;
    let empty = if let Some(Big::Map(map)) = segment.big_mut(at) {
        map.remove(map_key);
        logged = true;
        map.entries() == 0
    } else {
        splice(segment.value(at), map_key, None, scratch);
        if scratch.len() > 1 {
            segment.put(hash, group.0, key, scratch);
        }
        scratch.len() <= 1
    };
    if empty {
        table.remove(group, hash, key);
    } else if logged {
        table.removals.push(group.0, key, Some(map_key));
    }
    -1
}

/// Writes to `to` the run `from` with one entry put or removed; gives back whether its key was not
/// there.
fn splice(from: &[u8], map_key: &[u8], value: Option<&[u8]>, to: &mut Vec<u8>) -> bool {
    let body = body_of(from);
    let place = Place::of(map_key, body);
    to.clear();
    to.push(INLINE);
    to.extend_from_slice(&body[..place.start]);
    if let Some(value) = value {
        rows::put_bytes(to, map_key);
        rows::put_bytes(to, value);
    }
    to.extend_from_slice(&body[place.end..]);
    place.value.is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{
        collection::{btree_map, btree_set},
        prelude::*,
    };

    use super::*;

    /// Numbers of which many are there, and what is no number.
    fn map_key() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            12 => (0..40u64).prop_map(|n| (n << 7).to_be_bytes().to_vec()),
            1 => proptest::collection::vec(0..3u8, 0..10),
        ]
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![20 => Just(3), 1 => Just(0), 1 => 0..200usize].prop_map(|len| vec![7; len])
    }

    /// Whether an entry is found where it is in the run of a map, or would be.
    fn is_found(map: &BTreeMap<Vec<u8>, Vec<u8>>, sought: &[u8]) -> Result<(), TestCaseError> {
        let mut body = Vec::new();
        let (mut start, mut end) = (None, None);
        for (key, value) in map {
            if key.as_slice() >= sought {
                start.get_or_insert(body.len());
            }
            rows::put_bytes(&mut body, key);
            rows::put_bytes(&mut body, value);
            if key.as_slice() >= sought {
                end.get_or_insert(body.len());
            }
        }
        let value = map.get(sought).map(Vec::as_slice);
        let start = start.unwrap_or(body.len());
        let end = value.and(end).unwrap_or(start);
        let place = Place::of(sought, &body);
        prop_assert_eq!((place.start, place.end, place.value), (start, end, value));
        Ok(())
    }

    proptest! {
        #[test]
        fn an_entry_is_found_where_it_is_or_would_be(
            map in btree_map(map_key(), value(), 0..24),
            sought in map_key(),
        ) {
            is_found(&map, &sought)?;
        }

        /// Most maps are such, and their entries are looked at all at once.
        #[test]
        fn an_entry_is_found_among_numbers_with_values_of_one_length(
            keys in btree_set(0..40u64, 0..20),
            length in prop::sample::select(vec![0_usize, 1, 3, 8, 127, 128]),
            sought in map_key(),
        ) {
            let entry = |n: u64| ((n << 7).to_be_bytes().to_vec(), vec![n as u8; length]);
            is_found(&keys.into_iter().map(entry).collect(), &sought)?;
        }
    }

    #[test]
    fn a_value_that_looks_like_an_entry_is_none() {
        let like = [&[8][..], &1_u64.to_be_bytes(), &[0]].concat();
        let mut body = Vec::new();
        for (key, value) in [(0_u64, &b""[..]), (2, &like)] {
            rows::put_bytes(&mut body, &key.to_be_bytes());
            rows::put_bytes(&mut body, value);
        }
        let of = |key: u64| Place::of(&key.to_be_bytes(), &body).value;
        assert_eq!([0, 1, 2].map(of), [Some(&b""[..]), None, Some(&like)]);
    }

    #[test]
    fn a_run_that_was_cut_off_has_nothing_behind_its_end() {
        for value in [&b"val"[..], b"", b"a number"] {
            let mut body = Vec::new();
            for key in [1u64, 2, 3] {
                rows::put_bytes(&mut body, &key.to_be_bytes());
                rows::put_bytes(&mut body, value);
            }
            for len in 0..body.len() {
                let place = Place::of(&3u64.to_be_bytes(), &body[..len]);
                assert!(place.value.is_none() && place.end <= len, "{value:?} {len}");
            }
        }
    }
}
