//! Where the sockets lie: a folder of their own that nobody else can look into, and a name by job
//! and checkpoint directory (D28).
//!
//! INVARIANT: a socket is bound under another name and moved to its own when it listens; so one
//! that nobody answers at belongs to a process that is dead.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use weir_model::hash64;

/// The ending of sockets.
const ENDING: &str = "sock";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// It is no folder of ours alone.
    #[error("`{0}` {1}")]
    Unsafe(PathBuf, &'static str),
    /// It cannot be looked at or made.
    #[error("`{0}`: {1}")]
    Io(PathBuf, io::Error),
}

/// The folder of the sockets of this user, whether or not there is one.
pub(crate) fn path() -> PathBuf {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match runtime.filter(|path| path.is_absolute()) {
        Some(runtime) => runtime.join("weir"),
        None => in_tmp().join("weir"),
    }
}

/// The folder of this user where the system has none.
fn in_tmp() -> PathBuf {
    PathBuf::from(format!("/tmp/weir-{}", geteuid().as_raw()))
}

/// The path of the socket of a job, by what tells it from others.
pub(crate) fn socket(folder: &Path, job: &str, directory: &str) -> PathBuf {
    let hash = hash64(format!("{job}\0{directory}").as_bytes());
    folder.join(format!("{hash:016x}.{ENDING}"))
}

/// Makes the folder, and makes sure that it is ours alone.
///
/// # Errors
/// Where it cannot be made, or is not.
pub(crate) fn make(folder: &Path) -> Result<(), FolderError> {
    // `/tmp` is everybody's: what is in it must be ours too. A runtime folder is by its nature.
    let own = folder.parent().filter(|parent| *parent == in_tmp());
    for folder in own.into_iter().chain([folder]) {
        let made = fs::DirBuilder::new().mode(0o700).create(folder);
        match made {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(FolderError::Io(folder.to_owned(), error)),
        }
        check(folder)?;
    }
    Ok(())
}

/// Makes sure that a folder is ours alone.
///
/// # Errors
/// Where it is not, or is not there.
pub(crate) fn check(folder: &Path) -> Result<(), FolderError> {
    let about = folder.symlink_metadata();
    let about = about.map_err(|error| FolderError::Io(folder.to_owned(), error))?;
    let bad = |why| Err(FolderError::Unsafe(folder.to_owned(), why));
    if !about.is_dir() {
        return bad("is no folder, or a link to one: remove it");
    }
    if about.uid() != geteuid().as_raw() {
        return bad("belongs to somebody else: set $XDG_RUNTIME_DIR to a folder of your own");
    }
    match about.mode() & 0o077 {
        0 => Ok(()),
        _ => bad("can be entered by others: `chmod 700` it"),
    }
}

/// The sockets in the folder. One that is missing has none.
///
/// # Errors
/// Where it is not ours alone, or cannot be read.
pub(crate) fn sockets(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    match check(folder) {
        Ok(()) => {}
        Err(FolderError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    }
    let unread = |error| FolderError::Io(folder.to_owned(), error);
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|ending| ending == ENDING) {
            all.push(path);
        }
    }
    all.sort();
    // A folder that changes while it is read may name an entry twice.
    all.dedup();
    Ok(all)
}

/// Whether an error of connecting says that nobody listens there any more.
pub(crate) fn is_dead(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Removes the socket of a dead process, unless another has taken its place since `seen`.
pub(crate) fn sweep(path: &Path, seen: u64) {
    if inode(path) == Some(seen) {
        // Somebody else may have removed it.
        let _ = fs::remove_file(path);
    }
}

/// Which file a path leads to.
pub(crate) fn inode(path: &Path) -> Option<u64> {
    path.symlink_metadata().ok().map(|about| about.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn why(folder: &Path) -> String {
        make(folder).unwrap_err().to_string()
    }

    #[test]
    fn only_a_folder_of_ours_alone_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own");
        make(&own).unwrap();
        assert_eq!(own.metadata().unwrap().mode() & 0o777, 0o700);
        make(&own).unwrap();
        for mode in [0o701, 0o710, 0o777] {
            fs::set_permissions(&own, fs::Permissions::from_mode(mode)).unwrap();
            assert!(why(&own).contains("chmod 700"), "{mode:o}");
        }
        fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
        let link = dir.path().join("link");
        symlink(&own, &link).unwrap();
        assert!(why(&link).contains("a link"));
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(why(&file).contains("no folder"));
        if !geteuid().is_root() {
            // Of root, and there everywhere.
            assert!(why(Path::new("/proc")).contains("somebody else"));
        }
        assert!(why(&dir.path().join("a/b")).contains("No such file"));
    }

    #[test]
    fn a_socket_is_named_by_job_and_directory() {
        let name = |job, dir| socket(Path::new("/run/weir"), job, dir);
        assert_eq!(name("a", "/x"), name("a", "/x"));
        assert_ne!(name("a", "/x"), name("a", "/y"));
        assert_ne!(name("a", "/x"), name("b", "/x"));
        let name = name("a", "/x");
        let stem = name.file_stem().unwrap().to_str().unwrap();
        assert!(stem.len() == 16 && stem.bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn a_socket_of_the_dead_is_removed_and_not_one_that_took_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        fs::write(&path, "").unwrap();
        let seen = inode(&path).unwrap();
        let other = dir.path().join("b");
        fs::write(&other, "").unwrap();
        fs::rename(&other, &path).unwrap();
        sweep(&path, seen);
        assert!(path.exists());
        sweep(&path, inode(&path).unwrap());
        assert!(!path.exists());
    }
}
