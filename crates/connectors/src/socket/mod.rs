//! The socket source: rows that a server sends over TCP, as `nc -lk 9999` does.
//!
//! The source connects to one address and reads what comes. There is one split, so one reader has
//! rows and the others end at once. What was sent cannot be asked for again: after a failure rows
//! that were received since the last checkpoint are gone (D30), and the source reads on with what
//! comes over a new connection.
//!
//! A server that closes its connection ends the rows of that connection: a last line without a line
//! end is a row, as in a file. A connection that breaks may have broken in the middle of a row, so
//! the beginning of that one is left out, with a warning. Nothing is joined over two connections,
//! and each begins with a header where the format has one.
//!
//! INVARIANT: the task never waits for the network. A thread connects and receives, into a bounded
//! queue; when that is full it stops receiving, and the server has to wait. The thread ends with
//! its reader.

mod link;
mod position;
mod queue;
mod reader;
mod retry;

use std::sync::Arc;

use serde_json::Value;
use weir_formats::TimestampSelector;
use weir_model::SourceName;
use weir_operator::{Discovery, Failure, SourceFactory, SourceReader, Split, TaskInfo};

use self::reader::SocketReader;
pub use self::retry::Reconnect;
use crate::rows::{FileFormat, MAX_ROW_BYTES, OnBadRow};

/// What a socket source reads and how.
#[derive(Clone, Debug)]
pub struct SocketSourceOptions {
    /// The source, for messages.
    pub source: SourceName,
    /// Where the server is, as `host:port`; an IPv6 address stands in brackets. The name is looked
    /// up for each connection.
    pub address: String,
    /// How rows are cut out of what comes.
    pub format: FileFormat,
    /// What becomes of rows that cannot be read.
    pub on_error: OnBadRow,
    /// Where the event time of a row is; `None` = the rows have none.
    pub timestamp: Option<TimestampSelector>,
    /// What a server means that closes the connection.
    pub at_end: AtEnd,
    /// How often and how fast to try again where there is no connection.
    pub reconnect: Reconnect,
}

/// What a server means that closes the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtEnd {
    /// It will be back: connect again.
    #[default]
    Reconnect,
    /// That was all: the source ends.
    Finish,
}

/// Makes the readers of one socket source.
#[derive(Clone, Debug)]
pub struct SocketSource {
    options: Arc<SocketSourceOptions>,
}

impl SocketSource {
    /// The longest row in bytes, as the contract with components has it.
    pub const MAX_ROW_BYTES: usize = MAX_ROW_BYTES;

    /// The one split. It does not hold the address, so that a job may go on where its server has
    /// moved to another one.
    const SPLIT: &str = "socket";

    /// A source with these options. Nothing is connected yet.
    #[must_use]
    pub fn new(options: SocketSourceOptions) -> Self {
        Self {
            options: Arc::new(options),
        }
    }
}

impl SourceFactory for SocketSource {
    fn discover(&self) -> Result<Discovery, Failure> {
        // Whether the server is there is seen by the reader, which can wait for it.
        let address = &self.options.address;
        if !is_address(address) {
            return Err(Failure::External {
                what: format!("address of source `{}`", self.options.source),
                message: format!("`{address}` is not of the form `host:port`"),
            });
        }
        Ok(Discovery {
            splits: vec![Split {
                id: Self::SPLIT.to_owned(),
                position: Value::Null,
            }],
            spread: false,
        })
    }

    fn reader(&self, _task: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(SocketReader::new(Arc::clone(&self.options))))
    }

    fn replayable(&self) -> bool {
        false
    }
}

/// Whether this is a host and a port, whatever is there.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let host_is = !host.is_empty() && (bracketed || !host.contains(':'));
        host_is && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests;
