//! The rules of the house that a machine can check. Each finding says where, which rule, and what
//! to do.
//!
//! Rules look at text they are given and nothing else, so that each is tested on a few lines; only
//! this file asks git and cargo what there is.

mod layers;
mod licences;
mod links;
mod sizes;
mod source;
mod text;
mod tokens;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// A breach of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the top folder, with `/`.
    path: String,
    /// Counted from 1; 0 where the file as a whole is meant.
    line: usize,
    rule: &'static str,
    /// What to do about it.
    advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            rule,
            advice,
        } = self;
        match line {
            0 => write!(out, "{path}: {rule}: {advice}"),
            line => write!(out, "{path}:{line}: {rule}: {advice}"),
        }
    }
}

/// A file that git knows or would take in.
pub(crate) struct File {
    path: String,
    text: String,
}

/// Checks the whole tree; prints the findings and the sizes; says whether there was none.
pub(crate) fn run() -> Result<bool> {
    let root = workspace::root();
    let names = names(&root)?;
    let files = files(&root, &names);
    let mut findings: Vec<Finding> = files.iter().flat_map(check_file).collect();
    let packages = layers::parse(&metadata(&["--no-deps"])?)?;
    findings.extend(layers::check(&packages));
    findings.extend(layers::stale(&packages));
    findings.extend(links::check(&files, &names));
    findings.extend(licences::check(&metadata(&[
        "--filter-platform",
        &host()?,
    ])?)?);
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    eprintln!("tidy: {}", sizes::report(&files));
    match findings.len() {
        0 => eprintln!("tidy: nothing to complain about in {} files", files.len()),
        1 => eprintln!("tidy: 1 finding"),
        many => eprintln!("tidy: {many} findings"),
    }
    Ok(findings.is_empty())
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = text::check(file);
    let is_generated = text::is_generated(file);
    if file.path.ends_with(".rs") && !is_generated {
        let code = tokens::Code::new(&file.text);
        findings.extend(sizes::check(file, &code));
        findings.extend(source::check(file, &code));
    }
    if file.path.ends_with("Cargo.toml") {
        findings.extend(layers::check_lints(file));
    }
    findings
}

/// All files that are tracked or would be, in git's order.
fn names(root: &Path) -> Result<BTreeSet<String>> {
    let output = Command::new("git")
        .current_dir(root)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        ])
        .output()
        .context("cannot start git")?;
    if !output.status.success() {
        bail!(
            "git ls-files: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    // A deleted file is still listed.
    let there = names
        .split_terminator('\0')
        .filter(|name| root.join(name).exists());
    Ok(there.map(str::to_owned).collect())
}

/// Those that are text; the rest is no matter of ours.
fn files(root: &Path, names: &BTreeSet<String>) -> Vec<File> {
    let text = |path: &String| {
        let text = fs::read(root.join(path)).ok()?;
        let text = String::from_utf8(text).ok()?;
        Some(File {
            path: path.clone(),
            text,
        })
    };
    names.iter().filter_map(text).collect()
}

fn metadata(options: &[&str]) -> Result<String> {
    let mut command = workspace::cargo();
    output_of(
        command
            .args(["metadata", "--format-version", "1"])
            .args(options),
    )
}

/// The platform that programs are built for here; of others not all dependencies may have been
/// fetched.
fn host() -> Result<String> {
    let version = output_of(workspace::cargo().arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`cargo -vV` names no host")
}

fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).context("output that is not UTF-8")
}
