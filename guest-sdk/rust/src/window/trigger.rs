//! Triggers: an operator on windows decides itself when these give their results.

use super::Window;
use crate::bindings::weir::operator::data::{BytesColumn, OptionalColumn};
use crate::codec::StateCodec;
use crate::column;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::operator::IntoOperator;
use crate::row::{Decode, Row};
use crate::timers::TimerKind;

/// Decides when windows give their results, for a [`WindowAggregate`](crate::WindowAggregate) or a
/// [`WindowFunction`](crate::WindowFunction) that implements it as well. The job file says
/// `trigger: { guest: true }`. Windows that become one, sessions, cannot have one.
///
/// What it remembers of a window, and the timers that it sets for it, are kept by the host, are in
/// checkpoints, and are gone with the window.
///
/// ```
/// # use weir_guest::{Ctx, Result, Row, Trigger, TriggerCtx, Verdict, Window, WindowAggregate};
/// /// Counts rows.
/// #[derive(Default)]
/// struct Count;
/// # impl WindowAggregate for Count {
/// #     type In = String;
/// #     type Accumulator = u64;
/// #     type Out = u64;
/// #     fn add(&mut self, count: &mut u64, _row: &str) -> Result<()> { *count += 1; Ok(()) }
/// #     fn merge(&mut self, count: &mut u64, other: u64) -> Result<()> {
/// #         *count += other;
/// #         Ok(())
/// #     }
/// #     fn result(&mut self, _: Window, count: u64, ctx: &mut Ctx<u64>) -> Result<()> {
/// #         ctx.emit(count)
/// #     }
/// # }
///
/// /// A result after each alarm, and at the end of the window.
/// impl Trigger for Count {
///     type Row = String;
///     type State = u64;
///
///     fn on_row(&mut self, row: Row<'_, String>, ctx: &mut TriggerCtx<u64>) -> Result<Verdict> {
///         ctx.set_event(ctx.window().end - 1);
///         if row.value != "alarm" { return Ok(Verdict::Continue) }
///         ctx.state += 1;
///         Ok(Verdict::Fire)
///     }
///
///     fn on_event_time(&mut self, _time: i64, _ctx: &mut TriggerCtx<u64>) -> Result<Verdict> {
///         Ok(Verdict::Fire)
///     }
/// }
///
/// weir_guest::operator!(Count, aggregate, trigger);
/// # use weir_guest::{TimerKind, testing::Harness};
/// # let mut count = Harness::open_trigger::<Count, _>("null").unwrap();
/// # let minute = Window { start: 0, end: 60_000 };
/// # let verdicts = count.trigger("a", minute, [(1, "row"), (2, "alarm")]).unwrap();
/// # assert_eq!(verdicts, [Verdict::Continue, Verdict::Fire]);
/// # let timers = count.trigger_timers("a", minute);
/// # assert_eq!(timers, [(TimerKind::EventTime, 59_999)]);
/// # let end = count.trigger_at("a", minute, TimerKind::EventTime, 59_999).unwrap();
/// # assert_eq!(end, Verdict::Fire);
/// ```
pub trait Trigger: 'static {
    /// The type of the rows: that of the operator.
    type Row: Decode;
    /// What is remembered of a window of a key. That of a new one is the `Default`.
    type State: StateCodec + Default;

    /// A row has been added to a window.
    ///
    /// # Errors
    /// The row is in no window then, and the job's `on-error` decides; one made by
    /// [`Error::fatal`](crate::Error::fatal) fails the call.
    fn on_row(
        &mut self,
        row: Row<'_, Self::Row>,
        ctx: &mut TriggerCtx<'_, Self::State>,
    ) -> Result<Verdict>;

    /// The watermark has got to a time that was set for the window.
    ///
    /// # Errors
    /// An error fails the call.
    fn on_event_time(
        &mut self,
        time: i64,
        ctx: &mut TriggerCtx<'_, Self::State>,
    ) -> Result<Verdict> {
        let _ = (time, ctx);
        Ok(Verdict::Continue)
    }

    /// The clock has got to a time that was set for the window.
    ///
    /// # Errors
    /// An error fails the call.
    fn on_processing_time(
        &mut self,
        time: i64,
        ctx: &mut TriggerCtx<'_, Self::State>,
    ) -> Result<Verdict> {
        let _ = (time, ctx);
        Ok(Verdict::Continue)
    }
}

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing happens.
    Continue,
    /// It gives its result, and keeps what it holds.
    Fire,
    /// It is empty from now on.
    Purge,
    /// It gives its result, and is empty then.
    FireAndPurge,
}

