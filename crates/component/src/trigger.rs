//! The optional interface `trigger`: a component decides when windows give their results.

use wasmtime::{
    Store,
    component::{self as wasm, ComponentType, Lift, Lower, TypedFunc},
    error::Context as _,
};
use weir_model::{EventTime, ProcessingTime};
use weir_operator::{Added, Asked, Context, Decided, DueTimers, Failure, TimerChange, Verdict};

use crate::{
    aggregate::refused,
    bindings::{ColumnIn, OptionalIn, weir::operator::data},
    guest::{Guest, Phase},
    host,
    interfaces::TRIGGER_EXPORT,
    log::cut,
    lookup::Lookup,
    operator::{ComponentOperator, optional},
    outcome::MAX_MESSAGE,
    timed::KindIn,
};

/// `trigger.asked-windows`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct AskedIn<'a> {
    keys: ColumnIn<'a>,
    starts: &'a [i64],
    ends: &'a [i64],
    remembered: OptionalIn<'a>,
    watermark: i64,
    #[component(name = "processing-time")]
    processing_time: i64,
}

/// `trigger.added-rows`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct AddedIn<'a> {
    rows: ColumnIn<'a>,
    timestamps: &'a [i64],
    #[component(name = "row-of")]
    row_of: &'a [u32],
    #[component(name = "window-of")]
    window_of: &'a [u32],
}

/// `trigger.due-timers`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct DueIn<'a> {
    kind: KindIn,
    at: &'a [i64],
    #[component(name = "window-of")]
    window_of: &'a [u32],
}

/// `trigger.verdict`.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "a guest says which")]
pub(crate) enum VerdictOut {
    #[component(name = "go-on")]
    GoOn,
    #[component(name = "fire")]
    Fire,
    #[component(name = "purge")]
    Purge,
    #[component(name = "fire-and-purge")]
    FireAndPurge,
}

/// `data.timer-kind`, returned.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "a guest says which")]
pub(crate) enum KindOut {
    #[component(name = "event-time")]
    EventTime,
    #[component(name = "processing-time")]
    ProcessingTime,
}

/// `trigger.timer-change`.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct ChangeOut {
    window: u32,
    kind: KindOut,
    at: i64,
    set: bool,
}

/// `trigger.decided`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct DecidedOut {
    verdicts: Vec<VerdictOut>,
    remembered: data::OptionalColumn,
    timers: Vec<ChangeOut>,
    poisoned: Option<data::Poison>,
}

type OnRowsIn<'a> = (AskedIn<'a>, AddedIn<'a>);
type OnTimersIn<'a> = (AskedIn<'a>, DueIn<'a>);
type Out = (Result<DecidedOut, String>,);

/// The functions of `trigger`.
pub(crate) struct Triggers {
    on_rows: TypedFunc<OnRowsIn<'static>, Out>,
    on_timers: TypedFunc<OnTimersIn<'static>, Out>,
}

impl Triggers {
    /// The functions of an instance; `None` where the component does not export the interface.
    ///
    /// # Errors
    /// That one is missing, or has another type than the contract gives it.
    pub(crate) fn of(
        component: &wasm::Component,
        store: &mut Store<Guest>,
        instance: &wasm::Instance,
    ) -> wasmtime::Result<Option<Self>> {
        let lookup = Lookup::of(TRIGGER_EXPORT, component, store, instance);
        let Some(mut lookup) = lookup else {
            return Ok(None);
        };
        Ok(Some(Self {
            on_rows: lookup.function("on-rows")?,
            on_timers: lookup.function("on-timers")?,
        }))
    }
}

const MISSING: &str = "`trigger` was there when the component was loaded";

/// The buffers that the windows of a call are laid out in.
#[derive(Default)]
struct Laid {
    starts: Vec<i64>,
    ends: Vec<i64>,
    keys: Vec<u32>,
}

impl Laid {
    fn lay<'a>(&'a mut self, asked: &Asked<'a>) -> AskedIn<'a> {
        self.starts = asked.windows.iter().map(|window| window.start).collect();
        self.ends = asked.windows.iter().map(|window| window.end).collect();
        AskedIn {
            keys: ColumnIn {
                bytes: asked.keys.contents(),
                ends: asked.keys.relative_ends(&mut self.keys),
            },
            starts: &self.starts,
            ends: &self.ends,
            remembered: optional(asked.remembered),
            watermark: asked.watermark.0,
            processing_time: asked.now.0,
        }
    }
}

