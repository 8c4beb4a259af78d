//! Reading a state file: all of it, or only the key groups that a subtask holds.

use std::{fmt, ops::Range};

use weir_model::{KeyGroup, KeyGroupRange, OperatorName};

use super::{
    MAGIC, TRAILER, VERSION, damaged,
    footer::{BlockEntry, Footer, FooterV1, Operator, SavedState},
    operator,
    verdict::{Change, change_of},
};
use crate::{
    Backend, Error, SavedOperatorState, StateDecl, StateIndex, operator_state::SavedContent,
};

/// Neighbouring blocks are fetched together up to this many bytes: one request to an object store
/// costs as much time as some megabytes.
const FETCH_BYTES: u64 = 8 << 20;

/// An open state file.
pub struct StateFileReader<'a> {
    source: Source<'a>,
    operators: Vec<Operator>,
}

/// Gives a range of bytes of a file.
type ReadRange<'a> = dyn FnMut(Range<u64>) -> Result<Vec<u8>, String> + Send + 'a;

/// Where the bytes of a file come from.
pub(super) enum Source<'a> {
    Bytes(Vec<u8>),
    Ranged {
        length: u64,
        read: Box<ReadRange<'a>>,
    },
}

impl fmt::Debug for StateFileReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateFileReader")
            .field("operators", &self.operators)
            .finish_non_exhaustive()
    }
}

impl<'a> StateFileReader<'a> {
    /// Opens a file that is in memory.
    ///
    /// # Errors
    /// [`Error::Damaged`] where this is no whole state file, [`Error::NewerFormat`].
    pub fn open(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::open_source(Source::Bytes(bytes))
    }

    /// Opens a file of `length` bytes of which `read` gives ranges. What `read` says of a failure
    /// is reported as [`Error::Damaged`].
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_ranged(
        length: u64,
        read: impl FnMut(Range<u64>) -> Result<Vec<u8>, String> + Send + 'a,
    ) -> Result<Self, Error> {
        Self::open_source(Source::Ranged {
            length,
            read: Box::new(read),
        })
    }

    /// The operators in the file, in the order in which they were added.
    pub fn operators(&self) -> impl Iterator<Item = &OperatorName> {
        self.operators.iter().map(|operator| &operator.name)
    }

    /// The states of an operator; `None` where the file does not know the operator.
    #[must_use]
    pub fn states(&self, operator: &OperatorName) -> Option<&[SavedState]> {
        self.operator(operator)
            .map(|operator| operator.states.as_slice())
    }

    /// Loads what the file holds of an operator's key groups in `range` into a backend, and gives
    /// back how many entries that is. States are found by name; those that the backend does not
    /// declare are left out (see [`compare`](super::compare) to judge that beforehand).
    ///
    /// # Errors
    /// [`Error::Incompatible`], before anything is loaded. [`Error::Damaged`] where a block cannot
    /// be read; then the backend holds a part and must be dropped.
    pub fn load(
        &mut self,
        operator: &OperatorName,
        backend: &mut dyn Backend,
        range: KeyGroupRange,
    ) -> Result<u64, Error> {
        let Some(found) = self.operator(operator) else {
            return Ok(0);
        };
        let mut targets: Vec<StateIndex> = Vec::new();
        let mut plan: Vec<BlockEntry> = Vec::new();
        let declared = backend.states();
        for (saved, blocks) in found.states.iter().zip(&found.blocks) {
            if let Some(state) = target(declared, saved)?
                && saved.kind.is_keyed()
            {
                let wanted = blocks.iter().filter(|b| range.contains(KeyGroup(b.group)));
                plan.extend(wanted);
                targets.resize(plan.len(), state);
            }
        }
        let states = 0..declared.len() as u32;
        let count = |backend: &dyn Backend| {
            let entries = states
                .clone()
                .map(|state| backend.entries(StateIndex(state)));
            entries.sum::<u64>()
        };
        let before = count(backend);
        let mut states_of_blocks = targets.iter();
        self.source.blocks(&plan, |block, rows| {
            let Some(&state) = states_of_blocks.next() else {
                return Ok(());
            };
            backend.load(state, KeyGroup(block.group), rows)
        })?;
        Ok(count(backend).saturating_sub(before))
    }

    /// What the file holds of an operator's state without keys, and its raw state; nothing where
    /// the file does not know the operator. To be dealt out by
    /// [`redistribute`](crate::redistribute).
    ///
    /// # Errors
    /// [`Error::Damaged`] where a block cannot be read.
    pub fn operator_state(&mut self, operator: &OperatorName) -> Result<SavedOperatorState, Error> {
        let Self { source, operators } = self;
        let Some(found) = operators.iter().find(|found| found.name == *operator) else {
            return Ok(SavedOperatorState::default());
        };
        let mut states = Vec::new();
        for (state, blocks) in found.states.iter().zip(&found.blocks) {
            if !state.kind.is_keyed() {
                let content = operator::read(state.kind, source, blocks)?;
                let state = state.clone();
                states.push(SavedContent { state, content });
            }
        }
        let raw = operator::read_raw(source, &found.raw)?;
        Ok(SavedOperatorState { states, raw })
    }

