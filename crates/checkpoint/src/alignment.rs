//! Barrier alignment of one task (semantics 1.14): when its channels have all come to a barrier, or
//! when a barrier overtakes what waits in them.
//!
//! INVARIANT: a checkpoint is triggered at most once, when every channel has delivered its barrier
//! or has ended, or is recorded up to its barrier; one that was given up is never triggered.

use weir_model::{Barrier, CheckpointId, ProcessingTime};

use crate::FailureReason;

mod blocking;
mod overtaking;
#[cfg(test)]
mod tests;
mod tracker;

use blocking::Blocking;
use overtaking::Overtaking;
use tracker::Tracker;

/// What a checkpoint promises about the rows between its barriers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CheckpointMode {
    /// A channel that has delivered its barrier waits for the others: each row is in the state of
    /// a checkpoint once or not at all.
    #[default]
    ExactlyOnce,
    /// No channel ever waits, and several checkpoints may be under way at a time. What comes behind
    /// a barrier before the others have delivered theirs is in the state, and comes again after a
    /// restore.
    AtLeastOnce,
}

/// What a task has to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlignEffect {
    /// Take nothing more from this channel.
    Block(usize),
    /// Take from all channels again.
    UnblockAll,
    /// All channels delivered it: hand over the builders, forward the barrier, snapshot.
    Trigger(Barrier),
    /// The barrier overtakes: hand over the builders, forward the barrier, snapshot. What the next
    /// effects tell to record belongs to the checkpoint, which is not acknowledged before
    /// [`Recorded`](Self::Recorded).
    Overtake(Barrier),
    /// What is in this channel before the barrier, or comes before it, is channel state: everything
    /// that was not processed at the snapshot.
    Record(usize),
    /// The barriers of all channels are in: the channel state is what they have before them.
    Recorded(CheckpointId),
    /// The checkpoint was given up while it was being recorded: nothing is recorded any more. What
    /// sinks have sealed for it stays sealed.
    Discard(CheckpointId),
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
/// use weir_checkpoint::{AlignEffect, Alignment, CheckpointMode};
/// use weir_model::{Barrier, CheckpointId};
///
/// let barrier = Barrier::periodic(CheckpointId(1));
/// let mut alignment = Alignment::new(2, CheckpointMode::ExactlyOnce);
/// assert_eq!(alignment.barrier(1, barrier), [AlignEffect::Block(1)]);
/// assert!(alignment.is_blocked(1));
/// let effects = [AlignEffect::Trigger(barrier), AlignEffect::UnblockAll];
/// assert_eq!(alignment.barrier(0, barrier), effects);
/// assert!(!alignment.is_blocked(1));
///
/// let mut alignment = Alignment::new(2, CheckpointMode::AtLeastOnce);
/// assert_eq!(alignment.barrier(1, barrier), []);
/// assert!(!alignment.is_blocked(1));
/// assert_eq!(alignment.barrier(0, barrier), [AlignEffect::Trigger(barrier)]);
/// ```
#[derive(Clone, Debug)]
pub struct Alignment(Mode);

#[derive(Clone, Debug)]
enum Mode {
    ExactlyOnce(Blocking),
    /// Exactly once, where barriers may overtake.
    Overtaking(Overtaking),
    AtLeastOnce(Tracker),
}

impl Alignment {
    /// Of a task with so many input channels. A task without inputs is triggered by the
    /// coordinator and aligns nothing.
    #[must_use]
    pub fn new(channels: usize, mode: CheckpointMode) -> Self {
        Self(match mode {
            CheckpointMode::ExactlyOnce => Mode::ExactlyOnce(Blocking::new(channels)),
            CheckpointMode::AtLeastOnce => Mode::AtLeastOnce(Tracker::new(channels)),
        })
    }

    /// Exactly once, of barriers that may overtake rows. `stay_aligned` says of each channel
    /// whether nothing overtakes on it, as on a broadcast edge (D9).
    ///
    /// ```
    /// use weir_checkpoint::{AlignEffect, Alignment};
    /// use weir_model::{Barrier, CheckpointId, Passage, ProcessingTime};
    ///
    /// let mut alignment = Alignment::overtaking(&[false, false]);
    /// let barrier = Barrier {
    ///     passage: Passage::Unaligned,
    ///     ..Barrier::periodic(CheckpointId(1))
    /// };
    /// let effects = alignment.announced(0, barrier, ProcessingTime(0));
    /// assert_eq!(
    ///     effects,
    ///     [
    ///         AlignEffect::Overtake(barrier),
    ///         AlignEffect::Record(0),
    ///         AlignEffect::Record(1)
    ///     ]
    /// );
    /// let effects = alignment.announced(1, barrier, ProcessingTime(1));
    /// assert_eq!(effects, [AlignEffect::Recorded(CheckpointId(1))]);
    /// assert_eq!(alignment.barrier(0, barrier), []);
    /// ```
    #[must_use]
    pub fn overtaking(stay_aligned: &[bool]) -> Self {
        Self(Mode::Overtaking(Overtaking::new(stay_aligned)))
    }

