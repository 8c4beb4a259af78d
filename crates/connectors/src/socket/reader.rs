//! The reader: cuts rows out of what the thread of the connection has received.

use std::{mem, sync::Arc};

use weir_model::Batch;
use weir_operator::{Failure, ReadStatus, SourceReader, SourceRows, Split, Waker};

use super::{AtEnd, SocketSourceOptions, link::Link, position::Position, queue::Arrival};
use crate::rows::{RowCutter, RowRules, Skipped};

/// When to look again for what nobody has woken the task for. The thread wakes it for everything.
const RETRY_MS: u64 = 1000;

/// A reader of a socket source.
pub(super) struct SocketReader {
    options: Arc<SocketSourceOptions>,
    open: Option<OpenSplit>,
    wake: Option<Waker>,
    skipped: Skipped,
}

/// The split while it is read.
struct OpenSplit {
    id: String,
    link: Link,
    cutter: RowCutter,
    /// What was taken from the queue; before `from` it is cut already.
    bytes: Vec<u8>,
    from: usize,
    /// The bytes are the last ones of their connection.
    closed: bool,
    at_end: AtEnd,
    failed: Option<Failure>,
    position: Position,
}

impl SocketReader {
    pub(super) fn new(options: Arc<SocketSourceOptions>) -> Self {
        Self {
            options,
            open: None,
            wake: None,
            skipped: Skipped::default(),
        }
    }

    /// The queue of the open split and its thread, to look at them.
    #[cfg(test)]
    pub(super) fn link(&mut self) -> Option<&mut Link> {
        self.open.as_mut().map(|open| &mut open.link)
    }
}

impl SourceReader for SocketReader {
    fn set_waker(&mut self, wake: Waker) {
        if let Some(open) = &self.open {
            open.link.queue.set_waker(Arc::clone(&wake));
        }
        self.wake = Some(wake);
    }

    fn add_split(&mut self, split: Split) -> Result<(), Failure> {
        let open = OpenSplit::open(&self.options, split)?;
        if let Some(wake) = &self.wake {
            open.link.queue.set_waker(Arc::clone(wake));
        }
        self.open = Some(open);
        Ok(())
    }

    fn read(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure> {
        let Some(open) = &mut self.open else {
            return Ok(ReadStatus::NoSplit);
        };
        let max_rows = rows.values.len().saturating_add(max_rows);
        open.cutter.begin(rows);
        let status = open.read(rows, max_rows, &mut self.skipped)?;
        open.cutter.finish(rows, &mut self.skipped)?;
        if matches!(status, ReadStatus::SplitEnded(_)) {
            self.open = None;
        }
        Ok(status)
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        let open = self.open.iter();
        open.map(|open| {
            Ok(Split {
                id: open.id.clone(),
                position: open.position.to_value()?,
            })
        })
        .collect()
    }

    fn skipped(&self) -> u64 {
        self.skipped.count
    }
}

impl OpenSplit {
    /// Starts to receive.
    fn open(options: &Arc<SocketSourceOptions>, split: Split) -> Result<Self, Failure> {
        let rules = RowRules {
            source: options.source.clone(),
            format: options.format,
            on_error: options.on_error,
            timestamp: options.timestamp.clone(),
            place: |address, line| format!("{address}, line {line}"),
        };
        let position = Position::read(&split.position, &options.address)?;
        Ok(Self {
            id: split.id,
            link: Link::start(Arc::clone(options))?,
            cutter: RowCutter::new(rules, &options.address),
            bytes: Vec::new(),
            from: 0,
            closed: false,
            at_end: options.at_end,
            failed: None,
            position,
        })
    }

    /// Appends rows up to `max_rows` in all.
    fn read(
        &mut self,
        rows: &mut SourceRows,
        max_rows: usize,
        skipped: &mut Skipped,
    ) -> Result<ReadStatus, Failure> {
        let before = rows.values.len();
        let mut cut = 0;
        while rows.values.len() < max_rows && cut < Batch::MAX_BYTES {
            let line = self.position.lines + 1;
            let rest = self.bytes.get(self.from..).unwrap_or_default();
            let taken = self.cutter.cut(rest, self.closed, line, rows, skipped)?;
            if let Some(taken) = taken {
                cut += taken.bytes;
                self.from += taken.bytes;
                self.position.rows += taken.records;
                self.position.lines += taken.lines;
                // A last line without a line end is a line as well.
                let unended = rest.get(..taken.bytes).and_then(<[u8]>::last) != Some(&b'\n');
                self.position.lines += u64::from(taken.whole && unended);
            } else if self.closed {
                self.next_connection();
                if self.at_end == AtEnd::Finish {
                    return Ok(ReadStatus::SplitEnded(mem::take(&mut self.id)));
                }
            } else if self.failed.is_some() && rows.values.len() == before {
                return self.failed.take().map_or(Ok(ReadStatus::More), Err);
            } else if self.failed.is_some() {
                break;
            } else if !self.receive() {
                return Ok(ReadStatus::Dry { retry_ms: RETRY_MS });
            }
        }
        Ok(ReadStatus::More)
    }

    /// Takes over what has arrived; `false` = nothing has.
    fn receive(&mut self) -> bool {
        match self.link.queue.take() {
            None => return false,
            Some(Arrival::Bytes(bytes)) if self.from == self.bytes.len() => {
                (self.bytes, self.from) = (bytes, 0);
            }
            Some(Arrival::Bytes(bytes)) => {
                self.bytes.drain(..self.from);
                self.from = 0;
                self.bytes.extend_from_slice(&bytes);
            }
            Some(Arrival::Closed) => self.closed = true,
            Some(Arrival::Broken) => {
                let rest = self.bytes.len() - self.from;
                if rest > 0 {
                    let address = &self.position.address;
                    tracing::warn!(
                        "the connection to {address} broke in the middle of a row: its first \
                         {rest} bytes are left out"
                    );
                }
                self.next_connection();
            }
            Some(Arrival::Failed(failure)) => self.failed = Some(failure),
        }
        true
    }

    /// What comes from here on has nothing to do with what came before.
    fn next_connection(&mut self) {
        self.bytes.clear();
        self.from = 0;
        self.closed = false;
        self.cutter.restart();
    }
}
