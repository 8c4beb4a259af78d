//! `weir:operator/timers`: linked, since every operator imports it; a component that declares
//! timers is refused when it is loaded.

use crate::{
    bindings::weir::operator::{data::TimerKind, timers::Host},
    breach::Breach,
    guest::Guest,
};

fn unavailable(import: &'static str) -> wasmtime::Error {
    wasmtime::Error::new(Breach::Contract {
        message: format!("`{import}`: timers are not available in this version of the host"),
    })
}

impl Host for Guest {
    fn register(
        &mut self,
        _kind: TimerKind,
        _keys: Vec<u32>,
        _at: Vec<i64>,
    ) -> wasmtime::Result<()> {
        Err(unavailable("timers.register"))
    }

    fn delete(&mut self, _kind: TimerKind, _keys: Vec<u32>, _at: Vec<i64>) -> wasmtime::Result<()> {
        Err(unavailable("timers.delete"))
    }
}
