//! Standard output and standard error, line by line into the log.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    DynOutputStream, OutputStream, Pollable, StreamError, StreamResult,
    bindings::cli::{stderr, stdout},
};
use wasmtime_wasi_io::{async_trait, bytes::Bytes};

use super::Wasi;
use crate::{
    breach::Breach,
    log::{Log, Stream},
};

/// How much may be written at once.
const PERMIT: usize = 64 << 10;

impl Wasi {
    fn stream(&mut self, stream: Stream) -> wasmtime::Result<Resource<DynOutputStream>> {
        let log = self.log.clone();
        let stream: DynOutputStream = Box::new(LogStream { log, stream });
        Ok(self.table.push(stream)?)
    }
}

impl stdout::Host for Wasi {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.stream(Stream::Out)
    }
}

impl stderr::Host for Wasi {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.stream(Stream::Err)
    }
}

struct LogStream {
    log: Log,
    stream: Stream,
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // Nothing interrupts the host while it looks for lines.
        if bytes.len() > PERMIT {
            let len = bytes.len();
            let what = format!("to write {len} bytes at once to a stream, {PERMIT} is the most");
            return Err(StreamError::Trap(wasmtime::Error::new(Breach::Excess {
                what,
            })));
        }
        self.log.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}
