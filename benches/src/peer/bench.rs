//! Measures cells: both engines in turns, as many rows as take each the same time.

use std::{
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use super::{
    cell::Cell,
    flink::{Flink, Program},
    ready::Ready,
    record::{Record, Side},
    run::Run,
    weir::{self, Job},
    workload::{Engine, Expected},
};
use crate::error::{Context, Error, Result};

/// The most rows of a run: an oracle goes through them, too.
const MOST_ROWS: u64 = 300_000_000;

/// The most runs of Weir that do not count.
const MOST_WARM_UPS: u32 = 6;

/// How long the runs of Flink that do not count take together at least and at most, in seconds,
/// with the rows before those that are timed, and by what part the last may cost another time than
/// the one before. The Java machine compiles for so long: two short runs that cost the same say
/// nothing, for a third may cost half of that.
const JAVA_SECONDS: Range<f64> = 12.0..24.0;
const SETTLED: f64 = 0.1;

/// What a run takes at least in which a checkpoint is taken each second: whether one falls into it
/// or two would decide over the figures of a shorter one.
const CHECKPOINT_SECONDS: f64 = 4.0;

/// How long and how often is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    /// About so long a run takes, warm-up apart.
    pub(super) seconds: f64,
    pub(super) repeats: u32,
    /// Few rows, and no look at how long they take.
    pub(super) quick: bool,
}

impl Length {
    /// The same for a cell.
    pub(super) fn of(self, cell: &Cell) -> Self {
        let seconds = match cell.setting.checkpoints {
            true => self.seconds.max(CHECKPOINT_SECONDS),
            false => self.seconds,
        };
        Self { seconds, ..self }
    }
}

/// Runs cells.
pub(super) struct Bench {
    /// Where job files lie.
    pub(super) jobs: PathBuf,
    /// `None`: only Weir is measured.
    pub(super) flink: Option<Program>,
    /// Whether Weir is also measured with native operators, in cells that have that.
    pub(super) native: bool,
    /// Whether the same work is also measured as a loop by hand, in cells that have nothing more.
    pub(super) by_hand: bool,
    /// Whether `perf` is told the names of the functions of components.
    pub(super) perf_map: bool,
    pub(super) length: Length,
    /// What memory the runs of the cell at hand in this process take.
    pub(super) ready: Ready,
    /// What runs must come to: an oracle takes as long as a run.
    pub(super) expected: HashMap<(String, u64, u32, Engine), Expected>,
}

impl Bench {
    /// Who takes turns in a cell.
    pub(super) fn sides(&self, cell: &Cell) -> Vec<Side> {
        let is_measured = |side: &Side| match side {
            Side::Flink => self.flink.is_some(),
            Side::Stock => self.flink.is_some() && cell.workload.has_stock(),
            Side::Weir => true,
            Side::Plain => cell.least_left().is_some(),
            Side::Native => self.native && cell.has_native(),
            Side::Hand => self.by_hand && cell.is_like_by_hand(),
        };
        Side::ALL.into_iter().filter(is_measured).collect()
    }

    /// Measures a cell, or tells in its record why that failed.
    pub(super) fn measure(&mut self, cell: &Cell) -> Record {
        let mut record = Record::new(cell.clone());
        record.failed = (self.take_turns(cell, &mut record).err()).map(|why| why.to_string());
        record
    }

    /// Runs that do not count until what they cost is settled, then turns.
    fn take_turns(&mut self, cell: &Cell, record: &mut Record) -> Result<()> {
        self.ready = Ready::default();
        let folder = tempfile::tempdir().context("making a folder for checkpoints")?;
        let mut turns = Vec::new();
        for side in self.sides(cell) {
            turns.push((side, self.start(cell, side, folder.path())?, 0));
        }
        let mut of_weir = None;
        for (side, flink, rows) in &mut turns {
            // By hand as many as Weir has, so that as much is kept; and without checkpoints.
            let as_many = of_weir.filter(|_| matches!(side, Side::Plain | Side::Hand));
            *rows = self.warmed_up(cell, *side, flink.as_mut(), as_many)?;
            if *side == Side::Weir {
                of_weir = Some(*rows);
            }
        }
        for round in 1..=self.length.repeats {
            for (side, flink, rows) in &mut turns {
                let run = self.run(cell, *side, flink.as_mut(), *rows)?;
                eprintln!("  {round} {side}: {}", run.in_words());
                record.add(*side, run);
            }
        }
        Ok(())
    }

