//! One call of the program, and what must come of it.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::AS_PROGRAM;

/// How long a step may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Step {
    /// The arguments of the program.
    run: Vec<String>,
    /// The exit code; `null` where a signal ends it.
    #[serde(default)]
    exit: Option<i32>,
    /// What standard error must hold, in this order.
    #[serde(default)]
    stderr: Vec<String>,
    /// What standard output must hold, in this order.
    #[serde(default)]
    stdout: Vec<String>,
    /// What neither of them may hold.
    #[serde(default)]
    never: Vec<String>,
    /// Signals, one after the other, each once a line on standard error holds a text.
    #[serde(default)]
    signals: Vec<Moment>,
    /// A call that is made while this one runs, at such a moment.
    #[serde(default)]
    meanwhile: Option<Box<Meanwhile>>,
    /// All committed rows of a folder, sorted.
    #[serde(default)]
    rows: BTreeMap<String, Vec<String>>,
    /// How many committed rows there are in a folder, all of them different.
    #[serde(default)]
    distinct: BTreeMap<String, usize>,
    /// Appended to a file before the call.
    #[serde(default)]
    append: BTreeMap<String, String>,
    /// Files that are filled with these bytes before the call.
    #[serde(default)]
    write: BTreeMap<String, String>,
    /// Files that are spoilt before the call. Of several that match a pattern it is the last.
    #[serde(default)]
    damage: BTreeMap<String, Damage>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Damage {
    /// One bit in the middle is another.
    Flip,
    /// The second half is gone.
    Truncate,
    /// The file is gone.
    Remove,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Moment {
    after: String,
    /// The how-manieth such line it is, counted from the signal before.
    #[serde(default = "first")]
    nth: u32,
    send: String,
}

fn first() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meanwhile {
    after: String,
    step: Step,
    /// Sent to the first call afterwards.
    send: String,
}

impl Step {
    /// Makes the call in `place` and checks what comes of it.
    pub(crate) fn run(&self, place: &Path, cache: &Path) -> Result<()> {
        for (path, text) in &self.append {
            let mut all = fs::read(place.join(path)).unwrap_or_default();
            all.extend_from_slice(text.as_bytes());
            fs::write(place.join(path), all)?;
        }
        for (path, text) in &self.write {
            fs::write(place.join(path), text)?;
        }
        for (pattern, how) in &self.damage {
            how.do_to(&place.join(pattern))?;
        }
        let mut child = Command::new(std::env::current_exe()?)
            .args(&self.run)
            .current_dir(place)
            .env(AS_PROGRAM, "1")
            .env("WEIR_CACHE_DIR", cache)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut out = child.stdout.take().context("no stdout")?;
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        });
        let result = self.watch(&mut child, place, cache);
        if result.is_err() {
            let _ = child.kill();
        }
        let stderr = result?;
        let code = child.wait()?.code();
        let stdout = stdout
            .join()
            .map_err(|_| anyhow::anyhow!("reading stdout"))??;
        let all = || format!("\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        ensure!(
            code == self.exit,
            "exit code {code:?}, not {:?}{}",
            self.exit,
            all()
        );
        in_order(&stderr, &self.stderr).with_context(all)?;
        in_order(&stdout, &self.stdout).with_context(all)?;
        for text in &self.never {
            let found = stdout.contains(text) || stderr.contains(text);
            ensure!(!found, "`{text}` was printed{}", all());
        }
        self.check_files(place).with_context(all)
    }

    /// Reads standard error to its end, and does what is to be done at its moment.
    fn watch(&self, child: &mut Child, place: &Path, cache: &Path) -> Result<String> {
        let lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || lines.map_while(|l| l.ok()).try_for_each(|l| sender.send(l)));
        let mut moments = self.signals.iter().peekable();
        let mut seen = 0;
        let mut meanwhile = self.meanwhile.as_deref();
        let mut all = String::new();
        loop {
            let line = match receiver.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => bail!("hung; so far:\n{all}"),
            };
            all.push_str(&line);
            all.push('\n');
            seen += u32::from(moments.peek().is_some_and(|m| line.contains(&m.after)));
            if let Some(now) = moments.next_if(|m| seen == m.nth) {
                seen = 0;
                send(child, &now.send)?;
            }
            if let Some(now) = meanwhile.take_if(|m| line.contains(&m.after)) {
                now.step.run(place, cache).context("meanwhile")?;
                send(child, &now.send)?;
            }
        }
        ensure!(
            moments.peek().is_none() && meanwhile.is_none(),
            "the moment never came:\n{all}"
        );
        Ok(all)
    }

    fn check_files(&self, place: &Path) -> Result<()> {
        for (folder, expected) in &self.rows {
            let rows = committed(&place.join(folder))?;
            ensure!(rows == *expected, "{folder} holds {rows:#?}");
        }
        for (folder, count) in &self.distinct {
            let mut rows = committed(&place.join(folder))?;
            let all = rows.len();
            rows.dedup();
            ensure!(all == *count, "{folder} holds {all} rows, not {count}");
            ensure!(
                rows.len() == all,
                "{folder} holds {} rows twice",
                all - rows.len()
            );
        }
        Ok(())
    }
}

impl Damage {
    /// Does it to the last of the files that match a pattern, in order of the numbers in their
    /// names.
    fn do_to(self, pattern: &Path) -> Result<()> {
        let text = pattern.to_str().context("the pattern is not UTF-8")?;
        let mut found = glob::glob(text)?.collect::<Result<Vec<_>, _>>()?;
        let numbers = |path: &PathBuf| -> Vec<u64> {
            let text = path.to_string_lossy();
            let digits = text.split(|c: char| !c.is_ascii_digit());
            digits.filter_map(|n| n.parse().ok()).collect()
        };
        found.sort_by_key(numbers);
        let path = found
            .pop()
            .with_context(|| format!("nothing matches {text}"))?;
        let mut bytes = fs::read(&path)?;
        let middle = bytes.len() / 2;
        match self {
            Self::Remove => return Ok(fs::remove_file(&path)?),
            Self::Truncate => bytes.truncate(middle),
            Self::Flip => *bytes.get_mut(middle).context("the file is empty")? ^= 1,
        }
        Ok(fs::write(&path, bytes)?)
    }
}

fn send(child: &Child, name: &str) -> Result<()> {
    let signal = match name {
        "KILL" => Signal::KILL,
        "INT" => Signal::INT,
        "TERM" => Signal::TERM,
        other => bail!("no signal {other}"),
    };
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("no pid")?;
    Ok(kill_process(pid, signal)?)
}

/// All texts are there, each behind the one before.
fn in_order(text: &str, expected: &[String]) -> Result<()> {
    let mut rest = text;
    for wanted in expected {
        let at = rest
            .find(wanted)
            .with_context(|| format!("`{wanted}` is missing"))?;
        rest = &rest[at + wanted.len()..];
    }
    Ok(())
}

/// The rows of all files that are visible, sorted; a name with a dot in front is not committed.
fn committed(folder: &Path) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    if !folder.is_dir() {
        return Ok(rows);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.starts_with('.') {
            rows.extend(fs::read_to_string(&path)?.lines().map(str::to_owned));
        }
    }
    rows.sort();
    Ok(rows)
}