impl ComponentOperator {
    /// Asks about rows.
    pub(crate) fn trigger_rows(
        &mut self,
        cx: &mut Box<Context>,
        asked: Asked<'_>,
        added: Added<'_>,
    ) -> Result<Decided, Failure> {
        self.renew_amid(cx)?;
        let (mut laid, mut ends) = (Laid::default(), Vec::new());
        let windows = laid.lay(&asked);
        let rows = AddedIn {
            rows: ColumnIn {
                bytes: added.rows.contents(),
                ends: added.rows.relative_ends(&mut ends),
            },
            timestamps: added.timestamps,
            row_of: added.row_of,
            window_of: added.window_of,
        };
        let decided = self.call(Phase::OnRows, cx, |instance, cx, limits| {
            instance.call_with(Phase::OnRows, cx, limits, |exports, store| {
                let trigger = exports.trigger.as_ref().context(MISSING)?;
                let on_rows: TypedFunc<OnRowsIn<'_>, Out> = trigger.on_rows;
                Ok(on_rows.call(store, (windows, rows))?.0)
            })
        })?;
        if let Some(poison) = decided.poisoned {
            return Err(refused(Phase::OnRows, poison, added.rows.len()));
        }
        let count = (asked.windows.len(), added.row_of.len());
        self.decided(Phase::OnRows, decided, count)
    }

    /// Asks about timers.
    pub(crate) fn trigger_timers(
        &mut self,
        cx: &mut Box<Context>,
        asked: Asked<'_>,
        due: DueTimers<'_>,
    ) -> Result<Decided, Failure> {
        self.renew_amid(cx)?;
        let phase = Phase::OnWindowTimers;
        let mut laid = Laid::default();
        let windows = laid.lay(&asked);
        let timers = DueIn {
            kind: due.kind.into(),
            at: due.at,
            window_of: due.window_of,
        };
        let decided = self.call(phase, cx, |instance, cx, limits| {
            instance.call_with(phase, cx, limits, |exports, store| {
                let trigger = exports.trigger.as_ref().context(MISSING)?;
                let on_timers: TypedFunc<OnTimersIn<'_>, Out> = trigger.on_timers;
                Ok(on_timers.call(store, (windows, timers))?.0)
            })
        })?;
        if let Some(poison) = decided.poisoned {
            // It is about no row.
            return Err(Failure::Guest {
                message: cut(&poison.message, MAX_MESSAGE).to_owned(),
                row: None,
            });
        }
        self.decided(phase, decided, (asked.windows.len(), due.at.len()))
    }

    /// Checks what was decided about so many windows, and rows or timers.
    fn decided(
        &self,
        phase: Phase,
        out: DecidedOut,
        (windows, count): (usize, usize),
    ) -> Result<Decided, Failure> {
        let wrong = |what: String| Failure::Contract {
            message: format!("{phase} returned a wrong {what}"),
        };
        if out.verdicts.len() != count {
            let found = out.verdicts.len();
            return Err(wrong(format!(
                "`verdicts`: {found} of them, and {count} are expected"
            )));
        }
        let remembered = host::optional_in(out.remembered)
            .map_err(|error| wrong(format!("`remembered`: {error}")))?;
        if remembered.len() != windows {
            let found = remembered.len();
            return Err(wrong(format!(
                "`remembered`: {found} values for {windows} windows"
            )));
        }
        self.check(phase).written(remembered.column().byte_len())?;
        if let Some(change) = out
            .timers
            .iter()
            .find(|change| change.window as usize >= windows)
        {
            let window = change.window;
            return Err(wrong(format!(
                "`timers`: one of window {window}, of {windows}"
            )));
        }
        Ok(Decided {
            verdicts: out.verdicts.into_iter().map(Verdict::from).collect(),
            remembered,
            timers: out.timers.into_iter().map(change).collect(),
        })
    }
}

impl From<VerdictOut> for Verdict {
    fn from(verdict: VerdictOut) -> Self {
        let (fire, purge) = match verdict {
            VerdictOut::GoOn => (false, false),
            VerdictOut::Fire => (true, false),
            VerdictOut::Purge => (false, true),
            VerdictOut::FireAndPurge => (true, true),
        };
        Self { fire, purge }
    }
}

fn change(out: ChangeOut) -> (u32, TimerChange) {
    let change = match out.kind {
        KindOut::EventTime => TimerChange::Event(EventTime(out.at)),
        KindOut::ProcessingTime => TimerChange::Processing(ProcessingTime(out.at)),
    };
    let change = match out.set {
        true => change,
        false => change.taken_back(),
    };
    (out.window, change)
}
