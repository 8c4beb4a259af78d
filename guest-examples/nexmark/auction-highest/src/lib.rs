//! Query 7, first step: the highest bids of each auction in a window, all that tie. Bids are
//! `auction,bidder,price`, what comes out is `window end,price,auction,bidder`.

use nexmark::Ties;
use weir_guest::{Binary, Ctx, Result, Window, WindowAggregate, operator};

#[derive(Default)]
struct AuctionHighest;

impl WindowAggregate for AuctionHighest {
    type In = Binary<[u64; 3]>;
    /// By price, auction and bidder.
    type Accumulator = Ties<(u64, u64)>;
    type Out = Binary<[u64; 4]>;

    fn add(&mut self, highest: &mut Ties<(u64, u64)>, row: [u64; 3]) -> Result<()> {
        let [auction, bidder, price] = row;
        highest.add(price, (auction, bidder));
        Ok(())
    }

    fn merge(&mut self, highest: &mut Ties<(u64, u64)>, other: Ties<(u64, u64)>) -> Result<()> {
        highest.merge(other);
        Ok(())
    }

    fn result(
        &mut self,
        window: Window,
        highest: Ties<(u64, u64)>,
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()> {
        for (auction, bidder) in highest.items() {
            ctx.emit([window.end as u64, highest.rank(), *auction, *bidder])?;
        }
        Ok(())
    }
}

operator!(AuctionHighest, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn all_bids_with_the_highest_price_are_told() {
        let mut highest = Harness::open::<AuctionHighest, _>("null").unwrap();
        let window = Window {
            start: 10_000,
            end: 20_000,
        };
        let bid = |bidder, price| rows::row(&[7, bidder, price], &[]);
        let bids = [bid(1, 500), bid(2, 900), bid(3, 900), bid(1, 100)];
        let out = highest.window("7", window, bids).unwrap();
        let told = [[20_000, 900, 7, 2], [20_000, 900, 7, 3]];
        assert_eq!(rows::told::<[u64; 4]>(&out).unwrap(), told);
    }
}
