//! `async` of an operator, and what it is granted to reach.

use serde_json::{Value as Json, json};
use weir_operator::{AsyncOptions, HttpOrigin, Order, Retry};

use super::{
    fields::{Fields, wrong},
    keys::{AnyKey, Key, Keys},
    kinds::{Real, Special, Time, Whole, Within, Words, reference_to},
};
use crate::{
    code,
    model::millis,
    report::Report,
    wording::quote,
    yaml::{Node, Value},
};

pub(super) const ASYNC: Key<Within> = Key::of("async", Within(&KEYS))
    .about(
        "How the calls of a component are made that wait for something outside: many rows at once. \
         Needs a component that exports `enrich`.",
    )
    .without("a component that exports `enrich` has the defaults")
    .example("{ capacity: 50, timeout: 5s }");

const KEYS: Keys = Keys {
    elsewhere: &[
        ("attempts", "belongs in `retry`"),
        ("mode", "did you mean `order`?"),
        ("url", "belongs in `grants`: `grants: [ { http: … } ]`"),
    ],
    ..Keys::of("async", &[&ORDER, &CAPACITY, &TIMEOUT, &RETRY]).about(
        "`async`",
        "How calls are made that wait. Rows whose results are not out are in checkpoints, and are \
         called again after a failure.",
    )
};

const ORDER: Key<Words<Order>> = Key::of("order", ORDERS)
    .about("In which order results leave.")
    .usual("ordered")
    .example("unordered");

const ORDERS: Words<Order> = Words::of(&[
    (
        "ordered",
        Order::Ordered,
        "in that of the rows they come from",
    ),
    (
        "unordered",
        Order::Unordered,
        "as they come, but never across a watermark",
    ),
]);

const CAPACITY: Key<Whole> = Key::of("capacity", Whole::between(1, 100_000))
    .about(
        "How many rows may be called with at once, in each subtask. Each has an instance of its \
         own: together they take up to so many times `limits.memory`.",
    )
    .usual("100")
    .example("20");

const TIMEOUT: Key<Time> = Key::of("timeout", Time::ABOVE_ZERO)
    .about(
        "How long a row may take, from its first call on and with all that are made again. A row \
         that takes longer is one that failed: `on-error` decides.",
    )
    .usual("10s")
    .example("5s");

const RETRY: Key<Within> = Key::of("retry", Within(&RETRY_KEYS))
    .about("When a call is made again that failed and may be.")
    .without("never")
    .example("{ strategy: exponential-delay, attempts: 5 }");

const RETRY_KEYS: Keys = Keys {
    elsewhere: &[("timeout", "belongs beside `retry`")],
    ..Keys::of(
        "retry",
        &[
            &STRATEGY,
            &ATTEMPTS,
            &DELAY,
            &INITIAL,
            &MULTIPLIER,
            &MAX_BACKOFF,
        ],
    )
    .about(
        "`retry`",
        "When a call is made again whose component says that another one may get what this one did \
         not.",
    )
};

const STRATEGY: Key<Words<Word>> = Key::of("strategy", STRATEGIES)
    .about("How long after a call that failed the next one is made.")
    .needed()
    .example("fixed-delay");

const STRATEGIES: Words<Word> = Words::of(&[
    ("fixed-delay", Word::Fixed, "`delay`"),
    (
        "exponential-delay",
        Word::Exponential,
        "`initial-backoff`, and each time longer, up to `max-backoff`",
    ),
]);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Fixed,
    Exponential,
}

const ATTEMPTS: Key<Whole> = Key::of("attempts", Whole::between(1, u32::MAX as u64))
    .about("How many calls are made again for a row.")
    .usual("3")
    .example("5");

const DELAY: Key<Time> = Key::of("delay", Time::FROM_ZERO)
    .about("How long after a call that failed. For `fixed-delay`.")
    .usual("1s")
    .example("250ms");

const INITIAL: Key<Time> = Key::of("initial-backoff", Time::ABOVE_ZERO)
    .about("The first delay. For `exponential-delay`.")
    .usual("100ms")
    .example("50ms");

const MULTIPLIER: Key<Real> = Key::of("backoff-multiplier", Real { zero: false })
    .about(
        "How much longer each delay is than the one before, at least 1. For `exponential-delay`.",
    )
    .usual("2")
    .example("1.5");

const MAX_BACKOFF: Key<Time> = Key::of("max-backoff", Time::ABOVE_ZERO)
    .about("The longest delay. For `exponential-delay`.")
    .usual("10s")
    .example("5s");

/// Which strategy a key is for, and what else it could be for.
const FOR: [(&dyn AnyKey, Word); 4] = [
    (&DELAY, Word::Fixed),
    (&INITIAL, Word::Exponential),
    (&MULTIPLIER, Word::Exponential),
    (&MAX_BACKOFF, Word::Exponential),
];

