//! What the state of a call costs: prints nanoseconds a key and milliseconds a snapshot.
//!
//! `cargo run --release -p weir-state --example cost`. Each figure is the median of some runs, so
//! that a machine that is busy for a moment does not matter. With numbers of keys behind it only
//! the values of so many keys are measured; `maps`, `lists`, `sizes` and `new` before them: the
//! maps, the lists, values that come and go, and values under keys that have none.

#![expect(clippy::print_stdout, reason = "figures for people are its purpose")]

use std::time::{Duration, Instant};

use weir_model::{
    CheckpointId, Column, KeyGroupRange, KeyedView, MaxParallelism, OperatorName, OptionalColumn,
    Parallelism, ProcessingTime, SubtaskIndex, hash64,
};
use weir_state::{
    EntriesColumn, HeapBackend, KeyedState, NestedColumn, OperatorState, SnapshotRequest,
    StateDecl, StateFileReader, StateFileWriter, StateIndex, StateKind, Which,
};

type Failure = Box<dyn std::error::Error>;

const VALUE: StateIndex = StateIndex(0);
const LIST: StateIndex = StateIndex(1);
const MAP: StateIndex = StateIndex(2);
/// Rows of a batch.
const ROWS: usize = 1024;
/// What is put under one key of a list or map state.
const MANY: u32 = 100_000;

/// A full checkpoint.
fn request() -> SnapshotRequest {
    SnapshotRequest::full(CheckpointId(1), ProcessingTime(0))
}

/// The distinct keys of a batch.
struct Keys {
    keys: Column,
    hashes: Vec<u64>,
}

impl Keys {
    fn of(numbers: impl Iterator<Item = u64>) -> Self {
        let mut keys = Column::new();
        // As long as a text of 16 bytes is in a job, behind its length.
        numbers.for_each(|n| keys.push(format!("user-{n:012}").as_bytes()));
        Self {
            hashes: keys.iter().map(hash64).collect(),
            keys,
        }
    }

    fn view(&self) -> KeyedView<'_> {
        KeyedView {
            keys: self.keys.view(),
            hashes: &self.hashes,
            key_of_row: &[],
        }
    }
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1).peekable();
    let what = args.next_if(|arg| arg.parse::<u64>().is_err());
    let measure = match what.as_deref() {
        None => values,
        Some("maps") => maps,
        Some("lists") => lists,
        Some("sizes") => sizes,
        Some("new") => new_keys,
        Some(other) => {
            return Err(format!("`{other}` is none of `maps`, `lists`, `sizes`, `new`").into());
        }
    };
    let asked: Result<Vec<u64>, _> = args.map(|arg| arg.parse()).collect();
    let asked = asked?;
    if what.is_some() || !asked.is_empty() {
        return asked.into_iter().try_for_each(measure);
    }
    for keys in [1_000, 1_000_000] {
        values(keys)?;
    }
    new_keys(1_000_000)?;
    maps(10_000)?;
    lists(100_000)?;
    sizes(100_000)?;
    one_long_list()?;
    one_large_map()?;
    for entries in [100, MANY] {
        one_broadcast_state(entries)?;
    }
    Ok(())
}

fn new_state() -> Result<KeyedState, Failure> {
    let kinds = [
        ("value", StateKind::Value),
        ("list", StateKind::List),
        ("map", StateKind::Map),
    ];
    let decls = kinds.map(|(name, kind)| StateDecl {
        name: name.into(),
        kind,
        format: "raw".into(),
        version: 1,
        prefetch: true,
        ttl: None,
    });
    let max = MaxParallelism::new(128)?;
    Ok(KeyedState::new(
        Box::new(HeapBackend::new(decls.into(), all(max)?)?),
        max,
    ))
}

fn all(max: MaxParallelism) -> Result<KeyGroupRange, Failure> {
    Ok(max.range_of(SubtaskIndex(0), Parallelism::ONE)?)
}

