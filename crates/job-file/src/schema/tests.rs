//! Tests that the schema, the reference and what is read are one.

use std::{fs, path::Path};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value as Json, json};

use super::*;
use crate::{Diagnostics, JobFile, read::as_json};

/// What the schema takes.
struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let schema = schema();
        let id = schema["$id"].as_str().unwrap().to_owned();
        compiler.add_resource(&id, schema).unwrap();
        let index = compiler.compile(&id, &mut schemas).unwrap();
        Self { schemas, index }
    }

    /// What is wrong with a document, in words.
    fn check(&self, document: &Json) -> Result<(), String> {
        fits(&self.schemas, self.index, document)
    }
}

/// Whether a document fits a schema; what is wrong with it, in words.
pub(super) fn fits(schemas: &Schemas, index: SchemaIndex, document: &Json) -> Result<(), String> {
    let result = schemas.validate(document, index);
    result.map_err(|error| format!("{error:#}\n{document:#}"))
}

/// JSON is YAML, so a document can be read.
fn load(document: &Json) -> Result<JobFile, Diagnostics> {
    JobFile::load(&document.to_string(), Path::new("jobs/case.yaml"), &[])
}

/// All kinds of mappings.
fn all_keys() -> Vec<&'static Keys> {
    all_below(&KEYS)
}

