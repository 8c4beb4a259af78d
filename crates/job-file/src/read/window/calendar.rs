//! `calendar` of windows.

use serde_json::json;
use weir_window::{Calendar, Each, Zone};

use crate::{
    code,
    read::{
        fields::Fields,
        keys::{Key, Keys},
        kinds::{Special, Within, Words},
    },
    report::Report,
    source::Span,
    wording::{nearest, one_of, quote},
};

/// How many names of zones are told for one that there is not.
const SHOWN: usize = 3;

pub(super) const CALENDAR: Key<Within> = Key::of("calendar", Within(&CALENDAR_KEYS))
    .about(
        "Days, weeks, months, quarters or years by the clocks of a time zone; where clocks are put \
         forward or back, a day has 23 or 25 hours.",
    )
    .without("another key says which")
    .example("{ each: day, zone: Europe/Berlin }");

const CALENDAR_KEYS: Keys = Keys {
    elsewhere: &[
        ("timezone", "did you mean `zone`?"),
        ("time-zone", "did you mean `zone`?"),
        ("unit", "did you mean `each`?"),
        ("offset", "belongs beside `calendar`"),
    ],
    ..Keys::of("calendar", &[&EACH, &ZONE]).about("`calendar`", "Windows of the calendar.")
};

const EACH: Key<Words<Each>> = Key::of("each", EACH_WORDS)
    .about("What each window is.")
    .needed()
    .example("day");

const EACH_WORDS: Words<Each> = Words::of(&[
    ("day", Each::Day, "from midnight"),
    ("week", Each::Week, "from Monday"),
    ("month", Each::Month, "from its first day"),
    (
        "quarter",
        Each::Quarter,
        "from the first day of January, April, July or October",
    ),
    ("year", Each::Year, "from the first day of January"),
]);

const ZONE: Key<Special> = Key::of(
    "zone",
    Special::of(
        "name of a time zone",
        || json!({ "type": "string", "minLength": 1 }),
    ),
)
.about(
    "Whose clocks they go by: a name of the database of time zones (IANA), which is part of the \
     program.",
)
.usual("UTC")
.example("America/New_York");

/// Reads `calendar`, with windows that begin so much later.
pub(super) fn read(own: &Fields<'_>, offset: i64, report: &mut Report) -> Option<Calendar> {
    let own = own.within(&CALENDAR, report)?;
    let each = own.word(&EACH, report);
    let zone = match own.entry(&ZONE) {
        None => Some(Zone::utc()),
        Some(_) => {
            let (name, span) = own.text(&ZONE, report)?;
            zone(name, span, report)
        }
    };
    Some(Calendar {
        each: each?,
        zone: zone?,
        offset,
    })
}

fn zone(name: &str, span: Span, report: &mut Report) -> Option<Zone> {
    if let Some(zone) = Zone::named(name) {
        return Some(zone);
    }
    let message = format!("there is no time zone {}", quote(name));
    let names = Zone::names();
    let near = near(name, &names);
    let label = match near.is_empty() {
        true => "names are those of the IANA database, as `Europe/Berlin`".to_owned(),
        false => format!("did you mean {}?", one_of(&near)),
    };
    report.error(code::BAD_VALUE, message).at(span, label);
    None
}

/// The nearest names: those of the same place, or else the one that is a slip away.
fn near<'a>(name: &str, names: &'a [String]) -> Vec<&'a str> {
    let place = |name: &str| {
        let last = name.rsplit('/').next().unwrap_or_default();
        last.replace([' ', '-'], "_").to_lowercase()
    };
    let wanted = place(name);
    let same = names.iter().filter(|other| place(other) == wanted);
    let same: Vec<&str> = same.take(SHOWN).map(String::as_str).collect();
    if !same.is_empty() {
        return same;
    }
    let near = nearest(name, names.iter().map(String::as_str));
    // Of a place alone it is the place that is a slip away.
    near.or_else(|| {
        let places: Vec<String> = names.iter().map(|name| place(name)).collect();
        let near = nearest(&wanted, places.iter().map(String::as_str))?;
        let at = places.iter().position(|place| place == near)?;
        names.get(at).map(String::as_str)
    })
    .into_iter()
    .collect()
}
