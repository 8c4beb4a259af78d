//! Sinks with `connector: postgres`.

use serde_json::{Value as Json, json};
use weir_operator::SinkGuarantee;

use super::{
    fields::{Fields, text_of, wrong},
    input::pointer,
    job::Around,
    keys::{AnyKey, Key, Keys},
    kinds::{Place, Size, Special, Whole, Within, Words},
    sink::{GUARANTEES, IGNORE, ON_EXISTING, RATIO, TIMEOUT, check_guarantee, transactions},
    socket::{RECONNECT, reconnect},
};
use crate::{
    code,
    model::{
        PostgresMode, PostgresPassword, PostgresRoots, PostgresSink, PostgresTake, PostgresTls,
    },
    report::Report,
    source::Span,
    wording::quote,
    yaml::Value,
};

pub(super) const KEYS: Keys = Keys {
    elsewhere: &[
        ("password", "a password has no place in a job file: `password-env` or `password-file`"),
        ("keys", "belongs in `upsert`"),
        ("rows", "belongs in `batch`"),
        ("size", "belongs in `batch`"),
        ("address", "did you mean `host` and `port`, or `url`?"),
    ],
    rules: one_server,
    ..Keys::of(
        "postgres-sink",
        &[
            &URL,
            &HOST,
            &PORT,
            &USER,
            &DATABASE,
            &PASSWORD_ENV,
            &PASSWORD_FILE,
            &SSLMODE,
            &SSLROOTCERT,
            &TABLE,
            &COLUMNS,
            &MISSING,
            &GUARANTEE,
            &BY,
            &UPSERT,
            &BATCH,
            &LOG_SIZE,
            &RECONNECT,
            &ON_EXISTING,
            &TIMEOUT,
            &IGNORE,
            &RATIO,
        ],
    )
    .about(
        "Sinks with `connector: postgres`",
        "Each row, which is a JSON document, is a row of a table of a PostgreSQL server (12 or \
         later). The server reads each value as the type of its column. A row that it does not take \
         fails the job. The page about PostgreSQL tells what each `guarantee` costs and needs.",
    )
};

const URL: Key<Special> = Key::of(
    "url",
    Special::of(
        "`postgres://user@host:port/database`",
        || json!({ "type": "string", "pattern": "^postgres(ql)?://[^@/:]+@[^@/]+/[^/?]+$" }),
    ),
)
.about("Where the server is, without a password; or `host`, `user` and `database`.")
.without("`host`, `user` and `database`")
.example("postgres://weir@db.example.com:5432/shop");

const HOST: Key<Special> = Key::of("host", TEXT)
    .about("A name, an address, or the folder of the server's Unix socket, which begins with `/`.")
    .without("that of `url`")
    .example("/var/run/postgresql");

const PORT: Key<Whole> = Key::of("port", Whole::between(1, 65_535))
    .about("The port, which is part of the name of a Unix socket, too.")
    .usual("5432")
    .example("6432");

const USER: Key<Special> = Key::of("user", TEXT)
    .about("The role to speak as.")
    .without("that of `url`")
    .example("weir");

const DATABASE: Key<Special> = Key::of("database", TEXT)
    .about("The database.")
    .without("that of `url`")
    .example("shop");

const PASSWORD_ENV: Key<Special> = Key::of("password-env", TEXT)
    .about("A variable of the environment that holds the password.")
    .without("no password is sent")
    .example("SHOP_PASSWORD");

const PASSWORD_FILE: Key<Place> = Key::of("password-file", Place)
    .about("A file that holds the password, instead of `password-env`.")
    .without("no password is sent")
    .example("/run/secrets/shop");

const SSLMODE: Key<Words<PostgresTls>> = Key::of(
    "sslmode",
    Words {
        hints: &[("allow", "did you mean `prefer`, or `require`?")],
        ..Words::of(&[
            ("disable", PostgresTls::Disable, "it is not encrypted"),
            (
                "prefer",
                PostgresTls::Prefer,
                "it is where the server can, with whomever that may be",
            ),
            (
                "require",
                PostgresTls::Require,
                "it is, with whomever that may be; with `sslrootcert` as `verify-ca`",
            ),
            (
                "verify-ca",
                PostgresTls::VerifyCa,
                "an authority vouches for the server",
            ),
            (
                "verify-full",
                PostgresTls::VerifyFull,
                "an authority vouches for the server and for its name",
            ),
        ])
    },
)
.about("Whether the connection is encrypted, as with libpq. That over a Unix socket never is.")
.usual("prefer")
.example("verify-full");

