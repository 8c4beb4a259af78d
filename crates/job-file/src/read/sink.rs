//! Sinks: where results go, and what is promised of them.

use serde_json::json;
use weir_checkpoint::{CheckpointMode, TwoPhaseOptions, TwoPhaseOptionsError};
use weir_model::Name;
use weir_operator::SinkGuarantee;

use super::{
    fields::Fields,
    input,
    job::Around,
    keys::{AnyKey, Key, Keys},
    kinds::{Flag, Place, Real, Size, Special, Time, Whole, Words},
    postgres,
    renamed::{self, RENAMED_FROM},
    source::LATER,
};
use crate::{
    code,
    model::{FileSink, Input, OnExisting, Sink, SinkConnector, millis},
    report::Report,
    source::Span,
    wording::quote,
    yaml::Entry,
};

pub(super) const KEYS: Keys = Keys {
    elsewhere: &[
        ("inputs", "a sink has one input: `from`"),
        ("on-error", "belongs to the operators whose rows come here"),
        (
            "dead-letter",
            "belongs to an operator: `on-error: { dead-letter: … }`",
        ),
    ],
    variants: &[
        ("file", &FILE),
        ("postgres", &postgres::KEYS),
        ("stdout", &STDOUT),
    ],
    ..Keys::of(
        "sink",
        &[
            &CONNECTOR,
            &RENAMED_FROM,
            &input::FROM_OF_SINK,
            &input::KEY,
            &input::PARTITIONING,
            &input::BROADCAST,
            &PARALLELISM,
        ],
    )
    .about(
        "`sinks`",
        "A sink takes the rows of one input, or the dead letters of operators.",
    )
};

const CONNECTOR: Key<Words<Which>> = Key::of("connector", CONNECTORS)
    .about("Where rows go.")
    .needed()
    .example("file");

const CONNECTORS: Words<Which> = Words {
    later: &LATER,
    ..Words::of(&[
        ("file", Which::File, "files in a folder"),
        (
            "postgres",
            Which::Postgres,
            "a table of a PostgreSQL server",
        ),
        ("stdout", Which::Stdout, "standard output"),
    ])
};

const PARALLELISM: Key<Whole> = Key::of("parallelism", Whole::between(1, 32_768))
    .about("How many writers it has.")
    .without("that of the job")
    .example("2");

const FILE: Keys = Keys::of(
    "file-sink",
    &[
        &PATH,
        &EXTENSION,
        &GUARANTEE,
        &ROLL_SIZE,
        &ON_EXISTING,
        &TIMEOUT,
        &IGNORE,
        &RATIO,
    ],
)
.about(
    "Sinks with `connector: file`",
    "Each row is a line of a file of the folder. With `guarantee: exactly-once` files become \
     visible when the checkpoint that holds them is complete.",
);

const STDOUT: Keys = Keys::of("stdout-sink", &[&GUARANTEE]).about(
    "Sinks with `connector: stdout`",
    "Each row is a line of standard output. What was printed cannot be taken back, so the only \
     guarantee is `at-least-once`.",
);

const PATH: Key<Place> = Key::of("path", Place)
    .about("The folder that files go to. No two sinks share one.")
    .needed()
    .example("out");

const EXTENSION: Key<Special> = Key::of(
    "extension",
    Special::of(
        "letters and digits",
        || json!({ "type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$" }),
    ),
)
.about("What the names of files end with, without the first dot.")
.usual("jsonl")
.example("csv");

const GUARANTEE: Key<Words<SinkGuarantee>> = Key::of("guarantee", GUARANTEES)
    .about("What is promised of results after a failure; never more than what the job promises.")
    .without("what the job promises and the sink can keep")
    .example("at-least-once");

pub(super) const GUARANTEES: Words<SinkGuarantee> = Words::of(&[
    (
        "exactly-once",
        SinkGuarantee::ExactlyOnce,
        "each result is there once",
    ),
    (
        "at-least-once",
        SinkGuarantee::AtLeastOnce,
        "results may be repeated",
    ),
]);

const ROLL_SIZE: Key<Size> = Key::of("roll-size", Size)
    .about("A file larger than this is closed, and another begun.")
    .without("one file for each checkpoint and writer")
    .example("10MiB");

pub(super) const ON_EXISTING: Key<Words<OnExisting>> = Key::of("on-existing", EXISTING)
    .about("What happens to results that are there when the job begins anew.")
    .usual("refuse")
    .example("replace");

