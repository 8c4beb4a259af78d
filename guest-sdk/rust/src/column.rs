//! Reading and writing the columns of the contract.
//!
//! Row *i* of a column is `bytes[ends[i-1]..ends[i]]`. A column that breaks this is an error of the
//! host, named as such; it never panics the guest.

use std::ops::Range;

use crate::bindings::weir::operator::data::{Batch, BytesColumn, OptionalColumn};
use crate::codec::{StateCodec, append_optional};
use crate::error::{Error, Result};

/// A column that belongs to somebody else.
#[derive(Clone, Copy, Debug)]
pub struct ColumnRef<'a> {
    /// All rows, one behind the other.
    pub bytes: &'a [u8],
    /// Where each row ends.
    pub ends: &'a [u32],
}

impl ColumnRef<'_> {
    /// A column without rows.
    pub(crate) const EMPTY: Self = Self {
        bytes: &[],
        ends: &[],
    };
}

/// A column whose rows may be absent, and that belongs to somebody else.
#[derive(Clone, Copy, Debug)]
pub struct OptionalRef<'a> {
    /// Whether each row is there: 0 or 1.
    pub present: &'a [u8],
    /// The rows; those that are absent are empty.
    pub column: ColumnRef<'a>,
}

/// The rows of a call that belong to somebody else.
#[derive(Clone, Copy, Debug)]
pub struct BatchRef<'a> {
    /// The rows.
    pub values: ColumnRef<'a>,
    /// Their event times, or none.
    pub timestamps: &'a [i64],
    /// The distinct keys, or none.
    pub keys: ColumnRef<'a>,
    /// For each row the index of its key.
    pub key_of_row: &'a [u32],
}

impl<'a> From<&'a BytesColumn> for ColumnRef<'a> {
    fn from(column: &'a BytesColumn) -> Self {
        Self {
            bytes: &column.bytes,
            ends: &column.ends,
        }
    }
}

impl<'a> From<&'a OptionalColumn> for OptionalRef<'a> {
    fn from(optional: &'a OptionalColumn) -> Self {
        Self {
            present: &optional.present,
            column: (&optional.column).into(),
        }
    }
}

impl<'a> From<&'a Batch> for BatchRef<'a> {
    fn from(batch: &'a Batch) -> Self {
        Self {
            values: (&batch.values).into(),
            timestamps: &batch.timestamps,
            keys: (&batch.keys).into(),
            key_of_row: &batch.key_of_row,
        }
    }
}

/// Row `row` of a column.
#[inline]
pub(crate) fn row<'a>(column: impl Into<ColumnRef<'a>>, row: usize) -> Result<&'a [u8]> {
    let column = column.into();
    let start = start_of(column, row);
    let end = column.ends.get(row).copied();
    start
        .zip(end)
        .and_then(|(start, end)| column.bytes.get(start as usize..end as usize))
        .ok_or_else(|| malformed(column, row))
}

/// Where row `row` starts.
#[inline]
fn start_of(column: ColumnRef<'_>, row: usize) -> Option<u32> {
    match row.checked_sub(1) {
        None => Some(0),
        Some(before) => column.ends.get(before).copied(),
    }
}

/// All rows of a column, in order.
#[inline]
pub(crate) fn rows<'a>(column: impl Into<ColumnRef<'a>>) -> impl Iterator<Item = Result<&'a [u8]>> {
    let column = column.into();
    let mut start = 0;
    column.ends.iter().enumerate().map(move |(index, &end)| {
        let range = start as usize..end as usize;
        start = end;
        column
            .bytes
            .get(range)
            .ok_or_else(|| malformed(column, index))
    })
}

/// Neighbouring rows of a column: where the first starts, their bytes, and where each ends.
pub(crate) fn run(column: ColumnRef<'_>, rows: Range<usize>) -> Result<(u32, &[u8], &[u32])> {
    let start = start_of(column, rows.start);
    let ends = column.ends.get(rows.clone());
    start
        .zip(ends)
        .and_then(|(start, ends)| {
            let end = ends.last().copied().unwrap_or(start);
            let bytes = column.bytes.get(start as usize..end as usize)?;
            Some((start, bytes, ends))
        })
        .ok_or_else(|| malformed(column, rows.start))
}

/// Keeps these rows, which are in order, and moves them together.
pub(crate) fn keep(column: &mut BytesColumn, runs: &[Range<u32>]) -> Result<()> {
    let (mut rows, mut bytes) = (0, 0);
    for kept in runs {
        let (from, to) = (kept.start as usize, kept.end as usize);
        let (start, taken, _) = run((&*column).into(), from..to)?;
        let (start, length) = (start as usize, taken.len());
        if rows > from || bytes > start {
            return Err(malformed((&*column).into(), from));
        }
        if rows < from {
            column.bytes.copy_within(start..start + length, bytes);
            column.ends.copy_within(from..to, rows);
            let shift = (start - bytes) as u32;
            let moved = column.ends.iter_mut().skip(rows).take(to - from);
            moved.for_each(|end| *end = end.wrapping_sub(shift));
        }
        rows += to - from;
        bytes += length;
    }
    column.ends.truncate(rows);
    column.bytes.truncate(bytes);
    Ok(())
}

