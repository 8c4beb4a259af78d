//! RFC 8785 text of JSON values, which is what a key holds of anything but a string (D2).
//!
//! INVARIANT: equal values give equal text, however they are written. One extension: a whole number
//! of 64 bits keeps all its digits, where RFC 8785 would round it to a double and shorten that; so
//! two different numbers of an account never become one key, and `1e18` is the key that
//! `1000000000000000000` is.

use std::io::{Cursor, Write as _};

use serde_json::{Number, Value};

use crate::key::{JSON_OTHER, JSON_STRING};

/// Appends the part of a key that a string gives: a type byte and its UTF-8 bytes.
pub(crate) fn write_part_string(text: &str, out: &mut Vec<u8>) {
    out.push(JSON_STRING);
    out.extend_from_slice(text.as_bytes());
}

/// Appends the part of a key that anything but a string gives: a type byte and canonical text.
pub(crate) fn write_part_value(value: &Value, out: &mut Vec<u8>) {
    out.push(JSON_OTHER);
    write_value(value, out);
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(list) => {
            write_list(b"[]", list, out, write_value);
        }
        Value::Object(map) => {
            // In order of UTF-16 code units, which is not that of UTF-8 bytes.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            write_list(b"{}", &entries, out, |(name, value), out| {
                write_string(name, out);
                out.push(b':');
                write_value(value, out);
            });
        }
    }
}

fn write_list<T>(
    around: &[u8; 2],
    list: &[T],
    out: &mut Vec<u8>,
    write: impl Fn(&T, &mut Vec<u8>),
) {
    out.push(around[0]);
    for (i, item) in list.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(around[1]);
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x09 => b't',
            0x0a => b'n',
            0x0c => b'f',
            0x0d => b'r',
            0x00..0x20 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.push(b'"');
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    if let Some(n) = number.as_i64() {
        let _ = write!(out, "{n}");
    } else if let Some(n) = number.as_u64() {
        let _ = write!(out, "{n}");
    } else {
        let double = number.as_f64().unwrap_or_default();
        // Those that could have been written as an integer of 64 bits; both bounds are doubles.
        if double.fract() == 0.0 && (-TWO_63..2.0 * TWO_63).contains(&double) {
            let _ = write!(out, "{}", double as i128);
        } else {
            write_f64(double, out);
        }
    }
}

const TWO_63: f64 = 9_223_372_036_854_775_808.0;

/// As ECMAScript's `Number.prototype.toString` writes it.
fn write_f64(number: f64, out: &mut Vec<u8>) {
    if number == 0.0 {
        out.push(b'0'); // -0 too
        return;
    }
    let mut buffer = Cursor::new([0; 32]);
    let text = shortest(number.abs(), &mut buffer);
    let mut digits = Cursor::new([0; 32]);
    let mut exponent = 0;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'.' => {}
            b'e' => {
                let text = str::from_utf8(&text[at + 1..]).unwrap_or_default();
                exponent = text.parse::<i32>().unwrap_or_default();
                break;
            }
            digit => {
                let _ = digits.write(&[digit]);
            }
        }
    }
    if number < 0.0 {
        out.push(b'-');
    }
    let count = digits.position() as usize;
    place_digits(&digits.get_ref()[..count], exponent, out);
}

/// The shortest digits that read back as this number, as `d.ddde-ddd`; there are at most 17. Of two
/// that are equally close the even one, which is where Rust's own choice differs.
fn shortest(number: f64, buffer: &mut Cursor<[u8; 32]>) -> &[u8] {
    // Neither can fail: the buffer is large enough.
    let _ = write!(buffer, "{number:e}");
    let len = buffer.position() as usize;
    let digits = buffer.get_ref()[..len].iter().take_while(|b| **b != b'e');
    let decimals = digits.count().saturating_sub(2);
    let mut rounded = Cursor::new([0; 32]);
    let _ = write!(rounded, "{number:.decimals$e}");
    let rounded_len = rounded.position() as usize;
    let text = str::from_utf8(&rounded.get_ref()[..rounded_len]);
    if text.is_ok_and(|text| text.parse() == Ok(number)) {
        *buffer = rounded;
    }
    let len = buffer.position() as usize;
    &buffer.get_ref()[..len]
}

/// Writes the number `d.ddd * 10^exponent` of the given digits.
fn place_digits(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let zeros = |count: i32, out: &mut Vec<u8>| {
        for _ in 0..count {
            out.push(b'0');
        }
    };
    // Where the point stands, counted from the first digit.
    let point = exponent + 1;
    match point {
        -5..=0 => {
            out.extend_from_slice(b"0.");
            zeros(-point, out);
            out.extend_from_slice(digits);
        }
        1..=21 => {
            let whole = digits.len().min(point as usize);
            out.extend_from_slice(&digits[..whole]);
            zeros(point - whole as i32, out);
            if whole < digits.len() {
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
        _ => {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            let sign = if exponent < 0 { '-' } else { '+' };
            let _ = write!(out, "e{sign}{}", exponent.unsigned_abs());
        }
    }
}

#[cfg(test)]
mod tests;
