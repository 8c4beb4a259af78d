//! Operators with a second input whose rows go to all subtasks, and state that those rows write.

use super::{IntoOperator, Operator, no_on_key};
use crate::batch::{BatchCtx, Batched, InputBatch};
use crate::ctx::{Ctx, Env};
use crate::describe::{Describe, KeyedDescribe, Visit};
use crate::error::Result;
use crate::inputs::{Either, Two};
use crate::row::{Decode, Encode, Row};
use crate::timers::{Timer, no_on_timer};

/// The number of the input that goes to all subtasks.
const BROADCAST_INPUT: u32 = 1;

/// An operator on keyed rows, and on a second input whose rows go to all subtasks. In the job file
/// the second entry of `inputs` has `broadcast: true`, and no key.
///
/// ```
/// use weir_guest::{Broadcast, Ctx, KeyedBroadcastProcess, KeyedDescribe, Result, Row, Value};
///
/// /// Passes on each n-th row of a key, where rows like `every=3` say what n is.
/// #[derive(Default)]
/// struct Sample { settings: Broadcast<String, u64>, seen: Value<u64> }
///
/// impl KeyedBroadcastProcess for Sample {
///     type In = String;
///     type BroadcastIn = String;
///     type Out = String;
///
///     fn describe(&mut self, d: &mut KeyedDescribe) {
///         d.broadcast("settings", &mut self.settings);
///         d.value("seen", &mut self.seen).prefetch();
///     }
///
///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
///         let every = self.settings.get("every")?.copied().unwrap_or(1);
///         let seen = self.seen.get()?.copied().unwrap_or(0) + 1;
///         self.seen.set(seen)?;
///         if seen % every == 0 { ctx.emit(row.value) } else { Ok(()) }
///     }
///
///     fn process_broadcast(&mut self, row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
///         let Some((name, value)) = row.split_once('=') else {
///             return self.settings.remove(row.value);
///         };
///         self.settings.put(name, value.parse()?)
///     }
/// }
///
/// weir_guest::operator!(Sample);
/// # use weir_guest::testing::Harness;
/// # let mut sample = Harness::open::<Sample, _>("null").unwrap();
/// # assert_eq!(sample.keyed([("a", "1")]).unwrap().main(), ["1"]);
/// # sample.broadcast(["every=2"]).unwrap();
/// # assert_eq!(sample.keyed([("a", "2"), ("a", "3"), ("b", "4")]).unwrap().main(), ["2"]);
/// ```
///
/// `process` sees broadcast state, and `process_broadcast` may write it; it has no key in hand, and
/// no keyed state. Whatever it does to broadcast state it must do in every subtask alike, see
/// [`Broadcast`](crate::Broadcast).
pub trait KeyedBroadcastProcess: Default + 'static {
    /// The type of the keyed input's rows.
    type In: Decode;
    /// The type of the rows that go to all subtasks.
    type BroadcastIn: Decode;
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

    /// As [`KeyedProcess::prefetch`](crate::KeyedProcess::prefetch), for rows of the keyed input.
    ///
    /// # Errors
    /// As there.
    fn prefetch(&mut self, row: &Row<Self::In>) -> Result<()> {
        let _ = row;
        Ok(())
    }

    /// Processes all rows of a call by the keyed input at once, see
    /// [`KeyedProcess::process_batch`](crate::KeyedProcess::process_batch). Broadcast state is
    /// looked up as in `process`. Rows that go to all subtasks are processed one by one.
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

    /// Processes a row of the keyed input.
    ///
    /// # Errors
    /// As [`KeyedProcess::process`](crate::KeyedProcess::process).
    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()>;

    /// Processes a row that goes to all subtasks. What it emits, each subtask emits.
    ///
    /// # Errors
    /// As [`KeyedProcess::process`](crate::KeyedProcess::process): what the row wrote is dropped.
    /// It must then fail in every subtask.
    fn process_broadcast(
        &mut self,
        row: Row<Self::BroadcastIn>,
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()>;

    /// Called for a key for which no row has come, since a row of the broadcast input has asked for
    /// that by `apply_to_keys` of a state: right after that row, for each key that has something in
    /// the state, with the tag that was given there. The operator is then
    /// `operator!(Type, keyed_broadcast)`. Broadcast state is read and not written; what is emitted
    /// has the event time of the row that asked.
    ///
    /// ```
    /// use weir_guest::{Ctx, KeyedBroadcastProcess, KeyedDescribe, Result, Row, Value};
    ///
    /// /// Counts by key; the row `report` has all counts told, and `reset` forgets them.
    /// #[derive(Default)]
    /// struct Counts { count: Value<u64> }
    ///
    /// impl KeyedBroadcastProcess for Counts {
    ///     type In = String;
    ///     type BroadcastIn = String;
    ///     type Out = String;
    ///
    ///     fn describe(&mut self, d: &mut KeyedDescribe) {
    ///         d.value("count", &mut self.count).prefetch();
    ///     }
    ///
    ///     fn process(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
    ///         let count = self.count.get()?.copied().unwrap_or(0) + 1;
    ///         self.count.set(count)
    ///     }
    ///
    ///     fn process_broadcast(&mut self, row: Row<String>, _: &mut Ctx<String>) -> Result<()> {
    ///         self.count.apply_to_keys(row.value)
    ///     }
    ///
    ///     fn on_key(&mut self, tag: &[u8], ctx: &mut Ctx<String>) -> Result<()> {
    ///         if tag == b"reset" {
    ///             return self.count.clear();
    ///         }
    ///         let count = self.count.get()?.copied().unwrap_or(0);
    ///         let key = ctx.key().part(0)?;
    ///         ctx.emit(format_args!("{key}={count}"))
    ///     }
    /// }
    ///
    /// weir_guest::operator!(Counts, keyed_broadcast);
    /// # use weir_guest::testing::Harness;
    /// # let mut counts = Harness::open::<Counts, _>("null").unwrap();
    /// # counts.keyed([("a", ""), ("b", ""), ("a", "")]).unwrap();
    /// # let told = counts.broadcast(["report", "reset", "report"]).unwrap();
    /// # assert_eq!(told.main(), ["a=2", "b=1"]);
    /// # assert_eq!(counts.held("count"), 0);
    /// ```
    ///
    /// # Errors
    /// Any error fails the task, whatever the job's `on-error` says: a key is no row that could be
    /// left out.
    fn on_key(&mut self, tag: &[u8], ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let _ = (tag, ctx);
        Err(no_on_key())
    }

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

/// An operator on rows without keys, and on a second input whose rows go to all subtasks. In the
/// job file the second entry of `inputs` has `broadcast: true`.
///
/// ```
/// use weir_guest::{Broadcast, BroadcastProcess, Ctx, Describe, Result, Row};
///
/// /// Drops lines that have one of the words that are banned.
/// #[derive(Default)]
/// struct Censor { banned: Broadcast<String, ()> }
///
/// impl BroadcastProcess for Censor {
///     type In = String;
///     type BroadcastIn = String;
///     type Out = String;
///
///     fn describe(&mut self, d: &mut Describe) {
///         d.broadcast("banned", &mut self.banned);
///     }
///
///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
///         for (word, ()) in self.banned.iter()? {
///             if row.contains(&word[..]) {
///                 return Ok(());
///             }
///         }
///         ctx.emit(row.value)
///     }
///
///     fn process_broadcast(&mut self, row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
///         self.banned.put(row.value, ())
///     }
/// }
///
/// weir_guest::operator!(Censor);
/// # use weir_guest::testing::Harness;
/// # let mut censor = Harness::open::<Censor, _>("null").unwrap();
/// # censor.broadcast(["rum"]).unwrap();
/// # assert_eq!(censor.rows(["a rumour", "a word"]).unwrap().main(), ["a word"]);
/// ```
pub trait BroadcastProcess: Default + 'static {
    /// The type of the first input's rows.
    type In: Decode;
    /// The type of the rows that go to all subtasks.
    type BroadcastIn: Decode;
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
    /// [`Process::process_batch`](crate::Process::process_batch). Broadcast state is looked up as
    /// in `process`. Rows that go to all subtasks are processed one by one.
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

    /// Processes a row of the first input.
    ///
    /// # Errors
    /// As [`KeyedProcess::process`](crate::KeyedProcess::process).
    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()>;

    /// Processes a row that goes to all subtasks. What it emits, each subtask emits.
    ///
    /// # Errors
    /// As [`KeyedBroadcastProcess::process_broadcast`].
    fn process_broadcast(
        &mut self,
        row: Row<Self::BroadcastIn>,
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()>;

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

/// A [`KeyedBroadcastProcess`] as an operator.
pub struct KeyedWithBroadcast<T>(T);

/// A [`BroadcastProcess`] as an operator.
pub struct PlainWithBroadcast<T>(T);

impl<T: KeyedBroadcastProcess> IntoOperator<KeyedWithBroadcast<T>> for T {
    type Operator = KeyedWithBroadcast<T>;

    fn make() -> KeyedWithBroadcast<T> {
        KeyedWithBroadcast(T::default())
    }

    fn author(operator: &mut KeyedWithBroadcast<T>) -> &mut T {
        &mut operator.0
    }
}

impl<T: KeyedBroadcastProcess> Operator for KeyedWithBroadcast<T> {
    const KEYED: bool = true;
    type In = Two<T::In, T::BroadcastIn>;
    type Out = T::Out;

    fn visit<'v>(&mut self, visit: Visit<'v>) -> Visit<'v> {
        let mut describe = KeyedDescribe::new(visit);
        describe.broadcast_input(BROADCAST_INPUT);
        self.0.describe(&mut describe);
        describe.into_visit()
    }

    fn open(&mut self, env: Env) -> Result<()> {
        self.0.open(env)
    }

    fn prefetch<'b>(&mut self, row: Row<'b, Self::In>) -> Row<'b, Self::In> {
        match row.split() {
            Either::First(row) => {
                let _ = self.0.prefetch(&row);
                row.map(Either::First)
            }
            Either::Second(row) => row.map(Either::Second),
        }
    }

    #[inline]
    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<T::Out>,
    ) -> Result<Batched> {
        match batch.split()? {
            Either::First(batch) => self.0.process_batch(&batch, ctx),
            Either::Second(_) => Ok(Batched::NotWritten),
        }
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<T::Out>) -> Result<()> {
        match row.split() {
            Either::First(row) => self.0.process(row, ctx),
            Either::Second(row) => self.0.process_broadcast(row, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.on_timer(timer, ctx)
    }

    fn on_key(&mut self, tag: &[u8], ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.on_key(tag, ctx)
    }

    fn end_of_input(&mut self, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.end_of_input(ctx)
    }

    fn finish(&mut self, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.finish(ctx)
    }
}

impl<T: BroadcastProcess> IntoOperator<PlainWithBroadcast<T>> for T {
    type Operator = PlainWithBroadcast<T>;

    fn make() -> PlainWithBroadcast<T> {
        PlainWithBroadcast(T::default())
    }

    fn author(operator: &mut PlainWithBroadcast<T>) -> &mut T {
        &mut operator.0
    }
}

impl<T: BroadcastProcess> Operator for PlainWithBroadcast<T> {
    const KEYED: bool = false;
    type In = Two<T::In, T::BroadcastIn>;
    type Out = T::Out;

    fn visit<'v>(&mut self, visit: Visit<'v>) -> Visit<'v> {
        let mut describe = Describe::new(visit);
        describe.broadcast_input(BROADCAST_INPUT);
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
            Either::First(batch) => self.0.process_batch(&batch, ctx),
            Either::Second(_) => Ok(Batched::NotWritten),
        }
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<T::Out>) -> Result<()> {
        match row.split() {
            Either::First(row) => self.0.process(row, ctx),
            Either::Second(row) => self.0.process_broadcast(row, ctx),
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
