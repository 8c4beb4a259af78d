//! Components from outside: what is refused, what runs, and what happens to those that misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test says that something is wrong"
)]

mod cache;
mod calls;
mod checkpointed;
mod enrich;
mod evolving;
mod guests;
mod joins;
mod limited;
mod limits;
mod load;
mod misbehaving;
mod operator_state;
mod support;
mod timed;
mod wasi;
mod windows;
