//! Tells on standard error what happens to a job: a line for what matters.

use std::sync::{Mutex, PoisonError};

use weir_runtime::{JobEvent, JobFailure, JobListener};

use super::{Bar, duration, say, size};
use crate::assemble::Components;

/// Prints the events of a job.
pub(crate) struct Progress {
    /// The job, to tell its lines from those of others.
    job: String,
    components: Components,
    /// Whether standard error is a terminal.
    terminal: bool,
    /// Stands while the job restores.
    bar: Mutex<Option<Bar>>,
}

impl Progress {
    /// Prints the events of `job`.
    pub(crate) fn new(job: String, components: Components, terminal: bool) -> Self {
        Self {
            job,
            components,
            terminal,
            bar: Mutex::new(None),
        }
    }

    /// Shows how far a restore is; it is over with any event that is not about it.
    fn show(&self, event: &JobEvent) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = || Bar::begin(String::new(), self.terminal);
        match event {
            JobEvent::Reading { id, done, of } => {
                let bar = bar.get_or_insert_with(begin);
                bar.say(format!("{}: reading checkpoint {id}", self.job));
                bar.reach(*done, *of);
            }
            JobEvent::Restoring { id, .. } => {
                let bar = bar.get_or_insert_with(begin);
                bar.say(format!(
                    "{}: loading the state of checkpoint {id}",
                    self.job
                ));
            }
            JobEvent::Running { .. }
            | JobEvent::Checkpoint(_)
            | JobEvent::Savepoint { .. }
            | JobEvent::CheckpointFailed { .. }
            | JobEvent::Failed(_)
            | JobEvent::Restarting { .. }
            | JobEvent::Note(_) => *bar = None,
        }
    }
}

impl JobListener for Progress {
    fn event(&self, event: &JobEvent) {
        self.show(event);
        let job = &self.job;
        let line = match event {
            JobEvent::Reading { .. } => return,
            JobEvent::Restoring { id, location } => {
                format!("{job}: restoring from checkpoint {id} ({location})")
            }
            JobEvent::Running {
                attempt,
                startup_ms,
            } => {
                format!(
                    "{job}: running after {} (attempt {attempt})",
                    duration(*startup_ms)
                )
            }
            JobEvent::Checkpoint(stats) => format!(
                "{job}: checkpoint {} in {}, {}",
                stats.id,
                duration(stats.duration_ms as f64),
                size(stats.bytes)
            ),
            JobEvent::Savepoint { location, stats } => format!(
                "{job}: savepoint {location} in {}, {}",
                duration(stats.duration_ms as f64),
                size(stats.bytes)
            ),
            JobEvent::CheckpointFailed { id: _, reason } => format!("{job}: {reason}"),
            JobEvent::Failed(failure) => {
                format!("{job}: {}", failure_text(failure, &self.components))
            }
            JobEvent::Restarting {
                number,
                of,
                after_ms,
            } => {
                let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
                let after = duration(*after_ms as f64);
                format!("{job}: restarting {number}{of} after {after}")
            }
            JobEvent::Note(note) => format!("{job}: {note}"),
        };
        say(&line);
    }
}

/// A failure with its code, where it happened, and in which component.
pub(crate) fn failure_text(failure: &JobFailure, components: &Components) -> String {
    let code = failure.failure.code();
    let what = &failure.failure;
    let Some(place) = &failure.place else {
        return format!("[{code}] {what}");
    };
    let component = match components.get(&place.node) {
        Some(used) => {
            let digest = used.digest.get(..12).unwrap_or(&used.digest);
            format!("\n  component {} (blake3 {digest}…)", used.path.display())
        }
        None => String::new(),
    };
    format!(
        "[{code}] `{}` (subtask {}, attempt {}): {what}{component}",
        place.node, place.subtask, place.attempt
    )
}
