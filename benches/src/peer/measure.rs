//! Measures cells and what is compared besides, one after the other.
//!
//! INVARIANT: what fails is told and all else goes on; what is done is in the file before the next
//! thing begins.

use std::path::PathBuf;

use super::{
    bench::Bench,
    beside::{Around, Beside, Kind},
    cell::Cell,
    progress::{Progress, cell_seconds, kind_seconds},
    saved::Results,
};
use crate::error::{Context, Result};

/// What is to be measured, and with what.
pub(super) struct Plan {
    pub(super) cells: Vec<Cell>,
    pub(super) kinds: Vec<Kind>,
    pub(super) bench: Bench,
    pub(super) around: Around,
    /// Where results are kept while there are more to come, if anywhere.
    pub(super) folder: Option<PathBuf>,
}

impl Plan {
    /// Measures all of it, and puts it to the results.
    ///
    /// # Errors
    /// Where Flink cannot be started at all, or results cannot be kept: nothing would come of the
    /// rest.
    pub(super) fn measure(mut self, results: &mut Results) -> Result<()> {
        let length = self.bench.length;
        let with_flink = self.bench.flink.is_some();
        let cells = self.cells.iter();
        let cells = cells.map(|cell| cell_seconds(&self.bench.sides(cell), length.of(cell)));
        let kinds = self.kinds.iter().map(|_| kind_seconds(with_flink, length));
        let mut progress = Progress::new(cells.chain(kinds).collect());
        eprintln!("{}", progress.in_words());
        if let (Some(program), Some(cell)) = (&self.bench.flink, self.cells.first()) {
            // It is fetched and compiled now, if it never was.
            let scratch = tempfile::tempdir().context("making a folder for Flink")?;
            let started = program.start(&cell.on_flink(scratch.path()));
            drop(started.context("starting Flink")?);
        }
        for cell in &self.cells {
            eprintln!("{} {}", progress.next(), cell.name());
            let record = self.bench.measure(cell);
            eprintln!("  = {}", record.in_words());
            results.records.push(record);
            progress.step();
            self.keep(results)?;
        }
        for &kind in &self.kinds {
            eprintln!("{} {}", progress.next(), kind.name());
            let beside = Beside::measure(kind, &self.around);
            eprintln!("  = {}", beside.in_words());
            results.besides.push(beside);
            progress.step();
            self.keep(results)?;
        }
        Ok(())
    }

    fn keep(&self, results: &Results) -> Result<()> {
        match &self.folder {
            Some(folder) => results.write_unfinished(folder),
            None => Ok(()),
        }
    }
}
