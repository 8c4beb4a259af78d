//! Byte strings stored end to end: the shape in which rows, keys and values move everywhere.
//!
//! INVARIANT: `ends` never falls and its last entry is the length of `bytes`; so row `i` is
//! `bytes[ends[i - 1]..ends[i]]`. Whatever comes from outside is checked on the way in.

mod even;
mod picker;

use std::ops::Range;

pub use picker::Picker;

/// Owned byte strings, end to end. Row `i` ends where `ends[i]` says.
///
/// ```
/// use weir_model::Column;
/// let mut column = Column::new();
/// column.push(b"ab");
/// column.push(b"");
/// column.push(b"c");
/// assert_eq!(column.len(), 3);
/// assert_eq!(column.get(2), b"c");
/// assert!(Column::from_parts(b"abc".to_vec(), vec![2, 1, 3]).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

/// Why two buffers are not a [`Column`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// An end lies before the end of the row before it.
    #[error("row {row} ends at {end}, before the row before it, which ends at {before}")]
    Falling {
        /// The row whose end is wrong.
        row: usize,
        /// Its end.
        end: u32,
        /// The end of the row before.
        before: u32,
    },
    /// The last end is not the length of the bytes.
    #[error("the last row ends at {end}, but there are {len} bytes")]
    Length {
        /// The end of the last row; 0 where there is none.
        end: u32,
        /// The number of bytes.
        len: usize,
    },
    /// The flags of presence do not fit the rows.
    #[error("{present} flags of presence for {rows} rows")]
    Presence {
        /// The number of flags.
        present: usize,
        /// The number of rows.
        rows: usize,
    },
    /// A row that is absent has bytes.
    #[error("row {row} is absent and not empty: its length is {len}")]
    Absent {
        /// The row.
        row: usize,
        /// The number of its bytes.
        len: usize,
    },
}

impl Column {
    /// A column without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A column without rows, with room for `rows` rows of `bytes` bytes in all.
    #[must_use]
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(rows),
        }
    }

    /// Takes over two buffers from outside after checking them.
    ///
    /// # Errors
    /// [`ColumnError`] where the ends fall or do not cover the bytes.
    pub fn from_parts(bytes: Vec<u8>, ends: Vec<u32>) -> Result<Self, ColumnError> {
        // All are looked at: to stop at the first would take a branch for each.
        let pairs = ends.iter().zip(ends.get(1..).unwrap_or_default());
        let falls = pairs.fold(false, |any, (before, end)| any | (end < before));
        if falls {
            let fallen = ends.windows(2).position(|pair| pair[1] < pair[0]);
            let row = fallen.map_or(0, |before| before + 1);
            return Err(ColumnError::Falling {
                row,
                end: ends[row],
                before: ends[row.saturating_sub(1)],
            });
        }
        let end = ends.last().copied().unwrap_or(0);
        if end as usize != bytes.len() {
            return Err(ColumnError::Length {
                end,
                len: bytes.len(),
            });
        }
        Ok(Self { bytes, ends })
    }

    /// The two buffers.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Vec<u32>) {
        (self.bytes, self.ends)
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Number of bytes of all rows together.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The rows end to end.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each row ends.
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Row `row`. Panics where there is no such row.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 {
            0
        } else {
            self.ends[row - 1] as usize
        };
        &self.bytes[start..self.ends[row] as usize]
    }

    /// Appends a row.
    #[inline]
    pub fn push(&mut self, row: &[u8]) {
        // A number or two are the most frequent values: they are copied in line and not by a call.
        match (row.as_array::<8>(), row.as_array::<16>()) {
            // From a copy: what else would be done from there is done by one call for both.
            (Some(&number), _) => self.bytes.extend_from_slice(&number),
            (_, Some(&pair)) => self.bytes.extend_from_slice(&pair),
            _ => self.bytes.extend_from_slice(row),
        }
        self.ends.push(end_of(self.bytes.len()));
    }

    /// Appends a row that `write` appends to the buffer, and gives back what `write` gives. `write`
    /// must not shorten the buffer.
    #[inline]
    pub fn push_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let result = write(&mut self.bytes);
        self.ends.push(end_of(self.bytes.len()));
        result
    }

    /// Appends all rows of `other`.
    pub fn extend_from(&mut self, other: ColumnView<'_>) {
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(other.contents());
        let _ = end_of(self.bytes.len());
        self.ends.extend(
            other
                .ends
                .iter()
                .map(|&end| (end - other.base) + shift as u32),
        );
    }

    /// Drops all rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        if rows < self.ends.len() {
            self.ends.truncate(rows);
            self.bytes
                .truncate(self.ends.last().map_or(0, |&end| end as usize));
        }
    }

    /// Drops all rows and keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// All rows, borrowed.
    #[must_use]
    pub fn view(&self) -> ColumnView<'_> {
        ColumnView {
            bytes: &self.bytes,
            ends: &self.ends,
            base: 0,
        }
    }

    /// The rows in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.view().iter()
    }
}

