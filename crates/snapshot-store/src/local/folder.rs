//! Folders: made, put on disk, walked through, and removed when they are empty.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use weir_checkpoint::{Refusal, StoreError};

/// How deep folders are walked into: deeper than any path that is made, and an end.
const MAX_DEPTH: u32 = 32;

/// What an operation of the system said, and about what.
#[derive(Debug)]
pub(crate) struct Trouble {
    step: &'static str,
    path: PathBuf,
    /// What it said.
    pub(crate) error: io::Error,
}

impl Trouble {
    /// `step` of `path` failed.
    pub(crate) fn new(step: &'static str, path: &Path, error: io::Error) -> Self {
        Self {
            step,
            path: path.to_path_buf(),
            error,
        }
    }

    /// The error of the store's operation that it befell.
    pub(crate) fn during(self, operation: &'static str, path: &str) -> StoreError {
        let (path, message) = (path.to_owned(), self.to_string());
        match self.error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => StoreError::Refused {
                operation,
                path,
                refusal: Refusal::Full { message },
            },
            _ => StoreError::Failed {
                operation,
                path,
                message,
            },
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.step, self.path.display(), self.error)
    }
}

/// A file that a walk came by.
pub(super) struct Entry<'a> {
    pub(super) path: &'a Path,
    /// Its name; empty where that is not text.
    pub(super) name: &'a str,
    /// In bytes.
    pub(super) length: u64,
}

/// Whether nothing is there: no such file, or a file where a folder should be.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether making a folder and those above it may have failed because one of them was removed
/// meanwhile: it was gone when the next was made in it, or it was there and gone when looked at.
pub(super) fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
    )
}

#[cfg(test)]
thread_local! {
    /// The folders that this thread has put on disk: no test can look at the disk itself.
    pub(super) static SYNCED: std::cell::RefCell<Vec<PathBuf>> = const {
        std::cell::RefCell::new(Vec::new())
    };
}

/// Makes a folder and those above it, durably.
pub(crate) fn make_durable(path: &Path) -> Result<(), Trouble> {
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) => Path::new("."),
        None => return Ok(()),
    };
    if above.is_dir() {
        // A process may have died between making it and the fsync.
        sync_above(above)?;
    } else {
        make_durable(above)?;
    }
    match fs::create_dir(path) {
        Ok(()) => sync(above),
        // Made by another process just now, which may not have come to the fsync yet.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => sync(above),
        Err(e) => Err(Trouble::new("create folder", path, e)),
    }
}

/// Puts the names in a folder on disk.
pub(crate) fn sync(path: &Path) -> Result<(), Trouble> {
    // A relative root of one part has a parent of none: the working directory.
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| Trouble::new("fsync folder", path, e))?;
    #[cfg(test)]
    SYNCED.with_borrow_mut(|all| all.extend(fs::canonicalize(path)));
    Ok(())
}

/// Puts the name of a folder on disk, where the folder that it is in can be opened. Where it
/// cannot, somebody else has made it, long ago.
pub(super) fn sync_above(path: &Path) -> Result<(), Trouble> {
    match sync(&path.join("..")) {
        Err(e) if e.error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// As [`sync`]; a folder that is gone was removed by another delete, after all that was in it.
pub(super) fn sync_if_there(path: &Path) -> Result<(), Trouble> {
    match sync(path) {
        Err(e) if is_absent(&e.error) => Ok(()),
        result => result,
    }
}

/// Removes a file. It is no error if there is none; a folder is left alone.
pub(super) fn remove(path: &Path) -> Result<(), Trouble> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(e) if is_absent(&e) || path.is_dir() => Ok(()),
        Err(e) => Err(Trouble::new("remove", path, e)),
    }
}

/// Removes a folder and those above it as far as they are empty, but not `root`. What cannot be
/// removed stays: an empty folder does no harm.
pub(super) fn remove_empty(path: &Path, root: &Path) {
    let below = path.ancestors().take_while(|folder| *folder != root);
    for folder in below.filter(|folder| folder.starts_with(root)) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
}

/// Removes all folders below a folder in which there is no file. What cannot be removed stays.
pub(super) fn remove_all_empty(start: &Path) {
    remove_below(start, MAX_DEPTH);
}

fn remove_below(folder: &Path, depth: u32) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path(), depth - 1);
            // It fails where something is in it.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Shows `visit` all files below a folder, in no order. Links are passed over, and so is what
/// vanishes meanwhile.
pub(super) fn walk(
    start: &Path,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    walk_to(start, MAX_DEPTH, visit)
}

fn walk_to(
    folder: &Path,
    depth: u32,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let failed = |e| Trouble::new("list folder", folder, e);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if is_absent(&e) => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        // Of the entry itself: a link is neither file nor folder.
        let about = match entry.metadata() {
            Ok(about) => about,
            Err(e) if is_absent(&e) => continue,
            Err(e) => return Err(Trouble::new("look at", &path, e)),
        };
        if about.is_dir() {
            let deeper = depth.checked_sub(1).ok_or_else(|| {
                failed(io::Error::other(format!(
                    "more than {MAX_DEPTH} folders deep"
                )))
            })?;
            walk_to(&path, deeper, visit)?;
        } else if about.is_file() {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            visit(Entry {
                path: &path,
                name,
                length: about.len(),
            })?;
        }
    }
    Ok(())
}