    /// Starts a program for a side, if it needs one.
    fn start(&self, cell: &Cell, side: Side, folder: &Path) -> Result<Option<Flink>> {
        let mut words = cell.on_flink(folder);
        match side {
            Side::Weir | Side::Plain | Side::Native | Side::Hand => return Ok(None),
            Side::Flink => {}
            Side::Stock => {
                words = cell.on_flink(&folder.join("stock"));
                words.push("style=stock".to_owned());
            }
        }
        let program = self.flink.as_ref().context("no program for Flink")?;
        program.start(&words).map(Some)
    }

    /// Runs that do not count: of Weir until one is long enough to tell how many rows are, and of
    /// Flink as many as it takes until its compilers are done. Gives how many rows a run shall
    /// have, if that is not said.
    fn warmed_up(
        &mut self,
        cell: &Cell,
        side: Side,
        flink: Option<&mut Flink>,
        said: Option<u64>,
    ) -> Result<u64> {
        let began = Instant::now();
        let mut flink = flink;
        let mut ran = said.unwrap_or_else(|| self.first_rows(cell, side));
        let mut run = self.run(cell, side, flink.as_deref_mut(), ran)?;
        eprintln!("  - {side}: {}", run.in_words());
        if let (Some(rows), None) = (said, &flink) {
            return Ok(rows);
        }
        let mut rows = self.enough_rows(cell, ran, &run);
        if self.length.quick {
            return Ok(rows);
        }
        let (mut count, mut change) = (1, f64::INFINITY);
        loop {
            let is_enough = match flink {
                Some(_) => is_settled(began.elapsed().as_secs_f64(), change),
                None => count >= MOST_WARM_UPS || tells(ran, rows, self.warm_up(cell)),
            };
            if is_enough {
                return Ok(rows);
            }
            let next = self.run(cell, side, flink.as_deref_mut(), rows)?;
            eprintln!("  - {side}: {}", next.in_words());
            change = next.cost() / run.cost();
            count += 1;
            ran = rows;
            rows = self.enough_rows(cell, ran, &next);
            run = next;
        }
    }

    fn run(
        &mut self,
        cell: &Cell,
        side: Side,
        flink: Option<&mut Flink>,
        rows: u64,
    ) -> Result<Run> {
        let warm_up = self.warm_up(cell);
        let run = match (flink, side) {
            (Some(flink), _) => flink.run(&format!("n={rows} warm={warm_up}")),
            (None, _) => self.run_here(cell, side, rows, warm_up),
        };
        let run = run.with_context(|| format!("{side}, {rows} rows"))?;
        let engine = side.engine();
        let parallelism = cell.setting.parallelism;
        let key = (cell.workload.name(), rows, parallelism, engine);
        let expected = self.expected.entry(key);
        let expected =
            expected.or_insert_with(|| cell.workload.expected(rows, parallelism, engine));
        let judged = expected.judge(run.out);
        judged.with_context(|| format!("{side}, {rows} rows"))?;
        Ok(run)
    }

    /// Runs a cell in this process once.
    fn run_here(&mut self, cell: &Cell, side: Side, rows: u64, warm_up: u64) -> Result<Run> {
        self.ready.begin();
        let run = match side {
            Side::Hand => Ok(cell.workload.by_hand(rows, warm_up, None)),
            Side::Plain => self.on_weir(&cell.without_checkpoints(), false, rows, warm_up),
            Side::Native => self.on_weir(cell, true, rows, warm_up),
            Side::Weir => self.on_weir(cell, false, rows, warm_up),
            Side::Flink | Side::Stock => Err(Error::new("Flink runs in a process of its own")),
        };
        self.ready.end();
        run
    }

    /// Runs a cell on Weir once.
    fn on_weir(&self, cell: &Cell, native: bool, rows: u64, warm_up: u64) -> Result<Run> {
        let begin = cell.workload.begin(warm_up);
        let parallelism = cell.setting.parallelism;
        let ends = cell.workload.ends(rows, parallelism, begin, None);
        let mut job = Job {
            native,
            ..cell.on_weir(&self.jobs)
        };
        job.embedding.perf_map = self.perf_map;
        Ok(weir::run(&job, ends)?.into())
    }

    fn warm_up(&self, cell: &Cell) -> u64 {
        match self.length.quick {
            true => cell.workload.few_rows() / 4,
            false => cell.workload.warm_up(cell.setting.store),
        }
    }

    /// How many rows the run has that does not count.
    fn first_rows(&self, cell: &Cell, side: Side) -> u64 {
        if self.length.quick {
            return cell.workload.few_rows();
        }
        let guess = cell.workload.guess(cell.setting.store, side.engine()) as f64;
        self.warm_up(cell) + round_up(guess * self.length.of(cell).seconds)
    }

