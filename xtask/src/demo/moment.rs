//! Random moments from a seed: the same seed kills at the same places again.

use std::time::{SystemTime, UNIX_EPOCH};

/// A sequence of pseudo-random numbers (splitmix64).
pub(super) struct Moments {
    state: u64,
}

impl Moments {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number in `from..to`.
    pub(super) fn between(&mut self, from: f64, to: f64) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // 53 bits are what a float holds exactly.
        let unit = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
        from + unit * (to - from)
    }

    /// A whole number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        (self.between(0.0, 1.0) * end as f64) as u64
    }
}

/// A seed that differs from run to run and is short enough to be typed.
pub(super) fn draw_seed() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::from(now.subsec_nanos() ^ std::process::id()) % 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_moments_and_stays_in_range() {
        let draw = |seed| {
            let mut moments = Moments::new(seed);
            std::iter::repeat_with(|| moments.between(0.3, 0.7))
                .take(100)
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).iter().all(|at| (0.3..0.7).contains(at)));
        let spread = draw(7);
        assert!(spread.iter().any(|at| *at < 0.4) && spread.iter().any(|at| *at > 0.6));
    }
}
