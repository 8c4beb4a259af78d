//! Rows of a state with a time to live from rows of one without, and the other way round (C16).
//!
//! A value of a state with a time to live begins with the time of its last access (see
//! [`ttl`](crate::ttl)): of a cell the value, of a list each element, of a map the value of each
//! entry.

use weir_model::ProcessingTime;

use super::{SavedState, damaged};
use crate::{
    Error, StateKind, Ttl,
    rows::{self, Reader},
    ttl::STAMP_BYTES,
};

/// What is to be done with the stamps of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamps {
    /// They are as declared, or there are none.
    Keep,
    /// Each value gets this one.
    Add(ProcessingTime),
    /// They go.
    Strip,
}

impl Stamps {
    /// Between what was saved and what is declared. `now` counts as the last access of what has
    /// none.
    pub(super) fn between(saved: &SavedState, declared: Option<Ttl>, now: ProcessingTime) -> Self {
        match (saved.ttl.is_some(), declared.is_some()) {
            (true, true) | (false, false) => Self::Keep,
            (false, true) => Self::Add(now),
            (true, false) => Self::Strip,
        }
    }

    /// The rows as they are declared.
    pub(super) fn apply<'a>(
        self,
        kind: StateKind,
        rows: &'a [u8],
        out: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], Error> {
        if self == Self::Keep {
            return Ok(rows);
        }
        out.clear();
        let mut reader = Reader::new(rows);
        while !reader.is_empty() {
            let at = rows.len() - reader.len();
            self.row(kind, &mut reader, out)
                .ok_or_else(|| damaged(format!("the row at byte {at} cannot be read")))?;
        }
        Ok(out)
    }

    fn row(self, kind: StateKind, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Option<()> {
        rows::put_bytes(out, reader.bytes()?);
        rows::put_bytes(out, reader.bytes()?);
        if kind.is_cell() {
            return self.value(reader.bytes()?, out);
        }
        let count = reader.uvarint()?;
        rows::put_uvarint(out, count);
        for _ in 0..count {
            if kind == StateKind::Map {
                rows::put_bytes(out, reader.bytes()?);
            }
            self.value(reader.bytes()?, out)?;
        }
        Some(())
    }

    fn value(self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Keep => rows::put_bytes(out, value),
            Self::Add(now) => {
                rows::put_uvarint(out, (STAMP_BYTES + value.len()) as u64);
                out.extend_from_slice(&now.0.to_be_bytes());
                out.extend_from_slice(value);
            }
            Self::Strip => rows::put_bytes(out, value.get(STAMP_BYTES..)?),
        }
        Some(())
    }
}