const SSLROOTCERT: Key<Place> = Key::of("sslrootcert", Place)
    .about(
        "A PEM file with the authorities that vouch for the server, or `system`: those that the \
         system trusts. Not with `sslmode: disable` or `prefer`.",
    )
    .without("`system`")
    .example("/etc/ssl/db-root.crt");

const TABLE: Key<Special> = Key::of("table", TEXT)
    .about(
        "The table, `name` or `schema.name`, as the catalog of the server spells it: upper and \
         lower case count. Each part may stand in double quotes.",
    )
    .needed()
    .example("public.counts");

const COLUMNS: Key<Special> = Key::of(
    "columns",
    Special::of("mapping of columns to places", columns_schema),
)
.about("What goes into which column: a JSON Pointer into the row, or `row` for all of its text.")
.without("the top-level fields of a row by their names, into all columns without a default")
.example("{ word: /word, n: /count, raw: row }");

const MISSING: Key<Words<bool>> = Key::of(
    "missing",
    Words::of(&[
        ("fail", false, "the row is refused"),
        ("null", true, "the column is null"),
    ]),
)
.about("What becomes of a row that has nothing for a column.")
.usual("fail")
.example("\"null\"");

const GUARANTEE: Key<Words<SinkGuarantee>> = Key::of("guarantee", GUARANTEES)
    .about(
        "What is promised of results after a failure; never more than what the job promises. \
         `exactly-once` says how with `by`.",
    )
    .without("`exactly-once` with `by`, else `at-least-once`")
    .example("exactly-once");

const BY: Key<Words<Way>> = Key::of(
    "by",
    Words::of(&[
        (
            "two-phase-commit",
            Way::TwoPhaseCommit,
            "rows are prepared on the server at the barrier, and committed with the checkpoint",
        ),
        (
            "write-ahead-log",
            Way::WriteAheadLog,
            "rows are kept in the checkpoint, and written when it is complete",
        ),
    ]),
)
.about("How results come to be there exactly once.")
.without("they do not")
.example("two-phase-commit");

const UPSERT: Key<Within> = Key::of("upsert", Within(&UPSERT_KEYS))
    .about(
        "A row replaces the one with the same key, so that one that comes again changes nothing. \
         Not with `by: two-phase-commit`.",
    )
    .without("rows are added")
    .example("{ keys: [word] }");

const UPSERT_KEYS: Keys = Keys::of("upsert", &[&UPSERT_ON])
    .about("`upsert`", "By which columns rows replace each other.");

