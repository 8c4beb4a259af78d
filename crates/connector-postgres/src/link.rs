//! A connection, used by threads that may block. Each has a runtime of its own: what speaks to the
//! server runs while it is waited for, and only then.
//!
//! INVARIANT: a wait ends when its owner is asked to end; the runtime is never waited for when it
//! is dropped, so a connection may be dropped anywhere.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures::SinkExt as _;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};
use tokio_postgres::{Client, Config, NoTls, Row, Socket, tls::MakeTlsConnect, types::ToSql};
use weir_operator::Failure;

use crate::{
    options::{Password, Reconnect, Server, TlsMode},
    sql,
    tls::{self, Connector},
};

/// A parameter of a statement.
pub(crate) type Value<'a> = &'a (dyn ToSql + Sync);

/// Longer nobody waits for a server to answer the first time.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection whose other side does not confirm what is sent for so long is lost.
const SILENCE: Duration = Duration::from_secs(30);
/// So often a side that says nothing is asked whether it is there.
const PROBE: Duration = Duration::from_secs(10);
/// So much is sent in one message of a `COPY`.
const PIECE_BYTES: usize = 1 << 20;

/// Says to connections that nobody needs them any more.
pub(crate) type Ending = watch::Receiver<bool>;

/// How and as whom to connect.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) server: Server,
    /// The name of the session.
    pub(crate) application: String,
    pub(crate) reconnect: Reconnect,
}

/// A connection.
pub(crate) struct Link {
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    ending: Option<Ending>,
    /// The statement that made the stage of this session.
    stage: Option<String>,
}

/// What the server or the way to it says.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Whether there is no connection any more, or not yet.
    pub(crate) lost: bool,
    /// The five characters that say what it is.
    pub(crate) state: Option<String>,
    /// For people, with what the server adds.
    pub(crate) message: String,
    /// Where the server was, as in `COPY t, line 3, column a: "x"`.
    pub(crate) place: Option<String>,
    /// Whether it is about the encryption of the connection: who the server is, above all.
    pub(crate) about_tls: bool,
}

impl Told {
    pub(crate) fn is(&self, state: &str) -> bool {
        self.state.as_deref() == Some(state)
    }

    /// The class of what it is: `22` for data, `23` for constraints, ...
    pub(crate) fn class(&self) -> &str {
        let state = self.state.as_deref().unwrap_or_default();
        state.get(..2).unwrap_or_default()
    }

    fn of(error: &tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(error);
            let mut about_tls = false;
            while let Some(inner) = source {
                message.push_str(&format!(": {inner}"));
                about_tls |= is_about_tls(inner);
                source = inner.source();
            }
            about_tls |= message.ends_with(WITHOUT_TLS);
            return Self {
                // What the client itself refuses, a password that is missing above all, stays so.
                lost: !message.starts_with("invalid configuration") && !about_tls,
                state: None,
                message,
                place: None,
                about_tls,
            };
        };
        let state = db.code().code();
        let mut message = db.message().to_owned();
        for more in [db.detail(), db.hint()].into_iter().flatten() {
            message.push_str(&format!(" ({more})"));
        }
        Self {
            // Shut down, crashed, starting up; too many connections; 08 is the connection itself.
            lost: matches!(state, "57P01" | "57P02" | "57P03" | "53300") || state.starts_with("08"),
            state: Some(state.to_owned()),
            message,
            place: db.where_().map(str::to_owned),
            about_tls: false,
        }
    }

    fn ended() -> Self {
        Self {
            lost: true,
            state: None,
            message: "the task has ended".into(),
            place: None,
            about_tls: false,
        }
    }
}

