//! Query 7, first step: the highest bids of each auction in a window, all that tie. Bids are
//! `auction,bidder,price`, what comes out is `window end,price,auction,bidder`.

use nexmark::{Numbers, Ties};
use weir_guest::{Ctx, Result, Window, WindowAggregate, operator};

#[derive(Default)]
struct AuctionHighest;

impl WindowAggregate for AuctionHighest {
    type In = Numbers<3>;
    /// By price, auction and bidder.
    type Accumulator = Ties<(u64, u64)>;
    type Out = String;

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
        ctx: &mut Ctx<String>,
    ) -> Result<()> {
        for (auction, bidder) in highest.items() {
            let price = highest.rank();
            ctx.emit((window.end, ",", price, ",", auction, ",", bidder))?;
        }
        Ok(())
    }
}

operator!(AuctionHighest, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn all_bids_with_the_highest_price_are_told() {
        let mut highest = Harness::open::<AuctionHighest, _>("null").unwrap();
        let window = Window {
            start: 10_000,
            end: 20_000,
        };
        let rows = ["7,1,500", "7,2,900", "7,3,900", "7,1,100"];
        let out = highest.window("7", window, rows).unwrap();
        assert_eq!(out.main(), ["20000,900,7,2", "20000,900,7,3"]);
    }
}
