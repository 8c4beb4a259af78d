//! What becomes of the rows of a window: the part of a window operator that is not the host's.

use weir_model::{Column, ColumnView, OptionalColumn};
use weir_window::Window;

use crate::{Added, Asked, Context, Decided, DueTimers, Emitted, Failure, TaskInfo};

/// Windows that give their results, in this order.
#[derive(Clone, Copy, Debug)]
pub struct FiredWindows<'a> {
    /// The key of each.
    pub keys: ColumnView<'a>,
    /// The windows.
    pub windows: &'a [Window],
    /// What they hold.
    pub contents: Contents<'a>,
}

/// What windows hold.
#[derive(Clone, Copy, Debug)]
pub enum Contents<'a> {
    /// One accumulator each.
    Accumulators(ColumnView<'a>),
    /// Their rows, one window after the other.
    Rows {
        /// The rows.
        values: ColumnView<'a>,
        /// The event time of each, in milliseconds; `i64::MIN` where it has none.
        timestamps: &'a [i64],
        /// Where the rows of each window end.
        ends: &'a [u32],
    },
}

/// Makes results out of the rows of windows. What it writes to state is part of the call.
pub trait WindowFunction: Send {
    /// Whether rows are folded as they come; else all of them are kept until the window is over.
    fn aggregates(&self) -> bool;

    /// Called once, before everything else.
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure>;

    /// Makes the instance anew after it was lost, as [`Operator::reset`](crate::Operator::reset).
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure>;

    /// Looks at rows as they come, where all of them are kept: before they are.
    ///
    /// # Errors
    /// As [`accumulate`](Self::accumulate).
    fn accept(&mut self, cx: &mut Box<Context>, rows: ColumnView<'_>) -> Result<(), Failure> {
        let _ = (cx, rows);
        Ok(())
    }

    /// Adds each row to its accumulator, in order; an absent one is new. Gives back all of them, as
    /// many as there were.
    ///
    /// # Errors
    /// [`Failure`]; nothing of the call is kept. [`Failure::Guest`] with a row refuses that one of
    /// `rows`: the others come again without it.
    fn accumulate(
        &mut self,
        cx: &mut Box<Context>,
        accumulators: &OptionalColumn,
        accumulator_of_row: &[u32],
        rows: ColumnView<'_>,
    ) -> Result<Column, Failure>;

    /// Makes one accumulator out of each group; the groups end where `ends` says.
    ///
    /// # Errors
    /// As [`accumulate`](Self::accumulate).
    fn merge(
        &mut self,
        cx: &mut Box<Context>,
        accumulators: ColumnView<'_>,
        ends: &[u32],
    ) -> Result<Column, Failure>;

    /// Decides when windows give their results, for rows that were added to them.
    ///
    /// # Errors
    /// As [`accumulate`](Self::accumulate). One that is no trigger says so.
    fn decide_rows(
        &mut self,
        cx: &mut Box<Context>,
        asked: Asked<'_>,
        added: Added<'_>,
    ) -> Result<Decided, Failure> {
        let _ = (cx, asked, added);
        Err(Failure::no_trigger())
    }

    /// The same for timers that are due.
    ///
    /// # Errors
    /// As [`accumulate`](Self::accumulate). One that is no trigger says so.
    fn decide_timers(
        &mut self,
        cx: &mut Box<Context>,
        asked: Asked<'_>,
        due: DueTimers<'_>,
    ) -> Result<Decided, Failure> {
        let _ = (cx, asked, due);
        Err(Failure::no_trigger())
    }

    /// The results of windows. The origin of a row is the window that it is the result of.
    ///
    /// # Errors
    /// As [`accumulate`](Self::accumulate).
    fn apply(
        &mut self,
        cx: &mut Box<Context>,
        fired: FiredWindows<'_>,
    ) -> Result<Vec<Emitted>, Failure>;
}

/// Makes the parallel instances of one window function.
pub trait WindowFunctionFactory: Send + Sync {
    /// Whether rows are folded as they come.
    fn aggregates(&self) -> bool;

    /// The side outputs of the function by name; output 0 is the main one, these are 1, 2, ...
    fn side_outputs(&self) -> &[String];

    /// Makes one instance.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be made.
    fn create(&self, task: &TaskInfo) -> Result<Box<dyn WindowFunction>, Failure>;
}
