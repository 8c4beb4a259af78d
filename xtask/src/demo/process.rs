//! One process of `weir`: started, watched until rows flow, killed or waited for.
//!
//! Invariant: a process never outlives its `Run`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Job;
use super::expected::SINKS;
use super::report::Progress;

/// How often the process is looked at.
const TICK: Duration = Duration::from_millis(5);

/// How a run ended that was to be killed.
pub(super) enum End {
    Killed {
        /// Since the first row.
        after: Duration,
    },
    Exited(ExitStatus),
}

/// A process of `weir run`.
pub(super) struct Run {
    child: Child,
    began: Instant,
    /// The folders where the first row shows.
    sinks: Vec<PathBuf>,
    stdout: PathBuf,
    stderr: PathBuf,
    progress: Progress,
}

impl Run {
    /// Starts the job; output and log go to files named after `number`.
    pub(super) fn start(job: &Job, number: u32) -> Result<Self> {
        let stdout = job.scratch.join(format!("run-{number}.stdout"));
        let stderr = job.scratch.join(format!("run-{number}.stderr"));
        let child = Command::new(&job.weir)
            .args(job.arguments())
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("cannot start {}", job.weir.display()))?;
        let sinks = SINKS.iter().map(|sink| job.sink(sink)).collect();
        let progress = Progress::new(job.checkpoints(), number);
        Ok(Self {
            child,
            began: Instant::now(),
            sinks,
            stdout,
            stderr,
            progress,
        })
    }

    /// Waits until the first row has come through to a sink: its open file is there.
    pub(super) fn wait_for_rows(&mut self, limit: Duration) -> Result<()> {
        let shown =
            |sink: &PathBuf| fs::read_dir(sink).is_ok_and(|mut files| files.next().is_some());
        let start = Instant::now();
        while !self.sinks.iter().any(shown) {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the job ended ({status}) before it wrote a row\n{}",
                    self.last_words()
                );
            }
            self.check_patience(start, limit)?;
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// Kills the process with SIGKILL after `after`, unless it ends before.
    pub(super) fn kill_after(&mut self, after: Duration) -> Result<End> {
        let start = Instant::now();
        while start.elapsed() < after {
            if let Some(status) = self.child.try_wait()? {
                return Ok(End::Exited(status));
            }
            self.progress.show();
            thread::sleep(TICK.min(after.saturating_sub(start.elapsed())));
        }
        self.child.kill().context("killing weir")?;
        let after = start.elapsed();
        self.child.wait()?;
        self.progress.clear();
        Ok(End::Killed { after })
    }

    /// Kills the process with SIGKILL at once.
    pub(super) fn kill_now(&mut self) -> Result<End> {
        self.child.kill().context("killing weir")?;
        let after = self.began.elapsed();
        self.child.wait()?;
        Ok(End::Killed { after })
    }

    /// Its exit status if it has ended.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Whether a word stands in its log.
    pub(super) fn says(&self, word: &str) -> bool {
        let log = fs::read(&self.stderr).unwrap_or_default();
        String::from_utf8_lossy(&log).contains(word)
    }

    /// Waits for the end of the process.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.progress.clear();
                return Ok(status);
            }
            self.check_patience(start, limit)?;
            self.progress.show();
            thread::sleep(TICK);
        }
    }

    /// What the process wrote to standard output.
    pub(super) fn output(&self) -> Result<String> {
        fs::read_to_string(&self.stdout).context("reading what weir printed")
    }

    /// The end of its log, for an error message.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read(&self.stderr).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn check_patience(&self, start: Instant, limit: Duration) -> Result<()> {
        if start.elapsed() > limit {
            bail!(
                "the job hangs: no end after {} s\n{}",
                limit.as_secs(),
                self.last_words()
            );
        }
        Ok(())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
