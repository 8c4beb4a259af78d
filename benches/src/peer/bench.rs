//! Measures cells: both engines in turns, as many rows as take each the same time.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    cell::Cell,
    flink::{Flink, Program},
    run::Run,
    weir,
    workload::{Engine, Expected},
};
use crate::{
    error::{Context, Result},
    record::median,
};

/// The most rows of a run: an oracle goes through them, too.
const MOST_ROWS: u64 = 300_000_000;

/// The most runs of Flink that do not count, and by what part the last may cost another time than
/// the one before: a run or two are made while the Java machine still compiles.
const MOST_WARM_UPS: u32 = 6;
const SETTLED: f64 = 0.1;

/// How long and how often is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    /// About so long a run takes, warm-up apart.
    pub(super) seconds: f64,
    pub(super) repeats: u32,
    /// Few rows, and no look at how long they take.
    pub(super) quick: bool,
}

/// What was measured of a cell.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) cell: Cell,
    /// Empty where only Weir was measured.
    pub(super) flink: Vec<Run>,
    /// Flink with the source and the serializers that it brings; empty where that is not there.
    pub(super) stock: Vec<Run>,
    pub(super) weir: Vec<Run>,
}

/// Runs cells.
pub(super) struct Bench {
    /// Where job files lie.
    pub(super) jobs: PathBuf,
    /// `None`: only Weir is measured.
    pub(super) flink: Option<Program>,
    pub(super) length: Length,
    /// What runs must come to: an oracle takes as long as a run.
    pub(super) expected: HashMap<(String, u64, u32, Engine), Expected>,
}

impl Record {
    fn ratios(&self, flink: &[Run], of: impl Fn(&Run, &Run) -> f64) -> Option<f64> {
        let pairs = flink.iter().zip(&self.weir);
        let ratios: Vec<f64> = pairs.map(|(flink, weir)| of(flink, weir)).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// How many times Flink's rows a second Weir has, by the median of the rounds.
    pub(super) fn times_rate(&self) -> Option<f64> {
        self.ratios(&self.flink, |flink, weir| weir.rate() / flink.rate())
    }

    /// The same, of Flink with what it brings.
    pub(super) fn times_stock(&self) -> Option<f64> {
        self.ratios(&self.stock, |flink, weir| weir.rate() / flink.rate())
    }

    /// How many times Weir's CPU time a row Flink has.
    pub(super) fn times_cost(&self) -> Option<f64> {
        self.ratios(&self.flink, |flink, weir| flink.cost() / weir.cost())
    }

    /// Whether what was to be reached was; `None` where nothing is to be, or nothing was compared.
    pub(super) fn is_reached(&self) -> Option<bool> {
        Some(self.times_rate()? >= self.cell.goal()?)
    }

    pub(super) fn to_json(&self) -> Value {
        let of = |runs: &[Run]| {
            let all = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
            json!({
                "rows_per_second": all(Run::rate).round(),
                "cpu_ns_per_row": all(Run::cost),
                "runs": runs.iter().map(Run::to_json).collect::<Vec<_>>(),
            })
        };
        let setting = self.cell.setting;
        json!({
            "cell": self.cell.name(),
            "workload": self.cell.workload.name(),
            "parallelism": setting.parallelism,
            "backend": setting.store.name(),
            "checkpoints": setting.checkpoints,
            "flink": of(&self.flink),
            "flink_stock": (!self.stock.is_empty()).then(|| of(&self.stock)),
            "weir": of(&self.weir),
            "times_rows_per_second": self.times_rate(),
            "times_rows_per_second_of_stock": self.times_stock(),
            "times_cpu_per_row": self.times_cost(),
            "to_be_reached": self.cell.goal(),
        })
    }
}

impl Bench {
    /// Measures a cell: runs that do not count until what they cost is settled, then turns.
    pub(super) fn measure(&mut self, cell: &Cell) -> Result<Record> {
        let folder = tempfile::tempdir().context("making a folder for checkpoints")?;
        let mut engines = Vec::new();
        if let Some(program) = &self.flink {
            let words = cell.on_flink(folder.path());
            engines.push((Engine::Flink, Some(program.start(&words)?)));
            if cell.workload.has_stock() {
                let folder = folder.path().join("stock");
                let mut words = cell.on_flink(&folder);
                words.push("style=stock".to_owned());
                engines.push((Engine::Stock, Some(program.start(&words)?)));
            }
        }
        engines.push((Engine::Weir, None));
        let mut record = Record {
            cell: cell.clone(),
            flink: Vec::new(),
            stock: Vec::new(),
            weir: Vec::new(),
        };
        let mut turns = Vec::new();
        for (engine, mut flink) in engines {
            let rows = self.warmed_up(cell, engine, flink.as_mut())?;
            turns.push((engine, flink, rows));
        }
        for round in 1..=self.length.repeats {
            for (engine, flink, rows) in &mut turns {
                let run = self.run(cell, *engine, flink.as_mut(), *rows)?;
                eprintln!("  {round} {engine:?} {}", run.in_words());
                match engine {
                    Engine::Flink => record.flink.push(run),
                    Engine::Stock => record.stock.push(run),
                    Engine::Weir => record.weir.push(run),
                }
            }
        }
        Ok(record)
    }

