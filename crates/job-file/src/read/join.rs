//! `join` of an operator.

use serde_json::{Value as Json, json};
use weir_window::{Assigner, Interval, JoinKind, Lateness, Rules, Temporal, Trigger};

use super::{
    fields::{Fields, name_of},
    keys::{AnyKey, Key, Keys},
    kinds::{Flag, NameText, Time, Within, Words},
    window::{LATENESS, OFFSET, SESSION, SIZE, SLIDE, SLIDING, TUMBLING},
};
use crate::{
    code,
    model::{Join, JoinRules, millis},
    report::Report,
};

pub(super) const JOIN: Key<Within> = Key::of("join", Within(&KEYS))
    .about(
        "Joins the rows of two inputs that have the same key: the first input is the left one, the \
         second the right one. Each pair gives what the component makes of it, without a component \
         `{\"left\": …, \"right\": …}`.",
    )
    .without("the component gets rows as they come")
    .example("{ interval: { before: 2h } }");

const KEYS: Keys = Keys {
    elsewhere: &[
        ("before", "belongs in `interval`"),
        ("after", "belongs in `interval`"),
        ("tumbling", "belongs in `window`"),
        ("sliding", "belongs in `window`"),
        ("session", "belongs in `window`"),
        ("max-age", "belongs in `temporal`"),
    ],
    rules: one_way,
    ..Keys::of("join", &[&INTERVAL, &WINDOW, &TEMPORAL, &KIND, &LATE]).about(
        "`join`",
        "Which rows of two inputs belong together. Rows have event time, and both inputs a `key`. \
         A row that is JSON is part of a pair as it is, one of a csv file with a header as an \
         object, any other one as a string; a row that is missing is `null`.",
    )
};

const INTERVAL: Key<Within> = Key::of("interval", Within(&INTERVAL_KEYS))
    .about("Rows whose times are near. Pairs have the later time of the two, and are made at once.")
    .without("`window` or `temporal` says which")
    .example("{ before: 2h, after: 5m }");

const INTERVAL_KEYS: Keys = Keys::of(
    "interval",
    &[&BEFORE, &AFTER, &LOWER_EXCLUSIVE, &UPPER_EXCLUSIVE],
)
.about(
    "`interval`",
    "A right row belongs to a left one from `before` its time to `after` it, both included.",
);

const BEFORE: Key<Time> = Key::of("before", Time::FROM_ZERO)
    .about("How long before the left row the right one may be.")
    .usual("0s")
    .example("2h");

const AFTER: Key<Time> = Key::of("after", Time::FROM_ZERO)
    .about("How long after the left row the right one may be.")
    .usual("0s")
    .example("5m");

const LOWER_EXCLUSIVE: Key<Flag> = Key::of("lower-bound-exclusive", Flag::ANY)
    .about("Whether a right row just `before` the left one is too early.")
    .usual("false")
    .example("true");

const UPPER_EXCLUSIVE: Key<Flag> = Key::of("upper-bound-exclusive", Flag::ANY)
    .about("Whether a right row just `after` the left one is too late.")
    .usual("false")
    .example("true");

const WINDOW: Key<Within> = Key::of("window", Within(&WINDOW_KEYS))
    .about(
        "Rows in one window, each with each. Pairs are made when the watermark passes its end, and \
         have its last millisecond as their event time.",
    )
    .without("`interval` or `temporal` says which")
    .example("{ tumbling: 1h }");

const WINDOW_KEYS: Keys = Keys {
    elsewhere: &[("late", "belongs in `join`, beside `window`")],
    rules: one_assigner,
    ..Keys::of(
        "join-window",
        &[
            &TUMBLING_HERE,
            &SLIDING_HERE,
            &SESSION_HERE,
            &OFFSET,
            &LATENESS,
        ],
    )
    .about(
        "`window` of `join`",
        "Which windows the rows of a key are in, those of both inputs alike.",
    )
};

