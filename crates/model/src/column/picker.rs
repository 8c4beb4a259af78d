//! Rows of a column taken out by their numbers, many in a pass.

use super::{Column, ColumnView, end_of};

/// Copies some rows of a column, given by their numbers, to the end of another.
///
/// ```
/// use weir_model::{Column, Picker};
/// let from: Column = [&b"a"[..], b"bc", b"", b"d"].into_iter().collect();
/// let picker = Picker::new(from.view());
/// let mut to: Column = [&b"first"[..]].into_iter().collect();
/// picker.append(&[1, 3], &mut to);
/// assert!(to.iter().eq([&b"first"[..], b"bc", b"d"]));
/// assert_eq!(picker.ends_before(&[1, 3], 3), 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Picker<'a> {
    from: ColumnView<'a>,
    /// The length of all rows, where they have the same.
    width: Option<usize>,
}

impl<'a> Picker<'a> {
    /// Rows will be taken from here.
    #[must_use]
    pub fn new(from: ColumnView<'a>) -> Self {
        Self {
            from,
            width: from.width(),
        }
    }

    /// Number of bytes of all rows together.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.from.contents().len()
    }

    /// How many of these rows, from the first on, together have fewer bytes than `bytes`. Panics
    /// where there is no such row.
    #[must_use]
    pub fn ends_before(&self, rows: &[u32], bytes: usize) -> usize {
        match self.width {
            Some(0) if bytes > 0 => rows.len(),
            Some(width) if bytes > 0 => rows.len().min((bytes - 1) / width),
            Some(_) => 0,
            None => {
                let mut sum = 0;
                let lengths = rows.iter().map(|&row| self.from.get(row as usize).len());
                let mut sums = lengths.map(|length| {
                    sum += length;
                    sum
                });
                sums.position(|sum| sum >= bytes).unwrap_or(rows.len())
            }
        }
    }

    /// Appends these rows to a column. Panics where there is no such row.
    pub fn append(&self, rows: &[u32], to: &mut Column) {
        match self.width {
            // Records of a few numbers are copied in line and not by a call each.
            Some(8) => self.append_even::<8>(rows, to),
            Some(16) => self.append_even::<16>(rows, to),
            Some(24) => self.append_even::<24>(rows, to),
            Some(32) => self.append_even::<32>(rows, to),
            _ => self.append_any(rows, to),
        }
    }

    fn append_even<const N: usize>(&self, rows: &[u32], to: &mut Column) {
        let (from, _) = self.from.contents().as_chunks::<N>();
        let start = to.bytes.len();
        let end = start + rows.len() * N;
        let _ = end_of(end);
        to.bytes.resize(end, 0);
        let (places, _) = to.bytes[start..].as_chunks_mut::<N>();
        for (place, &row) in places.iter_mut().zip(rows) {
            *place = from[row as usize];
        }
        let ends = (1..=rows.len()).map(|count| (start + count * N) as u32);
        to.ends.extend(ends);
    }

    fn append_any(&self, rows: &[u32], to: &mut Column) {
        let lengths = rows.iter().map(|&row| self.from.get(row as usize).len());
        to.bytes.reserve(lengths.sum());
        to.ends.reserve(rows.len());
        for &row in rows {
            to.push(self.from.get(row as usize));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows of one width, and of any.
    fn rows() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let even = prop::sample::select(vec![0_usize, 1, 8, 9, 16, 24, 32, 40]);
        let even = even.prop_flat_map(|width| {
            prop::collection::vec(prop::collection::vec(any::<u8>(), width), 0..40)
        });
        let any = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40);
        prop_oneof![even, any]
    }

    proptest! {
        #[test]
        fn rows_that_are_picked_are_those_of_these_numbers(
            rows in rows(),
            there in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..10), 0..5),
            from in any::<prop::sample::Index>(),
            picked in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
            bytes in 0usize..600,
        ) {
            let column: Column = rows.iter().map(Vec::as_slice).collect();
            let from = from.index(rows.len() + 1);
            let picker = Picker::new(column.view().slice(from, rows.len()));
            let rows = &rows[from..];
            let picked: Vec<u32> = match rows.len() {
                0 => Vec::new(),
                count => picked.iter().map(|row| row.index(count) as u32).collect(),
            };
            let mut to: Column = there.iter().map(Vec::as_slice).collect();
            picker.append(&picked, &mut to);
            let expected: Vec<&[u8]> = picked.iter().map(|&row| &rows[row as usize][..]).collect();
            let all = there.iter().map(Vec::as_slice).chain(expected.iter().copied());
            prop_assert!(to.iter().eq(all));
            let (bytes_of, ends) = to.into_parts();
            prop_assert!(Column::from_parts(bytes_of, ends).is_ok());

            let taken = |count: usize| expected[..count].iter().map(|row| row.len()).sum::<usize>();
            let counts = 0..=expected.len();
            let fitting = counts.filter(|&count| count > 0 && taken(count) < bytes).count();
            prop_assert_eq!(picker.ends_before(&picked, bytes), fitting);
        }
    }
}
