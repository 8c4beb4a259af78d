//! Columns between the wire and the host: buffers change hands, nothing is copied.

use weir_model::{Column, ColumnError, OptionalColumn};
use weir_state::{EntriesColumn, NestedColumn};

use crate::bindings::weir::operator::{data, state};

/// Takes over a column of a guest after checking it.
pub(crate) fn column_in(column: data::BytesColumn) -> Result<Column, ColumnError> {
    Column::from_parts(column.bytes, column.ends)
}

/// Takes over a column of a guest after checking it.
pub(crate) fn optional_in(optional: data::OptionalColumn) -> Result<OptionalColumn, ColumnError> {
    OptionalColumn::from_parts(optional.present, column_in(optional.column)?)
}

/// Takes over a column of a guest; whether the lists cover the elements is checked by the state.
pub(super) fn nested_in(nested: state::NestedColumn) -> Result<NestedColumn, ColumnError> {
    Ok(NestedColumn {
        ends: nested.ends,
        elements: column_in(nested.elements)?,
    })
}

pub(super) fn column_out(column: Column) -> data::BytesColumn {
    let (bytes, ends) = column.into_parts();
    data::BytesColumn { bytes, ends }
}

pub(super) fn optional_out(optional: OptionalColumn) -> data::OptionalColumn {
    let (present, column) = optional.into_parts();
    data::OptionalColumn {
        present,
        column: column_out(column),
    }
}

pub(super) fn nested_out(nested: NestedColumn) -> state::NestedColumn {
    state::NestedColumn {
        ends: nested.ends,
        elements: column_out(nested.elements),
    }
}

pub(super) fn entries_out(entries: EntriesColumn) -> state::EntriesColumn {
    state::EntriesColumn {
        keys: column_out(entries.keys),
        values: column_out(entries.values),
    }
}
