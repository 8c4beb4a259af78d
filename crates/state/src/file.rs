//! State files: one object a subtask and checkpoint, with the state of all operators of its chain
//! (D19).
//!
//! ```text
//! "WEIRSTAT"                                             8 bytes
//! block*        lz4 or plain rows of one (operator, state, key group), see `SnapshotSink::block`;
//!               of state without keys rows of one (operator, state), see `operator`
//! footer        postcard: every operator, state and block, each block with its CRC-32C
//! trailer       footer length u32, footer CRC-32C u32, format version u32, "WEIRSTAT"
//! ```
//!
//! Numbers are little endian. The footer says where each key group lies, so a restore at another
//! parallelism reads only what it needs. Version 1 had no raw state in its footer.
//!
//! INVARIANT: a file that is damaged anywhere it is read gives an error, never other content.

mod footer;
mod operator;
mod reader;
#[cfg(test)]
mod tests;
mod verdict;
mod writer;

pub use footer::SavedState;
pub use reader::StateFileReader;
pub(crate) use reader::target;
pub(crate) use verdict::change_of;
pub use verdict::{Change, Verdict, compare};
pub use writer::{StateFile, StateFileWriter};

use crate::Error;

const MAGIC: &[u8; 8] = b"WEIRSTAT";
/// The format version that this code writes, and the newest it reads.
const VERSION: u32 = 2;
const TRAILER: usize = 20;

fn damaged(what: impl Into<String>) -> Error {
    Error::Damaged(what.into())
}
