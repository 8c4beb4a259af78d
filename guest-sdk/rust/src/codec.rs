//! How values of state are written, by format name and version.
//!
//! A format name says what the bytes are (`i64-le`, `utf8`, `json`, `(utf8,i64-le)`), so that
//! `weir state` can show them and a changed type is noticed before a job is resumed. Inside a tuple
//! or a record, a part of fixed width stands as it is, any other after its length.

use crate::error::{Error, Result};
use crate::key::{read_uvarint, write_uvarint};

/// A value that can be kept in state.
///
/// Implemented for numbers, `bool`, `String`, `Vec<u8>`, `Option`, and tuples and arrays of these;
/// for structs by [`record!`](crate::record), and by `Json<T>` with the feature `json`. Own types
/// implement it in a few lines:
///
/// ```
/// use weir_guest::{Error, Result, StateCodec};
///
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// enum Light { Red, Green }
///
/// impl StateCodec for Light {
///     fn format() -> String {
///         "light".to_owned()
///     }
///
///     fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
///         out.push(*self as u8);
///         Ok(())
///     }
///
///     fn decode(bytes: &[u8]) -> Result<Self> {
///         match bytes {
///             [0] => Ok(Light::Red),
///             [1] => Ok(Light::Green),
///             _ => Err(Error::new("not a light")),
///         }
///     }
/// }
/// # let mut bytes = Vec::new();
/// # Light::Green.encode(&mut bytes).unwrap();
/// # assert_eq!(Light::decode(&bytes).unwrap(), Light::Green);
/// ```
pub trait StateCodec: Sized + 'static {
    /// Raise it when the same format name comes to mean other bytes.
    const VERSION: u32 = 1;

    /// The number of bytes of each value, if it is always the same. Then
    /// [`decode`](Self::decode) may be tried with so many zeros where there is no value, and what
    /// it gives is not looked at: it must not panic.
    const WIDTH: Option<usize> = None;

    /// The name of the format.
    fn format() -> String;

    /// Appends the value.
    ///
    /// # Errors
    /// If the value has no written form.
    fn encode(&self, out: &mut Vec<u8>) -> Result<()>;

    /// Reads a value from all of `bytes`.
    ///
    /// # Errors
    /// If `bytes` are not in this format.
    fn decode(bytes: &[u8]) -> Result<Self>;

    /// Fills `out`, which has `WIDTH` bytes, with the value; whether it did. Parts of fixed width
    /// are appended at once so.
    #[doc(hidden)]
    #[inline]
    fn fill(&self, out: &mut [u8]) -> bool {
        let _ = out;
        false
    }
}

/// Values of fixed width up to this are appended at once.
const AT_ONCE: usize = 64;

/// Appends a value of fixed width at once; whether it did.
#[inline]
fn append_filled<T: StateCodec>(value: &T, out: &mut Vec<u8>) -> bool {
    let mut bytes = [0; AT_ONCE];
    let Some(part) = T::WIDTH.and_then(|width| bytes.get_mut(..width)) else {
        return false;
    };
    let is_filled = value.fill(part);
    if is_filled {
        out.extend_from_slice(part);
    }
    is_filled
}

/// Appends a value, or nothing where there is none. Of fixed width, that is no branch: which values
/// there are is hard to foretell.
#[inline]
pub(crate) fn append_optional<T: StateCodec>(value: Option<&T>, out: &mut Vec<u8>) -> Result<()> {
    let mut bytes = [0; AT_ONCE];
    if let Some(part) = T::WIDTH.and_then(|width| bytes.get_mut(..width))
        && value.is_none_or(|value| value.fill(part))
    {
        let end = out.len() + usize::from(value.is_some()) * part.len();
        out.extend_from_slice(part);
        out.truncate(end);
        return Ok(());
    }
    value.map_or(Ok(()), |value| value.encode(out))
}

/// Fills the first bytes of `out` with a part of fixed width, and takes them off; whether it did.
#[inline]
fn fill_part<T: StateCodec>(value: &T, out: &mut &mut [u8]) -> bool {
    let Some((part, rest)) =
        T::WIDTH.and_then(|width| std::mem::take(out).split_at_mut_checked(width))
    else {
        return false;
    };
    *out = rest;
    value.fill(part)
}

