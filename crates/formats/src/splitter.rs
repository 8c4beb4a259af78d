//! Cutting rows out of a buffer, and finding the malformed ones without losing the others.
//!
//! INVARIANT: what the pieces are depends on the bytes alone, not on how they arrive: a decision is
//! taken only on bytes that no later ones can change. So a file reads the same after a restore.

use memchr::memchr;

use crate::{
    csv::{End, count_fields, record_end},
    json,
};

/// Cuts the rows of one file (or stream) out of its bytes.
///
/// The caller keeps a buffer that begins where the last cut ended and calls
/// [`next`](Self::next) until it wants more bytes. Line ends are `\n` or `\r\n`; an empty line is
/// no row, except in plain lines.
///
/// A malformed csv record is cut off at the end of its first line, so that a stray quote costs one
/// row and not the rest of the file. A record with a wrong number of fields is cut off whole.
#[derive(Clone, Debug)]
pub struct Splitter {
    format: Format,
    max_bytes: usize,
    /// In the middle of a line that is longer than `max_bytes`.
    discarding: bool,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Lines,
    Json,
    Csv { delimiter: u8, fields: Expected },
}

/// How many fields a csv record must have.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// As many as the first one, which is still to come.
    First,
    Exactly(usize),
    Any,
}

/// A piece cut from the beginning of the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut<'a> {
    /// How many bytes of the buffer it took, with its line end.
    pub consumed: usize,
    /// How many line ends it took.
    pub lines: u32,
    /// What it is.
    pub piece: Piece<'a>,
}

/// What was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A row, without its line end.
    Row(&'a [u8]),
    /// An empty line of csv or json.
    Blank,
    /// A row that cannot be read.
    Malformed(Malformed),
    /// Bytes in the middle of a line that is too long. Not a place to go on from after a restore:
    /// that is the end of the last piece of another kind.
    Discarded,
}

/// Why a row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A quote is opened and never closed.
    #[error("a quoted field is not closed before the end of the input")]
    UnclosedQuote,
    /// A closing quote is not followed by a delimiter or a line end.
    #[error("text after the closing quote at byte {at} of the record")]
    TextAfterQuote {
        /// Offset of that text in the record, from 0.
        at: usize,
    },
    /// Not as many fields as the first record has.
    #[error("{found} fields, where the first record has {expected}")]
    FieldCount {
        /// Fields of this record.
        found: usize,
        /// Fields of the first record.
        expected: usize,
    },
    /// Longer than allowed, or a quote that is not closed for so long.
    #[error("longer than {max} bytes")]
    TooLong {
        /// The most bytes of a row.
        max: usize,
    },
    /// Not a JSON document.
    #[error("not JSON: {message}")]
    NotJson {
        /// What the parser says.
        message: String,
    },
}

impl Splitter {
    /// The longest row in bytes. A row is held in memory whole, in every buffer on its way; a row
    /// of megabytes is a missing line end or a stray quote.
    pub const MAX_ROW_BYTES: usize = 4 * 1024 * 1024;

    /// Each line is a row, empty ones too.
    #[must_use]
    pub fn lines() -> Self {
        Self::new(Format::Lines)
    }

    /// Each line is a row and must be a JSON document.
    #[must_use]
    pub fn json() -> Self {
        Self::new(Format::Json)
    }

    /// Each csv record is a row, a header too; all must have as many fields as the first.
    #[must_use]
    pub fn csv(delimiter: u8) -> Self {
        Self::new(Format::Csv {
            delimiter,
            fields: Expected::First,
        })
    }

    fn new(format: Format) -> Self {
        Self {
            format,
            max_bytes: Self::MAX_ROW_BYTES,
            discarding: false,
        }
    }

