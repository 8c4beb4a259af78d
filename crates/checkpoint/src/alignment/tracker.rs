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
    /// Given up by the coordinator before a barrier of them came. At most as many as are pending.
    pub(super) aborted: BTreeSet<CheckpointId>,
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
        }
    }

    pub(super) fn barrier(&mut self, channel: usize, barrier: Barrier) -> Vec<AlignEffect> {
        let id = barrier.checkpoint;
        if !self.open.contains_key(&id) {
            if !self.is_new(id) {
                return Vec::new();
            }
            if self.aborted.contains(&id) {
                self.see(id);
                return vec![AlignEffect::ForwardCancel(id)];
            }
            self.see(id);
            self.begin(barrier);
        }
        if let Some(open) = self.open.get_mut(&id) {
            open.delivered[channel] = true;
        }
        self.complete().into_iter().collect()
    }

    /// As in Flink, a marker gives up the older ones as well. Not so the echo of what the
    /// coordinator said: that was about one checkpoint.
    pub(super) fn cancel(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
        if self.is_new(id) {
            let is_echo = self.aborted.contains(&id);
            self.see(id);
            if is_echo {
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
        if self.is_new(id) {
            self.aborted.insert(id);
        }
        Vec::new()
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
