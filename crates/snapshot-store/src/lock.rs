//! The lock of whoever runs a job, and the number of its attempts (D28).
//!
//! `<dir>/<job>/LOCK` is locked with `flock`, which ends with the process, however it ends. In it
//! stands who holds it, and how many attempts there were.
//!
//! INVARIANT: an attempt's number is on disk before it is given out, so none is given out twice.

mod record;

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use weir_checkpoint::{JobPaths, StoreError};
use weir_model::Attempt;

use self::record::{Read, Record};
use crate::{LocalStore, local};

/// How often the lock file is opened again when it was replaced between opening and locking.
const OPEN_TRIES: u32 = 10;

/// Who runs a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The number of the process.
    pub pid: u32,
    /// The name of the machine.
    pub host: String,
}

impl Holder {
    /// This process.
    pub(crate) fn this() -> Self {
        let system = rustix::system::uname();
        let host = record::word(&system.nodename().to_string_lossy());
        Self {
            pid: std::process::id(),
            host,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// Why the lock was not taken, or no attempt begun.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody runs the job. Stop that one, or run this one under another name or in another
    /// directory.
    #[error(
        "`{path}` is locked: {} runs this job already, so nothing was started; stop that one \
         first, or give this job another name or checkpoint directory",
        .holder.as_ref().map_or_else(|| "another process".to_owned(), Holder::to_string)
    )]
    Held {
        /// The lock file.
        path: String,
        /// Who holds it, as far as it can be read.
        holder: Option<Holder>,
    },
    /// The file is not one that this host wrote, or it was changed since. It holds nothing but the
    /// number of attempts: it can be removed while nobody runs the job.
    #[error(
        "`{path}` is damaged: {why}; nothing was started; make sure that no process runs the job \
         and remove the file, attempts are then counted from 1 again"
    )]
    Damaged {
        /// The lock file.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file was removed or replaced while it was held: another process may run the job by now.
    #[error(
        "`{path}` was removed or replaced while this process ran the job, so another may run it \
         too; no further attempt was begun"
    )]
    Lost {
        /// The lock file.
        path: String,
    },
    /// Another process has taken the job over (D28).
    #[error(
        "another process runs this job by now ({by}), so this one has ended its part: what it had \
         not committed, that one goes on with"
    )]
    Superseded {
        /// Who, as far as is known.
        by: String,
    },
    /// There is no further number for an attempt.
    #[error("`{path}` counts {} attempts, there is no further number", u32::MAX)]
    Exhausted {
        /// The lock file.
        path: String,
    },
    /// The file cannot be opened, locked, read or written.
    #[error("cannot {step} `{path}`: {source}")]
    File {
        /// What was tried.
        step: &'static str,
        /// The lock file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The folder of the job cannot be written to.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The lock of a job, held until it is dropped or the process ends.
///
/// ```
/// use weir_checkpoint::JobPaths;
/// use weir_model::{Attempt, Name};
/// use weir_snapshot_store::{JobLock, LocalStore, LockError};
///
/// let dir = tempfile::tempdir().unwrap();
/// let (store, job) = (LocalStore::new(dir.path()), JobPaths::new(&Name::new("flights").unwrap()));
/// let mut lock = JobLock::acquire(&store, &job).unwrap();
/// assert_eq!(lock.next_attempt().unwrap(), Attempt(1));
/// assert!(matches!(JobLock::acquire(&store, &job), Err(LockError::Held { .. })));
/// drop(lock);
/// assert_eq!(JobLock::acquire(&store, &job).unwrap().next_attempt().unwrap(), Attempt(2));
/// ```
#[derive(Debug)]
pub struct JobLock {
    path: PathBuf,
    file: File,
    latest: Record,
}

impl JobLock {
    /// Makes the folder of the job, tries whether objects can be made in it, takes the lock, and
    /// removes what killed processes left there.
    ///
    /// # Errors
    /// [`LockError`]; the lock is not held then.
    pub fn acquire(store: &LocalStore, paths: &JobPaths) -> Result<Self, LockError> {
        let folder = store.prepare(paths.root())?;
        let path = store.root().join(paths.lock());
        let file = lock(&path)?;
        let before = match read(&path, &file)? {
            Read::Empty => Record::none(),
            Read::Latest(record) => record,
            Read::Damaged(why) => {
                return Err(LockError::Damaged {
                    path: shown(&path),
                    why,
                });
            }
        };
        let mut lock = Self {
            path,
            file,
            latest: before,
        };
        lock.write(lock.latest.attempt)?;
        // The file may be new: its name has to be there as well.
        local::sync_folder(&folder, paths.root())?;
        store.remove_leftovers(paths.root())?;
        Ok(lock)
    }

    /// Begins an attempt: its number, one more than that of the last one in any process.
    ///
    /// # Errors
    /// [`LockError`]; no attempt may begin then.
    pub fn next_attempt(&mut self) -> Result<Attempt, LockError> {
        if !is_same(&self.path, &self.file)? {
            return Err(LockError::Lost {
                path: shown(&self.path),
            });
        }
        let Some(number) = self.latest.attempt.0.checked_add(1) else {
            return Err(LockError::Exhausted {
                path: shown(&self.path),
            });
        };
        self.write(Attempt(number))?;
        Ok(Attempt(number))
    }

    /// The number of the last attempt that was begun; 0 before the first.
    #[must_use]
    pub fn last_attempt(&self) -> Attempt {
        self.latest.attempt
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the next record over the older one of the two, and puts it on disk.
    fn write(&mut self, attempt: Attempt) -> Result<(), LockError> {
        let next = self.latest.next(attempt, Holder::this());
        let (offset, bytes) = next.encode();
        self.file
            .write_all_at(&bytes, offset)
            .and_then(|()| self.file.sync_all())
            .map_err(failed("write", &self.path))?;
        self.latest = next;
        Ok(())
    }
}

/// The locked file of that path.
fn lock(path: &Path) -> Result<File, LockError> {
    for _ in 0..OPEN_TRIES {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("open", path))?;
        match file.try_lock() {
            Ok(()) if is_same(path, &file)? => return Ok(file),
            // Somebody removed it meanwhile: what is locked is not what the next one will find.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = match read(path, &file)? {
                    Read::Latest(record) => Some(record.holder),
                    Read::Empty | Read::Damaged(_) => None,
                };
                return Err(LockError::Held {
                    path: shown(path),
                    holder,
                });
            }
            Err(TryLockError::Error(e)) => return Err(failed("lock", path)(e)),
        }
    }
    Err(LockError::Lost { path: shown(path) })
}

fn read(path: &Path, file: &File) -> Result<Read, LockError> {
    let mut bytes = [0; record::FILE_BYTES + 1];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed("read", path)(e)),
        }
    }
    Ok(record::read(bytes.get(..length).unwrap_or(&bytes)))
}

/// Whether the path still leads to the file.
fn is_same(path: &Path, file: &File) -> Result<bool, LockError> {
    let ours = file.metadata().map_err(failed("look at", path))?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(e) if local::is_absent(&e) => Ok(false),
        Err(e) => Err(failed("look at", path)(e)),
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LockError {
    let path = shown(path);
    move |source| LockError::File { step, path, source }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
