//! The queries that look at one bid at a time.

use super::Sums;
use crate::{
    nexmark::generator::{BID, Bid, Event, Generator},
    peer::check::mix,
};

/// All bids among the first `events` events, in order.
pub(super) fn bids(generator: &Generator, events: u64) -> impl Iterator<Item = Bid> + '_ {
    (0..events).filter_map(|event| match generator.event(event) {
        Event::Bid(bid) => Some(bid),
        Event::Person(_) | Event::Auction(_) => None,
    })
}

/// Query 0.
pub(super) fn as_they_are(generator: &Generator, events: u64, out: &mut Sums) {
    let mut row = Vec::new();
    for event in 0..events {
        row.clear();
        generator.write(event, &mut row);
        if let [BID, ..] = row.as_slice() {
            out.row(&row);
        }
    }
}

/// Query 1.
pub(super) fn in_euro(generator: &Generator, events: u64, out: &mut Sums) {
    let mut row = Vec::new();
    for event in 0..events {
        let Event::Bid(bid) = generator.event(event) else {
            continue;
        };
        row.clear();
        generator.write(event, &mut row);
        let euros = bid.price * 908 / 1000;
        // Behind the kind, the auction and the bidder.
        row.splice(17..25, euros.to_le_bytes());
        out.row(&row[1..]);
    }
}

/// Query 2.
pub(super) fn of_some_auctions(generator: &Generator, events: u64, out: &mut Sums) {
    for bid in bids(generator, events).filter(|bid| bid.auction % 123 == 0) {
        out.numbers([bid.auction, bid.price]);
    }
}

/// How many bids there are.
pub(super) fn count(generator: &Generator, events: u64) -> u64 {
    bids(generator, events).count() as u64
}

/// Query 13.
pub(super) fn with_side_table(generator: &Generator, events: u64, out: &mut Sums) {
    for bid in bids(generator, events) {
        let value = mix(bid.auction % 10_000) & 0xffff;
        out.numbers([bid.auction, bid.bidder, bid.price, value]);
    }
}
