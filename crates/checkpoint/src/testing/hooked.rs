//! A store beside which a test does something, or in whose place it fails.

use std::sync::Arc;

use super::{MemoryStore, failed};
use crate::{ObjectInfo, ObjectWriter, SnapshotStore, StoreError};

/// What a [`Hooked`] store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An object, which is not there yet.
    Write,
    /// The answer to a `put`, which has taken place.
    Written,
    /// An object or a part of it.
    Read,
    /// To delete an object.
    Delete,
    /// Who runs the job; the path is empty.
    Owner,
}

/// A store that tells a test what it is asked for, before it does it; where the test gives an error
/// it gives that.
///
/// ```
/// use std::sync::Arc;
/// use weir_checkpoint::{SnapshotStore, testing::{Asked, Hooked, MemoryStore}};
///
/// let memory = Arc::new(MemoryStore::new());
/// let store = Hooked::new(&memory, |asked, path| match asked {
///     Asked::Written => Err(Hooked::failure("write", path)),
///     _ => Ok(()),
/// });
/// assert!(store.put("a", vec![]).is_err());
/// assert!(memory.get("a").is_ok());
/// ```
pub struct Hooked {
    store: Arc<MemoryStore>,
    hook: Hook,
}

type Hook = Box<dyn Fn(Asked, &str) -> Result<(), StoreError> + Send + Sync>;

impl Hooked {
    /// What is in `store`, by way of a hook.
    pub fn new(
        store: &Arc<MemoryStore>,
        hook: impl Fn(Asked, &str) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            hook: Box::new(hook),
        })
    }

    /// An error to give.
    #[must_use]
    pub fn failure(operation: &'static str, path: &str) -> StoreError {
        failed(operation, path, "injected")
    }
}

impl SnapshotStore for Hooked {
    fn create<'a>(&'a self, path: &str) -> Result<Box<dyn ObjectWriter + 'a>, StoreError> {
        (self.hook)(Asked::Write, path)?;
        self.store.create(path)
    }

    fn put(&self, path: &str, chunks: Vec<Vec<u8>>) -> Result<(), StoreError> {
        (self.hook)(Asked::Write, path)?;
        self.store.put(path, chunks)?;
        (self.hook)(Asked::Written, path)
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        (self.hook)(Asked::Read, path)?;
        self.store.get(path)
    }

    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        (self.hook)(Asked::Read, path)?;
        self.store.get_range(path, offset, length)
    }

    fn size(&self, path: &str) -> Result<u64, StoreError> {
        self.store.size(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.store.list(prefix)
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        (self.hook)(Asked::Delete, path)?;
        self.store.delete(path)
    }

    fn check_owner(&self) -> Result<(), StoreError> {
        (self.hook)(Asked::Owner, "")
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}
