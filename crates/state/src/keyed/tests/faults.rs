//! What a call sees of a backend that fails, and how often it asks one that does not.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::*;
use crate::{Backend, KeyBatch, Snapshot, SnapshotRequest, StateKeys, Writes};
use weir_model::{ColumnView, KeyGroup};

/// The other end of a [`Faulty`] backend.
#[derive(Default)]
struct Handle {
    fails: AtomicBool,
    /// The map keys of the last writes.
    applied: Mutex<Column>,
    scans: AtomicUsize,
    scanned: AtomicUsize,
}

/// A heap backend that fails where it is told to, after it has done half of the work.
struct Faulty {
    heap: HeapBackend,
    handle: Arc<Handle>,
}

impl Faulty {
    fn state() -> (KeyedState, Arc<Handle>) {
        let handle = Arc::<Handle>::default();
        let backend = Self {
            heap: HeapBackend::new(decls(), all()).unwrap(),
            handle: handle.clone(),
        };
        (KeyedState::new(Box::new(backend), max()), handle)
    }

    fn result(&self) -> Result<(), Error> {
        if self.handle.fails.load(Ordering::Relaxed) {
            Err(fault())
        } else {
            Ok(())
        }
    }
}

fn fault() -> Error {
    Error::Damaged("the disk is gone".into())
}

impl Backend for Faulty {
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
        if self.result().is_err() {
            out.push(Some(b"half read"));
        }
        self.result()?;
        self.heap.get_values(state, keys, which, out)
    }

    fn get_lists(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
    ) -> Result<(), Error> {
        if self.result().is_err() {
            out.elements.push(b"half read");
        }
        self.result()?;
        self.heap.get_lists(state, keys, which, out)
    }

    fn get_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        if self.result().is_err() {
            out.push(Some(b"half read"));
        }
        self.result()?;
        self.heap.get_entries(state, keys, which, map_keys, out)
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
        if self.result().is_err() {
            out.keys.push(b"half read");
        }
        self.result()?;
        self.heap
            .scan_entries(state, keys, key, after, limit, out)?;
        self.handle.scans.fetch_add(1, Ordering::Relaxed);
        self.handle
            .scanned
            .fetch_add(out.keys.len(), Ordering::Relaxed);
        Ok(())
    }

    fn scan_keys(
        &mut self,
        state: StateIndex,
        from: KeyGroup,
        out: &mut StateKeys,
    ) -> Result<Option<KeyGroup>, Error> {
        self.result()?;
        self.heap.scan_keys(state, from, out)
    }

    fn apply(&mut self, keys: &KeyBatch<'_>, writes: &Writes) -> Result<(), Error> {
        self.result()?;
        if let Some((_, maps)) = writes.maps.first() {
            *self.handle.applied.lock().unwrap() = maps.map_keys.clone();
        }
        self.heap.apply(keys, writes)
    }

    fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Box<dyn Snapshot>, Error> {
        self.heap.snapshot(request)
    }

    fn load(&mut self, state: StateIndex, group: KeyGroup, rows: &[u8]) -> Result<(), Error> {
        self.heap.load(state, group, rows)
    }

    fn entries(&self, state: StateIndex) -> u64 {
        self.heap.entries(state)
    }
}

/// A state with something of each kind under `a` and `b`.
fn filled() -> (KeyedState, Arc<Handle>) {
    let (mut state, handle) = Faulty::state();
    begin(&mut state, &["a", "b"]);
    for key in 0..2 {
        put(&mut state, key, Some("value"));
        state
            .list_add(LIST, &[key], column(&["element"]).view())
            .unwrap();
        map_put(&mut state, key, &[("map key", Some("entry"))]);
    }
    state.commit().unwrap();
    (state, handle)
}

#[test]
fn a_read_that_failed_leaves_nothing_half_read_behind() {
    let (mut state, handle) = filled();
    for written in [false, true] {
        begin(&mut state, &["a", "b", "c"]);
        if written {
            put(&mut state, 1, Some("new"));
            state
                .list_add(LIST, &[1], column(&["more"]).view())
                .unwrap();
            map_put(&mut state, 1, &[("another", Some("2"))]);
        }
        handle.fails.store(true, Ordering::Relaxed);
        let (mut out, which) = (OptionalColumn::new(), Which::Some(&[0, 2]));
        for which in [which, Which::All] {
            let read = state.value_get(VALUE, which, &mut out);
            assert_eq!(read, Err(fault()));
        }
        let map_keys = column(&["map key", "another"]);
        let read = state.map_get(MAP, which, map_keys.view(), &mut out);
        assert_eq!(read, Err(fault()));
        let read = state.list_get(LIST, which, &mut NestedColumn::default());
        assert_eq!(read, Err(fault()));
        let read = state.map_scan(MAP, 1, None, 9, &mut EntriesColumn::default());
        assert_eq!(read, Err(fault()));
        handle.fails.store(false, Ordering::Relaxed);
        let (second, more) = match written {
            false => ("value", ["element", "map key=entry"]),
            true => ("new", ["element,more", "another=2,map key=entry"]),
        };
        let expected = [some(&["value", second]), vec![None]].concat();
        assert_eq!(values(&mut state), expected);
        assert_eq!(list(&mut state, 1), more[0]);
        assert_eq!(scan(&mut state, 1, None, 9), more[1]);
        assert_eq!(map_get(&mut state, 0, &["map key"]), some(&["entry"]));
    }
}

