//! The key of a row, as the host selected it.
//!
//! A key is a sequence of parts, each written as its length (unsigned LEB128) and its bytes (D2). A
//! part of a csv key is the unquoted field. A part of a JSON key is a type byte, `s` for a string
//! and `j` for anything else, and the text of the string or the JSON; so `"1"` and `1` are two
//! keys.

use std::borrow::Cow;
use std::fmt;

use crate::append::append_noting_ascii;
use crate::codec::StateCodec;
use crate::error::{Context, Error, Result};

/// The key of the row in hand: one part per selected column or JSON pointer, in the order of the
/// job file. It is shown as its parts, joined by commas.
///
/// ```
/// use weir_guest::Key;
///
/// let encoded = Key::encode(["JFK", "SFO"]);
/// let key = Key::from_encoded(&encoded);
/// assert_eq!(key.part(1).unwrap(), "SFO");
/// assert_eq!(key.parts().count(), 2);
/// assert_eq!(key.to_string(), "JFK,SFO");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key<'a> {
    encoded: &'a [u8],
}

impl<'a> Key<'a> {
    /// Wraps a key in the contract's encoding.
    pub fn from_encoded(encoded: &'a [u8]) -> Self {
        Self { encoded }
    }

    /// Encodes a key from its parts.
    pub fn encode<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Vec<u8> {
        let mut out = Vec::new();
        for part in parts {
            let part = part.as_ref();
            write_uvarint(part.len(), &mut out);
            out.extend_from_slice(part);
        }
        out
    }

    /// The key as it crosses the boundary.
    pub fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// The bytes of part `index`, from 0.
    ///
    /// # Errors
    /// If the key has no such part, or is not keyed by parts at all.
    pub fn bytes(&self, index: usize) -> Result<&'a [u8]> {
        self.parts().nth(index).ok_or_else(|| self.no_part(index))
    }

    /// The text of part `index`, from 0.
    ///
    /// # Errors
    /// If the key has no such part, or the part is not UTF-8.
    pub fn part(&self, index: usize) -> Result<&'a str> {
        let bytes = self.bytes(index)?;
        std::str::from_utf8(bytes).context(format_args!("part {index} of the key"))
    }

    /// The text of part `index`, from 0, of a key that the job file selects by `json:`. Of a JSON
    /// string it is the string, of anything else the JSON.
    ///
    /// ```
    /// use weir_guest::Key;
    ///
    /// // The key of {"user":"ann","shop":7} by `key: { json: [/user, /shop] }`.
    /// let encoded = Key::encode(["sann", "j7"]);
    /// let key = Key::from_encoded(&encoded);
    /// assert_eq!(key.json(0).unwrap(), "ann");
    /// assert_eq!(key.json(1).unwrap(), "7");
    /// ```
    ///
    /// # Errors
    /// If the key has no such part, or the part is not one of a JSON key.
    pub fn json(&self, index: usize) -> Result<&'a str> {
        let part = self.part(index)?;
        part.strip_prefix(['s', 'j']).ok_or_else(|| {
            Error::fatal(format_args!(
                "part {index} of the key, `{part}`, is not one of a JSON key"
            ))
        })
    }

    /// What part `index`, from 0, says of a key that the job file selects by `bytes:`.
    ///
    /// ```
    /// use weir_guest::Key;
    ///
    /// // The key of a row that begins with the number 7, by `key: { bytes: { length: 8 } }`.
    /// let encoded = Key::encode([7_u64.to_le_bytes()]);
    /// assert_eq!(Key::from_encoded(&encoded).binary::<u64>(0).unwrap(), 7);
    /// ```
    ///
    /// # Errors
    /// If the key has no such part, or the part is no such value.
    #[inline]
    pub fn binary<T: StateCodec>(&self, index: usize) -> Result<T> {
        T::decode(self.bytes(index)?)
    }

    /// The bytes of all parts, in order. Ends early where the encoding is broken.
    pub fn parts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.encoded;
        std::iter::from_fn(move || {
            let length = read_uvarint(&mut rest)?;
            let (part, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(part)
        })
    }

    /// Appends what `Display` shows.
    pub(crate) fn append_text(&self, out: &mut Vec<u8>) {
        for (index, part) in self.parts().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let start = out.len();
            if !append_noting_ascii(out, part) && std::str::from_utf8(part).is_err() {
                out.truncate(start);
                out.extend(part.escape_ascii());
            }
        }
    }

    #[cold]
    fn no_part(&self, index: usize) -> Error {
        let parts = self.parts().count();
        Error::fatal(format_args!(
            "the key has {parts} parts, and no part {index}"
        ))
    }
}

impl fmt::Display for Key<'_> {
    /// The parts, joined by commas; a part that is not text by its escaped bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let text = match std::str::from_utf8(part) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => Cow::Owned(part.escape_ascii().to_string()),
            };
            f.write_str(&text)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

pub(crate) fn write_uvarint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn read_uvarint(input: &mut &[u8]) -> Option<usize> {
    let mut value = 0_u64;
    // 32 bits in groups of seven: no part is longer than a column.
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return u32::try_from(value).ok().map(|value| value as usize);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_encoding() {
        let long = "x".repeat(300);
        let encoded = Key::encode(["", "UA", &long]);
        let key = Key::from_encoded(&encoded);
        assert_eq!(key.part(0).unwrap(), "");
        assert_eq!(key.part(1).unwrap(), "UA");
        assert_eq!(key.part(2).unwrap(), long);
        assert_eq!(encoded[..4], [0, 2, b'U', b'A']);
        assert_eq!(encoded[4..6], [0xac, 0x02]);
    }

    #[test]
    fn a_missing_part_is_named() {
        let encoded = Key::encode(["UA"]);
        let error = Key::from_encoded(&encoded).part(1).unwrap_err();
        assert_eq!(error.to_string(), "the key has 1 parts, and no part 1");
    }

    #[test]
    fn a_broken_key_has_no_parts() {
        for broken in [&[5, b'a'][..], &[0xff; 9], &[0x80]] {
            assert_eq!(Key::from_encoded(broken).parts().count(), 0);
        }
    }

    #[test]
    fn a_length_beyond_32_bits_is_none() {
        let mut most = &[0xff, 0xff, 0xff, 0xff, 0x0f][..];
        assert_eq!(read_uvarint(&mut most), Some(u32::MAX as usize));
        let mut more = &[0xff, 0xff, 0xff, 0xff, 0x1f][..];
        assert_eq!(read_uvarint(&mut more), None);
    }

    #[test]
    fn a_part_of_a_csv_key_is_not_taken_for_one_of_a_json_key() {
        let encoded = Key::encode(["UA"]);
        let error = Key::from_encoded(&encoded).json(0).unwrap_err();
        let expected = "part 0 of the key, `UA`, is not one of a JSON key";
        assert_eq!(error.to_string(), expected);
        assert!(error.is_fatal());
    }

    #[test]
    fn a_key_is_shown_by_its_parts() {
        let encoded = Key::encode([&b"JFK"[..], b"\xff"]);
        assert_eq!(Key::from_encoded(&encoded).to_string(), r"JFK,\xff");
    }
}
