//! What is tried with each of them, by the row of the table.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use super::taken::{Backend, Column, Kind, Taken, call, take};

/// A row.
pub(super) struct Check {
    /// What its first cell says.
    pub(super) row: &'static str,
    run: fn(&Column) -> Result<bool>,
}

impl Check {
    pub(super) fn run(&self, column: &Column) -> Result<bool> {
        (self.run)(column)
    }
}

const HEAP: Backend = Backend::Heap;
const ROCKSDB: Backend = Backend::RocksDb;

/// What refuses a checkpoint that does not fit the job.
const UNFIT: &str = "[W0110]";
/// What refuses one that is not whole.
const DAMAGED: &str = "[W0108]";
/// What refuses to look into the files of a backend, or to leave rows in flight behind.
const NOT_READ: &str = "[W0008]";

/// In the environment of a run that is to keep what the hosts of later versions must read.
const WRITE: &str = "WEIR_FIXTURES";

/// All rows, in their order.
pub(super) const CHECKS: &[Check] = &[
    Check {
        row: "is taken by itself, each `interval`",
        run: |c| taken_by_itself(c),
    },
    Check {
        row: "is taken at least once, too",
        run: |c| at_least_once(c),
    },
    Check {
        row: "shows results when it is complete",
        run: |c| shows(c),
    },
    Check {
        row: "is where a plain start goes on",
        run: |c| plain_start(c),
    },
    Check {
        row: "is deleted by the job, beyond `retain`",
        run: |c| is_deleted(c),
    },
    Check {
        row: "may be claimed",
        run: |c| claimed(c),
    },
    Check {
        row: "may begin several jobs",
        run: |c| several(c),
    },
    Check {
        row: "holds rows in flight",
        run: |c| Ok(c.on(HEAP)?.in_flight()? > 0),
    },
    Check {
        row: "needs nothing outside its folder",
        run: |c| alone(c.on(HEAP)?),
    },
    Check {
        row: "needs nothing outside its folder, on RocksDB",
        run: |c| alone(c.on(ROCKSDB)?),
    },
    Check {
        row: "may be moved, with the folder of the job",
        run: |c| moved(c),
    },
    Check {
        row: "`weir checkpoints verify` reads all of it",
        run: |c| verified(c),
    },
    Check {
        row: "`weir state` reads it",
        run: |c| read(c.on(HEAP)?),
    },
    Check {
        row: "`weir state` reads it, from RocksDB",
        run: |c| read(c.on(ROCKSDB)?),
    },
    Check {
        row: "`weir state` makes another of it",
        run: |c| remade(c.on(HEAP)?),
    },
    Check {
        row: "`weir state` makes another of it, from RocksDB",
        run: |c| remade(c.on(ROCKSDB)?),
    },
    Check {
        row: "the parallelism may change",
        run: |c| rescaled(c.on(HEAP)?),
    },
    Check {
        row: "the parallelism may change, on RocksDB",
        run: |c| rescaled(c.on(ROCKSDB)?),
    },
    Check {
        row: "from the heap to RocksDB",
        run: |c| moves_to(c.on(HEAP)?, ROCKSDB),
    },
    Check {
        row: "from RocksDB to the heap",
        run: |c| moves_to(c.on(ROCKSDB)?, HEAP),
    },
    Check {
        row: "state is migrated by its component",
        run: |c| migrated(c.on(HEAP)?),
    },
    Check {
        row: "state is migrated by its component, on RocksDB",
        run: |c| migrated(c.on(ROCKSDB)?),
    },
    Check {
        row: "`max-parallelism` may change, by `weir state rekey`",
        run: |c| rekeyed(c.on(HEAP)?),
    },
    Check {
        row: "`max-parallelism` may change so, on RocksDB",
        run: |c| rekeyed(c.on(ROCKSDB)?),
    },
    Check {
        row: "an operator may have another name",
        run: |c| renamed(c.on(HEAP)?),
    },
    Check {
        row: "an operator and a sink may be added",
        run: |c| added(c.on(HEAP)?),
    },
    Check {
        row: "an operator may leave its chain",
        run: |c| unchained(c.on(HEAP)?),
    },
    Check {
        row: "an operator may be put in between",
        run: |c| in_between(c.on(HEAP)?),
    },
    Check {
        row: "an operator with state may be left out",
        run: |c| left_out(c.on(HEAP)?),
    },
    Check {
        row: "state may be keyed by something else",
        run: |c| other_key(c.on(HEAP)?),
    },
    Check {
        row: "a host of another version goes on from it",
        run: |c| other_host(c),
    },
];

