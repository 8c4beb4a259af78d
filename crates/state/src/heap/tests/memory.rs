//! What was removed or has become shorter gives its memory back.

use weir_model::{Column, KeyGroup, KeyGroupRange, OptionalColumn, hash64};

use super::decls;
use crate::{
    Backend, HeapBackend, KeyBatch, ListWrites, MapWrites, StateIndex, StateKind, ValueWrites,
    Writes,
};

const VALUE: StateIndex = StateIndex(0);
const LIST: StateIndex = StateIndex(1);
const MAP: StateIndex = StateIndex(2);
const GROUP: KeyGroup = KeyGroup(3);

fn backend() -> HeapBackend {
    let decls = decls([StateKind::Value, StateKind::List, StateKind::Map]);
    let range = KeyGroupRange {
        start: GROUP,
        end: GROUP,
    };
    HeapBackend::new(decls, range).unwrap()
}

fn memory(backend: &HeapBackend, state: StateIndex) -> usize {
    backend.states[state.0 as usize].table.memory()
}

/// Writes under the keys with these numbers.
fn write(backend: &mut HeapBackend, numbers: std::ops::Range<u32>, writes: &Writes) {
    let names: Vec<String> = numbers.map(|n| format!("key {n}")).collect();
    let keys: Column = names.iter().map(|name| name.as_bytes()).collect();
    let hashes: Vec<u64> = keys.iter().map(hash64).collect();
    let batch = KeyBatch {
        keys: keys.view(),
        hashes: &hashes,
        groups: &vec![GROUP; keys.len()],
    };
    backend.apply(&batch, writes).unwrap();
}

/// The same value for `keys` keys.
fn values(keys: u32, value: Option<&[u8]>) -> Writes {
    let mut values = OptionalColumn::new();
    (0..keys).for_each(|_| values.push(value));
    let keys = (0..keys).collect();
    Writes {
        values: vec![(VALUE, ValueWrites { keys, values })],
        ..Writes::default()
    }
}

/// A list of `elements` elements of 100 bytes for each of `keys` keys, instead of what was there.
fn lists(keys: u32, elements: u32) -> Writes {
    let mut lists = ListWrites::default();
    for key in 0..keys {
        lists.keys.push(key);
        lists.replace.push(1);
        (0..elements).for_each(|_| lists.lists.elements.push(&[7; 100]));
        lists.lists.ends.push((key + 1) * elements);
    }
    Writes {
        lists: vec![(LIST, lists)],
        ..Writes::default()
    }
}

/// The entries `0..entries` of the maps of `keys` keys.
fn maps(keys: u32, entries: u32, value: Option<&[u8]>) -> Writes {
    let mut maps = MapWrites::default();
    for key in 0..keys {
        for entry in 0..entries {
            maps.keys.push(key);
            maps.map_keys.push(&entry.to_be_bytes());
            maps.values.push(value);
        }
    }
    Writes {
        maps: vec![(MAP, maps)],
        ..Writes::default()
    }
}

#[test]
fn a_state_whose_keys_were_removed_gives_their_memory_back() {
    const KEYS: u32 = 20_000;
    for (state, fill, drain) in [
        (VALUE, values(KEYS, Some(b"a value")), values(KEYS, None)),
        (LIST, lists(KEYS, 1), lists(KEYS, 0)),
        (MAP, maps(KEYS, 1, Some(b"x")), maps(KEYS, 1, None)),
    ] {
        let mut backend = backend();
        write(&mut backend, 0..KEYS, &fill);
        let full = memory(&backend, state);
        write(&mut backend, 0..KEYS, &drain);
        assert_eq!(backend.entries(state), 0);
        let empty = memory(&backend, state);
        assert!(empty < full / 10, "{state:?}: {empty} of {full} are left");
        // What is left serves what comes.
        write(&mut backend, 0..KEYS, &fill);
        assert!(memory(&backend, state) <= full * 3 / 2);
    }
}

#[test]
fn a_long_value_that_is_replaced_by_a_short_one_is_let_go_of() {
    let long = vec![1; 1 << 20];
    let mut backend = backend();
    write(&mut backend, 0..1, &values(1, Some(&long)));
    write(&mut backend, 0..1, &values(1, Some(b"short")));
    assert!(memory(&backend, VALUE) < 4096);
    write(&mut backend, 0..1, &lists(1, 10_000));
    write(&mut backend, 0..1, &lists(1, 1));
    assert!(memory(&backend, LIST) < 4096);
    write(&mut backend, 0..1, &maps(1, 3, Some(&long)));
    write(&mut backend, 0..1, &maps(1, 3, Some(b"short")));
    assert!(memory(&backend, MAP) < 4096);
}

#[test]
fn a_map_that_shrinks_gives_its_chunks_back() {
    let mut backend = backend();
    write(&mut backend, 0..1, &maps(1, 50_000, Some(b"a value")));
    let full = memory(&backend, MAP);
    write(&mut backend, 0..1, &maps(1, 49_000, None));
    let left = memory(&backend, MAP);
    assert!(left < full / 10, "{left} of {full} are left");
    assert_eq!(backend.entries(MAP), 1000);
}

#[test]
fn what_is_put_where_something_was_removed_takes_its_place() {
    const KEYS: u32 = 1000;
    for (state, fill, drain) in [
        (
            VALUE,
            values(KEYS, Some(b"a value")),
            values(KEYS / 3, None),
        ),
        (LIST, lists(KEYS, 1), lists(KEYS / 3, 0)),
    ] {
        let mut backend = backend();
        write(&mut backend, 0..KEYS, &fill);
        let full = memory(&backend, state);
        for _ in 0..20 {
            write(&mut backend, 0..KEYS, &drain);
            assert_eq!(backend.entries(state), u64::from(KEYS - KEYS / 3));
            write(&mut backend, 0..KEYS, &fill);
            assert_eq!(backend.entries(state), u64::from(KEYS));
            assert_eq!(memory(&backend, state), full);
        }
    }
}

