//! Query 2: auction and price of the bids for each 123rd auction.

use nexmark::Bids;
use weir_guest::{Binary, Ctx, Process, Result, Row, operator};

const EACH: u64 = 123;

#[derive(Default)]
struct Sample;

impl Process for Sample {
    type In = Bids;
    type Out = Binary<[u64; 2]>;

    fn process(&mut self, row: Row<Bids>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        match row.value {
            Some(bid) if bid.auction() % EACH == 0 => ctx.emit([bid.auction(), bid.price()]),
            _ => Ok(()),
        }
    }
}

operator!(Sample);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn only_each_123rd_auction_counts() {
        let mut sample = Harness::open::<Sample, _>("null").unwrap();
        let bid = |auction, price| rows::event(b'B', &[auction, 1001, price, 17], &["", "", ""]);
        let events = [
            rows::event(b'A', &[1107], &["x"]),
            bid(1107, 700),
            bid(1108, 800),
        ];
        let out = sample.rows(events).unwrap();
        assert_eq!(rows::told::<[u64; 2]>(&out).unwrap(), [[1107, 700]]);
    }
}
