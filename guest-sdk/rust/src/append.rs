//! Appending short byte strings and numbers to an output.
//!
//! On wasm a copy whose length is not a constant is a call out of the compiled code, which costs
//! more than the copy itself where a row is written in pieces of a few bytes.

/// Beyond this the engine's copy is the better one.
const SHORT: usize = 64;

/// Appends bytes that are mostly few.
#[inline]
pub(crate) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > SHORT {
        out.extend_from_slice(bytes);
        return;
    }
    out.reserve(bytes.len());
    let (eights, rest) = bytes.as_chunks::<8>();
    for eight in eights {
        out.extend_from_slice(eight);
    }
    let (fours, rest) = rest.as_chunks::<4>();
    for four in fours {
        out.extend_from_slice(four);
    }
    let (twos, rest) = rest.as_chunks::<2>();
    for two in twos {
        out.extend_from_slice(two);
    }
    out.extend(rest.first());
}

/// Appends a number in decimal.
pub(crate) fn append_decimal(out: &mut Vec<u8>, mut number: u64) {
    // The longest number has 20 digits.
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    append(out, &digits[start..]);
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
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let mut out = vec![7];
            append(&mut out, &bytes[..length]);
            assert_eq!(out[0], 7);
            assert_eq!(out[1..], bytes[..length]);
        }
    }

    #[test]
    fn numbers_are_those_of_display() {
        for number in [0, 1, -1, 9, 10, -10, 99, 100, 12345, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            append_decimal_signed(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
        let mut out = Vec::new();
        append_decimal(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string().into_bytes());
    }
}
