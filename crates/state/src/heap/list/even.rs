//! Short lists of numbers, under keys of one length. How they are compared and copied is known when
//! this is compiled, and each takes a third of the instructions that it takes otherwise.
//!
//! INVARIANT: what is done here is what would be done for any list. What does not fit is left.

use super::{MAX_INLINE, elements_of};
use crate::{
    Error, KeyBatch, ListWrites, NestedColumn, Which,
    heap::{
        even::of_widths,
        segment::At,
        table::{AT_ONCE, Places, Probed, Segments, Table},
    },
    limits,
};

/// So many elements of a list are copied before it is asked how many there are: nobody can foretell
/// it of lists that come and go.
const FIRST: usize = 2;
/// There is room for so many elements of the lists of a round.
const ROOM: usize = 4 * AT_ONCE;

/// The bytes of each key and of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Widths(usize, usize);

impl Widths {
    /// Those of the first key that is written, and of all elements.
    pub(super) fn of(keys: &KeyBatch<'_>, writes: &ListWrites) -> Option<Self> {
        let key = keys.keys.get(*writes.keys.first()? as usize).len();
        let element = writes.lists.elements.view().width()?;
        Some(Self(key, element))
    }
}

/// Appends the lists of the next keys, from `position` on, whose places these are, and their
/// segments, of no more than are looked at in one round: as far as they are lists of numbers, and
/// of few in all. Gives back how many are done.
pub(super) fn get(
    keys: &KeyBatch<'_>,
    (which, position): (Which<'_>, usize),
    (places, segments): (&Places, &Segments<'_>),
    out: &mut NestedColumn,
) -> Result<usize, Error> {
    let mut each = places.iter().zip(segments).zip(position..);
    let first = each.find_map(|((place, segment), position)| {
        let segment = segment.filter(|segment| segment.value_len(place.at).is_some())?;
        let element = *segment.value(place.at).get(1)?;
        Some((keys.keys.get(which.get(position)).len(), element.into()))
    });
    let Some((key, element)) = first else {
        return Ok(0);
    };
    of_widths!(
        (key, element),
        get_round(keys, (which, position), (places, segments), out),
        else Ok(0)
    )
}

fn get_round<const K: usize, const N: usize>(
    keys: &KeyBatch<'_>,
    (which, position): (Which<'_>, usize),
    (places, segments): (&Places, &Segments<'_>),
    out: &mut NestedColumn,
) -> Result<usize, Error> {
    let (mut done, mut ends) = (0, [0; AT_ONCE]);
    let mut end = out.elements.len();
    let extended = out.elements.extend_even(ROOM, |all: &mut [[u8; N]]| {
        let found = places.iter().zip(segments).zip(&mut ends);
        for (((place, segment), list_end), position) in found.zip(position..) {
            let name = keys.keys.get(which.get(position)).as_array::<K>();
            let copied = match (segment, name) {
                _ if place.at == At::NONE => Some(0),
                (Some(segment), Some(name)) => segment
                    .inline_or_none(place.at, name)
                    .zip(all.get_mut(end..))
                    .and_then(|((list, len), room)| copy(list, len, room)),
                _ => None,
            };
            let Some(copied) = copied else { break };
            end += copied;
            *list_end = end as u32;
            done += 1;
        }
        end
    });
    if extended.is_none() {
        return Ok(0);
    }
    out.ends.extend_from_slice(&ends[..done]);
    let (bytes, elements) = (out.elements.byte_len(), out.elements.len());
    limits::check_column("the column of lists", bytes, elements)?;
    Ok(done)
}

/// Copies the elements of a list, given as its inline form, which has so many bytes of these; gives
/// back how many there are. `None` where they are not all of `N` bytes, or there is no room.
#[inline]
fn copy<const N: usize>(list: &[u8], len: usize, room: &mut [[u8; N]]) -> Option<usize> {
    let (run, size) = (list.get(1..)?, 1 + N);
    let bytes = len.saturating_sub(1);
    let count = bytes / size;
    if (count * size != bytes) | (count.max(FIRST) > room.len()) {
        return None;
    }
    let mut copied = 0;
    // At the end of the arena there may be less behind the list.
    if let Some(first) = run.get(..FIRST * size) {
        let (length, other) = (first[0], first[size]);
        let are_even =
            ((count < 1) | (usize::from(length) == N)) & ((count < 2) | (usize::from(other) == N));
        if !are_even {
            return None;
        }
        // What is not of the list goes over what there is not.
        room[0] = *first[1..size].as_array()?;
        room[1] = *first[size + 1..].as_array()?;
        copied = FIRST;
    }
    if count > copied {
        let others = run[..bytes].chunks_exact(size).zip(room).skip(copied);
        for (element, room) in others {
            let (&length, element) = element.split_first()?;
            if usize::from(length) != N {
                return None;
            }
            *room = *element.as_array()?;
        }
    }
    Some(count)
}

/// Appends the element of each of these rows where its list is, or was, but for those that have
/// none or several, or whose records have no room; gives back how many are done, and by how much
/// the number of lists changes.
pub(super) fn append(
    table: &mut Table,
    (keys, writes): (&KeyBatch<'_>, &ListWrites),
    widths: Option<Widths>,
    rows: impl Iterator<Item = usize>,
    probed: &mut Probed,
) -> (usize, i64) {
    let Some(Widths(key, element)) = widths else {
        return (0, 0);
    };
    of_widths!(
        (key, element),
        append_round(table, (keys, writes), rows, probed),
        else (0, 0)
    )
}

fn append_round<const K: usize, const N: usize>(
    table: &mut Table,
    (keys, writes): (&KeyBatch<'_>, &ListWrites),
    rows: impl Iterator<Item = usize>,
    probed: &mut Probed,
) -> (usize, i64) {
    let (mut done, mut change) = (0, 0);
    let elements = writes.lists.elements.known_even::<N>().unwrap_or_default();
    for row in rows {
        let these = elements_of(writes, row);
        let (group, name) = super::group_and_key(keys, writes.keys[row]);
        let Some(name) = name.as_array::<K>().filter(|_| these.len() == 1) else {
            continue;
        };
        let place = probed.place(row);
        let Some(segment) = table.own_segment_of(group, place) else {
            continue;
        };
        let number = &elements[these.start];
        if let Some(is_new) = segment.append_number(place.at, name, number, 1 + MAX_INLINE) {
            change += i64::from(is_new);
            probed.set_written(row);
            done += 1;
        }
    }
    (done, change)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::{collection::vec, prelude::*};
    use weir_model::{CheckpointId, Column, KeyGroup, KeyGroupRange, ProcessingTime, hash64};

    use super::{super::INLINE, copy};
    use crate::{
        Backend, HeapBackend, KeyBatch, ListWrites, NestedColumn, SnapshotRequest, StateDecl,
        StateIndex, StateKind, Which, Writes, rows,
    };

    const LIST: StateIndex = StateIndex(0);
    const GROUPS: KeyGroupRange = KeyGroupRange {
        start: KeyGroup(0),
        end: KeyGroup(2),
    };

    /// What a call does to a key: whether its list is replaced, and how many elements come.
    type Write = (bool, usize);

    /// One call: what it writes, how long its elements are by turns, in which runs it reads its
    /// keys before, and whether a snapshot is held meanwhile.
    type Call = (BTreeMap<u16, Write>, [usize; 2], usize, bool);

    fn calls() -> impl Strategy<Value = Vec<Call>> {
        // Most append one, or clear.
        let write = prop_oneof![
            6 => Just((false, 1)),
            3 => Just((true, 0)),
            2 => (any::<bool>(), 0..7_usize),
        ];
        let writes = prop_oneof![
            proptest::collection::btree_map(0..200_u16, write.clone(), 1..200),
            proptest::collection::btree_map(0..12_u16, write, 1..12),
        ];
        // Elements of most calls are as long as those before; of some two are together as long as
        // one.
        let widths = [[8; 2], [8; 2], [8; 2], [3, 4], [16; 2], [4; 2], [0; 2]];
        let width = prop::sample::select(widths.to_vec());
        let run = prop::sample::select(vec![0, 1, 60, 64, 100, 500]);
        vec((writes, width, run, prop::bool::weighted(0.2)), 1..14)
    }

    /// The keys with these numbers.
    struct Keys {
        names: Column,
        hashes: Vec<u64>,
        groups: Vec<KeyGroup>,
    }

    impl Keys {
        /// `odd` of them are as long as no others; `same` bits of a hash are those of all.
        fn of(numbers: impl Iterator<Item = u16>, odd: u16, same: u32) -> Self {
            let (mut names, mut groups) = (Column::new(), Vec::new());
            for number in numbers {
                let name = [&[8][..], &u64::from(number).to_le_bytes()].concat();
                names.push(if number < odd { &name[1..] } else { &name });
                groups.push(KeyGroup(number % 3));
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

    fn heap() -> HeapBackend {
        let decl = StateDecl {
            name: "list".into(),
            kind: StateKind::List,
            format: "raw".into(),
            version: 1,
            prefetch: false,
            ttl: None,
        };
        HeapBackend::new(vec![decl], GROUPS).unwrap()
    }

    /// Reads lists, some at a time.
    fn read(heap: &mut HeapBackend, keys: &Keys, run: usize) -> Vec<Vec<Vec<u8>>> {
        let mut read = NestedColumn::default();
        let all: Vec<u32> = (0..keys.names.len() as u32).collect();
        let batch = keys.batch();
        match run {
            0 => heap.get_lists(LIST, &batch, Which::All, &mut read).unwrap(),
            run => all.chunks(run).for_each(|some| {
                let some = Which::Some(some);
                heap.get_lists(LIST, &batch, some, &mut read).unwrap();
            }),
        }
        let mut start = 0;
        let lists = read.ends.iter().map(|&end| {
            let rows = std::mem::replace(&mut start, end as usize)..end as usize;
            rows.map(|row| read.elements.get(row).to_vec()).collect()
        });
        lists.collect()
    }

    /// What is copied of a list with elements of these lengths, with so many bytes behind it.
    fn copied(lengths: &[usize], behind: usize) -> Option<Vec<[u8; 8]>> {
        let (mut list, mut room) = (vec![INLINE], [[0; 8]; 5]);
        for (number, &length) in (1..).zip(lengths) {
            rows::put_bytes(&mut list, &vec![number; length]);
        }
        let len = if lengths.is_empty() { 0 } else { list.len() };
        list.resize(list.len() + behind, 8);
        copy(&list, len, &mut room).map(|count| room[..count].to_vec())
    }

    #[test]
    fn numbers_are_copied_and_nothing_that_is_as_long_as_some() {
        for behind in [0, 9, 40] {
            for count in 0..=5 {
                let numbers = (1..=count).map(|number| [number; 8]);
                let lengths = vec![8; usize::from(count)];
                assert_eq!(copied(&lengths, behind), Some(numbers.collect()));
            }
            let others = [
                &[8, 3, 4][..],
                &[3, 4],
                &[3, 4, 8],
                &[8, 8, 3, 4],
                &[8, 8, 8, 3, 4],
                &[8, 8, 7],
                &[9],
                &[17],
                // There is room for five.
                &[8; 6],
            ];
            for lengths in others {
                assert_eq!(copied(lengths, behind), None, "{lengths:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn lists_of_numbers_are_as_a_model_has_them(
            calls in calls(),
            odd in prop::sample::select(vec![0, 0, 5, 1000]),
            same in prop::sample::select(vec![0, 0, 28, 64]),
        ) {
            let (mut heap, mut model) = (heap(), HashMap::<u16, Vec<Vec<u8>>>::new());
            let mut held = None;
            for (step, (call, width, run, holds)) in calls.into_iter().enumerate() {
                let keys = Keys::of(call.keys().copied(), odd, same);
                let mut writes = ListWrites::default();
                let of = |model: &HashMap<_, _>, number| model.get(number).cloned();
                let before = call.keys().map(|key| of(&model, key).unwrap_or_default());
                let before: Vec<_> = before.collect();
                prop_assert_eq!(read(&mut heap, &keys, run), before);
                for (row, (&number, &(replaces, count))) in call.iter().enumerate() {
                    let list = model.entry(number).or_default();
                    if replaces {
                        list.clear();
                    }
                    for element in 0..count {
                        let mut bytes = vec![step as u8; width[element % 2]];
                        bytes.first_mut().into_iter().for_each(|first| *first = element as u8);
                        writes.lists.elements.push(&bytes);
                        list.push(bytes);
                    }
                    writes.keys.push(row as u32);
                    writes.replace.push(u8::from(replaces));
                    writes.lists.ends.push(writes.lists.elements.len() as u32);
                }
                if holds {
                    let request = SnapshotRequest::full(CheckpointId(1), ProcessingTime(0));
                    held = Some(heap.snapshot(&request).unwrap());
                }
                let writes = Writes { lists: vec![(LIST, writes)], ..Writes::default() };
                heap.apply(&keys.batch(), &writes).unwrap();
                model.retain(|_, list| !list.is_empty());
                prop_assert_eq!(heap.entries(LIST), model.len() as u64);
                if !holds && step % 3 == 0 {
                    held = None;
                }
            }
            drop(held);
            let keys = Keys::of(0..200, odd, same);
            let all = (0..200).map(|number| model.get(&number).cloned().unwrap_or_default());
            let all: Vec<_> = all.collect();
            prop_assert_eq!(read(&mut heap, &keys, 0), all.clone());
            prop_assert_eq!(read(&mut heap, &keys, 7), all);
        }
    }
}