pub(super) const GRANTS: Key<Special> = Key::of(
    "grants",
    Special {
        below: &[&GRANT_KEYS],
        ..Special::of(
            "list of grants",
            || json!({ "type": "array", "items": reference_to(&GRANT_KEYS) }),
        )
    },
)
.about(
    "What the component may use of the outside: nothing else. For components that export `enrich`.",
)
.usual("[]")
.example("[ { http: \"https://api.example.com\" } ]");

const GRANT_KEYS: Keys = Keys {
    later: &[("network", "grant the hosts that requests go to: `http`")],
    elsewhere: &[("https", "is `http: \"https://…\"`")],
    ..Keys::of("grant", &[&HTTP]).about("`grants`", "One thing that a component may use.")
};

const HTTP: Key<Special> = Key::of("http", Special::of("URL without a path", http_schema))
    .about(
        "Where requests may go: scheme, host and port, and all paths there. Redirects are followed \
         within what is granted.",
    )
    .needed()
    .example("\"https://api.example.com\"");

fn http_schema() -> Json {
    json!({ "type": "string", "pattern": "^https?://[^/?#@*\\s]+/?$" })
}

/// Reads `async`.
pub(super) fn read(fields: &Fields<'_>, report: &mut Report) -> Option<AsyncOptions> {
    let own = fields.within(&ASYNC, report)?;
    let usual = AsyncOptions::default();
    let capacity = own.int(&CAPACITY, report);
    let capacity = capacity.and_then(|number| usize::try_from(number).ok());
    Some(AsyncOptions {
        order: own.word(&ORDER, report).unwrap_or(usual.order),
        capacity: capacity.unwrap_or(usual.capacity),
        timeout: own.duration(&TIMEOUT, report).unwrap_or(usual.timeout),
        retry: retry(&own, report).unwrap_or(usual.retry),
    })
}

fn retry(fields: &Fields<'_>, report: &mut Report) -> Option<Retry> {
    let own = fields.within(&RETRY, report)?;
    // All are read, so that all errors are told.
    let strategy = own.word(&STRATEGY, report);
    let attempts = own.int(&ATTEMPTS, report).unwrap_or(3);
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    let delay = own.duration(&DELAY, report).map_or(1_000, millis);
    let initial = own.duration(&INITIAL, report).map_or(100, millis);
    let max = own.duration(&MAX_BACKOFF, report).map_or(10_000, millis);
    let multiplier = own.number(&MULTIPLIER, report).unwrap_or(2.0);
    if multiplier < 1.0
        && let Some(entry) = own.entry(&MULTIPLIER)
    {
        let message = format!("`{}` cannot be {multiplier}", MULTIPLIER.name);
        let error = report.error(code::BAD_VALUE, message);
        error.at(entry.node.span, "must be at least 1");
    }
    if initial > max
        && let Some(entry) = own.entry(&INITIAL).or(own.entry(&MAX_BACKOFF))
    {
        let message = "`initial-backoff` is longer than `max-backoff`";
        let error = report.error(code::CONTRADICTION, message);
        error.at(
            entry.node.span,
            format!("{initial} ms and at most {max} ms"),
        );
    }
    let strategy = strategy?;
    for (key, _) in FOR.iter().filter(|(_, of)| *of != strategy) {
        if let Some(entry) = own.entry(*key) {
            let message = format!("`{}` does nothing with this `strategy`", entry.key);
            let error = report.error(code::CONTRADICTION, message);
            error.at(entry.key_span, "leave it out");
        }
    }
    Some(match strategy {
        Word::Fixed => Retry::Fixed {
            attempts,
            delay_ms: delay,
        },
        Word::Exponential => Retry::Exponential {
            attempts,
            initial_ms: initial,
            max_ms: max,
            multiplier,
        },
    })
}

/// Reads `grants`.
pub(super) fn grants(fields: &Fields<'_>, report: &mut Report) -> Vec<HttpOrigin> {
    let Some(entry) = fields.entry(&GRANTS) else {
        return Vec::new();
    };
    let Value::List(list) = &entry.node.value else {
        wrong::<()>(GRANTS.name, "a list", &entry.node, report);
        return Vec::new();
    };
    let grants = list.iter().filter_map(|node| grant(node, report));
    grants.collect()
}

fn grant(node: &Node, report: &mut Report) -> Option<HttpOrigin> {
    let own = Fields::open("a grant", node, node.span, &GRANT_KEYS, report)?;
    let (text, span) = own.text(&HTTP, report)?;
    match HttpOrigin::parse(text) {
        Ok(origin) => Some(origin),
        Err(why) => {
            let message = format!("`http` cannot be {}", quote(text));
            let error = report.error(code::BAD_VALUE, message);
            error.at(span, why);
            None
        }
    }
}
