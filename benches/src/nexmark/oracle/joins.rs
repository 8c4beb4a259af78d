//! The queries that join auctions with persons or bids.

use std::collections::{BTreeMap, HashMap};

use super::Sums;
use crate::nexmark::generator::{Auction, Event, Generator};

/// Query 3. A person comes before their auctions.
pub(super) fn sellers(generator: &Generator, events: u64, out: &mut Sums) {
    let mut persons = HashMap::new();
    let mut auctions: Vec<Auction> = Vec::new();
    for event in 0..events {
        match generator.event(event) {
            Event::Person(person) if ["OR", "ID", "CA"].contains(&person.state) => {
                persons.insert(person.id, person);
            }
            Event::Auction(auction) if auction.category == 10 => auctions.push(auction),
            Event::Person(_) | Event::Auction(_) | Event::Bid(_) => {}
        }
    }
    for auction in auctions {
        if let Some(person) = persons.get(&auction.seller) {
            let name = format!("{} {}", person.name.0, person.name.1);
            out.fields(&[auction.id], &[&name, person.city, person.state]);
        }
    }
}

/// Category and winning price of each auction with a bid in its time.
pub(super) fn winning(generator: &Generator, events: u64) -> Vec<(u64, u64)> {
    let mut auctions: HashMap<u64, (Auction, u64)> = HashMap::new();
    for event in 0..events {
        match generator.event(event) {
            Event::Auction(auction) => {
                auctions.insert(auction.id, (auction, 0));
            }
            Event::Bid(bid) => {
                // No bid comes before its auction.
                if let Some((auction, highest)) = auctions.get_mut(&bid.auction)
                    && (auction.time..=auction.expires).contains(&bid.time)
                {
                    *highest = bid.price.max(*highest);
                }
            }
            Event::Person(_) => {}
        }
    }
    let with_bids = auctions.into_values().filter(|(_, highest)| *highest > 0);
    with_bids
        .map(|(auction, highest)| (auction.category, highest))
        .collect()
}

/// Query 4: the last row of each category.
pub(super) fn averages(generator: &Generator, events: u64, out: &mut Sums) {
    let mut categories: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (category, price) in winning(generator, events) {
        let (sum, count) = categories.entry(category).or_default();
        *sum += price;
        *count += 1;
    }
    for (category, (sum, count)) in categories {
        out.numbers([category, sum / count, sum, count]);
    }
}

/// Query 20.
pub(super) fn category_bids(generator: &Generator, events: u64, out: &mut Sums) {
    let mut auctions: HashMap<u64, Auction> = HashMap::new();
    for event in 0..events {
        match generator.event(event) {
            Event::Auction(auction) if auction.category == 10 => {
                auctions.insert(auction.id, auction);
            }
            Event::Bid(bid) => {
                if let Some(auction) = auctions.get(&bid.auction) {
                    let (bidder, price) = (bid.bidder, bid.price);
                    out.numbers([auction.id, bidder, price, auction.seller, auction.reserve]);
                }
            }
            Event::Auction(_) | Event::Person(_) => {}
        }
    }
}
