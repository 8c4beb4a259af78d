//! Query 1: bids with their price in euro, all else as it was.

use nexmark::{Bid, Bids};
use weir_guest::{Ctx, EncodeAs, Process, Result, Row, operator};

#[derive(Default)]
struct Euros;

/// A bid as it came, but for its price.
struct InEuro<'a>(Bid<'a>);

impl Process for Euros {
    type In = Bids;
    type Out = Vec<u8>;

    fn process(&mut self, row: Row<Bids>, ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
        match row.value {
            Some(bid) => ctx.emit(InEuro(bid)),
            None => Ok(()),
        }
    }
}

impl EncodeAs<Vec<u8>> for InEuro<'_> {
    #[inline]
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(self.0.fields());
        // Behind the auction and the bidder.
        let price = out.get_mut(start + 16..).and_then(<[u8]>::first_chunk_mut);
        if let Some(price) = price {
            *price = (self.0.price() * 908 / 1000).to_le_bytes();
        }
        Ok(())
    }
}

operator!(Euros);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn the_price_is_in_euro_and_all_else_stays() {
        let mut euros = Harness::open::<Euros, _>("null").unwrap();
        let texts = ["mail", "u", "x"];
        let person = rows::event(b'P', &[1000, 17], &["x"]);
        let bid = rows::event(b'B', &[1002, 1001, 1999, 17], &texts);
        let out = euros.rows([&person, &bid, &bid]).unwrap();
        let euros = rows::row(&[1002, 1001, 1815, 17], &texts);
        assert_eq!(rows::main(&out), [euros.clone(), euros]);
    }
}
