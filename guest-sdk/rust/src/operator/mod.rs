//! The traits that authors implement, and the one face that the driver sees of them.

mod broadcast;
mod one;
mod two;

use crate::batch::{BatchCtx, Batched, InputBatch};
use crate::column::ColumnRef;
use crate::ctx::{Ctx, Env};
use crate::describe::Visit;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::join::{Pair, no_join};
use crate::row::{Encode, Row};
use crate::timers::Timer;
use crate::window::{AllRows, Folded, Groups, Rows, Window, no_windows};

pub use broadcast::{BroadcastProcess, KeyedBroadcastProcess};
pub use one::{KeyedProcess, Process};
pub use two::{CoProcess, KeyedCoProcess};

/// An operator of any kind, as the driver runs it.
pub trait Operator: 'static {
    #[doc(hidden)]
    const KEYED: bool;
    /// Whether it is a function of all rows of windows.
    #[doc(hidden)]
    const SEES_WINDOWS: bool = false;
    #[doc(hidden)]
    type In: Inputs;
    #[doc(hidden)]
    type Out: Encode;

    #[doc(hidden)]
    fn visit<'v>(&mut self, visit: Visit<'v>) -> Visit<'v>;
    #[doc(hidden)]
    fn open(&mut self, env: Env) -> Result<()>;
    /// Lets the author look at a row ahead of its turn, and gives it back.
    #[doc(hidden)]
    fn prefetch<'b>(&mut self, row: Row<'b, Self::In>) -> Row<'b, Self::In>;
    /// Lets the author process all rows of a call at once.
    #[doc(hidden)]
    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let _ = (batch, ctx);
        Ok(Batched::NotWritten)
    }
    #[doc(hidden)]
    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()>;
    #[doc(hidden)]
    fn on_timer(&mut self, timer: Timer, ctx: &mut Ctx<Self::Out>) -> Result<()>;
    /// Processes a row alone, in a call that may wait. Not [`process`](Self::process): that has one
    /// place where it is called from, so that it becomes part of the loop over rows.
    #[doc(hidden)]
    fn enrich(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = (row, ctx);
        Err(Error::fatal("the operator has no calls that wait"))
    }
    /// Called for a key, without a row.
    #[doc(hidden)]
    fn on_key(&mut self, tag: &[u8], ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = (tag, ctx);
        Err(no_on_key())
    }
    /// Adds rows to accumulators, from the first row on; the index of one that is refused, and why.
    #[doc(hidden)]
    fn accumulate(&mut self, rows: &Rows<'_>, folded: &mut Folded) -> Result<Option<(u32, Error)>> {
        let _ = (rows, folded);
        Err(no_windows())
    }
    /// Makes one accumulator of each group.
    #[doc(hidden)]
    fn merge(&mut self, groups: &Groups<'_>, merged: &mut Folded) -> Result<()> {
        let _ = (groups, merged);
        Err(no_windows())
    }
    /// Gives the rows of a window.
    #[doc(hidden)]
    fn result(
        &mut self,
        window: Window,
        accumulator: &[u8],
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()> {
        let _ = (window, accumulator, ctx);
        Err(no_windows())
    }
    /// Looks at rows of an input as they come; the index of the first one that is refused, and why.
    #[doc(hidden)]
    fn accept(&mut self, input: u32, rows: ColumnRef<'_>) -> Result<Option<(u32, Error)>> {
        let _ = (input, rows);
        Err(no_windows())
    }
    /// Gives the rows of a pair.
    #[doc(hidden)]
    fn project(&mut self, pair: Pair<'_>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = (pair, ctx);
        Err(no_join())
    }
    /// Gives the rows of a window of which all rows are there.
    #[doc(hidden)]
    fn apply(
        &mut self,
        window: Window,
        rows: (&AllRows, usize),
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()> {
        let _ = (window, rows, ctx);
        Err(no_windows())
    }
    #[doc(hidden)]
    fn end_of_input(&mut self, ctx: &mut Ctx<Self::Out>) -> Result<()>;
    #[doc(hidden)]
    fn finish(&mut self, ctx: &mut Ctx<Self::Out>) -> Result<()>;
}

/// Calls for all keys come, and the operator does nothing about them.
#[cold]
fn no_on_key() -> Error {
    Error::fatal("calls for all keys of a state were asked for, and the operator has no `on_key`")
}

/// Makes an [`Operator`] of what an author wrote. `Kind` is found by inference.
#[diagnostic::on_unimplemented(
    message = "`{Self}` implements none of the traits for operators",
    label = "an operator implements one of `KeyedProcess`, `Process`, `KeyedCoProcess`, `CoProcess`, \
             `KeyedBroadcastProcess`, `BroadcastProcess`, `WindowAggregate`, `WindowFunction`, \
             `JoinFunction` and `Enrich`"
)]
pub trait IntoOperator<Kind> {
    #[doc(hidden)]
    type Operator: Operator;

    #[doc(hidden)]
    fn make() -> Self::Operator;

    /// What the author wrote, within the operator.
    #[doc(hidden)]
    fn author(operator: &mut Self::Operator) -> &mut Self;
}

#[cfg(test)]
mod tests;
