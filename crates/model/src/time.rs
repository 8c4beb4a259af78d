//! Event time and processing time, both in milliseconds since the Unix epoch.

use std::fmt;

/// A point in event time: milliseconds since the Unix epoch, as the rows themselves say.
///
/// `MIN` is the watermark before anything is known, `MAX` the watermark at the end of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before everything: the watermark of a stream that has said nothing yet.
    pub const MIN: Self = Self(i64::MIN);
    /// After everything: the watermark of a stream that has ended.
    pub const MAX: Self = Self(i64::MAX);
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("MIN"),
            Self::MAX => f.write_str("MAX"),
            Self(ms) => write!(f, "{ms}"),
        }
    }
}

/// A reading of the injected clock: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessingTime(pub i64);

impl ProcessingTime {
    /// The time `ms` milliseconds later, saturating.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// Milliseconds from `earlier` to this, zero where the clock went back.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}
