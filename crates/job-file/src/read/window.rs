//! `window` of an operator.

mod calendar;
mod evict;
mod trigger;

use serde_json::{Value as Json, json};
use weir_window::{Assigner, BadWindow, Lateness, Rules, Trigger};

use self::{calendar::CALENDAR, evict::EVICT, trigger::TRIGGER};
use super::{
    fields::{Fields, name_of},
    keys::{AnyKey, Key, Keys},
    kinds::{Flag, NameText, Time, Whole, Within, Words},
};
use crate::{
    code,
    model::{Windows, millis},
    report::Report,
    yaml::{Entry, Value},
};

pub(super) const WINDOW: Key<Within> = Key::of("window", Within(&KEYS))
    .about(
        "Groups the rows of each key by windows; the component folds them or sees all of them, and \
         gives rows for each window. Needs a component that exports `aggregate` or \
         `window-function`, and inputs with a `key`.",
    )
    .without("the component gets rows as they come")
    .example("{ tumbling: 1m }");

const KEYS: Keys = Keys {
    elsewhere: &[
        ("size", "belongs in `sliding`"),
        ("slide", "belongs in `sliding`"),
        ("gap", "a session has one: `session: 30m`"),
        ("lateness", "did you mean `allowed-lateness`?"),
    ],
    rules: one_assigner,
    ..Keys::of(
        "window",
        &[
            &TUMBLING, &SLIDING, &CALENDAR, &SESSION, &COUNT, &GLOBAL, &OFFSET, &TIME, &LATENESS,
            &LATE, &TRIGGER, &EVICT,
        ],
    )
    .about(
        "`window`",
        "Which windows the rows of a key are in, and when these give their results: when the \
         watermark passes their end, and again for each row that comes later and is not too late. \
         What they give has the last millisecond of the window as its event time.",
    )
};

pub(super) const TUMBLING: Key<Time> = Key::of("tumbling", Time::ABOVE_ZERO)
    .about("Windows of this size, one after the other.")
    .without("another key says which")
    .example("1m");

pub(super) const SLIDING: Key<Within> = Key::of("sliding", Within(&SLIDING_KEYS))
    .about("Windows of one size, of which one begins every so often.")
    .without("another key says which")
    .example("{ size: 24h, slide: 1h }");

const SLIDING_KEYS: Keys = Keys::of("sliding", &[&SIZE, &SLIDE]).about(
    "`sliding`",
    "Windows that overlap: a row is in `size / slide` of them, and folded once.",
);

pub(super) const SIZE: Key<Time> = Key::of("size", Time::ABOVE_ZERO)
    .about("How long a window is.")
    .needed()
    .example("24h");

pub(super) const SLIDE: Key<Time> = Key::of("slide", Time::ABOVE_ZERO)
    .about("How long after a window the next one begins.")
    .needed()
    .example("1h");

pub(super) const SESSION: Key<Time> = Key::of("session", Time::ABOVE_ZERO)
    .about("Windows that end when no row came for so long.")
    .without("another key says which")
    .example("30m");

const COUNT: Key<Whole> = Key::of("count", Whole::from(1))
    .about("Windows of so many rows of a key. What is left at the end gives no result.")
    .without("another key says which")
    .example("100");

const GLOBAL: Key<Flag> = Key::of("global", Flag::only(true))
    .about(
        "One window for all rows of a key. It has no end, so a `trigger` says when it gives results.",
    )
    .without("another key says which")
    .example("true");

pub(super) const OFFSET: Key<Time> = Key::of("offset", Time::FROM_ZERO)
    .about(
        "How far behind 1970-01-01T00:00Z a window begins, for `tumbling` and `sliding`; for \
         `calendar`, how much later by the clocks: `6h` are days that begin at six.",
    )
    .usual("0s")
    .example("15m");

const TIME: Key<Words<WindowTime>> = Key::of("time", TIMES)
    .about("Which time windows are of.")
    .usual("event-time")
    .example("processing-time");

const TIMES: Words<WindowTime> = Words::of(&[
    (
        "event-time",
        WindowTime::Event,
        "that of rows: sources need `timestamp`, and `watermark` says when a window ends",
    ),
    (
        "processing-time",
        WindowTime::Processing,
        "that of the clock: a restart may put rows into other windows",
    ),
]);

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum WindowTime {
    #[default]
    Event,
    Processing,
}

pub(super) const LATENESS: Key<Time> = Key::of("allowed-lateness", Time::FROM_ZERO)
    .about("How long a window is kept after its end, for rows that come late.")
    .usual("0s")
    .example("10s");

const LATE: Key<NameText> = Key::of("late", NameText)
    .about("A side output of this name has the rows that come too late for all their windows.")
    .without("they are left out")
    .example("late-rows");

