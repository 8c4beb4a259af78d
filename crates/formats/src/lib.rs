//! csv, json and plain lines: from bytes to rows, from rows to keys and timestamps, from two rows
//! to one.
//!
//! A row is the raw record without its terminator (D2): what a file holds is what a component
//! sees. [`Splitter`] cuts rows out of a buffer, the selectors take keys and times out of rows, a
//! batch at a time and without allocating for a row. Nothing here reads a file.
//!
//! ```
//! use weir_formats::{Piece, Splitter};
//!
//! let mut splitter = Splitter::csv(b',');
//! let mut rest = &b"id,name\n1,\"Smith, J\"\n"[..];
//! let mut rows = Vec::new();
//! while let Some(cut) = splitter.next(rest, true) {
//!     if let Piece::Row(row) = cut.piece {
//!         rows.push(row);
//!     }
//!     rest = &rest[cut.consumed..];
//! }
//! assert_eq!(rows, [&b"id,name"[..], b"1,\"Smith, J\""]);
//! ```

mod canonical;
mod csv;
mod json;
mod key;
mod pairs;
mod splitter;
mod timestamp;

pub use csv::{Field, Fields, count_fields, header_names, without_bom};
pub use json::{Pointer, PointerError};
pub use key::{BytesKey, CsvKey, JSON_OTHER, JSON_STRING, JsonKey, RowKey};
pub use pairs::{Embed, JsonPairs};
pub use splitter::{Cut, Malformed, Piece, Splitter};
pub use timestamp::{BadTimestamp, TimeUnit, TimestampSelector};
