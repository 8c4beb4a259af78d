//! The top of a job file, and what concerns the job as a whole.

use std::sync::Arc;

use indexmap::IndexMap;
use weir_checkpoint::RestartStrategy;
use weir_model::{MaxParallelism, Name, Parallelism};

use super::{
    checkpoint,
    fields::{Fields, Keys, Words, name_of, text_of, this_is},
    names::Names,
    operator, restart, sink, source,
};
use crate::{
    code,
    model::{JobFile, StateBackend},
    report::Report,
    source::{Origin, Span},
    wording::quote,
    yaml::{Entry, Value},
};

const KEYS: Keys = Keys {
    elsewhere: &[
        ("backend", "belongs in `state`"),
        ("dir", "belongs in `checkpoint`"),
        ("interval", "belongs in `checkpoint`"),
        ("mode", "belongs in `checkpoint`"),
        ("source", "did you mean `sources`, with a name for each?"),
        (
            "operator",
            "did you mean `operators`, with a name for each?",
        ),
        ("sink", "did you mean `sinks`, with a name for each?"),
    ],
    ..Keys::of(&[
        "apiVersion",
        "job",
        "parallelism",
        "max-parallelism",
        "state",
        "checkpoint",
        "restart",
        "sources",
        "operators",
        "sinks",
    ])
};

const STATE: Keys = Keys::of(&["backend"]);

/// The version of the format that is read here.
const API_VERSION: &str = "weir/v1";
const BEGIN: &str = "a job file begins with `apiVersion: weir/v1`";

/// What everything below needs to know.
pub(super) struct Around<'a> {
    pub(super) origin: &'a Origin,
    /// The names of all nodes.
    pub(super) names: Names<'a>,
    /// `parallelism` of the job.
    pub(super) parallelism: Parallelism,
    /// Whether the job has `checkpoint`.
    pub(super) checkpoints: bool,
}

/// Reads the job; `None` where so much is wrong that there is nothing to give.
pub(super) fn read(origin: &Arc<Origin>, report: &mut Report) -> Option<JobFile> {
    let start = Span {
        document: 0,
        start: 0,
        end: 0,
    };
    if matches!(origin.root.value, Value::Null) {
        let file = origin.documents.first().map_or("", |file| &file.name);
        let message = format!("the job file {} is empty", quote(file));
        report.error(code::MISSING_KEY, message).help(BEGIN);
        return None;
    }
    let fields = Fields::of("the job file", &origin.root, start, report)?;
    version(&fields, start, report)?;
    fields.check_keys(&[&KEYS], report);
    let job = fields.required("job", report).and_then(|entry| {
        let (text, span) = text_of("job", &entry.node, report)?;
        name_of(text, span, report)
    });
    let one = Parallelism::new(1).ok()?;
    let parallelism = fields.parallelism(report).unwrap_or(one);
    let max = fields.int("max-parallelism", 1, 32_768, report);
    let max_parallelism = max.and_then(|max| MaxParallelism::new(u32::try_from(max).ok()?).ok());
    let backend = backend(&fields, report);
    let checkpoint = fields.entry("checkpoint");
    let around = Around {
        origin,
        names: Names::of(&origin.root),
        parallelism,
        checkpoints: checkpoint.is_some(),
    };
    let checkpoint = checkpoint.and_then(|entry| checkpoint::read(entry, origin, report));
    // A job without checkpoints begins anew after a failure, so nobody restarts it unasked.
    let usual = match around.checkpoints {
        true => RestartStrategy::default(),
        false => RestartStrategy::None,
    };
    let restart = fields.entry("restart");
    let restart = restart.and_then(|entry| restart::read(entry, report));
    let entry = fields.required("sources", report);
    let sources = section(entry, report, |name, entry, report| {
        source::read(name, entry, &around, report)
    });
    nothing_to_read(entry, report);
    let operators = section(fields.entry("operators"), report, |name, entry, report| {
        operator::read(name, entry, &around, report)
    });
    let sinks = section(fields.entry("sinks"), report, |name, entry, report| {
        sink::read(name, entry, &around, report)
    });
    around.names.check_unique(report);
    Some(JobFile {
        job: job?,
        parallelism,
        max_parallelism,
        backend,
        checkpoint,
        restart: restart.unwrap_or(usual),
        sources,
        operators,
        sinks,
        origin: Arc::clone(origin),
    })
}

/// Checks `apiVersion`; `None` where the file is of another version, of which nothing else can be
/// told.
fn version(fields: &Fields<'_>, start: Span, report: &mut Report) -> Option<()> {
    let Some(entry) = fields.entry("apiVersion") else {
        let error = report.error(code::MISSING_KEY, "the job file has no `apiVersion`");
        error.at(start, "needs `apiVersion`").help(BEGIN);
        return Some(());
    };
    let Some((text, span)) = text_of("apiVersion", &entry.node, report) else {
        return Some(());
    };
    if text == API_VERSION {
        return Some(());
    }
    let message = format!("`apiVersion` is {}", quote(text));
    let error = report.error(code::API_VERSION, message);
    error.at(span, format!("this program reads `{API_VERSION}`"));
    (!text.starts_with("weir/v")).then_some(())
}

/// The nodes of one section, by name. Nodes with errors are left out; the errors are reported.
fn section<T>(
    entry: Option<&Entry>,
    report: &mut Report,
    mut read: impl FnMut(&Name, &Entry, &mut Report) -> Option<T>,
) -> IndexMap<Name, T> {
    let mut all = IndexMap::new();
    let Some(entry) = entry else { return all };
    let Value::Map(entries) = &entry.node.value else {
        let message = format!("`{}` must be a mapping of names", entry.key);
        let error = report.error(code::WRONG_TYPE, message);
        error.at(entry.node.span, this_is(&entry.node.value));
        return all;
    };
    for entry in entries {
        let Some(name) = name_of(&entry.key, entry.key_span, report) else {
            continue;
        };
        if let Some(node) = read(&name, entry, report) {
            all.insert(name, node);
        }
    }
    all
}

fn nothing_to_read(sources: Option<&Entry>, report: &mut Report) {
    if let Some(entry) = sources
        && matches!(&entry.node.value, Value::Map(entries) if entries.is_empty())
    {
        let error = report.error(code::NOTHING_TO_READ, "the job has no source");
        error.at(entry.node.span, "this is empty");
    }
}

fn backend(fields: &Fields<'_>, report: &mut Report) -> StateBackend {
    let state = fields.entry("state");
    let state = state.and_then(|entry| {
        let name = entry.key_span;
        Fields::open("`state`", &entry.node, name, &[&STATE], report)
    });
    let Some(state) = state else {
        return StateBackend::default();
    };
    // The names that Flink has had for it (D30).
    let aliases = ["memory", "jobmanager", "fs", "filesystem", "hashmap"];
    let words = Words {
        aliases: &aliases.map(|word| (word, StateBackend::Heap)),
        later: &[("rocksdb", "state is kept in memory: `backend: heap`")],
        ..Words::of(&[("heap", StateBackend::Heap)])
    };
    if let Some(Value::Text(text)) = state.entry("backend").map(|entry| &entry.node.value)
        && text.contains('.')
        && let Some(entry) = state.entry("backend")
    {
        let message = format!("the factory class {} cannot be loaded", quote(text));
        report
            .error(code::BAD_VALUE, message)
            .at(entry.node.span, "this is no JVM")
            .help("state is kept in memory: `backend: heap`");
        return StateBackend::default();
    }
    state.word("backend", &words, report).unwrap_or_default()
}
