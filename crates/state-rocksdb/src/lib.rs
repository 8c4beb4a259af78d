//! Keyed state on the local disk, in RocksDB: for state that is larger than memory (D18).
//!
//! A [`RocksDb`] is what all databases of a job share: memory and a folder. A [`RocksDbBackend`] is
//! the database of one operator and subtask; each state has a column family.
//!
//! INVARIANT: the local disk is scratch. Nothing in a checkpoint refers to it, and nothing is read
//! from it that this process has not written.

mod backend;
mod behind;
mod cells;
mod database;
mod error;
mod front;
mod groups;
mod jobs;
mod keys;
mod lists;
mod load;
mod maps;
mod options;
mod restore;
mod scratch;
mod snapshot;
#[cfg(test)]
mod tests;
mod timers;
mod ttl;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use weir_model::KeyGroupRange;
use weir_state::{Error, StateDecl};

pub use backend::RocksDbBackend;
use options::Memory;
use scratch::Scratch;

/// A column family, as long as its database is open.
type Family<'a> = Arc<rocksdb::BoundColumnFamily<'a>>;

/// How a job keeps its state in RocksDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksDbOptions {
    /// Bytes of memory for all databases of the job, at least 8 MiB: for state before them, blocks
    /// and write buffers.
    pub memory_bytes: usize,
    /// The folder in which the databases get a folder.
    pub local_dir: PathBuf,
}

/// What the databases of a job share. Memory and disk are first used by the first backend.
pub struct RocksDb {
    options: RocksDbOptions,
    tuning: Tuning,
    shared: Mutex<Option<Arc<Shared>>>,
}

/// See [`RocksDb`].
pub(crate) struct Shared {
    pub(crate) memory: Memory,
    pub(crate) scratch: Arc<Scratch>,
    pub(crate) tuning: Tuning,
}

/// What tests set otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tuning {
    /// The bytes that each backend may hold before its database.
    front: Option<usize>,
    /// Whether what is written waits there.
    write_back: Option<bool>,
}

impl RocksDb {
    /// Databases of a job.
    #[must_use]
    pub fn new(options: RocksDbOptions) -> Self {
        Self {
            options,
            tuning: Tuning::default(),
            shared: Mutex::new(None),
        }
    }

    /// The same with other bytes for state before the databases, in which writes wait or do not.
    #[cfg(test)]
    pub(crate) fn tuned(self, front: usize, write_back: bool) -> Self {
        let tuning = Tuning {
            front: Some(front),
            write_back: Some(write_back),
        };
        Self { tuning, ..self }
    }

    /// An empty database for the keyed states among `decls` and the key groups `range`. `owner`
    /// names its folder, for people who look around.
    ///
    /// # Errors
    /// [`Error::DuplicateName`], [`Error::NoTime`]; [`Error::Local`] where the disk fails.
    pub fn create(
        &self,
        owner: &str,
        decls: Vec<StateDecl>,
        range: KeyGroupRange,
    ) -> Result<RocksDbBackend, Error> {
        RocksDbBackend::create(self.shared()?, owner, decls, range)
    }

    fn shared(&self) -> Result<Arc<Shared>, Error> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = shared.as_ref() {
            return Ok(shared.clone());
        }
        let place = &self.options.local_dir;
        let scratch = Scratch::create(place).map_err(error::disk("make a folder in", place))?;
        let made = Arc::new(Shared {
            memory: Memory::new(self.options.memory_bytes),
            scratch: Arc::new(scratch),
            tuning: self.tuning,
        });
        *shared = Some(made.clone());
        Ok(made)
    }
}
