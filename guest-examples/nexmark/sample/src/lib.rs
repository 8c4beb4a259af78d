//! Query 2: auction and price of the bids for each 123rd auction.

use nexmark::Bids;
use weir_guest::{Ctx, Process, Result, Row, operator};

const EACH: u64 = 123;

#[derive(Default)]
struct Sample;

impl Process for Sample {
    type In = Bids;
    type Out = String;

    fn process(&mut self, row: Row<Bids>, ctx: &mut Ctx<String>) -> Result<()> {
        match row.value {
            Some(bid) if bid.auction % EACH == 0 => ctx.emit((bid.auction, ",", bid.price)),
            _ => Ok(()),
        }
    }
}

operator!(Sample);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn only_each_123rd_auction_counts() {
        let mut sample = Harness::open::<Sample, _>("null").unwrap();
        let rows = ["A,1107,x", "B,1107,1001,700,x", "B,1108,1001,800,x"];
        assert_eq!(sample.rows(rows).unwrap().main(), ["1107,700"]);
    }
}