    fn open_source(mut source: Source<'a>) -> Result<Self, Error> {
        let length = source.len();
        let trailer_at = length
            .checked_sub(TRAILER as u64)
            .filter(|&at| at >= MAGIC.len() as u64)
            .ok_or_else(|| damaged(format!("{length} bytes are too few for a state file")))?;
        let trailer = source.read(trailer_at..length)?;
        let (numbers, magic) = trailer.split_at(TRAILER - MAGIC.len());
        if magic != MAGIC {
            return Err(damaged("it does not end as a state file does"));
        }
        let version = u32_at(numbers, 8);
        if version > VERSION {
            return Err(Error::NewerFormat {
                found: version,
                known: VERSION,
            });
        }
        if version == 0 {
            return Err(damaged("format version 0"));
        }
        let footer_at = trailer_at
            .checked_sub(u64::from(u32_at(numbers, 0)))
            .filter(|&at| at >= MAGIC.len() as u64)
            .ok_or_else(|| damaged("the footer is longer than the file"))?;
        let footer = source.read(footer_at..trailer_at)?;
        check_crc("the footer", &footer, u32_at(numbers, 4))?;
        let (footer, rest) = match version {
            1 => postcard::take_from_bytes::<FooterV1>(&footer)
                .map(|(footer, rest)| (Footer::from(footer), rest)),
            _ => postcard::take_from_bytes::<Footer>(&footer),
        }
        .map_err(|error| damaged(format!("the footer cannot be decoded: {error}")))?;
        if !rest.is_empty() {
            return Err(damaged("the footer has more bytes than it should"));
        }
        let operators = footer.check(MAGIC.len() as u64..footer_at)?;
        Ok(Self { source, operators })
    }

    fn operator(&self, name: &OperatorName) -> Option<&Operator> {
        self.operators
            .iter()
            .find(|operator| operator.name == *name)
    }
}

impl Source<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Ranged { length, .. } => *length,
        }
    }

    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let wanted = range.end - range.start;
        let bytes = match self {
            Self::Bytes(bytes) => bytes
                .get(range.start as usize..range.end as usize)
                .map(<[u8]>::to_vec)
                .unwrap_or_default(),
            Self::Ranged { read, .. } => read(range.clone()).map_err(damaged)?,
        };
        if bytes.len() as u64 == wanted {
            Ok(bytes)
        } else {
            Err(damaged(format!(
                "bytes {}..{} were asked for, {} bytes came",
                range.start,
                range.end,
                bytes.len()
            )))
        }
    }

    /// Gives the rows of each of some blocks to `take`, in order.
    pub(super) fn blocks(
        &mut self,
        blocks: &[BlockEntry],
        mut take: impl FnMut(&BlockEntry, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut rest = blocks;
        while !rest.is_empty() {
            let (together, later) = rest.split_at(neighbours(rest));
            rest = later;
            let (Some(first), Some(last)) = (together.first(), together.last()) else {
                return Ok(());
            };
            let bytes = self.read(first.offset..last.offset + u64::from(last.stored))?;
            let mut bytes = bytes.as_slice();
            for block in together {
                let (stored, later) = bytes.split_at(block.stored as usize);
                bytes = later;
                if let Some(rows) = unpack(block, stored)? {
                    take(block, &rows)?;
                } else {
                    take(block, stored)?;
                }
            }
        }
        Ok(())
    }
}

/// The rows of a block whose bytes in the file are `stored`; `None` where it is not packed.
fn unpack(block: &BlockEntry, stored: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let what = format!("the block at byte {}", block.offset);
    check_crc(&what, stored, block.crc)?;
    if block.unpacked == block.stored {
        return Ok(None);
    }
    let rows = lz4_flex::block::decompress(stored, block.unpacked as usize)
        .map_err(|error| damaged(format!("{what} cannot be unpacked: {error}")))?;
    if rows.len() == block.unpacked as usize {
        Ok(Some(rows))
    } else {
        Err(damaged(format!(
            "{what} unpacks to {} bytes instead of {}",
            rows.len(),
            block.unpacked
        )))
    }
}

/// The declared state that a saved state goes to; `None` where it is not declared.
pub(crate) fn target(
    declared: &[StateDecl],
    saved: &SavedState,
) -> Result<Option<StateIndex>, Error> {
    let Some(index) = declared.iter().position(|decl| decl.name == saved.name) else {
        return Ok(None);
    };
    let change = change_of(&declared[index], saved);
    let incompatible = |saved_as: String, declared_as: String| Error::Incompatible {
        name: saved.name.clone(),
        saved: saved_as,
        declared: declared_as,
    };
    match change {
        Change::Same | Change::New | Change::Missing => Ok(Some(StateIndex(index as u32))),
        Change::Kind { saved, declared } => Err(incompatible(
            format!("{saved} state"),
            format!("{declared} state"),
        )),
        Change::Format { saved, declared } => Err(incompatible(
            format!("format `{saved}`"),
            format!("format `{declared}`"),
        )),
        Change::Version { saved, declared } => Err(incompatible(
            format!("version {saved}"),
            format!("version {declared}"),
        )),
    }
}

/// How many blocks from the first on lie next to each other and are worth one request.
fn neighbours(blocks: &[BlockEntry]) -> usize {
    let mut len = 0;
    let mut end = None;
    let mut bytes = 0;
    for block in blocks {
        let stored = u64::from(block.stored);
        if end.is_some_and(|end| end != block.offset || bytes + stored > FETCH_BYTES) {
            break;
        }
        len += 1;
        bytes += stored;
        end = Some(block.offset + stored);
    }
    len
}

fn check_crc(what: &str, bytes: &[u8], expected: u32) -> Result<(), Error> {
    let found = crc32c::crc32c(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(damaged(format!(
            "{what} has checksum {found:08x}, it was written with {expected:08x}"
        )))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
