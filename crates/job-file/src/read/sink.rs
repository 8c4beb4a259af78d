//! Sinks: where results go, and what is promised of them.

use weir_checkpoint::{TwoPhaseOptions, TwoPhaseOptionsError};
use weir_model::Name;
use weir_operator::SinkGuarantee;

use super::{
    fields::{Fields, Keys, Words},
    input,
    job::Around,
    source::LATER,
};
use crate::{
    code,
    model::{FileSink, OnExisting, Sink, SinkConnector, millis},
    report::Report,
    wording::quote,
    yaml::Entry,
};

const KEYS: Keys = Keys {
    elsewhere: &[("inputs", "a sink has one input: `from`")],
    ..Keys::of(&["connector", "parallelism"])
};

const FILE: Keys = Keys::of(&[
    "path",
    "extension",
    "guarantee",
    "roll-size",
    "on-existing",
    "transaction-timeout",
    "ignore-commit-errors-after-timeout",
    "warn-ratio",
]);

const STDOUT: Keys = Keys {
    elsewhere: &[
        ("path", "is for `connector: file`"),
        ("extension", "is for `connector: file`"),
        ("roll-size", "is for `connector: file`"),
        ("on-existing", "is for `connector: file`"),
        ("transaction-timeout", "is for `connector: file`"),
        (
            "ignore-commit-errors-after-timeout",
            "is for `connector: file`",
        ),
        ("warn-ratio", "is for `connector: file`"),
    ],
    ..Keys::of(&["guarantee"])
};

#[derive(Clone, Copy)]
enum Which {
    File,
    Stdout,
}

const CONNECTORS: Words<'_, Which> = Words {
    later: &LATER,
    ..Words::of(&[("file", Which::File), ("stdout", Which::Stdout)])
};

pub(super) fn read(
    name: &Name,
    entry: &Entry,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Sink> {
    let what = format!("sink `{name}`");
    let fields = Fields::of(what, &entry.node, entry.key_span, report)?;
    fields.required("connector", report);
    let which = fields.word("connector", &CONNECTORS, report);
    // Which keys there are depends on the connector; of an unknown one nothing can be said.
    let own = match which {
        Some(Which::File) => Some(&FILE),
        Some(Which::Stdout) => Some(&STDOUT),
        None => None,
    };
    if let Some(own) = own {
        fields.check_keys(&[&KEYS, &input::KEYS, own], report);
    }
    let input = input::of_fields(&fields, around, report);
    let parallelism = fields.parallelism(report).unwrap_or(around.parallelism);
    let connector = match which? {
        Which::File => SinkConnector::File(file(&fields, around, report)?),
        Which::Stdout => {
            if guarantee(&fields, around, report) == Some(SinkGuarantee::ExactlyOnce)
                && let Some(entry) = fields.entry("guarantee")
            {
                let message = "standard output cannot be exactly-once";
                let error = report.error(code::CONTRADICTION, message);
                error.at(entry.node.span, "what was printed cannot be taken back");
            }
            SinkConnector::Stdout
        }
    };
    Some(Sink {
        parallelism,
        input: input?,
        connector,
    })
}

fn guarantee(
    fields: &Fields<'_>,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<SinkGuarantee> {
    let words = Words::of(&[
        ("exactly-once", SinkGuarantee::ExactlyOnce),
        ("at-least-once", SinkGuarantee::AtLeastOnce),
    ]);
    let guarantee = fields.word("guarantee", &words, report)?;
    if !around.checkpoints
        && let Some(entry) = fields.entry("guarantee")
    {
        let message = "a guarantee needs checkpoints, and the job has none";
        report
            .error(code::CONTRADICTION, message)
            .at(
                entry.key_span,
                "after a failure rows are missing or repeated",
            )
            .help("give the job a `checkpoint` with a `dir`, or leave `guarantee` out");
    }
    Some(guarantee)
}

fn file(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<FileSink> {
    let usual = match around.checkpoints {
        true => SinkGuarantee::ExactlyOnce,
        false => SinkGuarantee::AtLeastOnce,
    };
    let guarantee = guarantee(fields, around, report).unwrap_or(usual);
    let roll_bytes = fields.some_size("roll-size", report);
    let words = Words {
        hints: &[("overwrite", "did you mean `replace`?")],
        ..Words::of(&[
            ("refuse", OnExisting::Refuse),
            ("append", OnExisting::Append),
            ("replace", OnExisting::Replace),
        ])
    };
    let on_existing = fields.word("on-existing", &words, report);
    let extension = extension(fields, report);
    let transactions = transactions(fields, report);
    fields.required("path", report);
    let folder = fields.path("path", around.origin, "give the path of a folder", report)?;
    Some(FileSink {
        folder,
        extension,
        guarantee,
        roll_bytes,
        on_existing: on_existing.unwrap_or_default(),
        transactions,
    })
}

fn extension(fields: &Fields<'_>, report: &mut Report) -> Option<String> {
    let (text, span) = fields.text("extension", report)?;
    let known = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    if !text.is_empty() && text.bytes().all(known) && !text.starts_with('.') {
        return Some(text.to_owned());
    }
    let message = format!("`extension` cannot be {}", quote(text));
    let error = report.error(code::BAD_VALUE, message);
    error.at(span, "must be letters and digits, without the first dot");
    None
}

fn transactions(fields: &Fields<'_>, report: &mut Report) -> TwoPhaseOptions {
    let timeout = fields.duration("transaction-timeout", report).map(millis);
    let ignore = fields.boolean("ignore-commit-errors-after-timeout", report);
    let ratio = fields.number("warn-ratio", false, report);
    // Who wrote a timeout that is wrong knows that there must be one.
    let timeout = timeout.or(fields.entry("transaction-timeout").map(|_| 0));
    let ignore = ignore.is_some_and(|(ignore, _)| ignore);
    let error = match TwoPhaseOptions::new(timeout, ignore, ratio) {
        Ok(options) => return options,
        Err(error) => error,
    };
    match error {
        TwoPhaseOptionsError::Ratio(_) => {
            if let Some(entry) = fields.entry("warn-ratio") {
                let error = report.error(code::BAD_VALUE, error.to_string());
                error.at(entry.node.span, "must be a part of the timeout");
            }
        }
        TwoPhaseOptionsError::NeedsTimeout(key) => {
            if let Some(entry) = fields.entry(key) {
                let error = report.error(code::CONTRADICTION, error.to_string());
                error.at(entry.key_span, "does nothing without one");
            }
        }
    }
    TwoPhaseOptions::default()
}
