//! What the Nexmark guests share: how rows are read, and the highest of many.
//!
//! Not a guest of its own. Events are csv text: their kind, `P` for a person, `A` for an auction or
//! `B` for a bid, and the fields of that kind. What `nexmark-events` makes of them for a query is
//! mostly rows of numbers.

mod bid;
mod numbers;
mod ties;

pub use bid::{Bid, Bids};
pub use numbers::Numbers;
pub use ties::Ties;
