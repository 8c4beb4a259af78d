//! A row as an author sees it, and how its bytes become that.
//!
//! Rows are bytes: what the source or the operator before wrote. `Decode` gives them a typed view
//! without copying; `Encode` writes the rows of an output. Numbers are written in decimal, as in a
//! line of text; for the binary forms of state see [`StateCodec`](crate::StateCodec).

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::ops::Deref;

use crate::append::{Text, append, append_row};
use crate::error::{Context, Result};
use crate::inputs::Inputs;

/// The type of an input: what the bytes of a row mean.
///
/// `String` is text, seen as `&str`; `Vec<u8>` is bytes, seen as `&[u8]`; numbers are decimal text;
/// [`Csv`](crate::Csv) is a csv record; `Json<T>`, with the feature `json`, a JSON document. Own
/// types implement it in a few lines:
///
/// ```
/// use weir_guest::{Context, Decode, Result};
///
/// struct Reading { sensor: u64, celsius: f64 }
///
/// impl Decode for Reading {
///     type View<'a> = Reading;
///     fn decode(bytes: &[u8]) -> Result<Reading> {
///         let text = std::str::from_utf8(bytes)?;
///         let (sensor, celsius) = text.split_once(' ').context("no space")?;
///         Ok(Reading { sensor: sensor.parse()?, celsius: celsius.parse()? })
///     }
/// }
/// # assert_eq!(Reading::decode(b"7 21.5").unwrap().sensor, 7);
/// ```
pub trait Decode: 'static {
    /// Whether reading a row twice costs less than keeping what was read.
    #[doc(hidden)]
    const CHEAP: bool = false;

    /// What the author works with; it may borrow from the row.
    type View<'a>;

    /// Reads a row.
    ///
    /// # Errors
    /// If the row does not have this type: it is then a bad row, and `on-error` decides.
    fn decode(bytes: &[u8]) -> Result<Self::View<'_>>;
}

/// The type of an output: how its rows are written.
pub trait Encode: 'static {
    /// Appends the row.
    ///
    /// # Errors
    /// If the value has no written form.
    fn encode(&self, out: &mut Vec<u8>) -> Result<()>;
}

/// What can be emitted where the output has type `T`: a `T`, a `&T`, and what is written alike; for
/// `String` that is `&str`, `Cow<str>`, `format_args!(…)` and a tuple of [parts](crate::TextPart),
/// for `Vec<u8>` it is `&[u8]` and `[u8; WIDTH]`.
pub trait EncodeAs<T> {
    /// Appends the row.
    ///
    /// # Errors
    /// If the value has no written form.
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()>;

    /// The number of bytes of each row, if it is always the same; then
    /// [`fill_row`](Self::fill_row) is tried first.
    #[doc(hidden)]
    const ROW_WIDTH: Option<usize> = None;

    /// Fills `out`, which has `ROW_WIDTH` bytes, with the row; whether it did.
    #[doc(hidden)]
    #[inline]
    fn fill_row(&self, out: &mut [u8]) -> bool {
        let _ = out;
        false
    }

    /// The row, if the value is bytes already, which may be those of a row in hand.
    #[doc(hidden)]
    #[inline]
    fn written(&self) -> Option<&[u8]> {
        None
    }
}

/// A row of the batch in hand. It can be used like the view of its type.
pub struct Row<'a, T: Inputs> {
    /// What the row says.
    pub value: T::View<'a>,
    /// The event time, in milliseconds since the Unix epoch, if the stream has one.
    pub timestamp: Option<i64>,
    /// The input that the row came in by, from 0.
    pub input: u32,
}

impl<'a, T: Inputs> Row<'a, T> {
    /// The row as one of another type.
    pub(crate) fn map<U: Inputs>(self, map: impl FnOnce(T::View<'a>) -> U::View<'a>) -> Row<'a, U> {
        Row {
            value: map(self.value),
            timestamp: self.timestamp,
            input: self.input,
        }
    }
}

impl<'a, T: Inputs> Deref for Row<'a, T> {
    type Target = T::View<'a>;

    fn deref(&self) -> &Self::Target {
        &self.value
    }
}

impl Decode for String {
    type View<'a> = &'a str;

    fn decode(bytes: &[u8]) -> Result<&str> {
        std::str::from_utf8(bytes).context("the row is not text")
    }
}

impl Decode for Vec<u8> {
    const CHEAP: bool = true;

    type View<'a> = &'a [u8];

    fn decode(bytes: &[u8]) -> Result<&[u8]> {
        Ok(bytes)
    }
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        append(out, self.as_bytes());
        Ok(())
    }
}

impl Encode for Vec<u8> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        append_row(out, self);
        Ok(())
    }
}

macro_rules! decimal {
    ($($type:ty),+) => {$(
        impl Decode for $type {
            type View<'a> = $type;

            fn decode(bytes: &[u8]) -> Result<$type> {
                let text = String::decode(bytes)?.trim();
                text.parse().context(format_args!("`{text}`"))
            }
        }

        impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
                Ok(write!(Text(out), "{self}")?)
            }
        }
    )+};
}

decimal!(i64, u64, f64);

impl<T: Encode> EncodeAs<T> for T {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        self.encode(out)
    }
}

impl<T: Encode> EncodeAs<T> for &T {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        (*self).encode(out)
    }
}

impl EncodeAs<String> for &str {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        append(out, self.as_bytes());
        Ok(())
    }

    #[inline]
    fn written(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

impl EncodeAs<String> for Cow<'_, str> {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        append(out, self.as_bytes());
        Ok(())
    }

    #[inline]
    fn written(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

impl EncodeAs<String> for fmt::Arguments<'_> {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        Ok(fmt::write(&mut Text(out), *self)?)
    }
}

impl<const WIDTH: usize> EncodeAs<Vec<u8>> for [u8; WIDTH] {
    const ROW_WIDTH: Option<usize> = Some(WIDTH);

    #[inline]
    fn fill_row(&self, out: &mut [u8]) -> bool {
        match out.as_mut_array() {
            Some(row) => {
                *row = *self;
                true
            }
            None => false,
        }
    }

    #[inline]
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self);
        Ok(())
    }
}

impl EncodeAs<Vec<u8>> for &[u8] {
    #[inline]
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        append_row(out, self);
        Ok(())
    }

    #[inline]
    fn written(&self) -> Option<&[u8]> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<T>(value: impl EncodeAs<T>) -> String {
        let mut out = Vec::new();
        value.encode_as(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_emitted_from_any_form_of_it() {
        assert_eq!(written::<String>("a"), "a");
        assert_eq!(written::<String>("a".to_owned()), "a");
        assert_eq!(written::<String>(Cow::Borrowed("a")), "a");
        assert_eq!(written::<String>(format_args!("{}={}", "a", 1)), "a=1");
        assert_eq!(written::<Vec<u8>>(&b"a"[..]), "a");
    }

    #[test]
    fn numbers_are_decimal_text() {
        assert_eq!(i64::decode(b" -7\r").unwrap(), -7);
        assert_eq!(written::<f64>(1.5), "1.5");
        assert_eq!(written::<u64>(&7), "7");
        let error = i64::decode(b"x").unwrap_err();
        assert_eq!(error.to_string(), "`x`: invalid digit found in string");
    }

    #[test]
    fn bytes_that_are_not_text_are_a_bad_row() {
        let error = String::decode(&[0xff]).unwrap_err();
        assert!(error.to_string().starts_with("the row is not text: "));
        assert!(!error.is_fatal());
    }
}
