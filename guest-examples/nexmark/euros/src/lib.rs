//! Query 1: bids with their price in euro, all else as it was.

use nexmark::Bids;
use weir_guest::{Ctx, Process, Result, Row, operator};

#[derive(Default)]
struct Euros;

impl Process for Euros {
    type In = Bids;
    type Out = String;

    fn process(&mut self, row: Row<Bids>, ctx: &mut Ctx<String>) -> Result<()> {
        let Some(bid) = row.value else { return Ok(()) };
        let euros = bid.price * 908 / 1000;
        ctx.emit((bid.auction, ",", bid.bidder, ",", euros, ",", bid.rest()?))
    }
}

operator!(Euros);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn the_price_is_in_euro_and_all_else_stays() {
        let mut euros = Harness::open::<Euros, _>("null").unwrap();
        let out = euros
            .rows(["P,1000,x", "B,1002,1001,1999,mail,u,17,x"])
            .unwrap();
        assert_eq!(out.main(), ["1002,1001,1815,mail,u,17,x"]);
    }
}
