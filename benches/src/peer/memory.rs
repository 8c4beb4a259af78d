//! The resident memory of `weir run`: idle, its source being connected and silent; and with a count
//! under each of a million keys.
//!
//! INVARIANT: the child is gone when this is done.

use std::{
    fs,
    io::{BufRead, BufReader, BufWriter, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use super::check::{STEP, mix};
use crate::{
    decimal::write_decimal,
    error::{Context, Error, Result},
};

/// The program says nothing for so long: something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an idle program is left alone before it is looked at.
const REST: Duration = Duration::from_secs(1);

/// Mebibytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) idle: f64,
    pub(super) loaded: f64,
    /// The most that it ever was.
    pub(super) peak: f64,
}

/// A program that ends with this.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program, which connects to its source.
fn start(weir: &Path, jobs: &Path) -> Result<(Program, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listening for the source")?;
    let address = listener.local_addr()?;
    let file = jobs.join("count-text.yaml");
    let child = Command::new(weir)
        .args(["run".as_ref(), file.as_os_str()])
        .args(["--config", "none", "--set"])
        .arg(format!("sources.rows.address=\"{address}\""))
        .args(["--set", "sources.rows.at-end=finish"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let child = Program(child.with_context(|| format!("cannot start {}", weir.display()))?);
    let (connection, _) = listener.accept().context("waiting for the source")?;
    Ok((child, connection))
}

/// Starts the program, looks at it, feeds it so many rows of so many keys, and looks again.
pub(super) fn measure(weir: &Path, jobs: &Path, keys: u64, rows: u64) -> Result<Memory> {
    // The first start may compile the component, and what that takes stays resident.
    drop(start(weir, jobs)?);
    let (mut child, connection) = start(weir, jobs)?;
    let output = child.0.stdout.take().context("no output of the program")?;
    let (sender, seen) = channel();
    thread::spawn(move || {
        let mut output = BufReader::with_capacity(1 << 20, output);
        let mut row = Vec::new();
        while output
            .read_until(b'\n', &mut row)
            .is_ok_and(|bytes| bytes > 0)
        {
            if sender.send(()).is_err() {
                return;
            }
            row.clear();
        }
    });
    // It says nothing, for it has no rows.
    if let Ok(()) | Err(RecvTimeoutError::Disconnected) = seen.recv_timeout(REST) {
        return Err(Error::new("the program did not wait for rows"));
    }
    let [idle, _] = memory_of(&child)?;
    let feed = thread::spawn(move || feed(connection, keys, rows));
    for row in 0..rows {
        if seen.recv_timeout(PATIENCE).is_err() {
            return Err(Error::new(format_args!(
                "the program gave {row} of {rows} rows"
            )));
        }
    }
    let [loaded, peak] = memory_of(&child)?;
    let fed = feed.join().map_err(|_| Error::new("the feed panicked"))?;
    drop(fed?);
    Ok(Memory { idle, loaded, peak })
}

/// Sends rows; the connection stays open as long as what is returned.
fn feed(connection: TcpStream, keys: u64, rows: u64) -> Result<BufWriter<TcpStream>> {
    let mut out = BufWriter::with_capacity(1 << 16, connection);
    let mut row = Vec::new();
    for i in 0..rows {
        row.clear();
        write_decimal(mix(i.wrapping_add(STEP)) % keys, &mut row);
        row.push(b',');
        write_decimal(i, &mut row);
        row.extend_from_slice(b",0\n");
        out.write_all(&row)?;
    }
    out.flush()?;
    Ok(out)
}

/// What is resident now, and the most that ever was.
fn memory_of(program: &Program) -> Result<[f64; 2]> {
    let path = format!("/proc/{}/status", program.0.id());
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: Option<f64> = line.and_then(|line| {
            let text = line.trim_start_matches(':').trim();
            text.strip_suffix("kB")?.trim().parse().ok()
        });
        kib.map(|kib| kib / 1024.0)
            .with_context(|| format!("no {name} in {path}"))
    };
    Ok([field("VmRSS")?, field("VmHWM")?])
}
