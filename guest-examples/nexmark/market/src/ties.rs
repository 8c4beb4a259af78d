//! The highest of many, as what windows fold their rows into.

use weir_guest::{Error, Result, StateCodec};

/// The items of the highest rank, all that tie.
///
/// ```
/// use nexmark::Ties;
///
/// let mut highest = Ties::default();
/// for (rank, item) in [(3, 'a'), (5, 'b'), (4, 'c'), (5, 'd')] {
///     highest.add(rank, item as u32);
/// }
/// assert_eq!((highest.rank(), highest.items()), (5, &['b' as u32, 'd' as u32][..]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ties<T> {
    rank: u64,
    items: Vec<T>,
}

impl<T> Default for Ties<T> {
    fn default() -> Self {
        Self {
            rank: 0,
            items: Vec::new(),
        }
    }
}

impl<T> Ties<T> {
    /// Adds an item.
    #[inline]
    pub fn add(&mut self, rank: u64, item: T) {
        if rank > self.rank {
            self.items.clear();
            self.rank = rank;
        }
        if rank == self.rank {
            self.items.push(item);
        }
    }

    /// Adds what another one holds.
    pub fn merge(&mut self, other: Self) {
        if other.rank > self.rank {
            *self = other;
        } else if other.rank == self.rank {
            self.items.extend(other.items);
        }
    }

    /// The highest rank.
    #[must_use]
    pub fn rank(&self) -> u64 {
        self.rank
    }

    /// The items that have it, in the order in which they were added.
    #[must_use]
    pub fn items(&self) -> &[T] {
        &self.items
    }
}

/// The rank, and the items one after the other: they are of one width.
impl<T: StateCodec> StateCodec for Ties<T> {
    fn format() -> String {
        format!("ties({})", T::format())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        self.rank.encode(out)?;
        self.items.iter().try_for_each(|item| item.encode(out))
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let width = T::WIDTH.ok_or_else(|| Error::new("items have one width"))?;
        let (rank, items) = bytes
            .split_at_checked(8)
            .ok_or_else(|| Error::new("there is no rank"))?;
        Ok(Self {
            rank: u64::decode(rank)?,
            items: items.chunks(width).map(T::decode).collect::<Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_merged_are_as_one() {
        let rows = [(1, 10), (7, 11), (7, 12), (3, 13), (7, 14), (2, 15)];
        let of = |rows: &[(u64, u64)]| {
            let mut ties = Ties::default();
            rows.iter().for_each(|(rank, item)| ties.add(*rank, *item));
            ties
        };
        for middle in 0..rows.len() {
            let mut merged = of(&rows[..middle]);
            merged.merge(of(&rows[middle..]));
            assert_eq!(merged, of(&rows), "{middle}");
        }
        assert_eq!(of(&rows).items(), [11, 12, 14]);
    }

    #[test]
    fn what_was_written_is_read() {
        let mut ties = Ties::default();
        ties.add(9, (1_u64, 2_u64));
        ties.add(9, (3, 4));
        let mut bytes = Vec::new();
        ties.encode(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 8 + 2 * 16);
        assert_eq!(Ties::decode(&bytes).unwrap(), ties);
        assert!(Ties::<u64>::decode(&bytes[..12]).is_err());
        assert!(Ties::<u64>::decode(&bytes[..3]).is_err());
    }
}
