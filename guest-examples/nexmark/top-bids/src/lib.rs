//! Query 19: the ten highest bids of each auction: a bid that enters the ten is told, with its rank
//! then, as `auction,rank,price,bidder`. Bids are `auction,price,bidder` and have their event time;
//! of two with one price the earlier is the higher, then that of the lower bidder.

use weir_guest::{
    Binary, Context, Ctx, Error, KeyedDescribe, KeyedProcess, Result, Row, StateCodec, Value,
    operator,
};

const MOST: usize = 10;

/// A bid as it is ranked: the first is the best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked {
    /// Such that a higher price comes first.
    below_most: u64,
    time: i64,
    bidder: u64,
}

/// The best bids, at most ten, in order.
#[derive(Clone, Default)]
struct Best(Vec<Ranked>);

#[derive(Default)]
struct TopBids {
    best: Value<Best>,
}

impl KeyedProcess for TopBids {
    type In = Binary<[u64; 3]>;
    type Out = Binary<[u64; 4]>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("best", &mut self.best).prefetch();
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let [auction, price, bidder] = row.value;
        let bid = Ranked {
            below_most: u64::MAX - price,
            time: row.timestamp.context("a bid has event time")?,
            bidder,
        };
        // Most bids are not among the best, and change nothing.
        if self.best.get()?.is_some_and(|best| !best.admits(&bid)) {
            return Ok(());
        }
        let rank = self.best.get_mut()?.get_or_insert_default().enter(bid);
        ctx.emit([auction, rank as u64, price, bidder])
    }
}

impl Best {
    fn admits(&self, bid: &Ranked) -> bool {
        self.0.len() < MOST || self.0.last().is_some_and(|last| bid < last)
    }

    /// Puts a bid in its place, and gives its rank from 1.
    fn enter(&mut self, bid: Ranked) -> usize {
        let place = self.0.partition_point(|better| *better <= bid);
        self.0.truncate(MOST - 1);
        self.0.insert(place, bid);
        place + 1
    }
}

impl StateCodec for Best {
    fn format() -> String {
        "ranked-bids".to_owned()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        for bid in &self.0 {
            (bid.below_most, bid.time, bid.bidder).encode(out)?;
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (bids, rest) = bytes.as_chunks::<24>();
        if !rest.is_empty() || bids.len() > MOST {
            return Err(Error::new("these are not the best bids"));
        }
        let bid = |bytes: &[u8; 24]| {
            let (below_most, time, bidder) = StateCodec::decode(bytes)?;
            Ok(Ranked {
                below_most,
                time,
                bidder,
            })
        };
        bids.iter().map(bid).collect::<Result<_>>().map(Self)
    }
}

operator!(TopBids);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::{Harness, Input};

    fn bid(price: u64, bidder: u64, at: i64) -> Input {
        let row = rows::row(&[42, price, bidder], &[]);
        Input::row(row).key([42_u64.to_le_bytes()]).at(at)
    }

    #[test]
    fn only_what_enters_the_ten_is_told() {
        let mut bids = Harness::open::<TopBids, _>("null").unwrap();
        let first = (1..=10).map(|price| bid(price * 100, 1, 5));
        let told: Vec<_> = (1..=10).map(|price| [42, 1, price * 100, 1]).collect();
        let out = bids.batch(0, first).unwrap();
        assert_eq!(rows::told::<[u64; 4]>(&out).unwrap(), told);
        bids.restart().unwrap();
        // The lowest of the ten is 100, and then 200.
        let rows = [
            bid(99, 2, 6),
            bid(550, 2, 6),
            bid(150, 3, 7),
            bid(200, 3, 5),
        ];
        let out = bids.batch(0, rows).unwrap();
        assert_eq!(rows::told::<[u64; 4]>(&out).unwrap(), [[42, 6, 550, 2]]);
    }

    #[test]
    fn of_one_price_the_earlier_is_higher_and_then_the_lower_bidder() {
        let mut bids = Harness::open::<TopBids, _>("null").unwrap();
        let rows = [
            bid(100, 5, 7),
            bid(100, 5, 6),
            bid(100, 4, 7),
            bid(100, 6, 6),
        ];
        let out = bids.batch(0, rows).unwrap();
        let told = [5, 5, 4, 6].into_iter().zip([1, 1, 2, 2]);
        let told: Vec<_> = told.map(|(bidder, rank)| [42, rank, 100, bidder]).collect();
        assert_eq!(rows::told::<[u64; 4]>(&out).unwrap(), told);
    }
}
