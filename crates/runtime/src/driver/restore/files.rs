//! The files of a checkpoint that is gone on from. Each is read once from end to end before
//! anything starts, so that what is damaged is found in one place (D20); then only what is asked
//! for is read.
//!
//! INVARIANT: nothing is given of a file that was not found whole. What is in memory is
//! [`KEEP_BYTES`] of small files, so that they are read once only, and of others a piece.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use weir_checkpoint::{FileRef, SnapshotStore, StoreError, resolve};
use weir_operator::Failure;
use weir_state::{ChannelFile, Error, Reference, StateFileReader};

use super::{NoRestore, lock, not_got};

/// A file is read in pieces of so many bytes.
const PIECE_BYTES: u64 = 4 << 20;

/// So many bytes of all files together are kept between the look at a file and its use.
const KEEP_BYTES: u64 = 64 << 20;

/// So many files are read at once: a server answers one request slowly and many quickly.
const TOGETHER: usize = 4;

/// An open state file; any number of tasks load from it at once.
pub(super) type OpenFile = Arc<StateFileReader<'static>>;

/// See the module.
pub(super) struct Files {
    store: Arc<dyn SnapshotStore>,
    /// The folder in the store that holds `_metadata`, ending in `/` unless empty.
    folder: String,
    /// Where that is, for people.
    location: String,
    /// [`PIECE_BYTES`] and [`KEEP_BYTES`].
    piece: u64,
    keep: u64,
    found: Mutex<Found>,
    /// The state files that are not there for others only: chained operators share one.
    readers: Mutex<HashMap<String, OpenFile>>,
    /// What was in flight, by the path of its file: the tasks of a rescaled job take their shares
    /// out of all.
    channels: Mutex<HashMap<String, Arc<ChannelFile>>>,
}

/// The files that were found whole, by their path; those that are kept with their bytes.
#[derive(Default)]
struct Found {
    files: HashMap<String, Option<Arc<Vec<u8>>>>,
    kept: u64,
}

impl Files {
    pub(super) fn new(store: Arc<dyn SnapshotStore>, folder: String, location: String) -> Self {
        Self {
            store,
            folder,
            location,
            piece: PIECE_BYTES,
            keep: KEEP_BYTES,
            found: Mutex::default(),
            readers: Mutex::default(),
            channels: Mutex::default(),
        }
    }

    /// Looks whether all these files are whole. `read` is told how many bytes more were read.
    pub(super) fn look_through(
        &self,
        files: &[&FileRef],
        read: &(dyn Fn(u64) + Sync),
    ) -> Result<(), NoRestore> {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<(usize, NoRestore)>> = Mutex::new(None);
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = files.get(at) else { return };
                if let Err(no) = self.found(file, read) {
                    next.store(files.len(), Ordering::Relaxed);
                    let mut failed = lock(&failed);
                    // The first one is told, whoever was quickest.
                    if failed.as_ref().is_none_or(|(first, _)| at < *first) {
                        *failed = Some((at, no));
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..TOGETHER.min(files.len()) {
                scope.spawn(work);
            }
            work();
        });
        match failed.into_inner() {
            Ok(None) => Ok(()),
            Ok(Some((_, no))) => Err(no),
            Err(_) => Err(NoRestore::Failed(Failure::Internal {
                message: "reading the files of a checkpoint panicked".into(),
            })),
        }
    }

    /// A state file with all that it refers to, which must be among `shared`.
    pub(super) fn reader(&self, file: &FileRef, shared: &[FileRef]) -> Result<OpenFile, NoRestore> {
        if let Some(open) = lock(&self.readers).get(&file.path) {
            return Ok(open.clone());
        }
        let wrong = |error: Error| self.no_restore(&file.path, error);
        let opened = match self.found(file, &|_| {})? {
            Some(bytes) => StateFileReader::open(bytes),
            None => StateFileReader::open_ranged(file.length, self.ranges(file)?),
        };
        let mut reader = opened.map_err(wrong)?;
        let references: Vec<Reference> = reader.references().collect();
        for (n, reference) in references.iter().enumerate() {
            let known = shared.iter().find(|file| reference_to(file) == *reference);
            let known = known.ok_or_else(|| {
                let path = &reference.path;
                wrong(Error::Damaged(format!(
                    "it refers to `{path}`, which the metadata do not name as it does"
                )))
            })?;
            let given = match self.found(known, &|_| {})? {
                Some(bytes) => reader.refer(n, bytes),
                None => reader.refer_ranged(n, known.length, self.ranges(known)?),
            };
            given.map_err(wrong)?;
        }
        let reader = Arc::new(reader);
        lock(&self.readers).insert(file.path.clone(), reader.clone());
        Ok(reader)
    }

    /// Opens what was in flight to a task, and reads all of it once.
    pub(super) fn channels(&self, file: &FileRef) -> Result<Arc<ChannelFile>, NoRestore> {
        if let Some(open) = lock(&self.channels).get(&file.path) {
            return Ok(open.clone());
        }
        let wrong = |error: Error| self.no_restore(&file.path, error);
        let bytes = match self.found(file, &|_| {})? {
            Some(bytes) => bytes.to_vec(),
            None => self.whole(file, &self.object(file)?)?,
        };
        let channels = ChannelFile::open(bytes).map_err(wrong)?;
        for channel in channels.channels() {
            channels.elements(channel.index).map_err(wrong)?;
        }
        let channels = Arc::new(channels);
        lock(&self.channels).insert(file.path.clone(), channels.clone());
        Ok(channels)
    }

