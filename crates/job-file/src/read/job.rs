//! The top of a job file, and what concerns the job as a whole.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::json;
use weir_checkpoint::{CheckpointMode, RestartStrategy};
use weir_model::{MaxParallelism, Name, Parallelism};

use super::{
    checkpoint,
    fields::{Fields, name_of, text_of, this_is},
    keys::{Key, Keys},
    kinds::{Flag, NameText, Named, Special, Whole, Within},
    names::Names,
    operator, restart, sink, source,
    state::{self, STATE},
};
use crate::{
    HostFile, code,
    model::{FromHost, JobFile},
    report::Report,
    source::{FILE, Origin, Span},
    wording::{all_of, nearest, quote},
    yaml::{Entry, Value},
};

/// The whole file.
pub(crate) const KEYS: Keys = Keys {
    elsewhere: &[
        ("backend", "belongs in `state`"),
        ("dir", "belongs in `checkpoint`"),
        ("interval", "belongs in `checkpoint`"),
        ("mode", "belongs in `checkpoint`"),
        ("storage", "belongs in the host file"),
        ("source", "did you mean `sources`, with a name for each?"),
        (
            "operator",
            "did you mean `operators`, with a name for each?",
        ),
        ("sink", "did you mean `sinks`, with a name for each?"),
    ],
    rules: checkpoint::rules_of_job,
    ..Keys::of(
        "job",
        &[
            &API_VERSION,
            &JOB,
            &PARALLELISM,
            &MAX_PARALLELISM,
            &STATE,
            &CHECKPOINT,
            &ALLOW_NON_RESTORED_STATE,
            &RESTART,
            &SOURCES,
            &OPERATORS,
            &SINKS,
        ],
    )
    .about("The job", "What concerns the job as a whole.")
};

pub(super) const API_VERSION: Key<Special> = Key::of(
    "apiVersion",
    Special::of("`weir/v1`", || json!({ "const": VERSION })),
)
.about("The version of the format.")
.needed_because(BEGIN)
.example(VERSION);

const JOB: Key<NameText> = Key::of("job", NameText)
    .about("The name of the job, which is its id: checkpoints are found by it.")
    .needed()
    .example("cart-events");

pub(super) const PARALLELISM: Key<Whole> = Key::of("parallelism", Whole::between(1, 32_768))
    .about("How many subtasks each node has that does not say its own.")
    .usual("1")
    .example("2");

pub(super) const MAX_PARALLELISM: Key<Whole> = Key::of(
    "max-parallelism",
    Whole::between(1, 32_768),
)
.about(
    "How many key groups keyed state is divided into. No node can have more subtasks, and a \
         job that goes on from a checkpoint keeps the number.",
)
.without("1.5 times the largest parallelism, rounded up to a power of two, at least 128")
.example("256");

const CHECKPOINT: Key<Within> = Key::of("checkpoint", Within(&checkpoint::KEYS))
    .about("When checkpoints are taken and where they are kept.")
    .without("none are taken")
    .example("{ dir: ./checkpoints, interval: 1s }");

const ALLOW_NON_RESTORED_STATE: Key<Flag> = Key::of("allow-non-restored-state", Flag::ANY)
    .about(
        "Whether the job may go on from a checkpoint that holds what has no home in it any more: \
         state of an operator or a state that is gone, where a source had come to, results that a \
         sink had not committed. It is left behind; else the checkpoint is refused.",
    )
    .usual("false")
    .example("true");

pub(super) const RESTART: Key<Within> = Key::of("restart", Within(&restart::KEYS))
    .about("What happens after a failure.")
    .without("two restarts without delay with checkpoints, none without")
    .example("{ strategy: fixed-delay, attempts: 2 }");

const SOURCES: Key<Named> = Key::of(
    "sources",
    Named {
        each: &source::KEYS,
        some: true,
    },
)
.about("Where rows come from. Sources, operators and sinks share one namespace.")
.needed()
.example("{ clicks: { connector: generator, count: 10 } }");

const OPERATORS: Key<Named> = Key::of(
    "operators",
    Named {
        each: &operator::KEYS,
        some: false,
    },
)
.about("What is done with rows.")
.without("none")
.example("{ cart: { component: cart.wasm, inputs: [ clicks ] } }");

const SINKS: Key<Named> = Key::of(
    "sinks",
    Named {
        each: &sink::KEYS,
        some: false,
    },
)
.about("Where rows go.")
.without("none: what nobody reads is dropped")
.example("{ out: { connector: stdout, from: cart } }");

/// The version of the format that is read here.
const VERSION: &str = "weir/v1";
const BEGIN: &str = "a job file begins with `apiVersion: weir/v1`";

/// What everything below needs to know.
pub(super) struct Around<'a> {
    pub(super) origin: &'a Origin,
    pub(super) host: &'a HostFile,
    /// The names of all nodes.
    pub(super) names: Names<'a>,
    /// `parallelism` of the job.
    pub(super) parallelism: Parallelism,
    /// Which checkpoints the job takes, if it takes any.
    pub(super) checkpoints: Option<CheckpointMode>,
}

/// Of a job with checkpoints that does not say its own.
const USUAL_RESTART: RestartStrategy = RestartStrategy::FixedDelay {
    attempts: Some(2),
    delay_ms: 0,
};

