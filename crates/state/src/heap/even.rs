//! Values of one length under keys of one length: numbers under numbers, for the most part. How
//! they are compared and copied is known when this is compiled, and each takes less than half of
//! the instructions that it takes otherwise.
//!
//! INVARIANT: what is done here is what would be done for any value. What does not fit is left.

use std::ops::Range;

use weir_model::OptionalColumn;

use super::{
    segment::At,
    some::SomeRows,
    table::{AT_ONCE, Places, Segments, Table},
};
use crate::{Error, KeyBatch, ValueWrites, Which, limits};

/// The bytes of each key and of each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Widths {
    key: usize,
    value: usize,
    /// Whether all values that are written are there, and as long as that.
    are_even: bool,
}

/// Calls a function that is compiled for some widths, or gives `$other`: keys are a number or two
/// behind their length, with a window behind that or without, and values a number or two, or half
/// a one.
macro_rules! of_widths {
    ($widths:expr, $function:ident($($argument:expr),*) $(of $table:ident)?, else $other:expr) => {
        match $widths {
            (5, 4) => $($table.)?$function::<5, 4>($($argument),*),
            (9, 4) => $($table.)?$function::<9, 4>($($argument),*),
            (17, 4) => $($table.)?$function::<17, 4>($($argument),*),
            (25, 4) => $($table.)?$function::<25, 4>($($argument),*),
            (33, 4) => $($table.)?$function::<33, 4>($($argument),*),
            (5, 8) => $($table.)?$function::<5, 8>($($argument),*),
            (9, 8) => $($table.)?$function::<9, 8>($($argument),*),
            (17, 8) => $($table.)?$function::<17, 8>($($argument),*),
            (25, 8) => $($table.)?$function::<25, 8>($($argument),*),
            (33, 8) => $($table.)?$function::<33, 8>($($argument),*),
            (5, 16) => $($table.)?$function::<5, 16>($($argument),*),
            (9, 16) => $($table.)?$function::<9, 16>($($argument),*),
            (17, 16) => $($table.)?$function::<17, 16>($($argument),*),
            (25, 16) => $($table.)?$function::<25, 16>($($argument),*),
            (33, 16) => $($table.)?$function::<33, 16>($($argument),*),
            _ => $other,
        }
    };
}

pub(super) use of_widths;

impl Widths {
    /// Those of the first key that is written, and of the first value.
    pub(super) fn of_writes(keys: &KeyBatch<'_>, writes: &ValueWrites) -> Option<Self> {
        let key = keys.keys.get(*writes.keys.first()? as usize).len();
        let values = &writes.values;
        let value = values.iter().flatten().next()?.len();
        let present = values.present().iter();
        let are_there = present.fold(true, |all, &is_there| all & (is_there != 0));
        let are_even = are_there && values.column().view().width() == Some(value);
        Some(Self {
            key,
            value,
            are_even,
        })
    }
}

