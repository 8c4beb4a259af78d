//! The model, and the backend that runs beside it.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{
    CheckpointId, Column, KeyGroup, KeyGroupRange, OperatorName, OptionalColumn, ProcessingTime,
    hash64,
};

use super::{
    AGGREGATING, LIST, MAP, Make, Ordered, REDUCING, TIMERS, VALUE, all, decls, group_of, key_of,
    steps::Step,
};
use crate::{
    Backend, EntriesColumn, Error, KeyBatch, NativeReaders, NestedColumn, Snapshot,
    SnapshotRequest, StateFileReader, StateFileWriter, StateIndex, StateKeys, TimerKind, Timers,
    When, Which, Writes,
};

type Bytes = Vec<u8>;

/// What one call writes, by number of key.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    /// To the value, the reducing and the aggregating state.
    pub(super) values: [BTreeMap<u16, Option<Bytes>>; 3],
    /// Whether the list is replaced, and the elements.
    pub(super) lists: BTreeMap<u16, (bool, Vec<Bytes>)>,
    pub(super) clears: BTreeSet<u16>,
    pub(super) entries: BTreeMap<(u16, Bytes), Option<Bytes>>,
    /// Whether a timer is set or deleted: kind, time, and number of the key.
    pub(super) timers: BTreeMap<(TimerKind, i64, u16), bool>,
}

/// What should be in a backend.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    values: [BTreeMap<u16, Bytes>; 3],
    lists: BTreeMap<u16, Vec<Bytes>>,
    maps: BTreeMap<u16, BTreeMap<Bytes, Bytes>>,
    timers: BTreeSet<(TimerKind, i64, u16)>,
}

/// Distinct keys as a call hands them to a backend.
pub(super) struct Batch {
    numbers: Vec<u16>,
    keys: Column,
    hashes: Vec<u64>,
    groups: Vec<KeyGroup>,
}

/// A backend, its model, and the snapshots that are still to be written.
pub(super) struct World<'a> {
    make: Make<'a>,
    range: KeyGroupRange,
    pub(super) backend: Box<dyn Backend>,
    model: Model,
    pending: Vec<(Box<dyn Snapshot>, Model)>,
}

impl Batch {
    pub(super) fn of(numbers: impl IntoIterator<Item = u16>) -> Self {
        let numbers: Vec<u16> = numbers.into_iter().collect();
        let mut keys = Column::new();
        numbers.iter().for_each(|&n| keys.push(&key_of(n)));
        Self {
            hashes: keys.iter().map(hash64).collect(),
            groups: numbers.iter().map(|&n| group_of(n)).collect(),
            keys,
            numbers,
        }
    }

    pub(super) fn view(&self) -> KeyBatch<'_> {
        KeyBatch {
            keys: self.keys.view(),
            hashes: &self.hashes,
            groups: &self.groups,
        }
    }

    fn index(&self, n: u16) -> u32 {
        self.numbers.iter().position(|&other| other == n).unwrap() as u32
    }
}

impl Call {
    /// What of it is of these key groups.
    pub(super) fn within(&self, range: KeyGroupRange) -> Self {
        let mut call = self.clone();
        let inside = |n: u16| range.contains(group_of(n));
        for values in &mut call.values {
            values.retain(|&n, _| inside(n));
        }
        call.lists.retain(|&n, _| inside(n));
        call.clears.retain(|&n| inside(n));
        call.entries.retain(|&(n, _), _| inside(n));
        call.timers.retain(|&(_, _, n), _| inside(n));
        call
    }

    pub(super) fn batch(&self) -> Batch {
        let values = self.values.iter().flat_map(BTreeMap::keys);
        let entries = self.entries.keys().map(|(n, _)| n);
        let timers = self.timers.keys().map(|(_, _, n)| n);
        let all: BTreeSet<u16> = values
            .chain(self.lists.keys())
            .chain(&self.clears)
            .chain(entries)
            .chain(timers)
            .copied()
            .collect();
        // Not in order of keys, as in a real call.
        Batch::of(all.into_iter().rev())
    }

