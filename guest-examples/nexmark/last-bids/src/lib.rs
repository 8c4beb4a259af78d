//! Query 18: the last bid of each bidder for each auction, told whenever it is another one. Bids
//! are `bidder,auction,price` and have their event time; of two at one time the higher is the
//! later.

use nexmark::Numbers;
use weir_guest::{Context, Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value, operator};

#[derive(Default)]
struct LastBids {
    /// Time and price.
    last: Value<(i64, u64)>,
}

impl KeyedProcess for LastBids {
    type In = Numbers<3>;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("last", &mut self.last).prefetch();
    }

    fn process(&mut self, row: Row<Numbers<3>>, ctx: &mut Ctx<String>) -> Result<()> {
        let [bidder, auction, price] = row.value;
        let time = row.timestamp.context("a bid has event time")?;
        if self.last.get()?.is_some_and(|last| *last >= (time, price)) {
            return Ok(());
        }
        self.last.set((time, price))?;
        ctx.emit((bidder, ",", auction, ",", price, ",", time))
    }
}

operator!(LastBids);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, Input};

    #[test]
    fn a_bid_that_is_the_last_one_is_told() {
        let mut bids = Harness::open::<LastBids, _>("null").unwrap();
        let bid = |price: u64, at: i64| Input::row(format!("7,42,{price}")).key(["7", "42"]).at(at);
        let rows = [
            bid(300, 5),
            bid(200, 5),
            bid(400, 5),
            bid(400, 5),
            bid(900, 4),
            bid(100, 6),
        ];
        let told = ["7,42,300,5", "7,42,400,5", "7,42,100,6"];
        assert_eq!(bids.batch(0, rows).unwrap().main(), told);
        bids.restart().unwrap();
        assert!(bids.batch(0, [bid(100, 6)]).unwrap().main().is_empty());
        // State came with the rows and went back with their results.
        assert!(bids.imports().is_empty());
    }
}