/// A kind of mapping, and all that stand in it.
pub(super) fn all_below(top: &'static Keys) -> Vec<&'static Keys> {
    let mut all: Vec<&'static Keys> = vec![top];
    let mut at = 0;
    while let Some(keys) = all.get(at).copied() {
        at += 1;
        let below = keys.known.iter().flat_map(|key| key.kind().below());
        let variants = keys.variants.iter().map(|(_, own)| *own);
        for next in below.chain(variants) {
            if !all.iter().any(|known| known.id == next.id) {
                all.push(next);
            }
        }
    }
    all
}

// tidy: long function, one document
/// A job in which each kind of mapping stands once.
fn base() -> Json {
    json!({
        "apiVersion": "weir/v1",
        "job": "case",
        "state": { "backend": "rocksdb" },
        "checkpoint": { "dir": "checkpoints", "retain": {} },
        "restart": { "strategy": "fixed-delay" },
        "sources": {
            "clicks": {
                "connector": "file", "path": "a.csv", "format": "csv", "timestamp": { "column": 0 },
                "watermark": { "monotonic": true, "alignment": { "group": "g", "max-drift": "1s" } },
            },
            "line": { "connector": "socket", "address": "localhost:9999", "reconnect": {} },
            "made": { "connector": "generator" },
        },
        "operators": {
            "cart": {
                "component": "cart.wasm",
                "inputs": [ { "from": "clicks", "key": { "columns": 0 } } ],
                "on-error": { "dead-letter": "refused" },
                "limits": {},
            },
            "hourly": {
                "component": "hourly.wasm",
                "inputs": [ { "from": "clicks", "key": { "columns": 0 } } ],
                "window": {
                    "sliding": { "size": "24h", "slide": "1h" },
                    "trigger": {},
                    "evict": { "count": 3 },
                },
            },
            "daily": {
                "component": "hourly.wasm",
                "inputs": [ { "from": "clicks", "key": { "columns": 0 } } ],
                "window": { "calendar": { "each": "day" } },
            },
            "lookup": {
                "component": "lookup.wasm",
                "inputs": [ "cart" ],
                "async": { "retry": { "strategy": "exponential-delay" } },
                "grants": [ { "http": "https://example.com" } ],
            },
            "joined": {
                "inputs": [
                    { "from": "clicks", "key": { "columns": 0 } },
                    { "from": "clicks", "key": { "bytes": { "length": 4 } } },
                ],
                "join": { "interval": { "before": "1s", "after": "1s" } },
            },
            "paired": {
                "inputs": [ { "from": "clicks", "key": { "columns": 0 } }, "clicks" ],
                "join": { "window": { "tumbling": "1h" } },
            },
            "looked-up": {
                "inputs": [ { "from": "clicks", "key": { "columns": 0 } }, "clicks" ],
                "join": { "temporal": {} },
            },
            "next": {
                "component": "next.wasm",
                "inputs": [ "cart" ],
                "watermark": { "monotonic": true },
                "on-error": { "dead-letter": "refused" },
            },
        },
        "sinks": {
            "out": { "connector": "file", "from": "cart", "path": "out" },
            "shown": { "connector": "stdout", "from": "cart" },
            "table": {
                "connector": "postgres", "from": "cart", "url": "postgres://me@db/shop",
                "table": "t", "upsert": { "keys": [ "k" ] }, "batch": {},
            },
            "refused": { "connector": "stdout" },
        },
    })
}

/// Where in [`base`] a kind of mapping stands.
fn place(id: &str) -> &'static str {
    match id {
        "job" => "",
        "state" => "/state",
        "checkpoint" => "/checkpoint",
        "retain" => "/checkpoint/retain",
        "restart" => "/restart",
        "source" | "file-source" => "/sources/clicks",
        "generator" => "/sources/made",
        "timestamp" => "/sources/clicks/timestamp",
        "watermark" => "/sources/clicks/watermark",
        "operator-watermark" => "/operators/next/watermark",
        "alignment" => "/sources/clicks/watermark/alignment",
        "socket-source" => "/sources/line",
        "reconnect" => "/sources/line/reconnect",
        "operator" => "/operators/cart",
        "window" => "/operators/hourly/window",
        "sliding" => "/operators/hourly/window/sliding",
        "calendar" => "/operators/daily/window/calendar",
        "trigger" => "/operators/hourly/window/trigger",
        "evict" => "/operators/hourly/window/evict",
        "async" => "/operators/lookup/async",
        "retry" => "/operators/lookup/async/retry",
        "grant" => "/operators/lookup/grants/0",
        "join" => "/operators/paired/join",
        "interval" => "/operators/joined/join/interval",
        "join-window" => "/operators/paired/join/window",
        "temporal" => "/operators/looked-up/join/temporal",
        "input" => "/operators/cart/inputs/0",
        "key" => "/operators/cart/inputs/0/key",
        "key-bytes" => "/operators/joined/inputs/1/key/bytes",
        "dead-letters" => "/operators/cart/on-error",
        "limits" => "/operators/cart/limits",
        "sink" | "file-sink" => "/sinks/out",
        "stdout-sink" => "/sinks/shown",
        "postgres-sink" => "/sinks/table",
        "upsert" => "/sinks/table/upsert",
        "batch" => "/sinks/table/batch",
        other => panic!("where does `{other}` stand?"),
    }
}

fn remake_restart(set: &mut impl FnMut(&str, &str, Json), strategy: &str) {
    set("/restart", "strategy", strategy.into());
}

/// What a key of a PostgreSQL sink needs beside it.
fn beside_in_table(set: &mut impl FnMut(&str, &str, Json), key: &str) {
    let at = "/sinks/table";
    match key {
        "host" | "port" | "user" | "database" => {
            for (key, value) in [("host", "db"), ("user", "me"), ("database", "shop")] {
                set(at, key, value.into());
            }
        }
        "guarantee" | "log-size" | "on-existing" | "transaction-timeout" => {
            set(at, "by", "write-ahead-log".into());
        }
        "sslrootcert" => set(at, "sslmode", "verify-full".into()),
        "ignore-commit-errors-after-timeout" | "warn-ratio" => {
            set(at, "by", "write-ahead-log".into());
            set(at, "transaction-timeout", "1h".into());
        }
        _ => {}
    }
}