/// A window in hand, with what is remembered of it.
pub struct TriggerCtx<'a, S> {
    /// What is remembered of it.
    pub state: S,
    window: Window,
    key: &'a [u8],
    watermark: i64,
    processing_time: i64,
    place: u32,
    timers: &'a mut Vec<Change>,
}

impl<'a, S> TriggerCtx<'a, S> {
    /// The window.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Its key.
    pub fn key(&self) -> Key<'a> {
        Key::from_encoded(self.key)
    }

    /// Where event time is, in milliseconds since the Unix epoch.
    pub fn current_watermark(&self) -> i64 {
        self.watermark
    }

    /// Where the clock is, in milliseconds since the Unix epoch.
    pub fn processing_time(&self) -> i64 {
        self.processing_time
    }

    /// Calls [`Trigger::on_event_time`] for the window when the watermark gets there. Set twice it
    /// is set once.
    pub fn set_event(&mut self, at: i64) {
        self.change(TimerKind::EventTime, at, true);
    }

    /// Calls [`Trigger::on_processing_time`] for the window when the clock gets there.
    pub fn set_processing(&mut self, at: i64) {
        self.change(TimerKind::ProcessingTime, at, true);
    }

    /// Does not call for that time; one that is not set is no error.
    pub fn delete_event(&mut self, at: i64) {
        self.change(TimerKind::EventTime, at, false);
    }

    /// The same of the clock.
    pub fn delete_processing(&mut self, at: i64) {
        self.change(TimerKind::ProcessingTime, at, false);
    }

    fn change(&mut self, kind: TimerKind, at: i64, set: bool) {
        self.timers.push(Change {
            window: self.place,
            kind,
            at,
            set,
        });
    }
}

/// A timer that is set or deleted.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// For which window.
    pub window: u32,
    /// By which time it goes.
    pub kind: TimerKind,
    /// When.
    pub at: i64,
    /// Whether it is set; else it is deleted.
    pub set: bool,
}

/// The windows of a call.
#[derive(Debug)]
pub struct AskedWindows {
    /// The key of each.
    pub keys: BytesColumn,
    /// The windows.
    pub windows: Vec<Window>,
    /// What is remembered of each.
    pub remembered: OptionalColumn,
    /// Where event time is.
    pub watermark: i64,
    /// Where the clock is.
    pub processing_time: i64,
}

/// What a call is about.
#[derive(Debug)]
pub enum Happened {
    /// Rows were added to windows.
    Rows {
        /// The rows.
        rows: BytesColumn,
        /// Their times.
        timestamps: Vec<i64>,
        /// Which row.
        row_of: Vec<u32>,
    },
    /// Timers are due.
    Timers {
        /// By which time.
        kind: TimerKind,
        /// When.
        at: Vec<i64>,
    },
}

/// What was decided.
#[derive(Debug)]
pub struct Decided {
    /// For each row or timer.
    pub verdicts: Vec<Verdict>,
    /// What is remembered of each window from now on.
    pub remembered: OptionalColumn,
    /// The timers that are set and deleted, in order.
    pub timers: Vec<Change>,
}

/// What was decided, or which row is refused.
pub(crate) type Decision = std::result::Result<Decided, (u32, Error)>;

