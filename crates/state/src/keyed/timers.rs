//! The timers of a call: what it sets and deletes, and those that fire in it.
//!
//! A timer that fires is no longer pending in the call that it fires in, and goes for good when
//! that is committed.

use super::KeyedState;
use crate::{Error, StateKind, TimerKind, TimerWrites, Timers, When, limits};

/// One thing done to a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    key: u32,
    when: When,
    /// The later one counts.
    number: u32,
    set: bool,
}

/// A timer that fires in the call in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fired {
    key: u32,
    at: i64,
    /// Its place among those of the call.
    place: u32,
}

/// What a call has done to timers.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    changes: Vec<Change>,
    kind: Option<TimerKind>,
    fired: Vec<Fired>,
}

impl Overlay {
    pub(super) fn reset(&mut self) {
        limits::recycle(&mut self.changes);
        limits::recycle(&mut self.fired);
        self.kind = None;
    }

    /// Moves what the call did to `writes`, of each timer what it did last. What fires goes first.
    pub(super) fn drain_into(&mut self, writes: &mut TimerWrites) {
        if let Some(kind) = self.kind {
            let gone = self.fired.iter().map(|fired| Change {
                key: fired.key,
                when: When { kind, at: fired.at },
                number: 0,
                set: false,
            });
            self.changes.extend(gone);
        }
        self.changes.sort_unstable();
        for same in self
            .changes
            .chunk_by(|a, b| (a.key, a.when) == (b.key, b.when))
        {
            if let Some(last) = same.last() {
                writes.when.push(last.when);
                writes.keys.push(last.key);
                writes.set.push(u8::from(last.set));
            }
        }
        self.reset();
    }

    /// See [`KeyedState::timer_conflict`].
    fn conflict(&mut self) -> Option<usize> {
        let kind = self.kind?;
        if self.changes.iter().all(|change| change.when.kind != kind) {
            return None;
        }
        self.fired.sort_unstable();
        let mut first: Option<u32> = None;
        for change in self
            .changes
            .iter()
            .filter(|change| change.when.kind == kind)
        {
            let from = self.fired.partition_point(|fired| fired.key < change.key);
            let of_key = self.fired[from..].iter();
            let of_key = of_key.take_while(|fired| fired.key == change.key).skip(1);
            // Who set or deleted it is not known: it may have been an earlier one of the key.
            let mut wrong = of_key.filter(|fired| match change.set {
                true => change.when.at <= fired.at,
                false => change.when.at == fired.at,
            });
            if let Some(wrong) = wrong.next() {
                first = Some(first.map_or(wrong.place, |first| first.min(wrong.place)));
            }
        }
        first.map(|place| place as usize)
    }
}

impl KeyedState {
    /// Whether there are timers.
    #[must_use]
    pub fn has_timers(&self) -> bool {
        let mut states = self.states().iter();
        states.any(|decl| decl.kind == StateKind::Timers)
    }

    /// When the first timer of a kind is due, as far as was committed.
    ///
    /// # Errors
    /// [`Error`] where the backend fails.
    pub fn next_timer(&mut self, kind: TimerKind) -> Result<Option<i64>, Error> {
        self.backend.as_mut().next_timer(kind)
    }

    /// Appends the first timers of a kind that are due at `until`, up to `limit`, as far as was
    /// committed.
    ///
    /// # Errors
    /// [`Error`] where the backend fails.
    pub fn due_timers(
        &mut self,
        kind: TimerKind,
        until: i64,
        limit: usize,
        out: &mut Timers,
    ) -> Result<(), Error> {
        self.backend.as_mut().due_timers(kind, until, limit, out)
    }

    /// Says that the call in hand, which has just begun, is that of these timers, in order: each
    /// with the index of its key in the call. They are gone when the call is committed.
    ///
    /// # Errors
    /// [`Error::Mismatch`], [`Error::NoSuchKey`].
    pub fn fire(&mut self, kind: TimerKind, at: &[i64], key_of_timer: &[u32]) -> Result<(), Error> {
        super::check_lengths("keys of timers", key_of_timer.len(), at.len())?;
        self.check_timer_keys(key_of_timer)?;
        let timers = &mut self.timers;
        timers.kind = Some(kind);
        let fired = at.iter().zip(key_of_timer).zip(0..);
        timers
            .fired
            .extend(fired.map(|((&at, &key), place)| Fired { key, at, place }));
        Ok(())
    }

    /// Of the timers of the call only the first `count` count as fired; the others stay set.
    pub fn fired_only(&mut self, count: usize) {
        let fired = &mut self.timers.fired;
        fired.retain(|fired| (fired.place as usize) < count);
    }

    /// Sets a timer for each of `keys`, which may repeat. One that is set already stays as it is.
    ///
    /// # Errors
    /// [`Error`] where there are no timers or no such key; then none is set.
    pub fn timers_set(&mut self, kind: TimerKind, keys: &[u32], at: &[i64]) -> Result<(), Error> {
        self.change_timers(kind, keys, at, true)
    }

    /// Deletes a timer of each of `keys`. One that is not set is no error.
    ///
    /// # Errors
    /// As [`timers_set`](Self::timers_set).
    pub fn timers_delete(
        &mut self,
        kind: TimerKind,
        keys: &[u32],
        at: &[i64],
    ) -> Result<(), Error> {
        self.change_timers(kind, keys, at, false)
    }

    /// Whether the timers of the call should not have fired together, were they one by one: the
    /// call set for some key a timer that is due before a later one of that key in the call, or
    /// deleted such a later one. Gives back how many timers from the first on are sure to be as
    /// they would be one by one: one at least (D14).
    pub fn timer_conflict(&mut self) -> Option<usize> {
        self.timers.conflict()
    }

    fn change_timers(
        &mut self,
        kind: TimerKind,
        keys: &[u32],
        at: &[i64],
        set: bool,
    ) -> Result<(), Error> {
        if !self.has_timers() {
            return Err(Error::NoTimers);
        }
        if !self.call.keyed {
            return Err(Error::TimersNotKeyed);
        }
        super::check_lengths("times of keys", at.len(), keys.len())?;
        self.check_timer_keys(keys)?;
        let changes = &mut self.timers.changes;
        limits::check(
            "what a call does to timers",
            (changes.len() + keys.len()) * size_of::<Change>(),
            limits::MAX_COLUMN_BYTES,
        )?;
        // Behind those that fire.
        let number = changes.len() as u32 + 1;
        let each = keys.iter().zip(at).zip(number..);
        changes.extend(each.map(|((&key, &at), number)| Change {
            key,
            when: When { kind, at },
            number,
            set,
        }));
        Ok(())
    }

    fn check_timer_keys(&self, keys: &[u32]) -> Result<(), Error> {
        let known = self.call.keys.len();
        match keys.iter().find(|&&key| key as usize >= known) {
            None => Ok(()),
            Some(&index) => Err(Error::NoSuchKey { index, keys: known }),
        }
    }
}
