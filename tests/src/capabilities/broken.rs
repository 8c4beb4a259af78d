//! Savepoints that are wrong, at the command line: missing, cut short, changed by a bit, of a newer
//! host, of another job, with a state of another kind. Each is told with what is wrong and where,
//! and nothing starts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::taken::{Backend, Column, Kind, Taken, call};

/// How many bits of each file are tried, spread over it.
const BITS: usize = 6;

/// What is wrong with a savepoint, and what must be said then.
struct Wrong<'a> {
    what: String,
    exit: i32,
    says: &'a [&'a str],
}

/// Tries all of it on the savepoints of a kind and a backend.
pub(crate) fn run(kind: Kind, on_rocksdb: bool) -> Result<()> {
    let column = Column::new(kind)?;
    let taken = column.on(match on_rocksdb {
        true => Backend::RocksDb,
        false => Backend::Heap,
    })?;
    damaged_files(taken)?;
    no_whole_metadata(taken)?;
    of_another_job(taken)?;
    if kind == Kind::Canonical {
        of_another_kind(taken)?;
    }
    Ok(())
}

/// The files of a savepoint, from its folder.
fn files(taken: &Taken) -> Result<Vec<PathBuf>> {
    let folder = taken.place().join(&taken.path);
    let pattern = folder.join("**/*");
    let mut all = Vec::new();
    for path in glob::glob(pattern.to_str().context("the path is not UTF-8")?)? {
        let path = path?;
        if path.is_file() && fs::metadata(&path)?.len() > 0 {
            all.push(path.strip_prefix(&folder)?.to_owned());
        }
    }
    ensure!(all.len() > 1, "there are no files in {}", folder.display());
    Ok(all)
}

/// Begins there and must be refused, before anything runs.
fn refused(taken: &Taken, at: &Path, set: &[&str], wrong: &Wrong<'_>) -> Result<()> {
    let cell = taken.cell()?;
    let at = at.display().to_string();
    let mut arguments = vec!["--restore", &at];
    arguments.extend(set);
    let call = taken.begin(&cell, "job.yaml", &arguments)?;
    let said = &call.stderr;
    let all = || format!("{}: {:?}: {said}", wrong.what, call.exit);
    ensure!(call.exit == Some(wrong.exit), "{}", all());
    for text in wrong.says {
        ensure!(said.contains(text), "`{text}` is missing: {}", all());
    }
    ensure!(!said.contains("running after"), "{}", all());
    let shown = taken.place().join(&cell).join("out");
    ensure!(
        !shown.exists() || fs::read_dir(&shown)?.next().is_none(),
        "{}",
        all()
    );
    Ok(())
}

/// Each file is changed by a bit in several places, cut short at several, and taken away.
fn damaged_files(taken: &Taken) -> Result<()> {
    for name in files(taken)? {
        let path = taken.place().join(&taken.path).join(&name);
        let whole = fs::read(&path)?;
        let shown = name.display().to_string();
        let says = [shown.as_str()];
        let wrong = |what: String| Wrong {
            what: format!("{shown} {what}"),
            exit: 1,
            says: &says,
        };
        for n in 0..BITS {
            let mut bytes = whole.clone();
            let at = n * (whole.len() - 1) / (BITS - 1);
            bytes[at] ^= 1 << (n % 8);
            fs::write(&path, bytes)?;
            refused(
                taken,
                &taken.path,
                &[],
                &wrong(format!("with byte {at} changed")),
            )?;
        }
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length])?;
            refused(
                taken,
                &taken.path,
                &[],
                &wrong(format!("of {length} bytes")),
            )?;
            let at = taken.path.display().to_string();
            let verified = call(taken.place(), &["checkpoints", "verify", &at])?;
            ensure!(
                verified.exit == Some(1),
                "{shown} of {length} bytes is whole"
            );
        }
        if shown != "_metadata" {
            fs::remove_file(&path)?;
            refused(taken, &taken.path, &[], &wrong("taken away".into()))?;
        }
        fs::write(&path, &whole)?;
    }
    Ok(())
}

/// There is nothing, or no metadata, or those of a newer host.
fn no_whole_metadata(taken: &Taken) -> Result<()> {
    let missing = Wrong {
        what: "no folder".into(),
        exit: 2,
        says: &["[W0002]", "`saved/nowhere` does not exist"],
    };
    refused(taken, Path::new("saved/nowhere"), &[], &missing)?;
    let path = taken.place().join(&taken.path).join("_metadata");
    let whole = fs::read_to_string(&path)?;
    fs::remove_file(&path)?;
    let none = Wrong {
        what: "no metadata".into(),
        exit: 2,
        says: &["[W0002]", "`_metadata`"],
    };
    refused(taken, &taken.path, &[], &none)?;
    let (head, rest) = whole.split_once(" crc32c").context("no head")?;
    let (form, _) = head.rsplit_once('v').context("no version")?;
    fs::write(&path, format!("{form}v99 crc32c{rest}"))?;
    let newer = Wrong {
        what: "of a newer host".into(),
        exit: 1,
        says: &["version 99, this host reads up to"],
    };
    refused(taken, &taken.path, &[], &newer)?;
    Ok(fs::write(&path, whole)?)
}

fn of_another_job(taken: &Taken) -> Result<()> {
    let others = Wrong {
        what: "of another job".into(),
        exit: 2,
        says: &[
            "[W0110]",
            "this is a checkpoint of job `caps`, not of `other`",
        ],
    };
    refused(taken, &taken.path, &["--set", "job=other"], &others)
}

/// The count as a list: an export is edited, and imported.
fn of_another_kind(taken: &Taken) -> Result<()> {
    let at = taken.path.display().to_string();
    let exported = call(taken.place(), &["state", "export", &at])?;
    ensure!(exported.exit == Some(0), "{}", exported.stderr);
    let mut lines = Vec::new();
    for line in exported.stdout.lines() {
        let mut line: Value = serde_json::from_str(line)?;
        if let Some(metadata) = line.get_mut("metadata") {
            let states = metadata["operators"]["count"]["states"].as_array_mut();
            let state = states
                .and_then(|states| states.first_mut())
                .context("no state")?;
            ensure!(state["kind"] == "value", "{state}");
            state["kind"] = json!("list");
        } else if line["operator"] == "count" {
            line["elements"] = json!([line["value"]]);
            line.as_object_mut().context("no line")?.remove("value");
        }
        lines.push(line.to_string());
    }
    fs::write(taken.place().join("list.jsonl"), lines.join("\n"))?;
    let made = call(
        taken.place(),
        &["state", "import", "list.jsonl", "--to", "list"],
    )?;
    if made.exit != Some(0) {
        bail!("{}", made.stderr);
    }
    let says = "state `count` of operator `count` was saved as list state, the component declares value state";
    let other = Wrong {
        what: "of another kind".into(),
        exit: 2,
        says: &["[W0110]", says],
    };
    refused(taken, Path::new("list"), &[], &other)?;
    let check = call(taken.place(), &["check", "job.yaml", "--from", "list"])?;
    ensure!(
        check.exit == Some(2) && check.stdout.contains(says),
        "{}{}",
        check.stdout,
        check.stderr
    );
    Ok(())
}
