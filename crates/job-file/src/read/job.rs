//! The top of a job file, and what concerns the job as a whole.

use std::{path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use weir_checkpoint::{Config, RestartStrategy};
use weir_model::{MaxParallelism, Name, Parallelism};

use super::{
    fields::{Fields, Keys, base_of, name_of, text_of, unavailable, wrong},
    nearest, operator, sink, source,
};
use crate::{
    code,
    model::{Checkpoint, Input, JobFile, StateBackend},
    report::Report,
    source::{Origin, Span},
    yaml::{Entry, Value},
};

const KEYS: Keys = Keys {
    known: &[
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
    ],
    later: &[],
};

const CHECKPOINT: Keys = Keys {
    known: &[
        "dir",
        "interval",
        "mode",
        "min-pause",
        "timeout",
        "max-concurrent",
        "tolerable-failures",
        "unaligned",
        "incremental",
        "retain",
    ],
    later: &[("aligned-timeout", "checkpoints are aligned; leave it out")],
};

const RETAIN: Keys = Keys {
    known: &["completed", "on-cancel"],
    later: &[],
};
const RESTART: Keys = Keys {
    known: &["strategy", "attempts", "delay"],
    later: &[],
};
const STATE: Keys = Keys {
    known: &["backend"],
    later: &[],
};

/// What everything below needs to know.
pub(super) struct Around<'a> {
    pub(super) origin: &'a Origin,
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
    let fields = Fields::open("the job file", &origin.root, start, &[&KEYS], report)?;
    if fields.required("apiVersion", report).is_some() {
        let words = [("weir/v1", ())];
        if let Some((text, span)) = fields.text("apiVersion", report)
            && text != words[0].0
        {
            let message = format!("`apiVersion` is `{text}`");
            report
                .error(code::API_VERSION, message)
                .at(span, "this program reads `weir/v1`");
        }
    }
    let job = fields.required("job", report).and_then(|entry| {
        let (text, span) = text_of("job", &entry.node, report)?;
        name_of(text, span, report)
    });
    let parallelism = fields
        .parallelism(report)
        .or_else(|| Parallelism::new(1).ok())?;
    let max = fields.int("max-parallelism", 1, 32_768, report);
    let max_parallelism = max.and_then(|max| MaxParallelism::new(u32::try_from(max).ok()?).ok());
    let backend = backend(&fields, report);
    let has_checkpoint = fields.entry("checkpoint").is_some();
    let checkpoint = fields
        .entry("checkpoint")
        .and_then(|e| checkpoint(e, origin, report));
    let restart = restart(&fields, has_checkpoint, report);
    let around = Around {
        origin,
        parallelism,
        checkpoints: has_checkpoint,
    };

    let sources = section(&fields, "sources", true, report, |name, entry, report| {
        source::read(name, entry, &around, report)
    });
    let operators = section(
        &fields,
        "operators",
        false,
        report,
        |name, entry, report| operator::read(name, entry, &around, report),
    );
    let sinks = section(&fields, "sinks", false, report, |name, entry, report| {
        sink::read(name, entry, &around, report)
    });
    check_names(&fields, report);
    let job = JobFile {
        job: job?,
        parallelism,
        max_parallelism,
        backend,
        checkpoint,
        restart,
        sources,
        operators,
        sinks,
        origin: Arc::clone(origin),
    };
    check_inputs(&job, report);
    Some(job)
}

