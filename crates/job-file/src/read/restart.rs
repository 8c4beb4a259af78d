//! `restart`: Flink's strategies, with its parameters and defaults (semantics 1.16).

use serde_json::{Value as Json, json};
use weir_checkpoint::RestartStrategy;

use super::{
    fields::Fields,
    keys::{AnyKey, Key, Keys},
    kinds::{Real, Special, Time, Whole, Words},
};
use crate::{
    code,
    model::millis,
    report::Report,
    wording::quote,
    yaml::{Entry, Value},
};

pub(super) const KEYS: Keys = Keys::of(
    "restart",
    &[
        &STRATEGY,
        &ATTEMPTS,
        &DELAY,
        &MAX_FAILURES,
        &FAILURE_INTERVAL,
        &INITIAL,
        &MULTIPLIER,
        &MAX_BACKOFF,
        &RESET_AFTER,
        &JITTER,
        &ATTEMPTS_BEFORE_RESET,
    ],
)
.about(
    "`restart`",
    "What happens after a failure. Where it is missing: two restarts without delay in a job with \
     checkpoints, none in a job without.",
);

const STRATEGY: Key<Words<Word>> = Key::of("strategy", WORDS)
    .about("Whether the job starts again from its latest checkpoint.")
    .needed()
    .example("fixed-delay");

const WORDS: Words<Word> = Words {
    // Flink's other names for them.
    aliases: &[
        ("disable", Word::None),
        ("off", Word::None),
        ("fixeddelay", Word::FixedDelay),
        ("failurerate", Word::FailureRate),
        ("exponentialdelay", Word::ExponentialDelay),
    ],
    ..Words::of(&[
        ("none", Word::None, "the first failure ends the job"),
        (
            "fixed-delay",
            Word::FixedDelay,
            "it starts again, `attempts` times, each after `delay`",
        ),
        (
            "failure-rate",
            Word::FailureRate,
            "it starts again, each time after `delay`, unless it fails more often than \
             `max-failures-per-interval` within `failure-rate-interval`",
        ),
        (
            "exponential-delay",
            Word::ExponentialDelay,
            "it starts again after a delay that grows from failure to failure, until it has been \
             stable for `reset-backoff-threshold`",
        ),
    ])
};

#[derive(Clone, Copy, PartialEq)]
enum Word {
    None,
    FixedDelay,
    FailureRate,
    ExponentialDelay,
}

const ATTEMPTS: Key<Special> = Key::of(
    "attempts",
    Special::of("whole number, or `unlimited`", attempts_schema),
)
.about("How many restarts there are over the whole run. For `fixed-delay`.")
.usual("1")
.example("3");

const DELAY: Key<Time> = Key::of("delay", Time::FROM_ZERO)
    .about("How long after a failure the job starts again. For `fixed-delay` and `failure-rate`.")
    .usual("1s")
    .example("250ms");

const MAX_FAILURES: Key<Whole> = Key::of(
    "max-failures-per-interval",
    Whole::between(1, u32::MAX as u64),
)
.about("How many failures within `failure-rate-interval` the job bears. For `failure-rate`.")
.usual("1")
.example("3");

const FAILURE_INTERVAL: Key<Time> = Key::of("failure-rate-interval", Time::ABOVE_ZERO)
    .about("The time over which failures are counted. For `failure-rate`.")
    .usual("1m")
    .example("5m");

const INITIAL: Key<Time> = Key::of("initial-backoff", Time::ABOVE_ZERO)
    .about("The delay of the first restart. For `exponential-delay`.")
    .usual("1s")
    .example("500ms");

const MULTIPLIER: Key<Real> = Key::of("backoff-multiplier", Real { zero: false })
    .about(
        "How much longer each delay is than the one before, at least 1. For `exponential-delay`.",
    )
    .usual("1.5")
    .example("2");

const MAX_BACKOFF: Key<Time> = Key::of("max-backoff", Time::ABOVE_ZERO)
    .about("The longest delay. For `exponential-delay`.")
    .usual("1m")
    .example("10m");

const RESET_AFTER: Key<Time> = Key::of("reset-backoff-threshold", Time::ABOVE_ZERO)
    .about(
        "A job that has not failed for so long begins again with the first delay. For \
            `exponential-delay`.",
    )
    .usual("1h")
    .example("10m");

const JITTER: Key<Real> = Key::of("jitter-factor", Real { zero: true })
    .about(
        "The part of itself by which a delay is shorter or longer at random, so that many jobs do \
         not start again at the same moment; from 0 to 1. For `exponential-delay`.",
    )
    .usual("0.1")
    .example("0.2");

const ATTEMPTS_BEFORE_RESET: Key<Special> = Key::of(
    "attempts-before-reset-backoff",
    Special::of("whole number, or `unlimited`", attempts_schema),
)
.about(
    "How many restarts there are before the job has been stable for `reset-backoff-threshold`; the \
     next failure ends it. For `exponential-delay`.",
)
.usual("unlimited")
.example("10");

/// Which strategies a key is for.
const FOR: [(&dyn AnyKey, &[Word]); 10] = [
    (&ATTEMPTS, &[Word::FixedDelay]),
    (&DELAY, &[Word::FixedDelay, Word::FailureRate]),
    (&MAX_FAILURES, &[Word::FailureRate]),
    (&FAILURE_INTERVAL, &[Word::FailureRate]),
    (&INITIAL, &[Word::ExponentialDelay]),
    (&MULTIPLIER, &[Word::ExponentialDelay]),
    (&MAX_BACKOFF, &[Word::ExponentialDelay]),
    (&RESET_AFTER, &[Word::ExponentialDelay]),
    (&JITTER, &[Word::ExponentialDelay]),
    (&ATTEMPTS_BEFORE_RESET, &[Word::ExponentialDelay]),
];

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
    // All are read, so that all errors are told.
    let fixed = fixed_delay(&fields, report);
    let rate = failure_rate(&fields, report);
    let exponential = exponential_delay(&fields, report);
    let strategy = strategy?;
    check_others(&fields, strategy, report);
    match strategy {
        Word::None => Some(RestartStrategy::None),
        Word::FixedDelay => fixed,
        Word::FailureRate => rate,
        Word::ExponentialDelay => exponential,
    }
}

