//! Sinks: where results go, and what is promised of them.

use weir_checkpoint::{TwoPhaseOptions, TwoPhaseOptionsError};
use weir_model::Name;
use weir_operator::SinkGuarantee;

use super::{
    fields::{Fields, Keys},
    input,
    job::Around,
    source::LATER,
};
use crate::{
    code,
    model::{FileSink, OnExisting, Sink, SinkConnector, millis},
    report::Report,
    yaml::{Entry, Value},
};

const KEYS: Keys = Keys {
    known: &["connector", "parallelism"],
    later: &[],
};

const FILE: Keys = Keys {
    known: &[
        "path",
        "extension",
        "guarantee",
        "roll-size",
        "on-existing",
        "transaction-timeout",
        "ignore-commit-errors-after-timeout",
        "warn-ratio",
    ],
    later: &[],
};

const STDOUT: Keys = Keys {
    known: &["guarantee"],
    later: &[],
};

#[derive(Clone, Copy)]
enum Which {
    File,
    Stdout,
}

pub(super) fn read(
    name: &Name,
    entry: &Entry,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Sink> {
    let what = format!("sink `{name}`");
    let said = entry.node.entry("connector").map(|entry| &entry.node.value);
    let own: &[&Keys] = match said {
        Some(Value::Text(text)) if text == "stdout" => &[&KEYS, &input::KEYS, &STDOUT],
        _ => &[&KEYS, &input::KEYS, &FILE],
    };
    let fields = Fields::open(what, &entry.node, entry.key_span, own, report)?;
    let input = input::of_fields(&fields, report);
    fields.required("connector", report)?;
    let words = [("file", Which::File), ("stdout", Which::Stdout)];
    let which = fields.word("connector", &words, &LATER, report)?;
    let parallelism = fields.parallelism(report).unwrap_or(around.parallelism);
    let connector = match which {
        Which::File => SinkConnector::File(file(&fields, around, report)?),
        Which::Stdout => {
            if guarantee(&fields, around, report) == Some(SinkGuarantee::ExactlyOnce)
                && let Some(entry) = fields.entry("guarantee")
            {
                report
                    .error(
                        code::CONTRADICTION,
                        "standard output cannot be exactly-once",
                    )
                    .at(entry.node.span, "what was printed cannot be taken back");
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
    let words = [
        ("exactly-once", SinkGuarantee::ExactlyOnce),
        ("at-least-once", SinkGuarantee::AtLeastOnce),
    ];
    let guarantee = fields.word("guarantee", &words, &[], report)?;
    if !around.checkpoints
        && let Some(entry) = fields.entry("guarantee")
    {
        report
            .error(
                code::CONTRADICTION,
                "a guarantee needs checkpoints, and the job has none",
            )
            .at(
                entry.key_span,
                "after a failure rows are missing or repeated",
            )
            .help("give the job a `checkpoint:` with a `dir`, or leave `guarantee` out");
    }
    Some(guarantee)
}

fn file(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<FileSink> {
    let usual = match around.checkpoints {
        true => SinkGuarantee::ExactlyOnce,
        false => SinkGuarantee::AtLeastOnce,
    };
    let guarantee = guarantee(fields, around, report).unwrap_or(usual);
    let roll_bytes = fields.size("roll-size", report);
    let words = [
        ("refuse", OnExisting::Refuse),
        ("append", OnExisting::Append),
        ("replace", OnExisting::Replace),
    ];
    let on_existing = fields
        .word("on-existing", &words, &[], report)
        .unwrap_or_default();
    let extension = fields.text("extension", report).map(|(text, span)| {
        let fits = !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-' || b == b'_')
            && !text.starts_with('.');
        if !fits {
            let message = format!("`extension` cannot be {text:?}");
            let label = "must be letters and digits, without the first dot";
            report.error(code::BAD_VALUE, message).at(span, label);
        }
        text.to_owned()
    });
    let timeout = fields.duration("transaction-timeout", report).map(millis);
    let ignore = fields.boolean("ignore-commit-errors-after-timeout", report);
    let ratio = fields.number("warn-ratio", false, report);
    let transactions = match TwoPhaseOptions::new(timeout, ignore.is_some_and(|(i, _)| i), ratio) {
        Ok(options) => options,
        Err(error) => {
            let key = match error {
                TwoPhaseOptionsError::Ratio(_) => "warn-ratio",
                TwoPhaseOptionsError::NeedsTimeout(key) => key,
            };
            if let Some(entry) = fields.entry(key) {
                report
                    .error(code::CONTRADICTION, error.to_string())
                    .at(entry.key_span, "");
            }
            TwoPhaseOptions::default()
        }
    };
    fields.required("path", report)?;
    let folder = fields.path("path", around.origin, report)?;
    Some(FileSink {
        folder,
        extension,
        guarantee,
        roll_bytes: roll_bytes.filter(|bytes| *bytes > 0),
        on_existing,
        transactions,
    })
}
