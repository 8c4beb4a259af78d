//! Query 5, second step: which auctions had the most bids of all, out of
//! `window end,auction,bids`; all that tie.

use nexmark::{Numbers, Ties};
use weir_guest::{Ctx, Result, Window, WindowAggregate, operator};

#[derive(Default)]
struct Hottest;

impl WindowAggregate for Hottest {
    type In = Numbers<3>;
    type Accumulator = Ties<u64>;
    type Out = String;

    fn add(&mut self, hottest: &mut Ties<u64>, row: [u64; 3]) -> Result<()> {
        let [_, auction, bids] = row;
        hottest.add(bids, auction);
        Ok(())
    }

    fn merge(&mut self, hottest: &mut Ties<u64>, other: Ties<u64>) -> Result<()> {
        hottest.merge(other);
        Ok(())
    }

    fn result(&mut self, _: Window, hottest: Ties<u64>, ctx: &mut Ctx<String>) -> Result<()> {
        for auction in hottest.items() {
            ctx.emit((ctx.key(), ",", auction, ",", hottest.rank()))?;
        }
        Ok(())
    }
}

operator!(Hottest, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn all_auctions_with_the_most_bids_are_told() {
        let mut hottest = Harness::open::<Hottest, _>("null").unwrap();
        let window = Window {
            start: 10_000,
            end: 12_000,
        };
        let rows = ["12000,1,5", "12000,2,9", "12000,3,9", "12000,4,8"];
        let out = hottest.window("12000", window, rows).unwrap();
        assert_eq!(out.main(), ["12000,2,9", "12000,3,9"]);
    }
}
