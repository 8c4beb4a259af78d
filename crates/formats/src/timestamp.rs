//! Timestamp selectors: the event time of each row, in milliseconds.
//!
//! INVARIANT: one time per row, whatever the row holds; a finer time is rounded down, before the
//! epoch too.

use weir_model::{ColumnView, EventTime};

use crate::{
    JSON_STRING, Pointer,
    csv::Fields,
    json::{Found, Places},
};

/// What a number in a row counts, since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    #[default]
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// A row without a usable time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTimestamp {
    /// The row.
    pub row: u32,
    /// What is missing or wrong.
    pub message: String,
    /// Whether there is no time, and such rows are to be left out without a word.
    pub left_out: bool,
}

/// Takes the event time out of each row: a number, with or without a fraction, in a csv column or
/// at a place of a JSON row (where a string that holds a number will do).
///
/// ```
/// use weir_formats::{TimeUnit, TimestampSelector};
/// use weir_model::Column;
///
/// let rows: Column = [&b"a,1700000000.25"[..], b"b,soon"].into_iter().collect();
/// let (mut times, mut bad) = (Vec::new(), Vec::new());
/// TimestampSelector::column(b',', 1, TimeUnit::Seconds).select(rows.view(), &mut times, &mut bad);
/// assert_eq!(times[0], 1_700_000_000_250);
/// assert_eq!(bad[0].message, "column 1 is `soon`, which is not a time in seconds");
/// ```
#[derive(Clone, Debug)]
pub struct TimestampSelector {
    place: Place,
    unit: TimeUnit,
    /// Whether rows without a time are left out.
    leaves_out: bool,
}

/// Why there is no time.
struct NoTime {
    message: String,
    is_empty: bool,
}

#[derive(Clone, Debug)]
enum Place {
    Column { delimiter: u8, column: usize },
    Pointer { places: Places, pointer: Pointer },
}

impl TimeUnit {
    /// The unit in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }

    /// How many 10^-9 of the unit a millisecond has.
    fn billionths_per_ms(self) -> i128 {
        match self {
            Self::Seconds => 1_000_000,
            Self::Milliseconds => 1_000_000_000,
            Self::Microseconds => 1_000_000_000_000,
            Self::Nanoseconds => 1_000_000_000_000_000,
        }
    }
}

impl TimestampSelector {
    /// The time is in this column (from 0) of a csv row.
    #[must_use]
    pub fn column(delimiter: u8, column: usize, unit: TimeUnit) -> Self {
        Self {
            place: Place::Column { delimiter, column },
            unit,
            leaves_out: false,
        }
    }

    /// The time is at this place of a JSON row.
    #[must_use]
    pub fn pointer(pointer: Pointer, unit: TimeUnit) -> Self {
        let places = Places::new(vec![pointer.clone()]);
        Self {
            place: Place::Pointer { places, pointer },
            unit,
            leaves_out: false,
        }
    }

    /// Leaves rows out whose time is empty, or `null`, and calls none of them bad.
    #[must_use]
    pub fn leaving_out_empty(mut self) -> Self {
        self.leaves_out = true;
        self
    }

    /// Appends one time per row to `times`; for a row without a usable time 0, and an entry in
    /// `bad` in order of rows.
    pub fn select(
        &self,
        values: ColumnView<'_>,
        times: &mut Vec<i64>,
        bad: &mut Vec<BadTimestamp>,
    ) {
        let mut found = Found::default();
        for (row, value) in (0..).zip(values.iter()) {
            match self.time_of(value, &mut found) {
                Ok(time) => times.push(time),
                Err(NoTime { message, is_empty }) => {
                    times.push(0);
                    bad.push(BadTimestamp {
                        row,
                        message,
                        left_out: is_empty && self.leaves_out,
                    });
                }
            }
        }
    }

    fn time_of(&self, row: &[u8], found: &mut Found) -> Result<i64, NoTime> {
        let bad = |message: String| NoTime {
            message,
            is_empty: false,
        };
        match &self.place {
            &Place::Column { delimiter, column } => {
                let field = Fields::new(row, delimiter).nth(column).ok_or_else(|| {
                    let count = Fields::new(row, delimiter).count();
                    bad(format!(
                        "there is no column {column}: the row has {count} fields"
                    ))
                })?;
                let text = field.text();
                parse(&text, self.unit)
                    .ok_or_else(|| self.not_a_time(&format!("column {column}"), &text))
            }
            Place::Pointer { places, pointer } => {
                places.find(row, found).map_err(bad)?;
                let part = places.values(found).next();
                let part = part
                    .unwrap_or(Ok(&[JSON_STRING]))
                    .map_err(|message| NoTime {
                        message,
                        is_empty: places.is_null(found),
                    })?;
                let text = &part[1..]; // behind the type byte
                parse(text, self.unit).ok_or_else(|| self.not_a_time(&pointer.to_string(), text))
            }
        }
    }

    fn not_a_time(&self, place: &str, text: &[u8]) -> NoTime {
        /// Enough to recognise a value by.
        const SHOWN: usize = 40;
        let cut = if text.len() > SHOWN { "…" } else { "" };
        let text = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
        let unit = self.unit.as_str();
        let trimmed = text.trim();
        NoTime {
            is_empty: trimmed.is_empty() || trimmed == "null",
            message: format!("{place} is `{text}{cut}`, which is not a time in {unit}"),
        }
    }
}

/// Milliseconds of a decimal number of the unit, rounded down.
fn parse(text: &[u8], unit: TimeUnit) -> Option<i64> {
    let text = text.trim_ascii();
    let (negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let point = memchr::memchr(b'.', text);
    let (whole, fraction) = match point {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    // More digits than any time has, and few enough for the arithmetic below.
    if whole.is_empty() || whole.len() > 28 || (point.is_some() && fraction.is_empty()) {
        return None;
    }
    let mut billionths: i128 = 0;
    for digit in whole {
        billionths = billionths * 10 + digit_of(*digit)?;
    }
    let mut rest = 0;
    for at in 0..fraction.len().max(9) {
        let digit = fraction.get(at).map_or(Some(0), |d| digit_of(*d))?;
        if at < 9 {
            billionths = billionths * 10 + digit;
        } else {
            rest |= digit;
        }
    }
    if negative {
        billionths = -billionths - i128::from(rest != 0);
    }
    let ms = i64::try_from(billionths.div_euclid(unit.billionths_per_ms())).ok()?;
    // The two ends of time are watermarks, and no row's.
    (EventTime::MIN < EventTime(ms) && EventTime(ms) < EventTime::MAX).then_some(ms)
}

fn digit_of(byte: u8) -> Option<i128> {
    byte.is_ascii_digit().then(|| i128::from(byte - b'0'))
}

#[cfg(test)]
mod tests;
