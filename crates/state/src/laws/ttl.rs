//! State with a time to live over any backend: the timelines C13 to C16, with a snapshot and a
//! restore between all steps, and any history of calls against a model.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use weir_model::{
    CheckpointId, Column, KeyedView, MaxParallelism, OptionalColumn, ProcessingTime, hash64,
};

use super::{
    CASES, MAX, Make, all, run,
    saved::{Files, Part},
};
use crate::{
    EntriesColumn, KeyedState, NestedColumn, SnapshotFormat, SnapshotRequest, StateDecl,
    StateIndex, StateKeys, StateKind, Ttl, Which,
};

type Bytes = Vec<u8>;

const VALUE: StateIndex = StateIndex(0);
const LIST: StateIndex = StateIndex(1);
const MAP: StateIndex = StateIndex(2);
/// The kinds, in the order of their states.
const KINDS: [StateKind; 5] = [
    StateKind::Value,
    StateKind::List,
    StateKind::Map,
    StateKind::Reducing,
    StateKind::Aggregating,
];
/// The map key that timelines write to.
const ENTRY: &[u8] = b"entry";

fn ttl(duration_ms: u64) -> Ttl {
    Ttl {
        duration_ms,
        on_read: false,
        return_expired: false,
    }
}

fn decls(ttl: Option<Ttl>) -> Vec<StateDecl> {
    let of = |kind: StateKind| StateDecl {
        name: kind.as_str().into(),
        kind,
        format: "raw".into(),
        version: 1,
        prefetch: false,
        ttl,
    };
    KINDS.map(of).into()
}

/// The state of one operator, one call after the other.
struct Timeline<'a> {
    make: Make<'a>,
    decls: Vec<StateDecl>,
    state: KeyedState,
    now: i64,
    files: Files,
    saved: u64,
}

impl<'a> Timeline<'a> {
    fn new(make: Make<'a>, ttl: Option<Ttl>) -> Self {
        let decls = decls(ttl);
        let backend = make(decls.clone(), all());
        Self {
            make,
            state: KeyedState::new(backend, max()),
            decls,
            now: 0,
            files: Files::default(),
            saved: 0,
        }
    }

    /// A call for one key at a time, after everything was saved and restored.
    fn call<T>(&mut self, now: i64, key: &str, call: impl FnOnce(&mut KeyedState) -> T) -> T {
        let ttl = self.decls[0].ttl;
        self.restore(self.now, ttl);
        self.now = now;
        begin(&mut self.state, now, key);
        let out = call(&mut self.state);
        self.state.commit().unwrap();
        out
    }

    /// Saves all at this time, in one format after the other, and goes on from there.
    fn restore(&mut self, now: i64, ttl: Option<Ttl>) {
        self.saved += 1;
        let now = ProcessingTime(now);
        let request = SnapshotRequest {
            format: match self.saved % 2 {
                0 => SnapshotFormat::Canonical,
                _ => SnapshotFormat::Native,
            },
            ..SnapshotRequest::full(CheckpointId(self.saved), now)
        };
        let snapshot = self.state.snapshot(&request).unwrap();
        let path = format!("chk-{}", self.saved);
        let (file, _) = self.files.write(path, &self.decls, snapshot, None);
        self.decls = decls(ttl);
        let mut backend = (self.make)(self.decls.clone(), all());
        backend.set_time(now);
        let part = Part { range: all(), file };
        self.files.restore(&[part], backend.as_mut(), now);
        self.state = KeyedState::new(backend, max());
    }

    fn write(&mut self, now: i64, state: StateIndex, value: &str) {
        self.call(now, "key", |s| put(s, state, value));
    }

    /// What is there: one value or none.
    fn read(&mut self, now: i64, state: StateIndex) -> String {
        self.call(now, "key", |s| get(s, state))
    }

    /// Whether nothing is stored of the key, expired or not.
    fn nothing_is_stored(&mut self, state: StateIndex) -> bool {
        let backend = self.state.backend_mut();
        let counted = !backend.counts() || backend.entries(state) == 0;
        counted && read_raw(&mut self.state, state).is_empty()
    }
}

fn max() -> MaxParallelism {
    MaxParallelism::new(MAX).unwrap()
}

fn begin(state: &mut KeyedState, now: i64, key: &str) {
    let keys: Column = [key.as_bytes()].into_iter().collect();
    state.set_time(ProcessingTime(now));
    state.begin(Some(KeyedView {
        keys: keys.view(),
        hashes: &[hash64(key.as_bytes())],
        key_of_row: &[0],
    }));
}

fn one(value: Option<&[u8]>) -> OptionalColumn {
    let mut column = OptionalColumn::new();
    column.push(value);
    column
}

