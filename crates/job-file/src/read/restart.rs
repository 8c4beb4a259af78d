//! `restart`.

use weir_checkpoint::RestartStrategy;

use super::fields::{Fields, Keys, Words};
use crate::{
    code,
    model::millis,
    report::Report,
    wording::quote,
    yaml::{Entry, Value},
};

const KEYS: Keys = Keys::of(&["strategy", "attempts", "delay"]);

#[derive(Clone, Copy)]
enum Word {
    None,
    FixedDelay,
}

const WORDS: Words<'_, Word> = Words {
    // Flink's other names for it.
    aliases: &[("disable", Word::None), ("off", Word::None)],
    later: &[
        ("exponential-delay", "use `strategy: fixed-delay`"),
        ("failure-rate", "use `strategy: fixed-delay`"),
    ],
    ..Words::of(&[("none", Word::None), ("fixed-delay", Word::FixedDelay)])
};

/// Reads the strategy; `None` where it has errors, which are reported.
pub(super) fn read(entry: &Entry, report: &mut Report) -> Option<RestartStrategy> {
    let name = entry.key_span;
    let fields = Fields::open("`restart`", &entry.node, name, &[&KEYS], report)?;
    fields.required("strategy", report);
    let strategy = fields.word("strategy", &WORDS, report);
    let attempts = fields.entry("attempts").map(|_| attempts(&fields, report));
    let delay_ms = fields.duration("delay", report).map(millis);
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
            let said = fields.entry("strategy").map(|s| s.node.span.document);
            for key in ["attempts", "delay"] {
                let entry = fields.entry(key);
                let beside = |entry: &&Entry| Some(entry.key_span.document) >= said;
                if let Some(entry) = entry.filter(beside) {
                    let message = format!("`{key}` does nothing with `strategy: none`");
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
    let entry = fields.entry("attempts")?;
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
    let number = fields.int("attempts", 0, u32::MAX.into(), report)?;
    u32::try_from(number).ok()
}
