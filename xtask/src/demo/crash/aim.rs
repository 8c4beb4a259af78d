//! Killing a process at a moment that is seen from outside, and saying afterwards what the kill has
//! struck.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::plan::Aim;
use crate::demo::expected::SINKS;
use crate::demo::process::{End, Run};
use crate::demo::{Job, PATIENCE, checkpoints};

/// How often the folders are looked at: a checkpoint of this job takes some milliseconds.
const TICK: Duration = Duration::from_micros(100);

/// The folders of a job.
pub(super) struct Folders {
    checkpoints: PathBuf,
    sinks: Vec<PathBuf>,
}

/// A kill, and what it has struck.
pub(super) struct Strike {
    pub(super) aim: Aim,
    /// The newest complete checkpoint then.
    newest: u64,
    /// How many part files of it were there.
    parts: usize,
    /// Whether a newer checkpoint had begun.
    pub(super) inside: bool,
    /// Whether the process ran already.
    pub(super) running: bool,
    /// Whether results of the newest checkpoint were committed only by a later process.
    pub(super) before_commit: bool,
}

impl Folders {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            checkpoints: job.checkpoints(),
            sinks: SINKS.iter().map(|sink| job.sink(sink)).collect(),
        }
    }

    /// The newest complete checkpoint; 0 where there is none.
    fn newest(&self) -> Result<u64> {
        let complete = checkpoints::complete(&self.checkpoints)?;
        Ok(complete.last().copied().unwrap_or(0))
    }

    /// The newest checkpoint there is anything of; 0 where there is none.
    fn begun(&self) -> u64 {
        let own = names(&self.checkpoints).into_iter();
        let own = own.filter_map(|name| name.strip_prefix("chk-")?.parse().ok());
        let shared = files_below(&self.checkpoints.join("shared")).into_iter();
        let shared = shared.filter_map(|name| name.split('-').next()?.parse().ok());
        own.chain(shared).max().unwrap_or(0)
    }

    /// How many part files of a checkpoint are committed.
    fn parts(&self, checkpoint: u64) -> usize {
        let prefix = format!("part-{checkpoint:08}-");
        let all = self.sinks.iter().flat_map(|sink| names(sink));
        all.filter(|name| name.starts_with(&prefix)).count()
    }
}

impl Strike {
    /// Looks, when all is over, what was committed after the kill.
    pub(super) fn judge(&mut self, folders: &Folders) -> Result<()> {
        self.before_commit = self.newest > 0 && folders.parts(self.newest) > self.parts;
        Ok(())
    }
}

/// Waits for the moment and kills; or says that the process ended before.
pub(super) fn kill(run: &mut Run, folders: &Folders, aim: &Aim) -> Result<(End, Strike)> {
    let began = Instant::now();
    let first = folders.newest()?;
    let mut own = 0;
    let mut last = first;
    loop {
        if let Some(status) = run.ended()? {
            let strike = look(run, folders, aim)?;
            return Ok((End::Exited(status), strike));
        }
        let is_now = match *aim {
            Aim::Anywhere(after) | Aim::Restoring(after) => began.elapsed() >= after,
            Aim::Inside(after) => own >= after && folders.begun() > folders.newest()?,
            Aim::BeforeCommit(after) => own > after,
        };
        if is_now {
            break;
        }
        if began.elapsed() > PATIENCE {
            bail!("the job hangs\n{}", run.last_words());
        }
        thread::sleep(TICK);
        let newest = folders.newest()?;
        own += u32::from(newest > last);
        last = newest;
    }
    let end = run.kill_now()?;
    Ok((end, look(run, folders, aim)?))
}

fn look(run: &Run, folders: &Folders, aim: &Aim) -> Result<Strike> {
    let newest = folders.newest()?;
    Ok(Strike {
        aim: *aim,
        newest,
        parts: folders.parts(newest),
        inside: folders.begun() > newest,
        running: run.says("running"),
        before_commit: false,
    })
}

/// The names in a folder; none where it cannot be read, for it may be going or not be there yet.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.collect()
}

/// The names of all files below a folder.
fn files_below(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.flat_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_below(&entry.path()),
        Ok(_) | Err(_) => vec![entry.file_name().to_string_lossy().into_owned()],
    });
    files.collect()
}