fn put(s: &mut KeyedState, state: StateIndex, value: &str) {
    let value = value.as_bytes();
    match state {
        LIST => {
            let mut list = NestedColumn::default();
            list.elements.push(value);
            list.ends.push(1);
            s.list_set(state, Which::All, &list).unwrap();
        }
        MAP => put_entry(s, ENTRY, value),
        _ => s.value_put(state, Which::All, &one(Some(value))).unwrap(),
    }
}

fn put_entry(s: &mut KeyedState, map_key: &[u8], value: &[u8]) {
    let keys: Column = [map_key].into_iter().collect();
    s.map_put(MAP, Which::All, keys.view(), &one(Some(value)))
        .unwrap();
}

fn get(s: &mut KeyedState, state: StateIndex) -> String {
    match state {
        LIST => elements(s).concat(),
        MAP => entry(s, ENTRY).unwrap_or_default(),
        _ => {
            let mut out = OptionalColumn::new();
            s.value_get(state, Which::All, &mut out).unwrap();
            text(out.get(0).unwrap_or_default())
        }
    }
}

fn elements(s: &mut KeyedState) -> Vec<String> {
    let mut out = NestedColumn::default();
    s.list_get(LIST, Which::All, &mut out).unwrap();
    out.elements.iter().map(text).collect()
}

fn entry(s: &mut KeyedState, map_key: &[u8]) -> Option<String> {
    let keys: Column = [map_key].into_iter().collect();
    let mut out = OptionalColumn::new();
    s.map_get(MAP, Which::All, keys.view(), &mut out).unwrap();
    out.get(0).map(text)
}