/// Counts rows by key: batches of random keys, each read and written.
fn values(keys: u64) -> Result<(), Failure> {
    let mut state = new_state()?;
    let numbers: Vec<u64> = (0..keys).collect();
    for some in numbers.chunks(ROWS) {
        count(&mut state, &Keys::of(some.iter().copied()))?;
    }
    let mut random = 1u64;
    let batches: Vec<Keys> = (0..2000)
        .map(|_| Keys::of(distinct(&mut random, keys).into_iter()))
        .collect();
    let per_batch = sample(&batches, |batch| count(&mut state, batch))?;
    println!("{keys} keys, get and put a key: {per_batch:.1} ns");
    let (mut freezes, mut firsts) = (Vec::new(), Vec::new());
    for batch in &batches[..21] {
        let start = Instant::now();
        let held = state.snapshot(&request())?;
        freezes.push(millis(start) * 1e3);
        let first = count(&mut state, batch)?.as_nanos() as f64;
        firsts.push(first / batch.hashes.len() as f64);
        drop(held);
        // What was frozen is taken back here, off the clock.
        count(&mut state, batch)?;
    }
    println!(
        "{keys} keys, synchronous part of a snapshot: {:.1} us",
        median(freezes)
    );
    println!(
        "{keys} keys, get and put a key, first batch after it: {:.1} ns",
        median(firsts)
    );
    let snapshot = state.snapshot(&request())?;
    let during = sample(&batches[..200], |batch| count(&mut state, batch))?;
    println!("{keys} keys, get and put a key, while a snapshot is held: {during:.1} ns");
    let operator = OperatorName::new("cost")?;
    let start = Instant::now();
    let mut writer = StateFileWriter::new();
    writer.add(&operator, state.states(), snapshot)?;
    let file = writer.finish()?;
    println!(
        "{keys} keys, file of {} KiB written in {:.1} ms",
        file.length / 1024,
        millis(start)
    );
    let mut restored = new_state()?;
    let start = Instant::now();
    let reader = StateFileReader::open(file.out)?;
    let range = all(MaxParallelism::new(128)?)?;
    let entries = reader.load(&operator, restored.backend_mut(), range, ProcessingTime(0))?;
    println!("{keys} keys, {entries} loaded in {:.1} ms", millis(start));
    Ok(())
}

/// The keys of a batch of random ones: distinct, and not in the order of their insertion.
fn distinct(random: &mut u64, keys: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..ROWS).map(|_| next(random) % keys).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.sort_unstable_by_key(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    numbers
}

/// One batch of a counting operator; the time it took in the state.
fn count(state: &mut KeyedState, keys: &Keys) -> Result<Duration, Failure> {
    let (mut slots, mut counted) = (OptionalColumn::new(), OptionalColumn::new());
    let start = Instant::now();
    state.begin(Some(keys.view()));
    state.value_get(VALUE, Which::All, &mut slots)?;
    let get = start.elapsed();
    for slot in slots.iter() {
        let old = slot.and_then(|bytes| bytes.try_into().ok());
        let new = old.map_or(1, |bytes| u64::from_le_bytes(bytes) + 1);
        counted.push(Some(&new.to_le_bytes()));
    }
    let start = Instant::now();
    state.put_slots(VALUE, &mut counted)?;
    state.commit()?;
    Ok(get + start.elapsed())
}

/// Values under keys that have none: numbers, and some as long as a row.
fn new_keys(keys: u64) -> Result<(), Failure> {
    for length in [8, 170] {
        let numbers: Vec<u64> = (0..keys).collect();
        let batches: Vec<Keys> = numbers
            .chunks(ROWS)
            .map(|some| Keys::of(some.iter().copied()))
            .collect();
        let value = vec![7; length];
        let mut costs = Vec::new();
        for _ in 0..5 {
            let mut state = new_state()?;
            let start = Instant::now();
            for batch in &batches {
                let (mut slots, mut new) = (OptionalColumn::new(), OptionalColumn::new());
                batch.hashes.iter().for_each(|_| new.push(Some(&value)));
                state.begin(Some(batch.view()));
                state.value_get(VALUE, Which::All, &mut slots)?;
                state.put_slots(VALUE, &mut new)?;
                state.commit()?;
            }
            costs.push(millis(start) * 1e6 / keys as f64);
        }
        let cost = median(costs);
        println!("{keys} new keys, get and put {length} bytes a key: {cost:.1} ns");
    }
    Ok(())
}

