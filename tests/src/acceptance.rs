//! Runs the program as its users do: each folder under `cases/` is a test, each folder under
//! `jobs/` one for everything that is done to its job.
//!
//! A folder holds job files and input, and a `case.json` with the steps: a command line, what it
//! must print, how it must end, a signal at a moment, what happens on sockets meanwhile, and what
//! must be committed afterwards. It is copied to a fresh place first, with `@guests@`, `@data@` and
//! `@examples@` replaced in its YAML and JSON.
//!
//! Each Markdown file under `docs/transcripts/` is a test too: a session at a shell, with what it
//! prints. The table of one of them, of what savepoints and checkpoints can do, is tried cell by
//! cell.
//!
//! The program is this binary itself, called with [`AS_PROGRAM`]: so it is never an old one.

mod capabilities;
mod case;
mod documents;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod large_pages;
mod matrix;
mod script;
mod step;
mod transcript;

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};

/// In the environment of a call of this binary that is to be the program.
const AS_PROGRAM: &str = "WEIR_ACCEPTANCE_PROGRAM";

fn main() -> ExitCode {
    if std::env::var_os(AS_PROGRAM).is_some() {
        return weir_host::main();
    }
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            let failing = move || Err(Failed::from(format!("{error:#}")));
            let trial = Trial::test("the cases can be read", failing);
            libtest_mimic::run(&arguments, vec![trial]).exit_code()
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut trials = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let run = move || case::run(&path).map_err(|e| Failed::from(format!("{e:#}")));
            trials.push(Trial::test(name, run));
        }
    }
    ensure!(!trials.is_empty(), "no case in {}", folder.display());
    trials.extend(jobs()?);
    for path in documents::documents()? {
        let name = format!("document {}", shown(&path));
        let run = move || documents::check(&path).map_err(|e| Failed::from(format!("{e:#}")));
        trials.push(Trial::test(name, run));
    }
    let first = || documents::check_first_operator().map_err(|e| Failed::from(format!("{e:#}")));
    trials.push(Trial::test("document: the first operator", first));
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    trials.push(Trial::test("large pages", || {
        large_pages::run().map_err(|e| Failed::from(format!("{e:#}")))
    }));
    trials.extend(transcripts()?);
    trials.extend(capabilities());
    Ok(trials)
}

/// Each job of `jobs/` with each of the things that are done to it.
fn jobs() -> Result<Vec<Trial>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
    let mut trials = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for (variant, what, set) in matrix::VARIANTS {
            let path = path.clone();
            let run =
                move || matrix::run(&path, what, set).map_err(|e| Failed::from(format!("{e:#}")));
            trials.push(Trial::test(format!("{name}/{variant}"), run));
        }
    }
    Ok(trials)
}

/// Each column of the table of what savepoints and checkpoints can do.
fn capabilities() -> Vec<Trial> {
    let column = |kind: &capabilities::Kind| {
        let kind = *kind;
        let run = move || capabilities::run(kind).map_err(|e| Failed::from(format!("{e:#}")));
        Trial::test(format!("capabilities::{}", kind.head()), run)
    };
    let shape = || capabilities::run_shape().map_err(|e| Failed::from(format!("{e:#}")));
    let mut trials: Vec<Trial> = capabilities::Kind::ALL.iter().map(column).collect();
    for (kind, on_rocksdb) in [
        (capabilities::Kind::Canonical, false),
        (capabilities::Kind::Native, true),
    ] {
        let run = move || {
            capabilities::run_broken(kind, on_rocksdb).map_err(|e| Failed::from(format!("{e:#}")))
        };
        trials.push(Trial::test(format!("a {} that is wrong", kind.head()), run));
    }
    trials.push(Trial::test("capabilities::the table has its checks", shape));
    trials
}

/// A path from the top folder.
fn shown(path: &Path) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = path.strip_prefix(top).unwrap_or(path);
    path.display().to_string()
}

/// Each transcript, and the rules by which they are compared.
fn transcripts() -> Result<Vec<Trial>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/transcripts");
    let mut trials = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "md") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let name = format!("transcript::{name}");
            let run = move || transcript::run(&path).map_err(|e| Failed::from(format!("{e:#}")));
            trials.push(Trial::test(name, run));
        }
    }
    ensure!(!trials.is_empty(), "no transcript in {}", folder.display());
    for (name, test) in transcript::tests() {
        let run = move || test().map_err(|e| Failed::from(format!("{e:#}")));
        trials.push(Trial::test(format!("transcript::{name}"), run));
    }
    Ok(trials)
}
