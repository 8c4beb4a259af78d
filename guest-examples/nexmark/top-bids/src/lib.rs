//! Query 19: the ten highest bids of each auction: a bid that enters the ten is told, with its rank
//! then, as `auction,rank,price,bidder`. Bids are `auction,price,bidder` and have their event time;
//! of two with one price the earlier is the higher, then that of the lower bidder.

use weir_guest::{
    BatchCtx, Batched, Binary, Context, Ctx, Error, InputBatch, KeyedDescribe, KeyedProcess,
    Result, Row, StateCodec, Value, operator,
};

const MOST: usize = 10;

/// A bid as it is ranked: how far its price is below the most, its time and its bidder; the lowest
/// is the best. As numbers of one kind, so that many are read and written as one.
type Ranked = [u64; 3];

/// The best bids, in order. In place: a vector of each auction would be allocated, and again for
/// what a bid changes, which has to be undone if the row fails.
#[derive(Clone, Copy, Default)]
struct Best {
    bids: [Ranked; MOST],
    count: usize,
}

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
        let ([auction, price, bidder], bid) = ranked(&row)?;
        // Most bids are not among the best, and change nothing.
        if self.best.get()?.is_some_and(|best| !best.admits(&bid)) {
            return Ok(());
        }
        let rank = self.best.get_mut()?.get_or_insert_default().enter(bid);
        ctx.emit([auction, rank as u64, price, bidder])
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let mut best = self.best.of_keys()?;
        for ((number, row), &key) in batch.rows().enumerate().zip(keys.of_rows()) {
            let ([auction, price, bidder], bid) = ranked(&row?)?;
            let key = key as usize;
            if best.get(key).is_none_or(|best| best.admits(&bid)) {
                let rank = best.get_mut(key).get_or_insert_default().enter(bid);
                ctx.emit(number, [auction, rank as u64, price, bidder])?;
            }
        }
        Ok(Batched::Done)
    }
}

/// What a row says, and the bid as it is ranked.
#[inline]
fn ranked(row: &Row<'_, Binary<[u64; 3]>>) -> Result<([u64; 3], Ranked)> {
    let [_, price, bidder] = row.value;
    let time = row.timestamp.context("a bid has event time")?;
    // Times before 1970 come first.
    let bid = [u64::MAX - price, (time ^ i64::MIN) as u64, bidder];
    Ok((row.value, bid))
}

impl Best {
    fn bids(&self) -> &[Ranked] {
        self.bids.get(..self.count).unwrap_or_default()
    }

    fn admits(&self, bid: &Ranked) -> bool {
        self.count < MOST || self.bids.last().is_some_and(|last| bid < last)
    }

    /// Puts a bid in its place, and gives its rank from 1.
    fn enter(&mut self, bid: Ranked) -> usize {
        let rank = 1 + self.bids().iter().filter(|better| **better <= bid).count();
        self.count = MOST.min(self.count + 1);
        // The last one falls out.
        if let Some(from) = self.bids.get_mut(rank - 1..self.count) {
            from.iter_mut()
                .fold(bid, |next, place| std::mem::replace(place, next));
        }
        rank
    }
}

impl StateCodec for Best {
    /// The first had times with a sign.
    const VERSION: u32 = 2;

    fn format() -> String {
        "ranked-bids".to_owned()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.reserve(size_of::<[Ranked; MOST]>());
        for bid in self.bids() {
            out.extend_from_slice(bid.map(u64::to_le_bytes).as_flattened());
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (numbers, rest) = bytes.as_chunks();
        let (bids, more) = numbers.as_chunks::<3>();
        if !rest.is_empty() || !more.is_empty() || bids.len() > MOST {
            return Err(Error::new("these are not the best bids"));
        }
        let mut best = Self {
            count: bids.len(),
            ..Self::default()
        };
        for (place, bid) in best.bids.iter_mut().zip(bids) {
            *place = bid.map(u64::from_le_bytes);
        }
        Ok(best)
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
        for by_row in [false, true] {
            let mut bids = Harness::open::<TopBids, _>("null").unwrap();
            if by_row {
                bids.row_by_row();
            }
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
            assert_eq!(bids.was_whole(), !by_row);
        }
    }

    #[test]
    fn the_best_are_those_of_a_sorted_list() {
        let (mut best, mut sorted) = (Best::default(), Vec::new());
        let mut random = 7_u64;
        for _ in 0..2000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let bid = [random >> 44, random >> 62, random % 3];
            let place = sorted.partition_point(|better| *better <= bid);
            sorted.insert(place, bid);
            sorted.truncate(MOST);
            assert_eq!(best.admits(&bid), place < MOST);
            if place < MOST {
                assert_eq!(best.enter(bid), place + 1);
            }
            assert_eq!(best.bids(), sorted);
            let mut bytes = Vec::new();
            best.encode(&mut bytes).unwrap();
            assert_eq!(Best::decode(&bytes).unwrap().bids(), sorted);
        }
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
