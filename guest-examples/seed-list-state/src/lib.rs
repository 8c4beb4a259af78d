//! Counts lines. The count is kept in a variable, and in operator list state whenever there is a
//! checkpoint: after a failure it goes on from there.
//!
//! Before a line is counted, 10 is divided by the number that it says: so `0`, or a word, fails the
//! task.

use weir_guest::{
    Checkpointed, Context, Ctx, Describe, Initialize, OperatorList, Process, Result, Row, Snapshot,
    operator,
};

#[derive(Default)]
struct Lines {
    count: u64,
    /// The count as of the last checkpoint.
    state: OperatorList<u64>,
}

impl Process for Lines {
    type In = String;
    type Out = u64;

    fn describe(&mut self, d: &mut Describe) {
        d.operator_list("state", &mut self.state);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<u64>) -> Result<()> {
        let line = row.value.trim();
        let number: i64 = line.parse().context(format_args!("`{line}`"))?;
        10_i64
            .checked_div(number)
            .context(format_args!("10 / {number}: division by zero"))?;
        // Last, as a field does not go back with a row that fails.
        self.count += 1;
        ctx.emit(self.count)
    }
}

impl Checkpointed for Lines {
    fn initialize(&mut self, init: &Initialize) -> Result<()> {
        if init.is_restored() {
            self.count = self.state.get()?.iter().sum();
            self.state.clear()?;
        }
        Ok(())
    }

    fn snapshot(&mut self, _snapshot: &mut Snapshot) -> Result<()> {
        self.state.clear()?;
        self.state.add(self.count)
    }
}

operator!(Lines, checkpointed);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, Saved};

    fn open() -> Harness {
        Harness::open_checkpointed::<Lines, _>("null").unwrap()
    }

    #[test]
    fn the_count_goes_on_from_the_last_checkpoint() {
        let mut lines = open();
        let out = lines.rows(["1", "2", "-3", " 4 "]).unwrap();
        assert_eq!(out.main(), ["1", "2", "3", "4"]);
        let saved = lines.checkpoint().unwrap();
        assert_eq!(lines.items::<u64>("state").unwrap(), [4]);
        assert_eq!(lines.rows(["5"]).unwrap().main(), ["5"]);

        lines.restore(&saved).unwrap();
        assert!(lines.items::<u64>("state").unwrap().is_empty());
        assert_eq!(lines.rows(["6"]).unwrap().main(), ["5"]);
        // The list holds the last count alone, however often there was a checkpoint.
        lines.checkpoint().unwrap();
        lines.checkpoint().unwrap();
        assert_eq!(lines.items::<u64>("state").unwrap(), [5]);
    }

    #[test]
    fn zero_and_words_fail_and_do_not_count() {
        let mut lines = open();
        let out = lines.rows(["1", "0", "2"]).unwrap();
        assert_eq!(out.main(), ["1"]);
        let message = "10 / 0: division by zero".to_owned();
        assert_eq!(out.poisoned, Some((1, message)));
        let out = lines.rows(["x"]).unwrap();
        let message = "`x`: invalid digit found in string".to_owned();
        assert_eq!(out.poisoned, Some((0, message)));
        assert_eq!(lines.rows(["2"]).unwrap().main(), ["2"]);
    }

    #[test]
    fn one_that_takes_over_from_several_counts_on_from_their_sum() {
        let (mut one, mut other) = (open(), open());
        one.rows(["1", "2"]).unwrap();
        other.rows(["1", "2", "3"]).unwrap();
        let saved = [one.checkpoint().unwrap(), other.checkpoint().unwrap()];
        let mut merged = Saved::rescale(&saved, 1).unwrap();
        assert_eq!(merged[0].rows(["1"]).unwrap().main(), ["6"]);
    }
}