// tidy: long function, one key after the other
/// [`base`] without a key, and with what it needs beside it or not beside it.
fn without(id: &str, key: &str) -> Json {
    let mut document = base();
    let mut set = |at: &str, key: &str, value: Json| {
        document.pointer_mut(at).unwrap()[key] = value;
    };
    match (id, key) {
        ("timestamp", "json") => set("/sources/clicks", "format", "json".into()),
        ("socket-source", "header" | "delimiter" | "timestamp") => {
            set("/sources/line", "format", "csv".into())
        }
        ("restart", "max-failures-per-interval" | "failure-rate-interval") => {
            remake_restart(&mut set, "failure-rate");
        }
        (
            "restart",
            "initial-backoff"
            | "backoff-multiplier"
            | "max-backoff"
            | "reset-backoff-threshold"
            | "jitter-factor"
            | "attempts-before-reset-backoff",
        ) => remake_restart(&mut set, "exponential-delay"),
        ("socket-source", "watermark") => {
            set("/sources/line", "format", "csv".into());
            set("/sources/line", "timestamp", json!({ "column": 0 }));
        }
        ("retry", "delay") => {
            set(
                "/operators/lookup/async/retry",
                "strategy",
                "fixed-delay".into(),
            );
        }
        ("generator", "exponent") => set("/sources/made", "distribution", "zipf".into()),
        ("file-sink", "ignore-commit-errors-after-timeout" | "warn-ratio") => {
            set("/sinks/out", "transaction-timeout", "1h".into());
        }
        ("postgres-sink", key) => beside_in_table(&mut set, key),
        ("window", "global") => set("/operators/hourly/window/trigger", "count", 5.into()),
        _ => {}
    }
    let mut remove = |at: &str, key: &str| {
        let map = document.pointer_mut(at).unwrap().as_object_mut().unwrap();
        map.remove(key);
    };
    match (id, key) {
        ("timestamp", "json") => remove("/sources/clicks/timestamp", "column"),
        ("watermark", "bounded-out-of-orderness") => {
            remove("/sources/clicks/watermark", "monotonic");
        }
        ("operator-watermark", "bounded-out-of-orderness" | "component") => {
            remove("/operators/next/watermark", "monotonic");
        }
        ("window", "tumbling" | "calendar" | "session" | "global") => {
            remove("/operators/hourly/window", "sliding");
        }
        ("trigger", "guest") => remove("/operators/hourly/window/trigger", "purge"),
        ("evict", "time") => remove("/operators/hourly/window/evict", "count"),
        ("window", "count") => {
            remove("/operators/hourly/window", "sliding");
            remove("/operators/hourly/window", "trigger");
        }
        ("join", "interval" | "temporal") => remove("/operators/paired/join", "window"),
        ("join-window", "sliding" | "session") => {
            remove("/operators/paired/join/window", "tumbling")
        }
        ("operator", "join") => remove("/operators/cart", "component"),
        ("key", "json" | "bytes" | "row") => remove("/operators/cart/inputs/0/key", "columns"),
        ("input", "partitioning" | "broadcast") => remove("/operators/cart/inputs/0", "key"),
        ("sink", "key" | "partitioning" | "broadcast") => {}
        ("postgres-sink", "host" | "port" | "user" | "database") => remove("/sinks/table", "url"),
        ("postgres-sink", "by") => remove("/sinks/table", "upsert"),
        (
            "postgres-sink",
            "guarantee"
            | "log-size"
            | "on-existing"
            | "transaction-timeout"
            | "ignore-commit-errors-after-timeout"
            | "warn-ratio",
        ) => remove("/sinks/table", "batch"),
        ("job", "sources") => {
            remove("", "operators");
            remove("", "sinks");
        }
        ("job", "operators") => remove("", "sinks"),
        ("job", "sinks") => {
            remove("/operators/cart", "on-error");
            remove("/operators/next", "on-error");
        }
        _ => {}
    }
    remove(place(id), key);
    document
}

/// [`base`] with another value of a key.
fn with(id: &str, key: &str, value: Json) -> Json {
    let mut document = without(id, key);
    document.pointer_mut(place(id)).unwrap()[key] = value;
    document
}

