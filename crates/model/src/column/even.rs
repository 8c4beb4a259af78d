//! Rows that all have the same length, seen as arrays: loops over them copy and compare in line.

use super::{Column, ColumnView, end_of};

impl Column {
    /// All rows, if each has `N` bytes and `N` is not 0.
    ///
    /// ```
    /// use weir_model::Column;
    /// let column: Column = [&b"ab"[..], b"cd"].into_iter().collect();
    /// assert_eq!(column.even(), Some(&[*b"ab", *b"cd"][..]));
    /// assert_eq!(column.even::<1>(), None);
    /// ```
    #[must_use]
    pub fn even<const N: usize>(&self) -> Option<&[[u8; N]]> {
        let is_even = N > 0 && (self.is_empty() || self.view().width() == Some(N));
        is_even.then(|| self.bytes.as_chunks().0)
    }

    /// Rows that are known to have `N` bytes each: only their sum is looked at, and `None` given
    /// back where it is another.
    #[must_use]
    pub fn known_even<const N: usize>(&self) -> Option<&[[u8; N]]> {
        let is_even = N > 0 && self.bytes.len() == self.len() * N;
        is_even.then(|| self.bytes.as_chunks().0)
    }

    /// Appends rows of `N` bytes behind such as have as many, which is for the caller to know:
    /// only their sum is looked at, and if it is another, `None` given back and nothing done.
    /// `fill` gets those that are there with room for `most` behind them, and says how many rows
    /// there are then.
    ///
    /// ```
    /// use weir_model::Column;
    /// let mut column: Column = [&b"ab"[..]].into_iter().collect();
    /// let added = column.extend_even(9, |rows: &mut [[u8; 2]]| {
    ///     assert_eq!(rows.len(), 1 + 9);
    ///     rows[1] = *b"cd";
    ///     2
    /// });
    /// assert!(added.is_some() && column.iter().eq([b"ab", b"cd"]));
    /// assert!(column.extend_even(1, |_: &mut [[u8; 3]]| 3).is_none());
    /// ```
    pub fn extend_even<const N: usize>(
        &mut self,
        most: usize,
        fill: impl FnOnce(&mut [[u8; N]]) -> usize,
    ) -> Option<()> {
        let before = self.len();
        if N == 0 || self.bytes.len() != before * N {
            return None;
        }
        let room = before + most;
        self.bytes.resize(room * N, 0);
        let after = fill(self.bytes.as_chunks_mut().0).clamp(before, room);
        self.bytes.truncate(after * N);
        let _ = end_of(self.bytes.len());
        let ends = (before + 1..=after).map(|rows| (rows * N) as u32);
        self.ends.extend(ends);
        Some(())
    }

    /// Appends rows of `N` bytes.
    pub(super) fn push_even<const N: usize>(&mut self, rows: &[[u8; N]]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(rows.as_flattened());
        let _ = end_of(self.bytes.len());
        let ends = (1..=rows.len()).map(|count| (start + count * N) as u32);
        self.ends.extend(ends);
    }

    /// Appends rows of `N` bytes, and none in the place of those that are not there.
    pub(super) fn push_some_even<const N: usize>(&mut self, rows: &[[u8; N]], there: &[bool]) {
        let start = self.bytes.len();
        if N == 0 {
            // There are no chunks of nothing.
            self.ends.extend(rows.iter().map(|_| start as u32));
            return;
        }
        self.bytes.resize(start + rows.len() * N, 0);
        let room = self.bytes[start..].as_chunks_mut().0;
        let mut count = 0;
        self.ends
            .extend(rows.iter().zip(there).map(|(row, &is_there)| {
                // The next one goes over what is not there.
                room[count] = *row;
                count += usize::from(is_there);
                (start + count * N) as u32
            }));
        self.bytes.truncate(start + count * N);
        let _ = end_of(self.bytes.len());
    }
}

impl ColumnView<'_> {
    /// The length of all rows, where there are any and all have the same.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        let (&first, others) = self.ends.split_first()?;
        let width = first - self.base;
        // Mostly this says already that they have not. Where they have, all are looked at at once.
        if self.contents().len() != width as usize * self.len() {
            return None;
        }
        let lengths = self.ends.iter().zip(others).map(|(start, end)| end - start);
        let is_even = lengths.fold(true, |is_even, length| is_even & (length == width));
        is_even.then_some(width as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::OptionalColumn, *};

    proptest! {
        #[test]
        fn rows_of_one_length_are_seen_and_appended_as_arrays(
            rows in prop::collection::vec(any::<[u8; 3]>(), 0..20),
            more in prop::collection::vec(any::<[u8; 3]>(), 0..20),
            spare in 0usize..20,
            odd in prop::option::of(prop::collection::vec(any::<u8>(), 0..6)),
        ) {
            let mut column: Column = rows.iter().map(|row| &row[..]).collect();
            prop_assert_eq!(column.even(), Some(&rows[..]));
            prop_assert_eq!(column.known_even(), Some(&rows[..]));
            prop_assert_eq!(column.known_even::<2>().is_some(), rows.is_empty());
            prop_assert_eq!(column.even::<0>(), None);
            column.extend_even(more.len() + spare, |all: &mut [[u8; 3]]| {
                all[rows.len()..][..more.len()].copy_from_slice(&more);
                rows.len() + more.len()
            }).unwrap();
            let all = [rows, more].concat();
            prop_assert!(column.iter().eq(all.iter().map(|row| &row[..])));
            let there: Vec<bool> = all.iter().map(|row| row[0] % 3 > 0).collect();
            let expected = all.iter().zip(&there).map(|(row, &is)| is.then_some(&row[..]));
            let mut optional = OptionalColumn::new();
            optional.push(Some(b"before"));
            optional.extend_some_even(&all, &there);
            prop_assert!(optional.iter().skip(1).eq(expected));
            prop_assert_eq!(optional.get(0), Some(&b"before"[..]));
            if let Some(odd) = odd.filter(|odd| odd.len() != 3) {
                column.push(&odd);
                let before = column.clone();
                prop_assert_eq!(column.even::<3>(), None);
                prop_assert!(column.extend_even(1, |_: &mut [[u8; 3]]| unreachable!()).is_none());
                prop_assert_eq!(column, before);
            }
        }
    }
}
