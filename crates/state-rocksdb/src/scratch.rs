//! Folders for databases on the local disk: scratch, for all that must last is in checkpoints.
//!
//! INVARIANT: a folder is one process's, of mode 0700, and locked while that process lives. It is
//! removed at the end; what a process that died has left is removed by the next one.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What all folders of processes begin with.
const PREFIX: &str = "weir-state-";
/// The file in each that its process holds locked.
const LOCK: &str = "LOCK";
/// So many names are tried: others may be taken by folders that are just being removed.
const ATTEMPTS: u32 = 64;

/// The folder of this process, for one job.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    next: AtomicU64,
    /// Held until the folder is gone.
    _lock: File,
}

/// A folder in the scratch folder, removed when the last who needs it is done.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The folder above outlives this one.
    _scratch: Arc<Scratch>,
}

impl Scratch {
    /// Makes a folder in `parent`, and removes from there what dead processes have left.
    pub(crate) fn create(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        let process = std::process::id();
        for attempt in 0..ATTEMPTS {
            let path = parent.join(format!("{PREFIX}{process}-{attempt}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            }
            if let Some(lock) = lock_new(&path)? {
                let owner = fs::metadata(&path)?.uid();
                remove_leftovers(parent, owner);
                let next = AtomicU64::new(0);
                return Ok(Self {
                    path,
                    next,
                    _lock: lock,
                });
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{ATTEMPTS} folders `{PREFIX}{process}-…` are there already"),
        ))
    }

    /// A path in the folder that nothing else has. `what` is for people who look around.
    pub(crate) fn folder(self: &Arc<Self>, what: &str) -> Folder {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Folder {
            path: self.path.join(format!("{number}-{what}")),
            _scratch: self.clone(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Folder {
    /// Where it is, or will be: it is for its user to make it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Locks a folder that was just made; `None` where another process took it for a leftover.
fn lock_new(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let lock = match File::create(&path) {
        Ok(lock) => lock,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(e)) => return Err(e),
    }
    // Between the two it may have been removed.
    match fs::metadata(&path) {
        Ok(there) if there.ino() == lock.metadata()?.ino() => Ok(Some(lock)),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Removes the folders of this user whose process is gone. What cannot be removed stays: it does no
/// harm, and the next process tries again.
fn remove_leftovers(parent: &Path, owner: u32) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX));
        // Of a link this is the link itself.
        let folder = entry
            .metadata()
            .is_ok_and(|found| found.is_dir() && found.uid() == owner);
        if !ours || !folder {
            continue;
        }
        // One without a lock is just being made.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_its_owners_and_gone_at_the_end() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Arc::new(Scratch::create(parent.path()).unwrap());
        let mode = fs::metadata(&scratch.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let folder = scratch.folder("db");
        fs::create_dir(folder.path()).unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        let path = scratch.path.clone();
        drop(scratch);
        assert!(path.exists(), "a folder in it is in use");
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_dead_process_left_is_removed_and_a_living_ones_folder_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join(format!("{PREFIX}1-0"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let stranger = parent.path().join("weir-else");
        fs::create_dir(&stranger).unwrap();
        fs::write(stranger.join(LOCK), "").unwrap();
        let one = Scratch::create(parent.path()).unwrap();
        assert!(!dead.exists());
        let two = Scratch::create(parent.path()).unwrap();
        assert!(one.path.exists() && two.path.exists() && stranger.exists());
        assert_ne!(one.path, two.path);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Scratch::create(&file.path().join("below")).is_err());
    }
}
