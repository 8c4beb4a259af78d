//! RFC 8785 text of JSON values, which is what a key holds of anything but a string (D2).
//!
//! INVARIANT: equal values give equal text. One extension: an integer beyond 2^53 keeps all its
//! digits, where RFC 8785 would round it to a double; so two different numbers of an account never
//! become one key.

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
        write_f64(number.as_f64().unwrap_or_default(), out);
    }
}

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
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        let mut out = Vec::new();
        write_value(&serde_json::from_str(json).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rfc_8785_section_3_2_2() {
        let json = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,
            0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals":[null,true,false]}"#;
        assert_eq!(
            canonical(json),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#
                .to_owned()
                + r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
    }

    #[test]
    fn rfc_8785_sorts_names_by_utf_16() {
        let json = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        assert_eq!(
            canonical(json),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}"
        );
    }

    #[test]
    fn rfc_8785_appendix_b_numbers() {
        for (bits, text) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            let mut out = Vec::new();
            write_f64(f64::from_bits(bits), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text, "{bits:016x}");
        }
    }

    #[test]
    fn large_integers_keep_their_digits() {
        assert_eq!(canonical("9007199254740993"), "9007199254740993");
        assert_eq!(canonical("18446744073709551615"), "18446744073709551615");
        assert_eq!(canonical("[1.0, -0, 1e2]"), "[1,0,100]");
    }
}
