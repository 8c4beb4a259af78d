//! Who runs a job where files cannot be locked, as in an object store (D28).
//!
//! Whoever begins an attempt creates `<job>/epoch-<n>`, one above the highest; of two that try to
//! at once one succeeds. The highest runs the job. A process that finds one above its own has been
//! superseded: the one before may be dead, or cut off, or slow, and cannot be asked. So it is the
//! older one that gives way: it looks before and after it writes `_metadata` and the other marks of
//! whoever runs the job, and before it deletes anything, and does neither any more. It cannot spoil
//! what the newer one writes either, for objects are never replaced.
//!
//! A `_metadata` that comes between two looks is seen by the newer one when it begins, or belongs
//! to a checkpoint whose results are never committed, because the second look fails.
//!
//! INVARIANT: an attempt has an epoch that was above all others when it was created, so no two have
//! one number. Epochs below the highest go, and a process that was slow may create one of them
//! anew: it looks for higher ones behind that.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use weir_checkpoint::{JobPaths, ObjectInfo, ObjectWriter, Refusal, SnapshotStore, StoreError};
use weir_model::Attempt;

use crate::{Holder, LockError};

/// The right to run a job, until somebody else takes it.
///
/// ```
/// use std::sync::Arc;
/// use weir_checkpoint::JobPaths;
/// use weir_model::{Attempt, Name};
/// use weir_snapshot_store::{EpochLock, MemoryStore};
///
/// let store = Arc::new(MemoryStore::new(1000));
/// let job = JobPaths::new(&Name::new("flights").unwrap());
/// let first = EpochLock::acquire(store.clone(), &job).unwrap();
/// assert_eq!(first.next_attempt().unwrap(), Attempt(1));
/// let second = EpochLock::acquire(store, &job).unwrap();
/// assert_eq!(second.next_attempt().unwrap(), Attempt(2));
/// assert!(first.next_attempt().is_err());
/// ```
#[derive(Clone)]
pub struct EpochLock {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn SnapshotStore>,
    paths: JobPaths,
    epoch: Mutex<Epoch>,
}

/// What this process holds.
#[derive(Clone)]
struct Epoch {
    number: u64,
    /// What is written in it: of no other process.
    record: String,
    /// Whether an attempt has it.
    is_begun: bool,
}

impl fmt::Debug for EpochLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochLock")
            .field("epoch", &self.path())
            .finish_non_exhaustive()
    }
}

impl EpochLock {
    /// Takes the job over from whoever ran it before. Blocking.
    ///
    /// # Errors
    /// [`LockError::Held`] where another process did so at the same time; [`LockError::Store`].
    pub fn acquire(store: Arc<dyn SnapshotStore>, paths: &JobPaths) -> Result<Self, LockError> {
        let objects = store.list(paths.root())?;
        let mut older: Vec<u64> = objects
            .iter()
            .filter_map(|object| paths.epoch_of(&object.path))
            .collect();
        older.sort_unstable();
        let number = older.last().copied().unwrap_or(0) + 1;
        let record = record();
        create_highest(&*store, paths, number, &record)?;
        // The lowest first: see `check`.
        for number in older {
            store.delete(&paths.epoch(number))?;
        }
        let epoch = Epoch {
            number,
            record,
            is_begun: false,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                paths: paths.clone(),
                epoch: Mutex::new(epoch),
            }),
        })
    }

    /// Begins an attempt: its number, above that of every other in any process. Blocking.
    ///
    /// # Errors
    /// [`LockError::Superseded`] where another process runs the job; [`LockError::Store`].
    pub fn next_attempt(&self) -> Result<Attempt, LockError> {
        let Inner {
            store,
            paths,
            epoch,
        } = &*self.inner;
        let mut epoch = lock(epoch);
        let exhausted = || LockError::Exhausted {
            path: paths.epoch(epoch.number),
        };
        if !epoch.is_begun {
            let attempt = u32::try_from(epoch.number).map_err(|_| exhausted())?;
            self.inner.check(&epoch).map_err(lost)?;
            epoch.is_begun = true;
            return Ok(Attempt(attempt));
        }
        let attempt = u32::try_from(epoch.number + 1).map_err(|_| exhausted())?;
        self.inner.check(&epoch).map_err(lost)?;
        let record = record();
        match create_highest(&**store, paths, attempt.into(), &record) {
            Ok(()) => {}
            Err(LockError::Held { path, holder }) => {
                let by = holder.map_or(path, |holder| holder.to_string());
                return Err(LockError::Superseded { by });
            }
            Err(e) => return Err(e),
        }
        let before = std::mem::replace(
            &mut *epoch,
            Epoch {
                number: attempt.into(),
                record,
                is_begun: true,
            },
        );
        // One that stays is below the highest, and so nobody's.
        let _ = store.delete(&paths.epoch(before.number));
        Ok(Attempt(attempt))
    }

    /// The store, as this process may use it: once it is superseded it writes no metadata and
    /// deletes nothing.
    #[must_use]
    pub fn store(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(Fenced(self.inner.clone()))
    }

    /// The object that says who runs the job.
    #[must_use]
    pub fn path(&self) -> String {
        self.inner.paths.epoch(lock(&self.inner.epoch).number)
    }
}

