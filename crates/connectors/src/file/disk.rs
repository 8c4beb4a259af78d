//! The file system as the file sink uses it. Behind a trait, so that the sink can be tried on a
//! disk that fails, and that forgets at a crash what was not put on it.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// A file system. Each method is one step: a crash falls between two of them.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Whether `path` is a folder.
    fn is_folder(&self, path: &Path) -> bool;

    /// Creates a folder, which must not exist, in one that does.
    ///
    /// # Errors
    /// Of the file system.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Puts the names in a folder on disk.
    ///
    /// # Errors
    /// Of the file system.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, in any order, those that are no UTF-8 left out.
    ///
    /// # Errors
    /// Of the file system.
    fn names(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Creates a file that must not exist.
    ///
    /// # Errors
    /// Of the file system.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to be read from its beginning.
    ///
    /// # Errors
    /// Of the file system.
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>>;

    /// The length of a file in bytes.
    ///
    /// # Errors
    /// Of the file system.
    fn length(&self, path: &Path) -> io::Result<u64>;

    /// Whether two names are of one file.
    ///
    /// # Errors
    /// Of the file system.
    fn is_same(&self, a: &Path, b: &Path) -> io::Result<bool>;

    /// Gives a file a further name, which must be free.
    ///
    /// # Errors
    /// Of the file system.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name of a file.
    ///
    /// # Errors
    /// Of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait DiskFile: Write + Send {
    /// Puts what was written on disk. After a failure the rest may be lost and the next try succeed
    /// all the same, so there is only one.
    ///
    /// # Errors
    /// Of the file system.
    fn sync(&mut self) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(file))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(File::open(path)?))
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn is_same(&self, a: &Path, b: &Path) -> io::Result<bool> {
        let (a, b) = (fs::metadata(a)?, fs::metadata(b)?);
        Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
