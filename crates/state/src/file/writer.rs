//! Writing a state file, to be done off the task: bytes leave as they come, and no more than a
//! block or a piece of a native file is in memory.

use std::{io, sync::Arc};

use weir_model::{CheckpointId, KeyGroup, OperatorName};

use super::{
    MAGIC,
    base::{Base, BaseIndex, Reference},
    footer::{BlobEntry, BlockEntry, FileEntry, Footer, OperatorEntry, StateEntry},
    operator,
};
use crate::{Chain, Error, OperatorSnapshot, Snapshot, SnapshotSink, StateDecl, StateIndex};

/// A native file goes through memory in pieces of so many bytes.
const PIECE_BYTES: usize = 256 << 10;

/// A finished file.
#[derive(Clone, Debug)]
pub struct StateFile<W = Vec<u8>> {
    /// What it was written to.
    pub out: W,
    /// How many bytes it has.
    pub length: u64,
    /// The CRC-32C of all of them.
    pub crc32c: u32,
    /// The files that it refers to.
    pub references: Vec<Reference>,
    footer: Footer,
}

impl<W> StateFile<W> {
    /// What it has, for the checkpoints of which it is to be the base; `path` is what it is known
    /// as, see [`Reference::path`].
    #[must_use]
    pub fn index(&self, path: &str) -> BaseIndex {
        let this = Reference {
            path: path.to_owned(),
            length: self.length,
            crc32c: self.crc32c,
        };
        BaseIndex::of(&self.footer, this)
    }
}

/// Packs the snapshots of the operators of one subtask.
#[derive(Debug)]
pub struct StateFileWriter<W = Vec<u8>> {
    footer: Footer,
    /// What was added of each operator.
    added: Vec<Added>,
    bytes: Bytes<W>,
    base: Option<Base>,
}

/// Which parts of an operator were added.
#[derive(Clone, Copy, Debug, Default)]
struct Added {
    keyed: bool,
    operator: bool,
}

/// Where the bytes of the file go.
#[derive(Debug)]
pub(super) struct Bytes<W> {
    out: W,
    length: u64,
    crc: u32,
}

impl Default for StateFileWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl StateFileWriter {
    /// A file without operators, in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Bytes {
            out: MAGIC.to_vec(),
            length: MAGIC.len() as u64,
            crc: crc32c::crc32c(MAGIC),
        })
    }

    /// A file without operators, in memory, that may refer to what the checkpoint `id` has.
    #[must_use]
    pub fn on(id: CheckpointId, index: Arc<BaseIndex>) -> Self {
        Self::new().referring(id, index)
    }
}

impl<W: io::Write> StateFileWriter<W> {
    /// A file without operators, whose bytes go to `out` as they come.
    ///
    /// # Errors
    /// [`Error::Storage`] where `out` fails.
    pub fn to(out: W) -> Result<Self, Error> {
        let mut bytes = Bytes {
            out,
            length: 0,
            crc: 0,
        };
        bytes.push(MAGIC)?;
        Ok(Self::of(bytes))
    }

    /// Lets it refer to what the checkpoint `id` has.
    #[must_use]
    pub fn referring(self, id: CheckpointId, index: Arc<BaseIndex>) -> Self {
        Self {
            base: Some(Base::new(id, index)),
            ..self
        }
    }

    fn of(bytes: Bytes<W>) -> Self {
        Self {
            footer: Footer::default(),
            added: Vec::new(),
            bytes,
            base: None,
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
            decls: states,
            bytes: &mut self.bytes,
            files: &mut self.footer.files,
            entry: &mut self.footer.operators[at],
            base: self.base.as_mut(),
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
    /// [`Error::TooLarge`] where the footer exceeds its format; [`Error::Storage`].
    pub fn finish(mut self) -> Result<StateFile<W>, Error> {
        let footer = postcard::to_stdvec(&self.footer)
            .map_err(|error| super::damaged(format!("the footer cannot be encoded: {error}")))?;
        let length = u32::try_from(footer.len()).map_err(|_| Error::TooLarge {
            what: "the footer of a state file",
            len: footer.len(),
            limit: u32::MAX as usize,
        })?;
        self.bytes.push(&footer)?;
        self.bytes.push(&length.to_le_bytes())?;
        self.bytes.push(&crc32c::crc32c(&footer).to_le_bytes())?;
        self.bytes
            .push(&self.footer.format_version().to_le_bytes())?;
        self.bytes.push(MAGIC)?;
        let references = self.footer.files.iter().map(|file| Reference {
            path: file.path.clone(),
            length: file.length,
            crc32c: file.crc,
        });
        Ok(StateFile {
            out: self.bytes.out,
            length: self.bytes.length,
            crc32c: self.bytes.crc,
            references: references.collect(),
            footer: self.footer,
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
            ..OperatorEntry::default()
        });
        self.added.push(Added::default());
        Ok(self.added.len() - 1)
    }
}

impl<W: io::Write> Bytes<W> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.length += bytes.len() as u64;
        let written = self.out.write_all(bytes);
        written.map_err(|error| Error::Storage(error.to_string()))
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
            delta: false,
            file: 0,
            offset: self.length,
            stored: stored.len() as u32,
            unpacked,
            crc: crc32c::crc32c(stored),
        };
        self.push(stored)?;
        Ok(entry)
    }
}

