//! Query 20: bids with what is known of their auction. Auctions, `id,seller,reserve`, are those of
//! one category; a bid, `auction,bidder,price`, may come before its auction. Both are kept for
//! ever. What comes out is `auction,bidder,price,seller,reserve`.

use weir_guest::{
    BatchCtx, Batched, Binary, Ctx, InputBatch, KeyedCoProcess, KeyedDescribe, List, Result, Row,
    Value, operator,
};

#[derive(Default)]
struct CategoryBids {
    /// Seller and reserve.
    auction: Value<(u64, u64)>,
    /// Bidder and price.
    bids: List<(u64, u64)>,
}

impl KeyedCoProcess for CategoryBids {
    type First = Binary<[u64; 3]>;
    type Second = Binary<[u64; 3]>;
    type Out = Binary<[u64; 5]>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("auction", &mut self.auction).prefetch();
        d.list("bids", &mut self.bids);
    }

    fn process_first(&mut self, row: Row<Self::First>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let [id, seller, reserve] = row.value;
        for (bidder, price) in self.bids.get()? {
            ctx.emit([id, *bidder, *price, seller, reserve])?;
        }
        self.auction.set((seller, reserve))
    }

    fn process_second(&mut self, row: Row<Self::Second>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let [id, bidder, price] = row.value;
        if let Some((seller, reserve)) = self.auction.get()?.copied() {
            ctx.emit([id, bidder, price, seller, reserve])?;
        }
        self.bids.add((bidder, price))
    }

    fn process_second_batch(
        &mut self,
        batch: &InputBatch<Self::Second>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let auctions = self.auction.of_keys()?;
        let mut bids = self.bids.of_keys()?;
        for ((number, row), &key) in batch.rows().enumerate().zip(keys.of_rows()) {
            let ([id, bidder, price], key) = (row?.value, key as usize);
            if let Some((seller, reserve)) = auctions.get(key).copied() {
                ctx.emit(number, [id, bidder, price, seller, reserve])?;
            }
            bids.add(key, (bidder, price))?;
        }
        Ok(Batched::Done)
    }
}

operator!(CategoryBids);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::{Harness, Input};

    #[test]
    fn a_bid_finds_its_auction_and_an_auction_its_bids() {
        for by_row in [false, true] {
            let mut bids = Harness::open::<CategoryBids, _>("null").unwrap();
            if by_row {
                bids.row_by_row();
            }
            let row = |of: [u64; 3]| Input::row(rows::row(&of, &[])).key([of[0].to_le_bytes()]);
            let early = bids.batch(1, [row([42, 9, 300]), row([43, 9, 400])]);
            assert!(early.unwrap().main().is_empty());
            let out = bids.batch(0, [row([42, 1000, 250])]).unwrap();
            let told = rows::told::<[u64; 5]>(&out).unwrap();
            assert_eq!(told, [[42, 9, 300, 1000, 250]]);
            bids.restart().unwrap();
            let out = bids.batch(1, [row([42, 9, 500]), row([43, 9, 600])]);
            let told = rows::told::<[u64; 5]>(&out.unwrap()).unwrap();
            assert_eq!(told, [[42, 9, 500, 1000, 250]]);
            // What a bid joins comes with the batch; bids are added unread.
            assert_eq!(bids.imports(), ["list-add", "list-get", "list-add"]);
            // Of two keys that alternate, the second one first.
            let out = bids.batch(1, [row([43, 9, 1]), row([42, 9, 2]), row([43, 9, 3])]);
            let told = rows::told::<[u64; 5]>(&out.unwrap()).unwrap();
            assert_eq!(told, [[42, 9, 2, 1000, 250]]);
            assert_eq!(bids.was_whole(), !by_row);
            let out = bids.batch(0, [row([43, 1001, 251])]).unwrap();
            let told = rows::told::<[u64; 5]>(&out).unwrap();
            assert!(told.iter().map(|bid| bid[2]).eq([400, 600, 1, 3]));
        }
    }
}
