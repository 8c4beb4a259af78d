//! Both clocks show the processing time of the call, which does not move while the call runs.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    DynPollable,
    bindings::clocks::{
        monotonic_clock,
        wall_clock::{self, Datetime},
    },
    subscribe,
};
use wasmtime_wasi_io::{async_trait, poll::Pollable};
use weir_model::ProcessingTime;

use super::Wasi;

const NANOS_PER_MS: u64 = 1_000_000;

/// Milliseconds since the Unix epoch, as of the call; 0 before the first.
#[derive(Default)]
pub(super) struct Clock {
    wall_ms: u64,
    monotonic_ms: u64,
}

impl Clock {
    pub(super) fn set(&mut self, now: ProcessingTime) {
        self.wall_ms = u64::try_from(now.0).unwrap_or(0);
        // The host's clock may be set back, a monotonic one never is.
        self.monotonic_ms = self.monotonic_ms.max(self.wall_ms);
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ms.saturating_mul(NANOS_PER_MS)
    }
}

impl wall_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<Datetime> {
        let ms = self.clock.wall_ms;
        Ok(Datetime {
            seconds: ms / 1000,
            nanoseconds: (ms % 1000) as u32 * 1_000_000,
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<Datetime> {
        Ok(Datetime {
            seconds: 0,
            nanoseconds: 1_000_000,
        })
    }
}

impl monotonic_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.clock.monotonic_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(NANOS_PER_MS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let due = when <= self.clock.monotonic_ns();
        self.subscribe(Deadline { due })
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(Deadline { due: when == 0 })
    }
}

impl Wasi {
    fn subscribe(&mut self, deadline: Deadline) -> wasmtime::Result<Resource<DynPollable>> {
        let deadline = self.table.push(deadline)?;
        subscribe(&mut self.table, deadline)
    }
}

/// A point in time; during a call it never comes nearer.
struct Deadline {
    due: bool,
}

#[async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        if !self.due {
            std::future::pending::<()>().await;
        }
    }
}
