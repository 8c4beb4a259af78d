//! How long a run of the benchmark takes: guessed at the start, and better with each thing done.

use std::time::{Duration, Instant};

use super::{bench::Length, record::Side};

/// About what it takes to start a JVM with its cluster, and how long its runs take together that
/// do not count, of which there are two at least.
const JVM_SECONDS: f64 = 5.0;
const WARM_UP_SECONDS: f64 = 14.0;
const WARM_UPS: f64 = 2.0;
/// About what the start and the end of a job take, its warm-up and the oracle.
const AROUND_RUN: f64 = 1.0;
/// About what is measured besides, each kind, and without Flink.
const KIND_SECONDS: f64 = 50.0;
const KIND_ALONE_SECONDS: f64 = 20.0;
/// A moment, where few rows show that all works.
const QUICK_SECONDS: f64 = 2.0;

/// What is done and what is left.
pub(super) struct Progress {
    /// About how many seconds each thing takes, in order.
    guesses: Vec<f64>,
    begun: Instant,
    done: usize,
}

/// About how many seconds a cell takes.
pub(super) fn cell_seconds(sides: &[Side], length: Length) -> f64 {
    if length.quick {
        return QUICK_SECONDS;
    }
    let runs = f64::from(length.repeats);
    let of = |side: &Side| match side {
        Side::Flink | Side::Stock => {
            let run = length.seconds + AROUND_RUN;
            JVM_SECONDS + WARM_UP_SECONDS.max(WARM_UPS * run) + runs * run
        }
        Side::Weir | Side::Plain | Side::Native => (1.0 + runs) * (length.seconds + AROUND_RUN),
        // It has no more rows than Weir, and less to do.
        Side::Hand => (1.0 + runs) * (length.seconds + AROUND_RUN) / 2.0,
    };
    sides.iter().map(of).sum()
}

/// About how many seconds something takes that is measured besides.
pub(super) fn kind_seconds(with_flink: bool, length: Length) -> f64 {
    match (length.quick, with_flink) {
        (true, _) => QUICK_SECONDS,
        (false, true) => KIND_SECONDS,
        (false, false) => KIND_ALONE_SECONDS,
    }
}

impl Progress {
    pub(super) fn new(guesses: Vec<f64>) -> Self {
        Self {
            guesses,
            begun: Instant::now(),
            done: 0,
        }
    }

    /// What is told before anything is done.
    pub(super) fn in_words(&self) -> String {
        let all = self.guesses.iter().sum();
        let count = self.guesses.len();
        format!("{count} to measure, which takes about {}", duration(all))
    }

    /// What stands before the name of what is next.
    pub(super) fn next(&self) -> String {
        let (at, all) = (self.done + 1, self.guesses.len());
        let left = duration(self.left(self.begun.elapsed()));
        format!("[{at}/{all}, about {left} left]")
    }

    /// One more thing is done.
    pub(super) fn step(&mut self) {
        self.done += 1;
    }

    /// About how many seconds are left after this time: as far off as what is done was guessed.
    fn left(&self, passed: Duration) -> f64 {
        let (done, rest) = self.guesses.split_at(self.done.min(self.guesses.len()));
        let (done, rest): (f64, f64) = (done.iter().sum(), rest.iter().sum());
        match done > 0.0 {
            true => rest * passed.as_secs_f64() / done,
            false => rest,
        }
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_as_far_off_as_what_is_done_was_guessed() {
        let mut progress = Progress::new(vec![10.0, 20.0, 70.0]);
        assert_eq!(progress.in_words(), "3 to measure, which takes about 2 min");
        assert!((progress.left(Duration::from_secs(3)) - 100.0).abs() < 1e-9);
        progress.step();
        progress.step();
        assert!((progress.left(Duration::from_secs(60)) - 140.0).abs() < 1e-9);
        assert!(progress.next().starts_with("[3/3, about "));
        progress.step();
        assert!(progress.left(Duration::from_secs(60)).abs() < 1e-9);
    }

    #[test]
    fn a_cell_takes_longer_the_more_sides_and_runs_it_has() {
        let length = Length {
            seconds: 3.5,
            repeats: 3,
            quick: false,
        };
        let weir = cell_seconds(&[Side::Weir], length);
        assert!((weir - 18.0).abs() < 1e-9);
        assert!((cell_seconds(&Side::ALL, length) - 3.5 * weir - 65.0).abs() < 1e-9);
        let quick = Length {
            quick: true,
            ..length
        };
        assert!(cell_seconds(&Side::ALL, quick) < weir);
    }
}
