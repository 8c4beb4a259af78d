//! A csv record, split where it is asked for.
//!
//! The host hands over raw records without their terminator (D2). Fields are found from the left as
//! they are asked for, so a row that is looked at only in its first columns is not scanned to its
//! end. Quotes are those of RFC 4180.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use crate::error::{Context, Error, Result, counted};
use crate::row::Decode;
use crate::type_name::short_type_name;

/// The type of an input whose rows are csv records; seen as a [`CsvRow`].
///
/// Fields are separated by commas, or by the `delimiter` that the job file gives the source: with
/// `delimiter: ";"` it is `Csv<b';'>`.
pub struct Csv<const DELIMITER: u8 = b','>;

impl<const DELIMITER: u8> Decode for Csv<DELIMITER> {
    type View<'a> = CsvRow<'a>;

    #[inline]
    fn decode(bytes: &[u8]) -> Result<CsvRow<'_>> {
        Ok(CsvRow::with_delimiter(bytes, DELIMITER))
    }
}

/// A column of a csv input: its index, from 0, and its name for messages.
///
/// Made by [`columns!`](crate::columns); a plain number will do as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The index, from 0.
    pub index: usize,
    /// The name, or nothing.
    pub name: &'static str,
}

impl From<usize> for Column {
    fn from(index: usize) -> Self {
        Self { index, name: "" }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return write!(f, "column {}", self.index);
        }
        write!(f, "column {} ({})", self.index, self.name)
    }
}

/// Names the columns of a csv input, from the left; `_` passes one over. In braces it stays on one
/// line: rustfmt leaves it alone there.
///
/// ```
/// use weir_guest::{columns, CsvRow};
///
/// columns! { USER, _, PRICE }
///
/// let row = CsvRow::new(b"ann,cup,7");
/// assert_eq!(row.text(USER).unwrap(), "ann");
/// assert_eq!(row.get::<u32>(PRICE).unwrap(), 7);
/// ```
///
/// With a visibility in front, the names can be used elsewhere. So inputs that have names in common
/// get a module each:
///
/// ```
/// use weir_guest::CsvRow;
///
/// mod orders {
///     weir_guest::columns! { pub(crate) USER, CENTS }
/// }
/// mod payments {
///     weir_guest::columns! { pub(crate) CENTS, USER }
/// }
/// # pub mod rates {
/// #     weir_guest::columns! { pub RATE }
/// # }
///
/// let row = CsvRow::new(b"7,ann");
/// assert_eq!(row.text(payments::USER).unwrap(), "ann");
/// assert_eq!(row.text(orders::CENTS).unwrap(), "ann");
/// # assert_eq!(row.text(orders::USER).unwrap(), row.text(payments::CENTS).unwrap());
/// # assert_eq!(rates::RATE.index, 0);
/// ```
#[macro_export]
macro_rules! columns {
    (pub($($within:tt)+) $($name:tt),+ $(,)?) => {
        $crate::columns!(@next [pub($($within)+)] 0; $($name,)+);
    };
    (pub $($name:tt),+ $(,)?) => {
        $crate::columns!(@next [pub] 0; $($name,)+);
    };
    ($($name:tt),+ $(,)?) => {
        $crate::columns!(@next [] 0; $($name,)+);
    };
    (@next [$($public:tt)*] $index:expr; _, $($rest:tt)*) => {
        $crate::columns!(@next [$($public)*] $index + 1; $($rest)*);
    };
    (@next [$($public:tt)*] $index:expr; $name:ident, $($rest:tt)*) => {
        $($public)* const $name: $crate::Column =
            $crate::Column { index: $index, name: ::core::stringify!($name) };
        $crate::columns!(@next [$($public)*] $index + 1; $($rest)*);
    };
    (@next [$($public:tt)*] $index:expr;) => {};
}

/// How many fields are remembered; those further right are searched for each time.
const REMEMBERED: usize = 16;

/// Fields are found in words of this many bytes.
const WORD: usize = 8;

