//! Sources.

use weir_formats::TimeUnit;
use weir_model::Name;

use super::{
    fields::{Fields, Keys, Words},
    input,
    job::Around,
    operator::on_error,
    place::base_of,
};
use crate::{
    code,
    model::{
        Distribution, FileSource, Format, Generator, Source, SourceConnector, TimePlace, Timestamp,
    },
    report::Report,
    wording::quote,
    yaml::{Entry, Value},
};

const KEYS: Keys = Keys {
    later: &[(
        "watermark",
        "rows carry their timestamps, but there are no watermarks yet",
    )],
    ..Keys::of(&["connector", "parallelism", "rate"])
};

const FILE: Keys = Keys {
    elsewhere: &[
        ("count", "is for `connector: generator`"),
        ("keys", "is for `connector: generator`"),
        ("distribution", "is for `connector: generator`"),
        ("exponent", "is for `connector: generator`"),
        ("payload", "is for `connector: generator`"),
        ("seed", "is for `connector: generator`"),
        ("column", "belongs in `timestamp`"),
        ("unit", "belongs in `timestamp`"),
    ],
    ..Keys::of(&[
        "path",
        "format",
        "header",
        "delimiter",
        "follow",
        "on-error",
        "timestamp",
    ])
};

const GENERATOR: Keys = Keys {
    elsewhere: &[
        ("path", "is for `connector: file`"),
        ("format", "is for `connector: file`"),
        ("header", "is for `connector: file`"),
        ("delimiter", "is for `connector: file`"),
        ("follow", "is for `connector: file`"),
        ("on-error", "is for `connector: file`"),
        ("timestamp", "is for `connector: file`"),
    ],
    ..Keys::of(&[
        "count",
        "keys",
        "distribution",
        "exponent",
        "payload",
        "seed",
    ])
};

const TIMESTAMP: Keys = Keys::of(&["column", "json", "unit"]);

/// Connectors that the design names.
pub(super) const LATER: [(&str, &str); 8] = [
    ("socket", ""),
    ("kafka", ""),
    ("nats", ""),
    ("mqtt", ""),
    ("postgres", ""),
    ("http", ""),
    ("s3", ""),
    ("parquet", ""),
];

/// The largest filling of a generated row.
const MAX_PAYLOAD: u64 = 16 << 20;

#[derive(Clone, Copy)]
enum Which {
    File,
    Generator,
}

const CONNECTORS: Words<'_, Which> = Words {
    later: &LATER,
    ..Words::of(&[("file", Which::File), ("generator", Which::Generator)])
};

const FORMATS: Words<'_, Format> = Words {
    later: &[("raw", "")],
    ..Words::of(&[
        ("csv", CSV),
        ("json", Format::Json),
        ("lines", Format::Lines),
    ])
};

/// csv where nothing else is said.
const CSV: Format = Format::Csv {
    header: false,
    delimiter: b',',
};

