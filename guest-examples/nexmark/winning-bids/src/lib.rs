//! Query 4, first step: the highest bid of each auction in its time, told when that is over as
//! `category,price`. Auctions are `id,expires,category`, bids `auction,price`; both have their
//! event time.
//!
//! A bid may come before its auction. It waits until the watermark has passed its time: then the
//! auction cannot have begun before it, and it counts for nothing. The bids of an auction have one
//! timer: when it is due, there is another where some have come since.

use weir_guest::{
    BatchCtx, Batched, Binary, Context, Ctx, InputBatch, KeyedCoProcess, KeyedDescribe, List,
    Result, Row, Timer, Timers, Value, operator, record,
};

record! {
    /// What is known of an auction.
    #[derive(Clone, Copy, Default)]
    struct Auction {
        /// Whether it has come; else bids wait for it.
        is_known: bool,
        category: u64,
        begins: i64,
        /// Its last moment; while it is not known, when bids that wait are looked at.
        ends: i64,
        /// 0 if there was no bid.
        highest: u64,
    }
}

#[derive(Default)]
struct WinningBids {
    auction: Value<Auction>,
    /// Time and price of the bids that wait for their auction.
    waiting: List<(i64, u64)>,
    timers: Timers,
}

impl Auction {
    /// One that has not come: its bids are looked at when this time has passed.
    fn unknown(ends: i64) -> Self {
        Self {
            ends,
            ..Self::default()
        }
    }

    fn bid(&mut self, time: i64, price: u64) {
        if (self.begins..=self.ends).contains(&time) {
            self.highest = self.highest.max(price);
        }
    }
}

impl WinningBids {
    /// The auction is not known: its bids are looked at again when this time has passed.
    fn wait_until(&mut self, time: i64) -> Result<()> {
        self.auction.set(Auction::unknown(time))?;
        self.timers.set_event(time)
    }
}

impl KeyedCoProcess for WinningBids {
    type First = Binary<(u64, i64, u64)>;
    type Second = Binary<[u64; 2]>;
    type Out = Binary<[u64; 2]>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("auction", &mut self.auction).prefetch();
        d.list("waiting", &mut self.waiting);
        d.timers(&mut self.timers);
    }

    fn process_first(&mut self, row: Row<Self::First>, _ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let (_, ends, category) = row.value;
        let mut auction = Auction {
            is_known: true,
            category,
            begins: row.timestamp.context("an auction has event time")?,
            ends,
            highest: 0,
        };
        if self.auction.get()?.is_some() {
            for (time, price) in self.waiting.get()? {
                auction.bid(*time, *price);
            }
            self.waiting.clear()?;
        }
        self.auction.set(auction)?;
        self.timers.set_event(auction.ends)
    }

    fn process_second(&mut self, row: Row<Self::Second>, _ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let [_, price] = row.value;
        let time = row.timestamp.context("a bid has event time")?;
        let found = self.auction.get()?.copied();
        let Some(mut auction) = found.filter(|auction| auction.is_known) else {
            if found.is_none() {
                self.wait_until(time)?;
            }
            return self.waiting.add((time, price));
        };
        let before = auction.highest;
        auction.bid(time, price);
        match auction.highest == before {
            true => Ok(()),
            false => self.auction.set(auction),
        }
    }

    fn process_second_batch(
        &mut self,
        batch: &InputBatch<Self::Second>,
        _ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let mut auctions = self.auction.of_keys()?;
        let mut waiting = self.waiting.of_keys()?;
        let mut timers = self.timers.of_keys()?;
        for (row, &key) in batch.rows().zip(keys.of_rows()) {
            let (row, key) = (row?, key as usize);
            let [_, price] = row.value;
            let time = row.timestamp.context("a bid has event time")?;
            let found = auctions.get(key).copied();
            let Some(mut auction) = found.filter(|auction| auction.is_known) else {
                if found.is_none() {
                    auctions.set(key, Auction::unknown(time));
                    timers.set_event(key, time);
                }
                waiting.add(key, (time, price))?;
                continue;
            };
            let before = auction.highest;
            auction.bid(time, price);
            if auction.highest != before {
                auctions.set(key, auction);
            }
        }
        Ok(Batched::Done)
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let Some(auction) = self
            .auction
            .get()?
            .copied()
            .filter(|it| it.ends <= timer.at)
        else {
            // Of a bid that waited, or whose auction has come since.
            return Ok(());
        };
        if !auction.is_known {
            let bids = self.waiting.get()?.iter().copied();
            let later: Vec<(i64, u64)> = bids.filter(|(time, _)| *time > timer.at).collect();
            let latest = later.iter().map(|(time, _)| *time).max();
            self.waiting.set(later)?;
            return match latest {
                Some(latest) => self.wait_until(latest),
                None => self.auction.clear(),
            };
        }
        self.auction.clear()?;
        match auction.highest {
            0 => Ok(()),
            highest => ctx.emit([auction.category, highest]),
        }
    }
}

