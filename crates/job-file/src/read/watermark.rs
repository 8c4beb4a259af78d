//! `watermark` of a source, and of an operator.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use serde_json::{Value as Json, json};
use weir_event_time::{DriftLimit, EmittedStrategy, WatermarkStrategy};

use super::{
    fields::{Fields, name_of},
    keys::{AnyKey, Key, Keys},
    kinds::{Flag, NameText, Time, Whole, Within},
};
use crate::{code, model::millis, report::Report};

pub(super) const WATERMARK: Key<Within> = Key::of("watermark", Within(&KEYS))
    .about("Up to which event time all rows have come. Needs `timestamp`.")
    .without("nothing is known of event time until the source has ended")
    .example("{ bounded-out-of-orderness: 5s }");

pub(super) const EMITTED: Key<Within> = Key::of("watermark", Within(&EMITTED_KEYS))
    .about("How watermarks follow from the rows that the operator emits, and not from its inputs.")
    .without("the watermarks of its inputs go on")
    .example("{ bounded-out-of-orderness: 5s }");

const EMITTED_KEYS: Keys = Keys {
    elsewhere: &[
        ("idle-after", "belongs to `watermark` of a source"),
        ("alignment", "belongs to `watermark` of a source"),
    ],
    rules: one_emitted,
    ..Keys::of("operator-watermark", &[&BOUND, &MONOTONIC, &COMPONENT, &EVERY_ROWS]).about(
        "`watermark` of an operator",
        "For a component that gives rows their event time, or says itself up to when all have come. \
         Each subtask says its watermark behind each so many rows of its main output, when it has no \
         more for now, and where its inputs say one. Of those only their end, and whether they are \
         idle, goes on.",
    )
};

const COMPONENT: Key<Flag> = Key::of("component", Flag { only: Some(true) })
    .about("The component says them, by `context.emit-watermark`.")
    .without("`bounded-out-of-orderness` or `monotonic` says how they follow from rows")
    .example("true");

fn one_emitted() -> Vec<Json> {
    let one = |key: &dyn AnyKey| json!({ "required": [key.name()] });
    let both = [COMPONENT.name, EVERY_ROWS.name];
    vec![
        json!({ "oneOf": [one(&BOUND), one(&MONOTONIC), one(&COMPONENT)] }),
        json!({ "not": { "required": both } }),
    ]
}

/// Reads `watermark` of an operator.
pub(super) fn read_emitted(fields: &Fields<'_>, report: &mut Report) -> Option<EmittedStrategy> {
    let own = fields.within(&EMITTED, report)?;
    let Some(component) = own.entry(&COMPONENT) else {
        // Both are read, so that all errors are told.
        let bound = bound(&own, &EMITTED_KEYS, report);
        let every_rows = every_rows(&own, report);
        return Some(EmittedStrategy::Bounded {
            max_out_of_orderness_ms: millis(bound?),
            every_rows: every_rows?,
        });
    };
    let says = own.boolean(&COMPONENT, report);
    let others: [&dyn AnyKey; 2] = [&BOUND, &MONOTONIC];
    if let Some(other) = others.iter().find_map(|key| own.entry(*key)) {
        report
            .error(code::CONTRADICTION, "watermarks follow one rule")
            .at(component.key_span, "here")
            .at(other.key_span, "or here");
        return None;
    }
    if let Some(every) = own.entry(&EVERY_ROWS) {
        report
            .error(code::CONTRADICTION, "the component says its watermarks")
            .at(component.key_span, "here")
            .at(every.key_span, "so none follows behind so many rows");
        return None;
    }
    match says? {
        (true, _) => Some(EmittedStrategy::Component),
        (false, span) => {
            report
                .error(code::BAD_VALUE, "`component: false` says nothing")
                .at(span, "how do watermarks follow?")
                .help("`bounded-out-of-orderness: 5s` has them follow from the times of rows");
            None
        }
    }
}

const KEYS: Keys = Keys {
    rules: one_strategy,
    ..Keys::of("watermark", &[&BOUND, &MONOTONIC, &IDLE_AFTER, &ALIGNMENT, &EVERY_ROWS]).about(
        "`watermark`",
        "How the watermarks of a source follow from the times of its rows. Each split (a file, a \
         connection) says its own behind each so many of its rows, whenever it has no more for now, \
         and at its end; the least of them counts. A row that is not later than the watermark when \
         it arrives is late.",
    )
};

const BOUND: Key<Time> = Key::of("bounded-out-of-orderness", Time::FROM_ZERO)
    .about("How much earlier than the latest row before it a row may be without being late.")
    .without("`monotonic` says so")
    .example("5s");

const MONOTONIC: Key<Flag> = Key::of("monotonic", Flag { only: Some(true) })
    .about("The rows of each split come in the order of their times.")
    .without("`bounded-out-of-orderness` says how far they do not")
    .example("true");

const IDLE_AFTER: Key<Time> = Key::of("idle-after", Time::ABOVE_ZERO)
    .about(
        "After how long without a row a split is idle: nobody waits for it until its next row. \
         Time in which nobody downstream takes rows does not count.",
    )
    .without("a split without rows holds the watermark")
    .example("30s");

