//! What an increment writes (D11): what has changed, whatever there is.

use std::sync::Arc;

use weir_model::{
    CheckpointId, Column, KeyGroupRange, MaxParallelism, OperatorName, OptionalColumn, Parallelism,
    ProcessingTime, SubtaskIndex, hash64,
};

use crate::{
    Backend, BaseIndex, HeapBackend, KeyBatch, ListWrites, MapWrites, SnapshotRequest, StateDecl,
    StateFile, StateFileWriter, StateIndex, StateKind, ValueWrites, Writes,
};

const KEYS: u32 = 200_000;

fn max() -> MaxParallelism {
    MaxParallelism::new(128).unwrap()
}

/// A backend of one state, and the checkpoints that were taken of it.
struct Taken {
    max: MaxParallelism,
    backend: HeapBackend,
    last: u64,
    index: Option<(CheckpointId, Arc<BaseIndex>)>,
}

impl Taken {
    fn new(kind: StateKind) -> Self {
        Self::of_groups(kind, max())
    }

    /// With so many key groups.
    fn of_groups(kind: StateKind, max: MaxParallelism) -> Self {
        let decl = StateDecl {
            name: "state".into(),
            kind,
            format: "raw".into(),
            version: 1,
            prefetch: false,
            ttl: None,
        };
        let range: KeyGroupRange = max.range_of(SubtaskIndex(0), Parallelism::ONE).unwrap();
        Self {
            max,
            backend: HeapBackend::new(vec![decl], range).unwrap(),
            last: 0,
            index: None,
        }
    }

    /// Writes to some keys, in batches.
    fn write(&mut self, keys: impl Iterator<Item = u32>, writes: impl Fn(&[u32]) -> Writes) {
        let all: Vec<u32> = keys.collect();
        for some in all.chunks(4096) {
            let names: Vec<String> = some.iter().map(|n| format!("customer-{n}")).collect();
            let keys: Column = names.iter().map(|name| name.as_bytes()).collect();
            let hashes: Vec<u64> = keys.iter().map(hash64).collect();
            let groups: Vec<_> = hashes.iter().map(|&h| self.max.key_group_of(h)).collect();
            let batch = KeyBatch {
                keys: keys.view(),
                hashes: &hashes,
                groups: &groups,
            };
            self.backend.apply(&batch, &writes(some)).unwrap();
        }
    }

    fn put(&mut self, keys: impl Iterator<Item = u32>, round: u32) {
        self.write(keys, |some| {
            let mut values = OptionalColumn::new();
            for n in some {
                values.push(Some(
                    format!("{round}: {}", n.wrapping_mul(77_777)).as_bytes(),
                ));
            }
            let keys = (0..some.len() as u32).collect();
            Writes {
                values: vec![(StateIndex(0), ValueWrites { keys, values })],
                ..Writes::default()
            }
        });
    }

    /// Takes a checkpoint on the one before.
    fn checkpoint(&mut self) -> StateFile {
        self.last += 1;
        let id = CheckpointId(self.last);
        let request = SnapshotRequest {
            base: self.index.as_ref().map(|(id, _)| *id),
            tracked: true,
            ..SnapshotRequest::full(id, ProcessingTime(0))
        };
        let snapshot = self.backend.snapshot(&request).unwrap();
        let mut writer = match self.index.take() {
            Some((id, index)) => StateFileWriter::on(id, index),
            None => StateFileWriter::new(),
        };
        let operator = OperatorName::new("op").unwrap();
        let decls = self.backend.states().to_vec();
        writer.add(&operator, &decls, snapshot).unwrap();
        let file = writer.finish().unwrap();
        let index = file.index(&format!("../shared/op/0/{id}-1"));
        self.index = Some((id, Arc::new(index)));
        file
    }
}

#[test]
fn a_checkpoint_of_one_changed_key_in_a_hundred_writes_less_than_a_twentieth() {
    let mut taken = Taken::new(StateKind::Value);
    taken.put(0..KEYS, 0);
    let full = taken.checkpoint().length;
    let idle = taken.checkpoint();
    assert!(
        idle.length * 100 < full,
        "nothing: {} of {full}",
        idle.length
    );
    for round in 1..6 {
        taken.put((0..KEYS).filter(|n| (n + round) % 100 == 0), round);
        let file = taken.checkpoint();
        assert!(file.length * 20 < full, "{} of {full}", file.length);
        assert_eq!(
            file.references.len() as u32,
            round,
            "chains of base and deltas"
        );
    }
}

#[test]
fn chains_are_written_anew_when_deltas_are_many_or_large() {
    let mut taken = Taken::new(StateKind::Value);
    taken.put(0..KEYS / 10, 0);
    let full = taken.checkpoint().length;
    for round in 1..60 {
        taken.put((0..KEYS / 10).filter(|n| n % 100 == 0), round);
        let file = taken.checkpoint();
        assert!(file.references.len() < 16, "{}", file.references.len());
        let named: u64 = file.references.iter().map(|file| file.length).sum();
        assert!(named < full * 3, "{named} of {full}");
    }
    taken.put(0..KEYS / 10, 99);
    let file = taken.checkpoint();
    assert_eq!(file.references, [], "all that was there has changed");
}