    pub(super) fn writes(&self, batch: &Batch) -> Writes {
        let mut writes = Writes::default();
        for (state, values) in [VALUE, REDUCING, AGGREGATING].into_iter().zip(&self.values) {
            let mut out = crate::ValueWrites::default();
            for (&n, value) in values {
                out.keys.push(batch.index(n));
                out.values.push(value.as_deref());
            }
            writes.values.push((state, out));
        }
        let mut lists = crate::ListWrites::default();
        for (&n, (replace, elements)) in &self.lists {
            lists.keys.push(batch.index(n));
            lists.replace.push(u8::from(*replace));
            elements.iter().for_each(|e| lists.lists.elements.push(e));
            lists.lists.ends.push(lists.lists.elements.len() as u32);
        }
        writes.lists.push((LIST, lists));
        let mut maps = crate::MapWrites::default();
        maps.clear
            .extend(self.clears.iter().map(|&n| batch.index(n)));
        for ((n, map_key), value) in &self.entries {
            maps.keys.push(batch.index(*n));
            maps.map_keys.push(map_key);
            maps.values.push(value.as_deref());
        }
        writes.maps.push((MAP, maps));
        for (&(kind, at, n), &set) in &self.timers {
            writes.timers.when.push(When { kind, at });
            writes.timers.keys.push(batch.index(n));
            writes.timers.set.push(u8::from(set));
        }
        writes
    }
}

impl Model {
    pub(super) fn apply(&mut self, call: &Call) {
        for (model, values) in self.values.iter_mut().zip(&call.values) {
            for (&n, value) in values {
                match value {
                    Some(value) => drop(model.insert(n, value.clone())),
                    None => drop(model.remove(&n)),
                }
            }
        }
        for (&n, (replace, elements)) in &call.lists {
            let list = self.lists.entry(n).or_default();
            if *replace {
                list.clear();
            }
            list.extend(elements.iter().cloned());
        }
        for n in &call.clears {
            self.maps.remove(n);
        }
        for ((n, map_key), value) in &call.entries {
            let map = self.maps.entry(*n).or_default();
            match value {
                Some(value) => drop(map.insert(map_key.clone(), value.clone())),
                None => drop(map.remove(map_key)),
            }
        }
        for (&timer, &set) in &call.timers {
            match set {
                true => self.timers.insert(timer),
                false => self.timers.remove(&timer),
            };
        }
        self.lists.retain(|_, list| !list.is_empty());
        self.maps.retain(|_, map| !map.is_empty());
    }

    /// What is left of it in a backend with these key groups.
    pub(super) fn within(&self, range: KeyGroupRange) -> Self {
        let mut model = self.clone();
        let inside = |n: u16| range.contains(group_of(n));
        model
            .values
            .iter_mut()
            .for_each(|m| m.retain(|&n, _| inside(n)));
        model.lists.retain(|&n, _| inside(n));
        model.maps.retain(|&n, _| inside(n));
        model.timers.retain(|&(_, _, n)| inside(n));
        model
    }

    /// Checks that a backend tells the same as the model, over all ways to ask.
    pub(super) fn check(&self, backend: &mut dyn Backend, range: KeyGroupRange) {
        let known = self.values.iter().flat_map(BTreeMap::keys);
        let known = known.chain(self.lists.keys()).chain(self.maps.keys());
        // Some that are in no state, too.
        let asked: BTreeSet<u16> = known.copied().chain(0..60).collect();
        let batch = Batch::of(asked.into_iter().filter(|&n| range.contains(group_of(n))));
        let backwards: Vec<u32> = (0..batch.numbers.len() as u32)
            .rev()
            .chain([0, 0])
            .collect();
        let backwards = if batch.numbers.is_empty() {
            &[]
        } else {
            backwards.as_slice()
        };
        self.check_cells(backend, &batch, backwards);
        self.check_lists(backend, &batch, backwards);
        self.check_maps(backend, &batch);
        self.check_timers(backend);
    }

