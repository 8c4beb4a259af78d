//! Random histories, and the large ones that are not random.

use proptest::{
    collection::{btree_map, btree_set, vec},
    prelude::*,
    sample::Index,
};

use super::{MAX, model::Call};
use crate::TimerKind;

/// One step of a history.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Call(Call),
    /// The synchronous part of a snapshot.
    Snapshot,
    /// The rest of a pending snapshot.
    Finish {
        which: Index,
        cuts: Vec<u16>,
        adopt: bool,
    },
}

/// A history of a few steps.
pub(super) fn history() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..12)
}

fn step() -> impl Strategy<Value = Step> {
    let cuts = btree_set(0..MAX as u16, 0..4).prop_map(|cuts| cuts.into_iter().collect());
    let finish = (any::<Index>(), cuts, any::<bool>())
        .prop_map(|(which, cuts, adopt)| Step::Finish { which, cuts, adopt });
    prop_oneof![
        4 => call().prop_map(Step::Call),
        1 => Just(Step::Snapshot),
        1 => finish,
    ]
}

pub(super) fn call() -> impl Strategy<Value = Call> {
    let cells = || btree_map(key(), proptest::option::weighted(0.7, bytes()), 0..20);
    let lists = btree_map(key(), (any::<bool>(), vec(bytes(), 0..5)), 0..10);
    let entry = proptest::option::weighted(0.7, bytes());
    let entries = btree_map((key(), map_key()), entry, 0..30);
    let timers = btree_map(
        (timer_kind(), time(), key()),
        prop::bool::weighted(0.7),
        0..30,
    );
    (
        [cells(), cells(), cells()],
        lists,
        btree_set(key(), 0..3),
        entries,
        timers,
    )
        .prop_map(|(values, lists, clears, entries, timers)| Call {
            values,
            lists,
            clears,
            entries,
            timers,
        })
}

/// Few keys, so that histories meet them again.
fn key() -> impl Strategy<Value = u16> {
    prop_oneof![0..8u16, 0..50u16]
}

fn timer_kind() -> impl Strategy<Value = TimerKind> {
    prop::sample::select(TimerKind::ALL.to_vec())
}

/// Few times, the first and last of all among them.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -3..60i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

fn map_key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(b'a'), Just(0xff)];
    prop_oneof![
        2 => vec(byte, 0..4),
        // Maps of nothing but numbers are searched in another way.
        1 => (0..12u64).prop_map(|number| number.to_be_bytes().to_vec()),
    ]
}

/// Mostly short, some long enough to be laid out differently.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..20),
        1 => (any::<u8>(), 300..3000usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

/// One of many calls over thousands of keys: insertions in the first rounds, then replacements that
/// grow and shrink, then removals.
pub(super) fn bulk_call(round: u16, part: u16) -> Call {
    let mut call = Call::default();
    for n in (part * 300)..(part * 300 + 300) {
        let mix = usize::from(n.wrapping_mul(31).wrapping_add(round * 7)) % 11;
        let keep = round < 4 || mix < 3;
        let value = vec![n as u8; mix * usize::from(round + 1)];
        call.values[usize::from(n % 3)].insert(n, keep.then_some(value));
        let timer = (TimerKind::EventTime, i64::from(n % 700) * 1000, n);
        call.timers.insert(timer, keep);
        if mix == 1 {
            call.lists
                .insert(n, (!keep, vec![vec![round as u8; mix * 5]]));
        }
    }
    // One list and one map that grow large, and then shrink.
    let elements = (0..40).map(|i| vec![i; usize::from(part) * 100]).collect();
    call.lists.insert(7, (round == 4 && part == 5, elements));
    for i in 0..150u16 {
        let map_key = (part * 150 + i).wrapping_mul(40_503).to_be_bytes().to_vec();
        let value = vec![i as u8; usize::from(i % 90 * (round + 1))];
        let keep = round < 4 || i % 16 == 0;
        call.entries.insert((7, map_key), keep.then_some(value));
    }
    if round == 5 && part == 9 {
        call.clears.insert(7);
    }
    call
}

/// A call that writes to all states of some keys, and to a few of them much.
pub(super) fn crowd_call(round: u16, keys: &[u16]) -> Call {
    let mut call = Call::default();
    for (i, &n) in (round..).zip(keys) {
        for (values, modulus) in call.values.iter_mut().zip([5, 7, 11]) {
            let value = vec![round as u8; usize::from(i % 40)];
            values.insert(n, (round < 3 || i % modulus > 0).then_some(value));
        }
        let len = if n % 16 == 0 { 3000 } else { i % 20 };
        let element = vec![i as u8; usize::from(len)];
        call.lists.insert(n, (i % 6 == 0, vec![element, vec![]]));
        if i % 13 == 0 {
            call.clears.insert(n);
        }
        for map_key in [round as u8, i as u8 % 4] {
            let value = vec![map_key; usize::from(if n % 16 == 1 { 600 } else { i % 9 })];
            let entry = (i % 3 > 0).then_some(value);
            call.entries.insert((n, vec![map_key]), entry);
        }
        for at in [round, i % 4] {
            let timer = (TimerKind::ProcessingTime, i64::from(at), n);
            call.timers.insert(timer, i % 3 > 0);
        }
    }
    call
}

/// A call that removes all there is of some keys.
pub(super) fn removal(keys: &[u16]) -> Call {
    let mut call = Call::default();
    for &n in keys {
        for values in &mut call.values {
            values.insert(n, None);
        }
        call.lists.insert(n, (true, vec![]));
        call.clears.insert(n);
        for at in 0..10 {
            call.timers
                .insert((TimerKind::ProcessingTime, at, n), false);
        }
    }
    call
}
