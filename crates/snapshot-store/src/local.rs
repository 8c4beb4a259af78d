//! Objects as files of a local directory, durable when a method returns.
//!
//! Written on the standard library and not on `object_store`, whose local store was read for this:
//! it does not make deletes durable, relies on folders that another put has made but not yet put on
//! disk, never clears away what a killed process left, and blocks through an asynchronous runtime.
//!
//! An object is written to a temporary file in its folder, which is put on disk and then linked to
//! its name, so that a name never shows less than the whole object and an existing one is never
//! replaced. Then the folder and all folders above it are put on disk up to the root: with no note
//! of which folders are new there is none that could be wrong.
//!
//! INVARIANT: a name that begins with a dot is never an object. So a temporary file is never
//! listed, and nothing else is ever cleared away.

mod folder;
mod path;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use weir_checkpoint::{ObjectInfo, ObjectWriter, SnapshotStore, StoreError};

pub(crate) use self::folder::is_absent;
use self::{folder::Trouble, path::Checked};

/// How many bytes of small chunks are written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// How often a folder is made again after a delete has taken it away for being empty.
const FOLDER_TRIES: u32 = 100;

/// A store in a local directory.
///
/// Any number of processes may use one directory at once. Links are not followed below it.
///
/// ```
/// use weir_checkpoint::SnapshotStore;
/// use weir_snapshot_store::LocalStore;
///
/// let dir = tempfile::tempdir().unwrap();
/// let store = LocalStore::new(dir.path());
/// store.put("flights/chk-1/_metadata", vec![b"{}".to_vec()]).unwrap();
/// assert_eq!(store.get("flights/chk-1/_metadata").unwrap(), b"{}");
/// assert!(store.put("flights/chk-1/_metadata", vec![]).is_err());
/// ```
#[derive(Clone, Debug)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    /// A store in `root`. Nothing is touched yet; what is missing is made by the first put.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes what puts and deletions of killed processes left under `prefix`, and says how many
    /// files that were; folders in which nothing is left go, too. Only for who alone writes there:
    /// a put under way would lose its file and fail.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn remove_leftovers(&self, prefix: &str) -> Result<u64, StoreError> {
        let failed = |e: Trouble| e.during("delete", prefix);
        let start = Checked::prefix(prefix).map_err(failed)?;
        let mut removed = 0;
        folder::walk(&start.under(&self.root), &mut |entry| {
            if path::is_temporary(entry.name) {
                folder::remove(entry.path)?;
                removed += 1;
            }
            Ok(())
        })
        .map_err(failed)?;
        folder::remove_all_empty(&start.under(&self.root));
        Ok(removed)
    }

    /// Makes the folder of a prefix, and tries whether objects can be made there.
    /// The directory itself is durable after that, whoever has made it.
    pub(crate) fn prepare(&self, prefix: &str) -> Result<PathBuf, StoreError> {
        let failed = |e: Trouble| e.during("write", prefix);
        let folder = Checked::prefix(prefix).map_err(failed)?.under(&self.root);
        self.make_folder(&folder).map_err(failed)?;
        folder::sync_above(&self.root).map_err(failed)?;
        self.sync_up(&folder).map_err(failed)?;
        let (first, second) = Temporary::create(&folder)
            .and_then(|first| Ok((first, Temporary::create(&folder)?)))
            .map_err(failed)?;
        let name = second.path.clone();
        second.remove().map_err(failed)?;
        first.link(&name).map_err(failed)?;
        folder::remove(&name)
            .and_then(|()| first.remove())
            .map_err(failed)?;
        Ok(folder)
    }

    /// Makes the folder of `path` and those above it, the root included.
    fn make_folder(&self, path: &Path) -> Result<(), Trouble> {
        if !self.root.is_dir() {
            folder::make_durable(&self.root)?;
        }
        let mut tries = 0;
        loop {
            match fs::create_dir_all(path) {
                Ok(()) => return Ok(()),
                // A delete has taken one above, or this one, between two steps of it.
                Err(e) if folder::is_taken(&e) && tries < FOLDER_TRIES => tries += 1,
                Err(e) => return Err(Trouble::new("create folder", path, e)),
            }
        }
    }

    /// Puts the folder of an object on disk, and all above it up to the root.
    fn sync_up(&self, leaf: &Path) -> Result<(), Trouble> {
        let inside = |folder: &&Path| folder.starts_with(&self.root);
        leaf.ancestors()
            .take_while(inside)
            .try_for_each(folder::sync)
    }

    /// A new temporary file beside `target`, in a folder that is made where it is missing.
    fn begin(&self, target: &Path) -> Result<Temporary, Trouble> {
        let Some(folder) = target.parent() else {
            let nowhere = io::ErrorKind::InvalidFilename.into();
            return Err(Trouble::new("create", target, nowhere));
        };
        let mut tries = 0;
        loop {
            match Temporary::create(folder) {
                Err(e) if e.error.kind() == io::ErrorKind::NotFound && tries < FOLDER_TRIES => {
                    tries += 1;
                    self.make_folder(folder)?;
                }
                result => return result,
            }
        }
    }

    /// On a disk that is full nothing must be left, and a folder may have been made.
    fn tidy(&self, target: &Path) {
        if let Some(folder) = target.parent() {
            folder::remove_empty(folder, &self.root);
        }
    }
}

