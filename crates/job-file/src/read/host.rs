//! The host file: its keys, most of which are those of the job file.

use std::{path::Path, sync::Arc};

use super::{
    checkpoint,
    fields::Fields,
    flink, folder_of, job,
    keys::{AnyKey, Key, Keys},
    kinds::Within,
    operator::{self, LIMITS_KEYS, MEMORY, OUTPUT, TIME_PER_CALL},
    readable, restart, state,
    storage::{self, STORAGE},
};
use crate::{
    Bounds, Diagnostics, HostFile, Limits, code,
    report::Report,
    source::{Document, HOST, Origin, Span},
    wording::quote,
    yaml::{self, Node, Value},
};

/// The whole file.
pub(crate) const KEYS: Keys = Keys {
    elsewhere: &[
        ("backend", "belongs in `state`"),
        ("dir", "belongs in `checkpoint`"),
        ("interval", "belongs in `checkpoint`"),
        ("mode", "belongs in `checkpoint`"),
        ("memory", "belongs in `limits` or `bounds`"),
        ("time-per-call", "belongs in `limits` or `bounds`"),
        ("s3", "belongs in `storage`"),
        ("job", "belongs in the job file"),
        ("sources", "belongs in the job file"),
        ("operators", "belongs in the job file"),
        ("sinks", "belongs in the job file"),
    ],
    ..Keys::of(
        "host",
        &[
            &job::API_VERSION,
            &job::PARALLELISM,
            &job::MAX_PARALLELISM,
            &state::STATE,
            &CHECKPOINT,
            &job::RESTART,
            &STORAGE,
            &LIMITS,
            &BOUNDS,
        ],
    )
    .about(
        "The host",
        "What holds for all jobs of a host that say nothing else, and what no job may have.",
    )
};

const CHECKPOINT: Key<Within> = Key::of("checkpoint", Within(&checkpoint::HOST_KEYS))
    .about(
        "When checkpoints are taken and where they are kept. With a `dir` here, jobs that have no \
         `checkpoint` take them too; one that wants none says `mode: at-most-once`.",
    )
    .without("what the job files say")
    .example("{ dir: /var/lib/weir/checkpoints, interval: 10s }");

const LIMITS: Key<Within> = Key::of("limits", Within(&LIMITS_KEYS))
    .about("What an instance of a component may use whose operator does not say it.")
    .without("the limits that are built in")
    .example("{ memory: 64MiB }");

const BOUNDS: Key<Within> = Key::of("bounds", Within(&BOUNDS_KEYS))
    .about("The most that an operator may be given. A job that asks for more is refused.")
    .without("no bounds")
    .example("{ memory: 1GiB, time-per-call: 10s }");

const BOUNDS_KEYS: Keys = Keys::of("bounds", LIMITS_KEYS.known).about(
    "`bounds`",
    "The most that `limits` of an operator may be. An operator that does not say its limits has what \
     is usual, or this where it is less.",
);

impl HostFile {
    /// Reads the text of a host file. Relative paths start at its folder. Nothing but `text` is
    /// read.
    ///
    /// # Errors
    /// All that is wrong, as far as it can be told apart.
    pub fn load(text: &str, path: &Path) -> Result<Self, Diagnostics> {
        let name = path.display().to_string();
        let text = readable("host file", &name, text)?;
        let document = Arc::new(Document::new(name, text.to_owned()));
        let mut report = Report::new(vec![Arc::clone(&document)]);
        let mut host = Self {
            document,
            folder: folder_of(path),
            ..Self::default()
        };
        if let Some(mut root) = yaml::parse(text, HOST, 0, &mut report) {
            host.notes = flink::translate(&mut root, &mut report);
            read(&mut host, &root, &mut report);
        }
        report.finish()?;
        Ok(host)
    }

