//! The queries with windows of event time. No event is late, so each window has all its events.

use std::collections::{BTreeMap, HashMap};

use super::{Sums, bids::bids};
use crate::nexmark::generator::{Bid, Event, Generator};

const TEN_SECONDS: i64 = 10_000;
const TWO_SECONDS: i64 = 2_000;
const SESSION_GAP: i64 = 1_000;

/// Query 5.
pub(super) fn hottest(generator: &Generator, events: u64, out: &mut Sums) {
    // By the end of the window.
    let mut windows: BTreeMap<i64, HashMap<u64, u64>> = BTreeMap::new();
    for bid in bids(generator, events) {
        let first_end = bid.time - bid.time.rem_euclid(TWO_SECONDS) + TWO_SECONDS;
        // What has ended gets no more bids.
        while let Some(window) = windows.first_entry()
            && *window.key() < first_end
        {
            let (end, counts) = window.remove_entry();
            write_hottest(end, &counts, out);
        }
        for end in (first_end..=bid.time + TEN_SECONDS).step_by(TWO_SECONDS as usize) {
            let counts = windows.entry(end).or_default();
            *counts.entry(bid.auction).or_default() += 1;
        }
    }
    for (end, counts) in windows {
        write_hottest(end, &counts, out);
    }
}

fn write_hottest(end: i64, counts: &HashMap<u64, u64>, out: &mut Sums) {
    let most = counts.values().max().copied().unwrap_or(0);
    for (auction, count) in counts.iter().filter(|(_, count)| **count == most) {
        out.numbers([end as u64, *auction, *count]);
    }
}

/// Query 7.
pub(super) fn highest(generator: &Generator, events: u64, out: &mut Sums) {
    let mut windows: BTreeMap<i64, Vec<Bid>> = BTreeMap::new();
    for bid in bids(generator, events) {
        let highest = windows.entry(window_start(bid.time)).or_default();
        if highest.first().is_some_and(|other| other.price < bid.price) {
            highest.clear();
        }
        if highest.first().is_none_or(|other| other.price == bid.price) {
            highest.push(bid);
        }
    }
    for (start, bids) in windows {
        let end = start + TEN_SECONDS;
        for bid in bids {
            out.numbers([end as u64, bid.price, bid.auction, bid.bidder]);
        }
    }
}

/// Query 8.
pub(super) fn new_sellers(generator: &Generator, events: u64, out: &mut Sums) {
    let mut persons: HashMap<u64, i64> = HashMap::new();
    let mut auctions: Vec<(u64, i64, u64)> = Vec::new();
    for event in 0..events {
        match generator.event(event) {
            Event::Person(person) => {
                persons.insert(person.id, window_start(person.time));
            }
            Event::Auction(auction) => {
                auctions.push((auction.seller, window_start(auction.time), auction.id));
            }
            Event::Bid(_) => {}
        }
    }
    for (seller, start, auction) in auctions {
        if persons.get(&seller) == Some(&start) {
            out.numbers([seller, start as u64, auction]);
        }
    }
}

/// Query 11.
pub(super) fn sessions(generator: &Generator, events: u64, out: &mut Sums) {
    // First and last bid, and how many.
    let mut open: HashMap<u64, (i64, i64, u64)> = HashMap::new();
    let mut write = |bidder: u64, (first, _, count): (i64, i64, u64)| {
        out.numbers([bidder, first as u64, count]);
    };
    for bid in bids(generator, events) {
        let new = (bid.time, bid.time, 0);
        let session = open.entry(bid.bidder).or_insert(new);
        // A bid just so long after the last one still belongs to the session.
        if bid.time - session.1 > SESSION_GAP {
            write(bid.bidder, *session);
            *session = new;
        }
        session.1 = bid.time;
        session.2 += 1;
    }
    for (bidder, session) in open {
        write(bidder, session);
    }
}

fn window_start(time: i64) -> i64 {
    time - time.rem_euclid(TEN_SECONDS)
}