const EXISTING: Words<OnExisting> = Words {
    hints: &[("overwrite", "did you mean `replace`?")],
    ..Words::of(&[
        ("refuse", OnExisting::Refuse, "the job does not start"),
        (
            "append",
            OnExisting::Append,
            "they stay, new ones are added",
        ),
        ("replace", OnExisting::Replace, "they are removed"),
    ])
};

pub(super) const TIMEOUT: Key<Time> = Key::of("transaction-timeout", Time::FROM_ZERO)
    .about("After this a transaction that cannot be committed because it is gone counts as lost.")
    .without("none: the job does not go on without it")
    .example("1h");

pub(super) const IGNORE: Key<Flag> = Key::of("ignore-commit-errors-after-timeout", Flag::ANY)
    .about(
        "Whether the job goes on without a transaction that is gone or damaged after \
         `transaction-timeout`, which it needs. Whatever else keeps it from being committed is \
         tried again.",
    )
    .usual("false")
    .example("true");

pub(super) const RATIO: Key<Real> = Key::of("warn-ratio", Real { zero: true })
    .about(
        "After this part of `transaction-timeout`, which it needs, a warning is logged; between 0 \
         and 1.",
    )
    .without("there is no warning")
    .example("0.8");

#[derive(Clone, Copy)]
enum Which {
    File,
    Postgres,
    Stdout,
}