/// Reports what does nothing with a strategy. One that comes later, from the command line,
/// overrides what belongs to that before it.
fn check_others(fields: &Fields<'_>, strategy: Word, report: &mut Report) {
    let said = fields.entry(&STRATEGY).map(|s| s.node.span.document);
    let word = fields.entry(&STRATEGY).map(|entry| &entry.node.value);
    let word = match word {
        Some(Value::Text(word)) => word.as_str(),
        Some(_) | None => "none",
    };
    for (key, _) in FOR.iter().filter(|(_, of)| !of.contains(&strategy)) {
        let Some(entry) = fields.entry(*key) else {
            continue;
        };
        if Some(entry.key_span.document) >= said {
            let message = format!("`{}` does nothing with `strategy: {word}`", entry.key);
            let error = report.error(code::CONTRADICTION, message);
            error.at(entry.key_span, "leave it out");
        }
    }
}

fn fixed_delay(fields: &Fields<'_>, report: &mut Report) -> Option<RestartStrategy> {
    let usual = RestartStrategy::FIXED_DELAY;
    let RestartStrategy::FixedDelay { attempts, delay_ms } = usual else {
        return None;
    };
    Some(RestartStrategy::FixedDelay {
        attempts: times(fields, &ATTEMPTS, report).unwrap_or(attempts),
        delay_ms: fields.duration(&DELAY, report).map_or(delay_ms, millis),
    })
}

fn failure_rate(fields: &Fields<'_>, report: &mut Report) -> Option<RestartStrategy> {
    let usual = RestartStrategy::FAILURE_RATE;
    let RestartStrategy::FailureRate {
        failures,
        interval_ms,
        delay_ms,
    } = usual
    else {
        return None;
    };
    let said = fields.int(&MAX_FAILURES, report);
    let said = said.and_then(|number| u32::try_from(number).ok());
    let interval = fields.duration(&FAILURE_INTERVAL, report);
    // An error of it was told with the other strategy.
    let delay = fields.duration(&DELAY, &mut Report::new(Vec::new()));
    Some(RestartStrategy::FailureRate {
        failures: said.unwrap_or(failures),
        interval_ms: interval.map_or(interval_ms, millis),
        delay_ms: delay.map_or(delay_ms, millis),
    })
}

fn exponential_delay(fields: &Fields<'_>, report: &mut Report) -> Option<RestartStrategy> {
    let usual = RestartStrategy::EXPONENTIAL_DELAY;
    let RestartStrategy::ExponentialDelay {
        initial_ms,
        multiplier,
        max_ms,
        reset_after_ms,
        jitter,
        attempts,
    } = usual
    else {
        return None;
    };
    let number = |key: &Key<Real>, (low, high): (f64, f64), report: &mut Report| {
        let value = fields.number(key, report)?;
        if (low..=high).contains(&value) {
            return Some(value);
        }
        let entry = fields.entry(key)?;
        let label = match value < low {
            true => format!("must be at least {low}"),
            false => format!("must be at most {high}"),
        };
        report
            .error(code::BAD_VALUE, format!("`{}` cannot be {value}", key.name))
            .at(entry.node.span, label);
        None
    };
    let initial = fields.duration(&INITIAL, report).map_or(initial_ms, millis);
    let max = fields.duration(&MAX_BACKOFF, report).map_or(max_ms, millis);
    if initial > max
        && let Some(entry) = fields.entry(&INITIAL).or(fields.entry(&MAX_BACKOFF))
    {
        let message = "`initial-backoff` is longer than `max-backoff`";
        let error = report.error(code::CONTRADICTION, message);
        error.at(
            entry.node.span,
            format!("{initial} ms and at most {max} ms"),
        );
    }
    Some(RestartStrategy::ExponentialDelay {
        initial_ms: initial,
        multiplier: number(&MULTIPLIER, (1.0, f64::MAX), report).unwrap_or(multiplier),
        max_ms: max,
        reset_after_ms: fields
            .duration(&RESET_AFTER, report)
            .map_or(reset_after_ms, millis),
        jitter: number(&JITTER, (0.0, 1.0), report).unwrap_or(jitter),
        attempts: times(fields, &ATTEMPTS_BEFORE_RESET, report).unwrap_or(attempts),
    })
}

/// A number, or `unlimited` = `Some(None)`; `None` where nothing is written.
fn times(fields: &Fields<'_>, key: &Key<Special>, report: &mut Report) -> Option<Option<u32>> {
    let entry = fields.entry(key)?;
    if let Value::Text(text) = &entry.node.value {
        let is_number = text.replace('_', "").parse::<u32>().is_ok();
        if !is_number && text != "unlimited" {
            let message = format!("`{}` cannot be {}", key.name, quote(text));
            let error = report.error(code::BAD_VALUE, message);
            error.at(entry.node.span, "must be a number, or `unlimited`");
        }
        if !is_number {
            return Some(None);
        }
    }
    let number = fields.whole(key, MOST, report)?;
    Some(u32::try_from(number).ok())
}
