//! WASI 0.2 for language runtimes, with nothing behind it: no files, no arguments, no environment,
//! no network; standard output and standard error go to the log.
//!
//! INVARIANT: but in calls that wait, nothing here waits and nothing differs from run to run. Time
//! is the processing time of the call, random numbers follow from job, operator and subtask, and a
//! wait for what is not ready traps: during a call nothing happens that could make it ready, and a
//! host thread that waits cannot be interrupted. (wasmtime's own streams, polls and clocks block on
//! a tokio runtime, which panics on a thread of one.)

mod clocks;
mod io;
mod random;
mod sockets;
mod stdio;

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::{
    WasiCtx, WasiCtxView, WasiView,
    cli::{WasiCli, WasiCliView as _},
    filesystem::{WasiFilesystem, WasiFilesystemView as _},
    p2::bindings::{cli, clocks as clock, filesystem, random as rng, sockets as socket, sync},
    sockets::{WasiSockets, WasiSocketsView as _},
};
use weir_model::ProcessingTime;
use weir_operator::TaskInfo;

use crate::{Sleep, guest::Guest, log::Log};
use clocks::Clock;
use random::Random;

/// The most resources (streams, polls) that a guest may hold at once.
pub(crate) const MAX_RESOURCES: usize = 10_000;

/// What one instance has of WASI.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    clock: Clock,
    random: Random,
    log: Log,
}

impl Wasi {
    pub(crate) fn new(task: Option<&TaskInfo>, log: Log) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let ctx = WasiCtx::builder()
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Self {
            ctx,
            table,
            clock: Clock::default(),
            random: Random::new(task),
            log,
        }
    }

    /// A call begins, at this reading of the clock.
    pub(crate) fn begin(&mut self, now: Option<ProcessingTime>) {
        if let Some(now) = now {
            self.clock.set(now);
        }
    }
}

impl Wasi {
    /// Time passes in calls, and can be waited for.
    pub(crate) fn moves(&mut self, sleep: Arc<Sleep>) {
        self.clock.moves(sleep);
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi.ctx,
            table: &mut self.wasi.table,
        }
    }
}

impl HasData for Wasi {
    type Data<'a> = &'a mut Wasi;
}

/// Adds all of WASI that an operator may import.
///
/// Where calls wait (`waits`), a poll waits for the clock and leaves the guest meanwhile.
pub(crate) fn link(linker: &mut Linker<Guest>, waits: bool) -> wasmtime::Result<()> {
    fn ours(guest: &mut Guest) -> &mut Wasi {
        &mut guest.wasi
    }
    type G = Guest;
    // Ours, for the reasons above.
    clock::wall_clock::add_to_linker::<G, Wasi>(linker, ours)?;
    clock::monotonic_clock::add_to_linker::<G, Wasi>(linker, ours)?;
    rng::random::add_to_linker::<G, Wasi>(linker, ours)?;
    rng::insecure::add_to_linker::<G, Wasi>(linker, ours)?;
    rng::insecure_seed::add_to_linker::<G, Wasi>(linker, ours)?;
    match waits {
        true => wasmtime_wasi_io::bindings::wasi::io::poll::add_to_linker::<G, io::Table>(
            linker,
            |g| &mut g.wasi.table,
        )?,
        false => sync::io::poll::add_to_linker::<G, Wasi>(linker, ours)?,
    }
    sync::io::streams::add_to_linker::<G, Wasi>(linker, ours)?;
    cli::stdout::add_to_linker::<G, Wasi>(linker, ours)?;
    cli::stderr::add_to_linker::<G, Wasi>(linker, ours)?;
    sync::sockets::udp_create_socket::add_to_linker::<G, sockets::Denied>(linker, |g| {
        sockets::NoUdp(g.sockets())
    })?;
    // wasmtime's own, over an empty context.
    wasmtime_wasi_io::bindings::wasi::io::error::add_to_linker::<G, io::Table>(linker, |g| {
        &mut g.wasi.table
    })?;
    cli::environment::add_to_linker::<G, WasiCli>(linker, G::cli)?;
    cli::exit::add_to_linker::<G, WasiCli>(linker, G::cli)?;
    cli::stdin::add_to_linker::<G, WasiCli>(linker, G::cli)?;
    cli::terminal_input::add_to_linker::<G, WasiCli>(linker, G::cli)?;
    cli::terminal_output::add_to_linker::<G, WasiCli>(linker, G::cli)?;
    cli::terminal_stdin::add_to_linker::<G, WasiCli>(linker, G::cli)?;
    cli::terminal_stdout::add_to_linker::<G, WasiCli>(linker, G::cli)?;
    cli::terminal_stderr::add_to_linker::<G, WasiCli>(linker, G::cli)?;
    filesystem::preopens::add_to_linker::<G, WasiFilesystem>(linker, G::filesystem)?;
    sync::filesystem::types::add_to_linker::<G, WasiFilesystem>(linker, G::filesystem)?;
    socket::instance_network::add_to_linker::<G, WasiSockets>(linker, G::sockets)?;
    socket::network::add_to_linker::<G, WasiSockets>(linker, &Default::default(), G::sockets)?;
    socket::ip_name_lookup::add_to_linker::<G, WasiSockets>(linker, G::sockets)?;
    socket::tcp_create_socket::add_to_linker::<G, WasiSockets>(linker, G::sockets)?;
    sync::sockets::tcp::add_to_linker::<G, WasiSockets>(linker, G::sockets)?;
    sync::sockets::udp::add_to_linker::<G, WasiSockets>(linker, G::sockets)?;
    Ok(())
}
