//! Memory that grows has large pages: the program asks the system for them once its state takes
//! some megabytes, and not before.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{AS_PROGRAM, case, step::PATIENCE};

/// Counts by key without end.
const JOB: &str = r#"
apiVersion: weir/v1
job: case
parallelism: 1
sources:
  rows: { connector: generator, keys: 8000000 }
operators:
  count:
    component: "@guests@/keyed-count.wasm"
    inputs: [ { from: rows, key: { json: /key } } ]
sinks:
  out: { connector: stdout, from: count }
"#;

/// After so many rows, and about as many keys, is looked again.
const ROWS: usize = 100_000;
/// By then a thread has needed large pages, however many share the tasks.
const LOOKS: usize = 40;

/// Is killed when it is no longer looked at.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the job and looks at how its memory is to be had before its state is large, and then.
pub(crate) fn run() -> Result<()> {
    if !Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        // Nothing can be asked of this system.
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    fs::write(place.path().join("job.yaml"), case::filled(JOB))?;
    let log = place.path().join("stderr");
    let mut program = Running(
        Command::new(std::env::current_exe()?)
            .args(["run", "job.yaml"])
            .current_dir(place.path())
            .env(AS_PROGRAM, "1")
            .env("WEIR_CACHE_DIR", case::cache())
            .env("WEIR_CONFIG", "none")
            .env("XDG_RUNTIME_DIR", place.path())
            .env_remove("MALLOC_TRIM_THRESHOLD_")
            .env_remove("MALLOC_MMAP_THRESHOLD_")
            .env_remove("GLIBC_TUNABLES")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?,
    );
    let looked = look(&mut program);
    let said = || fs::read_to_string(&log).unwrap_or_default();
    looked.with_context(|| format!("it said: {}", said()))
}

fn look(program: &mut Running) -> Result<()> {
    let rows = program.0.stdout.take().context("it has an output")?;
    let read = in_steps(rows);
    let next = || read.recv_timeout(PATIENCE).context("no more rows");
    next()?;
    ensure!(
        asked_for(&program.0)? == 0,
        "large pages of a job that is still small"
    );
    for _ in 0..LOOKS {
        next()?;
        if asked_for(&program.0)? > 0 {
            return Ok(());
        }
    }
    bail!("large pages are not asked for");
}

/// Reads rows, and says so of the first one, and then each time of some more, which are only read
/// when that is wanted.
fn in_steps(rows: ChildStdout) -> mpsc::Receiver<()> {
    let (say, read) = mpsc::sync_channel(0);
    thread::spawn(move || {
        let mut rows = BufReader::new(rows).lines();
        while rows.next().is_some_and(|row| row.is_ok()) && say.send(()).is_ok() {
            rows.by_ref().take(ROWS).for_each(drop);
        }
    });
    read
}

/// In how many ranges of its memory a program asks for large pages.
fn asked_for(program: &Child) -> Result<usize> {
    let maps = fs::read_to_string(format!("/proc/{}/smaps", program.id()))?;
    let mut flags = maps
        .lines()
        .filter_map(|line| line.strip_prefix("VmFlags:"));
    ensure!(flags.next().is_some(), "the system tells how it is asked");
    Ok(flags
        .filter(|flags| flags.split(' ').any(|flag| flag == "hg"))
        .count())
}
