//! The queries that look at one bid at a time.

use super::of_kind;
use crate::{
    nexmark::generator::BID,
    peer::{
        by_hand::{Out, Work},
        check::mix,
    },
};

/// Where the price of a bid is, behind its kind, auction and bidder.
const PRICE_AT: usize = 1 + 2 * 8;

/// How many rows the side table has.
const SIDE_ROWS: u64 = 10_000;

/// Query 0.
pub(super) struct AsTheyAre;

impl Work for AsTheyAre {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        if let [BID, ..] = row {
            out.row(row);
        }
    }
}

/// Query 1.
pub(super) struct InEuro;

impl Work for InEuro {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([_, _, price]) = of_kind(BID, row) else {
            return;
        };
        let euros = price * 908 / 1000;
        row[PRICE_AT..PRICE_AT + 8].copy_from_slice(&euros.to_le_bytes());
        out.row(&row[1..]);
    }
}

/// Query 2.
pub(super) struct OfSomeAuctions;

impl Work for OfSomeAuctions {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([auction, _, price]) = of_kind(BID, row) else {
            return;
        };
        if auction % 123 == 0 {
            out.numbers([auction, price]);
        }
    }
}

/// Query 13: the values of the side table.
pub(super) struct WithSideTable(Vec<u64>);

impl WithSideTable {
    pub(super) fn new() -> Self {
        Self((0..SIDE_ROWS).map(|key| mix(key) & 0xffff).collect())
    }
}

impl Work for WithSideTable {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([auction, bidder, price]) = of_kind(BID, row) else {
            return;
        };
        let value = self.0[(auction % SIDE_ROWS) as usize];
        out.numbers([auction, bidder, price, value]);
    }
}
