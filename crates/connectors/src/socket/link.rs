//! The thread that connects and receives, one connection after the other, until its reader is gone.

use std::{
    io::{self, Read},
    net::{TcpStream, ToSocketAddrs},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::net::sockopt;
use weir_operator::Failure;

use super::{
    AtEnd, SocketSourceOptions,
    queue::{Arrival, Queue},
    retry::{Next, Retry},
};

/// How long one address of a host may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// When a silent server is asked whether it is still there, and how often before it counts as gone:
/// one whose machine has died does not close its connection.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_PROBES: u32 = 6;

/// The thread's other end, held by the reader. Dropped, it ends the thread.
pub(super) struct Link {
    pub(super) queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

/// How an attempt to connect and receive ended.
enum Ended {
    /// The server has closed the connection.
    Closed,
    /// No connection, or one that broke.
    Broken(io::Error),
    /// The reader is gone.
    Over,
}

impl Link {
    /// Starts the thread.
    pub(super) fn start(options: Arc<SocketSourceOptions>) -> Result<Self, Failure> {
        let queue = Arc::new(Queue::default());
        let thread = thread::Builder::new().name("weir-socket".into()).spawn({
            let queue = Arc::clone(&queue);
            move || run(&options, &queue)
        });
        let thread = thread.map_err(|e| Failure::io("start the thread of a socket", &e))?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }

    /// The thread, to see that it ends.
    #[cfg(test)]
    pub(super) fn take_thread(&mut self) -> Option<JoinHandle<()>> {
        self.thread.take()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.queue.end();
        // Nobody waits for it: looking a name up cannot be interrupted, and may take seconds.
        drop(self.thread.take());
    }
}

fn run(options: &SocketSourceOptions, queue: &Queue) {
    let mut retry = Retry::new(options.reconnect);
    let mut buffer = vec![0; Queue::CHUNK_BYTES];
    loop {
        let mut received = false;
        let ended = receive(&options.address, queue, &mut buffer, &mut received);
        queue.disconnected();
        if queue.is_over() {
            return;
        }
        let why = match ended {
            Ended::Over => return,
            Ended::Closed => {
                if received || options.at_end == AtEnd::Finish {
                    queue.tell(Arrival::Closed);
                }
                if options.at_end == AtEnd::Finish {
                    return;
                }
                "the server closed the connection".to_owned()
            }
            Ended::Broken(error) => {
                if received {
                    queue.tell(Arrival::Broken);
                }
                error.to_string()
            }
        };
        match retry.over(received) {
            Next::Connect { after, failed } => {
                let (source, address) = (&options.source, &options.address);
                let count = match (failed, options.reconnect.attempts) {
                    (0, _) => String::new(),
                    (failed, of) => format!(" ({failed} of {of} attempts have failed)"),
                };
                let again = format!("connecting again after {after:?}{count}");
                tracing::warn!(%source, "{address}: {why}; {again}");
                if !queue.pause(after) {
                    return;
                }
            }
            Next::GiveUp { failed } => {
                queue.tell(Arrival::Failed(given_up(options, failed, &why)));
                return;
            }
        }
    }
}

/// Connects and receives, until there is nothing more. `received` becomes whether a byte came.
fn receive(address: &str, queue: &Queue, buffer: &mut [u8], received: &mut bool) -> Ended {
    let mut stream = match connect(address) {
        Ok(stream) => stream,
        Err(error) => return Ended::Broken(error),
    };
    match queue.connected(&stream) {
        Ok(true) => {}
        Ok(false) => return Ended::Over,
        Err(error) => return Ended::Broken(error),
    }
    tracing::info!(%address, "connected");
    while queue.wait_for_room() {
        match stream.read(buffer) {
            Ok(0) => return Ended::Closed,
            Ok(count) => {
                *received = true;
                queue.add_bytes(buffer.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ended::Broken(error),
        }
    }
    Ended::Over
}

/// Connects to the first of the host's addresses that answers.
fn connect(address: &str) -> io::Result<TcpStream> {
    let nowhere = || io::Error::other("the name has no address");
    let mut last = None;
    for address in address.to_socket_addrs()? {
        match connect_to(&address) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(nowhere))
}

fn connect_to(address: &std::net::SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, CONNECT_TIMEOUT)?;
    // Where nobody listens on a port of this machine, the kernel may choose that very port for our
    // end: then we are connected to ourselves.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEP_ALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&stream, KEEP_ALIVE_PROBES)?;
    Ok(stream)
}

fn given_up(options: &SocketSourceOptions, failed: u32, why: &str) -> Failure {
    let (address, source) = (&options.address, &options.source);
    let attempts = if failed == 1 {
        "1 attempt".to_owned()
    } else {
        format!("{failed} attempts in a row")
    };
    Failure::External {
        what: format!("read from {address} (source `{source}`)"),
        message: format!(
            "{attempts} brought nothing, the last one: {why}; see that the server runs, or raise \
             `reconnect.attempts`"
        ),
    }
}
