//! Bounds on what a guest can make the host hold. They are far above sensible use: their task is
//! that a wrong guest ends with an error that names the bound, not with the end of memory.

use hashbrown::HashTable;
use weir_model::{Column, OptionalColumn};

use crate::{EntriesColumn, Error, NestedColumn};

/// The most bytes of one column of one access, of what one call may write to one state, of one
/// list, of one broadcast state, and of the raw state of a subtask. Columns count in 32 bits, so
/// this must stay below 4 GiB; a call gets 256 KiB of rows, so two thousand times that is not a
/// limit for honest use. Our own tests meet it sooner.
pub(crate) const MAX_COLUMN_BYTES: usize = if cfg!(test) { 16 << 20 } else { 512 << 20 };

/// What a row of a column takes beside its bytes. It is counted, or empty rows would be free and a
/// guest could read a list of them over and over without end.
pub(crate) const ROW_BYTES: usize = 4;

/// What an entry of a broadcast state takes beside its bytes.
pub(crate) const ENTRY_BYTES: usize = 16;

/// Buffers that are used again from call to call keep at most this much: sixteen times the rows of
/// a call. What one large call needed more is given back.
const KEEP_BYTES: usize = 4 << 20;

/// Hash tables with fewer places are kept whatever a call used of them.
const KEEP_PLACES: usize = 4096;

/// Checks a length against a limit.
#[inline]
pub(crate) fn check(what: &'static str, len: usize, limit: usize) -> Result<(), Error> {
    if len <= limit {
        Ok(())
    } else {
        Err(Error::TooLarge { what, len, limit })
    }
}

/// Checks what a column of `rows` rows and `bytes` bytes takes.
///
/// # Errors
/// [`Error::TooLarge`] where that is more than a column may have.
#[inline]
pub fn check_column(what: &'static str, bytes: usize, rows: usize) -> Result<(), Error> {
    check(what, bytes + rows * ROW_BYTES, MAX_COLUMN_BYTES)
}

/// A buffer that is used again from call to call.
pub(crate) trait Buffer: Default {
    /// The bytes it holds: of the buffers of columns only those in use are known.
    fn size(&self) -> usize;

    /// Empties it and keeps its memory.
    fn empty(&mut self);
}

/// Empties a buffer for the next call; one that was used beyond measure gives its memory back.
pub(crate) fn recycle<B: Buffer>(buffer: &mut B) {
    if buffer.size() > KEEP_BYTES {
        *buffer = B::default();
    } else {
        buffer.empty();
    }
}

/// Empties a hash table of numbers of rows. One much larger than what is in it is given back, for
/// emptying takes time by its size.
pub(crate) fn recycle_index(index: &mut HashTable<u32>) {
    if index.capacity() > KEEP_PLACES.max(index.len() * 8) {
        *index = HashTable::new();
    } else {
        index.clear();
    }
}

impl<T> Buffer for Vec<T> {
    fn size(&self) -> usize {
        self.capacity() * size_of::<T>()
    }

    fn empty(&mut self) {
        self.clear();
    }
}

impl Buffer for Column {
    fn size(&self) -> usize {
        self.byte_len() + self.len() * ROW_BYTES
    }

    fn empty(&mut self) {
        self.clear();
    }
}

impl Buffer for OptionalColumn {
    fn size(&self) -> usize {
        self.column().size() + self.len()
    }

    fn empty(&mut self) {
        self.clear();
    }
}

impl Buffer for NestedColumn {
    fn size(&self) -> usize {
        self.elements.size() + self.ends.size()
    }

    fn empty(&mut self) {
        self.clear();
    }
}

impl Buffer for EntriesColumn {
    fn size(&self) -> usize {
        self.keys.size() + self.values.size()
    }

    fn empty(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_of_one_large_call_is_given_back_and_others_are_kept() {
        let mut small = vec![0u8; 1000];
        recycle(&mut small);
        assert!(small.is_empty() && small.capacity() >= 1000);
        let mut large = vec![0u8; KEEP_BYTES + 1];
        recycle(&mut large);
        assert_eq!(large.capacity(), 0);
        let mut empty_rows = Column::new();
        (0..KEEP_BYTES).for_each(|_| empty_rows.push(b""));
        assert!(empty_rows.size() > KEEP_BYTES, "rows count, too");
    }

    #[test]
    fn an_index_of_one_large_call_is_given_back_and_others_are_kept() {
        let mut index: HashTable<u32> = HashTable::new();
        let fill = |index: &mut HashTable<u32>, rows: u32| {
            for row in 0..rows {
                index.insert_unique(u64::from(row), row, |&row| row.into());
            }
        };
        fill(&mut index, 100_000);
        recycle_index(&mut index);
        assert!(
            index.is_empty() && index.capacity() >= 100_000,
            "it was used"
        );
        fill(&mut index, 10);
        recycle_index(&mut index);
        assert!(index.capacity() < 100_000, "it was much too large");
    }
}
