//! The time of last access that values of a state with a time to live begin with (D16).
//!
//! 8 bytes, processing time in milliseconds, big endian: of a cell before the value, of a list
//! before each element, of a map before the value of each entry. [`KeyedState`](crate::KeyedState)
//! puts it there and takes it away; backends use it to remove what has expired.
//!
//! INVARIANT: the time of last access is stored and not that of expiry; so the declaration in force
//! decides, whatever it was when the value was written.

use weir_model::ProcessingTime;

use crate::Ttl;

/// How many bytes a stamp has.
pub const STAMP_BYTES: usize = 8;

impl Ttl {
    /// Whether what was last accessed at `last` has expired at `now`.
    ///
    /// ```
    /// use weir_model::ProcessingTime;
    /// use weir_state::Ttl;
    ///
    /// let ttl = Ttl { duration_ms: 100, on_read: false, return_expired: false };
    /// assert!(!ttl.expired(ProcessingTime(0), ProcessingTime(99)));
    /// assert!(ttl.expired(ProcessingTime(0), ProcessingTime(100)));
    /// ```
    #[must_use]
    pub fn expired(&self, last: ProcessingTime, now: ProcessingTime) -> bool {
        last.plus_ms(self.duration_ms).0 <= now.0
    }

    /// Whether a stored value has expired at `now`. One without a stamp never does.
    #[must_use]
    pub fn expired_value(&self, stored: &[u8], now: ProcessingTime) -> bool {
        split(stored).is_some_and(|(last, _)| self.expired(last, now))
    }
}

/// The time of last access and the value of what is stored; `None` where it has no stamp.
#[must_use]
pub fn split(stored: &[u8]) -> Option<(ProcessingTime, &[u8])> {
    let (stamp, value) = stored.split_first_chunk()?;
    Some((ProcessingTime(i64::from_be_bytes(*stamp)), value))
}
