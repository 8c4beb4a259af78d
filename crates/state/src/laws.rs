//! The laws that every backend passes, to be called from its tests.
//!
//! A model of plain `BTreeMap`s runs beside the backend; after every call both must tell the same,
//! and so must what a snapshot gives back through a state file, whenever it is written and at
//! whatever parallelism it is restored. The runs are the same each time: the random numbers have a
//! fixed seed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "laws are assertions: they fail the test that calls them"
)]

mod increments;
mod model;
mod saved;
mod steps;
pub mod ttl;

use std::io;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use weir_model::{CheckpointId, KeyGroup, KeyGroupRange, MaxParallelism, OptionalColumn, hash64};

use crate::{
    Backend, Chain, Error, NestedColumn, Snapshot, SnapshotSink, StateDecl, StateIndex, StateKind,
    TimerKind, ValueWrites, Which, Writes, rows::Reader,
};
use model::{Batch, Call, World};

/// How a law gets a backend.
pub type Make<'a> = &'a dyn Fn(Vec<StateDecl>, KeyGroupRange) -> Box<dyn Backend>;

/// The number of key groups in the laws: not a power of two, more than a table has pages.
const MAX: u32 = 40;
/// How many random histories are run.
const CASES: u32 = 64;

const VALUE: StateIndex = StateIndex(0);
const LIST: StateIndex = StateIndex(1);
const MAP: StateIndex = StateIndex(2);
const REDUCING: StateIndex = StateIndex(3);
const AGGREGATING: StateIndex = StateIndex(4);
const TIMERS: StateIndex = StateIndex(5);

/// Checks all laws on the backends that `make` makes, each empty and holding the given states and
/// key groups. Panics where a law is broken, with the smallest history found.
pub fn check_backend(make: impl Fn(Vec<StateDecl>, KeyGroupRange) -> Box<dyn Backend>) {
    check_histories(CASES, &make);
    check_slow_backend(make);
}

/// All laws but those that random histories are held against, and those of a time to live, for a
/// backend that takes its time to begin: [`check_slow_backend_at_random`] is the rest.
pub fn check_slow_backend(make: impl Fn(Vec<StateDecl>, KeyGroupRange) -> Box<dyn Backend>) {
    increments::large_values_in_increments(&make);
    many_keys_and_large_values(&make);
    one_crowded_key_group(&make);
    a_refused_call_changes_nothing(&make);
    states_are_used_as_declared(&make);
    state_without_keys_is_not_kept(&make);
    damaged_rows_are_refused(&make);
}

/// Random histories, fewer than [`check_backend`] has, and what a time to live asks.
pub fn check_slow_backend_at_random(
    make: impl Fn(Vec<StateDecl>, KeyGroupRange) -> Box<dyn Backend>,
) {
    check_histories(CASES / 4, &make);
}

fn check_histories(cases: u32, make: Make<'_>) {
    random_histories(cases, make);
    increments::any_checkpoints(cases, make);
    check_ttl(make);
}

/// Checks what a time to live asks of a backend: C13 to C16, and any calls against a model.
pub fn check_ttl(make: Make<'_>) {
    ttl::c13_strict_timeline(make);
    ttl::c14_relaxed_and_on_read(make);
    ttl::c14_a_call_that_is_rolled_back_refreshes_nothing(make);
    ttl::a_clock_that_goes_back_takes_nothing_away(make);
    ttl::c15_per_element_and_per_entry(make);
    ttl::c16_migration(make);
    ttl::c16_full_snapshots_leave_out_what_has_expired(make);
    ttl::any_calls(make);
}

/// Those laws that many keys with colliding hashes might break.
#[cfg(test)]
pub(crate) fn check_crowds(make: impl Fn(Vec<StateDecl>, KeyGroupRange) -> Box<dyn Backend>) {
    random_histories(CASES, &make);
    one_crowded_key_group(&make);
}

/// Any history of calls, snapshots and restores is what the model says.
fn random_histories(cases: u32, make: Make<'_>) {
    run(cases, steps::history(), |history| {
        let mut world = World::new(make);
        for step in history {
            world.step(step);
        }
        // Here and not after each step, for it may move what a backend has in front.
        world.check_keys();
        world.finish_all();
    });
}

