//! The numbers by which two engines are compared: those that rows are made of, and those that
//! results come to. Written the same in Java.

/// What is added before numbers are mixed, so that zero is no special one.
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes the bits of a number, one to one (the end of `SplitMix64`).
#[must_use]
pub const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a row of these fields adds to the sum of a result. The sum does not depend on the order in
/// which rows come.
#[must_use]
pub fn fold(fields: impl IntoIterator<Item = u64>) -> u64 {
    let step = |hash: u64, field: u64| mix(hash.wrapping_add(field).wrapping_add(STEP));
    fields.into_iter().fold(0, step)
}

/// A text as a field.
#[must_use]
pub fn text(field: &str) -> u64 {
    let last = field.bytes().last().map_or(0, u64::from);
    (field.len() as u64).wrapping_mul(31).wrapping_add(last)
}

/// What a row of numbers in decimal, separated by commas, adds to the sum; `None` where it is none.
#[must_use]
pub fn fold_numbers(row: &[u8]) -> Option<u64> {
    let row = std::str::from_utf8(row).ok()?;
    let number = |field: &str| match field.strip_prefix('-') {
        None => field.parse::<u64>().ok(),
        Some(_) => field.parse::<i64>().ok().map(i64::cast_unsigned),
    };
    let fields: Option<Vec<u64>> = row.split(',').map(number).collect();
    fields.map(fold)
}

/// What a result comes to: how many rows, and the sum over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many rows.
    pub rows: u64,
    /// The sum of what each adds.
    pub sum: u64,
}

impl Sum {
    /// One more row.
    pub fn add(&mut self, row: u64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_other_side() {
        assert_eq!(mix(0), 0);
        // The first number of SplitMix64 with seed 0.
        assert_eq!(mix(STEP), 0xe220_a839_7b1d_cdaf);
        assert_eq!(fold([]), 0);
        assert_eq!(fold([0]), mix(STEP));
        assert_eq!(
            fold([1, 2]),
            mix(mix(STEP + 1).wrapping_add(2).wrapping_add(STEP))
        );
        assert_eq!((text(""), text("ab")), (0, 62 + 98));
    }

    #[test]
    fn a_row_of_numbers_is_folded_field_by_field() {
        assert_eq!(fold_numbers(b"1,2"), Some(fold([1, 2])));
        assert_eq!(fold_numbers(b"7,-1"), Some(fold([7, u64::MAX])));
        assert_eq!(fold_numbers(b"1,"), None);
        assert_eq!(fold_numbers(b"1,x"), None);
        let mut sum = Sum::default();
        [u64::MAX, 3].into_iter().for_each(|row| sum.add(row));
        assert_eq!(sum, Sum { rows: 2, sum: 2 });
    }
}
