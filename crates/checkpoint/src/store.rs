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

/// What somebody has to mend before a storage does what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Checkpoints are kept in memory, where large ones are not wanted.
    #[error(
        "it has {length} bytes or more, and what one task writes may have {limit} where checkpoints \
         are kept in memory: raise `checkpoint.max-state-size`, or name a directory in `checkpoint.dir`"
    )]
    TooLarge {
        /// The bytes of the object that had come when there were too many.
        length: u64,
        /// The most that it may have.
        limit: u64,
    },
    /// The disk is full, or one may not use more of it.
    #[error(
        "there is no room for it: {message}; make room there, keep fewer checkpoints \
         (`checkpoint.retain`), or name another directory in `checkpoint.dir`"
    )]
    Full {
        /// What the system says, and of which file.
        message: String,
    },
    /// There is no such bucket.
    #[error("{place} does not exist: {message}; make it, or name another in `checkpoint.dir`")]
    NoBucket {
        /// The bucket, and where it was looked for.
        place: String,
        /// What the storage says.
        message: String,
    },
    /// The storage knows who asks, or does not, and does not let them.
    #[error(
        "{place} is not open to these credentials: {message}; see that AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY are set, right, and allowed to list, read, write and delete there"
    )]
    Denied {
        /// The bucket.
        place: String,
        /// What the storage says.
        message: String,
    },
    /// Nobody answers.
    #[error(
        "{place} does not answer: {message}; see that the endpoint is right and can be reached"
    )]
    Unreachable {
        /// The address.
        place: String,
        /// What was tried, and what came of it.
        message: String,
    },
    /// Another process runs the job by now (D28). This one must change nothing any more.
    #[error(
        "another process has taken the job over ({by}), so this one does not touch it any more"
    )]
    Superseded {
        /// Who, as far as is known.
        by: String,
    },
}

impl Refusal {
    /// The code of its page in `docs/errors`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "W0130",
            Self::NoBucket { .. } => "W0131",
            Self::Denied { .. } => "W0132",
            Self::Unreachable { .. } => "W0133",
            Self::Superseded { .. } => "W0134",
            Self::Full { .. } => "W0135",
        }
    }
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
    /// The storage does not do it, for a reason that somebody can mend. Nothing has taken place.
    #[error("cannot {operation} `{path}`: {refusal}")]
    Refused {
        /// What was tried: `write`, `read`, `list`, `delete`.
        operation: &'static str,
        /// The path or prefix.
        path: String,
        /// Why.
        refusal: Refusal,
    },
    /// The storage failed. A `put`, `finish` or `delete` may have taken place all the same.
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

    /// What somebody has to mend, where that is known.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            Self::AlreadyExists { .. }
            | Self::NotFound { .. }
            | Self::OutOfRange { .. }
            | Self::Failed { .. } => None,
        }
    }

    /// The error, with the code of its page where it has one: for messages that show no code
    /// otherwise.
    #[must_use]
    pub fn told(&self) -> String {
        match self.refusal() {
            Some(refusal) => format!("{self} ({})", refusal.code()),
            None => self.to_string(),
        }
    }

    /// Whether it says that there was such an object before.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::AlreadyExists { .. })
    }
}

/// An object that is being written. Nobody sees anything of it before it is finished; dropped
/// before that, nothing is left of it. All methods block.
pub trait ObjectWriter: Send {
    /// Adds bytes. After an error the object is given up, and no method may be called any more.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] where that is known early, [`StoreError::Refused`],
    /// [`StoreError::Failed`]; the object is not there.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Creates the object of all that was written, durably, as a whole or not at all; never
    /// replaces one.
    ///
    /// # Errors
    /// As [`SnapshotStore::put`].
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// A store of objects under paths with `/` between their parts. All methods block.
pub trait SnapshotStore: Send + Sync {
    /// Begins an object that is written piece by piece: it may be larger than memory.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] where that is known early, [`StoreError::Refused`],
    /// [`StoreError::Failed`]; the object is not there.
    fn create<'a>(&'a self, path: &str) -> Result<Box<dyn ObjectWriter + 'a>, StoreError>;

    /// Creates a small object of all chunks end to end, durably, as a whole or not at all; never
    /// replaces one.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::Refused`], [`StoreError::Failed`]; after the
    /// last the object may be there.
    fn put(&self, path: &str, chunks: Vec<Vec<u8>>) -> Result<(), StoreError> {
        let mut object = self.create(path)?;
        chunks.iter().try_for_each(|chunk| object.write(chunk))?;
        object.finish()
    }

    /// The whole of a small object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Failed`].
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError>;

    /// `length` bytes of the object from `offset` on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::OutOfRange`], [`StoreError::Failed`].
    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError>;

    /// How many bytes the object has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Failed`].
    fn size(&self, path: &str) -> Result<u64, StoreError>;

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

    /// Looks whether this process may still change what is there, for what it is about to change
    /// elsewhere: another one may run the job by now (D28).
    ///
    /// # Errors
    /// [`StoreError::Refused`] where it may not, [`StoreError::Failed`].
    fn check_owner(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Where it is, for messages: a directory or an address.
    fn describe(&self) -> String;
}