/// A csv record. Fields are unquoted, and their spaces kept.
pub struct CsvRow<'a> {
    record: &'a [u8],
    delimiter: u8,
    /// Where the fields found so far end; the next one starts one byte further.
    ends: [Cell<u32>; REMEMBERED + WORD],
    found: Cell<usize>,
    /// The fields in the bytes before are found.
    scanned: Cell<usize>,
    /// A quote was met: from the last field found on, words say nothing.
    quoted: Cell<bool>,
}

impl<'a> CsvRow<'a> {
    /// Wraps a raw record, without its terminator. Its fields are separated by commas.
    pub fn new(record: &'a [u8]) -> Self {
        Self::with_delimiter(record, b',')
    }

    /// Wraps a raw record whose fields are separated by `delimiter`, an ASCII character.
    #[inline]
    pub fn with_delimiter(record: &'a [u8], delimiter: u8) -> Self {
        Self {
            record,
            delimiter,
            ends: [const { Cell::new(0) }; REMEMBERED + WORD],
            found: Cell::new(0),
            scanned: Cell::new(0),
            quoted: Cell::new(false),
        }
    }

    /// The record as it came.
    pub fn raw(&self) -> &'a [u8] {
        self.record
    }

    /// The number of fields; an empty record has one, which is empty.
    pub fn len(&self) -> usize {
        let mut count = 0;
        while self.field(count).is_some() {
            count += 1;
        }
        count
    }

    /// Whether the record has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.record.is_empty()
    }

    /// The text of a field; borrowed unless it has a doubled quote in it.
    ///
    /// # Errors
    /// If the record has no such column, or the field is not UTF-8 or badly quoted.
    pub fn text(&self, column: impl Into<Column>) -> Result<Cow<'a, str>> {
        let column = column.into();
        let raw = self
            .field(column.index)
            .ok_or_else(|| self.missing(column))?;
        let text = std::str::from_utf8(raw).context(column)?;
        match text.strip_prefix('"') {
            None => Ok(Cow::Borrowed(text)),
            Some(quoted) => unquote(quoted, column),
        }
    }

    /// Whether a field is empty, quoted or not.
    ///
    /// # Errors
    /// If the record has no such column.
    pub fn is_blank(&self, column: impl Into<Column>) -> Result<bool> {
        let column = column.into();
        let raw = self
            .field(column.index)
            .ok_or_else(|| self.missing(column))?;
        Ok(matches!(raw, b"" | b"\"\""))
    }

    /// The value of a field.
    ///
    /// # Errors
    /// If the record has no such column, or its text is not a `T`.
    pub fn get<T: FromStr<Err: fmt::Display>>(&self, column: impl Into<Column>) -> Result<T> {
        let column = column.into();
        let text = self.text(column)?;
        text.parse().map_err(|error| {
            let kind = short_type_name::<T>();
            let kind = match kind.as_str() {
                "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "whole number",
                "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "whole number from 0",
                "f32" | "f64" => "number",
                other => other,
            };
            Error::new(format_args!("{column}: `{text}` is not a {kind}: {error}"))
        })
    }

    /// The value of a field, or nothing where the field is empty.
    ///
    /// # Errors
    /// If the record has no such column, or its text is neither empty nor a `T`.
    pub fn optional<T: FromStr<Err: fmt::Display>>(
        &self,
        column: impl Into<Column>,
    ) -> Result<Option<T>> {
        let column = column.into();
        if self.is_blank(column)? {
            return Ok(None);
        }
        self.get(column).map(Some)
    }

    /// The raw bytes of a field, with its quotes.
    fn field(&self, index: usize) -> Option<&'a [u8]> {
        if index >= REMEMBERED {
            return self.distant_field(index);
        }
        while self.found.get() <= index {
            self.find_more()?;
        }
        self.record.get(self.start_of(index)?..self.end_of(index))
    }

    fn distant_field(&self, index: usize) -> Option<&'a [u8]> {
        self.field(REMEMBERED - 1)?;
        let mut end = self.end_of(REMEMBERED - 1);
        let mut start = end;
        for _ in REMEMBERED..=index {
            start = after(self.record, end)?;
            end = end_of_field(self.record, start, self.delimiter);
        }
        self.record.get(start..end)
    }

    /// Finds the fields that end in the next word, or just the next one if there are quotes or the
    /// record ends.
    fn find_more(&self) -> Option<()> {
        let scanned = self.scanned.get();
        let rest = self.record.get(scanned..).unwrap_or_default();
        if let Some(word) = rest.first_chunk::<WORD>()
            && !self.quoted.get()
        {
            let word = u64::from_le_bytes(*word);
            if bytes_equal(word, b'"') == 0 {
                let mut delimiters = bytes_equal(word, self.delimiter);
                while delimiters != 0 {
                    self.push(scanned + delimiters.trailing_zeros() as usize / 8);
                    delimiters &= delimiters - 1;
                }
                self.scanned.set(scanned + WORD);
                return Some(());
            }
        }
        self.quoted.set(true);
        let start = self.start_of(self.found.get())?;
        self.push(end_of_field(self.record, start, self.delimiter));
        Some(())
    }

    fn push(&self, end: usize) {
        let found = self.found.get();
        self.ends[found].set(end as u32);
        self.found.set(found + 1);
    }

    /// Where field `index` starts, if the field before it was found and is not the last.
    fn start_of(&self, index: usize) -> Option<usize> {
        match index.checked_sub(1) {
            None => Some(0),
            Some(before) => after(self.record, self.end_of(before)),
        }
    }

    fn end_of(&self, index: usize) -> usize {
        self.ends[index].get() as usize
    }

    #[cold]
    fn missing(&self, column: Column) -> Error {
        Error::new(format_args!(
            "no {column}: the record has {}",
            counted(self.len(), "column")
        ))
    }
}

