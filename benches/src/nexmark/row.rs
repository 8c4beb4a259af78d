//! Rows as the queries give them: their numbers, 8 bytes each, and then their texts, each behind
//! its length, or an event as it was, with its kind before all that; and what their fields add to
//! the sum by which engines are compared.

use super::generator::LENGTH_BYTES;
use crate::peer::check::{fold, text};

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The byte before all others, which says what an event is, and counts nothing.
    Kind,
    /// A number of 8 bytes, the lowest first.
    Number,
    /// A text behind its length.
    Text,
}

/// The fields of a row, in the order in which they count. In the row the numbers come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(&'static [Field]);

impl Shape {
    /// Of these fields.
    #[must_use]
    pub const fn new(fields: &'static [Field]) -> Self {
        Self(fields)
    }

    /// The fields of a row, each as it counts: a number as it is, a text as [`text`] says. Nothing
    /// where the row is not of this shape.
    #[must_use]
    pub fn fields(self, row: &[u8]) -> Option<Vec<u64>> {
        let (fields, row) = match self.0 {
            [Field::Kind, fields @ ..] => (fields, row.get(1..)?),
            fields => (fields, row),
        };
        let numbers = fields.iter().filter(|field| **field == Field::Number);
        let (mut numbers, mut texts) = row.split_at_checked(8 * numbers.count())?;
        let counts = fields.iter().map(|field| match field {
            Field::Kind => None,
            Field::Number => {
                let (number, rest) = numbers.split_first_chunk()?;
                numbers = rest;
                Some(u64::from_le_bytes(*number))
            }
            Field::Text => {
                let (length, rest) = texts.split_first_chunk::<LENGTH_BYTES>()?;
                let length = usize::from(u16::from_le_bytes(*length));
                let (bytes, rest) = rest.split_at_checked(length)?;
                texts = rest;
                Some(text(std::str::from_utf8(bytes).ok()?))
            }
        });
        let counts = counts.collect::<Option<_>>()?;
        texts.is_empty().then_some(counts)
    }

    /// What a row adds to the sum; nothing where it is not of this shape.
    #[must_use]
    pub fn fold(self, row: &[u8]) -> Option<u64> {
        self.fields(row).map(fold)
    }
}

/// Appends a row of these numbers and texts.
pub fn write_row(numbers: &[u64], texts: &[&str], out: &mut Vec<u8>) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for text in texts {
        out.extend_from_slice(&(text.len() as u16).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape::new(&[Field::Text, Field::Number, Field::Text]);

    #[test]
    fn fields_count_in_the_order_of_the_shape() {
        let mut row = Vec::new();
        write_row(&[7], &["ab", ""], &mut row);
        assert_eq!(row, b"\x07\0\0\0\0\0\0\0\x02\0ab\0\0");
        assert_eq!(SHAPE.fields(&row), Some(vec![text("ab"), 7, text("")]));
        assert_eq!(SHAPE.fold(&row), Some(fold([text("ab"), 7, 0])));
    }

    #[test]
    fn a_kind_stands_before_all_and_does_not_count() {
        let shape = Shape::new(&[Field::Kind, Field::Number, Field::Text]);
        let mut row = vec![b'B'];
        write_row(&[7], &["ab"], &mut row);
        assert_eq!(shape.fields(&row), Some(vec![7, text("ab")]));
        assert_eq!(shape.fields(&row[1..]), None);
        assert_eq!(shape.fields(b""), None);
    }

    #[test]
    fn a_row_of_another_shape_has_no_fields() {
        let mut row = Vec::new();
        write_row(&[7], &["ab", "c"], &mut row);
        for end in 0..row.len() {
            assert_eq!(SHAPE.fields(&row[..end]), None, "{end}");
        }
        row.push(b'x');
        assert_eq!(SHAPE.fields(&row), None);
    }
}
