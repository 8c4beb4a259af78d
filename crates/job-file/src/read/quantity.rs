//! Durations (`200ms`) and sizes (`64MiB`) as they are written.

use std::time::Duration;

/// The units of durations, in milliseconds.
const TIMES: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// The units of sizes, in bytes.
const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Reads a duration; the error says what was expected.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = "a number with `ms`, `s`, `m`, `h` or `d` behind it, such as `200ms`";
    read(text, &TIMES)
        .map(Duration::from_millis)
        .ok_or_else(|| expected.to_owned())
}

/// Reads a size in bytes; the error says what was expected.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let expected = "a number with `B`, `KiB`, `MiB` or `GiB` behind it, such as `64MiB`";
    read(text, &SIZES).ok_or_else(|| expected.to_owned())
}

/// A number, whole or with a point, and a unit. It must come to a whole number of the smallest
/// unit.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start_matches(' ');
    let &(_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let mut sum = whole.checked_mul(scale)?;
    if number.contains('.') {
        let tens = 10u64.checked_pow(u32::try_from(part.len()).ok()?)?;
        let part = part.parse::<u64>().ok()?.checked_mul(scale)?;
        if part % tens != 0 {
            return None;
        }
        sum = sum.checked_add(part / tens)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_a_unit_and_are_whole() {
        for (text, ms) in [
            ("200ms", 200),
            ("1s", 1000),
            ("1.5s", 1500),
            ("2 m", 120_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("1.5KiB"), Ok(1536));
        assert_eq!(size("10MB"), Ok(10_000_000));
        for text in [
            "",
            "1",
            "s",
            "1 fortnight",
            "1.s",
            "-1s",
            "0.0001s",
            "1..5s",
            "99999999999d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(size("1.0001B").is_err());
        assert!(size("64mib").is_err());
    }
}
