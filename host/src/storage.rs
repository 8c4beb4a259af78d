//! Where a job's checkpoints are kept, who runs it, and where it begins.

mod folder;
mod restore;
mod stores;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use weir_checkpoint::{JobPaths, Refusal, SnapshotStore, StoreError};
use weir_job_file::{JobFile, Location};
use weir_model::{Attempt, CheckpointId, Name};
use weir_operator::Failure;
use weir_runtime::CheckpointOptions;
use weir_snapshot_store::{EpochLock, JobLock, LocalStore, LockError, MemoryStore};

pub(crate) use self::{
    folder::Folder,
    restore::{Restore, checkpoint_at, claims, no_checkpoint},
    stores::Stores,
};

/// The code of a checkpoint that is named and not there.
pub(crate) const NO_CHECKPOINT: &str = "W0002";

/// The code of a job that another process runs.
pub(crate) const HELD: &str = "W0003";

/// The code of a storage that cannot be used.
pub(crate) const NO_STORAGE: &str = "W0004";

/// The code of a checkpoint that is damaged.
pub(crate) const DAMAGED: &str = "W0006";

/// The code of a job that another process has taken over.
const SUPERSEDED: &str = "W0134";

/// The code of what keeps a job from its checkpoint directory.
pub(crate) fn code_of(error: &LockError) -> &'static str {
    match error {
        LockError::Held { .. } => HELD,
        LockError::Superseded { .. } => SUPERSEDED,
        LockError::Store(error) => code_of_store(error),
        LockError::Damaged { .. }
        | LockError::Lost { .. }
        | LockError::Exhausted { .. }
        | LockError::File { .. } => NO_STORAGE,
    }
}

/// The code of what a storage does not do.
pub(crate) fn code_of_store(error: &StoreError) -> &'static str {
    error.refusal().map_or(NO_STORAGE, Refusal::code)
}

/// The checkpoint with which a job has finished, if it has (D23).
///
/// # Errors
/// [`Failure`] where the directory cannot be read.
pub(crate) fn finished(job: &JobFile, stores: &Stores) -> Result<Option<String>, Failure> {
    let dir = job.checkpoint.as_ref().map(|checkpoint| &checkpoint.dir);
    // What another process has done is not in the memory of this one.
    let Some(folder) = dir.and_then(Folder::of_place) else {
        return Ok(None);
    };
    let store = stores.open(&folder).map_err(|error| Failure::External {
        what: folder.to_string(),
        message: error.told(),
    })?;
    weir_runtime::finished(&*store, &JobPaths::new(&job.job))
}

/// The number of the checkpoint whose folder has this name.
pub(crate) fn checkpoint_name(name: &str) -> Option<CheckpointId> {
    let paths = JobPaths::new(&Name::new("a").ok()?);
    paths.metadata_of(&format!("a/{name}/_metadata"))
}

/// Gives the number of each attempt.
pub(crate) type Attempts = Box<dyn FnMut() -> Result<Attempt, Failure> + Send>;

/// What a run needs of its checkpoint directory.
pub(crate) struct Storage {
    pub(crate) checkpoints: Option<CheckpointOptions>,
    pub(crate) attempts: Attempts,
    /// Held while the job runs, where it is one that ends with the process.
    lock: Option<Arc<Mutex<JobLock>>>,
}

impl Storage {
    /// Takes the lock of the job. A job without checkpoints has no directory, and none.
    ///
    /// # Errors
    /// [`LockError`] where somebody runs the job, or the directory cannot be used.
    pub(crate) fn open(job: &JobFile, stores: &Stores) -> Result<Self, LockError> {
        let Some(checkpoint) = &job.checkpoint else {
            return Ok(Self {
                checkpoints: None,
                attempts: counted(),
                lock: None,
            });
        };
        let paths = JobPaths::new(&job.job);
        let mut held = None;
        let (store, attempts): (Arc<dyn SnapshotStore>, Attempts) = match &checkpoint.dir {
            Location::Folder(folder) => {
                let store = LocalStore::new(folder);
                let lock = Arc::new(Mutex::new(JobLock::acquire(&store, &paths)?));
                held = Some(lock.clone());
                let next = move || {
                    let mut lock = lock.lock().unwrap_or_else(PoisonError::into_inner);
                    lock.next_attempt().map_err(|error| not_begun(&error))
                };
                (Arc::new(store), Box::new(next))
            }
            // Nobody else sees it.
            Location::Memory { max_state_size } => {
                (Arc::new(MemoryStore::new(*max_state_size)), counted())
            }
            Location::S3 { bucket, prefix } => {
                let folder = Folder::Bucket {
                    bucket: bucket.clone(),
                    path: prefix.clone(),
                };
                let lock = EpochLock::acquire(stores.open(&folder)?, &paths)?;
                let store = lock.store();
                let next = move || lock.next_attempt().map_err(|error| not_begun(&error));
                (store, Box::new(next))
            }
        };
        let options = CheckpointOptions {
            config: checkpoint.config(),
            mode: checkpoint.mode,
            store,
            paths,
        };
        Ok(Self {
            checkpoints: Some(options),
            attempts,
            lock: held,
        })
    }

    /// Keeps the lock for as long as what is returned lives.
    pub(crate) fn guard(&self) -> Option<Arc<Mutex<JobLock>>> {
        self.lock.clone()
    }
}

/// Numbers from 1 on, where nobody else takes any.
fn counted() -> Attempts {
    let count = AtomicU32::new(0);
    Box::new(move || Ok(Attempt(count.fetch_add(1, Ordering::Relaxed) + 1)))
}

/// Why no attempt was begun.
fn not_begun(error: &LockError) -> Failure {
    match error {
        LockError::Superseded { .. } => Failure::Superseded {
            message: error.to_string(),
        },
        LockError::Held { .. }
        | LockError::Damaged { .. }
        | LockError::Lost { .. }
        | LockError::Exhausted { .. }
        | LockError::File { .. }
        | LockError::Store(_) => Failure::External {
            what: "the lock of the job".into(),
            message: error.to_string(),
        },
    }
}
