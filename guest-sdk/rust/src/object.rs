//! JSON objects, written straight into the output: for lines of JSON without a serializer.
//!
//! INVARIANT: whatever the values are, the line is valid JSON: text is escaped, and a number that
//! JSON does not have is `null`.

use std::borrow::Cow;
use std::fmt::Write;

use crate::append::{Text, append, append_decimal, append_decimal_signed};
use crate::error::Result;
use crate::row::EncodeAs;

/// A JSON object that can be emitted where the output is text; made by [`object!`](crate::object).
pub struct Object<F>(F);

/// The fields of an object: each with its value borrowed, and the fields behind it.
#[doc(hidden)]
pub trait Fields {
    fn write(&self, out: &mut Vec<u8>);
}

impl Fields for () {
    #[inline]
    fn write(&self, _out: &mut Vec<u8>) {}
}

impl<V: JsonValue + ?Sized, R: Fields> Fields for (&str, &V, R) {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        let (name, value, rest) = self;
        append(out, name.as_bytes());
        value.write_json(out);
        rest.write(out);
    }
}

impl<F: Fields> Object<F> {
    #[doc(hidden)]
    pub fn new(fields: F) -> Self {
        Self(fields)
    }
}

impl<F: Fields> EncodeAs<String> for Object<F> {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        self.write_json(out);
        Ok(())
    }
}

impl<F: Fields> JsonValue for Object<F> {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.0.write(out);
        out.push(b'}');
    }
}

/// A JSON object, its fields in this order, without spaces. The values are borrowed.
///
/// ```
/// # use weir_guest::{Ctx, Result};
/// # fn f(ctx: &mut Ctx<String>, user: &str, count: u64, best: Option<i64>) -> Result<()> {
/// ctx.emit(weir_guest::object! { "user": user, "count": count, "best": best })
/// # }
/// ```
///
/// writes `{"user":"ann","count":3,"best":null}`. A value is a number, a `bool`, text, an `Option`,
/// a slice or `Vec` of values, another object, or what implements [`JsonValue`].
#[macro_export]
macro_rules! object {
    (@fields $comma:literal) => { () };
    (@fields $comma:literal $name:literal : $value:expr $(, $others:literal : $values:expr)*) => {
        (
            const {
                ::core::assert!($crate::object::is_plain($name));
                ::core::concat!($comma, "\"", $name, "\":")
            },
            &$value,
            $crate::object!(@fields "," $($others : $values),*),
        )
    };
    ($($name:literal : $value:expr),+ $(,)?) => {
        $crate::Object::new($crate::object!(@fields "" $($name : $value),+))
    };
}

/// A value of a field of [`object!`](crate::object).
pub trait JsonValue {
    /// Appends the value.
    fn write_json(&self, out: &mut Vec<u8>);
}

/// Whether a field's name can be written without escapes.
#[doc(hidden)]
pub const fn is_plain(name: &str) -> bool {
    let mut rest = name.as_bytes();
    while let [byte, others @ ..] = rest {
        if needs_escape(*byte) {
            return false;
        }
        rest = others;
    }
    true
}

const fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(plain) = rest.iter().position(|byte| needs_escape(*byte)) {
        let (before, after) = rest.split_at(plain);
        append(out, before);
        if let [special, others @ ..] = after {
            write_escape(*special, out);
            rest = others;
        }
    }
    append(out, rest);
    out.push(b'"');
}

#[cold]
fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

impl JsonValue for usize {
    fn write_json(&self, out: &mut Vec<u8>) {
        append_decimal(out, *self as u64);
    }
}

impl<T: JsonValue + ?Sized> JsonValue for &T {
    fn write_json(&self, out: &mut Vec<u8>) {
        (*self).write_json(out);
    }
}

impl<T: JsonValue> JsonValue for Option<T> {
    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write_json(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl<T: JsonValue> JsonValue for [T] {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            value.write_json(out);
        }
        out.push(b']');
    }
}

impl<T: JsonValue, const N: usize> JsonValue for [T; N] {
    fn write_json(&self, out: &mut Vec<u8>) {
        self.as_slice().write_json(out);
    }
}

impl<T: JsonValue> JsonValue for Vec<T> {
    fn write_json(&self, out: &mut Vec<u8>) {
        self.as_slice().write_json(out);
    }
}

impl JsonValue for str {
    fn write_json(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }
}

impl JsonValue for String {
    fn write_json(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }
}

impl JsonValue for Cow<'_, str> {
    fn write_json(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }
}

impl JsonValue for bool {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl JsonValue for f64 {
    fn write_json(&self, out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        if !self.is_finite() || write!(Text(out), "{self}").is_err() {
            out.extend_from_slice(b"null");
        }
    }
}

macro_rules! integers {
    ($($type:ty => $append:ident as $wide:ty),+ $(,)?) => {$(
        impl JsonValue for $type {
            fn write_json(&self, out: &mut Vec<u8>) {
                $append(out, <$wide>::from(*self));
            }
        }
    )+};
}

integers! {
    u8 => append_decimal as u64, u16 => append_decimal as u64, u32 => append_decimal as u64,
    u64 => append_decimal as u64,
    i8 => append_decimal_signed as i64, i16 => append_decimal_signed as i64,
    i32 => append_decimal_signed as i64, i64 => append_decimal_signed as i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(object: impl EncodeAs<String>) -> String {
        let mut out = Vec::new();
        object.encode_as(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_keep_their_order_and_kind() {
        let worst: Option<i64> = None;
        let object = crate::object! {
            "carrier": "UA", "flights": 3_u32, "worst": worst, "best": Some(-7), "late": true,
            "mean": 0.5, "bad": f64::NAN,
        };
        let expected = r#"{"carrier":"UA","flights":3,"worst":null,"best":-7,"late":true,"mean":0.5,"bad":null}"#;
        assert_eq!(line(object), expected);
    }

    #[test]
    fn values_nest() {
        let top = vec![9_u64, 7];
        let written = line(crate::object! {
            "user": crate::object! { "name": "ann", "age": 7_usize },
            "top": top, "pair": [Some("a"), None], "none": Vec::<bool>::new(), "rest": top[1..],
        });
        let expected =
            r#"{"user":{"name":"ann","age":7},"top":[9,7],"pair":["a",null],"none":[],"rest":[7]}"#;
        assert_eq!(written, expected);
    }

    #[test]
    fn a_value_may_be_an_expression_that_fails() {
        fn written(price: &str) -> Result<String> {
            let mut out = Vec::new();
            crate::object! { "name": format!("{price}!"), "price": price.parse::<i64>()? }
                .encode_as(&mut out)?;
            Ok(String::from_utf8(out)?)
        }
        assert_eq!(written("7").unwrap(), r#"{"name":"7!","price":7}"#);
        assert!(written("seven").is_err());
    }

    #[test]
    fn text_is_escaped() {
        let text = Cow::Borrowed("say \"né\\\n\r\t\u{1}\u{1f}\u{7f}\"");
        let expected = "{\"t\":\"say \\\"né\\\\\\n\\r\\t\\u0001\\u001f\u{7f}\\\"\"}";
        assert_eq!(line(crate::object! { "t": text }), expected);
        assert!(is_plain("arr_delay"));
        assert!(!is_plain("a\"b"));
    }
}
