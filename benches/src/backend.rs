//! Where the jobs of the benchmark keep their state.

use std::{path::Path, sync::Arc};

use weir_model::KeyGroupRange;
use weir_operator::{Failure, TaskInfo};
use weir_runtime::BackendFactory;
use weir_state::{Backend, HeapBackend, StateDecl};
use weir_state_rocksdb::{RocksDb, RocksDbOptions};

/// The memory of RocksDB: what a job has that says nothing of it.
const MEMORY_BYTES: usize = 256 << 20;

/// A backend of keyed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In memory.
    Heap,
    /// In databases on the local disk.
    RocksDb,
}

impl Store {
    /// The name, as a job file has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::RocksDb => "rocksdb",
        }
    }

    /// Makes backends; a database goes into a folder in `place`.
    pub(crate) fn factory(self, place: &Path) -> Arc<dyn BackendFactory> {
        match self {
            Self::Heap => Arc::new(Heap),
            Self::RocksDb => Arc::new(OnDisk(RocksDb::new(RocksDbOptions {
                memory_bytes: MEMORY_BYTES,
                local_dir: place.to_owned(),
            }))),
        }
    }
}

/// Keyed state in memory.
struct Heap;

impl BackendFactory for Heap {
    fn create(
        &self,
        _task: &TaskInfo,
        states: &[StateDecl],
        range: KeyGroupRange,
    ) -> Result<Box<dyn Backend>, Failure> {
        Ok(Box::new(HeapBackend::new(states.to_vec(), range)?))
    }
}

/// Keyed state in databases.
struct OnDisk(RocksDb);

impl BackendFactory for OnDisk {
    fn create(
        &self,
        task: &TaskInfo,
        states: &[StateDecl],
        range: KeyGroupRange,
    ) -> Result<Box<dyn Backend>, Failure> {
        let owner = format!("{}-{}", task.operator, task.subtask.0);
        Ok(Box::new(self.0.create(&owner, states.to_vec(), range)?))
    }

    fn has_files(&self) -> bool {
        true
    }
}
