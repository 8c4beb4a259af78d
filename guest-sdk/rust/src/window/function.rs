//! Operators that see all rows of a window.

use std::marker::PhantomData;

use super::{Window, only_windows};
use crate::bindings::weir::operator::data::BytesColumn;
use crate::column::{self, ColumnRef};
use crate::ctx::{Ctx, Env};
use crate::describe::{Describe, Visit};
use crate::error::{Error, Result};
use crate::operator::{IntoOperator, Operator};
use crate::row::{Decode, Encode, Row};
use crate::timers::{Timer, no_on_timer};

/// Sees all rows of a window at once: for medians, for the best ten, for whatever needs them side
/// by side. The host keeps every row until its window is over; where an accumulator is enough, a
/// [`WindowAggregate`](crate::WindowAggregate) keeps far less. Which windows there are stands in
/// the job file (`window:`), and also which rows are left out of them (`evict:`).
///
/// ```
/// use weir_guest::{Ctx, Result, Window, WindowFunction, WindowRows, bail};
///
/// /// The number in the middle.
/// #[derive(Default)]
/// struct Median;
///
/// impl WindowFunction for Median {
///     type In = String;
///     type Out = String;
///
///     fn accept(&mut self, row: &str) -> Result<()> {
///         if row.parse::<i64>().is_err() { bail!("{row} is no number") }
///         Ok(())
///     }
///
///     fn apply(
///         &mut self,
///         _window: Window,
///         rows: WindowRows<'_, String>,
///         ctx: &mut Ctx<String>,
///     ) -> Result<()> {
///         let mut numbers = Vec::with_capacity(rows.len());
///         for row in rows {
///             numbers.push(row?.parse::<i64>()?);
///         }
///         numbers.sort_unstable();
///         ctx.emit(format_args!("{}: {}", ctx.key(), numbers[numbers.len() / 2]))
///     }
/// }
///
/// weir_guest::operator!(Median, window);
/// ```
///
/// In the job file:
///
/// ```yaml
/// operators:
///   medians:
///     component: median.wasm
///     inputs: [ { from: numbers, key: { columns: [0] } } ]
///     window: { tumbling: 1m }
/// ```
pub trait WindowFunction: Default + 'static {
    /// The type of the rows.
    type In: Decode;
    /// The type of the main output's rows.
    type Out: Encode;

    /// Declares side outputs and metrics, as [`Process::describe`](crate::Process::describe).
    fn describe(&mut self, d: &mut Describe) {
        let _ = d;
    }

    /// Called once before the first row.
    ///
    /// # Errors
    /// An error fails the task.
    fn open(&mut self, env: Env) -> Result<()> {
        let _ = env;
        Ok(())
    }

    /// Looks at a row as it comes, before it is kept. What is let through has to be good enough
    /// for [`apply`](Self::apply): an error there fails the task, for nobody knows which row it is
    /// about.
    ///
    /// # Errors
    /// The row is in no window then, as one that could not be decoded. An error made by
    /// [`Error::fatal`](crate::Error::fatal) fails the whole call; any other is about this row, and
    /// the job's `on-error` decides.
    fn accept(&mut self, row: <Self::In as Decode>::View<'_>) -> Result<()> {
        let _ = row;
        Ok(())
    }

    /// Gives the rows of a window. The key is in hand; there is one row at least. What is emitted
    /// has the last millisecond of the window as its event time.
    ///
    /// # Errors
    /// An error fails the call.
    fn apply(
        &mut self,
        window: Window,
        rows: WindowRows<'_, Self::In>,
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()>;
}

/// The rows of a window, in the order in which they came, each with its event time.
pub struct WindowRows<'a, T> {
    all: &'a AllRows,
    next: usize,
    end: usize,
    types: PhantomData<fn() -> T>,
}

impl<T> Clone for WindowRows<'_, T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, T: Decode> Iterator for WindowRows<'a, T> {
    type Item = Result<Row<'a, T>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let at = self.next;
        self.next += 1;
        let bytes = column::row(&self.all.rows, at);
        let time = self.all.timestamps.get(at).copied();
        Some(bytes.and_then(T::decode).map(|value| Row {
            value,
            timestamp: time.filter(|time| *time != i64::MIN),
            input: 0,
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next;
        (left, Some(left))
    }
}

impl<T: Decode> ExactSizeIterator for WindowRows<'_, T> {}

/// The rows of all windows of a call.
#[derive(Debug)]
pub struct AllRows {
    /// The rows, one window after the other.
    pub rows: BytesColumn,
    /// The event time of each.
    pub timestamps: Vec<i64>,
    /// Where those of each window end.
    pub ends: Vec<u32>,
}

impl AllRows {
    /// The rows of a window of the call.
    pub(crate) fn of<T>(&self, window: usize) -> Result<WindowRows<'_, T>> {
        let start = match window.checked_sub(1) {
            None => Some(0),
            Some(before) => self.ends.get(before).copied(),
        };
        let Some((start, end)) = start.zip(self.ends.get(window).copied()) else {
            return Err(Error::fatal(format_args!(
                "malformed windows from the host: no rows for window {window}"
            )));
        };
        Ok(WindowRows {
            all: self,
            next: start as usize,
            end: (end as usize).max(start as usize),
            types: PhantomData,
        })
    }
}

/// A [`WindowFunction`] as an operator.
pub struct Whole<T>(T);

impl<T: WindowFunction> IntoOperator<Whole<T>> for T {
    type Operator = Whole<T>;

    fn make() -> Whole<T> {
        Whole(T::default())
    }

    fn author(operator: &mut Whole<T>) -> &mut T {
        &mut operator.0
    }
}

impl<T: WindowFunction> Operator for Whole<T> {
    const KEYED: bool = false;
    const SEES_WINDOWS: bool = true;
    type In = T::In;
    type Out = T::Out;

    fn visit<'v>(&mut self, visit: Visit<'v>) -> Visit<'v> {
        let mut describe = Describe::new(visit);
        self.0.describe(&mut describe);
        describe.into_visit()
    }

    fn open(&mut self, env: Env) -> Result<()> {
        self.0.open(env)
    }

    fn prefetch<'b>(&mut self, row: Row<'b, T::In>) -> Row<'b, T::In> {
        row
    }

    fn process(&mut self, _row: Row<T::In>, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Err(only_windows())
    }

    fn on_timer(&mut self, timer: Timer, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Err(no_on_timer(timer))
    }

    fn accept(&mut self, _input: u32, rows: ColumnRef<'_>) -> Result<Option<(u32, Error)>> {
        for (index, bytes) in column::rows(rows).enumerate() {
            let accepted = T::In::decode(bytes?).and_then(|row| self.0.accept(row));
            match accepted {
                Ok(()) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => return Ok(Some((index as u32, error))),
            }
        }
        Ok(None)
    }

    fn apply(
        &mut self,
        window: Window,
        (rows, at): (&AllRows, usize),
        ctx: &mut Ctx<T::Out>,
    ) -> Result<()> {
        self.0.apply(window, rows.of(at)?, ctx)
    }

    fn end_of_input(&mut self, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
