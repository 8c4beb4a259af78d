//! `checkpoint`.

use std::time::Duration;

use serde_json::{Value as Json, json};
use weir_checkpoint::{CheckpointMode, Config};

use super::{
    fields::{Fields, unavailable},
    keys::{Key, Keys},
    kinds::{Flag, Place, Time, Whole, Within, Words},
};
use crate::{
    code,
    model::Checkpoint,
    report::Report,
    source::Origin,
    yaml::{Entry, Value},
};

pub(super) const KEYS: Keys = Keys {
    later: &[("aligned-timeout", "checkpoints are aligned; leave it out")],
    elsewhere: &[
        ("completed", "belongs in `retain`"),
        ("on-cancel", "belongs in `retain`"),
    ],
    rules,
    ..Keys::of(
        "checkpoint",
        &[
            &DIR,
            &INTERVAL,
            &MODE,
            &MIN_PAUSE,
            &TIMEOUT,
            &MAX_CONCURRENT,
            &TOLERABLE_FAILURES,
            &UNALIGNED,
            &INCREMENTAL,
            &RETAIN,
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
    .about("The folder that checkpoints go to; each job has a folder of its name in it.")
    .without("needed, unless `mode` is `at-most-once`")
    .example("./checkpoints");

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

const UNALIGNED: Key<Flag> = Key::of("unaligned", Flag::only(false))
    .about("Whether barriers overtake rows. In this version they do not.")
    .usual("false")
    .example("false");

const INCREMENTAL: Key<Flag> = Key::of("incremental", Flag::only(false))
    .about(
        "Whether a checkpoint holds only what has changed. In this version each holds all state.",
    )
    .usual("false")
    .example("false");

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

const ON_CANCEL: Key<Flag> = Key::of("on-cancel", Flag::only(true))
    .about("Whether they stay when the job is stopped. In this version always.")
    .usual("true")
    .example("true");

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

/// A folder is needed where checkpoints are taken, and nothing but the mode where not.
fn rules() -> Vec<Json> {
    let at_most_once = json!({
        "properties": { "mode": { "const": "at-most-once" } },
        "required": ["mode"],
    });
    vec![json!({
        "if": at_most_once,
        "then": { "maxProperties": 1 },
        "else": { "required": ["dir"] },
    })]
}

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
        Some(Mode::Taken(mode)) => drop(taken(&fields, mode, origin, report)),
        None => drop(taken(&fields, CheckpointMode::default(), origin, report)),
    }
}

pub(super) fn read(entry: &Entry, origin: &Origin, report: &mut Report) -> Read {
    let name = entry.key_span;
    let Some(fields) = Fields::open("`checkpoint`", &entry.node, name, &KEYS, report) else {
        return Read::Wrong;
    };
    let mode = fields.word(&MODE, report);
    let needs_dir = !matches!(mode, Some(Mode::AtMostOnce));
    if needs_dir && fields.misspelled(&DIR, &KEYS).is_none() {
        fields.required(&DIR, report);
    }
    match mode {
        Some(Mode::AtMostOnce) => {
            at_most_once(&fields, report);
            Read::AtMostOnce
        }
        Some(Mode::Taken(mode)) => taken(&fields, mode, origin, report),
        None => taken(&fields, CheckpointMode::default(), origin, report),
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

fn taken(fields: &Fields<'_>, mode: CheckpointMode, origin: &Origin, report: &mut Report) -> Read {
    let dir = fields.path(&DIR, origin, "checkpoints go to a local folder", report);
    let unaligned = match mode {
        CheckpointMode::ExactlyOnce => "checkpoints are aligned; leave it out",
        CheckpointMode::AtLeastOnce => {
            "leave it out: with `mode: at-least-once` no row waits for a barrier anyway"
        }
    };
    let incremental = "each checkpoint holds all state; leave it out";
    for (key, instead) in [(&UNALIGNED, unaligned), (&INCREMENTAL, incremental)] {
        if let Some((true, span)) = fields.boolean(key, report) {
            unavailable(report, &format!("`{}`", key.name), span, instead);
        }
    }
    let usual = Config::default();
    let interval = fields.duration(&INTERVAL, report);
    let timeout = fields.duration(&TIMEOUT, report);
    let min_pause = fields.duration(&MIN_PAUSE, report);
    let concurrent = fields.int(&MAX_CONCURRENT, report);
    let failures = fields.int(&TOLERABLE_FAILURES, report);
    let retained = retained(fields, report);
    let narrow = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    let Some(dir) = dir else { return Read::Wrong };
    Read::Taken(Box::new(Checkpoint {
        dir,
        mode,
        interval,
        min_pause: min_pause.unwrap_or_default(),
        timeout: timeout.unwrap_or(Duration::from_millis(usual.timeout_ms)),
        max_concurrent: narrow(concurrent).unwrap_or(usual.max_concurrent),
        tolerable_failures: failures
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(usual.tolerable_failures),
        retained: narrow(retained).unwrap_or(usual.retained),
    }))
}

/// `retain.completed`.
fn retained(fields: &Fields<'_>, report: &mut Report) -> Option<u64> {
    let retain = fields.within(&RETAIN, report)?;
    if let Some((false, span)) = retain.boolean(&ON_CANCEL, report) {
        let instead = "checkpoints stay when a job is stopped";
        unavailable(report, "`on-cancel: false`", span, instead);
    }
    retain.int(&COMPLETED, report)
}
