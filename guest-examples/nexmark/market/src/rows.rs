//! Rows as bytes, for the tests of the guests.

use weir_guest::{Result, StateCodec, testing::Output};

/// An event of this kind.
#[must_use]
pub fn event(kind: u8, numbers: &[u64], texts: &[&str]) -> Vec<u8> {
    let mut event = row(numbers, texts);
    event.insert(0, kind);
    event
}

/// A row of numbers and then texts.
#[must_use]
pub fn row(numbers: &[u64], texts: &[&str]) -> Vec<u8> {
    let mut row: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
    for text in texts {
        row.extend_from_slice(&(text.len() as u16).to_le_bytes());
        row.extend_from_slice(text.as_bytes());
    }
    row
}

/// The rows of the main output.
#[must_use]
pub fn main(out: &Output) -> Vec<Vec<u8>> {
    of(out, 0)
}

/// The rows of a side output, by its number from 1.
#[must_use]
pub fn of(out: &Output, output: u32) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    for emitted in out.emitted.iter().filter(|it| it.output == output) {
        let mut start = 0;
        for end in &emitted.values.ends {
            rows.push(emitted.values.bytes[start..*end as usize].to_vec());
            start = *end as usize;
        }
    }
    rows
}

/// What the rows of the main output say.
///
/// # Errors
/// If one of them is no `T`.
pub fn told<T: StateCodec>(out: &Output) -> Result<Vec<T>> {
    main(out).iter().map(|row| T::decode(row)).collect()
}
