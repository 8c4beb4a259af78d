//! What calls wrote and the database gets later: as long as a snapshot is not made it must not see
//! what came after it, and nobody should wait for that.
//!
//! INVARIANT: nothing is read from the database, nor written to it, that these writes may change,
//! before they are there. They are written in the order in which they came.

use std::collections::VecDeque;

use rocksdb::{DB, WriteBatch, WriteOptions};
use weir_state::Error;

use crate::error::failed;

/// Beyond so many bytes it is better to wait. Our own tests meet it sooner.
const MOST_BYTES: usize = if cfg!(test) { 2 << 10 } else { 4 << 20 };

/// See the module.
#[derive(Default)]
pub(crate) struct Behind {
    batches: VecDeque<WriteBatch>,
    bytes: usize,
}

impl Behind {
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether no more should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES
    }

    /// Takes what a call wrote.
    pub(crate) fn push(&mut self, batch: WriteBatch) {
        self.bytes += batch.size_in_bytes();
        self.batches.push_back(batch);
    }

    /// Writes all of it. What cannot be written stays, with all that came after it.
    pub(crate) fn write(&mut self, db: &DB, options: &WriteOptions) -> Result<(), Error> {
        while let Some(batch) = self.batches.front() {
            db.write_opt(batch, options)
                .map_err(failed("write to it"))?;
            self.bytes -= batch.size_in_bytes();
            self.batches.pop_front();
        }
        Ok(())
    }
}
