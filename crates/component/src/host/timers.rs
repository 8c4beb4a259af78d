//! `weir:operator/timers`: set and deleted in the transaction of the call. Whether there are any,
//! and the keys, are checked there.

use weir_state::TimerKind;

use crate::{
    bindings::weir::operator::{data, timers::Host},
    breach::Breach,
    guest::Guest,
};

/// What a timer counts for that is set or deleted: a key and a time.
const BYTES: usize = 16;

fn kind(kind: data::TimerKind) -> TimerKind {
    match kind {
        data::TimerKind::EventTime => TimerKind::EventTime,
        data::TimerKind::ProcessingTime => TimerKind::ProcessingTime,
    }
}

fn breach(import: &'static str) -> impl Fn(weir_state::Error) -> Breach {
    move |error| Breach::State { import, error }
}

impl Host for Guest {
    fn register(
        &mut self,
        of: data::TimerKind,
        keys: Vec<u32>,
        at: Vec<i64>,
    ) -> wasmtime::Result<()> {
        const IMPORT: &str = "timers.register";
        self.write(keys.len().saturating_mul(BYTES))?;
        let state = &mut self.keyed(IMPORT)?.state;
        let set = state.timers_set(kind(of), &keys, &at);
        Ok(set.map_err(breach(IMPORT))?)
    }

    fn delete(
        &mut self,
        of: data::TimerKind,
        keys: Vec<u32>,
        at: Vec<i64>,
    ) -> wasmtime::Result<()> {
        const IMPORT: &str = "timers.delete";
        self.write(keys.len().saturating_mul(BYTES))?;
        let state = &mut self.keyed(IMPORT)?.state;
        let deleted = state.timers_delete(kind(of), &keys, &at);
        Ok(deleted.map_err(breach(IMPORT))?)
    }
}
