//! Operators that have one function for all rows, whatever input they came in by.

use super::{IntoOperator, Operator};
use crate::batch::{BatchCtx, Batched, InputBatch};
use crate::ctx::{Ctx, Env};
use crate::describe::{Describe, KeyedDescribe, Visit};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::row::{Encode, Row};
use crate::timers::{Timer, no_on_timer};

/// An operator on keyed rows, with state per key.
///
/// The operator is made by `Default`, once per subtask. Its handles are fields; `describe` declares
/// them by name.
///
/// ```
/// use weir_guest::{Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value};
///
/// /// Counts the rows of each key.
/// #[derive(Default)]
/// struct Count { count: Value<i64> }
///
/// impl KeyedProcess for Count {
///     type In = String;
///     type Out = String;
///
///     fn describe(&mut self, d: &mut KeyedDescribe) {
///         d.value("count", &mut self.count).prefetch();
///     }
///
///     fn process(&mut self, _row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
///         let count = self.count.get()?.copied().unwrap_or(0) + 1;
///         self.count.set(count)?;
///         let key = ctx.key().part(0)?;
///         ctx.emit(format_args!("{key}={count}"))
///     }
/// }
///
/// weir_guest::operator!(Count);
/// ```
pub trait KeyedProcess: Default + 'static {
    /// The type of the rows: one for all inputs, or made by [`inputs!`](crate::inputs!).
    type In: Inputs;
    /// The type of the main output's rows.
    type Out: Encode;

    /// Declares state, side outputs and metrics. It is called more than once and must do the same
    /// each time; configuration is not there yet, see [`open`](Self::open).
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

    /// Names the entries of map states that a row will look up, by
    /// [`Map::prefetch`](crate::Map::prefetch). Called for all rows of a batch before the first is
    /// processed, if a map state is declared with `prefetch`. State can be neither read nor written
    /// here, and metrics record nothing: behind a row that fails, rows are looked at once more. An
    /// error is ignored, since `process` will meet it too.
    ///
    /// ```
    /// # use weir_guest::{Ctx, KeyedDescribe, KeyedProcess, Map, Result, Row};
    /// /// Drops the rows of a key that it has seen before.
    /// #[derive(Default)]
    /// struct Distinct { seen: Map<String, ()> }
    ///
    /// impl KeyedProcess for Distinct {
    ///     type In = String;
    ///     type Out = String;
    ///
    ///     fn describe(&mut self, d: &mut KeyedDescribe) {
    ///         d.map("seen", &mut self.seen).prefetch();
    ///     }
    ///
    ///     fn prefetch(&mut self, row: &Row<String>) -> Result<()> {
    ///         self.seen.prefetch(row.value)
    ///     }
    ///
    ///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
    ///         if self.seen.contains(row.value)? {
    ///             return Ok(());
    ///         }
    ///         self.seen.put(row.value, ())?;
    ///         ctx.emit(row.value)
    ///     }
    /// }
    /// # use weir_guest::testing::Harness;
    /// # let mut distinct = Harness::open::<Distinct, _>("null").unwrap();
    /// # let rows = [("k", "a"), ("k", "b"), ("k", "a")];
    /// # assert_eq!(distinct.keyed(rows).unwrap().main(), ["a", "b"]);
    /// # assert_eq!(distinct.imports(), ["map-get", "map-put"]);
    /// ```
    ///
    /// # Errors
    /// See above.
    fn prefetch(&mut self, row: &Row<Self::In>) -> Result<()> {
        let _ = row;
        Ok(())
    }

    /// Processes all rows of a call at once, to the same effect as [`process`](Self::process)
    /// called for each of them: for operators of which that is the largest part of what they take.
    /// What is the same for all rows is done once, state is reached by the number of a key
    /// ([`Value::of_keys`](crate::Value::of_keys), [`List::of_keys`](crate::List::of_keys),
    /// [`Timers::of_keys`](crate::Timers::of_keys)) or of an entry
    /// ([`Map::of_entries`](crate::Map::of_entries)), and rows go out together
    /// ([`BatchCtx::emit_each`]). That is all the keyed state that can be used here.
    ///
    /// `process` stays: where this returns an error that is not fatal, or [`Batched::RowByRow`],
    /// nothing of what it did counts, and the rows are processed one by one. So an error is still
    /// about one row, and a batch that is better processed so can be. Fields of the operator are
    /// not put back. [`Harness::row_by_row`](crate::testing::Harness::row_by_row) shows in a test
    /// that both do the same.
    ///
    /// ```
    /// use weir_guest::{
    ///     BatchCtx, Batched, Binary, Ctx, InputBatch, KeyedDescribe, KeyedProcess, Result, Row,
    ///     Value,
    /// };
    ///
    /// /// Numbers the rows of each key, which is a number.
    /// #[derive(Default)]
    /// struct Count { count: Value<u64> }
    ///
    /// impl KeyedProcess for Count {
    ///     type In = Vec<u8>;
    ///     type Out = Binary<(u64, u64)>;
    ///
    ///     fn describe(&mut self, d: &mut KeyedDescribe) {
    ///         d.value("count", &mut self.count).prefetch();
    ///     }
    ///
    ///     fn process(&mut self, _row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
    ///         let count = self.count.get()?.copied().unwrap_or(0) + 1;
    ///         self.count.set(count)?;
    ///         ctx.emit((ctx.key().binary(0)?, count))
    ///     }
    ///
    ///     fn process_batch(
    ///         &mut self,
    ///         batch: &InputBatch<Self::In>,
    ///         ctx: &mut BatchCtx<Self::Out>,
    ///     ) -> Result<Batched> {
    ///         let keys = batch.keys()?;
    ///         let names = keys.binary::<u64>(0)?;
    ///         let mut counts = self.count.of_keys()?;
    ///         ctx.emit_each(keys.of_rows().iter().map(|&key| {
    ///             let key = key as usize;
    ///             let count = counts.get(key).copied().unwrap_or(0) + 1;
    ///             counts.set(key, count);
    ///             Ok((names[key], count))
    ///         }))?;
    ///         Ok(Batched::Done)
    ///     }
    /// }
    /// # use weir_guest::testing::Harness;
    /// # for by_row in [false, true] {
    /// #     let mut counts = Harness::open::<Count, _>("null").unwrap();
    /// #     if by_row { counts.row_by_row(); }
    /// #     let rows = [7_u64, 8, 7].map(|key| (key.to_le_bytes(), "row"));
    /// #     let out = counts.keyed(rows).unwrap();
    /// #     assert_eq!(out.binary::<(u64, u64)>().unwrap(), [(7, 1), (8, 1), (7, 2)]);
    /// # }
    /// ```
    ///
    /// # Errors
    /// See above. An error made by [`Error::fatal`](crate::Error::fatal) fails the whole call.
    #[inline]
    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let _ = (batch, ctx);
        Ok(Batched::NotWritten)
    }

    /// Processes a row.
    ///
    /// # Errors
    /// What the row wrote is dropped. An error made by [`Error::fatal`](crate::Error::fatal) fails
    /// the whole call; any other is about this row, and the job's `on-error` decides.
    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()>;

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

    /// Called when an input has ended. No key is in hand.
    ///
    /// # Errors
    /// An error fails the task.
    fn end_of_input(&mut self, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = ctx;
        Ok(())
    }

    /// Called when all inputs have ended, before the final checkpoint. No key is in hand.
    ///
    /// # Errors
    /// An error fails the task.
    fn finish(&mut self, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = ctx;
        Ok(())
    }
}

