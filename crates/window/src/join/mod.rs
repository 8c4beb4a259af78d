//! Joins, decided purely (semantics 1.10): which rows of two inputs belong together, what comes too
//! late, and from when on nobody can need a row any more. Each has a reference that takes one row
//! after the other: what works on batches is held against it.

mod interval;
mod temporal;

pub use interval::{BadInterval, Interval, IntervalReference};
pub use temporal::{Temporal, TemporalReference};

use weir_model::EventTime;

/// One of the two inputs of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The first one.
    Left,
    /// The second one.
    Right,
}

impl Side {
    /// The side of an input; `None` where a join has no such input.
    #[must_use]
    pub fn of(input: u32) -> Option<Self> {
        match input {
            0 => Some(Self::Left),
            1 => Some(Self::Right),
            _ => None,
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// Of which inputs rows count that have found nothing in the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinKind {
    /// Of none.
    #[default]
    Inner,
    /// Of the left one.
    Left,
    /// Of the right one.
    Right,
    /// Of both.
    Full,
}

impl JoinKind {
    /// Whether a row of this side counts that has found nothing.
    #[must_use]
    pub fn keeps(self, side: Side) -> bool {
        match self {
            Self::Inner => false,
            Self::Left => side == Side::Left,
            Self::Right => side == Side::Right,
            Self::Full => true,
        }
    }
}

/// Whether a row comes too late for a join: the watermark has passed it (case C27). One at the
/// watermark itself does not, as in Flink.
#[must_use]
pub fn is_late(time: i64, watermark: EventTime) -> bool {
    EventTime(time) < watermark
}