/// Runs random histories, the same each time. Panics with the smallest that breaks a law.
fn run<S: Strategy>(cases: u32, histories: S, law: impl Fn(S::Value)) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&histories, |history| {
        law(history);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, history)) => panic!("{why}\nhistory: {history:#?}"),
        Err(TestError::Abort(why)) => panic!("the laws could not be run: {why}"),
    }
}

/// Thousands of keys, long lists, large maps and values that grow and shrink, with snapshots that
/// are written much later.
fn many_keys_and_large_values(make: Make<'_>) {
    let mut world = World::new(make);
    for round in 0..6u16 {
        for part in 0..10u16 {
            world.call(&steps::bulk_call(round, part));
        }
        world.snapshot();
        if round % 2 == 1 {
            world.finish(0, &[7, 20, 21], round == 3);
        }
        if round == 3 {
            world.check_keys();
        }
    }
    world.finish_all();
}

/// Many keys of one key group, and snapshots between which only some of them are written, finished
/// in another order than they were taken.
fn one_crowded_key_group(make: Make<'_>) {
    let group = KeyGroup(7);
    let range = KeyGroupRange {
        start: group,
        end: group,
    };
    let crowd: Vec<u16> = (0..u16::MAX).filter(|&n| group_of(n) == group).collect();
    let mut world = World::with_range(make, range);
    for (round, part) in (0..).zip(crowd.chunks(crowd.len() / 3)) {
        world.call(&steps::crowd_call(round, part));
    }
    for round in 3..9 {
        world.snapshot();
        let some = &crowd[usize::from(round) * 100..][..20];
        world.call(&steps::crowd_call(round, some));
        if round % 3 == 2 {
            world.finish(1, &[], round == 8);
        }
    }
    for part in crowd.chunks(crowd.len() / 2) {
        world.call(&steps::removal(part));
    }
    world.call(&steps::crowd_call(9, &crowd[..50]));
    world.snapshot();
    world.finish_all();
}

/// A call with one key of another subtask is refused and leaves nothing behind.
fn a_refused_call_changes_nothing(make: Make<'_>) {
    let range = KeyGroupRange {
        start: KeyGroup(10),
        end: KeyGroup(19),
    };
    let mut world = World::with_range(make, range);
    let inside: Vec<u16> = (0..400).filter(|&n| range.contains(group_of(n))).collect();
    let outside = (0..400).find(|&n| !range.contains(group_of(n))).unwrap();
    let mut good = Call::default();
    let mut bad = Call::default();
    for &n in &inside {
        good.values[0].insert(n, Some(vec![1; 9]));
        good.lists.insert(n, (false, vec![vec![2]]));
        good.entries.insert((n, vec![3]), Some(vec![4]));
        bad.values[0].insert(n, None);
        bad.lists.insert(n, (true, vec![]));
        bad.clears.insert(n);
        let timer = (TimerKind::EventTime, i64::from(n), n);
        good.timers.insert(timer, true);
        bad.timers.insert(timer, false);
    }
    world.call(&good);
    for which in 0..5 {
        let mut bad = bad.clone();
        match which {
            0 => drop(bad.values[0].insert(outside, Some(vec![]))),
            1 => drop(bad.lists.insert(outside, (false, vec![vec![]]))),
            2 => drop(bad.entries.insert((outside, vec![]), Some(vec![]))),
            3 => drop(bad.timers.insert((TimerKind::EventTime, 1, outside), true)),
            _ => drop(bad.clears.insert(outside)),
        }
        let error = world.refused(&bad);
        assert!(
            matches!(error, Error::KeyGroup { group, .. } if group == group_of(outside)),
            "a key outside {range} gives {error}"
        );
        world.check();
    }
    let batch = Batch::of([outside]);
    let read = world
        .backend
        .get_values(VALUE, &batch.view(), Which::All, &mut Default::default());
    assert!(matches!(read, Err(Error::KeyGroup { .. })), "{read:?}");
    let load = world.backend.load(VALUE, KeyGroup(9), &[]);
    assert!(matches!(load, Err(Error::KeyGroup { .. })), "{load:?}");
}

