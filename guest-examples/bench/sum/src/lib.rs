//! Sums up the values of each key and window, and emits key and sum. Rows are key, value and time.

use weir_guest::{Binary, Ctx, Result, Window, WindowAggregate, operator};

#[derive(Default)]
struct Sum;

impl WindowAggregate for Sum {
    type In = Binary<(u64, u64, u64)>;
    type Accumulator = u64;
    type Out = Binary<(u64, u64)>;

    fn add(&mut self, sum: &mut u64, (_, value, _): (u64, u64, u64)) -> Result<()> {
        *sum += value;
        Ok(())
    }

    fn merge(&mut self, sum: &mut u64, other: u64) -> Result<()> {
        *sum += other;
        Ok(())
    }

    fn result(&mut self, _: Window, sum: u64, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        ctx.emit((ctx.key().binary(0)?, sum))
    }
}

operator!(Sum, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, binary};

    #[test]
    fn values_of_a_window_are_summed_up() {
        let mut sums = Harness::open::<Sum, _>("null").unwrap();
        let window = Window {
            start: 0,
            end: 10_000,
        };
        let rows = [(7_u64, 1_u64, 5_u64), (7, 41, 6)].map(binary);
        let out = sums.window(7_u64.to_le_bytes(), window, rows).unwrap();
        assert_eq!(out.binary::<(u64, u64)>().unwrap(), [(7, 42)]);
    }
}
