//! Full rows and the deltas on top of them as full rows again (see
//! [`SnapshotSink::delta`](crate::SnapshotSink::delta)).
//!
//! The deltas are gathered by key; then the full rows go through one block after the other, without
//! what has been changed, and what it was changed to follows. So whoever loads the rows knows
//! nothing of deltas, and no more of a key group is in memory than its deltas and one block.

use std::collections::{BTreeMap, HashMap};

use weir_model::KeyGroup;

use super::damaged;
use crate::{
    Error, StateKind,
    rows::{self, Reader},
};

/// The key is removed.
pub(crate) const REMOVED: u8 = 0;
/// The value is replaced.
pub(crate) const REPLACED: u8 = 1;
/// A list keeps its first elements.
pub(crate) const LIST: u8 = 2;
/// Entries of a map are put and removed.
pub(crate) const MAP: u8 = 3;

/// What deltas say of the keys of one state and key group.
pub(super) struct Changes<'a> {
    kind: StateKind,
    group: KeyGroup,
    keys: HashMap<&'a [u8], Change<'a>>,
}

/// What has become of a key.
enum Change<'a> {
    /// Of a cell.
    Cell(Option<&'a [u8]>),
    List {
        /// How many elements of the full rows stay.
        keep: u64,
        /// How many of them the full rows have given so far.
        seen: u64,
        then: Vec<&'a [u8]>,
    },
    Map {
        /// Whether nothing of the full rows stays.
        cleared: bool,
        entries: BTreeMap<&'a [u8], Option<&'a [u8]>>,
    },
}

impl<'a> Changes<'a> {
    pub(super) fn new(kind: StateKind, group: KeyGroup) -> Self {
        let keys = HashMap::new();
        Self { kind, group, keys }
    }

