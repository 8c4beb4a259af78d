//! Exactly-once alignment (semantics 1.14, "aligned"): a channel that is ahead waits.
//!
//! INVARIANT: a checkpoint is triggered once, when every channel has delivered its barrier or has
//! ended; until then no row from behind that barrier is let through. What is older than the newest
//! checkpoint seen never blocks a channel again.

use std::collections::BTreeSet;

use weir_model::{Barrier, CheckpointId};

use super::AlignEffect;
use crate::FailureReason;

#[derive(Clone, Debug)]
pub(super) struct Blocking {
    pub(super) channels: Vec<Channel>,
    /// The newest checkpoint that was begun or given up here.
    newest: Option<CheckpointId>,
    /// The checkpoint that is being aligned; its id is `newest`.
    current: Option<Barrier>,
    /// Given up by the coordinator before a barrier of them came. At most as many as are pending.
    pub(super) aborted: BTreeSet<CheckpointId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Open,
    /// Delivered the barrier of the current checkpoint.
    Blocked,
    Ended,
}

impl Blocking {
    pub(super) fn new(channels: usize) -> Self {
        Self {
            channels: vec![Channel::Open; channels],
            newest: None,
            current: None,
            aborted: BTreeSet::new(),
        }
    }

    /// `barrier` came on `channel`.
    pub(super) fn barrier(&mut self, channel: usize, barrier: Barrier) -> Vec<AlignEffect> {
        let id = barrier.checkpoint;
        if self.channels[channel] != Channel::Open {
            return Vec::new();
        }
        let mut effects = Vec::new();
        if self.current.map(|b| b.checkpoint) != Some(id) {
            if !self.is_new(id) {
                return effects;
            }
            self.subsume(&mut effects);
            if self.aborted.contains(&id) {
                self.see(id);
                effects.push(AlignEffect::ForwardCancel(id));
                return effects;
            }
            self.see(id);
            self.current = Some(barrier);
        }
        self.channels[channel] = Channel::Blocked;
        if !self.complete(Some(channel), &mut effects) {
            effects.push(AlignEffect::Block(channel));
        }
        effects
    }

    /// The cancel marker of a checkpoint came, on whatever channel.
    ///
    /// A marker of a newer checkpoint ends the current one as well: the channel that brought it has
    /// not delivered the current barrier, or it would be blocked, and now never will.
    pub(super) fn cancel(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        let is_current = self.current.is_some_and(|b| b.checkpoint == id);
        if !is_current && !self.is_new(id) {
            return effects;
        }
        if !is_current {
            self.subsume(&mut effects);
        }
        if self.aborted.contains(&id) {
            effects.push(AlignEffect::ForwardCancel(id));
        } else {
            let reason = FailureReason::CheckpointDeclinedOnCancellationBarrier;
            effects.extend([
                AlignEffect::Abort { id, reason },
                AlignEffect::ForwardCancel(id),
            ]);
        }
        self.current = None;
        self.see(id);
        self.unblock(&mut effects);
        effects
    }

    /// `channel` has ended, which counts as its barrier (C32).
    pub(super) fn end(&mut self, channel: usize) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        self.channels[channel] = Channel::Ended;
        self.complete(None, &mut effects);
        effects
    }

    /// The coordinator has given the checkpoint up: there is nothing to decline. A barrier of it
    /// that comes later is answered by the cancel marker and blocks nothing.
    pub(super) fn abort(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        if self.current.is_some_and(|b| b.checkpoint == id) {
            self.current = None;
            effects.push(AlignEffect::ForwardCancel(id));
            self.unblock(&mut effects);
        } else if self.is_new(id) && !self.channels.is_empty() {
            // Without channels no barrier comes that would make it forgotten.
            self.aborted.insert(id);
        }
        effects
    }

    /// Whether nothing may be taken from `channel` now.
    pub(super) fn is_blocked(&self, channel: usize) -> bool {
        self.channels[channel] == Channel::Blocked
    }

    /// The checkpoint that is being aligned, if any.
    pub(super) fn current(&self) -> Option<CheckpointId> {
        self.current.map(|b| b.checkpoint)
    }

    fn is_new(&self, id: CheckpointId) -> bool {
        self.newest.is_none_or(|newest| id > newest)
    }

    fn see(&mut self, id: CheckpointId) {
        self.newest = Some(id);
        self.aborted.retain(|&aborted| aborted > id);
    }

    /// A newer checkpoint ends the current one.
    fn subsume(&mut self, effects: &mut Vec<AlignEffect>) {
        if let Some(Barrier { checkpoint: id, .. }) = self.current.take() {
            let reason = FailureReason::CheckpointDeclinedSubsumed;
            effects.extend([
                AlignEffect::Abort { id, reason },
                AlignEffect::ForwardCancel(id),
            ]);
            self.unblock(effects);
        }
    }

    /// Triggers the current checkpoint if no channel is missing. The channel that brought the last
    /// barrier was never blocked as far as the task knows.
    fn complete(&mut self, last: Option<usize>, effects: &mut Vec<AlignEffect>) -> bool {
        if self.channels.contains(&Channel::Open) {
            return false;
        }
        let Some(barrier) = self.current.take() else {
            return false;
        };
        effects.push(AlignEffect::Trigger(barrier));
        if let Some(last) = last {
            self.channels[last] = Channel::Open;
        }
        self.unblock(effects);
        true
    }

    fn unblock(&mut self, effects: &mut Vec<AlignEffect>) {
        if !self.channels.contains(&Channel::Blocked) {
            return;
        }
        for channel in &mut self.channels {
            if *channel == Channel::Blocked {
                *channel = Channel::Open;
            }
        }
        effects.push(AlignEffect::UnblockAll);
    }
}
