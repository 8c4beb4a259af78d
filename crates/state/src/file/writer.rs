//! Writing a state file, to be done off the task: chunks of bytes for one upload.

use std::io;

use weir_model::{CheckpointId, KeyGroup, OperatorName};

use super::{
    MAGIC, VERSION,
    footer::{BlockEntry, Footer, OperatorEntry, StateEntry},
    operator,
};
use crate::{Chain, Error, OperatorSnapshot, Snapshot, SnapshotSink, StateDecl, StateIndex};

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
    /// What was added of each operator.
    added: Vec<Added>,
    bytes: Bytes,
}

/// Which parts of an operator were added.
#[derive(Clone, Copy, Debug, Default)]
struct Added {
    keyed: bool,
    operator: bool,
}

/// The bytes of the file so far.
#[derive(Debug, Default)]
pub(super) struct Bytes {
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
            added: Vec::new(),
            bytes,
        }
    }

    /// Adds the keyed state of an operator with these states, and so does the asynchronous part of
    /// its snapshot.
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
        let at = self.entry(operator, states)?;
        if std::mem::replace(&mut self.added[at].keyed, true) {
            let name = operator.to_string();
            return Err(Error::DuplicateOperator { name });
        }
        snapshot.write(&mut Packer {
            bytes: &mut self.bytes,
            states: &mut self.footer.operators[at].states,
        })
    }

    /// Adds the state without keys of an operator with these states, and its raw state. Whether its
    /// keyed state comes before, after or not at all makes no difference.
    ///
    /// # Errors
    /// [`Error::DuplicateOperator`]; [`Error::TooLarge`] where the raw state is. Then the file is
    /// of no use.
    pub fn add_operator_state(
        &mut self,
        operator: &OperatorName,
        states: &[StateDecl],
        snapshot: OperatorSnapshot,
        raw: Vec<Vec<u8>>,
    ) -> Result<(), Error> {
        let at = self.entry(operator, states)?;
        if std::mem::replace(&mut self.added[at].operator, true) {
            let name = operator.to_string();
            return Err(Error::DuplicateOperator { name });
        }
        let entry = &mut self.footer.operators[at];
        let contents = snapshot.into_contents(states)?;
        for (state, content) in entry.states.iter_mut().zip(contents) {
            if let Some(content) = content {
                operator::write(&content, &mut self.bytes, &mut state.blocks)?;
            }
        }
        operator::write_raw(&raw, &mut self.bytes, &mut entry.raw)
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

    /// The place of an operator in the footer, made where it is new.
    fn entry(&mut self, operator: &OperatorName, states: &[StateDecl]) -> Result<usize, Error> {
        let name = operator.as_str();
        let mut known = self.footer.operators.iter();
        if let Some(at) = known.position(|other| other.name == name) {
            let known = &self.footer.operators[at].states;
            let same = known.iter().zip(states).filter(|(k, s)| k.name == s.name);
            let (left, right) = (same.count(), known.len().max(states.len()));
            if left != right {
                let what = "states of the two parts of an operator";
                return Err(Error::Mismatch { what, left, right });
            }
            return Ok(at);
        }
        self.footer.operators.push(OperatorEntry {
            name: name.into(),
            states: states.iter().map(StateEntry::new).collect(),
            raw: Vec::new(),
        });
        self.added.push(Added::default());
        Ok(self.added.len() - 1)
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

    /// Appends a block, packed where that makes it smaller.
    pub(super) fn block(
        &mut self,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
    ) -> Result<BlockEntry, Error> {
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
        let entry = BlockEntry {
            group: group.0,
            rows,
            offset: self.length,
            stored: stored.len() as u32,
            unpacked,
            crc: crc32c::crc32c(stored),
        };
        self.push(stored);
        Ok(entry)
    }
}

/// Takes the rows of a snapshot.
struct Packer<'a> {
    bytes: &'a mut Bytes,
    states: &'a mut [StateEntry],
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
        entry.blocks.push(self.bytes.block(group, rows, bytes)?);
        Ok(())
    }

    fn base(&self) -> Option<CheckpointId> {
        None
    }

    fn chain(&self, _state: StateIndex, _group: KeyGroup) -> Chain {
        Chain::default()
    }

    fn keep(&mut self, _state: StateIndex, _group: KeyGroup) -> Result<(), Error> {
        Err(no_base("a block"))
    }

    fn delta(
        &mut self,
        _state: StateIndex,
        _group: KeyGroup,
        _rows: u64,
        _bytes: &[u8],
    ) -> Result<(), Error> {
        Err(no_base("a block"))
    }

    fn blob(&mut self, name: &str, _length: u64, _bytes: &mut dyn io::Read) -> Result<(), Error> {
        Err(no_native(name))
    }

    fn keep_blob(&mut self, _name: &str) -> Result<bool, Error> {
        Ok(false)
    }

    fn note(&mut self, _bytes: &[u8]) -> Result<(), Error> {
        Err(no_native("a note"))
    }
}

fn no_base(what: &str) -> Error {
    Error::NoBase { what: what.into() }
}

fn no_native(what: &str) -> Error {
    super::damaged(format!(
        "version {VERSION} cannot hold native files ({what})"
    ))
}
