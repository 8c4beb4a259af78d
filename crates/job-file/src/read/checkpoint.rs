//! `checkpoint`.

use std::time::Duration;

use serde_json::{Value as Json, json};
use weir_checkpoint::{CheckpointMode, Config};

use super::{
    fields::Fields,
    keys::{Key, Keys},
    kinds::{Flag, Place, Size, Special, Time, Whole, Within, Words},
    place::Store,
};
use crate::{
    code,
    model::{Checkpoint, Location},
    report::Report,
    source::{Origin, Span},
    yaml::{Entry, Value},
};

pub(super) const KEYS: Keys = Keys {
    elsewhere: &[
        ("completed", "belongs in `retain`"),
        ("on-cancel", "belongs in `retain`"),
    ],
    rules,
    ..Keys::of(
        "checkpoint",
        &[
            &DIR,
            &MAX_STATE_SIZE,
            &INTERVAL,
            &MODE,
            &MIN_PAUSE,
            &TIMEOUT,
            &MAX_CONCURRENT,
            &TOLERABLE_FAILURES,
            &UNALIGNED,
            &ALIGNED_TIMEOUT,
            &INCREMENTAL,
            &RETAIN,
            &SAVEPOINT_DIR,
        ],
    )
    .about(
        "`checkpoint`",
        "When checkpoints are taken and where they are kept. A job without it takes none and \
         begins anew after a failure.",
    )
};

/// As the host file has it: a folder is not needed there.
pub(super) const HOST_KEYS: Keys = Keys {
    rules: Vec::new,
    ..KEYS
};

const DIR: Key<Place> = Key::of("dir", Place)
    .about(
        "Where checkpoints go: a folder, in which each job has a folder of its name; \
         `s3://bucket/prefix`, a bucket of S3 or of what speaks like it; or `memory:`, the memory \
         of the process, with which they go.",
    )
    .without(
        "needed, unless `mode` is `at-most-once`; `memory:` with `state.backend: memory` or \
         `jobmanager`",
    )
    .example("./checkpoints");

const MAX_STATE_SIZE: Key<Size> = Key::of("max-state-size", Size)
    .about(
        "With `dir: memory:`: the most that one task may write for one checkpoint. One in which a \
         task has more fails.",
    )
    .usual("5MiB")
    .example("20MiB");

/// The limit of Flink's `MemoryStateBackend` (semantics 1.17).
const USUAL_STATE_SIZE: u64 = 5 << 20;

const INTERVAL: Key<Time> = Key::of("interval", Time::ABOVE_ZERO)
    .about("How often a checkpoint is begun.")
    .without("only at the end of the job, and when it is stopped")
    .example("1s");

const MODE: Key<Words<Mode>> = Key::of("mode", MODES)
    .about("What a row counts after a failure.")
    .usual("exactly-once")
    .example("exactly-once");

const MODES: Words<Mode> = Words {
    // As Flink's configuration writes them.
    aliases: &[
        ("EXACTLY_ONCE", Mode::Taken(CheckpointMode::ExactlyOnce)),
        ("AT_LEAST_ONCE", Mode::Taken(CheckpointMode::AtLeastOnce)),
    ],
    ..Words::of(&[
        (
            "exactly-once",
            Mode::Taken(CheckpointMode::ExactlyOnce),
            "each row counts once: tasks wait until the barriers of all their inputs are there",
        ),
        (
            "at-least-once",
            Mode::Taken(CheckpointMode::AtLeastOnce),
            "tasks do not wait, so rows around a barrier may count twice after a failure",
        ),
        (
            "at-most-once",
            Mode::AtMostOnce,
            "no checkpoints are taken, and no other key is written here: after a failure rows are \
         missing",
        ),
    ])
};

const MIN_PAUSE: Key<Time> = Key::of("min-pause", Time::FROM_ZERO)
    .about("The least time between the end of a checkpoint and the beginning of the next.")
    .usual("0s")
    .example("500ms");

