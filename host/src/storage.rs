//! Where a job's checkpoints are kept, who runs it, and where it begins.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use weir_checkpoint::{JobPaths, Refusal, SnapshotStore, StoreError};
use weir_job_file::{JobFile, Location};
use weir_model::{Attempt, CheckpointId, Name};
use weir_operator::Failure;
use weir_runtime::{CheckpointOptions, Claims, Foreign, RestoreFrom};
use weir_snapshot_store::{EpochLock, JobLock, LocalStore, LockError, MemoryStore};

/// The code of a checkpoint that is named and not there.
pub(crate) const NO_CHECKPOINT: &str = "W0002";

/// The code of a storage that cannot be used.
pub(crate) const NO_STORAGE: &str = "W0004";

/// The code of a checkpoint that is damaged.
pub(crate) const DAMAGED: &str = "W0006";

/// The code of a job that another process has taken over.
const SUPERSEDED: &str = "W0134";

/// The code of what keeps a job from its checkpoint directory.
pub(crate) fn code_of(error: &LockError) -> &'static str {
    match error {
        LockError::Held { .. } => "W0003",
        LockError::Superseded { .. } => SUPERSEDED,
        LockError::Store(error) => error.refusal().map_or(NO_STORAGE, Refusal::code),
        LockError::Damaged { .. }
        | LockError::Lost { .. }
        | LockError::Exhausted { .. }
        | LockError::File { .. } => NO_STORAGE,
    }
}

/// `--restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    /// The latest completed checkpoint of the job, if there is one.
    Latest,
    /// Nothing: the job begins anew.
    None,
    /// A checkpoint by its path.
    Path(PathBuf),
}

impl FromStr for Restore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Self::Latest),
            "none" => Ok(Self::None),
            "" => Err("expected `latest`, `none` or the path of a checkpoint".into()),
            path => Ok(Self::Path(path.into())),
        }
    }
}

impl Restore {
    /// As the engine wants it, for this job. A path names the folder of a checkpoint, or its
    /// `_metadata`; one of the job's own in its own directory is no fork.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub(crate) fn from(&self, job: &JobFile, claim: bool) -> Result<RestoreFrom, String> {
        let path = match (self, claim) {
            (Self::Latest, false) => return Ok(RestoreFrom::Latest),
            (Self::None, false) => return Ok(RestoreFrom::Nothing),
            (Self::Latest | Self::None, true) => {
                return Err("`--claim` needs the path of a checkpoint: `--restore PATH`".into());
            }
            (Self::Path(path), _) => path,
        };
        let foreign = checkpoint_at(path)?;
        match (own(path, job), claim) {
            (Some(_), true) => Err(format!(
                "`{}` is the job's own already: leave `--claim` out",
                path.display()
            )),
            (Some(id), false) => Ok(RestoreFrom::Own(id)),
            (None, true) if job.checkpoint.is_none() => Err(
                "`--claim` needs a job that keeps checkpoints of its own: set `checkpoint.dir`"
                    .into(),
            ),
            (None, true) => Ok(RestoreFrom::Claimed(checkpoint_at(&absolute(path)?)?)),
            (None, false) => Ok(RestoreFrom::Checkpoint(foreign)),
        }
    }
}

/// The number of a checkpoint of this job, where the path leads to one in the job's own directory.
fn own(path: &Path, job: &JobFile) -> Option<CheckpointId> {
    let dir = job.checkpoint.as_ref()?.dir.folder()?;
    let dir = dir.join(job.job.as_str());
    let inside = folder_of(path).canonicalize().ok()?;
    let inside = inside.strip_prefix(dir.canonicalize().ok()?).ok()?;
    let name = format!("{}/{}/_metadata", job.job, inside.to_str()?);
    JobPaths::new(&job.job).metadata_of(&name)
}

/// The folder of the checkpoint that a path names: itself, or where its `_metadata` lies.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.file_name() {
        Some(name) if name == "_metadata" => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        },
        Some(_) | None => path,
    }
}

/// The checkpoint with which a job has finished, if it has (D23).
///
/// # Errors
/// [`Failure`] where the directory cannot be read.
pub(crate) fn finished(job: &JobFile) -> Result<Option<String>, Failure> {
    let Some(checkpoint) = &job.checkpoint else {
        return Ok(None);
    };
    let store: Arc<dyn SnapshotStore> = match &checkpoint.dir {
        Location::Folder(folder) => Arc::new(LocalStore::new(folder)),
        // What another process has done is not in the memory of this one.
        Location::Memory { .. } => return Ok(None),
        Location::S3 { bucket, prefix } => bucket_store(bucket, prefix).map_err(|error| {
            let what = checkpoint.dir.to_string();
            let message = error.told();
            Failure::External { what, message }
        })?,
    };
    weir_runtime::finished(&*store, &JobPaths::new(&job.job))
}

