//! What went wrong, in words: nobody tells one error of a benchmark from another.
//!
//! Written out, since a crate for it would bring features that the program's own build does not
//! have, and everything heavy would be built twice.

use std::fmt::{self, Display};

/// A result of the benchmark.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, outermost first.
#[derive(Debug)]
pub struct Error(String);

/// Says what was being done.
pub trait Context<T> {
    /// Puts words before what went wrong.
    fn context(self, doing: impl Display) -> Result<T>;

    /// The same, where the words are made only if they are needed.
    fn with_context<D: Display>(self, doing: impl FnOnce() -> D) -> Result<T>;
}

impl Error {
    /// Of a message.
    #[must_use]
    pub fn new(message: impl Display) -> Self {
        Self(message.to_string())
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self(message)
    }
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl Display) -> Result<T> {
        self.with_context(|| doing)
    }

    fn with_context<D: Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error(format!("{}: {}", doing(), error.into())))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, doing: impl Display) -> Result<T> {
        self.ok_or_else(|| Error::new(doing))
    }

    fn with_context<D: Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.ok_or_else(|| Error::new(doing()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_before_what_went_wrong() {
        let parsed = "x".parse::<u32>().context("reading the number");
        let nothing: Result<u32> = None.with_context(|| "no number");
        assert_eq!(
            parsed.unwrap_err().to_string(),
            "reading the number: invalid digit found in string"
        );
        assert_eq!(nothing.unwrap_err().to_string(), "no number");
    }
}
