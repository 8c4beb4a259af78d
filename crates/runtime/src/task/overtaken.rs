//! Barriers that overtake: what is announced, what is recorded, and what was in flight when a
//! checkpoint was taken that the task goes on from (D5, D10).
//!
//! INVARIANT: what sinks have sealed for a checkpoint reaches the lane whatever becomes of it, for
//! its rows are in no later transaction.

use tokio::time::Instant;
use weir_model::{Barrier, CheckpointId};

use super::{
    NodeFailure, Running,
    lane::{Part, Work},
};
use crate::exchange::{Announced, Recorded};

/// A checkpoint whose channel state is being recorded.
pub(crate) struct Overtaken {
    id: CheckpointId,
    part: Box<Part>,
}

impl Running {
    /// Looks at what is announced, and at the time.
    pub(super) fn look_ahead(&mut self) -> Result<(), NodeFailure> {
        if self.task.gate.has_news() {
            for (channel, announced) in self.task.gate.announcements() {
                let effects = match announced {
                    Announced::Barrier(barrier) => {
                        let now = self.task.monotonic.now();
                        self.alignment.announced(channel, barrier, now)
                    }
                    Announced::Cancel(id) => self.alignment.cancel(id),
                };
                self.aligned(effects)?;
            }
        }
        if self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            let effects = self.alignment.tick(self.task.monotonic.now());
            self.aligned(effects)?;
        }
        Ok(())
    }

    /// The barrier overtakes what waits before it: the snapshot is taken now, and what is in flight
    /// follows.
    pub(super) fn overtake(&mut self, barrier: Barrier) -> Result<(), NodeFailure> {
        let Some(part) = self.checkpoint(barrier)? else {
            return Ok(());
        };
        let id = barrier.checkpoint;
        let in_hand = self.in_hand.as_ref().map(|in_hand| {
            let rows = Recorded::Rows(in_hand.batch.clone(), in_hand.next);
            (in_hand.channel, rows)
        });
        self.task.gate.begin_recording(id, in_hand);
        self.overtaken = Some(Overtaken { id, part });
        Ok(())
    }

    /// Every barrier is in: the rest is for the lane.
    pub(super) fn recorded(&mut self, id: CheckpointId) {
        let Some(Overtaken { mut part, .. }) = self.overtaken.take_if(|of| of.id == id) else {
            return; // it was declined
        };
        part.channels = self.task.gate.end_recording();
        self.snapshot(part);
    }

    /// The checkpoint was given up.
    pub(super) fn discard(&mut self, id: CheckpointId) {
        self.task.gate.drop_recording();
        let Some(Overtaken { part, .. }) = self.overtaken.take_if(|of| of.id == id) else {
            return;
        };
        let _ = self.task.lane.work.send(Work::Seal {
            id,
            now: part.now,
            sinks: part.sinks,
        });
    }

    /// A channel of recovery is empty: nothing waits for it any more.
    pub(super) fn recovered(&mut self, channel: usize) {
        let input = self.task.input_of[channel] as usize;
        self.recovering[input] = self.recovering[input].saturating_sub(1);
        let changes = self.watermarks.remove(channel);
        self.time_changed(changes);
    }
}
