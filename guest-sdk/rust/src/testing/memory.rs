//! A host in memory. It keeps the rules of the contract, and panics where an SDK breaks one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::bindings::weir::operator::data::{
    BytesColumn, Descriptor, OptionalColumn, Slots, StateDecl, StateKind, TimerKind,
};
use crate::call::Scope;
use crate::column;
use crate::error::Result;
use crate::host::{EntriesColumn, Host, Level, NestedColumn, Task};

type Bytes = Vec<u8>;

/// What the host holds and what it has seen.
pub(super) struct Memory {
    pub(super) config: String,
    pub(super) states: Vec<StateDecl>,
    pub(super) held: AllHeld,
    /// When what is held was last accessed, where it has a time to live.
    pub(super) accessed: Accessed,
    /// The timers that are set.
    pub(super) timers: AllTimers,
    /// Whether timers are declared.
    timed: bool,
    /// `held`, `accessed` and `timers` as they were before the call.
    before: (AllHeld, Accessed, AllTimers),
    /// What the call in hand has read and found expired: it goes when the call ends.
    expired: BTreeSet<Access>,
    /// The distinct keys of the call in hand.
    keys: Vec<Bytes>,
    /// Which state of the subtask the call in hand may use.
    scope: Scope,
    pub(super) subtask: u32,
    pub(super) parallelism: u32,
    /// The watermarks that were said, each with the rows of the main output before it in its call.
    pub(super) said: Vec<(u32, i64)>,
    /// What the call in hand, and those before it, have asked for: a state and a tag.
    pub(super) asked: Vec<(u32, Bytes)>,
    /// The states that were put to in the call in hand.
    put: BTreeSet<u32>,
    pub(super) imports: Vec<&'static str>,
    /// How many keys, and entries of maps, imports have read.
    pub(super) read: usize,
    pub(super) logs: Vec<String>,
    pub(super) metrics: BTreeMap<String, f64>,
    /// `metrics` as they were before the call.
    metrics_before: BTreeMap<String, f64>,
    pub(super) watermark: i64,
    pub(super) processing_time: i64,
}

/// What is held of one state: under one key, or of the subtask, which is kept under no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Value(Bytes),
    List(Vec<Bytes>),
    Map(BTreeMap<Bytes, Bytes>),
}

/// All that is held, by state and key.
pub(super) type AllHeld = BTreeMap<(u32, Bytes), Held>;

/// What has a time of last access: a value, an element or an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Value,
    Item(usize),
    Entry(Bytes),
}

/// Which part of what is held of a state under a key.
pub(super) type Access = ((u32, Bytes), Part);

/// All timers: whether they go by processing time, when they are due, and their key.
pub(super) type AllTimers = BTreeSet<(bool, i64, Bytes)>;

/// All times of last access.
pub(super) type Accessed = BTreeMap<Access, i64>;

pub(super) struct MemoryHost(pub(super) Rc<RefCell<Memory>>);

impl Memory {
    pub(super) fn new(config: &str) -> Self {
        Self {
            config: config.to_owned(),
            states: Vec::new(),
            held: BTreeMap::new(),
            accessed: Accessed::new(),
            timers: AllTimers::new(),
            timed: false,
            before: Default::default(),
            expired: BTreeSet::new(),
            keys: Vec::new(),
            scope: Scope::Nothing,
            subtask: 0,
            parallelism: 1,
            said: Vec::new(),
            asked: Vec::new(),
            put: BTreeSet::new(),
            imports: Vec::new(),
            read: 0,
            logs: Vec::new(),
            metrics: BTreeMap::new(),
            metrics_before: BTreeMap::new(),
            watermark: i64::MIN,
            processing_time: 0,
        }
    }

    pub(super) fn declare(&mut self, descriptor: &Descriptor) {
        self.states.clone_from(&descriptor.states);
        self.timed = descriptor.timers;
    }

