//! `checkpoint`.

use std::time::Duration;

use weir_checkpoint::Config;

use super::fields::{Fields, Keys, Words, unavailable};
use crate::{model::Checkpoint, report::Report, source::Origin, yaml::Entry};

const KEYS: Keys = Keys {
    later: &[("aligned-timeout", "checkpoints are aligned; leave it out")],
    elsewhere: &[
        ("completed", "belongs in `retain`"),
        ("on-cancel", "belongs in `retain`"),
    ],
    ..Keys::of(&[
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
    ])
};

const RETAIN: Keys = Keys::of(&["completed", "on-cancel"]);

pub(super) fn read(entry: &Entry, origin: &Origin, report: &mut Report) -> Option<Checkpoint> {
    let name = entry.key_span;
    let fields = Fields::open("`checkpoint`", &entry.node, name, &[&KEYS], report)?;
    fields.required("dir", report);
    let dir = fields.path("dir", origin, "checkpoints go to a local folder", report);
    let modes = Words {
        later: &[(
            "at-least-once",
            "barriers are aligned: `mode: exactly-once`",
        )],
        ..Words::of(&[("exactly-once", ())])
    };
    fields.word("mode", &modes, report);
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
    let usual = Config::default();
    let interval = fields.some_duration("interval", report);
    let timeout = fields.some_duration("timeout", report);
    let min_pause = fields.duration("min-pause", report);
    let concurrent = fields.int("max-concurrent", 1, 100, report);
    let failures = fields.int("tolerable-failures", 0, u32::MAX.into(), report);
    let retained = retained(&fields, report);
    let narrow = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    Some(Checkpoint {
        dir: dir?,
        interval,
        min_pause: min_pause.unwrap_or_default(),
        timeout: timeout.unwrap_or(Duration::from_millis(usual.timeout_ms)),
        max_concurrent: narrow(concurrent).unwrap_or(usual.max_concurrent),
        tolerable_failures: failures
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(usual.tolerable_failures),
        retained: narrow(retained).unwrap_or(usual.retained),
    })
}

/// `retain.completed`.
fn retained(fields: &Fields<'_>, report: &mut Report) -> Option<u64> {
    let entry = fields.entry("retain")?;
    let retain = Fields::open("`retain`", &entry.node, entry.key_span, &[&RETAIN], report)?;
    if let Some((false, span)) = retain.boolean("on-cancel", report) {
        let instead = "checkpoints stay when a job is stopped";
        unavailable(report, "`on-cancel: false`", span, instead);
    }
    retain.int("completed", 1, 10_000, report)
}
