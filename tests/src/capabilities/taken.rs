//! A savepoint or checkpoint of a job that was killed, on each backend, and the jobs that begin
//! there.
//!
//! Each row of the job has a key; it is counted by key, and each such count is counted again, so
//! that what comes out is `key=n=1` for each n up to the number of its rows: a row that is lost
//! leaves a gap, and one that counts twice is told by more than a 1.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{AS_PROGRAM, case, step::committed};

/// The job.
const JOB: &str = r#"apiVersion: weir/v1
job: caps
parallelism: 2
max-parallelism: 16
checkpoint: { dir: checkpoints, interval: 20ms, retain: { completed: 10 } }
restart: { strategy: none }
sources:
  rows: { connector: file, path: "rows-*.csv", format: csv, rate: 3000 }
operators:
  count:
    component: "@guests@/keyed-count.wasm"
    inputs: [ { from: rows, key: { columns: [0] } } ]
  again:
    component: "@guests@/misbehaving.wasm"
    inputs: [ { from: count, key: { row: true } } ]
  last:
    component: "@guests@/passthrough.wasm"
    inputs: [ { from: again } ]
sinks:
  out: { connector: file, from: last, path: out }
"#;

const FILES: usize = 4;
const ROWS_A_FILE: usize = 500;
const KEYS: usize = 25;

/// How many rows must have come before a savepoint is taken.
const SOME_ROWS: u64 = 300;

/// How often it is tried to have rows in flight.
const TRIES: usize = 10;

/// What a column is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Canonical,
    Native,
    Full,
    Incremental,
    Unaligned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    Heap,
    RocksDb,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Canonical,
        Self::Native,
        Self::Full,
        Self::Incremental,
        Self::Unaligned,
    ];

    /// What the head of its column says.
    pub(crate) fn head(self) -> &'static str {
        match self {
            Self::Canonical => "canonical savepoint",
            Self::Native => "native savepoint",
            Self::Full => "checkpoint",
            Self::Incremental => "incremental checkpoint",
            Self::Unaligned => "unaligned checkpoint",
        }
    }

    /// The format that is asked for, of a savepoint.
    fn savepoint(self) -> Option<&'static str> {
        match self {
            Self::Canonical => Some("canonical"),
            Self::Native => Some("native"),
            Self::Full | Self::Incremental | Self::Unaligned => None,
        }
    }

    /// What is set in the job.
    fn set(self) -> &'static [&'static str] {
        match self {
            // None but those that are asked for.
            Self::Canonical | Self::Native => &["checkpoint.interval=1h"],
            Self::Full => &[],
            Self::Incremental => &["checkpoint.incremental=true"],
            // Rows pile up before whoever takes its time.
            Self::Unaligned => &[
                "checkpoint.unaligned=true",
                "checkpoint.aligned-timeout=0s",
                "operators.again.config={do: dawdle}",
            ],
        }
    }
}

impl Backend {
    pub(super) fn set(self) -> &'static str {
        match self {
            Self::Heap => "state.backend=heap",
            Self::RocksDb => "state.backend=rocksdb",
        }
    }
}

/// What a call of the program came to.
pub(super) struct Call {
    pub(super) exit: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// What a column is about, taken of a job that was killed then.
pub(super) struct Taken {
    place: TempDir,
    backend: Backend,
    /// From the place of the job.
    pub(super) path: PathBuf,
    pub(super) id: u64,
    /// What the job had shown when it was taken.
    pub(super) shown: Vec<String>,
}

/// A column, and what it is about on each backend once somebody asks.
pub(super) struct Column {
    pub(super) kind: Kind,
    /// How the job went on by itself: the folder, and what it said.
    went_on: OnceLock<Result<(String, String), String>>,
    heap: OnceLock<Result<Taken, String>>,
    rocksdb: OnceLock<Result<Taken, String>>,
}

impl Column {
    pub(super) fn new(kind: Kind) -> Result<Self> {
        Ok(Self {
            kind,
            went_on: OnceLock::new(),
            heap: OnceLock::new(),
            rocksdb: OnceLock::new(),
        })
    }

