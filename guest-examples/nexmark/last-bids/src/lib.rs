//! Query 18: the last bid of each bidder for each auction, told whenever it is another one. Bids
//! are `bidder,auction,price` and have their event time; of two at one time the higher is the
//! later.

use weir_guest::{
    BatchCtx, Batched, Binary, Context, Ctx, InputBatch, KeyedDescribe, KeyedProcess, Result, Row,
    Value, operator,
};

#[derive(Default)]
struct LastBids {
    /// Time and price.
    last: Value<(i64, u64)>,
}

impl KeyedProcess for LastBids {
    type In = Binary<[u64; 3]>;
    type Out = Binary<(u64, u64, u64, i64)>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("last", &mut self.last).prefetch();
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let [bidder, auction, price] = row.value;
        let time = row.timestamp.context("a bid has event time")?;
        if self.last.get()?.is_some_and(|last| *last >= (time, price)) {
            return Ok(());
        }
        self.last.set((time, price))?;
        ctx.emit((bidder, auction, price, time))
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let mut last = self.last.of_keys()?;
        for ((number, row), &key) in batch.rows().enumerate().zip(keys.of_rows()) {
            let (row, key) = (row?, key as usize);
            let [bidder, auction, price] = row.value;
            let time = row.timestamp.context("a bid has event time")?;
            if last.get(key).is_none_or(|last| *last < (time, price)) {
                last.set(key, (time, price));
                ctx.emit(number, (bidder, auction, price, time))?;
            }
        }
        Ok(Batched::Done)
    }
}

operator!(LastBids);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::{Harness, Input};

    #[test]
    fn a_bid_that_is_the_last_one_is_told() {
        for by_row in [false, true] {
            let mut bids = Harness::open::<LastBids, _>("null").unwrap();
            if by_row {
                bids.row_by_row();
            }
            let both = rows::row(&[7, 42], &[]);
            let bid = |price, at| {
                let row = rows::row(&[7, 42, price], &[]);
                Input::row(row).key([&both]).at(at)
            };
            let rows = [
                bid(300, 5),
                bid(200, 5),
                bid(400, 5),
                bid(400, 5),
                bid(900, 4),
                bid(100, 6),
            ];
            let out = bids.batch(0, rows).unwrap();
            let told = [(7, 42, 300, 5), (7, 42, 400, 5), (7, 42, 100, 6)];
            assert_eq!(rows::told::<(u64, u64, u64, i64)>(&out).unwrap(), told);
            bids.restart().unwrap();
            assert!(bids.batch(0, [bid(100, 6)]).unwrap().main().is_empty());
            assert_eq!(bids.was_whole(), !by_row);
            // State came with the rows and went back with their results.
            assert!(bids.imports().is_empty());
        }
    }
}