/// All entries, in pages of two.
fn entries(s: &mut KeyedState) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut after: Option<Bytes> = None;
    loop {
        let mut page = EntriesColumn::default();
        s.map_scan(MAP, 0, after.as_deref(), 2, &mut page).unwrap();
        let found = page.keys.iter().zip(page.values.iter());
        all.extend(found.map(|(key, value)| (text(key), text(value))));
        if page.keys.len() < 2 {
            return all;
        }
        after = Some(page.keys.get(1).to_vec());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What is stored of a key, as text.
fn read_raw(s: &mut KeyedState, state: StateIndex) -> String {
    let keys: Column = [&b"key"[..]].into_iter().collect();
    let hash = hash64(b"key");
    let batch = crate::KeyBatch {
        keys: keys.view(),
        hashes: &[hash],
        groups: &[max().key_group_of(hash)],
    };
    let backend = s.backend_mut();
    match state {
        LIST => {
            let mut out = NestedColumn::default();
            backend
                .get_lists(state, &batch, Which::All, &mut out)
                .unwrap();
            out.elements.iter().map(text).collect()
        }
        MAP => {
            let mut out = EntriesColumn::default();
            backend
                .scan_entries(state, &batch, 0, None, 9, &mut out)
                .unwrap();
            out.values.iter().map(text).collect()
        }
        _ => {
            let mut out = OptionalColumn::new();
            backend
                .get_values(state, &batch, Which::All, &mut out)
                .unwrap();
            text(out.get(0).unwrap_or_default())
        }
    }
}

fn states() -> impl Iterator<Item = StateIndex> {
    (0..KINDS.len() as u32).map(StateIndex)
}

/// C13: what was last written lives for the time to live, and then is gone.
pub fn c13_strict_timeline(make: Make<'_>) {
    for state in states() {
        let mut line = Timeline::new(make, Some(ttl(100)));
        line.write(0, state, "v1");
        assert_eq!(line.read(20, state), "v1", "{state:?}");
        line.write(50, state, "v2");
        assert_eq!(line.read(120, state), "v2", "{state:?}");
        line.write(170, state, "v3");
        assert_eq!(line.read(220, state), "v3", "{state:?}");
        assert_eq!(line.read(300, state), "", "{state:?}");
        assert!(line.nothing_is_stored(state), "{state:?}");
    }
}

/// C14: what is read once more, and reads that put expiry off.
pub fn c14_relaxed_and_on_read(make: Make<'_>) {
    for state in states() {
        let relaxed = Ttl {
            return_expired: true,
            ..ttl(100)
        };
        let mut line = Timeline::new(make, Some(relaxed));
        line.write(0, state, "v");
        // Saved at 0: what has expired when it is saved is not in the snapshot.
        begin(&mut line.state, 120, "key");
        assert_eq!(get(&mut line.state, state), "v", "{state:?}");
        line.state.rollback();
        begin(&mut line.state, 120, "key");
        assert_eq!(
            get(&mut line.state, state),
            "v",
            "{state:?}: it was rolled back"
        );
        line.state.commit().unwrap();
        assert_eq!(line.read(120, state), "", "{state:?}: once only");

        let on_read = Ttl {
            on_read: true,
            ..ttl(100)
        };
        let mut line = Timeline::new(make, Some(on_read));
        line.write(0, state, "v");
        for (now, expected) in [(50, "v"), (120, "v"), (250, "")] {
            assert_eq!(line.read(now, state), expected, "{state:?} at {now}");
        }
        let both = Ttl {
            return_expired: true,
            ..on_read
        };
        let mut line = Timeline::new(make, Some(both));
        line.write(0, state, "v");
        for (now, expected) in [(99, "v"), (198, "v")] {
            assert_eq!(line.read(now, state), expected, "{state:?} at {now}");
        }
        for expected in ["v", ""] {
            begin(&mut line.state, 298, "key");
            assert_eq!(get(&mut line.state, state), expected, "{state:?}");
            line.state.commit().unwrap();
        }
    }
}

/// C14: a call that is rolled back has read nothing.
pub fn c14_a_call_that_is_rolled_back_refreshes_nothing(make: Make<'_>) {
    for state in states() {
        let on_read = Ttl {
            on_read: true,
            ..ttl(100)
        };
        let mut line = Timeline::new(make, Some(on_read));
        line.write(0, state, "v");
        begin(&mut line.state, 90, "key");
        assert_eq!(get(&mut line.state, state), "v");
        line.state.rollback();
        assert_eq!(line.read(110, state), "", "{state:?}");
    }
}

/// What was written after the clock of the machine was set back is judged by that clock, and not by
/// what it had said before.
pub fn a_clock_that_goes_back_takes_nothing_away(make: Make<'_>) {
    for state in states() {
        let mut line = Timeline::new(make, Some(ttl(1000)));
        // Each call may clean up behind the keys that it is for.
        for (now, key) in [(100_000, "a"), (90_000, "b"), (90_001, "c"), (90_999, "d")] {
            begin(&mut line.state, now, key);
            put(&mut line.state, state, key);
            line.state.commit().unwrap();
        }
        for (now, expected) in [(90_999, "b"), (91_000, "")] {
            begin(&mut line.state, now, "b");
            assert_eq!(get(&mut line.state, state), expected, "{state:?} at {now}");
            line.state.commit().unwrap();
        }
    }
}

/// C15: each element and each entry has a life of its own; an accumulator has one.
pub fn c15_per_element_and_per_entry(make: Make<'_>) {
    let mut line = Timeline::new(make, Some(ttl(100)));
    let add = |element: &'static str| {
        move |s: &mut KeyedState| {
            let values: Column = [element.as_bytes()].into_iter().collect();
            s.list_add(LIST, &[0], values.view()).unwrap();
        }
    };
    line.call(0, "key", add("a"));
    line.call(50, "key", add("b"));
    for (now, expected) in [(99, "ab"), (100, "b"), (149, "b"), (150, "")] {
        assert_eq!(line.read(now, LIST), expected, "at {now}");
    }
    assert!(line.nothing_is_stored(LIST));

    let mut line = Timeline::new(make, Some(ttl(100)));
    line.call(0, "key", |s| put_entry(s, b"a", b"1"));
    line.call(60, "key", |s| put_entry(s, b"b", b"2"));
    let (a, b, all) = line.call(100, "key", |s| (entry(s, b"a"), entry(s, b"b"), entries(s)));
    assert_eq!((a, b.as_deref()), (None, Some("2")));
    assert_eq!(all, [("b".to_owned(), "2".to_owned())]);
    // All has expired: a map that is looked at is empty, whether or not that was noticed before.
    assert_eq!(line.call(160, "key", entries), []);

    let mut line = Timeline::new(make, Some(ttl(100)));
    let sum = StateIndex(3);
    line.write(0, sum, "5");
    line.call(90, "key", |s| {
        assert_eq!(get(s, sum), "5");
        put(s, sum, "6");
    });
    assert_eq!(line.read(189, sum), "6");
    line.call(190, "key", |s| {
        assert_eq!(get(s, sum), "");
        put(s, sum, "3");
    });
    assert_eq!(line.read(190, sum), "3");
}

