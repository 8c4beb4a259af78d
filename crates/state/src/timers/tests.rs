//! The queue against a model, the cases of Flink that are about it alone, and what a timer costs.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};
use weir_model::{Column, KeyGroup, KeyGroupRange, KeyedView, MaxParallelism, hash64};

use super::*;
use crate::{Error, HeapBackend, KeyedState, StateDecl};

const EVENT: TimerKind = TimerKind::EventTime;
const PROCESSING: TimerKind = TimerKind::ProcessingTime;

fn when(kind: TimerKind, at: i64) -> When {
    When { kind, at }
}

/// Takes out all that is due, in order.
fn fire(queue: &mut TimerQueue, kind: TimerKind, until: i64) -> Vec<(i64, Vec<u8>)> {
    let mut due = Timers::default();
    queue.due(kind, until, usize::MAX, &mut due).unwrap();
    let each = due.at.iter().copied().zip(due.keys.iter());
    let fired: Vec<_> = each.map(|(at, key)| (at, key.to_vec())).collect();
    for (at, key) in &fired {
        assert!(queue.remove(when(kind, *at), KeyGroup(0), key));
    }
    fired
}

#[test]
fn c17_the_first_timer_is_the_one_to_wake_for() {
    let mut queue = TimerQueue::new();
    let mut set = |at, key: &[u8]| queue.add(when(PROCESSING, at), KeyGroup(0), key, 1);
    for (key, times) in [(&b"ciao"[..], &[10, 20, 30][..]), (b"hello", &[10, 20])] {
        assert!(times.iter().all(|&at| set(at, key)));
        assert!(!set(10, key), "it is set already");
    }
    for (clock, left, next) in [(10, 3, Some(20)), (20, 1, Some(30)), (30, 0, None)] {
        fire(&mut queue, PROCESSING, clock);
        assert_eq!(
            (queue.len(PROCESSING), queue.next(PROCESSING)),
            (left, next)
        );
    }
    queue.add(when(PROCESSING, 40), KeyGroup(0), b"ciao", 1);
    assert_eq!(
        (queue.len(PROCESSING), queue.next(PROCESSING)),
        (1, Some(40))
    );
    queue.add(when(PROCESSING, 10), KeyGroup(0), b"ciao", 1);
    assert_eq!(queue.next(PROCESSING), Some(10), "an earlier one moves it");
    assert_eq!(queue.next(EVENT), None);
}

#[derive(Clone, Debug)]
enum Step {
    Set(TimerKind, i64, u8),
    Delete(TimerKind, i64, u8),
    Fire(TimerKind, i64),
    /// Delete the first so many at once, as if the one at this place were not due.
    First(TimerKind, usize, usize),
    /// Delete each so many-th, from one on, and one that is not set, in an order of their own.
    Some(TimerKind, usize, usize),
    Freeze,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = || prop::sample::select(TimerKind::ALL.to_vec());
    let at = || prop_oneof![-20..300i64, Just(i64::MIN), Just(i64::MAX)];
    prop_oneof![
        12 => (kind(), at(), any::<u8>()).prop_map(|(kind, at, key)| Step::Set(kind, at, key)),
        4 => (kind(), at(), any::<u8>()).prop_map(|(kind, at, key)| Step::Delete(kind, at, key)),
        1 => (kind(), -20..300i64).prop_map(|(kind, until)| Step::Fire(kind, until)),
        1 => (kind(), 0..40usize, 0..80usize)
            .prop_map(|(kind, count, missing)| Step::First(kind, count, missing)),
        1 => (kind(), 0..9usize, 0..9usize)
            .prop_map(|(kind, step, from)| Step::Some(kind, step + 1, from)),
        1 => Just(Step::Freeze),
    ]
}

fn pending(at: i64, key: &[u8]) -> PendingTimer<'_> {
    PendingTimer {
        at,
        group: KeyGroup(0),
        key,
    }
}

