//! The sink: looks at rows in its own way and keeps none, unless that is the way.

use std::sync::{Arc, Mutex, PoisonError};

use weir_model::{CheckpointId, Rows};
use weir_operator::{
    Existing, Failure, PreCommit, Recovered, Sealed, Sink, SinkFactory, SinkGuarantee, TaskInfo,
};

use super::{
    check::{of_bytes, of_rows},
    tally::Tally,
};

/// What is done with rows that reach a sink.
pub trait Look: Send + Sync {
    /// Tells the tally of these rows. Once a batch.
    fn look(&self, rows: Rows<'_>, tally: &Tally);
}

/// Sums up a hash of the bytes of each row: for runs that are timed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashes;

impl Look for Hashes {
    fn look(&self, rows: Rows<'_>, tally: &Tally) {
        tally.seen(rows.len() as u64, of_rows(rows.values));
    }
}

/// The same, but rows that end like this are put aside.
#[derive(Clone, Copy, Debug)]
pub struct HashesBut(pub &'static [u8]);

impl Look for HashesBut {
    fn look(&self, rows: Rows<'_>, tally: &Tally) {
        let (mut aside, mut sum) = (0, 0_u64);
        for row in rows.values.iter() {
            match row.ends_with(self.0) {
                true => aside += 1,
                false => sum = sum.wrapping_add(of_bytes(row)),
            }
        }
        tally.seen(rows.len() as u64 - aside, sum);
        tally.put_aside(aside);
    }
}

/// Keeps all rows: for runs of few rows, whose result is looked at row by row.
#[derive(Debug, Default)]
pub struct Kept {
    rows: Mutex<Vec<Vec<u8>>>,
    aside: Option<&'static [u8]>,
}

impl Kept {
    /// But rows that end like this are put aside.
    #[must_use]
    pub fn but(end: &'static [u8]) -> Self {
        Self {
            rows: Mutex::default(),
            aside: Some(end),
        }
    }

    /// More rows.
    pub fn put(&self, rows: Vec<Vec<u8>>) {
        let mut kept = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(rows);
    }

    /// The rows, in the order in which they came; those of one task are in its order.
    #[must_use]
    pub fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Look for Kept {
    fn look(&self, rows: Rows<'_>, tally: &Tally) {
        let is_aside = |row: &[u8]| self.aside.is_some_and(|end| row.ends_with(end));
        let mut kept = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.len();
        kept.extend(
            rows.values
                .iter()
                .filter(|row| !is_aside(row))
                .map(<[u8]>::to_vec),
        );
        let new = (kept.len() - before) as u64;
        drop(kept);
        tally.seen(new, 0);
        tally.put_aside(rows.len() as u64 - new);
    }
}

/// Makes sinks that tell one tally what they see.
pub struct Drain {
    tally: Arc<Tally>,
    look: Arc<dyn Look>,
}

impl Drain {
    /// Sinks that look at rows like this.
    #[must_use]
    pub fn new(tally: Arc<Tally>, look: Arc<dyn Look>) -> Self {
        Self { tally, look }
    }
}

impl SinkFactory for Drain {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }

    fn create(&self, _task: &TaskInfo) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Drained {
            tally: Arc::clone(&self.tally),
            look: Arc::clone(&self.look),
            is_sealed: false,
        }))
    }

    fn commit(&self, _sealed: &[Sealed]) -> Result<Recovered, Failure> {
        Ok(Recovered::default())
    }

    fn recover(&self, _restored: &[Sealed]) -> Result<Recovered, Failure> {
        Ok(Recovered::default())
    }

    fn existing(&self) -> Result<Existing, Failure> {
        Ok(Existing::default())
    }

    fn clear(&self) -> Result<(), Failure> {
        Ok(())
    }
}

struct Drained {
    tally: Arc<Tally>,
    look: Arc<dyn Look>,
    /// Whether a barrier has come since the last rows. With checkpoints the last one follows the
    /// end of the input at once; what comes behind it is the end of the job.
    is_sealed: bool,
}

impl Sink for Drained {
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        self.look.look(rows, &self.tally);
        self.tally.reached();
        self.is_sealed = false;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if !self.is_sealed {
            self.tally.reached();
        }
        Ok(())
    }

    fn pre_commit(&mut self, _checkpoint: CheckpointId) -> Result<PreCommit, Failure> {
        self.tally.reached();
        self.is_sealed = true;
        Ok(Box::new(|| Ok(Vec::new())))
    }
}