/// C16: the declaration in force decides, whatever it was when values were written.
pub fn c16_migration(make: Make<'_>) {
    for state in states() {
        let mut line = Timeline::new(make, Some(ttl(i64::MAX as u64)));
        line.write(10, state, "v");
        assert_eq!(line.read(50, state), "v", "it never expires");

        for (after, at) in [(Some(ttl(1000)), 500), (None, 500), (Some(ttl(501)), 500)] {
            // Saved before it expired, and restored after.
            let mut line = Timeline::new(make, Some(ttl(100)));
            line.write(0, state, "v");
            line.restore(0, after);
            begin(&mut line.state, at, "key");
            assert_eq!(get(&mut line.state, state), "v", "{state:?} {after:?}");
        }

        let mut line = Timeline::new(make, None);
        line.write(0, state, "v");
        line.restore(1000, Some(ttl(100)));
        for (now, expected) in [(1000, "v"), (1099, "v"), (1100, "")] {
            assert_eq!(line.read(now, state), expected, "{state:?} at {now}");
        }
    }
}

/// C16: what has expired when it is saved in full is not there after a restore, even if the clock
/// is set back.
pub fn c16_full_snapshots_leave_out_what_has_expired(make: Make<'_>) {
    for state in states() {
        let mut line = Timeline::new(make, Some(ttl(100)));
        line.write(0, state, "v");
        line.call(50, "other", |s| put(s, state, "w"));
        line.saved += line.saved % 2 + 1; // in the canonical format
        line.restore(120, Some(ttl(100)));
        begin(&mut line.state, 0, "key");
        assert_eq!(get(&mut line.state, state), "", "{state:?}");
        begin(&mut line.state, 120, "other");
        assert_eq!(get(&mut line.state, state), "w", "{state:?}");
    }
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Call {
        later: i64,
        key: u8,
        deeds: Vec<Deed>,
        commits: bool,
    },
    Restore,
}

#[derive(Clone, Debug)]
enum Deed {
    Put(u8),
    Clear,
    Get,
    Add(u8),
    Set(Vec<u8>),
    Elements,
    PutEntry(u8, u8),
    RemoveEntry(u8),
    ClearMap,
    Entry(u8),
    Entries,
}

/// What should be there, with the times of last access.
#[derive(Clone, Debug, Default)]
struct Lives {
    values: BTreeMap<u8, (u8, i64)>,
    lists: BTreeMap<u8, Vec<(u8, i64)>>,
    maps: BTreeMap<u8, BTreeMap<u8, (u8, i64)>>,
}

const LIFE: i64 = 20;

/// Any calls do what the model says, wherever they are saved and restored and whichever of them are
/// rolled back.
pub(super) fn any_calls(make: Make<'_>) {
    run(
        CASES,
        (any::<bool>(), vec(step(), 1..30)),
        |(on_read, history)| {
            let declared = Ttl {
                on_read,
                ..ttl(LIFE as u64)
            };
            let mut line = Timeline::new(make, Some(declared));
            let mut model = Lives::default();
            let mut now = 0;
            for step in history {
                match step {
                    Step::Restore => line.restore(now, Some(declared)),
                    Step::Call {
                        later,
                        key,
                        deeds,
                        commits,
                    } => {
                        now += later;
                        let mut then = model.clone();
                        begin(&mut line.state, now, &format!("key {key}"));
                        for deed in deeds {
                            let told = act(&mut line.state, &deed);
                            let expected = then.act(key, &deed, now, on_read);
                            assert_eq!(told, expected, "{deed:?} of {key} at {now}");
                        }
                        if commits {
                            line.state.commit().unwrap();
                            model = then;
                        } else {
                            line.state.rollback();
                        }
                    }
                }
            }
            line.state.set_time(ProcessingTime(now));
            for (state, expected) in model.keys(now) {
                assert_eq!(keys_of(&mut line.state, state), expected, "{state:?}");
            }
        },
    );
}

/// The keys that have something in a state.
fn keys_of(s: &mut KeyedState, state: StateIndex) -> Vec<String> {
    let (mut found, mut from) = (StateKeys::default(), Some(all().start));
    while let Some(group) = from {
        from = s.scan_keys(state, group, &mut found).unwrap();
    }
    let mut found: Vec<String> = found.keys.iter().map(text).collect();
    found.sort_unstable();
    found
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0..4u8;
    let deed = prop_oneof![
        number().prop_map(Deed::Put),
        Just(Deed::Clear),
        Just(Deed::Get),
        number().prop_map(Deed::Add),
        vec(number(), 0..3).prop_map(Deed::Set),
        Just(Deed::Elements),
        (number(), number()).prop_map(|(key, value)| Deed::PutEntry(key, value)),
        number().prop_map(Deed::RemoveEntry),
        Just(Deed::ClearMap),
        number().prop_map(Deed::Entry),
        Just(Deed::Entries),
    ];
    let call = (0..12i64, 0..3u8, vec(deed, 0..8), any::<bool>()).prop_map(
        |(later, key, deeds, commits)| Step::Call {
            later,
            key,
            deeds,
            commits,
        },
    );
    prop_oneof![8 => call, 1 => Just(Step::Restore)]
}

