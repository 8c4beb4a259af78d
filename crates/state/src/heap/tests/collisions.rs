//! The laws again, on keys whose hashes collide: among billions of keys some do, and whoever may
//! choose keys can make them.

use weir_model::{Column, ColumnView, KeyGroup, KeyGroupRange, OptionalColumn, hash64};

use crate::{
    Backend, EntriesColumn, Error, HeapBackend, KeyBatch, NestedColumn, Snapshot, SnapshotRequest,
    StateDecl, StateIndex, StateKind, TimerKind, Timers, Which, Writes, laws, rows::Reader,
};

#[test]
fn keys_with_one_of_few_hashes_keep_apart() {
    check(|hash| hash % 16);
}

#[test]
fn keys_whose_hashes_differ_only_in_the_upper_half_keep_apart() {
    check(|hash| hash << 32 | 5);
}

#[test]
fn keys_whose_hashes_differ_only_in_the_lower_half_keep_apart() {
    check(|hash| hash & 0xffff_ffff);
}

#[test]
fn keys_that_crowd_in_one_corner_of_a_table_keep_apart_from_the_others() {
    // Most have the same low bits, so that their segments are split often before the others are.
    check(|hash| match hash >> 61 {
        0..3 => hash & !1,
        _ => hash & !15 | 1,
    });
}

fn check(worse: fn(u64) -> u64) {
    laws::check_crowds(|decls, range| {
        Box::new(Colliding {
            heap: HeapBackend::new(decls, range).unwrap(),
            worse,
        })
    });
}

/// A heap backend with a worse hash function.
struct Colliding {
    heap: HeapBackend,
    worse: fn(u64) -> u64,
}

impl Colliding {
    fn with<R>(
        &mut self,
        keys: &KeyBatch<'_>,
        run: impl FnOnce(&mut HeapBackend, &KeyBatch<'_>) -> R,
    ) -> R {
        let hashes: Vec<u64> = keys.hashes.iter().map(|&hash| (self.worse)(hash)).collect();
        let keys = KeyBatch {
            hashes: &hashes,
            ..*keys
        };
        run(&mut self.heap, &keys)
    }

    /// Writes one row of a file, from which the backend would compute the hash itself.
    fn load_row(&mut self, state: StateIndex, group: KeyGroup, reader: &mut Reader<'_>) {
        let key = reader.bytes().unwrap();
        let _namespace = reader.bytes().unwrap();
        let mut writes = Writes::default();
        match self.heap.states()[state.0 as usize].kind {
            StateKind::List => {
                let mut lists = crate::ListWrites {
                    keys: vec![0],
                    replace: vec![0],
                    ..Default::default()
                };
                for _ in 0..reader.uvarint().unwrap() {
                    lists.lists.elements.push(reader.bytes().unwrap());
                }
                lists.lists.ends.push(lists.lists.elements.len() as u32);
                writes.lists.push((state, lists));
            }
            StateKind::Map => {
                let mut maps = crate::MapWrites::default();
                for _ in 0..reader.uvarint().unwrap() {
                    maps.keys.push(0);
                    maps.map_keys.push(reader.bytes().unwrap());
                    maps.values.push(Some(reader.bytes().unwrap()));
                }
                writes.maps.push((state, maps));
            }
            _ => {
                let mut values = crate::ValueWrites::default();
                values.keys.push(0);
                values.values.push(Some(reader.bytes().unwrap()));
                writes.values.push((state, values));
            }
        }
        let keys: Column = [key].into_iter().collect();
        let batch = KeyBatch {
            keys: keys.view(),
            hashes: &[hash64(key)],
            groups: &[group],
        };
        self.apply(&batch, &writes).unwrap();
    }
}

impl Backend for Colliding {
    fn key_groups(&self) -> KeyGroupRange {
        self.heap.key_groups()
    }

    fn states(&self) -> &[StateDecl] {
        self.heap.states()
    }

    fn get_values(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.with(keys, |heap, keys| heap.get_values(state, keys, which, out))
    }

    fn get_lists(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
    ) -> Result<(), Error> {
        self.with(keys, |heap, keys| heap.get_lists(state, keys, which, out))
    }

    fn get_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.with(keys, |heap, keys| {
            heap.get_entries(state, keys, which, map_keys, out)
        })
    }

    fn scan_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        key: u32,
        after: Option<&[u8]>,
        limit: usize,
        out: &mut EntriesColumn,
    ) -> Result<(), Error> {
        self.with(keys, |heap, keys| {
            heap.scan_entries(state, keys, key, after, limit, out)
        })
    }

    fn scan_keys(
        &mut self,
        state: StateIndex,
        from: KeyGroup,
        out: &mut crate::StateKeys,
    ) -> Result<Option<KeyGroup>, Error> {
        self.heap.scan_keys(state, from, out)
    }

    fn apply(&mut self, keys: &KeyBatch<'_>, writes: &Writes) -> Result<(), Error> {
        self.with(keys, |heap, keys| heap.apply(keys, writes))
    }

    fn next_timer(&mut self, kind: TimerKind) -> Result<Option<i64>, Error> {
        self.heap.next_timer(kind)
    }

    fn due_timers(
        &mut self,
        kind: TimerKind,
        until: i64,
        limit: usize,
        out: &mut Timers,
    ) -> Result<(), Error> {
        self.heap.due_timers(kind, until, limit, out)
    }

    fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Box<dyn Snapshot>, Error> {
        self.heap.snapshot(request)
    }

    fn load(&mut self, state: StateIndex, group: KeyGroup, rows: &[u8]) -> Result<(), Error> {
        // Timers are found by their order, and no hash is computed.
        if self.heap.states()[state.0 as usize].kind == StateKind::Timers {
            return self.heap.load(state, group, rows);
        }
        let mut reader = Reader::new(rows);
        while !reader.is_empty() {
            self.load_row(state, group, &mut reader);
        }
        Ok(())
    }

    fn entries(&self, state: StateIndex) -> u64 {
        self.heap.entries(state)
    }
}