    /// How many rows take about as long as they should, going by a run.
    fn enough_rows(&self, cell: &Cell, first: u64, run: &Run) -> u64 {
        if self.length.quick {
            return first;
        }
        let rows = round_up(run.rate() * self.length.of(cell).seconds).min(MOST_ROWS);
        self.warm_up(cell) + rows
    }
}

/// Runs a workload with few rows, on Weir by its components or natively, or by hand, and compares
/// the result row by row.
pub(super) fn verify(cell: &Cell, side: Side, jobs: &Path) -> Result<u64> {
    let workload = &cell.workload;
    let rows = workload.few_rows();
    let parallelism = cell.setting.parallelism;
    let kept = Arc::new(workload.kept());
    if side == Side::Hand {
        workload.by_hand(rows, 1, Some(&kept));
    } else {
        let begin = workload.begin(1);
        let ends = workload.ends(rows, parallelism, begin, Some(Arc::clone(&kept)));
        let mut job = Job {
            native: side == Side::Native,
            ..cell.on_weir(jobs)
        };
        // Some fall into so short a run.
        job.checkpoint_ms = job.checkpoint_ms.map(|_| 20);
        weir::run(&job, ends)?;
    }
    let found = kept.take();
    workload.verify(rows, parallelism, &found)?;
    Ok(found.len() as u64)
}

/// Whether a run of `ran` rows tells how many are enough, which it says are `rows`: one of less
/// than half of these is over before what a row costs shows.
fn tells(ran: u64, rows: u64, warm_up: u64) -> bool {
    2 * ran.saturating_sub(warm_up) >= rows.saturating_sub(warm_up)
}

/// Whether Flink's compilers are done, as far as can be seen, after runs in so many seconds, of
/// which the last cost so many times what the one before did.
fn is_settled(seconds: f64, change: f64) -> bool {
    let is_as_before = (1.0 - SETTLED..=1.0 + SETTLED).contains(&change);
    seconds >= JAVA_SECONDS.end || (seconds >= JAVA_SECONDS.start && is_as_before)
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

    /// It is measured whenever what checkpoints leave is asked for, and takes none.
    #[test]
    fn what_runs_without_checkpoints_takes_turns_with_them() {
        let cells = Cell::all();
        let asked = cells.iter().find(|cell| cell.least_left().is_some());
        let mut bench = Bench {
            jobs: crate::machine::root().join("benches/jobs"),
            flink: None,
            native: false,
            by_hand: false,
            perf_map: false,
            length: Length {
                seconds: 1.0,
                repeats: 2,
                quick: true,
            },
            ready: Ready::default(),
            expected: HashMap::new(),
        };
        let plain = cells
            .iter()
            .filter(|cell| bench.sides(cell).contains(&Side::Plain));
        assert_eq!(plain.count(), 2);
        let record = bench.measure(asked.unwrap());
        assert_eq!(record.failed, None);
        let checkpoints = |run: &Run| run.checkpoints.len() as f64;
        assert!(record.median(Side::Weir, checkpoints) > Some(0.0));
        assert_eq!(record.median(Side::Plain, checkpoints), Some(0.0));
        assert!(record.left().is_some());
    }

    #[test]
    fn rows_are_rounded_up_to_two_digits() {
        let rounded = [0.0, 7.2, 99.0, 101.0, 12_345.0, 9.99e7, f64::NAN].map(round_up);
        assert_eq!(rounded, [1, 8, 99, 110, 13_000, 100_000_000, 1]);
    }

    #[test]
    fn a_run_with_checkpoints_has_room_for_some() {
        let length = |seconds| Length {
            seconds,
            repeats: 3,
            quick: false,
        };
        for (name, asked, expected) in [
            ("count-1e6-heap-p1", 0.6, 0.6),
            ("count-1e6-heap-p1-checkpoints", 0.6, CHECKPOINT_SECONDS),
            ("count-1e6-heap-p1-checkpoints", 9.0, 9.0),
        ] {
            let cells = Cell::all();
            let cell = cells.iter().find(|cell| cell.name() == name).unwrap();
            let seconds = length(asked).of(cell).seconds;
            assert!((seconds - expected).abs() < 1e-9, "{name}: {seconds}");
        }
    }

    #[test]
    fn flink_runs_until_its_compilers_are_done_and_not_for_ever() {
        assert!(!is_settled(1.2, 1.0));
        assert!(is_settled(12.0, 1.0));
        assert!(!is_settled(12.0, 0.8));
        assert!(!is_settled(12.0, f64::INFINITY));
        assert!(is_settled(24.0, 0.8));
    }

    #[test]
    fn a_run_that_was_over_too_soon_tells_nothing() {
        assert!(tells(150, 200, 100));
        assert!(tells(900, 200, 100));
        assert!(!tells(149, 200, 100));
        assert!(!tells(50, 200, 100));
    }
}
