//! Sources.

use weir_formats::TimeUnit;
use weir_graph::OnError;
use weir_model::Name;

use super::{
    fields::{Fields, Keys, base_of, unavailable},
    input,
    job::Around,
};
use crate::{
    code,
    model::{
        Distribution, FileSource, Format, Generator, Source, SourceConnector, TimePlace, Timestamp,
    },
    report::Report,
    yaml::{Entry, Value},
};

const KEYS: Keys = Keys {
    known: &["connector", "parallelism", "rate"],
    later: &[(
        "watermark",
        "rows carry their timestamps, but there are no watermarks yet",
    )],
};

const FILE: Keys = Keys {
    known: &[
        "path",
        "format",
        "header",
        "delimiter",
        "follow",
        "on-error",
        "timestamp",
    ],
    later: &[],
};

const GENERATOR: Keys = Keys {
    known: &[
        "count",
        "keys",
        "distribution",
        "exponent",
        "payload",
        "seed",
    ],
    later: &[],
};

const TIMESTAMP: Keys = Keys {
    known: &["column", "json", "unit"],
    later: &[],
};

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

#[derive(Clone, Copy)]
enum Which {
    File,
    Generator,
}

pub(super) fn read(
    name: &Name,
    entry: &Entry,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Source> {
    let what = format!("source `{name}`");
    // Which keys there are depends on the connector; where it is not known, all count as known.
    let said = entry.node.entry("connector").map(|entry| &entry.node.value);
    let own: &[&Keys] = match said {
        Some(Value::Text(text)) if text == "file" => &[&KEYS, &FILE],
        Some(Value::Text(text)) if text == "generator" => &[&KEYS, &GENERATOR],
        _ => &[&KEYS, &FILE, &GENERATOR],
    };
    let fields = Fields::open(what, &entry.node, entry.key_span, own, report)?;
    fields.required("connector", report)?;
    let words = [("file", Which::File), ("generator", Which::Generator)];
    let which = fields.word("connector", &words, &LATER, report)?;
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
    let follow = fields
        .boolean("follow", report)
        .is_some_and(|(follow, _)| follow);
    let timestamp = timestamp(fields, report);
    fields.required("path", report)?;
    let (pattern, span) = fields.text("path", report)?;
    if pattern.is_empty() {
        report
            .error(code::BAD_VALUE, "`path` is empty")
            .at(span, "must be a path or a pattern");
        return None;
    }
    let format = format?;
    if let (
        Some(Timestamp {
            place: TimePlace::Json(_),
            ..
        }),
        Format::Csv { .. },
    )
    | (
        Some(Timestamp {
            place: TimePlace::Column(_),
            ..
        }),
        Format::Json | Format::Lines,
    ) = (&timestamp, format)
        && let Some(entry) = fields.entry("timestamp")
    {
        report
            .error(
                code::CONTRADICTION,
                "`timestamp` does not fit the format of the rows",
            )
            .at(entry.key_span, "`column` is for csv, `json` for JSON rows");
    }
    Some(FileSource {
        pattern: pattern.to_owned(),
        base: base_of(span, around.origin),
        format,
        follow,
        on_error,
        timestamp,
    })
}

fn format(fields: &Fields<'_>, report: &mut Report) -> Option<Format> {
    fields.required("format", report)?;
    let csv = Format::Csv {
        header: false,
        delimiter: b',',
    };
    let words = [
        ("csv", csv),
        ("json", Format::Json),
        ("lines", Format::Lines),
    ];
    let later = [("raw", "use `lines`, `csv` or `json`")];
    let format = fields.word("format", &words, &later, report)?;
    let header = fields.boolean("header", report);
    let delimiter = fields.text("delimiter", report);
    if !matches!(format, Format::Csv { .. }) {
        for key in ["header", "delimiter"] {
            if let Some(entry) = fields.entry(key) {
                report
                    .error(code::CONTRADICTION, format!("`{key}` is for `format: csv`"))
                    .at(entry.key_span, "leave it out");
            }
        }
        return Some(format);
    }
    let delimiter = match delimiter {
        None => b',',
        Some((text, span)) => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => *byte,
            _ => {
                let message = format!("`delimiter` cannot be {text:?}");
                let label = "must be one ASCII character, neither a quote nor the end of a line";
                report.error(code::BAD_VALUE, message).at(span, label);
                return None;
            }
        },
    };
    Some(Format::Csv {
        header: header.is_some_and(|(header, _)| header),
        delimiter,
    })
}