impl Dial {
    /// Connects, trying again where nobody answers.
    ///
    /// # Errors
    /// [`Failure::Target`] where the server refuses, [`Failure::External`] where there is none.
    pub(crate) fn connect(&self, ending: Option<&Ending>) -> Result<Link, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::io("start a thread for a connection", &e))?;
        let mut last = Told::ended();
        for number in 0..self.reconnect.attempts.max(1) {
            let config = self.config()?;
            let tls = self.tls()?;
            let wait = self.reconnect.wait(number);
            let attempt = async {
                tokio::time::sleep(wait).await;
                let client = match tls {
                    None => begin(&config, NoTls).await?,
                    Some(tls) => begin(&config, tls).await?,
                };
                let ready = client.batch_execute(sql::SESSION).await;
                ready.map_err(|e| Told::of(&e)).map(|()| client)
            };
            match runtime.block_on(until(ending.cloned(), attempt)) {
                Ok(client) => {
                    return Ok(Link {
                        runtime: Some(runtime),
                        client,
                        ending: ending.cloned(),
                        stage: None,
                    });
                }
                Err(told) if !told.lost => {
                    runtime.shutdown_background();
                    return Err(self.refused(&told));
                }
                Err(told) => last = told,
            }
            if ending.is_some_and(|ending| *ending.borrow()) {
                break;
            }
        }
        runtime.shutdown_background();
        Err(Failure::External {
            what: format!("connect to {}", self.server),
            message: last.message,
        })
    }

    fn refused(&self, told: &Told) -> Failure {
        let hint = match told.class() {
            _ if told.about_tls => ": see `sslmode` and `sslrootcert`",
            // Of what the client refuses there is no class.
            "28" | "" => match &self.server.password {
                Password::None => {
                    ": no password is set; `password-env` names a variable that holds it"
                }
                Password::Variable(_) | Password::File(_) => ": look at `user` and at the password",
            },
            _ => "",
        };
        Failure::Target {
            what: format!("{} as `{}`", self.server, self.server.user),
            message: format!("{}{hint}", told.message),
        }
    }

    /// What encrypts the connection; `None` = nothing does, or can.
    fn tls(&self) -> Result<Option<Connector>, Failure> {
        let tls = &self.server.tls;
        // The server does not speak TLS over its Unix socket.
        if tls.mode == TlsMode::Disable || self.server.host.starts_with('/') {
            return Ok(None);
        }
        let connector = Connector::new(tls).map_err(|message| Failure::Target {
            what: "authorities of `sslrootcert`".into(),
            message,
        })?;
        Ok(Some(connector))
    }

    fn config(&self) -> Result<Config, Failure> {
        let Server {
            host,
            port,
            user,
            database,
            password,
            tls,
        } = &self.server;
        let mut config = Config::new();
        config
            .host(host)
            .port(*port)
            .user(user)
            .dbname(database)
            .application_name(&self.application)
            .ssl_mode(tls::mode(tls.mode))
            .connect_timeout(CONNECT)
            .tcp_user_timeout(SILENCE)
            // That counts only what is sent. Who waits for a statement sends nothing.
            .keepalives_idle(SILENCE)
            .keepalives_interval(PROBE)
            .keepalives_retries(3);
        let missing = |what: String, message: String| Failure::Target { what, message };
        match password {
            Password::None => {}
            Password::Variable(name) => {
                let value = std::env::var_os(name).ok_or_else(|| {
                    missing(
                        format!("variable `{name}` of the environment"),
                        "it is not set, and was to hold the password".into(),
                    )
                })?;
                config.password(value.as_encoded_bytes());
            }
            Password::File(path) => {
                let text = std::fs::read(path).map_err(|e| {
                    missing(format!("password file {}", path.display()), e.to_string())
                })?;
                let text = text.strip_suffix(b"\n").unwrap_or(&text);
                config.password(text.strip_suffix(b"\r").unwrap_or(text));
            }
        }
        Ok(config)
    }
}

impl Link {
    fn run<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Told> {
        let Some(runtime) = &self.runtime else {
            return Err(Told::ended());
        };
        let work = async { work.await.map_err(|e| Told::of(&e)) };
        runtime.block_on(until(self.ending.clone(), work))
    }

    /// Runs statements without parameters.
    pub(crate) fn execute(&self, sql: &str) -> Result<(), Told> {
        self.run(self.client.batch_execute(sql))
    }

    /// Runs one statement with parameters; gives how many rows it touched.
    pub(crate) fn execute_with(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, Told> {
        self.run(self.client.execute(sql, values))
    }

    pub(crate) fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Told> {
        self.run(self.client.query(sql, values))
    }

    /// Runs a `COPY … FROM STDIN` over `lines`; gives how many there were.
    pub(crate) fn copy(&self, sql: &str, mut lines: Bytes) -> Result<u64, Told> {
        self.run(async {
            let mut sink = pin!(self.client.copy_in::<_, Bytes>(sql).await?);
            while !lines.is_empty() {
                let piece = lines.split_to(lines.len().min(PIECE_BYTES));
                if let Err(error) = sink.feed(piece).await {
                    // Where the server has given up, its reason comes with the end.
                    return Err(sink.finish().await.err().unwrap_or(error));
                }
            }
            sink.finish().await
        })
    }

    /// Makes the stage of the session, unless it has it.
    pub(crate) fn stage(&mut self, sql: String) -> Result<(), Told> {
        if self.stage.as_ref() != Some(&sql) {
            self.stage = None;
            self.execute(&sql)?;
            self.stage = Some(sql);
        }
        Ok(())
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the client says of a server that was to speak TLS and does not.
const WITHOUT_TLS: &str = "server does not support TLS";

/// Whether an error is one of TLS itself, and not of the connection under it.
fn is_about_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    let inner = io.and_then(std::io::Error::get_ref);
    inner.is_some_and(|inner| inner.is::<rustls::Error>()) || error.is::<rustls::Error>()
}

/// Makes a connection, and lets it speak.
async fn begin<T>(config: &Config, tls: T) -> Result<Client, Told>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static>,
{
    let connected = config.connect(tls).await;
    let (client, connection) = connected.map_err(|e| Told::of(&e))?;
    // What goes wrong with it is told to whoever waits for an answer.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Works until it is done, or its owner ends.
async fn until<T>(
    ending: Option<Ending>,
    work: impl Future<Output = Result<T, Told>>,
) -> Result<T, Told> {
    let ended = async {
        match ending {
            // Whoever could say so is gone: that says it, too.
            Some(mut ending) => drop(ending.wait_for(|ended| *ended).await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = ended => Err(Told::ended()),
        result = work => result,
    }
}