#[test]
fn keys_that_come_and_go_do_not_pile_up() {
    const KEYS: u32 = 500;
    let mut backend = backend();
    let mut most = 0;
    for turn in 0..40 {
        let numbers = turn * KEYS..(turn + 1) * KEYS;
        write(
            &mut backend,
            numbers.clone(),
            &values(KEYS, Some(b"a value")),
        );
        write(&mut backend, numbers.clone(), &lists(KEYS, 1));
        let held = memory(&backend, VALUE) + memory(&backend, LIST);
        if turn < 4 {
            most = most.max(held);
        }
        assert!(held <= most * 2, "{held} after {most}");
        write(&mut backend, numbers.clone(), &values(KEYS, None));
        write(&mut backend, numbers, &lists(KEYS, 0));
        assert_eq!((backend.entries(VALUE), backend.entries(LIST)), (0, 0));
    }
}

/// Copying what is there into a larger buffer takes as long as to write it.
#[test]
fn a_half_of_what_was_split_has_room_until_it_is_split_again() {
    use super::super::{big::Big, list::ListChunks, segment::Segment};

    for (length, depth) in [(8, 4), (170, 4), (3000, 8)] {
        let value = vec![1; length];
        let mut segment = Segment::new(false);
        let mut number = 0_u64;
        // All keys go to the half that stays, so that each split leaves the same keys.
        let mut fill = |segment: &mut Segment| {
            while !segment.is_over() {
                let hash = number << depth | number << 32;
                segment.put_new(hash, 3, &number.to_be_bytes(), &value);
                number += 1;
            }
        };
        fill(&mut segment);
        for _ in 0..depth {
            let (before, live) = (segment.len(), segment.buffers());
            let high = segment.split();
            assert_eq!((segment.len(), high.len()), (before, 0), "{length}");
            assert_eq!(high.buffers(), 0, "an empty half takes no memory");
            assert!(segment.is_over());
            assert!(segment.buffers() <= live * 17 / 16, "{length}");
        }
        // Now half of them goes.
        let high = segment.split();
        for mut half in [segment, high] {
            assert!((1..300).contains(&half.len()), "{length}");
            let room = half.buffers();
            fill(&mut half);
            assert_eq!(half.buffers(), room, "{length}");
        }
    }
    // What is kept outside goes along, to the half of its key.
    let mut segment = Segment::new(true);
    for number in 0..20_u64 {
        let hash = number | number << 32;
        segment.put_big(hash, 3, &[number as u8], Big::List(ListChunks::default()));
    }
    let high = segment.split();
    for (half, odd) in [(&segment, 0), (&high, 1)] {
        assert_eq!(half.len(), 10);
        for number in 0..20_u64 {
            let at = half.find(number | number << 32, &[number as u8]);
            let is_there = at.is_some_and(|at| half.big(at).is_some());
            assert_eq!(is_there, number % 2 == odd);
        }
    }
}

#[test]
fn what_grows_behind_all_others_stays_where_it_is() {
    use super::super::segment::Segment;

    let mut segment = Segment::new(true);
    let keys = [&b"first"[..], b"last"];
    let hash = |key: usize| (key as u64) << 32;
    for (number, key) in keys.into_iter().enumerate() {
        segment.put_growing(hash(number), 3, key, &[0]);
    }
    let place = |segment: &Segment, number: usize| segment.find(hash(number), keys[number]);
    let before = place(&segment, 1);
    let mut values = [vec![0], vec![0]];
    // Beyond the length up to which a record says it in a byte, and each time by more than the
    // room that there is.
    for length in [40, 80, 300, 700] {
        segment.append(hash(1), keys[1], &vec![7; length]);
        values[1].extend(vec![7; length]);
        assert_eq!(place(&segment, 1), before, "{length}");
    }
    let first = place(&segment, 0);
    segment.append(hash(0), keys[0], &[8; 90]);
    values[0].extend([8; 90]);
    assert_ne!(place(&segment, 0), first, "there is one behind it");
    for (number, value) in values.iter().enumerate() {
        let at = place(&segment, number).unwrap();
        assert_eq!(segment.value(at), value);
    }
    // What becomes much smaller gives back what it had.
    segment.append(hash(0), keys[0], &[8; 60_000]);
    let before = segment.buffers();
    segment.put(hash(0), 3, keys[0], &[0, 1, 2]);
    assert!(segment.buffers() < before / 10);
    assert_eq!(segment.value(place(&segment, 0).unwrap()), [0, 1, 2]);
}

#[test]
fn a_value_that_has_grown_has_room_to_grow_again() {
    use super::super::segment::Segment;

    let mut segment = Segment::new(false);
    let (hash, key) = (1 << 32, b"grows");
    let mut before = None;
    let mut moves = 0;
    for number in 1..=10_u8 {
        let value = vec![number; 24 * usize::from(number)];
        assert_eq!(segment.put(hash, 3, key, &value), number == 1);
        let at = segment.find(hash, key);
        assert_eq!(at.map(|at| segment.value(at)), Some(&value[..]));
        moves += usize::from(before.is_some_and(|before| Some(before) != at));
        before = at;
        // So that it is not the last one, which grows where it is.
        segment.put(u64::from(number) << 40, 3, &[number], b"behind");
    }
    assert_eq!(moves, 3);
}