/// `on-error` of sources and operators.
pub(super) fn on_error(fields: &Fields<'_>, report: &mut Report) -> OnError {
    if let Some(entry) = fields.entry("on-error")
        && let Some(dead) = entry.node.entry("dead-letter")
    {
        let instead = "`on-error: skip` counts them and leaves them out";
        unavailable(report, "`dead-letter`", dead.key_span, instead);
        return OnError::Fail;
    }
    let words = [("fail", OnError::Fail), ("skip", OnError::Skip)];
    let later = [(
        "dead-letter",
        "`on-error: skip` counts rows and leaves them out",
    )];
    fields
        .word("on-error", &words, &later, report)
        .unwrap_or_default()
}

fn timestamp(fields: &Fields<'_>, report: &mut Report) -> Option<Timestamp> {
    let entry = fields.entry("timestamp")?;
    let own = Fields::open(
        "`timestamp`",
        &entry.node,
        entry.key_span,
        &[&TIMESTAMP],
        report,
    )?;
    let words = [
        ("s", TimeUnit::Seconds),
        ("ms", TimeUnit::Milliseconds),
        ("us", TimeUnit::Microseconds),
        ("ns", TimeUnit::Nanoseconds),
    ];
    let unit = own
        .word("unit", &words, &[], report)
        .unwrap_or(TimeUnit::Milliseconds);
    match (own.entry("column"), own.entry("json")) {
        (Some(column), None) => {
            let place = TimePlace::Column(input::column(&column.node, report)?);
            Some(Timestamp { place, unit })
        }
        (None, Some(json)) => {
            let place = TimePlace::Json(input::pointer("json", &json.node, report)?);
            Some(Timestamp { place, unit })
        }
        (Some(_), Some(_)) | (None, None) => {
            report
                .error(code::CONTRADICTION, "a timestamp stands in one place")
                .at(entry.key_span, "needs either `column` or `json`");
            None
        }
    }
}

fn generator(fields: &Fields<'_>, report: &mut Report) -> Option<Generator> {
    let words = [
        ("sequence", Distribution::Sequence),
        ("uniform", Distribution::Uniform),
        ("zipf", Distribution::Zipf { exponent: 1.0 }),
    ];
    let mut distribution = fields
        .word("distribution", &words, &[], report)
        .unwrap_or(Distribution::Sequence);
    let exponent = fields.number("exponent", true, report);
    match (&mut distribution, exponent, fields.entry("exponent")) {
        (Distribution::Zipf { exponent }, Some(said), _) => *exponent = said,
        (Distribution::Sequence | Distribution::Uniform, _, Some(entry)) => {
            report
                .error(
                    code::CONTRADICTION,
                    "`exponent` is for `distribution: zipf`",
                )
                .at(entry.key_span, "leave it out");
        }
        (_, None, _) | (_, _, None) => {}
    }
    let payload = match fields.entry("payload").map(|entry| &entry.node.value) {
        Some(Value::Int(_)) => fields.int("payload", 0, 16 << 20, report),
        Some(_) => fields.size("payload", report),
        None => None,
    };
    Some(Generator {
        count: fields.int("count", 0, u64::MAX, report),
        keys: fields.int("keys", 1, u64::MAX, report).unwrap_or(1),
        distribution,
        payload: usize::try_from(payload.unwrap_or(0)).ok()?,
        seed: fields.int("seed", 0, u64::MAX, report).unwrap_or(0),
    })
}