impl<'a> FromIterator<&'a [u8]> for Column {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(rows: I) -> Self {
        let mut column = Self::new();
        for row in rows {
            column.push(row);
        }
        column
    }
}

/// An offset in a column. A column is bounded to a few megabytes long before it gets here; were it
/// ever not, the one wrong column must stop the task and not corrupt a row.
#[expect(
    clippy::expect_used,
    reason = "a column of 4 GiB breaks every limit before this one"
)]
#[inline]
fn end_of(len: usize) -> u32 {
    u32::try_from(len).expect("a column holds less than 4 GiB")
}

/// Some consecutive rows of a column, borrowed. The ends are those of the whole column: offsets are
/// relative to it, `base` is where the first row begins.
#[derive(Clone, Copy, Debug)]
pub struct ColumnView<'a> {
    bytes: &'a [u8],
    ends: &'a [u32],
    base: u32,
}

impl<'a> ColumnView<'a> {
    /// A view without rows.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            bytes: &[],
            ends: &[],
            base: 0,
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Row `row` of the view. Panics where there is no such row.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> &'a [u8] {
        let start = if row == 0 {
            self.base
        } else {
            self.ends[row - 1]
        };
        &self.bytes[start as usize..self.ends[row] as usize]
    }

    /// The bytes of the rows of this view, end to end.
    #[must_use]
    pub fn contents(&self) -> &'a [u8] {
        let end = self.ends.last().copied().unwrap_or(self.base);
        &self.bytes[self.base as usize..end as usize]
    }

    /// The ends relative to [`contents`](Self::contents): borrowed where the view begins at the
    /// beginning of its column, else written to `scratch`.
    #[must_use]
    pub fn relative_ends<'s>(&self, scratch: &'s mut Vec<u32>) -> &'s [u32]
    where
        'a: 's,
    {
        if self.base == 0 {
            return self.ends;
        }
        scratch.clear();
        scratch.extend(self.ends.iter().map(|end| end - self.base));
        scratch
    }

    /// The rows `from..to` of this view. Panics where they are out of bounds.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Self {
        let base = if from == 0 {
            self.base
        } else {
            self.ends[from - 1]
        };
        Self {
            bytes: self.bytes,
            ends: &self.ends[from..to],
            base,
        }
    }

    /// How many rows, from the first on, together have fewer bytes than `bytes`.
    #[must_use]
    pub fn ends_before(&self, bytes: usize) -> usize {
        self.ends
            .partition_point(|end| ((end - self.base) as usize) < bytes)
    }

    /// The rows in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        let mut start = self.base as usize;
        self.ends.iter().map(move |&end| {
            let row = &bytes[start..end as usize];
            start = end as usize;
            row
        })
    }
}

/// A column whose rows may be absent. An absent row has length 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionalColumn {
    present: Vec<u8>,
    column: Column,
}

/// Which row is absent and has bytes.
#[cold]
fn absent_with_bytes(present: &[u8], column: &Column) -> ColumnError {
    let lengths = column.iter().map(<[u8]>::len);
    let mut absent = lengths.enumerate().filter(|&(row, _)| present[row] == 0);
    let (row, len) = absent.find(|&(_, len)| len > 0).unwrap_or_default();
    ColumnError::Absent { row, len }
}

impl OptionalColumn {
    /// A column without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over buffers from outside after checking them. Any flag but 0 means present.
    ///
    /// # Errors
    /// [`ColumnError`] where the parts do not fit together, or an absent row has bytes.
    pub fn from_parts(present: Vec<u8>, column: Column) -> Result<Self, ColumnError> {
        if present.len() != column.len() {
            return Err(ColumnError::Presence {
                present: present.len(),
                rows: column.len(),
            });
        }
        let mut before = 0;
        // All rows, whatever there is to be seen of one: it is a loop without a branch.
        let is_empty = present
            .iter()
            .zip(&column.ends)
            .fold(true, |all, (&there, &end)| {
                let is_right = (there != 0) | (end == before);
                before = end;
                all & is_right
            });
        match is_empty {
            true => Ok(Self { present, column }),
            false => Err(absent_with_bytes(&present, &column)),
        }
    }

