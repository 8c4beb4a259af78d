//! The queries that keep the last or the highest bids.

use std::collections::hash_map::Entry;

use super::of_kind;
use crate::{
    nexmark::generator::BID,
    peer::by_hand::{FastMap, Out, Work},
};

/// How many bids of an auction are told.
const MOST: usize = 10;

/// Query 18: time and price of the last bid of each bidder for each auction.
#[derive(Default)]
pub(super) struct LastBids(FastMap<(u64, u64), (i64, u64)>);

impl Work for LastBids {
    #[inline]
    fn row(&mut self, row: &mut [u8], time: i64, out: &mut impl Out) {
        let Some([auction, bidder, price]) = of_kind(BID, row) else {
            return;
        };
        match self.0.entry((bidder, auction)) {
            Entry::Occupied(last) if *last.get() >= (time, price) => return,
            Entry::Occupied(mut last) => *last.get_mut() = (time, price),
            Entry::Vacant(none) => _ = none.insert((time, price)),
        }
        out.numbers([bidder, auction, price, time.cast_unsigned()]);
    }
}

/// A bid as it is ranked: how far its price is below the most, its time and its bidder.
type Ranked = (u64, i64, u64);

/// The best bids of an auction, in order.
#[derive(Clone, Copy)]
struct Best {
    bids: [Ranked; MOST],
    count: usize,
}

impl Best {
    const NONE: Self = Self {
        bids: [(0, 0, 0); MOST],
        count: 0,
    };

    /// Puts a bid in its place, and gives its rank; nothing if it is not one of the best.
    #[inline]
    fn enter(&mut self, bid: Ranked) -> Option<u64> {
        let mut place = self.count;
        if place == MOST {
            place -= 1;
            if self.bids[place] <= bid {
                return None;
            }
        } else {
            self.count += 1;
        }
        while place > 0 && self.bids[place - 1] > bid {
            self.bids[place] = self.bids[place - 1];
            place -= 1;
        }
        self.bids[place] = bid;
        Some(place as u64 + 1)
    }
}

/// Query 19.
#[derive(Default)]
pub(super) struct TopBids {
    /// Where an auction is in `best`.
    places: FastMap<u64, usize>,
    best: Vec<Best>,
}

impl Work for TopBids {
    #[inline]
    fn row(&mut self, row: &mut [u8], time: i64, out: &mut impl Out) {
        let Some([auction, bidder, price]) = of_kind(BID, row) else {
            return;
        };
        let place = *self.places.entry(auction).or_insert_with(|| {
            self.best.push(Best::NONE);
            self.best.len() - 1
        });
        if let Some(rank) = self.best[place].enter((u64::MAX - price, time, bidder)) {
            out.numbers([auction, rank, price, bidder]);
        }
    }
}
