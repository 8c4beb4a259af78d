//! What the harness and its job have in common: what is still to be read, and what has come out.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use weir_model::{EventTime, SubtaskIndex};
use weir_operator::Waker;

/// A row that goes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its bytes.
    pub value: Vec<u8>,
    /// Its event time in milliseconds, where it has one.
    pub time: Option<i64>,
}

impl Row {
    /// A row without a time.
    #[must_use]
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self {
            value: value.into(),
            time: None,
        }
    }

    /// The same with this event time.
    #[must_use]
    pub fn at(mut self, time: i64) -> Self {
        self.time = Some(time);
        self
    }
}

/// A row that came out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caught {
    /// The subtask that gave it. The rows of a subtask are in the order in which it gave them.
    pub subtask: SubtaskIndex,
    /// Its bytes.
    pub value: Vec<u8>,
    /// Its event time in milliseconds, where it has one.
    pub time: Option<i64>,
}

/// What a source is told.
#[derive(Clone, Debug)]
pub(crate) enum Fed {
    /// These rows; all of them have a time, or none.
    Rows(Vec<Row>),
    Watermark(EventTime),
    Idle(bool),
    End,
}

/// Behind one lock, with one bell.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    /// Of each input.
    pub(crate) feeds: Vec<FeedState>,
    /// Of each output, then dead letters: what came since somebody looked.
    pub(crate) caught: Vec<Vec<Caught>>,
    /// All tasks run.
    pub(crate) is_running: bool,
    /// The job has ended.
    pub(crate) is_over: bool,
}

#[derive(Default)]
pub(crate) struct FeedState {
    pub(crate) queue: VecDeque<Fed>,
    /// Whoever reads it has dealt with all that it was given: it has asked for more.
    pub(crate) is_dry: bool,
    /// Its end has been read.
    pub(crate) has_ended: bool,
    pub(crate) wake: Option<Waker>,
}

impl FeedState {
    /// Whether nothing is left to be read or to be dealt with by its reader.
    pub(crate) fn is_done(&self) -> bool {
        self.queue.is_empty() && (self.is_dry || self.has_ended)
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A task that panicked with the lock has pushed a row, or has not: both are whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and tells whoever waits.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }

    /// Waits until something holds, or the job is over.
    pub(crate) fn wait(&self, until: impl Fn(&State) -> bool) {
        let mut state = self.lock();
        while !state.is_over && !until(&state) {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells a source something.
    pub(crate) fn feed(&self, input: usize, fed: Fed) {
        let wake = self.change(|state| {
            let feed = state.feeds.get_mut(input)?;
            feed.queue.push_back(fed);
            feed.is_dry = false;
            feed.wake.clone()
        });
        // Not under the lock: waking may run code of the task's thread.
        if let Some(wake) = wake {
            wake();
        }
    }
}
