//! The control socket of a running job (D28): where it lies, who serves it, who asks.
//!
//! The words are HTTP with JSON under `/v1`, so that a daemon can answer the same ones later. The
//! server is a part of `weir run`, the client of the verbs that ask; neither knows the other.

mod client;
mod folder;
mod protocol;
mod server;
mod target;

use std::path::{Path, PathBuf};

use weir_job_file::JobFile;

use crate::storage::Folder;

pub(crate) use client::{AskError, HELD, Job, NOT_RUNNING, Running, Which, ask, find, running};
pub(crate) use folder::path as folder;
pub(crate) use protocol::{
    CheckpointAsked, Completed, Format, IntervalAsked, JobChange, Named, Saved, SavepointAsked,
    Status, StopAsked, Stopped, Wanted,
};
pub(crate) use server::{Identity, Server};
pub(crate) use target::Savepoints;

/// What the directory of jobs is called that keep their checkpoints in the memory of their process:
/// it tells none from another.
const MEMORY: &str = "memory:";

/// The checkpoint directory of a job, as it is named on both sides; `None` = it has none.
pub(crate) fn directory_of(job: &JobFile) -> Option<String> {
    let dir = &job.checkpoint.as_ref()?.dir;
    Some(match Folder::of_place(dir) {
        Some(folder) => plainly(&folder),
        None => MEMORY.to_owned(),
    })
}

/// A checkpoint directory that an argument names, one way to write it for each.
///
/// # Errors
/// What is wrong with the address of a bucket.
pub(crate) fn directory(path: &Path) -> Result<String, String> {
    match path.as_os_str() == MEMORY {
        true => Ok(MEMORY.to_owned()),
        false => Ok(plainly(&Folder::of(path)?)),
    }
}

fn plainly(folder: &Folder) -> String {
    folder.absolute().as_ref().unwrap_or(folder).to_string()
}

/// A path that means the same in every working directory.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