/// Every key with the mapping that it belongs to.
fn each_key() -> impl Iterator<Item = (&'static Keys, &'static dyn AnyKey)> {
    let all = all_keys().into_iter();
    all.flat_map(|keys| keys.known.iter().map(move |key| (keys, *key)))
}

/// A job as text, without the places in the file.
fn shown(job: &JobFile) -> String {
    let job = JobFile::clone(job);
    let mut text = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:#?} {:#?} {:#?}",
        job.job,
        job.parallelism,
        job.max_parallelism,
        job.backend,
        job.checkpoint,
        job.restart,
        job.sources,
        job.operators,
        job.sinks
    );
    while let Some(from) = text.find("Span {") {
        let end = from + text[from..].find('}').unwrap();
        text.replace_range(from..=end, "");
    }
    text.retain(|c| !c.is_whitespace());
    text
}

#[test]
fn what_the_tests_begin_with_is_a_job() {
    load(&base()).unwrap();
    Validator::new().check(&base()).unwrap();
}

#[test]
fn every_example_is_read_and_fits_the_schema() {
    let validator = Validator::new();
    for (keys, key) in each_key() {
        let (id, name) = (keys.id, key.name());
        assert!(!key.example().is_empty(), "{id}: {name} has no example");
        let document = with(id, name, written(key.example()));
        load(&document).unwrap_or_else(|errors| panic!("{id}: {name}: {errors}"));
        validator
            .check(&document)
            .unwrap_or_else(|error| panic!("{id}: {name}: {error}"));
    }
}

#[test]
fn every_key_of_the_table_is_read() {
    let validator = Validator::new();
    let wrong = json!([[{ "wrong": 1 }]]);
    for (keys, key) in each_key() {
        let (id, name) = (keys.id, key.name());
        let document = with(id, name, wrong.clone());
        if name == "config" {
            // It is handed on, whatever it is.
            let job = load(&document).unwrap();
            assert_eq!(job.operators[0].config, wrong);
            continue;
        }
        let text = document.to_string();
        let written = format!("\"{name}\":{wrong}");
        let from = text.find(&written).unwrap();
        let errors = load(&document).expect_err(name);
        let labels = errors.iter().flat_map(|error| &error.labels);
        let mut inside = labels
            .filter(|label| label.span.start >= from && label.span.end <= from + written.len());
        assert!(inside.next().is_some(), "{id}: {name}: {errors}");
        assert!(validator.check(&document).is_err(), "{id}: {name}");
    }
}

#[test]
fn nothing_is_read_that_is_not_in_the_table() {
    let validator = Validator::new();
    for keys in all_keys() {
        let document = with(keys.id, "unheard-of", 1.into());
        let errors = load(&document).expect_err(keys.id);
        assert!(errors.to_string().contains("`unheard-of`"), "{errors}");
        assert!(validator.check(&document).is_err(), "{}", keys.id);
    }
}

#[test]
fn what_is_needed_is_asked_for() {
    let validator = Validator::new();
    for (keys, key) in each_key().filter(|(_, key)| key.needed()) {
        let document = without(keys.id, key.name());
        let errors = load(&document).expect_err(key.name());
        let needs = format!("has no `{}`", key.name());
        assert!(errors.to_string().contains(&needs), "{errors}");
        assert!(validator.check(&document).is_err(), "{}", key.name());
    }
}

