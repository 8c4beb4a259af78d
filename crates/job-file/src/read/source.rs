//! Sources.

use serde_json::{Value as Json, json};
use weir_formats::TimeUnit;
use weir_model::Name;

use super::{
    fields::Fields,
    generator, input,
    job::Around,
    keys::{AnyKey, Key, Keys},
    kinds::{Flag, Place, Real, Special, Whole, Within, Words},
    place::base_of,
    renamed::{self, RENAMED_FROM},
    socket,
    watermark::{self, WATERMARK},
};
use crate::{
    code,
    model::{FileSource, Format, OnBadRow, Source, SourceConnector, TimePlace, Timestamp},
    report::Report,
    wording::quote,
    yaml::{Entry, Value},
};

pub(super) const KEYS: Keys = Keys {
    elsewhere: &[(
        "dead-letter",
        "dead letters are for operators: `on-error: { dead-letter: … }`",
    )],
    variants: &[
        ("file", &FILE),
        ("socket", &socket::KEYS),
        ("generator", &generator::KEYS),
    ],
    ..Keys::of("source", &[&CONNECTOR, &RENAMED_FROM, &PARALLELISM, &RATE]).about(
        "`sources`",
        "Where rows come from. What a source has beside these keys depends on its `connector`.",
    )
};

const CONNECTOR: Key<Words<Which>> = Key::of("connector", CONNECTORS)
    .about("Where rows come from.")
    .needed()
    .example("file");

const CONNECTORS: Words<Which> = Words {
    later: &LATER,
    ..Words::of(&[
        ("file", Which::File, "the rows of files"),
        (
            "socket",
            Which::Socket,
            "what the other side of a TCP connection sends",
        ),
        ("generator", Which::Generator, "rows that are made up"),
    ])
};

/// Connectors that the design names.
pub(super) const LATER: [(&str, &str); 7] = [
    ("kafka", ""),
    ("nats", ""),
    ("mqtt", ""),
    ("postgres", ""),
    ("http", ""),
    ("s3", ""),
    ("parquet", ""),
];

const PARALLELISM: Key<Whole> = Key::of("parallelism", Whole::between(1, 32_768))
    .about("How many readers it has.")
    .without("that of the job")
    .example("1");

const RATE: Key<Real> = Key::of("rate", Real { zero: false })
    .about("The most rows per second of the whole source.")
    .without("as fast as it goes")
    .example("25000");

const FILE: Keys = Keys {
    elsewhere: &[
        ("column", "belongs in `timestamp`"),
        ("unit", "belongs in `timestamp`"),
    ],
    rules: of_rows,
    ..Keys::of(
        "file-source",
        &[
            &PATH, &FORMAT, &HEADER, &DELIMITER, &FOLLOW, &ON_ERROR, &TIMESTAMP, &WATERMARK,
        ],
    )
    .about(
        "Sources with `connector: file`",
        "The rows of files, which may be compressed (`.gz`, `.zst`). After a failure each file is \
         read on from where the checkpoint has it.",
    )
};

const PATH: Key<Place> = Key::of("path", Place)
    .about("A file, or a pattern with `*`, `?`, `[…]` and `**`.")
    .needed()
    .example("data/*.csv");

const FORMAT: Key<Words<Format>> = Key::of("format", FORMATS)
    .about("How rows are cut out of a file.")
    .needed()
    .example("csv");

pub(super) const FORMATS: Words<Format> = Words {
    later: &[("raw", "")],
    ..Words::of(&[
        ("csv", CSV, "each csv record is a row"),
        (
            "json",
            Format::Json,
            "each line is a row and must be a JSON document",
        ),
        ("lines", Format::Lines, "each line is a row"),
    ])
};

/// csv where nothing else is said.
const CSV: Format = Format::Csv {
    header: false,
    delimiter: b',',
};

pub(super) const HEADER: Key<Flag> = Key::of("header", Flag::ANY)
    .about(
        "Whether the first record of each file (or connection) names the columns and is no row. \
         For `format: csv`.",
    )
    .usual("false")
    .example("true");

pub(super) const DELIMITER: Key<Special> = Key::of(
    "delimiter",
    Special::of("one ASCII character", || {
        json!({ "type": "string", "pattern": "^[\\x00-\\x7f]$", "not": { "enum": NO_DELIMITERS } })
    }),
)
.about("What stands between fields. For `format: csv`.")
.usual("\",\"")
.example("\";\"");

const NO_DELIMITERS: [&str; 3] = ["\"", "\n", "\r"];

const FOLLOW: Key<Flag> = Key::of("follow", Flag::ANY)
    .about(
        "Whether to wait for more at the end of a file. One that is renamed or removed is read to its \
         end, and the source fails then.",
    )
    .usual("false")
    .example("true");

