//! What the queries must give: plain loops over the events in their order, and plain maps.
//!
//! Where a result depends on the order in which parallel tasks come, only what does not is told:
//! see [`Determined`] and [`last_rows`].

mod bids;
mod joins;
mod latest;
mod windows;

use super::{
    Generator, Query,
    row::{Shape, write_row},
};
use crate::peer::check::{fold, of_bytes};

/// What a result comes to, as far as it is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Determined {
    /// The least number of rows.
    pub least: u64,
    /// The most.
    pub most: u64,
    /// The sums over all rows, where each row is determined.
    pub sums: Option<Sums>,
}

/// Sums over the rows of a result, in the ways of the two engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// What rows are.
    shape: Shape,
    /// How many rows.
    pub rows: u64,
    /// Of the folds of their fields.
    pub folds: u64,
    /// Of the hashes of their bytes.
    pub hashes: u64,
}

/// What the first `events` events come to, at this parallelism.
#[must_use]
pub fn result(query: Query, generator: &Generator, events: u64, parallelism: u32) -> Determined {
    let mut out = Sums::new(query.shape());
    match query {
        Query::Q0 => bids::as_they_are(generator, events, &mut out),
        Query::Q1 => bids::in_euro(generator, events, &mut out),
        Query::Q2 => bids::of_some_auctions(generator, events, &mut out),
        Query::Q3 => joins::sellers(generator, events, &mut out),
        Query::Q4 => {
            // Which averages there are in between depends on the order in which auctions end.
            let winning = joins::winning(generator, events).len() as u64;
            return Determined::rows(winning, winning);
        }
        Query::Q5 => windows::hottest(generator, events, &mut out),
        Query::Q7 => windows::highest(generator, events, &mut out),
        Query::Q8 => windows::new_sellers(generator, events, &mut out),
        Query::Q11 => windows::sessions(generator, events, &mut out),
        Query::Q12 => return Determined::rows(0, bids::count(generator, events)),
        Query::Q13 => bids::with_side_table(generator, events, &mut out),
        Query::Q18 => latest::last_bids(generator, events, &mut out),
        Query::Q19 => latest::top_bids(generator, events, &mut out),
        Query::Q20 => joins::category_bids(generator, events, &mut out),
    }
    // Which bids were the last or among the ten highest when they came depends on how parallel
    // tasks interleave. Those that are it in the end always were.
    let in_the_end = match query {
        Query::Q18 if parallelism > 1 => latest::of_each_bidder(generator, events).len() as u64,
        Query::Q19 if parallelism > 1 => latest::in_the_ten(generator, events),
        _ => {
            return Determined {
                sums: Some(out),
                ..Determined::rows(out.rows, out.rows)
            };
        }
    };
    Determined::rows(in_the_end, bids::count(generator, events))
}

/// Of the rows that replace each other in a result only the last ones; nothing where each row
/// counts, or the last ones are not determined.
#[must_use]
pub fn last_rows(query: Query, generator: &Generator, events: u64) -> Option<Sums> {
    let mut out = Sums::new(query.shape());
    match query {
        Query::Q4 => joins::averages(generator, events, &mut out),
        Query::Q18 => latest::write_last(generator, events, &mut out),
        _ => return None,
    }
    Some(out)
}

impl Determined {
    fn rows(least: u64, most: u64) -> Self {
        Self {
            least,
            most,
            sums: None,
        }
    }
}

impl Sums {
    /// Of no rows yet, which are to be like this.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            rows: 0,
            folds: 0,
            hashes: 0,
        }
    }

    /// One more row. One of another shape counts by its bytes alone.
    pub fn row(&mut self, row: &[u8]) {
        self.add(self.shape.fold(row).unwrap_or(0), row);
    }

    /// One more row, of numbers.
    fn numbers<const N: usize>(&mut self, numbers: [u64; N]) {
        self.add(fold(numbers), numbers.map(u64::to_le_bytes).as_flattened());
    }

    /// One more row, of numbers and texts.
    fn fields(&mut self, numbers: &[u64], texts: &[&str]) {
        let mut row = Vec::new();
        write_row(numbers, texts, &mut row);
        self.row(&row);
    }

    fn add(&mut self, fold: u64, row: &[u8]) {
        self.rows += 1;
        self.folds = self.folds.wrapping_add(fold);
        self.hashes = self.hashes.wrapping_add(of_bytes(row));
    }
}

/// How many of the events are bids.
#[must_use]
pub fn bids(generator: &Generator, events: u64) -> u64 {
    bids::count(generator, events)
}
