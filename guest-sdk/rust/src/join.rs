//! Operators that make the rows of joins: the host finds the pairs.

use crate::bindings::weir::operator::data::BytesColumn;
use crate::column::{self, ColumnRef};
use crate::ctx::{Ctx, Env};
use crate::describe::{Describe, Visit};
use crate::error::{Error, Result};
use crate::inputs::{Two, no_input};
use crate::operator::{IntoOperator, Operator};
use crate::row::{Decode, Encode, Row};
use crate::timers::{Timer, no_on_timer};

/// Makes rows out of pairs of rows of two inputs. Which rows belong together stands in the job file
/// (`join:`): those near each other in time, the version of its time for each row, or those of one
/// window. The host keeps the rows, finds the pairs, and hands them over many to a call.
///
/// ```
/// use weir_guest::{Ctx, JoinFunction, Result, Row};
///
/// /// Which advertisement was clicked how long after it was shown.
/// #[derive(Default)]
/// struct Clicked;
///
/// impl JoinFunction for Clicked {
///     type Left = String;
///     type Right = String;
///     type Out = String;
///
///     fn join(
///         &mut self,
///         shown: Row<String>,
///         clicked: Row<String>,
///         ctx: &mut Ctx<String>,
///     ) -> Result<()> {
///         let after = clicked.timestamp.unwrap_or(0) - shown.timestamp.unwrap_or(0);
///         ctx.emit(format_args!("{}: {} by {} after {after} ms", ctx.key(), *shown, *clicked))
///     }
/// }
///
/// weir_guest::operator!(Clicked, join);
/// # use weir_guest::testing::Harness;
/// # let mut clicked = Harness::open::<Clicked, _>("null").unwrap();
/// # let out = clicked.join("ad 7", [(1000, "page 1")], [(1250, "u1")]).unwrap();
/// # assert_eq!(out.main(), ["ad 7: page 1 by u1 after 250 ms"]);
/// ```
///
/// In the job file:
///
/// ```yaml
/// operators:
///   clicked:
///     component: clicked.wasm
///     join: { interval: { after: 10m } }
///     inputs:
///       - { from: shown, key: { columns: [0] } }     # the left input
///       - { from: clicks, key: { columns: [0] } }    # the right input
/// ```
pub trait JoinFunction: Default + 'static {
    /// The type of the left input's rows: the first one of the job file.
    type Left: Decode;
    /// The type of the right input's rows.
    type Right: Decode;
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

    /// Looks at a left row as it comes, before it is kept. What is let through has to be good
    /// enough for [`join`](Self::join): most joins cannot tell there which of the two rows is to be
    /// refused.
    ///
    /// # Errors
    /// The row is in no pair then, as one that could not be decoded. An error made by
    /// [`Error::fatal`](crate::Error::fatal) fails the whole call; any other is about this row, and
    /// the job's `on-error` decides.
    fn accept_left(&mut self, row: <Self::Left as Decode>::View<'_>) -> Result<()> {
        let _ = row;
        Ok(())
    }

    /// Looks at a right row as it comes.
    ///
    /// # Errors
    /// As [`accept_left`](Self::accept_left).
    fn accept_right(&mut self, row: <Self::Right as Decode>::View<'_>) -> Result<()> {
        let _ = row;
        Ok(())
    }

    /// Two rows that belong together. Their key is in hand. What is emitted has the event time of
    /// the pair, which is that of the later row, of the left one in a lookup, and the last
    /// millisecond of a window.
    ///
    /// # Errors
    /// An error made by [`Error::fatal`](crate::Error::fatal) fails the whole call. Any other is
    /// about the pair: of an interval join the row that made it, which is the later to come, is
    /// refused then, and the job's `on-error` decides; of lookups and windows it fails the task,
    /// for both rows have been there for some time.
    fn join(
        &mut self,
        left: Row<Self::Left>,
        right: Row<Self::Right>,
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()>;

    /// A left row for which there is no right one, where the job file says `kind: left` or `full`.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    fn left_only(&mut self, left: Row<Self::Left>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = (left, ctx);
        Err(not_alone("left"))
    }

    /// A right row for which there is no left one, where the job file says `kind: right` or `full`.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    fn right_only(&mut self, right: Row<Self::Right>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = (right, ctx);
        Err(not_alone("right"))
    }
}

/// The pairs of a call.
#[derive(Debug)]
pub struct AllPairs {
    /// Keys, among them those of all pairs.
    pub keys: BytesColumn,
    /// The key of each pair.
    pub key_of_pair: Vec<u32>,
    /// Rows of the left input.
    pub left: BytesColumn,
    /// The event time of each.
    pub left_timestamps: Vec<i64>,
    /// The left row of each pair; `u32::MAX` = none.
    pub left_of_pair: Vec<u32>,
    /// Rows of the right input.
    pub right: BytesColumn,
    /// The event time of each.
    pub right_timestamps: Vec<i64>,
    /// The right row of each pair; `u32::MAX` = none.
    pub right_of_pair: Vec<u32>,
    /// The event time of what each pair gives.
    pub timestamps: Vec<i64>,
}

