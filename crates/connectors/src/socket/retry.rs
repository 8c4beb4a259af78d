//! Whether and when to connect again: decided on what has happened, without a clock.

use std::time::Duration;

/// How often and how fast to try again where there is no connection.
///
/// ```
/// use std::time::Duration;
/// use weir_connectors::Reconnect;
///
/// let reconnect = Reconnect::default();
/// assert_eq!(reconnect.attempts, 10);
/// assert_eq!(reconnect.backoff, Duration::from_millis(100));
/// assert_eq!(reconnect.max_backoff, Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// How many attempts in a row may bring nothing, at least 1: no connection, or one that ends
    /// without a byte. Then the task fails, and the restart strategy decides.
    pub attempts: u32,
    /// How long to wait after the first of them; twice as long after each further one.
    pub backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            attempts: 10,
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
        }
    }
}

/// What to do without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Connect after this time.
    Connect {
        after: Duration,
        /// Attempts in a row that brought nothing.
        failed: u32,
    },
    /// So many attempts in a row have brought nothing: that is enough.
    GiveUp { failed: u32 },
}

/// The attempts so far.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    reconnect: Reconnect,
    /// In a row, without a byte received.
    failed: u32,
}

impl Retry {
    pub(super) fn new(reconnect: Reconnect) -> Self {
        Self {
            reconnect,
            failed: 0,
        }
    }

    /// An attempt has failed, or its connection is over; `received` says whether it brought a byte.
    pub(super) fn over(&mut self, received: bool) -> Next {
        self.failed = if received { 0 } else { self.failed + 1 };
        let failed = self.failed;
        if failed >= self.reconnect.attempts.max(1) {
            return Next::GiveUp { failed };
        }
        let doublings = failed.saturating_sub(1).min(31);
        let after = self.reconnect.backoff.saturating_mul(1 << doublings);
        Next::Connect {
            after: after.min(self.reconnect.max_backoff),
            failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(retry: &mut Retry, received: &[bool]) -> Vec<u64> {
        let next = |&received: &bool| match retry.over(received) {
            Next::Connect { after, .. } => u64::try_from(after.as_millis()).unwrap(),
            Next::GiveUp { .. } => u64::MAX,
        };
        received.iter().map(next).collect()
    }

    #[test]
    fn each_attempt_in_a_row_waits_twice_as_long_up_to_the_longest_wait() {
        let mut retry = Retry::new(Reconnect::default());
        let all = waits(&mut retry, &[false; 9]);
        assert_eq!(all, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        assert_eq!(retry.over(false), Next::GiveUp { failed: 10 });
    }

    #[test]
    fn a_byte_received_begins_the_count_anew() {
        let reconnect = Reconnect {
            attempts: 3,
            ..Reconnect::default()
        };
        let mut retry = Retry::new(reconnect);
        let received = [false, false, true, true, false, false, false];
        let all = waits(&mut retry, &received);
        assert_eq!(all, [100, 200, 100, 100, 100, 200, u64::MAX]);
    }

    #[test]
    fn any_number_of_attempts_can_be_counted() {
        let reconnect = Reconnect {
            attempts: u32::MAX,
            backoff: Duration::MAX,
            max_backoff: Duration::from_millis(7),
        };
        let mut retry = Retry::new(reconnect);
        assert!(waits(&mut retry, &[false; 100]).iter().all(|&ms| ms == 7));
    }

    #[test]
    fn at_least_one_attempt_is_made() {
        let reconnect = Reconnect {
            attempts: 0,
            ..Reconnect::default()
        };
        assert_eq!(
            Retry::new(reconnect).over(false),
            Next::GiveUp { failed: 1 }
        );
    }
}