    /// Runs that do not count: one of Weir, and of Flink as many as it takes until its compilers
    /// are done. Gives how many rows a run shall have.
    fn warmed_up(&mut self, cell: &Cell, engine: Engine, flink: Option<&mut Flink>) -> Result<u64> {
        let first = self.first_rows(cell, engine);
        let mut flink = flink;
        let mut run = self.run(cell, engine, flink.as_deref_mut(), first)?;
        eprintln!("  - {engine:?} {}", run.in_words());
        let mut rows = self.enough_rows(cell, first, &run);
        if engine == Engine::Weir || self.length.quick {
            return Ok(rows);
        }
        for _ in 1..MOST_WARM_UPS {
            let next = self.run(cell, engine, flink.as_deref_mut(), rows)?;
            eprintln!("  - {engine:?} {}", next.in_words());
            let change = next.cost() / run.cost();
            rows = self.enough_rows(cell, rows, &next);
            run = next;
            if (1.0 - SETTLED..=1.0 + SETTLED).contains(&change) {
                break;
            }
        }
        Ok(rows)
    }

    fn run(
        &mut self,
        cell: &Cell,
        engine: Engine,
        flink: Option<&mut Flink>,
        rows: u64,
    ) -> Result<Run> {
        let warm_up = self.warm_up(cell);
        let run = match (engine, flink) {
            (Engine::Flink | Engine::Stock, Some(flink)) => {
                flink.run(&format!("n={rows} warm={warm_up}"))?
            }
            _ => on_weir(cell, &self.jobs, rows, warm_up)?,
        };
        let parallelism = cell.setting.parallelism;
        let key = (cell.workload.name(), rows, parallelism, engine);
        let expected = self.expected.entry(key);
        let expected =
            expected.or_insert_with(|| cell.workload.expected(rows, parallelism, engine));
        let judged = expected.judge(run.out);
        judged.with_context(|| format!("{engine:?} of {rows} rows"))?;
        Ok(run)
    }

    fn warm_up(&self, cell: &Cell) -> u64 {
        match self.length.quick {
            true => cell.workload.few_rows() / 4,
            false => cell.workload.warm_up(cell.setting.store),
        }
    }

    /// How many rows the run has that does not count.
    fn first_rows(&self, cell: &Cell, engine: Engine) -> u64 {
        if self.length.quick {
            return cell.workload.few_rows();
        }
        let guess = cell.workload.guess(cell.setting.store, engine) as f64;
        self.warm_up(cell) + round_up(guess * self.length.seconds)
    }

    /// How many rows take about as long as they should, going by a run.
    fn enough_rows(&self, cell: &Cell, first: u64, run: &Run) -> u64 {
        if self.length.quick {
            return first;
        }
        let rows = round_up(run.rate() * self.length.seconds).min(MOST_ROWS);
        self.warm_up(cell) + rows
    }
}

/// Runs a cell on Weir once.
fn on_weir(cell: &Cell, jobs: &Path, rows: u64, warm_up: u64) -> Result<Run> {
    let begin = cell.workload.begin(warm_up);
    let parallelism = cell.setting.parallelism;
    let ends = cell.workload.ends(rows, parallelism, begin, None);
    Ok(weir::run(&cell.on_weir(jobs), ends)?.into())
}

/// Runs a workload on Weir in all ways with few rows, and compares the results row by row.
pub(super) fn verify(cell: &Cell, jobs: &Path) -> Result<u64> {
    let workload = &cell.workload;
    let rows = workload.few_rows();
    let parallelism = cell.setting.parallelism;
    let kept = Arc::new(workload.kept());
    let begin = workload.begin(1);
    let ends = workload.ends(rows, parallelism, begin, Some(Arc::clone(&kept)));
    let mut job = cell.on_weir(jobs);
    // Some fall into so short a run.
    job.checkpoint_ms = job.checkpoint_ms.map(|_| 20);
    weir::run(&job, ends)?;
    let found = kept.take();
    workload.verify(rows, parallelism, &found)?;
    Ok(found.len() as u64)
}

/// A number of two digits and zeros, so that results of oracles may serve again.
fn round_up(rows: f64) -> u64 {
    let rows = if rows.is_finite() { rows.max(1.0) } else { 1.0 };
    let unit = 10_f64.powf((rows.log10().floor() - 1.0).max(0.0));
    ((rows / unit).ceil() * unit) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_rounded_up_to_two_digits() {
        let rounded = [0.0, 7.2, 99.0, 101.0, 12_345.0, 9.99e7, f64::NAN].map(round_up);
        assert_eq!(rounded, [1, 8, 99, 110, 13_000, 100_000_000, 1]);
    }
}
