//! The checkpoint folder, seen from outside: `chk-<n>` is complete once it has `_metadata`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

/// The ids of complete checkpoints under a job's folder, oldest first; none where it does not
/// exist.
pub(super) fn complete(folder: &Path) -> Result<Vec<u64>> {
    let mut ids: Vec<u64> = names(folder)?
        .iter()
        .filter(|name| folder.join(name).join("_metadata").is_file())
        .filter_map(|name| id(name))
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// What is wrong with the folder of a job that has finished.
pub(super) fn problems(folder: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let complete = complete(folder)?;
    for name in names(folder)? {
        let path = folder.join(&name);
        match id(&name) {
            Some(id) if !complete.contains(&id) => {
                problems.push(format!(
                    "{name} has no _metadata: a checkpoint was left half-done"
                ));
            }
            Some(_) => {
                let metadata = fs::read(path.join("_metadata"))?;
                problems.extend(damage(&metadata).map(|what| format!("{name}/_metadata {what}")));
            }
            None if name.starts_with('.') => {
                problems.push(format!("{name} was left in the checkpoint folder"));
            }
            None => {}
        }
    }
    if complete.is_empty() {
        problems.push(format!("no complete checkpoint is in {}", folder.display()));
    }
    if !folder.join("FINISHED").is_file() {
        problems.push("FINISHED is missing: the job would run again".to_owned());
    }
    Ok(problems)
}

/// What is wrong with the bytes of `_metadata`: a line with checksum and length, then JSON.
fn damage(metadata: &[u8]) -> Option<String> {
    let line = metadata.iter().position(|&byte| byte == b'\n');
    let (line, body) = metadata.split_at(line.map_or(0, |at| at + 1));
    let (crc, length) = (crc32c::crc32c(body), body.len());
    // Version 2 names files that other checkpoints share.
    let expected =
        ["1", "2"].map(|v| format!("weir-metadata v{v} crc32c={crc:08x} length={length}\n"));
    if !expected.iter().any(|expected| line == expected.as_bytes()) {
        let (found, [expected, _]) = (String::from_utf8_lossy(line), expected);
        return Some(format!(
            "begins with {found:?}, its content says {expected:?}"
        ));
    }
    let error = serde_json::from_slice::<serde_json::Value>(body).err()?;
    Some(format!("is not JSON: {error}"))
}

fn id(name: &str) -> Option<u64> {
    name.strip_prefix("chk-")?.parse().ok()
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
