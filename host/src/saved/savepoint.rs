//! A savepoint that a tool makes: self-contained, in a folder of its own, canonical.
//!
//! INVARIANT: the folder is new, and its metadata are written last: what was begun and not finished
//! is no savepoint.

use std::{io, sync::Arc};

use weir_checkpoint::{FileRef, JobPaths, Metadata, ObjectWriter, SnapshotStore, StoreError};
use weir_model::{OperatorName, SubtaskIndex};
use weir_state::{
    Backend, Error, HeapBackend, OperatorState, SavedOperatorState, StateDecl, StateFileWriter,
    canonical,
};

use super::METADATA;
use crate::storage::{Folder, Stores};

/// A savepoint in the making.
pub(crate) struct NewSavepoint {
    store: Arc<dyn SnapshotStore>,
    pub(crate) metadata: Metadata,
}

/// Why it was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMade {
    /// There is something already.
    #[error("`{0}` is there already, and not empty")]
    Exists(String),
    /// What it is made of holds more than state.
    #[error(
        "it is made of a checkpoint that barriers overtook, with rows in flight to `{0}`, which would \
         be lost; take a savepoint of the running job, or stop it with a checkpoint"
    )]
    InFlight(String),
    /// The storage failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The state cannot be written.
    #[error("{0}")]
    State(#[from] Error),
    /// The metadata make no sense.
    #[error("{0}")]
    Metadata(String),
}

/// A file on its way to the store.
struct Object<'a>(Box<dyn ObjectWriter + 'a>);

impl io::Write for Object<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewSavepoint {
    /// Begins one in a folder that is not there, or empty. `like` says all but the files.
    ///
    /// # Errors
    /// [`NotMade`].
    pub(crate) fn begin(folder: &Folder, like: Metadata, stores: &Stores) -> Result<Self, NotMade> {
        let store = stores.open(folder)?;
        let is_free = match folder {
            Folder::Local(path) => match path.read_dir() {
                Ok(mut entries) => entries.next().is_none(),
                Err(e) => e.kind() == std::io::ErrorKind::NotFound,
            },
            Folder::Bucket { .. } => store.list("")?.is_empty(),
        };
        if !is_free {
            return Err(NotMade::Exists(folder.to_string()));
        }
        let mut metadata = like;
        for (name, operator) in &mut metadata.operators {
            if operator.subtasks.iter().any(|s| s.channels.is_some()) {
                return Err(NotMade::InFlight(name.to_string()));
            }
            for subtask in &mut operator.subtasks {
                subtask.file = None;
                subtask.shared.clear();
            }
        }
        Ok(Self { store, metadata })
    }

    /// Writes the state of one subtask of an operator: `keyed` holds that of its keys.
    ///
    /// # Errors
    /// [`NotMade`].
    pub(crate) fn add(
        &mut self,
        operator: &OperatorName,
        subtask: SubtaskIndex,
        decls: &[StateDecl],
        keyed: &mut HeapBackend,
        unkeyed: SavedOperatorState,
    ) -> Result<(), NotMade> {
        let mut saved = unkeyed;
        let raw = std::mem::take(&mut saved.raw);
        let mut state = OperatorState::new(decls);
        state.restore(saved)?;
        let path = JobPaths::state_file(operator, subtask);
        let mut writer = StateFileWriter::to(Object(self.store.create(&path)?))?;
        writer.add(operator, decls, keyed.snapshot(&canonical())?)?;
        writer.add_operator_state(operator, decls, state.snapshot(), raw)?;
        let file = writer.finish()?;
        file.out.0.finish()?;
        let written = FileRef {
            path,
            length: file.length,
            crc32c: file.crc32c,
        };
        let meta = self.metadata.operators.get_mut(operator);
        let part = meta.and_then(|meta| meta.subtasks.get_mut(subtask.index()));
        if let Some(part) = part {
            part.file = Some(written);
        }
        Ok(())
    }

    /// Writes the metadata: from here on it is a savepoint. `committed`: it has nothing left to
    /// commit.
    ///
    /// # Errors
    /// [`NotMade`].
    pub(crate) fn finish(self, committed: bool) -> Result<Metadata, NotMade> {
        if committed {
            self.store
                .put(JobPaths::committed_inside(), vec![Vec::new()])?;
        }
        let bytes = self.metadata.encode();
        let bytes = bytes.map_err(|e| NotMade::Metadata(e.to_string()))?;
        self.store.put(METADATA, vec![bytes])?;
        Ok(self.metadata)
    }
}
