//! Removing what has expired, a little with every access (D16).
//!
//! A cursor goes round and round over the entries of a state; each key that was accessed takes it
//! some entries further when a call is committed. What it finds expired goes as if a call had
//! removed it.

use weir_model::KeyGroup;

use super::{
    Shape, list, map,
    segment::{At, INLINE, Segment},
    snapshot::{Alive, Elements},
    table::Table,
};
use crate::rows;

/// How many entries an access of one key looks at.
const ENTRIES: i64 = 5;
/// How many places of the index are looked at to find them: most are taken, and a third or less
/// only where a segment was split not long ago.
const PLACES: i64 = 4 * ENTRIES;
/// An access of a whole column of keys looks at no more than that many of them: it may wait.
const MAX_KEYS: usize = 256;

/// Where the cursor is.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    page: usize,
    segment: u32,
    place: usize,
    /// What was looked at too much: a large list is looked at as a whole.
    debt: i64,
}

/// What is to be done about a record.
enum Expired {
    All,
    /// Of a list: what stays, as it is written.
    List(Vec<u8>),
    /// Of a map: the entries.
    Entries(Vec<Vec<u8>>),
}

/// Looks at some entries after an access of so many keys; gives back by how much the number of
/// entries changes.
pub(super) fn step(
    shape: Shape,
    table: &mut Table,
    cursor: &mut Cursor,
    alive: Alive,
    keys: usize,
    scratch: &mut Vec<u8>,
) -> i64 {
    let keys = keys.min(MAX_KEYS) as i64;
    let mut left = keys * ENTRIES - cursor.debt;
    let mut places = keys * PLACES;
    let mut found: Vec<(KeyGroup, u64, Vec<u8>, Expired)> = Vec::new();
    while left > 0 && places > 0 {
        places -= 1;
        let Some((segment, at, hash)) = next(table, cursor) else {
            continue;
        };
        let (items, expired) = look(shape, segment, at, alive);
        left -= items;
        if let Some(expired) = expired {
            let key = segment.key(at).to_vec();
            found.push((KeyGroup(segment.group(at)), hash, key, expired));
        }
    }
    cursor.debt = (-left).max(0);
    if found.is_empty() {
        return 0;
    }
    table.thaw();
    let mut change = 0;
    for (group, hash, key, expired) in found {
        change += match expired {
            Expired::All if shape == Shape::Map => map::clear(table, group, hash, &key),
            Expired::All => -i64::from(table.remove(group, hash, &key)),
            Expired::List(rest) => list::write(table, group, hash, &key, true, &rest),
            Expired::Entries(entries) => entries
                .iter()
                .map(|map_key| map::remove(table, group, hash, &key, map_key, scratch))
                .sum(),
        };
    }
    change
}

/// The next place: a record, or none where it is empty or an end was reached.
fn next<'a>(table: &'a Table, cursor: &mut Cursor) -> Option<(&'a Segment, At, u64)> {
    let Some(page) = table.page(cursor.page) else {
        (cursor.page, cursor.segment, cursor.place) = (0, 0, 0);
        return None;
    };
    let Some(segment) = page.segment(cursor.segment) else {
        (cursor.page, cursor.segment, cursor.place) = (cursor.page + 1, 0, 0);
        return None;
    };
    match segment.at_place(cursor.place) {
        None => {
            (cursor.segment, cursor.place) = (cursor.segment + 1, 0);
            None
        }
        Some((at, hash)) => {
            cursor.place += 1;
            (at != At::NONE).then_some((segment, at, hash))
        }
    }
}

/// How many entries a record has, and what of it has expired.
fn look(shape: Shape, segment: &Segment, at: At, alive: Alive) -> (i64, Option<Expired>) {
    match shape {
        Shape::Cell => {
            let expired = !alive.is(segment.value(at));
            (1, expired.then_some(Expired::All))
        }
        Shape::List => {
            let elements = || list::runs(segment, at).flat_map(Elements::of);
            let (mut items, mut gone) = (0, 0);
            for element in elements() {
                items += 1;
                gone += i64::from(!alive.is(element));
            }
            let expired = (gone > 0).then(|| {
                let mut rest = vec![INLINE];
                let stay = elements().filter(|element| alive.is(element));
                stay.for_each(|element| rows::put_bytes(&mut rest, element));
                if gone == items {
                    Expired::All
                } else {
                    Expired::List(rest)
                }
            });
            (items, expired)
        }
        Shape::Map => {
            let mut items = 0;
            let mut gone = Vec::new();
            for (map_key, value) in map::iter_after(segment, at, None) {
                items += 1;
                if !alive.is(value) {
                    gone.push(map_key.to_vec());
                }
            }
            let all = gone.len() as i64 == items;
            let expired = (!gone.is_empty()).then_some(match all {
                true => Expired::All,
                false => Expired::Entries(gone),
            });
            (items, expired)
        }
        Shape::Timers | Shape::Foreign => (1, None),
    }
}