    /// Starts a call and gives the slots of prefetched states.
    pub(super) fn begin(&mut self, scope: Scope, keys: &BytesColumn) -> Vec<Slots> {
        self.keys = rows(keys);
        self.scope = scope;
        let (held, accessed) = (self.held.clone(), self.accessed.clone());
        self.before = (held, accessed, self.timers.clone());
        self.expired.clear();
        self.metrics_before.clone_from(&self.metrics);
        self.put.clear();
        let prefetched = self
            .states
            .iter()
            .enumerate()
            .filter(|(_, decl)| decl.prefetch);
        let prefetched: Vec<u32> = prefetched.map(|(state, _)| state as u32).collect();
        let all: Vec<u32> = (0..self.keys.len() as u32).collect();
        let mut slots = Vec::new();
        for state in prefetched {
            let values = self.values(state, &all);
            slots.push(Slots { state, values });
        }
        slots
    }

    /// Ends a call: takes in the slots it returned, or drops what it did.
    pub(super) fn end(&mut self, slots: std::result::Result<&[Slots], ()>) {
        let Ok(slots) = slots else {
            self.undo();
            return;
        };
        for slots in slots {
            assert!(!self.put.contains(&slots.state), "both slots and value-put");
            let values = optional_rows(&slots.values);
            assert_eq!(values.len(), self.keys.len(), "one slot per key");
            for (key, value) in values.into_iter().enumerate() {
                self.put_value(slots.state, key as u32, value);
            }
        }
        self.drop_expired();
    }

    /// Drops what the last call did.
    pub(super) fn undo(&mut self) {
        (self.held, self.accessed, self.timers) = std::mem::take(&mut self.before);
        self.metrics = std::mem::take(&mut self.metrics_before);
        self.asked.clear();
    }

    /// The keys that have something in a state that has not expired.
    pub(super) fn keys_of(&self, state: u32) -> Vec<Bytes> {
        let ttl = self.states.get(state as usize).and_then(|decl| decl.ttl);
        let is_alive = |slot: &(u32, Bytes), part: Part| {
            let last = self.accessed.get(&(slot.clone(), part));
            ttl.zip(last).is_none_or(|(ttl, last)| {
                last.saturating_add_unsigned(ttl.duration_ms) > self.processing_time
            })
        };
        let of_state = self.held.iter().filter(|((held, _), _)| *held == state);
        let alive = of_state.filter(|(slot, held)| match held {
            Held::Value(_) => is_alive(slot, Part::Value),
            Held::List(items) => (0..items.len()).any(|n| is_alive(slot, Part::Item(n))),
            Held::Map(entries) => {
                let mut entries = entries.keys();
                entries.any(|key| is_alive(slot, Part::Entry(key.clone())))
            }
        });
        alive.map(|((_, key), _)| key.clone()).collect()
    }

    pub(super) fn held(&self, state: u32) -> usize {
        let of_state = self.held.iter().filter(|((held, _), _)| *held == state);
        let counts = of_state.map(|(_, held)| match held {
            Held::Value(_) => 1,
            Held::List(items) => items.len(),
            Held::Map(entries) => entries.len(),
        });
        counts.sum()
    }

    #[cfg(test)]
    pub(super) fn copy(&mut self, from: u32, to: u32) {
        let of_from = self.held.iter().filter(|((held, _), _)| *held == from);
        let copied = of_from.map(|((_, key), held)| ((to, key.clone()), held.clone()));
        let copied: Vec<_> = copied.collect();
        self.held.extend(copied);
    }

    fn called(&mut self, import: &'static str, state: u32, kinds: &[StateKind]) {
        self.imports.push(import);
        let kind = self.states[state as usize].kind;
        assert!(kinds.contains(&kind), "{import} on {kind:?}");
    }

    /// As [`called`](Self::called), of an import for state of the subtask.
    fn called_unkeyed(&mut self, import: &'static str, state: u32, kinds: &[StateKind]) {
        self.called(import, state, kinds);
        assert_ne!(
            self.scope,
            Scope::Nothing,
            "{import} where there is no state"
        );
    }

    fn ask(&mut self, state: u32, tag: &[u8]) {
        self.imports.push("apply-to-keys");
        assert_eq!(self.scope, Scope::Broadcast, "apply-to-keys elsewhere");
        self.asked.push((state, tag.to_vec()));
    }

    fn called_timers(&mut self, import: &'static str, keys: &[u32], at: &[i64]) {
        self.imports.push(import);
        assert!(self.timed, "{import} without timers in `describe`");
        assert_eq!(keys.len(), at.len(), "{import}: a time for each key");
        let known = self.keys.len() as u32;
        assert!(
            keys.iter().all(|key| *key < known),
            "{import}: a key of the call"
        );
    }

