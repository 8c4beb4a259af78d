//! Checkpoints in a bucket of S3, or of anything that speaks like it.
//!
//! Objects are created with `If-None-Match: *`, so none is ever replaced; large ones are uploaded
//! in parts and completed under the same condition. What goes wrong is either mended by trying
//! again, a bounded number of times for a bounded time, or told in words that say what to mend.
//!
//! INVARIANT: no answer that was lost is taken for one that was given: a write that may have taken
//! place and is then refused because the object is there counts as done only if the object is the
//! one that was to be written.

mod access;
mod answer;
mod client;
mod options;
mod profile;
mod retry;
mod store;
mod upload;
mod writer;

pub use options::{S3Credentials, S3Options};
pub use store::S3Store;
