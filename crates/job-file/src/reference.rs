//! The references of the job file and the host file, made of the table that files are read by.

use std::fmt::Write as _;

use crate::read::{
    KEYS, host,
    keys::{AnyKey, Keys, Without},
    test_file,
};

const BEGIN: &str = "\
# The job file

A job file is YAML. Every key that there is stands below; any other is refused, and so is a value of
another type. `weir schema` prints the same as a JSON Schema, by which editors complete and check.
(This page is made by the program, of the table that it reads files by.)

```yaml
apiVersion: weir/v1
job: cart-events
checkpoint: { dir: ./checkpoints, interval: 1s }
sources:
  clicks: { connector: file, path: data/clicks.csv, format: csv, header: true }
operators:
  cart:
    component: cart.wasm
    inputs: [ { from: clicks, key: { columns: [user] } } ]
    on-error: { dead-letter: refused }
sinks:
  out: { connector: file, from: cart, path: out }
  refused: { connector: file, path: refused }
```

Names have at most 63 small letters, digits and hyphens and begin with a letter. Durations are
written `200ms`, `1.5s`, `10m`, `2h` or `1d`, sizes `512B`, `64KiB`, `64MiB` or `1.5GiB` (or with
`kB`, `MB` and `GB` for powers of ten). A relative path starts at the folder of the file, one that
was given with `--set` at the working directory.

";

const HOST_BEGIN: &str = "\
# The host file

What holds for all jobs of a host, and what none may have: `weir.yaml`, which is looked for as
[The host file](../operate/host.md) says. It is YAML, read as [the job file](job-file.md) is, with the same
durations, sizes and paths; a relative path starts at its folder. `weir schema --host` prints the
same as a JSON Schema. (This page is made by the program, of the table that it reads files by.)

```yaml
apiVersion: weir/v1
state: { backend: heap }
checkpoint: { dir: /var/lib/weir/checkpoints, interval: 10s }
restart: { strategy: fixed-delay, attempts: 3, delay: 1s }
storage: { s3: { endpoint: https://s3.example.com, region: eu-central-1 } }
limits: { memory: 64MiB }
bounds: { memory: 1GiB, time-per-call: 10s }
```

";

const TEST_BEGIN: &str = "\
# The test file

What `weir test` reads, as [Testing](../operators/testing.md) tells: an operator, and cases of what is done with
it. It is YAML, read as [the job file](job-file.md) is; the keys of an operator, of `state` and of `timestamp` are
those there. `weir schema --test` prints the same as a JSON Schema.
(This page is made by the program, of the table that it reads files by.)

```yaml
apiVersion: weir/v1
operator:
  component: counts.wasm
  inputs: [ { from: clicks, key: { columns: [0] } } ]
sources:
  clicks: { format: csv }
cases:
  - name: counts rows by key
    steps:
      - rows: [\"ann,1\", \"bob,1\", \"ann,2\"]
      - expect: [{ key: ann, count: 1 }, { key: bob, count: 1 }, { key: ann, count: 2 }]
      - crash
      - state: { count: { ann: 2, bob: 1 } }
```

";

/// The reference of the test file, as [`reference`].
#[must_use]
pub fn test_reference() -> String {
    of_but(
        &test_file::KEYS,
        TEST_BEGIN,
        vec!["operator", "state", "timestamp"],
    )
}

/// The reference of all keys, as Markdown: type, default, meaning and an example of each.
#[must_use]
pub fn reference() -> String {
    of(&KEYS, BEGIN)
}

/// The reference of the host file, as [`reference`].
#[must_use]
pub fn host_reference() -> String {
    of(&host::KEYS, HOST_BEGIN)
}

fn of(keys: &'static Keys, begin: &str) -> String {
    of_but(keys, begin, Vec::new())
}

/// Without those mappings that are told of elsewhere.
fn of_but(keys: &'static Keys, begin: &str, mut told: Vec<&'static str>) -> String {
    let mut text = begin.to_owned();
    tell(keys, &mut told, &mut text);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// A section of each mapping, and behind it those that stand in it.
fn tell(keys: &'static Keys, told: &mut Vec<&'static str>, text: &mut String) {
    if told.contains(&keys.id) {
        return;
    }
    told.push(keys.id);
    // Writing to a text does not fail.
    let _ = writeln!(text, "## {}\n\n{}\n", keys.title, keys.about);
    let _ = writeln!(text, "| key | type | default | meaning | example |");
    let _ = writeln!(text, "| --- | --- | --- | --- | --- |");
    for key in keys.known {
        let _ = writeln!(text, "{}", row(*key));
    }
    text.push('\n');
    for (_, own) in keys.variants {
        tell(own, told, text);
    }
    for key in keys.known {
        for below in key.kind().below() {
            tell(below, told, text);
        }
    }
}

fn row(key: &dyn AnyKey) -> String {
    let without = match (key.needed(), key.without()) {
        (true, _) => "needed".to_owned(),
        (false, Without::Value(value)) => format!("`{value}`"),
        (false, Without::Words(words)) => words.to_owned(),
        (false, Without::Untold) => String::new(),
    };
    let mut about = key.about().to_owned();
    let choices = key.kind().choices();
    let choices = choices
        .iter()
        .filter(|(word, _)| *word != "none" || choices.len() > 1);
    for (word, meaning) in choices {
        let _ = write!(about, " `{word}`: {meaning}.");
    }
    let (name, kind, example) = (key.name(), key.kind().words(), key.example());
    let cells = [
        format!("`{name}`"),
        kind,
        without,
        about,
        format!("`{example}`"),
    ];
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |", cells.join(" | "))
}
