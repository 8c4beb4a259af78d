//! Sources with `connector: socket`.

use serde_json::json;

use super::{
    address,
    fields::Fields,
    keys::{Key, Keys},
    kinds::{Special, Time, Whole, Within, Words},
    source::{
        DELIMITER, FORMATS, HEADER, ON_ERROR, TIMESTAMP, of_rows, on_error, timestamp, with_csv,
    },
    watermark::WATERMARK,
};
use crate::{
    code,
    model::{AtEnd, Format, Reconnect, SocketSource},
    report::Report,
    yaml::Value,
};

pub(super) const KEYS: Keys = Keys {
    elsewhere: &[
        ("attempts", "belongs in `reconnect`"),
        ("backoff", "belongs in `reconnect`"),
        ("max-backoff", "belongs in `reconnect`"),
        ("host", "did you mean `address: host:port`?"),
        ("port", "did you mean `address: host:port`?"),
        ("column", "belongs in `timestamp`"),
        ("unit", "belongs in `timestamp`"),
    ],
    rules: of_rows,
    ..Keys::of(
        "socket-source",
        &[
            &ADDRESS,
            &SOCKET_FORMAT,
            &HEADER,
            &DELIMITER,
            &ON_ERROR,
            &TIMESTAMP,
            &WATERMARK,
            &AT_END,
            &RECONNECT,
        ],
    )
    .about(
        "Sources with `connector: socket`",
        "What the other side of a TCP connection sends, such as `nc -lk 9999` (the netcat of OpenBSD, \
         which Debian and Ubuntu call `netcat-openbsd`; another netcat may have no `-k`, or want `-p`). It \
         cannot be asked for again: rows that were received since the last checkpoint are gone after a failure, so \
         a job that reads it is at-most-once. One reader has all rows.",
    )
};

const ADDRESS: Key<Special> = Key::of(
    "address",
    Special::of(
        "`host:port`",
        || json!({ "type": "string", "pattern": address::PATTERN }),
    ),
)
.about("Where to connect to. An IPv6 address stands in brackets: `\"[::1]:9999\"`.")
.needed()
.example("localhost:9999");

const SOCKET_FORMAT: Key<Words<Format>> = Key::of("format", FORMATS)
    .about(
        "How rows are cut out of what comes. With `csv` and `header: true` a record with another \
         number of fields than the header cannot be read; without a header records may have any \
         number, and an operator refuses what it cannot use. A quote that is not closed takes the \
         following lines into its field.",
    )
    .usual("lines")
    .example("json");

const AT_END: Key<Words<AtEnd>> = Key::of("at-end", AT_ENDS)
    .about("What it means that the other side closes the connection.")
    .usual("reconnect")
    .example("finish");

const AT_ENDS: Words<AtEnd> = Words::of(&[
    (
        "reconnect",
        AtEnd::Reconnect,
        "it will be back: connect again",
    ),
    ("finish", AtEnd::Finish, "that was all: the source ends"),
]);

pub(super) const RECONNECT: Key<Within> = Key::of("reconnect", Within(&RECONNECT_KEYS))
    .about("How to try again where there is no connection.")
    .without("the defaults of its keys")
    .example("{ attempts: 20, backoff: 250ms, max-backoff: 30s }");

const RECONNECT_KEYS: Keys = Keys::of("reconnect", &[&ATTEMPTS, &BACKOFF, &MAX_BACKOFF]).about(
    "`reconnect`",
    "How to try again where there is no connection. When all attempts have brought nothing, the \
     job fails, and the restart strategy decides.",
);

const ATTEMPTS: Key<Whole> = Key::of("attempts", Whole::between(1, u32::MAX as u64))
    .about("How many attempts in a row may end without a byte received.")
    .usual("10")
    .example("20");

const BACKOFF: Key<Time> = Key::of("backoff", Time::ABOVE_ZERO)
    .about("How long to wait after the first of them; twice as long after each further one.")
    .usual("100ms")
    .example("250ms");

const MAX_BACKOFF: Key<Time> = Key::of("max-backoff", Time::ABOVE_ZERO)
    .about("The longest wait.")
    .usual("5s")
    .example("30s");

pub(super) fn read(fields: &Fields<'_>, report: &mut Report) -> Option<SocketSource> {
    let format = match fields.entry(&SOCKET_FORMAT) {
        Some(_) => fields.word(&SOCKET_FORMAT, report),
        None => Some(Format::Lines),
    };
    let format = with_csv(format, fields, report);
    let on_error = on_error(fields, report);
    let timestamp = timestamp(fields, format, report);
    let at_end = fields.word(&AT_END, report);
    let reconnect = reconnect(fields, report).unwrap_or_default();
    let address = address(fields, report);
    Some(SocketSource {
        address: address?,
        format: format?,
        on_error,
        timestamp,
        at_end: at_end.unwrap_or_default(),
        reconnect,
    })
}

pub(super) fn reconnect(fields: &Fields<'_>, report: &mut Report) -> Option<Reconnect> {
    let own = fields.within(&RECONNECT, report)?;
    let usual = Reconnect::default();
    let attempts = own.int(&ATTEMPTS, report);
    let attempts = attempts.and_then(|number| u32::try_from(number).ok());
    let backoff = own.duration(&BACKOFF, report).unwrap_or(usual.backoff);
    let max_backoff = own.duration(&MAX_BACKOFF, report);
    let max_backoff = max_backoff.unwrap_or(usual.max_backoff);
    let said = own.entry(&BACKOFF).or_else(|| own.entry(&MAX_BACKOFF));
    if let Some(said) = said
        && backoff > max_backoff
    {
        let message = "the first wait is longer than the longest";
        let label = format!("`backoff` is {backoff:?}, `max-backoff` is {max_backoff:?}");
        let error = report.error(code::CONTRADICTION, message);
        error.at(said.node.span, label);
    }
    Some(Reconnect {
        attempts: attempts.unwrap_or(usual.attempts),
        backoff,
        max_backoff,
    })
}

fn address(fields: &Fields<'_>, report: &mut Report) -> Option<String> {
    let entry = fields.entry(&ADDRESS)?;
    if let Value::Int(port) = entry.node.value {
        return address::check(&port.to_string(), entry.node.span, report);
    }
    let (text, span) = fields.text(&ADDRESS, report)?;
    address::check(text, span, report)
}
