//! Channel state: the rows that were in flight to one task when a barrier overtook them, in one
//! object beside its state (D5, D10, D19).
//!
//! ```text
//! "WEIRCHAN"                                             8 bytes
//! block*        lz4 or plain: elements of one channel, in order; a block holds whole elements
//! footer        postcard: the inputs of the task, the channels, each block with its CRC-32C
//! trailer       footer length u32, footer CRC-32C u32, format version u32, "WEIRCHAN"
//!
//! element       0, rows | 1, watermark i64 | 2, idle u8
//! rows          number u32, flags u8 (1 timestamps, 2 keys, 4 lineage),
//!               values column, timestamps i64 each,
//!               keys: number u32, keys column, hash u64 each, index of its key u32 for each row,
//!               lineage: 0 none, 1 key, 2 split, and u64 for each row
//! column        end u32 for each row, then the bytes of all
//! ```
//!
//! Numbers are little endian. A row keeps its key, the hash of it and its lineage, so that it can
//! be dealt out at another parallelism.
//!
//! INVARIANT: an object that is damaged anywhere it is read gives an error, never other content;
//! what it says takes no more memory than some times its own length.

mod decode;
mod encode;
mod footer;
#[cfg(test)]
mod tests;

pub use decode::{Channel, ChannelFile};
pub use encode::ChannelFileWriter;

use weir_model::{Batch, EventTime};

use crate::Error;

const MAGIC: &[u8; 8] = b"WEIRCHAN";
/// The format version that this code writes, and the newest it reads.
const VERSION: u32 = 1;
const TRAILER: usize = 20;

/// A block is closed when it has this many bytes.
const BLOCK_BYTES: usize = 1 << 20;

const ROWS: u8 = 0;
const WATERMARK: u8 = 1;
const IDLE: u8 = 2;

const TIMESTAMPS: u8 = 1;
const KEYS: u8 = 2;
const LINEAGE: u8 = 4;

/// One input of the task whose channels these are: rows find their way back by it, and only if it
/// is what it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelInput {
    /// What it carries, as the job file spells it: `node` or `node.side`.
    pub from: String,
    /// How its rows are dealt out: `hash`, `rebalance`, ...
    pub partitioning: String,
    /// What the key is, in the words of its selector, where there is one.
    pub key: Option<String>,
}

/// A finished object.
#[derive(Clone, Debug)]
pub struct PackedChannels<W> {
    /// What it was written to.
    pub out: W,
    /// How many bytes that is.
    pub length: u64,
    /// The CRC-32C of all of them.
    pub crc32c: u32,
}

/// An element in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InFlight {
    /// Rows.
    Rows(Batch),
    /// A watermark of the channel.
    Watermark(EventTime),
    /// Whether the channel was idle from here on.
    Idle(bool),
}

fn damaged(what: impl Into<String>) -> Error {
    Error::Damaged(what.into())
}
