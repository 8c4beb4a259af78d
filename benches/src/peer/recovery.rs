//! How soon a job with a million keys gives its next row after a failure in the middle, from its
//! latest checkpoint on.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use weir_host::Embedding;
use weir_model::{CheckpointId, Rows};
use weir_operator::{
    Existing, Failure, PreCommit, Recovered, Sealed, Sink, SinkFactory, SinkGuarantee, TaskInfo,
};

use super::{
    check::{STEP, fields, mix},
    drain::{Drain, Look},
    micro::Micro,
    tally::{Begin, Tally},
    weir::{self, Ends, Job},
    workload::Workload,
};
use crate::{
    backend::Store,
    error::{Context, Error, Result},
};

/// Milliseconds from the failure to the first row after it, of a count of so many rows and keys.
pub(super) fn measure(
    jobs: &Path,
    store: Store,
    keys: u64,
    rows: u64,
    interval_ms: u64,
) -> Result<f64> {
    let Ends { sources, tally, .. } = Micro::Count(keys).ends(rows, 1, Begin::Made(0), None);
    let counts = Arc::new(Counts((0..keys).map(|_| AtomicU64::new(0)).collect()));
    let fall = Arc::new(Fall {
        drain: Drain::new(Arc::clone(&tally), counts.clone()),
        tally: Arc::clone(&tally),
        middle: rows / 2,
        fallen: Mutex::new(None),
        back: Mutex::new(None),
    });
    let ends = Ends {
        sources,
        sink: ("out", Arc::new(Falls(fall.clone()))),
        tally,
    };
    let job = Job {
        file: jobs.join(Micro::Count(keys).job_file()),
        native: false,
        parallelism: 1,
        store,
        checkpoint_ms: Some(interval_ms),
        restarts: 1,
        sets: Vec::new(),
        embedding: Embedding::default(),
    };
    weir::run(&job, ends)?;
    counts.check(keys, rows)?;
    let fallen = *fall.fallen.lock().unwrap_or_else(PoisonError::into_inner);
    let back = *fall.back.lock().unwrap_or_else(PoisonError::into_inner);
    let (fallen, back) = fallen.zip(back).context("it did not fail")?;
    Ok(back.duration_since(fallen).as_secs_f64() * 1e3)
}

/// The highest count of each key: what was lost or counted twice shows in the last one.
struct Counts(Vec<AtomicU64>);

impl Counts {
    fn check(&self, keys: u64, rows: u64) -> Result<()> {
        let mut expected = vec![0_u64; self.0.len()];
        for i in 0..rows {
            expected[(mix(i.wrapping_add(STEP)) % keys) as usize] += 1;
        }
        for (key, (count, expected)) in self.0.iter().zip(expected).enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count != expected {
                return Err(Error::new(format_args!(
                    "the output is wrong: key {key} counts to {count}, not to {expected}"
                )));
            }
        }
        Ok(())
    }
}

impl Look for Counts {
    fn look(&self, rows: Rows<'_>, tally: &Tally) {
        for row in rows.values.iter() {
            // What cannot be read is missing in the end.
            if let Some([key, count]) = fields(row)
                && let Some(place) = self.0.get(key as usize)
            {
                place.fetch_max(count, Ordering::Relaxed);
            }
        }
        tally.seen(rows.len() as u64, 0);
    }
}

/// Sinks of which one fails once, at the first rows behind the middle when a checkpoint is
/// complete.
struct Fall {
    drain: Drain,
    tally: Arc<Tally>,
    middle: u64,
    fallen: Mutex<Option<Instant>>,
    back: Mutex<Option<Instant>>,
}

struct Falls(Arc<Fall>);

impl SinkFactory for Falls {
    fn guarantee(&self) -> SinkGuarantee {
        self.0.drain.guarantee()
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Falling {
            sink: self.0.drain.create(task)?,
            fall: Arc::clone(&self.0),
            barriers: 0,
        }))
    }

    fn commit(&self, sealed: &[Sealed]) -> Result<Recovered, Failure> {
        self.0.drain.commit(sealed)
    }

    fn recover(&self, restored: &[Sealed]) -> Result<Recovered, Failure> {
        self.0.drain.recover(restored)
    }

    fn existing(&self) -> Result<Existing, Failure> {
        self.0.drain.existing()
    }

    fn clear(&self) -> Result<(), Failure> {
        self.0.drain.clear()
    }
}

struct Falling {
    sink: Box<dyn Sink>,
    fall: Arc<Fall>,
    /// One checkpoint is under way at a time: when the second barrier is here, the first is done.
    barriers: u32,
}

impl Sink for Falling {
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        let fall = &self.fall;
        let mut fallen = fall.fallen.lock().unwrap_or_else(PoisonError::into_inner);
        if fallen.is_none() && self.barriers > 1 && fall.tally.totals().rows >= fall.middle {
            *fallen = Some(Instant::now());
            return Err(Failure::External {
                what: "the sink of a benchmark".into(),
                message: "fails once".into(),
            });
        }
        if fallen.is_some() {
            let mut back = fall.back.lock().unwrap_or_else(PoisonError::into_inner);
            back.get_or_insert_with(Instant::now);
        }
        drop(fallen);
        self.sink.write(rows)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.sink.flush()
    }

    fn pre_commit(&mut self, checkpoint: CheckpointId) -> Result<PreCommit, Failure> {
        self.barriers += 1;
        self.sink.pre_commit(checkpoint)
    }
}
