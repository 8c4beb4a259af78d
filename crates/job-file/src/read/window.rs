//! `window` of an operator.

use serde_json::{Value as Json, json};
use weir_window::{Assigner, Lateness, Rules, Trigger};

use super::{
    fields::{Fields, name_of},
    keys::{AnyKey, Key, Keys},
    kinds::{Flag, NameText, Time, Whole, Within, Words},
};
use crate::{
    code,
    model::{Windows, millis},
    report::Report,
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
            &TUMBLING, &SLIDING, &SESSION, &COUNT, &OFFSET, &TIME, &LATENESS, &LATE, &TRIGGER,
        ],
    )
    .about(
        "`window`",
        "Which windows the rows of a key are in, and when these give their results: when the \
         watermark passes their end, and again for each row that comes later and is not too late. \
         What they give has the last millisecond of the window as its event time.",
    )
};

const TUMBLING: Key<Time> = Key::of("tumbling", Time::ABOVE_ZERO)
    .about("Windows of this size, one after the other.")
    .without("`sliding`, `session` or `count` says which")
    .example("1m");

const SLIDING: Key<Within> = Key::of("sliding", Within(&SLIDING_KEYS))
    .about("Windows of one size, of which one begins every so often.")
    .without("`tumbling`, `session` or `count` says which")
    .example("{ size: 24h, slide: 1h }");

const SLIDING_KEYS: Keys = Keys::of("sliding", &[&SIZE, &SLIDE]).about(
    "`sliding`",
    "Windows that overlap: a row is in `size / slide` of them, and folded once.",
);

const SIZE: Key<Time> = Key::of("size", Time::ABOVE_ZERO)
    .about("How long a window is.")
    .needed()
    .example("24h");

const SLIDE: Key<Time> = Key::of("slide", Time::ABOVE_ZERO)
    .about("How long after a window the next one begins.")
    .needed()
    .example("1h");

const SESSION: Key<Time> = Key::of("session", Time::ABOVE_ZERO)
    .about("Windows that end when no row came for so long.")
    .without("`tumbling`, `sliding` or `count` says which")
    .example("30m");

const COUNT: Key<Whole> = Key::of("count", Whole::from(1))
    .about("Windows of so many rows of a key. What is left at the end gives no result.")
    .without("`tumbling`, `sliding` or `session` says which")
    .example("100");

const OFFSET: Key<Time> = Key::of("offset", Time::FROM_ZERO)
    .about("How far behind 1970-01-01T00:00Z a window begins. For `tumbling` and `sliding`.")
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

const LATENESS: Key<Time> = Key::of("allowed-lateness", Time::FROM_ZERO)
    .about("How long a window is kept after its end, for rows that come late.")
    .usual("0s")
    .example("10s");

const LATE: Key<NameText> = Key::of("late", NameText)
    .about("A side output of this name has the rows that come too late for all their windows.")
    .without("they are left out")
    .example("late-rows");

const TRIGGER: Key<Within> = Key::of("trigger", Within(&TRIGGER_KEYS))
    .about("When windows give their results instead.")
    .without("at their end")
    .example("{ every: 10s }");

const TRIGGER_KEYS: Keys = Keys {
    rules: one_trigger,
    ..Keys::of("trigger", &[&EVERY, &EACH, &PURGE]).about(
        "`trigger`",
        "When windows give their results instead of at their end.",
    )
};

const EVERY: Key<Time> = Key::of("every", Time::ABOVE_ZERO)
    .about("At each multiple of this time that rows came before, and at the end of the window.")
    .without("only where another key says so")
    .example("10s");

const EACH: Key<Whole> = Key::of("count", Whole::from(1))
    .about("After each so many rows of the window, and not at its end.")
    .without("only where another key says so")
    .example("5");

const PURGE: Key<Flag> = Key::of("purge", Flag::ANY)
    .about("Whether a window is empty after it has given a result.")
    .usual("false")
    .example("true");

fn one_of(keys: &[&dyn AnyKey]) -> Json {
    let one = |key: &&dyn AnyKey| json!({ "required": [key.name()] });
    json!({ "oneOf": keys.iter().map(one).collect::<Vec<_>>() })
}

fn one_assigner() -> Vec<Json> {
    let only = |with: &dyn AnyKey, without: &[&dyn AnyKey]| {
        let none = without
            .iter()
            .map(|key| (key.name().to_owned(), json!(false)));
        let none: serde_json::Map<String, Json> = none.collect();
        json!({ "if": { "required": [with.name()] }, "then": { "properties": none } })
    };
    vec![
        one_of(&[&TUMBLING, &SLIDING, &SESSION, &COUNT]),
        only(&SESSION, &[&OFFSET]),
        only(&COUNT, &[&OFFSET, &TIME, &LATENESS, &LATE, &TRIGGER]),
    ]
}