/// An operator without keyed state: map, filter, flat map, split.
///
/// ```
/// use weir_guest::{Ctx, Process, Result, Row};
///
/// /// Passes on the words of a line.
/// #[derive(Default)]
/// struct Words;
///
/// impl Process for Words {
///     type In = String;
///     type Out = String;
///
///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
///         row.split_whitespace().try_for_each(|word| ctx.emit(word))
///     }
/// }
///
/// weir_guest::operator!(Words);
/// ```
pub trait Process: Default + 'static {
    /// The type of the rows: one for all inputs, or made by [`inputs!`](crate::inputs!).
    type In: Inputs;
    /// The type of the main output's rows.
    type Out: Encode;

    /// Declares side outputs and metrics. It is called more than once and must do the same each
    /// time; configuration is not there yet, see [`open`](Self::open).
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

    /// Processes all rows of a call at once, to the same effect as [`process`](Self::process)
    /// called for each of them, which stays: see [`KeyedProcess::process_batch`].
    ///
    /// ```
    /// use weir_guest::{BatchCtx, Batched, Ctx, InputBatch, Process, Result, Row};
    ///
    /// /// Passes on what is no comment.
    /// #[derive(Default)]
    /// struct Lines;
    ///
    /// impl Process for Lines {
    ///     type In = Vec<u8>;
    ///     type Out = Vec<u8>;
    ///
    ///     fn process(&mut self, row: Row<Vec<u8>>, ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
    ///         match row.starts_with(b"#") {
    ///             true => Ok(()),
    ///             false => ctx.emit(row.value),
    ///         }
    ///     }
    ///
    ///     fn process_batch(
    ///         &mut self,
    ///         batch: &InputBatch<Vec<u8>>,
    ///         ctx: &mut BatchCtx<Vec<u8>>,
    ///     ) -> Result<Batched> {
    ///         for (number, row) in batch.rows().enumerate() {
    ///             if !row?.starts_with(b"#") {
    ///                 ctx.pass(number)?;
    ///             }
    ///         }
    ///         Ok(Batched::Done)
    ///     }
    /// }
    /// # use weir_guest::testing::Harness;
    /// # for by_row in [false, true] {
    /// #     let mut lines = Harness::open::<Lines, _>("null").unwrap();
    /// #     if by_row { lines.row_by_row(); }
    /// #     let out = lines.rows(["a", "#b", "", "c"]).unwrap();
    /// #     assert_eq!(out.main(), ["a", "", "c"]);
    /// # }
    /// ```
    ///
    /// # Errors
    /// As there.
    #[inline]
    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let _ = (batch, ctx);
        Ok(Batched::NotWritten)
    }

    /// Processes a row.
    ///
    /// # Errors
    /// As [`KeyedProcess::process`].
    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()>;

    /// Called when an input has ended.
    ///
    /// # Errors
    /// An error fails the task.
    fn end_of_input(&mut self, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = ctx;
        Ok(())
    }

    /// Called when all inputs have ended, before the final checkpoint.
    ///
    /// # Errors
    /// An error fails the task.
    fn finish(&mut self, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = ctx;
        Ok(())
    }
}

