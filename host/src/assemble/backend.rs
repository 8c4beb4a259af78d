//! Which backend keeps the state of a job.

use std::sync::Arc;

use weir_job_file::{RocksDb, StateBackend};
use weir_model::KeyGroupRange;
use weir_operator::{Failure, TaskInfo};
use weir_runtime::BackendFactory;
use weir_state::{Backend, HeapBackend, StateDecl};
use weir_state_rocksdb::{RocksDb as Databases, RocksDbOptions};

/// What makes the backends of a job. Nothing is made before the first of them.
pub(super) fn factory(backend: &StateBackend) -> Arc<dyn BackendFactory> {
    match backend {
        StateBackend::Heap => Arc::new(Heap),
        StateBackend::RocksDb(RocksDb { memory, local_dir }) => {
            Arc::new(OnDisk(Databases::new(RocksDbOptions {
                memory_bytes: usize::try_from(*memory).unwrap_or(usize::MAX),
                local_dir: local_dir.clone().unwrap_or_else(std::env::temp_dir),
            })))
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

/// Keyed state in databases on the local disk.
struct OnDisk(Databases);

impl BackendFactory for OnDisk {
    fn create(
        &self,
        task: &TaskInfo,
        states: &[StateDecl],
        range: KeyGroupRange,
    ) -> Result<Box<dyn Backend>, Failure> {
        // Without keyed state there is nothing to put into a database.
        if !states.iter().any(|state| state.kind.is_keyed()) {
            return Heap.create(task, states, range);
        }
        let owner = format!("{}-{}-{}", task.job, task.operator, task.subtask.0);
        Ok(Box::new(self.0.create(&owner, states.to_vec(), range)?))
    }

    fn has_files(&self) -> bool {
        true
    }
}