/// The functions of a [`Trigger`], called on the operator that the driver has.
pub(crate) struct TriggerHooks<O> {
    pub(crate) decide: fn(&mut O, &AskedWindows, &Happened, &[u32]) -> Result<Decision>,
}

impl<O> TriggerHooks<O> {
    pub(crate) fn of<T, Kind>() -> Self
    where
        T: IntoOperator<Kind, Operator = O> + Trigger,
    {
        Self {
            decide: |operator, asked, happened, window_of| {
                decide(T::author(operator), asked, happened, window_of)
            },
        }
    }
}

fn decide<T: Trigger>(
    trigger: &mut T,
    asked: &AskedWindows,
    happened: &Happened,
    window_of: &[u32],
) -> Result<Decision> {
    let mut states = states::<T::State>(asked)?;
    let mut verdicts = Vec::with_capacity(window_of.len());
    let mut timers = Vec::new();
    for (entry, &place) in window_of.iter().enumerate() {
        let window = asked.windows.get(place as usize).copied();
        let state = states.get_mut(place as usize).and_then(Option::take);
        let Some((window, state)) = window.zip(state) else {
            return Err(malformed(entry));
        };
        let mut ctx = TriggerCtx {
            state,
            window,
            key: column::row(&asked.keys, place as usize)?,
            watermark: asked.watermark,
            processing_time: asked.processing_time,
            place,
            timers: &mut timers,
        };
        let verdict = match happened {
            Happened::Rows {
                rows,
                timestamps,
                row_of,
            } => {
                let row = *row_of.get(entry).ok_or_else(|| malformed(entry))?;
                let bytes = column::row(rows, row as usize)?;
                let timestamp = timestamps.get(row as usize).copied();
                let verdict = T::Row::decode(bytes).and_then(|value| {
                    let row = Row {
                        value,
                        timestamp,
                        input: 0,
                    };
                    trigger.on_row(row, &mut ctx)
                });
                match verdict {
                    Err(error) if !error.is_fatal() => return Ok(Err((row, error))),
                    verdict => verdict?,
                }
            }
            Happened::Timers { kind, at } => {
                let at = *at.get(entry).ok_or_else(|| malformed(entry))?;
                match kind {
                    TimerKind::EventTime => trigger.on_event_time(at, &mut ctx)?,
                    TimerKind::ProcessingTime => trigger.on_processing_time(at, &mut ctx)?,
                }
            }
        };
        verdicts.push(verdict);
        let state = ctx.state;
        if let Some(place) = states.get_mut(place as usize) {
            *place = Some(state);
        }
    }
    let remembered = remembered::<T::State>(&states)?;
    Ok(Ok(Decided {
        verdicts,
        remembered,
        timers,
    }))
}

/// What is remembered of each window.
fn states<S: StateCodec + Default>(asked: &AskedWindows) -> Result<Vec<Option<S>>> {
    let mut states = Vec::with_capacity(asked.windows.len());
    for window in 0..asked.windows.len() {
        states.push(Some(match column::optional(&asked.remembered, window)? {
            Some(bytes) => S::decode(bytes)?,
            None => S::default(),
        }));
    }
    Ok(states)
}

/// States as they are kept: of one that is as new, nothing.
fn remembered<S: StateCodec + Default>(states: &[Option<S>]) -> Result<OptionalColumn> {
    let mut new = Vec::new();
    S::default().encode(&mut new)?;
    let mut column = column::optional_with_room(states.len(), 0);
    let mut bytes = Vec::new();
    for state in states.iter().flatten() {
        bytes.clear();
        state.encode(&mut bytes)?;
        let is_known = bytes != new;
        column.present.push(u8::from(is_known));
        column::push(&mut column.column, if is_known { &bytes } else { &[] })?;
    }
    Ok(column)
}

#[cold]
fn malformed(entry: usize) -> Error {
    Error::fatal(format_args!(
        "malformed windows from the host: no window for entry {entry}"
    ))
}

#[cfg(test)]
mod tests;
