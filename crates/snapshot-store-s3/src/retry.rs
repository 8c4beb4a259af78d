//! Whether to try again, and when. Pure: what came of a try goes in, a pause comes out.

/// What came of a try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server answered with this status.
    Status(u16),
    /// No connection came about.
    Connect,
    /// No answer came in time.
    Timeout,
    /// The connection broke.
    Interrupted,
    /// What came back makes no sense, or it failed before anything was sent.
    Other,
}

impl Trouble {
    /// Whether the next try may end otherwise.
    pub(crate) fn is_transient(self) -> bool {
        match self {
            // In the middle of another write of the same object: one of them is going to win.
            Self::Status(408 | 409 | 429) => true,
            // 501 is never going to be implemented meanwhile.
            Self::Status(status) => (500..600).contains(&status) && status != 501,
            Self::Connect | Self::Timeout | Self::Interrupted => true,
            Self::Other => false,
        }
    }

    /// Whether it may have taken place all the same.
    pub(crate) fn is_doubtful(self) -> bool {
        match self {
            Self::Status(status) => status >= 500 || status == 408,
            Self::Timeout | Self::Interrupted | Self::Other => true,
            Self::Connect => false,
        }
    }
}

/// How often and how long something is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The most tries, the first one included.
    pub(crate) tries: u32,
    /// The pause after the first try, in milliseconds; each is twice the one before.
    pub(crate) first_ms: u64,
    /// The longest pause.
    pub(crate) most_ms: u64,
    /// No try begins later than that after the first.
    pub(crate) total_ms: u64,
}

impl Policy {
    pub(crate) const USUAL: Self = Self {
        tries: 6,
        first_ms: 100,
        most_ms: 5_000,
        total_ms: 60_000,
    };

    /// The pause before the next try in milliseconds, `None` to give up. `tries` have been made,
    /// the first one `elapsed_ms` ago. `dice` is any number: half of the pause is left to chance,
    /// so that tasks that failed together do not try again together.
    pub(crate) fn pause(
        &self,
        trouble: Trouble,
        tries: u32,
        elapsed_ms: u64,
        dice: u64,
    ) -> Option<u64> {
        if !trouble.is_transient() || tries >= self.tries {
            return None;
        }
        let doubled = self.first_ms.saturating_mul(
            1_u64
                .checked_shl(tries.saturating_sub(1))
                .unwrap_or(u64::MAX),
        );
        let full = doubled.min(self.most_ms);
        let pause = full / 2 + dice % (full / 2 + 1);
        (elapsed_ms.saturating_add(pause) <= self.total_ms).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_may_end_otherwise_is_tried_again_and_nothing_else() {
        for again in [408, 409, 429, 500, 502, 503, 504] {
            assert!(Trouble::Status(again).is_transient(), "{again}");
        }
        for never in [301, 400, 401, 403, 404, 412, 416, 501] {
            assert!(!Trouble::Status(never).is_transient(), "{never}");
        }
        for again in [Trouble::Connect, Trouble::Timeout, Trouble::Interrupted] {
            assert!(again.is_transient(), "{again:?}");
        }
        assert!(!Trouble::Other.is_transient());
        // What never reached the server has not taken place.
        assert!(!Trouble::Connect.is_doubtful() && !Trouble::Status(429).is_doubtful());
        assert!(Trouble::Timeout.is_doubtful() && Trouble::Status(503).is_doubtful());
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = Policy::USUAL;
        let pauses: Vec<_> = (1..=6)
            .map(|tries| policy.pause(Trouble::Timeout, tries, 0, 0))
            .collect();
        let half = [50, 100, 200, 400, 800].map(Some);
        assert_eq!(pauses[..5], half);
        assert_eq!(pauses[5], None);
        let most = Policy {
            tries: 100,
            ..policy
        };
        assert_eq!(most.pause(Trouble::Connect, 90, 0, 2_500), Some(5_000));
    }

    proptest! {
        #[test]
        fn it_ends_in_number_and_in_time(dice in prop::collection::vec(any::<u64>(), 20)) {
            let policy = Policy::USUAL;
            let (mut elapsed, mut tries) = (0, 0);
            for dice in dice {
                tries += 1;
                let Some(pause) = policy.pause(Trouble::Connect, tries, elapsed, dice) else {
                    break;
                };
                prop_assert!(pause <= policy.most_ms);
                // A try may last as long as it likes.
                elapsed += pause + dice % 20_000;
                prop_assert!(elapsed <= policy.total_ms + 20_000);
            }
            prop_assert!(tries <= policy.tries);
        }
    }
}
