//! A bucket of the index of a segment: eight cells in a line of the cache.
//!
//! All tags of a bucket are compared at once, so that nothing depends on in which cell a key is:
//! the processor foresees that it is in its bucket, where it cannot foresee after how many cells it
//! is found.
//!
//! INVARIANT: cells are taken in order, and none becomes free: those that are taken come first.

/// How many cells a bucket has.
pub(super) const CELLS: usize = 8;

/// A bit for each cell. None of them is 1, which a comparison gives by itself: a compiler that sees
/// it takes that cell for a special case, and compares the cells one by one.
const BITS: [u32; CELLS] = [
    1 << 8,
    1 << 9,
    1 << 10,
    1 << 11,
    1 << 12,
    1 << 13,
    1 << 14,
    1 << 15,
];

/// The place of an empty cell.
const NONE: u32 = u32::MAX;

/// A cell of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// The upper half of the hash; its low bits say in which bucket the cell should be.
    pub(super) tag: u32,
    /// Where the record lies in the arena, in units of a record; `u32::MAX` = nowhere.
    pub(super) at: u32,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Bucket {
    tags: [u32; CELLS],
    places: [u32; CELLS],
}

impl Bucket {
    /// No cell is taken.
    pub(super) const EMPTY: Self = Self {
        tags: [0; CELLS],
        places: [NONE; CELLS],
    };

    /// Where the record of the first cell with a tag lies; `None` where no cell has it. An empty
    /// cell may be taken for one with the tag 0: it is behind those that have it, and no record is
    /// there.
    #[inline]
    pub(super) fn first(&self, tag: u32) -> Option<u32> {
        let same = self.same(tag);
        (same != 0).then(|| self.places[first_of(same)])
    }

    /// The numbers of the cells that are taken and have a tag.
    #[inline]
    pub(super) fn of_tag(&self, tag: u32) -> impl Iterator<Item = usize> {
        let mut same = self.same(tag);
        std::iter::from_fn(move || {
            let cell = (same != 0).then(|| first_of(same))?;
            same &= same - 1;
            (self.places[cell] != NONE).then_some(cell)
        })
    }

    /// Whether all cells are taken.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.places[CELLS - 1] != NONE
    }

    /// The cell with a number, counted over this bucket or over all, taken or not.
    #[inline]
    pub(super) fn cell(&self, number: usize) -> Cell {
        Cell {
            tag: self.tags[number % CELLS],
            at: self.places[number % CELLS],
        }
    }

    /// The cells that are taken.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cell> {
        let cells = (0..CELLS).map(|number| self.cell(number));
        cells.take_while(|cell| cell.at != NONE)
    }

    /// Where the records of the cells that are taken lie.
    pub(super) fn places_mut(&mut self) -> impl Iterator<Item = &mut u32> {
        self.places.iter_mut().take_while(|at| **at != NONE)
    }

    /// Takes a cell, if one is left; gives back whether one was.
    #[inline]
    pub(super) fn push(&mut self, cell: Cell) -> bool {
        let free = self.places.iter().position(|&at| at == NONE);
        if let Some(number) = free {
            (self.tags[number], self.places[number]) = (cell.tag, cell.at);
        }
        free.is_some()
    }

    /// The record of the cell with a number has moved.
    #[inline]
    pub(super) fn set_at(&mut self, number: usize, at: u32) {
        self.places[number % CELLS] = at;
    }

    /// The [bits](BITS) of all cells that have a tag, taken or not.
    #[inline]
    fn same(&self, tag: u32) -> u32 {
        let same = |(&own, &bit)| if own == tag { bit } else { 0 };
        let bits = self.tags.iter().zip(&BITS).map(same);
        bits.fold(0, |all, bit| all | bit)
    }
}

/// The number of the first cell of some bits.
#[inline]
fn first_of(bits: u32) -> usize {
    bits.trailing_zeros() as usize % CELLS
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_has_the_first_eight_cells_that_were_pushed(tags in vec(0..4u32, 0..12)) {
            let mut bucket = Bucket::EMPTY;
            for (at, &tag) in (0..).zip(&tags) {
                prop_assert_eq!(bucket.is_full(), at >= 8);
                prop_assert_eq!(bucket.push(Cell { tag, at }), at < 8);
            }
            let taken: Vec<Cell> = (0..8).zip(&tags).map(|(at, &tag)| Cell { tag, at }).collect();
            prop_assert_eq!(bucket.cells().collect::<Vec<_>>(), taken.clone());
            for tag in 0..5 {
                let of_tag: Vec<usize> = bucket.of_tag(tag).collect();
                let expected = taken.iter().filter(|cell| cell.tag == tag);
                let expected: Vec<usize> = expected.map(|cell| cell.at as usize).collect();
                prop_assert_eq!(&of_tag, &expected);
                let first = bucket.first(tag).filter(|&at| at != NONE);
                prop_assert_eq!(first, expected.first().map(|&cell| cell as u32));
            }
            bucket.places_mut().for_each(|at| *at += 100);
            prop_assert!(bucket.cells().zip(&taken).all(|(cell, old)| cell.at == old.at + 100));
        }
    }

    #[test]
    fn a_bucket_is_a_line_of_the_cache() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }
}