#[test]
fn a_column_that_failed_to_be_read_is_read_again_from_its_first_row() {
    let (mut state, handle) = filled();
    begin(&mut state, &["b", "c", "a"]);
    handle.fails.store(true, Ordering::Relaxed);
    let read = state.value_get(VALUE, Which::All, &mut OptionalColumn::new());
    assert_eq!(read, Err(fault()));
    handle.fails.store(false, Ordering::Relaxed);
    let expected = [some(&["value"]), vec![None], some(&["value"])].concat();
    assert_eq!(values(&mut state), expected);
}

#[test]
fn a_commit_that_failed_leaves_nothing_for_the_next_one() {
    let (mut state, handle) = filled();
    begin(&mut state, &["a", "b"]);
    put(&mut state, 0, None);
    state
        .list_set(LIST, Which::All, &nested(&[&["x"], &[]]))
        .unwrap();
    state.map_clear(MAP, &[0]).unwrap();
    map_put(&mut state, 1, &[("map key", None)]);
    handle.fails.store(true, Ordering::Relaxed);
    assert_eq!(state.commit(), Err(fault()));
    handle.fails.store(false, Ordering::Relaxed);
    assert_eq!(values(&mut state), some(&["value", "value"]));
    assert_eq!(list(&mut state, 0), "element");
    state.commit().unwrap();
    // Another call on other keys under the same numbers.
    begin(&mut state, &["c", "b"]);
    put(&mut state, 0, Some("of c"));
    state.commit().unwrap();
    begin(&mut state, &["a", "b", "c"]);
    assert_eq!(values(&mut state), some(&["value", "value", "of c"]));
    for key in 0..2 {
        assert_eq!(list(&mut state, key), "element");
        assert_eq!(scan(&mut state, key, None, 9), "map key=entry");
    }
    assert_eq!(state.backend_mut().entries(LIST), 2);
}

#[test]
fn entries_are_committed_in_the_order_in_which_they_were_put() {
    let (mut state, handle) = Faulty::state();
    begin(&mut state, &["k"]);
    map_put(&mut state, 0, &[("a", Some("1")), ("b", Some("1"))]);
    map_put(&mut state, 0, &[("d", Some("1")), ("c", Some("1"))]);
    map_put(&mut state, 0, &[("b", Some("2")), ("e", None)]);
    state.commit().unwrap();
    let expected = column(&["a", "b", "d", "c", "e"]);
    assert_eq!(*handle.applied.lock().unwrap(), expected);
}

#[test]
fn a_scan_past_many_removed_entries_asks_the_backend_seldom() {
    let (mut state, handle) = Faulty::state();
    let names: Vec<String> = (0..3000).map(|i| format!("{i:04}")).collect();
    let entries = |value| names.iter().map(move |name| (name.as_str(), value));
    begin(&mut state, &["k"]);
    map_put(&mut state, 0, &entries(Some("x")).collect::<Vec<_>>());
    state.commit().unwrap();
    begin(&mut state, &["k"]);
    map_put(&mut state, 0, &entries(None).take(2000).collect::<Vec<_>>());
    assert_eq!(scan(&mut state, 0, None, 1), "2000=x");
    let scans = handle.scans.swap(0, Ordering::Relaxed);
    assert!(scans <= 12, "{scans} requests");
    // Where nothing was removed no more is read than is asked for.
    handle.scanned.store(0, Ordering::Relaxed);
    assert_eq!(scan(&mut state, 0, Some("2000"), 2), "2001=x,2002=x");
    assert_eq!(handle.scanned.load(Ordering::Relaxed), 2);
}

#[test]
fn a_scan_that_reads_ahead_does_not_meet_a_limit_that_the_page_would_not() {
    let (mut state, _) = Faulty::state();
    let long = "x".repeat(3 << 20);
    let names: Vec<String> = (10..26).map(|i| i.to_string()).collect();
    for name in &names {
        begin(&mut state, &["k"]);
        map_put(&mut state, 0, &[(name, Some(&long))]);
        state.commit().unwrap();
    }
    begin(&mut state, &["k"]);
    let removed = names[..15].iter().map(|name| (name.as_str(), None));
    map_put(&mut state, 0, &removed.collect::<Vec<_>>());
    assert_eq!(scan(&mut state, 0, None, 1), format!("25={long}"));
}
