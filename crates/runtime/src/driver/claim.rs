//! A checkpoint of another place that was handed over to the job (D24): it is the job's, counts as
//! the oldest of those that are retained, and is deleted when it is beyond them.
//!
//! INVARIANT: only what bears this job's name is deleted, and of its folder only what belongs to
//! the checkpoint: whatever else lies there is somebody's.

use weir_checkpoint::{FileRef, JobPaths, Metadata};
use weir_operator::Failure;

use super::begin::outside;
use crate::deployment::Foreign;

/// A claimed checkpoint.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) foreign: Foreign,
    /// The job and its directory, as it is written beside the checkpoint.
    owner: String,
    /// How many checkpoints of the job's own must complete before it is beyond those retained.
    left: usize,
}

impl Claim {
    /// A claim of a job that retains as many and has completed so many since.
    pub(crate) fn new(foreign: Foreign, owner: String, retained: usize, completed: usize) -> Self {
        Self {
            foreign,
            owner,
            left: retained.max(1).saturating_sub(completed),
        }
    }

    /// Writes down whose it is. Blocking.
    ///
    /// # Errors
    /// [`Failure::Claimed`] where it is another job's; [`Failure::External`].
    pub(crate) fn take(&self) -> Result<(), Failure> {
        let path = self.path(JobPaths::claimed_inside());
        let text = format!("{}\n", self.owner);
        match self.foreign.store.put(&path, vec![text.into_bytes()]) {
            Ok(()) => Ok(()),
            Err(e) if e.is_already_exists() => match self.holder()? {
                Some(holder) if holder != self.owner => Err(Failure::Claimed {
                    location: self.foreign.place(),
                    by: holder,
                }),
                Some(_) | None => Ok(()),
            },
            Err(e) => Err(outside(&path, &e)),
        }
    }

    /// One more checkpoint of the job's own is complete; whether this one is beyond those retained.
    pub(crate) fn completed(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.is_over()
    }

    /// Whether it is beyond those that are retained.
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Deletes it, its metadata first; what cannot be deleted stays. Files that it shares with
    /// others of its old job are left to that job. Blocking.
    pub(crate) fn delete(&self) {
        let Ok(Some(holder)) = self.holder() else {
            return;
        };
        if holder != self.owner {
            return;
        }
        let store = &self.foreign.store;
        let metadata = self.path("_metadata");
        let bytes = store.get(&metadata);
        let files = bytes.ok().and_then(|bytes| Metadata::decode(&bytes).ok());
        let files: Vec<FileRef> = files.iter().flat_map(Metadata::files).cloned().collect();
        if store.delete(&metadata).is_err() {
            return;
        }
        for file in files.iter().filter(|file| !file.path.starts_with("../")) {
            let _ = store.delete(&self.path(&file.path));
        }
        for mark in [JobPaths::committed_inside(), JobPaths::claimed_inside()] {
            let _ = store.delete(&self.path(mark));
        }
    }

    /// Who has claimed it, if anybody has.
    fn holder(&self) -> Result<Option<String>, Failure> {
        let path = self.path(JobPaths::claimed_inside());
        match self.foreign.store.get(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(outside(&path, &e)),
        }
    }

    fn path(&self, inside: &str) -> String {
        match self.foreign.folder.trim_end_matches('/') {
            "" => inside.to_owned(),
            folder => format!("{folder}/{inside}"),
        }
    }
}
