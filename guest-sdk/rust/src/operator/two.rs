//! Operators with two inputs of different types, and a function for each.

use super::{IntoOperator, Operator};
use crate::batch::{BatchCtx, Batched, InputBatch};
use crate::ctx::{Ctx, Env};
use crate::describe::{Describe, KeyedDescribe, Visit};
use crate::error::Result;
use crate::inputs::{Either, Two};
use crate::row::{Decode, Encode, Row};
use crate::timers::{Timer, no_on_timer};

/// An operator on two keyed inputs: rows of one key meet the same state, whichever input they come
/// by. In the job file the first entry of `inputs` is the first input.
///
/// ```
/// use weir_guest::{Ctx, KeyedCoProcess, KeyedDescribe, Result, Row, Value};
///
/// /// Passes on the rows of keys that are switched on. Switches say `on` or `off`.
/// #[derive(Default)]
/// struct Switched { on: Value<bool> }
///
/// impl KeyedCoProcess for Switched {
///     type First = Vec<u8>;
///     type Second = String;
///     type Out = Vec<u8>;
///
///     fn describe(&mut self, d: &mut KeyedDescribe) {
///         d.value("on", &mut self.on).prefetch();
///     }
///
///     fn process_first(&mut self, row: Row<Vec<u8>>, ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
///         match self.on.get()? {
///             Some(true) => ctx.emit(row.value),
///             Some(false) | None => Ok(()),
///         }
///     }
///
///     fn process_second(&mut self, row: Row<String>, _ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
///         self.on.set(row.value == "on")
///     }
/// }
///
/// weir_guest::operator!(Switched);
/// # use weir_guest::testing::{Harness, Input};
/// # let mut switched = Harness::open::<Switched, _>("null").unwrap();
/// # switched.batch(1, [Input::row("on").key(["a"])]).unwrap();
/// # let out = switched.keyed([("a", "1"), ("b", "2")]).unwrap();
/// # assert_eq!(out.main(), ["1"]);
/// ```
pub trait KeyedCoProcess: Default + 'static {
    /// The type of the first input's rows.
    type First: Decode;
    /// The type of the second input's rows.
    type Second: Decode;
    /// The type of the main output's rows.
    type Out: Encode;

    /// As [`KeyedProcess::describe`](crate::KeyedProcess::describe).
    fn describe(&mut self, d: &mut KeyedDescribe) {
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

    /// As [`KeyedProcess::prefetch`](crate::KeyedProcess::prefetch), for rows of the first input.
    ///
    /// # Errors
    /// As there.
    fn prefetch_first(&mut self, row: &Row<Self::First>) -> Result<()> {
        let _ = row;
        Ok(())
    }

    /// As [`KeyedProcess::prefetch`](crate::KeyedProcess::prefetch), for rows of the second input.
    ///
    /// # Errors
    /// As there.
    fn prefetch_second(&mut self, row: &Row<Self::Second>) -> Result<()> {
        let _ = row;
        Ok(())
    }

    /// Processes all rows of a call by the first input at once, see
    /// [`KeyedProcess::process_batch`](crate::KeyedProcess::process_batch). One of the two inputs
    /// may have such a function alone.
    ///
    /// # Errors
    /// As there.
    #[inline]
    fn process_first_batch(
        &mut self,
        batch: &InputBatch<Self::First>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let _ = (batch, ctx);
        Ok(Batched::NotWritten)
    }

    /// Processes all rows of a call by the second input at once, see
    /// [`KeyedProcess::process_batch`](crate::KeyedProcess::process_batch). One of the two inputs
    /// may have such a function alone.
    ///
    /// # Errors
    /// As there.
    #[inline]
    fn process_second_batch(
        &mut self,
        batch: &InputBatch<Self::Second>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let _ = (batch, ctx);
        Ok(Batched::NotWritten)
    }

    /// Processes a row of the first input.
    ///
    /// # Errors
    /// As [`KeyedProcess::process`](crate::KeyedProcess::process).
    fn process_first(&mut self, row: Row<Self::First>, ctx: &mut Ctx<Self::Out>) -> Result<()>;

    /// Processes a row of the second input.
    ///
    /// # Errors
    /// As [`KeyedProcess::process`](crate::KeyedProcess::process).
    fn process_second(&mut self, row: Row<Self::Second>, ctx: &mut Ctx<Self::Out>) -> Result<()>;

    /// A timer that the operator has set is due. The key is in hand as with a row; what is emitted
    /// has the event time of an event-time timer, or none of itself.
    ///
    /// # Errors
    /// What the call for this timer wrote is dropped. An error made by
    /// [`Error::fatal`](crate::Error::fatal) fails the whole call; any other is about this timer,
    /// and the job's `on-error` decides: where it is left out, it does not fire again.
    fn on_timer(&mut self, timer: Timer, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = ctx;
        Err(no_on_timer(timer))
    }

    /// Called when an input has ended: the one that [`Ctx::input`] names. No key is in hand.
    ///
    /// # Errors
    /// An error fails the task.
    fn end_of_input(&mut self, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = ctx;
        Ok(())
    }

    /// Called when both inputs have ended, before the final checkpoint. No key is in hand.
    ///
    /// # Errors
    /// An error fails the task.
    fn finish(&mut self, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = ctx;
        Ok(())
    }
}