#[test]
fn what_need_not_be_written_can_be_left_out() {
    let validator = Validator::new();
    // Needed because of what stands beside them.
    let needed = [
        ("checkpoint", "dir"),
        ("key", "columns"),
        ("key", "json"),
        ("key", "bytes"),
        ("key", "row"),
        ("timestamp", "column"),
        ("timestamp", "json"),
        ("file-source", "timestamp"),
        ("watermark", "bounded-out-of-orderness"),
        ("watermark", "monotonic"),
        ("operator-watermark", "bounded-out-of-orderness"),
        ("operator-watermark", "monotonic"),
        ("operator-watermark", "component"),
        ("window", "tumbling"),
        ("window", "sliding"),
        ("window", "calendar"),
        ("window", "session"),
        ("window", "count"),
        ("window", "global"),
        ("evict", "count"),
        ("evict", "time"),
        ("join", "interval"),
        ("join", "window"),
        ("join", "temporal"),
        ("join-window", "tumbling"),
        ("join-window", "sliding"),
        ("join-window", "session"),
        ("operator", "component"),
        ("operator", "join"),
        ("sink", "from"),
        ("postgres-sink", "url"),
        ("postgres-sink", "host"),
        ("postgres-sink", "user"),
        ("postgres-sink", "database"),
    ];
    for (keys, key) in each_key().filter(|(_, key)| !key.needed()) {
        let (id, name) = (keys.id, key.name());
        let document = without(id, name);
        let read = load(&document);
        assert_eq!(read.is_err(), needed.contains(&(id, name)), "{id}: {name}");
        // Whether a sink takes dead letters a schema cannot see.
        let fits = validator.check(&document);
        let fits_too = needed.contains(&(id, name)) && name != "from";
        assert_eq!(fits.is_err(), fits_too, "{id}: {name}");
    }
}

#[test]
fn a_default_is_what_holds_where_nothing_is_written() {
    let validator = Validator::new();
    for (keys, key) in each_key() {
        let (id, name) = (keys.id, key.name());
        let Without::Value(usual) = key.without() else {
            let told = matches!(key.without(), Without::Words(words) if !words.is_empty());
            assert!(told || key.needed(), "{id}: {name} has no default");
            continue;
        };
        let document = with(id, name, written(usual));
        validator.check(&document).unwrap();
        let said = load(&document).unwrap_or_else(|errors| panic!("{id}: {name}: {errors}"));
        let unsaid = load(&without(id, name)).unwrap();
        // The usual ending is chosen by whoever makes the sink; its test is there.
        if name != "extension" {
            assert_eq!(shown(&said), shown(&unsaid), "{id}: {name}");
        }
    }
}

#[test]
fn every_word_of_the_schema_is_known() {
    let validator = Validator::new();
    for (keys, key) in each_key().filter(|(_, key)| key.name() != "connector") {
        let (id, name) = (keys.id, key.name());
        for (word, meaning) in key.kind().choices() {
            assert!(!meaning.is_empty(), "{id}: {name}: {word}");
            let mut document = with(id, name, word.into());
            if word == "at-most-once" {
                document["checkpoint"] = json!({ "mode": word });
            }
            validator.check(&document).unwrap();
            let errors = load(&document).err().map(|errors| errors.to_string());
            let unknown = format!("`{name}` cannot be `{word}`");
            assert!(!errors.unwrap_or_default().contains(&unknown), "{id}");
        }
    }
}

/// Values of all kinds, as they are written.
const VALUES: [&str; 57] = [
    "~",
    "true",
    "false",
    "0",
    "1",
    "7",
    "-1",
    "1.5",
    "1e3",
    "100000",
    "\"\"",
    "a",
    "a.b",
    "A",
    "1s",
    "0ms",
    "1.5 h",
    "64MiB",
    "1kB",
    "0B",
    "/a",
    "/a~1b",
    "/",
    "\";\"",
    "\"\\t\"",
    "csv",
    "json",
    "jsonl",
    "tar.gz",
    "none",
    "clicks",
    "cart",
    "cart.late",
    "refused",
    "localhost:1",
    "\"[fe80::1%eth-0]:80\"",
    "rows/**/*.csv",
    "\"file:///rows.csv\"",
    "unlimited",
    "[]",
    "[1]",
    "[a, 1]",
    "[/a, /b]",
    "{}",
    "[clicks]",
    "[{ from: clicks }]",
    "{ a: { b: [ c ] } }",
    "{ columns: 0 }",
    "{ json: /a }",
    "{ row: true }",
    "{ length: 8 }",
    "{ bytes: { length: 8 } }",
    "{ dead-letter: refused }",
    "{ column: 1 }",
    "{ mode: at-most-once }",
    "{ strategy: none }",
    "{ attempts: 3 }",
];

