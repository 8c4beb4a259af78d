//! Operators whose calls wait, as the head of a chain: rows are taken in, called with many at once,
//! and leave with their results.
//!
//! A batch is taken in as a whole, and none while a row of the last one waits for its call: so
//! there is never anything in hand that a barrier would have to wait for. A barrier goes on at
//! once; the rows whose results are not out are in the checkpoint, and come first after a restore.
//!
//! INVARIANT: what waits behind rows (watermarks, idleness, the end of data) goes on in its place.
//! Nothing leaves behind a barrier that stops the job.

mod leave;
mod node;
mod queue;
mod saved;

use std::sync::Arc;

use tokio::time::Instant;
use weir_event_time::Change;
use weir_model::{Barrier, BarrierKind, Batch, EventTime};
use weir_operator::BatchRow;

pub(crate) use node::WaitingNode;

use self::{node::Now, queue::Mark};
use super::{
    NodeFailure, Running,
    chain::{Chain, Kind},
    coming::Coming,
};

impl Chain {
    /// The head, where its calls wait.
    fn waiting(&mut self) -> Option<&mut WaitingNode> {
        match &mut self.nodes.first_mut()?.kind {
            Kind::Waiting(node) => Some(node),
            Kind::Source | Kind::Operator(_) | Kind::Sink(_) => None,
        }
    }
}

impl Running {
    /// Takes in rows for calls that wait; `false` where the head's do not.
    pub(super) fn take_in(&mut self, batch: &Arc<Batch>) -> bool {
        let Some(waiting) = self.task.chain.waiting() else {
            return false;
        };
        for row in BatchRow::all(batch) {
            waiting.push(row);
        }
        let meters = &self.task.chain.nodes[0].meters;
        meters.rows_in.add(batch.len());
        true
    }

    /// Whether rows wait for their calls to begin, or hold too many bytes: no batch is taken then.
    pub(super) fn has_waiting_rows(&mut self) -> bool {
        let waiting = self.task.chain.waiting();
        waiting.is_some_and(|waiting| waiting.is_full())
    }

    /// Keeps what has come about time behind the rows before it; `false` where none are kept.
    pub(super) fn mark(&mut self, change: Change) -> bool {
        let Some(waiting) = self.task.chain.waiting() else {
            return false;
        };
        waiting.queue.mark(match change {
            Change::Watermark(to) => Mark {
                watermark: Some(to),
                ..Mark::default()
            },
            Change::Idle(idle) => Mark {
                idle: Some(idle),
                ..Mark::default()
            },
        });
        true
    }

    /// The same for the end of data.
    pub(super) fn mark_end(&mut self) -> bool {
        let Some(waiting) = self.task.chain.waiting() else {
            return false;
        };
        waiting.queue.mark(Mark {
            end: true,
            ..Mark::default()
        });
        true
    }

    /// Lets calls do their work; gives back whether there is more to do at once.
    pub(super) fn work(&mut self) -> Result<bool, NodeFailure> {
        if self.task.chain.waiting().is_none() {
            return Ok(false); // this is asked of each task, between any two things that it does
        }
        let now = Now {
            monotonic: self.task.monotonic.now(),
            clock: self.task.chain.clock.now(),
        };
        if self.stopping.is_some() {
            // Its rows are in the checkpoint that the job stops with, and nothing may fail it now.
            if let Some(waiting) = self.task.chain.waiting() {
                waiting.hold(now);
            }
            return Ok(false);
        }
        let meters = self.task.chain.nodes[0].meters.clone();
        let Some(waiting) = self.task.chain.waiting() else {
            return Ok(false);
        };
        let more = waiting.work(now);
        meters.waiting.set(waiting.queue.under_way() as u64);
        more.map_err(|failure| NodeFailure {
            node: meters.name.clone(),
            failure,
        })
    }

    /// Whether a barrier is the last of the job and rows are still to leave before it: all results
    /// are in the checkpoint that the job ends with.
    pub(super) fn waits_for_end(&mut self, barrier: Barrier) -> bool {
        barrier.kind == BarrierKind::Final && !self.finished && self.task.chain.waiting().is_some()
    }

    /// Lets leave what can; gives back whether anything did.
    pub(super) fn let_leave(&mut self) -> Result<bool, NodeFailure> {
        if self.stopping.is_some() || self.task.chain.waiting().is_none() {
            return Ok(false);
        }
        // What is chained behind runs before control is looked at again (D6).
        let most = self.leaves.rows(Batch::MAX_ROWS);
        let began = Instant::now();
        let left = self.task.chain.let_leave(most)?;
        if left.rows > 0 {
            let ended = Instant::now();
            self.leaves.learn(left.rows, ended.duration_since(began));
            // Where rows never cease to come nothing else hands them over (D7).
            self.task.chain.hand_over_old(ended);
        }
        let has_mark = left.mark.is_some();
        let Mark {
            watermark,
            idle,
            end,
        } = left.mark.unwrap_or_default();
        // One that speaks again does so before it says how late it is, one that falls silent after.
        let speaks = (idle == Some(false)).then_some(Coming::Idle(false));
        let watermark = watermark.map(|to| Coming::Watermark { to, node: 0 });
        let silent = (idle == Some(true)).then_some(Coming::Idle(true));
        let end = end.then_some(Coming::EndOfData);
        let coming = [speaks, watermark, silent, end];
        self.coming.extend(coming.into_iter().flatten());
        Ok(left.rows > 0 || has_mark)
    }

    /// When something becomes of a row by itself.
    pub(super) fn next_call(&mut self) -> Option<Instant> {
        if self.stopping.is_some() {
            return None;
        }
        let monotonic = self.task.monotonic;
        let at = self.task.chain.waiting()?.queue.next_alarm()?;
        Some(monotonic.instant_of(at))
    }

    /// The head's watermark has risen.
    pub(super) fn passed(&mut self, to: EventTime) {
        if let Some(waiting) = self.task.chain.waiting() {
            waiting.watermark = to;
        }
    }
}