/// An operator on two inputs without keys.
///
/// ```
/// use weir_guest::{CoProcess, Ctx, Result, Row};
///
/// /// Joins two streams into one of text.
/// #[derive(Default)]
/// struct Both;
///
/// impl CoProcess for Both {
///     type First = String;
///     type Second = i64;
///     type Out = String;
///
///     fn process_first(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
///         ctx.emit(row.value)
///     }
///
///     fn process_second(&mut self, row: Row<i64>, ctx: &mut Ctx<String>) -> Result<()> {
///         ctx.emit(format_args!("number {}", row.value))
///     }
/// }
///
/// weir_guest::operator!(Both);
/// # use weir_guest::testing::{Harness, Input};
/// # let mut both = Harness::open::<Both, _>("null").unwrap();
/// # assert_eq!(both.rows(["7"]).unwrap().main(), ["7"]);
/// # assert_eq!(both.batch(1, [Input::row("7")]).unwrap().main(), ["number 7"]);
/// ```
pub trait CoProcess: Default + 'static {
    /// The type of the first input's rows.
    type First: Decode;
    /// The type of the second input's rows.
    type Second: Decode;
    /// The type of the main output's rows.
    type Out: Encode;

    /// As [`Process::describe`](crate::Process::describe).
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

    /// Processes all rows of a call by the first input at once, see
    /// [`Process::process_batch`](crate::Process::process_batch). One of the two inputs may have
    /// such a function alone.
    ///
    /// # Errors
    /// As there.
    #[inline]
    fn process_first_batch(
        &mut self,
        batch: &InputBatch<Self::First>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let _ = (batch, ctx);
        Ok(Batched::NotWritten)
    }

    /// Processes all rows of a call by the second input at once, see
    /// [`Process::process_batch`](crate::Process::process_batch). One of the two inputs may have
    /// such a function alone.
    ///
    /// # Errors
    /// As there.
    #[inline]
    fn process_second_batch(
        &mut self,
        batch: &InputBatch<Self::Second>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let _ = (batch, ctx);
        Ok(Batched::NotWritten)
    }

    /// Processes a row of the first input.
    ///
    /// # Errors
    /// As [`KeyedProcess::process`](crate::KeyedProcess::process).
    fn process_first(&mut self, row: Row<Self::First>, ctx: &mut Ctx<Self::Out>) -> Result<()>;

    /// Processes a row of the second input.
    ///
    /// # Errors
    /// As [`KeyedProcess::process`](crate::KeyedProcess::process).
    fn process_second(&mut self, row: Row<Self::Second>, ctx: &mut Ctx<Self::Out>) -> Result<()>;

    /// Called when an input has ended: the one that [`Ctx::input`] names.
    ///
    /// # Errors
    /// An error fails the task.
    fn end_of_input(&mut self, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = ctx;
        Ok(())
    }

    /// Called when both inputs have ended, before the final checkpoint.
    ///
    /// # Errors
    /// An error fails the task.
    fn finish(&mut self, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = ctx;
        Ok(())
    }
}

/// A [`KeyedCoProcess`] as an operator.
pub struct KeyedCo<T>(T);

/// A [`CoProcess`] as an operator.
pub struct PlainCo<T>(T);

impl<T: KeyedCoProcess> IntoOperator<KeyedCo<T>> for T {
    type Operator = KeyedCo<T>;

    fn make() -> KeyedCo<T> {
        KeyedCo(T::default())
    }

    fn author(operator: &mut KeyedCo<T>) -> &mut T {
        &mut operator.0
    }
}

impl<T: CoProcess> IntoOperator<PlainCo<T>> for T {
    type Operator = PlainCo<T>;

    fn make() -> PlainCo<T> {
        PlainCo(T::default())
    }

    fn author(operator: &mut PlainCo<T>) -> &mut T {
        &mut operator.0
    }
}

impl<T: KeyedCoProcess> Operator for KeyedCo<T> {
    const KEYED: bool = true;
    type In = Two<T::First, T::Second>;
    type Out = T::Out;

    fn visit<'v>(&mut self, visit: Visit<'v>) -> Visit<'v> {
        let mut describe = KeyedDescribe::new(visit);
        self.0.describe(&mut describe);
        describe.into_visit()
    }

    fn open(&mut self, env: Env) -> Result<()> {
        self.0.open(env)
    }

    fn prefetch<'b>(&mut self, row: Row<'b, Self::In>) -> Row<'b, Self::In> {
        match row.split() {
            Either::First(row) => {
                let _ = self.0.prefetch_first(&row);
                row.map(Either::First)
            }
            Either::Second(row) => {
                let _ = self.0.prefetch_second(&row);
                row.map(Either::Second)
            }
        }
    }

    #[inline]
    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<T::Out>,
    ) -> Result<Batched> {
        match batch.split()? {
            Either::First(batch) => self.0.process_first_batch(&batch, ctx),
            Either::Second(batch) => self.0.process_second_batch(&batch, ctx),
        }
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<T::Out>) -> Result<()> {
        match row.split() {
            Either::First(row) => self.0.process_first(row, ctx),
            Either::Second(row) => self.0.process_second(row, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.on_timer(timer, ctx)
    }

    fn end_of_input(&mut self, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.end_of_input(ctx)
    }

    fn finish(&mut self, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.finish(ctx)
    }
}

impl<T: CoProcess> Operator for PlainCo<T> {
    const KEYED: bool = false;
    type In = Two<T::First, T::Second>;
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

    #[inline]
    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<T::Out>,
    ) -> Result<Batched> {
        match batch.split()? {
            Either::First(batch) => self.0.process_first_batch(&batch, ctx),
            Either::Second(batch) => self.0.process_second_batch(&batch, ctx),
        }
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<T::Out>) -> Result<()> {
        match row.split() {
            Either::First(row) => self.0.process_first(row, ctx),
            Either::Second(row) => self.0.process_second(row, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Err(no_on_timer(timer))
    }

    fn end_of_input(&mut self, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.end_of_input(ctx)
    }

    fn finish(&mut self, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.finish(ctx)
    }
}
