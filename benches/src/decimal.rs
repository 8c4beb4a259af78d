//! Numbers as text, eight digits at a time, in the same way as the guest SDK: so operators that are
//! compared differ in the sandbox only, and a source that makes rows costs little.

/// Writes a number in decimal.
pub fn write_decimal(number: u64, out: &mut Vec<u8>) {
    if number >= EIGHT_DIGITS {
        write_decimal(number / EIGHT_DIGITS, out);
        let digits = digits_of((number % EIGHT_DIGITS) as u32);
        out.extend_from_slice(&(digits | ZEROS).to_le_bytes());
        return;
    }
    let digits = digits_of(number as u32);
    let leading = (digits.trailing_zeros() / 8).min(7);
    let end = out.len() + 8 - leading as usize;
    let text = (digits | ZEROS) >> (8 * leading);
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(end);
}

const EIGHT_DIGITS: u64 = 100_000_000;
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight digits of a number that has no more, the first in the lowest byte.
fn digits_of(number: u32) -> u64 {
    let (high, low) = (u64::from(number / 10_000), u64::from(number % 10_000));
    let fours = high | low << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - tens * 10) << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        let mut numbers = vec![0, 9, 10, 99, 100, u64::MAX, u64::MAX - 1];
        numbers.extend((0..20).flat_map(|n| [10_u64.pow(n) - 1, 10_u64.pow(n), 7 * (1 << n)]));
        for number in numbers {
            let mut out = b"x".to_vec();
            write_decimal(number, &mut out);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
    }
}
