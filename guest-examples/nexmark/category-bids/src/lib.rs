//! Query 20: bids with what is known of their auction. Auctions, `id,seller,reserve`, are those of
//! one category; a bid, `auction,bidder,price`, may come before its auction. Both are kept for
//! ever. What comes out is `auction,bidder,price,seller,reserve`.

use nexmark::Numbers;
use weir_guest::{Ctx, KeyedCoProcess, KeyedDescribe, List, Result, Row, Value, operator};

#[derive(Default)]
struct CategoryBids {
    /// Seller and reserve.
    auction: Value<(u64, u64)>,
    /// Bidder and price.
    bids: List<(u64, u64)>,
}

impl KeyedCoProcess for CategoryBids {
    type First = Numbers<3>;
    type Second = Numbers<3>;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("auction", &mut self.auction).prefetch();
        d.list("bids", &mut self.bids);
    }

    fn process_first(&mut self, row: Row<Numbers<3>>, ctx: &mut Ctx<String>) -> Result<()> {
        let [id, seller, reserve] = row.value;
        for (bidder, price) in self.bids.get()? {
            ctx.emit((id, ",", bidder, ",", price, ",", seller, ",", reserve))?;
        }
        self.auction.set((seller, reserve))
    }

    fn process_second(&mut self, row: Row<Numbers<3>>, ctx: &mut Ctx<String>) -> Result<()> {
        let [id, bidder, price] = row.value;
        if let Some((seller, reserve)) = self.auction.get()?.copied() {
            ctx.emit((id, ",", bidder, ",", price, ",", seller, ",", reserve))?;
        }
        self.bids.add((bidder, price))
    }
}

operator!(CategoryBids);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, Input};

    #[test]
    fn a_bid_finds_its_auction_and_an_auction_its_bids() {
        let mut bids = Harness::open::<CategoryBids, _>("null").unwrap();
        let bid =
            |auction: &str, price: u64| Input::row(format!("{auction},9,{price}")).key([auction]);
        let early = bids.batch(1, [bid("42", 300), bid("43", 400)]).unwrap();
        assert!(early.main().is_empty());
        let auction = Input::row("42,1000,250").key(["42"]);
        assert_eq!(
            bids.batch(0, [auction]).unwrap().main(),
            ["42,9,300,1000,250"]
        );
        bids.restart().unwrap();
        let out = bids.batch(1, [bid("42", 500), bid("43", 600)]).unwrap();
        assert_eq!(out.main(), ["42,9,500,1000,250"]);
        // What a bid joins comes with the batch; bids are added unread.
        assert_eq!(bids.imports(), ["list-add", "list-get", "list-add"]);
    }
}
