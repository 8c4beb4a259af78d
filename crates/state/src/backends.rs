//! What backends are made with: what each access is checked for, the encoding of rows, and the
//! limits on what a guest can make a backend hold.

pub use crate::{
    heap::{BLOCK_BYTES, CellCache, FrozenCells, PutCell, SortedLists},
    holds::{Holds, Shape, check_lengths},
    limits::check_column,
    rows::{Reader, put_bytes, put_uvarint},
};
