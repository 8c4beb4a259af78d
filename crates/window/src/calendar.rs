//! Windows of the calendar of a time zone: days, weeks, months, quarters, years.
//!
//! They begin where the clocks of the zone say so, and are as long as that makes them: a day has 23
//! or 25 hours where clocks are put forward or back. What is known of zones is part of the program,
//! so that a row is in the same window on each machine.
//!
//! INVARIANT: windows follow each other without a gap, and the window of a time holds it: where
//! clocks are put back over the beginning of a day, that day begins when they show it first.

use std::{fmt, sync::OnceLock};

use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, Time},
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::{BadWindow, Window};

const DAY: i64 = 86_400_000;
/// Between these times, in the years -9000 and 9000, the calendar is known.
const KNOWN: std::ops::Range<i64> = -346_000_000_000_000..221_800_000_000_000;

/// What of the calendar a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    /// A day, from midnight.
    Day,
    /// A week, from Monday.
    Week,
    /// A month, from its first day.
    Month,
    /// Three months, from the first of January, April, July and October.
    Quarter,
    /// A year, from the first of January.
    Year,
}

/// A time zone, by its name in the database of zones.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// Windows of the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// What each of them is.
    pub each: Each,
    /// Whose clocks say when it begins.
    pub zone: Zone,
    /// How much later each begins by these clocks, in milliseconds.
    pub offset: i64,
}

impl Each {
    /// How long one is at least, in milliseconds by the clocks.
    #[must_use]
    pub fn least(self) -> i64 {
        match self {
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 28 * DAY,
            Self::Quarter => 90 * DAY,
            Self::Year => 365 * DAY,
        }
    }

    /// The first day of the one that a day is in.
    fn first(self, day: Date) -> Option<Date> {
        let month = match self {
            Self::Day => return Some(day),
            Self::Week => {
                let behind = day.weekday().to_monday_zero_offset();
                return day.checked_sub(i64::from(behind).days()).ok();
            }
            Self::Month => day.month(),
            Self::Quarter => (day.month() - 1) / 3 * 3 + 1,
            Self::Year => 1,
        };
        Date::new(day.year(), month, 1).ok()
    }

    /// The first day of the one so many behind it.
    fn after(self, first: Date, count: i64) -> Option<Date> {
        let span = match self {
            Self::Day => count.days(),
            Self::Week => count.weeks(),
            Self::Month => count.months(),
            Self::Quarter => (3 * count).months(),
            Self::Year => count.years(),
        };
        first.checked_add(span).ok()
    }
}

impl Zone {
    /// The zone in which days begin at midnight UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The zone of a name, such as `Europe/Berlin`; `None` where there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("utc") {
            return Some(Self::utc());
        }
        zones().get(name).ok().map(Self)
    }

    /// The names of all zones.
    #[must_use]
    pub fn names() -> Vec<String> {
        zones().available().map(|name| name.to_string()).collect()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

/// The zones that the program brings.
fn zones() -> &'static TimeZoneDatabase {
    static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
    ZONES.get_or_init(TimeZoneDatabase::bundled)
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}

impl Calendar {
    /// Whether there are such windows.
    ///
    /// # Errors
    /// [`BadWindow::Offset`].
    pub fn check(&self) -> Result<(), BadWindow> {
        let (offset, every) = (self.offset, self.each.least());
        match (0..every).contains(&offset) {
            true => Ok(()),
            false => Err(BadWindow::Offset { offset, every }),
        }
    }

    /// The window of a time. What is too far away for a calendar is in one window before all
    /// others, or behind them.
    #[must_use]
    pub fn window(&self, time: i64) -> Window {
        let first = || self.known(KNOWN.start).start;
        let last = || self.known(KNOWN.end - 1).end;
        if time < KNOWN.start && time < first() {
            let (start, end) = (i64::MIN, first());
            return Window { start, end };
        }
        if time >= KNOWN.end && time >= last() {
            let (start, end) = (last(), i64::MAX);
            return Window { start, end };
        }
        self.known(time.clamp(KNOWN.start, KNOWN.end - 1))
    }

    fn known(&self, time: i64) -> Window {
        // That a calendar does not know a time between those years does not happen.
        let unknown = Window {
            start: time,
            end: time.saturating_add(1),
        };
        self.found(time).unwrap_or(unknown)
    }

    fn found(&self, time: i64) -> Option<Window> {
        let clocks = self
            .zone
            .0
            .to_datetime(Timestamp::from_millisecond(time).ok()?);
        let shifted = clocks.checked_sub(SignedDuration::from_millis(self.offset));
        let mut first = self.each.first(shifted.ok()?.date())?;
        loop {
            // Clocks that were put back show a day again that is over.
            let start = self.start(first)?;
            if time < start {
                first = self.each.after(first, -1)?;
                continue;
            }
            let next = self.each.after(first, 1)?;
            let end = self.start(next)?;
            if time < end {
                return Some(Window { start, end });
            }
            first = next;
        }
    }

    /// When the window begins whose first day that is: at the first moment at which the clocks show
    /// it, or would if they were not put forward over it.
    fn start(&self, first: Date) -> Option<i64> {
        let offset = SignedDuration::from_millis(self.offset);
        let clocks = first.to_datetime(Time::midnight()).checked_add(offset);
        let begins = self.zone.0.to_timestamp(clocks.ok()?).ok()?;
        Some(begins.as_millisecond())
    }
}
