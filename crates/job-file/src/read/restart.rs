//! `restart`.

use serde_json::{Value as Json, json};
use weir_checkpoint::RestartStrategy;

use super::{
    fields::Fields,
    keys::{Key, Keys},
    kinds::{Special, Time, Whole, Words},
};
use crate::{
    code,
    model::millis,
    report::Report,
    wording::quote,
    yaml::{Entry, Value},
};

pub(super) const KEYS: Keys = Keys::of("restart", &[&STRATEGY, &ATTEMPTS, &DELAY]).about(
    "`restart`",
    "What happens after a failure. Where it is missing: two restarts without delay in a job with \
     checkpoints, none in a job without.",
);

const STRATEGY: Key<Words<Word>> = Key::of("strategy", WORDS)
    .about("Whether the job starts again from its latest checkpoint.")
    .needed()
    .example("fixed-delay");

const WORDS: Words<Word> = Words {
    // Flink's other names for it.
    aliases: &[
        ("disable", Word::None),
        ("off", Word::None),
        ("fixeddelay", Word::FixedDelay),
    ],
    later: &[
        ("exponential-delay", "use `strategy: fixed-delay`"),
        ("failure-rate", "use `strategy: fixed-delay`"),
    ],
    ..Words::of(&[
        ("none", Word::None, "the first failure ends the job"),
        (
            "fixed-delay",
            Word::FixedDelay,
            "it starts again, `attempts` times, each after `delay`",
        ),
    ])
};

#[derive(Clone, Copy)]
enum Word {
    None,
    FixedDelay,
}

const ATTEMPTS: Key<Special> = Key::of(
    "attempts",
    Special::of("whole number, or `unlimited`", attempts_schema),
)
.about("How many restarts there are over the whole run. For `fixed-delay`.")
.usual("1")
.example("3");

const DELAY: Key<Time> = Key::of("delay", Time::FROM_ZERO)
    .about("How long after a failure the job starts again. For `fixed-delay`.")
    .usual("1s")
    .example("250ms");

const MOST: Whole = Whole::between(0, u32::MAX as u64);

fn attempts_schema() -> Json {
    json!({ "anyOf": [
        { "const": "unlimited" },
        { "type": "integer", "minimum": MOST.low, "maximum": MOST.high },
    ] })
}

/// Reads the strategy; `None` where it has errors, which are reported.
pub(super) fn read(entry: &Entry, report: &mut Report) -> Option<RestartStrategy> {
    let name = entry.key_span;
    let fields = Fields::open("`restart`", &entry.node, name, &KEYS, report)?;
    let strategy = fields.word(&STRATEGY, report);
    let attempts = fields.entry(&ATTEMPTS).map(|_| attempts(&fields, report));
    let delay_ms = fields.duration(&DELAY, report).map(millis);
    let RestartStrategy::FixedDelay {
        attempts: usual_attempts,
        delay_ms: usual_delay,
    } = RestartStrategy::FIXED_DELAY
    else {
        return None;
    };
    match strategy? {
        Word::None => {
            // A strategy from the command line overrides what belongs to that of the file.
            let said = fields.entry(&STRATEGY).map(|s| s.node.span.document);
            for entry in [fields.entry(&ATTEMPTS), fields.entry(&DELAY)] {
                let beside = |entry: &&Entry| Some(entry.key_span.document) >= said;
                if let Some(entry) = entry.filter(beside) {
                    let message = format!("`{}` does nothing with `strategy: none`", entry.key);
                    let error = report.error(code::CONTRADICTION, message);
                    error.at(entry.key_span, "leave it out");
                }
            }
            Some(RestartStrategy::None)
        }
        Word::FixedDelay => Some(RestartStrategy::FixedDelay {
            attempts: attempts.unwrap_or(usual_attempts),
            delay_ms: delay_ms.unwrap_or(usual_delay),
        }),
    }
}

/// A number, or `unlimited` = `None`.
fn attempts(fields: &Fields<'_>, report: &mut Report) -> Option<u32> {
    let entry = fields.entry(&ATTEMPTS)?;
    if let Value::Text(text) = &entry.node.value {
        let is_number = text.replace('_', "").parse::<u32>().is_ok();
        if !is_number && text != "unlimited" {
            let message = format!("`attempts` cannot be {}", quote(text));
            let error = report.error(code::BAD_VALUE, message);
            error.at(entry.node.span, "must be a number, or `unlimited`");
        }
        if !is_number {
            return None;
        }
    }
    let number = fields.whole(&ATTEMPTS, MOST, report)?;
    u32::try_from(number).ok()
}