    /// Adds the rows of a delta, later ones after earlier ones.
    pub(super) fn add(&mut self, bytes: &'a [u8]) -> Result<(), Error> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let at = bytes.len() - reader.len();
            self.row(&mut reader).ok_or_else(|| self.unreadable(at))?;
        }
        Ok(())
    }

    /// Appends to `out` the full rows of a block that stay as they are.
    pub(super) fn filter(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let at = bytes.len() - reader.len();
            self.full_row(bytes, &mut reader, out)
                .ok_or_else(|| self.unreadable(at))?;
        }
        Ok(())
    }

    /// Gives the full rows of what was changed to `take`, in pieces of some size.
    pub(super) fn finish(
        self,
        piece: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut out = Vec::new();
        for (key, change) in self.keys {
            match change {
                Change::Cell(None) => {}
                Change::Cell(Some(value)) => {
                    row(&mut out, key);
                    rows::put_bytes(&mut out, value);
                }
                Change::List { keep, seen, .. } if seen < keep => {
                    return Err(damaged(format!(
                        "a list of key group {} keeps {keep} elements and has {seen}",
                        self.group
                    )));
                }
                Change::List { then, .. } => {
                    if !then.is_empty() {
                        row(&mut out, key);
                        rows::put_uvarint(&mut out, then.len() as u64);
                        then.iter().for_each(|e| rows::put_bytes(&mut out, e));
                    }
                }
                Change::Map { entries, .. } => {
                    let put = || entries.iter().filter_map(|(k, v)| Some((k, (*v)?)));
                    let count = put().count() as u64;
                    if count > 0 {
                        row(&mut out, key);
                        rows::put_uvarint(&mut out, count);
                        for (map_key, value) in put() {
                            rows::put_bytes(&mut out, map_key);
                            rows::put_bytes(&mut out, value);
                        }
                    }
                }
            }
            if out.len() >= piece {
                take(&out)?;
                out.clear();
            }
        }
        if !out.is_empty() {
            take(&out)?;
        }
        Ok(())
    }

    fn unreadable(&self, at: usize) -> Error {
        let group = self.group;
        damaged(format!(
            "the row at byte {at} of key group {group} cannot be read"
        ))
    }

    /// Takes one row of a delta.
    fn row(&mut self, reader: &mut Reader<'a>) -> Option<()> {
        let key = reader.bytes()?;
        reader.bytes()?.is_empty().then_some(())?;
        let change = reader.byte()?;
        let kind = self.kind;
        let known = self
            .keys
            .entry(key)
            .or_insert_with(|| Change::untouched(kind));
        match (change, known) {
            (REMOVED, known) => *known = Change::removed(kind),
            (REPLACED, Change::Cell(value)) => *value = Some(reader.bytes()?),
            (REPLACED, Change::Map { cleared, entries }) => {
                *cleared = true;
                entries.clear();
                for _ in 0..reader.uvarint()? {
                    let (map_key, value) = (reader.bytes()?, reader.bytes()?);
                    entries.insert(map_key, Some(value));
                }
            }
            (LIST, Change::List { keep, then, .. }) => {
                let first = reader.uvarint()?;
                if first <= *keep {
                    *keep = first;
                    then.clear();
                } else {
                    let own = usize::try_from(first - *keep).ok()?;
                    // Not yet known to be too many where nothing has said what is there.
                    (own <= then.len()).then_some(())?;
                    then.truncate(own);
                }
                for _ in 0..reader.uvarint()? {
                    then.push(reader.bytes()?);
                }
            }
            (MAP, Change::Map { entries, .. }) => {
                for _ in 0..reader.uvarint()? {
                    let map_key = reader.bytes()?;
                    let value = match reader.byte()? {
                        0 => None,
                        1 => Some(reader.bytes()?),
                        _ => return None,
                    };
                    entries.insert(map_key, value);
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Takes one full row of the block `bytes`.
    fn full_row(&mut self, bytes: &[u8], reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Option<()> {
        let start = bytes.len() - reader.len();
        let key = reader.bytes()?;
        reader.bytes()?.is_empty().then_some(())?;
        let change = self.keys.get_mut(key);
        if self.kind.is_cell() {
            reader.bytes()?;
            if change.is_none() {
                out.extend_from_slice(&bytes[start..bytes.len() - reader.len()]);
            }
            return Some(());
        }
        let count = reader.uvarint()?;
        let mut items = Vec::new();
        let mut kept = 0u64;
        match change {
            Some(Change::List { keep, seen, .. }) => {
                for _ in 0..count {
                    let element = reader.bytes()?;
                    if *seen < *keep {
                        rows::put_bytes(&mut items, element);
                        kept += 1;
                        *seen += 1;
                    }
                }
            }
            Some(Change::Map { cleared, entries }) => {
                for _ in 0..count {
                    let (map_key, value) = (reader.bytes()?, reader.bytes()?);
                    if !*cleared && !entries.contains_key(map_key) {
                        rows::put_bytes(&mut items, map_key);
                        rows::put_bytes(&mut items, value);
                        kept += 1;
                    }
                }
            }
            Some(Change::Cell(_)) => return None,
            None => {
                let parts = count.checked_mul(if is_map(self.kind) { 2 } else { 1 })?;
                for _ in 0..parts {
                    reader.bytes()?;
                }
                out.extend_from_slice(&bytes[start..bytes.len() - reader.len()]);
            }
        }
        if kept > 0 {
            row(out, key);
            rows::put_uvarint(out, kept);
            out.append(&mut items);
        }
        Some(())
    }
}

impl Change<'_> {
    /// All of the full rows stays.
    fn untouched(kind: StateKind) -> Self {
        match Self::removed(kind) {
            Self::List { then, .. } => Self::List {
                keep: u64::MAX,
                seen: 0,
                then,
            },
            Self::Map { entries, .. } => Self::Map {
                cleared: false,
                entries,
            },
            cell @ Self::Cell(_) => cell,
        }
    }

    fn removed(kind: StateKind) -> Self {
        match kind {
            StateKind::List => Self::List {
                keep: 0,
                seen: 0,
                then: Vec::new(),
            },
            kind if is_map(kind) => Self::Map {
                cleared: true,
                entries: BTreeMap::new(),
            },
            _ => Self::Cell(None),
        }
    }
}

/// Whether rows of this kind have entries.
fn is_map(kind: StateKind) -> bool {
    matches!(kind, StateKind::Map | StateKind::Timers)
}

/// Begins a row.
fn row(out: &mut Vec<u8>, key: &[u8]) {
    rows::put_bytes(out, key);
    rows::put_bytes(out, &[]);
}
