//! Query 7, second step: the highest bids of a window, all that tie, out of those of its auctions,
//! `window end,price,auction,bidder`.

use nexmark::Ties;
use weir_guest::{Binary, Ctx, Result, Window, WindowAggregate, operator};

#[derive(Default)]
struct WindowHighest;

impl WindowAggregate for WindowHighest {
    type In = Binary<[u64; 4]>;
    /// By price, auction and bidder.
    type Accumulator = Ties<(u64, u64)>;
    type Out = Binary<[u64; 4]>;

    fn add(&mut self, highest: &mut Ties<(u64, u64)>, row: [u64; 4]) -> Result<()> {
        let [_, price, auction, bidder] = row;
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

operator!(WindowHighest, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn the_highest_of_all_auctions_are_told() {
        let mut highest = Harness::open::<WindowHighest, _>("null").unwrap();
        let window = Window {
            start: 10_000,
            end: 20_000,
        };
        let bid = |price, auction, bidder| rows::row(&[20_000, price, auction, bidder], &[]);
        let bids = [bid(900, 7, 2), bid(950, 8, 1), bid(950, 9, 1)];
        let out = highest.window("20000", window, bids).unwrap();
        let told = [[20_000, 950, 8, 1], [20_000, 950, 9, 1]];
        assert_eq!(rows::told::<[u64; 4]>(&out).unwrap(), told);
    }
}
