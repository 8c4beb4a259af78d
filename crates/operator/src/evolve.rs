//! What an operator knows of its state beyond running: older versions of its formats, and how to
//! show what is in it.

use weir_model::Column;
use weir_state::StateIndex;

use crate::Failure;

/// A part of a state that is made by the component, and so has a format of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The value of a value or reducing state.
    Value,
    /// An element of a list, keyed or not.
    Element,
    /// A key of a map or broadcast state.
    MapKey,
    /// A value of a map or broadcast state.
    MapValue,
    /// The accumulator of an aggregating state.
    Accumulator,
}

impl Part {
    /// The name in messages, as in the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Element => "element",
            Self::MapKey => "map-key",
            Self::MapValue => "map-value",
            Self::Accumulator => "accumulator",
        }
    }
}

/// Knows the formats of an operator's state. Asked batch by batch, of one part of one state.
pub trait Evolve: Send {
    /// What `values` of version `from` are in the declared version: as many, in the same order.
    ///
    /// # Errors
    /// [`Failure`]; nothing of it was kept, and it may be asked again.
    fn migrate(
        &mut self,
        state: StateIndex,
        part: Part,
        from: u32,
        values: &Column,
    ) -> Result<Column, Failure>;

    /// What `values` of the declared version are, for people: as many, in the same order.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate).
    fn render(
        &mut self,
        state: StateIndex,
        part: Part,
        values: &Column,
    ) -> Result<Vec<String>, Failure>;
}
