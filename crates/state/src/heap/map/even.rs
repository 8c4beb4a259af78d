//! Entries of short maps whose map keys are numbers, and whose values are numbers or nothing, under
//! keys of one length: how they are compared and copied is known when this is compiled.
//!
//! INVARIANT: what is found here is what would be found in any map. What does not fit is left.

use weir_model::OptionalColumn;

use super::{MAX_NUMBERS, NUMBER_HEAD};
use crate::{
    Error, KeyBatch, Which,
    heap::{
        segment::At,
        table::{AT_ONCE, Places, Segments},
    },
    limits,
};

/// A map key that is a number.
pub(super) type Number = [u8; 8];

/// Appends the values of these map keys, one of the map of each of the next keys, from `position`
/// on, whose places these are, and their segments, of no more than are looked at in one round: as
/// far as the maps are short and of numbers. Gives back how many are done.
pub(super) fn get(
    keys: &KeyBatch<'_>,
    (which, position): (Which<'_>, usize),
    (places, segments): (&Places, &Segments<'_>),
    map_keys: &[Number],
    out: &mut OptionalColumn,
) -> Result<usize, Error> {
    let mut each = places.iter().zip(segments).zip(position..);
    let first = each.find_map(|((place, segment), position)| {
        let segment = segment.filter(|segment| segment.value_len(place.at).is_some())?;
        let value_len = *segment.value(place.at).get(NUMBER_HEAD)?;
        Some((keys.keys.get(which.get(position)).len(), value_len))
    });
    let (of, found) = ((which, position), (places, segments));
    match first {
        Some((9, 0)) => get_round::<9, 0, NUMBER_HEAD>(keys, of, found, map_keys, out),
        Some((17, 0)) => get_round::<17, 0, NUMBER_HEAD>(keys, of, found, map_keys, out),
        Some((9, 8)) => get_round::<9, 8, { NUMBER_HEAD + 8 }>(keys, of, found, map_keys, out),
        Some((17, 8)) => get_round::<17, 8, { NUMBER_HEAD + 8 }>(keys, of, found, map_keys, out),
        _ => Ok(0),
    }
}

/// The same for keys of `K` bytes and values of `V`, which make entries of `E`.
fn get_round<const K: usize, const V: usize, const E: usize>(
    keys: &KeyBatch<'_>,
    (which, position): (Which<'_>, usize),
    (places, segments): (&Places, &Segments<'_>),
    map_keys: &[Number],
    out: &mut OptionalColumn,
) -> Result<usize, Error> {
    let (mut values, mut there) = ([[0; V]; AT_ONCE], [false; AT_ONCE]);
    let mut done = 0;
    let sought = places.iter().zip(segments).zip(map_keys);
    let to = values.iter_mut().zip(&mut there);
    for ((((place, segment), map_key), (value, is_there)), position) in
        sought.zip(to).zip(position..)
    {
        if place.at != At::NONE {
            let name = keys.keys.get(which.get(position)).as_array::<K>();
            let map = segment.zip(name);
            let map = map.and_then(|(segment, name)| segment.inline_or_none(place.at, name));
            let Some(body) = map.and_then(|(map, len)| map.get(..len)) else {
                break;
            };
            let Some(found) = find::<V, E>(body.get(1..).unwrap_or_default(), map_key) else {
                break;
            };
            (*value, *is_there) = (found.copied().unwrap_or([0; V]), found.is_some());
        }
        done += 1;
    }
    let (values, there) = (&values[..done], &there[..done]);
    let present = there.iter().map(|&is_there| usize::from(is_there));
    let bytes = out.column().byte_len() + present.sum::<usize>() * V;
    // As it is looked at before the last one is added.
    let before = out.len() + done.saturating_sub(1);
    limits::check_column("the column of values", bytes, before)?;
    out.extend_some_even(values, there);
    Ok(done)
}

/// The value of a map key in the body of a run, whose entries are all of `E` bytes: a number as map
/// key, and a value of `V`; `None` where they are not, or are many.
///
/// All are looked at: where the search could end is not foreseen by the processor.
#[inline]
fn find<'a, const V: usize, const E: usize>(
    body: &'a [u8],
    map_key: &Number,
) -> Option<Option<&'a [u8; V]>> {
    let (entries, rest) = body.as_chunks::<E>();
    if entries.len() > MAX_NUMBERS || !rest.is_empty() {
        return None;
    }
    let (mut at, mut other) = (entries.len(), 0);
    for (number, entry) in entries.iter().enumerate() {
        let [key_len, key @ .., value_len] = entry.first_chunk::<NUMBER_HEAD>()?;
        other |= (key_len ^ size_of::<Number>() as u8) | (value_len ^ V as u8);
        at = if key == map_key { number } else { at };
    }
    let found = entries.get(at).and_then(|entry| entry.last_chunk());
    (other == 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::{collection::vec, prelude::*};
    use weir_model::{
        CheckpointId, Column, KeyGroup, KeyGroupRange, OptionalColumn, ProcessingTime, hash64,
    };

    use super::find;
    use crate::{
        Backend, HeapBackend, KeyBatch, MapWrites, SnapshotRequest, StateDecl, StateIndex,
        StateKind, Which, Writes, rows,
    };

    const MAP: StateIndex = StateIndex(0);
    const GROUPS: KeyGroupRange = KeyGroupRange {
        start: KeyGroup(0),
        end: KeyGroup(2),
    };

    fn number(of: u8) -> [u8; 8] {
        (u64::from(of) << 7).to_be_bytes()
    }

    /// The body of a run with these map keys, each with a value of that length.
    fn body(entries: &[(&[u8], usize)]) -> Vec<u8> {
        let mut body = Vec::new();
        for &(map_key, value) in entries {
            rows::put_bytes(&mut body, map_key);
            rows::put_bytes(
                &mut body,
                &vec![map_key.last().copied().unwrap_or(0); value],
            );
        }
        body
    }

    #[test]
    fn an_entry_among_such_is_found_and_any_other_run_is_left() {
        let keys = [1, 2, 3, 200].map(number);
        let numbers = keys.each_ref().map(|key| (&key[..], 8));
        let sets = keys.each_ref().map(|key| (&key[..], 0));
        for count in 0..=keys.len() {
            let (numbers, sets) = (body(&numbers[..count]), body(&sets[..count]));
            for (at, sought) in keys.iter().enumerate() {
                let value = [sought[7]; 8];
                let is_there = at < count;
                let found = find::<8, 18>(&numbers, sought);
                assert_eq!(found, Some(is_there.then_some(&value)));
                assert_eq!(find::<0, 10>(&sets, sought), Some(is_there.then_some(&[])));
            }
        }
        let (short, many) = (&keys[0][1..], [(&keys[0][..], 0); 17]);
        let others = [
            &[(short, 1)][..],
            &[(&keys[0], 0), (short, 1)],
            &[(short, 1), (&keys[1], 0)],
            // As long together as nine such entries.
            &[(&keys[0], 80)],
            &many,
        ];
        for other in others {
            assert_eq!(find::<0, 10>(&body(other), &keys[1]), None, "{other:?}");
        }
        let whole = body(&numbers);
        for cut in 1..18 {
            let cut = &whole[..whole.len() - cut];
            assert_eq!(find::<8, 18>(cut, &keys[0]), None);
        }
    }

    /// The keys with these numbers, of two lengths: of some of the hash there is nothing but what
    /// all have.
    struct Keys {
        names: Column,
        hashes: Vec<u64>,
        groups: Vec<KeyGroup>,
    }

    impl Keys {
        fn of(numbers: impl Iterator<Item = u8>, odd: u8, same: u32, parts: usize) -> Self {
            let (mut names, mut groups) = (Column::new(), Vec::new());
            for number in numbers {
                let name = u64::from(number).to_le_bytes().repeat(parts);
                let name = [&[8 * parts as u8][..], &name].concat();
                names.push(if number < odd { &name[1..] } else { &name });
                groups.push(KeyGroup(u16::from(number % 3)));
            }
            let hash = |name| hash64(name) & u64::MAX.unbounded_shr(same);
            Self {
                hashes: names.iter().map(hash).collect(),
                names,
                groups,
            }
        }

        fn batch(&self) -> KeyBatch<'_> {
            KeyBatch {
                keys: self.names.view(),
                hashes: &self.hashes,
                groups: &self.groups,
            }
        }
    }

    /// What a call does to entries: their key, map key, and how long their value is, if they get
    /// one.
    type Call = Vec<(u8, u8, Option<usize>)>;

    fn calls() -> impl Strategy<Value = Vec<Call>> {
        let value = |most: usize| {
            prop_oneof![
                3 => Just(Some(most)),
                1 => Just(None),
            ]
        };
        let call = prop::sample::select(vec![0, 0, 0, 8, 8, 3])
            .prop_flat_map(move |most| vec((0..90u8, 0..20u8, value(most)), 1..150));
        vec(call, 1..10)
    }

    /// Maps, by the number of their key.
    type Model = HashMap<u8, BTreeMap<Vec<u8>, Vec<u8>>>;

    /// Whether an entry of each map is found, or not, in order or not.
    fn are_found(
        heap: &mut HeapBackend,
        keys: &KeyBatch<'_>,
        model: &Model,
        first: u8,
    ) -> Result<(), TestCaseError> {
        let in_order = first.is_multiple_of(2);
        let of = |position: u32| {
            if in_order {
                position
            } else {
                position * 7 % 90
            }
        };
        let all: Vec<u32> = (0..90).map(of).collect();
        let mut map_keys = Column::new();
        all.iter()
            .for_each(|&key| map_keys.push(&number((key as u8 + first) % 20)));
        let mut found = OptionalColumn::new();
        found.push(Some(b"before"));
        let which = if in_order {
            Which::All
        } else {
            Which::Some(&all)
        };
        heap.get_entries(MAP, keys, which, map_keys.view(), &mut found)
            .unwrap();
        let expected = all.iter().zip(map_keys.iter()).map(|(&key, map_key)| {
            let map = model.get(&(key as u8))?;
            map.get(map_key).map(Vec::as_slice)
        });
        prop_assert!(found.iter().skip(1).eq(expected));
        prop_assert_eq!(found.len(), 91);
        Ok(())
    }

    proptest! {
        #[test]
        fn entries_of_maps_of_numbers_are_as_a_model_has_them(
            calls in calls(),
            odd in prop::sample::select(vec![0, 0, 5, 255]),
            same in prop::sample::select(vec![0, 0, 28, 64]),
            texts in any::<bool>(),
            // Keys of one number, or of two; some maps too large for the arena; and whether a
            // snapshot is held meanwhile.
            parts in 1..3_usize,
            (large, holds) in any::<(bool, bool)>(),
        ) {
            let decl = StateDecl {
                name: "map".into(),
                kind: StateKind::Map,
                format: "raw".into(),
                version: 1,
                prefetch: false,
                ttl: None,
            };
            let mut heap = HeapBackend::new(vec![decl], GROUPS).unwrap();
            let mut model = Model::new();
            let keys = Keys::of(0..90, odd, same, parts);
            let mut held = None;
            for (step, call) in calls.into_iter().enumerate() {
                let mut writes = MapWrites::default();
                let mut once = BTreeMap::new();
                for (key, map_key, value) in call {
                    let map_key = match texts && map_key == 7 {
                        true => b"text".to_vec(),
                        false => number(map_key).to_vec(),
                    };
                    let value = value.map(|len| vec![step as u8; len]);
                    if large && key % 30 == 7 && value.is_some() {
                        let many = (100..160).map(|of| (key, number(of).to_vec()));
                        once.extend(many.map(|entry| (entry, value.clone())));
                    }
                    once.insert((key, map_key), value);
                }
                for ((key, map_key), value) in once {
                    writes.keys.push(u32::from(key));
                    writes.map_keys.push(&map_key);
                    writes.values.push(value.as_deref());
                    let map = model.entry(key).or_default();
                    match value {
                        Some(value) => map.insert(map_key, value),
                        None => map.remove(&map_key),
                    };
                }
                if holds {
                    let request = SnapshotRequest::full(CheckpointId(1), ProcessingTime(0));
                    held = Some(heap.snapshot(&request).unwrap());
                }
                let writes = Writes { maps: vec![(MAP, writes)], ..Writes::default() };
                heap.apply(&keys.batch(), &writes).unwrap();
                for first in 0..20 {
                    are_found(&mut heap, &keys.batch(), &model, first)?;
                }
            }
            drop(held);
        }
    }
}
