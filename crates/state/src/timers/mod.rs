//! Timers: what a key is to be called for, and when (semantics 1.8, D14).
//!
//! Timers are keyed state of a kind of their own, [`StateKind::Timers`](crate::StateKind::Timers),
//! declared by [`StateDecl::timers`](crate::StateDecl::timers): they are in checkpoints, and move
//! with the key group of their key. A timer is (kind, key, time), and there is one of each at most.
//!
//! In rows (see [`SnapshotSink::block`](crate::SnapshotSink::block)) they are as a map is, with
//! what is usually the key and the map key the other way round: the key of a row is [`When`], its
//! map keys are the keys that have a timer then, and values are empty. So rows rise by time within
//! a key group, which is how a database keeps them.

mod queue;
#[cfg(test)]
mod tests;

use std::fmt;

use weir_model::Column;

use crate::KeyBatch;

pub use queue::{PendingTimer, TimerQueue};

/// Which time a timer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// The watermark.
    EventTime,
    /// The clock.
    ProcessingTime,
}

impl TimerKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::EventTime, Self::ProcessingTime];

    /// The kind of this name; `None` where there is none.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name in messages, and in what tools show.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventTime => "event-time",
            Self::ProcessingTime => "processing-time",
        }
    }
}

impl fmt::Display for TimerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When a timer is due, in the encoding of rows: a byte for the kind, then the time in big endian
/// with its sign turned round, so that byte order is the order of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct When {
    /// By which time.
    pub kind: TimerKind,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
}

impl When {
    /// How many bytes it takes.
    pub const BYTES: usize = 9;

    /// Its bytes. Part of the format of checkpoints.
    #[must_use]
    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = match self.kind {
            TimerKind::EventTime => 1,
            TimerKind::ProcessingTime => 2,
        };
        bytes[1..].copy_from_slice(&ordered(self.at));
        bytes
    }

    /// What such bytes say; `None` where they say nothing.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, at) = bytes.split_first()?;
        let kind = match kind {
            1 => TimerKind::EventTime,
            2 => TimerKind::ProcessingTime,
            _ => return None,
        };
        let at = i64::from_be_bytes(at.try_into().ok()?) ^ i64::MIN;
        Some(Self { kind, at })
    }
}

/// A time as bytes of the same order.
fn ordered(at: i64) -> [u8; 8] {
    (at ^ i64::MIN).to_be_bytes()
}

/// Timers of one kind in the order in which they are due; of those due at once, in order of key
/// groups and keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// When each is due.
    pub at: Vec<i64>,
    /// The key of each, as many.
    pub keys: Column,
}

impl Timers {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// Adds one.
    pub fn push(&mut self, at: i64, key: &[u8]) {
        self.at.push(at);
        self.keys.push(key);
    }

    /// Drops all and keeps the buffers.
    pub fn clear(&mut self) {
        self.at.clear();
        self.keys.clear();
    }
}

/// What one call does to timers; of each (kind, key, time) at most one thing.
#[derive(Clone, Debug, Default)]
pub struct TimerWrites {
    /// When each is or was due.
    pub when: Vec<When>,
    /// The index of the key of each.
    pub keys: Vec<u32>,
    /// Whether each is set (1) or no more (0).
    pub set: Vec<u8>,
}

impl TimerWrites {
    /// Whether nothing is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.when.is_empty()
    }

    /// What is done: when, the index of the key, and whether it is set.
    pub fn iter(&self) -> impl Iterator<Item = (When, usize, bool)> {
        let each = self.when.iter().zip(&self.keys).zip(&self.set);
        each.map(|((&when, &key), &set)| (when, key as usize, set != 0))
    }

    /// The timers that are deleted, of keys that these are. As nothing is done to a timer twice,
    /// they may be deleted before any is set.
    #[must_use]
    pub fn deleted<'k>(&self, keys: &KeyBatch<'k>) -> Vec<(TimerKind, PendingTimer<'k>)> {
        let deleted = self.iter().filter(|(.., set)| !set);
        let timers = deleted.map(|(when, key, _)| {
            let timer = PendingTimer {
                at: when.at,
                group: keys.groups[key],
                key: keys.keys.get(key),
            };
            (when.kind, timer)
        });
        timers.collect()
    }
}
