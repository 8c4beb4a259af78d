//! The queries that join auctions with persons or bids.

use std::ops::Range;

use super::{due::Due, numbers, of_kind};
use crate::{
    nexmark::generator::{AUCTION, BID, LENGTH_BYTES, PERSON},
    peer::by_hand::{FastMap, Out, Work},
};

/// The category that queries ask for, and the states.
const CATEGORY: u64 = 10;
const STATES: [&[u8]; 3] = [b"OR", b"ID", b"CA"];

/// Where the texts of a person begin.
const PERSON_TEXTS_AT: usize = 1 + 2 * 8;

/// Query 3: both inputs are kept, whichever comes first.
#[derive(Default)]
pub(super) struct Sellers {
    sellers: FastMap<u64, Seller>,
    /// The texts of all persons, as they are in rows.
    texts: Vec<u8>,
    row: Vec<u8>,
}

#[derive(Default)]
struct Seller {
    /// Where the texts are, if the person has come.
    texts: Option<Range<usize>>,
    auctions: Vec<u64>,
}

impl Work for Sellers {
    #[inline]
    fn row(&mut self, event: &mut [u8], _time: i64, out: &mut impl Out) {
        match event.first() {
            Some(&PERSON) => self.person(event, out),
            Some(&AUCTION) => {
                let Some([id, _, _, _, _, seller, CATEGORY]) = numbers(event) else {
                    return;
                };
                let seller = self.sellers.entry(seller).or_default();
                seller.auctions.push(id);
                if let Some(texts) = &seller.texts {
                    write_sold(id, &self.texts[texts.clone()], &mut self.row, out);
                }
            }
            Some(_) | None => {}
        }
    }
}

impl Sellers {
    fn person(&mut self, event: &[u8], out: &mut impl Out) {
        let Some([id, _]) = numbers(event) else {
            return;
        };
        let mut rest = &event[PERSON_TEXTS_AT..];
        // Each with its length: name, email, card, city and state.
        let texts: [&[u8]; 5] = std::array::from_fn(|_| next_text(&mut rest));
        let [name, _, _, city, state] = texts;
        if !STATES.contains(&&state[LENGTH_BYTES.min(state.len())..]) {
            return;
        }
        let begin = self.texts.len();
        for text in [name, city, state] {
            self.texts.extend_from_slice(text);
        }
        let texts = begin..self.texts.len();
        let seller = self.sellers.entry(id).or_default();
        for auction in &seller.auctions {
            write_sold(*auction, &self.texts[texts.clone()], &mut self.row, out);
        }
        seller.texts = Some(texts);
    }
}

/// A text with its length, which is taken off; nothing where there is none.
fn next_text<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = rest.first_chunk::<LENGTH_BYTES>();
    let length = length.map_or(0, |length| usize::from(u16::from_le_bytes(*length)));
    let (text, left) = rest.split_at((LENGTH_BYTES + length).min(rest.len()));
    *rest = left;
    text
}

fn write_sold(auction: u64, texts: &[u8], row: &mut Vec<u8>, out: &mut impl Out) {
    row.clear();
    row.extend_from_slice(&auction.to_le_bytes());
    row.extend_from_slice(texts);
    out.row(row);
}

/// Query 4.
#[derive(Default)]
pub(super) struct Winning {
    auctions: FastMap<u64, Auction>,
    /// Their last moments.
    due: Due<u64>,
    /// Bids of this moment whose auction has not come: auction and price.
    waiting: Vec<(u64, u64)>,
    /// Sum and count of each category.
    categories: FastMap<u64, (u64, u64)>,
}

struct Auction {
    ends: i64,
    category: u64,
    /// 0 if there was no bid.
    highest: u64,
}

impl Winning {
    /// All is told that ended before it was `time`.
    fn fire(&mut self, time: i64, out: &mut impl Out) {
        // They would have come at the same time, or before.
        self.waiting.clear();
        while let Some((_, ended)) = self.due.next_before(time) {
            for auction in &ended {
                let Some(auction) = self.auctions.remove(auction) else {
                    continue;
                };
                if auction.highest > 0 {
                    let (sum, count) = self.categories.entry(auction.category).or_default();
                    *sum += auction.highest;
                    *count += 1;
                    out.numbers([auction.category, *sum / *count, *sum, *count]);
                }
            }
            self.due.give_back(ended);
        }
    }
}

impl Work for Winning {
    #[inline]
    fn row(&mut self, event: &mut [u8], time: i64, out: &mut impl Out) {
        if !self.due.is_now(time) {
            self.fire(time, out);
        }
        match event.first() {
            Some(&BID) => {
                let Some([auction, _, price]) = numbers(event) else {
                    return;
                };
                match self.auctions.get_mut(&auction) {
                    // It has begun, and has not ended.
                    Some(auction) => auction.highest = auction.highest.max(price),
                    None => self.waiting.push((auction, price)),
                }
            }
            Some(&AUCTION) => {
                let Some([id, _, _, _, ends, _, category]) = numbers(event) else {
                    return;
                };
                let waited = self.waiting.iter().filter(|(auction, _)| *auction == id);
                let auction = Auction {
                    ends: ends.cast_signed(),
                    category,
                    highest: waited.map(|(_, price)| *price).max().unwrap_or(0),
                };
                self.due.put(auction.ends, id);
                self.auctions.insert(id, auction);
            }
            Some(_) | None => {}
        }
    }

    fn end(&mut self, out: &mut impl Out) {
        if let Some(last) = self.due.last() {
            self.fire(last + 1, out);
        }
    }
}

/// Query 20: both inputs are kept, whichever comes first.
#[derive(Default)]
pub(super) struct CategoryBids {
    auctions: FastMap<u64, Known>,
    /// All bids, one after the other.
    bids: Vec<Kept>,
}

/// What is known of an auction.
#[derive(Default)]
struct Known {
    /// Seller and reserve, if it has come and is of the category.
    auction: Option<(u64, u64)>,
    /// Its last bid, counted from one; 0 if there was none.
    last: usize,
}

struct Kept {
    bidder: u64,
    price: u64,
    /// The bid for the same auction before it, in the same way.
    before: usize,
}

impl Work for CategoryBids {
    #[inline]
    fn row(&mut self, event: &mut [u8], _time: i64, out: &mut impl Out) {
        if let Some([auction, bidder, price]) = of_kind(BID, event) {
            let known = self.auctions.entry(auction).or_default();
            if let Some((seller, reserve)) = known.auction {
                out.numbers([auction, bidder, price, seller, reserve]);
            }
            let before = known.last;
            self.bids.push(Kept {
                bidder,
                price,
                before,
            });
            known.last = self.bids.len();
        } else if let Some([id, _, reserve, _, _, seller, CATEGORY]) = of_kind(AUCTION, event) {
            let known = self.auctions.entry(id).or_default();
            known.auction = Some((seller, reserve));
            let mut next = known.last;
            while let Some(bid) = next.checked_sub(1).and_then(|at| self.bids.get(at)) {
                out.numbers([id, bid.bidder, bid.price, seller, reserve]);
                next = bid.before;
            }
        }
    }
}