const TIMEOUT: Key<Time> = Key::of("timeout", Time::ABOVE_ZERO)
    .about("A checkpoint that takes longer is given up.")
    .usual("10m")
    .example("1.5m");

const MAX_CONCURRENT: Key<Whole> = Key::of("max-concurrent", Whole::between(1, 100))
    .about("How many checkpoints may be under way at a time.")
    .usual("1")
    .example("2");

const TOLERABLE_FAILURES: Key<Whole> =
    Key::of("tolerable-failures", Whole::between(0, u32::MAX as u64))
        .about("How many checkpoints in a row may fail before the job does.")
        .usual("0")
        .example("3");

const UNALIGNED: Key<Flag> = Key::of("unaligned", Flag::ANY)
    .about(
        "Whether barriers overtake the rows that wait in queues, which are then part of the \
         checkpoint: so a checkpoint is quick under back pressure, and larger. Only with `mode: \
         exactly-once`; one at a time.",
    )
    .usual("false")
    .example("true");

const ALIGNED_TIMEOUT: Key<Time> = Key::of("aligned-timeout", Time::FROM_ZERO)
    .about(
        "How long an unaligned checkpoint is aligned before its barriers overtake what is left; \
         `0s` = they do from the beginning. For `unaligned: true`.",
    )
    .usual("0s")
    .example("10s");

const INCREMENTAL: Key<Flag> = Key::of("incremental", Flag::ANY)
    .about(
        "Whether a checkpoint holds only what has changed since one before it and refers to files \
         of that.",
    )
    .usual("false")
    .example("true");

const RETAIN: Key<Within> = Key::of("retain", Within(&RETAIN_KEYS))
    .about("Which checkpoints stay.")
    .without("the defaults of its keys")
    .example("{ completed: 3 }");

const RETAIN_KEYS: Keys = Keys::of("retain", &[&COMPLETED, &ON_CANCEL])
    .about("`checkpoint.retain`", "Which checkpoints stay.");

const COMPLETED: Key<Whole> = Key::of("completed", Whole::between(1, 10_000))
    .about("How many completed checkpoints are kept; older ones are deleted.")
    .usual("1")
    .example("3");

const ON_CANCEL: Key<Special> = Key::of(
    "on-cancel",
    Special::of("true or false", || json!({ "enum": [true, false, RETAIN_WORD, DELETE_WORD, NONE_WORD] })),
)
.about(
    "Whether they stay when the job is cancelled. Flink's words for it are taken, too. When the job \
     is stopped, has failed or has finished they always stay.",
)
.usual("true")
.example("false");

/// Flink's words for `retain.on-cancel`.
const RETAIN_WORD: &str = "RETAIN_ON_CANCELLATION";
const DELETE_WORD: &str = "DELETE_ON_CANCELLATION";
const NONE_WORD: &str = "NO_EXTERNALIZED_CHECKPOINTS";

/// The shortest interval and timeout (semantics 1.12).
const SHORTEST: Duration = Duration::from_millis(10);

const SAVEPOINT_DIR: Key<Place> = Key::of("savepoint-dir", Place)
    .about(
        "Where savepoints go when whoever asks for one names no place: a folder, or \
         `s3://bucket/prefix`. Each has a folder of its own in it.",
    )
    .without("`weir savepoint` must say `--to`")
    .example("/backup/savepoints");

/// What `mode` says.
#[derive(Clone, Copy)]
enum Mode {
    Taken(CheckpointMode),
    AtMostOnce,
}

/// What `checkpoint` comes to.
pub(super) enum Read {
    Taken(Box<Checkpoint>),
    /// `mode: at-most-once`.
    AtMostOnce,
    /// It has errors, which are reported.
    Wrong,
}