    /// Reports what an operator asks for and no job may have.
    pub(super) fn check_bounds(&self, own: &Fields<'_>, limits: &Limits, report: &mut Report) {
        let Bounds {
            memory,
            time_per_call,
            output,
        } = &self.bounds;
        let above = [
            (MEMORY.name, is_above(limits.memory, *memory)),
            (
                TIME_PER_CALL.name,
                is_above(limits.time_per_call, *time_per_call),
            ),
            (OUTPUT.name, is_above(limits.output, *output)),
        ];
        let keys: [&dyn AnyKey; 3] = [&MEMORY, &TIME_PER_CALL, &OUTPUT];
        for ((name, _), key) in above.iter().zip(keys).filter(|((_, above), _)| *above) {
            let Some(((bound, most), entry)) = self.bound(name).zip(own.entry(key)) else {
                continue;
            };
            let message = format!("`{name}` is more than this host allows");
            report
                .error(code::BOUND, message)
                .at(entry.node.span, format!("at most {most}"))
                .at(bound, "bounded by");
        }
    }
}

fn is_above<T: PartialOrd>(asked: Option<T>, most: Option<T>) -> bool {
    asked.zip(most).is_some_and(|(asked, most)| asked > most)
}

fn read(host: &mut HostFile, root: &Node, report: &mut Report) {
    let start = Span {
        document: HOST,
        start: 0,
        end: 0,
    };
    if matches!(root.value, Value::Null) {
        let message = format!("the host file {} is empty", quote(&host.document.name));
        let help = "a host file begins with `apiVersion: weir/v1`";
        report.error(code::MISSING_KEY, message).help(help);
        return;
    }
    let Some(fields) = Fields::of("the host file", root, start, report) else {
        return;
    };
    if job::version(&fields, report).is_none() {
        return;
    }
    fields.check_keys(&KEYS, None, report);
    fields.parallelism(&job::PARALLELISM, report);
    fields.int(&job::MAX_PARALLELISM, report);
    // Only paths need to know where the file lies.
    let origin = Origin {
        documents: Vec::new(),
        folder: host.folder.clone(),
        host_folder: host.folder.clone(),
        root: root.clone(),
    };
    state::read(&fields, &origin, report);
    if let Some(entry) = fields.entry(&CHECKPOINT) {
        checkpoint::check_defaults(entry, &origin, report);
    }
    if let Some(entry) = fields.entry(&job::RESTART) {
        restart::read(entry, report);
    }
    let bounds = limits_in(&fields, &BOUNDS, host, report);
    host.bounds = Bounds {
        memory: bounds.memory,
        time_per_call: bounds.time_per_call,
        output: bounds.output,
    };
    host.limits = limits_in(&fields, &LIMITS, host, report);
    if let Some(own) = fields.within(&LIMITS, &mut Report::new(Vec::new())) {
        host.check_bounds(&own, &host.limits, report);
    }
    host.s3 = storage::read(&fields, report);
    host.storage = fields.entry(&STORAGE).map(|entry| entry.node.clone());
    let own = [
        job::API_VERSION.name,
        STORAGE.name,
        LIMITS.name,
        BOUNDS.name,
    ];
    if let Value::Map(entries) = &root.value {
        let defaults = entries
            .iter()
            .filter(|entry| !own.contains(&entry.key.as_str()));
        host.defaults = defaults.cloned().collect();
    }
}

/// The limits under a key, whose places are noted.
fn limits_in(
    fields: &Fields<'_>,
    key: &Key<Within>,
    host: &mut HostFile,
    report: &mut Report,
) -> Limits {
    let Some(own) = fields.within(key, report) else {
        return Limits::default();
    };
    let keys: [&dyn AnyKey; 3] = [&MEMORY, &TIME_PER_CALL, &OUTPUT];
    for limit in keys {
        if let Some(entry) = own.entry(limit) {
            let place = format!("{}.{}", key.name, limit.name());
            host.places.push((place, entry.node.span));
        }
    }
    operator::read_limits(&own, report)
}