    /// How the job goes on by itself, once for all who ask.
    pub(super) fn goes_on(
        &self,
        goes_on: impl FnOnce() -> Result<(String, String)>,
    ) -> Result<(&str, &str)> {
        let went_on = self
            .went_on
            .get_or_init(|| goes_on().map_err(|e| format!("{e:#}")));
        match went_on {
            Ok((folder, said)) => Ok((folder, said)),
            Err(why) => bail!("{why}"),
        }
    }

    pub(super) fn on(&self, backend: Backend) -> Result<&Taken> {
        let cell = match backend {
            Backend::Heap => &self.heap,
            Backend::RocksDb => &self.rocksdb,
        };
        let taken =
            cell.get_or_init(|| take_some(self.kind, backend).map_err(|e| format!("{e:#}")));
        taken
            .as_ref()
            .map_err(|e| anyhow!("taking it on {backend:?}: {e}"))
    }
}

fn take_some(kind: Kind, backend: Backend) -> Result<Taken> {
    for _ in 0..TRIES {
        let taken = take(kind, backend, &[])?;
        if kind != Kind::Unaligned || taken.in_flight_to("again")? > 0 {
            return Ok(taken);
        }
    }
    bail!("nothing was ever in flight")
}

/// Runs the job, takes one, and kills the job.
pub(super) fn take(kind: Kind, backend: Backend, set: &[&str]) -> Result<Taken> {
    let place = place()?;
    let mut arguments = vec!["run", "job.yaml"];
    for set in kind.set().iter().chain(&[backend.set()]).chain(set) {
        arguments.extend(["--set", set]);
    }
    let job = weir(place.path(), &arguments)
        .stderr(Stdio::piped())
        .spawn()?;
    let mut job = Killed(job);
    let stderr = job.0.stderr.take().context("no stderr")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut until = |what: &str| -> Result<()> {
        let mut all = Vec::new();
        for line in &mut lines {
            let line = line?;
            if line.contains(what) {
                return Ok(());
            }
            all.push(line);
        }
        bail!("`{what}` was never printed:\n{}", all.join("\n"))
    };
    until("running after")?;
    let path = match kind.savepoint() {
        Some(format) => {
            while rows_in(place.path())? < SOME_ROWS {}
            let call = call(
                place.path(),
                &["savepoint", "caps", "--to", "saved", "--format", format],
            )?;
            ensure!(call.exit == Some(0), "{}", call.stderr);
            PathBuf::from(call.stdout.trim())
        }
        None => {
            for _ in 0..3 {
                until(": checkpoint ")?;
            }
            PathBuf::new()
        }
    };
    drop(job);
    let path = match kind.savepoint() {
        Some(_) => {
            let place = place.path().canonicalize()?;
            path.strip_prefix(place)?.to_owned()
        }
        None => latest(place.path())?,
    };
    let mut taken = Taken {
        place,
        backend,
        path,
        id: 0,
        shown: Vec::new(),
    };
    let about = taken.inspect()?;
    taken.id = about["id"].as_u64().context("it has no number")?;
    taken.shown = taken.shown_then(&about)?;
    Ok(taken)
}

/// A place with the job and its rows.
fn place() -> Result<TempDir> {
    let place = tempfile::tempdir()?;
    fs::write(place.path().join("job.yaml"), case::filled(JOB))?;
    for file in 0..FILES {
        let row = |n: usize| format!("k{},{file}-{n}\n", n % KEYS);
        let rows: String = (0..ROWS_A_FILE).map(row).collect();
        fs::write(place.path().join(format!("rows-{file}.csv")), rows)?;
    }
    Ok(place)
}

/// Where what was written by each version of the formats is kept.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The version of the host that writes now.
const HOST: &str = env!("CARGO_PKG_VERSION");

/// The latest checkpoint that is complete.
fn latest(place: &Path) -> Result<PathBuf> {
    let numbered = (1..1000)
        .rev()
        .map(|n| PathBuf::from(format!("checkpoints/caps/chk-{n}")));
    let mut whole = numbered.filter(|path| place.join(path).join("_metadata").is_file());
    whole.next().context("there is no checkpoint")
}

/// How many rows the job has read so far.
fn rows_in(place: &Path) -> Result<u64> {
    let status = call(place, &["status", "caps", "--output", "json"])?;
    let status: Value = serde_json::from_str(&status.stdout).with_context(|| status.stderr)?;
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let of = |name: &str| nodes.iter().find(|node| node["name"] == name);
    Ok(of("again")
        .and_then(|node| node["rows_in"].as_u64())
        .unwrap_or(0))
}

/// A program that is killed, and waited for, when it is no longer needed.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The folder of what is kept.
fn kept_as(kind: Kind, backend: Backend) -> String {
    let backend = match backend {
        Backend::Heap => "heap",
        Backend::RocksDb => "rocksdb",
    };
    format!("{}-{backend}", kind.head().replace(' ', "-"))
}

/// Copies what lies at a path of a folder into another one, under the same path: of the files,
/// those that are asked for.
fn copy(from: &Path, path: &Path, to: &Path, of_it: &dyn Fn(&Path) -> bool) -> Result<()> {
    for entry in fs::read_dir(from.join(path))? {
        let path = path.join(entry?.file_name());
        let (source, target) = (from.join(&path), to.join(&path));
        if source.is_dir() {
            copy(from, &path, to, of_it)?;
        } else if of_it(&path) {
            fs::create_dir_all(target.parent().unwrap_or(to))?;
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// The program.
fn weir(place: &Path, arguments: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap_or_default();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(place)
        .env(AS_PROGRAM, "1")
        .env("WEIR_CACHE_DIR", case::cache())
        .env("WEIR_CONFIG", "none")
        .env("XDG_RUNTIME_DIR", place)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Calls the program in a place.
pub(super) fn call(place: &Path, arguments: &[&str]) -> Result<Call> {
    let mut command = weir(place, arguments);
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()?;
    Ok(Call {
        exit: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl Taken {
    /// Where the job was.
    pub(super) fn place(&self) -> &Path {
        self.place.path()
    }

    /// What `checkpoints inspect` says of it.
    pub(super) fn inspect(&self) -> Result<Value> {
        let path = self.path.display().to_string();
        let call = call(
            self.place(),
            &["checkpoints", "inspect", &path, "--output", "json"],
        )?;
        ensure!(
            call.exit == Some(0),
            "{path}: {}{}",
            call.stdout,
            call.stderr
        );
        let about: Value = serde_json::from_str(&call.stdout)?;
        ensure!(about["problems"] == Value::Array(Vec::new()), "{about}");
        Ok(about)
    }

    /// How many rows were in flight in it.
    pub(super) fn in_flight(&self) -> Result<u64> {
        Ok(self.in_flight_to("count")? + self.in_flight_to("again")?)
    }

    fn in_flight_to(&self, operator: &str) -> Result<u64> {
        let about = self.inspect()?;
        let operators = about["operators"].as_array().cloned().unwrap_or_default();
        let it = operators.iter().find(|o| o["name"] == operator);
        let count = it.and_then(|o| o["rows_in_flight"].as_u64());
        count.with_context(|| format!("nothing is said of `{operator}`"))
    }

    /// The rows that the job had shown or sealed when it was taken: what is in parts of earlier
    /// checkpoints, and in those that it names itself.
    fn shown_then(&self, about: &Value) -> Result<Vec<String>> {
        let out = self.place().join("out");
        let mut parts = std::collections::BTreeSet::new();
        for entry in fs::read_dir(&out)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let number = name
                .strip_prefix("part-")
                .and_then(|rest| rest.get(..8)?.parse::<u64>().ok());
            if number.is_some_and(|number| number < self.id) {
                parts.insert(name);
            }
        }
        let sinks = about["sinks"].as_array().cloned().unwrap_or_default();
        let all = sinks
            .iter()
            .flat_map(|sink| sink["transactions"].as_array().cloned());
        let sealed = all
            .flatten()
            .flat_map(|t| t["committables"].as_array().cloned());
        for one in sealed.flatten() {
            let named = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            let is_shown = out.join(named("final")).is_file();
            parts.insert(if is_shown {
                named("final")
            } else {
                named("temp")
            });
        }
        let mut rows = Vec::new();
        for part in parts {
            let text = fs::read_to_string(out.join(&part)).with_context(|| part)?;
            rows.extend(text.lines().map(str::to_owned));
        }
        Ok(rows)
    }

    /// Keeps it for hosts of later versions.
    pub(super) fn keep(&self, kind: Kind, backend: Backend) -> Result<()> {
        let folder = fixtures().join(HOST).join(kept_as(kind, backend));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let whole = self
            .path
            .components()
            .next()
            .context("it is in no folder")?;
        let whole = Path::new(whole.as_os_str());
        let of_it = |path: &Path| {
            path.starts_with(&self.path) || path.components().any(|c| c.as_os_str() == "shared")
        };
        copy(self.place(), whole, &folder, &of_it)?;
        let about = json!({ "path": self.path, "id": self.id, "shown": self.shown });
        Ok(fs::write(folder.join("taken.json"), format!("{about}\n"))?)
    }

    /// What hosts have kept, of all versions.
    pub(super) fn kept(kind: Kind, backend: Backend) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for version in fs::read_dir(fixtures())? {
            let folder = version?.path().join(kept_as(kind, backend));
            let text = fs::read_to_string(folder.join("taken.json")).context("taken.json")?;
            let about: Value = serde_json::from_str(&text)?;
            let place = place()?;
            copy(&folder, Path::new(""), place.path(), &|_| true)?;
            all.push(Self {
                place,
                backend,
                path: serde_json::from_value(about["path"].clone())?,
                id: serde_json::from_value(about["id"].clone())?,
                shown: serde_json::from_value(about["shown"].clone())?,
            });
        }
        ensure!(!all.is_empty(), "nothing is kept");
        Ok(all)
    }

    /// A folder for a cell, from the place of the job; nothing is in it.
    pub(super) fn cell(&self) -> Result<String> {
        let folder = tempfile::Builder::new()
            .prefix("cell-")
            .tempdir_in(self.place())?;
        let name = folder.keep();
        let name = name.file_name().context("a folder without a name")?;
        Ok(name.to_string_lossy().into_owned())
    }

    /// Begins a job there, in a folder of a cell: the arguments say where and as what.
    pub(super) fn begin(&self, cell: &str, job: &str, arguments: &[&str]) -> Result<Call> {
        let sets = [
            format!("checkpoint.dir={cell}/checkpoints"),
            format!("sinks.out.path={cell}/out"),
            "checkpoint.interval=1h".to_owned(),
            "sources.rows.rate=100000000".to_owned(),
        ];
        let mut all = vec!["run", job, "--set", self.backend.set()];
        for set in &sets {
            all.extend(["--set", set]);
        }
        all.extend(arguments);
        call(self.place(), &all)
    }

    /// The job as a text with some of it replaced, in a file of a cell.
    pub(super) fn job(&self, cell: &str, replace: &[(&str, &str)]) -> Result<String> {
        let mut text = JOB.to_owned();
        for (from, to) in replace {
            ensure!(text.contains(from), "the job has no `{from}`");
            text = text.replace(from, to);
        }
        // Paths in a job file begin at its folder.
        let name = format!("{cell}.yaml");
        fs::write(self.place().join(&name), case::filled(&text))?;
        Ok(name)
    }

    /// What a job that began there has shown, with what had been shown before: all rows once.
    pub(super) fn check_rows(&self, cell: &str) -> Result<()> {
        self.check_rows_but(cell, "")
    }

    /// The same, where all rows end without this now.
    pub(super) fn check_rows_but(&self, cell: &str, end: &str) -> Result<()> {
        let without = |row: String| row.strip_suffix(end).unwrap_or(&row).to_owned();
        let mut rows: Vec<String> = self.shown.iter().cloned().map(without).collect();
        rows.extend(committed(&self.place().join(cell).join("out"))?);
        rows.sort();
        let mut whole = Vec::new();
        for key in 0..KEYS {
            let count = FILES * ROWS_A_FILE / KEYS;
            let row = |n| format!("k{key}={n}=1");
            whole.extend((1..=count).map(|n| without(row(n))));
        }
        whole.sort();
        if rows == whole {
            return Ok(());
        }
        let mut counts = BTreeMap::<&str, (i64, i64)>::new();
        whole
            .iter()
            .for_each(|row| counts.entry(row).or_default().0 += 1);
        rows.iter()
            .for_each(|row| counts.entry(row).or_default().1 += 1);
        let differs = counts.iter().filter(|(_, (a, b))| a != b).take(5);
        bail!(
            "{} rows, not {}; of {} before; such as (expected, found) {:?}",
            rows.len(),
            whole.len(),
            self.shown.len(),
            differs.collect::<Vec<_>>()
        )
    }
}
