//! The queries with windows, which are told when the first event comes that is behind them.

use std::{
    collections::hash_map::Entry,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{due::Due, of_kind};
use crate::{
    nexmark::generator::{AUCTION, BID, PERSON},
    peer::by_hand::{FastMap, Out, Work},
};

const TEN_SECONDS: i64 = 10_000;
const TWO_SECONDS: i64 = 2_000;
/// How many times windows slide within their length.
const SLIDES: usize = (TEN_SECONDS / TWO_SECONDS) as usize;
const SESSION_GAP: i64 = 1_000;
/// Each so many bids the clock is looked at.
const LOOK_EACH: u32 = 256;

/// Query 5: the bids of each auction in each of the last slides, in a ring.
#[derive(Default)]
pub(super) struct Hottest {
    counts: FastMap<u64, [u64; SLIDES]>,
    /// When the present slide ends; none before the first bid.
    end: Option<i64>,
    hottest: Vec<u64>,
}

impl Hottest {
    fn place(end: i64) -> usize {
        (end / TWO_SECONDS) as usize % SLIDES
    }

    /// Tells of the window that ends with the present slide, and begins the next one in the place
    /// of the first.
    fn fire(&mut self, end: i64, out: &mut impl Out) {
        let next = end + TWO_SECONDS;
        let (mut most, left) = (0, Self::place(next));
        self.hottest.clear();
        self.counts.retain(|auction, counts| {
            let bids: u64 = counts.iter().sum();
            if bids > most {
                most = bids;
                self.hottest.clear();
            }
            if bids == most {
                self.hottest.push(*auction);
            }
            bids > std::mem::take(&mut counts[left])
        });
        for auction in &self.hottest {
            out.numbers([end.cast_unsigned(), *auction, most]);
        }
        self.end = Some(next);
    }
}

impl Work for Hottest {
    #[inline]
    fn row(&mut self, row: &mut [u8], time: i64, out: &mut impl Out) {
        let Some([auction]) = of_kind(BID, row) else {
            return;
        };
        let mut end = *self
            .end
            .get_or_insert(time - time % TWO_SECONDS + TWO_SECONDS);
        while end <= time {
            self.fire(end, out);
            end += TWO_SECONDS;
        }
        self.counts.entry(auction).or_default()[Self::place(end)] += 1;
    }

    fn end(&mut self, out: &mut impl Out) {
        while let (Some(end), false) = (self.end, self.counts.is_empty()) {
            self.fire(end, out);
        }
    }
}

/// When the tumbling window of a time ends.
fn window_end(time: i64) -> i64 {
    time - time % TEN_SECONDS + TEN_SECONDS
}

/// Query 7: the highest bids of the window, all that tie.
#[derive(Default)]
pub(super) struct Highest {
    end: i64,
    price: u64,
    /// Auction and bidder.
    bids: Vec<(u64, u64)>,
}

impl Work for Highest {
    #[inline]
    fn row(&mut self, row: &mut [u8], time: i64, out: &mut impl Out) {
        let Some([auction, bidder, price]) = of_kind(BID, row) else {
            return;
        };
        if time >= self.end {
            self.end(out);
            self.end = window_end(time);
        }
        if price >= self.price {
            if price > self.price {
                self.price = price;
                self.bids.clear();
            }
            self.bids.push((auction, bidder));
        }
    }

    fn end(&mut self, out: &mut impl Out) {
        for (auction, bidder) in self.bids.drain(..) {
            out.numbers([self.end.cast_unsigned(), self.price, auction, bidder]);
        }
        self.price = 0;
    }
}

/// Query 8: the two inputs of the window.
#[derive(Default)]
pub(super) struct NewSellers {
    end: i64,
    /// How often each person came.
    persons: FastMap<u64, u64>,
    /// Seller and auction.
    auctions: Vec<(u64, u64)>,
}

impl NewSellers {
    #[inline]
    fn be_at(&mut self, time: i64, out: &mut impl Out) {
        if time >= self.end {
            self.end(out);
            self.end = window_end(time);
        }
    }
}

impl Work for NewSellers {
    #[inline]
    fn row(&mut self, row: &mut [u8], time: i64, out: &mut impl Out) {
        if let Some([id]) = of_kind(PERSON, row) {
            self.be_at(time, out);
            *self.persons.entry(id).or_default() += 1;
        } else if let Some([id, _, _, _, _, seller]) = of_kind(AUCTION, row) {
            self.be_at(time, out);
            self.auctions.push((seller, id));
        }
    }

    fn end(&mut self, out: &mut impl Out) {
        let start = self.end - TEN_SECONDS;
        for (seller, auction) in self.auctions.drain(..) {
            for _ in 0..self.persons.get(&seller).copied().unwrap_or(0) {
                out.numbers([seller, start.cast_unsigned(), auction]);
            }
        }
        self.persons.clear();
    }
}

/// Query 11: the sessions that are not over.
#[derive(Default)]
pub(super) struct Sessions {
    open: FastMap<u64, Session>,
    /// Whose session may be over: it is looked at once more if a bid has come since.
    due: Due<u64>,
}

struct Session {
    first: i64,
    last: i64,
    bids: u64,
}

impl Sessions {
    fn fire(&mut self, time: i64, out: &mut impl Out) {
        while let Some((at, bidders)) = self.due.next_before(time) {
            for &bidder in &bidders {
                let Entry::Occupied(session) = self.open.entry(bidder) else {
                    continue;
                };
                let ends = session.get().last + SESSION_GAP;
                if ends > at {
                    self.due.put(ends, bidder);
                    continue;
                }
                let Session { first, bids, .. } = session.remove();
                out.numbers([bidder, first.cast_unsigned(), bids]);
            }
            self.due.give_back(bidders);
        }
    }
}

impl Work for Sessions {
    #[inline]
    fn row(&mut self, row: &mut [u8], time: i64, out: &mut impl Out) {
        let Some([_, bidder]) = of_kind(BID, row) else {
            return;
        };
        if !self.due.is_now(time) {
            self.fire(time, out);
        }
        let session = self.open.entry(bidder).or_insert_with(|| {
            self.due.put(time + SESSION_GAP, bidder);
            Session {
                first: time,
                last: time,
                bids: 0,
            }
        });
        session.last = time;
        session.bids += 1;
    }

    fn end(&mut self, out: &mut impl Out) {
        while let Some(last) = self.due.last() {
            self.fire(last + 1, out);
        }
    }
}

/// Query 12: the bids of each bidder in the present second. That in which the input ends is told
/// as well, so that no bid is missing.
#[derive(Default)]
pub(super) struct BidderSeconds {
    bids: FastMap<u64, u64>,
    second: u64,
    /// How many bids come before the clock is looked at.
    left: u32,
}

impl Work for BidderSeconds {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([_, bidder]) = of_kind(BID, row) else {
            return;
        };
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => {
                self.left = LOOK_EACH;
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let second = now.map_or(0, |now| now.as_secs());
                if second != self.second {
                    self.end(out);
                    self.second = second;
                }
            }
        }
        *self.bids.entry(bidder).or_default() += 1;
    }

    fn end(&mut self, out: &mut impl Out) {
        for (bidder, bids) in self.bids.drain() {
            out.numbers([bidder, bids]);
        }
    }
}