    /// Lets the files go, once all state is loaded.
    pub(super) fn release(&self) {
        *lock(&self.found) = Found::default();
        lock(&self.readers).clear();
        lock(&self.channels).clear();
    }

    /// A file that is whole; its bytes, if they are kept.
    fn found(
        &self,
        file: &FileRef,
        read: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<Arc<Vec<u8>>>, NoRestore> {
        if let Some(known) = lock(&self.found).files.get(&file.path) {
            return Ok(known.clone());
        }
        let object = self.object(file)?;
        let keep = lock(&self.found).reserve(file.length, self.keep);
        let bytes = if keep {
            let bytes = self.whole(file, &object)?;
            read(file.length);
            Some(Arc::new(bytes))
        } else {
            self.pieces(file, &object, read)?;
            None
        };
        let mut found = lock(&self.found);
        found.files.insert(file.path.clone(), bytes.clone());
        Ok(bytes)
    }

    /// Reads a file at once.
    fn whole(&self, file: &FileRef, object: &str) -> Result<Vec<u8>, NoRestore> {
        let bytes = self.store.get(object);
        let bytes = bytes.map_err(|e| not_got(&self.place(&file.path), &e))?;
        self.check(file, bytes.len() as u64, crc32c::crc32c(&bytes))?;
        Ok(bytes)
    }

    /// Reads a file in pieces, and keeps none.
    fn pieces(
        &self,
        file: &FileRef,
        object: &str,
        read: &(dyn Fn(u64) + Sync),
    ) -> Result<(), NoRestore> {
        let not_got = |e: StoreError| not_got(&self.place(&file.path), &e);
        let length = self.store.size(object).map_err(not_got)?;
        // Of another length it is another file: what its sum is does not matter.
        if length != file.length {
            return self.check(file, length, file.crc32c);
        }
        let (mut at, mut crc) = (0, 0);
        while at < length {
            let piece = self.piece.min(length - at);
            let bytes = self.store.get_range(object, at, piece).map_err(not_got)?;
            crc = crc32c::crc32c_append(crc, &bytes);
            at += piece;
            read(piece);
        }
        self.check(file, length, crc)
    }

    /// Whether what was read is what was written.
    fn check(&self, file: &FileRef, length: u64, crc: u32) -> Result<(), NoRestore> {
        let message = if length != file.length {
            format!("{length} bytes, {} were written", file.length)
        } else if crc != file.crc32c {
            format!("checksum {crc:08x}, {:08x} was written", file.crc32c)
        } else {
            return Ok(());
        };
        Err(self.unreadable(&file.path, &message))
    }

    /// Gives ranges of a file that was found whole.
    fn ranges(
        &self,
        file: &FileRef,
    ) -> Result<impl Fn(Range<u64>) -> Result<Vec<u8>, Error> + Send + Sync + use<>, NoRestore>
    {
        let (store, object) = (self.store.clone(), self.object(file)?);
        Ok(move |range: Range<u64>| {
            let length = range.end - range.start;
            let bytes = store.get_range(&object, range.start, length);
            bytes.map_err(|e| match e {
                // It was there a moment ago.
                StoreError::NotFound { .. } | StoreError::OutOfRange { .. } => {
                    Error::Damaged(e.to_string())
                }
                StoreError::AlreadyExists { .. }
                | StoreError::Refused { .. }
                | StoreError::Failed { .. } => Error::Storage(e.told()),
            })
        })
    }

    /// The object that a file is.
    fn object(&self, file: &FileRef) -> Result<String, NoRestore> {
        let outside = || self.unreadable(&file.path, "it lies outside of what was named");
        resolve(&self.folder, &file.path).ok_or_else(outside)
    }

    fn place(&self, path: &str) -> String {
        format!("{}/{path}", self.location)
    }

    fn unreadable(&self, path: &str, message: &str) -> NoRestore {
        let message = format!("{}: {message}", self.place(path));
        NoRestore::Unreadable(Failure::Restore { message })
    }

    /// What an error in a file means for the checkpoint.
    pub(super) fn no_restore(&self, path: &str, error: Error) -> NoRestore {
        match error {
            Error::Storage(message) => NoRestore::Failed(Failure::External {
                what: format!("read {}", self.place(path)),
                message,
            }),
            error => self.unreadable(path, &error.to_string()),
        }
    }
}

impl Found {
    /// Whether there is room for a file of so many bytes to be kept, where `most` may be in all.
    fn reserve(&mut self, length: u64, most: u64) -> bool {
        let kept = self.kept.saturating_add(length);
        let fits = kept <= most;
        if fits {
            self.kept = kept;
        }
        fits
    }
}

/// A file of a checkpoint, as another refers to it.
pub(super) fn reference_to(file: &FileRef) -> Reference {
    Reference {
        path: file.path.clone(),
        length: file.length,
        crc32c: file.crc32c,
    }
}

#[cfg(test)]
mod tests;
