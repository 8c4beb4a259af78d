//! `evict` of windows.

use weir_window::Evictor;

use super::one_of;
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

pub(super) const EVICT: Key<Within> = Key::of("evict", Within(&EVICT_KEYS))
    .about(
        "Leaves rows out of a window whenever it gives a result. Needs a component that exports \
         `window-function`, for it keeps all rows.",
    )
    .without("windows have all their rows")
    .example("{ count: 10 }");

const EVICT_KEYS: Keys = Keys {
    rules: || vec![one_of(&[&LAST, &WITHIN])],
    ..Keys::of("evict", &[&LAST, &WITHIN, &AFTER]).about(
        "`evict`",
        "Which rows are left out of a window whenever it gives a result, and are gone then.",
    )
};

const LAST: Key<Whole> = Key::of("count", Whole::from(1))
    .about("All but the last so many that came.")
    .without("`time` says which")
    .example("10");

const WITHIN: Key<Time> = Key::of("time", Time::ABOVE_ZERO)
    .about("Those whose event time is so much before that of the latest one, or more.")
    .without("`count` says which")
    .example("5s");

const AFTER: Key<Flag> = Key::of("after", Flag::ANY)
    .about("Whether the component still sees them, and they are left out only then.")
    .usual("false")
    .example("true");

/// Reads `evict`: who leaves rows out, and whether only after the function.
pub(super) fn read(own: &Fields<'_>, report: &mut Report) -> Option<(Evictor, bool)> {
    let own = own.within(&EVICT, report)?;
    // All are read, so that all errors are told.
    let count = own.int(&LAST, report);
    let within = own.duration(&WITHIN, report).map(millis);
    let after = own.boolean(&AFTER, report).is_some_and(|(after, _)| after);
    let keys: [&dyn AnyKey; 2] = [&LAST, &WITHIN];
    let said: Vec<_> = keys.iter().filter_map(|key| own.entry(*key)).collect();
    match said[..] {
        [_] => {}
        [first, second, ..] => {
            report
                .error(code::CONTRADICTION, "a window has one evictor")
                .at(first.key_span, "here")
                .at(second.key_span, "or here");
            return None;
        }
        [] => {
            report
                .error(code::MISSING_KEY, "`evict` does not say which rows")
                .at(own.name(), "needs `count` or `time`");
            return None;
        }
    }
    let evictor = match (count, within) {
        (Some(count), _) => Evictor::Count(usize::try_from(count).unwrap_or(usize::MAX)),
        (None, Some(ms)) => Evictor::Time(i64::try_from(ms).unwrap_or(i64::MAX)),
        (None, None) => return None,
    };
    Some((evictor, after))
}
