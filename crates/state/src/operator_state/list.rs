//! A list of a subtask: runs of rows of shared columns, so that a list that is divided among new
//! subtasks, or that all of them get, is not copied for each.

use std::{ops::Range, sync::Arc};

use weir_model::{Column, ColumnView};

use crate::{Error, limits};

/// See the module. Its bytes may pass the limit of a column: a union is as large as all lists that
/// it is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedList {
    pieces: Vec<Piece>,
    len: usize,
    bytes: usize,
}

/// Some consecutive rows of a column.
#[derive(Clone, Debug)]
struct Piece {
    column: Arc<Column>,
    rows: Range<usize>,
}

impl Piece {
    fn view(&self) -> ColumnView<'_> {
        self.column.view().slice(self.rows.start, self.rows.end)
    }
}

impl SharedList {
    /// The list of all rows of a column.
    pub(crate) fn new(column: Column) -> Self {
        let mut list = Self::default();
        list.push_column(column);
        list
    }

    /// Number of items.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends all rows of a column.
    pub(crate) fn push_column(&mut self, column: Column) {
        let rows = 0..column.len();
        self.push(Piece {
            column: Arc::new(column),
            rows,
        });
    }

    /// Appends the items `range` of another list, which has as many.
    pub(crate) fn push_range(&mut self, other: &Self, range: Range<usize>) {
        let mut first = 0;
        for piece in &other.pieces {
            let next = first + piece.rows.len();
            let (from, to) = (range.start.max(first), range.end.min(next));
            if from < to {
                let at = |item: usize| piece.rows.start + item - first;
                self.push(Piece {
                    column: Arc::clone(&piece.column),
                    rows: at(from)..at(to),
                });
            }
            first = next;
        }
    }

    /// The items in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().flat_map(|piece| piece.view().iter())
    }

    /// Appends all items to a column.
    pub(crate) fn read(&self, out: &mut Column) -> Result<(), Error> {
        let (bytes, rows) = (out.byte_len() + self.bytes, out.len() + self.len);
        limits::check_column("the column of elements", bytes, rows)?;
        for piece in &self.pieces {
            out.extend_from(piece.view());
        }
        Ok(())
    }

    fn push(&mut self, piece: Piece) {
        if !piece.rows.is_empty() {
            self.len += piece.rows.len();
            self.bytes += piece.view().contents().len();
            self.pieces.push(piece);
        }
    }
}
