//! Runs the program as its users do: each folder under `cases/` is a test.
//!
//! A folder holds job files and input, and a `case.json` with the steps: a command line, what it
//! must print, how it must end, a signal at a moment, and what must be committed afterwards. It is
//! copied to a fresh place first, with `@guests@` and `@data@` replaced in its YAML and JSON.
//!
//! Each Markdown file under `docs/transcripts/` is a test too: a session at a shell, with what it
//! prints.
//!
//! The program is this binary itself, called with [`AS_PROGRAM`]: so it is never an old one.

mod case;
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/transcripts");
    let cases = trials.len();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "md") {
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let run = move || transcript::run(&path).map_err(|e| Failed::from(format!("{e:#}")));
            trials.push(Trial::test(format!("transcript::{name}"), run));
        }
    }
    ensure!(
        trials.len() > cases,
        "no transcript in {}",
        folder.display()
    );
    for (name, test) in transcript::tests() {
        let run = move || test().map_err(|e| Failed::from(format!("{e:#}")));
        trials.push(Trial::test(format!("transcript::{name}"), run));
    }
    Ok(trials)
}
