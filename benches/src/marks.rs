//! What it costs a write that the heap keeps in mind what has changed, for increments: the same
//! writes by turns with checkpoints that may be a base and with such that may not.

use std::time::Duration;

use serde_json::{Value, json};
use weir_model::{
    CheckpointId, Column, KeyedView, MaxParallelism, OptionalColumn, Parallelism, ProcessingTime,
    SubtaskIndex, hash64,
};
use weir_state::{
    HeapBackend, KeyedState, SnapshotFormat, SnapshotRequest, StateDecl, StateIndex, StateKind,
};

use crate::{clock, error::Result, material::key_name, record::median};

/// The name, for `--only`.
pub(crate) const NAME: &str = "marks";

const COUNT: StateIndex = StateIndex(0);
const KEYS: u32 = 1_000_000;
/// Keys of a call.
const BATCH: u32 = 4096;
/// Calls from one checkpoint to the next.
const CALLS: u32 = 100;

/// What writing a key costs, in nanoseconds of CPU time, round by round.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub(crate) without: Vec<f64>,
    pub(crate) with: Vec<f64>,
}

impl Marks {
    /// How many times as much a write costs with marks.
    pub(crate) fn ratio(&self) -> f64 {
        let pairs = self.with.iter().zip(&self.without);
        median(pairs.map(|(with, without)| with / without).collect())
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "write_ns_without": self.without,
            "write_ns_with": self.with,
            "ratio": self.ratio(),
        })
    }
}

/// Keyed state with checkpoints of one kind.
struct Kept {
    state: KeyedState,
    tracked: bool,
    checkpoints: u64,
}

pub(crate) fn measure(quick: bool) -> Result<Marks> {
    let keys = if quick { BATCH * 4 } else { KEYS };
    let rounds = if quick { 1 } else { 9 };
    let calls: Vec<(Column, Vec<u64>)> = (0..CALLS.min(keys / BATCH))
        .map(|call| {
            // Spread over all keys, each once.
            let step = keys / BATCH;
            let names = (0..BATCH).map(|n| key_name(n * step + call % step));
            let column: Column = names.collect::<Vec<_>>().iter().map(|n| &n[..]).collect();
            let hashes = column.iter().map(hash64).collect();
            (column, hashes)
        })
        .collect();
    let (mut with, mut without) = (Kept::new(true)?, Kept::new(false)?);
    for kept in [&mut with, &mut without] {
        for call in 0..keys / BATCH {
            let names: Vec<_> = (0..BATCH).map(|n| key_name(call * BATCH + n)).collect();
            let column: Column = names.iter().map(|name| &name[..]).collect();
            let hashes: Vec<u64> = column.iter().map(hash64).collect();
            kept.write(&column, &hashes)?;
        }
        kept.checkpoint()?;
    }
    let mut marks = Marks {
        without: Vec::new(),
        with: Vec::new(),
    };
    for _ in 0..rounds {
        for (kept, costs) in [
            (&mut without, &mut marks.without),
            (&mut with, &mut marks.with),
        ] {
            let mut took = Duration::ZERO;
            for (column, hashes) in &calls {
                let begun = clock::cpu();
                kept.write(column, hashes)?;
                took += clock::cpu().saturating_sub(begun);
            }
            kept.checkpoint()?;
            costs.push(took.as_nanos() as f64 / (calls.len() as f64 * f64::from(BATCH)));
        }
    }
    Ok(marks)
}

impl Kept {
    fn new(tracked: bool) -> Result<Self> {
        let max = MaxParallelism::new(128)?;
        let range = max.range_of(SubtaskIndex(0), Parallelism::ONE)?;
        let decl = StateDecl {
            name: "count".into(),
            kind: StateKind::Value,
            format: "u64-le".into(),
            version: 1,
            prefetch: true,
            ttl: None,
        };
        Ok(Self {
            state: KeyedState::new(Box::new(HeapBackend::new(vec![decl], range)?), max),
            tracked,
            checkpoints: 0,
        })
    }

    fn write(&mut self, keys: &Column, hashes: &[u64]) -> Result<()> {
        self.state.begin(Some(KeyedView {
            keys: keys.view(),
            hashes,
            key_of_row: &[],
        }));
        let mut values = OptionalColumn::new();
        let number = self.checkpoints.to_le_bytes();
        hashes.iter().for_each(|_| values.push(Some(&number)));
        self.state.put_slots(COUNT, &mut values)?;
        self.state.commit()?;
        Ok(())
    }

    /// Takes a checkpoint that is written at once.
    fn checkpoint(&mut self) -> Result<()> {
        let before = self.checkpoints;
        self.checkpoints += 1;
        let id = CheckpointId(self.checkpoints);
        let snapshot = self.state.snapshot(&SnapshotRequest {
            id,
            base: (self.tracked && before > 0).then_some(CheckpointId(before)),
            tracked: self.tracked,
            format: SnapshotFormat::Native,
            now: ProcessingTime(0),
        })?;
        drop(snapshot);
        self.state.completed(id);
        Ok(())
    }
}
