//! Appending short byte strings and numbers to an output.
//!
//! On wasm a copy whose length is not a constant is a call out of the compiled code, which costs
//! more than the copy itself where a row is written in pieces of a few bytes.

/// Beyond this the engine's copy is the better one.
const SHORT: usize = 64;

/// Appends bytes that are mostly few.
#[inline]
pub(crate) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes {
        // What stands between two parts is mostly known to the compiler, and then no loop is left.
        [byte] => out.push(*byte),
        _ => {
            append_noting_ascii(out, bytes);
        }
    }
}

/// Appends bytes that are mostly few, and says whether they were few and ASCII: then they are text,
/// which is found out in passing.
pub(crate) fn append_noting_ascii(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    if bytes.len() > SHORT {
        out.extend_from_slice(bytes);
        return false;
    }
    out.reserve(bytes.len());
    let mut seen = 0;
    let (eights, rest) = bytes.as_chunks::<8>();
    for eight in eights {
        seen |= u64::from_le_bytes(*eight);
        out.extend_from_slice(eight);
    }
    let (fours, rest) = rest.as_chunks::<4>();
    for four in fours {
        seen |= u64::from(u32::from_le_bytes(*four));
        out.extend_from_slice(four);
    }
    let (twos, rest) = rest.as_chunks::<2>();
    for two in twos {
        seen |= u64::from(u16::from_le_bytes(*two));
        out.extend_from_slice(two);
    }
    if let Some(last) = rest.first() {
        seen |= u64::from(*last);
        out.push(*last);
    }
    seen & 0x8080_8080_8080_8080 == 0
}

/// Appends a row that is bytes already. Many are a number.
#[inline]
pub(crate) fn append_row(out: &mut Vec<u8>, row: &[u8]) {
    match row.as_array::<8>() {
        Some(number) => out.extend_from_slice(number),
        None => append_in_pieces(out, row),
    }
}

/// Rows longer than this are left to the engine's copy.
const LONG: usize = 64;

/// Appends bytes as pieces of constant lengths, of which the last lies over the one before it as
/// far as need be.
fn append_in_pieces(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        0..4 => bytes.iter().for_each(|byte| out.push(*byte)),
        4..8 => append_pieces::<4>(out, bytes),
        8..16 => append_pieces::<8>(out, bytes),
        16..32 => append_pieces::<16>(out, bytes),
        32..=LONG => append_pieces::<32>(out, bytes),
        _ => out.extend_from_slice(bytes),
    }
}

/// The same with pieces of `LENGTH`; there are at least so many bytes.
#[inline]
fn append_pieces<const LENGTH: usize>(out: &mut Vec<u8>, bytes: &[u8]) {
    let end = out.len() + bytes.len();
    out.reserve(bytes.len());
    let (pieces, rest) = bytes.as_chunks::<LENGTH>();
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    if let Some(last) = bytes.last_chunk::<LENGTH>().filter(|_| !rest.is_empty()) {
        out.truncate(end - LENGTH);
        out.extend_from_slice(last);
    }
}

/// Appends a number in decimal.
#[inline]
pub(crate) fn append_decimal(out: &mut Vec<u8>, number: u64) {
    if number >= EIGHT_DIGITS {
        append_long_decimal(out, number);
        return;
    }
    let digits = digits_of(number as u32);
    let leading = (digits.trailing_zeros() / 8).min(7);
    let end = out.len() + 8 - leading as usize;
    // Eight bytes at a constant length, and those that are too many taken back.
    let text = (digits | ZEROS) >> (8 * leading);
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(end);
}

/// The first number that has more than eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;
/// Eight times the digit 0.
const ZEROS: u64 = 0x3030_3030_3030_3030;

fn append_long_decimal(out: &mut Vec<u8>, number: u64) {
    append_decimal(out, number / EIGHT_DIGITS);
    let digits = digits_of((number % EIGHT_DIGITS) as u32);
    out.extend_from_slice(&(digits | ZEROS).to_le_bytes());
}

/// The eight digits of a number that has no more, the first in the lowest byte: halves, quarters
/// and eighths of the number are divided side by side, by multiplication.
#[inline]
fn digits_of(number: u32) -> u64 {
    let (high, low) = (u64::from(number / 10_000), u64::from(number % 10_000));
    let fours = high | low << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - tens * 10) << 8
}

/// Appends a number in decimal, with a minus sign if it is negative.
pub(crate) fn append_decimal_signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    append_decimal(out, number.unsigned_abs());
}

/// Takes in what `format_args!` writes.
pub(crate) struct Text<'o>(pub(crate) &'o mut Vec<u8>);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        append(self.0, text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lengths_are_appended_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(2 * LONG).collect();
        for length in 0..=bytes.len() {
            for append in [append, append_row] {
                let mut out = vec![7];
                append(&mut out, &bytes[..length]);
                assert_eq!(out[0], 7);
                assert_eq!(out[1..], bytes[..length]);
            }
        }
    }

    #[test]
    fn numbers_are_those_of_display() {
        for number in [0, 1, -1, 9, 10, -10, 99, 100, 12345, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            append_decimal_signed(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
        // Around every power of ten, and many in between.
        let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
        let around = powers.flat_map(|power| [power - 1, power, power.saturating_add(1)]);
        let between = (0..200_000_u64).map(|n| n * 9_973 * (n % 7 * n % 1_000_003 + 1));
        for number in around.chain(0..10_000).chain(between).chain([u64::MAX]) {
            let mut out = vec![b'x'];
            append_decimal(&mut out, number);
            assert_eq!(out[1..], *number.to_string().as_bytes(), "{number}");
        }
    }

    #[test]
    fn what_is_ascii_is_noted() {
        for length in 0..=SHORT {
            let mut bytes = vec![b'a'; length];
            assert!(append_noting_ascii(&mut Vec::new(), &bytes));
            for at in 0..length {
                bytes[at] = 0x80;
                assert!(
                    !append_noting_ascii(&mut Vec::new(), &bytes),
                    "{length} {at}"
                );
                bytes[at] = b'a';
            }
        }
    }
}
