//! The end of a task: rows become lines here, and a thread sends them.

use std::{
    mem,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::watch,
    task::block_in_place,
};
use weir_model::{CheckpointId, Rows};
use weir_operator::{Failure, PreCommit, RowInfo, Sink};

use crate::{
    encode::{BadField, Encoder},
    inbox::{Chunk, Inbox},
    options::PostgresSinkOptions,
    session::Session,
};

/// One instance of a sink that writes as rows come.
pub(crate) struct Writer {
    options: Arc<PostgresSinkOptions>,
    encoder: Encoder,
    chunk: Chunk,
    inbox: Arc<Inbox>,
    ending: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `ending` is what the session listens to.
    pub(crate) fn start(session: Session, ending: watch::Sender<bool>) -> Result<Self, Failure> {
        let options = session.options.clone();
        let inbox = Arc::new(Inbox::new(options.batch));
        let encoder = Encoder::new(session.shape.clone());
        let theirs = inbox.clone();
        let thread = thread::Builder::new()
            .name(format!("postgres-{}", options.sink))
            .spawn(move || session.run(&theirs))
            .map_err(|e| Failure::io("start a thread that writes to PostgreSQL", &e))?;
        Ok(Self {
            options,
            encoder,
            chunk: Chunk::default(),
            inbox,
            ending,
            thread: Some(thread),
        })
    }

    fn hand_over(&mut self) -> Result<(), Failure> {
        if self.chunk.rows == 0 {
            return self.inbox.check();
        }
        let chunk = mem::take(&mut self.chunk);
        waiting(|| self.inbox.offer(chunk))
    }
}

/// Does something that may wait for the server, so that other tasks of the thread go on.
fn waiting<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}

/// A row that has no line.
pub(crate) fn bad_row(options: &PostgresSinkOptions, row: &[u8], bad: BadField) -> Failure {
    let column = bad.column.map(|name| format!("column `{name}`: "));
    Failure::RefusedRow {
        at: format!(
            "table `{}` at {} (sink `{}`)",
            options.table, options.server, options.sink
        ),
        message: column.unwrap_or_default() + &bad.message,
        row: Some(RowInfo::new(row, None, None).value),
    }
}

impl Sink for Writer {
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        for row in rows.values.iter() {
            let line = self.encoder.row(row, &mut self.chunk.lines);
            line.map_err(|bad| {
                let failure = bad_row(&self.options, row, bad);
                self.inbox.fail(failure.clone());
                failure
            })?;
            self.chunk.rows += 1;
            if self.chunk.is_full(self.options.batch) {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.hand_over()
    }

    fn pre_commit(&mut self, checkpoint: CheckpointId) -> Result<PreCommit, Failure> {
        self.hand_over()?;
        let answer = self.inbox.seal(checkpoint)?;
        let inbox = self.inbox.clone();
        Ok(Box::new(move || match answer.recv() {
            Ok(sealed) => sealed,
            Err(_) => Err(inbox.failure()),
        }))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.inbox.end();
        // Nobody may listen any more.
        let _ = self.ending.send(true);
        if let Some(thread) = self.thread.take() {
            // So that nothing of this attempt reaches the server once the next one begins. It ends
            // at once; a panic there was told to whoever waited for it.
            let _ = thread.join();
        }
    }
}
