//! Reading a state file: all of it, or only the key groups that a subtask holds.

use std::{fmt, io, ops::Range, sync::Arc};

use weir_model::{KeyGroup, KeyGroupRange, OperatorName, ProcessingTime};

use super::{
    MAGIC, TRAILER, VERSION,
    ahead::{self, Ahead},
    base::Reference,
    damaged,
    footer::{
        BlockEntry, FileEntry, Footer, FooterV1, FooterV2, NativeEntry, Operator, SavedState,
    },
    operator,
    stamps::Stamps,
    verdict::{Change, change_of},
};
use crate::{
    Backend, Error, NativePart, SavedOperatorState, StateDecl, StateIndex,
    operator_state::SavedContent,
};

/// A native file is fetched in pieces of so many bytes: one request to an object store costs as
/// much time as some megabytes.
const FETCH_BYTES: u64 = 4 << 20;

/// An open state file, and with it those that it refers to. Any number of threads may read it at
/// once.
pub struct StateFileReader<'a> {
    sources: Sources<'a>,
    files: Vec<FileEntry>,
    operators: Vec<Operator>,
}

/// This file, then those that it refers to; `None` = not given yet.
pub(super) struct Sources<'a>(Vec<Option<Source<'a>>>);

/// Gives a range of bytes of a file.
type ReadRange<'a> = dyn Fn(Range<u64>) -> Result<Vec<u8>, Error> + Send + Sync + 'a;

