//! The footer of a state file: what is in it and where. Boundary types: their encoding is the
//! format.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use weir_model::OperatorName;

use super::{MAGIC, TRAILER, VERSION, WITHOUT_TIMERS, damaged};
use crate::{Error, StateDecl, StateKind, Ttl};

/// One block unpacks to at most this many times its bytes in the file: lz4 cannot do better.
const MAX_RATIO: u32 = 256;

/// The complete index of what a checkpoint has of the operators of a task, in the order of writing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Footer {
    /// The other files that entries lie in.
    pub(super) files: Vec<FileEntry>,
    pub(super) operators: Vec<OperatorEntry>,
}

/// A file of an earlier checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    /// As in `_metadata`: from the folder of the checkpoint.
    pub(super) path: String,
    pub(super) length: u64,
    /// CRC-32C of all its bytes.
    pub(super) crc: u32,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct OperatorEntry<B = BlockEntry> {
    pub(super) name: String,
    pub(super) states: Vec<StateEntry<B>>,
    /// The raw state.
    pub(super) raw: Vec<B>,
    /// Keyed state in the files of its backend.
    pub(super) native: Option<NativeEntry>,
}

/// What a backend gave natively.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct NativeEntry {
    pub(super) note: Vec<u8>,
    pub(super) blobs: Vec<BlobEntry>,
}

/// A file of a native backend.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BlobEntry {
    pub(super) name: String,
    /// As in [`BlockEntry`].
    pub(super) file: u32,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) crc: u32,
}

/// The footer of version 2, whose files had everything in them, in full.
#[derive(Debug, Deserialize)]
pub(super) struct FooterV2 {
    operators: Vec<OperatorEntryV2>,
}

#[derive(Debug, Deserialize)]
struct OperatorEntryV2 {
    name: String,
    states: Vec<StateEntry<BlockEntryV2>>,
    raw: Vec<BlockEntryV2>,
}

/// The footer of version 1, which had no raw state.
#[derive(Debug, Deserialize)]
pub(super) struct FooterV1 {
    operators: Vec<OperatorEntryV1>,
}

#[derive(Debug, Deserialize)]
struct OperatorEntryV1 {
    name: String,
    states: Vec<StateEntry<BlockEntryV2>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct BlockEntryV2 {
    group: u16,
    rows: u64,
    offset: u64,
    stored: u32,
    unpacked: u32,
    crc: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StateEntry<B = BlockEntry> {
    pub(super) name: String,
    pub(super) kind: SavedKind,
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) ttl: Option<SavedTtl>,
    pub(super) blocks: Vec<B>,
}

/// The kinds in a file. Their order is the format: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SavedKind {
    Value,
    List,
    Map,
    Reducing,
    Aggregating,
    OperatorList,
    OperatorUnion,
    Broadcast,
    /// Since version 4.
    Timers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedTtl {
    duration_ms: u64,
    on_read: bool,
    return_expired: bool,
}

/// A block of rows of one key group, or of state without keys.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct BlockEntry {
    /// 0 where there are no keys.
    pub(super) group: u16,
    /// Rows; of a list the items, of a map without keys the entries.
    pub(super) rows: u64,
    /// Whether the rows change what the blocks before it of its group say.
    pub(super) delta: bool,
    /// The file it lies in: 0 = this one, `n` = the `n`-th of [`Footer::files`].
    pub(super) file: u32,
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Its bytes in the file.
    pub(super) stored: u32,
    /// Its bytes when unpacked; as many as `stored` = not packed.
    pub(super) unpacked: u32,
    /// CRC-32C of its bytes in the file.
    pub(super) crc: u32,
}

/// A state as a file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// The name.
    pub name: String,
    /// The kind.
    pub kind: StateKind,
    /// The format of the values.
    pub format: String,
    /// The version of that format.
    pub version: u32,
    /// The time to live it was declared with; the current declaration decides (D16).
    pub ttl: Option<Ttl>,
    /// The number of rows: one a key, more for a large list or map, and of those that were changed
    /// since the last full checkpoint the changes as well. Of state without keys the number of
    /// items or entries.
    pub rows: u64,
}