/// Whether any are taken: what other parts of the file are judged by, be there errors or not.
pub(super) fn mode_of(entry: Option<&Entry>) -> Option<CheckpointMode> {
    let said = entry?.node.entry(MODE.name).map(|said| &said.node.value);
    let Some(Value::Text(said)) = said else {
        return Some(CheckpointMode::default());
    };
    match MODES.meant(said) {
        Some(Mode::AtMostOnce) => None,
        Some(Mode::Taken(mode)) => Some(mode),
        None => Some(CheckpointMode::default()),
    }
}

fn takes_none() -> Json {
    json!({
        "properties": { "mode": { "const": "at-most-once" } },
        "required": ["mode"],
    })
}

/// Nothing but the mode is written where no checkpoints are taken.
fn rules() -> Vec<Json> {
    vec![json!({ "if": takes_none(), "then": { "maxProperties": 1 } })]
}

/// Of a whole job: a place is needed where checkpoints are taken, unless the backend says it.
pub(super) fn rules_of_job() -> Vec<Json> {
    let in_memory = json!({
        "properties": {
            "state": {
                "properties": { "backend": { "enum": IN_MEMORY } },
                "required": ["backend"],
            },
        },
        "required": ["state"],
    });
    let with_dir = json!({ "if": takes_none(), "else": { "required": ["dir"] } });
    vec![json!({
        "if": in_memory,
        "else": { "properties": { "checkpoint": with_dir } },
    })]
}

/// Names of backends of Flink's that keep checkpoints in memory, too (D30).
pub(super) const IN_MEMORY: [&str; 2] = ["memory", "jobmanager"];

/// Those that keep them in a folder.
pub(super) const IN_FOLDERS: [&str; 2] = ["fs", "filesystem"];

/// Reads what a host file says for all jobs.
pub(super) fn check_defaults(entry: &Entry, origin: &Origin, report: &mut Report) {
    let name = entry.key_span;
    let Some(fields) = Fields::open("`checkpoint`", &entry.node, name, &HOST_KEYS, report) else {
        return;
    };
    match fields.word(&MODE, report) {
        Some(Mode::AtMostOnce) => {
            if let Some((_, span)) = fields.text(&MODE, report) {
                report
                    .error(code::BAD_VALUE, "`mode: at-most-once` cannot be for all jobs")
                    .at(span, "leave `checkpoint` out")
                    .help("a job takes no checkpoints where neither its file nor this one has a `dir`");
            }
        }
        Some(Mode::Taken(mode)) => drop(taken(&fields, mode, None, origin, report)),
        None => drop(taken(
            &fields,
            CheckpointMode::default(),
            None,
            origin,
            report,
        )),
    }
}

/// Reads `checkpoint`; `backend` is what `state.backend` says, and where.
pub(super) fn read(
    entry: &Entry,
    backend: Option<(&str, Span)>,
    origin: &Origin,
    report: &mut Report,
) -> Read {
    let name = entry.key_span;
    let Some(fields) = Fields::open("`checkpoint`", &entry.node, name, &KEYS, report) else {
        return Read::Wrong;
    };
    let mode = fields.word(&MODE, report);
    let in_memory = backend.is_some_and(|(backend, _)| IN_MEMORY.contains(&backend));
    let needs_dir = !matches!(mode, Some(Mode::AtMostOnce)) && !in_memory;
    if needs_dir && fields.misspelled(&DIR, &KEYS).is_none() {
        fields.required(&DIR, report);
    }
    match mode {
        Some(Mode::AtMostOnce) => {
            at_most_once(&fields, report);
            Read::AtMostOnce
        }
        Some(Mode::Taken(mode)) => taken(&fields, mode, backend, origin, report),
        None => taken(&fields, CheckpointMode::default(), backend, origin, report),
    }
}

