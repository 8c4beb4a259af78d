//! One raw csv record as fields, and where a record ends in a buffer.
//!
//! A quote means something only at the beginning of a field; inside a quoted field `""` is a quote
//! and everything else, line breaks included, is text. [`Fields`] takes any bytes and never fails:
//! what [`Splitter`](crate::Splitter) would refuse it reads as other csv readers do.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};

const QUOTE: u8 = b'"';

/// The fields of one raw record (without its terminator), in order.
///
/// ```
/// use weir_formats::Fields;
/// let mut fields = Fields::new(br#"7,"say ""hi""",,x"#, b',');
/// assert_eq!(fields.nth(1).unwrap().text(), &b"say \"hi\""[..]);
/// assert_eq!(fields.next().unwrap().text(), &b""[..]);
/// assert_eq!(fields.next().unwrap().text(), &b"x"[..]);
/// assert_eq!(fields.next(), None);
/// ```
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// What is left; `None` after the last field. `Some` of nothing is one more, empty field.
    rest: Option<&'a [u8]>,
    delimiter: u8,
}

/// One field of a record, as it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field<'a> {
    raw: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `record`. An empty record has one empty field.
    #[must_use]
    pub fn new(record: &'a [u8], delimiter: u8) -> Self {
        Self {
            rest: Some(record),
            delimiter,
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let rest = self.rest?;
        // What stands between a closing quote and the delimiter belongs to the field.
        let from = if rest.first() == Some(&QUOTE) {
            closing_quote(rest, 1).map_or(rest.len(), |at| at + 1)
        } else {
            0
        };
        let end = memchr(self.delimiter, &rest[from..]).map(|at| from + at);
        let (raw, rest) = match end {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        self.rest = rest;
        Some(Field { raw })
    }
}

impl<'a> Field<'a> {
    /// The field as it was written, with its quotes.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// What the field says: without its quotes, doubled quotes made single.
    #[must_use]
    pub fn text(self) -> Cow<'a, [u8]> {
        let mut pieces = self.pieces();
        let first = pieces.next().unwrap_or_default();
        if pieces.next().is_none() {
            return Cow::Borrowed(first);
        }
        let mut text = Vec::with_capacity(self.raw.len());
        self.write(&mut text);
        Cow::Owned(text)
    }

    /// Length of [`text`](Self::text) in bytes.
    #[must_use]
    pub fn text_len(self) -> usize {
        self.pieces().map(<[u8]>::len).sum()
    }

    /// Appends [`text`](Self::text) to `out`.
    pub fn write(self, out: &mut Vec<u8>) {
        for piece in self.pieces() {
            out.extend_from_slice(piece);
        }
    }

    fn pieces(self) -> Pieces<'a> {
        match self.raw.split_first() {
            Some((&QUOTE, rest)) => Pieces { rest, quoted: true },
            _ => Pieces {
                rest: self.raw,
                quoted: false,
            },
        }
    }
}

/// The text of a field in pieces that stand in the record as they are.
struct Pieces<'a> {
    rest: &'a [u8],
    quoted: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let quote = if self.quoted {
            memchr(QUOTE, self.rest)
        } else {
            None
        };
        let (piece, rest) = match quote {
            None => (self.rest, &self.rest[self.rest.len()..]),
            // A doubled quote: the first of the two is text.
            Some(at) if self.rest.get(at + 1) == Some(&QUOTE) => {
                (&self.rest[..=at], &self.rest[at + 2..])
            }
            // The closing quote: what comes after it is text as it stands.
            Some(at) => {
                self.quoted = false;
                (&self.rest[..at], &self.rest[at + 1..])
            }
        };
        self.rest = rest;
        Some(piece)
    }
}

/// Number of fields of a record; 1 for an empty one.
///
/// ```
/// use weir_formats::count_fields;
/// assert_eq!(count_fields(br#"a,"b,c",d"#, b','), 3);
/// ```
#[must_use]
pub fn count_fields(record: &[u8], delimiter: u8) -> usize {
    if memchr(QUOTE, record).is_none() {
        memchr_iter(delimiter, record).count() + 1
    } else {
        Fields::new(record, delimiter).count()
    }
}

/// The column names of a header record. Bytes that are not UTF-8 are replaced.
#[must_use]
pub fn header_names(record: &[u8], delimiter: u8) -> Vec<String> {
    Fields::new(record, delimiter)
        .map(|field| String::from_utf8_lossy(&field.text()).into_owned())
        .collect()
}

/// The beginning of a file without the byte order mark that some programs put there.
#[must_use]
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Where the record at the beginning of a buffer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// After `len` bytes, with a line feed behind it that is not part of it. A carriage return
    /// before that is still in it.
    Line {
        /// Its length.
        len: usize,
        /// Line feeds within it.
        inner: u32,
    },
    /// Not in this buffer.
    Beyond {
        /// Whether the buffer ends inside a quoted field.
        quoted: bool,
        /// Line feeds in the buffer.
        inner: u32,
    },
    /// A quoted field is followed by something other than a delimiter or the end of the record.
    TextAfterQuote {
        /// Offset of what follows.
        at: usize,
    },
}

/// Finds the end of the record that `bytes` begins with.
pub(crate) fn record_end(bytes: &[u8], delimiter: u8) -> End {
    // A record without a quote, which most are, is a line.
    match memchr2(b'\n', QUOTE, bytes) {
        None => End::Beyond {
            quoted: false,
            inner: 0,
        },
        Some(len) if bytes[len] == b'\n' => End::Line { len, inner: 0 },
        Some(_) => record_end_quoted(bytes, delimiter),
    }
}

fn record_end_quoted(bytes: &[u8], delimiter: u8) -> End {
    let mut inner = 0;
    let mut field = 0;
    loop {
        let mut end = field;
        if bytes.get(field) == Some(&QUOTE) {
            let closing = closing_quote(bytes, field + 1);
            let text = &bytes[field..closing.unwrap_or(bytes.len())];
            inner += memchr_iter(b'\n', text).count() as u32;
            let Some(closing) = closing else {
                let quoted = true;
                return End::Beyond { quoted, inner };
            };
            end = closing + 1;
            let follows = bytes.get(end).copied();
            let ends = match follows {
                None | Some(b'\n') => true,
                // Only the return of a line end may follow; at the end of the buffer it may be one.
                Some(b'\r') => matches!(bytes.get(end + 1), None | Some(b'\n')),
                Some(other) => other == delimiter,
            };
            if !ends {
                return End::TextAfterQuote { at: end };
            }
        }
        match memchr2(delimiter, b'\n', &bytes[end..]).map(|at| end + at) {
            None => {
                let quoted = false;
                return End::Beyond { quoted, inner };
            }
            Some(len) if bytes[len] == b'\n' => return End::Line { len, inner },
            Some(at) => field = at + 1,
        }
    }
}

/// The quote that closes the field whose text begins at `from`.
fn closing_quote(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr(QUOTE, &bytes[from..])?;
        if bytes.get(at + 1) != Some(&QUOTE) {
            return Some(at);
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests;
