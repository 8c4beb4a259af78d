//! What timers cost on the heap: setting, firing, memory; also as queries use them: a timer for
//! each key somewhere in the next seconds, one that each row moves, and many at the same moment.
//! Times are those of the processor, so that it matters little what else the machine does.
//!
//! ```text
//! cargo run --release -p weir-state --example timers
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it measures and tells"
)]

use std::{fs, time::Duration};

use weir_model::{Column, KeyedView, MaxParallelism, Parallelism, SubtaskIndex, hash64};
use weir_state::{HeapBackend, KeyedState, StateDecl, TimerKind, TimerQueue, Timers, When};

const TIMERS: u64 = 1_000_000;
const BATCH: usize = 1024;

/// Bytes of memory that this process uses.
fn memory() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// What the processor has done for this thread.
fn spent() -> Duration {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

fn key(n: u64) -> [u8; 16] {
    let mut key = *b"sensor-000000000";
    let digits = format!("{n:09}");
    key[7..].copy_from_slice(digits.as_bytes());
    key
}

fn main() {
    for (name, step) in [("in order", 1), ("in no order", 7_368_787)] {
        queue(name, step);
        state(name, step);
    }
    each_key_once();
    moved_by_each_row();
    at_the_same_moment();
}

fn at(n: u64, step: u64) -> i64 {
    1_700_000_000_000 + (n * step % 10_000_019) as i64
}

/// The queue alone.
fn queue(name: &str, step: u64) {
    let max = MaxParallelism::new(128).unwrap();
    let keys: Vec<_> = (0..TIMERS).map(key).collect();
    let groups: Vec<_> = keys.iter().map(|k| max.key_group_of(hash64(k))).collect();
    let mut queue = TimerQueue::new();
    let before = memory();
    let began = spent();
    for n in 0..TIMERS {
        let when = When {
            kind: TimerKind::EventTime,
            at: at(n, step),
        };
        queue.add(when, groups[n as usize], &keys[n as usize], 1);
    }
    let set = spent() - began;
    let each = (memory() - before) as f64 / TIMERS as f64;
    let began = spent();
    let (mut due, mut fired) = (Timers::default(), 0);
    loop {
        due.clear();
        queue
            .due(TimerKind::EventTime, i64::MAX, BATCH, &mut due)
            .unwrap();
        if due.is_empty() {
            break;
        }
        for (&at, key) in due.at.iter().zip(due.keys.iter()) {
            let kind = TimerKind::EventTime;
            let group = max.key_group_of(hash64(key));
            fired += u64::from(queue.remove(When { kind, at }, group, key));
        }
    }
    let fire = spent() - began;
    assert_eq!(fired, TIMERS);
    println!(
        "queue, {name}: set {} ns, {:.1} bytes a timer ({:.1} beside its key), fire {:.2} million/s",
        set.as_nanos() / u128::from(TIMERS),
        each,
        each - 16.0,
        TIMERS as f64 / fire.as_secs_f64() / 1e6
    );
}

fn new_state() -> KeyedState {
    let max = MaxParallelism::new(128).unwrap();
    let range = max.range_of(SubtaskIndex(0), Parallelism::ONE).unwrap();
    let backend = HeapBackend::new(vec![StateDecl::timers()], range).unwrap();
    KeyedState::new(Box::new(backend), max)
}

/// What a call does to timers of keys that are numbers.
#[derive(Default)]
struct Call {
    keys: Column,
    hashes: Vec<u64>,
    of: Vec<u32>,
    set: Vec<i64>,
    deleted: Vec<i64>,
}

impl Call {
    fn set(&mut self, key: u64, at: i64) {
        self.of.push(self.of.len() as u32);
        self.keys.push(&key.to_le_bytes());
        self.hashes.push(hash64(&key.to_le_bytes()));
        self.set.push(at);
    }

    fn run(&mut self, state: &mut KeyedState) {
        state.begin(Some(KeyedView {
            keys: self.keys.view(),
            hashes: &self.hashes,
            key_of_row: &self.of,
        }));
        let kind = TimerKind::EventTime;
        state.timers_set(kind, &self.of, &self.set).unwrap();
        if !self.deleted.is_empty() {
            state.timers_delete(kind, &self.of, &self.deleted).unwrap();
        }
        state.commit().unwrap();
        *self = Self::default();
    }
}

/// Fires what is due, in calls; gives back how many.
fn fire(state: &mut KeyedState, until: i64) -> u64 {
    let (mut due, mut fired) = (Timers::default(), 0);
    let of: Vec<u32> = (0..BATCH as u32).collect();
    let kind = TimerKind::EventTime;
    loop {
        due.clear();
        state.due_timers(kind, until, BATCH, &mut due).unwrap();
        if due.is_empty() {
            return fired;
        }
        let hashes: Vec<u64> = due.keys.iter().map(hash64).collect();
        let of = &of[..due.len()];
        state.begin(Some(KeyedView {
            keys: due.keys.view(),
            hashes: &hashes,
            key_of_row: of,
        }));
        state.fire(kind, &due.at, of).unwrap();
        assert_eq!(state.timer_conflict(), None);
        state.commit().unwrap();
        fired += due.len() as u64;
    }
}

fn mix(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// A timer for each new key, at a random moment of the 20 s after it, and six keys a millisecond.
fn each_key_once() {
    let (mut state, mut call) = (new_state(), Call::default());
    let (mut fired, began) = (0, spent());
    for n in 0..TIMERS {
        let now = 1_700_000_000_000 + (n / 6) as i64;
        call.set(n, now + 1 + (mix(n) % 20_000) as i64);
        if n % 64 == 63 {
            call.run(&mut state);
            fired += fire(&mut state, now);
        }
    }
    call.run(&mut state);
    fired += fire(&mut state, i64::MAX);
    assert_eq!(fired, TIMERS);
    println!(
        "one for each key in the next 20 s: set and fire {} ns",
        (spent() - began).as_nanos() / u128::from(TIMERS)
    );
}

/// Of 2,000 keys some 300 a call have a timer moved to a second from now, as sessions do.
fn moved_by_each_row() {
    let (mut state, mut call) = (new_state(), Call::default());
    let (mut ends, mut called) = (vec![0; 2000], vec![0; 2000]);
    let mut number = 0;
    let (mut moved, began) = (0_u64, spent());
    for n in 0..TIMERS {
        let now = 1_700_000_000_000 + (n / 25) as i64;
        let key = (mix(n) % 2000) as usize;
        if called[key] <= number {
            called[key] = number + 1;
            call.set(key as u64, now + 1000);
            call.deleted
                .push(std::mem::replace(&mut ends[key], now + 1000));
            moved += 1;
        }
        if n % 300 == 299 {
            number += 1;
            call.run(&mut state);
            fire(&mut state, now);
        }
    }
    println!(
        "moved by each row: set one and delete one {} ns",
        (spent() - began).as_nanos() / u128::from(moved)
    );
}

/// All keys have one at the end of each second.
fn at_the_same_moment() {
    const KEYS: u64 = 100_000;
    let (mut state, mut call) = (new_state(), Call::default());
    let (mut fired, began) = (0, spent());
    for n in 0..TIMERS {
        let end = 1_700_000_001_000 + (n / KEYS * 1000) as i64;
        call.set(n % KEYS, end);
        if call.of.len() == BATCH {
            call.run(&mut state);
        }
        if n % KEYS == KEYS - 1 {
            call.run(&mut state);
            fired += fire(&mut state, end);
        }
    }
    assert_eq!(fired, TIMERS);
    println!(
        "at the same moment, of {KEYS} keys: set and fire {} ns",
        (spent() - began).as_nanos() / u128::from(TIMERS)
    );
}

/// Calls of 1,024 timers over the heap backend, each a transaction.
fn state(name: &str, step: u64) {
    let mut state = new_state();
    let all: Vec<u32> = (0..BATCH as u32).collect();
    let began = spent();
    for first in (0..TIMERS).step_by(BATCH) {
        let numbers = first..(first + BATCH as u64).min(TIMERS);
        let keys: Vec<_> = numbers.clone().map(key).collect();
        let keys: Column = keys.iter().map(|key| &key[..]).collect();
        let hashes: Vec<u64> = keys.iter().map(hash64).collect();
        let at: Vec<i64> = numbers.map(|n| at(n, step)).collect();
        let of = &all[..at.len()];
        state.begin(Some(KeyedView {
            keys: keys.view(),
            hashes: &hashes,
            key_of_row: of,
        }));
        state.timers_set(TimerKind::EventTime, of, &at).unwrap();
        state.commit().unwrap();
    }
    let set = spent() - began;
    let began = spent();
    assert_eq!(fire(&mut state, i64::MAX), TIMERS);
    let fire = spent() - began;
    println!(
        "calls of {BATCH}, {name}: set {} ns, fire {:.2} million/s",
        set.as_nanos() / u128::from(TIMERS),
        TIMERS as f64 / fire.as_secs_f64() / 1e6
    );
}
