//! What keyed state in RocksDB costs its task in time of a core, with the number of keys and of
//! megabytes of memory as arguments (1,000,000 and 256):
//! `cargo run --release -p weir-state-rocksdb --example rocksdb-cost`.

#![expect(
    clippy::print_stdout,
    reason = "an example prints what it has found out"
)]

use std::time::Instant;

use weir_model::{
    CheckpointId, Column, KeyGroupRange, KeyedView, MaxParallelism, OptionalColumn, Parallelism,
    ProcessingTime, SubtaskIndex, hash64,
};
use weir_state::{KeyedState, SnapshotRequest, StateDecl, StateIndex, StateKind, Which};
use weir_state_rocksdb::{RocksDb, RocksDbOptions};

type Failure = Box<dyn std::error::Error>;

const COUNT: StateIndex = StateIndex(0);
/// Rows of a call.
const ROWS: u64 = 4096;

/// Seconds that this thread has run, whoever else uses the machine.
fn seconds() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ran: u64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(ran as f64 / 1e9)
}

// tidy: long function, an example that is read from top to bottom
fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let keys = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let megabytes: usize = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let place = std::env::temp_dir();
    let database = RocksDb::new(RocksDbOptions {
        memory_bytes: megabytes << 20,
        local_dir: place,
    });
    let max = MaxParallelism::new(128)?;
    let range: KeyGroupRange = max.range_of(SubtaskIndex(0), Parallelism::ONE)?;
    let count = StateDecl {
        name: "count".into(),
        kind: StateKind::Value,
        format: "utf8".into(),
        version: 1,
        prefetch: true,
        ttl: None,
    };
    let backend = database.create("cost-0", vec![count], range)?;
    let mut state = KeyedState::new(Box::new(backend), max);

    let mut random = 1u64;
    let rounds = (5 * keys / ROWS).clamp(500, 5000);
    for phase in ["first", "second", "third"] {
        let mut batches = Vec::new();
        for _ in 0..rounds {
            let mut numbers: Vec<u64> = (0..ROWS)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random % keys
                })
                .collect();
            // Distinct keys, not in order, as they come in a batch.
            let mut seen = std::collections::HashSet::new();
            numbers.retain(|&n| seen.insert(n));
            let mut column = Column::new();
            numbers
                .iter()
                .for_each(|n| column.push(format!("user-{n:07}").as_bytes()));
            let hashes: Vec<u64> = column.iter().map(hash64).collect();
            batches.push((column, hashes));
        }
        let (mut reading, mut writing) = (0.0, 0.0);
        let mut distinct = 0;
        let start = seconds()?;
        for (column, hashes) in &batches {
            state.begin(Some(KeyedView {
                keys: column.view(),
                hashes,
                key_of_row: &[],
            }));
            let step = seconds()?;
            let mut values = OptionalColumn::new();
            state.value_get(COUNT, Which::All, &mut values)?;
            reading += seconds()? - step;
            let mut next = OptionalColumn::new();
            for value in values.iter() {
                let n = value.and_then(|v| v.try_into().ok());
                let n = n.map_or(0, u64::from_le_bytes) + 1;
                next.push(Some(&n.to_le_bytes()));
            }
            state.put_slots(COUNT, &mut next)?;
            let step = seconds()?;
            state.commit()?;
            writing += seconds()? - step;
            distinct += hashes.len() as u64;
        }
        let rows = (rounds * ROWS) as f64;
        let seconds = seconds()? - start;
        println!(
            "{phase}: {:.2} M rows/s ({:.2} M distinct keys/s); a key: read {:.0} ns, write {:.0} \
             ns",
            rows / seconds / 1e6,
            distinct as f64 / seconds / 1e6,
            reading * 1e9 / distinct as f64,
            writing * 1e9 / distinct as f64,
        );
    }
    let start = Instant::now();
    let snapshot = state.snapshot(&SnapshotRequest::full(CheckpointId(1), ProcessingTime(0)))?;
    println!("snapshot: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(snapshot);
    Ok(())
}