/// Where the bytes of a file come from.
enum Source<'a> {
    Bytes(Arc<Vec<u8>>),
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
    pub fn open(bytes: impl Into<Arc<Vec<u8>>>) -> Result<Self, Error> {
        Self::open_source(Source::Bytes(bytes.into()))
    }

    /// Opens a file of `length` bytes of which `read` gives ranges.
    ///
    /// # Errors
    /// As [`open`](Self::open), and what `read` gives.
    pub fn open_ranged(
        length: u64,
        read: impl Fn(Range<u64>) -> Result<Vec<u8>, Error> + Send + Sync + 'a,
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

    /// The files that this one refers to. Each must be given before what lies in it is read.
    pub fn references(&self) -> impl Iterator<Item = Reference> {
        self.files.iter().map(|file| Reference {
            path: file.path.clone(),
            length: file.length,
            crc32c: file.crc,
        })
    }

    /// Gives the `n`-th of the files that this one refers to.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it has another length, or there is no such reference.
    pub fn refer(&mut self, n: usize, bytes: Arc<Vec<u8>>) -> Result<(), Error> {
        self.refer_source(n, Source::Bytes(bytes))
    }

    /// As [`refer`](Self::refer), by ranges as in [`open_ranged`](Self::open_ranged).
    ///
    /// # Errors
    /// As [`refer`](Self::refer).
    pub fn refer_ranged(
        &mut self,
        n: usize,
        length: u64,
        read: impl Fn(Range<u64>) -> Result<Vec<u8>, Error> + Send + Sync + 'a,
    ) -> Result<(), Error> {
        let read = Box::new(read);
        self.refer_source(n, Source::Ranged { length, read })
    }

    /// Loads what the file holds of an operator's key groups in `range` into a backend, and gives
    /// back how many entries that is. States are found by name; those that the backend does not
    /// declare are left out (see [`compare`](super::compare) to judge that beforehand). Values
    /// that were saved without a time to live and have one now count as accessed at `now` (C16).
    ///
    /// # Errors
    /// [`Error::Incompatible`] and [`Error::OtherBackend`] (it is to be imported), before anything
    /// is loaded. [`Error::Damaged`] where a block cannot be read; then the backend holds a part
    /// and must be dropped.
    pub fn load(
        &self,
        operator: &OperatorName,
        backend: &mut dyn Backend,
        range: KeyGroupRange,
        now: ProcessingTime,
    ) -> Result<u64, Error> {
        let Some(found) = self.operator(operator) else {
            return Ok(0);
        };
        if found.entry.native.is_some() {
            return Err(Error::OtherBackend);
        }
        let declared = backend.states().to_vec();
        let mut targets: Vec<Option<(StateIndex, Stamps)>> = Vec::new();
        for saved in &found.states {
            let state = target(&declared, saved)?.filter(|_| saved.kind.is_keyed());
            targets.push(state.map(|state| {
                let is = declared.get(state.0 as usize).and_then(|decl| decl.ttl);
                (state, Stamps::between(saved, is, now))
            }));
        }
        let count = |backend: &dyn Backend| {
            let states = (0..declared.len() as u32).map(StateIndex);
            states.map(|state| backend.entries(state)).sum::<u64>()
        };
        let before = count(backend);
        let mut stamped = Vec::new();
        let wanted = |state: usize| targets.get(state).is_some_and(Option::is_some);
        self.keyed(operator, range, wanted, |at, saved, group, rows| {
            let Some(Some((state, stamps))) = targets.get(at) else {
                return Ok(());
            };
            let rows = stamps.apply(saved.kind, rows, &mut stamped)?;
            backend.load(*state, group, rows)
        })?;
        Ok(count(backend).saturating_sub(before))
    }

    /// Gives the full rows (see [`SnapshotSink::block`](crate::SnapshotSink::block)) of an
    /// operator's key groups in `range` to `take`, whatever increments they lie in. Those of one
    /// state and key group come together, in no particular order of keys; a large list or map may
    /// come in several rows, in order.
    ///
    /// # Errors
    /// [`Error::OtherBackend`] where the state is native, [`Error::Damaged`] where a block cannot
    /// be read, and what `take` gives.
    pub fn rows(
        &self,
        operator: &OperatorName,
        range: KeyGroupRange,
        mut take: impl FnMut(&SavedState, KeyGroup, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self.operator(operator) {
            None => return Ok(()),
            Some(found) if found.entry.native.is_some() => return Err(Error::OtherBackend),
            Some(_) => {}
        }
        self.keyed(
            operator,
            range,
            |_| true,
            |_, saved, group, rows| take(saved, group, rows),
        )
    }

    /// What the file holds of an operator natively, if its keyed state is. `range` are the key
    /// groups that the old subtask held.
    #[must_use]
    pub fn native(&self, operator: &OperatorName, range: KeyGroupRange) -> Option<NativePart> {
        let found = self.operator(operator)?;
        let native = found.entry.native.as_ref()?;
        let blobs = native.blobs.iter();
        Some(NativePart {
            range,
            states: found.states.clone(),
            note: native.note.clone(),
            blobs: blobs.map(|blob| (blob.name.clone(), blob.length)).collect(),
        })
    }

    /// Writes a native file of an operator to `out`.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it is not there or is damaged, [`Error::Local`] where `out` fails.
    pub fn read_native(
        &self,
        operator: &OperatorName,
        name: &str,
        out: &mut dyn io::Write,
    ) -> Result<(), Error> {
        let Self {
            sources, operators, ..
        } = self;
        let found = operators.iter().find(|found| found.name == *operator);
        let native: Option<&NativeEntry> = found.and_then(|found| found.entry.native.as_ref());
        let blob = native.and_then(|native| native.blobs.iter().find(|blob| blob.name == name));
        let blob = blob.ok_or_else(|| damaged(format!("it has no native file `{name}`")))?;
        let (mut at, end) = (blob.offset, blob.offset.saturating_add(blob.length));
        let mut crc = 0;
        while at < end {
            let next = at.saturating_add(FETCH_BYTES).min(end);
            let bytes = sources.read(blob.file, at..next)?;
            crc = crc32c::crc32c_append(crc, &bytes);
            out.write_all(&bytes).map_err(|error| Error::Local {
                what: format!("write native file `{name}`"),
                message: error.to_string(),
            })?;
            at = next;
        }
        if crc == blob.crc {
            Ok(())
        } else {
            Err(damaged(format!(
                "native file `{name}` has checksum {crc:08x}, it was written with {:08x}",
                blob.crc
            )))
        }
    }

    /// What the file holds of an operator's state without keys, and its raw state; nothing where
    /// the file does not know the operator. To be dealt out by
    /// [`redistribute`](crate::redistribute).
    ///
    /// # Errors
    /// [`Error::Damaged`] where a block cannot be read.
    pub fn operator_state(&self, operator: &OperatorName) -> Result<SavedOperatorState, Error> {
        let Self {
            sources, operators, ..
        } = self;
        let Some(found) = operators.iter().find(|found| found.name == *operator) else {
            return Ok(SavedOperatorState::default());
        };
        let mut states = Vec::new();
        for (state, entry) in found.states.iter().zip(&found.entry.states) {
            if !state.kind.is_keyed() {
                let content = operator::read(state.kind, sources, &entry.blocks)?;
                let state = state.clone();
                states.push(SavedContent { state, content });
            }
        }
        let raw = operator::read_raw(sources, &found.entry.raw)?;
        Ok(SavedOperatorState { states, raw })
    }

    /// Gives the full rows of the key groups in `range` of those states of an operator that are
    /// `wanted`, each with the position of its state.
    fn keyed(
        &self,
        operator: &OperatorName,
        range: KeyGroupRange,
        wanted: impl Fn(usize) -> bool,
        mut take: impl FnMut(usize, &SavedState, KeyGroup, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self {
            sources, operators, ..
        } = self;
        let Some(found) = operators.iter().find(|found| found.name == *operator) else {
            return Ok(());
        };
        let states = found.states.iter().zip(&found.entry.states).enumerate();
        for (at, (saved, entry)) in states {
            if !saved.kind.is_keyed() || !wanted(at) {
                continue;
            }
            let inside = |block: &&BlockEntry| range.contains(KeyGroup(block.group));
            let mut blocks: Vec<BlockEntry> = entry.blocks.iter().filter(inside).copied().collect();
            blocks.sort_by_key(|block| block.group);
            let mut ahead = Ahead::of(sources, &blocks);
            for group in blocks.chunk_by(|a, b| a.group == b.group) {
                let number = KeyGroup(group[0].group);
                if group.iter().any(|block| block.delta) {
                    ahead.merged(saved.kind, group, |rows| take(at, saved, number, rows))?;
                } else {
                    ahead.blocks(group, |_, rows| take(at, saved, number, rows))?;
                }
            }
        }
        Ok(())
    }

    /// The files that this one refers to.
    pub(super) fn files(&self) -> &[FileEntry] {
        &self.files
    }

    fn refer_source(&mut self, n: usize, source: Source<'a>) -> Result<(), Error> {
        let Self { files, sources, .. } = self;
        let (Some(file), Some(place)) = (files.get(n), sources.0.get_mut(n + 1)) else {
            return Err(damaged(format!(
                "it refers to {} files, not to {n}",
                files.len()
            )));
        };
        if source.len() != file.length {
            let FileEntry { path, length, .. } = file;
            let found = source.len();
            return Err(damaged(format!(
                "`{path}`, to which it refers, has {found} bytes instead of {length}"
            )));
        }
        *place = Some(source);
        Ok(())
    }

    fn open_source(source: Source<'a>) -> Result<Self, Error> {
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
        ahead::check_crc("the footer", &footer, u32_at(numbers, 4))?;
        let (footer, rest) = match version {
            1 => postcard::take_from_bytes::<FooterV1>(&footer)
                .map(|(footer, rest)| (Footer::from(footer), rest)),
            2 => postcard::take_from_bytes::<FooterV2>(&footer)
                .map(|(footer, rest)| (Footer::from(footer), rest)),
            _ => postcard::take_from_bytes::<Footer>(&footer),
        }
        .map_err(|error| damaged(format!("the footer cannot be decoded: {error}")))?;
        if !rest.is_empty() {
            return Err(damaged("the footer has more bytes than it should"));
        }
        let (files, operators) = footer.check(MAGIC.len() as u64..footer_at)?;
        let others = files.iter().map(|_| None);
        let sources = Sources(std::iter::once(Some(source)).chain(others).collect());
        Ok(Self {
            sources,
            files,
            operators,
        })
    }

    pub(super) fn operator(&self, name: &OperatorName) -> Option<&Operator> {
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

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let wanted = range.end - range.start;
        let bytes = match self {
            Self::Bytes(bytes) => bytes
                .get(range.start as usize..range.end as usize)
                .map(<[u8]>::to_vec)
                .unwrap_or_default(),
            Self::Ranged { read, .. } => read(range.clone())?,
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
}

impl Sources<'_> {
    pub(super) fn read(&self, file: u32, range: Range<u64>) -> Result<Vec<u8>, Error> {
        match self.0.get(file as usize) {
            Some(Some(source)) => source.read(range),
            Some(None) | None => Err(damaged(format!(
                "file {file} of those it refers to is missing"
            ))),
        }
    }

    /// Gives the rows of each of some blocks to `take`, in order.
    pub(super) fn blocks(
        &self,
        blocks: &[BlockEntry],
        take: impl FnMut(&BlockEntry, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        Ahead::of(self, blocks).blocks(blocks, take)
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

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
