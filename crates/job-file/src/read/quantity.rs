//! Durations (`200ms`) and sizes (`64MiB`) as they are written.

use std::time::Duration;

/// The longest duration, 100 years: whoever means "never" can leave the key out, and no clock runs
/// over when it is added.
const MAX_DURATION_MS: u64 = 36_500 * 86_400_000;
/// The largest size, 8 EiB: what files and memory can be asked for.
const MAX_SIZE: u64 = 1 << 63;

/// What can be written.
pub(super) struct Quantity {
    /// Its units, in the smallest one.
    units: &'static [(&'static str, u64)],
    /// What people write for a unit elsewhere.
    aliases: &'static [(&'static str, &'static str)],
    /// The largest, in the smallest unit.
    max: u64,
    /// The largest, as it is written.
    max_text: &'static str,
    /// The smallest unit, in words.
    whole: &'static str,
    /// How it is written.
    help: &'static str,
}

pub(super) const DURATION: Quantity = Quantity {
    units: &[
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ],
    aliases: &[
        ("msec", "ms"),
        ("millis", "ms"),
        ("milliseconds", "ms"),
        ("sec", "s"),
        ("secs", "s"),
        ("second", "s"),
        ("seconds", "s"),
        ("min", "m"),
        ("mins", "m"),
        ("minute", "m"),
        ("minutes", "m"),
        ("hr", "h"),
        ("hour", "h"),
        ("hours", "h"),
        ("day", "d"),
        ("days", "d"),
    ],
    max: MAX_DURATION_MS,
    max_text: "36500d",
    whole: "milliseconds",
    help: "durations are written `200ms`, `1.5s`, `10m`, `2h` or `1d`",
};

pub(super) const SIZE: Quantity = Quantity {
    units: &[
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ],
    // As the configuration of the JVM and of Flink has them, where they are powers of 1024.
    aliases: &[
        ("k", "KiB"),
        ("m", "MiB"),
        ("g", "GiB"),
        ("t", "TiB"),
        ("kb", "KiB"),
        ("mb", "MiB"),
        ("gb", "GiB"),
        ("tb", "TiB"),
        ("bytes", "B"),
    ],
    max: MAX_SIZE,
    max_text: "8388608TiB",
    whole: "bytes",
    help: "sizes are written `512B`, `64KiB`, `64MiB` or `1.5GiB`, or with `kB`, `MB` and `GB` for \
           powers of ten",
};

/// What is wrong with a quantity.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is said under it.
    pub(super) label: String,
    /// How it is written, where the text is none.
    pub(super) help: Option<&'static str>,
}

/// What it looks like, as a regular expression of JSON Schema.
pub(super) fn pattern(kind: &Quantity) -> String {
    let units: Vec<&str> = kind.units.iter().map(|(unit, _)| *unit).collect();
    format!("^[0-9]+(\\.[0-9]+)? *({})$", units.join("|"))
}

/// Reads a duration.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    read(text, &DURATION).map(Duration::from_millis)
}

/// Reads a size in bytes.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    read(text, &SIZE)
}

/// A quantity as it is written in Flink's files, as it is written here: a number alone is in the
/// smallest unit, and units have several names. `None` where it is none.
pub(super) fn as_ours(text: &str, kind: &Quantity) -> Option<String> {
    let (number, unit) = split(text)?;
    let (smallest, _) = kind.units.first()?;
    let known = kind.units.iter().any(|(name, _)| *name == unit);
    match unit {
        "" => Some(format!("{number}{smallest}")),
        _ if known => Some(text.to_owned()),
        _ => meant(unit, kind).map(|unit| format!("{number}{unit}")),
    }
}

/// A number, whole or with a point, and a unit. It must come to a whole number of the smallest
/// unit.
fn read(text: &str, kind: &Quantity) -> Result<u64, Wrong> {
    let wrong = |label: String| Wrong {
        label,
        help: Some(kind.help),
    };
    let (number, unit) = split(text).ok_or_else(|| wrong("this is no number".to_owned()))?;
    if unit.is_empty() {
        return Err(wrong("a unit is missing".to_owned()));
    }
    let Some(&(_, scale)) = kind.units.iter().find(|(name, _)| *name == unit) else {
        return Err(wrong(match meant(unit, kind) {
            Some(meant) => format!("did you mean `{number}{meant}`?"),
            None => format!("`{unit}` is no unit"),
        }));
    };
    let label = match scaled(number, scale) {
        Scaled::Whole(value) if value <= kind.max => return Ok(value),
        Scaled::Whole(_) | Scaled::TooLarge => format!("must be at most {}", kind.max_text),
        Scaled::NotWhole => format!("must come to whole {}", kind.whole),
    };
    Err(Wrong { label, help: None })
}

/// The number and the unit behind it; `None` where it does not begin with a number.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits(whole) && digits(part)).then(|| (number, unit.trim_start_matches(' ')))
}

/// The unit that another spelling stands for.
fn meant(unit: &str, kind: &Quantity) -> Option<&'static str> {
    let lower = unit.to_lowercase();
    let same = kind.units.iter().map(|(name, _)| *name);
    let alias = kind.aliases.iter().find(|(alias, _)| *alias == lower);
    alias
        .map(|(_, unit)| *unit)
        .or_else(|| same.into_iter().find(|name| name.to_lowercase() == lower))
}

enum Scaled {
    Whole(u64),
    NotWhole,
    TooLarge,
}

fn scaled(number: &str, scale: u64) -> Scaled {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    // Zeros at the end of a part say nothing, and would make it too long.
    let part = part.trim_end_matches('0');
    let Some(whole) = whole.parse().ok().and_then(|n: u64| n.checked_mul(scale)) else {
        return Scaled::TooLarge;
    };
    if part.is_empty() {
        return Scaled::Whole(whole);
    }
    // A part that is too long for this has digits below any unit.
    let sum = || {
        let tens = 10u128.checked_pow(u32::try_from(part.len()).ok()?)?;
        let part = part.parse::<u128>().ok()?.checked_mul(scale.into())?;
        (part % tens == 0).then(|| u64::try_from(part / tens).ok())?
    };
    match sum() {
        None => Scaled::NotWhole,
        Some(part) => whole
            .checked_add(part)
            .map_or(Scaled::TooLarge, Scaled::Whole),
    }
}

#[cfg(test)]
mod tests;
