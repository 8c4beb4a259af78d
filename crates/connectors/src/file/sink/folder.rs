//! The folder of a file sink: what is in it, and the few things that are done to it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use weir_model::{Attempt, SubtaskIndex};
use weir_operator::Failure;

use super::names::{OpenNames, Part};

/// A folder that a sink writes to.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: Arc<Path>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path: path.into() }
    }

    /// The path of a file in it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Creates the folder and its parents where they are missing, durably.
    pub(super) fn create(&self) -> Result<(), Failure> {
        let mut missing = Vec::new();
        let mut at = Some(&*self.path);
        while let Some(path) = at.filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
            missing.push(path);
            at = path.parent();
        }
        if missing.is_empty() && self.path.is_dir() {
            return Ok(());
        }
        let failed = |e: &io::Error| Failure::io(format!("create folder {}", self.shown()), e);
        fs::create_dir_all(&self.path).map_err(|e| failed(&e))?;
        for path in missing {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
            sync_folder(parent.unwrap_or(Path::new("."))).map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    /// Tries what a sink will do here: write a file, put it on disk, link it, remove it.
    pub(super) fn probe(&self, names: &OpenNames) -> Result<(), Failure> {
        // Attempts count from 1, so no writer uses these names, and a leftover is swept away.
        let name = |seq| self.join(&names.name(Attempt(0), SubtaskIndex(0), seq));
        let (file, link) = (name(0), name(1));
        let tried = (|| {
            File::create(&file)?.sync_all()?;
            fs::hard_link(&file, &link)?;
            sync_folder(&self.path)
        })();
        let removed = [file, link]
            .into_iter()
            .map(fs::remove_file)
            .fold(Ok(()), io::Result::and);
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
    pub(super) fn create_file(&self, name: &str) -> Result<File, Failure> {
        let path = self.join(name);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| Failure::io(format!("create {}", path.display()), &e))
    }

    /// Gives the file `from` the further name `to`; `false` where that name is taken.
    pub(super) fn link(&self, from: &str, to: &str) -> Result<bool, Failure> {
        let (from, to) = (self.join(from), self.join(to));
        match fs::hard_link(&from, &to) {
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
            match fs::remove_file(&path) {
                Ok(()) => removed = true,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Failure::io(format!("remove {}", path.display()), &e)),
            }
        }
        if removed { self.sync() } else { Ok(()) }
    }

    /// Puts the names in the folder on disk.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        sync_folder(&self.path)
            .map_err(|e| Failure::io(format!("fsync of folder {}", self.shown()), &e))
    }

    fn list<T>(&self, pick: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Failure> {
        let failed = |e: &io::Error| Failure::io(format!("list folder {}", self.shown()), e);
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(&e)),
        };
        let mut picked = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| failed(&e))?.file_name();
            picked.extend(name.to_str().and_then(&pick));
        }
        Ok(picked)
    }

    fn shown(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
