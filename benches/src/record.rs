//! What was measured of one case: its runs and their medians.

use serde_json::{Value, json};
use weir_runtime::CheckpointStats;

use crate::{
    case::{Case, Saving},
    clock::Passed,
};

/// One run, warm-up apart.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) rows: u64,
    pub(crate) passed: Passed,
    /// Completed checkpoints, the last of the job included.
    pub(crate) checkpoints: Vec<CheckpointStats>,
}

/// All runs of a case.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) case: Case,
    pub(crate) runs: Vec<Run>,
}

impl Run {
    /// Rows a second of wall time.
    pub(crate) fn rate(&self) -> f64 {
        self.rows as f64 / self.passed.wall.as_secs_f64()
    }

    /// Nanoseconds of CPU time a row, of all threads.
    pub(crate) fn cost(&self) -> f64 {
        self.passed.cpu.as_nanos() as f64 / self.rows as f64
    }

    /// Rows a second of CPU time: what one core would do that is used by nobody else.
    pub(crate) fn rate_per_core(&self) -> f64 {
        1e9 / self.cost()
    }

    pub(crate) fn in_words(&self) -> String {
        let others = self.passed.others.unwrap_or(0.0);
        format!(
            "{:>7.2} M rows/s, {:>7.1} ns CPU a row, {:.2} cores; others {others:.2}; \
             checkpoints {}",
            self.rate() / 1e6,
            self.cost(),
            self.passed.cpu.as_secs_f64() / self.passed.wall.as_secs_f64(),
            self.checkpoints.len()
        )
    }

    fn to_json(&self) -> Value {
        let checkpoint = |stats: &CheckpointStats| {
            json!({
                "duration_ms": stats.duration_ms,
                "bytes": stats.bytes,
                "alignment_ms": stats.alignment_ms,
                "sync_ms": stats.sync_ms,
            })
        };
        json!({
            "rows": self.rows,
            "wall_s": self.passed.wall.as_secs_f64(),
            "cpu_s": self.passed.cpu.as_secs_f64(),
            "cores_used_by_others": self.passed.others,
            "checkpoints": self.checkpoints.iter().map(checkpoint).collect::<Vec<_>>(),
        })
    }
}

impl Record {
    pub(crate) fn new(case: Case) -> Self {
        Self {
            case,
            runs: Vec::new(),
        }
    }

    /// The median over the runs of something of each.
    pub(crate) fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(of).collect())
    }

    /// The median, round by round, of what a row costs here more than there: the rounds of both
    /// took turns.
    pub(crate) fn adds_to(&self, other: &Self) -> f64 {
        let pairs = self.runs.iter().zip(&other.runs);
        median(
            pairs
                .map(|(more, less)| more.cost() - less.cost())
                .collect(),
        )
    }

    pub(crate) fn to_json(&self) -> Value {
        let case = &self.case;
        json!({
            "case": case.name(),
            "parallelism": case.parallelism,
            "backend": case.store.name(),
            "checkpoints": case.checkpoints != Saving::Off,
            "incremental": case.checkpoints == Saving::Increments,
            "rows_per_second": self.median(Run::rate).round(),
            "rows_per_second_and_core": self.median(Run::rate_per_core).round(),
            "cpu_ns_per_row": self.median(Run::cost),
            "runs": self.runs.iter().map(Run::to_json).collect::<Vec<_>>(),
        })
    }
}

/// The middle value, or the mean of the two middle ones; not a number where there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        backend::Store,
        case::{Maker, Work},
    };

    fn record(costs: &[u64]) -> Record {
        let run = |&cost| Run {
            rows: 1_000,
            passed: Passed {
                wall: Duration::from_micros(2 * cost),
                cpu: Duration::from_micros(cost),
                others: None,
            },
            checkpoints: Vec::new(),
        };
        Record {
            case: Case {
                work: Work::Passthrough,
                store: Store::Heap,
                maker: Maker::Native,
                parallelism: 1,
                checkpoints: Saving::Off,
            },
            runs: costs.iter().map(run).collect(),
        }
    }

    #[test]
    fn a_record_shows_medians() {
        let record = record(&[300, 100, 250]);
        assert!((record.median(Run::cost) - 250.0).abs() < 1e-9);
        assert!((record.median(Run::rate) - 2e6).abs() < 1e-3);
        assert!((record.median(Run::rate_per_core) - 4e6).abs() < 1e-3);
    }

    #[test]
    fn what_one_adds_to_another_is_compared_round_by_round() {
        let (slow, fast) = (record(&[210, 420, 130]), record(&[100, 300, 30]));
        assert!((slow.adds_to(&fast) - 110.0).abs() < 1e-9);
        assert!(record(&[]).adds_to(&fast).is_nan());
    }
}
