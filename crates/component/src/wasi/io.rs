//! Polls and streams that answer at once or trap, on top of wasmtime's, which would wait.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult,
    bindings::sync::io::{
        poll::{Host as PollHost, HostPollable},
        streams::{self, Host as StreamsHost, HostInputStream, HostOutputStream},
    },
};
use wasmtime_wasi_io::bindings::wasi::io::{poll as waiting_poll, streams as waiting};

use super::Wasi;
use crate::breach::Breach;

/// The table of resources alone.
pub(super) struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// The result of what is ready; nothing else becomes ready while the guest waits.
fn now<F: Future>(import: &'static str, future: F) -> Result<F::Output, wasmtime::Error> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(result) => Ok(result),
        Poll::Pending => Err(wasmtime::Error::new(Breach::Wait { import })),
    }
}

/// As [`now`], for functions of streams.
fn at_once<T>(
    import: &'static str,
    future: impl Future<Output = StreamResult<T>>,
) -> StreamResult<T> {
    now(import, future).map_err(StreamError::Trap)?
}

impl PollHost for Wasi {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        now(
            "wasi:io/poll.poll",
            waiting_poll::Host::poll(&mut self.table, pollables),
        )?
    }
}

impl HostPollable for Wasi {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        let table = &mut self.table;
        now(
            "wasi:io/poll.ready",
            waiting_poll::HostPollable::ready(table, pollable),
        )?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let table = &mut self.table;
        now(
            "wasi:io/poll.block",
            waiting_poll::HostPollable::block(table, pollable),
        )?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        waiting_poll::HostPollable::drop(&mut self.table, pollable)
    }
}

impl StreamsHost for Wasi {
    fn convert_stream_error(
        &mut self,
        error: StreamError,
    ) -> wasmtime::Result<streams::StreamError> {
        let error = waiting::Host::convert_stream_error(&mut self.table, error)?;
        Ok(match error {
            waiting::StreamError::LastOperationFailed(error) => {
                streams::StreamError::LastOperationFailed(error)
            }
            waiting::StreamError::Closed => streams::StreamError::Closed,
        })
    }
}

impl HostOutputStream for Wasi {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        waiting::HostOutputStream::check_write(&mut self.table, stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        waiting::HostOutputStream::write(&mut self.table, stream, bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        let table = &mut self.table;
        at_once(
            "wasi:io/streams.blocking-write-and-flush",
            waiting::HostOutputStream::blocking_write_and_flush(table, stream, bytes),
        )
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        waiting::HostOutputStream::flush(&mut self.table, stream)
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        let table = &mut self.table;
        at_once(
            "wasi:io/streams.blocking-flush",
            waiting::HostOutputStream::blocking_flush(table, stream),
        )
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        waiting::HostOutputStream::subscribe(&mut self.table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        waiting::HostOutputStream::write_zeroes(&mut self.table, stream, len)
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        let table = &mut self.table;
        at_once(
            "wasi:io/streams.blocking-write-zeroes-and-flush",
            waiting::HostOutputStream::blocking_write_zeroes_and_flush(table, stream, len),
        )
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        waiting::HostOutputStream::splice(&mut self.table, to, from, len)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let table = &mut self.table;
        at_once(
            "wasi:io/streams.blocking-splice",
            waiting::HostOutputStream::blocking_splice(table, to, from, len),
        )
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        let table = &mut self.table;
        now(
            "wasi:io/streams.drop",
            waiting::HostOutputStream::drop(table, stream),
        )?
    }
}

impl HostInputStream for Wasi {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        waiting::HostInputStream::read(&mut self.table, stream, len)
    }

    fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<Vec<u8>> {
        let table = &mut self.table;
        at_once(
            "wasi:io/streams.blocking-read",
            waiting::HostInputStream::blocking_read(table, stream, len),
        )
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        waiting::HostInputStream::skip(&mut self.table, stream, len)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        let table = &mut self.table;
        at_once(
            "wasi:io/streams.blocking-skip",
            waiting::HostInputStream::blocking_skip(table, stream, len),
        )
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynInputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        waiting::HostInputStream::subscribe(&mut self.table, stream)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        let table = &mut self.table;
        now(
            "wasi:io/streams.drop",
            waiting::HostInputStream::drop(table, stream),
        )?
    }
}