/// Begins a job there, which goes on to its end with each row once, or is refused for one of these
/// reasons before anything runs.
fn begins(
    taken: &Taken,
    at: &Path,
    job: &str,
    cell: &str,
    set: &[&str],
    refused: &[&str],
) -> Result<bool> {
    let at = at.display().to_string();
    let mut arguments = vec!["--restore", &at];
    arguments.extend(set);
    let call = taken.begin(cell, job, &arguments)?;
    if call.exit == Some(0) {
        taken.check_rows(cell)?;
        return Ok(true);
    }
    let is_refusal = refused.iter().any(|code| call.stderr.contains(code));
    ensure!(
        is_refusal && !call.stderr.contains("running after"),
        "{:?}: {}",
        call.exit,
        call.stderr
    );
    Ok(false)
}

/// The same, of what was taken, by the job as it was with something set.
fn begins_with(taken: &Taken, set: &[&str], refused: &[&str]) -> Result<bool> {
    begins(taken, &taken.path, "job.yaml", &taken.cell()?, set, refused)
}

/// The same, by a job in which something is another.
fn begins_as(
    taken: &Taken,
    replace: &[(&str, &str)],
    set: &[&str],
    refused: &[&str],
) -> Result<bool> {
    let cell = taken.cell()?;
    let job = taken.job(&cell, replace)?;
    begins(taken, &taken.path, &job, &cell, set, refused)
}

/// Copies a folder of the job into a cell.
fn copy(taken: &Taken, cell: &str, folder: &Path) -> Result<()> {
    let from = taken.place().join(folder);
    let name = folder.file_name().context("a folder without a name")?;
    let to = taken.place().join(cell).join(name);
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(&from)? {
        let path = entry?.path();
        let name = path.file_name().context("a file without a name")?;
        match path.is_dir() {
            true => copy(
                taken,
                &format!("{cell}/{}", folder_name(folder)),
                &folder.join(name),
            )?,
            false => drop(fs::copy(&path, to.join(name))?),
        }
    }
    Ok(())
}

