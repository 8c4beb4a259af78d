//! The job files in documents are job files: each block of YAML that begins with `apiVersion` is
//! read as one, as a test file where it has cases, or as a host file where it names no job. And the
//! operator that the book begins with is an example that is built and tested.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use weir_job_file::{Diagnostics, HostFile, JobFile, TestFile};

/// All documents that show job files.
pub(crate) fn documents() -> Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = Vec::new();
    for pattern in [
        "*.md",
        "docs/**/*.md",
        "guest-sdk/*/*.md",
        "guest-examples/*.md",
    ] {
        let pattern = root.join(pattern);
        let pattern = pattern.to_str().context("the path is not UTF-8")?;
        for path in glob::glob(pattern)? {
            let path = path?;
            if !job_files(&std::fs::read_to_string(&path)?).is_empty() {
                all.push(path);
            }
        }
    }
    ensure!(!all.is_empty(), "no document shows a job file");
    Ok(all)
}

/// Reads all job files in a document.
pub(crate) fn check(path: &Path) -> Result<()> {
    for (line, text) in job_files(&std::fs::read_to_string(path)?) {
        let has = |key: &str| text.lines().any(|line| line.starts_with(key));
        let read = match (has("cases:"), has("job:")) {
            (true, _) => test_file(&text).err(),
            (false, true) => JobFile::load(&text, Path::new("job.yaml"), &[]).err(),
            (false, false) => HostFile::load(&text, Path::new("weir.yaml")).err(),
        };
        if let Some(wrong) = read {
            let wrong = wrong.render(false, 100);
            anyhow::bail!("{}:{line}: {wrong}", path.display());
        }
    }
    Ok(())
}

/// Reads a test file; a job that it names has an operator of the name that it says.
fn test_file(text: &str) -> Result<TestFile, Diagnostics> {
    let host = HostFile::default();
    let named = text
        .lines()
        .find_map(|line| line.strip_prefix("operator: "));
    let operator = named.unwrap_or("operator");
    let job = format!(
        "apiVersion: weir/v1\njob: shown\nsources: {{ rows: {{ connector: generator }} }}\n\
         operators: {{ {operator}: {{ component: shown.wasm, inputs: [ rows ] }} }}\n"
    );
    let read_job = |path: &Path| JobFile::load(&job, path, &[]);
    let path = Path::new("shown.test.yaml");
    TestFile::load(&host, text, path, &[], &read_job)
}

/// The first operator of the book is the example of that name, to the letter.
pub(crate) fn check_first_operator() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/operators/first.md"))?;
    let code = std::fs::read_to_string(root.join("guest-examples/alarms/src/lib.rs"))?;
    let shown = page
        .split_once("```rust\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .context("docs/operators/first.md shows no Rust")?
        .0;
    ensure!(
        shown == code,
        "the operator in docs/operators/first.md is not guest-examples/alarms/src/lib.rs"
    );
    Ok(())
}

/// The blocks of a document that are job files, with their lines.
fn job_files(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        match &mut block {
            Some((_, text)) if !is_fence => {
                text.push_str(line);
                text.push('\n');
            }
            Some(_) => found.extend(block.take()),
            None if is_fence => block = Some((at + 2, String::new())),
            None => {}
        }
    }
    found.retain(|(_, text)| text.starts_with("apiVersion:"));
    found
}