#[test]
fn the_schema_refuses_nothing_that_is_read() {
    let validator = Validator::new();
    let mut read = 0;
    for (keys, key) in each_key() {
        for value in VALUES {
            let document = with(keys.id, key.name(), written(value));
            if load(&document).is_ok() {
                read += 1;
                let fits = validator.check(&document);
                fits.unwrap_or_else(|error| panic!("{}: {}: {error}", keys.id, key.name()));
            }
        }
    }
    assert!(read > 200, "{read}");
}

#[test]
fn everything_is_told_of() {
    for keys in all_keys() {
        assert!(
            !keys.title.is_empty() && keys.about.ends_with('.'),
            "{}",
            keys.id
        );
        for key in keys.known {
            assert!(key.about().ends_with('.'), "{}: {}", keys.id, key.name());
        }
    }
    let reference = crate::reference();
    for (keys, key) in each_key() {
        let row = format!("\n| `{}` |", key.name());
        assert!(reference.contains(&row), "{}: {}", keys.id, key.name());
    }
    let example = reference.split("```").nth(1).unwrap();
    let example = example.strip_prefix("yaml").unwrap();
    JobFile::load(example, Path::new("jobs/case.yaml"), &[]).unwrap();
    for line in reference.lines().filter(|line| line.starts_with('|')) {
        let cells = line.replace("\\|", "").matches('|').count();
        assert_eq!(cells, 6, "{line}");
    }
}

/// The job files of a folder of golden tests with their arguments, as JSON where they are YAML.
fn golden(folder: &str) -> Vec<(String, Option<Json>)> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/job-file");
    let mut all = Vec::new();
    for entry in fs::read_dir(tests.join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let sets = text.lines().filter_map(|line| line.strip_prefix("#% set "));
        // An argument may take the sense from what the file says, which a schema cannot know.
        let sets = sets.filter(|_| name != "set-at-most-once");
        let sets: Vec<String> = sets.map(str::to_owned).collect();
        all.push((name, as_json(&text, &sets)));
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

#[test]
fn every_valid_job_file_fits_the_schema() {
    let validator = Validator::new();
    let all = golden("valid");
    assert!(all.len() > 5);
    for (name, document) in all {
        let document = document.unwrap();
        validator
            .check(&document)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// What is wrong with these only shows when one part of the file is seen with another, or with the
/// world around it.
const BEYOND: [&str; 27] = [
    "above-the-bounds",
    "at-least-once",
    "at-most-once",
    "bucket",
    "column-by-name-of-a-socket",
    "column-by-name-without-header",
    "cycle",
    "dead-letters-without-sinks",
    "forward-between-unequal",
    "header-that-cannot-be-read",
    "key-of-another-format",
    "memory",
    "memory-and-folders",
    "memory-of-the-heap",
    "name-used-twice",
    "parallelism-above-the-maximum",
    "places-of-checkpoints",
    "postgres-without-checkpoints",
    "reads-itself",
    "set-contradicts-another",
    "set-contradicts-the-file",
    "side-output-of-a-broken-component",
    "unaligned-concurrent",
    "unknown-column",
    "unknown-input",
    "unknown-side-output",
    "usual-parallelism-above-the-maximum",
];

#[test]
fn what_has_the_wrong_form_does_not_fit_the_schema() {
    let validator = Validator::new();
    let mut beyond = Vec::new();
    let mut refused = 0;
    for (name, document) in golden("invalid") {
        let Some(document) = document else { continue };
        match validator.check(&document) {
            Ok(()) => beyond.push(name),
            Err(_) => refused += 1,
        }
    }
    assert_eq!(beyond, BEYOND);
    assert!(refused > 20, "{refused}");
}
