//! Sums up the values of each key and window, and emits `key,sum`.

use weir_guest::{Csv, CsvRow, Ctx, Result, Window, WindowAggregate, columns, operator};

columns! { _, VALUE }

#[derive(Default)]
struct Sum;

impl WindowAggregate for Sum {
    type In = Csv;
    type Accumulator = u64;
    type Out = String;

    fn add(&mut self, sum: &mut u64, row: CsvRow<'_>) -> Result<()> {
        *sum += row.get::<u64>(VALUE)?;
        Ok(())
    }

    fn merge(&mut self, sum: &mut u64, other: u64) -> Result<()> {
        *sum += other;
        Ok(())
    }

    fn result(&mut self, _: Window, sum: u64, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit((ctx.key(), ",", sum))
    }
}

operator!(Sum, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn values_of_a_window_are_summed_up() {
        let mut sums = Harness::open::<Sum, _>("null").unwrap();
        let window = Window {
            start: 0,
            end: 10_000,
        };
        let out = sums.window("7", window, ["7,1,5", "7,41,6"]).unwrap();
        assert_eq!(out.main(), ["7,42"]);
    }
}
