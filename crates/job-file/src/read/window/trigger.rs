//! `trigger` of windows.

use serde_json::{Value as Json, json};
use weir_window::Trigger;

use super::{WindowTime, idle};
use crate::{
    code,
    model::millis,
    read::{
        fields::Fields,
        keys::{AnyKey, Key, Keys},
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
    ..Keys::of("trigger", &[&EVERY, &EACH, &GUEST, &PURGE]).about(
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

const GUEST: Key<Flag> = Key::of("guest", Flag::only(true))
    .about(
        "When the component says so, which exports `trigger`; it keeps what it remembers of a \
         window, and sets timers. Not for `session`.",
    )
    .without("only where another key says so")
    .example("true");

const ONE: [&dyn AnyKey; 3] = [&EVERY, &EACH, &GUEST];

fn one_trigger() -> Vec<Json> {
    let not_both = |a: &str, b: &str| json!({ "not": { "required": [a, b] } });
    vec![
        not_both(EVERY.name, EACH.name),
        not_both(EVERY.name, GUEST.name),
        not_both(EACH.name, GUEST.name),
        not_both(PURGE.name, GUEST.name),
    ]
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
    let guest = own.boolean(&GUEST, report);
    let said: Vec<_> = ONE.iter().filter_map(|key| own.entry(*key)).collect();
    if let [first, second, ..] = said[..] {
        report
            .error(code::CONTRADICTION, "a window has one trigger")
            .at(first.key_span, "here")
            .at(second.key_span, "or here");
    }
    match guest {
        None => {}
        Some((true, _)) => {
            idle(&own, &[&PURGE], "`guest`, which says so itself", report);
            return Trigger::Guest;
        }
        Some((false, span)) => {
            let error = report.error(code::BAD_VALUE, "`guest` is `true` or left out");
            error.at(span, "this says no trigger");
        }
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