    /// Checks which keys a backend says it has, group by group.
    pub(super) fn check_keys(&self, backend: &mut dyn Backend, range: KeyGroupRange) {
        let cells = [VALUE, REDUCING, AGGREGATING].into_iter().zip(&self.values);
        let cells = cells.map(|(state, model)| (state, model.keys().copied().collect::<Vec<_>>()));
        let lists = self.lists.keys().copied().collect();
        let maps = self.maps.iter().filter(|(_, map)| !map.is_empty());
        let maps = maps.map(|(&n, _)| n).collect();
        for (state, numbers) in cells.chain([(LIST, lists), (MAP, maps)]) {
            let all = numbers.iter().map(|&n| (group_of(n), key_of(n)));
            let mut all: Vec<(KeyGroup, Bytes)> = all.collect();
            all.sort_unstable();
            // From the beginning, and from somewhere in the middle.
            for first in [range.start, KeyGroup(range.start.0.midpoint(range.end.0))] {
                let (mut found, mut from) = (StateKeys::default(), Some(first));
                while let Some(group) = from {
                    from = backend.scan_keys(state, group, &mut found).unwrap();
                    assert!(from.is_none_or(|next| next > group), "{state:?}");
                }
                let found = found.groups.iter().copied().zip(found.keys.iter());
                let expected = all.iter().filter(|(group, _)| *group >= first);
                let expected = expected.map(|(group, key)| (*group, key.as_slice()));
                assert!(found.eq(expected), "{state:?} from {first:?}");
            }
        }
        let mut out = StateKeys::default();
        let timers = backend.scan_keys(TIMERS, range.start, &mut out);
        assert!(timers.is_err(), "timers are not kept by key");
        let outside = KeyGroup(range.end.0 + 1);
        let outside = backend.scan_keys(VALUE, outside, &mut out);
        assert!(outside.is_err(), "another subtask has that group");
        assert_eq!(out, StateKeys::default());
    }

    fn check_cells(&self, backend: &mut dyn Backend, batch: &Batch, backwards: &[u32]) {
        let keys = batch.view();
        for (state, model) in [VALUE, REDUCING, AGGREGATING].into_iter().zip(&self.values) {
            let mut out = OptionalColumn::new();
            backend
                .get_values(state, &keys, Which::All, &mut out)
                .unwrap();
            let some = Which::Some(backwards);
            backend.get_values(state, &keys, some, &mut out).unwrap();
            let asked = batch.numbers.iter().copied();
            let asked = asked.chain(backwards.iter().map(|&i| batch.numbers[i as usize]));
            let expected: Vec<_> = asked.map(|n| model.get(&n).map(Vec::as_slice)).collect();
            assert_eq!(out.iter().collect::<Vec<_>>(), expected, "{state:?}");
            check_count(backend, state, model.len());
        }
    }

    fn check_lists(&self, backend: &mut dyn Backend, batch: &Batch, backwards: &[u32]) {
        let keys = batch.view();
        let mut out = NestedColumn::default();
        backend
            .get_lists(LIST, &keys, Which::All, &mut out)
            .unwrap();
        let some = Which::Some(backwards);
        backend.get_lists(LIST, &keys, some, &mut out).unwrap();
        let asked = batch.numbers.iter().copied();
        let asked = asked.chain(backwards.iter().map(|&i| batch.numbers[i as usize]));
        let mut expected = NestedColumn::default();
        for n in asked {
            let list = self.lists.get(&n).map_or(&[][..], Vec::as_slice);
            list.iter().for_each(|e| expected.elements.push(e));
            expected.ends.push(expected.elements.len() as u32);
        }
        assert_eq!(out, expected);
        check_count(backend, LIST, self.lists.len());
    }