/// Appends one part of a composite value. For [`record!`](crate::record) and tuples.
#[doc(hidden)]
#[inline]
pub fn put_part<T: StateCodec>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    value.encode(out)?;
    if T::WIDTH.is_none() {
        let end = out.len();
        write_uvarint(end - start, out);
        let length_width = out.len() - end;
        if let Some(part) = out.get_mut(start..) {
            part.rotate_right(length_width);
        }
    }
    Ok(())
}

/// Takes one part off the front of a composite value. For [`record!`](crate::record) and tuples.
#[doc(hidden)]
#[inline]
pub fn take_part<T: StateCodec>(input: &mut &[u8]) -> Result<T> {
    let length = T::WIDTH.or_else(|| read_uvarint(input));
    let (part, rest) = length
        .and_then(|length| input.split_at_checked(length))
        .ok_or_else(|| Error::new(format_args!("`{}` is cut short", T::format())))?;
    *input = rest;
    T::decode(part)
}

/// Checks that a composite value was read to its end.
#[doc(hidden)]
#[inline]
pub fn nothing_left(rest: &[u8]) -> Result<()> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(Error::new(format_args!("{} bytes too many", rest.len())))
}

/// Checks the length of a value of fixed width, so that no part of it has to be measured.
#[inline]
fn check_width<T: StateCodec>(bytes: &[u8]) -> Result<()> {
    match T::WIDTH {
        Some(width) if bytes.len() != width => Err(not_of_width::<T>(width, bytes.len())),
        _ => Ok(()),
    }
}

#[cold]
fn not_of_width<T: StateCodec>(expected: usize, found: usize) -> Error {
    wrong_width(&T::format(), expected, found)
}

#[cold]
fn wrong_width(format: &str, expected: usize, found: usize) -> Error {
    Error::new(format_args!("`{format}` has {expected} bytes, not {found}"))
}

macro_rules! little_endian {
    ($($type:ty => $format:literal),+ $(,)?) => {$(
        impl StateCodec for $type {
            const WIDTH: Option<usize> = Some(size_of::<$type>());

            fn format() -> String {
                $format.to_owned()
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
                out.extend_from_slice(&self.to_le_bytes());
                Ok(())
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<Self> {
                let array = bytes.try_into();
                let array = array.map_err(|_| {
                    wrong_width($format, size_of::<$type>(), bytes.len())
                })?;
                Ok(<$type>::from_le_bytes(array))
            }

            #[inline]
            fn fill(&self, out: &mut [u8]) -> bool {
                match out.try_into() {
                    Ok(place) => {
                        let place: &mut [u8; size_of::<$type>()] = place;
                        *place = self.to_le_bytes();
                        true
                    }
                    Err(_) => false,
                }
            }
        }
    )+};
}

little_endian! {
    i32 => "i32-le", u32 => "u32-le", i64 => "i64-le", u64 => "u64-le", f64 => "f64-le",
}

impl StateCodec for bool {
    const WIDTH: Option<usize> = Some(1);

    fn format() -> String {
        "bool".to_owned()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.push(u8::from(*self));
        Ok(())
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Error::new("not a `bool`")),
        }
    }

    #[inline]
    fn fill(&self, out: &mut [u8]) -> bool {
        let [place] = out else { return false };
        *place = u8::from(*self);
        true
    }
}

impl StateCodec for () {
    const WIDTH: Option<usize> = Some(0);

    fn format() -> String {
        "empty".to_owned()
    }

