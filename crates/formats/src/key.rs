//! Key selectors: the key of each row, encoded as D2 says.
//!
//! A key is its parts in order, each as uvarint length ‖ bytes. A part of a csv row is the text of
//! a field. A part of a JSON row is a type byte and then the UTF-8 bytes of a string or the RFC
//! 8785 text of anything else, so that `"1"` and `1` are two keys.
//!
//! INVARIANT: different selected values give different keys, equal ones equal keys.

use weir_model::{Column, ColumnView};
use weir_operator::{BadKey, KeySelector};

use crate::{
    Pointer,
    csv::{Field, Fields},
    json::{Found, Places},
};

/// The type byte of a part that was a JSON string.
pub const JSON_STRING: u8 = b's';
/// The type byte of a part that was a JSON number, boolean, array or object.
pub const JSON_OTHER: u8 = b'j';

/// The key is some fields of a csv row.
///
/// ```
/// use weir_formats::CsvKey;
/// use weir_model::Column;
/// use weir_operator::KeySelector;
///
/// let rows: Column = [&b"2024,UA,JFK"[..], b"2024"].into_iter().collect();
/// let (mut keys, mut bad) = (Column::new(), Vec::new());
/// CsvKey::new(b',', &[2, 1]).select(rows.view(), &mut keys, &mut bad);
/// assert_eq!(keys.get(0), b"\x03JFK\x02UA");
/// assert_eq!(bad[0].message, "there is no column 1: the row has 1 fields");
/// assert_eq!(CsvKey::new(b',', &[2, 1]).describe(), "csv columns 2, 1");
/// ```
#[derive(Clone, Debug)]
pub struct CsvKey {
    delimiter: u8,
    /// Column and part, in order of columns, so that a row is walked once.
    wanted: Vec<(usize, usize)>,
    /// What each part is, in words.
    words: Vec<String>,
}

impl CsvKey {
    /// The key is made of these columns (from 0), in this order.
    #[must_use]
    pub fn new(delimiter: u8, columns: &[usize]) -> Self {
        let mut wanted: Vec<_> = columns.iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let words = columns.iter().map(usize::to_string).collect();
        Self {
            delimiter,
            wanted,
            words,
        }
    }

    /// Where the rows have a header: columns are told by their names in it, which stay when their
    /// places change. A name that is there twice tells nothing.
    #[must_use]
    pub fn with_header(mut self, header: &[String]) -> Self {
        for &(column, part) in &self.wanted {
            let Some(name) = header.get(column) else {
                continue;
            };
            if header.iter().filter(|other| *other == name).count() == 1 {
                self.words[part] = format!("`{name}`");
            }
        }
        self
    }

    /// Finds the wanted fields of a row. The error is a column that the row does not have.
    fn find<'a>(&self, row: &'a [u8], parts: &mut [Field<'a>]) -> Result<(), usize> {
        let mut fields = Fields::new(row, self.delimiter);
        let mut next = 0;
        let mut last = Field::default();
        for &(column, part) in &self.wanted {
            // A column may be wanted twice.
            if column >= next {
                last = fields.nth(column - next).ok_or(column)?;
                next = column + 1;
            }
            parts[part] = last;
        }
        Ok(())
    }
}

impl KeySelector for CsvKey {
    fn select(&self, values: ColumnView<'_>, keys: &mut Column, bad: &mut Vec<BadKey>) {
        let mut parts = vec![Field::default(); self.wanted.len()];
        for (row, value) in (0..).zip(values.iter()) {
            match self.find(value, &mut parts) {
                Ok(()) => keys.push_with(|out| {
                    for part in &parts {
                        write_uvarint(part.text_len(), out);
                        part.write(out);
                    }
                }),
                Err(column) => {
                    let count = Fields::new(value, self.delimiter).count();
                    let message =
                        format!("there is no column {column}: the row has {count} fields");
                    keys.push(b"");
                    bad.push(BadKey { row, message });
                }
            }
        }
    }

    /// Without the delimiter: the fields are the same keys however they are told apart.
    fn describe(&self) -> String {
        format!("csv columns {}", self.words.join(", "))
    }
}

/// The key is some places of a JSON row.
#[derive(Clone, Debug)]
pub struct JsonKey {
    places: Places,
}

impl JsonKey {
    /// The key is made of what these pointers find, in this order.
    #[must_use]
    pub fn new(pointers: Vec<Pointer>) -> Self {
        Self {
            places: Places::new(pointers),
        }
    }

    fn find(&self, row: &[u8], found: &mut Found, key: &mut Vec<u8>) -> Result<(), String> {
        self.places.find(row, found)?;
        for value in self.places.values(found) {
            let value = value?;
            write_uvarint(value.len(), key);
            key.extend_from_slice(value);
        }
        Ok(())
    }
}