fn folder_name(folder: &Path) -> String {
    folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Whether nobody asked for it: of the job there is nothing that it would be among.
fn taken_by_itself(column: &Column) -> Result<bool> {
    let kind = column.on(HEAP)?.inspect()?["kind"].clone();
    match kind.as_str() {
        Some("periodic") => Ok(true),
        Some("savepoint") => Ok(false),
        other => bail!("it is {other:?}"),
    }
}

/// In a job that is at-least-once it is what it is otherwise, too.
fn at_least_once(column: &Column) -> Result<bool> {
    let set = [
        "checkpoint.mode=at-least-once",
        "operators.again.config=null",
    ];
    let taken = take(column.kind, HEAP, &set)?;
    ensure!(is_whole(&taken)?, "it is not whole");
    Ok(column.kind != Kind::Unaligned || taken.in_flight()? > 0)
}

fn is_whole(taken: &Taken) -> Result<bool> {
    let path = taken.path.display().to_string();
    Ok(call(taken.place(), &["checkpoints", "verify", &path])?.exit == Some(0))
}

/// Whether a job that is killed behind it has shown what it sealed, or shows it when it goes on.
fn shows(column: &Column) -> Result<bool> {
    let (taken, cell, _) = goes_on(column)?;
    // What goes on elsewhere may give its number to another.
    let folder = match plain_start(column)? {
        true => cell,
        false => ".",
    };
    let part = format!("{folder}/out/part-{:08}-*", taken.id);
    let pattern = taken.place().join(part);
    let mut found = glob::glob(pattern.to_str().context("the path is not UTF-8")?)?;
    Ok(found.next().is_some())
}

/// Starts a copy of the job plainly, which runs to its end; gives its folder and what it says.
fn goes_on(column: &Column) -> Result<(&Taken, &str, &str)> {
    let taken = column.on(HEAP)?;
    let goes_on = || {
        let cell = taken.cell()?;
        for folder in ["checkpoints", "out", "saved"] {
            if taken.place().join(folder).is_dir() {
                copy(taken, &cell, Path::new(folder))?;
            }
        }
        let set = ["--set", "checkpoint.retain.completed=1"];
        let call = taken.begin(&cell, "job.yaml", &set)?;
        ensure!(call.exit == Some(0), "{}", call.stderr);
        Ok((cell, call.stderr))
    };
    let (cell, said) = column.goes_on(goes_on)?;
    Ok((taken, cell, said))
}

/// Whether a plain start goes on there.
fn plain_start(column: &Column) -> Result<bool> {
    let (taken, _, said) = goes_on(column)?;
    let restored = format!("restoring from checkpoint {} ", taken.id);
    Ok(said.contains(&restored))
}

/// Whether the job that goes on deletes it when it has a newer one.
fn is_deleted(column: &Column) -> Result<bool> {
    let (taken, cell, _) = goes_on(column)?;
    Ok(!taken.place().join(cell).join(&taken.path).exists())
}

/// Whether it may be handed over to a job, which then deletes it.
fn claimed(column: &Column) -> Result<bool> {
    let taken = column.on(HEAP)?;
    let cell = taken.cell()?;
    let parent = taken.path.parent().context("it is in no folder")?;
    copy(taken, &cell, parent)?;
    let copied = Path::new(&cell)
        .join(folder_name(parent))
        .join(folder_name(&taken.path));
    let set = ["--claim", "--set", "checkpoint.retain.completed=1"];
    let begins = begins(taken, &copied, "job.yaml", &cell, &set, &[])?;
    ensure!(
        !taken.place().join(&copied).join("_metadata").exists(),
        "it is still there"
    );
    Ok(begins)
}

/// Whether two jobs begin there, and leave it as it is.
fn several(column: &Column) -> Result<bool> {
    let taken = column.on(HEAP)?;
    let both = begins_with(taken, &[], &[])? && begins_with(taken, &[], &[])?;
    Ok(both && is_whole(taken)?)
}

/// Whether a copy of its folder is enough.
fn alone(taken: &Taken) -> Result<bool> {
    let cell = taken.cell()?;
    copy(taken, &cell, &taken.path)?;
    let copied = Path::new(&cell).join(folder_name(&taken.path));
    begins(taken, &copied, "job.yaml", &cell, &[], &[DAMAGED])
}

fn moved(column: &Column) -> Result<bool> {
    for backend in [HEAP, ROCKSDB] {
        let taken = column.on(backend)?;
        let cell = taken.cell()?;
        let parent = taken.path.parent().context("it is in no folder")?;
        copy(taken, &cell, parent)?;
        let copied = Path::new(&cell)
            .join(folder_name(parent))
            .join(folder_name(&taken.path));
        if !begins(taken, &copied, "job.yaml", &cell, &[], &[])? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn verified(column: &Column) -> Result<bool> {
    Ok(is_whole(column.on(HEAP)?)? && is_whole(column.on(ROCKSDB)?)?)
}

fn read(taken: &Taken) -> Result<bool> {
    let path = taken.path.display().to_string();
    let call = call(
        taken.place(),
        &["state", "get", &path, "count", "--key", "k0"],
    )?;
    match call.exit {
        Some(0) => {
            ensure!(call.stdout.contains("\"key\":[\"k0\"]"), "{}", call.stdout);
            Ok(true)
        }
        _ if call.stderr.contains(NOT_READ) => Ok(false),
        _ => bail!("{}", call.stderr),
    }
}

/// Whether what is exported and imported again is a savepoint to begin at.
fn remade(taken: &Taken) -> Result<bool> {
    let (cell, path) = (taken.cell()?, taken.path.display().to_string());
    let exported = call(taken.place(), &["state", "export", &path])?;
    if exported.exit != Some(0) {
        ensure!(exported.stderr.contains(NOT_READ), "{}", exported.stderr);
        return Ok(false);
    }
    let (rows, to) = (format!("{cell}/rows.jsonl"), format!("{cell}/imported"));
    fs::write(taken.place().join(&rows), exported.stdout)?;
    made(
        taken,
        &["state", "import", &rows, "--to", &to],
        &to,
        &cell,
        &[],
    )
}

/// Whether a tool makes a savepoint, and the job begins there.
fn made(taken: &Taken, arguments: &[&str], to: &str, cell: &str, set: &[&str]) -> Result<bool> {
    let made = call(taken.place(), arguments)?;
    if made.exit != Some(0) {
        ensure!(made.stderr.contains(NOT_READ), "{}", made.stderr);
        return Ok(false);
    }
    begins(taken, Path::new(to), "job.yaml", cell, set, &[])
}

/// More subtasks, and fewer.
fn rescaled(taken: &Taken) -> Result<bool> {
    for parallelism in ["parallelism=3", "parallelism=1"] {
        if !begins_with(taken, &["--set", parallelism], &[])? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn moves_to(taken: &Taken, backend: Backend) -> Result<bool> {
    begins_with(taken, &["--set", backend.set()], &[UNFIT])
}

fn migrated(taken: &Taken) -> Result<bool> {
    let next = [("keyed-count.wasm", "keyed-count-2.wasm")];
    begins_as(taken, &next, &[], &[UNFIT])
}

fn rekeyed(taken: &Taken) -> Result<bool> {
    let (cell, path) = (taken.cell()?, taken.path.display().to_string());
    let to = format!("{cell}/wider");
    let arguments = [
        "state",
        "rekey",
        &path,
        "--max-parallelism",
        "40",
        "--to",
        &to,
    ];
    made(
        taken,
        &arguments,
        &to,
        &cell,
        &["--set", "max-parallelism=40"],
    )
}

fn renamed(taken: &Taken) -> Result<bool> {
    let other = [
        ("  count:", "  total:\n    renamed-from: count"),
        ("from: count, key", "from: total, key"),
    ];
    begins_as(taken, &other, &[], &[])
}

fn added(taken: &Taken) -> Result<bool> {
    let more = "  more:\n    component: \"@guests@/passthrough.wasm\"\n    inputs: [ { from: last } ]\nsinks:\n";
    let sink = format!(
        "{more}  copies: {{ connector: file, from: more, path: copies, guarantee: at-least-once }}\n"
    );
    begins_as(taken, &[("sinks:\n", &sink)], &[], &[])
}

fn unchained(taken: &Taken) -> Result<bool> {
    let own = [(
        "inputs: [ { from: again } ]",
        "inputs: [ { from: again } ]\n    chain: false",
    )];
    begins_as(taken, &own, &[], &[UNFIT])
}

fn in_between(taken: &Taken) -> Result<bool> {
    let between = [
        ("from: count, key", "from: between, key"),
        (
            "  again:\n",
            "  between:\n    component: \"@guests@/passthrough.wasm\"\n    inputs: [ { from: count } ]\n  again:\n",
        ),
    ];
    begins_as(taken, &between, &[], &[UNFIT])
}

/// Whether no more than its state is left behind with it.
fn left_out(taken: &Taken) -> Result<bool> {
    let cell = taken.cell()?;
    let without = [
        (
            "    inputs: [ { from: again } ]",
            "    inputs: [ { from: count } ]",
        ),
        (
            "  again:\n    component: \"@guests@/misbehaving.wasm\"\n    inputs: [ { from: count, key: { row: true } } ]\n",
            "",
        ),
    ];
    let job = taken.job(&cell, &without)?;
    let path = taken.path.display().to_string();
    let refused = taken.begin(&cell, &job, &["--restore", &path])?;
    ensure!(refused.stderr.contains(UNFIT), "{}", refused.stderr);
    let left = taken.begin(
        &cell,
        &job,
        &["--restore", &path, "--allow-non-restored-state"],
    )?;
    ensure!(left.exit == Some(0), "{}", left.stderr);
    ensure!(
        left.stderr.contains("state of operator `again`"),
        "{}",
        left.stderr
    );
    if left.stderr.contains("rows that were in flight to `again`") {
        return Ok(false);
    }
    taken.check_rows_but(&cell, "=1")?;
    Ok(true)
}

fn other_key(taken: &Taken) -> Result<bool> {
    let other = [("key: { columns: [0] }", "key: { columns: [1] }")];
    begins_as(taken, &other, &[], &[UNFIT])
}

/// Whether this host goes on from what earlier ones wrote, which is kept in `fixtures/`.
fn other_host(column: &Column) -> Result<bool> {
    if std::env::var_os(WRITE).is_some_and(|how| how == "write") {
        for backend in [HEAP, ROCKSDB] {
            column.on(backend)?.keep(column.kind, backend)?;
        }
    }
    for backend in [HEAP, ROCKSDB] {
        for taken in Taken::kept(column.kind, backend)? {
            if !begins_with(&taken, &[], &[])? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