/// There is no row.
pub(crate) const ABSENT: u32 = u32::MAX;

/// A pair, with the event time of each row.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    left: Option<(&'a [u8], i64)>,
    right: Option<(&'a [u8], i64)>,
}

impl AllPairs {
    /// The key of a pair.
    pub(crate) fn key(&self, pair: usize) -> Result<&[u8]> {
        let key = self.key_of_pair.get(pair);
        let key = key.ok_or_else(|| malformed("no key", pair))?;
        column::row(&self.keys, *key as usize)
    }

    /// The rows of a pair.
    pub(crate) fn pair(&self, pair: usize) -> Result<Pair<'_>> {
        let row = |rows, times: &[i64], of: &[u32]| match of.get(pair) {
            Some(&ABSENT) => Ok(None),
            Some(&row) => {
                let time = times.get(row as usize).copied();
                let time = time.ok_or_else(|| malformed("no time of a row", pair))?;
                Ok(Some((column::row(rows, row as usize)?, time)))
            }
            None => Err(malformed("no row", pair)),
        };
        Ok(Pair {
            left: row(&self.left, &self.left_timestamps, &self.left_of_pair)?,
            right: row(&self.right, &self.right_timestamps, &self.right_of_pair)?,
        })
    }
}

/// A [`JoinFunction`] as an operator.
pub struct Joined<T>(T);

impl<T: JoinFunction> IntoOperator<Joined<T>> for T {
    type Operator = Joined<T>;

    fn make() -> Joined<T> {
        Joined(T::default())
    }

    fn author(operator: &mut Joined<T>) -> &mut T {
        &mut operator.0
    }
}

impl<T: JoinFunction> Operator for Joined<T> {
    const KEYED: bool = false;
    type In = Two<T::Left, T::Right>;
    type Out = T::Out;

    fn visit<'v>(&mut self, visit: Visit<'v>) -> Visit<'v> {
        let mut describe = Describe::new(visit);
        self.0.describe(&mut describe);
        describe.into_visit()
    }

    fn open(&mut self, env: Env) -> Result<()> {
        self.0.open(env)
    }

    fn prefetch<'b>(&mut self, row: Row<'b, Self::In>) -> Row<'b, Self::In> {
        row
    }

    fn process(&mut self, _row: Row<Self::In>, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Err(only_pairs())
    }

    fn on_timer(&mut self, timer: Timer, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Err(no_on_timer(timer))
    }

    fn accept(&mut self, input: u32, rows: ColumnRef<'_>) -> Result<Option<(u32, Error)>> {
        for (index, bytes) in column::rows(rows).enumerate() {
            let bytes = bytes?;
            let accepted = match input {
                0 => T::Left::decode(bytes).and_then(|row| self.0.accept_left(row)),
                1 => T::Right::decode(bytes).and_then(|row| self.0.accept_right(row)),
                _ => return Err(no_input(input, 2)),
            };
            match accepted {
                Ok(()) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => return Ok(Some((index as u32, error))),
            }
        }
        Ok(None)
    }

    fn project(&mut self, pair: Pair<'_>, ctx: &mut Ctx<T::Out>) -> Result<()> {
        match (pair.left, pair.right) {
            (Some(left), Some(right)) => {
                let (left, right) = (row_of::<T::Left>(left, 0)?, row_of::<T::Right>(right, 1)?);
                self.0.join(left, right, ctx)
            }
            (Some(left), None) => self.0.left_only(row_of::<T::Left>(left, 0)?, ctx),
            (None, Some(right)) => self.0.right_only(row_of::<T::Right>(right, 1)?, ctx),
            (None, None) => Err(Error::fatal(
                "malformed pairs from the host: one of no rows",
            )),
        }
    }

    fn end_of_input(&mut self, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Ok(())
    }
}

fn row_of<T: Decode>((bytes, time): (&[u8], i64), input: u32) -> Result<Row<'_, T>> {
    Ok(Row {
        value: T::decode(bytes)?,
        timestamp: Some(time),
        input,
    })
}

/// The host calls for pairs, and the operator is made for something else.
#[cold]
pub(crate) fn no_join() -> Error {
    Error::fatal("this operator is made for no joins: leave out `join:` in the job file")
}

#[cold]
fn only_pairs() -> Error {
    Error::fatal("this operator is made for pairs of rows: give it `join:` in the job file")
}

#[cold]
fn not_alone(side: &str) -> Error {
    Error::fatal(format_args!(
        "the job file asks for {side} rows without another, and the operator has no `{side}_only`"
    ))
}

#[cold]
fn malformed(what: &str, pair: usize) -> Error {
    Error::fatal(format_args!(
        "malformed pairs from the host: {what} for pair {pair}"
    ))
}

#[cfg(test)]
mod tests;
