//! The footer of a state file: what is in it and where. Boundary types: their encoding is the
//! format.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use weir_model::OperatorName;

use super::damaged;
use crate::{Error, StateDecl, StateKind, Ttl};

/// One block unpacks to at most this many times its bytes in the file: lz4 cannot do better.
const MAX_RATIO: u32 = 256;

/// Everything in a file, in the order of writing.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Footer {
    pub(super) operators: Vec<OperatorEntry>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct OperatorEntry {
    pub(super) name: String,
    pub(super) states: Vec<StateEntry>,
    /// The raw state.
    pub(super) raw: Vec<BlockEntry>,
}

/// The footer of version 1, which had no raw state.
#[derive(Debug, Deserialize)]
pub(super) struct FooterV1 {
    operators: Vec<OperatorEntryV1>,
}

#[derive(Debug, Deserialize)]
struct OperatorEntryV1 {
    name: String,
    states: Vec<StateEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StateEntry {
    pub(super) name: String,
    pub(super) kind: SavedKind,
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) ttl: Option<SavedTtl>,
    pub(super) blocks: Vec<BlockEntry>,
}

/// The kinds in a file. Their order is the format: new ones go to the end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum SavedKind {
    Value,
    List,
    Map,
    Reducing,
    Aggregating,
    OperatorList,
    OperatorUnion,
    Broadcast,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SavedTtl {
    duration_ms: u64,
    on_read: bool,
    return_expired: bool,
}

/// A block of rows of one key group, or of state without keys.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct BlockEntry {
    /// 0 where there are no keys.
    pub(super) group: u16,
    /// Rows; of a list the items, of a map without keys the entries.
    pub(super) rows: u64,
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
    /// The number of rows in this file: one a key, more for a large list or map. Of state without
    /// keys the number of items or entries.
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

    fn saved(&self) -> SavedState {
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
    /// The blocks of each state.
    pub(super) blocks: Vec<Vec<BlockEntry>>,
    /// The blocks of the raw state.
    pub(super) raw: Vec<BlockEntry>,
}

impl From<FooterV1> for Footer {
    fn from(footer: FooterV1) -> Self {
        let operators = footer.operators.into_iter();
        let operators = operators.map(|OperatorEntryV1 { name, states }| OperatorEntry {
            name,
            states,
            raw: Vec::new(),
        });
        Self {
            operators: operators.collect(),
        }
    }
}

impl Footer {
    /// Checks what was read: that no name is there twice, and that the blocks lie in `data`, the
    /// bytes between magic and footer, and not over each other: a small file that claims the same
    /// bytes over and over would be loaded without end.
    pub(super) fn check(self, data: Range<u64>) -> Result<Vec<Operator>, Error> {
        let mut operators: Vec<Operator> = Vec::with_capacity(self.operators.len());
        let mut room = data.end.saturating_sub(data.start);
        let mut claim = |block: &BlockEntry, keyed: bool| {
            block.check(&data, keyed)?;
            room = room
                .checked_sub(u64::from(block.stored))
                .ok_or_else(|| damaged("its blocks lie over each other"))?;
            Ok::<(), Error>(())
        };
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
                state.blocks.iter().try_for_each(|b| claim(b, keyed))?;
            }
            operator.raw.iter().try_for_each(|b| claim(b, false))?;
            operators.push(Operator {
                name,
                states: operator.states.iter().map(StateEntry::saved).collect(),
                blocks: operator.states.into_iter().map(|s| s.blocks).collect(),
                raw: operator.raw,
            });
        }
        Ok(operators)
    }
}

impl BlockEntry {
    fn check(&self, data: &Range<u64>, keyed: bool) -> Result<(), Error> {
        let end = self.offset.checked_add(u64::from(self.stored));
        let what = if self.offset < data.start || end.is_none_or(|end| end > data.end) {
            "lies outside the file".to_owned()
        } else if self.unpacked > self.stored.saturating_mul(MAX_RATIO) {
            format!("has {} bytes and claims {}", self.stored, self.unpacked)
        } else if !keyed && self.group != 0 {
            format!("has key group {} and belongs to no key", self.group)
        } else {
            return Ok(());
        };
        Err(damaged(format!("the block at byte {} {what}", self.offset)))
    }
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
        }
    }
}