/// A [`KeyedProcess`] as an operator.
pub struct Keyed<T>(T);

/// A [`Process`] as an operator.
pub struct Plain<T>(T);

impl<T: KeyedProcess> IntoOperator<Keyed<T>> for T {
    type Operator = Keyed<T>;

    fn make() -> Keyed<T> {
        Keyed(T::default())
    }

    fn author(operator: &mut Keyed<T>) -> &mut T {
        &mut operator.0
    }
}

impl<T: Process> IntoOperator<Plain<T>> for T {
    type Operator = Plain<T>;

    fn make() -> Plain<T> {
        Plain(T::default())
    }

    fn author(operator: &mut Plain<T>) -> &mut T {
        &mut operator.0
    }
}

impl<T: KeyedProcess> Operator for Keyed<T> {
    const KEYED: bool = true;
    type In = T::In;
    type Out = T::Out;

    fn visit<'v>(&mut self, visit: Visit<'v>) -> Visit<'v> {
        let mut describe = KeyedDescribe::new(visit);
        self.0.describe(&mut describe);
        describe.into_visit()
    }

    fn open(&mut self, env: Env) -> Result<()> {
        self.0.open(env)
    }

    fn prefetch<'b>(&mut self, row: Row<'b, T::In>) -> Row<'b, T::In> {
        let _ = self.0.prefetch(&row);
        row
    }

    #[inline]
    fn process_batch(
        &mut self,
        batch: &InputBatch<T::In>,
        ctx: &mut BatchCtx<T::Out>,
    ) -> Result<Batched> {
        self.0.process_batch(batch, ctx)
    }

    fn process(&mut self, row: Row<T::In>, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.process(row, ctx)
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

impl<T: Process> Operator for Plain<T> {
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

    #[inline]
    fn process_batch(
        &mut self,
        batch: &InputBatch<T::In>,
        ctx: &mut BatchCtx<T::Out>,
    ) -> Result<Batched> {
        self.0.process_batch(batch, ctx)
    }

    fn process(&mut self, row: Row<T::In>, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.process(row, ctx)
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
