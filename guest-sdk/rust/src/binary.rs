//! Rows in the binary form of state.

use crate::codec::StateCodec;
use crate::error::{Context, Result};
use crate::row::{Decode, Encode, EncodeAs};

/// A row in the form that a `T` has in state: numbers little-endian, tuples, arrays and records
/// part by part ([`StateCodec`]). The type of an input or output of components that know each
/// other: such rows are smaller than text, and nothing is parsed. An input by key selects it with
/// `key: { bytes: { offset: 0, length: 8 } }` in the job file.
///
/// ```
/// use weir_guest::{Binary, Ctx, Process, Result, Row};
///
/// #[derive(Default)]
/// struct Euros;
///
/// impl Process for Euros {
///     /// Auction and price.
///     type In = Binary<(u64, u64)>;
///     type Out = Binary<(u64, u64)>;
///
///     fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
///         let (auction, price) = row.value;
///         ctx.emit((auction, price * 908 / 1000))
///     }
/// }
///
/// weir_guest::operator!(Euros);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binary<T>(pub T);

impl<T: StateCodec> Decode for Binary<T> {
    const CHEAP: bool = T::WIDTH.is_some();

    type View<'a> = T;

    #[inline]
    fn decode(bytes: &[u8]) -> Result<T> {
        T::decode(bytes).context("the row")
    }
}

impl<T: StateCodec> Encode for Binary<T> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        self.0.encode(out)
    }
}

impl<T: StateCodec> EncodeAs<Binary<T>> for T {
    const ROW_WIDTH: Option<usize> = T::WIDTH;

    #[inline]
    fn fill_row(&self, out: &mut [u8]) -> bool {
        self.fill(out)
    }

    #[inline]
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        self.encode(out)
    }
}

impl<T: StateCodec> EncodeAs<Binary<T>> for &T {
    const ROW_WIDTH: Option<usize> = T::WIDTH;

    #[inline]
    fn fill_row(&self, out: &mut [u8]) -> bool {
        self.fill(out)
    }

    #[inline]
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        (*self).encode(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let mut out = Vec::new();
        let row = (7_u64, -1_i64, "abc".to_owned());
        EncodeAs::<Binary<_>>::encode_as(&row, &mut out).unwrap();
        let numbers = [&7_u64.to_le_bytes()[..], &(-1_i64).to_le_bytes()].concat();
        assert_eq!(out, [&numbers, &b"\x03abc"[..]].concat());
        assert_eq!(Binary::<(u64, i64, String)>::decode(&out).unwrap(), row);
        for length in 0..out.len() {
            assert!(Binary::<(u64, i64, String)>::decode(&out[..length]).is_err());
        }
        assert!(Binary::<(u64, i64)>::decode(&out).is_err());
    }

    #[test]
    fn an_array_is_written_as_a_tuple() {
        let (mut array, mut tuple) = (Vec::new(), Vec::new());
        EncodeAs::<Binary<_>>::encode_as(&[1_u64, 2, 3], &mut array).unwrap();
        EncodeAs::<Binary<_>>::encode_as(&(1_u64, 2_u64, 3_u64), &mut tuple).unwrap();
        assert_eq!(array, tuple);
        assert_eq!(<[u64; 3]>::format(), <(u64, u64, u64)>::format());
        assert_eq!(<[u64; 3]>::WIDTH, Some(24));
        assert_eq!(Binary::<[u64; 3]>::decode(&array).unwrap(), [1, 2, 3]);
        assert!(Binary::<[u64; 2]>::decode(&array).is_err());
        assert!(Binary::<[u64; 4]>::decode(&array).is_err());
    }
}
