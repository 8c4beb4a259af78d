//! Exactly-once alignment of barriers that may overtake rows (semantics 1.14, D5, D9).
//!
//! A barrier is *announced* when it is put into a channel, and *delivered* when everything before
//! it was processed. One whose passage is unaligned counts as soon as it is announced anywhere: the
//! task snapshots at once, and what is still before the barrier of each other channel becomes
//! channel state. One that is aligned until a time is aligned as any other, and becomes unaligned
//! when that time has come, in the middle of an alignment too.
//!
//! INVARIANT: a checkpoint is triggered at most once. When it is, each channel has delivered its
//! barrier or has ended, or it is recorded up to its barrier; a channel that stays aligned (a
//! broadcast edge) is never recorded. Recording ends in `Recorded` or in `Discard`, once.

use std::collections::BTreeSet;

use weir_model::{Barrier, CheckpointId, Passage, ProcessingTime};

use super::AlignEffect;
use crate::FailureReason;

#[derive(Clone, Debug)]
pub(super) struct Overtaking {
    channels: Vec<Channel>,
    /// The newest checkpoint that was begun or given up here.
    newest: Option<CheckpointId>,
    /// The checkpoint under way; its id is `newest`.
    current: Option<Current>,
    /// Given up by the coordinator before a barrier of them came. At most as many as are pending.
    pub(super) aborted: BTreeSet<CheckpointId>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    /// Nothing overtakes on it (D9).
    stays_aligned: bool,
    at: At,
}

/// How far a channel is with the current checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// No barrier is known of.
    Open,
    /// Its barrier waits in it.
    Announced,
    /// It has delivered its barrier, and waits.
    Blocked,
    /// Its barrier is known where it is recorded up to it, or was delivered before recording.
    Passed,
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    barrier: Barrier,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// As if nothing could overtake.
    Aligning,
    /// It overtakes as soon as the channels that stay aligned have delivered it.
    Waiting,
    /// It was triggered; channels are recorded.
    Recording,
}

impl Overtaking {
    pub(super) fn new(stay_aligned: &[bool]) -> Self {
        let channels = stay_aligned.iter().map(|&stays_aligned| Channel {
            stays_aligned,
            at: At::Open,
        });
        Self {
            channels: channels.collect(),
            newest: None,
            current: None,
            aborted: BTreeSet::new(),
        }
    }