const TUMBLING_HERE: Key<Time> = TUMBLING.without("`sliding` or `session` says which");
const SLIDING_HERE: Key<Within> = SLIDING.without("`tumbling` or `session` says which");
const SESSION_HERE: Key<Time> = SESSION.without("`tumbling` or `sliding` says which");

const TEMPORAL: Key<Within> = Key::of("temporal", Within(&TEMPORAL_KEYS))
    .about(
        "Each left row with the latest right row that is not after it. Left rows wait until the \
         watermark passes them, and keep their time.",
    )
    .without("`interval` or `window` says which")
    .example("{ max-age: 3h }");

const TEMPORAL_KEYS: Keys = Keys::of("temporal", &[&MAX_AGE]).about(
    "`temporal`",
    "Right rows are versions of something by event time; of several at one time the last counts.",
);

const MAX_AGE: Key<Time> = Key::of("max-age", Time::FROM_ZERO)
    .about("How long before a left row a version may be; older ones are removed.")
    .without("the latest version of each key counts, and is kept, for ever")
    .example("3h");

const KIND: Key<Words<JoinKind>> = Key::of("kind", KINDS)
    .about(
        "Which rows count that find no other. For `window` all, for `temporal` `inner` and `left`, \
         for `interval` only `inner`.",
    )
    .usual("inner")
    .example("left");

const KINDS: Words<JoinKind> = Words::of(&[
    ("inner", JoinKind::Inner, "none"),
    ("left", JoinKind::Left, "those of the first input"),
    ("right", JoinKind::Right, "those of the second input"),
    ("full", JoinKind::Full, "those of both"),
]);

const LATE: Key<NameText> = Key::of("late", NameText)
    .about("A side output of this name has the rows of both inputs that come too late.")
    .without("they are left out")
    .example("late-rows");

fn one_of(keys: &[&dyn AnyKey]) -> Json {
    let one = |key: &&dyn AnyKey| json!({ "required": [key.name()] });
    json!({ "oneOf": keys.iter().map(one).collect::<Vec<_>>() })
}

fn one_way() -> Vec<Json> {
    let kinds = |way: &dyn AnyKey, kinds: &[&str]| {
        json!({
            "if": { "required": [way.name()] },
            "then": { "properties": { KIND.name: { "enum": kinds } } },
        })
    };
    vec![
        one_of(&[&INTERVAL, &WINDOW, &TEMPORAL]),
        kinds(&INTERVAL, &["inner"]),
        kinds(&TEMPORAL, &["inner", "left"]),
    ]
}

fn one_assigner() -> Vec<Json> {
    vec![
        one_of(&[&TUMBLING, &SLIDING, &SESSION]),
        json!({
            "if": { "required": [SESSION.name] },
            "then": { "properties": { OFFSET.name: false } },
        }),
    ]
}

