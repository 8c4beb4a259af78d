//! Which queries there are.

use super::row::{Field, Shape};

/// A query. Its job is `benches/jobs/nexmark/<name>.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// Bids as they are.
    Q0,
    /// Bids with their price in another currency.
    Q1,
    /// The bids for some auctions.
    Q2,
    /// Persons of some states with their auctions of a category.
    Q3,
    /// The average winning price of each category.
    Q4,
    /// The auctions with the most bids of each sliding window.
    Q5,
    /// The highest bids of each window.
    Q7,
    /// Persons who sell something in the window in which they are new.
    Q8,
    /// The bids of each session of a bidder.
    Q11,
    /// The bids of each bidder in windows by the clock.
    Q12,
    /// Bids with the value of a side table.
    Q13,
    /// The last bid of each bidder for each auction.
    Q18,
    /// The ten highest bids of each auction.
    Q19,
    /// Bids with their auction, of a category.
    Q20,
}

impl Query {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::Q0,
        Self::Q1,
        Self::Q2,
        Self::Q3,
        Self::Q4,
        Self::Q5,
        Self::Q7,
        Self::Q8,
        Self::Q11,
        Self::Q12,
        Self::Q13,
        Self::Q18,
        Self::Q19,
        Self::Q20,
    ];

    /// Its name, as that of its cells.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.job_file()
            .trim_start_matches("nexmark/")
            .trim_end_matches(".yaml")
    }

    /// Its job, in `benches/jobs`.
    #[must_use]
    pub fn job_file(self) -> &'static str {
        match self {
            Self::Q0 => "nexmark/q0.yaml",
            Self::Q1 => "nexmark/q1.yaml",
            Self::Q2 => "nexmark/q2.yaml",
            Self::Q3 => "nexmark/q3.yaml",
            Self::Q4 => "nexmark/q4.yaml",
            Self::Q5 => "nexmark/q5.yaml",
            Self::Q7 => "nexmark/q7.yaml",
            Self::Q8 => "nexmark/q8.yaml",
            Self::Q11 => "nexmark/q11.yaml",
            Self::Q12 => "nexmark/q12.yaml",
            Self::Q13 => "nexmark/q13.yaml",
            Self::Q18 => "nexmark/q18.yaml",
            Self::Q19 => "nexmark/q19.yaml",
            Self::Q20 => "nexmark/q20.yaml",
        }
    }

    /// What its rows are.
    #[must_use]
    pub fn shape(self) -> Shape {
        use Field::{Kind, Number, Text};
        Shape::new(match self {
            Self::Q0 => &[Kind, Number, Number, Number, Text, Text, Number, Text],
            Self::Q1 => &[Number, Number, Number, Text, Text, Number, Text],
            Self::Q3 => &[Text, Text, Text, Number],
            Self::Q2 | Self::Q12 => &[Number; 2],
            Self::Q5 | Self::Q8 | Self::Q11 => &[Number; 3],
            Self::Q4 | Self::Q7 | Self::Q13 | Self::Q18 | Self::Q19 => &[Number; 4],
            Self::Q20 => &[Number; 5],
        })
    }

    /// What it asks, in a few words.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Q0 => "bids as they are",
            Self::Q1 => "prices in euro",
            Self::Q2 => "bids for some auctions",
            Self::Q3 => "sellers of some states, join",
            Self::Q4 => "average winning price, join and timers",
            Self::Q5 => "hottest auctions, sliding window",
            Self::Q7 => "highest bid, tumbling window",
            Self::Q8 => "new sellers, window join",
            Self::Q11 => "bids of a session",
            Self::Q12 => "bids by the clock",
            Self::Q13 => "side table",
            Self::Q18 => "last bid of a bidder and auction",
            Self::Q19 => "ten highest bids of an auction",
            Self::Q20 => "bids with their auction, join",
        }
    }
}
