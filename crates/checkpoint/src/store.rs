//! What checkpoints need of a store of objects. Implemented elsewhere; called by drivers, on
//! threads that may block.
//!
//! INVARIANT: an object is written once, as a whole, and never changed.

/// An object of a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    /// Its path.
    pub path: String,
    /// Its length in bytes.
    pub length: u64,
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is an object of this path already, and it was left alone.
    #[error("`{path}` exists already")]
    AlreadyExists {
        /// The path.
        path: String,
    },
    /// There is no object of this path.
    #[error("`{path}` does not exist")]
    NotFound {
        /// The path.
        path: String,
    },
    /// The object is shorter than what was asked of it.
    #[error("`{path}` has {size} bytes, asked were {length} from {offset} on")]
    OutOfRange {
        /// The path.
        path: String,
        /// The first byte asked for.
        offset: u64,
        /// The number of bytes asked for.
        length: u64,
        /// The number of bytes there are.
        size: u64,
    },
    /// The storage failed. A `put` or `delete` may have taken place all the same.
    #[error("cannot {operation} `{path}`: {message}")]
    Failed {
        /// What was tried: `write`, `read`, `list`, `delete`.
        operation: &'static str,
        /// The path or prefix.
        path: String,
        /// What the storage says.
        message: String,
    },
}

impl StoreError {
    /// Whether it says that there is no such object. Only this says so: after any other error the
    /// object may be there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether it says that there was such an object before.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::AlreadyExists { .. })
    }
}

/// A store of objects under paths with `/` between their parts. All methods block.
pub trait SnapshotStore: Send + Sync {
    /// Creates an object of all chunks end to end, durably, as a whole or not at all; never
    /// replaces one.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::Failed`]; after the latter the object may be
    /// there.
    fn put(&self, path: &str, chunks: Vec<Vec<u8>>) -> Result<(), StoreError>;

    /// The whole object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Failed`].
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError>;

    /// `length` bytes of the object from `offset` on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::OutOfRange`], [`StoreError::Failed`].
    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError>;

    /// All objects whose path begins with `prefix`, which is empty or ends with `/`. In order of
    /// their paths.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError>;

    /// Deletes an object. It is no error if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; the object may be gone or not.
    fn delete(&self, path: &str) -> Result<(), StoreError>;

    /// Where it is, for messages: a directory or an address.
    fn describe(&self) -> String;
}
