//! Flink: a program in Java that is told on standard input what to run and tells on standard output
//! what it came to.
//!
//! INVARIANT: the child is gone when this is dropped.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
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
}

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
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("no output of Flink")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            for line in lines.map_while(std::result::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut flink = Flink {
            ready: Value::Null,
            child,
            input,
            lines,
        };
        // Flink is fetched now, if it never was.
        flink.ready = flink.answer("READY")?;
        Ok(flink)
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
        let told = writeln!(input, "run {words}").and_then(|()| input.flush());
        told.context("Flink does not listen")?;
        let told = self.answer("RESULT")?;
        match told.get("error").and_then(Value::as_str) {
            Some(error) => Err(Error::new(format_args!("Flink failed: {error}"))),
            None => Ok(told),
        }
    }

    /// What follows this word on the next line that begins with it.
    fn answer(&self, word: &str) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::new(format_args!(
                        "Flink said no {word} in {} s",
                        PATIENCE.as_secs()
                    )));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(format_args!(
                        "Flink ended and said no {word}; what it logged is above"
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
    fn a_child_that_is_never_ready_or_dies_is_told() {
        let never = program("echo hello").start(&[]).err().unwrap();
        assert!(never.to_string().contains("said no READY"), "{never}");
        let mut dies = program("echo READY {}; read -r line").start(&[]).unwrap();
        let told = dies.run("n=1").unwrap_err().to_string();
        assert!(told.contains("said no RESULT"), "{told}");
    }
}
