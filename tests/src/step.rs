//! One call of the program, and what must come of it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde::Deserialize;

use crate::{
    AS_PROGRAM,
    script::{Action, Playing, Printed, Sockets, Streams},
};

/// Is sent in place of a signal: from now on no file grows beyond [`FULL_BYTES`], as on a disk that
/// is full, until `room` is sent.
const FULL: &str = "full";

/// Less than any checkpoint has.
const FULL_BYTES: u64 = 64;

/// How long a step may take before it counts as hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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
    /// Where standard output goes, in place of being read.
    #[serde(default)]
    stdout_to: Option<PathBuf>,
    /// What neither of them may hold.
    #[serde(default)]
    never: Vec<String>,
    /// Signals, one after the other, each once a line on standard error holds a text.
    #[serde(default)]
    signals: Vec<Moment>,
    /// Sockets that are open meanwhile; `@socket:name@` in the arguments is the address of one.
    #[serde(default)]
    sockets: Vec<String>,
    /// What happens on them.
    #[serde(default)]
    script: Vec<Action>,
    /// A call that is made while this one runs, at such a moment.
    #[serde(default)]
    meanwhile: Option<Box<Meanwhile>>,
    /// All committed rows of a folder, sorted.
    #[serde(default)]
    rows: BTreeMap<String, Vec<String>>,
    /// How many files or folders match each pattern afterwards.
    #[serde(default)]
    files: BTreeMap<String, usize>,
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
    /// The calls, one after the other.
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    step: Option<Step>,
    /// Sent to the first call afterwards.
    #[serde(default)]
    send: Option<String>,
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
        let sockets = Sockets::open(&self.sockets)?;
        let mut child = self
            .command()?
            .args(sockets.fill(&self.run)?)
            .current_dir(place)
            .env(AS_PROGRAM, "1")
            .env("WEIR_CACHE_DIR", cache)
            .env("WEIR_CONFIG", "none")
            .env("XDG_RUNTIME_DIR", runtime_dir(place)?)
            .stdin(Stdio::null())
            .stdout(match &self.stdout_to {
                Some(path) => fs::File::options().write(true).open(path)?.into(),
                None => Stdio::piped(),
            })
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdout, stderr) = (Arc::<Printed>::default(), Arc::<Printed>::default());
        let out = child.stdout.take();
        let reading = thread::spawn({
            let stdout = Arc::clone(&stdout);
            move || match out {
                Some(out) => stdout.read(out, |_| {}),
                None => stdout.read(io::empty(), |_| {}),
            }
        });
        let streams = Streams {
            stdout: Arc::clone(&stdout),
            stderr: Arc::clone(&stderr),
        };
        let script = Playing::start(&self.script, sockets, streams, child.id());
        let watched = self.watch(&mut child, &stderr, place, cache);
        if watched.is_err() {
            let _ = child.kill();
        }
        let code = child.wait()?.code();
        let read = reading.join();
        read.map_err(|_| anyhow::anyhow!("reading stdout"))??;
        let (stdout, stderr) = (stdout.text(), stderr.text());
        let all = || format!("\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        script.end().with_context(all)?;
        watched.with_context(all)?;
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

    /// The program. A file that may not grow any more is an error for it, as a full disk is, and
    /// not a signal.
    fn command(&self) -> Result<Command> {
        let program = std::env::current_exe()?;
        if self.signals.iter().any(|moment| moment.send == FULL) {
            let mut shell = Command::new("sh");
            shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
            shell.arg(program);
            return Ok(shell);
        }
        Ok(Command::new(program))
    }

    /// Reads standard error to its end, and does what is to be done at its moment.
    fn watch(
        &self,
        child: &mut Child,
        stderr: &Arc<Printed>,
        place: &Path,
        cache: &Path,
    ) -> Result<()> {
        let from = child.stderr.take().context("no stderr")?;
        let (sender, receiver) = mpsc::channel();
        let stderr = Arc::clone(stderr);
        thread::spawn(move || {
            // Nobody listens any more where the step has failed.
            stderr.read(from, |line| {
                sender.send(line.to_owned()).unwrap_or_default()
            })
        });
        let mut moments = self.signals.iter().peekable();
        let mut seen = 0;
        let mut meanwhile = self.meanwhile.as_deref();
        loop {
            let line = match receiver.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => bail!("hung"),
            };
            seen += u32::from(moments.peek().is_some_and(|m| line.contains(&m.after)));
            if let Some(now) = moments.next_if(|m| seen == m.nth) {
                seen = 0;
                send(child.id(), &now.send)?;
            }
            if let Some(now) = meanwhile.take_if(|m| line.contains(&m.after)) {
                for (number, step) in now.step.iter().chain(&now.steps).enumerate() {
                    let what = || format!("call {number} meanwhile");
                    step.run(place, cache).with_context(what)?;
                }
                if let Some(signal) = &now.send {
                    send(child.id(), signal)?;
                }
            }
        }
        ensure!(
            moments.peek().is_none() && meanwhile.is_none(),
            "the moment never came"
        );
        Ok(())
    }

    fn check_files(&self, place: &Path) -> Result<()> {
        for (pattern, count) in &self.files {
            let text = place.join(pattern);
            let found = glob::glob(text.to_str().context("the pattern is not UTF-8")?)?;
            let found = found.collect::<Result<Vec<_>, _>>()?;
            ensure!(found.len() == *count, "{pattern} matches {found:#?}");
        }
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

/// Where the program has its control sockets: a place for each test.
fn runtime_dir(place: &Path) -> Result<PathBuf> {
    let folder = place.join("runtime");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Sends a signal to the program with this process id.
pub(crate) fn send(program: u32, name: &str) -> Result<()> {
    let pid = i32::try_from(program)
        .ok()
        .and_then(Pid::from_raw)
        .context("no pid")?;
    let signal = match name {
        FULL | "room" => {
            let limit = Rlimit {
                current: (name == FULL).then_some(FULL_BYTES),
                maximum: None,
            };
            prlimit(Some(pid), Resource::Fsize, limit)?;
            return Ok(());
        }
        "KILL" => Signal::KILL,
        "INT" => Signal::INT,
        "TERM" => Signal::TERM,
        other => bail!("no signal {other}"),
    };
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
pub(crate) fn committed(folder: &Path) -> Result<Vec<String>> {
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