/// The names of keys, for a message.
fn names<'a>(keys: &[&'a dyn AnyKey]) -> Vec<&'a str> {
    keys.iter().map(|key| key.name()).collect()
}

fn one_of(keys: &[&dyn AnyKey]) -> Json {
    let one = |key: &&dyn AnyKey| json!({ "required": [key.name()] });
    json!({ "oneOf": keys.iter().map(one).collect::<Vec<_>>() })
}

const ASSIGNERS: [&dyn AnyKey; 6] = [&TUMBLING, &SLIDING, &CALENDAR, &SESSION, &COUNT, &GLOBAL];

fn one_assigner() -> Vec<Json> {
    let only = |with: &dyn AnyKey, without: &[&dyn AnyKey]| {
        let none = without
            .iter()
            .map(|key| (key.name().to_owned(), json!(false)));
        let none: serde_json::Map<String, Json> = none.collect();
        json!({ "if": { "required": [with.name()] }, "then": { "properties": none } })
    };
    vec![
        one_of(&ASSIGNERS),
        only(&SESSION, &[&OFFSET]),
        only(&GLOBAL, &[&OFFSET, &LATENESS, &LATE]),
        json!({
            "if": { "required": [GLOBAL.name] },
            "then": {
                "required": [TRIGGER.name],
                "properties": { TRIGGER.name: { "minProperties": 1 } },
            },
        }),
        only(&COUNT, &[&OFFSET, &TIME, &LATENESS, &LATE, &TRIGGER]),
    ]
}

/// Reads `window`.
pub(super) fn read(fields: &Fields<'_>, report: &mut Report) -> Option<Windows> {
    let own = fields.within(&WINDOW, report)?;
    // All are read, so that all errors are told.
    let assigner = assigner(&own, report);
    let time = own.word(&TIME, report).unwrap_or_default();
    let lateness = own.duration(&LATENESS, report).map_or(0, millis);
    let late = own.text(&LATE, report);
    let late = late.and_then(|(text, span)| name_of(text, span, report));
    let usual = match time {
        WindowTime::Event => Trigger::EventTime,
        WindowTime::Processing => Trigger::ProcessingTime,
    };
    let trigger = trigger::read(&own, (time, usual.clone()), report);
    let evictor = evict::read(&own, report);
    if time == WindowTime::Processing {
        idle(&own, &[&LATENESS, &LATE], "`time: processing-time`", report);
    }
    let count = own.entry(&COUNT).is_some();
    if count {
        let others: [&dyn AnyKey; 4] = [&TIME, &LATENESS, &LATE, &TRIGGER];
        idle(&own, &others, "`count`", report);
    }
    if own.entry(&GLOBAL).is_some() {
        let others: [&dyn AnyKey; 2] = [&LATENESS, &LATE];
        idle(&own, &others, "`global`", report);
        if trigger == usual || trigger == Trigger::Purging(Box::new(usual)) {
            never_fires(&own, report);
        }
    }
    if trigger == Trigger::Guest {
        merging(&own, report);
    }
    let (assigner, of_count) = assigner?;
    // What all of time is cut into, nothing is late for.
    let has_end = assigner != Assigner::Global;
    Some(Windows {
        rules: Rules {
            assigner,
            trigger: match of_count {
                Some(rows) => Trigger::Purging(Box::new(Trigger::Count(rows))),
                None => trigger,
            },
            lateness: Lateness {
                allowed_ms: lateness,
            },
            evictor,
            event_time: time == WindowTime::Event && has_end,
        },
        late: late.map(|late| late.to_string()),
    })
}

/// Reports a window without an end that nobody has give a result.
fn never_fires(own: &Fields<'_>, report: &mut Report) {
    let at = match own.entry(&TRIGGER) {
        Some(entry) => entry.key_span,
        None => own.name(),
    };
    let message = "a `global` window has no end at which it gives its result";
    let error = report.error(code::MISSING_KEY, message);
    let error = error.at(at, "says not when it gives results");
    error.help("add `trigger: { count: 100 }` or `trigger: { every: 10s }`");
}

/// Reports windows that become one and have a trigger of the component, which cannot say what
/// becomes of what it remembers.
fn merging(own: &Fields<'_>, report: &mut Report) {
    if let (Some(session), Some(trigger)) = (own.entry(&SESSION), own.entry(&TRIGGER)) {
        let message = "sessions become one as rows come, which a trigger of a component cannot";
        report
            .error(code::CONTRADICTION, message)
            .at(session.key_span, "these windows")
            .at(trigger.key_span, "this trigger");
    }
}

