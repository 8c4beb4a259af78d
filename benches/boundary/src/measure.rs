//! CPU time, in rounds.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use weir_guard::Failure;

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: u32,
    /// Rows of a round of an operator that is alone.
    pub(crate) rows: u32,
    /// Rows of a job.
    pub(crate) job_rows: u32,
    /// The most keys.
    pub(crate) many_keys: u32,
}

impl Effort {
    pub(crate) fn new(quick: bool, rounds: u32) -> Self {
        match quick {
            true => Self {
                rounds: 1,
                rows: 1 << 13,
                job_rows: 1 << 14,
                many_keys: 10_000,
            },
            false => Self {
                rounds,
                rows: 1 << 19,
                job_rows: 1 << 21,
                many_keys: 1_000_000,
            },
        }
    }
}

/// The CPU time of this thread, or of all threads of the process.
pub(crate) fn cpu(whole_process: bool) -> Duration {
    let time = clock_gettime(match whole_process {
        true => ClockId::ProcessCPUTime,
        false => ClockId::ThreadCPUTime,
    });
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Nanoseconds a row, round by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn push(&mut self, took: Duration, rows: u64) {
        self.0.push(took.as_nanos() as f64 / rows.max(1) as f64);
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// The median of how much more these are than those, round by round.
    pub(crate) fn above(&self, those: &Self) -> f64 {
        let pairs = self.0.iter().zip(&those.0);
        median(pairs.map(|(these, those)| these - those).collect())
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

/// Measures several things in turns, so often.
pub(crate) fn in_turns<const N: usize>(
    rounds: u32,
    mut things: [&mut dyn FnMut() -> Result<(Duration, u64), Failure>; N],
) -> Result<[Figures; N], Failure> {
    let mut figures = std::array::from_fn(|_| Figures::default());
    for _ in 0..rounds {
        for (thing, figures) in things.iter_mut().zip(&mut figures) {
            let (took, rows) = thing()?;
            figures.push(took, rows);
        }
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_the_median_of_the_rounds_and_not_of_the_figures() {
        let (mut these, mut those) = (Figures::default(), Figures::default());
        // One round is on a busy machine.
        for (this, that) in [(30, 10), (130, 110), (32, 10)] {
            these.push(Duration::from_nanos(this), 1);
            those.push(Duration::from_nanos(that), 1);
        }
        assert!((these.median() - 32.0).abs() < 1e-9);
        assert!((these.above(&those) - 20.0).abs() < 1e-9);
    }
}