    /// `barrier` was put into `channel`; no older one waits there that was not announced before.
    /// Means something only where barriers may overtake.
    pub fn announced(
        &mut self,
        channel: usize,
        barrier: Barrier,
        now: ProcessingTime,
    ) -> Vec<AlignEffect> {
        match &mut self.0 {
            Mode::Overtaking(overtaking) => overtaking.announced(channel, barrier, now),
            Mode::ExactlyOnce(_) | Mode::AtLeastOnce(_) => Vec::new(),
        }
    }

    /// The time has gone on.
    pub fn tick(&mut self, now: ProcessingTime) -> Vec<AlignEffect> {
        match &mut self.0 {
            Mode::Overtaking(overtaking) => overtaking.tick(now),
            Mode::ExactlyOnce(_) | Mode::AtLeastOnce(_) => Vec::new(),
        }
    }

    /// When [`tick`](Self::tick) has something to do, if ever: an alignment has then taken too
    /// long.
    #[must_use]
    pub fn next_deadline(&self) -> Option<ProcessingTime> {
        match &self.0 {
            Mode::Overtaking(overtaking) => overtaking.next_deadline(),
            Mode::ExactlyOnce(_) | Mode::AtLeastOnce(_) => None,
        }
    }

    /// `barrier` came on `channel`, behind everything that is before it there.
    pub fn barrier(&mut self, channel: usize, barrier: Barrier) -> Vec<AlignEffect> {
        match &mut self.0 {
            Mode::ExactlyOnce(blocking) => blocking.barrier(channel, barrier),
            Mode::Overtaking(overtaking) => overtaking.barrier(channel, barrier),
            Mode::AtLeastOnce(tracker) => tracker.barrier(channel, barrier),
        }
    }

    /// The cancel marker of a checkpoint came, on whatever channel. It ends the older ones that are
    /// under way as well.
    pub fn cancel(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
        match &mut self.0 {
            Mode::ExactlyOnce(blocking) => blocking.cancel(id),
            Mode::Overtaking(overtaking) => overtaking.cancel(id),
            Mode::AtLeastOnce(tracker) => tracker.cancel(id),
        }
    }

    /// `channel` has ended, which counts as its barrier (C32).
    pub fn end(&mut self, channel: usize) -> Vec<AlignEffect> {
        match &mut self.0 {
            Mode::ExactlyOnce(blocking) => blocking.end(channel),
            Mode::Overtaking(overtaking) => overtaking.end(channel),
            Mode::AtLeastOnce(tracker) => tracker.end(channel),
        }
    }

    /// The coordinator has given the checkpoint up: there is nothing to decline. A barrier of it
    /// that comes later is answered by the cancel marker and blocks nothing. Others that are under
    /// way stay so.
    pub fn abort(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
        match &mut self.0 {
            Mode::ExactlyOnce(blocking) => blocking.abort(id),
            Mode::Overtaking(overtaking) => overtaking.abort(id),
            Mode::AtLeastOnce(tracker) => tracker.abort(id),
        }
    }

    /// Whether nothing may be taken from `channel` now.
    #[must_use]
    pub fn is_blocked(&self, channel: usize) -> bool {
        match &self.0 {
            Mode::ExactlyOnce(blocking) => blocking.is_blocked(channel),
            Mode::Overtaking(overtaking) => overtaking.is_blocked(channel),
            Mode::AtLeastOnce(_) => false,
        }
    }

    /// Whether the sender of `channel` must not be held up though the channel is blocked: a barrier
    /// that overtakes waits for channels that stay aligned. Tasks between their senders and this
    /// one have let it through already, so that what is before it there may have to pass them first
    /// and with them this channel.
    #[must_use]
    pub fn is_relaxed(&self, channel: usize) -> bool {
        match &self.0 {
            Mode::Overtaking(overtaking) => overtaking.is_relaxed(channel),
            Mode::ExactlyOnce(_) | Mode::AtLeastOnce(_) => false,
        }
    }

    /// The newest checkpoint that is being aligned, if any.
    #[must_use]
    pub fn current(&self) -> Option<CheckpointId> {
        match &self.0 {
            Mode::ExactlyOnce(blocking) => blocking.current(),
            Mode::Overtaking(overtaking) => overtaking.current(),
            Mode::AtLeastOnce(tracker) => tracker.current(),
        }
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
            AlignEffect::Trigger(_) | AlignEffect::Overtake(_) => {
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
            AlignEffect::ForwardCancel(_)
            | AlignEffect::Record(_)
            | AlignEffect::Recorded(_)
            | AlignEffect::Discard(_) => None,
        }
    }
}
