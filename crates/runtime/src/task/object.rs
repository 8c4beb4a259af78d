//! Bytes on their way into an object of the store: they leave as they come, so an object may be
//! larger than memory.

use std::io;

use weir_checkpoint::{ObjectWriter, SnapshotStore, StoreError};

/// An object that is being written. Dropped before it is finished, nothing is left of it.
pub(super) struct Object<'a> {
    store: &'a dyn SnapshotStore,
    path: &'a str,
    writer: Box<dyn ObjectWriter + 'a>,
}

impl<'a> Object<'a> {
    pub(super) fn begin(store: &'a dyn SnapshotStore, path: &'a str) -> Result<Self, String> {
        let writer = store.create(path).map_err(|e| e.told())?;
        Ok(Self {
            store,
            path,
            writer,
        })
    }

    /// Creates it.
    pub(super) fn finish(self) -> Result<(), String> {
        let Self {
            store,
            path,
            writer,
        } = self;
        writer.finish().map_err(|e: StoreError| {
            // It may be there all the same, and the checkpoint may have been given up already: then
            // nobody else removes it. What was there before is not ours.
            if !e.is_already_exists() {
                let _ = store.delete(path);
            }
            e.told()
        })
    }
}

impl io::Write for Object<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes);
        written.map_err(|e| io::Error::other(e.told()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
