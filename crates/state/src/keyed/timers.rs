//! The timers of a call: what it sets and deletes, and those that fire in it.
//!
//! A timer that fires is no longer pending in the call that it fires in, and goes for good when
//! that is committed.

use super::KeyedState;
use crate::{Error, StateKind, TimerKind, TimerWrites, Timers, When, limits};

/// One thing done to a timer, as a number: from the top the key, which kind, the time, of which the
/// later one counts, and whether it is set. So they are sorted as numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change(u128);

/// The lowest bit of the time in a [`Change`].
const AT: u32 = 31;
/// The bit of the kind.
const KIND: u32 = AT + 64;
/// The lowest bit of the key.
const KEY: u32 = KIND + 1;

impl Change {
    /// What is done as the `number`-th of a call, see [`MOST_CHANGES`].
    fn new(key: u32, when: When, number: u32, set: bool) -> Self {
        let kind = match when.kind {
            TimerKind::EventTime => 0,
            TimerKind::ProcessingTime => 1,
        };
        let at = (when.at ^ i64::MIN).cast_unsigned();
        let of = u128::from(key) << KEY | kind << KIND | u128::from(at) << AT;
        Self(of | u128::from(number << 1) | u128::from(set))
    }

    fn key(self) -> u32 {
        (self.0 >> KEY) as u32
    }

    fn when(self) -> When {
        When {
            kind: match self.0 >> KIND & 1 {
                0 => TimerKind::EventTime,
                _ => TimerKind::ProcessingTime,
            },
            at: ((self.0 >> AT) as u64).cast_signed() ^ i64::MIN,
        }
    }

    fn is_set(self) -> bool {
        self.0 & 1 != 0
    }

    /// Which timer of which key it is.
    fn timer(self) -> u128 {
        self.0 >> AT
    }
}

/// What a call does to timers is numbered in 30 bits, and what fires in it is number 0.
const MOST_CHANGES: usize = (1 << (AT - 1)) - 1;
const _: () = assert!(limits::MAX_COLUMN_BYTES / size_of::<Change>() <= MOST_CHANGES);

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
    /// Forgets the call.
    pub(super) fn reset(&mut self) {
        self.rollback();
        limits::recycle(&mut self.fired);
        self.kind = None;
    }

    /// Forgets what the call did. It is still that of the timers that fire in it.
    pub(super) fn rollback(&mut self) {
        limits::recycle(&mut self.changes);
    }

    /// Moves what the call did to `writes`, of each timer what it did last. What fires goes first.
    pub(super) fn drain_into(&mut self, writes: &mut TimerWrites) {
        if let Some(kind) = self.kind {
            let gone = self.fired.iter().map(|fired| {
                let when = When { kind, at: fired.at };
                Change::new(fired.key, when, 0, false)
            });
            self.changes.extend(gone);
        }
        self.changes.sort_unstable();
        for same in self.changes.chunk_by(|a, b| a.timer() == b.timer()) {
            if let Some(last) = same.last() {
                writes.when.push(last.when());
                writes.keys.push(last.key());
                writes.set.push(u8::from(last.is_set()));
            }
        }
        self.reset();
    }

    /// See [`KeyedState::timer_conflict`].
    fn conflict(&mut self) -> Option<usize> {
        let kind = self.kind?;
        let mut changes = self.changes.iter();
        if changes.all(|change| change.when().kind != kind) {
            return None;
        }
        self.fired.sort_unstable();
        let mut first: Option<u32> = None;
        for &change in &self.changes {
            let (key, when) = (change.key(), change.when());
            if when.kind != kind {
                continue;
            }
            let from = self.fired.partition_point(|fired| fired.key < key);
            let of_key = self.fired[from..].iter();
            let of_key = of_key.take_while(|fired| fired.key == key).skip(1);
            // Who set or deleted it is not known: it may have been an earlier one of the key.
            let mut wrong = of_key.filter(|fired| match change.is_set() {
                true => when.at <= fired.at,
                false => when.at == fired.at,
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
        changes.extend(each.map(|((&key, &at), number)| {
            let when = When { kind, at };
            Change::new(key, when, number, set)
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
