//! How old rows are when they reach the sink: a keyed count of so many rows a second, of which each
//! says when the source made it.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use weir_host::Embedding;
use weir_model::Rows;

use super::{
    check::{STEP, fields, mix},
    drain::{Drain, Look},
    made::{Made, Stream},
    tally::{Begin, Tally},
    weir::{self, Ends, Job},
};
use crate::{
    backend::Store,
    error::{Error, Result},
};

const KEYS: u64 = 1_000;

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
}

/// Runs so many rows at a rate; those of the warm-up do not count.
pub(super) fn measure(jobs: &Path, rows: u64, warm_up: u64, rate: u64) -> Result<Percentiles> {
    let begun = Instant::now();
    let ages = Arc::new(Ages {
        begun,
        warm_up,
        seen: AtomicU64::new(0),
        micros: Mutex::new(Vec::with_capacity(rows as usize)),
    });
    let tally = Arc::new(Tally::new(Begin::Made(warm_up), 1));
    let made = Made::new(Dated { begun }, rows, 1, Arc::clone(&tally));
    let ends = Ends {
        sources: vec![("rows", Arc::new(made))],
        sink: ("out", Arc::new(Drain::new(tally.clone(), ages.clone()))),
        tally,
    };
    let job = Job {
        file: jobs.join("timed-count.yaml"),
        native: false,
        parallelism: 1,
        store: Store::Heap,
        checkpoint_ms: None,
        restarts: 0,
        sets: vec![format!("sources.rows.rate={rate}")],
        embedding: Embedding::default(),
    };
    let measured = weir::run(&job, ends)?;
    let counted = (0..rows).fold([0_u64; KEYS as usize], |mut counts, i| {
        counts[key(i) as usize] += 1;
        counts
    });
    // Each key counts up from one.
    let expected: u64 = counted.iter().map(|&count| count * (count + 1) / 2).sum();
    if (measured.out.rows, measured.out.sum) != (rows, expected) {
        return Err(Error::new(format_args!(
            "the output is wrong: {:?}, expected {rows} rows whose counts add up to {expected}",
            measured.out
        )));
    }
    let mut micros = ages.micros.lock().unwrap_or_else(PoisonError::into_inner);
    micros.sort_unstable();
    let at = |share: f64| {
        let index = (micros.len() as f64 * share) as usize;
        let micros = micros.get(index.min(micros.len().saturating_sub(1)));
        micros.map_or(f64::NAN, |&micros| micros as f64 / 1e3)
    };
    Ok(Percentiles {
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
    })
}

fn key(i: u64) -> u64 {
    mix(i.wrapping_add(STEP)) % KEYS
}

fn nanos(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Rows that say when they were made.
struct Dated {
    begun: Instant,
}

impl Stream for Dated {
    fn row_bytes(&self) -> usize {
        16
    }

    fn has_times(&self) -> bool {
        false
    }

    fn row(&self, i: u64, out: &mut Vec<u8>) -> i64 {
        let row = [key(i), nanos(self.begun)].map(u64::to_le_bytes);
        out.extend_from_slice(row.as_flattened());
        0
    }
}

/// Keeps how old each row was, and adds up the counts.
struct Ages {
    begun: Instant,
    warm_up: u64,
    seen: AtomicU64,
    micros: Mutex<Vec<u64>>,
}

impl Look for Ages {
    fn look(&self, rows: Rows<'_>, tally: &Tally) {
        let now = nanos(self.begun);
        let before = self.seen.fetch_add(rows.len() as u64, Ordering::Relaxed);
        let mut micros = self.micros.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = 0_u64;
        for (row, at) in rows.values.iter().zip(before..) {
            // What cannot be read adds nothing: then the sum is wrong, which is told.
            let [_, count, made] = fields(row).unwrap_or([0; 3]);
            sum = sum.wrapping_add(count);
            if at >= self.warm_up {
                micros.push(now.saturating_sub(made) / 1_000);
            }
        }
        drop(micros);
        tally.seen(rows.len() as u64, sum);
    }
}