impl KeySelector for JsonKey {
    fn select(&self, values: ColumnView<'_>, keys: &mut Column, bad: &mut Vec<BadKey>) {
        let (mut found, mut key) = (Found::default(), Vec::new());
        for (row, value) in (0..).zip(values.iter()) {
            key.clear();
            if let Err(message) = self.find(value, &mut found, &mut key) {
                key.clear();
                bad.push(BadKey { row, message });
            }
            keys.push(&key);
        }
    }

    fn describe(&self) -> String {
        let text = |pointer: &Pointer| match pointer.as_str() {
            "" => "the document".to_owned(),
            text => text.to_owned(),
        };
        let texts: Vec<String> = self.places.pointers().iter().map(text).collect();
        format!("json {}", texts.join(", "))
    }
}

/// The key is the whole row, as one part.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowKey;

impl KeySelector for RowKey {
    fn select(&self, values: ColumnView<'_>, keys: &mut Column, _bad: &mut Vec<BadKey>) {
        for value in values.iter() {
            keys.push_with(|out| {
                write_uvarint(value.len(), out);
                out.extend_from_slice(value);
            });
        }
    }

    fn describe(&self) -> String {
        "row".to_owned()
    }
}

/// The key is some bytes of a row, by their place in it, as one part.
///
/// ```
/// use weir_formats::BytesKey;
/// use weir_model::Column;
/// use weir_operator::KeySelector;
///
/// let rows: Column = [&b"2024JFKSFO"[..], b"2024"].into_iter().collect();
/// let (mut keys, mut bad) = (Column::new(), Vec::new());
/// BytesKey::new(4, 3).select(rows.view(), &mut keys, &mut bad);
/// assert_eq!(keys.get(0), b"\x03JFK");
/// assert_eq!(bad[0].message, "there are no bytes 4 to 6: the row has 4 bytes");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BytesKey {
    offset: usize,
    length: usize,
}

impl BytesKey {
    /// The key is so many bytes from `offset` (from 0) on.
    #[must_use]
    pub fn new(offset: usize, length: usize) -> Self {
        Self { offset, length }
    }

    /// Selects keys of `N` bytes, less than 128, each behind its length: `K` bytes in all. Where a
    /// row has no such bytes, or the keys before are of another length, it does nothing and gives
    /// back `false`.
    #[inline]
    fn select_numbers<const N: usize, const K: usize>(
        self,
        values: ColumnView<'_>,
        keys: &mut Column,
    ) -> bool {
        let mut all = true;
        let done = keys.extend_even(values.len(), |keys: &mut [[u8; K]]| {
            let (all_keys, before) = (keys.len(), keys.len() - values.len());
            for (key, value) in keys[before..].iter_mut().zip(values.iter()) {
                // What is missing is seen at the end: nothing else depends on it here.
                let part = value.get(self.offset..).and_then(<[u8]>::first_chunk::<N>);
                all &= part.is_some();
                key[0] = N as u8;
                key[1..].copy_from_slice(part.unwrap_or(&[0; N]));
            }
            if all { all_keys } else { before }
        });
        all && done.is_some()
    }

    /// Selects keys of any length.
    fn select_bytes(self, values: ColumnView<'_>, keys: &mut Column, bad: &mut Vec<BadKey>) {
        let mut length = Vec::new();
        write_uvarint(self.length, &mut length);
        let end = self.offset + self.length;
        for (row, value) in (0..).zip(values.iter()) {
            match value.get(self.offset..end) {
                Some(part) => keys.push_with(|out| {
                    out.extend_from_slice(&length);
                    out.extend_from_slice(part);
                }),
                None => {
                    keys.push(b"");
                    bad.push(self.bad(row, value));
                }
            }
        }
    }

    #[cold]
    fn bad(self, row: u32, value: &[u8]) -> BadKey {
        let (first, last) = (self.offset, self.offset + self.length - 1);
        let bytes = value.len();
        let message = format!("there are no bytes {first} to {last}: the row has {bytes} bytes");
        BadKey { row, message }
    }
}

impl KeySelector for BytesKey {
    fn select(&self, values: ColumnView<'_>, keys: &mut Column, bad: &mut Vec<BadKey>) {
        // Numbers are the most frequent keys: they are copied in line, length and all.
        let done = match self.length {
            4 => self.select_numbers::<4, 5>(values, keys),
            8 => self.select_numbers::<8, 9>(values, keys),
            16 => self.select_numbers::<16, 17>(values, keys),
            _ => false,
        };
        if !done {
            self.select_bytes(values, keys, bad);
        }
    }

    fn number_at(&self) -> Option<usize> {
        (self.length == 8).then_some(self.offset)
    }

    fn describe(&self) -> String {
        format!("bytes {} to {}", self.offset, self.offset + self.length - 1)
    }
}

/// Appends a number in groups of seven bits, the lowest first.
fn write_uvarint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests;
