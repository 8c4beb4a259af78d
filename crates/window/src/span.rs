//! A window: a span of time, or all of it.

use std::fmt;

use weir_model::EventTime;

/// The time from `start` up to and without `end`, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Its first millisecond.
    pub start: i64,
    /// The first one behind it.
    pub end: i64,
}

/// Bytes that are no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are no window")]
pub struct BadSpan(usize);

impl Window {
    /// All of time: the one window that has no end.
    pub const GLOBAL: Self = Self {
        start: i64::MIN,
        end: i64::MAX,
    };
    /// How many bytes [`encode`](Self::encode) gives.
    pub const ENCODED: usize = 16;

    /// The last time that lies in it. That of [`GLOBAL`](Self::GLOBAL) is no row's.
    #[must_use]
    pub fn max_timestamp(self) -> EventTime {
        match self {
            Self::GLOBAL => EventTime::MAX,
            Self { end, .. } => EventTime(end.saturating_sub(1)),
        }
    }

    /// Whether the two have a time in common, or follow each other without a gap.
    #[must_use]
    pub fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The least window that holds both.
    #[must_use]
    pub fn cover(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// As bytes whose order is that of windows: by start, then by end.
    #[must_use]
    pub fn encode(self) -> [u8; Self::ENCODED] {
        let ordered = |time: i64| (time.cast_unsigned() ^ (1 << 63)).to_be_bytes();
        let mut bytes = [0; Self::ENCODED];
        bytes[..8].copy_from_slice(&ordered(self.start));
        bytes[8..].copy_from_slice(&ordered(self.end));
        bytes
    }

    /// Reads what [`encode`](Self::encode) gave.
    ///
    /// # Errors
    /// [`BadSpan`] where it is of another length.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadSpan> {
        let (start, rest) = bytes.split_first_chunk().ok_or(BadSpan(bytes.len()))?;
        let end = rest.try_into().map_err(|_| BadSpan(bytes.len()))?;
        let time = |bytes| (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed();
        Ok(Self {
            start: time(*start),
            end: time(end),
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::GLOBAL => f.write_str("all of time"),
            Self { start, end } => write!(f, "[{start}, {end})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_that_follow_each_other_touch() {
        let window = |start, end| Window { start, end };
        assert!(window(0, 10).touches(window(10, 20)));
        assert!(window(10, 20).touches(window(0, 10)));
        assert!(!window(0, 10).touches(window(11, 20)));
        assert_eq!(window(0, 10).cover(window(15, 20)), window(0, 20));
        assert_eq!(window(0, 10).max_timestamp(), EventTime(9));
        assert_eq!(Window::GLOBAL.max_timestamp(), EventTime::MAX);
    }

    proptest! {
        #[test]
        fn bytes_are_ordered_as_windows_are(a: (i64, i64), b: (i64, i64)) {
            let [a, b] = [a, b].map(|(start, end)| Window { start, end });
            prop_assert_eq!(a.cmp(&b), a.encode().cmp(&b.encode()));
            prop_assert_eq!(Window::decode(&a.encode()), Ok(a));
        }

        #[test]
        fn bytes_of_another_length_are_none(bytes in proptest::collection::vec(0_u8.., 0..40)) {
            prop_assert_eq!(Window::decode(&bytes).is_ok(), bytes.len() == Window::ENCODED);
        }
    }
}
