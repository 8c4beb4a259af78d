//! The keys of a step.

use serde_json::{Value as Json, json};

use super::super::super::{
    keys::{AnyKey, Key, Keys},
    kinds::{Special, Time, Whole, Words},
};

pub(in crate::read) const STEP: Keys = Keys {
    elsewhere: &[
        ("side", "did you mean `output`, beside `expect`?"),
        ("row", "did you mean `rows`, which is a list?"),
        ("time", "belongs to a row: `rows: [ { row: …, time: … } ]`"),
    ],
    rules: one_thing,
    ..Keys::of(
        "test-step",
        &[
            &ROWS,
            &WATERMARK,
            &IDLE,
            &END,
            &ADVANCE,
            &SNAPSHOT,
            &RESTORE,
            &RESCALE,
            &CRASH,
            &EXPECT,
            &DEAD_LETTERS,
            &SKIPPED,
            &TIMERS,
            &STATE,
            &FAILS,
            &INPUT,
            &OUTPUT,
            &ORDER,
        ],
    )
    .about(
        "`steps`",
        "A step does one thing. `input`, `output` and `order` stand beside it. `idle`, `end`, \
         `snapshot`, `restore` and `crash` may be a word alone.",
    )
};

/// The keys of a step that do something.
pub(super) const VERBS: [&dyn AnyKey; 15] = [
    &ROWS,
    &WATERMARK,
    &IDLE,
    &END,
    &ADVANCE,
    &SNAPSHOT,
    &RESTORE,
    &RESCALE,
    &CRASH,
    &EXPECT,
    &DEAD_LETTERS,
    &SKIPPED,
    &TIMERS,
    &STATE,
    &FAILS,
];

pub(super) const ROWS: Key<Special> = Key::of(
    "rows",
    Special::of("list of rows", || json!({ "type": "array", "minItems": 1 })),
)
.about(
    "Gives rows to an input: a text each, as the source would cut it; a mapping or list is JSON. \
     `{ row: …, time: … }` gives a row its event time in milliseconds; else it has the one that \
     `timestamp` of its source finds in it, if any.",
)
.without("the step does something else")
.example("[\"ann,5\", { row: \"bob,7\", time: 1000 }]");

pub(super) const WATERMARK: Key<Special> = Key::of(
    "watermark",
    Special::of(
        "milliseconds, or `end`",
        || json!({ "anyOf": [{ "type": "integer" }, { "const": "end" }] }),
    ),
)
.about("Lets the watermark of `input`, or of all inputs, rise to that. `end` is the end of time.")
.without("the step does something else")
.example("1000");

pub(super) const IDLE: Key<Special> = Key::of("idle", INPUT_OR_ALL)
    .about(
        "Nobody waits for that input any more, or for any, until its next row or watermark. All \
         inputs where nothing is written.",
    )
    .without("the step does something else")
    .example("clicks");

pub(super) const END: Key<Special> = Key::of("end", INPUT_OR_ALL)
    .about("That input ends, or all do: all timers by event time fire.")
    .without("the step does something else")
    .example("clicks");

const INPUT_OR_ALL: Special = Special::of(
    "an input, or nothing for all",
    || json!({ "type": ["string", "integer", "null"] }),
);

pub(super) const ADVANCE: Key<Time> = Key::of("advance", Time::FROM_ZERO)
    .about("Lets processing time pass. No time of yours passes.")
    .without("the step does something else")
    .example("10s");

const NAME_OR_NONE: Special =
    Special::of("name, or nothing", || json!({ "type": ["string", "null"] }));

pub(super) const SNAPSHOT: Key<Special> = Key::of("snapshot", NAME_OR_NONE)
    .about("Takes a checkpoint that `restore` and `crash` go back to, and may give it a name.")
    .without("the step does something else")
    .example("before");

pub(super) const RESTORE: Key<Special> = Key::of("restore", NAME_OR_NONE)
    .about(
        "Goes back to a snapshot, or to the latest one: what came after it, looked at or not, is \
         forgotten. Inputs begin without watermarks, as those of a job do.",
    )
    .without("the step does something else")
    .example("before");