/// Reads `join`.
pub(super) fn read(fields: &Fields<'_>, report: &mut Report) -> Option<Join> {
    let own = fields.within(&JOIN, report)?;
    let kind = own.word(&KIND, report).unwrap_or_default();
    let late = own.text(&LATE, report);
    let late = late.and_then(|(text, span)| name_of(text, span, report));
    let way = one_said(
        &own,
        (&KEYS, &[&INTERVAL, &WINDOW, &TEMPORAL]),
        ("rows are joined in one way", "`join` does not say how"),
        "needs `interval`, `window` or `temporal`",
        report,
    );
    let interval = own.within(&INTERVAL, report);
    let interval = interval.and_then(|own| interval_of(&own, report));
    let window = own.within(&WINDOW, report);
    let window = window.and_then(|own| window_of(&own, report));
    let max_age = own.within(&TEMPORAL, report).map(|own| {
        let max_age = own.duration(&MAX_AGE, report);
        max_age.map(|age| signed(millis(age)))
    });
    let way = way?;
    let (rules, kinds): (_, &[JoinKind]) = match way {
        _ if way == INTERVAL.name => (JoinRules::Interval(interval?), &[JoinKind::Inner]),
        _ if way == WINDOW.name => (JoinRules::Window(window?), &[kind]),
        _ => {
            let max_age = max_age?;
            let rules = JoinRules::Temporal(Temporal { kind, max_age });
            (rules, &[JoinKind::Inner, JoinKind::Left])
        }
    };
    if let Some(entry) = own.entry(&KIND).filter(|_| !kinds.contains(&kind)) {
        let message = format!("`{way}` has no joins of this kind");
        let label = match kinds.len() {
            1 => "can be `inner` only",
            _ => "can be `inner` or `left`",
        };
        report
            .error(code::CONTRADICTION, message)
            .at(entry.node.span, label);
        return None;
    }
    Some(Join {
        rules,
        kind,
        late: late.map(|late| late.to_string()),
    })
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Which one of these keys is said.
fn one_said<'k>(
    own: &Fields<'_>,
    (all, keys): (&Keys, &[&'k dyn AnyKey]),
    (several, none): (&str, &str),
    needs: &str,
    report: &mut Report,
) -> Option<&'k str> {
    let said: Vec<_> = keys
        .iter()
        .filter(|key| own.entry(**key).is_some())
        .collect();
    match said[..] {
        [one] => return Some(one.name()),
        [first, second, ..] => {
            let error = report.error(code::CONTRADICTION, several);
            let spans = [own.entry(*first), own.entry(*second)];
            let spans = spans.into_iter().flatten().map(|entry| entry.key_span);
            let labelled = spans.zip(["here", "or here"]);
            labelled.fold(error, |error, (span, label)| error.at(span, label));
        }
        // Of a slip it is told as of one.
        [] if keys.iter().any(|key| own.misspelled(*key, all).is_some()) => {}
        [] => {
            let error = report.error(code::MISSING_KEY, none);
            error.at(own.name(), needs);
        }
    }
    None
}

fn interval_of(own: &Fields<'_>, report: &mut Report) -> Option<Interval> {
    let before = own.duration(&BEFORE, report).map_or(0, millis);
    let after = own.duration(&AFTER, report).map_or(0, millis);
    let less = |flag: Option<(bool, _)>| i64::from(flag.is_some_and(|(is_set, _)| is_set));
    let lower = less(own.boolean(&LOWER_EXCLUSIVE, report)) - signed(before);
    let upper = signed(after) - less(own.boolean(&UPPER_EXCLUSIVE, report));
    match Interval::new(lower, upper) {
        Ok(interval) => Some(interval),
        Err(why) => {
            let error = report.error(code::BAD_VALUE, why.to_string());
            error.at(own.name(), "no row belongs to another");
            None
        }
    }
}

fn window_of(own: &Fields<'_>, report: &mut Report) -> Option<Rules> {
    let kind = one_said(
        own,
        (&WINDOW_KEYS, &[&TUMBLING, &SLIDING, &SESSION]),
        (
            "windows are of one kind",
            "`window` does not say which windows",
        ),
        "needs `tumbling`, `sliding` or `session`",
        report,
    );
    let offset = own.duration(&OFFSET, report).map_or(0, millis);
    let offset = signed(offset);
    let lateness = own.duration(&LATENESS, report).map_or(0, millis);
    let tumbling = own.duration(&TUMBLING, report);
    let session = own.duration(&SESSION, report);
    let sliding = own.within(&SLIDING, report).and_then(|fields| {
        let size = fields.duration(&SIZE, report);
        Some((size?, fields.duration(&SLIDE, report)?))
    });
    let kind = kind?;
    if let Some(entry) = own.entry(&OFFSET).filter(|_| kind == SESSION.name) {
        let error = report.error(code::CONTRADICTION, "`offset` does nothing with `session`");
        error.at(entry.key_span, "leave it out");
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
        _ => Assigner::Session {
            gap: signed(millis(session?)),
        },
    };
    if let Err(why) = assigner.check() {
        let error = report.error(code::BAD_VALUE, why.to_string());
        error.at(own.name(), "there are no such windows");
        return None;
    }
    Some(Rules {
        assigner,
        trigger: Trigger::EventTime,
        lateness: Lateness {
            allowed_ms: lateness,
        },
        evictor: None,
        event_time: true,
    })
}
