//! Handles of state, by key and of the subtask: typed fields of the operator, each a cache of what
//! the host holds.
//!
//! INVARIANT: within a call a value is decoded at most once and written back at most once.
//! What a row wrote can be undone until the next row starts: each handle keeps what the row in hand
//! has replaced, in a journal where that may be more than one value, and drops it when a write of a
//! later row finds it out of date.

mod aggregating;
mod ahead;
mod broadcast;
mod cells;
mod hash;
mod list;
mod map;
mod operator_list;
mod reducing;
mod value;

use crate::bindings::weir::operator::data::Slots;
use crate::call::Binding;
use crate::error::Result;

pub use aggregating::{Aggregate, Aggregating};
pub use broadcast::{Broadcast, BroadcastEntries};
pub use cells::KeyValues;
pub use list::{KeyLists, List};
pub use map::{Entries, Map, MapEntries};
pub use operator_list::OperatorList;
pub use reducing::{Fold, Reducing};
pub use value::Value;

/// What the SDK does with every declared handle. `describe` is how it reaches them.
pub(crate) trait Handle {
    /// Ties the handle to its declaration; `false` if it was declared before.
    fn bind(&mut self, binding: Binding) -> bool;

    /// Drops what the row in hand did.
    fn rollback(&mut self);

    /// Hands over what the call did, by import or as slots.
    fn flush(&mut self, slots: &mut Vec<Slots>) -> Result<()>;
}

#[cfg(test)]
mod tests;