pub(super) const ON_ERROR: Key<Words<OnBadRow>> = Key::of("on-error", ON_BAD_ROW)
    .about("What happens to rows that cannot be read.")
    .usual("fail")
    .example("skip");

const ON_BAD_ROW: Words<OnBadRow> = Words::of(&[
    (
        "fail",
        OnBadRow::Fail,
        "the job fails, and the restart strategy decides",
    ),
    (
        "skip",
        OnBadRow::Skip,
        "they are left out and counted; the first few are logged",
    ),
]);

pub(super) const TIMESTAMP: Key<Within> = Key::of("timestamp", Within(&TIMESTAMP_KEYS))
    .about("Where the event time of a row stands.")
    .without("rows have no event time")
    .example("{ column: 3, unit: ms }");

const TIMESTAMP_KEYS: Keys = Keys {
    rules: one_place,
    ..Keys::of("timestamp", &[&COLUMN, &JSON, &UNIT, &EMPTY]).about(
        "`timestamp`",
        "Where the event time of a row stands, as a number since 1970: in a column of csv rows or \
         at a place of JSON rows.",
    )
};

const COLUMN: Key<Special> = Key::of(
    "column",
    Special::of("column, by number from 0 or name", input::column_schema),
)
.about("The column of a csv row; a name needs a file with a header.")
.without("`json` says where")
.example("3");

const JSON: Key<Special> = Key::of("json", Special::of("JSON Pointer", input::pointer_schema))
    .about("The place in a JSON row.")
    .without("`column` says where")
    .example("/time");

const UNIT: Key<Words<TimeUnit>> = Key::of("unit", UNITS)
    .about("What the number counts.")
    .usual("ms")
    .example("s");

const EMPTY: Key<Words<bool>> = Key::of("empty", EMPTIES)
    .about("What happens to a row whose time is empty, or `null`.")
    .usual("error")
    .example("skip");

const EMPTIES: Words<bool> = Words::of(&[
    ("error", false, "it cannot be read, and `on-error` decides"),
    ("skip", true, "it is left out, and counts as no error"),
]);

const UNITS: Words<TimeUnit> = Words::of(&[
    ("s", TimeUnit::Seconds, "seconds"),
    ("ms", TimeUnit::Milliseconds, "milliseconds"),
    ("us", TimeUnit::Microseconds, "microseconds"),
    ("ns", TimeUnit::Nanoseconds, "nanoseconds"),
]);

#[derive(Clone, Copy)]
enum Which {
    File,
    Socket,
    Generator,
}

/// What holds for all sources that cut bytes into rows.
pub(super) fn of_rows() -> Vec<Json> {
    let mut rules = csv_only();
    let timed = json!({ "dependentRequired": { (WATERMARK.name): [TIMESTAMP.name] } });
    rules.push(timed);
    rules
}

/// `header` and `delimiter` are for csv.
fn csv_only() -> Vec<Json> {
    let known = FORMATS.names().into_iter().filter(|word| *word != "csv");
    let others: Vec<&str> = known.collect();
    vec![json!({
        "if": { "properties": { "format": { "enum": others } }, "required": ["format"] },
        "then": { "properties": { "header": false, "delimiter": false } },
    })]
}

fn one_place() -> Vec<Json> {
    let one = |key: &dyn AnyKey| json!({ "required": [key.name()] });
    vec![json!({ "oneOf": [one(&COLUMN), one(&JSON)] })]
}