/// Reports what does nothing without checkpoints. A mode from the command line overrides what
/// belongs to that of the file.
fn at_most_once(fields: &Fields<'_>, report: &mut Report) {
    let said = fields.entry(&MODE).map(|said| said.node.span.document);
    for key in KEYS.known.iter().filter(|key| key.name() != MODE.name) {
        let Some(entry) = fields.entry(*key) else {
            continue;
        };
        if Some(entry.key_span.document) < said {
            continue;
        }
        let message = format!("`{}` does nothing with `mode: at-most-once`", entry.key);
        report
            .error(code::CONTRADICTION, message)
            .at(entry.key_span, "no checkpoints are taken: leave it out")
            .help("take checkpoints with `mode: exactly-once` or `mode: at-least-once`");
    }
}

fn taken(
    fields: &Fields<'_>,
    mode: CheckpointMode,
    backend: Option<(&str, Span)>,
    origin: &Origin,
    report: &mut Report,
) -> Read {
    let dir = location(fields, backend, origin, report);
    let savepoint_dir = savepoint_dir(fields, origin, report);
    let usual = Config::default();
    let interval = not_too_short(fields, &INTERVAL, report);
    let timeout = not_too_short(fields, &TIMEOUT, report);
    let min_pause = fields.duration(&MIN_PAUSE, report);
    let concurrent = fields.int(&MAX_CONCURRENT, report);
    let failures = fields.int(&TOLERABLE_FAILURES, report);
    let incremental = fields.boolean(&INCREMENTAL, report);
    let unaligned = unaligned(fields, mode, concurrent, report);
    let aligned_timeout = aligned_timeout(fields, unaligned, report);
    let (retained, on_cancel) = retain(fields, report);
    let narrow = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    let Some(dir) = dir else { return Read::Wrong };
    Read::Taken(Box::new(Checkpoint {
        dir,
        savepoint_dir,
        mode,
        interval,
        min_pause: min_pause.unwrap_or_default(),
        timeout: timeout.unwrap_or(Duration::from_millis(usual.timeout_ms)),
        max_concurrent: narrow(concurrent).unwrap_or(usual.max_concurrent),
        tolerable_failures: failures
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(usual.tolerable_failures),
        unaligned,
        aligned_timeout,
        incremental: incremental.map_or(usual.incremental, |(incremental, _)| incremental),
        retained: narrow(retained).unwrap_or(usual.retained),
        retain_on_cancel: on_cancel.unwrap_or(usual.retain_on_cancel),
    }))
}

/// Where savepoints go.
fn savepoint_dir(fields: &Fields<'_>, origin: &Origin, report: &mut Report) -> Option<Location> {
    let instead = "savepoints go to a folder or to `s3://bucket/prefix`";
    let (store, span) = fields.store(&SAVEPOINT_DIR, origin, instead, report)?;
    match store {
        Store::Folder(folder) => Some(Location::Folder(folder)),
        Store::S3 { bucket, prefix } => Some(Location::S3 { bucket, prefix }),
        Store::Memory => {
            report
                .error(code::BAD_VALUE, "a savepoint outlives the process")
                .at(span, "must be a folder or `s3://bucket/prefix`");
            None
        }
    }
}