/// The nodes of one section, by name. Nodes with errors are left out; the errors are reported.
fn section<T>(
    fields: &Fields<'_>,
    key: &str,
    required: bool,
    report: &mut Report,
    mut read: impl FnMut(&Name, &Entry, &mut Report) -> Option<T>,
) -> IndexMap<Name, T> {
    let mut all = IndexMap::new();
    let entry = match required {
        true => fields.required(key, report),
        false => fields.entry(key),
    };
    let Some(entry) = entry else { return all };
    let Value::Map(entries) = &entry.node.value else {
        let _: Option<()> = wrong(key, "a mapping of names", &entry.node, report);
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

/// All nodes share one namespace (D3).
fn check_names(fields: &Fields<'_>, report: &mut Report) {
    let mut seen: Vec<&Entry> = Vec::new();
    for section in ["sources", "operators", "sinks"] {
        let Some(Value::Map(entries)) = fields.entry(section).map(|entry| &entry.node.value) else {
            continue;
        };
        for entry in entries {
            if let Some(first) = seen.iter().find(|first| first.key == entry.key) {
                report
                    .error(
                        code::NAME,
                        format!("the name `{}` is used twice", entry.key),
                    )
                    .at(entry.key_span, "again here")
                    .at(first.key_span, "first here")
                    .help("sources, operators and sinks share one namespace");
            } else {
                seen.push(entry);
            }
        }
    }
}

/// Every input reads a source or an operator that there is. What is there with errors of its own
/// counts as there.
fn check_inputs(job: &JobFile, report: &mut Report) {
    let written = |section: &str| -> Vec<&str> {
        let entries = job
            .origin
            .root
            .entry(section)
            .map(|entry| &entry.node.value);
        let Some(Value::Map(entries)) = entries else {
            return Vec::new();
        };
        entries.iter().map(|entry| entry.key.as_str()).collect()
    };
    let (sources, operators, sinks) = (written("sources"), written("operators"), written("sinks"));
    let mut check = |input: &Input| {
        let from = input.from.as_str();
        if operators.contains(&from) || sources.contains(&from) && input.side_output.is_none() {
            return;
        }
        if sources.contains(&from) {
            let message = format!("source `{from}` has no side outputs");
            report
                .error(code::UNKNOWN_INPUT, message)
                .at(input.span, "");
            return;
        }
        let message = format!("there is no source and no operator `{from}`");
        let error = report.error(code::UNKNOWN_INPUT, message);
        if sinks.contains(&from) {
            error.at(input.span, "this is a sink, which nothing can be read from");
            return;
        }
        match nearest(from, sources.iter().chain(&operators).copied()) {
            Some(near) => error.at(input.span, format!("did you mean `{near}`?")),
            None => error.at(input.span, "unknown"),
        };
    };
    job.operators
        .values()
        .flat_map(|operator| &operator.inputs)
        .for_each(&mut check);
    job.sinks
        .values()
        .map(|sink| &sink.input)
        .for_each(&mut check);
}

fn backend(fields: &Fields<'_>, report: &mut Report) -> StateBackend {
    let Some(entry) = fields.entry("state") else {
        return StateBackend::default();
    };
    let Some(state) = Fields::open("`state`", &entry.node, entry.key_span, &[&STATE], report)
    else {
        return StateBackend::default();
    };
    // The names that Flink has had for it (D30).
    let heap = [
        "heap",
        "memory",
        "jobmanager",
        "fs",
        "filesystem",
        "hashmap",
    ];
    let words = heap.map(|word| (word, StateBackend::Heap));
    let later = [("rocksdb", "state is kept in memory: `backend: heap`")];
    state
        .word("backend", &words, &later, report)
        .unwrap_or_default()
}

fn checkpoint(entry: &Entry, origin: &Origin, report: &mut Report) -> Option<Checkpoint> {
    let name = entry.key_span;
    let fields = Fields::open("`checkpoint`", &entry.node, name, &[&CHECKPOINT], report)?;
    let dir = fields
        .required("dir", report)
        .and_then(|_| dir(&fields, origin, report));
    let later = [(
        "at-least-once",
        "barriers are aligned: `mode: exactly-once`",
    )];
    fields.word("mode", &[("exactly-once", ())], &later, report);
    for (key, instead) in [
        ("unaligned", "checkpoints are aligned; leave it out"),
        (
            "incremental",
            "each checkpoint holds all state; leave it out",
        ),
    ] {
        if let Some((true, span)) = fields.boolean(key, report) {
            unavailable(report, &format!("`{key}`"), span, instead);
        }
    }
    let interval = fields.duration("interval", report);
    if interval == Some(Duration::ZERO)
        && let Some(entry) = fields.entry("interval")
    {
        let message = "`interval` cannot be 0";
        report
            .error(code::BAD_VALUE, message)
            .at(entry.node.span, "must be above 0");
    }
    let mut retained = None;
    if let Some(entry) = fields.entry("retain")
        && let Some(retain) =
            Fields::open("`retain`", &entry.node, entry.key_span, &[&RETAIN], report)
    {
        retained = retain.int("completed", 1, 10_000, report);
        if let Some((false, span)) = retain.boolean("on-cancel", report) {
            let instead = "checkpoints stay when a job is stopped";
            unavailable(report, "`on-cancel: false`", span, instead);
        }
    }
    let usual = Config::default();
    let timeout = fields.duration("timeout", report);
    Some(Checkpoint {
        dir: dir?,
        interval,
        min_pause: fields.duration("min-pause", report).unwrap_or_default(),
        timeout: timeout.unwrap_or(Duration::from_millis(usual.timeout_ms)),
        max_concurrent: fields
            .int("max-concurrent", 1, 100, report)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(usual.max_concurrent),
        tolerable_failures: fields
            .int("tolerable-failures", 0, u32::MAX.into(), report)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(usual.tolerable_failures),
        retained: retained
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(usual.retained),
    })
}

/// A path, or a URL of a local one.
fn dir(fields: &Fields<'_>, origin: &Origin, report: &mut Report) -> Option<PathBuf> {
    let (text, span) = fields.text("dir", report)?;
    let Some((scheme, rest)) = text.split_once(':') else {
        return fields.path("dir", origin, report);
    };
    match scheme {
        "file" if rest.starts_with("///") => {
            Some(base_of(span, origin).join(rest.trim_start_matches("//")))
        }
        "hdfs" => {
            unavailable(
                report,
                "`hdfs:`",
                span,
                "Hadoop's file system is not a place for \
                checkpoints of this program; use a local folder",
            );
            None
        }
        "s3" | "s3a" | "gs" | "az" | "memory" | "http" | "https" => {
            let instead = "checkpoints go to a local folder";
            unavailable(report, &format!("`{scheme}:`"), span, instead);
            None
        }
        _ => fields.path("dir", origin, report),
    }
}

fn restart(fields: &Fields<'_>, checkpoints: bool, report: &mut Report) -> RestartStrategy {
    let usual = if checkpoints {
        RestartStrategy::default()
    } else {
        RestartStrategy::None
    };
    let Some(entry) = fields.entry("restart") else {
        return usual;
    };
    let Some(fields) = Fields::open(
        "`restart`",
        &entry.node,
        entry.key_span,
        &[&RESTART],
        report,
    ) else {
        return usual;
    };
    if fields.required("strategy", report).is_none() {
        return usual;
    }
    // Flink's names for `none` are taken, too.
    let words = [
        ("none", false),
        ("disable", false),
        ("off", false),
        ("fixed-delay", true),
    ];
    let later = [
        ("exponential-delay", "use `strategy: fixed-delay`"),
        ("failure-rate", "use `strategy: fixed-delay`"),
    ];
    let Some(fixed) = fields.word("strategy", &words, &later, report) else {
        return usual;
    };
    if !fixed {
        for key in ["attempts", "delay"] {
            if let Some(entry) = fields.entry(key) {
                let message = format!("`{key}` does nothing with `strategy: none`");
                report
                    .error(code::CONTRADICTION, message)
                    .at(entry.key_span, "leave it out");
            }
        }
        return RestartStrategy::None;
    }
    let RestartStrategy::FixedDelay {
        attempts: usual_attempts,
        delay_ms: usual_delay,
    } = RestartStrategy::FIXED_DELAY
    else {
        return usual;
    };
    let unlimited = fields
        .entry("attempts")
        .is_some_and(|entry| matches!(&entry.node.value, Value::Text(text) if text == "unlimited"));
    let attempts = match unlimited {
        true => None,
        false => fields
            .int("attempts", 0, u32::MAX.into(), report)
            .and_then(|n| u32::try_from(n).ok())
            .or(usual_attempts),
    };
    let delay = fields.duration("delay", report).map(crate::model::millis);
    RestartStrategy::FixedDelay {
        attempts,
        delay_ms: delay.unwrap_or(usual_delay),
    }
}
