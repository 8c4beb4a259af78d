//! The file sink: rows as lines in files that become visible with their checkpoint (D21).
//!
//! A file is written under a name that begins with a dot. At the barrier it is sealed under the
//! number of the checkpoint; once the checkpoint is complete a hard link gives it its final name.
//!
//! INVARIANT: with `exactly-once` a final name is only ever given by [`commit`], to a file that was
//! complete and on disk before; no file but the leftovers of this job and sink is ever removed.

mod commit;
mod folder;
mod names;
mod writer;

use std::{path::PathBuf, sync::Arc};

use weir_model::{CheckpointId, JobName, SinkName};
use weir_operator::{
    Existing, Failure, OnLost, Recovered, Sealed, Sink, SinkFactory, SinkGuarantee, TaskInfo,
};

use self::{folder::Folder, names::OpenNames, writer::Writer};
use super::disk::{Disk, SystemDisk};

/// How a file sink writes.
#[derive(Clone, Debug)]
pub struct FileSinkOptions {
    /// The job, part of the names of open files.
    pub job: JobName,
    /// The sink, part of the names of open files.
    pub sink: SinkName,
    /// Where files go; created with its parents where it is missing. Two sinks must not share one:
    /// their final names would be the same.
    pub folder: PathBuf,
    /// The ending of the files, without the dot.
    pub ext: String,
    /// With `exactly-once` a file is visible when its checkpoint is complete. With `at-least-once`
    /// it is visible from the barrier on, and after a failure its rows may come again in another.
    pub guarantee: SinkGuarantee,
    /// A file larger than so many bytes is closed and another begun; `None` = one for each epoch.
    pub roll_bytes: Option<u64>,
}

impl FileSinkOptions {
    /// The usual ending.
    pub const DEFAULT_EXT: &'static str = "jsonl";
}

/// Makes the writers of one file sink and commits what they sealed.
#[derive(Debug)]
pub struct FileSink {
    options: Arc<FileSinkOptions>,
    folder: Folder,
    names: OpenNames,
}

impl FileSink {
    /// A sink with these options. Nothing is touched yet.
    ///
    /// # Errors
    /// [`Failure::External`] where the ending cannot be part of a file name.
    pub fn new(options: FileSinkOptions) -> Result<Self, Failure> {
        Self::on(Arc::new(SystemDisk), options)
    }

    /// A sink whose folder is on this disk.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn on(disk: Arc<dyn Disk>, options: FileSinkOptions) -> Result<Self, Failure> {
        names::check_ext(&options.ext).map_err(|message| Failure::External {
            what: format!("ending of the files of sink `{}`", options.sink),
            message,
        })?;
        Ok(Self {
            folder: Folder::new(disk, options.folder.clone()),
            names: OpenNames::new(&options.job, &options.sink),
            options: Arc::new(options),
        })
    }

    /// Looks whether the folder is there, or could be: nothing is touched.
    ///
    /// # Errors
    /// [`Failure::External`] where a file stands in its place, or in that of a folder above it.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(file) = self.folder.blocked_by() else {
            return Ok(());
        };
        let folder = self.options.folder.as_path();
        let message = match file == folder {
            true => "it is a file; a sink writes files into a folder".to_owned(),
            false => format!("`{}` is a file", file.display()),
        };
        Err(Failure::External {
            what: format!(
                "folder `{}` of sink `{}`",
                folder.display(),
                self.options.sink
            ),
            message,
        })
    }

    /// Creates the folder where it is missing and tries whether files can be written and linked
    /// there. [`recover`](SinkFactory::recover) does this first, so no job starts that could not
    /// write.
    ///
    /// # Errors
    /// [`Failure::External`] with the folder and what is wrong with it.
    pub fn probe(&self) -> Result<(), Failure> {
        self.check()?;
        self.folder.create()?;
        self.folder.probe(&self.names)
    }
}

impl SinkFactory for FileSink {
    fn guarantee(&self) -> SinkGuarantee {
        self.options.guarantee
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Writer::new(
            Arc::clone(&self.options),
            self.folder.clone(),
            self.names.clone(),
            task.attempt,
            task.subtask,
        )))
    }

    fn commit(&self, sealed: &[Sealed]) -> Result<Recovered, Failure> {
        let lost = &mut |_, failure| Err(failure);
        commit::commit(&self.folder, sealed, commit::Check::Length, lost)
    }

    fn recover(&self, restored: &[Sealed]) -> Result<Recovered, Failure> {
        self.recover_without(restored, &mut |_, failure| Err(failure))
    }

    fn recover_without(
        &self,
        mut restored: &[Sealed],
        lost: OnLost<'_>,
    ) -> Result<Recovered, Failure> {
        self.check()?;
        if !restored.is_empty() && !self.folder.is_there() {
            // What was sealed may be where it was, on a disk that is not mounted just now.
            for at in 0..restored.len() {
                lost(at, self.folder.missing())?;
            }
            restored = &[];
        }
        self.folder.create()?;
        let mut recovered = commit::commit(&self.folder, restored, commit::Check::Contents, lost)?;
        recovered.removed = self.folder.remove_leftovers(&self.names)?;
        self.folder.probe(&self.names)?;
        Ok(recovered)
    }

    fn existing(&self) -> Result<Existing, Failure> {
        let parts = self.folder.parts()?;
        Ok(Existing {
            committed: parts.len() as u64,
            last_checkpoint: parts.iter().map(|part| CheckpointId(part.checkpoint)).max(),
            location: self.options.folder.display().to_string(),
        })
    }

    fn clear(&self) -> Result<(), Failure> {
        let parts = self.folder.parts()?;
        self.folder
            .remove(parts.iter().map(|part| part.name.as_str()))
    }
}

#[cfg(test)]
mod tests;
