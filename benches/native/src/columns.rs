//! Columns between operator and host: buffers change hands, nothing is copied but what is said so.

use weir_guest::native::{BytesColumn, ColumnRef, Emitted as Given, OptionalColumn as Absent};
use weir_model::{Column, ColumnError, ColumnView, OptionalColumn};
use weir_operator::{Emitted, Failure};

/// A wrong column, or another value that the contract does not allow.
pub(crate) fn wrong(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::Contract {
        message: format!("{what}: {error}"),
    }
}

pub(crate) fn taken(column: BytesColumn) -> Result<Column, ColumnError> {
    Column::from_parts(column.bytes, column.ends)
}

pub(crate) fn optional_taken(optional: Absent) -> Result<OptionalColumn, ColumnError> {
    OptionalColumn::from_parts(optional.present, taken(optional.column)?)
}

pub(crate) fn given(column: Column) -> BytesColumn {
    let (bytes, ends) = column.into_parts();
    BytesColumn { bytes, ends }
}

pub(crate) fn optional_given(optional: OptionalColumn) -> Absent {
    let (present, column) = optional.into_parts();
    Absent {
        present,
        column: given(column),
    }
}

/// A column where it is; a part of one has its ends written anew.
pub(crate) fn lent<'a>(column: ColumnView<'a>, ends: &'a mut Vec<u32>) -> ColumnRef<'a> {
    ColumnRef {
        bytes: column.contents(),
        ends: column.relative_ends(ends),
    }
}

/// A copy.
pub(crate) fn copied(column: ColumnView<'_>) -> BytesColumn {
    let mut ends = Vec::new();
    let lent = lent(column, &mut ends);
    BytesColumn {
        bytes: lent.bytes.to_vec(),
        ends: lent.ends.to_vec(),
    }
}

/// What was emitted, checked as far as the engine relies on it; `rows` is how many there are to
/// inherit from.
pub(crate) fn emitted(all: Vec<Given>, rows: usize) -> Result<Vec<Emitted>, Failure> {
    let one = |one: Given| {
        let what = "what was emitted";
        let values = taken(one.values).map_err(|error| wrong(what, error))?;
        let keys = taken(one.keys).map_err(|error| wrong(what, error))?;
        for len in [keys.len(), one.timestamps.len(), one.origin.len()] {
            if len != 0 && len != values.len() {
                let entries = format!("{len} entries for {} rows", values.len());
                return Err(wrong(what, entries));
            }
        }
        if one.origin.iter().any(|&from| from as usize >= rows) {
            return Err(wrong(what, "a row that comes from none of the call"));
        }
        Ok(Emitted {
            output: one.output,
            values,
            origin: one.origin,
            timestamps: one.timestamps,
            keys,
        })
    };
    all.into_iter().map(one).collect()
}
