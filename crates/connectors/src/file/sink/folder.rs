//! The folder of a file sink: what is in it, and the few things that are done to it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use weir_model::{Attempt, SubtaskIndex};
use weir_operator::Failure;

use super::names::{OpenNames, Part};
use crate::file::{Disk, DiskFile};

/// A folder that a sink writes to.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    disk: Arc<dyn Disk>,
    path: Arc<Path>,
}

impl Folder {
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self {
            disk,
            path: path.into(),
        }
    }

    /// What it is on.
    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// The path of a file in it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether there is such a folder.
    pub(super) fn is_there(&self) -> bool {
        self.disk.is_folder(&self.path)
    }

    /// That there is none where a checkpoint has something in it.
    pub(super) fn missing(&self) -> Failure {
        Failure::External {
            what: format!("folder {}", self.shown()),
            message: "it is not there, and the checkpoint holds results that are to be committed \
                      in it: it was moved, or what it lies on is not mounted"
                .to_owned(),
        }
    }

    /// What is no folder and stands where the folder, or one above it, is or would be.
    pub(super) fn blocked_by(&self) -> Option<&Path> {
        let mut above = self.path.ancestors();
        let first = above.find(|path| self.disk.is_folder(path) || self.disk.length(path).is_ok());
        first.filter(|path| !self.disk.is_folder(path))
    }

    /// Creates the folder and its parents where they are missing, durably. Each is put on disk
    /// before the next one is made, so that of those that are there only the deepest may not be:
    /// whoever made it may have died right then.
    pub(super) fn create(&self) -> Result<(), Failure> {
        let failed = |e: io::Error| Failure::io(format!("create folder {}", self.shown()), &e);
        let mut missing = Vec::new();
        let mut at = Some(&*self.path);
        while let Some(path) = at.filter(|p| !p.as_os_str().is_empty() && !self.disk.is_folder(p)) {
            missing.push(path);
            at = path.parent();
        }
        match at.map_or(Ok(()), |deepest| self.sync_above(deepest)) {
            // Whoever may not open it has not made what is in it.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            result => result.map_err(failed)?,
        }
        for path in missing.into_iter().rev() {
            match self.disk.create_folder(path) {
                // Made by another process just now.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.disk.is_folder(path) => {
                }
                result => result.map_err(failed)?,
            }
            self.sync_above(path).map_err(failed)?;
        }
        Ok(())
    }

    /// Puts the name of a folder on disk.
    fn sync_above(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(above) if above.as_os_str().is_empty() => self.disk.sync_folder(Path::new(".")),
            Some(above) => self.disk.sync_folder(above),
            None => Ok(()),
        }
    }

    /// Tries what a sink will do here: write a file, put it on disk, link it, remove it.
    pub(super) fn probe(&self, names: &OpenNames) -> Result<(), Failure> {
        // Attempts count from 1, so no writer uses these names, and a leftover is swept away.
        let name = |seq| self.join(&names.name(Attempt(0), SubtaskIndex(0), seq));
        let (file, link) = (name(0), name(1));
        let remove = |path: &Path| match self.disk.remove(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        let tried = (|| {
            remove(&file)?;
            remove(&link)?;
            self.disk.create(&file)?.sync()?;
            self.disk.link(&file, &link)?;
            self.disk.sync_folder(&self.path)
        })();
        // What is not put on disk as removed may be there again after a loss of power.
        let removed = remove(&file)
            .and(remove(&link))
            .and_then(|()| self.disk.sync_folder(&self.path));
        tried.and(removed).map_err(|e| {
            Failure::io(
                format!(
                    "folder {} cannot be written to with hard links",
                    self.shown()
                ),
                &e,
            )
        })
    }

    /// Creates the file `name`, which must not exist.
    pub(super) fn create_file(&self, name: &str) -> Result<Box<dyn DiskFile>, Failure> {
        let path = self.join(name);
        self.disk
            .create(&path)
            .map_err(|e| Failure::io(format!("create {}", path.display()), &e))
    }

    /// Gives the file `from` the further name `to`; `false` where that name is taken.
    pub(super) fn link(&self, from: &str, to: &str) -> Result<bool, Failure> {
        let (from, to) = (self.join(from), self.join(to));
        match self.disk.link(&from, &to) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(Failure::io(
                format!("link {} to {}", from.display(), to.display()),
                &e,
            )),
        }
    }

    /// All files with a final name, in order of their names; none where there is no folder.
    pub(super) fn parts(&self) -> Result<Vec<Part>, Failure> {
        let mut parts = self.list(Part::parse)?;
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(parts)
    }

    /// Removes what this job and sink left open, and says how many files that were.
    pub(super) fn remove_leftovers(&self, names: &OpenNames) -> Result<u64, Failure> {
        let ours = self.list(|name| names.is_ours(name).then(|| name.to_owned()))?;
        self.remove(ours.iter().map(String::as_str))?;
        Ok(ours.len() as u64)
    }

    /// Removes files by name, durably. One that is gone already is no error.
    pub(super) fn remove<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
        let mut removed = false;
        for name in names {
            let path = self.join(name);
            match self.disk.remove(&path) {
                Ok(()) => removed = true,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Failure::io(format!("remove {}", path.display()), &e)),
            }
        }
        if removed { self.sync() } else { Ok(()) }
    }

    /// Puts the names in the folder on disk.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        self.disk
            .sync_folder(&self.path)
            .map_err(|e| Failure::io(format!("fsync of folder {}", self.shown()), &e))
    }

    fn list<T>(&self, pick: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Failure> {
        match self.disk.names(&self.path) {
            Ok(names) => Ok(names.iter().filter_map(|name| pick(name)).collect()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(Failure::io(format!("list folder {}", self.shown()), &e)),
        }
    }

    fn shown(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}
