//! Triggers that are not the host's: what they are asked, and what they decide.

use weir_model::{ColumnView, EventTime, OptionalColumn, ProcessingTime};
use weir_state::TimerKind;
use weir_window::{TimerChange, Verdict, Window};

use crate::Failure;

/// Windows whose trigger is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The key of each.
    pub keys: ColumnView<'a>,
    /// The windows.
    pub windows: &'a [Window],
    /// What the trigger remembers of each.
    pub remembered: &'a OptionalColumn,
    /// Where event time is.
    pub watermark: EventTime,
    /// Where the clock is.
    pub now: ProcessingTime,
}

/// Rows that were added to windows, in order; one may be in several.
#[derive(Clone, Copy, Debug)]
pub struct Added<'a> {
    /// The rows of the call.
    pub rows: ColumnView<'a>,
    /// Their event times; empty where they have none.
    pub timestamps: &'a [i64],
    /// Which row was added.
    pub row_of: &'a [u32],
    /// To which of the windows.
    pub window_of: &'a [u32],
}

/// Timers that windows have waited for, in order.
#[derive(Clone, Copy, Debug)]
pub struct DueTimers<'a> {
    /// Which time they go by.
    pub kind: TimerKind,
    /// When each was due.
    pub at: &'a [i64],
    /// Which of the windows has set it.
    pub window_of: &'a [u32],
}

/// What a trigger decides.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// For each row that was added, or each timer.
    pub verdicts: Vec<Verdict>,
    /// What it remembers of each window from now on.
    pub remembered: OptionalColumn,
    /// The timers that it sets and deletes, in order, each with its window.
    pub timers: Vec<(u32, TimerChange)>,
}

impl Failure {
    /// A bug of the host: whoever has windows with a trigger of the function has looked for it.
    pub(crate) fn no_trigger() -> Self {
        Self::Internal {
            message: "the function of the windows is no trigger".into(),
        }
    }
}
