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

pub(crate) use client::{AskError, Job, ask, find, running};
pub(crate) use folder::path as folder;
pub(crate) use protocol::{
    CheckpointAsked, Completed, Format, IntervalAsked, JobChange, Saved, SavepointAsked, Status,
    StopAsked, Stopped, Wanted,
};
pub(crate) use server::{Identity, Server};
pub(crate) use target::Savepoints;

/// The checkpoint directory of a job, as it is named on both sides; `None` = it has none.
pub(crate) fn directory_of(job: &JobFile) -> Option<String> {
    let dir = &job.checkpoint.as_ref()?.dir;
    Some(match dir.folder() {
        Some(folder) => directory(folder),
        None => dir.to_string(),
    })
}

/// A checkpoint directory, one way to write it for each.
pub(crate) fn directory(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with("s3://") || text == "memory:" {
        return text.trim_end_matches('/').to_owned();
    }
    let whole = path.canonicalize().unwrap_or_else(|_| absolute(path));
    whole.display().to_string()
}

/// A path that means the same in every working directory.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
