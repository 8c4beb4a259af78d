//! Both clocks show the processing time of the call, which does not move while the call runs; in
//! calls that wait it does, and they can wait for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

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
use crate::Sleep;

const NANOS_PER_MS: u64 = 1_000_000;

/// Milliseconds since the Unix epoch, as of the call; 0 before the first.
#[derive(Default)]
pub(super) struct Clock {
    wall_ms: u64,
    monotonic_ms: u64,
    /// Since when it moves, and how one waits for it, in calls that wait.
    since: Option<Instant>,
    sleep: Option<Arc<Sleep>>,
}

impl Clock {
    pub(super) fn set(&mut self, now: ProcessingTime) {
        self.wall_ms = u64::try_from(now.0).unwrap_or(0);
        // The host's clock may be set back, a monotonic one never is.
        self.monotonic_ms = self.monotonic_ms.max(self.monotonic_ns() / NANOS_PER_MS);
        self.monotonic_ms = self.monotonic_ms.max(self.wall_ms);
        self.since = self.sleep.as_ref().map(|_| Instant::now());
    }

    /// It moves from now on, and this is how to wait for it.
    pub(super) fn moves(&mut self, sleep: Arc<Sleep>) {
        self.since = Some(Instant::now());
        self.sleep = Some(sleep);
    }

    fn moved(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn wall_ms(&self) -> u64 {
        let moved = u64::try_from(self.moved().as_millis()).unwrap_or(u64::MAX);
        self.wall_ms.saturating_add(moved)
    }

    fn monotonic_ns(&self) -> u64 {
        let moved = u64::try_from(self.moved().as_nanos()).unwrap_or(u64::MAX);
        let begun = self.monotonic_ms.saturating_mul(NANOS_PER_MS);
        begun.saturating_add(moved)
    }
}

impl wall_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<Datetime> {
        let ms = self.clock.wall_ms();
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
        let left = when.saturating_sub(self.clock.monotonic_ns());
        self.subscribe_for(left)
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_for(when)
    }
}

impl Wasi {
    fn subscribe_for(&mut self, nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let at = Instant::now().checked_add(Duration::from_nanos(nanos));
        let deadline = self.table.push(Deadline {
            due: nanos == 0,
            at: at.zip(self.clock.sleep.clone()),
        })?;
        subscribe(&mut self.table, deadline)
    }
}

/// A point in time; during a call that does not wait it never comes nearer.
struct Deadline {
    due: bool,
    /// When that is, and how to wait for it.
    at: Option<(Instant, Arc<Sleep>)>,
}

#[async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        match &self.at {
            _ if self.due => {}
            None => std::future::pending().await,
            Some((at, sleep)) => {
                let left = at.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    sleep(left).await;
                }
                self.due = true;
            }
        }
    }
}
