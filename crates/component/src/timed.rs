//! The optional interface `timed`: called when timers are due.

use wasmtime::{
    Store,
    component::{self as wasm, ComponentType, Lower, TypedFunc},
};
use weir_state::TimerKind;

use crate::{
    bindings::{ColumnIn, SlotsIn, weir::operator::data},
    guest::Guest,
    interfaces::TIMED_EXPORT,
    lookup::Lookup,
};

/// `data.timer-kind`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum KindIn {
    #[component(name = "event-time")]
    EventTime,
    #[component(name = "processing-time")]
    ProcessingTime,
}

impl From<TimerKind> for KindIn {
    fn from(kind: TimerKind) -> Self {
        match kind {
            TimerKind::EventTime => Self::EventTime,
            TimerKind::ProcessingTime => Self::ProcessingTime,
        }
    }
}

/// `data.timer-batch`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct TimersIn<'a> {
    pub(crate) kind: KindIn,
    pub(crate) at: &'a [i64],
    pub(crate) keys: ColumnIn<'a>,
    #[component(name = "key-of-timer")]
    pub(crate) key_of_timer: &'a [u32],
}

type OnTimersIn<'a> = (TimersIn<'a>, &'a [SlotsIn<'a>]);
type OnTimersOut = (Result<data::Outcome, String>,);

/// The function of `timed`.
pub(crate) struct Timed {
    on_timers: TypedFunc<OnTimersIn<'static>, OnTimersOut>,
}

impl Timed {
    /// The function of an instance; `None` where the component does not export the interface.
    ///
    /// # Errors
    /// That it is missing, or has another type than the contract gives it.
    pub(crate) fn of(
        component: &wasm::Component,
        store: &mut Store<Guest>,
        instance: &wasm::Instance,
    ) -> wasmtime::Result<Option<Self>> {
        let lookup = Lookup::of(TIMED_EXPORT, component, store, instance);
        let Some(mut lookup) = lookup else {
            return Ok(None);
        };
        let on_timers = lookup.function("on-timers")?;
        Ok(Some(Self { on_timers }))
    }

    pub(crate) fn on_timers(
        &self,
        store: &mut Store<Guest>,
        due: TimersIn<'_>,
        slots: &[SlotsIn<'_>],
    ) -> wasmtime::Result<Result<data::Outcome, String>> {
        let on_timers: TypedFunc<OnTimersIn<'_>, OnTimersOut> = self.on_timers;
        let (result,) = on_timers.call(store, (due, slots))?;
        Ok(result)
    }
}