    /// Of each kind: which comes first, and what is due at some times, all at once and some only.
    fn check_timers(&self, backend: &mut dyn Backend) {
        for kind in TimerKind::ALL {
            let of_kind = self.timers.iter().filter(|(of, _, _)| *of == kind);
            let mut expected: Vec<(i64, KeyGroup, Bytes)> = of_kind
                .map(|&(_, at, n)| (at, group_of(n), key_of(n)))
                .collect();
            expected.sort_unstable();
            let first = expected.first().map(|(at, _, _)| *at);
            assert_eq!(backend.next_timer(kind).unwrap(), first);
            for (until, limit) in [(i64::MIN, 9), (0, 9), (40, usize::MAX), (i64::MAX, 1000)] {
                let mut due = Timers::default();
                backend.due_timers(kind, until, limit, &mut due).unwrap();
                let all = expected.iter().take_while(|(at, _, _)| *at <= until);
                let all: Vec<_> = all.map(|(at, _, key)| (*at, key.as_slice())).collect();
                let due: Vec<_> = due.at.iter().copied().zip(due.keys.iter()).collect();
                assert_eq!(due, all[..due.len()], "{kind} until {until}");
                let wanted = limit.min(all.len());
                // A backend that keeps them elsewhere may give less, but not nothing.
                let enough = if backend.counts() {
                    wanted
                } else {
                    wanted.min(1)
                };
                assert!(
                    (enough..=wanted).contains(&due.len()),
                    "{} of {wanted}",
                    due.len()
                );
            }
        }
        check_count(backend, TIMERS, self.timers.len());
    }