/// Reports keys that do nothing beside another.
fn idle(own: &Fields<'_>, keys: &[&dyn AnyKey], beside: &str, report: &mut Report) {
    for entry in keys.iter().filter_map(|key| own.entry(*key)) {
        let message = format!("`{}` does nothing with {beside}", entry.key);
        let error = report.error(code::CONTRADICTION, message);
        error.at(entry.key_span, "leave it out");
    }
}

/// The key that says which windows there are.
fn said_one<'a>(own: &Fields<'a>, report: &mut Report) -> Option<&'a Entry> {
    let keys = ASSIGNERS;
    let said: Vec<_> = keys.iter().filter_map(|key| own.entry(*key)).collect();
    match said[..] {
        [one] => Some(one),
        [first, second, ..] => {
            report
                .error(code::CONTRADICTION, "windows are of one kind")
                .at(first.key_span, "here")
                .at(second.key_span, "or here");
            None
        }
        // Of a slip it is told as of one.
        [] if keys.iter().any(|key| own.misspelled(*key, &KEYS).is_some()) => None,
        [] => {
            report
                .error(code::MISSING_KEY, "`window` does not say which windows")
                .at(
                    own.name(),
                    format!("needs {}", crate::wording::one_of(&names(&keys))),
                );
            None
        }
    }
}

/// Why there are no such windows, with durations as they are written.
fn told(own: &Fields<'_>, why: BadWindow) -> String {
    fn text<'a>(entries: &'a [Entry], key: &dyn AnyKey) -> Option<&'a str> {
        let entry = entries.iter().find(|entry| entry.key == key.name())?;
        match &entry.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
    let all = own.entries();
    let sliding = own.entry(&SLIDING).map(|entry| match &entry.node.value {
        Value::Map(entries) => &entries[..],
        _ => &[],
    });
    let of = sliding.unwrap_or_default();
    let (size, slide) = (text(of, &SIZE), text(of, &SLIDE));
    match (why, size.zip(slide), text(all, &OFFSET)) {
        (BadWindow::Offset { .. }, _, Some(offset)) => {
            match (own.entry(&CALENDAR), slide.or(text(all, &TUMBLING))) {
                (None, Some(every)) => {
                    format!(
                        "an offset of {offset} in windows every {every}: it is shorter than they are"
                    )
                }
                _ => format!("an offset of {offset}: it is shorter than the shortest window"),
            }
        }
        (BadWindow::Gaps { .. }, Some((size, slide)), _) => {
            format!("windows of {size} every {slide}: rows between them would belong to none")
        }
        (BadWindow::TooMany { count, .. }, Some((size, slide)), _) => format!(
            "windows of {size} every {slide}: each row would be in {count}, and at most {} are \
             possible",
            Assigner::MOST
        ),
        (why, _, _) => why.to_string(),
    }
}

/// The windows; for those of a number of rows that number, too.
fn assigner(own: &Fields<'_>, report: &mut Report) -> Option<(Assigner, Option<u64>)> {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let offset = own.duration(&OFFSET, report).map_or(0, millis);
    let offset = signed(offset);
    let tumbling = own.duration(&TUMBLING, report);
    let session = own.duration(&SESSION, report);
    let count = own.int(&COUNT, report);
    let global = own.boolean(&GLOBAL, report);
    let calendar = calendar::read(own, offset, report);
    let sliding = own.within(&SLIDING, report).and_then(|fields| {
        fields.required(&SIZE, report);
        fields.required(&SLIDE, report);
        let size = fields.duration(&SIZE, report);
        Some((size?, fields.duration(&SLIDE, report)?))
    });
    let said = said_one(own, report)?;
    let kind = said.key.as_str();
    if kind == SESSION.name || kind == COUNT.name || kind == GLOBAL.name {
        idle(own, &[&OFFSET], &format!("`{kind}`"), report);
    }
    let assigner = match kind {
        _ if kind == TUMBLING.name => Assigner::Tumbling {
            size: signed(millis(tumbling?)),
            offset,
        },
        _ if kind == SLIDING.name => {
            let (size, slide) = sliding?;
            Assigner::Sliding {
                size: signed(millis(size)),
                slide: signed(millis(slide)),
                offset,
            }
        }
        _ if kind == CALENDAR.name => Assigner::Calendar(calendar?),
        _ if kind == SESSION.name => Assigner::Session {
            gap: signed(millis(session?)),
        },
        _ if kind == GLOBAL.name => match global? {
            (true, _) => return Some((Assigner::Global, None)),
            (false, span) => {
                let error = report.error(code::BAD_VALUE, "`global` is `true` or left out");
                error.at(span, "this says no windows");
                return None;
            }
        },
        _ => return Some((Assigner::Global, Some(count?))),
    };
    if let Err(why) = assigner.check() {
        let error = report.error(code::BAD_VALUE, told(own, why));
        error.at(said.node.span, "there are no such windows");
        return None;
    }
    Some((assigner, None))
}
