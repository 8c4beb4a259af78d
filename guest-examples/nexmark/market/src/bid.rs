//! Bids among the events.

use weir_guest::{Context, Decode, Error, Result};

use crate::numbers::take;

/// The type of the events for an operator that looks at bids only: other kinds are seen as nothing.
///
/// ```
/// use nexmark::Bids;
/// use weir_guest::Decode;
///
/// let bid = Bids::decode(b"B,1042,1001,700,mail,https://a.example,1700000000000,x").unwrap();
/// assert_eq!(bid.unwrap().price, 700);
/// assert!(Bids::decode(b"P,1000,Ada Dunn").unwrap().is_none());
/// ```
pub struct Bids;

/// A bid. Its numbers stand in front and are read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bid<'a> {
    /// What it is for.
    pub auction: u64,
    /// Who made it.
    pub bidder: u64,
    /// In cents.
    pub price: u64,
    rest: &'a [u8],
}

impl<'a> Bid<'a> {
    /// The fields behind the price as they came: channel, url, time and extra.
    ///
    /// # Errors
    /// If they are not UTF-8.
    pub fn rest(&self) -> Result<&'a str> {
        std::str::from_utf8(self.rest).context("the fields behind the price")
    }
}

impl Decode for Bids {
    type View<'a> = Option<Bid<'a>>;

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Option<Bid<'_>>> {
        match bytes {
            [b'B', b',', fields @ ..] => match numbers(fields) {
                Some(bid) => Ok(Some(bid)),
                None => Err(no_bid(bytes)),
            },
            [b'A' | b'P', b',', ..] => Ok(None),
            _ => Err(no_bid(bytes)),
        }
    }
}

#[inline]
fn numbers(mut rest: &[u8]) -> Option<Bid<'_>> {
    Some(Bid {
        auction: take(&mut rest, false)?,
        bidder: take(&mut rest, false)?,
        price: take(&mut rest, false)?,
        rest,
    })
}

#[cold]
fn no_bid(row: &[u8]) -> Error {
    Error::new(format_args!("`{}` is no event", row.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bids_are_read_and_other_events_are_none() {
        let bid = Bids::decode(b"B,1042,1001,700,mail,u,17,x")
            .unwrap()
            .unwrap();
        assert_eq!((bid.auction, bid.bidder, bid.price), (1042, 1001, 700));
        assert_eq!(bid.rest().unwrap(), "mail,u,17,x");
        assert_eq!(Bids::decode(b"A,1042,thing").unwrap(), None);
        for row in ["", "B", "B,1,2", "B,1,2,x,mail", "X,1,2,3,4", "bid"] {
            assert!(Bids::decode(row.as_bytes()).is_err(), "{row}");
        }
    }
}
