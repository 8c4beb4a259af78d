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

    /// The key's bytes, if the compiler knows that they are few: they need not be written then to
    /// be looked for.
    #[doc(hidden)]
    #[inline]
    fn short(&self) -> Option<ShortKey> {
        None
    }
}

/// What can be looked up in a map with keys `K`: a `K`, a `&K`, and for text a `&str`.
pub trait AsMapKey<K> {
    /// Appends the bytes that `K` has.
    fn encode_key(&self, out: &mut Vec<u8>);

    /// As [`MapKey::short`].
    #[doc(hidden)]
    #[inline]
    fn short_key(&self) -> Option<ShortKey> {
        None
    }
}

/// A map key of no more bytes than a word has, the rest zero.
#[derive(Clone, Copy)]
pub struct ShortKey {
    pub(crate) bytes: [u8; ShortKey::MOST],
    pub(crate) length: usize,
}

impl ShortKey {
    pub(crate) const MOST: usize = 8;

    #[inline]
    fn of_array<const LENGTH: usize>(key: [u8; LENGTH]) -> Option<Self> {
        let mut bytes = [0; Self::MOST];
        bytes.get_mut(..LENGTH)?.copy_from_slice(&key);
        let length = LENGTH;
        Some(Self { bytes, length })
    }

    /// A key that is written already, if it is short.
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        let length = key.len();
        let mut bytes = [0; Self::MOST];
        // By a loop: a copy of so few would cost a call.
        let places = bytes.get_mut(..length)?;
        places
            .iter_mut()
            .zip(key)
            .for_each(|(to, from)| *to = *from);
        Some(Self { bytes, length })
    }

    /// Appends the bytes.
    #[inline]
    pub(crate) fn append(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes.get(..self.length).unwrap_or_default());
    }
}

impl<K: MapKey> AsMapKey<K> for K {
    #[inline]
    fn encode_key(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    #[inline]
    fn short_key(&self) -> Option<ShortKey> {
        self.short()
    }
}

impl<K: MapKey> AsMapKey<K> for &K {
    #[inline]
    fn encode_key(&self, out: &mut Vec<u8>) {
        (*self).encode(out);
    }

    #[inline]
    fn short_key(&self) -> Option<ShortKey> {
        (*self).short()
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

            #[inline]
            fn short(&self) -> Option<ShortKey> {
                ShortKey::of_array((self ^ $flip).to_be_bytes())
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
    fn a_short_key_has_the_bytes_that_are_written() {
        fn check<K: MapKey>(key: K) {
            let mut short = Vec::new();
            key.short_key().unwrap().append(&mut short);
            assert_eq!(short, bytes(&key));
            let of = ShortKey::of(&short).unwrap();
            let told = key.short().unwrap();
            assert_eq!((of.bytes, of.length), (told.bytes, told.length));
        }
        [0, 7, u64::MAX].into_iter().for_each(check::<u64>);
        [0, -7, i64::MIN].into_iter().for_each(check::<i64>);
        [0, 7, u32::MAX].into_iter().for_each(check::<u32>);
        [0, -7, i32::MIN].into_iter().for_each(check::<i32>);
        assert!(ShortKey::of(b"123456789").is_none());
        assert_eq!(ShortKey::of(b"12345678").unwrap().bytes, *b"12345678");
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
