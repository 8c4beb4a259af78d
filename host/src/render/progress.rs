//! Tells on standard error what happens to a job: a line for what matters.

use weir_runtime::{JobEvent, JobFailure, JobListener};

use super::{duration, say, size};
use crate::assemble::Components;

/// Prints the events of a job.
pub(crate) struct Progress {
    /// The job, to tell its lines from those of others.
    job: String,
    components: Components,
}

impl Progress {
    /// Prints the events of `job`.
    pub(crate) fn new(job: String, components: Components) -> Self {
        Self { job, components }
    }
}

impl JobListener for Progress {
    fn event(&self, event: &JobEvent) {
        let job = &self.job;
        let line = match event {
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
