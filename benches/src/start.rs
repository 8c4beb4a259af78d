//! How soon the program shows the first row after it was started, its component's compiled code
//! being cached: the keyed count over generated rows, to standard output.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    error::{Context, Error, Result},
    record::median,
};

/// The name, for `--only`.
pub(crate) const NAME: &str = "start";

/// Milliseconds from the start of the process to its first row.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) compiled_anew: f64,
    pub(crate) cached: Vec<f64>,
}

impl Start {
    pub(crate) fn median(&self) -> f64 {
        median(self.cached.clone())
    }
}

/// Starts the program once to fill its cache, then `runs` times.
pub(crate) fn measure(weir: &Path, components: &Path, runs: u32) -> Result<Start> {
    let folder = tempfile::tempdir().context("making a folder for the job")?;
    let component = components.join("keyed-count.wasm");
    let file = folder.path().join("job.yaml");
    let job = format!(
        "apiVersion: weir/v1\n\
         job: start\n\
         parallelism: 1\n\
         restart: {{ strategy: none }}\n\
         sources:\n  rows: {{ connector: generator, count: 1000, keys: 50 }}\n\
         operators:\n  count:\n    component: {}\n    \
         inputs: [ {{ from: rows, key: {{ json: [/key] }} }} ]\n\
         sinks:\n  out: {{ connector: stdout, from: count }}\n",
        serde_json::json!(component)
    );
    fs::write(&file, job).with_context(|| format!("writing {}", file.display()))?;
    let cache = folder.path().join("compiled");
    let compiled_anew = first_row(weir, &file, &cache)?;
    let cached: Result<_> = (0..runs).map(|_| first_row(weir, &file, &cache)).collect();
    Ok(Start {
        compiled_anew,
        cached: cached?,
    })
}

/// Starts the program once and waits for its first row.
fn first_row(weir: &Path, file: &Path, cache: &Path) -> Result<f64> {
    let begun = Instant::now();
    let mut child = Command::new(weir)
        .arg("run")
        .arg(file)
        .env("WEIR_CACHE_DIR", cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", weir.display()))?;
    let mut row = String::new();
    let read = match child.stdout.take() {
        Some(out) => BufReader::new(out).read_line(&mut row),
        None => Ok(0),
    };
    let took = begun.elapsed().as_secs_f64() * 1e3;
    // What it would go on to do is of no interest; it may have ended by itself.
    let _ = child.kill();
    let status = child.wait()?;
    if read.is_err() || !row.trim_end().ends_with("=1") {
        let mut said = String::new();
        if let Some(mut error) = child.stderr.take() {
            let _ = error.read_to_string(&mut said);
        }
        let row = row.trim_end();
        return Err(Error::new(format_args!(
            "`weir run` ended ({status}) and its first row is `{row}`\n{said}"
        )));
    }
    Ok(took)
}