/// Does it, and gives back what was read.
fn act(s: &mut KeyedState, deed: &Deed) -> Vec<String> {
    let key = |n: u8| vec![b'a' + n];
    match deed {
        Deed::Put(n) => put(s, VALUE, &n.to_string()),
        Deed::Clear => s.value_put(VALUE, Which::All, &one(None)).unwrap(),
        Deed::Get => {
            let value = get(s, VALUE);
            return if value.is_empty() {
                vec![]
            } else {
                vec![value]
            };
        }
        Deed::Add(n) => {
            let values: Column = [n.to_string().as_bytes()].into_iter().collect();
            s.list_add(LIST, &[0], values.view()).unwrap();
        }
        Deed::Set(all) => {
            let mut list = NestedColumn::default();
            all.iter()
                .for_each(|n| list.elements.push(n.to_string().as_bytes()));
            list.ends.push(list.elements.len() as u32);
            s.list_set(LIST, Which::All, &list).unwrap();
        }
        Deed::Elements => return elements(s),
        Deed::PutEntry(k, n) => put_entry(s, &key(*k), n.to_string().as_bytes()),
        Deed::RemoveEntry(k) => {
            let keys: Column = [key(*k).as_slice()].into_iter().collect();
            s.map_put(MAP, Which::All, keys.view(), &one(None)).unwrap();
        }
        Deed::ClearMap => s.map_clear(MAP, &[0]).unwrap(),
        Deed::Entry(k) => return entry(s, &key(*k)).into_iter().collect(),
        Deed::Entries => {
            let told = entries(s).into_iter();
            return told.map(|(key, value)| format!("{key}={value}")).collect();
        }
    }
    Vec::new()
}

impl Lives {
    /// The keys that have something alive, by state.
    fn keys(&self, now: i64) -> [(StateIndex, Vec<String>); 3] {
        let alive = |last: i64| last + LIFE > now;
        let name = |key: &u8| format!("key {key}");
        let values = self.values.iter().filter(|(_, (_, last))| alive(*last));
        let lists = self.lists.iter();
        let lists = lists.filter(|(_, list)| list.iter().any(|(_, last)| alive(*last)));
        let maps = self.maps.iter();
        let maps = maps.filter(|(_, map)| map.values().any(|(_, last)| alive(*last)));
        [
            (VALUE, values.map(|(key, _)| name(key)).collect()),
            (LIST, lists.map(|(key, _)| name(key)).collect()),
            (MAP, maps.map(|(key, _)| name(key)).collect()),
        ]
    }

    fn act(&mut self, key: u8, deed: &Deed, now: i64, on_read: bool) -> Vec<String> {
        let alive = |last: &i64| last + LIFE > now;
        let list = self.lists.entry(key).or_default();
        let map = self.maps.entry(key).or_default();
        match deed {
            Deed::Put(n) => drop(self.values.insert(key, (*n, now))),
            Deed::Clear => drop(self.values.remove(&key)),
            Deed::Get => {
                let Some((value, last)) = self.values.get_mut(&key).filter(|(_, l)| alive(l))
                else {
                    return vec![];
                };
                *last = if on_read { now } else { *last };
                return vec![value.to_string()];
            }
            Deed::Add(n) => list.push((*n, now)),
            Deed::Set(all) => *list = all.iter().map(|n| (*n, now)).collect(),
            Deed::Elements => {
                list.retain(|(_, last)| alive(last));
                if on_read {
                    list.iter_mut().for_each(|(_, last)| *last = now);
                }
                return list.iter().map(|(n, _)| n.to_string()).collect();
            }
            Deed::PutEntry(k, n) => drop(map.insert(*k, (*n, now))),
            Deed::RemoveEntry(k) => drop(map.remove(k)),
            Deed::ClearMap => map.clear(),
            Deed::Entry(k) => {
                let Some((value, last)) = map.get_mut(k).filter(|(_, l)| alive(l)) else {
                    return vec![];
                };
                *last = if on_read { now } else { *last };
                return vec![value.to_string()];
            }
            Deed::Entries => {
                map.retain(|_, (_, last)| alive(last));
                if on_read {
                    map.values_mut().for_each(|(_, last)| *last = now);
                }
                let told = map.iter();
                return told
                    .map(|(k, (n, _))| format!("{}={n}", (b'a' + k) as char))
                    .collect();
            }
        }
        Vec::new()
    }
}
