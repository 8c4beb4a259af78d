//! What a run came to, whoever ran it.

use serde_json::{Value, json};

use super::{check::Sum, weir::Measured};
use crate::error::{Context, Result};

/// One run, warm-up apart.
#[derive(Clone, Debug)]
pub struct Run {
    /// How many rows were timed.
    pub rows: u64,
    /// How long they took, in seconds of wall time.
    pub wall_s: f64,
    /// The CPU time of the whole process meanwhile, in seconds.
    pub cpu_s: f64,
    /// How many cores other processes used, where the machine tells.
    pub others: Option<f64>,
    /// What came out, of all rows.
    pub out: Sum,
    /// Milliseconds and bytes of completed checkpoints.
    pub checkpoints: Vec<(u64, u64)>,
    /// Resident memory of the process, in MiB.
    pub rss_mib: f64,
}

impl Run {
    /// Rows a second of wall time.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rows as f64 / self.wall_s
    }

    /// Nanoseconds of CPU time a row, of all threads.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.cpu_s * 1e9 / self.rows as f64
    }

    /// For who looks on.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!(
            "{:>8.3} M rows/s, {:>8.1} ns CPU a row, {:.1} s; others {:.2}; checkpoints {}",
            self.rate() / 1e6,
            self.cost(),
            self.wall_s,
            self.others.unwrap_or(0.0),
            self.checkpoints.len()
        )
    }

    /// For the file of results.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let checkpoint = |&(ms, bytes): &(u64, u64)| json!({ "ms": ms, "bytes": bytes });
        json!({
            "rows": self.rows,
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
            "cores_used_by_others": self.others,
            "out": self.out.rows,
            "sum": self.out.sum.to_string(),
            "rss_mib": self.rss_mib,
            "checkpoints": self.checkpoints.iter().map(checkpoint).collect::<Vec<_>>(),
        })
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// What is missing.
    pub fn of_results(told: &Value) -> Result<Self> {
        let missing = |key: &str| format!("no `{key}` in a run");
        let number = |key: &str| {
            let value = told.get(key).and_then(Value::as_f64);
            value.with_context(|| missing(key))
        };
        let whole = |key: &str| {
            let value = told.get(key).and_then(Value::as_u64);
            value.with_context(|| missing(key))
        };
        Ok(Self {
            rows: whole("rows")?,
            wall_s: number("wall_s")?,
            cpu_s: number("cpu_s")?,
            others: told.get("cores_used_by_others").and_then(Value::as_f64),
            out: Sum {
                rows: whole("out")?,
                sum: sum(told).with_context(|| missing("sum"))?,
            },
            checkpoints: checkpoints(told),
            // Where the machine does not tell, there is none.
            rss_mib: number("rss_mib").unwrap_or(f64::NAN),
        })
    }

    /// Reads what the program for Flink tells of a run.
    ///
    /// # Errors
    /// What is missing.
    pub fn of_json(told: &Value) -> Result<Self> {
        let missing = |key: &str| format!("no `{key}` in what Flink tells: {told}");
        let whole = |key: &str| {
            let value = told.get(key).and_then(Value::as_u64);
            value.with_context(|| missing(key))
        };
        Ok(Self {
            rows: whole("rows")?,
            wall_s: whole("wall_ns")? as f64 / 1e9,
            cpu_s: whole("cpu_ns")? as f64 / 1e9,
            others: told.get("cores_used_by_others").and_then(Value::as_f64),
            out: Sum {
                rows: whole("out")?,
                sum: sum(told).with_context(|| missing("sum"))?,
            },
            checkpoints: checkpoints(told),
            rss_mib: whole("rss_mb")? as f64,
        })
    }
}

fn sum(told: &Value) -> Option<u64> {
    told.get("sum")?.as_str()?.parse().ok()
}

fn checkpoints(told: &Value) -> Vec<(u64, u64)> {
    let all = told.get("checkpoints").and_then(Value::as_array);
    let one = |one: &Value| {
        let field = |key: &str| one.get(key).and_then(Value::as_u64).unwrap_or(0);
        (field("ms"), field("bytes"))
    };
    all.into_iter().flatten().map(one).collect()
}

impl From<Measured> for Run {
    fn from(measured: Measured) -> Self {
        let passed = measured.passed;
        let checkpoints = measured.checkpoints.iter();
        Self {
            rows: measured.rows,
            wall_s: passed.wall.as_secs_f64(),
            cpu_s: passed.cpu.as_secs_f64(),
            others: passed.others,
            out: measured.out,
            checkpoints: checkpoints
                .map(|one| (one.duration_ms, one.bytes))
                .collect(),
            rss_mib: measured.rss_mib,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flink_tells_is_read_or_it_is_told_why_not() {
        let told = json!({
            "rows": 10, "wall_ns": 2_000_000_000_u64, "cpu_ns": 4_000_000_000_u64, "out": 12,
            "sum": "18446744073709551615", "rss_mb": 900, "cores_used_by_others": 0.5,
            "checkpoints": [{ "ms": 7, "bytes": 8, "full_bytes": 9 }], "error": null,
        });
        let run = Run::of_json(&told).unwrap();
        let sum = Sum {
            rows: 12,
            sum: u64::MAX,
        };
        assert_eq!((run.out, run.checkpoints.as_slice()), (sum, &[(7, 8)][..]));
        assert!((run.rate() - 5.0).abs() < 1e-9 && (run.cost() - 4e8).abs() < 1e-3);

        let again = Run::of_results(&run.to_json()).unwrap();
        assert_eq!(again.to_json(), run.to_json());
        let failed = Run::of_results(&json!({ "rows": 10 })).unwrap_err();
        assert_eq!(failed.to_string(), "no `wall_s` in a run");

        let mut without = told;
        without["sum"] = Value::Null;
        let failed = Run::of_json(&without).unwrap_err().to_string();
        assert!(
            failed.starts_with("no `sum` in what Flink tells"),
            "{failed}"
        );
    }
}
