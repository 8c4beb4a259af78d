//! What happens on sockets while the program runs: a script of connections, lines and what must
//! have been printed before the next one.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use serde::Deserialize;

use crate::step::{PATIENCE, send};

/// How often somebody who waits for a connection looks whether the program is still there.
const LOOK: Duration = Duration::from_millis(100);

/// One thing that happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub(crate) enum Action {
    /// The program connects to this socket; from here on lines go there.
    Accept(String),
    /// The program sends this over the connection of a socket, which is looked at from its
    /// beginning.
    Hear { on: String, text: String },
    /// This is sent over the connection of a socket.
    Send { to: String, text: String },
    /// The connection of this socket is closed.
    Close(String),
    /// The program prints this, behind what was seen last.
    See {
        on: Stream,
        text: String,
        /// The how-manieth time it does.
        #[serde(default = "once")]
        nth: u32,
        /// What was printed until now does not count.
        #[serde(default)]
        from_now: bool,
    },
    /// The program gets this signal.
    Signal(String),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

fn once() -> u32 {
    1
}

/// The sockets of a step, each on a port of its own.
pub(crate) struct Sockets(BTreeMap<String, TcpListener>);

impl Sockets {
    pub(crate) fn open(names: &[String]) -> Result<Self> {
        let mut sockets = BTreeMap::new();
        for name in names {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            set_socket_timeout(&listener, Timeout::Recv, Some(LOOK))?;
            sockets.insert(name.clone(), listener);
        }
        Ok(Self(sockets))
    }

    /// The arguments, with `@socket:name@` replaced by the address of the socket.
    pub(crate) fn fill(&self, arguments: &[String]) -> Result<Vec<String>> {
        let mut filled = arguments.to_vec();
        for (name, listener) in &self.0 {
            let (place, address) = (format!("@socket:{name}@"), listener.local_addr()?);
            for argument in &mut filled {
                *argument = argument.replace(&place, &address.to_string());
            }
        }
        Ok(filled)
    }
}

/// What the program has printed so far.
#[derive(Default)]
pub(crate) struct Printed {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    text: String,
    ended: bool,
}

impl Printed {
    /// Takes over all of a stream, line by line; each is handed to `also`.
    pub(crate) fn read(&self, from: impl Read, mut also: impl FnMut(&str)) -> io::Result<()> {
        let mut from = BufReader::new(from);
        let mut line = String::new();
        let result = loop {
            line.clear();
            match from.read_line(&mut line) {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
            self.change(|inner| inner.text.push_str(&line));
            also(line.trim_end_matches('\n'));
        };
        self.change(|inner| inner.ended = true);
        result
    }

    pub(crate) fn text(&self) -> String {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.text.clone()
    }

    fn has_ended(&self) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.ended
    }

    fn change(&self, how: impl FnOnce(&mut Inner)) {
        how(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until `wanted` stands behind `from`; gives where it ends.
    fn wait_for(&self, wanted: &str, from: usize) -> Result<usize> {
        let until = Instant::now() + PATIENCE;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let rest = inner.text.get(from..).unwrap_or_default();
            if let Some(at) = rest.find(wanted) {
                return Ok(from + at + wanted.len());
            }
            ensure!(
                !inner.ended,
                "the program ended before it printed `{wanted}`"
            );
            let left = until.saturating_duration_since(Instant::now());
            ensure!(
                !left.is_zero(),
                "`{wanted}` was not printed in {PATIENCE:?}"
            );
            let waited = self.changed.wait_timeout(inner, left);
            (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A script that is being played, beside the program.
pub(crate) struct Playing(Option<JoinHandle<Result<()>>>);

/// What the program prints, by stream.
pub(crate) struct Streams {
    pub(crate) stdout: Arc<Printed>,
    pub(crate) stderr: Arc<Printed>,
}

struct Player {
    sockets: Sockets,
    streams: Streams,
    program: u32,
    open: BTreeMap<String, TcpStream>,
    /// How far the streams were looked at.
    seen: [usize; 2],
}

impl Playing {
    /// Plays `actions` for the program with this process id, and kills it if one of them fails.
    pub(crate) fn start(
        actions: &[Action],
        sockets: Sockets,
        streams: Streams,
        program: u32,
    ) -> Self {
        if actions.is_empty() {
            return Self(None);
        }
        let actions = actions.to_vec();
        let mut player = Player {
            sockets,
            streams,
            program,
            open: BTreeMap::new(),
            seen: [0; 2],
        };
        Self(Some(thread::spawn(move || {
            for (number, action) in actions.iter().enumerate() {
                let done = player.act(action);
                if done.is_err() && !player.streams.stderr.has_ended() {
                    let _ = send(program, "KILL");
                }
                done.with_context(|| format!("action {number}, {action:?}"))?;
            }
            // What is open is closed when the program has ended, and not before.
            player.wait_for_the_end();
            Ok(())
        })))
    }

    /// Waits for its end, which comes with that of the program.
    pub(crate) fn end(self) -> Result<()> {
        let Some(thread) = self.0 else { return Ok(()) };
        thread.join().map_err(|_| anyhow!("the script panicked"))?
    }
}

impl Player {
    fn act(&mut self, action: &Action) -> Result<()> {
        match action {
            Action::Accept(name) => self.accept(name),
            Action::Hear { on, text } => self.hear(on, text),
            Action::Send { to, text } => {
                let stream = self.open.get_mut(to).context("there is no connection")?;
                Ok(stream.write_all(text.as_bytes())?)
            }
            Action::Close(name) => {
                self.open.remove(name).context("there is no connection")?;
                Ok(())
            }
            Action::See {
                on,
                text,
                nth,
                from_now,
            } => {
                let (printed, seen) = match on {
                    Stream::Stdout => (&self.streams.stdout, &mut self.seen[0]),
                    Stream::Stderr => (&self.streams.stderr, &mut self.seen[1]),
                };
                if *from_now {
                    *seen = printed.text().len();
                }
                for _ in 0..*nth {
                    *seen = printed.wait_for(text, *seen)?;
                }
                Ok(())
            }
            Action::Signal(name) => send(self.program, name),
        }
    }

    fn accept(&mut self, name: &str) -> Result<()> {
        let listener = self
            .sockets
            .0
            .get(name)
            .context("there is no such socket")?;
        let until = Instant::now() + PATIENCE;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nodelay(true)?;
                    self.open.insert(name.to_owned(), stream);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if self.streams.stderr.has_ended() {
                bail!("the program ended before it connected");
            }
            ensure!(Instant::now() < until, "nobody connected in {PATIENCE:?}");
        }
    }

    fn hear(&mut self, name: &str, wanted: &str) -> Result<()> {
        let stream = self.open.get_mut(name).context("there is no connection")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&heard).contains(wanted) {
            let read = stream.read(&mut buffer)?;
            ensure!(
                read > 0,
                "the program closed the connection before `{wanted}`"
            );
            heard.extend_from_slice(&buffer[..read]);
        }
        Ok(())
    }

    fn wait_for_the_end(&self) {
        let printed = &self.streams.stderr;
        let inner = printed.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = printed.changed.wait_while(inner, |inner| !inner.ended);
        drop(ended);
    }
}