    #[inline]
    fn encode(&self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self> {
        nothing_left(bytes)
    }

    #[inline]
    fn fill(&self, out: &mut [u8]) -> bool {
        out.is_empty()
    }
}

impl StateCodec for String {
    fn format() -> String {
        "utf8".to_owned()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

impl StateCodec for Vec<u8> {
    fn format() -> String {
        "bytes".to_owned()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self);
        Ok(())
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(bytes.to_owned())
    }
}

impl<T: StateCodec> StateCodec for Option<T> {
    fn format() -> String {
        format!("option({})", T::format())
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.push(u8::from(self.is_some()));
        self.as_ref().map_or(Ok(()), |value| value.encode(out))
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes.split_first() {
            Some((0, [])) => Ok(None),
            Some((1, value)) => T::decode(value).map(Some),
            _ => Err(Error::new(format_args!("not an `{}`", Self::format()))),
        }
    }
}

/// The sum of the widths of a tuple's parts, if all are fixed.
const fn joint_width(widths: &[Option<usize>]) -> Option<usize> {
    let mut sum = 0;
    let mut rest = widths;
    while let [first, others @ ..] = rest {
        match first {
            Some(width) => sum += *width,
            None => return None,
        }
        rest = others;
    }
    Some(sum)
}

macro_rules! tuple {
    ($($name:ident $index:tt),+) => {
        impl<$($name: StateCodec),+> StateCodec for ($($name,)+) {
            const WIDTH: Option<usize> = joint_width(&[$($name::WIDTH),+]);

            fn format() -> String {
                let parts = [$($name::format()),+];
                format!("({})", parts.join(","))
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
                if !append_filled(self, out) {
                    $(put_part(&self.$index, out)?;)+
                }
                Ok(())
            }

            #[inline]
            fn fill(&self, out: &mut [u8]) -> bool {
                let mut rest = out;
                $(fill_part(&self.$index, &mut rest))&&+
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<Self> {
                check_width::<Self>(bytes)?;
                let mut rest = bytes;
                let value = ($(take_part::<$name>(&mut rest)?,)+);
                nothing_left(rest)?;
                Ok(value)
            }
        }
    };
}

tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// Written as a tuple of so many parts.
impl<T: StateCodec + Copy + Default, const N: usize> StateCodec for [T; N] {
    const WIDTH: Option<usize> = match T::WIDTH {
        Some(width) => Some(width * N),
        None => None,
    };

    fn format() -> String {
        format!("({})", vec![T::format(); N].join(","))
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        if append_filled(self, out) {
            return Ok(());
        }
        self.iter().try_for_each(|part| put_part(part, out))
    }

    #[inline]
    fn fill(&self, out: &mut [u8]) -> bool {
        let mut rest = out;
        self.iter().all(|part| fill_part(part, &mut rest))
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self> {
        check_width::<Self>(bytes)?;
        let mut rest = bytes;
        let mut value = [T::default(); N];
        for part in &mut value {
            *part = take_part(&mut rest)?;
        }
        nothing_left(rest)?;
        Ok(value)
    }
}

/// Declares a struct that can be kept in state: each field in turn, by its own codec.
///
/// The format name lists the fields and their formats, so that a resumed job notices when they have
/// changed. `version N;` before the struct sets [`StateCodec::VERSION`].
///
/// ```
/// use weir_guest::{record, StateCodec};
///
/// record! {
///     #[derive(Debug, Default, PartialEq)]
///     struct Totals {
///         flights: i64,
///         worst: Option<i64>,
///     }
/// }
///
/// let mut bytes = Vec::new();
/// Totals { flights: 1, worst: None }.encode(&mut bytes).unwrap();
/// assert_eq!(Totals::decode(&bytes).unwrap(), Totals { flights: 1, worst: None });
/// assert_eq!(Totals::format(), "{flights:i64-le,worst:option(i64-le)}");
/// ```
#[macro_export]
macro_rules! record {
    (version $version:literal; $($item:tt)+) => {
        $crate::record!(@struct $version; $($item)+);
    };
    (@struct $version:literal;
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_attribute:meta])* $field_visibility:vis $field:ident : $type:ty),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $name {
            $($(#[$field_attribute])* $field_visibility $field: $type),+
        }

        impl $crate::StateCodec for $name {
            const VERSION: u32 = $version;

            fn format() -> ::std::string::String {
                let fields: &[::std::string::String] = &[$(::std::format!(
                    "{}:{}",
                    ::core::stringify!($field),
                    <$type as $crate::StateCodec>::format()
                )),+];
                ::std::format!("{{{}}}", fields.join(","))
            }

            fn encode(&self, out: &mut ::std::vec::Vec<u8>) -> $crate::Result<()> {
                $($crate::codec::put_part::<$type>(&self.$field, out)?;)+
                ::core::result::Result::Ok(())
            }

            fn decode(bytes: &[u8]) -> $crate::Result<Self> {
                let mut rest = bytes;
                let value = Self {
                    $($field: $crate::codec::take_part::<$type>(&mut rest)?),+
                };
                $crate::codec::nothing_left(rest)?;
                ::core::result::Result::Ok(value)
            }
        }
    };
    ($($item:tt)+) => {
        $crate::record!(@struct 1; $($item)+);
    };
}

#[cfg(test)]
mod tests;