    /// `barrier` was put into `channel`; all that are before it there were delivered or announced.
    pub(super) fn announced(
        &mut self,
        channel: usize,
        barrier: Barrier,
        now: ProcessingTime,
    ) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        if barrier.passage == Passage::Aligned || !self.begin(barrier, &mut effects) {
            return effects;
        }
        let known = &mut self.channels[channel];
        if known.at == At::Open {
            known.at = At::Announced;
        }
        self.switch_if_due(now);
        self.advance(None, &mut effects);
        effects
    }

    /// `barrier` came on `channel`, and all that is before it was processed.
    pub(super) fn barrier(&mut self, channel: usize, barrier: Barrier) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        if self.channels[channel].at == At::Ended || !self.begin(barrier, &mut effects) {
            return effects;
        }
        let known = &mut self.channels[channel];
        if matches!(known.at, At::Open | At::Announced) {
            known.at = At::Blocked;
            let triggered = self.advance(Some(channel), &mut effects);
            if !triggered && self.is_blocked(channel) {
                effects.push(AlignEffect::Block(channel));
            }
        }
        effects
    }

    /// The cancel marker of a checkpoint came, on whatever channel. One of a newer checkpoint ends
    /// the current one as well: there is one at a time, so the coordinator has given that up.
    pub(super) fn cancel(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        let is_current = self.current() == Some(id);
        if !is_current && !self.is_new(id) {
            return effects;
        }
        if is_current {
            let reason = FailureReason::CheckpointDeclinedOnCancellationBarrier;
            self.give_up(Some(reason), &mut effects);
            return effects;
        }
        self.subsume(&mut effects);
        if !self.aborted.contains(&id) {
            let reason = FailureReason::CheckpointDeclinedOnCancellationBarrier;
            effects.push(AlignEffect::Abort { id, reason });
        }
        effects.push(AlignEffect::ForwardCancel(id));
        self.see(id);
        effects
    }

    /// `channel` has ended, which counts as its barrier (C32).
    pub(super) fn end(&mut self, channel: usize) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        self.channels[channel].at = At::Ended;
        self.advance(None, &mut effects);
        effects
    }

    /// The coordinator has given the checkpoint up.
    pub(super) fn abort(&mut self, id: CheckpointId) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        if self.current() == Some(id) {
            self.give_up(None, &mut effects);
        } else if self.is_new(id) && !self.channels.is_empty() {
            // Without channels no barrier comes that would make it forgotten.
            self.aborted.insert(id);
        }
        effects
    }

    /// The time has gone on.
    pub(super) fn tick(&mut self, now: ProcessingTime) -> Vec<AlignEffect> {
        let mut effects = Vec::new();
        if self.switch_if_due(now) {
            self.advance(None, &mut effects);
        }
        effects
    }

    /// When `tick` has something to do.
    pub(super) fn next_deadline(&self) -> Option<ProcessingTime> {
        match self.current {
            Some(Current {
                barrier,
                phase: Phase::Aligning,
            }) => match barrier.passage {
                Passage::AlignedUntil(time) => Some(time),
                Passage::Aligned | Passage::Unaligned => None,
            },
            Some(_) | None => None,
        }
    }

    pub(super) fn is_blocked(&self, channel: usize) -> bool {
        self.channels[channel].at == At::Blocked
    }

    pub(super) fn is_relaxed(&self, channel: usize) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.phase == Phase::Waiting) && self.is_blocked(channel)
    }

    pub(super) fn current(&self) -> Option<CheckpointId> {
        self.current.map(|current| current.barrier.checkpoint)
    }

    fn is_new(&self, id: CheckpointId) -> bool {
        self.newest.is_none_or(|newest| id > newest)
    }

    fn see(&mut self, id: CheckpointId) {
        self.newest = Some(id);
        self.aborted.retain(|&aborted| aborted > id);
    }

    /// Whether a barrier belongs to the current checkpoint, which it may begin.
    fn begin(&mut self, barrier: Barrier, effects: &mut Vec<AlignEffect>) -> bool {
        let id = barrier.checkpoint;
        if let Some(current) = &mut self.current
            && current.barrier.checkpoint == id
        {
            // Somebody upstream has switched.
            if barrier.passage == Passage::Unaligned && current.phase == Phase::Aligning {
                current.phase = Phase::Waiting;
            }
            return true;
        }
        if !self.is_new(id) {
            return false;
        }
        self.subsume(effects);
        let is_aborted = self.aborted.contains(&id);
        self.see(id);
        if is_aborted {
            effects.push(AlignEffect::ForwardCancel(id));
            return false;
        }
        let phase = match barrier.passage {
            Passage::Aligned | Passage::AlignedUntil(_) => Phase::Aligning,
            Passage::Unaligned => Phase::Waiting,
        };
        self.current = Some(Current { barrier, phase });
        true
    }

    /// The alignment has taken too long.
    fn switch_if_due(&mut self, now: ProcessingTime) -> bool {
        let is_due = self.next_deadline().is_some_and(|deadline| deadline <= now);
        if let Some(current) = self.current.as_mut().filter(|_| is_due) {
            current.phase = Phase::Waiting;
        }
        is_due
    }

    /// A newer checkpoint ends the current one.
    fn subsume(&mut self, effects: &mut Vec<AlignEffect>) {
        self.give_up(Some(FailureReason::CheckpointDeclinedSubsumed), effects);
    }

    /// Ends the current checkpoint; with a reason, the coordinator does not know yet.
    fn give_up(&mut self, reason: Option<FailureReason>, effects: &mut Vec<AlignEffect>) {
        let Some(Current { barrier, phase }) = self.current.take() else {
            return;
        };
        let id = barrier.checkpoint;
        if phase == Phase::Recording {
            effects.push(AlignEffect::Discard(id));
        }
        effects.extend(reason.map(|reason| AlignEffect::Abort { id, reason }));
        effects.push(AlignEffect::ForwardCancel(id));
        self.reset(effects);
    }

    /// Triggers the current checkpoint if no channel is missing any more, or says that what it
    /// recorded is whole. The channel that brought the last barrier was never blocked as far as the
    /// task knows. Gives back whether the checkpoint was triggered.
    fn advance(&mut self, last: Option<usize>, effects: &mut Vec<AlignEffect>) -> bool {
        let Some(current) = self.current else {
            return false;
        };
        let mut barrier = current.barrier;
        let has_come = |channel: &Channel| matches!(channel.at, At::Blocked | At::Ended);
        match current.phase {
            Phase::Recording => {
                self.recorded(effects);
                false
            }
            Phase::Aligning | Phase::Waiting if self.channels.iter().all(has_come) => {
                if current.phase == Phase::Waiting {
                    barrier.passage = Passage::Unaligned;
                }
                effects.push(AlignEffect::Trigger(barrier));
                self.current = None;
                self.forget(last);
                self.reset(effects);
                true
            }
            Phase::Aligning => false,
            Phase::Waiting => {
                let mut staying = self.channels.iter().filter(|channel| channel.stays_aligned);
                if !staying.all(has_come) {
                    return false;
                }
                barrier.passage = Passage::Unaligned;
                self.overtake(barrier, last, effects);
                true
            }
        }
    }

    /// The barrier overtakes what is before it.
    fn overtake(&mut self, barrier: Barrier, last: Option<usize>, effects: &mut Vec<AlignEffect>) {
        effects.push(AlignEffect::Overtake(barrier));
        self.current = Some(Current {
            barrier,
            phase: Phase::Recording,
        });
        let mut blocked = false;
        for (index, channel) in self.channels.iter_mut().enumerate() {
            match channel.at {
                At::Blocked => {
                    blocked |= last != Some(index);
                    channel.at = At::Passed;
                }
                At::Announced => {
                    effects.push(AlignEffect::Record(index));
                    channel.at = At::Passed;
                }
                At::Open => effects.push(AlignEffect::Record(index)),
                At::Passed | At::Ended => {}
            }
        }
        if blocked {
            effects.push(AlignEffect::UnblockAll);
        }
        self.recorded(effects);
    }

    /// Says so if every channel is recorded up to its barrier.
    fn recorded(&mut self, effects: &mut Vec<AlignEffect>) {
        for channel in &mut self.channels {
            if matches!(channel.at, At::Announced | At::Blocked) {
                channel.at = At::Passed;
            }
        }
        if self.channels.iter().any(|channel| channel.at == At::Open) {
            return;
        }
        if let Some(current) = self.current.take() {
            effects.push(AlignEffect::Recorded(current.barrier.checkpoint));
            self.reset(effects);
        }
    }

    fn forget(&mut self, channel: Option<usize>) {
        if let Some(channel) = channel {
            self.channels[channel].at = At::Open;
        }
    }

    fn reset(&mut self, effects: &mut Vec<AlignEffect>) {
        let mut blocked = false;
        for channel in &mut self.channels {
            blocked |= channel.at == At::Blocked;
            if channel.at != At::Ended {
                channel.at = At::Open;
            }
        }
        if blocked {
            effects.push(AlignEffect::UnblockAll);
        }
    }
}