    fn timer(&self, kind: TimerKind, key: u32, at: i64) -> (bool, i64, Bytes) {
        let key = self.keys[key as usize].clone();
        (kind == TimerKind::ProcessingTime, at, key)
    }

    /// The first timer of a kind that is due; it is set no more.
    pub(super) fn fire(&mut self, kind: TimerKind, until: i64) -> Option<(i64, Bytes)> {
        let processing = kind == TimerKind::ProcessingTime;
        let mut of_kind = self.timers.iter().filter(|(of, _, _)| *of == processing);
        let first = of_kind.find(|(_, at, _)| *at <= until).cloned()?;
        self.timers.remove(&first);
        let (_, at, key) = first;
        Some((at, key))
    }

    /// The items of an operator state.
    pub(super) fn items(&self, state: u32) -> Vec<Bytes> {
        match self.held.get(&(state, Bytes::new())) {
            Some(Held::List(items)) => items.clone(),
            Some(Held::Value(_) | Held::Map(_)) | None => Vec::new(),
        }
    }

    /// The entries of a broadcast state.
    pub(super) fn entries(&self, state: u32) -> BTreeMap<Bytes, Bytes> {
        match self.held.get(&(state, Bytes::new())) {
            Some(Held::Map(entries)) => entries.clone(),
            Some(Held::Value(_) | Held::List(_)) | None => BTreeMap::new(),
        }
    }

    fn slot(&self, state: u32, key: u32) -> (u32, Bytes) {
        (state, self.keys[key as usize].clone())
    }

    fn values(&mut self, state: u32, keys: &[u32]) -> OptionalColumn {
        let mut values = Vec::new();
        for key in keys {
            let slot = self.slot(state, *key);
            let value = match self.held.get(&slot) {
                Some(Held::Value(value)) => Some(value.clone()),
                Some(Held::List(_) | Held::Map(_)) | None => None,
            };
            values.push(value.filter(|_| self.is_read((slot, Part::Value))));
        }
        optional_column(values.into_iter())
    }

    fn put_value(&mut self, state: u32, key: u32, value: Option<Bytes>) {
        let slot = self.slot(state, key);
        self.is_written((slot.clone(), Part::Value));
        match value {
            Some(value) => self.held.insert(slot, Held::Value(value)),
            None => self.held.remove(&slot),
        };
    }

    fn list(&mut self, state: u32, key: u32) -> &mut Vec<Bytes> {
        let slot = self.slot(state, key);
        match self
            .held
            .entry(slot)
            .or_insert_with(|| Held::List(Vec::new()))
        {
            Held::List(items) => items,
            Held::Value(_) | Held::Map(_) => unreachable!("kinds are checked"),
        }
    }

    fn map(&mut self, state: u32, key: u32) -> &mut BTreeMap<Bytes, Bytes> {
        let slot = self.slot(state, key);
        match self
            .held
            .entry(slot)
            .or_insert_with(|| Held::Map(BTreeMap::new()))
        {
            Held::Map(entries) => entries,
            Held::Value(_) | Held::List(_) => unreachable!("kinds are checked"),
        }
    }
}

impl Memory {
    /// Whether what is there is given to a reader. What has expired is not, or once more, and goes
    /// when the call ends.
    fn is_read(&mut self, access: Access) -> bool {
        let Some(ttl) = self.states[access.0.0 as usize].ttl else {
            return true;
        };
        let last = self.accessed.get(&access).copied();
        let last = last.unwrap_or(self.processing_time);
        if last.saturating_add_unsigned(ttl.duration_ms) <= self.processing_time {
            self.expired.insert(access);
            return ttl.return_expired;
        }
        if ttl.on_read {
            self.accessed.insert(access, self.processing_time);
        }
        true
    }

    fn is_written(&mut self, access: Access) {
        if self.states[access.0.0 as usize].ttl.is_some() {
            self.expired.remove(&access);
            self.accessed.insert(access, self.processing_time);
        }
    }