/// Appends the values of the next keys, from `position` on, whose places these are, and their
/// segments: of no more than are looked at in one round, and either all or none; says which.
pub(super) fn get_even(
    keys: &KeyBatch<'_>,
    (which, position): (Which<'_>, usize),
    (places, segments): (&Places, &Segments<'_>),
    out: &mut OptionalColumn,
) -> Result<bool, Error> {
    let mut each = places.iter().zip(segments).zip(position..);
    let first = each.find_map(|((place, segment), position)| {
        let value = segment.as_ref()?.value_len(place.at)?;
        Some((keys.keys.get(which.get(position)).len(), value))
    });
    let Some((key, value)) = first else {
        return Ok(false);
    };
    of_widths!(
        (key, value),
        get_round(keys, (which, position), (places, segments), out),
        else Ok(false)
    )
}

fn get_round<const K: usize, const V: usize>(
    keys: &KeyBatch<'_>,
    (which, position): (Which<'_>, usize),
    (places, segments): (&Places, &Segments<'_>),
    out: &mut OptionalColumn,
) -> Result<bool, Error> {
    let (mut values, mut there) = ([[0; V]; AT_ONCE], [false; AT_ONCE]);
    let found = values.iter_mut().zip(&mut there).zip(places).zip(segments);
    for ((((value, is_there), place), segment), position) in found.zip(position..) {
        if place.at == At::NONE {
            continue;
        }
        let name = keys.keys.get(which.get(position)).as_array::<K>();
        let Some((segment, name)) = segment.zip(name) else {
            return Ok(false);
        };
        match segment.even_or_none(place.at, name) {
            Some((found, has_one)) => (*value, *is_there) = (*found, has_one),
            // It was removed, and is long or at the end of the arena; or this is another key's, or
            // a value of another length.
            None if segment.value_of(place.at, name) == Some(None) => {}
            None => return Ok(false),
        }
    }
    let (count, rows) = (places.len(), out.len() + places.len());
    let (values, there) = (&values[..count], &there[..count]);
    let present = there
        .iter()
        .map(|&is_there| usize::from(is_there))
        .sum::<usize>();
    let bytes = out.column().byte_len() + present * V;
    limits::check_column("the column of values", bytes, rows)?;
    match present == count {
        true => out.extend_even(values),
        false => out.extend_some_even(values, there),
    }
    Ok(true)
}

impl Table {
    /// Replaces and removes the values of these rows where they are, but for those that no record
    /// has room for in its place; gives back how many rows are done, and by how much the number of
    /// values changes. `places` are those of all keys, or else of those that are written.
    pub(super) fn replace_even(
        &mut self,
        (keys, writes): (&KeyBatch<'_>, &ValueWrites),
        widths: Option<Widths>,
        (places, are_of_all): (&mut Places, bool),
        rows: Range<usize>,
    ) -> (usize, i64) {
        let Some(widths) = widths else {
            return (0, 0);
        };
        of_widths!(
            (widths.key, widths.value),
            replace_round((keys, writes), widths.are_even, (places, are_of_all), rows) of self,
            else (0, 0)
        )
    }

    fn replace_round<const K: usize, const V: usize>(
        &mut self,
        (keys, writes): (&KeyBatch<'_>, &ValueWrites),
        are_even: bool,
        (places, are_of_all): (&mut Places, bool),
        rows: Range<usize>,
    ) -> (usize, i64) {
        let even = writes.values.column().known_even::<V>();
        let Some(values) = even.filter(|_| are_even) else {
            return self.replace_some::<K, V>((keys, writes), (places, are_of_all), rows);
        };
        let (mut done, mut change) = (0, 0);
        for row in rows {
            let key = writes.keys[row] as usize;
            let place = &mut places[if are_of_all { key } else { row }];
            let Some(name) = keys.keys.get(key).as_array::<K>() else {
                continue;
            };
            let Some(segment) = self.own_segment_of(keys.groups[key], *place) else {
                continue;
            };
            let value = &values[row];
            if !segment.replace_even(place.at, name, value) {
                // It may have been removed, and its record have room.
                match segment.replace_at(place.at, name, value) {
                    Some(is_new) => change += i64::from(is_new),
                    None => continue,
                }
            }
            place.set_written();
            done += 1;
        }
        (done, change)
    }

    /// The same of values of which some are not there, or are of other lengths. Most of them are
    /// numbers that come and go: which ones go is found out without a branch, and which ones come.
    fn replace_some<const K: usize, const V: usize>(
        &mut self,
        (keys, writes): (&KeyBatch<'_>, &ValueWrites),
        (places, are_of_all): (&mut Places, bool),
        rows: Range<usize>,
    ) -> (usize, i64) {
        let (mut stay, mut go) = (SomeRows::<AT_ONCE>::new(), SomeRows::<AT_ONCE>::new());
        for row in rows {
            let is_there = writes.values.present()[row] != 0;
            stay.add(row, is_there);
            go.add(row, !is_there);
        }
        let place_of = |row: usize, key: usize| if are_of_all { key } else { row };
        let (mut done, mut change) = (0, 0);
        for row in go.rows() {
            let key = writes.keys[row] as usize;
            let place = &mut places[place_of(row, key)];
            let removed = self.remove_in_place(keys.groups[key], keys.keys.get(key), place);
            change -= i64::from(removed);
            done += usize::from(place.is_written());
        }
        let values = writes.values.column();
        for row in stay.rows() {
            let key = writes.keys[row] as usize;
            let place = &mut places[place_of(row, key)];
            let name = keys.keys.get(key).as_array::<K>();
            let value = values.get(row).as_array::<V>();
            let Some((name, value)) = name.zip(value) else {
                continue;
            };
            let Some(segment) = self.own_segment_of(keys.groups[key], *place) else {
                continue;
            };
            if let Some(is_new) = segment.put_even(place.at, name, value) {
                change += i64::from(is_new);
                place.set_written();
                done += 1;
            }
        }
        (done, change)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::{collection::vec, prelude::*};
    use weir_model::{Column, KeyGroup, KeyGroupRange, hash64};

    use super::super::{page::Page, segment::Segment, table::Probed};
    use super::*;

    const GROUPS: KeyGroupRange = KeyGroupRange {
        start: KeyGroup(0),
        end: KeyGroup(2),
    };

    /// One call: which keys, the value of each that is written, whether they are read before,
    /// whether they are read by number, whether a snapshot is held meanwhile, and whether some are
    /// removed.
    type Call = (Vec<u16>, Option<usize>, bool, bool, bool, bool);

    fn calls() -> impl Strategy<Value = Vec<Call>> {
        let width = prop::sample::select(vec![None, Some(8), Some(4), Some(16), Some(3), Some(0)]);
        let keys = prop_oneof![vec(0..200_u16, 1..150), vec(0..12_u16, 1..12)];
        let flag = any::<bool>;
        vec((keys, width, flag(), flag(), flag(), flag()), 1..12)
    }

    /// How many keys have a value.
    fn count(table: &Table) -> usize {
        let pages = (0..table.page_count()).filter_map(|page| table.page(page));
        pages.flat_map(Page::segments).map(Segment::len).sum()
    }

    fn read(
        table: &Table,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        probed: &mut Probed,
    ) -> OptionalColumn {
        let mut found = OptionalColumn::new();
        table.get(keys, which, probed, &mut found).unwrap();
        found
    }

    fn expected(
        model: &HashMap<Vec<u8>, Vec<u8>>,
        names: &[Vec<u8>],
        which: Which<'_>,
    ) -> OptionalColumn {
        let mut column = OptionalColumn::new();
        for position in 0..names.len() {
            let value = model.get(&names[which.get(position)]);
            column.push(value.map(Vec::as_slice));
        }
        column
    }

    /// A key of so many bytes, or of one more where `odd`.
    fn key(number: u16, width: usize, odd: bool) -> Vec<u8> {
        let mut key = vec![b'k'; width + usize::from(odd)];
        key[..2].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn values_of_lengths_for_which_there_is_code_are_not_left() {
        for (key_width, value) in [
            (5, 8),
            (9, 16),
            (17, 8),
            (25, 16),
            (33, 8),
            (9, 4),
            (4, 8),
            (9, 7),
        ] {
            let column: Vec<Vec<u8>> = (0..100).map(|n| key(n, key_width, false)).collect();
            let column: Column = column.iter().map(Vec::as_slice).collect();
            let hashes: Vec<u64> = column.iter().map(hash64).collect();
            let groups = vec![KeyGroup(1); hashes.len()];
            let keys = KeyBatch {
                keys: column.view(),
                hashes: &hashes,
                groups: &groups,
            };
            let mut writes = ValueWrites::default();
            writes.keys.extend(0..100);
            (0..100).for_each(|n| writes.values.push(Some(&vec![n; value])));
            let (mut table, mut probed) = (Table::new(GROUPS, false, 0), Probed::default());
            assert_eq!(table.apply(&keys, &writes, &mut probed), 100);
            read(&table, &keys, Which::All, &mut probed);
            let taken = if key_width == 4 || value == 7 {
                0
            } else {
                AT_ONCE
            };
            let mut out = OptionalColumn::new();
            let from = (Which::All, 0);
            let places = &probed.places()[..AT_ONCE];
            let segments = places.iter().map(|at| table.segment_of(KeyGroup(1), *at));
            let segments: Vec<_> = segments.collect();
            let got = get_even(&keys, from, (places, &segments), &mut out).unwrap();
            let expected = (taken > 0, taken);
            assert_eq!((got, out.len()), expected, "{key_width}, {value}");
            let widths = Widths::of_writes(&keys, &writes);
            let places = (probed.places(), true);
            let replaced = table.replace_even((&keys, &writes), widths, places, 0..AT_ONCE);
            assert_eq!(replaced, (taken, 0), "{key_width}, {value}");
            // Every second one is removed, and comes back, where it is.
            for (second, sign) in [(None, -1), (Some(vec![9; value]), 1)] {
                writes.values.clear();
                for n in 0..100 {
                    let first = vec![n; value];
                    let all = if n % 2 == 0 {
                        second.as_ref()
                    } else {
                        Some(&first)
                    };
                    writes.values.push(all.map(Vec::as_slice));
                }
                let widths = Widths::of_writes(&keys, &writes);
                read(&table, &keys, Which::All, &mut probed);
                let places = (probed.places(), true);
                let done = table.replace_even((&keys, &writes), widths, places, 0..AT_ONCE);
                let change = sign * (taken / 2) as i64;
                assert_eq!(done, (taken, change), "{key_width}, {value}");
            }
        }
    }

    proptest! {
        /// Against a map, with keys and values of widths for which there is code and for which
        /// there is none, some of them removed, and some of another length than those beside them.
        #[test]
        fn values_are_those_that_were_written_whatever_their_widths(
            key_width in prop::sample::select(vec![5_usize, 9, 17, 25, 33, 4]),
            odd_key in prop::option::of(0..200_u16),
            hashes_collide in any::<bool>(),
            calls in calls(),
        ) {
            let mut table = Table::new(GROUPS, false, 0);
            let mut probed = Probed::default();
            let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
            for (turn, (mut numbers, width, is_read, by_number, is_held, has_gaps)) in
                calls.into_iter().enumerate()
            {
                numbers.sort_unstable();
                numbers.dedup();
                let names = numbers.iter().map(|&n| key(n, key_width, odd_key == Some(n)));
                let names: Vec<Vec<u8>> = names.collect();
                let column: Column = names.iter().map(Vec::as_slice).collect();
                let hash = |key| match hashes_collide {
                    true => (hash64(key) % 7) << 32,
                    false => hash64(key),
                };
                let hashes: Vec<u64> = column.iter().map(hash).collect();
                let groups = hashes.iter().map(|hash| KeyGroup((hash % 3) as u16));
                let groups: Vec<KeyGroup> = groups.collect();
                let keys = KeyBatch { keys: column.view(), hashes: &hashes, groups: &groups };
                let all: Vec<u32> = (0..names.len() as u32).rev().collect();
                let which = if by_number { Which::Some(&all) } else { Which::All };
                let held = is_held.then(|| table.freeze());
                if is_read {
                    let found = read(&table, &keys, which, &mut probed);
                    let expected = expected(&model, &names, which);
                    prop_assert_eq!(found, expected, "before call {}", turn);
                }
                let mut writes = ValueWrites::default();
                for position in 0..names.len() {
                    let number = which.get(position);
                    let seed = numbers[number].wrapping_mul(31).wrapping_add(turn as u16);
                    // Without a width each has its own.
                    let width = width.unwrap_or(usize::from(seed % 20));
                    let is_there = !has_gaps || seed % 5 > 0;
                    let value = is_there.then(|| vec![seed as u8; width]);
                    writes.keys.push(number as u32);
                    writes.values.push(value.as_deref());
                    match value {
                        Some(value) => model.insert(names[number].clone(), value),
                        None => model.remove(&names[number]),
                    };
                }
                let epoch = turn as u64 + 1;
                table.enter(epoch);
                let before = count(&table);
                let change = table.apply(&keys, &writes, &mut probed);
                prop_assert_eq!(count(&table) as i64, before as i64 + change);
                prop_assert_eq!(count(&table), model.len());
                let found = read(&table, &keys, Which::All, &mut probed);
                let expected = expected(&model, &names, Which::All);
                prop_assert_eq!(found, expected, "after call {}", turn);
                // All were changed in this epoch.
                for ((name, &hash), &group) in names.iter().zip(&hashes).zip(&groups) {
                    let segment = table.segment(group, hash).unwrap();
                    if let Some(at) = segment.find(hash, name) {
                        prop_assert!(segment.changed_since(at, epoch - 1, epoch));
                    }
                }
                drop(held);
                table.thaw();
            }
        }
    }
}
