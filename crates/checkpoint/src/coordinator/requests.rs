//! What was asked for and has not been triggered: a bounded queue, ordered by priority (semantics
//! 1.13). Of two that are alike, the one that was asked for first comes first.
//!
//! INVARIANT: no more wait than the queue holds; whoever is refused is told.

use weir_model::{ProcessingTime, SavepointFormat};

use super::effect::CheckpointKind;

/// Who asked: the answer finds its way back by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Somebody wants a checkpoint or a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What for.
    pub kind: CheckpointKind,
    /// Who waits for the answer, if somebody does.
    pub ticket: Option<Ticket>,
    /// How the state is written if it is a savepoint: it is written elsewhere, refers to no
    /// checkpoint, and is the user's.
    pub savepoint: Option<SavepointFormat>,
    /// Everything is written: it refers to no other checkpoint.
    pub is_full: bool,
    /// If it is a savepoint: it does not wait for a free place.
    pub is_forced: bool,
    /// Nobody but a schedule asked for it.
    pub is_scheduled: bool,
}

impl Request {
    /// A request without anything special.
    #[must_use]
    pub fn of(kind: CheckpointKind) -> Self {
        Self {
            kind,
            ticket: None,
            savepoint: None,
            is_full: false,
            is_forced: false,
            is_scheduled: false,
        }
    }

    /// A savepoint with which the job goes on.
    #[must_use]
    pub fn savepoint(format: SavepointFormat) -> Self {
        Self {
            savepoint: Some(format),
            ..Self::of(CheckpointKind::Savepoint)
        }
    }

    /// What comes first: the stop of the job, savepoints before checkpoints, the user before a
    /// schedule.
    fn rank(&self) -> (bool, bool, bool) {
        let is_stop = self.kind == CheckpointKind::Stop;
        (!is_stop, self.savepoint.is_none(), self.is_scheduled)
    }
}

/// Requests that wait.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    capacity: usize,
    /// The next one first.
    queue: Vec<Request>,
    /// The final one, which comes before all others, and the pause after one that failed.
    finish: Option<(Request, ProcessingTime)>,
}

impl Requests {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            queue: Vec::new(),
            finish: None,
        }
    }

    /// Adds one. Gives back what there is no room for: the one that would have come last.
    pub(super) fn add(&mut self, request: Request) -> Option<Request> {
        let after = |other: &Request| other.rank() <= request.rank();
        let at = self.queue.partition_point(after);
        self.queue.insert(at, request);
        if self.queue.len() > self.capacity {
            self.queue.pop()
        } else {
            None
        }
    }

    /// The job finishes with this one, not before that time.
    pub(super) fn finish(&mut self, request: Request, not_before: ProcessingTime) {
        self.finish = Some((request, not_before));
    }

    pub(super) fn final_one(&self) -> Option<(Request, ProcessingTime)> {
        self.finish
    }

    pub(super) fn next(&self) -> Option<Request> {
        self.queue.first().copied()
    }

    /// Takes what was decided on.
    pub(super) fn take(&mut self, request: &Request) {
        if request.kind == CheckpointKind::Final {
            self.finish = None;
        } else if !self.queue.is_empty() {
            self.queue.remove(0);
        }
    }

    /// Takes all, the next one first and the final one last.
    pub(super) fn clear(&mut self) -> Vec<Request> {
        let mut all = std::mem::take(&mut self.queue);
        all.extend(self.finish.take().map(|(request, _)| request));
        all
    }
}
