//! Progress of what takes long, for whoever sits at a terminal: a line at the bottom that is
//! redrawn, and gone when it is over.
//!
//! INVARIANT: nothing is drawn where standard error is no terminal, nor for what is done within
//! [`DELAY`]; and nothing else is written to standard error while the line stands, but through
//! [`beside`], which takes it away first.

use std::{
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is quicker needs no line.
const DELAY: Duration = Duration::from_millis(300);
/// Between two drawings.
const TICK: Duration = Duration::from_millis(100);

/// The line that stands now.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Something that is under way. Dropped, its line is taken away.
pub(crate) struct Bar(Option<Running>);

struct Running {
    state: Arc<Mutex<State>>,
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

/// What the line says.
struct State {
    what: String,
    /// Bytes that are done, of how many; `None` = nobody knows how much there is.
    done: Option<(u64, u64)>,
}

impl Bar {
    /// Begins: `what` is being done. `terminal` = standard error is one.
    pub(crate) fn begin(what: impl Into<String>, terminal: bool) -> Self {
        if !terminal {
            return Self(None);
        }
        let state = State {
            what: what.into(),
            done: None,
        };
        let state = Arc::new(Mutex::new(state));
        let (stop, stopped) = mpsc::channel();
        let drawn = state.clone();
        let draw = move || draw(&drawn, &stopped);
        // Without a thread there is no line, and the work is done all the same.
        let thread = thread::Builder::new()
            .name("weir-progress".into())
            .spawn(draw);
        Self(thread.ok().map(|thread| Running {
            state,
            stop,
            thread,
        }))
    }

    /// What is being done now.
    pub(crate) fn say(&self, what: impl Into<String>) {
        self.change(|state| {
            state.what = what.into();
            state.done = None;
        });
    }

    /// How far it is.
    pub(crate) fn reach(&self, done: u64, of: u64) {
        self.change(|state| state.done = Some((done, of)));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        if let Some(running) = &self.0 {
            change(&mut running.state.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(Running { stop, thread, .. }) = self.0.take() {
            drop(stop);
            // It draws and waits, and cannot panic.
            let _ = thread.join();
        }
    }
}

/// Draws the line from [`DELAY`] on until it is over.
fn draw(state: &Mutex<State>, stopped: &mpsc::Receiver<()>) {
    if stopped.recv_timeout(DELAY) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(None, target).with_elapsed(DELAY);
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
    let mut is_counted = None;
    loop {
        let (what, done) = {
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.what.clone(), state.done)
        };
        if is_counted != Some(done.is_some()) {
            is_counted = Some(done.is_some());
            bar.set_style(style(done.is_some()));
        }
        bar.set_message(what);
        if let Some((done, of)) = done {
            bar.set_length(of);
            bar.set_position(done);
        }
        bar.tick();
        if stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    // Held until it is gone, so that nothing is written over it.
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    bar.finish_and_clear();
    *shown = None;
}

const COUNTED: &str = "{spinner} {msg} [{bar:24}] {binary_bytes} of {binary_total_bytes}";
const NOT_COUNTED: &str = "{spinner} {msg} ({elapsed})";

fn style(is_counted: bool) -> ProgressStyle {
    let template = if is_counted { COUNTED } else { NOT_COUNTED };
    // A template that cannot be read would be a bug, and a plain line is better than none.
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    style.progress_chars("=> ")
}

/// Writes to standard error beside the line that may stand there. Nobody listening is no error.
pub(crate) fn beside(bytes: &[u8]) {
    let write = || {
        let mut out = std::io::stderr().lock();
        let _ = out.write_all(bytes);
        let _ = out.flush();
    };
    // Held meanwhile, so that no line appears in between.
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match &*shown {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Where the log goes: standard error, beside the line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        beside(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_there_is_no_thread_and_no_line() {
        let bar = Bar::begin("compiling", false);
        bar.say("restoring");
        bar.reach(1, 2);
        assert!(bar.0.is_none());
    }

    #[test]
    fn what_is_over_leaves_nothing() {
        let bar = Bar::begin("compiling", true);
        assert!(bar.0.is_some());
        drop(bar);
        assert!(SHOWN.lock().unwrap().is_none());
    }

    #[test]
    fn both_lines_can_be_drawn() {
        for template in [COUNTED, NOT_COUNTED] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