/// Entries of the maps of random keys: looked up, put again, and removed and put.
fn maps(keys: u64) -> Result<(), Failure> {
    /// How many entries each map has.
    const ENTRIES: u64 = 10;
    let mut state = new_state()?;
    let mut random = 1;
    let mut all: Vec<u64> = (0..keys * ENTRIES).collect();
    all.sort_unstable_by_key(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let all = all.chunks(ROWS).map(|some| {
        let mut pairs: Vec<(u64, u64)> = some.iter().map(|n| (n / ENTRIES, n % ENTRIES)).collect();
        pairs.sort_unstable();
        Pairs::of(pairs.into_iter())
    });
    let all: Vec<Pairs> = all.collect();
    let what = format!("maps of {ENTRIES} entries of {keys} keys");
    let new = sample_pairs(&all, |batch| batch.put(&mut state, Some(b"")))?;
    println!("{what}, put a new one: {new:.1} ns");
    let batches: Vec<Pairs> = (0..2000)
        .map(|_| {
            let mut pair = || (next(&mut random) % keys, next(&mut random) % ENTRIES);
            let mut pairs: Vec<(u64, u64)> = (0..ROWS).map(|_| pair()).collect();
            pairs.sort_unstable();
            pairs.dedup();
            pairs.sort_unstable_by_key(|pair| pair.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            Pairs::of(pairs.into_iter())
        })
        .collect();
    let get = sample_pairs(&batches, |batch| batch.get(&mut state))?;
    println!("{what}, get an entry: {get:.1} ns");
    let put = sample_pairs(&batches, |batch| batch.put(&mut state, Some(b"")))?;
    println!("{what}, put one that is there: {put:.1} ns");
    let remove = sample_pairs(&batches, |batch| {
        Ok(batch.put(&mut state, None)? + batch.put(&mut state, Some(b""))?)
    })?;
    println!("{what}, remove one and put it: {remove:.1} ns");
    Ok(())
}

/// Entries of maps, each once: their keys are numbered as the rows of a call are.
struct Pairs {
    keys: Keys,
    which: Vec<u32>,
    map_keys: Column,
}

impl Pairs {
    fn of(pairs: impl Iterator<Item = (u64, u64)>) -> Self {
        let (mut numbers, mut which, mut map_keys) = (Vec::new(), Vec::new(), Column::new());
        for (key, map_key) in pairs {
            if numbers.last() != Some(&key) {
                numbers.push(key);
            }
            which.push(numbers.len() as u32 - 1);
            map_keys.push(&map_key.to_be_bytes());
        }
        Self {
            keys: Keys::of(numbers.into_iter()),
            which,
            map_keys,
        }
    }

    fn get(&self, state: &mut KeyedState) -> Result<Duration, Failure> {
        let mut out = OptionalColumn::new();
        let start = Instant::now();
        state.begin(Some(self.keys.view()));
        let which = Which::Some(&self.which);
        state.map_get(MAP, which, self.map_keys.view(), &mut out)?;
        state.commit()?;
        Ok(start.elapsed())
    }

    fn put(&self, state: &mut KeyedState, value: Option<&[u8]>) -> Result<Duration, Failure> {
        let mut values = OptionalColumn::new();
        self.which.iter().for_each(|_| values.push(value));
        let start = Instant::now();
        state.begin(Some(self.keys.view()));
        let which = Which::Some(&self.which);
        state.map_put(MAP, which, self.map_keys.view(), &values)?;
        state.commit()?;
        Ok(start.elapsed())
    }
}

fn sample_pairs(
    batches: &[Pairs],
    mut run: impl FnMut(&Pairs) -> Result<Duration, Failure>,
) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for batch in batches {
        times.push(run(batch)?.as_nanos() as f64 / batch.which.len() as f64);
    }
    Ok(median(times))
}

/// Lists of random keys: an element is added to each, and those that have three then are read and
/// cleared.
fn lists(keys: u64) -> Result<(), Failure> {
    const FULL: u8 = 3;
    let mut state = new_state()?;
    let mut sizes = vec![0u8; keys as usize];
    let (mut random, mut times) = (1, Vec::new());
    let (mut read, mut none) = (NestedColumn::default(), NestedColumn::default());
    for _ in 0..4000 {
        let numbers = distinct(&mut random, keys);
        let batch = Keys::of(numbers.iter().copied());
        let (mut full, mut others, mut elements) = (Vec::new(), Vec::new(), Column::new());
        for (key, number) in (0..).zip(numbers) {
            let size = &mut sizes[number as usize];
            *size = (*size + 1) % FULL;
            if *size == 0 {
                full.push(key);
            } else {
                others.push(key);
                elements.push(&number.to_le_bytes());
            }
        }
        read.clear();
        none.ends.clear();
        none.ends.resize(full.len(), 0);
        let start = Instant::now();
        state.begin(Some(batch.view()));
        state.list_get(LIST, Which::Some(&full), &mut read)?;
        state.list_set(LIST, Which::Some(&full), &none)?;
        state.list_add(LIST, &others, elements.view())?;
        state.commit()?;
        times.push(start.elapsed().as_nanos() as f64 / batch.hashes.len() as f64);
    }
    // In the first ones most keys are new.
    let cost = median(times.split_off(1000));
    println!("lists of {keys} keys, add to one, each third time read and clear it: {cost:.1} ns");
    Ok(())
}

/// Numbers of four bytes that come and go: how many values a key has, until it has three.
fn sizes(keys: u64) -> Result<(), Failure> {
    const FULL: u32 = 3;
    let mut state = new_state()?;
    let (mut random, mut times) = (1, Vec::new());
    let (mut read, mut new) = (OptionalColumn::new(), OptionalColumn::new());
    for _ in 0..4000 {
        let numbers = distinct(&mut random, keys);
        let batch = Keys::of(numbers.iter().copied());
        read.clear();
        new.clear();
        let start = Instant::now();
        state.begin(Some(batch.view()));
        state.value_get(VALUE, Which::All, &mut read)?;
        let get = start.elapsed();
        for slot in read.iter() {
            let old = slot.and_then(|bytes| bytes.try_into().ok());
            let size = old.map_or(0, u32::from_le_bytes) + 1;
            new.push((size < FULL).then_some(&size.to_le_bytes()[..]));
        }
        let start = Instant::now();
        state.put_slots(VALUE, &mut new)?;
        state.commit()?;
        times.push((get + start.elapsed()).as_nanos() as f64 / batch.hashes.len() as f64);
    }
    // In the first ones most keys are new.
    let cost = median(times.split_off(1000));
    println!("sizes of {keys} keys, add one to one, each third time remove it: {cost:.1} ns");
    Ok(())
}

/// The median over batches of nanoseconds a key.
fn sample(
    batches: &[Keys],
    mut run: impl FnMut(&Keys) -> Result<Duration, Failure>,
) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for batch in batches {
        times.push(run(batch)?.as_nanos() as f64 / batch.hashes.len() as f64);
    }
    Ok(median(times))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A list that is appended to one element a call.
fn one_long_list() -> Result<(), Failure> {
    let mut state = new_state()?;
    let key = Keys::of(0..1);
    let element: Column = [&b"an element of a list"[..]].into_iter().collect();
    let start = Instant::now();
    for i in 0..MANY {
        state.begin(Some(key.view()));
        state.list_add(LIST, &[0], element.view())?;
        state.commit()?;
        if i % 1000 == 0 {
            drop(state.snapshot(&request())?);
        }
    }
    let add = millis(start) * 1e6 / f64::from(MANY);
    let start = Instant::now();
    let mut out = NestedColumn::default();
    state.begin(Some(key.view()));
    state.list_get(LIST, Which::All, &mut out)?;
    println!("list of {MANY}: a call that adds one {add:.1} ns");
    println!("list of {MANY}: read in {:.2} ms", millis(start));
    Ok(())
}

/// A map that is written in batches, then entry by entry, then read in pages.
fn one_large_map() -> Result<(), Failure> {
    let mut state = new_state()?;
    let key = Keys::of(0..1);
    let numbers: Vec<u32> = (0..MANY).collect();
    for (how, factor) in [("rising", 1), ("scattered", 0x9e37_79b1)] {
        let start = Instant::now();
        for some in numbers.chunks(ROWS) {
            state.begin(Some(key.view()));
            put(&mut state, some, factor)?;
            state.commit()?;
        }
        let put = millis(start) * 1e6 / f64::from(MANY);
        println!("map of {MANY}: put one of {ROWS} {how} entries {put:.1} ns");
    }
    let start = Instant::now();
    let held = state.snapshot(&request())?;
    println!(
        "map: synchronous part of a snapshot {:.1} us",
        millis(start) * 1e3
    );
    let start = Instant::now();
    state.begin(Some(key.view()));
    put(&mut state, &[7], 1)?;
    state.commit()?;
    println!("map: first put after it {:.1} us", millis(start) * 1e3);
    drop(held);
    state.begin(Some(key.view()));
    put(&mut state, &numbers[..ROWS], 1)?;
    let start = Instant::now();
    let mut page = EntriesColumn::default();
    let mut entries = 0;
    loop {
        let token = page.keys.len().checked_sub(1);
        let token = token.map(|last| page.keys.get(last).to_vec());
        page.clear();
        state.map_scan(MAP, 0, token.as_deref(), 100, &mut page)?;
        entries += page.keys.len();
        if page.keys.len() < 100 {
            break;
        }
    }
    let scan = millis(start) * 1e6 / entries as f64;
    println!("map: an entry in pages of 100 over the call's own writes {scan:.1} ns");
    let start = Instant::now();
    let mut page = EntriesColumn::default();
    for &n in &numbers[..ROWS] {
        page.clear();
        state.map_scan(MAP, 0, None, 1, &mut page)?;
        let first: Column = page.keys.iter().collect();
        let mut gone = OptionalColumn::new();
        gone.push(None);
        state.map_put(MAP, Which::Some(&[0]), first.view(), &gone)?;
        put(&mut state, &[MANY + n], 1)?;
    }
    let turn = millis(start) * 1e6 / ROWS as f64;
    println!("map: take the first and put another, {ROWS} times in a call {turn:.1} ns");
    Ok(())
}

/// A broadcast state that every batch looks up, and of which a call now and then replaces a little.
fn one_broadcast_state(entries: u32) -> Result<(), Failure> {
    let decl = StateDecl {
        name: "broadcast".into(),
        kind: StateKind::Broadcast,
        format: "raw".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    };
    let mut state = OperatorState::new(&[decl]);
    let index = StateIndex(0);
    let numbers: Vec<u32> = (0..entries).collect();
    for some in numbers.chunks(ROWS) {
        let (map_keys, values) = columns(some, 0x9e37_79b1);
        state.begin(true);
        state.map_put(index, map_keys.view(), &values)?;
        state.commit();
    }
    let (mut gets, mut puts, mut snapshots) = (Vec::new(), Vec::new(), Vec::new());
    let mut random = 1;
    for _ in 0..201 {
        let rows: Vec<u32> = (0..ROWS)
            .map(|_| next(&mut random) as u32 % entries)
            .collect();
        let (map_keys, values) = columns(&rows, 0x9e37_79b1);
        let mut out = OptionalColumn::new();
        let start = Instant::now();
        state.begin(false);
        state.map_get(index, map_keys.view(), &mut out)?;
        state.commit();
        gets.push(millis(start) * 1e6 / ROWS as f64);
        let some = map_keys.view().slice(0, 64);
        let mut few = OptionalColumn::new();
        values.iter().take(64).for_each(|value| few.push(value));
        let start = Instant::now();
        state.begin(true);
        state.map_put(index, some, &few)?;
        state.commit();
        puts.push(millis(start) * 1e3);
        let start = Instant::now();
        let held = state.snapshot();
        snapshots.push(millis(start) * 1e6);
        drop(held);
    }
    println!(
        "broadcast state of {entries}: get an entry {:.1} ns",
        median(gets)
    );
    println!(
        "broadcast state of {entries}: a call that puts 64 {:.1} us",
        median(puts)
    );
    println!(
        "broadcast state of {entries}: snapshot {:.1} ns",
        median(snapshots)
    );
    Ok(())
}

fn put(state: &mut KeyedState, numbers: &[u32], factor: u32) -> Result<(), Failure> {
    let (map_keys, values) = columns(numbers, factor);
    let which = vec![0; numbers.len()];
    Ok(state.map_put(MAP, Which::Some(&which), map_keys.view(), &values)?)
}

/// Map keys made of numbers, and their values.
fn columns(numbers: &[u32], factor: u32) -> (Column, OptionalColumn) {
    let mut map_keys = Column::new();
    let mut values = OptionalColumn::new();
    for n in numbers {
        map_keys.push(&n.wrapping_mul(factor).to_be_bytes());
        values.push(Some(&n.to_le_bytes()));
    }
    (map_keys, values)
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// The next of a row of numbers that look random.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}