fn one_trigger() -> Vec<Json> {
    vec![json!({ "not": { "required": [EVERY.name, EACH.name] } })]
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
    let trigger = trigger(&own, time, report);
    if time == WindowTime::Processing {
        idle(&own, &[&LATENESS, &LATE], "`time: processing-time`", report);
    }
    let count = own.entry(&COUNT).is_some();
    if count {
        let others: [&dyn AnyKey; 4] = [&TIME, &LATENESS, &LATE, &TRIGGER];
        idle(&own, &others, "`count`", report);
    }
    let (assigner, of_count) = assigner?;
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
            evictor: None,
            event_time: time == WindowTime::Event && !count,
        },
        late: late.map(|late| late.to_string()),
    })
}

/// Reports keys that do nothing beside another.
fn idle(own: &Fields<'_>, keys: &[&dyn AnyKey], beside: &str, report: &mut Report) {
    for entry in keys.iter().filter_map(|key| own.entry(*key)) {
        let message = format!("`{}` does nothing with {beside}", entry.key);
        let error = report.error(code::CONTRADICTION, message);
        error.at(entry.key_span, "leave it out");
    }
}

/// The windows; for those of a number of rows that number, too.
fn assigner(own: &Fields<'_>, report: &mut Report) -> Option<(Assigner, Option<u64>)> {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let keys: [&dyn AnyKey; 4] = [&TUMBLING, &SLIDING, &SESSION, &COUNT];
    let said: Vec<_> = keys.iter().filter_map(|key| own.entry(*key)).collect();
    let offset = own.duration(&OFFSET, report).map_or(0, millis);
    let offset = signed(offset);
    let tumbling = own.duration(&TUMBLING, report);
    let session = own.duration(&SESSION, report);
    let count = own.int(&COUNT, report);
    let sliding = own.within(&SLIDING, report).and_then(|fields| {
        fields.required(&SIZE, report);
        fields.required(&SLIDE, report);
        let size = fields.duration(&SIZE, report);
        Some((size?, fields.duration(&SLIDE, report)?))
    });
    let said = match said[..] {
        [one] => one,
        [first, second, ..] => {
            report
                .error(code::CONTRADICTION, "windows are of one kind")
                .at(first.key_span, "here")
                .at(second.key_span, "or here");
            return None;
        }
        // Of a slip it is told as of one.
        [] if keys.iter().any(|key| own.misspelled(*key, &KEYS).is_some()) => return None,
        [] => {
            report
                .error(code::MISSING_KEY, "`window` does not say which windows")
                .at(
                    own.name(),
                    "needs `tumbling`, `sliding`, `session` or `count`",
                );
            return None;
        }
    };
    let kind = said.key.as_str();
    if kind == SESSION.name || kind == COUNT.name {
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
        _ if kind == SESSION.name => Assigner::Session {
            gap: signed(millis(session?)),
        },
        _ => return Some((Assigner::Global, Some(count?))),
    };
    if let Err(why) = assigner.check() {
        let error = report.error(code::BAD_VALUE, why.to_string());
        error.at(said.node.span, "there are no such windows");
        return None;
    }
    Some((assigner, None))
}

fn trigger(own: &Fields<'_>, time: WindowTime, report: &mut Report) -> Trigger {
    let usual = match time {
        WindowTime::Event => Trigger::EventTime,
        WindowTime::Processing => Trigger::ProcessingTime,
    };
    let Some(own) = own.within(&TRIGGER, report) else {
        return usual;
    };
    let every = own.duration(&EVERY, report).map(millis);
    let every = every.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    let count = own.int(&EACH, report);
    if let (Some(every), Some(count)) = (own.entry(&EVERY), own.entry(&EACH)) {
        report
            .error(code::CONTRADICTION, "a window has one trigger")
            .at(every.key_span, "here")
            .at(count.key_span, "or here");
    }
    let trigger = match (every, count, time) {
        (Some(every), _, WindowTime::Event) => Trigger::ContinuousEventTime(every),
        (Some(every), _, WindowTime::Processing) => Trigger::ContinuousProcessingTime(every),
        (None, Some(count), _) => Trigger::Count(count),
        (None, None, _) => usual,
    };
    match own.boolean(&PURGE, report) {
        Some((true, _)) => Trigger::Purging(Box::new(trigger)),
        Some((false, _)) | None => trigger,
    }
}