    /// Removes what reads have found expired, of a list from its end.
    fn drop_expired(&mut self) {
        for access in std::mem::take(&mut self.expired).into_iter().rev() {
            self.accessed.remove(&access);
            let (slot, part) = access;
            let empty = match (self.held.get_mut(&slot), part) {
                (Some(Held::Value(_)), Part::Value) => true,
                (Some(Held::List(items)), Part::Item(n)) => {
                    items.remove(n);
                    for n in n..items.len() {
                        if let Some(last) = self.accessed.remove(&(slot.clone(), Part::Item(n + 1)))
                        {
                            self.accessed.insert((slot.clone(), Part::Item(n)), last);
                        }
                    }
                    items.is_empty()
                }
                (Some(Held::Map(entries)), Part::Entry(map_key)) => {
                    entries.remove(&map_key);
                    entries.is_empty()
                }
                _ => false,
            };
            if empty {
                self.held.remove(&slot);
            }
        }
    }
}

const CELLS: &[StateKind] = &[
    StateKind::Value,
    StateKind::Reducing,
    StateKind::Aggregating,
];

const LISTS: &[StateKind] = &[StateKind::OperatorList, StateKind::OperatorUnion];

impl Host for MemoryHost {
    fn value_get(&self, state: u32, keys: &[u32]) -> OptionalColumn {
        let mut memory = self.0.borrow_mut();
        memory.called("value-get", state, CELLS);
        memory.read += keys.len();
        memory.values(state, keys)
    }

    fn value_put(&self, state: u32, keys: &[u32], values: &OptionalColumn) {
        let mut memory = self.0.borrow_mut();
        memory.called("value-put", state, CELLS);
        memory.put.insert(state);
        let values = optional_rows(values);
        assert_eq!(values.len(), keys.len());
        for (key, value) in keys.iter().zip(values) {
            memory.put_value(state, *key, value);
        }
    }

    fn list_get(&self, state: u32, keys: &[u32]) -> NestedColumn {
        let mut memory = self.0.borrow_mut();
        memory.called("list-get", state, &[StateKind::List]);
        memory.read += keys.len();
        let mut nested = NestedColumn {
            ends: Vec::new(),
            elements: column::with_room(0, 0),
        };
        for key in keys {
            for (n, item) in memory.list(state, *key).clone().iter().enumerate() {
                let slot = memory.slot(state, *key);
                if memory.is_read((slot, Part::Item(n))) {
                    expect(column::push(&mut nested.elements, item));
                }
            }
            nested.ends.push(nested.elements.ends.len() as u32);
        }
        nested
    }

    fn list_add(&self, state: u32, keys: &[u32], values: &BytesColumn) {
        let mut memory = self.0.borrow_mut();
        memory.called("list-add", state, &[StateKind::List]);
        let values = rows(values);
        assert_eq!(values.len(), keys.len());
        for (key, value) in keys.iter().zip(values) {
            let n = memory.list(state, *key).len();
            memory.list(state, *key).push(value);
            let slot = memory.slot(state, *key);
            memory.is_written((slot, Part::Item(n)));
        }
    }

    fn list_set(&self, state: u32, keys: &[u32], values: &NestedColumn) {
        let mut memory = self.0.borrow_mut();
        memory.called("list-set", state, &[StateKind::List]);
        assert_eq!(values.ends.len(), keys.len());
        let mut items = rows(&values.elements).into_iter();
        let mut start = 0;
        for (key, end) in keys.iter().zip(&values.ends) {
            let count = (end - start) as usize;
            *memory.list(state, *key) = items.by_ref().take(count).collect();
            let slot = memory.slot(state, *key);
            memory.accessed.retain(|(held, _), _| *held != slot);
            memory.expired.retain(|(held, _)| *held != slot);
            for n in 0..count {
                memory.is_written((slot.clone(), Part::Item(n)));
            }
            start = *end;
        }
        assert_eq!(items.next(), None, "items of no list");
    }

    fn map_get(&self, state: u32, keys: &[u32], map_keys: &BytesColumn) -> OptionalColumn {
        let mut memory = self.0.borrow_mut();
        memory.called("map-get", state, &[StateKind::Map]);
        memory.read += keys.len();
        let entries: Vec<_> = keys.iter().copied().zip(rows(map_keys)).collect();
        assert_eq!(entries.len(), map_keys.ends.len());
        let mut get = |(key, map_key): (u32, Bytes)| {
            let value = memory.map(state, key).get(&map_key).cloned()?;
            let access = (memory.slot(state, key), Part::Entry(map_key));
            memory.is_read(access).then_some(value)
        };
        let values: Vec<_> = entries.into_iter().map(&mut get).collect();
        optional_column(values.into_iter())
    }

