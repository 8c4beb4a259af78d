//! What a task hands to the thread that writes for it.
//!
//! INVARIANT: in order, and never more than a few batches: a task that is faster than the server
//! waits for it. After a failure nothing is taken any more, and everybody is told the first reason.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc},
};

use weir_model::CheckpointId;
use weir_operator::{Failure, Sealed};

use crate::options::Batch;

/// So many batches wait at most: one is written meanwhile.
const WAITING_MAX: usize = 2;

/// Rows as they are sent.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) lines: Vec<u8>,
    pub(crate) rows: usize,
}

/// Work for the thread.
#[derive(Debug)]
pub(crate) enum Work {
    /// To be written.
    Rows(Chunk),
    /// What was written since the last one belongs to this checkpoint.
    Seal(CheckpointId, mpsc::Sender<Result<Vec<Sealed>, Failure>>),
    /// Nobody writes any more.
    End,
}

/// The queue between them.
#[derive(Debug)]
pub(crate) struct Inbox {
    batch: Batch,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Work>,
    failed: Option<Failure>,
    ended: bool,
}

impl Chunk {
    pub(crate) fn is_full(&self, batch: Batch) -> bool {
        self.rows >= batch.rows || self.lines.len() >= batch.bytes
    }
}

impl Inbox {
    pub(crate) fn new(batch: Batch) -> Self {
        Self {
            batch,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Hands rows over; waits while too many are waiting. Small ones that wait become one batch.
    pub(crate) fn offer(&self, mut chunk: Chunk) -> Result<(), Failure> {
        let mut state = self.lock();
        loop {
            check(&state)?;
            if let Some(Work::Rows(last)) = state.queue.back_mut()
                && !last.is_full(self.batch)
            {
                last.lines.append(&mut chunk.lines);
                last.rows += chunk.rows;
                return Ok(());
            }
            let waiting = state.queue.iter().filter(|w| matches!(w, Work::Rows(_)));
            if waiting.count() < WAITING_MAX {
                break;
            }
            state = self.wait(state);
        }
        state.queue.push_back(Work::Rows(chunk));
        self.changed.notify_all();
        Ok(())
    }

    /// Asks for what was handed over so far to be sealed.
    pub(crate) fn seal(
        &self,
        checkpoint: CheckpointId,
    ) -> Result<mpsc::Receiver<Result<Vec<Sealed>, Failure>>, Failure> {
        let mut state = self.lock();
        check(&state)?;
        let (reply, answer) = mpsc::channel();
        state.queue.push_back(Work::Seal(checkpoint, reply));
        self.changed.notify_all();
        Ok(answer)
    }

    /// Whether anything has failed.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        check(&self.lock())
    }

    /// Why nothing is sealed any more.
    pub(crate) fn failure(&self) -> Failure {
        self.lock().failed.clone().unwrap_or_else(gone)
    }

    /// The next work of the thread; waits for it.
    pub(crate) fn next(&self) -> Work {
        let mut state = self.lock();
        loop {
            if state.ended {
                return Work::End;
            }
            if let Some(work) = state.queue.pop_front() {
                self.changed.notify_all();
                return work;
            }
            state = self.wait(state);
        }
    }

    /// Takes nothing any more, for this reason. Those who wait for an answer get none.
    pub(crate) fn fail(&self, failure: Failure) {
        let mut state = self.lock();
        state.failed.get_or_insert(failure);
        state.queue.clear();
        self.changed.notify_all();
    }

    /// Ends the thread with what it is at.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.queue.clear();
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let state = self.changed.wait(state);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing between lock and unlock can panic half way through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(state: &State) -> Result<(), Failure> {
    match (&state.failed, state.ended) {
        (Some(failure), _) => Err(failure.clone()),
        (None, true) => Err(gone()),
        (None, false) => Ok(()),
    }
}

fn gone() -> Failure {
    Failure::Internal {
        message: "the thread that writes to the server is gone".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn chunk(rows: usize) -> Chunk {
        Chunk {
            lines: vec![b'x'; rows],
            rows,
        }
    }

    fn inbox() -> Inbox {
        Inbox::new(Batch {
            rows: 10,
            bytes: 1000,
        })
    }

    #[test]
    fn small_chunks_become_one_and_never_pass_a_barrier() {
        let inbox = inbox();
        for _ in 0..3 {
            inbox.offer(chunk(4)).unwrap();
        }
        let answer = inbox.seal(CheckpointId(1)).unwrap();
        inbox.offer(chunk(1)).unwrap();
        assert!(matches!(inbox.next(), Work::Rows(Chunk { rows: 12, .. })));
        assert!(matches!(inbox.next(), Work::Seal(CheckpointId(1), _)));
        assert!(matches!(inbox.next(), Work::Rows(Chunk { rows: 1, .. })));
        assert!(answer.recv().is_err());
    }

    #[test]
    fn who_is_too_fast_waits_and_is_told_what_failed() {
        let inbox = Arc::new(inbox());
        for _ in 0..WAITING_MAX {
            inbox.offer(chunk(10)).unwrap();
        }
        let writer = {
            let inbox = inbox.clone();
            std::thread::spawn(move || {
                loop {
                    if let Err(failure) = inbox.offer(chunk(10)) {
                        break failure;
                    }
                }
            })
        };
        assert!(matches!(inbox.next(), Work::Rows(_)));
        let message = "the first".to_owned();
        inbox.fail(Failure::Internal { message });
        inbox.fail(Failure::Internal {
            message: "another".into(),
        });
        let failure = writer.join().unwrap().to_string();
        assert!(failure.contains("the first"), "{failure}");
        assert!(inbox.seal(CheckpointId(1)).is_err());
        assert!(inbox.check().is_err());
        inbox.end();
        assert!(matches!(inbox.next(), Work::End));
    }
}
