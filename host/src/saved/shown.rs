//! Bytes of state as JSON and back. How they are shown depends on their declared format; what does
//! not fit it is shown as bytes.
//!
//! INVARIANT: what is shown is read back as the same bytes, whatever they are and whatever format
//! they are said to have.

use serde_json::{Map, Value, json};
use weir_formats::{JSON_OTHER, JSON_STRING};

/// The only key of an object that stands for bytes.
const HEX: &str = "$hex";

/// What bytes are, as far as can be told from the name of their format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Text,
    Json,
    /// A little-endian integer of so many bytes, signed or not.
    Integer {
        width: usize,
        signed: bool,
    },
    /// The map key of a row in a join: its time and its number.
    Timed,
    Bytes,
}

impl Look {
    /// By the name of a format.
    pub(crate) fn of(format: &str) -> Self {
        let integer = |width: usize, signed: bool| Self::Integer { width, signed };
        match format {
            "utf8" => Self::Text,
            "json" => Self::Json,
            "i8-le" | "i8" => integer(1, true),
            "i16-le" => integer(2, true),
            "i32-le" => integer(4, true),
            "i64-le" => integer(8, true),
            "u8-le" | "u8" => integer(1, false),
            "u16-le" => integer(2, false),
            "u32-le" => integer(4, false),
            "u64-le" => integer(8, false),
            "weir.join.time" => Self::Timed,
            _ => Self::Bytes,
        }
    }

    /// Of the map keys and values of a map whose format is `keys->values`.
    pub(crate) fn of_map(format: &str) -> (Self, Self) {
        match format.split_once("->") {
            Some((keys, values)) => (Self::of(keys), Self::of(values)),
            None => (Self::Bytes, Self::of(format)),
        }
    }

    /// The bytes as JSON.
    pub(crate) fn show(self, bytes: &[u8]) -> Value {
        let shown = match self {
            Self::Text => std::str::from_utf8(bytes).ok().map(Value::from),
            Self::Json => serde_json::from_slice(bytes).ok(),
            Self::Integer { width, signed } => integer(bytes, width, signed),
            Self::Timed => timed(bytes),
            Self::Bytes => None,
        };
        // Only what is read back as the same bytes.
        let same = |value: &Value| self.read(value).is_ok_and(|read| read == bytes);
        shown.filter(same).unwrap_or_else(|| hex(bytes))
    }

    /// The bytes that are shown so.
    ///
    /// # Errors
    /// What is wrong with the JSON.
    pub(crate) fn read(self, value: &Value) -> Result<Vec<u8>, String> {
        if let Some(bytes) = unhex(value)? {
            return Ok(bytes);
        }
        match (self, value) {
            (Self::Text, Value::String(text)) => Ok(text.clone().into_bytes()),
            (Self::Json, value) => Ok(value.to_string().into_bytes()),
            (Self::Integer { width, signed }, Value::Number(number)) => {
                let number = match signed {
                    true => number.as_i64().map(i128::from),
                    false => number.as_u64().map(i128::from),
                };
                let number = number.ok_or("a whole number was expected")?;
                let bytes = number.to_le_bytes()[..width].to_vec();
                let again = integer(&bytes, width, signed);
                match again.as_ref() == Some(value) {
                    true => Ok(bytes),
                    false => Err(format!("{number} does not fit {width} bytes")),
                }
            }
            (Self::Timed, Value::Array(pair)) => {
                let pair = match &pair[..] {
                    [time, number] => time.as_i64().zip(number.as_u64()),
                    _ => None,
                };
                let (time, number) = pair.ok_or("a time and a number were expected")?;
                let time = time.cast_unsigned() ^ (1 << 63);
                Ok([time.to_be_bytes(), number.to_be_bytes()].concat())
            }
            (Self::Text | Self::Integer { .. } | Self::Timed | Self::Bytes, other) => Err(format!(
                "{other} is not what this format is shown as; any bytes are {{\"{HEX}\": \"…\"}}"
            )),
        }
    }
}

fn integer(bytes: &[u8], width: usize, signed: bool) -> Option<Value> {
    if bytes.len() != width {
        return None;
    }
    let mut whole = [0; 8];
    if signed && bytes.last().is_some_and(|last| last & 0x80 != 0) {
        whole = [0xff; 8];
    }
    whole[..width].copy_from_slice(bytes);
    Some(match signed {
        true => json!(i64::from_le_bytes(whole)),
        false => json!(u64::from_le_bytes(whole)),
    })
}

fn timed(bytes: &[u8]) -> Option<Value> {
    let (time, number) = bytes.split_first_chunk::<8>()?;
    let time = (u64::from_be_bytes(*time) ^ (1 << 63)).cast_signed();
    let number = u64::from_be_bytes(number.try_into().ok()?);
    Some(json!([time, number]))
}

/// Bytes that nothing is known of.
pub(crate) fn hex(bytes: &[u8]) -> Value {
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ HEX: text })
}

/// The bytes that hexadecimal digits say.
///
/// # Errors
/// Where they are none.
pub(crate) fn bytes_of(digits: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("`{digits}` is not a row of pairs of hexadecimal digits");
    let bytes = digits.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        text.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes: Option<Vec<u8>> = bytes.chunks(2).map(pair).collect();
    bytes.ok_or_else(wrong)
}

