//! The WebAssembly engine of a process: one set of compiler settings, one linker, one clock of
//! epochs for all components.
//!
//! INVARIANT: the settings make a run repeatable (canonical NaNs, deterministic SIMD) and every
//! loop of a guest interruptible; they are the same for all components, so one cache serves them.

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::{Config, OptLevel, ProfilingStrategy, component::Linker};

use crate::{Error, bindings, cache::Cache, guest::Guest, host, wasi};

/// One step of the clock that interrupts guests. A limit of time is exact to about this.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The most frames of a guest that are collected; what is shown of them is less, since frames of
/// panic machinery are left out.
pub(crate) const MAX_FRAMES: usize = 40;

/// Settings of an [`Engine`].
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The most bytes of stack that a guest may use. A thread that calls into a guest needs as much
    /// again for the host: 2 MiB, the default of Rust and tokio, for the default of 1 MiB.
    pub stack: usize,
    /// The folder for compiled code, made where it is missing; `None` compiles at each start.
    pub cache: Option<PathBuf>,
    /// Writes `/tmp/perf-<pid>.map`, by which `perf` names the functions of guests. For measuring:
    /// it costs time at each load.
    pub perf_map: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            stack: 1 << 20,
            cache: None,
            perf_map: false,
        }
    }
}

/// Compiles and runs components. Cheap to clone; the clock's thread stops with the last clone and
/// the last component.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) wasm: wasmtime::Engine,
    pub(crate) linker: Linker<Guest>,
    /// For calls that wait: what they wait for is linked so that they are left meanwhile.
    pub(crate) waiting: Linker<Guest>,
    pub(crate) cache: Option<Cache>,
    /// Held to be dropped with the engine.
    _ticker: Ticker,
}

impl Engine {
    /// Sets the engine up and starts its clock.
    ///
    /// # Errors
    /// [`Error::Engine`] where this machine cannot run it.
    pub fn new(options: &EngineOptions) -> Result<Self, Error> {
        let setup = |error: wasmtime::Error| Error::Engine {
            message: format!("{error:#}"),
        };
        let wasm = wasmtime::Engine::new(&config(options)).map_err(setup)?;
        let linker = linker(&wasm, false).map_err(setup)?;
        let waiting = self::linker(&wasm, true).map_err(setup)?;
        let ticker = Ticker::start(wasm.clone()).map_err(|error| Error::Engine {
            message: format!("the clock's thread does not start: {error}"),
        })?;
        let cache = options
            .cache
            .clone()
            .map(|folder| Cache::new(folder, &wasm));
        Ok(Self {
            shared: Arc::new(Shared {
                wasm,
                linker,
                waiting,
                cache,
                _ticker: ticker,
            }),
        })
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// All that components may import, for calls that wait or for calls that do not. One engine serves
/// both: on what stack a call runs is said at the call.
fn linker(wasm: &wasmtime::Engine, waits: bool) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(wasm);
    bindings::Operator::add_to_linker::<Guest, Guest>(&mut linker, |guest| guest)?;
    wasi::link(&mut linker, waits)?;
    match waits {
        true => host::http::link(&mut linker)?,
        false => host::http::link_none(&mut linker)?,
    }
    Ok(linker)
}

/// Each line was measured or is what determinism asks for; see `docs`.
fn config(options: &EngineOptions) -> Config {
    let mut config = Config::new();
    config
        // On, every call costs three times as much, for what only asynchronous guests need.
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .relaxed_simd_deterministic(true)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(options.stack)
        .async_stack_size(options.stack.saturating_mul(2))
        .wasm_backtrace_max_frames(NonZeroUsize::new(MAX_FRAMES))
        // Names of functions come from the name section; lines are not worth the parsing.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    if options.perf_map {
        config.profiler(ProfilingStrategy::PerfMap);
    }
    config
}

/// The thread that moves the epoch on.
struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(wasm: wasmtime::Engine) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::Builder::new()
            .name("weir-epochs".into())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                    wasm.increment_epoch();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic: it only waits and counts.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stops_with_the_engine() {
        let engine = Engine::new(&EngineOptions::default()).unwrap();
        let wasm = engine.shared.wasm.weak();
        assert!(wasm.upgrade().is_some());
        // The thread holds an engine of its own, and is joined on drop.
        drop(engine);
        assert!(wasm.upgrade().is_none());
    }
}
