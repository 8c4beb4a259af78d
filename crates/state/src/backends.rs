//! What backends in other crates are made with: the encoding of rows, and the limits on what a
//! guest can make a backend hold.

pub use crate::{
    heap::BLOCK_BYTES,
    limits::check_column,
    rows::{Reader, put_bytes, put_uvarint},
};