/// Takes the snapshot of an operator.
struct Packer<'a, W> {
    decls: &'a [StateDecl],
    bytes: &'a mut Bytes<W>,
    files: &'a mut Vec<FileEntry>,
    entry: &'a mut OperatorEntry,
    base: Option<&'a mut Base>,
}

impl<W: io::Write> Packer<'_, W> {
    fn state(&mut self, state: StateIndex) -> Result<&mut StateEntry, Error> {
        let declared = self.entry.states.len();
        let index = state.0;
        let found = self.entry.states.get_mut(index as usize);
        found.ok_or(Error::Undeclared { index, declared })
    }

    fn rows(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
        delta: bool,
    ) -> Result<(), Error> {
        self.state(state)?;
        let block = self.bytes.block(group, rows, bytes)?;
        self.state(state)?
            .blocks
            .push(BlockEntry { delta, ..block });
        Ok(())
    }

    /// Adds a native file, unless its name is taken.
    fn add_blob(&mut self, blob: BlobEntry) -> Result<(), Error> {
        let native = self.entry.native.get_or_insert_default();
        if native.blobs.iter().any(|other| other.name == blob.name) {
            return Err(Error::DuplicateName { name: blob.name });
        }
        native.blobs.push(blob);
        Ok(())
    }
}

impl<W: io::Write> SnapshotSink for Packer<'_, W> {
    fn block(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.rows(state, group, rows, bytes, false)
    }

    fn base(&self) -> Option<CheckpointId> {
        self.base.as_ref().map(|base| base.id)
    }

    fn chain(&self, state: StateIndex, group: KeyGroup) -> Chain {
        match (&self.base, self.decls.get(state.0 as usize)) {
            (Some(base), Some(decl)) => {
                base.chain(Base::blocks(&base.index, &self.entry.name, decl, group))
            }
            _ => Chain::default(),
        }
    }

    fn keep(&mut self, state: StateIndex, group: KeyGroup) -> Result<(), Error> {
        let (Some(base), Some(decl)) = (&mut self.base, self.decls.get(state.0 as usize)) else {
            let what = format!("key group {group} of state {}", state.0);
            return Err(Error::NoBase { what });
        };
        let index = Arc::clone(&base.index);
        let mut kept = Vec::new();
        for block in Base::blocks(&index, &self.entry.name, decl, group) {
            let file = base.name(block.file, self.files)?;
            kept.push(BlockEntry { file, ..*block });
        }
        self.state(state)?.blocks.append(&mut kept);
        Ok(())
    }

    fn delta(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.rows(state, group, rows, bytes, true)
    }

    fn blob(&mut self, name: &str, length: u64, bytes: &mut dyn io::Read) -> Result<(), Error> {
        let failed = |what: String| super::damaged(format!("native file `{name}` {what}"));
        let (offset, mut left, mut crc) = (self.bytes.length, length, 0);
        let mut buffer = vec![0; left.min(PIECE_BYTES as u64) as usize];
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE_BYTES as u64) as usize];
            bytes
                .read_exact(piece)
                .map_err(|error| failed(format!("cannot be read: {error}")))?;
            crc = crc32c::crc32c_append(crc, piece);
            left -= piece.len() as u64;
            self.bytes.push(piece)?;
        }
        let more = bytes.read(&mut [0]);
        if more.map_err(|error| failed(format!("cannot be read: {error}")))? > 0 {
            return Err(failed(format!("has more than {length} bytes")));
        }
        self.add_blob(BlobEntry {
            name: name.to_owned(),
            file: 0,
            offset,
            length,
            crc,
        })
    }

    fn keep_blob(&mut self, name: &str) -> Result<bool, Error> {
        let Some(base) = &mut self.base else {
            return Ok(false);
        };
        let index = Arc::clone(&base.index);
        let native = index
            .operator(&self.entry.name)
            .and_then(|o| o.native.as_ref());
        let known = native.and_then(|native| native.blobs.iter().find(|blob| blob.name == name));
        let Some(blob) = known else {
            return Ok(false);
        };
        let file = base.name(blob.file, self.files)?;
        let blob = blob.clone();
        self.add_blob(BlobEntry { file, ..blob })?;
        Ok(true)
    }

    fn note(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.entry.native.get_or_insert_default().note = bytes.to_vec();
        Ok(())
    }
}
