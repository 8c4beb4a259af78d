//! Writing a state file, to be done off the task: chunks of bytes for one upload.

use weir_model::{KeyGroup, OperatorName};

use super::{
    MAGIC, VERSION,
    footer::{BlockEntry, Footer, OperatorEntry, StateEntry},
};
use crate::{Error, Snapshot, SnapshotSink, StateDecl, StateIndex};

/// A chunk is closed when it has this many bytes: large enough for one part of an upload, and no
/// buffer grows by copying gigabytes.
const CHUNK_BYTES: usize = 4 << 20;

/// A finished file.
#[derive(Clone, Debug)]
pub struct StateFile {
    /// Its bytes, in pieces.
    pub chunks: Vec<Vec<u8>>,
    /// How many bytes that is.
    pub length: u64,
    /// The CRC-32C of all of them.
    pub crc32c: u32,
}

/// Packs the snapshots of the operators of one subtask.
#[derive(Debug)]
pub struct StateFileWriter {
    footer: Footer,
    bytes: Bytes,
}

/// The bytes of the file so far.
#[derive(Debug, Default)]
struct Bytes {
    chunks: Vec<Vec<u8>>,
    length: u64,
    crc: u32,
}

impl Default for StateFileWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl StateFileWriter {
    /// A file without operators.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = Bytes::default();
        bytes.push(MAGIC);
        Self {
            footer: Footer::default(),
            bytes,
        }
    }

    /// Adds the snapshot of an operator with these states, and so does the asynchronous part of it.
    ///
    /// # Errors
    /// [`Error::DuplicateOperator`]; [`Error`] where the snapshot fails. Then the file is of no
    /// use.
    pub fn add(
        &mut self,
        operator: &OperatorName,
        states: &[StateDecl],
        snapshot: Box<dyn Snapshot>,
    ) -> Result<(), Error> {
        let name = operator.as_str();
        if self.footer.operators.iter().any(|other| other.name == name) {
            return Err(Error::DuplicateOperator { name: name.into() });
        }
        let mut packer = Packer {
            bytes: &mut self.bytes,
            states: states.iter().map(StateEntry::new).collect(),
        };
        snapshot.write(&mut packer)?;
        let states = packer.states;
        self.footer.operators.push(OperatorEntry {
            name: name.into(),
            states,
        });
        Ok(())
    }

    /// Closes the file.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where the footer exceeds its format.
    pub fn finish(mut self) -> Result<StateFile, Error> {
        let footer = postcard::to_stdvec(&self.footer)
            .map_err(|error| super::damaged(format!("the footer cannot be encoded: {error}")))?;
        let length = u32::try_from(footer.len()).map_err(|_| Error::TooLarge {
            what: "the footer of a state file",
            len: footer.len(),
            limit: u32::MAX as usize,
        })?;
        self.bytes.push(&footer);
        self.bytes.push(&length.to_le_bytes());
        self.bytes.push(&crc32c::crc32c(&footer).to_le_bytes());
        self.bytes.push(&VERSION.to_le_bytes());
        self.bytes.push(MAGIC);
        Ok(StateFile {
            chunks: self.bytes.chunks,
            length: self.bytes.length,
            crc32c: self.bytes.crc,
        })
    }
}

impl Bytes {
    fn push(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.length += bytes.len() as u64;
        match self.chunks.last_mut() {
            Some(last) if last.len() + bytes.len() <= CHUNK_BYTES => last.extend_from_slice(bytes),
            Some(_) | None => self.chunks.push(bytes.to_vec()),
        }
    }
}

/// Takes the rows of a snapshot.
struct Packer<'a> {
    bytes: &'a mut Bytes,
    states: Vec<StateEntry>,
}

impl SnapshotSink for Packer<'_> {
    fn block(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let declared = self.states.len();
        let entry = self
            .states
            .get_mut(state.0 as usize)
            .ok_or(Error::Undeclared {
                index: state.0,
                declared,
            })?;
        let unpacked = u32::try_from(bytes.len()).map_err(|_| Error::TooLarge {
            what: "a block of rows",
            len: bytes.len(),
            limit: u32::MAX as usize,
        })?;
        let packed = lz4_flex::block::compress(bytes);
        let stored = if packed.len() < bytes.len() {
            &packed
        } else {
            bytes
        };
        entry.blocks.push(BlockEntry {
            group: group.0,
            rows,
            offset: self.bytes.length,
            stored: stored.len() as u32,
            unpacked,
            crc: crc32c::crc32c(stored),
        });
        self.bytes.push(stored);
        Ok(())
    }
}
