//! The kinds of events, and what stands where in them.

use weir_guest::Error;

/// A kind of event.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The first byte of its rows.
    pub letter: u8,
    /// The names of its numbers, in their order.
    pub numbers: &'static [&'static str],
    /// The names of its texts, which stand behind them.
    pub texts: &'static [&'static str],
}

/// Somebody who sells or bids.
pub const PERSON: Kind = Kind {
    letter: b'P',
    numbers: &["id", "time"],
    texts: &["name", "email", "card", "city", "state", "extra"],
};

/// Something that is for sale.
pub const AUCTION: Kind = Kind {
    letter: b'A',
    numbers: &[
        "id", "initial", "reserve", "time", "expires", "seller", "category",
    ],
    texts: &["item", "description", "extra"],
};

/// A bid for something.
pub const BID: Kind = Kind {
    letter: b'B',
    numbers: &["auction", "bidder", "price", "time"],
    texts: &["channel", "url", "extra"],
};

impl Kind {
    /// Where number `index` begins in a row.
    #[must_use]
    pub const fn number_at(&self, index: usize) -> usize {
        1 + 8 * index
    }

    /// Where the numbers end and the texts begin.
    #[must_use]
    pub const fn texts_at(&self) -> usize {
        self.number_at(self.numbers.len())
    }
}

/// What is said of a row that is no event, or is cut short.
#[cold]
#[must_use]
pub fn no_event(row: &[u8]) -> Error {
    Error::new(format_args!("`{}` is no event", row.escape_ascii()))
}