/// Changes of the 25 keys from 10 on, each of 11 bytes and with a value of 6 at first: how long the
/// new value of each is that has one, or that it is removed.
fn is_delta(changes: &[Option<usize>]) -> bool {
    let mut taken = Taken::of_groups(StateKind::Value, MaxParallelism::new(1).unwrap());
    let put = |lengths: Vec<Option<usize>>| {
        move |_: &[u32]| {
            let mut values = OptionalColumn::new();
            for length in &lengths {
                values.push(length.map(|length| vec![b'v'; length]).as_deref());
            }
            let keys = (0..lengths.len() as u32).collect();
            Writes {
                values: vec![(StateIndex(0), ValueWrites { keys, values })],
                ..Writes::default()
            }
        }
    };
    taken.write(10..35, put(vec![Some(6); 25]));
    taken.checkpoint();
    taken.write(10..10 + changes.len() as u32, put(changes.to_vec()));
    let file = taken.checkpoint();
    !file.references.is_empty()
}

#[test]
fn changes_are_a_delta_up_to_the_half_of_what_is_there_and_not_a_byte_more() {
    // A row in full is 20 bytes: three lengths, of which one is 0, key and value. One of changes
    // says in a byte more what they are, and one that is removed has no value: of 250 bytes each.
    let exactly = [
        vec![Some(10); 10],
        vec![Some(0), Some(219)],
        vec![Some(9), Some(9), Some(186)],
        [vec![None], vec![Some(10); 8], vec![Some(21)]].concat(),
    ];
    for mut changes in exactly {
        assert!(is_delta(&changes), "{changes:?}");
        for more in (0..changes.len()).rev() {
            if let Some(length) = &mut changes[more] {
                *length += 1;
                assert!(!is_delta(&changes), "{changes:?}");
                changes[more] = changes[more].map(|length| length - 1);
            }
        }
    }
}

#[test]
fn what_is_removed_costs_its_key_and_much_of_it_a_new_base() {
    let mut taken = Taken::new(StateKind::Value);
    taken.put(0..KEYS, 0);
    let full = taken.checkpoint().length;
    let clear = |some: &[u32]| {
        let mut values = OptionalColumn::new();
        some.iter().for_each(|_| values.push(None));
        let keys = (0..some.len() as u32).collect();
        Writes {
            values: vec![(StateIndex(0), ValueWrites { keys, values })],
            ..Writes::default()
        }
    };
    taken.write((0..KEYS).filter(|n| n % 100 == 0), clear);
    let file = taken.checkpoint();
    assert!(file.length * 20 < full, "{} of {full}", file.length);
    taken.write((0..KEYS).filter(|n| n % 10 < 9), clear);
    let file = taken.checkpoint();
    assert_eq!(file.references, []);
    assert!(file.length * 8 < full, "{} of {full}", file.length);
}

#[test]
fn of_a_large_list_the_end_is_written_and_of_a_large_map_the_entries() {
    let mut lists = Taken::new(StateKind::List);
    let append = |elements: u32| {
        move |some: &[u32]| {
            let mut writes = ListWrites::default();
            for (key, _) in (0..).zip(some) {
                writes.keys.push(key);
                writes.replace.push(0);
                for n in 0..elements {
                    let element = n.wrapping_mul(0x9e37_79b9).to_be_bytes();
                    writes.lists.elements.push(&element);
                }
                writes.lists.ends.push(writes.lists.elements.len() as u32);
            }
            Writes {
                lists: vec![(StateIndex(0), writes)],
                ..Writes::default()
            }
        }
    };
    lists.write(0..1, append(300_000));
    let full = lists.checkpoint().length;
    lists.write(0..1, append(10));
    let file = lists.checkpoint();
    assert!(file.length * 20 < full, "list: {} of {full}", file.length);

    let mut maps = Taken::new(StateKind::Map);
    let put = |entries: Vec<u32>, value: Option<u32>| {
        move |_: &[u32]| {
            let mut writes = MapWrites::default();
            for n in &entries {
                writes.keys.push(0);
                writes
                    .map_keys
                    .push(&n.wrapping_mul(0x9e37_79b9).to_be_bytes());
                let value = value.map(|value| (n ^ value).wrapping_mul(77_777).to_be_bytes());
                writes.values.push(value.as_ref().map(<[u8; 4]>::as_slice));
            }
            Writes {
                maps: vec![(StateIndex(0), writes)],
                ..Writes::default()
            }
        }
    };
    maps.write(0..1, put((0..100_000).collect(), Some(1)));
    let full = maps.checkpoint().length;
    let some = |rest: u32| {
        (0..100_000)
            .filter(|n| n % 100 == rest)
            .collect::<Vec<u32>>()
    };
    maps.write(0..1, put(some(0), Some(2)));
    let file = maps.checkpoint();
    assert!(file.length * 20 < full, "map: {} of {full}", file.length);
    maps.write(0..1, put(some(1), None));
    let file = maps.checkpoint();
    assert!(
        file.length * 20 < full,
        "map, removed: {} of {full}",
        file.length
    );
}