impl StateEntry {
    pub(super) fn new(decl: &StateDecl) -> Self {
        Self {
            name: decl.name.clone(),
            kind: decl.kind.into(),
            format: decl.format.clone(),
            version: decl.version,
            ttl: decl.ttl.map(|ttl| SavedTtl {
                duration_ms: ttl.duration_ms,
                on_read: ttl.on_read,
                return_expired: ttl.return_expired,
            }),
            blocks: Vec::new(),
        }
    }

    pub(super) fn saved(&self) -> SavedState {
        SavedState {
            name: self.name.clone(),
            kind: self.kind.into(),
            format: self.format.clone(),
            version: self.version,
            ttl: self.ttl.map(|ttl| Ttl {
                duration_ms: ttl.duration_ms,
                on_read: ttl.on_read,
                return_expired: ttl.return_expired,
            }),
            rows: self
                .blocks
                .iter()
                .fold(0u64, |sum, block| sum.saturating_add(block.rows)),
        }
    }
}

/// An operator of a file, checked.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) name: OperatorName,
    pub(super) states: Vec<SavedState>,
    pub(super) entry: OperatorEntry,
}

impl From<BlockEntryV2> for BlockEntry {
    fn from(block: BlockEntryV2) -> Self {
        let BlockEntryV2 {
            group,
            rows,
            offset,
            stored,
            unpacked,
            crc,
        } = block;
        Self {
            group,
            rows,
            delta: false,
            file: 0,
            offset,
            stored,
            unpacked,
            crc,
        }
    }
}

impl From<StateEntry<BlockEntryV2>> for StateEntry {
    fn from(state: StateEntry<BlockEntryV2>) -> Self {
        Self {
            name: state.name,
            kind: state.kind,
            format: state.format,
            version: state.version,
            ttl: state.ttl,
            blocks: state.blocks.into_iter().map(BlockEntry::from).collect(),
        }
    }
}

impl From<FooterV2> for Footer {
    fn from(footer: FooterV2) -> Self {
        let operators = footer.operators.into_iter();
        let operators = operators.map(|OperatorEntryV2 { name, states, raw }| OperatorEntry {
            name,
            states: states.into_iter().map(StateEntry::from).collect(),
            raw: raw.into_iter().map(BlockEntry::from).collect(),
            native: None,
        });
        Self {
            files: Vec::new(),
            operators: operators.collect(),
        }
    }
}

impl From<FooterV1> for Footer {
    fn from(footer: FooterV1) -> Self {
        let operators = footer.operators.into_iter();
        let operators = operators.map(|OperatorEntryV1 { name, states }| OperatorEntryV2 {
            name,
            states,
            raw: Vec::new(),
        });
        Self::from(FooterV2 {
            operators: operators.collect(),
        })
    }
}

/// The room in each file that entries may claim: they do not lie over each other, or a small file
/// that claims the same bytes over and over would be loaded without end.
struct Room {
    /// Where the bytes of entries lie, and how many of them are not claimed yet.
    files: Vec<(Range<u64>, u64)>,
}

impl Room {
    /// `data` are the bytes of this file between magic and footer. The others have a footer and a
    /// trailer, too.
    fn new(data: Range<u64>, files: &[FileEntry]) -> Self {
        let whole = |file: &FileEntry| {
            let data = MAGIC.len() as u64..file.length.saturating_sub(TRAILER as u64);
            let room = data.end.saturating_sub(data.start);
            (data, room)
        };
        let room = data.end.saturating_sub(data.start);
        let own = std::iter::once((data, room));
        Self {
            files: own.chain(files.iter().map(whole)).collect(),
        }
    }

    fn claim(&mut self, what: &str, file: u32, offset: u64, length: u64) -> Result<(), Error> {
        let known = self.files.get_mut(file as usize);
        let (data, room) = known.ok_or_else(|| {
            damaged(format!(
                "the {what} at byte {offset} lies in file {file}, which is not named"
            ))
        })?;
        let end = offset.checked_add(length);
        if offset < data.start || end.is_none_or(|end| end > data.end) {
            return Err(damaged(format!(
                "the {what} at byte {offset} lies outside the file"
            )));
        }
        *room = room
            .checked_sub(length)
            .ok_or_else(|| damaged("its blocks lie over each other"))?;
        Ok(())
    }

