//! Rows of whole numbers: `12,7,300`.

use weir_guest::{Decode, Error, Result};

/// The type of an input whose rows are `N` whole numbers from 0, between commas; seen as an array.
///
/// ```
/// use nexmark::Numbers;
/// use weir_guest::Decode;
///
/// let [auction, price] = Numbers::decode(b"1042,700").unwrap();
/// assert_eq!((auction, price), (1042, 700));
/// assert!(Numbers::<2>::decode(b"1042").is_err());
/// ```
pub struct Numbers<const N: usize>;

impl<const N: usize> Decode for Numbers<N> {
    type View<'a> = [u64; N];

    #[inline]
    fn decode(bytes: &[u8]) -> Result<[u64; N]> {
        let mut rest = bytes;
        let mut numbers = [0; N];
        for (at, number) in numbers.iter_mut().enumerate() {
            let is_last = at + 1 == N;
            *number = take(&mut rest, is_last).ok_or_else(|| no_numbers::<N>(bytes))?;
        }
        match rest {
            [] => Ok(numbers),
            _ => Err(no_numbers::<N>(bytes)),
        }
    }
}

/// Takes a number off the front, and the comma behind it unless it is the last one.
#[inline]
pub(crate) fn take(rest: &mut &[u8], is_last: bool) -> Option<u64> {
    let mut number = 0_u64;
    let mut digits = 0;
    let after = loop {
        match rest.get(digits) {
            Some(digit @ b'0'..=b'9') => {
                // No row of a market has a number so long that it could pass 64 bits.
                number = number
                    .checked_mul(10)?
                    .checked_add(u64::from(digit - b'0'))?;
                digits += 1;
            }
            Some(b',') if !is_last => break digits + 1,
            None if is_last => break digits,
            _ => return None,
        }
    };
    *rest = rest.get(after..)?;
    (digits > 0).then_some(number)
}

#[cold]
fn no_numbers<const N: usize>(row: &[u8]) -> Error {
    Error::new(format_args!(
        "`{}` are not {N} whole numbers",
        row.escape_ascii()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_just_so_many_numbers() {
        assert_eq!(Numbers::decode(b"0").unwrap(), [0]);
        assert_eq!(
            Numbers::decode(b"1,18446744073709551615").unwrap(),
            [1, u64::MAX]
        );
        for row in [
            "",
            "1",
            "1,",
            "1,2,",
            "1,2,3",
            ",2",
            "1,x",
            "-1,2",
            "1,18446744073709551616",
        ] {
            let error = Numbers::<2>::decode(row.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("not 2 whole numbers"), "{error}");
        }
    }
}
