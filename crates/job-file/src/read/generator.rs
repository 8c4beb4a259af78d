//! Sources with `connector: generator`.

use serde_json::json;

use super::{
    fields::Fields,
    keys::{Key, Keys},
    kinds::{Real, Special, Whole, Words},
    quantity,
};
use crate::{
    code,
    model::{Distribution, Generator},
    report::Report,
    yaml::Value,
};

pub(super) const KEYS: Keys = Keys {
    elsewhere: &[
        ("timestamp", "rows that are made up have no event time"),
        ("watermark", "rows that are made up have no event time"),
    ],
    ..Keys::of(
        "generator",
        &[
            &COUNT,
            &KEY_COUNT,
            &DISTRIBUTION,
            &EXPONENT,
            &PAYLOAD,
            &SEED,
        ],
    )
    .about(
        "Sources with `connector: generator`",
        "Rows that are made up: JSON, the same after every restart. For trying things out and for \
         measuring.",
    )
};

const COUNT: Key<Whole> = Key::of("count", Whole::from(0))
    .about("How many rows there are over all readers.")
    .without("no end")
    .example("1e6");

const KEY_COUNT: Key<Whole> = Key::of("keys", Whole::from(1))
    .about("How many different keys there are.")
    .usual("1")
    .example("100");

const DISTRIBUTION: Key<Words<Distribution>> = Key::of("distribution", DISTRIBUTIONS)
    .about("How keys are spread over the rows.")
    .usual("sequence")
    .example("zipf");

const DISTRIBUTIONS: Words<Distribution> = Words::of(&[
    (
        "sequence",
        Distribution::Sequence,
        "one after the other, and again from the first",
    ),
    (
        "uniform",
        Distribution::Uniform,
        "each as likely as any other",
    ),
    (
        "zipf",
        Distribution::Zipf { exponent: 1.0 },
        "the key of rank `r` is as likely as `1 / r^exponent`",
    ),
]);

const EXPONENT: Key<Real> = Key::of("exponent", Real { zero: false })
    .about("How much likelier the first keys are. For `distribution: zipf`.")
    .usual("1")
    .example("1.5");

const PAYLOAD: Key<Special> = Key::of(
    "payload",
    Special::of("size, or whole number of bytes, at most 16MiB", || {
        let bytes = json!({ "type": "integer", "minimum": 0, "maximum": PAYLOADS.high });
        let size = quantity::pattern(&quantity::SIZE);
        json!({ "anyOf": [bytes, { "type": "string", "pattern": size }] })
    }),
)
.about("Bytes of filling in each row.")
.usual("0")
.example("1KiB");

const SEED: Key<Whole> = Key::of("seed", Whole::from(0))
    .about("The same seed gives the same rows.")
    .usual("0")
    .example("7");

/// The filling of a generated row.
const PAYLOADS: Whole = Whole::between(0, 16 << 20);

pub(super) fn read(fields: &Fields<'_>, report: &mut Report) -> Option<Generator> {
    let mut distribution = fields
        .word(&DISTRIBUTION, report)
        .unwrap_or(Distribution::Sequence);
    let exponent = fields.number(&EXPONENT, report);
    match (&mut distribution, exponent, fields.entry(&EXPONENT)) {
        (Distribution::Zipf { exponent }, Some(said), _) => *exponent = said,
        (Distribution::Sequence | Distribution::Uniform, _, Some(entry)) => {
            let message = "`exponent` is for `distribution: zipf`";
            let error = report.error(code::CONTRADICTION, message);
            error.at(entry.key_span, "leave it out");
        }
        (_, None, _) | (_, _, None) => {}
    }
    let payload = match fields.entry(&PAYLOAD).map(|entry| &entry.node.value) {
        Some(Value::Int(_) | Value::Float(_)) => fields.whole(&PAYLOAD, PAYLOADS, report),
        Some(_) => payload(fields, report),
        None => None,
    };
    let count = fields.int(&COUNT, report);
    let keys = fields.int(&KEY_COUNT, report);
    let seed = fields.int(&SEED, report);
    Some(Generator {
        count,
        keys: keys.unwrap_or(1),
        distribution,
        payload: usize::try_from(payload.unwrap_or(0)).ok()?,
        seed: seed.unwrap_or(0),
    })
}

fn payload(fields: &Fields<'_>, report: &mut Report) -> Option<u64> {
    let size = fields.bytes(&PAYLOAD, report)?;
    let entry = fields.entry(&PAYLOAD)?;
    if size > PAYLOADS.high {
        let message = "a row has no room for such a `payload`";
        let error = report.error(code::BAD_VALUE, message);
        error.at(entry.node.span, "must be at most 16MiB");
        return None;
    }
    Some(size)
}