impl fmt::Debug for CsvRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CsvRow({})", self.record.escape_ascii())
    }
}

/// Where the field after the one that ends at `end` starts.
fn after(record: &[u8], end: usize) -> Option<usize> {
    (end < record.len()).then_some(end + 1)
}

/// The top bit of each byte that equals `byte`.
fn bytes_equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = u64::from_le_bytes([0x7f; WORD]);
    let differing = word ^ u64::from_le_bytes([byte; WORD]);
    // Adding carries into the top bit of each byte that is not zero, and never beyond it.
    !(((differing & LOW) + LOW) | differing | LOW)
}

/// Where the field that starts at `start` ends: at a delimiter outside quotes, or at the end.
fn end_of_field(record: &[u8], start: usize, delimiter: u8) -> usize {
    let quoted = record.get(start) == Some(&b'"');
    // A doubled quote closes and opens again, so that delimiters behind it are still inside.
    let mut inside = false;
    for (position, byte) in record.iter().enumerate().skip(start) {
        match byte {
            b'"' if quoted => inside = !inside,
            byte if *byte == delimiter && !inside => return position,
            _ => {}
        }
    }
    record.len()
}

/// The text of a field behind its opening quote.
fn unquote(quoted: &str, column: Column) -> Result<Cow<'_, str>> {
    let text = quoted.strip_suffix('"');
    let text = text.ok_or_else(|| Error::new(format_args!("{column}: no closing quote")))?;
    if !text.contains('"') {
        return Ok(Cow::Borrowed(text));
    }
    if text.replace("\"\"", "").contains('"') {
        return Err(Error::new(format_args!(
            "{column}: a quote inside quotes is not doubled"
        )));
    }
    Ok(Cow::Owned(text.replace("\"\"", "\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &str, fields: &[&str]) {
        let row = CsvRow::new(record.as_bytes());
        // From the right first, so that nothing is remembered from an earlier look.
        for (index, field) in fields.iter().enumerate().rev() {
            assert_eq!(
                row.text(index).unwrap(),
                *field,
                "field {index} of {record}"
            );
        }
        assert_eq!(row.len(), fields.len());
        assert!(row.text(fields.len()).is_err());
    }

    #[test]
    fn records_split_as_in_rfc_4180() {
        check("", &[""]);
        check(",", &["", ""]);
        check("a,,c", &["a", "", "c"]);
        check(",,,,,,,,,", &[""; 10]);
        check("1234567,9,-,+", &["1234567", "9", "-", "+"]);
        check("12345678,0", &["12345678", "0"]);
        check(
            "long before the comma,\u{ac}\u{2c2c},",
            &["long before the comma", "\u{ac}\u{2c2c}", ""],
        );
        check(" a , b", &[" a ", " b"]);
        check(r#""a,b",c"#, &["a,b", "c"]);
        check(
            r#""he said ""no"", twice",x,"""#,
            &[r#"he said "no", twice"#, "x", ""],
        );
        check(r#"",""#, &[","]);
        check(r#"a"b,c"#, &[r#"a"b"#, "c"]);
        check(
            r#"1,2,"a,b",3,4,5,6,7,8"#,
            &["1", "2", "a,b", "3", "4", "5", "6", "7", "8"],
        );
        check("\"line\nbreak\",2", &["line\nbreak", "2"]);
    }

    #[test]
    fn columns_beyond_those_remembered_are_found() {
        let fields: Vec<_> = (0..60).map(|i| i.to_string()).collect();
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        check(&fields.join(","), &fields);
    }

    #[test]
    fn fields_are_separated_as_the_job_file_says() {
        let row = Csv::<b';'>::decode(b"a,b;\"c;d\";;long enough to be scanned;1").unwrap();
        let fields: Vec<_> = (0..row.len()).map(|at| row.text(at).unwrap()).collect();
        assert_eq!(fields, ["a,b", "c;d", "", "long enough to be scanned", "1"]);
        let row = CsvRow::with_delimiter(b"a\tb", b'\t');
        assert_eq!(row.text(1).unwrap(), "b");
        assert_eq!(Csv::<b','>::decode(b"a,b").unwrap().len(), 2);
    }

    #[test]
    fn fields_have_types() {
        columns!(NAME, _, PRICE, NOTE);
        let row = CsvRow::new(b"cup,x,-7,");
        assert_eq!(row.get::<i64>(PRICE).unwrap(), -7);
        assert_eq!(row.optional::<i64>(NOTE).unwrap(), None);
        assert_eq!(row.optional::<i64>(PRICE).unwrap(), Some(-7));
        assert!(row.is_blank(NOTE).unwrap());
        assert!(!row.is_blank(NAME).unwrap());
        assert!(matches!(row.text(NAME).unwrap(), Cow::Borrowed("cup")));
    }

    #[test]
    fn columns_can_be_used_outside_of_their_module() {
        mod orders {
            crate::columns! { pub(super) USER, _, CENTS }
        }
        mod payments {
            crate::columns! { pub(in super::super) CENTS, USER }
        }
        assert_eq!((orders::USER.index, orders::CENTS.index), (0, 2));
        assert_eq!((payments::CENTS.index, payments::USER.index), (0, 1));
        assert_eq!(payments::USER.name, "USER");
    }

    #[test]
    fn messages_name_the_column_and_what_is_in_it() {
        columns!(NAME, PRICE, NOTE);
        let row = CsvRow::new(b"cup,dear");
        let error = row.get::<i64>(PRICE).unwrap_err();
        let expected =
            "column 1 (PRICE): `dear` is not a whole number: invalid digit found in string";
        assert_eq!(error.to_string(), expected);
        let error = row.text(NOTE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no column 2 (NOTE): the record has 2 columns"
        );
        let error = CsvRow::new(b"cup").text(PRICE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no column 1 (PRICE): the record has 1 column"
        );
        let error = CsvRow::new(b"\"a").text(0).unwrap_err();
        assert_eq!(error.to_string(), "column 0: no closing quote");
        let error = CsvRow::new(b"\"a\"b\"").text(NAME).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column 0 (NAME): a quote inside quotes is not doubled"
        );
    }
}