    fn check_maps(&self, backend: &mut dyn Backend, batch: &Batch) {
        let keys = batch.view();
        let nothing = BTreeMap::new();
        for (i, n) in batch.numbers.iter().enumerate() {
            let map = self.maps.get(n).unwrap_or(&nothing);
            let i = i as u32;
            // All at once, then in pages of three.
            let mut whole = EntriesColumn::default();
            backend
                .scan_entries(MAP, &keys, i, None, usize::MAX, &mut whole)
                .unwrap();
            let mut paged = EntriesColumn::default();
            loop {
                let had = paged.keys.len();
                let token = had.checked_sub(1).map(|last| paged.keys.get(last).to_vec());
                backend
                    .scan_entries(MAP, &keys, i, token.as_deref(), 3, &mut paged)
                    .unwrap();
                if paged.keys.len() < had + 3 {
                    break;
                }
            }
            let expected = EntriesColumn {
                keys: map.keys().map(Vec::as_slice).collect(),
                values: map.values().map(Vec::as_slice).collect(),
            };
            assert_eq!(whole, expected, "key {n}");
            assert_eq!(paged, expected, "key {n} in pages");
            let mut asked: Column = map.keys().map(Vec::as_slice).collect();
            [&b"?"[..], b""]
                .iter()
                .for_each(|absent| asked.push(absent));
            let which = vec![i; asked.len()];
            let mut out = OptionalColumn::new();
            let some = Which::Some(&which);
            backend
                .get_entries(MAP, &keys, some, asked.view(), &mut out)
                .unwrap();
            let expected = asked.iter().map(|key| map.get(key).map(Vec::as_slice));
            assert_eq!(out.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
        let entries: usize = self.maps.values().map(BTreeMap::len).sum();
        check_count(backend, MAP, entries);
    }
}

/// Checks how many entries a backend says it has, if it counts them.
fn check_count(backend: &dyn Backend, state: StateIndex, expected: usize) {
    if backend.counts() {
        assert_eq!(backend.entries(state), expected as u64, "{state:?}");
    }
}

impl<'a> World<'a> {
    pub(super) fn new(make: Make<'a>) -> Self {
        Self::with_range(make, all())
    }

    pub(super) fn with_range(make: Make<'a>, range: KeyGroupRange) -> Self {
        Self {
            make,
            range,
            backend: make(decls(), range),
            model: Model::default(),
            pending: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Call(call) => self.call(&call),
            Step::Snapshot => self.snapshot(),
            Step::Finish { which, cuts, adopt } => {
                if !self.pending.is_empty() {
                    self.finish(which.index(self.pending.len()), &cuts, adopt);
                }
            }
        }
    }

    pub(super) fn call(&mut self, call: &Call) {
        let batch = call.batch();
        self.backend
            .apply(&batch.view(), &call.writes(&batch))
            .unwrap();
        self.model.apply(call);
        self.check();
    }

    /// The error that a call gives.
    pub(super) fn refused(&mut self, call: &Call) -> Error {
        let batch = call.batch();
        self.backend
            .apply(&batch.view(), &call.writes(&batch))
            .unwrap_err()
    }

    pub(super) fn check(&mut self) {
        self.model.check(self.backend.as_mut(), self.range);
    }

    pub(super) fn check_keys(&mut self) {
        self.model.check_keys(self.backend.as_mut(), self.range);
    }

    pub(super) fn snapshot(&mut self) {
        let snapshot = self.backend.snapshot(&request()).unwrap();
        self.pending.push((snapshot, self.model.clone()));
    }

    /// Writes a snapshot that was taken some time ago, restores it as parts that end at `cuts` and
    /// those as a whole; with `adopt` the history goes on from there.
    pub(super) fn finish(&mut self, which: usize, cuts: &[u16], adopt: bool) {
        let (snapshot, model) = self.pending.remove(which);
        let file = [(self.range, save(snapshot))];
        let mut parts = Vec::new();
        let mut start = self.range.start;
        let ends = cuts
            .iter()
            .map(|&cut| KeyGroup(cut))
            .chain([self.range.end]);
        for end in ends {
            if start <= end && end <= self.range.end {
                let range = KeyGroupRange { start, end };
                let mut part = (self.make)(decls(), range);
                load(&file, part.as_mut());
                model.within(range).check(part.as_mut(), range);
                parts.push(part);
                start = KeyGroup(end.0 + 1);
            }
        }
        let mut whole = (self.make)(decls(), self.range);
        let saved = parts.iter_mut().map(|part| {
            let snapshot = part.snapshot(&request()).unwrap();
            (part.key_groups(), save(snapshot))
        });
        load(&saved.collect::<Vec<_>>(), whole.as_mut());
        model.check(whole.as_mut(), self.range);
        if adopt {
            self.backend = whole;
            self.model = model;
        }
    }

    pub(super) fn finish_all(&mut self) {
        while !self.pending.is_empty() {
            self.finish(0, &[12], false);
        }
        self.check();
    }
}

pub(super) fn operator() -> OperatorName {
    OperatorName::new("laws").unwrap()
}

/// A full checkpoint.
fn request() -> SnapshotRequest {
    SnapshotRequest::full(CheckpointId(1), ProcessingTime(0))
}

fn save(snapshot: Box<dyn Snapshot>) -> Bytes {
    let mut writer = StateFileWriter::new();
    writer
        .add(
            &operator(),
            &decls(),
            Box::new(Ordered {
                snapshot,
                decls: decls(),
            }),
        )
        .unwrap();
    writer.finish().unwrap().out
}

/// Restores a backend from the files of those who held these key groups.
fn load(files: &[(KeyGroupRange, Bytes)], backend: &mut dyn Backend) {
    let readers: Vec<_> = files
        .iter()
        .map(|(range, file)| (*range, StateFileReader::open(file.clone()).unwrap()))
        .collect();
    let natives = readers.iter().map(|(range, reader)| (*range, reader));
    if let Some(mut native) = NativeReaders::of(&operator(), natives.collect()) {
        return backend.import(&mut native).unwrap();
    }
    let range = backend.key_groups();
    for (_, reader) in &readers {
        let loaded = reader.load(&operator(), backend, range, ProcessingTime(0));
        loaded.unwrap();
    }
}
