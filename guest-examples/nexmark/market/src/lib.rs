//! What the Nexmark guests share: how events are read, and the highest of many.
//!
//! Not a guest of its own. An event is its kind in one byte, `P` for a person, `A` for an auction
//! or `B` for a bid, then its numbers, 8 bytes each, the lowest byte first, then its texts, each
//! behind its length in two bytes. What `nexmark-events` makes of them for a query is the same
//! without the kind: mostly rows of numbers, which are [`Binary`](weir_guest::Binary).

mod bid;
mod kind;
#[cfg(not(target_family = "wasm"))]
pub mod rows;
mod ties;

pub use bid::{Bid, Bids};
pub use kind::{AUCTION, BID, Kind, PERSON, no_event};
pub use ties::Ties;
