//! The numbers by which two engines are compared: those that rows are made of, and those that
//! results come to. Written the same in Java.

use multiversion::multiversion;
use weir_model::ColumnView;

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

/// What the bytes of a row add to the sum of a result, where rows are compared by these. Each of
/// them counts, and so does its place.
///
/// Longer rows are looked at in long steps, the last of which ends where the row does: rows that
/// are about as long take as many, which a processor foretells.
#[inline]
#[must_use]
pub fn of_bytes(row: &[u8]) -> u64 {
    match row.last_chunk() {
        Some(last) => of_long(row, last),
        None => of_short(row),
    }
}

/// What rows add to it together.
#[must_use]
pub fn of_rows(rows: ColumnView<'_>) -> u64 {
    match rows.width() {
        Some(16) => of_even::<16>(rows),
        Some(24) => of_even::<24>(rows),
        _ => of_uneven(rows),
    }
}

/// Rows of a length that is known, which takes less than to look at them row by row.
fn of_even<const LENGTH: usize>(rows: ColumnView<'_>) -> u64 {
    let (rows, _) = rows.contents().as_chunks::<LENGTH>();
    let hashes = rows.iter().map(|row| of_bytes(row));
    hashes.fold(0, u64::wrapping_add)
}

/// Rows of any length.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512bw+avx512vl+avx2", "x86_64+avx2"))]
fn of_uneven(rows: ColumnView<'_>) -> u64 {
    let mut sum = 0_u64;
    for row in rows.iter() {
        let hash = match row.last_chunk() {
            Some(last) => of_blocks(row, last),
            None => of_short(row),
        };
        sum = sum.wrapping_add(hash);
    }
    sum
}

/// A row of a block or more, the last of which this is.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512bw+avx512vl+avx2", "x86_64+avx2"))]
fn of_long(row: &[u8], last: &Block) -> u64 {
    of_blocks(row, last)
}

/// So many bytes are looked at together in longer rows.
type Block = [u8; 8 * LANES];

/// So many numbers of eight bytes are in a block.
const LANES: usize = 8;

/// What the numbers of the first block are changed by, each by another one.
const PLACES: [u64; LANES] = {
    let mut places = [0; LANES];
    let mut lane = 0;
    while lane < LANES {
        places[lane] = mix(STEP.wrapping_mul(lane as u64 + 1));
        lane += 1;
    }
    places
};

/// See [`of_long`]. The halves of each number are multiplied, which vector instructions can do, and
/// the number is added, so that each half counts whatever the other is.
#[inline(always)]
fn of_blocks(row: &[u8], last: &Block) -> u64 {
    const HALF: u64 = u32::MAX as u64;
    let (blocks, _) = row[..row.len().saturating_sub(1)].as_chunks();
    let (mut sums, mut places) = ([0_u64; LANES], PLACES);
    for block in blocks.iter().chain([last]) {
        let (numbers, _) = block.as_chunks::<8>();
        for lane in 0..LANES {
            let number = u64::from_le_bytes(numbers[lane]);
            let changed = number ^ places[lane];
            let product = (changed & HALF) * (changed >> 32);
            sums[lane] = sums[lane].wrapping_add(product).wrapping_add(number);
            places[lane] = places[lane].wrapping_add(STEP);
        }
    }
    let sum = sums.into_iter().fold(0, u64::wrapping_add);
    // It shall matter which blocks are in one row.
    product(sum ^ row.len() as u64, STEP)
}

/// A row of less than a block.
#[inline]
fn of_short(row: &[u8]) -> u64 {
    const PAIR: usize = 16;
    let length = row.len() as u64;
    let sum = match row.last_chunk::<PAIR>() {
        Some(last) => sum_of_pairs(row, last),
        None => {
            let mut last = [0; PAIR];
            last[..row.len()].copy_from_slice(row);
            sum_of_pairs(&[], &last)
        }
    };
    match row.len() {
        ..=PAIR => sum.wrapping_add(length),
        // As for blocks.
        _ => product(sum ^ length, STEP),
    }
}

/// The sum over each sixteen bytes of a row, of which these are the last: they may have bytes of
/// those before.
#[inline(always)]
fn sum_of_pairs(row: &[u8], last: &[u8; 16]) -> u64 {
    let (pairs, _) = row[..row.len().saturating_sub(1)].as_chunks();
    let (mut sum, mut place) = (0_u64, STEP);
    for pair in pairs.iter().chain([last]) {
        let pair = u128::from_le_bytes(*pair);
        let words = (pair as u64 ^ place, (pair >> 64) as u64 ^ !place);
        sum = sum.wrapping_add(product(words.0, words.1));
        place = place.wrapping_add(STEP);
    }
    sum
}

