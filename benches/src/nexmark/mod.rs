//! Nexmark: the market of persons, auctions and bids that stream engines are compared on.
//!
//! The queries are components (`guest-examples/nexmark`) in jobs (`benches/jobs/nexmark`). What
//! each must give is computed here by plain loops over the events, independently of any engine.

mod by_hand;
pub mod generator;
mod linger;
pub mod oracle;
mod query;
pub mod row;
mod workload;

pub use generator::Generator;
pub use query::Query;
