//! Query 5, first step: the bids of each auction in a window, as `window end,auction,bids`.

use weir_guest::{Binary, Ctx, Result, Window, WindowAggregate, operator};

#[derive(Default)]
struct BidCounts;

impl WindowAggregate for BidCounts {
    type In = Vec<u8>;
    type Accumulator = u64;
    type Out = Binary<[u64; 3]>;

    fn add(&mut self, bids: &mut u64, _row: &[u8]) -> Result<()> {
        *bids += 1;
        Ok(())
    }

    fn merge(&mut self, bids: &mut u64, other: u64) -> Result<()> {
        *bids += other;
        Ok(())
    }

    fn result(&mut self, window: Window, bids: u64, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let auction = ctx.key().binary(0)?;
        ctx.emit([window.end as u64, auction, bids])
    }
}

operator!(BidCounts, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn the_bids_of_a_window_are_counted() {
        let mut counts = Harness::open::<BidCounts, _>("null").unwrap();
        let window = Window {
            start: 2_000,
            end: 12_000,
        };
        let auction = 1042_u64.to_le_bytes();
        let out = counts.window(auction, window, [auction; 3]).unwrap();
        assert_eq!(rows::told::<[u64; 3]>(&out).unwrap(), [[12_000, 1042, 3]]);
    }
}
