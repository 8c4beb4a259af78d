//! Which key a row has.
//!
//! Zipf: rejection-inversion (Hörmann and Derflinger, "Rejection-inversion to generate variates
//! from monotone discrete distributions", 1996). It needs no table whatever the number of keys,
//! and little more than one random number a row.

use super::{KeyDistribution, row::Random};

/// Chooses keys.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    Sequence { keys: u64 },
    Uniform { keys: u64 },
    Zipf(Zipf),
}

impl Keys {
    pub(super) fn new(distribution: KeyDistribution, keys: u64) -> Self {
        match distribution {
            KeyDistribution::Sequence => Self::Sequence { keys },
            KeyDistribution::Uniform => Self::Uniform { keys },
            KeyDistribution::Zipf { exponent } => Self::Zipf(Zipf::new(keys, exponent)),
        }
    }

    /// The key of a row, below the number of keys.
    pub(super) fn of(&self, row: u64, random: &mut Random) -> u64 {
        match self {
            Self::Sequence { keys } => row % (*keys).max(1),
            // The upper half of the product; off by less than keys / 2^64.
            Self::Uniform { keys } => {
                ((u128::from(random.next()) * u128::from(*keys)) >> 64) as u64
            }
            Self::Zipf(zipf) => zipf.rank(random) - 1,
        }
    }
}

/// Ranks `1..=n`, rank `r` as likely as `r^-exponent`.
///
/// A point is chosen under the curve `x^-exponent`, whose integral can be inverted; its nearest
/// whole number is taken, or another point where the bar of that number does not reach.
#[derive(Clone, Debug)]
pub(super) struct Zipf {
    n: f64,
    last: u64,
    exponent: f64,
    /// The integral from 1 to 1.5, less the bar of rank 1: so rank 1 is hit as often as it should.
    from: f64,
    /// The integral from 1 to the end of the last bar.
    to: f64,
    /// Points no further than this below their rank need no closer look.
    sure: f64,
}

impl Zipf {
    fn new(n: u64, exponent: f64) -> Self {
        let mut zipf = Self {
            n: n as f64,
            last: n.max(1),
            exponent,
            from: 0.0,
            to: 0.0,
            sure: 0.0,
        };
        zipf.from = zipf.integral(1.5) - 1.0;
        zipf.to = zipf.integral(zipf.n + 0.5);
        zipf.sure = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.bar(2.0));
        zipf
    }

    fn rank(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.to + random.next_unit() * (self.from - self.to);
            let x = self.inverse(area);
            let rank = x.round().clamp(1.0, self.n);
            if rank - x <= self.sure || area >= self.integral(rank + 0.5) - self.bar(rank) {
                // The greatest numbers of keys have no exact floating point number.
                return (rank as u64).clamp(1, self.last);
            }
        }
    }

    /// The height of the curve.
    fn bar(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The area under the curve from 1 to `x`: `(x^(1 - e) - 1) / (1 - e)`, the logarithm where
    /// `e` is 1.
    fn integral(&self, x: f64) -> f64 {
        let ln = x.ln();
        let t = (1.0 - self.exponent) * ln;
        // Near 0 the quotient loses its digits, its series does not.
        let factor = if t.abs() < 1e-8 {
            1.0 + t / 2.0
        } else {
            t.exp_m1() / t
        };
        factor * ln
    }

    /// Where the area from 1 on is this.
    fn inverse(&self, area: f64) -> f64 {
        // Rounding must not lead below the least value of the logarithm.
        let t = (area * (1.0 - self.exponent)).max(-1.0);
        let factor = if t.abs() < 1e-8 {
            1.0 - t / 2.0
        } else {
            t.ln_1p() / t
        };
        (factor * area).exp()
    }
}