const EVERY_ROWS: Key<Whole> = Key::of("every-rows", Whole::between(1, u32::MAX as u64))
    .about(
        "Behind how many rows a watermark is said while there are more. With fewer, results of \
         windows and timers come sooner where rows are slow to process; with more, each row costs \
         less, as a watermark ends the batches that rows travel in.",
    )
    .usual("16384")
    .example("1000");

const ALIGNMENT: Key<Within> = Key::of("alignment", Within(&ALIGNMENT_KEYS))
    .about("Keeps sources near each other in event time.")
    .without("each reads as fast as it gets")
    .example("{ group: orders, max-drift: 1m }");

const ALIGNMENT_KEYS: Keys = Keys::of("alignment", &[&GROUP, &MAX_DRIFT]).about(
    "`alignment`",
    "Sources of a group wait for each other: a split is not read on while its watermark is further \
     ahead of the least of the group than `max-drift`. Give `idle-after` too, or all wait for one \
     that has no rows.",
);

const GROUP: Key<NameText> = Key::of("group", NameText)
    .about("What the sources that wait for each other have in common.")
    .needed()
    .example("orders");

const MAX_DRIFT: Key<Time> = Key::of("max-drift", Time::ABOVE_ZERO)
    .about("How far a split may be ahead of the least watermark of the group.")
    .needed()
    .example("1m");

fn one_strategy() -> Vec<Json> {
    let one = |key: &dyn AnyKey| json!({ "required": [key.name()] });
    vec![json!({ "oneOf": [one(&BOUND), one(&MONOTONIC)] })]
}

/// Reads `watermark` of a source whose rows have times, or have none.
pub(super) fn read(
    fields: &Fields<'_>,
    has_times: bool,
    report: &mut Report,
) -> Option<WatermarkStrategy> {
    let name = fields.entry(&WATERMARK)?.key_span;
    let own = fields.within(&WATERMARK, report)?;
    if !has_times {
        let message = "watermarks follow from the times of rows, and these have none";
        let error = report.error(code::CONTRADICTION, message);
        error.at(name, "needs `timestamp` beside it");
    }
    // All are read, so that all errors are told.
    let bound = bound(&own, &KEYS, report);
    let idle_after = own.duration(&IDLE_AFTER, report);
    let alignment = alignment(&own, report);
    let every_rows = every_rows(&own, report);
    Some(WatermarkStrategy {
        max_out_of_orderness_ms: millis(bound?),
        idle_after_ms: idle_after.map(millis),
        alignment,
        every_rows: every_rows?,
    })
}

/// Behind how many rows a watermark is said.
fn every_rows(own: &Fields<'_>, report: &mut Report) -> Option<NonZeroU32> {
    if own.entry(&EVERY_ROWS).is_none() {
        return Some(WatermarkStrategy::EVERY_ROWS);
    }
    let rows = own.int(&EVERY_ROWS, report)?;
    u32::try_from(rows).ok().and_then(NonZeroU32::new)
}

/// How far rows may be out of order, by one of two keys.
fn bound(own: &Fields<'_>, keys: &Keys, report: &mut Report) -> Option<Duration> {
    let needs = match keys.known.iter().any(|key| key.name() == COMPONENT.name) {
        true => "needs `bounded-out-of-orderness`, `monotonic` or `component`",
        false => "needs `bounded-out-of-orderness` or `monotonic`",
    };
    let bound = own.duration(&BOUND, report);
    let monotonic = own.boolean(&MONOTONIC, report);
    match (own.entry(&BOUND), own.entry(&MONOTONIC)) {
        (Some(_), None) => bound,
        (Some(bound), Some(monotonic)) => {
            report
                .error(code::CONTRADICTION, "watermarks follow one rule")
                .at(bound.key_span, "here")
                .at(monotonic.key_span, "or here");
            None
        }
        // Of a slip it is told as of one.
        (None, None) if own.misspelled(&BOUND, keys).is_some() => None,
        (None, None) => {
            report
                .error(
                    code::MISSING_KEY,
                    "`watermark` does not say how late rows may be",
                )
                .at(own.name(), needs);
            None
        }
        (None, Some(_)) if monotonic?.0 => Some(Duration::ZERO),
        (None, Some(said)) => {
            report
                .error(code::BAD_VALUE, "`monotonic: false` says nothing")
                .at(said.node.span, "how far are rows out of order?")
                .help("`bounded-out-of-orderness: 5s` waits 5 s for rows that come late");
            None
        }
    }
}

fn alignment(own: &Fields<'_>, report: &mut Report) -> Option<DriftLimit> {
    let fields = own.within(&ALIGNMENT, report)?;
    fields.required(&GROUP, report);
    fields.required(&MAX_DRIFT, report);
    let group = fields.text(&GROUP, report);
    let group = group.and_then(|(text, span)| name_of(text, span, report));
    let max_drift = fields.duration(&MAX_DRIFT, report);
    Some(DriftLimit {
        group: Arc::from(group?.as_str()),
        max_drift_ms: millis(max_drift?),
    })
}
