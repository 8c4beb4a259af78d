//! The queries as loops on one thread: see [`by_hand`](crate::peer::by_hand).
//!
//! Events come in the order of their times, so that the watermark is behind by less than the event
//! that is looked at: what is over before it is over.

mod bids;
mod due;
mod joins;
mod latest;
mod windows;

use super::{Generator, Query, workload::number_at_end};
use crate::peer::{
    by_hand::{Added, Work, run, run_into},
    drain::Kept,
    run::Run,
};

/// So many events, of which those of the warm-up are not timed, as one loop.
pub(super) fn by_hand(
    query: Query,
    events: &Generator,
    [rows, warm_up]: [u64; 2],
    kept: Option<&Kept>,
) -> Run {
    struct All<'a>(&'a Generator, u64, u64, Option<&'a Kept>);
    impl All<'_> {
        fn through(&self, work: impl Work) -> Run {
            let Self(events, rows, warm_up, kept) = *self;
            run(events, rows, warm_up, work, kept)
        }
    }
    let all = All(events, rows, warm_up, kept);
    match query {
        Query::Q0 => all.through(bids::AsTheyAre),
        Query::Q1 => all.through(bids::InEuro),
        Query::Q2 => all.through(bids::OfSomeAuctions),
        Query::Q3 => all.through(joins::Sellers::default()),
        Query::Q4 => all.through(joins::Winning::default()),
        Query::Q5 => all.through(windows::Hottest::default()),
        Query::Q7 => all.through(windows::Highest::default()),
        Query::Q8 => all.through(windows::NewSellers::default()),
        Query::Q11 => all.through(windows::Sessions::default()),
        Query::Q12 => {
            let (work, lasts) = (windows::BidderSeconds::default(), Added::new(number_at_end));
            run_into(events, rows, warm_up, work, lasts, kept)
        }
        Query::Q13 => all.through(bids::WithSideTable::new()),
        Query::Q18 => all.through(latest::LastBids::default()),
        Query::Q19 => all.through(latest::TopBids::default()),
        Query::Q20 => all.through(joins::CategoryBids::default()),
    }
}

/// The first numbers of an event.
#[inline]
fn numbers<const N: usize>(event: &[u8]) -> Option<[u64; N]> {
    let (numbers, _) = event.get(1..)?.as_chunks();
    let numbers: &[[u8; 8]; N] = numbers.first_chunk()?;
    Some(numbers.map(u64::from_le_bytes))
}

/// The first numbers of an event of a kind; nothing of another one.
#[inline]
fn of_kind<const N: usize>(kind: u8, event: &[u8]) -> Option<[u64; N]> {
    (event.first() == Some(&kind)).then(|| numbers(event))?
}
