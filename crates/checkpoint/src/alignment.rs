//! Barrier alignment of one task, exactly-once (semantics 1.14, "aligned").
//!
//! INVARIANT: a checkpoint is triggered once, when every channel has delivered its barrier or has
//! ended; until then no row from behind that barrier is let through. What is older than the newest
//! checkpoint seen never blocks a channel again.

use std::collections::BTreeSet;

use weir_model::{Barrier, CheckpointId, ProcessingTime};

use crate::FailureReason;

#[cfg(test)]
mod tests;

/// What a task has to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlignEffect {
    /// Take nothing more from this channel.
    Block(usize),
    /// Take from all channels again.
    UnblockAll,
    /// All channels delivered it: hand over the builders, forward the barrier, snapshot.
    Trigger(Barrier),
    /// The task cannot take part any more: decline the checkpoint at the coordinator.
    Abort {
        /// The checkpoint given up.
        id: CheckpointId,
        /// Why; what the decline says.
        reason: FailureReason,
    },
    /// Send the cancel marker of this checkpoint to all outputs.
    ForwardCancel(CheckpointId),
}

/// The alignment of one task over its input channels, numbered from 0.
///
/// Channel numbers come from the task itself: one out of bounds is a bug and panics.
///
/// ```
/// use weir_checkpoint::{AlignEffect, Alignment};
/// use weir_model::{Barrier, BarrierKind, CheckpointId};
///
/// let barrier = Barrier { checkpoint: CheckpointId(1), kind: BarrierKind::Periodic };
/// let mut alignment = Alignment::new(2);
/// assert_eq!(alignment.barrier(1, barrier), [AlignEffect::Block(1)]);
/// assert!(alignment.is_blocked(1));
/// let effects = [AlignEffect::Trigger(barrier), AlignEffect::UnblockAll];
/// assert_eq!(alignment.barrier(0, barrier), effects);
/// assert!(!alignment.is_blocked(1));
/// ```
#[derive(Clone, Debug)]
pub struct Alignment {
    channels: Vec<Channel>,
    /// The newest checkpoint that was begun or given up here.
    newest: Option<CheckpointId>,
    /// The checkpoint that is being aligned; its id is `newest`.
    current: Option<Barrier>,
    /// Given up by the coordinator before a barrier of them came. At most as many as are pending.
    aborted: BTreeSet<CheckpointId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Open,
    /// Delivered the barrier of the current checkpoint.
    Blocked,
    Ended,
}

impl Alignment {
    /// Of a task with so many input channels. A task without inputs is triggered by the
    /// coordinator and aligns nothing.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels: vec![Channel::Open; channels],
            newest: None,
            current: None,
            aborted: BTreeSet::new(),
        }
    }

    /// `barrier` came on `channel`.
    pub fn barrier(&mut self, channel: usize, barrier: Barrier) -> Vec<AlignEffect> {
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
    pub fn cancel(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
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
    pub fn end(&mut self, channel: usize) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        self.channels[channel] = Channel::Ended;
        self.complete(None, &mut effects);
        effects
    }

    /// The coordinator has given the checkpoint up: there is nothing to decline. A barrier of it
    /// that comes later is answered by the cancel marker and blocks nothing.
    pub fn abort(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        if self.current.is_some_and(|b| b.checkpoint == id) {
            self.current = None;
            effects.push(AlignEffect::ForwardCancel(id));
            self.unblock(&mut effects);
        } else if self.is_new(id) {
            self.aborted.insert(id);
        }
        effects
    }

    /// Whether nothing may be taken from `channel` now.
    #[must_use]
    pub fn is_blocked(&self, channel: usize) -> bool {
        self.channels[channel] == Channel::Blocked
    }

    /// The checkpoint that is being aligned, if any.
    #[must_use]
    pub fn current(&self) -> Option<CheckpointId> {
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

/// What an alignment cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aligned {
    /// Milliseconds from the first barrier to the last.
    pub duration_ms: u64,
    /// Bytes processed meanwhile, from the channels that were not blocked.
    pub bytes: u64,
}

/// Measures alignments, fed by the task with what happens anyway.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlignmentMeter {
    running: Option<(ProcessingTime, u64)>,
}

impl AlignmentMeter {
    /// Bytes of rows were processed; they count while an alignment is under way.
    pub fn processed(&mut self, bytes: u64) {
        if let Some((_, sum)) = &mut self.running {
            *sum += bytes;
        }
    }

    /// Shows an effect of the alignment; gives the cost of the one that this effect ends well. A
    /// checkpoint that blocked nothing cost nothing.
    pub fn observe(&mut self, effect: &AlignEffect, now: ProcessingTime) -> Option<Aligned> {
        match effect {
            AlignEffect::Block(_) => {
                self.running.get_or_insert((now, 0));
                None
            }
            AlignEffect::Trigger(_) => {
                let ended = self.running.take().map(|(began, bytes)| Aligned {
                    duration_ms: now.since(began),
                    bytes,
                });
                Some(ended.unwrap_or_default())
            }
            AlignEffect::UnblockAll | AlignEffect::Abort { .. } => {
                self.running = None;
                None
            }
            AlignEffect::ForwardCancel(_) => None,
        }
    }
}
