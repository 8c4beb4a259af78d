//! Flink: a program in Java that is told on standard input what to run and tells on standard output
//! what it came to.
//!
//! INVARIANT: the child is gone when this is dropped.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::run::Run;
use crate::error::{Context, Error, Result};

/// A run takes no longer than this, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long it may take to end.
const PARTING: Duration = Duration::from_secs(20);
/// How long is waited for the last words of one that has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How many lines are kept of what it says besides results: the last ones, should it die.
const KEPT_LINES: usize = 12;

/// How the program is started.
#[derive(Clone, Debug)]
pub struct Program {
    /// What runs it; words of a workload follow.
    pub words: Vec<PathBuf>,
}

/// A program that is ready for runs of one workload.
pub struct Flink {
    /// What it said when it was ready.
    pub ready: Value,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Said,
}

/// What it said last that is no result, on standard output and error.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<VecDeque<String>>>);

impl Program {
    /// A shell script that is told to `run`: the one of the clone installs Flink, compiles our Java
    /// and runs it.
    #[must_use]
    pub fn of_script(script: PathBuf) -> Self {
        Self {
            words: vec!["sh".into(), script, "run".into()],
        }
    }

    /// Starts it with these words, `key=value` each, and waits until it is ready.
    ///
    /// # Errors
    /// Where it does not start or says something else.
    pub fn start(&self, words: &[String]) -> Result<Flink> {
        let (program, first) = self.words.split_first().context("no program for Flink")?;
        let mut command = Command::new(program);
        command.args(first).args(words);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("no output of Flink")?;
        let log = child.stderr.take().context("no log of Flink")?;
        let said = Said::default();
        let (sender, lines) = channel();
        let log_sender = sender.clone();
        let of_output = said.clone();
        thread::spawn(move || of_output.listen(output, &sender, true));
        let of_log = said.clone();
        thread::spawn(move || of_log.listen(log, &log_sender, false));
        let mut flink = Flink {
            ready: Value::Null,
            child,
            input,
            lines,
            said,
        };
        // Flink is fetched now, if it never was.
        flink.ready = flink.answer("READY")?;
        Ok(flink)
    }
}

impl Said {
    /// Reads lines until there are no more, and hands on those that are answers. Of what is a log
    /// each line is shown as well. The channel ends when both streams have.
    fn listen(&self, stream: impl Read, answers: &Sender<String>, is_output: bool) {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines
            .read_until(b'\n', &mut line)
            .is_ok_and(|bytes| bytes > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            let is_answer = text.starts_with("READY") || text.starts_with("RESULT");
            if is_output && is_answer {
                if answers.send(text).is_err() {
                    return;
                }
                continue;
            }
            if !is_output {
                eprintln!("{text}");
            }
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(text);
            if kept.len() > KEPT_LINES {
                kept.pop_front();
            }
        }
    }

    /// In one line, if it said anything.
    fn last_words(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = kept.iter().map(|line| line.trim()).collect();
        match lines.is_empty() {
            true => "it said nothing".to_owned(),
            false => format!("its last lines: {}", lines.join(" / ")),
        }
    }
}

impl Flink {
    /// Runs the workload once; `words` are `n=…`, `warm=…` and the like.
    ///
    /// # Errors
    /// Where the run fails or nothing is told of it.
    pub fn run(&mut self, words: &str) -> Result<Run> {
        Run::of_json(&self.ask(words)?)
    }

    /// The same, and gives what is told as it is: of workloads that tell something else.
    ///
    /// # Errors
    /// Where the run fails or nothing is told of it.
    pub fn ask(&mut self, words: &str) -> Result<Value> {
        let input = self.input.as_mut().context("Flink has ended")?;
        // One that is gone cannot be written to; why it is gone is told with its answer.
        let _ = writeln!(input, "run {words}").and_then(|()| input.flush());
        let told = self.answer("RESULT")?;
        match told.get("error").and_then(Value::as_str) {
            Some(error) => Err(Error::new(format_args!("Flink failed: {error}"))),
            None => Ok(told),
        }
    }

    /// How it ended, once it said that there is no more to come.
    fn end(&mut self) -> String {
        let begun = Instant::now();
        while begun.elapsed() < LAST_WORDS {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) => thread::park_timeout(Duration::from_millis(5)),
                Err(error) => return error.to_string(),
            }
        }
        "it closed its output and still runs".to_owned()
    }

    /// What follows this word on the next line that begins with it.
    fn answer(&mut self, word: &str) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::new(format_args!(
                        "Flink said no {word} in {} s; {}",
                        PATIENCE.as_secs(),
                        self.said.last_words()
                    )));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let (how, last) = (self.end(), self.said.last_words());
                    return Err(Error::new(format_args!(
                        "Flink ended ({how}) and said no {word}; {last}"
                    )));
                }
            };
            if let Some(told) = line.strip_prefix(word) {
                let read = serde_json::from_str(told.trim());
                return read.with_context(|| format!("reading `{line}`"));
            }
        }
    }
}

impl Drop for Flink {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.input = None;
        let begun = Instant::now();
        while begun.elapsed() < PARTING {
            match self.lines.recv_timeout(Duration::from_millis(20)) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if !matches!(self.child.try_wait(), Ok(None)) {
                        break;
                    }
                }
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(script: &str) -> Program {
        Program {
            words: vec!["sh".into(), "-c".into(), script.into(), "flink".into()],
        }
    }

    #[test]
    fn a_child_is_asked_for_runs_and_ends_with_its_input() {
        let script = r#"echo "a log line"; echo "READY {\"jvm_ms\":$1}"
            while read -r run n warm; do
                echo "RESULT {\"rows\":${n#n=},\"wall_ns\":1,\"cpu_ns\":2,\"out\":3,\"sum\":\"4\",\"rss_mb\":5,\"checkpoints\":[],\"error\":null}"
            done"#;
        let mut flink = program(script).start(&["7".to_owned()]).unwrap();
        assert_eq!(flink.ready, serde_json::json!({ "jvm_ms": 7 }));
        assert_eq!(flink.run("n=20 warm=1").unwrap().rows, 20);
        assert_eq!(flink.run("n=21 warm=1").unwrap().rows, 21);
    }

    #[test]
    fn a_child_that_is_never_ready_or_dies_is_told_with_its_last_lines() {
        let never = program("echo hello").start(&[]).err().unwrap();
        let never = never.to_string();
        assert!(never.contains("said no READY"), "{never}");
        assert!(never.ends_with("its last lines: hello"), "{never}");
        let script = "echo READY {}; read -r line; seq 20 >&2; echo no memory >&2; exit 3";
        let mut dies = program(script).start(&[]).unwrap();
        let told = dies.run("n=1").unwrap_err().to_string();
        assert!(
            told.contains("(exit status: 3) and said no RESULT"),
            "{told}"
        );
        assert!(told.ends_with("/ 19 / 20 / no memory"), "{told}");
        assert!(!told.contains("/ 8 /"), "{told}");
        let again = dies.run("n=1").unwrap_err().to_string();
        assert!(again.contains("said no RESULT"), "{again}");
    }
}