pub(super) fn read(
    name: &Name,
    entry: &Entry,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Source> {
    let what = format!("source `{name}`");
    let fields = Fields::of(what, &entry.node, entry.key_span, report)?;
    fields.required("connector", report);
    // Which keys there are depends on the connector; of an unknown one nothing can be said.
    let which = fields.word("connector", &CONNECTORS, report)?;
    let own = match which {
        Which::File => &FILE,
        Which::Generator => &GENERATOR,
    };
    fields.check_keys(&[&KEYS, own], report);
    let parallelism = fields.parallelism(report).unwrap_or(around.parallelism);
    let rate = fields.number("rate", true, report);
    let connector = match which {
        Which::File => SourceConnector::File(file(&fields, around, report)?),
        Which::Generator => SourceConnector::Generator(generator(&fields, report)?),
    };
    Some(Source {
        parallelism,
        rate,
        connector,
    })
}

fn file(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<FileSource> {
    let format = format(fields, report);
    let on_error = on_error(fields, report);
    let follow = fields.boolean("follow", report);
    let timestamp = timestamp(fields, format, report);
    fields.required("path", report);
    let path = fields.local("path", "give the path of a local file", report);
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

fn format(fields: &Fields<'_>, report: &mut Report) -> Option<Format> {
    fields.required("format", report);
    let format = fields.word("format", &FORMATS, report);
    let header = fields.boolean("header", report);
    let delimiter = delimiter(fields, report);
    let format = format?;
    if !matches!(format, Format::Csv { .. }) {
        for key in ["header", "delimiter"] {
            if let Some(entry) = fields.entry(key) {
                let message = format!("`{key}` is for `format: csv`");
                let error = report.error(code::CONTRADICTION, message);
                error.at(entry.key_span, "leave it out");
            }
        }
        return Some(format);
    }
    Some(Format::Csv {
        header: header.is_some_and(|(header, _)| header),
        delimiter: delimiter.unwrap_or(b','),
    })
}

fn delimiter(fields: &Fields<'_>, report: &mut Report) -> Option<u8> {
    let (text, span) = fields.text("delimiter", report)?;
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
fn timestamp(
    fields: &Fields<'_>,
    format: Option<Format>,
    report: &mut Report,
) -> Option<Timestamp> {
    let entry = fields.entry("timestamp")?;
    let name = entry.key_span;
    let own = Fields::open("`timestamp`", &entry.node, name, &[&TIMESTAMP], report)?;
    let words = Words::of(&[
        ("s", TimeUnit::Seconds),
        ("ms", TimeUnit::Milliseconds),
        ("us", TimeUnit::Microseconds),
        ("ns", TimeUnit::Nanoseconds),
    ]);
    let unit = own.word("unit", &words, report);
    let (said, place) = match (own.entry("column"), own.entry("json")) {
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
    let misfit = match (said.key.as_str(), format?) {
        ("column", Format::Csv { .. }) | ("json", Format::Json) => None,
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
    })
}

fn generator(fields: &Fields<'_>, report: &mut Report) -> Option<Generator> {
    let words = Words::of(&[
        ("sequence", Distribution::Sequence),
        ("uniform", Distribution::Uniform),
        ("zipf", Distribution::Zipf { exponent: 1.0 }),
    ]);
    let mut distribution = fields
        .word("distribution", &words, report)
        .unwrap_or(Distribution::Sequence);
    let exponent = fields.number("exponent", true, report);
    match (&mut distribution, exponent, fields.entry("exponent")) {
        (Distribution::Zipf { exponent }, Some(said), _) => *exponent = said,
        (Distribution::Sequence | Distribution::Uniform, _, Some(entry)) => {
            let message = "`exponent` is for `distribution: zipf`";
            let error = report.error(code::CONTRADICTION, message);
            error.at(entry.key_span, "leave it out");
        }
        (_, None, _) | (_, _, None) => {}
    }
    let payload = match fields.entry("payload").map(|entry| &entry.node.value) {
        Some(Value::Int(_) | Value::Float(_)) => fields.int("payload", 0, MAX_PAYLOAD, report),
        Some(_) => payload(fields, report),
        None => None,
    };
    let count = fields.int("count", 0, u64::MAX, report);
    let keys = fields.int("keys", 1, u64::MAX, report);
    let seed = fields.int("seed", 0, u64::MAX, report);
    Some(Generator {
        count,
        keys: keys.unwrap_or(1),
        distribution,
        payload: usize::try_from(payload.unwrap_or(0)).ok()?,
        seed: seed.unwrap_or(0),
    })
}

fn payload(fields: &Fields<'_>, report: &mut Report) -> Option<u64> {
    let size = fields.size("payload", report)?;
    let entry = fields.entry("payload")?;
    if size > MAX_PAYLOAD {
        let message = "a row has no room for such a `payload`";
        let error = report.error(code::BAD_VALUE, message);
        error.at(entry.node.span, "must be at most 16MiB");
        return None;
    }
    Some(size)
}
