//! One case: its folder, copied and filled in, and its steps one after the other.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::step::Step;

/// `case.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it shows, in a sentence.
    about: String,
    steps: Vec<Step>,
}

/// Runs the case in `folder`.
pub(crate) fn run(folder: &Path) -> Result<()> {
    let text = fs::read_to_string(folder.join("case.json")).context("case.json")?;
    let case: Case = serde_json::from_str(&filled(&text)).context("case.json")?;
    let place = place(folder)?;
    let cache = cache();
    for (number, step) in case.steps.iter().enumerate() {
        let what = || format!("step {number} of: {}", case.about);
        step.run(place.path(), &cache).with_context(what)?;
    }
    Ok(())
}

/// A fresh place with a copy of `folder` in it, filled in.
pub(crate) fn place(folder: &Path) -> Result<TempDir> {
    let place = tempfile::tempdir()?;
    copy(folder, place.path())?;
    Ok(place)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let some = guests().join("passthrough.wasm");
    ensure!(
        some.is_file(),
        "{} is missing: run `cargo xtask guests` first",
        some.display()
    );
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            fs::create_dir(&target)?;
            copy(&path, &target)?;
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            fs::write(target, filled(&fs::read_to_string(&path)?))?;
        } else {
            fs::copy(&path, target)?;
        }
    }
    Ok(())
}

/// With the places of this checkout filled in.
pub(crate) fn filled(text: &str) -> String {
    let examples = root().join("guest-examples");
    text.replace("@guests@", &guests().display().to_string())
        .replace("@data@", &examples.join("data").display().to_string())
        .replace("@examples@", &examples.display().to_string())
}

/// The folder of the example guests.
pub(crate) fn guests() -> PathBuf {
    root().join("guest-examples/target/components")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compiled components, kept between runs: each is compiled once, and the cache is tried with it.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("component-cache")
}
