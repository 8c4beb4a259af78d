//! At-least-once alignment (semantics 1.14): counts the barriers of each checkpoint and blocks
//! nothing, so that several checkpoints can be under way at a time (Flink's barrier tracker).
//!
//! INVARIANT: the checkpoints under way are no older than what was triggered last; one that was
//! triggered, given up or left behind never begins again.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{Barrier, CheckpointId};

use super::AlignEffect;
use crate::FailureReason;

/// Of how many checkpoints barriers are counted at a time: Flink's bound. Beyond it the oldest is
/// left behind.
pub(super) const OPEN_MAX: usize = 50;

#[derive(Clone, Debug)]
pub(super) struct Tracker {
    ended: Vec<bool>,
    /// The newest checkpoint that was begun or given up here.
    newest: Option<CheckpointId>,
    /// Some channels delivered their barrier, and others have not.
    pub(super) open: BTreeMap<CheckpointId, Open>,
    /// Given up before a barrier of them came; all newer than `newest`, and at most `OPEN_MAX`.
    pub(super) aborted: BTreeSet<CheckpointId>,
    /// Those of `aborted` whose cancel marker came, and went on.
    answered: BTreeSet<CheckpointId>,
}

#[derive(Clone, Debug)]
pub(super) struct Open {
    barrier: Barrier,
    /// The channels that delivered it.
    delivered: Vec<bool>,
}

impl Tracker {
    pub(super) fn new(channels: usize) -> Self {
        Self {
            ended: vec![false; channels],
            newest: None,
            open: BTreeMap::new(),
            aborted: BTreeSet::new(),
            answered: BTreeSet::new(),
        }
    }

    pub(super) fn barrier(&mut self, channel: usize, barrier: Barrier) -> Vec<AlignEffect> {
        let id = barrier.checkpoint;
        if !self.open.contains_key(&id) {
            if !self.is_new(id) {
                return Vec::new();
            }
            let is_aborted = self.aborted.contains(&id);
            let is_answered = self.answered.contains(&id);
            self.see(id);
            if is_aborted {
                let answer = (!is_answered).then_some(AlignEffect::ForwardCancel(id));
                return answer.into_iter().collect();
            }
            self.begin(barrier);
        }
        if let Some(open) = self.open.get_mut(&id) {
            open.delivered[channel] = true;
        }
        self.complete().into_iter().collect()
    }

    /// As in Flink, a marker gives up the older ones as well that have begun here. Not so the echo
    /// of what the coordinator said: that was about one checkpoint, and overtakes the barriers of
    /// older ones that are under way before this task and have yet to come here. A task before this
    /// one may have been told before it, so these may begin behind any marker: not left behind by
    /// it, they would be waited for until they time out.
    pub(super) fn cancel(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
        if self.is_new(id) {
            if !self.answered.insert(id) {
                return Vec::new();
            }
            if !self.give_up(id) {
                return vec![AlignEffect::ForwardCancel(id)];
            }
        } else if !self.open.contains_key(&id) {
            return Vec::new();
        }
        let older: Vec<_> = self.open.range(..id).map(|(&older, _)| older).collect();
        let given_up = older.into_iter().chain([id]);
        given_up
            .flat_map(|id| {
                self.open.remove(&id);
                let reason = FailureReason::CheckpointDeclinedOnCancellationBarrier;
                [
                    AlignEffect::Abort { id, reason },
                    AlignEffect::ForwardCancel(id),
                ]
            })
            .collect()
    }

    pub(super) fn end(&mut self, channel: usize) -> Vec<AlignEffect> {
        self.ended[channel] = true;
        self.complete().into_iter().collect()
    }

    pub(super) fn abort(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
        if self.open.remove(&id).is_some() {
            return vec![AlignEffect::ForwardCancel(id)];
        }
        // Without channels no barrier comes that would make it forgotten.
        if self.is_new(id) && !self.ended.is_empty() {
            self.give_up(id);
        }
        Vec::new()
    }

    /// Notes that one which has not begun here is given up; whether it was not before.
    fn give_up(&mut self, id: CheckpointId) -> bool {
        let is_first = self.aborted.insert(id);
        if self.aborted.len() > OPEN_MAX
            && let Some(&oldest) = self.aborted.first()
        {
            // What is as old is left behind; nothing may ever begin where all are given up.
            self.see(oldest);
        }
        is_first
    }

    /// The newest of those under way.
    pub(super) fn current(&self) -> Option<CheckpointId> {
        self.open.keys().next_back().copied()
    }

    fn is_new(&self, id: CheckpointId) -> bool {
        self.newest.is_none_or(|newest| id > newest)
    }

    fn see(&mut self, id: CheckpointId) {
        self.newest = Some(id);
        self.aborted.retain(|&aborted| aborted > id);
        self.answered.retain(|&answered| answered > id);
    }

    fn begin(&mut self, barrier: Barrier) {
        let delivered = vec![false; self.ended.len()];
        self.open
            .insert(barrier.checkpoint, Open { barrier, delivered });
        if self.open.len() > OPEN_MAX {
            self.open.pop_first();
        }
    }

    /// Triggers the newest checkpoint that no channel is missing of, and leaves the older ones
    /// behind. Nobody declines those: they are over when the newer one is complete.
    fn complete(&mut self) -> Option<AlignEffect> {
        let is_complete = |open: &Open| {
            let mut channels = self.ended.iter().zip(&open.delivered);
            channels.all(|(&ended, &delivered)| ended || delivered)
        };
        let mut newest_first = self.open.iter().rev();
        let (&id, open) = newest_first.find(|(_, open)| is_complete(open))?;
        let barrier = open.barrier;
        self.open.retain(|&open, _| open > id);
        Some(AlignEffect::Trigger(barrier))
    }
}
