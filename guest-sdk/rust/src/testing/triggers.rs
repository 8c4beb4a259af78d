//! Triggers without a host: what they say of rows and times of a window.

use std::collections::HashMap;

use super::windows::one;
use super::{Harness, Memory};
use crate::bindings::weir::operator::data::OptionalColumn;
use crate::call::Scope;
use crate::column;
use crate::driver::make_trigger;
use crate::key::Key;
use crate::operator::IntoOperator;
use crate::timers::TimerKind;
use crate::window::{AskedWindows, Happened, Trigger, Verdict, Window};

/// By key and window what a trigger remembers, and the timers it has set.
pub(super) type Windows = HashMap<(String, Window), Remembered>;

/// What a trigger remembers of a window.
#[derive(Default)]
pub(super) struct Remembered {
    state: Option<Vec<u8>>,
    timers: Vec<(TimerKind, i64)>,
}

impl Harness {
    /// As [`open`](Self::open), of an operator that is a [`Trigger`] as well.
    ///
    /// # Errors
    /// What the declarations lack, or what the operator's `open` returned.
    pub fn open_trigger<T, Kind>(config: &str) -> Result<Self, String>
    where
        T: IntoOperator<Kind> + Trigger,
    {
        Self::start(make_trigger::<T, Kind>, Memory::new(config), None)
    }

    /// What the [`Trigger`] says of rows that are added to a window of a key, each with its time.
    /// What it remembers of the window, and its timers, stay for the next call.
    ///
    /// # Errors
    /// What it returned, also of a row that it refuses.
    pub fn trigger<V: AsRef<[u8]>>(
        &mut self,
        key: &str,
        window: Window,
        rows: impl IntoIterator<Item = (i64, V)>,
    ) -> Result<Vec<Verdict>, String> {
        let (mut column, mut timestamps) = (column::with_room(0, 0), Vec::new());
        for (time, row) in rows {
            let pushed = column::push(&mut column, row.as_ref());
            pushed.map_err(crate::Error::into_message)?;
            timestamps.push(time);
        }
        let row_of: Vec<u32> = (0..timestamps.len() as u32).collect();
        let count = row_of.len();
        let happened = Happened::Rows {
            rows: column,
            timestamps,
            row_of,
        };
        self.ask(key, window, happened, count)
    }

    /// What the [`Trigger`] says when a time is there that it has set for a window of a key.
    ///
    /// # Errors
    /// That it has not set it, or what it returned.
    pub fn trigger_at(
        &mut self,
        key: &str,
        window: Window,
        kind: TimerKind,
        at: i64,
    ) -> Result<Verdict, String> {
        let of = self.triggers.entry((key.to_owned(), window)).or_default();
        let place = of.timers.iter().position(|timer| *timer == (kind, at));
        let Some(place) = place else {
            return Err(format!("no timer is set for {at}"));
        };
        of.timers.remove(place);
        let happened = Happened::Timers { kind, at: vec![at] };
        let verdicts = self.ask(key, window, happened, 1)?;
        verdicts.first().copied().ok_or("no verdict".into())
    }

    /// The timers that the [`Trigger`] has set for a window of a key, in the order in which it has.
    #[must_use]
    pub fn trigger_timers(&self, key: &str, window: Window) -> Vec<(TimerKind, i64)> {
        let of = self.triggers.get(&(key.to_owned(), window));
        of.map_or_else(Vec::new, |of| of.timers.clone())
    }

    fn ask(
        &mut self,
        key: &str,
        window: Window,
        happened: Happened,
        count: usize,
    ) -> Result<Vec<Verdict>, String> {
        let (watermark, processing_time) = {
            let memory = self.memory.borrow();
            (memory.watermark, memory.processing_time)
        };
        let place = (key.to_owned(), window);
        let state = self.triggers.get(&place).and_then(|of| of.state.clone());
        let asked = AskedWindows {
            keys: one(&Key::encode([key])),
            windows: vec![window],
            remembered: OptionalColumn {
                present: vec![u8::from(state.is_some())],
                column: one(state.as_deref().unwrap_or_default()),
            },
            watermark,
            processing_time,
        };
        let decided = self.call_in(Scope::Nothing, |logic| {
            logic.decide(asked, happened, vec![0; count])
        })?;
        let decided = decided.map_err(|poison| poison.message)?;
        let of = self.triggers.entry(place).or_default();
        let kept = column::optional(&decided.remembered, 0);
        of.state = kept
            .map_err(crate::Error::into_message)?
            .map(<[u8]>::to_vec);
        for change in &decided.timers {
            let timer = (change.kind, change.at);
            of.timers.retain(|known| *known != timer);
            if change.set {
                of.timers.push(timer);
            }
        }
        Ok(decided.verdicts)
    }
}