proptest! {
    #[test]
    fn a_queue_is_an_ordered_set_of_timers(steps in vec(step(), 1..600)) {
        let mut queue = TimerQueue::new();
        let mut model: BTreeSet<(TimerKind, i64, Vec<u8>)> = BTreeSet::new();
        let mut frozen = Vec::new();
        for step in steps {
            match step {
                Step::Set(kind, at, key) => prop_assert_eq!(
                    queue.add(when(kind, at), KeyGroup(0), &[key], 1),
                    model.insert((kind, at, vec![key]))
                ),
                Step::Delete(kind, at, key) => prop_assert_eq!(
                    queue.remove(when(kind, at), KeyGroup(0), &[key]),
                    model.remove(&(kind, at, vec![key]))
                ),
                Step::Fire(kind, until) => {
                    let due = model.iter().filter(|(of, at, _)| *of == kind && *at <= until);
                    let due: Vec<_> = due.map(|(_, at, key)| (*at, key.clone())).collect();
                    prop_assert_eq!(fire(&mut queue, kind, until), due);
                    model.retain(|(of, at, _)| *of != kind || *at > until);
                }
                Step::First(kind, count, missing) => {
                    let of_kind = |timer: &&(TimerKind, i64, Vec<u8>)| timer.0 == kind;
                    let first: Vec<_> = model.iter().filter(of_kind).take(count).cloned().collect();
                    let next = first.iter().zip(0..).filter(|&(_, at)| at != missing);
                    let next = next.map(|((_, at, key), _)| pending(*at, key));
                    let removed = queue.remove_first(kind, next);
                    prop_assert_eq!(removed, first.len().min(missing));
                    first[..removed].iter().for_each(|timer| assert!(model.remove(timer)));
                }
                Step::Some(kind, step, from) => {
                    let of_kind = |timer: &&(TimerKind, i64, Vec<u8>)| timer.0 == kind;
                    let all = model.iter().filter(of_kind).cloned();
                    let some: Vec<_> = all.skip(from).step_by(step).collect();
                    let mut timers: Vec<_> =
                        some.iter().map(|(kind, at, key)| (*kind, pending(*at, key))).collect();
                    timers.push((kind, pending(5, b"nobody's")));
                    timers.reverse();
                    let mut gone = BTreeSet::new();
                    queue.remove_all(&mut timers, |kind, timer| {
                        assert!(gone.insert((kind, timer.at, timer.key.to_vec())));
                    });
                    prop_assert!(gone.iter().eq(&some));
                    some.iter().for_each(|timer| assert!(model.remove(timer)));
                }
                Step::Freeze => frozen.push((queue.clone(), model.clone())),
            }
        }
        frozen.push((queue, model));
        for (queue, model) in frozen {
            for kind in TimerKind::ALL {
                let all = queue.pending(kind).map(|t| (kind, t.at, t.key.to_vec()));
                let all: Vec<_> = all.collect();
                let expected = model.iter().filter(|(of, _, _)| *of == kind);
                prop_assert!(all.iter().eq(expected));
                prop_assert_eq!(queue.len(kind), all.len() as u64);
            }
        }
    }

    #[test]
    fn a_time_is_read_back_and_its_bytes_are_ordered_as_it_is(
        a in any::<i64>(),
        b in any::<i64>(),
    ) {
        for kind in TimerKind::ALL {
            let (x, y) = (when(kind, a), when(kind, b));
            prop_assert_eq!(When::decode(&x.encode()), Some(x));
            prop_assert_eq!(x.encode().cmp(&y.encode()), x.cmp(&y));
        }
        prop_assert!(when(EVENT, a).encode() < when(PROCESSING, b).encode());
    }
}

#[test]
fn bytes_that_say_no_time_are_refused() {
    for bytes in [&[][..], &[1], &[3; 9], &[1; 8], &[1; 10]] {
        assert_eq!(When::decode(bytes), None);
    }
}

#[test]
fn a_pending_timer_takes_at_most_64_bytes_beside_its_key() {
    const KEY: usize = 16;
    for (name, step) in [("in order", 1u64), ("in no order", 0x9E37_79B9_7F4A_7C15)] {
        let mut queue = TimerQueue::new();
        let count = 100_000u64;
        for n in 0..count {
            let at = (n.wrapping_mul(step) % 1_000_000_007) as i64;
            let key: [u8; KEY] = u128::from(n).to_be_bytes();
            queue.add(when(EVENT, at), KeyGroup((n % 128) as u16), &key, 1);
        }
        let each = queue.memory() as u64 / queue.len(EVENT);
        assert!(each <= 64 + KEY as u64, "{name}: {each} bytes with the key");
    }
}

/// Calls on keyed state with timers, of these keys.
struct Calls {
    state: KeyedState,
    keys: Column,
    hashes: Vec<u64>,
}

impl Calls {
    fn new(decls: Vec<StateDecl>, names: &[&str]) -> Self {
        let max = MaxParallelism::new(1).unwrap();
        let group = KeyGroup(0);
        let range = KeyGroupRange {
            start: group,
            end: group,
        };
        let backend = HeapBackend::new(decls, range).unwrap();
        let keys: Column = names.iter().map(|name| name.as_bytes()).collect();
        Self {
            state: KeyedState::new(Box::new(backend), max),
            hashes: keys.iter().map(hash64).collect(),
            keys,
        }
    }

    fn begin(&mut self) -> &mut KeyedState {
        self.state.begin(Some(KeyedView {
            keys: self.keys.view(),
            hashes: &self.hashes,
            key_of_row: &[],
        }));
        &mut self.state
    }

    fn pending(&mut self) -> Vec<(i64, String)> {
        let mut due = Timers::default();
        self.state
            .due_timers(EVENT, i64::MAX, 100, &mut due)
            .unwrap();
        let name = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
        due.at
            .iter()
            .copied()
            .zip(due.keys.iter().map(name))
            .collect()
    }
}

fn named(pending: &[(i64, &str)]) -> Vec<(i64, String)> {
    pending
        .iter()
        .map(|(at, key)| (*at, (*key).to_owned()))
        .collect()
}