/// What the creation of an object came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Created {
    Now,
    Before,
}

/// An object that is being written.
struct Writer<'a> {
    store: &'a LocalStore,
    path: String,
    target: PathBuf,
    /// `None` when it has come to its end.
    temporary: Option<Temporary>,
}

impl Writer<'_> {
    fn failed(&self, trouble: Trouble) -> StoreError {
        trouble.during("write", &self.path)
    }

    fn give_up(&mut self) {
        if self.temporary.take().is_some() {
            self.store.tidy(&self.target);
        }
    }

    fn exists(&self) -> StoreError {
        StoreError::AlreadyExists {
            path: self.path.clone(),
        }
    }

    fn over(&self) -> StoreError {
        let over = io::Error::other("it was given up");
        self.failed(Trouble::new("write", &self.target, over))
    }

    fn close(&self, mut temporary: Temporary) -> Result<Created, Trouble> {
        temporary.sync()?;
        let created = temporary.link(&self.target)?;
        temporary.remove()?;
        // Also where there is one already: whoever finds it there may rely on it.
        if let Some(folder) = self.target.parent() {
            self.store.sync_up(folder)?;
        }
        Ok(created)
    }
}

impl ObjectWriter for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(temporary) = &mut self.temporary else {
            return Err(self.over());
        };
        match temporary.write(bytes) {
            Ok(()) => Ok(()),
            Err(trouble) => {
                // At once: others need its room.
                self.give_up();
                Err(self.failed(trouble))
            }
        }
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let temporary = self.temporary.take().ok_or_else(|| self.over())?;
        let created = self.close(temporary);
        if created.is_err() {
            self.store.tidy(&self.target);
        }
        match created.map_err(|e| self.failed(e))? {
            Created::Now => Ok(()),
            Created::Before => Err(self.exists()),
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl SnapshotStore for LocalStore {
    fn create<'a>(&'a self, path: &str) -> Result<Box<dyn ObjectWriter + 'a>, StoreError> {
        let failed = |e: Trouble| e.during("write", path);
        let target = Checked::object(path).map_err(failed)?.under(&self.root);
        let temporary = self.begin(&target).inspect_err(|_| self.tidy(&target));
        Ok(Box::new(Writer {
            store: self,
            path: path.to_owned(),
            temporary: Some(temporary.map_err(failed)?),
            target,
        }))
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let (mut file, size) = self.open(path)?;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.read_to_end(&mut bytes)
            .map_err(|e| self.unread(path, e))?;
        Ok(bytes)
    }

    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let (mut file, size) = self.open(path)?;
        let out_of_range = || StoreError::OutOfRange {
            path: path.to_owned(),
            offset,
            length,
            size,
        };
        let end = offset.checked_add(length).filter(|&end| end <= size);
        let count = end
            .and(usize::try_from(length).ok())
            .ok_or_else(out_of_range)?;
        let mut bytes = vec![0; count];
        file.seek(SeekFrom::Start(offset))
            .map_err(|e| self.unread(path, e))?;
        file.read_exact(&mut bytes)
            .map_err(|e| self.unread(path, e))?;
        Ok(bytes)
    }

    fn size(&self, path: &str) -> Result<u64, StoreError> {
        let (_, size) = self.open(path)?;
        Ok(size)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let failed = |e: Trouble| e.during("list", prefix);
        let start = Checked::prefix(prefix).map_err(failed)?;
        let mut objects = Vec::new();
        folder::walk(&start.under(&self.root), &mut |entry| {
            let inside = entry.path.strip_prefix(&self.root).ok();
            // What is not text or has a dot in front was not put here.
            if let Some(path) = inside.and_then(path::of_object) {
                objects.push(ObjectInfo {
                    path,
                    length: entry.length,
                });
            }
            Ok(())
        })
        .map_err(failed)?;
        objects.sort_unstable();
        Ok(objects)
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let failed = |e: Trouble| e.during("delete", path);
        let target = Checked::object(path).map_err(failed)?.under(&self.root);
        folder::remove(&target).map_err(failed)?;
        let Some(folder) = target.parent() else {
            return Ok(());
        };
        folder::sync_if_there(folder).map_err(failed)?;
        folder::remove_empty(folder, &self.root);
        Ok(())
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }
}

