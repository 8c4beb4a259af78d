//! Rows of a round for which the same is to be done.
//!
//! Keys that come and go do so in an order that nobody can foretell. Where rows are told apart
//! first, without a branch, what is done for each kind of them is a loop of its own.

/// Some of at most `N` rows, in order.
pub(super) struct SomeRows<const N: usize> {
    rows: [u32; N],
    count: usize,
}

impl<const N: usize> SomeRows<N> {
    /// None of them.
    pub(super) fn new() -> Self {
        Self {
            rows: [0; N],
            count: 0,
        }
    }

    /// Adds the next row if it `is_one`. To be called `N` times at most before they are forgotten.
    #[inline]
    pub(super) fn add(&mut self, row: usize, is_one: bool) {
        self.rows[self.count] = row as u32;
        self.count += usize::from(is_one);
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// How many were added.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Those that were added.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        self.rows[..self.count].iter().map(|&row| row as usize)
    }
}