pub(super) fn read(
    name: &Name,
    entry: &Entry,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Source> {
    let what = format!("source `{name}`");
    let fields = Fields::of(what, &entry.node, entry.key_span, report)?;
    // Which keys there are depends on the connector; of an unknown one nothing can be said.
    fields.required_first(&CONNECTOR, &KEYS, report)?;
    let which = fields.word(&CONNECTOR, report)?;
    let (word, _) = fields.text(&CONNECTOR, report)?;
    fields.check_keys(&KEYS, Some(word), report);
    let parallelism = fields.parallelism(&PARALLELISM, report);
    let rate = fields.number(&RATE, report);
    let renamed_from = renamed::read(&fields, around, report);
    let connector = match which {
        Which::File => SourceConnector::File(file(&fields, around, report)?),
        Which::Socket => SourceConnector::Socket(socket::read(&fields, report)?),
        Which::Generator => SourceConnector::Generator(generator::read(&fields, report)?),
    };
    let has_times = fields.entry(&TIMESTAMP).is_some();
    let watermark = match which {
        Which::File | Which::Socket => watermark::read(&fields, has_times, report),
        Which::Generator => None,
    };
    Some(Source {
        parallelism: parallelism.unwrap_or(around.parallelism),
        rate,
        watermark,
        renamed_from,
        connector,
    })
}

fn file(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<FileSource> {
    let format = fields.word(&FORMAT, report);
    let format = with_csv(format, fields, report);
    let on_error = on_error(fields, report);
    let follow = fields.boolean(&FOLLOW, report);
    let timestamp = timestamp(fields, format, report);
    let path = fields.local(&PATH, "give the path of a local file", report);
    let (pattern, span) = path?;
    Some(FileSource {
        pattern: pattern.to_owned(),
        base: base_of(span, around.origin),
        format: format?,
        follow: follow.is_some_and(|(follow, _)| follow),
        on_error,
        timestamp,
    })
}

pub(super) fn on_error(fields: &Fields<'_>, report: &mut Report) -> OnBadRow {
    let Some(entry) = fields.entry(&ON_ERROR) else {
        return OnBadRow::default();
    };
    let is_dead_letter = match &entry.node.value {
        Value::Text(word) => word == "dead-letter",
        _ => entry.node.entry("dead-letter").is_some(),
    };
    if is_dead_letter {
        report
            .error(code::BAD_VALUE, "a source has no dead letters")
            .at(entry.node.span, "belongs to operators")
            .help("`on-error: skip` leaves out rows that cannot be read, and counts them");
        return OnBadRow::default();
    }
    fields.word(&ON_ERROR, report).unwrap_or_default()
}

/// The format with what belongs to csv.
pub(super) fn with_csv(
    format: Option<Format>,
    fields: &Fields<'_>,
    report: &mut Report,
) -> Option<Format> {
    let header = fields.boolean(&HEADER, report);
    let delimiter = delimiter(fields, report);
    let format = format?;
    if !matches!(format, Format::Csv { .. }) {
        let said = [fields.entry(&HEADER), fields.entry(&DELIMITER)];
        for entry in said.into_iter().flatten() {
            let message = format!("`{}` is for `format: csv`", entry.key);
            let error = report.error(code::CONTRADICTION, message);
            error.at(entry.key_span, "leave it out");
        }
        return Some(format);
    }
    Some(Format::Csv {
        header: header.is_some_and(|(header, _)| header),
        delimiter: delimiter.unwrap_or(b','),
    })
}

fn delimiter(fields: &Fields<'_>, report: &mut Report) -> Option<u8> {
    let (text, span) = fields.text(&DELIMITER, report)?;
    if let [byte] = text.as_bytes()
        && byte.is_ascii()
        && !matches!(byte, b'"' | b'\n' | b'\r')
    {
        return Some(*byte);
    }
    let message = format!("`delimiter` cannot be {}", quote(text));
    let error = report.error(code::BAD_VALUE, message);
    let error = error.at(span, "must be one ASCII character");
    match text {
        "\\t" | "tab" | "TAB" => error.help("a tab is written \"\\t\", in double quotes"),
        _ => error.help("any but a quote and the end of a line"),
    };
    None
}

/// `timestamp`, which must fit the format of the rows.
pub(super) fn timestamp(
    fields: &Fields<'_>,
    format: Option<Format>,
    report: &mut Report,
) -> Option<Timestamp> {
    let name = fields.entry(&TIMESTAMP)?.key_span;
    let own = fields.within(&TIMESTAMP, report)?;
    let unit = own.word(&UNIT, report);
    let skips_empty = own.word(&EMPTY, report).unwrap_or_default();
    let (said, place) = match (own.entry(&COLUMN), own.entry(&JSON)) {
        (Some(said), None) => {
            let column = input::column(&said.node, report);
            (said, column.map(TimePlace::Column))
        }
        (None, Some(said)) => {
            let pointer = input::pointer("json", &said.node, report);
            (said, pointer.map(TimePlace::Json))
        }
        (Some(column), Some(json)) => {
            report
                .error(code::CONTRADICTION, "a timestamp stands in one place")
                .at(column.key_span, "here")
                .at(json.key_span, "or here");
            return None;
        }
        (None, None) => {
            report
                .error(
                    code::MISSING_KEY,
                    "`timestamp` does not say where it stands",
                )
                .at(name, "needs `column` or `json`");
            return None;
        }
    };
    let misfit = match (said.key == COLUMN.name, format?) {
        (true, Format::Csv { .. }) | (false, Format::Json) => None,
        (_, Format::Csv { .. }) => Some("the rows are csv: give its `column`"),
        (_, Format::Json) => Some("the rows are JSON: give its place with `json`"),
        (_, Format::Lines) => Some("plain lines have none: use `format: csv` or `json`"),
    };
    if let Some(label) = misfit {
        let message = format!("`{}` does not fit the format of the rows", said.key);
        let error = report.error(code::CONTRADICTION, message);
        error.at(said.key_span, label);
    }
    Some(Timestamp {
        span: said.node.span,
        place: place?,
        unit: unit.unwrap_or(TimeUnit::Milliseconds),
        skips_empty,
    })
}
