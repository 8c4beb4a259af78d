//! Query 5, second step: which auctions had the most bids of all, out of
//! `window end,auction,bids`; all that tie.

use nexmark::Ties;
use weir_guest::{Binary, Ctx, Result, Window, WindowAggregate, operator};

#[derive(Default)]
struct Hottest;

impl WindowAggregate for Hottest {
    type In = Binary<[u64; 3]>;
    type Accumulator = Ties<u64>;
    type Out = Binary<[u64; 3]>;

    fn add(&mut self, hottest: &mut Ties<u64>, row: [u64; 3]) -> Result<()> {
        let [_, auction, bids] = row;
        hottest.add(bids, auction);
        Ok(())
    }

    fn merge(&mut self, hottest: &mut Ties<u64>, other: Ties<u64>) -> Result<()> {
        hottest.merge(other);
        Ok(())
    }

    fn result(
        &mut self,
        _window: Window,
        hottest: Ties<u64>,
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()> {
        let end = ctx.key().binary(0)?;
        for auction in hottest.items() {
            ctx.emit([end, *auction, hottest.rank()])?;
        }
        Ok(())
    }
}

operator!(Hottest, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn all_auctions_with_the_most_bids_are_told() {
        let mut hottest = Harness::open::<Hottest, _>("null").unwrap();
        let window = Window {
            start: 10_000,
            end: 12_000,
        };
        let count = |auction, bids| rows::row(&[12_000, auction, bids], &[]);
        let counts = [count(1, 5), count(2, 9), count(3, 9), count(4, 8)];
        let out = hottest
            .window(12_000_u64.to_le_bytes(), window, counts)
            .unwrap();
        let told = [[12_000, 2, 9], [12_000, 3, 9]];
        assert_eq!(rows::told::<[u64; 3]>(&out).unwrap(), told);
    }
}
