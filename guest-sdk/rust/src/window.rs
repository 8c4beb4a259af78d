//! Windows: the host keeps them, and the operator folds their rows, or sees all of them.

mod function;
mod trigger;

use crate::bindings::weir::operator::data::BytesColumn;
use crate::codec::StateCodec;
use crate::column::{self, ColumnRef, OptionalRef};
use crate::ctx::{Ctx, Env};
use crate::describe::{Describe, Visit};
use crate::error::{Error, Result};
use crate::operator::{IntoOperator, Operator};
use crate::row::{Decode, Encode, Row};
use crate::timers::{Timer, no_on_timer};

pub use function::AllRows;
pub use function::{WindowFunction, WindowRows};
pub(crate) use trigger::TriggerHooks;
pub use trigger::{AskedWindows, Change, Decided, Happened};
pub use trigger::{Trigger, TriggerCtx, Verdict};

/// Folds the rows of windows. Which windows there are, and when they give their results, stands in
/// the job file (`window:`); the host keeps an accumulator for each key and window, saves it in
/// checkpoints and asks for the result when it is time.
///
/// ```
/// use weir_guest::{Ctx, Result, Window, WindowAggregate, bail};
///
/// /// Adds up numbers.
/// #[derive(Default)]
/// struct Sum;
///
/// impl WindowAggregate for Sum {
///     type In = String;
///     type Accumulator = i64;
///     type Out = String;
///
///     fn add(&mut self, sum: &mut i64, row: &str) -> Result<()> {
///         let Ok(number) = row.parse::<i64>() else { bail!("{row} is no number") };
///         *sum += number;
///         Ok(())
///     }
///
///     fn merge(&mut self, sum: &mut i64, other: i64) -> Result<()> {
///         *sum += other;
///         Ok(())
///     }
///
///     fn result(&mut self, window: Window, sum: i64, ctx: &mut Ctx<String>) -> Result<()> {
///         ctx.emit(format_args!("{} from {}: {sum}", ctx.key(), window.start))
///     }
/// }
///
/// weir_guest::operator!(Sum, aggregate);
/// ```
///
/// In the job file:
///
/// ```yaml
/// operators:
///   sums:
///     component: sum.wasm
///     inputs: [ { from: numbers, key: { columns: [0] } } ]
///     window: { tumbling: 1m }
/// ```
pub trait WindowAggregate: Default + 'static {
    /// The type of the rows.
    type In: Decode;
    /// What is kept of the rows of a window. A new one is the `Default`.
    type Accumulator: StateCodec + Default;
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

    /// Adds a row.
    ///
    /// # Errors
    /// The row is in no window then. An error made by [`Error::fatal`](crate::Error::fatal) fails
    /// the whole call; any other is about this row, and the job's `on-error` decides.
    fn add(
        &mut self,
        accumulator: &mut Self::Accumulator,
        row: <Self::In as Decode>::View<'_>,
    ) -> Result<()>;

    /// Adds what another one holds, whose rows came later: sessions that became one, or parts of a
    /// sliding window.
    ///
    /// # Errors
    /// An error fails the call.
    fn merge(
        &mut self,
        accumulator: &mut Self::Accumulator,
        other: Self::Accumulator,
    ) -> Result<()>;

    /// Gives the rows of a window. The key is in hand. What is emitted has the last millisecond of
    /// the window as its event time.
    ///
    /// # Errors
    /// An error fails the call.
    fn result(
        &mut self,
        window: Window,
        accumulator: Self::Accumulator,
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()>;
}

/// A span of time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Its first millisecond.
    pub start: i64,
    /// The first one behind it.
    pub end: i64,
}

/// The arguments of `aggregate.accumulate`.
#[derive(Debug)]
pub struct Rows<'a> {
    /// One for each window; absent = a new one.
    pub accumulators: OptionalRef<'a>,
    /// Which one each row is added to.
    pub accumulator_of_row: &'a [u32],
    /// The rows.
    pub values: ColumnRef<'a>,
}

/// The arguments of `aggregate.merge`.
#[derive(Debug)]
pub struct Groups<'a> {
    /// All of them, one group after the other.
    pub accumulators: ColumnRef<'a>,
    /// Where each group ends.
    pub ends: &'a [u32],
}

/// Accumulators that are handed back.
#[derive(Debug)]
pub struct Folded {
    pub(crate) column: BytesColumn,
}

impl Folded {
    pub(crate) fn new() -> Self {
        Self {
            column: column::with_room(0, 0),
        }
    }

    fn push<A: StateCodec>(&mut self, accumulator: &A) -> Result<()> {
        accumulator.encode(&mut self.column.bytes)?;
        column::end_row(&mut self.column)
    }
}

/// What is said of windows where there are none.
#[cold]
pub(crate) fn no_windows() -> Error {
    Error::fatal("this operator is made for no windows: leave out `window:` in the job file")
}

#[cold]
fn only_windows() -> Error {
    Error::fatal("this operator is made for the rows of windows: give it `window:` in the job file")
}

/// A [`WindowAggregate`] as an operator.
pub struct Windowed<T>(T);

impl<T: WindowAggregate> IntoOperator<Windowed<T>> for T {
    type Operator = Windowed<T>;

    fn make() -> Windowed<T> {
        Windowed(T::default())
    }

    fn author(operator: &mut Windowed<T>) -> &mut T {
        &mut operator.0
    }
}

impl<T: WindowAggregate> Operator for Windowed<T> {
    const KEYED: bool = false;
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

    fn accumulate(&mut self, rows: &Rows<'_>, folded: &mut Folded) -> Result<Option<(u32, Error)>> {
        let count = rows.accumulators.present.len();
        let mut all: Vec<T::Accumulator> = Vec::with_capacity(count);
        for index in 0..count {
            all.push(match column::optional(rows.accumulators, index)? {
                Some(bytes) => T::Accumulator::decode(bytes)?,
                None => T::Accumulator::default(),
            });
        }
        for (index, bytes) in column::rows(rows.values).enumerate() {
            let of = rows.accumulator_of_row.get(index);
            let accumulator = of.and_then(|of| all.get_mut(*of as usize));
            let Some(accumulator) = accumulator else {
                return Err(Error::fatal(format_args!(
                    "malformed rows from the host: no accumulator for row {index}"
                )));
            };
            let added = T::In::decode(bytes?).and_then(|row| self.0.add(accumulator, row));
            match added {
                Ok(()) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => return Ok(Some((index as u32, error))),
            }
        }
        all.iter()
            .try_for_each(|accumulator| folded.push(accumulator))?;
        Ok(None)
    }

    fn merge(&mut self, groups: &Groups<'_>, merged: &mut Folded) -> Result<()> {
        let mut from = 0;
        for &to in groups.ends {
            let mut whole: Option<T::Accumulator> = None;
            for index in from..to as usize {
                let other = T::Accumulator::decode(column::row(groups.accumulators, index)?)?;
                match &mut whole {
                    Some(whole) => self.0.merge(whole, other)?,
                    None => whole = Some(other),
                }
            }
            merged.push(&whole.unwrap_or_default())?;
            from = to as usize;
        }
        Ok(())
    }

    fn result(&mut self, window: Window, accumulator: &[u8], ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0
            .result(window, T::Accumulator::decode(accumulator)?, ctx)
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