/// Reads the job; `None` where so much is wrong that there is nothing to give.
pub(super) fn read(
    origin: &Arc<Origin>,
    host: &HostFile,
    from_host: Vec<FromHost>,
    report: &mut Report,
) -> Option<JobFile> {
    let fields = open(origin, report)?;
    let job = fields.text(&JOB, report);
    let job = job.and_then(|(text, span)| name_of(text, span, report));
    let one = Parallelism::new(1).ok()?;
    let parallelism = fields.parallelism(&PARALLELISM, report).unwrap_or(one);
    let max = fields.int(&MAX_PARALLELISM, report);
    let max_parallelism = max.and_then(|max| MaxParallelism::new(u32::try_from(max).ok()?).ok());
    let checkpoint = fields.entry(&CHECKPOINT);
    let around = Around {
        origin,
        host,
        names: Names::of(&origin.root),
        parallelism,
        checkpoints: checkpoint::mode_of(checkpoint),
    };
    let backend = state::read(&fields, origin, report);
    let allow = fields.boolean(&ALLOW_NON_RESTORED_STATE, report);
    let checkpoint =
        checkpoint.map(|entry| checkpoint::read(entry, state::backend(&fields), origin, report));
    let checkpoint = match checkpoint {
        Some(checkpoint::Read::Taken(checkpoint)) => Some(*checkpoint),
        Some(checkpoint::Read::AtMostOnce | checkpoint::Read::Wrong) | None => None,
    };
    // A job without checkpoints begins anew after a failure, so nobody restarts it unasked.
    let usual = match around.checkpoints {
        Some(_) => USUAL_RESTART,
        None => RestartStrategy::None,
    };
    let restart = fields.entry(&RESTART);
    let restart = restart.and_then(|entry| restart::read(entry, report));
    let entry = fields.entry(&SOURCES);
    let sources = section(entry, &SOURCES, report, |name, entry, report| {
        source::read(name, entry, &around, report)
    });
    nothing_to_read(entry, report);
    let entry = fields.entry(&OPERATORS);
    let operators = section(entry, &OPERATORS, report, |name, entry, report| {
        operator::read(name, entry, &around, report)
    });
    let entry = fields.entry(&SINKS);
    let sinks = section(entry, &SINKS, report, |name, entry, report| {
        sink::read(name, entry, &around, report)
    });
    around.names.check_unique(report);
    Some(JobFile {
        job: job?,
        parallelism,
        max_parallelism,
        backend,
        checkpoint,
        allow_non_restored_state: allow.is_some_and(|(allow, _)| allow),
        restart: restart.unwrap_or(usual),
        sources,
        operators,
        sinks,
        from_host,
        bounds: host.bounds.clone(),
        notes: report.take_notes(),
        host_notes: host.notes.clone(),
        origin: Arc::clone(origin),
    })
}

/// The keys of the file; `None` where nothing else can be told of it.
fn open<'a>(origin: &'a Origin, report: &mut Report) -> Option<Fields<'a>> {
    let start = Span {
        document: FILE,
        start: 0,
        end: 0,
    };
    if matches!(origin.root.value, Value::Null) {
        let file = origin.documents.get(FILE).map_or("", |file| &file.name);
        let message = format!("the job file {} is empty", quote(file));
        report.error(code::MISSING_KEY, message).help(BEGIN);
        return None;
    }
    let fields = Fields::of("the job file", &origin.root, start, report)?;
    version(&fields, report)?;
    fields.check_keys(&KEYS, None, report);
    Some(fields)
}

/// Checks `apiVersion`; `None` where the file is of another version, of which nothing else can be
/// told.
pub(super) fn version(fields: &Fields<'_>, report: &mut Report) -> Option<()> {
    // Where it is missing, that is told with the other keys.
    let Some(entry) = fields.entry(&API_VERSION) else {
        return Some(());
    };
    let Some((text, span)) = text_of("apiVersion", &entry.node, report) else {
        return Some(());
    };
    if text == VERSION {
        return Some(());
    }
    let message = format!("`apiVersion` is {}", quote(text));
    let error = report.error(code::API_VERSION, message);
    error.at(span, format!("this program reads `{VERSION}`"));
    (!text.starts_with("weir/v")).then_some(())
}

/// The nodes of one section, by name. Nodes with errors are left out; the errors are reported.
fn section<T>(
    entry: Option<&Entry>,
    key: &Key<Named>,
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
    let needed = key.kind.each.known.iter().filter(|key| key.needed());
    let needed: Vec<&str> = needed.map(|key| key.name()).collect();
    for entry in entries {
        if let Some(meant) = name_meant(entry, entries, &needed) {
            let message = format!("there is no {} in `{}`", quote(&entry.key), key.name);
            report
                .error(code::SET, message)
                .at(entry.key_span, format!("did you mean `{meant}`?"))
                .help(format!("a new one needs {}", all_of(&needed)));
            continue;
        }
        let Some(name) = name_of(&entry.key, entry.key_span, report) else {
            continue;
        };
        if let Some(node) = read(&name, entry, report) {
            all.insert(name, node);
        }
    }
    all
}

/// The name that an argument meant that made a node of its own by a slip: it lacks what a node must
/// have, and the file has one of nearly that name.
fn name_meant<'a>(entry: &Entry, all: &'a [Entry], needed: &[&str]) -> Option<&'a str> {
    let is_whole = needed.iter().all(|key| entry.node.entry(key).is_some());
    if is_whole || !entry.key_span.is_argument() {
        return None;
    }
    let others = all.iter().filter(|other| !other.key_span.is_argument());
    nearest(&entry.key, others.map(|other| other.key.as_str()))
}

fn nothing_to_read(sources: Option<&Entry>, report: &mut Report) {
    if let Some(entry) = sources
        && matches!(&entry.node.value, Value::Map(entries) if entries.is_empty())
    {
        let error = report.error(code::NOTHING_TO_READ, "the job has no source");
        error.at(entry.node.span, "this is empty");
    }
}