/// Where checkpoints go. Some names of backends say so, too.
fn location(
    fields: &Fields<'_>,
    backend: Option<(&str, Span)>,
    origin: &Origin,
    report: &mut Report,
) -> Option<Location> {
    let size = fields.size(&MAX_STATE_SIZE, report);
    let memory = Location::Memory {
        max_state_size: size.unwrap_or(USUAL_STATE_SIZE),
    };
    let backend = backend.filter(|(name, _)| IN_MEMORY.contains(name) || IN_FOLDERS.contains(name));
    let by_backend = backend.map(|(name, _)| IN_MEMORY.contains(&name));
    let instead = "checkpoints go to a folder, to `s3://bucket/prefix` or to `memory:`";
    let (dir, span) = match fields.store(&DIR, origin, instead, report) {
        Some((Store::Memory, span)) => (memory.clone(), span),
        Some((Store::Folder(folder), span)) => (Location::Folder(folder), span),
        Some((Store::S3 { bucket, prefix }, span)) => (Location::S3 { bucket, prefix }, span),
        None if fields.entry(&DIR).is_none() && by_backend == Some(true) => return Some(memory),
        None => return None,
    };
    let is_memory = matches!(dir, Location::Memory { .. });
    if let Some((name, said)) = backend
        && by_backend != Some(is_memory)
    {
        // What a job says itself overrides what the host says for all.
        match (span.is_of_host(), said.is_of_host()) {
            (true, false) if by_backend == Some(true) => return Some(memory),
            (false, true) => return Some(dir),
            _ => {}
        }
        let message = match is_memory {
            true => format!("`backend: {name}` keeps checkpoints in a folder"),
            false => format!("`backend: {name}` keeps checkpoints in memory"),
        };
        report
            .error(code::CONTRADICTION, message)
            .at(span, "and this is another place")
            .at(
                said,
                "`heap` keeps state in memory, and leaves the place to `dir`",
            );
    }
    if size.is_some() && !is_memory {
        report.note("`max-state-size` does nothing: checkpoints are not kept in memory");
    }
    Some(dir)
}

/// An interval or a timeout.
fn not_too_short(fields: &Fields<'_>, key: &Key<Time>, report: &mut Report) -> Option<Duration> {
    let time = fields.duration(key, report)?;
    if time >= SHORTEST {
        return Some(time);
    }
    let entry = fields.entry(key)?;
    let message = format!("`{}` cannot be {} ms", key.name, time.as_millis());
    let label = format!("must be at least {} ms", SHORTEST.as_millis());
    let error = report.error(code::BAD_VALUE, message);
    error.at(entry.node.span, label);
    None
}

/// `unaligned`, which contradicts some settings as it does in Flink.
fn unaligned(
    fields: &Fields<'_>,
    mode: CheckpointMode,
    concurrent: Option<u64>,
    report: &mut Report,
) -> bool {
    let Some((true, span)) = fields.boolean(&UNALIGNED, report) else {
        return false;
    };
    if mode == CheckpointMode::AtLeastOnce {
        report.note(
            "`unaligned: true` does nothing with `mode: at-least-once`: no row waits for a barrier \
             anyway",
        );
        return false;
    }
    if concurrent.is_some_and(|concurrent| concurrent > 1)
        && let Some(entry) = fields.entry(&MAX_CONCURRENT)
    {
        report
            .error(
                code::CONTRADICTION,
                "only one unaligned checkpoint is taken at a time",
            )
            .at(entry.node.span, "must be 1")
            .at(span, "or leave this out");
    }
    true
}

fn aligned_timeout(fields: &Fields<'_>, unaligned: bool, report: &mut Report) -> Duration {
    let said = fields
        .duration(&ALIGNED_TIMEOUT, report)
        .unwrap_or_default();
    if !unaligned && !said.is_zero() {
        report.note("`aligned-timeout` does nothing: checkpoints are aligned");
    }
    said
}

/// `retain`: how many stay, and whether they stay after a cancel.
fn retain(fields: &Fields<'_>, report: &mut Report) -> (Option<u64>, Option<bool>) {
    let Some(retain) = fields.within(&RETAIN, report) else {
        return (None, None);
    };
    let on_cancel = on_cancel(&retain, report);
    (retain.int(&COMPLETED, report), on_cancel)
}

fn on_cancel(retain: &Fields<'_>, report: &mut Report) -> Option<bool> {
    let entry = retain.entry(&ON_CANCEL)?;
    match &entry.node.value {
        Value::Text(word) if word == RETAIN_WORD => Some(true),
        Value::Text(word) if word == DELETE_WORD || word == NONE_WORD => Some(false),
        _ => retain.truth(&ON_CANCEL, report).map(|(stays, _)| stays),
    }
}
