//! The log of one instance: what it says through `telemetry.log` and, line by line, through
//! standard output and standard error.
//!
//! INVARIANT: a guest cannot flood the host's log: lines a second and bytes a line are bounded, and
//! what was left out is counted and told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::Level;
use weir_model::ProcessingTime;
use weir_operator::TaskInfo;

/// The most lines in one second of processing time.
const MAX_LINES: u32 = 100;
/// The most bytes of a line; the rest is cut off.
const MAX_LINE: usize = 4 << 10;
/// How much of what the guest said last is kept to explain a trap.
const MAX_LAST_WORDS: usize = 4 << 10;

/// One of the standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A handle of the log; its clones, held by the streams of WASI, write to the same.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<Inner>>);

struct Inner {
    origin: Origin,
    /// The second that `lines` counts in, and the lines of it so far.
    second: i64,
    lines: u32,
    suppressed: u64,
    /// Whether nothing is logged for now.
    rehearsal: bool,
    out: Line,
    err: Line,
    /// What the guest last logged as an error in this call; else the end of its standard error.
    last_error: Option<String>,
    err_tail: String,
}

/// A line of a stream that is not over yet, as far as it is kept.
#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    /// How many bytes more it has.
    more: usize,
}

/// Who logs.
struct Origin {
    job: String,
    operator: String,
    subtask: Option<u32>,
}

impl Log {
    /// The log of a task's instance, or of one that is only described.
    pub(crate) fn new(task: Option<&TaskInfo>) -> Self {
        let origin = Origin {
            job: task.map_or_else(String::new, |t| t.job.to_string()),
            operator: task.map_or_else(String::new, |t| t.operator.to_string()),
            subtask: task.map(|t| t.subtask.0),
        };
        Self(Arc::new(Mutex::new(Inner {
            origin,
            second: i64::MIN,
            lines: 0,
            suppressed: 0,
            rehearsal: false,
            out: Line::default(),
            err: Line::default(),
            last_error: None,
            err_tail: String::new(),
        })))
    }

    /// A call begins, at this reading of the clock. Of a rehearsal only the last words are kept.
    pub(crate) fn begin(&self, now: Option<ProcessingTime>, rehearsal: bool) {
        let mut inner = self.inner();
        inner.rehearsal = rehearsal;
        inner.last_error = None;
        inner.err_tail.clear();
        let second = now.map_or(i64::MIN, |now| now.0.div_euclid(1000));
        if second != inner.second {
            inner.tell_suppressed();
            inner.second = second;
            inner.lines = 0;
        }
    }

    /// `telemetry.log`.
    pub(crate) fn log(&self, level: Level, message: &str) {
        let mut inner = self.inner();
        if level == Level::ERROR {
            inner.last_error = Some(cut(message, MAX_LAST_WORDS).to_owned());
        }
        inner.line(level, message, 0);
    }

    /// Bytes on a standard stream.
    pub(crate) fn write(&self, stream: Stream, mut bytes: &[u8]) {
        let mut inner = self.inner();
        while let Some(newline) = bytes.iter().position(|&b| b == b'\n') {
            inner.extend_line(stream, &bytes[..newline]);
            inner.end_line(stream);
            bytes = &bytes[newline + 1..];
        }
        inner.extend_line(stream, bytes);
    }

    /// A line that was begun is all there will be of it.
    pub(crate) fn end_line(&self, stream: Stream) {
        let mut inner = self.inner();
        if !inner.partial(stream).bytes.is_empty() {
            inner.end_line(stream);
        }
    }

    /// What the guest said before it failed in this call.
    pub(crate) fn last_words(&self) -> Option<String> {
        let inner = self.inner();
        let tail = inner.err_tail.trim_end();
        let tail = (!tail.is_empty()).then(|| tail.to_owned());
        inner.last_error.clone().or(tail)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A poisoned log is still a log.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Logs a line that has `more` bytes than `message`.
    fn line(&mut self, level: Level, message: &str, more: usize) {
        if self.rehearsal {
            return;
        }
        if self.lines == MAX_LINES {
            self.suppressed += 1;
            return;
        }
        self.lines += 1;
        let shown = cut(message, MAX_LINE);
        let more = more.saturating_add(message.len() - shown.len());
        if more == 0 {
            self.origin.emit(level, shown);
        } else {
            self.origin
                .emit(level, &format!("{shown}… ({more} bytes more)"));
        }
    }

    fn tell_suppressed(&mut self) {
        if self.suppressed != 0 {
            let message = format!(
                "lines of the component left out: {}; {MAX_LINES} in a second is the most",
                self.suppressed
            );
            self.suppressed = 0;
            self.origin.emit(Level::WARN, &message);
        }
    }

    fn partial(&mut self, stream: Stream) -> &mut Line {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    fn extend_line(&mut self, stream: Stream, bytes: &[u8]) {
        let line = self.partial(stream);
        let room = MAX_LINE.saturating_sub(line.bytes.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        line.bytes.extend_from_slice(kept);
        line.more = line.more.saturating_add(bytes.len() - kept.len());
    }

    fn end_line(&mut self, stream: Stream) {
        let mut line = std::mem::take(self.partial(stream));
        let text = String::from_utf8_lossy(&line.bytes);
        match stream {
            Stream::Out => self.line(Level::INFO, &text, line.more),
            Stream::Err => {
                self.line(Level::WARN, &text, line.more);
                self.err_tail.push_str(&text);
                self.err_tail.push('\n');
                let excess = self.err_tail.len().saturating_sub(MAX_LAST_WORDS);
                let from = self.err_tail.ceil_char_boundary(excess);
                self.err_tail.drain(..from);
            }
        }
        // The buffer is used again.
        drop(text);
        line.bytes.clear();
        line.more = 0;
        *self.partial(stream) = line;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tell_suppressed();
    }
}

impl Origin {
    fn emit(&self, level: Level, message: &str) {
        let Self {
            job,
            operator,
            subtask,
        } = self;
        // The level of an event is fixed where it stands.
        macro_rules! emit {
            ($level:expr) => {
                tracing::event!(target: "weir::guest", $level, job, operator, subtask, "{message}")
            };
        }
        match level {
            Level::ERROR => emit!(Level::ERROR),
            Level::WARN => emit!(Level::WARN),
            Level::INFO => emit!(Level::INFO),
            Level::DEBUG => emit!(Level::DEBUG),
            Level::TRACE => emit!(Level::TRACE),
        }
    }
}

/// The beginning of a text, at most so many bytes.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests;
