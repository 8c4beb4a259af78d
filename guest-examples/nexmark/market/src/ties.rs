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
/// assert_eq!(highest.rank(), 5);
/// assert!(highest.items().eq(&['b' as u32, 'd' as u32]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ties<T> {
    rank: u64,
    /// Most have one, which needs no memory of its own.
    first: Option<T>,
    more: Vec<T>,
}

impl<T> Default for Ties<T> {
    fn default() -> Self {
        Self {
            rank: 0,
            first: None,
            more: Vec::new(),
        }
    }
}

impl<T> Ties<T> {
    /// Adds an item.
    #[inline]
    pub fn add(&mut self, rank: u64, item: T) {
        if rank > self.rank || self.first.is_none() {
            self.rank = rank;
            self.first = Some(item);
            self.more.clear();
        } else if rank == self.rank {
            self.more.push(item);
        }
    }

    /// Adds what another one holds.
    pub fn merge(&mut self, other: Self) {
        if other.rank > self.rank || self.first.is_none() {
            *self = other;
        } else if other.rank == self.rank {
            self.more.extend(other.first);
            self.more.extend(other.more);
        }
    }

    /// The highest rank.
    #[must_use]
    pub fn rank(&self) -> u64 {
        self.rank
    }

    /// The items that have it, in the order in which they were added.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.more)
    }
}

/// The rank, and the items one after the other: they are of one width.
impl<T: StateCodec> StateCodec for Ties<T> {
    fn format() -> String {
        format!("ties({})", T::format())
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        self.rank.encode(out)?;
        self.items().try_for_each(|item| item.encode(out))
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self> {
        let width = T::WIDTH.ok_or_else(|| Error::new("items have one width"))?;
        let (rank, items) = bytes
            .split_at_checked(8)
            .ok_or_else(|| Error::new("there is no rank"))?;
        let (first, more) = items.split_at(width.min(items.len()));
        let first = match first {
            [] => None,
            first => Some(T::decode(first)?),
        };
        Ok(Self {
            rank: u64::decode(rank)?,
            first,
            more: more.chunks(width).map(T::decode).collect::<Result<_>>()?,
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
        assert!(of(&rows).items().eq(&[11, 12, 14]));
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
        assert_eq!(Ties::<u64>::decode(&bytes[..8]).unwrap().items().count(), 0);
        assert!(Ties::<u64>::decode(&bytes[..12]).is_err());
        assert!(Ties::<u64>::decode(&bytes[..3]).is_err());
    }
}