    fn map_put(&self, state: u32, keys: &[u32], map_keys: &BytesColumn, values: &OptionalColumn) {
        let mut memory = self.0.borrow_mut();
        memory.called("map-put", state, &[StateKind::Map]);
        let (map_keys, values) = (rows(map_keys), optional_rows(values));
        assert_eq!((map_keys.len(), values.len()), (keys.len(), keys.len()));
        for ((key, map_key), value) in keys.iter().zip(map_keys).zip(values) {
            let access = (memory.slot(state, *key), Part::Entry(map_key.clone()));
            memory.is_written(access);
            let map = memory.map(state, *key);
            match value {
                Some(value) => map.insert(map_key, value),
                None => map.remove(&map_key),
            };
        }
    }

    fn map_clear(&self, state: u32, keys: &[u32]) {
        let mut memory = self.0.borrow_mut();
        memory.called("map-clear", state, &[StateKind::Map]);
        for key in keys {
            memory.map(state, *key).clear();
        }
    }

    fn map_scan(&self, state: u32, key: u32, after: Option<&[u8]>, limit: u32) -> EntriesColumn {
        let mut memory = self.0.borrow_mut();
        memory.called("map-scan", state, &[StateKind::Map]);
        let after = after.map(<[u8]>::to_vec);
        let map = memory.map(state, key).clone();
        let mut alive = BTreeMap::new();
        for (map_key, value) in map {
            if alive.len() == limit as usize {
                break;
            }
            if after.as_ref().is_some_and(|after| map_key <= *after) {
                continue;
            }
            let slot = memory.slot(state, key);
            if memory.is_read((slot, Part::Entry(map_key.clone()))) {
                alive.insert(map_key, value);
            }
        }
        let page = page(&alive, None, limit);
        memory.read += page.keys.ends.len();
        page
    }

    fn operator_get(&self, state: u32) -> BytesColumn {
        let mut memory = self.0.borrow_mut();
        memory.called_unkeyed("operator-get", state, LISTS);
        let mut column = column::with_room(0, 0);
        for item in memory.items(state) {
            expect(column::push(&mut column, &item));
        }
        column
    }

    fn operator_set(&self, state: u32, values: &BytesColumn) {
        let mut memory = self.0.borrow_mut();
        memory.called_unkeyed("operator-set", state, LISTS);
        let items = Held::List(rows(values));
        memory.held.insert((state, Bytes::new()), items);
    }

    fn broadcast_get(&self, state: u32, map_keys: &BytesColumn) -> OptionalColumn {
        let mut memory = self.0.borrow_mut();
        memory.called_unkeyed("broadcast-get", state, &[StateKind::Broadcast]);
        memory.read += map_keys.ends.len();
        let entries = memory.entries(state);
        let values = rows(map_keys).into_iter();
        optional_column(values.map(|map_key| entries.get(&map_key).cloned()))
    }

    fn broadcast_put(&self, state: u32, map_keys: &BytesColumn, values: &OptionalColumn) {
        let mut memory = self.0.borrow_mut();
        memory.called_unkeyed("broadcast-put", state, &[StateKind::Broadcast]);
        assert_eq!(
            memory.scope,
            Scope::Broadcast,
            "broadcast-put without a row of a broadcast input"
        );
        let (map_keys, values) = (rows(map_keys), optional_rows(values));
        assert_eq!(map_keys.len(), values.len());
        let mut entries = memory.entries(state);
        for (map_key, value) in map_keys.into_iter().zip(values) {
            match value {
                Some(value) => entries.insert(map_key, value),
                None => entries.remove(&map_key),
            };
        }
        let entries = Held::Map(entries);
        memory.held.insert((state, Bytes::new()), entries);
    }