    fn block(&mut self, block: &BlockEntry, keyed: bool) -> Result<(), Error> {
        let BlockEntry {
            file,
            offset,
            stored,
            unpacked,
            group,
            delta,
            ..
        } = *block;
        self.claim("block", file, offset, u64::from(stored))?;
        let what = if unpacked > stored.saturating_mul(MAX_RATIO) {
            format!("has {stored} bytes and claims {unpacked}")
        } else if !keyed && group != 0 {
            format!("has key group {group} and belongs to no key")
        } else if !keyed && (delta || file != 0) {
            "belongs to no key, and is not in full in this file".to_owned()
        } else {
            return Ok(());
        };
        Err(damaged(format!("the block at byte {offset} {what}")))
    }
}

impl Footer {
    /// The version of the format that a file with this footer has: the oldest that knows what is in
    /// it, so that older hosts read what they can.
    pub(super) fn format_version(&self) -> u32 {
        let mut states = self.operators.iter().flat_map(|operator| &operator.states);
        match states.any(|state| state.kind == SavedKind::Timers) {
            true => VERSION,
            false => WITHOUT_TIMERS,
        }
    }

    /// Checks what was read: that no name is there twice, and that the entries lie in their files
    /// and not over each other. `data` are the bytes of this file between magic and footer.
    pub(super) fn check(self, data: Range<u64>) -> Result<(Vec<FileEntry>, Vec<Operator>), Error> {
        let mut operators: Vec<Operator> = Vec::with_capacity(self.operators.len());
        if let Some(path) = twice(self.files.iter().map(|file| file.path.as_str())) {
            return Err(damaged(format!("file `{path}` is named twice")));
        }
        let mut room = Room::new(data, &self.files);
        for operator in self.operators {
            let name = OperatorName::new(&operator.name).map_err(|e| damaged(e.to_string()))?;
            if operators.iter().any(|other| other.name == name) {
                return Err(damaged(format!("operator `{name}` is in it twice")));
            }
            for (i, state) in operator.states.iter().enumerate() {
                let name = &state.name;
                if operator.states[..i].iter().any(|other| other.name == *name) {
                    return Err(damaged(format!("state `{name}` is in it twice")));
                }
                let keyed = StateKind::from(state.kind).is_keyed();
                state.blocks.iter().try_for_each(|b| room.block(b, keyed))?;
            }
            operator.raw.iter().try_for_each(|b| room.block(b, false))?;
            if let Some(native) = &operator.native {
                check_native(native, &mut room)?;
            }
            operators.push(Operator {
                name,
                states: operator.states.iter().map(StateEntry::saved).collect(),
                entry: operator,
            });
        }
        Ok((self.files, operators))
    }
}

/// A name that is there twice. There may be many.
fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let mut pairs = names.windows(2);
    pairs.find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

fn check_native(native: &NativeEntry, room: &mut Room) -> Result<(), Error> {
    if let Some(name) = twice(native.blobs.iter().map(|blob| blob.name.as_str())) {
        return Err(damaged(format!("native file `{name}` is in it twice")));
    }
    let claim = |blob: &BlobEntry| room.claim("file", blob.file, blob.offset, blob.length);
    native.blobs.iter().try_for_each(claim)
}

impl From<StateKind> for SavedKind {
    fn from(kind: StateKind) -> Self {
        match kind {
            StateKind::Value => Self::Value,
            StateKind::List => Self::List,
            StateKind::Map => Self::Map,
            StateKind::Reducing => Self::Reducing,
            StateKind::Aggregating => Self::Aggregating,
            StateKind::OperatorList => Self::OperatorList,
            StateKind::OperatorUnion => Self::OperatorUnion,
            StateKind::Broadcast => Self::Broadcast,
            StateKind::Timers => Self::Timers,
        }
    }
}

impl From<SavedKind> for StateKind {
    fn from(kind: SavedKind) -> Self {
        match kind {
            SavedKind::Value => Self::Value,
            SavedKind::List => Self::List,
            SavedKind::Map => Self::Map,
            SavedKind::Reducing => Self::Reducing,
            SavedKind::Aggregating => Self::Aggregating,
            SavedKind::OperatorList => Self::OperatorList,
            SavedKind::OperatorUnion => Self::OperatorUnion,
            SavedKind::Broadcast => Self::Broadcast,
            SavedKind::Timers => Self::Timers,
        }
    }
}