    /// The flags of presence and the rows.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Column) {
        (self.present, self.column)
    }

    /// Number of rows, absent ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Row `row`, `None` where it is absent. Panics where there is no such row.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        (self.present[row] != 0).then(|| self.column.get(row))
    }

    /// Appends a row or the absence of one.
    #[inline]
    pub fn push(&mut self, row: Option<&[u8]>) {
        self.present.push(u8::from(row.is_some()));
        self.column.push(row.unwrap_or_default());
    }

    /// Appends rows of `N` bytes, all of them there.
    ///
    /// ```
    /// use weir_model::OptionalColumn;
    /// let mut column = OptionalColumn::new();
    /// column.push(None);
    /// column.extend_even(&[*b"ab", *b"cd"]);
    /// assert!(column.iter().eq([None, Some(&b"ab"[..]), Some(b"cd")]));
    /// ```
    pub fn extend_even<const N: usize>(&mut self, rows: &[[u8; N]]) {
        self.present.resize(self.present.len() + rows.len(), 1);
        self.column.push_even(rows);
    }

    /// Appends rows of `N` bytes, those that are there and the absence of the others: no branch
    /// depends on which they are. Panics where there are not as many flags as rows.
    ///
    /// ```
    /// use weir_model::OptionalColumn;
    /// let mut column = OptionalColumn::new();
    /// column.extend_some_even(&[*b"ab", *b"--", *b"cd"], &[true, false, true]);
    /// assert!(column.iter().eq([Some(&b"ab"[..]), None, Some(b"cd")]));
    /// ```
    pub fn extend_some_even<const N: usize>(&mut self, rows: &[[u8; N]], there: &[bool]) {
        assert_eq!(rows.len(), there.len(), "a flag for each row");
        self.present
            .extend(there.iter().map(|&is_there| u8::from(is_there)));
        self.column.push_some_even(rows, there);
    }

    /// Appends all rows of `other`.
    pub fn extend_from(&mut self, other: &Self) {
        self.extend_from_rows(other, 0..other.len());
    }

    /// Appends these rows of `other`. Panics where they are out of bounds.
    pub fn extend_from_rows(&mut self, other: &Self, rows: Range<usize>) {
        self.present.extend_from_slice(&other.present[rows.clone()]);
        let rows = other.column.view().slice(rows.start, rows.end);
        self.column.extend_from(rows);
    }

    /// Drops all rows and keeps the buffers.
    pub fn clear(&mut self) {
        self.present.clear();
        self.column.clear();
    }

    /// One flag a row: 1 present, 0 absent.
    #[must_use]
    pub fn present(&self) -> &[u8] {
        &self.present
    }

    /// The rows; an absent one is empty.
    #[must_use]
    pub fn column(&self) -> &Column {
        &self.column
    }

    /// The rows in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        let rows = self.present.iter().zip(self.column.iter());
        rows.map(|(&present, row)| (present != 0).then_some(row))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_view_shows_the_rows_it_was_cut_from(
            rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..40),
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let column: Column = rows.iter().map(Vec::as_slice).collect();
            let (a, b) = (cut.0.index(rows.len() + 1), cut.1.index(rows.len() + 1));
            let (from, to) = (a.min(b), a.max(b));
            let view = column.view().slice(from, to);
            prop_assert!(view.iter().eq(rows[from..to].iter().map(Vec::as_slice)));
            let mut scratch = Vec::new();
            let again = Column::from_parts(
                view.contents().to_vec(),
                view.relative_ends(&mut scratch).to_vec(),
            );
            prop_assert!(again.unwrap().iter().eq(rows[from..to].iter().map(Vec::as_slice)));
            let mut longer: Column = rows.iter().map(Vec::as_slice).collect();
            longer.extend_from(view);
            prop_assert_eq!(longer.len(), rows.len() + to - from);
            prop_assert!(longer.iter().skip(rows.len()).eq(view.iter()));
            let mut lengths: Vec<usize> = view.iter().map(<[u8]>::len).collect();
            lengths.dedup();
            let width = lengths.first().copied().filter(|_| lengths.len() == 1);
            prop_assert_eq!(view.width(), width);
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        assert_eq!(
            Column::from_parts(vec![0; 3], vec![2]),
            Err(ColumnError::Length { end: 2, len: 3 })
        );
        assert_eq!(
            Column::from_parts(vec![], vec![1, 0]),
            Err(ColumnError::Falling {
                row: 1,
                end: 0,
                before: 1
            })
        );
        assert!(OptionalColumn::from_parts(vec![1], Column::new()).is_err());
    }

    #[test]
    fn a_row_that_is_absent_has_no_bytes() {
        let of = |present: &[u8], ends: &[u32]| {
            let bytes = vec![7; ends.last().map_or(0, |&end| end as usize)];
            let column = Column::from_parts(bytes, ends.to_vec()).unwrap();
            OptionalColumn::from_parts(present.to_vec(), column)
        };
        assert_eq!(of(&[1, 0, 9], &[8, 8, 16]).unwrap().get(1), None);
        for (present, ends, row) in [
            (&[0, 1][..], &[8, 16][..], 0),
            (&[1, 0], &[8, 16], 1),
            (&[0, 1, 0], &[0, 4, 12], 2),
        ] {
            let len = 8;
            assert_eq!(of(present, ends), Err(ColumnError::Absent { row, len }));
        }
    }
}
