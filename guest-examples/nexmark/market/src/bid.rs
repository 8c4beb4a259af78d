//! Bids among the events.

use weir_guest::{Decode, Result};

use crate::kind::{AUCTION, BID, PERSON, no_event};

/// The type of the events for an operator that looks at bids only: other kinds are seen as nothing.
///
/// ```
/// use nexmark::{Bids, rows};
/// use weir_guest::Decode;
///
/// let bid = rows::event(b'B', &[1042, 1001, 700, 17], &["mail", "https://a.example", "x"]);
/// assert_eq!(Bids::decode(&bid).unwrap().unwrap().price(), 700);
/// let person = rows::event(b'P', &[1000, 17], &["Ada Dunn"]);
/// assert!(Bids::decode(&person).unwrap().is_none());
/// ```
pub struct Bids;

/// A bid. Its numbers are read when they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bid<'a> {
    numbers: &'a [[u8; 8]; BID.numbers.len()],
    fields: &'a [u8],
}

impl<'a> Bid<'a> {
    /// What it is for.
    #[inline]
    #[must_use]
    pub fn auction(&self) -> u64 {
        u64::from_le_bytes(self.numbers[0])
    }

    /// Who made it.
    #[inline]
    #[must_use]
    pub fn bidder(&self) -> u64 {
        u64::from_le_bytes(self.numbers[1])
    }

    /// In cents.
    #[inline]
    #[must_use]
    pub fn price(&self) -> u64 {
        u64::from_le_bytes(self.numbers[2])
    }

    /// All that the row has behind the kind.
    #[inline]
    #[must_use]
    pub fn fields(&self) -> &'a [u8] {
        self.fields
    }
}

impl Decode for Bids {
    type View<'a> = Option<Bid<'a>>;

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Option<Bid<'_>>> {
        let Some((kind, fields)) = bytes.split_first() else {
            return Err(no_event(bytes));
        };
        let (numbers, _) = fields.as_chunks();
        match (*kind, numbers.first_chunk()) {
            (kind, Some(numbers)) if kind == BID.letter => Ok(Some(Bid { numbers, fields })),
            (kind, _) if kind == AUCTION.letter || kind == PERSON.letter => Ok(None),
            _ => Err(no_event(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;

    #[test]
    fn bids_are_read_and_other_events_are_none() {
        let row = rows::event(b'B', &[1042, 1001, 700, 17], &["mail", "u", "x"]);
        let bid = Bids::decode(&row).unwrap().unwrap();
        assert_eq!(
            (bid.auction(), bid.bidder(), bid.price()),
            (1042, 1001, 700)
        );
        assert_eq!(bid.fields(), &row[1..]);
        let auction = rows::event(b'A', &[1042], &["thing"]);
        assert_eq!(Bids::decode(&auction).unwrap(), None);
        for row in [&b""[..], b"B", &row[..32], b"X123", b"bid"] {
            assert!(Bids::decode(row).is_err(), "{}", row.escape_ascii());
        }
    }
}
