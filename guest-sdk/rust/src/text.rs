//! Rows of text out of parts, without the machinery of `format_args!`.

use crate::append::{append, append_decimal, append_decimal_signed};
use crate::error::Result;
use crate::key::Key;
use crate::row::EncodeAs;

/// What may stand in a tuple that is emitted where the output is a `String`: text, characters,
/// whole numbers, and the key of a row. It is written as `Display` would write it.
///
/// A tuple is written as its parts, one after the other. `format_args!` can be emitted as well, and
/// formats in any other way; it costs some 50 ns a row more, which is as much as the rest of a
/// small operator.
///
/// ```
/// use weir_guest::{Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value};
///
/// #[derive(Default)]
/// struct Visits { visits: Value<u64> }
///
/// impl KeyedProcess for Visits {
///     type In = String;
///     type Out = String;
///
///     fn describe(&mut self, d: &mut KeyedDescribe) {
///         d.value("visits", &mut self.visits).prefetch();
///     }
///
///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
///         let visits = self.visits.get()?.copied().unwrap_or(0) + 1;
///         self.visits.set(visits)?;
///         ctx.emit((ctx.key(), ": ", visits, ", now ", row.value))
///     }
/// }
/// # use weir_guest::testing::Harness;
/// # let mut visits = Harness::open::<Visits, _>("null").unwrap();
/// # assert_eq!(visits.keyed([("ann", "a")]).unwrap().main(), ["ann: 1, now a"]);
/// ```
pub trait TextPart {
    /// Appends the part. What is appended is UTF-8.
    fn append_to(&self, out: &mut Vec<u8>);
}

impl<P: TextPart + ?Sized> TextPart for &P {
    #[inline]
    fn append_to(&self, out: &mut Vec<u8>) {
        (**self).append_to(out);
    }
}

impl TextPart for str {
    #[inline]
    fn append_to(&self, out: &mut Vec<u8>) {
        append(out, self.as_bytes());
    }
}

impl TextPart for String {
    #[inline]
    fn append_to(&self, out: &mut Vec<u8>) {
        append(out, self.as_bytes());
    }
}

impl TextPart for char {
    #[inline]
    fn append_to(&self, out: &mut Vec<u8>) {
        append(out, self.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

impl TextPart for Key<'_> {
    #[inline]
    fn append_to(&self, out: &mut Vec<u8>) {
        self.append_text(out);
    }
}

macro_rules! decimal {
    ($append:ident as $wide:ty: $($type:ty),+) => {$(
        impl TextPart for $type {
            #[inline]
            fn append_to(&self, out: &mut Vec<u8>) {
                $append(out, *self as $wide);
            }
        }
    )+};
}

decimal!(append_decimal as u64: u8, u16, u32, u64, usize);
decimal!(append_decimal_signed as i64: i8, i16, i32, i64, isize);

macro_rules! tuple {
    ($($part:ident)+) => {
        impl<$($part: TextPart),+> EncodeAs<String> for ($($part,)+) {
            #[inline]
            fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
                #[expect(non_snake_case, reason = "each part is named as its type")]
                let ($($part,)+) = self;
                $($part.append_to(out);)+
                Ok(())
            }
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
tuple!(A B C D E F G);
tuple!(A B C D E F G H);
tuple!(A B C D E F G H I);
tuple!(A B C D E F G H I J);
tuple!(A B C D E F G H I J K);
tuple!(A B C D E F G H I J K L);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_written_as_display_writes_its_parts() {
        let encoded = Key::encode([&b"JFK"[..], b"\xff", "Zürich".as_bytes(), b""]);
        let key = Key::from_encoded(&encoded);
        let owned = "owned".to_owned();
        let parts = (key, "=", -7_i32, '→', &owned, 0_u8, i64::MIN, u64::MAX);
        let mut out = b"before ".to_vec();
        parts.encode_as(&mut out).unwrap();
        let (min, max) = (i64::MIN, u64::MAX);
        let expected = format!("before {key}=-7→{owned}0{min}{max}");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
