//! Whole jobs, each of which must give the same results whatever is done to it.
//!
//! A folder under `jobs/` holds a `job.yaml` and a `matrix.json` that names its sinks. The job is
//! run whole at several parallelisms; killed and restored; stopped and restored at another
//! parallelism; and killed again and again. What is committed in the end is the same every time,
//! and, where the folder holds `expected/<sink>`, it is that.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    case,
    step::{Step, committed},
};

/// `matrix.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    /// What it shows, in a sentence.
    about: String,
    /// The folders of its sinks.
    sinks: Vec<String>,
    /// Its sources, with the rows a second that make it last for some checkpoints.
    rates: BTreeMap<String, f64>,
    /// How many rows must be committed in all.
    rows: usize,
    /// The SHA-256 over the rows of sinks, sorted, each ended by a newline.
    #[serde(default)]
    digests: BTreeMap<String, String>,
    /// Whether rows may come more than once after a failure: then only they are compared.
    #[serde(default)]
    repeats: bool,
}

/// What is done to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Nothing.
    Whole { parallelism: u32 },
    /// It is stopped by these signals, one a run, and goes on at these parallelisms, one a run.
    Ended {
        signals: &'static [&'static str],
        parallelisms: &'static [u32],
    },
}

/// All that is done to each job, by name, and what is set beside it.
pub(crate) const VARIANTS: [(&str, Variant, &[&str]); 8] = [
    ("whole", Variant::Whole { parallelism: 1 }, &[]),
    ("whole-at-3", Variant::Whole { parallelism: 3 }, &[]),
    (
        "killed",
        Variant::Ended {
            signals: &["KILL"],
            parallelisms: &[2, 2],
        },
        &[],
    ),
    (
        "killed-again",
        Variant::Ended {
            signals: &["KILL", "KILL", "KILL"],
            parallelisms: &[2, 2, 2, 2],
        },
        &[],
    ),
    (
        "scaled-up",
        Variant::Ended {
            signals: &["INT"],
            parallelisms: &[1, 3],
        },
        &[],
    ),
    (
        "scaled-down-and-up",
        Variant::Ended {
            signals: &["KILL", "INT"],
            parallelisms: &[3, 1, 2],
        },
        &[],
    ),
    (
        "killed-on-rocksdb",
        Variant::Ended {
            signals: &["KILL", "KILL"],
            parallelisms: &[2, 2, 2],
        },
        &["state.backend=rocksdb", "checkpoint.incremental=true"],
    ),
    (
        "scaled-on-rocksdb",
        Variant::Ended {
            signals: &["KILL", "INT"],
            parallelisms: &[3, 1, 2],
        },
        &["state.backend=rocksdb"],
    ),
];

/// Runs one variant of the job in `folder`, and the whole job to compare with.
pub(crate) fn run(folder: &Path, variant: Variant, set: &[&str]) -> Result<()> {
    let text = fs::read_to_string(folder.join("matrix.json")).context("matrix.json")?;
    let matrix: Matrix = serde_json::from_str(&text).context("matrix.json")?;
    let about = || format!("{variant:?} with {set:?} of: {}", matrix.about);
    let results = matrix.results(folder, variant, set).with_context(about)?;
    let whole = match variant {
        Variant::Whole { .. } => matrix.expected(folder)?,
        Variant::Ended { .. } => matrix.results(folder, Variant::Whole { parallelism: 2 }, &[])?,
    };
    for (sink, rows) in &whole {
        let found = &results[sink];
        let first = rows.iter().zip(found).position(|(a, b)| a != b);
        ensure!(
            found == rows,
            "{}: {sink} holds {} rows, not {}; the first that differs: {:?}, not {:?}",
            about(),
            found.len(),
            rows.len(),
            first.map(|at| &found[at]),
            first.map(|at| &rows[at]),
        );
    }
    Ok(())
}

impl Matrix {
    /// The rows that must come, of each sink for which the folder says so, sorted.
    fn expected(&self, folder: &Path) -> Result<BTreeMap<String, Vec<String>>> {
        let mut all = BTreeMap::new();
        for sink in &self.sinks {
            let path: PathBuf = folder.join("expected").join(sink);
            if !path.is_file() {
                continue;
            }
            let mut rows: Vec<String> = (fs::read_to_string(&path)?.lines())
                .map(str::to_owned)
                .collect();
            rows.sort();
            all.insert(sink.clone(), rows);
        }
        Ok(all)
    }

    /// What is committed in each sink in the end, sorted.
    fn results(
        &self,
        folder: &Path,
        variant: Variant,
        set: &[&str],
    ) -> Result<BTreeMap<String, Vec<String>>> {
        let place = case::place(folder)?;
        let cache = case::cache();
        let (signals, parallelisms) = match variant {
            Variant::Whole { parallelism } => (&[][..], vec![parallelism]),
            Variant::Ended {
                signals,
                parallelisms,
            } => (signals, parallelisms.to_vec()),
        };
        for (run, parallelism) in parallelisms.iter().enumerate() {
            let step = self.step(*parallelism, signals.get(run).copied(), set);
            let step: Step = serde_json::from_value(step)?;
            step.run(place.path(), &cache)
                .with_context(|| format!("run {run}"))?;
        }
        let mut results: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut count = 0;
        for sink in &self.sinks {
            let mut rows = committed(&place.path().join(sink))?;
            if self.repeats {
                rows.dedup();
            }
            count += rows.len();
            results.insert(sink.clone(), rows);
        }
        ensure!(
            count == self.rows,
            "{count} rows are committed, not {}",
            self.rows
        );
        for (sink, expected) in &self.digests {
            let rows = results
                .get(sink)
                .with_context(|| format!("no sink {sink}"))?;
            let mut digest = Sha256::new();
            rows.iter()
                .for_each(|row| digest.update(format!("{row}\n")));
            let digest = digest.finalize();
            let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            ensure!(
                found == *expected,
                "the rows of {sink} have digest {found}, not {expected}"
            );
        }
        Ok(results)
    }

    /// One run: with a signal it is paced and ends after its second checkpoint, without one it goes
    /// to its end.
    fn step(&self, parallelism: u32, signal: Option<&str>, set: &[&str]) -> Value {
        let mut run = vec![
            "run".to_owned(),
            "job.yaml".to_owned(),
            "--set".to_owned(),
            format!("parallelism={parallelism}"),
            "--set".to_owned(),
            "checkpoint.interval=20ms".to_owned(),
        ];
        for set in set {
            run.extend(["--set".to_owned(), (*set).to_owned()]);
        }
        let Some(signal) = signal else {
            return json!({ "run": run, "exit": 0, "stderr": ["finished"] });
        };
        for (source, rate) in &self.rates {
            run.push("--set".to_owned());
            run.push(format!("sources.{source}.rate={rate}"));
        }
        let exit = match signal {
            "KILL" => Value::Null,
            _ => json!(0),
        };
        json!({
            "run": run,
            "exit": exit,
            "signals": [{ "after": ": checkpoint ", "nth": 2, "send": signal }],
        })
    }
}