pub(super) fn read(
    name: &Name,
    entry: &Entry,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Sink> {
    let what = format!("sink `{name}`");
    let fields = Fields::of(what, &entry.node, entry.key_span, report)?;
    fields.required_first(&CONNECTOR, &KEYS, report);
    let which = fields.word(&CONNECTOR, report);
    // Which keys there are depends on the connector; of an unknown one nothing can be said.
    if which.is_some()
        && let Some((word, _)) = fields.text(&CONNECTOR, report)
    {
        fields.check_keys(&KEYS, Some(word), report);
    }
    let input = input(name, &fields, around, report);
    let parallelism = fields.parallelism(&PARALLELISM, report);
    let renamed_from = renamed::read(&fields, around, report);
    let connector = match which? {
        Which::File => SinkConnector::File(file(&fields, around, report)?),
        Which::Postgres => {
            SinkConnector::Postgres(Box::new(postgres::read(&fields, around, report)?))
        }
        Which::Stdout => {
            if guarantee(&fields, around, report) == Some(SinkGuarantee::ExactlyOnce)
                && let Some(entry) = fields.entry(&GUARANTEE)
            {
                let message = "standard output cannot be exactly-once";
                let error = report.error(code::CONTRADICTION, message);
                error.at(entry.node.span, "what was printed cannot be taken back");
            }
            SinkConnector::Stdout
        }
    };
    Some(Sink {
        parallelism: parallelism.unwrap_or(around.parallelism),
        renamed_from,
        input: input?,
        connector,
    })
}

/// The input of a sink; `Some(None)` for one that takes dead letters.
fn input(
    name: &Name,
    fields: &Fields<'_>,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Option<Input>> {
    if fields.entry(&input::FROM_OF_SINK).is_some() {
        return input::of_fields(fields, around, report).map(Some);
    }
    if fields.misspelled(&input::FROM_OF_SINK, &KEYS).is_some() {
        return None;
    }
    if !around.names.takes_dead_letters(name.as_str()) {
        report
            .error(
                code::NOTHING_TO_READ,
                format!("nothing feeds sink `{name}`"),
            )
            .at(fields.name(), "needs `from`")
            .help(format!(
                "or, for rows that an operator refuses, that operator says `on-error: {{ \
                 dead-letter: {name} }}`"
            ));
        return None;
    }
    let dealing: [&dyn AnyKey; 3] = [&input::KEY, &input::PARTITIONING, &input::BROADCAST];
    for entry in dealing.into_iter().filter_map(|key| fields.entry(key)) {
        let message = format!("`{}` does nothing in a sink without `from`", entry.key);
        report
            .error(code::CONTRADICTION, message)
            .at(entry.key_span, "leave it out")
            .help("dead letters go to any writer of the sink");
    }
    Some(None)
}

fn guarantee(
    fields: &Fields<'_>,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<SinkGuarantee> {
    let guarantee = fields.word(&GUARANTEE, report)?;
    let span = fields.entry(&GUARANTEE)?.key_span;
    check_guarantee(guarantee, span, around, report);
    Some(guarantee)
}

/// Whether the job can keep what is promised at a place.
pub(super) fn check_guarantee(
    guarantee: SinkGuarantee,
    span: Span,
    around: &Around<'_>,
    report: &mut Report,
) {
    match (guarantee, around.checkpoints) {
        (_, None) => {
            let message = "a guarantee needs checkpoints, and the job has none";
            report
                .error(code::CONTRADICTION, message)
                .at(span, "after a failure rows are missing or repeated")
                .help("give the job a `checkpoint` with a `dir`, or leave `guarantee` out");
        }
        (SinkGuarantee::ExactlyOnce, Some(CheckpointMode::AtLeastOnce)) => {
            let message = "a sink cannot be exactly-once in a job that is at-least-once";
            report
                .error(code::CONTRADICTION, message)
                .at(
                    span,
                    "after a failure rows are repeated before they come here",
                )
                .help("say `checkpoint.mode: exactly-once`, or leave `guarantee` out");
        }
        (SinkGuarantee::AtLeastOnce, Some(_))
        | (SinkGuarantee::ExactlyOnce, Some(CheckpointMode::ExactlyOnce)) => {}
    }
}

fn file(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<FileSink> {
    let usual = match around.checkpoints {
        Some(CheckpointMode::ExactlyOnce) => SinkGuarantee::ExactlyOnce,
        Some(CheckpointMode::AtLeastOnce) | None => SinkGuarantee::AtLeastOnce,
    };
    let guarantee = guarantee(fields, around, report).unwrap_or(usual);
    let roll_bytes = fields.size(&ROLL_SIZE, report);
    let on_existing = fields.word(&ON_EXISTING, report);
    let extension = extension(fields, report);
    let transactions = match guarantee {
        SinkGuarantee::ExactlyOnce => transactions(fields, report),
        SinkGuarantee::AtLeastOnce => {
            without_transactions(fields, report);
            TwoPhaseOptions::default()
        }
    };
    let folder = fields.path(&PATH, around.origin, "give the path of a folder", report)?;
    Some(FileSink {
        folder,
        extension,
        guarantee,
        roll_bytes,
        on_existing: on_existing.unwrap_or_default(),
        transactions,
    })
}

fn without_transactions(fields: &Fields<'_>, report: &mut Report) {
    let all: [&dyn AnyKey; 3] = [&TIMEOUT, &IGNORE, &RATIO];
    for entry in all.into_iter().filter_map(|key| fields.entry(key)) {
        let message = format!("`{}` does nothing here", entry.key);
        let error = report.error(code::CONTRADICTION, message);
        error
            .at(entry.key_span, "there are no transactions to commit later")
            .help("only a sink that is exactly-once has them");
    }
}

fn extension(fields: &Fields<'_>, report: &mut Report) -> Option<String> {
    let (text, span) = fields.text(&EXTENSION, report)?;
    let known = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    if !text.is_empty() && text.bytes().all(known) && !text.starts_with('.') {
        return Some(text.to_owned());
    }
    let message = format!("`extension` cannot be {}", quote(text));
    let error = report.error(code::BAD_VALUE, message);
    error.at(span, "must be letters and digits, without the first dot");
    None
}

pub(super) fn transactions(fields: &Fields<'_>, report: &mut Report) -> TwoPhaseOptions {
    let timeout = fields.duration(&TIMEOUT, report).map(millis);
    let ignore = fields.boolean(&IGNORE, report);
    let ratio = fields.number(&RATIO, report);
    // Who wrote a timeout that is wrong knows that there must be one.
    let timeout = timeout.or(fields.entry(&TIMEOUT).map(|_| 0));
    let ignore = ignore.is_some_and(|(ignore, _)| ignore);
    let error = match TwoPhaseOptions::new(timeout, ignore, ratio) {
        Ok(options) => return options,
        Err(error) => error,
    };
    match error {
        TwoPhaseOptionsError::Ratio(_) => {
            if let Some(entry) = fields.entry(&RATIO) {
                let error = report.error(code::BAD_VALUE, error.to_string());
                error.at(entry.node.span, "must be a part of the timeout");
            }
        }
        TwoPhaseOptionsError::NeedsTimeout(key) => {
            let all: [&dyn AnyKey; 2] = [&IGNORE, &RATIO];
            let found = all.into_iter().find(|known| known.name() == key);
            if let Some(entry) = found.and_then(|key| fields.entry(key)) {
                let error = report.error(code::CONTRADICTION, error.to_string());
                error.at(entry.key_span, "does nothing without one");
            }
        }
    }
    TwoPhaseOptions::default()
}
