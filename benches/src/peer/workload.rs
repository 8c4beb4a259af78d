//! What a workload is to the comparison: the same rows, operator and result on both engines.

use std::sync::Arc;

use super::{cell::Setting, check::Sum, drain::Kept, run::Run, tally::Begin, weir::Ends};
use crate::{
    backend::Store,
    error::{Error, Result},
};

/// Who runs a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Engine {
    /// Apache Flink; a row of its result adds [`fold`](super::check::fold) of its fields.
    Flink,
    /// The same with the source and the serializers that it brings.
    Stock,
    /// Weir; a row adds the hash of its bytes, which costs less than to read the fields in it.
    Weir,
}

/// What a run must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Exactly this.
    Exactly(Sum),
    /// So many rows at least and at most, where what comes out depends on how tasks interleave.
    Within(u64, u64),
    /// No more rows and no larger sum than this, where it is a sum of what rows count.
    UpTo(Sum),
}

impl Expected {
    /// Whether a run came to it.
    ///
    /// # Errors
    /// Where it did not: what was found and what was expected.
    pub fn judge(self, found: Sum) -> Result<()> {
        let is_right = match self {
            Self::Exactly(expected) => found == expected,
            Self::Within(least, most) => (least..=most).contains(&found.rows),
            Self::UpTo(most) => found.rows <= most.rows && found.sum <= most.sum,
        };
        match is_right {
            true => Ok(()),
            false => Err(Error::new(format_args!(
                "the output is wrong: {found:?}, expected {self:?}"
            ))),
        }
    }
}

/// A workload of the comparison.
pub trait Workload: Send + Sync {
    /// Its name, with which those of its cells begin.
    fn name(&self) -> String;

    /// What a reader of the table is told.
    fn in_words(&self) -> String;

    /// What the program for Flink is told, such as `workload=count` and `keys=1000`.
    fn on_flink(&self) -> Vec<String>;

    /// Whether the program for Flink also has it with a source and serializers that Flink brings
    /// (`style=stock`), beside those that were written for this comparison.
    fn has_stock(&self) -> bool {
        false
    }

    /// Its job file, in `benches/jobs`.
    fn job_file(&self) -> &'static str;

    /// How many rows come before time counts.
    fn warm_up(&self, store: Store) -> u64;

    /// How it is run: in memory at parallelism 1 and 2, if it does not say otherwise.
    fn settings(&self) -> Vec<Setting> {
        vec![Setting::plain(1), Setting::plain(2)]
    }

    /// How many times Flink's rows a second are to be reached, if that is said.
    fn goal(&self, setting: Setting) -> Option<f64>;

    /// Whether it keeps state under keys, so that it matters where.
    fn is_keyed(&self) -> bool;

    /// About how many rows an engine makes in a second: how many the first run has follows from it.
    fn guess(&self, store: Store, engine: Engine) -> u64;

    /// When so many rows are behind.
    fn begin(&self, warm_up: u64) -> Begin;

    /// Makes the two ends of a job of so many rows. They tell `tally`; rows that come out are kept
    /// where there is somebody to keep them, else hashed.
    fn ends(&self, rows: u64, parallelism: u32, begin: Begin, kept: Option<Arc<Kept>>) -> Ends;

    /// Does the same as one loop on one thread, see [`by_hand`](super::by_hand): so many rows, of
    /// which those of the warm-up are not timed. Rows that come out are kept where there is
    /// somebody to keep them.
    fn by_hand(&self, rows: u64, warm_up: u64, kept: Option<&Kept>) -> Run;

    /// Who keeps what comes out, for a run whose result is looked at row by row.
    fn kept(&self) -> Kept {
        Kept::default()
    }

    /// What a run of so many rows must come to, computed by plain loops.
    fn expected(&self, rows: u64, parallelism: u32, engine: Engine) -> Expected;

    /// Compares a result row by row, as far as it is determined.
    ///
    /// # Errors
    /// Where it is another one.
    fn verify(&self, rows: u64, parallelism: u32, found: &[Vec<u8>]) -> Result<()>;

    /// How many rows a run has that is verified.
    fn few_rows(&self) -> u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_right_or_told() {
        let sum = |rows, sum| Sum { rows, sum };
        let exactly = Expected::Exactly(sum(2, 7));
        assert!(exactly.judge(sum(2, 7)).is_ok());
        assert!(exactly.judge(sum(3, 7)).is_err());
        let told = exactly.judge(sum(2, 8)).unwrap_err().to_string();
        assert!(told.contains("sum: 8") && told.contains("sum: 7"), "{told}");
        let within = Expected::Within(2, 4);
        assert!(within.judge(sum(4, 1)).is_ok());
        assert!(within.judge(sum(5, 1)).is_err() && within.judge(sum(1, 1)).is_err());
        let up_to = Expected::UpTo(sum(2, 9));
        assert!(up_to.judge(sum(0, 0)).is_ok() && up_to.judge(sum(2, 9)).is_ok());
        assert!(up_to.judge(sum(3, 9)).is_err() && up_to.judge(sum(2, 10)).is_err());
    }
}