/// A state cannot be used as another kind, and what was not declared cannot be used at all.
fn states_are_used_as_declared(make: Make<'_>) {
    let mut backend = make(decls(), all());
    let batch = Batch::of([1]);
    let keys = batch.view();
    let wrong = backend.get_values(LIST, &keys, Which::All, &mut Default::default());
    assert!(matches!(wrong, Err(Error::WrongKind { .. })), "{wrong:?}");
    let wrong = backend.get_lists(VALUE, &keys, Which::All, &mut NestedColumn::default());
    assert!(matches!(wrong, Err(Error::WrongKind { .. })), "{wrong:?}");
    let wrong = backend.scan_entries(VALUE, &keys, 0, None, 1, &mut Default::default());
    assert!(matches!(wrong, Err(Error::WrongKind { .. })), "{wrong:?}");
    let wrong = backend.apply(
        &keys,
        &Writes {
            values: vec![(MAP, Default::default())],
            ..Writes::default()
        },
    );
    assert!(matches!(wrong, Err(Error::WrongKind { .. })), "{wrong:?}");
    let wrong = backend.get_values(StateIndex(99), &keys, Which::All, &mut Default::default());
    assert!(matches!(wrong, Err(Error::Undeclared { .. })), "{wrong:?}");
    let some = Which::Some(&[1]);
    let wrong = backend.get_values(VALUE, &keys, some, &mut Default::default());
    assert!(matches!(wrong, Err(Error::NoSuchKey { .. })), "{wrong:?}");
}

/// States without keys may be declared among the others, and count as such, and cannot be reached.
fn state_without_keys_is_not_kept(make: Make<'_>) {
    let mut decls = decls();
    for (at, kind) in [
        (0, StateKind::Broadcast),
        (2, StateKind::OperatorList),
        (7, StateKind::OperatorUnion),
    ] {
        let name = kind.as_str().into();
        let first = decls[0].clone();
        decls.insert(
            at,
            StateDecl {
                name,
                kind,
                ..first
            },
        );
    }
    let mut backend = make(decls.clone(), all());
    assert_eq!(backend.states(), decls);
    let batch = Batch::of([1]);
    let keys = batch.view();
    let mut writes = Writes::default();
    let mut value = ValueWrites::default();
    value.keys.push(0);
    value.values.push(Some(b"v"));
    writes.values.push((StateIndex(1), value.clone()));
    backend.apply(&keys, &writes).unwrap();
    let mut out = OptionalColumn::new();
    backend
        .get_values(StateIndex(1), &keys, Which::All, &mut out)
        .unwrap();
    assert_eq!(out.get(0), Some(&b"v"[..]));
    for state in [0, 2, 7].map(StateIndex) {
        let wrong = backend.get_values(state, &keys, Which::All, &mut out);
        assert!(matches!(wrong, Err(Error::WrongKind { .. })), "{wrong:?}");
        let wrong = backend.get_lists(state, &keys, Which::All, &mut NestedColumn::default());
        assert!(matches!(wrong, Err(Error::WrongKind { .. })), "{wrong:?}");
        let wrong = backend.scan_entries(state, &keys, 0, None, 1, &mut Default::default());
        assert!(matches!(wrong, Err(Error::WrongKind { .. })), "{wrong:?}");
        let writes = Writes {
            values: vec![(state, value.clone())],
            ..Writes::default()
        };
        let wrong = backend.apply(&keys, &writes);
        assert!(matches!(wrong, Err(Error::WrongKind { .. })), "{wrong:?}");
        let wrong = backend.load(state, group_of(1), &[1, b'k', 0, 1, b'v']);
        assert!(matches!(wrong, Err(Error::Damaged(_))), "{wrong:?}");
        assert_eq!(backend.entries(state), 0);
    }
}

