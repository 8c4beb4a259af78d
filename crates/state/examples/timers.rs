//! What timers cost on the heap: setting, firing, memory.
//!
//! ```text
//! cargo run --release -p weir-state --example timers
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it measures and tells"
)]

use std::{fs, time::Instant};

use weir_model::{Column, KeyedView, MaxParallelism, Parallelism, SubtaskIndex, hash64};
use weir_state::{HeapBackend, KeyedState, StateDecl, TimerKind, TimerQueue, Timers, When};

const TIMERS: u64 = 1_000_000;
const BATCH: usize = 1024;

/// Bytes of memory that this process uses.
fn memory() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
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
    let began = Instant::now();
    for n in 0..TIMERS {
        let when = When {
            kind: TimerKind::EventTime,
            at: at(n, step),
        };
        queue.add(when, groups[n as usize], &keys[n as usize], 1);
    }
    let set = began.elapsed();
    let each = (memory() - before) as f64 / TIMERS as f64;
    let began = Instant::now();
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
    let fire = began.elapsed();
    assert_eq!(fired, TIMERS);
    println!(
        "queue, {name}: set {} ns, {:.1} bytes a timer ({:.1} beside its key), fire {:.2} million/s",
        set.as_nanos() / u128::from(TIMERS),
        each,
        each - 16.0,
        TIMERS as f64 / fire.as_secs_f64() / 1e6
    );
}

/// Calls of 1,024 timers over the heap backend, each a transaction.
fn state(name: &str, step: u64) {
    let max = MaxParallelism::new(128).unwrap();
    let range = max.range_of(SubtaskIndex(0), Parallelism::ONE).unwrap();
    let backend = HeapBackend::new(vec![StateDecl::timers()], range).unwrap();
    let mut state = KeyedState::new(Box::new(backend), max);
    let all: Vec<u32> = (0..BATCH as u32).collect();
    let began = Instant::now();
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
    let set = began.elapsed();
    let began = Instant::now();
    let (mut due, mut fired) = (Timers::default(), 0);
    loop {
        due.clear();
        let kind = TimerKind::EventTime;
        state.due_timers(kind, i64::MAX, BATCH, &mut due).unwrap();
        if due.is_empty() {
            break;
        }
        let hashes: Vec<u64> = due.keys.iter().map(hash64).collect();
        let of = &all[..due.len()];
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
    let fire = began.elapsed();
    assert_eq!(fired, TIMERS);
    println!(
        "calls of {BATCH}, {name}: set {} ns, fire {:.2} million/s",
        set.as_nanos() / u128::from(TIMERS),
        TIMERS as f64 / fire.as_secs_f64() / 1e6
    );
}