#[test]
fn timers_of_a_call_that_is_rolled_back_are_as_before_and_the_last_word_counts() {
    let mut calls = Calls::new(vec![StateDecl::timers()], &["a", "b"]);
    calls
        .begin()
        .timers_set(EVENT, &[0, 1, 0], &[5, 5, 7])
        .unwrap();
    calls.state.rollback();
    assert_eq!(calls.pending(), []);
    let state = calls.begin();
    state
        .timers_set(EVENT, &[0, 1, 0, 0], &[5, 5, 7, 7])
        .unwrap();
    state
        .timers_delete(EVENT, &[1, 0, 1], &[5, 7, 777])
        .unwrap();
    state.timers_set(EVENT, &[0], &[7]).unwrap();
    state.commit().unwrap();
    assert_eq!(calls.pending(), named(&[(5, "a"), (7, "a")]));
    // One that fires is gone, unless the call sets it again.
    let state = calls.begin();
    state.fire(EVENT, &[5, 7], &[0, 0]).unwrap();
    state.rollback();
    assert_eq!(calls.pending().len(), 2);
    calls.begin().commit().unwrap();
    assert_eq!(calls.pending().len(), 2);
    let state = calls.begin();
    state.fire(EVENT, &[5, 7], &[0, 0]).unwrap();
    state.timers_set(EVENT, &[0, 1], &[9, 9]).unwrap();
    assert_eq!(state.timer_conflict(), None);
    state.commit().unwrap();
    assert_eq!(calls.pending(), named(&[(9, "a"), (9, "b")]));
}

/// An instance that is replaced before it is called drops what its `open` wrote.
#[test]
fn a_call_of_timers_that_goes_on_behind_a_rollback_is_still_that_of_its_timers() {
    let mut calls = Calls::new(vec![StateDecl::timers()], &["a", "b"]);
    let state = calls.begin();
    state.timers_set(EVENT, &[0, 0], &[5, 7]).unwrap();
    state.commit().unwrap();
    let state = calls.begin();
    state.fire(EVENT, &[5, 7], &[0, 0]).unwrap();
    state.timers_set(EVENT, &[1], &[1]).unwrap();
    state.rollback();
    state.timers_set(EVENT, &[0], &[6]).unwrap();
    assert_eq!(state.timer_conflict(), Some(1));
    state.commit().unwrap();
    assert_eq!(calls.pending(), named(&[(6, "a")]));
}

#[test]
fn a_call_conflicts_where_it_touched_what_should_have_fired_later_in_it() {
    let mut calls = Calls::new(vec![StateDecl::timers()], &["a", "b"]);
    // Due: a at 1, b at 2, a at 5, b at 6.
    let (at, key_of) = ([1, 2, 5, 6], [0, 1, 0, 1]);
    for (set, delete, expected) in [
        (None, None, None),
        (Some((0, 9)), None, None),
        (Some((0, 5)), None, Some(2)),
        (Some((0, 3)), None, Some(2)),
        (Some((1, 3)), None, Some(3)),
        (None, Some((0, 5)), Some(2)),
        (None, Some((1, 6)), Some(3)),
        (None, Some((0, 1)), None),
        (None, Some((0, 4)), None),
        (Some((1, 6)), Some((0, 5)), Some(2)),
    ] {
        let state = calls.begin();
        state.fire(EVENT, &at, &key_of).unwrap();
        if let Some((key, at)) = set {
            state.timers_set(EVENT, &[key], &[at]).unwrap();
            // Another kind never conflicts.
            state.timers_set(PROCESSING, &[0], &[1]).unwrap();
        }
        if let Some((key, at)) = delete {
            state.timers_delete(EVENT, &[key], &[at]).unwrap();
        }
        assert_eq!(state.timer_conflict(), expected, "{set:?} {delete:?}");
    }
}

#[test]
fn a_breach_is_an_error_and_sets_nothing() {
    let mut calls = Calls::new(vec![StateDecl::timers()], &["a"]);
    let state = calls.begin();
    let wrong = state.timers_set(EVENT, &[0, 1], &[1, 1]).unwrap_err();
    assert_eq!(wrong, Error::NoSuchKey { index: 1, keys: 1 });
    let wrong = state.timers_set(EVENT, &[0], &[1, 2]).unwrap_err();
    assert!(
        matches!(
            wrong,
            Error::Mismatch {
                left: 2,
                right: 1,
                ..
            }
        ),
        "{wrong}"
    );
    state.commit().unwrap();
    assert_eq!(calls.pending(), []);
    calls.state.begin(None);
    let wrong = calls.state.timers_set(EVENT, &[], &[]).unwrap_err();
    assert_eq!(wrong, Error::TimersNotKeyed);
    let mut calls = Calls::new(vec![], &["a"]);
    let wrong = calls.begin().timers_delete(EVENT, &[0], &[1]).unwrap_err();
    assert_eq!(wrong, Error::NoTimers);
}