/// Rows that end too early or claim too much are an error and no panic.
fn damaged_rows_are_refused(make: Make<'_>) {
    for state in [VALUE, LIST, MAP, TIMERS] {
        let mut backend = make(decls(), all());
        for rows in [
            &[0xff; 12][..],
            &[1],
            &[1, b'k'],
            &[1, b'k', 0],
            &[1, b'k', 0, 5, 1],
            &[1, b'k', 0, 2, 1, b'x', 9],
            &[1, b'k', 1, b'n', 1, b'x'],
        ] {
            let result = backend.load(state, KeyGroup(0), rows);
            assert!(
                matches!(result, Err(Error::Damaged(_))),
                "{state:?} {rows:?}"
            );
        }
    }
}

/// One state of each keyed kind, timers at the end.
fn decls() -> Vec<StateDecl> {
    [
        ("value", StateKind::Value),
        ("list", StateKind::List),
        ("map", StateKind::Map),
        ("reducing", StateKind::Reducing),
        ("aggregating", StateKind::Aggregating),
    ]
    .map(|(name, kind)| StateDecl {
        name: name.into(),
        kind,
        format: "raw".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    })
    .into_iter()
    .chain([StateDecl::timers()])
    .collect()
}

fn all() -> KeyGroupRange {
    KeyGroupRange {
        start: KeyGroup(0),
        end: KeyGroup(MAX as u16 - 1),
    }
}

/// The key with a number: among the first are the empty key and keys that are prefixes of others.
fn key_of(n: u16) -> Vec<u8> {
    match n {
        0 => vec![],
        1 => vec![0],
        2 => vec![0, 0],
        3 => vec![0xff; 3],
        4 => vec![0xff; 300],
        _ => {
            let mut key = format!("{n:05}-").into_bytes();
            key.resize(6 + usize::from(n % 13), b'k');
            key
        }
    }
}

fn group_of(n: u16) -> KeyGroup {
    let max = MaxParallelism::new(MAX).unwrap();
    max.key_group_of(hash64(&key_of(n)))
}

/// A snapshot that also checks the order in which full rows are written.
struct Ordered {
    snapshot: Box<dyn Snapshot>,
    decls: Vec<StateDecl>,
}

impl Snapshot for Ordered {
    fn write(self: Box<Self>, sink: &mut dyn SnapshotSink) -> Result<(), Error> {
        self.snapshot.write(&mut OrderedSink {
            sink,
            decls: self.decls,
            last: None,
        })
    }
}

struct OrderedSink<'a> {
    sink: &'a mut dyn SnapshotSink,
    decls: Vec<StateDecl>,
    last: Option<(StateIndex, KeyGroup, Vec<u8>)>,
}

impl SnapshotSink for OrderedSink<'_> {
    fn block(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let mut reader = Reader::new(bytes);
        let mut count = 0;
        while !reader.is_empty() {
            let key = reader.bytes().unwrap().to_vec();
            assert_eq!(reader.bytes().unwrap(), b"", "no namespaces yet");
            let kind = self.decls[state.0 as usize].kind;
            let items = match kind {
                StateKind::List => reader.uvarint().unwrap(),
                StateKind::Map | StateKind::Timers => reader.uvarint().unwrap() * 2,
                _ => 1,
            };
            assert!(items > 0, "an empty list or map was saved");
            for _ in 0..items {
                reader.bytes().unwrap();
            }
            count += 1;
            let here = Some((state, group, key));
            let again = here == self.last && !kind.is_cell();
            assert!(here > self.last || again, "{here:?} after {:?}", self.last);
            self.last = here;
        }
        assert_eq!(count, rows);
        self.sink.block(state, group, rows, bytes)
    }

    fn base(&self) -> Option<CheckpointId> {
        self.sink.base()
    }

    fn chain(&self, state: StateIndex, group: KeyGroup) -> Chain {
        self.sink.chain(state, group)
    }

    fn keep(&mut self, state: StateIndex, group: KeyGroup) -> Result<(), Error> {
        self.sink.keep(state, group)
    }

    fn delta(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.sink.delta(state, group, rows, bytes)
    }

    fn blob(&mut self, name: &str, length: u64, bytes: &mut dyn io::Read) -> Result<(), Error> {
        self.sink.blob(name, length, bytes)
    }

    fn keep_blob(&mut self, name: &str) -> Result<bool, Error> {
        self.sink.keep_blob(name)
    }

    fn note(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sink.note(bytes)
    }
}