fn unhex(value: &Value) -> Result<Option<Vec<u8>>, String> {
    let digits = match value {
        Value::Object(object) if object.len() == 1 => object.get(HEX),
        _ => None,
    };
    match digits {
        Some(Value::String(digits)) => bytes_of(digits).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// How a key was made (D2): parts, each after its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyLook {
    /// Fields of csv rows, or whole rows: text.
    Text,
    /// Places of JSON rows: a type byte first.
    Json,
}

impl KeyLook {
    /// By what is written down of the keys of an operator.
    pub(crate) fn of(keys: &[Option<String>]) -> Self {
        let is_json = |key: &String| key.starts_with("json");
        match keys.iter().flatten().any(is_json) {
            true => Self::Json,
            false => Self::Text,
        }
    }

    /// A key as a list of its parts.
    pub(crate) fn show(self, key: &[u8]) -> Value {
        let shown = parts(key).map(|parts| {
            let part = |part: &&[u8]| self.show_part(part);
            Value::Array(parts.iter().map(part).collect())
        });
        let same = |value: &Value| self.read(value).is_ok_and(|read| read == key);
        shown.filter(same).unwrap_or_else(|| hex(key))
    }

    fn show_part(self, part: &[u8]) -> Value {
        match (self, part.split_first()) {
            (Self::Text, _) => Look::Text.show(part),
            (Self::Json, Some((&JSON_STRING, text))) => match std::str::from_utf8(text) {
                Ok(text) => json!(text),
                Err(_) => hex(part),
            },
            (Self::Json, Some((&JSON_OTHER, text))) => match serde_json::from_slice(text) {
                Ok(Value::String(_)) | Err(_) => hex(part),
                Ok(value) => value,
            },
            (Self::Json, Some(_) | None) => hex(part),
        }
    }

    /// The key that is shown so.
    ///
    /// # Errors
    /// What is wrong with the JSON.
    pub(crate) fn read(self, value: &Value) -> Result<Vec<u8>, String> {
        if let Some(bytes) = unhex(value)? {
            return Ok(bytes);
        }
        let Value::Array(parts) = value else {
            return Err(format!("{value} is no key: a key is a list of its parts"));
        };
        let mut key = Vec::new();
        for part in parts {
            let part = self.read_part(part)?;
            put_uvarint(&mut key, part.len());
            key.extend_from_slice(&part);
        }
        Ok(key)
    }

    fn read_part(self, part: &Value) -> Result<Vec<u8>, String> {
        if let Some(bytes) = unhex(part)? {
            return Ok(bytes);
        }
        match (self, part) {
            (Self::Text, part) => Look::Text.read(part),
            (Self::Json, Value::String(text)) => Ok([&[JSON_STRING], text.as_bytes()].concat()),
            (Self::Json, other) => {
                let text = other.to_string();
                Ok([&[JSON_OTHER], text.as_bytes()].concat())
            }
        }
    }
}

/// The parts of a key; `None` where it is not made of parts.
fn parts(key: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = key;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let length = take_uvarint(&mut rest)?;
        let (part, after) = rest.split_at_checked(length)?;
        parts.push(part);
        rest = after;
    }
    Some(parts)
}

fn take_uvarint(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0usize;
    for shift in (0..usize::BITS).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn put_uvarint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// An object of some members.
pub(crate) fn object(members: Vec<(&str, Value)>) -> Value {
    let members = members.into_iter().map(|(k, v)| (k.to_owned(), v));
    Value::Object(members.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMATS: [&str; 9] = [
        "utf8",
        "json",
        "i64-le",
        "u64-le",
        "i8-le",
        "u16-le",
        "raw",
        "weir.join.time",
        "(utf8,i64-le)",
    ];

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(
            format in prop::sample::select(FORMATS.to_vec()),
            bytes in prop_oneof![
                any::<Vec<u8>>(),
                any::<String>().prop_map(String::into_bytes),
                any::<i64>().prop_map(|n| n.to_le_bytes().to_vec()),
                any::<[u8; 16]>().prop_map(|key| key.to_vec()),
                prop::sample::select(vec![
                    "1", "1.0", "[1,2]", "{\"$hex\":\"00\"}", "\"a\"", " 1", "{}", "1e3", "\"\\u0061\"",
                ]).prop_map(|text| text.as_bytes().to_vec()),
            ],
        ) {
            let look = Look::of(format);
            let text = look.show(&bytes).to_string();
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(look.read(&value).unwrap(), bytes.clone());
            for look in [KeyLook::Text, KeyLook::Json] {
                let text = look.show(&bytes).to_string();
                let value: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(look.read(&value).unwrap(), bytes.clone());
            }
        }
    }

    #[test]
    fn values_are_shown_by_their_format_and_keys_by_their_parts() {
        assert_eq!(Look::of("utf8").show(b"abc"), json!("abc"));
        assert_eq!(Look::of("json").show(b"{\"a\":1}"), json!({ "a": 1 }));
        assert_eq!(Look::of("i64-le").show(&(-7i64).to_le_bytes()), json!(-7));
        assert_eq!(Look::of("raw").show(&[0, 255]), json!({ "$hex": "00ff" }));
        assert_eq!(KeyLook::Text.show(b"\x02UA\x03JFK"), json!(["UA", "JFK"]));
        assert_eq!(KeyLook::Json.show(b"\x02sa\x02j1"), json!(["a", 1]));
        assert_eq!(KeyLook::Text.show(b"\x09x"), json!({ "$hex": "0978" }));
    }
}