operator!(WinningBids, timed);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::{Harness, Input};

    fn auction(id: u64, at: i64, expires: i64) -> Input {
        let row = rows::row(&[id, expires as u64, 10], &[]);
        Input::row(row).key([id.to_le_bytes()]).at(at)
    }

    fn bid(id: u64, at: i64, price: u64) -> Input {
        let row = rows::row(&[id, price], &[]);
        Input::row(row).key([id.to_le_bytes()]).at(at)
    }

    /// By batch, and row by row.
    fn both_ways() -> [Harness; 2] {
        let mut both = [(); 2].map(|()| Harness::open::<WinningBids, _>("null").unwrap());
        both[1].row_by_row();
        both
    }

    #[test]
    fn the_highest_bid_in_time_wins_when_the_time_is_over() {
        for mut bids in both_ways() {
            bids.batch(0, [auction(1, 5, 20), auction(2, 5, 9)])
                .unwrap();
            let in_time = [
                bid(1, 5, 300),
                bid(1, 20, 500),
                bid(1, 21, 900),
                bid(1, 6, 400),
            ];
            bids.batch(1, in_time).unwrap();
            assert!(bids.advance_watermark(19).unwrap().main().is_empty());
            bids.restart().unwrap();
            let out = bids.advance_watermark(20).unwrap();
            assert_eq!(rows::told::<[u64; 2]>(&out).unwrap(), [[10, 500]]);
            assert_eq!((bids.held("auction"), bids.held("waiting")), (0, 0));
            assert!(bids.timers().is_empty());
        }
    }

    #[test]
    fn bids_go_by_batch() {
        let [mut batches, mut rows] = both_ways();
        let bids = [bid(1, 7, 300), bid(2, 8, 200)];
        batches.batch(1, bids.clone()).unwrap();
        rows.batch(1, bids).unwrap();
        assert!(batches.was_whole() && !rows.was_whole());
    }

    #[test]
    fn bids_wait_for_their_auction() {
        for mut bids in both_ways() {
            bids.batch(1, [bid(1, 7, 300), bid(1, 4, 800), bid(1, 8, 200)])
                .unwrap();
            bids.batch(0, [auction(1, 5, 20)]).unwrap();
            assert!(bids.advance_watermark(19).unwrap().main().is_empty());
            let out = bids.advance_watermark(20).unwrap();
            assert_eq!(rows::told::<[u64; 2]>(&out).unwrap(), [[10, 300]]);
        }
    }

    #[test]
    fn a_bid_without_an_auction_is_forgotten_when_none_can_come() {
        for mut bids in both_ways() {
            bids.batch(1, [bid(1, 7, 300), bid(1, 9, 300)]).unwrap();
            bids.advance_watermark(8).unwrap();
            assert_eq!(bids.held("waiting"), 1);
            assert!(bids.advance_watermark(9).unwrap().main().is_empty());
            assert_eq!((bids.held("auction"), bids.held("waiting")), (0, 0));
        }
    }

    #[test]
    fn a_bid_that_came_later_waits_on_when_the_first_ones_are_looked_at() {
        for mut bids in both_ways() {
            bids.batch(1, [bid(1, 7, 900), bid(1, 12, 300), bid(1, 11, 400)])
                .unwrap();
            assert!(bids.advance_watermark(9).unwrap().main().is_empty());
            assert_eq!(bids.held("waiting"), 2);
            bids.restart().unwrap();
            bids.batch(0, [auction(1, 10, 20)]).unwrap();
            let out = bids.advance_watermark(20).unwrap();
            assert_eq!(rows::told::<[u64; 2]>(&out).unwrap(), [[10, 400]]);
            assert_eq!((bids.held("auction"), bids.held("waiting")), (0, 0));
            assert!(bids.timers().is_empty());
        }
    }

    #[test]
    fn nothing_is_left_when_time_passes_all_at_once() {
        for mut bids in both_ways() {
            bids.batch(1, [bid(1, 7, 300), bid(1, 12, 300), bid(2, 30, 500)])
                .unwrap();
            // The timer of its bid is due behind its own.
            bids.batch(0, [auction(2, 5, 20)]).unwrap();
            assert!(bids.advance_watermark(40).unwrap().main().is_empty());
            assert_eq!((bids.held("auction"), bids.held("waiting")), (0, 0));
            assert!(bids.timers().is_empty());
        }
    }
}