const UPSERT_ON: Key<Special> = Key::of(
    "keys",
    Special::of(
        "list of columns",
        || json!({ "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 }),
    ),
)
.about("The columns; the table has a primary key or a unique constraint on just these.")
.needed()
.example("[word]");

const BATCH: Key<Within> = Key::of("batch", Within(&BATCH_KEYS))
    .about("How much is sent at a time. Not with `by: write-ahead-log`.")
    .without("the defaults of its keys")
    .example("{ rows: 50000, size: 4MiB }");

const BATCH_KEYS: Keys = Keys::of("batch", &[&BATCH_ROWS, &BATCH_SIZE]).about(
    "`batch` of a PostgreSQL sink",
    "How much is sent at a time; less where the input runs dry or a checkpoint is taken.",
);

const BATCH_ROWS: Key<Whole> = Key::of("rows", Whole::between(1, 1_000_000))
    .about("The most rows.")
    .usual("10000")
    .example("50000");

const BATCH_SIZE: Key<Size> = Key::of("size", Size)
    .about("The most bytes, as they are sent; one larger row still passes.")
    .usual("1MiB")
    .example("4MiB");

const LOG_SIZE: Key<Size> = Key::of("log-size", Size)
    .about(
        "With `by: write-ahead-log`, the most bytes of rows of one writer between two checkpoints: \
         they are held in memory.",
    )
    .usual("128MiB")
    .example("512MiB");

const TEXT: Special = Special::of("text", || json!({ "type": "string", "minLength": 1 }));

fn columns_schema() -> Json {
    json!({
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {
            "anyOf": [{ "const": "row" }, super::input::pointer_schema()],
        },
    })
}

fn one_server() -> Vec<Json> {
    vec![json!({
        "anyOf": [{ "required": ["url"] }, { "required": ["host", "user", "database"] }],
    })]
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    TwoPhaseCommit,
    WriteAheadLog,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct At {
    host: String,
    port: u16,
    user: String,
    database: String,
}

pub(super) fn read(
    fields: &Fields<'_>,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<PostgresSink> {
    let server = server(fields, report);
    let password = password(fields, around, report);
    let (tls, roots) = tls(fields, server.as_ref(), around, report);
    let table = table(fields, report);
    let columns = columns(fields, report);
    let missing_null = fields.word(&MISSING, report).unwrap_or_default();
    let mode = mode(fields, around, report);
    let batch = fields.within(&BATCH, report);
    let rows = batch
        .as_ref()
        .and_then(|batch| batch.int(&BATCH_ROWS, report));
    let bytes = batch
        .as_ref()
        .and_then(|batch| batch.size(&BATCH_SIZE, report));
    let log_bytes = fields.size(&LOG_SIZE, report);
    let reconnect = reconnect(fields, report).unwrap_or_default();
    let on_existing = fields.word(&ON_EXISTING, report).unwrap_or_default();
    let transactions = transactions(fields, report);
    let server = server?;
    let (schema, table) = table?;
    Some(PostgresSink {
        host: server.host,
        port: server.port,
        user: server.user,
        database: server.database,
        password: password?,
        tls,
        roots,
        schema,
        table,
        columns: columns?,
        missing_null,
        mode: mode?,
        batch_rows: rows.unwrap_or(PostgresSink::BATCH_ROWS),
        batch_bytes: bytes.unwrap_or(PostgresSink::BATCH_BYTES),
        log_bytes: log_bytes.unwrap_or(PostgresSink::LOG_BYTES),
        reconnect,
        on_existing,
        transactions,
    })
}

/// What is guaranteed and how.
fn mode(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<PostgresMode> {
    let way = fields.word(&BY, report);
    let said = fields.word(&GUARANTEE, report);
    let by = fields.entry(&BY);
    // `by` alone promises it, too.
    let promised = said.or(by.map(|_| SinkGuarantee::ExactlyOnce));
    if let Some(promised) = promised
        && let Some(entry) = fields.entry(&GUARANTEE).or(by)
    {
        check_guarantee(promised, entry.key_span, around, report);
    }
    match (said, by) {
        (Some(SinkGuarantee::ExactlyOnce), None) => {
            if let Some(entry) = fields.entry(&GUARANTEE) {
                let message = "an exactly-once PostgreSQL sink says how";
                report
                    .error(code::CONTRADICTION, message)
                    .at(entry.node.span, "needs `by`")
                    .help("`by: two-phase-commit`, or `by: write-ahead-log`");
            }
            return None;
        }
        (Some(SinkGuarantee::AtLeastOnce), Some(by)) => {
            let message = "`by` says how a sink is exactly-once, and this one is at-least-once";
            let error = report.error(code::CONTRADICTION, message);
            error.at(by.key_span, "leave it out, or `guarantee`");
        }
        (Some(_), Some(_)) | (Some(SinkGuarantee::AtLeastOnce), None) | (None, _) => {}
    }
    let keys = match fields.within(&UPSERT, report) {
        Some(upsert) => keys(&upsert, report)?,
        None => Vec::new(),
    };
    if by.is_some() && way.is_none() {
        return None;
    }
    check_idle(fields, way, report);
    Some(match way {
        None => PostgresMode::AtLeastOnce { keys },
        Some(Way::TwoPhaseCommit) => PostgresMode::TwoPhaseCommit,
        Some(Way::WriteAheadLog) => PostgresMode::WriteAheadLog { keys },
    })
}

/// Reports what has nothing to do with the way that is written.
fn check_idle(fields: &Fields<'_>, way: Option<Way>, report: &mut Report) {
    if way == Some(Way::TwoPhaseCommit)
        && let Some(upsert) = fields.entry(&UPSERT)
    {
        let message = "rows cannot replace each other with `by: two-phase-commit`: one would wait \
                       for the transaction that holds the other, which waits for its checkpoint";
        let error = report.error(code::CONTRADICTION, message);
        let label = "only with `write-ahead-log`, or `at-least-once`";
        error.at(upsert.key_span, label);
    }
    let logs = way == Some(Way::WriteAheadLog);
    let later = "there are no transactions to commit later";
    let elsewhere: [(&dyn AnyKey, bool, &str); 6] = [
        (&BATCH, logs, "all rows of a checkpoint are written at once"),
        (&LOG_SIZE, !logs, "belongs to `by: write-ahead-log`"),
        (
            &ON_EXISTING,
            way.is_none(),
            "nobody knows what was written before",
        ),
        (&TIMEOUT, way.is_none(), later),
        (&IGNORE, way.is_none(), later),
        (&RATIO, way.is_none(), later),
    ];
    let idle = elsewhere.into_iter().filter(|(_, idle, _)| *idle);
    for (key, _, label) in idle {
        if let Some(entry) = fields.entry(key) {
            let message = format!("`{}` does nothing here", key.name());
            let error = report.error(code::CONTRADICTION, message);
            error.at(entry.key_span, label);
        }
    }
}

fn keys(upsert: &Fields<'_>, report: &mut Report) -> Option<Vec<String>> {
    let entry = upsert.entry(&UPSERT_ON)?;
    let Value::List(nodes) = &entry.node.value else {
        return wrong(UPSERT_ON.name, "a list of columns", &entry.node, report);
    };
    let texts = nodes.iter().map(|node| text_of("keys", node, report));
    let keys: Vec<String> = texts
        .map(|text| Some(text?.0.to_owned()))
        .collect::<Option<_>>()?;
    let twice = (1..keys.len()).find(|&at| keys[..at].contains(&keys[at]));
    if keys.is_empty() || twice.is_some() {
        let error = report.error(
            code::BAD_VALUE,
            "`keys` names at least one column, each once",
        );
        error.at(
            entry.node.span,
            twice.map_or("this is empty", |_| "one is there twice"),
        );
        return None;
    }
    Some(keys)
}

/// Which columns get what; `Some(None)` where that is not said.
fn columns(
    fields: &Fields<'_>,
    report: &mut Report,
) -> Option<Option<Vec<(String, PostgresTake)>>> {
    let Some(entry) = fields.entry(&COLUMNS) else {
        return Some(None);
    };
    let Value::Map(entries) = &entry.node.value else {
        return wrong(
            COLUMNS.name,
            "a mapping of columns to places",
            &entry.node,
            report,
        );
    };
    if entries.is_empty() {
        let error = report.error(code::BAD_VALUE, "`columns` names at least one column");
        error.at(entry.node.span, "this is empty");
        return None;
    }
    let mut columns = Vec::new();
    for entry in entries {
        let take = match &entry.node.value {
            Value::Text(text) if text == "row" => PostgresTake::Row,
            _ => PostgresTake::At(pointer(&entry.key, &entry.node, report)?),
        };
        columns.push((entry.key.clone(), take));
    }
    Some(Some(columns))
}

fn password(
    fields: &Fields<'_>,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<PostgresPassword> {
    let variable = fields.text(&PASSWORD_ENV, report);
    let file = fields.path(
        &PASSWORD_FILE,
        around.origin,
        "give the path of a file",
        report,
    );
    match (variable, file) {
        (Some((_, span)), Some(_)) => {
            let message = "a password comes from a variable or from a file";
            let error = report.error(code::CONTRADICTION, message);
            error.at(span, "leave out this, or `password-file`");
            None
        }
        (Some((name, span)), None) => match name.is_empty() || name.contains(['=', '\0']) {
            true => {
                let error = report.error(code::BAD_VALUE, "`password-env` is no name");
                error.at(span, "must be the name of a variable");
                None
            }
            false => Some(PostgresPassword::Variable(name.to_owned())),
        },
        (None, Some(path)) => Some(PostgresPassword::File(path)),
        (None, None) => Some(PostgresPassword::None),
    }
}

/// How much is asked of the connection, and who vouches for the server.
fn tls(
    fields: &Fields<'_>,
    server: Option<&At>,
    around: &Around<'_>,
    report: &mut Report,
) -> (PostgresTls, Option<PostgresRoots>) {
    let said = fields.word(&SSLMODE, report);
    let mode = said.unwrap_or_default();
    let is_system = fields
        .entry(&SSLROOTCERT)
        .is_some_and(|entry| matches!(&entry.node.value, Value::Text(text) if text == "system"));
    let instead = "give the path of a file, or `system`";
    let roots = match is_system {
        true => Some(PostgresRoots::System),
        false => fields
            .path(&SSLROOTCERT, around.origin, instead, report)
            .map(PostgresRoots::File),
    };
    let is_weak = matches!(mode, PostgresTls::Disable | PostgresTls::Prefer);
    if let Some(entry) = fields.entry(&SSLROOTCERT)
        && is_weak
        && (said.is_some() || fields.entry(&SSLMODE).is_none())
    {
        report
            .error(
                code::CONTRADICTION,
                "`sslrootcert` does nothing: nobody looks at the server's certificate",
            )
            .at(
                entry.key_span,
                "say `sslmode: verify-full`, or leave it out",
            );
    }
    if let Some(entry) = fields.entry(&SSLMODE)
        && !is_weak
        && server.is_some_and(|server| server.host.starts_with('/'))
    {
        report
            .error(code::CONTRADICTION, "a Unix socket is not encrypted")
            .at(entry.node.span, "leave it out: nobody listens there")
            .help("`sslmode` is for servers that are reached by name or address");
    }
    (mode, roots)
}

fn server(fields: &Fields<'_>, report: &mut Report) -> Option<At> {
    let parts: [&dyn AnyKey; 3] = [&HOST, &USER, &DATABASE];
    let port = fields.int(&PORT, report);
    let port = port.and_then(|port| u16::try_from(port).ok());
    if let Some(url) = fields.entry(&URL) {
        let part = parts.into_iter().find_map(|key| fields.entry(key));
        if let Some(other) = part.or_else(|| fields.entry(&PORT)) {
            let message = format!("`{}` is part of `url`", other.key);
            let error = report.error(code::CONTRADICTION, message);
            error.at(other.key_span, "leave it out, or `url`");
            return None;
        }
        let (text, span) = text_of(URL.name, &url.node, report)?;
        return match of_url(text) {
            Ok(place) => Some(place),
            Err(wrong) => {
                wrong.tell(span, report);
                None
            }
        };
    }
    let mut values = Vec::new();
    for key in parts {
        match fields.text(key, report) {
            Some(("", span)) => {
                let error = report.error(code::BAD_VALUE, format!("`{}` is empty", key.name()));
                error.at(span, "say what it is");
            }
            Some((text, _)) => values.push(text.to_owned()),
            None if fields.entry(key).is_some() || fields.misspelled(key, &KEYS).is_some() => {}
            None => {
                let message = format!("{} needs `{}`", fields.what, key.name());
                report
                    .error(code::MISSING_KEY, message)
                    .at(fields.name(), format!("needs `{}`, or `url`", key.name()));
            }
        }
    }
    let [host, user, database] = <[String; 3]>::try_from(values).ok()?;
    let port = port.unwrap_or(DEFAULT_PORT);
    Some(At {
        host,
        port,
        user,
        database,
    })
}

const DEFAULT_PORT: u16 = 5432;

/// What is wrong with a `url`.
#[derive(Debug, PartialEq, Eq)]
enum WrongUrl {
    /// It holds a password: then it is not shown again.
    Password,
    Other(&'static str),
}

impl WrongUrl {
    fn tell(self, span: Span, report: &mut Report) {
        match self {
            Self::Password => {
                report
                    .error(
                        code::BAD_VALUE,
                        "the `url` of a PostgreSQL sink holds a password",
                    )
                    .at(span, "it is not shown here")
                    .help(
                        "a password has no place in a job file: take it out, and name a variable \
                         that holds it with `password-env`, or a file with `password-file`",
                    );
            }
            Self::Other(label) => {
                report
                    .error(
                        code::BAD_VALUE,
                        "`url` is not the address of a PostgreSQL server",
                    )
                    .at(span, label)
                    .help("it is written `postgres://user@host:5432/database`");
            }
        }
    }
}

fn of_url(text: &str) -> Result<At, WrongUrl> {
    let other = |label| Err(WrongUrl::Other(label));
    let scheme = text.strip_prefix("postgres://");
    let Some(rest) = scheme.or_else(|| text.strip_prefix("postgresql://")) else {
        return other("must begin with `postgres://`");
    };
    // A password may hold anything but a slash.
    let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, address) = match place.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => return Err(WrongUrl::Password),
        Some((user, address)) if !user.is_empty() => (user, address),
        Some(_) | None => return other("the user is missing: `postgres://user@…`"),
    };
    if database.contains("password=") {
        return Err(WrongUrl::Password);
    }
    if database.is_empty() {
        return other("the database is missing: `postgres://…/database`");
    }
    if database.contains(['?', '/', '#']) {
        return other("nothing comes behind the database");
    }
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, behind)) => (host, behind.strip_prefix(':').unwrap_or(behind)),
            None => return other("the bracket is not closed"),
        },
        None => address.split_once(':').unwrap_or((address, "")),
    };
    let port = match port {
        "" => DEFAULT_PORT,
        port => match port.parse::<u16>() {
            Ok(number) if number > 0 => number,
            Ok(_) | Err(_) => return other("the port is none from 1 to 65535"),
        },
    };
    if host.is_empty() {
        return other("the host is missing");
    }
    let part = |text| decoded(text).ok_or(WrongUrl::Other("a `%` is followed by two hex digits"));
    Ok(At {
        host: part(host)?,
        port,
        user: part(user)?,
        database: part(database)?,
    })
}

