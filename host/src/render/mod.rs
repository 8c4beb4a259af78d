//! What people and programs see: progress on standard error, results on standard output.

mod bar;
mod guarantee;
mod plan;
mod progress;
mod report;
mod time;

use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use crate::{
    cli::{Output, Shared},
    exit::Exit,
};

pub(crate) use bar::{Bar, Log};
pub(crate) use guarantee::{guarantees_document, guarantees_text};
pub(crate) use plan::{plan_document, plan_text};
pub(crate) use progress::{Progress, failure_text};
pub(crate) use report::{finished_text, json_report, text_report};
pub(crate) use time::utc;

/// Writes a line of talk to standard error. Nobody listening is no error.
pub fn say(text: &str) {
    bar::beside(format!("{text}\n").as_bytes());
}

/// The code of a result that cannot be written.
const NOT_TOLD: &str = "W0007";

/// Whether a result could not be written.
static UNTOLD: AtomicBool = AtomicBool::new(false);

/// Writes a result to standard output. Nobody listening is no error; any other that it cannot be
/// written for is said, and the program ends with it: see [`end`].
pub(crate) fn tell(text: &str) {
    if let Err(error) = write(&mut io::stdout().lock(), text) {
        UNTOLD.store(true, Ordering::Relaxed);
        say(&format!(
            "error: [{NOT_TOLD}] the result cannot be written to standard output: {error}"
        ));
    }
}

fn write(out: &mut dyn Write, text: &str) -> io::Result<()> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// How the program ends: what is done and could not be told has failed.
pub(crate) fn end(exit: Exit) -> Exit {
    match exit {
        Exit::Done if UNTOLD.load(Ordering::Relaxed) => Exit::Failed,
        exit => exit,
    }
}

/// An error for which there is no text to point at: for programs on standard output, in the form of
/// those of a job file.
pub(crate) fn error(shared: &Shared, code: &str, message: &str, help: Option<&str>) {
    match shared.output {
        Output::Json => {
            let one = error_document(code, message, help);
            tell(&json!({ "errors": [one] }).to_string());
        }
        Output::Text => {
            say(&format!("error: [{code}] {message}"));
            if let Some(help) = help {
                say(&format!("  help: {help}"));
            }
        }
    }
}

/// An error for programs.
pub(crate) fn error_document(code: &str, message: &str, help: Option<&str>) -> Value {
    json!({ "code": code, "message": message, "help": help })
}

/// A number with its thousands apart.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size in a unit that suits it.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A duration in a unit that suits it.
pub(crate) fn duration(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else if ms < 120_000.0 {
        format!("{:.1} s", ms / 1000.0)
    } else {
        format!("{:.1} min", ms / 60_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives this error for whatever is written.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_nobody_listening_is_no_error() {
        let kind = |kind| write(&mut Broken(kind), "a").map_err(|e| e.kind());
        assert_eq!(kind(io::ErrorKind::BrokenPipe), Ok(()));
        assert_eq!(
            kind(io::ErrorKind::StorageFull),
            Err(io::ErrorKind::StorageFull)
        );
        let mut out = Vec::new();
        write(&mut out, "a").unwrap();
        assert_eq!(out, b"a\n");
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(336_776), "336,776");
        assert_eq!(grouped(1_000_000), "1,000,000");
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(duration(3.25), "3.2 ms");
        assert_eq!(duration(1500.0), "1.5 s");
    }
}