/// Row `row` of a column whose rows may be absent.
#[inline]
pub(crate) fn optional<'a>(
    column: impl Into<OptionalRef<'a>>,
    row_index: usize,
) -> Result<Option<&'a [u8]>> {
    let column = column.into();
    match column.present.get(row_index) {
        Some(0) => Ok(None),
        Some(_) => row(column.column, row_index).map(Some),
        None => Err(malformed(column.column, row_index)),
    }
}

/// All rows of a column whose rows may be absent, decoded, of a type whose values take a few bytes
/// each, always the same; none of other types. Whether a row is there is hard to foretell, so
/// nothing depends on it here. `None` for what cannot be decoded.
#[inline]
pub(crate) fn small_values<T: StateCodec>(
    column: &OptionalColumn,
) -> impl Iterator<Item = Option<Option<T>>> {
    let nothing = nothing_small::<T>();
    let count = nothing.map_or(0, |_| column.present.len());
    let nothing = nothing.unwrap_or_default();
    let all = column.present.iter().zip(rows(&column.column)).take(count);
    all.map(|(present, row)| {
        let is_there = *present != 0;
        let bytes = match row {
            Ok(row) if is_there => row,
            Ok(_) => nothing,
            Err(_) => return None,
        };
        match T::decode(bytes) {
            Ok(value) => Some(is_there.then_some(value)),
            // A type may have no value of zeros: that says nothing.
            Err(_) => (!is_there).then_some(None),
        }
    })
}

/// Whether values of a type take a few bytes each, always the same.
pub(crate) fn is_small<T: StateCodec>() -> bool {
    nothing_small::<T>().is_some()
}

/// How many bytes a value of a small type has; none of other types, of which it is not known how
/// many are there.
pub(crate) fn small_width<T: StateCodec>() -> usize {
    nothing_small::<T>().map_or(0, <[u8]>::len)
}

/// So many zeros as a value of a small type has bytes.
fn nothing_small<T: StateCodec>() -> Option<&'static [u8]> {
    const NOTHING: [u8; 64] = [0; 64];
    const { &NOTHING }.get(..T::WIDTH?)
}

#[cold]
fn malformed(column: ColumnRef<'_>, row: usize) -> Error {
    Error::fatal(format_args!(
        "malformed column from the host: row {row} of {} rows and {} bytes",
        column.ends.len(),
        column.bytes.len()
    ))
}

/// An empty column with room for what the last one held.
pub(crate) fn with_room(rows: usize, bytes: usize) -> BytesColumn {
    BytesColumn {
        bytes: Vec::with_capacity(bytes),
        ends: Vec::with_capacity(rows),
    }
}

/// Closes a row: what has been appended to `bytes` since the last row.
pub(crate) fn end_row(column: &mut BytesColumn) -> Result<()> {
    column.ends.push(end_of(column.bytes.len())?);
    Ok(())
}

/// A length as the contract writes it.
pub(crate) fn end_of(length: usize) -> Result<u32> {
    u32::try_from(length).map_err(|_| Error::fatal("a column may hold at most 4 GiB"))
}

/// Appends a row.
pub(crate) fn push(column: &mut BytesColumn, value: &[u8]) -> Result<()> {
    column.bytes.extend_from_slice(value);
    end_row(column)
}

/// An empty column whose rows may be absent.
pub(crate) fn optional_with_room(rows: usize, bytes: usize) -> OptionalColumn {
    OptionalColumn {
        present: Vec::with_capacity(rows),
        column: with_room(rows, bytes),
    }
}

/// Appends a value as a row, or an absent one.
#[inline]
pub(crate) fn push_optional<T: StateCodec>(
    column: &mut OptionalColumn,
    value: Option<&T>,
) -> Result<()> {
    column.present.push(u8::from(value.is_some()));
    append_optional(value, &mut column.column.bytes)?;
    end_row(&mut column.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_was_pushed() {
        let mut column = with_room(0, 0);
        for value in [&b"ab"[..], b"", b"c"] {
            push(&mut column, value).unwrap();
        }
        assert_eq!(column.ends, [2, 2, 3]);
        let each: Vec<_> = (0..3).map(|i| row(&column, i).unwrap()).collect();
        assert_eq!(each, [&b"ab"[..], b"", b"c"]);
        let all: Vec<_> = rows(&column).map(Result::unwrap).collect();
        assert_eq!(all, each);
    }

    #[test]
    fn an_absent_row_is_not_an_empty_one() {
        let mut column = optional_with_room(2, 0);
        push_optional(&mut column, Some(&Vec::new())).unwrap();
        push_optional::<Vec<u8>>(&mut column, None).unwrap();
        assert_eq!(optional(&column, 0).unwrap(), Some(&b""[..]));
        assert_eq!(optional(&column, 1).unwrap(), None);
    }

    #[test]
    fn a_malformed_column_is_an_error() {
        for (bytes, ends) in [(3, vec![4]), (3, vec![2, 1]), (3, vec![])] {
            let column = BytesColumn {
                bytes: vec![0; bytes],
                ends,
            };
            let last = column.ends.len().saturating_sub(1);
            let error = row(&column, last).unwrap_err();
            assert!(error.is_fatal(), "{error}");
            assert_eq!(
                rows(&column).last().is_some_and(|row| row.is_err()),
                !column.ends.is_empty()
            );
        }
    }
}