/// A part of a URL without its `%`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = rest.get(2..)?;
    }
    String::from_utf8(bytes).ok()
}

/// Schema and name.
fn table(fields: &Fields<'_>, report: &mut Report) -> Option<(Option<String>, String)> {
    let (text, span) = fields.text(&TABLE, report)?;
    let parts = parts(text).filter(|parts| parts.iter().all(|part| !part.is_empty()));
    match parts.as_deref() {
        Some([name]) => Some((None, name.clone())),
        Some([schema, name]) => Some((Some(schema.clone()), name.clone())),
        Some(_) | None => {
            let message = format!("{} is not the name of a table", quote(text));
            let error = report.error(code::BAD_VALUE, message);
            error.at(span, "must be `name` or `schema.name`").help(
                "a part that holds a dot or a quote stands in double quotes: `'\"odd.name\"'`",
            );
            None
        }
    }
}

/// What stands between dots, without its quotes; `None` where quotes do not close.
fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        let last = parts.last_mut()?;
        match char {
            '.' => parts.push(String::new()),
            '"' if last.is_empty() => {
                loop {
                    match (rest.next()?, rest.peek()) {
                        ('"', Some('"')) => {
                            rest.next();
                            last.push('"');
                        }
                        ('"', _) => break,
                        (char, _) => last.push(char),
                    }
                }
                if !matches!(rest.peek(), None | Some('.')) {
                    return None;
                }
            }
            '"' | '\0' => return None,
            char => last.push(char),
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, port: u16, user: &str, database: &str) -> At {
        let [host, user, database] = [host, user, database].map(str::to_owned);
        At {
            host,
            port,
            user,
            database,
        }
    }

    #[test]
    fn a_url_is_user_host_port_and_database() {
        for (text, expected) in [
            ("postgres://me@db/shop", place("db", 5432, "me", "shop")),
            (
                "postgresql://me@db:6432/shop",
                place("db", 6432, "me", "shop"),
            ),
            ("postgres://me@[::1]:1/shop", place("::1", 1, "me", "shop")),
            (
                "postgres://m%40e@db/sh%2Fop",
                place("db", 5432, "m@e", "sh/op"),
            ),
            (
                "postgres://me@%2Frun%2Fpg/shop",
                place("/run/pg", 5432, "me", "shop"),
            ),
        ] {
            assert_eq!(of_url(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_url_with_a_password_is_not_told_and_others_are() {
        for text in [
            "postgres://me:secret@db/shop",
            "postgres://me:p@ss@db/shop",
            "postgres://me@db/shop?password=secret",
        ] {
            assert_eq!(of_url(text), Err(WrongUrl::Password), "{text}");
        }
        for text in [
            "",
            "db/shop",
            "mysql://me@db/shop",
            "postgres://db/shop",
            "postgres://@db/shop",
            "postgres://me@/shop",
            "postgres://me@db",
            "postgres://me@db/",
            "postgres://me@db:0/shop",
            "postgres://me@db:x/shop",
            "postgres://me@[::1/shop",
            "postgres://me@db/shop?sslmode=require",
            "postgres://me@db/sh%op",
        ] {
            assert!(matches!(of_url(text), Err(WrongUrl::Other(_))), "{text}");
        }
    }

    #[test]
    fn a_table_may_have_a_schema_and_odd_names_stand_in_quotes() {
        let all = |text| parts(text).map(|parts| parts.join("|"));
        for (text, expected) in [
            ("t", "t"),
            ("app.t", "app|t"),
            ("App.T x", "App|T x"),
            (r#""a.b".t"#, "a.b|t"),
            (r#""a""b"."c""#, "a\"b|c"),
            ("a.b.c", "a|b|c"),
        ] {
            assert_eq!(all(text).as_deref(), Some(expected), "{text}");
        }
        for text in [r#""a"#, r#"a"b"#, r#""a"b"#, r#""a"""#] {
            assert_eq!(all(text), None, "{text}");
        }
    }
}