    /// With another bound on the length of a row, at least 1.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes.max(1);
        self
    }

    /// Takes csv records with any number of fields.
    #[must_use]
    pub fn with_any_fields(mut self) -> Self {
        if let Format::Csv { fields, .. } = &mut self.format {
            *fields = Expected::Any;
        }
        self
    }

    /// Sets how many fields a csv record must have, for a reader that begins in the middle. Other
    /// formats have no such number.
    pub fn expect_fields(&mut self, count: usize) {
        if let Format::Csv { fields, .. } = &mut self.format {
            *fields = Expected::Exactly(count);
        }
    }

    /// How many fields a csv record must have, once known.
    #[must_use]
    pub fn fields(&self) -> Option<usize> {
        match self.format {
            Format::Csv {
                fields: Expected::Exactly(count),
                ..
            } => Some(count),
            Format::Csv { .. } | Format::Lines | Format::Json => None,
        }
    }

    /// Cuts the next piece from the beginning of `bytes`. `at_end`: no further bytes will come.
    /// `None`: more bytes are needed, or there are none left.
    pub fn next<'a>(&mut self, bytes: &'a [u8], at_end: bool) -> Option<Cut<'a>> {
        if self.discarding {
            return self.discard(bytes, at_end);
        }
        if bytes.is_empty() {
            return None;
        }
        match self.format {
            Format::Lines | Format::Json => self.next_line(bytes, at_end),
            Format::Csv { delimiter, .. } => self.next_record(bytes, at_end, delimiter),
        }
    }

    fn next_line<'a>(&mut self, bytes: &'a [u8], at_end: bool) -> Option<Cut<'a>> {
        match memchr(b'\n', bytes) {
            Some(len) => Some(self.row(&bytes[..len], 1, 1)),
            None if self.surely_too_long(bytes) => self.discard(bytes, at_end),
            None => at_end.then(|| self.row(bytes, 0, 0)),
        }
    }

    fn next_record<'a>(&mut self, bytes: &'a [u8], at_end: bool, delimiter: u8) -> Option<Cut<'a>> {
        // Never looks further than the longest record goes, so that no later byte matters.
        let window = &bytes[..bytes.len().min(self.max_bytes + 2)];
        let whole = at_end && window.len() == bytes.len();
        let too_long = Malformed::TooLong {
            max: self.max_bytes,
        };
        match record_end(window, delimiter) {
            End::Line { len, inner } if inner == 0 || len <= self.max_bytes => {
                Some(self.row(&bytes[..len], 1, inner + 1))
            }
            End::Line { .. } => self.first_line(bytes, at_end, too_long),
            End::TextAfterQuote { at } => {
                self.first_line(bytes, at_end, Malformed::TextAfterQuote { at })
            }
            End::Beyond { .. } if self.surely_too_long(window) => {
                self.first_line(bytes, at_end, too_long)
            }
            End::Beyond { .. } if !whole => None,
            End::Beyond { quoted: true, .. } => {
                self.first_line(bytes, at_end, Malformed::UnclosedQuote)
            }
            End::Beyond { inner, .. } => Some(self.row(bytes, 0, inner)),
        }
    }

    /// A record is complete: `raw` and `end` bytes of line feed.
    fn row<'a>(&mut self, raw: &'a [u8], end: usize, lines: u32) -> Cut<'a> {
        let consumed = raw.len() + end;
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        let piece = match self.check(raw) {
            Ok(true) => Piece::Row(raw),
            Ok(false) => Piece::Blank,
            Err(error) => Piece::Malformed(error),
        };
        Cut {
            consumed,
            lines,
            piece,
        }
    }

    /// Whether `raw` is a row (or nothing).
    fn check(&mut self, raw: &[u8]) -> Result<bool, Malformed> {
        if raw.len() > self.max_bytes {
            let max = self.max_bytes;
            return Err(Malformed::TooLong { max });
        }
        match &mut self.format {
            Format::Lines => Ok(true),
            Format::Json if raw.trim_ascii().is_empty() => Ok(false),
            Format::Json => json::check(raw).map(|()| true),
            Format::Csv { .. } if raw.is_empty() => Ok(false),
            Format::Csv {
                fields: Expected::Any,
                ..
            } => Ok(true),
            Format::Csv { delimiter, fields } => {
                let found = count_fields(raw, *delimiter);
                match *fields {
                    Expected::Exactly(expected) if found != expected => {
                        Err(Malformed::FieldCount { found, expected })
                    }
                    Expected::Exactly(_) | Expected::First | Expected::Any => {
                        *fields = Expected::Exactly(found);
                        Ok(true)
                    }
                }
            }
        }
    }

    /// Cuts off the first line of a malformed record.
    fn first_line<'a>(
        &mut self,
        bytes: &'a [u8],
        at_end: bool,
        error: Malformed,
    ) -> Option<Cut<'a>> {
        let (consumed, lines) = match memchr(b'\n', bytes) {
            Some(len) => (len + 1, 1),
            None if self.surely_too_long(bytes) => return self.discard(bytes, at_end),
            None if at_end => (bytes.len(), 0),
            None => return None,
        };
        let max = self.max_bytes;
        let error = if consumed > max + 2 {
            Malformed::TooLong { max }
        } else {
            error
        };
        Some(Cut {
            consumed,
            lines,
            piece: Piece::Malformed(error),
        })
    }

    /// Goes on to the end of a line that is too long.
    fn discard<'a>(&mut self, bytes: &'a [u8], at_end: bool) -> Option<Cut<'a>> {
        let end = memchr(b'\n', bytes);
        self.discarding = end.is_none() && !at_end;
        if self.discarding && bytes.is_empty() {
            return None;
        }
        let max = self.max_bytes;
        Some(Cut {
            consumed: end.map_or(bytes.len(), |at| at + 1),
            lines: u32::from(end.is_some()),
            piece: if self.discarding {
                Piece::Discarded
            } else {
                Piece::Malformed(Malformed::TooLong { max })
            },
        })
    }

    /// Whether a record that goes on behind `bytes` is too long, whatever follows: all but a
    /// carriage return counts.
    fn surely_too_long(&self, bytes: &[u8]) -> bool {
        bytes.len() > self.max_bytes + 1
    }
}

#[cfg(test)]
mod tests;