impl LocalStore {
    /// An object for reading, and its size.
    fn open(&self, path: &str) -> Result<(File, u64), StoreError> {
        let checked = Checked::object(path).map_err(|e| e.during("read", path))?;
        let target = checked.under(&self.root);
        // Looked at before as well: to open a pipe waits for who writes, and a device may act.
        let opened = fs::metadata(&target).and_then(|about| match about.is_file() {
            true => File::open(&target).map(Some),
            false => Ok(None),
        });
        let file = match opened {
            Ok(Some(file)) => file,
            Ok(None) => return Err(not_found(path)),
            Err(e) if folder::is_absent(&e) => return Err(not_found(path)),
            Err(e) => return Err(self.unread(path, e)),
        };
        let about = file.metadata().map_err(|e| self.unread(path, e))?;
        if about.is_file() {
            Ok((file, about.len()))
        } else {
            Err(not_found(path))
        }
    }

    fn unread(&self, path: &str, error: io::Error) -> StoreError {
        Trouble::new("read", &self.root.join(path), error).during("read", path)
    }
}

/// Whether a path is one of an object: the same for every store.
pub(crate) fn checked_object(path: &str, operation: &'static str) -> Result<(), StoreError> {
    let checked = Checked::object(path).map(|_| ());
    checked.map_err(|e| e.during(operation, path))
}

/// Whether a prefix is one.
pub(crate) fn checked_prefix(prefix: &str, operation: &'static str) -> Result<(), StoreError> {
    let checked = Checked::prefix(prefix).map(|_| ());
    checked.map_err(|e| e.during(operation, prefix))
}

/// Puts the names in `folder`, which is the store's `prefix`, on disk.
pub(crate) fn sync_folder(folder: &Path, prefix: &str) -> Result<(), StoreError> {
    folder::sync(folder).map_err(|e| e.during("write", prefix))
}

fn not_found(path: &str) -> StoreError {
    StoreError::NotFound {
        path: path.to_owned(),
    }
}

/// A file that is not an object yet. Dropped before its time, it is removed.
struct Temporary {
    path: PathBuf,
    file: BufWriter<File>,
    is_there: bool,
}

impl Temporary {
    fn create(folder: &Path) -> Result<Self, Trouble> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(path::temporary(std::process::id(), number));
            match File::create_new(&path) {
                Ok(file) => {
                    return Ok(Self {
                        path,
                        file: BufWriter::with_capacity(BUFFER_BYTES, file),
                        is_there: true,
                    });
                }
                // Left by a process of the same number, which is dead, or is elsewhere.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Trouble::new("create", &path, e)),
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let written = self.file.write_all(bytes);
        written.map_err(|e| Trouble::new("write", &self.path, e))
    }

    /// Puts all that was written on disk.
    fn sync(&mut self) -> Result<(), Trouble> {
        let flushed = self.file.flush();
        flushed.map_err(|e| Trouble::new("write", &self.path, e))?;
        let synced = self.file.get_ref().sync_all();
        synced.map_err(|e| Trouble::new("fsync", &self.path, e))
    }

    /// Gives the file its name too, unless there is such an object.
    fn link(&self, target: &Path) -> Result<Created, Trouble> {
        match fs::hard_link(&self.path, target) {
            Ok(()) => Ok(Created::Now),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && target.is_file() => {
                Ok(Created::Before)
            }
            Err(e) => Err(Trouble::new("link a temporary file to", target, e)),
        }
    }

    fn remove(mut self) -> Result<(), Trouble> {
        // Not again when dropped: the name may be another's by then.
        self.is_there = false;
        folder::remove(&self.path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_there {
            // Without an answer: a leftover is never listed, and the next holder of the lock
            // removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