/// How a job claims checkpoints; nobody can claim without keeping checkpoints.
pub(crate) fn claims(job: &JobFile) -> Option<Claims> {
    let dir = match &job.checkpoint.as_ref()?.dir {
        Location::Folder(folder) => absolute(folder).ok()?.display().to_string(),
        other @ (Location::Memory { .. } | Location::S3 { .. }) => other.to_string(),
    };
    Some(Claims {
        owner: format!("job `{}`, with its checkpoints in {dir}", job.job),
        opener: Arc::new(|place: &str| checkpoint_at(Path::new(place))),
    })
}

/// The path from the root on, so that it leads there from wherever the job is started next.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    let whole = path.canonicalize().or_else(|_| std::path::absolute(path));
    whole.map_err(|e| format!("`{}`: {e}", path.display()))
}

/// A checkpoint by the path of its folder. Its store begins at the folder above: what checkpoints
/// of a job share lies beside them.
pub(crate) fn checkpoint_at(path: &Path) -> Result<Foreign, String> {
    let folder = folder_of(path);
    if !folder.join("_metadata").is_file() {
        let shown = path.display();
        let what = match path.exists() {
            true => "is no checkpoint: there is no `_metadata` in it",
            false => "does not exist",
        };
        return Err(format!("`{shown}` {what}"));
    }
    let (store, folder) = store_of(folder);
    Ok(Foreign {
        store: Arc::new(store),
        folder,
    })
}

/// A store that holds a checkpoint and all its files, and the folder of the checkpoint in there,
/// ending in `/` unless empty. One of a job's own checkpoints may name files beside its folder, and
/// one that was claimed is deleted with its folder.
pub(crate) fn store_of(folder: &Path) -> (LocalStore, String) {
    let name = folder.file_name().and_then(|name| name.to_str());
    let whole = match name {
        Some(_) => None,
        // `.` or the like.
        None => folder.canonicalize().ok(),
    };
    let folder = whole.as_deref().unwrap_or(folder);
    let name = folder.file_name().and_then(|name| name.to_str());
    match (folder.parent(), name) {
        (Some(parent), Some(name)) => {
            let parent = match parent.as_os_str().is_empty() {
                true => Path::new("."),
                false => parent,
            };
            (LocalStore::new(parent), format!("{name}/"))
        }
        (_, None) | (None, _) => (LocalStore::new(folder), String::new()),
    }
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

/// The store in a bucket.
#[cfg(feature = "s3")]
fn bucket_store(bucket: &str, prefix: &str) -> Result<Arc<dyn SnapshotStore>, StoreError> {
    let options = weir_snapshot_store_s3::S3Options::new(bucket, prefix);
    Ok(Arc::new(weir_snapshot_store_s3::S3Store::new(&options)?))
}

/// As above, of a program without a client for it.
#[cfg(not(feature = "s3"))]
fn bucket_store(bucket: &str, _prefix: &str) -> Result<Arc<dyn SnapshotStore>, StoreError> {
    Err(StoreError::Failed {
        operation: "use",
        path: format!("s3://{bucket}"),
        message: "this program was built without the feature `s3`".into(),
    })
}

impl Storage {
    /// Takes the lock of the job. A job without checkpoints has no directory, and none.
    ///
    /// # Errors
    /// [`LockError`] where somebody runs the job, or the directory cannot be used.
    pub(crate) fn open(job: &JobFile) -> Result<Self, LockError> {
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
                let lock = EpochLock::acquire(bucket_store(bucket, prefix)?, &paths)?;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_checkpoint_of_this_job_in_its_own_directory_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let text = "apiVersion: weir/v1\njob: a\ncheckpoint: { dir: saved }\n\
                    sources: { r: { connector: generator } }\n";
        let job = JobFile::load(text, &dir.path().join("job.yaml"), &[]).unwrap();
        for place in [
            "saved/a/chk-7",
            "saved/a/chk-07",
            "saved/b/chk-7",
            "copy/a/chk-7",
        ] {
            let folder = dir.path().join(place);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("_metadata"), "").unwrap();
        }
        let restore = |place: &str| Restore::Path(dir.path().join(place)).from(&job, false);
        for place in ["saved/a/chk-7", "saved/b/../a/chk-7/_metadata"] {
            let own = matches!(restore(place), Ok(RestoreFrom::Own(CheckpointId(7))));
            assert!(own, "{place}");
        }
        for place in ["saved/a/chk-07", "saved/b/chk-7", "copy/a/chk-7"] {
            let foreign = matches!(restore(place), Ok(RestoreFrom::Checkpoint(_)));
            assert!(foreign, "{place}");
        }
        assert!(restore("saved/a/chk-8").is_err_and(|e| e.contains("does not exist")));
        assert!(restore("saved/a").is_err_and(|e| e.contains("no `_metadata`")));
    }
}
