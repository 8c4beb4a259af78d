//! What a checkpoint of the heap costs whoever writes it: a million keys of 9 bytes with a number
//! each, written in full and as increments of which some of the keys, or all, have changed. Times
//! are those of the processor, so that it matters little what else the machine does.
//!
//! ```text
//! cargo run --release -p weir-state --example increments
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it measures and tells"
)]

use std::{fs, sync::Arc, time::Duration};

use weir_model::{
    CheckpointId, Column, MaxParallelism, OperatorName, OptionalColumn, Parallelism,
    ProcessingTime, SubtaskIndex, hash64,
};
use weir_state::{
    Backend, BaseIndex, HeapBackend, KeyBatch, SnapshotRequest, StateDecl, StateFileWriter,
    StateIndex, StateKind, ValueWrites, Writes,
};

const KEYS: u32 = 1_000_000;
/// One in so many keys changes from a checkpoint to the next, three times.
const CHANGES: [u32; 12] = [100, 100, 100, 10, 10, 10, 3, 3, 3, 1, 1, 1];

/// What the processor has done for this thread.
fn spent() -> Duration {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

fn key(n: u32) -> [u8; 9] {
    let mut key = [1; 9];
    key[1..].copy_from_slice(&(u64::from(n) * 7_368_787).to_le_bytes());
    key
}

fn put(backend: &mut HeapBackend, numbers: impl Iterator<Item = u32>, round: u64) {
    let max = MaxParallelism::new(128).unwrap();
    let numbers: Vec<u32> = numbers.collect();
    for some in numbers.chunks(4096) {
        let keys: Vec<_> = some.iter().map(|&n| key(n)).collect();
        let keys: Column = keys.iter().map(|key| &key[..]).collect();
        let hashes: Vec<u64> = keys.iter().map(hash64).collect();
        let groups: Vec<_> = hashes.iter().map(|&h| max.key_group_of(h)).collect();
        let batch = KeyBatch {
            keys: keys.view(),
            hashes: &hashes,
            groups: &groups,
        };
        let mut values = OptionalColumn::new();
        some.iter()
            .for_each(|&n| values.push(Some(&(u64::from(n) + round).to_le_bytes())));
        let keys = (0..some.len() as u32).collect();
        let writes = Writes {
            values: vec![(StateIndex(0), ValueWrites { keys, values })],
            ..Writes::default()
        };
        backend.apply(&batch, &writes).unwrap();
    }
}

fn main() {
    let decl = StateDecl {
        name: "count".into(),
        kind: StateKind::Value,
        format: "raw".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    };
    let max = MaxParallelism::new(128).unwrap();
    let range = max.range_of(SubtaskIndex(0), Parallelism::ONE).unwrap();
    let mut backend = HeapBackend::new(vec![decl], range).unwrap();
    let mut index: Option<(CheckpointId, Arc<BaseIndex>)> = None;
    put(&mut backend, 0..KEYS, 0);
    for (last, one_in) in (1..).zip([0].into_iter().chain(CHANGES)) {
        let before = spent();
        let changed = match one_in {
            0 => 0,
            one_in => {
                let numbers = (0..KEYS).filter(|n| n % one_in == 0);
                put(&mut backend, numbers, last);
                KEYS / one_in
            }
        };
        let id = CheckpointId(last);
        let written = spent();
        let request = SnapshotRequest {
            base: index.as_ref().map(|(id, _)| *id),
            tracked: true,
            ..SnapshotRequest::full(id, ProcessingTime(0))
        };
        let snapshot = backend.snapshot(&request).unwrap();
        let mut writer = match index.take() {
            Some((id, index)) => StateFileWriter::on(id, index),
            None => StateFileWriter::new(),
        };
        let operator = OperatorName::new("op").unwrap();
        let decls = backend.states().to_vec();
        writer.add(&operator, &decls, snapshot).unwrap();
        let file = writer.finish().unwrap();
        println!(
            "{changed:>7} of {KEYS} keys changed: {:>4} ms to write {:>5} KiB, {:>4} ms before it to change them",
            (spent() - written).as_millis(),
            file.length / 1024,
            (written - before).as_millis(),
        );
        index = Some((id, Arc::new(file.index(&format!("../shared/op/0/{id}-1")))));
    }
}
