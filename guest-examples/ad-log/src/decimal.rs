//! Decimals: sums of prices must not depend on what a binary fraction can say.
//!
//! INVARIANT: a sum is exact. Only a mean is rounded, and only behind its ninth place.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;

use weir_guest::{Error, Result, StateCodec};

/// Places behind the point.
const PLACES: usize = 9;
/// One, in the unit of the last place.
const ONE: i128 = 1_000_000_000;
/// Digits in front of the point, of what is read: many more such numbers can be added up than there
/// will ever be.
const MAX_DIGITS: usize = 18;

/// A decimal number with up to nine places, shown without zeros at the end.
///
/// ```
/// use ad_log::Decimal;
///
/// let price: Decimal = "0.10".parse().unwrap();
/// let sum = price + "0.2".parse().unwrap();
/// assert_eq!(sum.to_string(), "0.3");
/// assert_eq!(sum.mean_of(9).unwrap().to_string(), "0.033333333");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    /// In the unit of the last place.
    units: i128,
}

impl Decimal {
    /// This sum shared among so many: exact where nine places are enough, else rounded to nine, a
    /// half away from zero. Nothing of nobody.
    #[must_use]
    pub fn mean_of(self, count: u64) -> Option<Self> {
        let count = i128::from(count);
        let whole = self.units.checked_div(count)?;
        let rest = self.units % count;
        let up = rest.abs() * 2 >= count;
        let units = whole + i128::from(up) * rest.signum();
        Some(Self { units })
    }
}

impl Add for Decimal {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        // Out of reach: see `MAX_DIGITS`.
        let units = self.units.saturating_add(other.units);
        Self { units }
    }
}

impl FromStr for Decimal {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.trim_start_matches(['-', '+', '0']).split('.').next();
        if digits.is_some_and(|digits| digits.len() > MAX_DIGITS) {
            return Err("it has more than 18 digits in front of the point");
        }
        parse(text)
    }
}

/// Any decimal that there is room for.
fn parse(text: &str) -> Result<Decimal, &'static str> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err("it has other than decimal digits and a point between them");
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > PLACES {
        return Err("it has more than 9 places");
    }
    let zeros = std::iter::repeat_n(b'0', PLACES - fraction.len());
    let mut digits = whole.bytes().chain(fraction.bytes()).chain(zeros);
    let units = digits.try_fold(0_i128, |units, digit| {
        units.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
    });
    let units = units.ok_or("it is too large")?;
    let units = if text.starts_with('-') { -units } else { units };
    Ok(Decimal { units })
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.units < 0 {
            f.write_str("-")?;
        }
        let units = self.units.unsigned_abs();
        let one = ONE.unsigned_abs();
        write!(f, "{}", units / one)?;
        let rest = units % one;
        if rest == 0 {
            return Ok(());
        }
        let places = format!("{rest:0PLACES$}");
        write!(f, ".{}", places.trim_end_matches('0'))
    }
}

/// In state it is what it is on paper.
impl StateCodec for Decimal {
    fn format() -> String {
        "decimal".to_owned()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self.to_string().as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes)?;
        parse(text).map_err(|error| Error::new(format_args!("`{text}` is no decimal: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn decimals_are_shown_as_anybody_writes_them() {
        for (text, shown) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("007", "7"),
            ("12.30", "12.3"),
            ("+1.000000001", "1.000000001"),
            ("-0.05", "-0.05"),
            (
                "999999999999999999.999999999",
                "999999999999999999.999999999",
            ),
            ("1.00000000000000", "1"),
        ] {
            assert_eq!(decimal(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in [
            "", "-", ".5", "5.", "1,5", "1e3", "0x1", " 1", "1.5.2", "--1", "\u{664}",
        ] {
            let error = text.parse::<Decimal>().unwrap_err();
            assert!(error.contains("other than decimal digits"), "{text}");
        }
        let error = "1.0000000001".parse::<Decimal>().unwrap_err();
        assert!(error.contains("9 places"));
        let error = "1000000000000000000".parse::<Decimal>().unwrap_err();
        assert!(error.contains("18 digits"));
    }

    #[test]
    fn sums_are_exact() {
        let tenth = decimal("0.1");
        let sum = (0..1000).fold(Decimal::default(), |sum, _| sum + tenth);
        assert_eq!(sum, decimal("100"));
        assert_eq!((decimal("-3.5") + decimal("3.5")).to_string(), "0");
    }

    #[test]
    fn a_mean_is_rounded_behind_its_ninth_place_only() {
        let mean = |sum: &str, count| decimal(sum).mean_of(count).unwrap().to_string();
        assert_eq!(mean("30", 4), "7.5");
        assert_eq!(mean("10", 3), "3.333333333");
        assert_eq!(mean("20", 3), "6.666666667");
        assert_eq!(mean("-20", 3), "-6.666666667");
        assert_eq!(mean("0.000000001", 2), "0.000000001");
        assert_eq!(mean("-0.000000001", 2), "-0.000000001");
        assert_eq!(mean("0.000000001", 3), "0");
        assert_eq!(decimal("1").mean_of(0), None);
    }

    #[test]
    fn a_decimal_survives_in_state() {
        let long = decimal("999999999999999999.999999999");
        // A sum may be longer than what is read.
        for value in [decimal("0"), decimal("-12.5"), long, long + long] {
            let mut bytes = Vec::new();
            value.encode(&mut bytes).unwrap();
            assert_eq!(Decimal::decode(&bytes).unwrap(), value);
        }
        let error = Decimal::decode(b"dear").unwrap_err();
        assert!(error.to_string().starts_with("`dear` is no decimal"));
        assert!(Decimal::decode("9".repeat(40).as_bytes()).is_err());
    }
}
