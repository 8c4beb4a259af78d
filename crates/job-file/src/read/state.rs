//! `state`: where keyed state is kept while the job runs.

use super::{
    fields::Fields,
    keys::{Key, Keys},
    kinds::{Place, Size, Within, Words},
};
use crate::{
    code,
    model::{RocksDb, StateBackend},
    report::Report,
    source::{Origin, Span},
    wording::quote,
    yaml::{Entry, Value},
};

pub(super) const STATE: Key<Within> = Key::of("state", Within(&KEYS))
    .about("Where state is kept while the job runs.")
    .without("the defaults of its keys")
    .example("{ backend: heap }");

const KEYS: Keys = Keys::of("state", &[&BACKEND, &MEMORY, &LOCAL_DIR])
    .about("`state`", "Where state is kept while the job runs.");

const BACKEND: Key<Words<Backend>> = Key::of("backend", BACKENDS)
    .about(
        "What keeps keyed state. Flink's names are taken, too: `hashmap`, `fs` and `filesystem` \
         for `heap`; `memory` and `jobmanager` for `heap` with `checkpoint.dir: memory:`.",
    )
    .usual("heap")
    .example("heap");

const BACKENDS: Words<Backend> = Words {
    // The names that Flink has had for it (D30).
    aliases: &[
        ("hashmap", Backend::Heap),
        ("fs", Backend::Heap),
        ("filesystem", Backend::Heap),
        ("memory", Backend::Heap),
        ("jobmanager", Backend::Heap),
    ],
    ..Words::of(&[
        ("heap", Backend::Heap, "in memory"),
        (
            "rocksdb",
            Backend::RocksDb,
            "in databases on the local disk, for state that is larger than memory",
        ),
    ])
};

/// What `state.backend` says.
#[derive(Clone, Copy)]
enum Backend {
    Heap,
    RocksDb,
}

const MEMORY: Key<Size> = Key::of("memory", Size)
    .about(
        "With `backend: rocksdb`: the memory of all databases of the job together, for what was \
         written last and what is read often. At least 8MiB.",
    )
    .usual("256MiB")
    .example("1GiB");

const LOCAL_DIR: Key<Place> = Key::of("local-dir", Place)
    .about(
        "With `backend: rocksdb`: the local folder for the databases. It is scratch: each process \
         has a folder of its own in it, removed at the end.",
    )
    .without("the system's folder for temporary files")
    .example("/var/tmp");

/// The least of `state.memory`: below, every few writes would be a file.
const LEAST_MEMORY: u64 = 8 << 20;

/// What `state.backend` says, and where: some names say where checkpoints are kept.
pub(super) fn backend<'a>(fields: &Fields<'a>) -> Option<(&'a str, Span)> {
    let entry = fields.entry(&STATE)?.node.entry(BACKEND.name)?;
    match &entry.node.value {
        Value::Text(text) => Some((text, entry.node.span)),
        _ => None,
    }
}

/// Reads `state`.
pub(super) fn read(fields: &Fields<'_>, origin: &Origin, report: &mut Report) -> StateBackend {
    let usual = StateBackend::default();
    let Some(state) = fields.within(&STATE, report) else {
        return usual;
    };
    let rocksdb = RocksDb {
        memory: memory(&state, report),
        local_dir: state.path(
            &LOCAL_DIR,
            origin,
            "databases are on the local disk",
            report,
        ),
    };
    if let Some(entry) = state.entry(&BACKEND)
        && let Value::Text(text) = &entry.node.value
        && text.contains('.')
    {
        let message = format!("the factory class {} cannot be loaded", quote(text));
        report
            .error(code::BAD_VALUE, message)
            .at(entry.node.span, "this is no JVM")
            .help("state is kept in memory (`backend: heap`) or on the local disk (`rocksdb`)");
        return usual;
    }
    match state.word(&BACKEND, report) {
        Some(Backend::RocksDb) => return StateBackend::RocksDb(rocksdb),
        Some(Backend::Heap) | None => {}
    }
    idle(&state, report);
    usual
}

fn memory(state: &Fields<'_>, report: &mut Report) -> u64 {
    let memory = state.size(&MEMORY, report);
    if let (Some(bytes), Some(entry)) = (memory, state.entry(&MEMORY))
        && bytes < LEAST_MEMORY
    {
        report
            .error(code::BAD_VALUE, "`memory` is too little for databases")
            .at(entry.node.span, "must be 8MiB or more");
    }
    memory.unwrap_or(RocksDb::MEMORY)
}

/// Reports what does nothing without databases. A backend from the command line overrides what
/// belongs to that of the file, and one of the file what belongs to that of the host.
fn idle(state: &Fields<'_>, report: &mut Report) {
    let said = state.entry(&BACKEND).map(|said| said.node.span.document);
    for entry in [state.entry(&MEMORY), state.entry(&LOCAL_DIR)] {
        let beside = |entry: &&Entry| Some(entry.key_span.document) >= said;
        if let Some(entry) = entry.filter(beside) {
            let message = format!("`{}` does nothing with `backend: heap`", entry.key);
            report
                .error(code::CONTRADICTION, message)
                .at(entry.key_span, "leave it out, or say `backend: rocksdb`");
        }
    }
}
