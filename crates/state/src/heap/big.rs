//! What is too large for the arena of a segment: it is shared by reference with snapshots, in
//! chunks, so that writing to one large list or map after a snapshot does not copy all of it.

use super::{chunks::MapChunks, list::ListChunks};

/// A large list or map, as the kind of the state says.
#[derive(Clone, Debug)]
pub(super) enum Big {
    /// Of a list state.
    List(ListChunks),
    /// Of a map state.
    Map(MapChunks),
}

#[cfg(test)]
impl Big {
    /// The bytes of its buffers.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::List(list) => list.memory(),
            Self::Map(map) => map.memory(),
        }
    }
}
