//! Pending timers in the order in which they are due, in memory.
//!
//! A kind has one ordered run of chunks, keyed by time, key group and key: the same structure that
//! holds large maps. So setting a timer that is set already and deleting one cost a search, the
//! earliest are at the front, and a frozen queue shares all chunks with the live one. Beside its
//! key a timer takes some 40 bytes, and up to 60 where times come in no order.
//!
//! INVARIANT: each (kind, time, key group, key) is there once at most.

use std::sync::Arc;

use weir_model::KeyGroup;

use super::{TimerKind, Timers, When, ordered};
use crate::{Error, heap::MapChunks, limits};

/// Time and key group before a key.
const HEAD: usize = 10;

/// See the module. A clone is a frozen copy that costs nothing, and one copy of an array of
/// pointers at the next change.
#[derive(Clone, Debug, Default)]
pub struct TimerQueue {
    event: Arc<MapChunks>,
    processing: Arc<MapChunks>,
    /// The entry in hand.
    scratch: Vec<u8>,
}

/// A timer in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingTimer<'a> {
    /// When it is due.
    pub at: i64,
    /// The key group of its key.
    pub group: KeyGroup,
    /// Its key.
    pub key: &'a [u8],
}

impl TimerQueue {
    /// Without timers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many timers of a kind are pending.
    #[must_use]
    pub fn len(&self, kind: TimerKind) -> u64 {
        self.of(kind).entries()
    }

    /// Sets a timer, in an epoch of whoever keeps track of changes; gives back whether it was not
    /// set before.
    pub fn add(&mut self, when: When, group: KeyGroup, key: &[u8], epoch: u64) -> bool {
        self.entry(when.at, group, key);
        let entry = std::mem::take(&mut self.scratch);
        let new = self.of_mut(when.kind).insert(&entry, &[], epoch);
        self.scratch = entry;
        new
    }

    /// Deletes a timer; gives back whether it was set.
    pub fn remove(&mut self, when: When, group: KeyGroup, key: &[u8]) -> bool {
        self.entry(when.at, group, key);
        let entry = std::mem::take(&mut self.scratch);
        let timers = match when.kind {
            TimerKind::EventTime => &mut self.event,
            TimerKind::ProcessingTime => &mut self.processing,
        };
        let there = match Arc::get_mut(timers) {
            Some(timers) => timers.remove(&entry),
            // Looked at first, so that nothing is copied for nothing.
            None => timers.get(&entry).is_some() && Arc::make_mut(timers).remove(&entry),
        };
        self.scratch = entry;
        there
    }

    /// Deletes some timers, whose order it may change, and tells `gone` which of them were set.
    /// Those that have fired are the first of all, and come off together: one by one, each would
    /// move what is behind it.
    pub fn remove_all<'k>(
        &mut self,
        timers: &mut [(TimerKind, PendingTimer<'k>)],
        mut gone: impl FnMut(TimerKind, PendingTimer<'k>),
    ) {
        let order =
            |&(kind, timer): &(_, PendingTimer<'k>)| (kind, timer.at, timer.group, timer.key);
        if !timers.is_sorted_by_key(order) {
            timers.sort_unstable_by_key(order);
        }
        let mut rest = &*timers;
        while let Some(&(kind, timer)) = rest.first() {
            let next = rest.iter().take_while(|(of, _)| *of == kind);
            let first = self.remove_first(kind, next.map(|&(_, timer)| timer));
            let when = When { kind, at: timer.at };
            let is_there = first > 0 || self.remove(when, timer.group, timer.key);
            let (done, behind) = rest.split_at(first.max(1));
            if is_there {
                done.iter().for_each(|&(kind, timer)| gone(kind, timer));
            }
            rest = behind;
        }
    }

    /// Deletes the first timers of a kind as long as they are those that `next` gives, one after
    /// the other; gives back how many it deleted.
    pub(crate) fn remove_first<'k>(
        &mut self,
        kind: TimerKind,
        next: impl Iterator<Item = PendingTimer<'k>>,
    ) -> usize {
        let mut next = next.peekable();
        let mut is_next = |entry: &[u8]| {
            let timer = PendingTimer::of(entry);
            next.next_if(|next| Some(*next) == timer).is_some()
        };
        // Looked at first, so that nothing is copied for nothing.
        let first = self.of(kind).first_key();
        if first.is_none_or(|entry| !is_next(entry)) {
            return 0;
        }
        let mut is_first = true;
        let mut is_next = |entry: &[u8]| std::mem::take(&mut is_first) || is_next(entry);
        self.of_mut(kind).remove_first(&mut is_next)
    }

    /// When the first timer of a kind is due.
    #[must_use]
    pub fn next(&self, kind: TimerKind) -> Option<i64> {
        self.pending(kind).next().map(|timer| timer.at)
    }

    /// Appends the first timers of a kind, up to `limit`, that are due at `until`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where their keys exceed a column.
    pub fn due(
        &self,
        kind: TimerKind,
        until: i64,
        limit: usize,
        out: &mut Timers,
    ) -> Result<(), Error> {
        let mut bytes = out.keys.byte_len();
        let due = self.pending(kind).take_while(|timer| timer.at <= until);
        for timer in due.take(limit) {
            bytes += timer.key.len();
            limits::check_column("the keys of timers", bytes, out.len() + 1)?;
            out.push(timer.at, timer.key);
        }
        Ok(())
    }

    /// The timer of a kind that is due last.
    #[must_use]
    pub fn last(&self, kind: TimerKind) -> Option<PendingTimer<'_>> {
        self.of(kind).last_key().and_then(PendingTimer::of)
    }

    /// The timers of a kind in order.
    pub(crate) fn pending(&self, kind: TimerKind) -> impl Iterator<Item = PendingTimer<'_>> {
        let entries = self.of(kind).iter_after(None);
        entries.filter_map(|(entry, _)| PendingTimer::of(entry))
    }

    /// The timers of a kind that were set after an epoch, in order.
    pub(crate) fn set_since(
        &self,
        kind: TimerKind,
        base: u64,
    ) -> impl Iterator<Item = PendingTimer<'_>> {
        let entries = self.of(kind).put_since(base);
        entries.filter_map(|(entry, _)| PendingTimer::of(entry))
    }

    /// The bytes of its buffers.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.event.memory() + self.processing.memory()
    }

    fn entry(&mut self, at: i64, group: KeyGroup, key: &[u8]) {
        limits::recycle(&mut self.scratch);
        self.scratch.extend_from_slice(&ordered(at));
        self.scratch.extend_from_slice(&group.0.to_be_bytes());
        self.scratch.extend_from_slice(key);
    }

    fn of(&self, kind: TimerKind) -> &MapChunks {
        match kind {
            TimerKind::EventTime => &self.event,
            TimerKind::ProcessingTime => &self.processing,
        }
    }

    fn of_mut(&mut self, kind: TimerKind) -> &mut MapChunks {
        Arc::make_mut(match kind {
            TimerKind::EventTime => &mut self.event,
            TimerKind::ProcessingTime => &mut self.processing,
        })
    }
}

impl<'a> PendingTimer<'a> {
    fn of(entry: &'a [u8]) -> Option<Self> {
        let (head, key) = entry.split_first_chunk::<HEAD>()?;
        let (at, group) = head.split_first_chunk::<8>()?;
        Some(Self {
            at: i64::from_be_bytes(*at) ^ i64::MIN,
            group: KeyGroup(u16::from_be_bytes(group.try_into().ok()?)),
            key,
        })
    }
}