    fn broadcast_scan(&self, state: u32, after: Option<&[u8]>, limit: u32) -> EntriesColumn {
        let mut memory = self.0.borrow_mut();
        memory.called_unkeyed("broadcast-scan", state, &[StateKind::Broadcast]);
        let page = page(&memory.entries(state), after, limit);
        memory.read += page.keys.ends.len();
        page
    }

    fn apply_to_keys(&self, state: u32, tag: &[u8]) {
        self.0.borrow_mut().ask(state, tag);
    }

    fn timers_register(&self, kind: TimerKind, keys: &[u32], at: &[i64]) {
        let mut memory = self.0.borrow_mut();
        memory.called_timers("timers.register", keys, at);
        for (key, at) in keys.iter().zip(at) {
            let timer = memory.timer(kind, *key, *at);
            memory.timers.insert(timer);
        }
    }

    fn timers_delete(&self, kind: TimerKind, keys: &[u32], at: &[i64]) {
        let mut memory = self.0.borrow_mut();
        memory.called_timers("timers.delete", keys, at);
        for (key, at) in keys.iter().zip(at) {
            let timer = memory.timer(kind, *key, *at);
            memory.timers.remove(&timer);
        }
    }

    fn this_task(&self) -> Task {
        let (job, operator) = ("test".to_owned(), "operator".to_owned());
        let memory = self.0.borrow();
        Task {
            job,
            operator,
            subtask: memory.subtask,
            parallelism: memory.parallelism,
            max_parallelism: 128,
            attempt: 1,
        }
    }

    fn config(&self) -> String {
        self.0.borrow().config.clone()
    }

    fn current_watermark(&self) -> i64 {
        self.0.borrow().watermark
    }

    fn emit_watermark(&self, at: i64, behind: u32) {
        let mut memory = self.0.borrow_mut();
        memory.imports.push("emit-watermark");
        memory.said.push((behind, at));
    }

    fn processing_time(&self) -> i64 {
        self.0.borrow().processing_time
    }

    fn log(&self, level: Level, message: &str) {
        self.0
            .borrow_mut()
            .logs
            .push(format!("{level:?}: {message}"));
    }

    fn counter_add(&self, name: &str, by: u64) {
        let mut memory = self.0.borrow_mut();
        memory.imports.push("counter-add");
        *memory.metrics.entry(name.to_owned()).or_default() += by as f64;
    }

    fn gauge_set(&self, name: &str, value: f64) {
        let mut memory = self.0.borrow_mut();
        memory.imports.push("gauge-set");
        memory.metrics.insert(name.to_owned(), value);
    }

    fn histogram_record(&self, name: &str, values: &[f64]) {
        let mut memory = self.0.borrow_mut();
        memory.imports.push("histogram-record");
        *memory.metrics.entry(name.to_owned()).or_default() += values.len() as f64;
    }
}

/// So many entries after the given key.
fn page(entries: &BTreeMap<Bytes, Bytes>, after: Option<&[u8]>, limit: u32) -> EntriesColumn {
    let empty = || column::with_room(0, 0);
    let mut page = EntriesColumn {
        keys: empty(),
        values: empty(),
    };
    let is_after = |map_key: &Bytes| after.is_none_or(|after| map_key.as_slice() > after);
    let entries = entries.iter().filter(|(map_key, _)| is_after(map_key));
    for (map_key, value) in entries.take(limit as usize) {
        expect(column::push(&mut page.keys, map_key));
        expect(column::push(&mut page.values, value));
    }
    page
}

fn rows(column: &BytesColumn) -> Vec<Bytes> {
    (0..column.ends.len())
        .map(|row| expect(column::row(column, row)).to_owned())
        .collect()
}

fn optional_rows(column: &OptionalColumn) -> Vec<Option<Bytes>> {
    assert_eq!(column.present.len(), column.column.ends.len());
    let row = |row| expect(column::optional(column, row)).map(<[u8]>::to_owned);
    (0..column.present.len()).map(row).collect()
}

fn optional_column(values: impl Iterator<Item = Option<Bytes>>) -> OptionalColumn {
    let mut column = column::optional_with_room(0, 0);
    for value in values {
        expect(column::push_optional(&mut column, value.as_ref()));
    }
    column
}

#[expect(
    clippy::panic,
    reason = "a broken rule of the contract fails the test that met it"
)]
fn expect<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
