//! `trigger` of windows.

use serde_json::{Value as Json, json};
use weir_window::Trigger;

use super::WindowTime;
use crate::{
    code,
    model::millis,
    read::{
        fields::Fields,
        keys::{Key, Keys},
        kinds::{Flag, Time, Whole, Within},
    },
    report::Report,
};

pub(super) const TRIGGER: Key<Within> = Key::of("trigger", Within(&TRIGGER_KEYS))
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

fn one_trigger() -> Vec<Json> {
    vec![json!({ "not": { "required": [EVERY.name, EACH.name] } })]
}

/// Reads `trigger`; what holds where there is none is `usual`.
pub(super) fn read(
    own: &Fields<'_>,
    (time, usual): (WindowTime, Trigger),
    report: &mut Report,
) -> Trigger {
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