/// The product of two numbers, its halves folded together.
#[inline(always)]
pub(super) fn product(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The numbers of a row that is nothing but numbers of eight bytes, little-endian; `None` where it
/// is none.
#[must_use]
pub fn numbers(row: &[u8]) -> Option<impl Iterator<Item = u64>> {
    let (numbers, rest) = row.as_chunks::<8>();
    let numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
    rest.is_empty().then_some(numbers)
}

/// The numbers of a row that has so many; `None` where it is none.
#[must_use]
pub fn fields<const N: usize>(row: &[u8]) -> Option<[u64; N]> {
    let row: &[[u8; 8]; N] = row.as_chunks().0.try_into().ok()?;
    Some(row.map(u64::from_le_bytes))
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
    use weir_model::Column;

    #[test]
    fn each_byte_of_a_row_counts_and_so_does_its_place() {
        let row: Vec<u8> = (0..200_u8).map(|i| i.wrapping_mul(37)).collect();
        let mut seen = std::collections::HashSet::new();
        for length in 0..=row.len() {
            let row = &mut row.clone()[..length];
            assert!(seen.insert(of_bytes(row)), "{length}");
            for at in 0..length {
                row[at] ^= 1;
                assert!(seen.insert(of_bytes(row)), "{at} of {length}");
                row[at] ^= 1;
            }
            for at in 1..length {
                row.swap(at - 1, at);
                assert!(
                    seen.insert(of_bytes(row)),
                    "{at} of {length}, and the one before"
                );
                row.swap(at - 1, at);
            }
        }
    }

    #[test]
    fn it_counts_where_the_parts_of_a_row_are_and_in_which_row() {
        let row: Vec<u8> = (0..200_u8).map(|i| i.wrapping_mul(37)).collect();
        let mut seen = std::collections::HashSet::from([of_bytes(&row)]);
        for step in [4, 8, 16, 32, 64] {
            for at in (step..row.len() - step).step_by(step) {
                let mut other = row.clone();
                other[at - step..at + step].rotate_left(step);
                assert!(seen.insert(of_bytes(&other)), "{step} bytes at {at}");
            }
        }
        let rows = |parts: [[u8; 2]; 2]| parts.map(|[a, b]| of_bytes(&[[a; 64], [b; 64]].concat()));
        let sum = |parts| rows(parts).into_iter().fold(0, u64::wrapping_add);
        assert_ne!(sum([[1, 2], [3, 4]]), sum([[1, 4], [3, 2]]));
    }

    #[test]
    fn a_half_of_a_number_counts_where_the_other_makes_the_product_zero() {
        for (lane, place) in PLACES.into_iter().enumerate() {
            for shift in [0, 32] {
                let of = |half: u64| {
                    let mut block = [7; size_of::<Block>()];
                    let number = place ^ (half << shift);
                    block[lane * 8..][..8].copy_from_slice(&number.to_le_bytes());
                    of_bytes(&block)
                };
                assert_ne!(of(1), of(2), "{shift} of {lane}");
            }
        }
    }

    #[test]
    fn rows_together_add_what_each_of_them_adds() {
        let row: Vec<u8> = (0..200_u8).map(|i| i.wrapping_mul(37)).collect();
        let uneven: Vec<&[u8]> = (0..row.len()).map(|length| &row[length / 2..]).collect();
        let even = |length| -> Vec<&[u8]> { row.chunks_exact(length).collect() };
        for rows in [uneven, even(16), even(24), even(64), vec![]] {
            let each = rows.iter().map(|row| of_bytes(row));
            let sum = each.fold(0, u64::wrapping_add);
            assert_eq!(of_rows(Column::from_iter(rows).view()), sum);
        }
    }

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
    fn a_row_of_numbers_is_read_field_by_field() {
        let row = [7_u64, u64::MAX].map(u64::to_le_bytes).concat();
        assert!(numbers(&row).unwrap().eq([7, u64::MAX]));
        assert_eq!(fields(&row), Some([7, u64::MAX]));
        assert_eq!(fields::<1>(&row), None);
        assert_eq!(fields::<3>(&row), None);
        assert!(numbers(&row[1..]).is_none());
        let mut sum = Sum::default();
        [u64::MAX, 3].into_iter().for_each(|row| sum.add(row));
        assert_eq!(sum, Sum { rows: 2, sum: 2 });
    }
}
