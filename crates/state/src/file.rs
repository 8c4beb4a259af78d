//! State files: one object a subtask and checkpoint, with the state of all operators of its chain
//! (D19).
//!
//! ```text
//! "WEIRSTAT"                                             8 bytes
//! block*        lz4 or plain rows of one (operator, state, key group), see `SnapshotSink::block`;
//!               deltas of such rows, see `SnapshotSink::delta`; of state without keys rows of one
//!               (operator, state), see `operator`; files of a native backend
//! footer        postcard: every operator, state and block, each block with its CRC-32C
//! trailer       footer length u32, footer CRC-32C u32, format version u32, "WEIRSTAT"
//! ```
//!
//! Numbers are little endian. The footer says where each key group lies, so a restore at another
//! parallelism reads only what it needs. It is the whole index of the operators' state at this
//! checkpoint: what has not changed since an earlier one lies in the file of that one, which the
//! footer names with its length and CRC-32C (D11). Version 1 had no raw state in its footer,
//! version 2 nothing that lies in other files, no deltas and no native files, version 3 no timers;
//! a file without them is still written as that.
//!
//! INVARIANT: a file that is damaged anywhere it is read gives an error, never other content.

mod ahead;
mod base;
mod footer;
mod merge;
mod native;
mod operator;
mod reader;
mod stamps;
#[cfg(test)]
mod tests;
mod verdict;
mod writer;

pub use base::{BaseIndex, Reference};
pub use footer::SavedState;
pub(crate) use merge::{LIST, MAP, REMOVED, REPLACED};
pub use native::NativeReaders;
pub use reader::StateFileReader;
pub(crate) use reader::target;
pub(crate) use verdict::change_of;
pub use verdict::{Change, Verdict, compare};
pub use writer::{StateFile, StateFileWriter};

use crate::Error;

const MAGIC: &[u8; 8] = b"WEIRSTAT";
/// The newest format version, which this code reads and writes.
const VERSION: u32 = 4;
/// That of a file without timers.
const WITHOUT_TIMERS: u32 = 3;
const TRAILER: usize = 20;

fn damaged(what: impl Into<String>) -> Error {
    Error::Damaged(what.into())
}
