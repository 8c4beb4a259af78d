//! How the keys of map state are written.
//!
//! Maps are iterated in the byte order of their keys, so numbers are written such that byte order
//! is their order: big endian, the sign bit of signed ones flipped.

use crate::error::{Context, Result};

/// A type that can be the key of a map state.
pub trait MapKey: Sized + 'static {
    /// The name of the format.
    fn format() -> String;

    /// Appends the key.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a key from all of `bytes`.
    ///
    /// # Errors
    /// If `bytes` are not in this format.
    fn decode(bytes: &[u8]) -> Result<Self>;
}

/// What can be looked up in a map with keys `K`: a `K`, a `&K`, and for text a `&str`.
pub trait AsMapKey<K> {
    /// Appends the bytes that `K` has.
    fn encode_key(&self, out: &mut Vec<u8>);
}

impl<K: MapKey> AsMapKey<K> for K {
    fn encode_key(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
}

impl<K: MapKey> AsMapKey<K> for &K {
    fn encode_key(&self, out: &mut Vec<u8>) {
        (*self).encode(out);
    }
}

impl AsMapKey<String> for &str {
    fn encode_key(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl AsMapKey<String> for std::borrow::Cow<'_, str> {
    fn encode_key(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl AsMapKey<String> for &std::borrow::Cow<'_, str> {
    fn encode_key(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl AsMapKey<Vec<u8>> for &[u8] {
    fn encode_key(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl MapKey for String {
    fn format() -> String {
        "utf8".to_owned()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

impl MapKey for Vec<u8> {
    fn format() -> String {
        "bytes".to_owned()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(bytes.to_owned())
    }
}

macro_rules! ordered {
    ($($type:ty, $format:literal, $flip:expr);+ $(;)?) => {$(
        impl MapKey for $type {
            fn format() -> String {
                $format.to_owned()
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&(self ^ $flip).to_be_bytes());
            }

            fn decode(bytes: &[u8]) -> Result<Self> {
                let array = bytes.try_into().context($format)?;
                Ok(<$type>::from_be_bytes(array) ^ $flip)
            }
        }
    )+};
}

ordered! {
    i32, "i32-ordered", i32::MIN;
    u32, "u32-be", 0;
    i64, "i64-ordered", i64::MIN;
    u64, "u64-be", 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<K>(key: impl AsMapKey<K>) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode_key(&mut out);
        out
    }

    #[test]
    fn byte_order_is_the_order_of_numbers() {
        let numbers = [i64::MIN, -256, -1, 0, 1, 255, 256, i64::MAX];
        let encoded: Vec<_> = numbers.iter().map(bytes::<i64>).collect();
        assert!(encoded.is_sorted());
        for (number, key) in numbers.iter().zip(&encoded) {
            assert_eq!(i64::decode(key).unwrap(), *number);
        }
        assert!(bytes::<u32>(255) < bytes::<u32>(256));
        assert!(bytes::<i32>(-1) < bytes::<i32>(0));
    }

    #[test]
    fn text_is_looked_up_by_any_form_of_it() {
        let owned = "JFK".to_owned();
        assert_eq!(bytes::<String>("JFK"), b"JFK");
        assert_eq!(bytes::<String>(&owned), bytes::<String>(owned));
    }

    #[test]
    fn a_key_of_another_format_is_an_error() {
        assert!(
            i64::decode(b"JFK")
                .unwrap_err()
                .to_string()
                .starts_with("i64-ordered: ")
        );
        assert!(String::decode(&[0xff]).is_err());
    }
}
