//! Signals: the first asks the job to stop with a checkpoint, the second ends the process (D27).

use std::{io, process, thread};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{exit::Exit, render::say};

/// Listens to SIGINT and SIGTERM on a thread of its own until the process ends. `keeps` says
/// whether the job keeps checkpoints.
///
/// # Errors
/// Where the thread or the handlers cannot be had.
pub(crate) fn listen(job: String, keeps: bool, stop: watch::Sender<bool>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    thread::Builder::new()
        .name("weir-signals".into())
        .spawn(move || {
            runtime.block_on(async {
                for last in [false, true] {
                    let number = tokio::select! {
                        _ = interrupt.recv() => 2,
                        _ = terminate.recv() => 15,
                    };
                    if last {
                        say(&format!("{job}: ended at once; nothing committed is lost"));
                        process::exit(i32::from(Exit::Signal(number).code()));
                    }
                    let how = if keeps { " with a checkpoint" } else { "" };
                    say(&format!("{job}: stopping{how}; once more to end at once"));
                    // Nobody listens any more where the job is over already.
                    let _ = stop.send(true);
                }
            });
        })?;
    Ok(())
}