pub(super) const RESCALE: Key<Whole> = Key::of("rescale", Whole::between(1, 32_768))
    .about(
        "Takes a snapshot and goes on from it with so many subtasks. Inputs begin without \
         watermarks.",
    )
    .without("the step does something else")
    .example("3");

pub(super) const CRASH: Key<Special> = Key::of(
    "crash",
    Special::of("nothing", || json!({ "type": "null" })),
)
.about(
    "Kills the job, starts it from its last snapshot, or anew where there is none, and does again \
     all that was done since. What comes of it must be what came before; then it is as if nothing \
     had happened.",
)
.without("the step does something else")
.example("null");

pub(super) const EXPECT: Key<Special> = Key::of(
    "expect",
    Special::of("list of rows", || json!({ "type": "array" })),
)
.about(
    "All that the output has given since it was looked at last. A text that is JSON is compared by \
     its value, as is a mapping or list. `{ row: …, time: … }` looks at the event time, too. The \
     rows of each subtask come in this order.",
)
.without("the step does something else")
.example("[{ user: ann, clicks: 2 }]");

pub(super) const DEAD_LETTERS: Key<Special> = Key::of(
    "dead-letters",
    Special::of(
        "list of mappings",
        || json!({ "type": "array", "items": { "type": "object" } }),
    ),
)
.about(
    "All dead letters since they were looked at last, in any order; of each what is named must be \
     so. `error` need only be part of what it says.",
)
.without("the step does something else")
.example("[{ row: \"x\", code: W0101 }]");

pub(super) const SKIPPED: Key<Whole> = Key::of("skipped", Whole::from(0))
    .about("How many rows were left out since that was asked last.")
    .without("the step does something else")
    .example("1");

pub(super) const TIMERS: Key<Special> = Key::of(
    "timers",
    Special::of(
        "list of timers",
        || json!({ "type": "array", "items": { "type": "object" } }),
    ),
)
.about(
    "All timers that are set, in any order: their `key` (a part, or the list of its parts) and \
     when they are due, by `event-time` or by `processing-time`, in milliseconds.",
)
.without("the step does something else")
.example("[{ key: ann, event-time: 1000 }]");

pub(super) const STATE: Key<Special> = Key::of(
    "state",
    Special::of("mapping of states", || json!({ "type": "object" })),
)
.about(
    "All that a state holds: `{ <key>: <value> }`, or a list of `{ key, value }` where keys have \
     several parts; of a list its elements, of a map pairs. Values are as `weir state get` shows \
     them, or in the component's own words. State of the operator as a whole is a list.",
)
.without("the step does something else")
.example("{ count: { ann: 2, bob: 1 } }");

pub(super) const FAILS: Key<Special> = Key::of(
    "fails",
    Special::of(
        "code, or a mapping",
        || json!({ "type": ["string", "object"] }),
    ),
)
.about(
    "The step before has failed the job: with this `code`, with `message` in what it says, because \
     of this `row`. Only `restore` and `crash` come behind it.",
)
.without("the step does something else")
.example("{ code: W0102, message: unreachable }");

pub(super) const INPUT: Key<Special> = Key::of(
    "input",
    Special::of(
        "name, or number",
        || json!({ "type": ["string", "integer"] }),
    ),
)
.about("Which input, by what it reads or by its number from 0.")
.without("the only one; of `watermark` all")
.example("clicks");

pub(super) const OUTPUT: Key<Special> = Key::of(
    "output",
    Special::of("name", || json!({ "type": "string" })),
)
.about("Which side output `expect` looks at.")
.without("the main one")
.example("late");

pub(super) const ORDER: Key<Words<bool>> = Key::of("order", ORDERS)
    .about("In which order `expect` has the rows.")
    .usual("exact")
    .example("any");

const ORDERS: Words<bool> = Words::of(&[
    (
        "exact",
        false,
        "as each subtask gives them; of several subtasks in any way that keeps that",
    ),
    ("any", true, "in any order"),
]);

fn one_thing() -> Vec<Json> {
    let one = VERBS.iter().map(|key| json!({ "required": [key.name()] }));
    vec![json!({ "oneOf": one.collect::<Vec<_>>() })]
}
