//! Query 12: how many bids each bidder makes in a time by the clock, as `bidder,bids`.

use weir_guest::{Binary, Ctx, Result, Window, WindowAggregate, operator};

#[derive(Default)]
struct Bidders;

impl WindowAggregate for Bidders {
    type In = Vec<u8>;
    type Accumulator = u64;
    type Out = Binary<[u64; 2]>;

    fn add(&mut self, bids: &mut u64, _row: &[u8]) -> Result<()> {
        *bids += 1;
        Ok(())
    }

    fn merge(&mut self, bids: &mut u64, other: u64) -> Result<()> {
        *bids += other;
        Ok(())
    }

    fn result(&mut self, _window: Window, bids: u64, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let bidder = ctx.key().binary(0)?;
        ctx.emit([bidder, bids])
    }
}

operator!(Bidders, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn the_bids_of_a_bidder_are_counted() {
        let mut bidders = Harness::open::<Bidders, _>("null").unwrap();
        let window = Window {
            start: 2_000,
            end: 3_000,
        };
        let bidder = 1001_u64.to_le_bytes();
        let out = bidders.window(bidder, window, [bidder; 2]).unwrap();
        assert_eq!(rows::told::<[u64; 2]>(&out).unwrap(), [[1001, 2]]);
    }
}