impl Inner {
    /// Whether this process still runs the job.
    ///
    /// The next epoch is looked for first, and then the own one. Epochs are deleted from below: so
    /// where the next one has come and gone again, the own one is gone as well.
    fn check(&self, epoch: &Epoch) -> Result<(), StoreError> {
        let next = self.paths.epoch(epoch.number + 1);
        let superseded = |by: String| StoreError::Refused {
            operation: "use",
            path: self.paths.root().to_owned(),
            refusal: Refusal::Superseded { by },
        };
        match self.store.get(&next) {
            Ok(record) => return Err(superseded(format!("{next}: {}", told(&record)))),
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e),
        }
        let own = self.paths.epoch(epoch.number);
        match self.store.get(&own) {
            Ok(record) if record == epoch.record.as_bytes() => Ok(()),
            Ok(record) => Err(superseded(format!("{own}: {}", told(&record)))),
            Err(e) if e.is_not_found() => Err(superseded(format!("{own} is gone"))),
            Err(e) => Err(e),
        }
    }

    fn check_current(&self) -> Result<(), StoreError> {
        let epoch = lock(&self.epoch).clone();
        self.check(&epoch)
    }
}

/// A store that obeys its lock.
struct Fenced(Arc<Inner>);

/// Metadata, or a mark, that is being written.
struct FencedObject<'a> {
    object: Box<dyn ObjectWriter + 'a>,
    inner: &'a Inner,
}

impl ObjectWriter for FencedObject<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.object.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.inner.check_current()?;
        self.object.finish()?;
        self.inner.check_current()
    }
}

impl SnapshotStore for Fenced {
    fn create<'a>(&'a self, path: &str) -> Result<Box<dyn ObjectWriter + 'a>, StoreError> {
        if !self.0.paths.is_owners(path) {
            return self.0.store.create(path);
        }
        let object = self.0.store.create(path)?;
        let inner = &self.0;
        Ok(Box::new(FencedObject { object, inner }))
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.0.store.get(path)
    }

    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.0.store.get_range(path, offset, length)
    }

    fn size(&self, path: &str) -> Result<u64, StoreError> {
        self.0.store.size(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.0.store.list(prefix)
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.0.check_current()?;
        self.0.store.delete(path)
    }

    fn check_owner(&self) -> Result<(), StoreError> {
        self.0.check_current()
    }

    fn describe(&self) -> String {
        self.0.store.describe()
    }
}

fn lost(error: StoreError) -> LockError {
    match error.refusal() {
        Some(Refusal::Superseded { by }) => LockError::Superseded { by: by.clone() },
        Some(_) | None => error.into(),
    }
}

fn create(
    store: &dyn SnapshotStore,
    paths: &JobPaths,
    number: u64,
    record: &str,
) -> Result<(), LockError> {
    let path = paths.epoch(number);
    let error = match store.put(&path, vec![record.as_bytes().to_vec()]) {
        Ok(()) => return Ok(()),
        Err(e) => e,
    };
    // It may be there all the same: then it is ours if it says so.
    match store.get(&path) {
        Ok(there) if there == record.as_bytes() => Ok(()),
        Ok(there) => Err(LockError::Held {
            path,
            holder: holder(&there),
        }),
        Err(_) => Err(error.into()),
    }
}

/// Creates an epoch above all others. One above it may have come and gone before, while this
/// process was on its way: then it is nobody's, and goes, as it does where that is not known.
fn create_highest(
    store: &dyn SnapshotStore,
    paths: &JobPaths,
    number: u64,
    record: &str,
) -> Result<(), LockError> {
    create(store, paths, number, record)?;
    let highest = highest(store, paths);
    if matches!(highest, Ok(highest) if highest <= number) {
        return Ok(());
    }
    let deleted = store.delete(&paths.epoch(number));
    let path = paths.epoch(highest?);
    deleted?;
    let holder = store.get(&path).ok().and_then(|record| holder(&record));
    Err(LockError::Held { path, holder })
}

/// The highest epoch that there is; 0 where there is none.
fn highest(store: &dyn SnapshotStore, paths: &JobPaths) -> Result<u64, StoreError> {
    let objects = store.list(paths.root())?;
    let epochs = objects.iter().map(|object| paths.epoch_of(&object.path));
    Ok(epochs.max().flatten().unwrap_or(0))
}

/// What is written in an epoch: who holds it, and something that nobody else writes.
fn record() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Holder { pid, host } = Holder::this();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("weir-epoch 1 pid={pid} host={host} begun={nanos} number={number}\n")
}

/// Who has written an epoch, if it can be read.
fn holder(record: &[u8]) -> Option<Holder> {
    let text = std::str::from_utf8(record).ok()?;
    let mut words = text.strip_prefix("weir-epoch 1 ")?.split_whitespace();
    Some(Holder {
        pid: words.next()?.strip_prefix("pid=")?.parse().ok()?,
        host: words.next()?.strip_prefix("host=")?.to_owned(),
    })
}

fn told(record: &[u8]) -> String {
    holder(record).map_or_else(|| "another process".to_owned(), |holder| holder.to_string())
}

fn lock(epoch: &Mutex<Epoch>) -> MutexGuard<'_, Epoch> {
    epoch.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
