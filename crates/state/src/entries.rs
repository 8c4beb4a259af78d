//! State entry by entry: what a canonical snapshot writes, gathered by key, as tools show it.
//!
//! INVARIANT: entries come in order of state, key group and key, each key once.

use std::collections::BTreeMap;

use weir_model::{CheckpointId, KeyGroup, ProcessingTime};

use crate::{
    Backend, Chain, Error, Row, RowValue, SnapshotFormat, SnapshotRequest, SnapshotSink, StateDecl,
    StateIndex, StateKind, When,
};

/// The time of everything here: nothing expires.
const LONG_AGO: ProcessingTime = ProcessingTime(i64::MIN);

/// What one key has in one state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Which state, by the place that its declaration was given.
    pub state: usize,
    /// The key group of the key.
    pub group: u16,
    /// The key.
    pub key: Vec<u8>,
    /// What it has.
    pub value: Held,
}

/// What a key has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// A value, a reduced value or an accumulator.
    Cell(Vec<u8>),
    /// The elements of a list.
    List(Vec<Vec<u8>>),
    /// The entries of a map.
    Map(Vec<(Vec<u8>, Vec<u8>)>),
    /// When its timers are due, in order.
    Timers(Vec<When>),
}

/// All that a backend holds.
///
/// # Errors
/// Those of the backend.
pub fn entries(backend: &mut dyn Backend, decls: &[StateDecl]) -> Result<Vec<Entry>, Error> {
    let mut entries = Entries::new(decls, (0..decls.len()).collect());
    backend.snapshot(&canonical())?.write(&mut entries)?;
    Ok(entries.into_entries())
}

/// A full snapshot in canonical order, of which nothing expires.
#[must_use]
pub fn canonical() -> SnapshotRequest {
    SnapshotRequest {
        format: SnapshotFormat::Canonical,
        ..SnapshotRequest::full(CheckpointId(0), LONG_AGO)
    }
}

/// Gathers what a canonical snapshot writes.
#[derive(Debug)]
pub struct Entries<'a> {
    decls: &'a [StateDecl],
    /// Where each state stands among all of the operator.
    places: Vec<usize>,
    entries: Vec<Entry>,
    /// Of each place, key group and key with timers: files have them by time.
    timers: BTreeMap<(usize, u16, Vec<u8>), Vec<When>>,
}

impl<'a> Entries<'a> {
    /// For a snapshot of these states; `places` are what they are told by.
    #[must_use]
    pub fn new(decls: &'a [StateDecl], places: Vec<usize>) -> Self {
        Self {
            decls,
            places,
            entries: Vec::new(),
            timers: BTreeMap::new(),
        }
    }

    /// What was gathered.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        let timers = self.timers.into_iter();
        let mut entries = self.entries;
        entries.extend(timers.map(|((state, group, key), when)| Entry {
            state,
            group,
            key,
            value: Held::Timers(when),
        }));
        entries.sort_by_key(|entry| entry.state);
        entries
    }

    fn timers(&mut self, place: usize, group: KeyGroup, row: &Row<'_>) -> Result<(), Error> {
        let wrong = || Error::Damaged("a time of timers that is none".into());
        let when = When::decode(row.key).ok_or_else(wrong)?;
        let RowValue::Map(keys) = &row.value else {
            return Err(wrong());
        };
        for (key, _) in keys {
            let of = (place, group.0, key.to_vec());
            self.timers.entry(of).or_default().push(when);
        }
        Ok(())
    }
}

impl SnapshotSink for Entries<'_> {
    fn block(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        _rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let at = state.0 as usize;
        let (Some(decl), Some(&place)) = (self.decls.get(at), self.places.get(at)) else {
            return Err(Error::Damaged("a state that was not declared".into()));
        };
        for row in Row::read_all(decl.kind, bytes)? {
            if decl.kind == StateKind::Timers {
                self.timers(place, group, &row)?;
                continue;
            }
            match self.entries.last_mut() {
                // A large list or map comes in several rows.
                Some(last) if last.state == place && last.key == row.key => {
                    last.value.extend(&row.value);
                }
                Some(_) | None => self.entries.push(Entry {
                    state: place,
                    group: group.0,
                    key: row.key.to_vec(),
                    value: Held::of(&row.value),
                }),
            }
        }
        Ok(())
    }

    fn base(&self) -> Option<CheckpointId> {
        None
    }

    fn chain(&self, _: StateIndex, _: KeyGroup) -> Chain {
        Chain::default()
    }

    fn keep(&mut self, _: StateIndex, _: KeyGroup) -> Result<(), Error> {
        Ok(())
    }

    fn delta(&mut self, _: StateIndex, _: KeyGroup, _: u64, _: &[u8]) -> Result<(), Error> {
        Err(Error::Damaged("a delta without a base".into()))
    }

    fn blob(&mut self, _: &str, _: u64, _: &mut dyn std::io::Read) -> Result<(), Error> {
        Err(Error::Damaged(
            "a native file in a canonical snapshot".into(),
        ))
    }

    fn keep_blob(&mut self, _: &str) -> Result<bool, Error> {
        Ok(false)
    }

    fn note(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

impl Held {
    fn of(value: &RowValue<'_>) -> Self {
        let owned = |bytes: &[u8]| bytes.to_vec();
        match value {
            RowValue::Cell(value) => Self::Cell(owned(value)),
            RowValue::List(all) => Self::List(all.iter().map(|e| owned(e)).collect()),
            RowValue::Map(all) => {
                Self::Map(all.iter().map(|(k, v)| (owned(k), owned(v))).collect())
            }
        }
    }

    /// Adds what a further row of the same key has.
    fn extend(&mut self, more: &RowValue<'_>) {
        match (self, Self::of(more)) {
            (Self::List(all), Self::List(more)) => all.extend(more),
            (Self::Map(all), Self::Map(more)) => all.extend(more),
            (held, other) => *held = other,
        }
    }

    /// Appends the rows of a key that has it to a block.
    pub fn write(&self, key: &[u8], block: &mut Vec<u8>) {
        let value = match self {
            Self::Timers(all) => {
                for when in all {
                    let (key, value) = (&when.encode(), RowValue::Map(vec![(key, b"")]));
                    Row { key, value }.write(block);
                }
                return;
            }
            Self::Cell(value) => RowValue::Cell(value),
            Self::List(all) => RowValue::List(all.iter().map(Vec::as_slice).collect()),
            Self::Map(all) => {
                fn pair((k, v): &(Vec<u8>, Vec<u8>)) -> (&[u8], &[u8]) {
                    (k.as_slice(), v.as_slice())
                }
                RowValue::Map(all.iter().map(pair).collect())
            }
        };
        Row { key, value }.write(block);
    }
}
