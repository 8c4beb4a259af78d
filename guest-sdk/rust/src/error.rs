//! The error of guest code: a text for people, and whether it is about one row or about the call.
//!
//! `Error` takes in any `std::error::Error` by `?`. For that reason it is not one itself.

use std::fmt;

/// What an operator's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a row, or a whole call, failed.
///
/// ```
/// use weir_guest::{Context, Error, Result, bail};
///
/// fn price(text: &str) -> Result<u64> {
///     let (price, currency) = text.split_once(' ').context("no currency")?;
///     if currency != "EUR" {
///         bail!("not in euros: {text}");
///     }
///     price.parse().context("price")
/// }
///
/// assert_eq!(price("7 EUR").unwrap(), 7);
/// assert_eq!(price("7").unwrap_err().to_string(), "no currency");
/// let error = price("x EUR").unwrap_err();
/// assert_eq!(error.to_string(), "price: invalid digit found in string");
/// assert!(!error.is_fatal());
/// assert!(Error::fatal("no rates").is_fatal());
/// ```
///
/// A plain error is about the row in hand: what the row wrote is dropped, the rows before it
/// count, and the job's `on-error` decides what becomes of the row. A [fatal](Error::fatal) error
/// fails the call: nothing of it is kept.
pub struct Error(Box<Inner>);

struct Inner {
    message: String,
    kind: Kind,
}

/// What the error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Row,
    /// The row, for now.
    Temporary,
    Fatal,
}

impl Error {
    /// An error about the row in hand.
    #[cold]
    pub fn new(message: impl fmt::Display) -> Self {
        Self(Box::new(Inner {
            message: message.to_string(),
            kind: Kind::Row,
        }))
    }

    /// An error about the row in hand that may be gone when it is asked about again: calls that
    /// wait ([`Enrich`](crate::Enrich)) are made again then, as the job's `async.retry` says.
    /// Elsewhere it is an error about the row.
    #[cold]
    pub fn temporary(message: impl fmt::Display) -> Self {
        Self(Box::new(Inner {
            message: message.to_string(),
            kind: Kind::Temporary,
        }))
    }

    /// An error that no other row would escape: the whole call fails, and its writes are dropped.
    #[cold]
    pub fn fatal(message: impl fmt::Display) -> Self {
        Self(Box::new(Inner {
            message: message.to_string(),
            kind: Kind::Fatal,
        }))
    }

    /// Whether the call fails, and not only the row.
    pub fn is_fatal(&self) -> bool {
        self.0.kind == Kind::Fatal
    }

    /// Whether it may be gone when the row is asked about again.
    pub fn is_temporary(&self) -> bool {
        self.0.kind == Kind::Temporary
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Puts `what` before the message, as `what: message`.
    #[cold]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    pub(crate) fn into_message(self) -> String {
        self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.kind {
            Kind::Row => "row",
            Kind::Temporary => "temporary",
            Kind::Fatal => "fatal",
        };
        write!(f, "{kind} error: {}", self.0.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    #[cold]
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(Box::new(Inner {
            message,
            kind: Kind::Row,
        }))
    }
}

/// A number of things, for a message: `1 column`, `2 columns`.
pub(crate) fn counted(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// Adds context to the error of a `Result`, or turns a missing value into an error.
pub trait Context<T> {
    /// Puts `what` before the message.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(what))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error::new(what))
    }
}

/// Returns early with an error about the row in hand; takes what `format!` takes.
#[macro_export]
macro_rules! bail {
    ($($message:tt)+) => {
        return ::core::result::Result::Err($crate::Error::new(::core::format_args!($($message)+)))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_errors_keep_their_causes() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bad price")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Error::from(Outer("x".parse::<i64>().unwrap_err()));
        assert_eq!(
            error.to_string(),
            "bad price: invalid digit found in string"
        );
        assert!(!error.is_fatal());
    }

    #[test]
    fn context_goes_before_the_message_and_keeps_the_kind() {
        let row: Result<()> = Err(Error::new("no price"));
        assert_eq!(
            row.context("row 3").unwrap_err().to_string(),
            "row 3: no price"
        );
        let call: Result<()> = Err(Error::fatal("no key"));
        assert!(call.context("state `sum`").unwrap_err().is_fatal());
        assert_eq!(
            None::<i64>.context("no price").unwrap_err().to_string(),
            "no price"
        );
    }
}
