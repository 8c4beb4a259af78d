//! The queries that keep the last or the highest bids.

use std::{cmp::Reverse, collections::HashMap};

use super::{Sums, bids::bids};
use crate::nexmark::generator::Generator;

/// Query 18, one bid after the other.
pub(super) fn last_bids(generator: &Generator, events: u64, out: &mut Sums) {
    let mut last: HashMap<(u64, u64), (i64, u64)> = HashMap::new();
    for bid in bids(generator, events) {
        let before = last.entry((bid.bidder, bid.auction)).or_default();
        if (bid.time, bid.price) > *before {
            *before = (bid.time, bid.price);
            out.numbers([bid.bidder, bid.auction, bid.price, bid.time as u64]);
        }
    }
}

/// Time and price of the last bid of each bidder for each auction.
pub(super) fn of_each_bidder(
    generator: &Generator,
    events: u64,
) -> HashMap<(u64, u64), (i64, u64)> {
    let mut last = HashMap::new();
    for bid in bids(generator, events) {
        let before: &mut (i64, u64) = last.entry((bid.bidder, bid.auction)).or_default();
        *before = (*before).max((bid.time, bid.price));
    }
    last
}

/// Query 18: what is there in the end.
pub(super) fn write_last(generator: &Generator, events: u64, out: &mut Sums) {
    for ((bidder, auction), (time, price)) in of_each_bidder(generator, events) {
        out.numbers([bidder, auction, price, time as u64]);
    }
}

/// Query 19, one bid after the other.
pub(super) fn top_bids(generator: &Generator, events: u64, out: &mut Sums) {
    let mut top: HashMap<u64, Vec<(Reverse<u64>, i64, u64)>> = HashMap::new();
    for bid in bids(generator, events) {
        let top = top.entry(bid.auction).or_default();
        let ranked = (Reverse(bid.price), bid.time, bid.bidder);
        // Behind those that are equal to it in all.
        let rank = 1 + top.iter().filter(|other| **other <= ranked).count();
        if rank > 10 {
            continue;
        }
        top.push(ranked);
        top.sort_unstable();
        top.truncate(10);
        out.numbers([bid.auction, rank as u64, bid.price, bid.bidder]);
    }
}

/// How many bids are among the ten highest of their auctions in the end.
pub(super) fn in_the_ten(generator: &Generator, events: u64) -> u64 {
    let mut counts: HashMap<u64, u64> = HashMap::new();
    for bid in bids(generator, events) {
        *counts.entry(bid.auction).or_default() += 1;
    }
    counts.into_values().map(|count| count.min(10)).sum()
}
